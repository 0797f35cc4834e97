/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hs-replay's plan: every span of every trace once, cause before effect, one
 * request a trace whatever its references say, rules that fire where they say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tools/replay/plan.h"

struct world {
	struct hs_model_set set;
	struct hs_replay_plan plan;
};

static void id_set(uint8_t *id, size_t size, uint64_t value)
{
	size_t i;

	for (i = 0; i < size; i++)
		id[i] = i + 8 < size ? 0
				     : (uint8_t)(value >> 8 * (size - 1 - i));
}

static struct hs_model_trace *trace_new(uint64_t id)
{
	struct hs_model_trace *trace = hs_model_trace_new(NULL);

	assert_non_null(trace);
	id_set(trace->id, sizeof(trace->id), id);
	trace->resolution_ns = 1;
	return trace;
}

static uint32_t service(struct hs_model_trace *trace, const char *name)
{
	uint32_t i;

	for (i = 0; i < trace->nr_resources; i++) {
		if (hs_model_str_is(trace->resources[i]->service, name))
			return i;
	}
	assert_int_equal(hs_model_resource_add(trace, hs_model_str(name), &i),
			 0);
	return i;
}

/* A span of @start..@end; @parent 0 is none. */
static struct hs_model_span *span(struct hs_model_trace *trace, uint64_t id,
				  uint64_t parent, const char *where,
				  int64_t start_ns, int64_t end_ns)
{
	uint8_t bytes[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_ref *ref;
	struct hs_model_span *out;

	id_set(bytes, sizeof(bytes), id);
	assert_int_equal(
		hs_model_span_add(trace, bytes, service(trace, where), &out),
		0);
	out->start_ns = start_ns;
	out->duration_ns = end_ns - start_ns;
	if (parent) {
		id_set(bytes, sizeof(bytes), parent);
		assert_int_equal(hs_model_span_add_ref(trace, out,
						       HS_MODEL_REF_CHILD_OF,
						       trace->id, bytes, &ref),
				 0);
		hs_model_span_derive_parent(trace, out);
	}
	return out;
}

static void commit(struct world *w, struct hs_model_trace *trace)
{
	uint64_t merged;

	assert_int_equal(hs_model_set_commit(&w->set, trace,
					     HS_MODEL_MERGE_REFUSE, &merged),
			 HS_MODEL_SET_ADDED);
}

static void plan(struct world *w, uint32_t nr_nodes, const char *rule)
{
	char error[256];

	w->plan.set = &w->set;
	w->plan.nr_nodes = nr_nodes;
	w->plan.seed = 7;
	if (rule) {
		assert_int_equal(hs_replay_rule_parse(rule, &w->plan.rules[0],
						      error, sizeof(error)),
				 0);
		w->plan.nr_rules = 1;
	}
	assert_int_equal(hs_replay_plan_make(&w->plan), 0);
}

/* What is true of every plan, of every trace. */

static void check_fragment(const struct hs_replay_plan *p, uint32_t index)
{
	const struct hs_replay_fragment *f = &p->fragments[index];
	uint8_t *started = calloc(f->nr_spans + 1, 1);
	uint8_t *ended = calloc(f->nr_spans + 1, 1);
	uint8_t *called = calloc(f->nr_calls + 1, 1);
	uint32_t i, nr_replies = 0, nr_calls = 0;

	for (i = 0; i < f->nr_steps; i++) {
		const struct hs_replay_step *s = &p->steps[f->first_step + i];

		assert_true(s->span < f->nr_spans);
		switch (s->type) {
		case HS_REPLAY_STEP_START:
			assert_false(started[s->span]);
			started[s->span] = 1;
			break;
		case HS_REPLAY_STEP_EVENT:
			assert_true(started[s->span] && !ended[s->span]);
			break;
		case HS_REPLAY_STEP_END:
			assert_true(started[s->span] && !ended[s->span]);
			ended[s->span] = 1;
			break;
		case HS_REPLAY_STEP_CALL:
			assert_true(started[s->span]);
			assert_int_equal(p->fragments[s->arg].caller, index);
			assert_int_not_equal(p->fragments[s->arg].node,
					     f->node);
			called[p->fragments[s->arg].nth] = 1;
			nr_calls++;
			break;
		case HS_REPLAY_STEP_AWAIT:
			assert_true(called[p->fragments[s->arg].nth]);
			break;
		case HS_REPLAY_STEP_REPLY:
			assert_true(ended[s->span]);
			nr_replies++;
			break;
		default:
			assert_true(s->arg < p->nr_rules);
		}
	}
	for (i = 0; i < f->nr_spans; i++)
		assert_true(ended[i]);
	assert_int_equal(nr_replies, 1);
	assert_int_equal(nr_calls, f->nr_calls);
	free(started);
	free(ended);
	free(called);
}

static void check_plan(const struct world *w)
{
	const struct hs_replay_plan *p = &w->plan;
	uint32_t i, j, nr_spans = 0;

	for (i = 0; i < w->set.nr_traces; i++) {
		const struct hs_replay_trace *t = &p->traces[i];
		const struct hs_model_trace *trace = w->set.traces[i];
		uint8_t *there = calloc(trace->nr_spans + 1, 1);

		for (j = 0; j < t->nr_fragments; j++) {
			const struct hs_replay_fragment *f =
				&p->fragments[t->first_fragment + j];
			uint32_t k;

			assert_int_equal(f->trace, i);
			/* One request: all but the first are called. */
			if (j)
				assert_in_range(f->caller, t->first_fragment,
						t->first_fragment + j - 1);
			else
				assert_int_equal(f->caller, HS_REPLAY_NONE);
			for (k = 0; k < f->nr_spans; k++) {
				uint32_t s = p->spans[f->first_span + k];

				assert_false(there[s]);
				there[s] = 1;
				nr_spans++;
			}
			check_fragment(p, t->first_fragment + j);
		}
		for (j = 0; j < trace->nr_spans; j++)
			assert_true(there[j]);
		free(there);
	}
	assert_int_equal(nr_spans, p->nr_spans);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	hs_model_set_init(&w->set);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hs_replay_plan_free(&w->plan);
	hs_model_set_destroy(&w->set);
	free(w);
	return 0;
}

/* Steps of a fragment as letters: Start, event, Call, Await, End, Reply. */
static void steps_text(const struct hs_replay_plan *p, uint32_t fragment,
		       char *out)
{
	static const char letters[] = "SeCAERF";
	const struct hs_replay_fragment *f = &p->fragments[fragment];
	uint32_t i;

	for (i = 0; i < f->nr_steps; i++)
		*out++ = letters[p->steps[f->first_step + i].type];
	*out = 0;
}

static void test_call_and_reply(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);
	char text[64];

	span(t, 1, 0, "a", 0, 100);
	span(t, 2, 1, "b", 10, 50);
	span(t, 3, 1, "a", 20, 30);
	commit(w, t);
	plan(w, 2, NULL);
	check_plan(w);
	assert_int_equal(w->plan.nr_fragments, 2);
	steps_text(&w->plan, 0, text);
	assert_string_equal(text, "SCSEAER");
	steps_text(&w->plan, 1, text);
	assert_string_equal(text, "SER");
}

/* A callee that ends after its caller is not waited for. */
static void test_child_outlives_parent(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);
	char text[64];

	span(t, 1, 0, "a", 0, 10);
	span(t, 2, 1, "b", 5, 50);
	span(t, 3, 1, "a", 8, 60);
	commit(w, t);
	plan(w, 2, NULL);
	check_plan(w);
	steps_text(&w->plan, 0, text);
	assert_string_equal(text, "SCSERE");
}

/* The child's clock says that it began before its parent called. */
static void test_cause_beats_clock(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);
	char text[64];

	span(t, 2, 1, "b", 3, 50);
	span(t, 1, 0, "a", 10, 60);
	commit(w, t);
	plan(w, 2, NULL);
	check_plan(w);
	assert_int_equal(w->plan.fragments[0].node, 0);
	steps_text(&w->plan, 0, text);
	assert_string_equal(text, "SCAER");
}

static void test_cycle(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);

	span(t, 1, 3, "a", 10, 100);
	span(t, 2, 1, "b", 5, 50);
	span(t, 3, 2, "c", 20, 30);
	span(t, 4, 4, "c", 20, 30);
	commit(w, t);
	plan(w, 3, NULL);
	check_plan(w);
	/* The earliest span leads. */
	assert_int_equal(w->plan.fragments[0].node, 1);
}

static void test_missing_root(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);

	span(t, 1, 99, "a", 10, 100);
	span(t, 2, 98, "b", 5, 50);
	span(t, 3, 0, "c", 20, 30);
	commit(w, t);
	plan(w, 3, NULL);
	check_plan(w);
	assert_int_equal(w->plan.nr_fragments, 3);
}

/* Client and server share an id: what follows hangs on the server. */
static void test_shared_span_id(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);
	struct hs_model_span *s;

	span(t, 1, 0, "a", 0, 100);
	s = span(t, 2, 1, "a", 10, 90);
	s->kind = HS_MODEL_KIND_CLIENT;
	s = span(t, 2, 1, "b", 20, 80);
	s->kind = HS_MODEL_KIND_SERVER;
	span(t, 3, 2, "b", 30, 40);
	commit(w, t);
	plan(w, 2, NULL);
	check_plan(w);
	assert_int_equal(w->plan.nr_fragments, 2);
	assert_int_equal(w->plan.fragments[1].nr_spans, 2);
}

static void test_fan_out(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);
	char name[16];
	uint32_t i;

	for (i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "s%02u", i);
		span(t, i + 1, i ? 1 : 0, name, i, 100 - i);
	}
	commit(w, t);
	plan(w, 16, NULL);
	check_plan(w);
	assert_int_equal(w->plan.nr_fragments, 16);
	for (i = 0; i < 16; i++)
		assert_int_equal(w->plan.nr_node_spans[i], 1);
}

static void fill_traces(struct world *w, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		struct hs_model_trace *t = trace_new(i + 1);

		span(t, 1, 0, "a", i * 1000000, i * 1000000 + 1000 + i);
		commit(w, t);
	}
}

static void test_slow_is_strictly_above(void **state)
{
	struct world *w = *state;
	uint32_t i;

	fill_traces(w, 1000);
	plan(w, 1, "slow=p99");
	check_plan(w);
	assert_int_equal(w->plan.nr_triggered, 10);
	for (i = 0; i < 1000; i++)
		assert_int_equal(w->plan.traces[i].rules, i >= 990);
}

static void test_share_is_seeded(void **state)
{
	struct world *w = *state;
	struct hs_replay_plan other = {0};
	uint32_t i, nr_same = 0;

	fill_traces(w, 1000);
	plan(w, 1, "share=0.1");
	assert_in_range(w->plan.nr_triggered, 60, 140);
	other.set = &w->set;
	other.nr_nodes = 1;
	other.seed = 8;
	other.nr_rules = 1;
	other.rules[0].value = 0.1;
	assert_int_equal(hs_replay_plan_make(&other), 0);
	for (i = 0; i < 1000; i++)
		nr_same += w->plan.traces[i].rules && other.traces[i].rules;
	assert_in_range(nr_same, 0, 40);
	hs_replay_plan_free(&other);
}

static void test_share_of_all(void **state)
{
	struct world *w = *state;

	fill_traces(w, 100);
	plan(w, 1, "share=1");
	assert_int_equal(w->plan.nr_triggered, 100);
}

/* An error fires where it was seen, once a node. */
static void test_error_fires_at_its_node(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t = trace_new(1);
	char text[64];

	span(t, 1, 0, "a", 0, 100);
	span(t, 2, 1, "b", 10, 50)->status = HS_MODEL_STATUS_ERROR;
	span(t, 3, 2, "b", 20, 30)->status = HS_MODEL_STATUS_ERROR;
	commit(w, t);
	plan(w, 2, "error");
	check_plan(w);
	steps_text(&w->plan, 0, text);
	assert_null(strchr(text, 'F'));
	steps_text(&w->plan, 1, text);
	assert_string_equal(text, "SSEEFR");
}

static void test_gaps(void **state)
{
	struct world *w = *state;
	struct hs_model_trace *t;

	t = trace_new(1);
	span(t, 1, 0, "a", 0, 5000000000);
	commit(w, t);
	t = trace_new(2);
	span(t, 1, 0, "a", 6000000000, 7000000000);
	commit(w, t);
	t = trace_new(3);
	span(t, 1, 0, "a", 107000000000, 108000000000);
	commit(w, t);
	plan(w, 1, NULL);
	assert_int_equal(w->plan.nr_gaps_cut, 1);
	assert_int_equal(w->plan.traces[1].arrival_ns, 6000000000);
	assert_int_equal(w->plan.traces[2].arrival_ns, 9000000000);
}

static void test_rules_refused(void **state)
{
	static const char *const bad[] = {
		"share=0",   "share=1.1", "share=",   "share=x",
		"slow=p100", "slow=p0",	  "slow=99",  "errors",
		"",	     "share=nan", "slow=p9x",
	};
	struct hs_replay_rule rule;
	char error[256];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error[0] = 0;
		assert_int_not_equal(hs_replay_rule_parse(bad[i], &rule, error,
							  sizeof(error)),
				     0);
		assert_non_null(strchr(error, '\''));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_call_and_reply),
		TEST(test_child_outlives_parent),
		TEST(test_cause_beats_clock),
		TEST(test_cycle),
		TEST(test_missing_root),
		TEST(test_shared_span_id),
		TEST(test_fan_out),
		TEST(test_slow_is_strictly_above),
		TEST(test_share_is_seeded),
		TEST(test_share_of_all),
		TEST(test_error_fires_at_its_node),
		TEST(test_gaps),
		TEST(test_rules_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

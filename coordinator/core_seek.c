/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_seek.c - the second source of nodes: "do you know these traces?"
 *
 * Where crumbs led nowhere, or somebody who had some cannot say them, a
 * question goes to a bounded number of nodes, once in a trace's life, about as
 * many traces at a time as want one, within a budget of messages. Whoever is
 * found is asked as if a crumb had named it. The manifest says how many nodes
 * were asked, and whether that was everybody and all of them answered.
 */
#include <errno.h>
#include <string.h>

#include "base/planted.h"
#include "base/reached.h"
#include "coordinator/core_internal.h"
#include "rdma/wire.h"

#define NS_PER_S 1000000000ull
#define SEEK	 HS_COORD_LINK(&c->traces, struct hs_coord_trace, seek_link)
/* Their crumbs are not all there any more, or never came. */
#define FLAGS_CRUMBS_GONE                                                      \
	(HS_WIRE_F_EVICTED | HS_WIRE_F_LOST | HS_WIRE_F_CRASHED | HS_WIRE_F_CUT)

static bool knows(const struct hs_coord_visit *visit)
{
	return visit->state == HS_COORD_VISIT_ANSWERED &&
	       (visit->told == HS_WIRE_STATE_OPEN ||
		visit->told == HS_WIRE_STATE_CLOSED);
}

bool hs_coord_seek_wanted(const struct hs_coord_core *c, uint32_t t)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);
	bool anybody = false;

	if (c->config.seek_never || trace->seek != HS_COORD_SEEK_NONE)
		return false;
	for (uint32_t v = trace->visits; v; v = hs_coord_visit(c, v)->next) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);

		anybody |= knows(visit);
		if ((visit->elsewhere && !visit->named) ||
		    hs_coord_ahead_idle(visit))
			continue;
		if (!knows(visit) || (visit->flags & FLAGS_CRUMBS_GONE) ||
		    visit->cut)
			return true;
	}
	return !anybody;
}

/* It was told from outside, and may have nothing to do with the trace. */
void hs_coord_fired_elsewhere(struct hs_coord_core *c, uint32_t t,
			      uint64_t node)
{
	uint32_t v = hs_coord_visit_find(c, t, node);

	if (!v)
		return;
	hs_coord_visit(c, v)->elsewhere = true;
	hs_coord_trace(c, t)->elsewhere = true;
}

void hs_coord_seek_begin(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	HS_REACHED(HS_MACHINE_SEEK, trace->seek, HS_COORD_SEEK_QUEUED);
	trace->seek = HS_COORD_SEEK_QUEUED;
	trace->seek_ns = c->now_ns;
	hs_coord_list_push(&c->seeks, SEEK, t);
	c->stats.nr_seeks++;
	hs_coord_step(c, t, HS_COORD_ASKED);
}

static void trace_done(struct hs_coord_core *c, uint32_t t, uint32_t nr_asked,
		       bool part)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	if (nr_asked > HS_WIRE_SOUGHT_MAX)
		nr_asked = HS_WIRE_SOUGHT_MAX;
	HS_REACHED(HS_MACHINE_SEEK, trace->seek, HS_COORD_SEEK_DONE);
	trace->seek = HS_COORD_SEEK_DONE;
	trace->sought = (uint16_t)(nr_asked | (part ? HS_WIRE_SOUGHT_PART : 0));
	c->stats.nr_seeks--;
	c->stats.seeks_part += part;
	hs_coord_changed(c, t);
	hs_coord_review(c, t);
}

static void question_end(struct hs_coord_core *c, struct hs_coord_question *q)
{
	uint32_t nr = q->nr_traces;

	q->id = 0;
	c->nr_questions--;
	for (uint32_t i = 0; i < nr; i++)
		trace_done(c, q->traces[i], q->nr_asked,
			   (q->part || q->nr_left) && !HS_PLANTED(26));
}

static bool is_silent(const struct hs_coord_question *q, uint32_t m)
{
	return q->silent[m / 64] >> (m % 64) & 1;
}

static void silent_drop(struct hs_coord_question *q, uint32_t m)
{
	q->silent[m / 64] &= ~(1ull << m % 64);
	q->nr_left--;
}

static bool send_seek(struct hs_coord_core *c,
		      const struct hs_coord_question *q, uint32_t m)
{
	struct hs_wire_writer w =
		hs_wire_writer_make(c->out, HS_WIRE_PAYLOAD_MAX_BYTES);
	struct hs_wire_seek head = {.question = q->id, .nr = q->nr_traces};

	hs_wire_put(&w, &head, sizeof(head));
	for (uint32_t i = 0; i < q->nr_traces; i++)
		hs_wire_put(&w, &hs_coord_trace(c, q->traces[i])->id,
			    sizeof(struct hs_wire_trace_id));
	c->seek_even_ns += NS_PER_S / c->config.seek_per_s;
	if (!c->ops->send_node(c->ctx, hs_coord_member(c, m)->up, HS_WIRE_SEEK,
			       c->out, (uint32_t)w.used_bytes))
		return false;
	c->stats.seeks_sent++;
	c->stats.seeks_asked += q->nr_traces;
	return true;
}

static void again_at(struct hs_coord_core *c, struct hs_coord_question *q)
{
	uint64_t wait = c->config.retry_ns << q->nr_tries;

	q->nr_tries++;
	q->next_ns = c->now_ns + wait;
}

/* To everybody who is up, or to as many as it may be, beginning where the last
 * one ended, so that nobody is left out each time. */
static void ask_all(struct hs_coord_core *c, struct hs_coord_question *q)
{
	uint32_t m = c->seek_from;

	memset(q->silent, 0, (c->members.nr / 64 + 1) * sizeof(*q->silent));
	q->nr_asked = q->nr_left = 0;
	q->part = c->nr_known != c->nr_up ||
		  (!c->all_listed &&
		   c->now_ns - c->created_ns < c->config.seek_warm_ns);
	for (uint32_t n = 0; n < c->members.fresh; n++) {
		m = m % c->members.fresh + 1;
		if (!hs_coord_member(c, m)->up)
			continue;
		if (q->nr_asked == c->config.seek_nodes) {
			q->part = true;
			break;
		}
		c->seek_from = m;
		q->silent[m / 64] |= 1ull << m % 64;
		q->nr_asked++;
		q->nr_left++;
		/* Without room now: it is silent, and asked again. */
		(void)send_seek(c, q, m);
	}
	again_at(c, q);
}

static void ask_silent(struct hs_coord_core *c, struct hs_coord_question *q)
{
	for (uint32_t m = 1; m <= c->members.fresh; m++)
		if (is_silent(q, m) && hs_coord_member(c, m)->up)
			(void)send_seek(c, q, m);
	again_at(c, q);
}

/* What one question costs at most has to be in the budget. */
static bool in_budget(struct hs_coord_core *c)
{
	uint64_t burst = NS_PER_S / c->config.seek_per_s * c->config.seek_nodes;

	if (c->seek_even_ns + burst < c->now_ns)
		c->seek_even_ns = c->now_ns - burst;
	return c->seek_even_ns <= c->now_ns;
}

static struct hs_coord_question *question_free(struct hs_coord_core *c)
{
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		if (!c->questions[i].id)
			return &c->questions[i];
	return NULL;
}

static void ask(struct hs_coord_core *c, struct hs_coord_question *q)
{
	q->id = ++c->next_question;
	c->nr_questions++;
	q->deadline_ns = c->now_ns + c->config.seek_after_ns;
	q->nr_tries = 0;
	q->nr_traces = 0;
	while (c->seeks.head && q->nr_traces < HS_WIRE_SEEK_MAX) {
		uint32_t t = c->seeks.head;

		hs_coord_list_drop(&c->seeks, SEEK, t);
		HS_REACHED(HS_MACHINE_SEEK, hs_coord_trace(c, t)->seek,
			   HS_COORD_SEEK_ASKED);
		hs_coord_trace(c, t)->seek = HS_COORD_SEEK_ASKED;
		q->traces[q->nr_traces++] = t;
	}
	c->stats.questions++;
	ask_all(c, q);
	if (!q->nr_left)
		question_end(c, q);
}

/* The budget or the number of questions did not let it go in time. */
static void give_up(struct hs_coord_core *c)
{
	while (c->seeks.head && hs_coord_trace(c, c->seeks.head)->seek_ns +
						c->config.seek_after_ns <=
					c->now_ns) {
		uint32_t t = c->seeks.head;

		hs_coord_list_drop(&c->seeks, SEEK, t);
		c->stats.seeks_refused++;
		trace_done(c, t, 0, true);
	}
}

void hs_coord_seek_run(struct hs_coord_core *c)
{
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++) {
		struct hs_coord_question *q = &c->questions[i];

		if (!q->id)
			continue;
		if (!q->nr_left || q->deadline_ns <= c->now_ns)
			question_end(c, q);
		else if (q->next_ns <= c->now_ns)
			ask_silent(c, q);
	}
	while (c->seeks.head && hs_coord_trace(c, c->seeks.head)->seek_ns +
						c->config.seek_batch_ns <=
					c->now_ns) {
		struct hs_coord_question *q = question_free(c);

		if (!q || !in_budget(c)) {
			c->stats.seeks_deferred++;
			break;
		}
		ask(c, q);
	}
	give_up(c);
}

/* When the oldest that waits can go: behind the budget when that is even, and
 * behind other questions when one of them ends, which is an event of its own.
 * At the latest it is given up. */
static uint64_t queued_next_ns(const struct hs_coord_core *c)
{
	uint64_t since_ns = hs_coord_trace(c, c->seeks.head)->seek_ns;
	uint64_t goes_ns = since_ns + c->config.seek_batch_ns;
	uint64_t ends_ns = since_ns + c->config.seek_after_ns;

	if (c->nr_questions == HS_COORD_QUESTIONS_MAX)
		return ends_ns;
	if (goes_ns < c->seek_even_ns)
		goes_ns = c->seek_even_ns;
	return goes_ns < ends_ns ? goes_ns : ends_ns;
}

uint64_t hs_coord_seek_next_ns(const struct hs_coord_core *c)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++) {
		const struct hs_coord_question *q = &c->questions[i];

		if (q->id && q->deadline_ns < next)
			next = q->deadline_ns;
		if (q->id && q->next_ns < next)
			next = q->next_ns;
	}
	if (c->seeks.head) {
		uint64_t at = queued_next_ns(c);

		next = at < next ? at : next;
	}
	return next;
}

int hs_coord_seek_found(struct hs_coord_core *c, uint64_t from,
			const void *payload, uint32_t payload_bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_trace_id *ids;
	const struct hs_wire_seek *found = hs_wire_take_seek(&r, &ids);
	uint32_t m = hs_coord_member_find(c, from);

	if (!found || !hs_wire_done(&r))
		return -EBADMSG;
	for (uint32_t i = 0; i < found->nr; i++) {
		uint32_t t = hs_coord_trace_find(c, &ids[i]);
		uint32_t v = t ? hs_coord_visit_find(c, t, from) : 0;

		/* Late is welcome; unasked is not. */
		if (!t || hs_coord_trace(c, t)->seek < HS_COORD_SEEK_ASKED ||
		    (v && !hs_coord_visit(c, v)->hinted))
			continue;
		if (v)
			hs_coord_ahead_found(c, t, v);
		else
			hs_coord_want_found(c, t, from);
		hs_coord_review(c, t);
	}
	for (uint32_t i = 0; m && i < HS_COORD_QUESTIONS_MAX; i++) {
		struct hs_coord_question *q = &c->questions[i];

		if (q->id != found->question || !q->id || !is_silent(q, m))
			continue;
		silent_drop(q, m);
		if (!q->nr_left)
			question_end(c, q);
	}
	return 0;
}

/* Its place may soon be another's. */
void hs_coord_seek_member_down(struct hs_coord_core *c, uint32_t m)
{
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++) {
		struct hs_coord_question *q = &c->questions[i];

		if (!q->id || !is_silent(q, m))
			continue;
		silent_drop(q, m);
		q->part = true;
	}
}

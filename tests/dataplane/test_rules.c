/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules evaluated at span ends: what fires, what does not, what a change of the
 * table does, what nonsense does.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/rules.h"
#include "hs/autotrigger.h"
#include "dataplane/rules_shared.h"
#include "harness.h"

#define MS 1000000ull

static struct fake_agent agent;
static struct hs_shm_rules table;
static uint64_t seq;

static int attach(void **state)
{
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 1, 64);
	memset(&table, 0, sizeof(table));
	table.version = HS_SHM_RULES_VERSION;
	return 0;
}

static int detach(void **state)
{
	harness_detach(&agent);
	return 0;
}

static struct hs_shm_rule *rule(const char *trigger)
{
	struct hs_shm_rule *r = &table.rules[table.nr_rules];

	memset(r, 0, sizeof(*r));
	snprintf(r->trigger, sizeof(r->trigger), "%s", trigger);
	r->statuses = HS_SHM_STATUSES_ALL;
	r->slot = (uint8_t)table.nr_rules++;
	return r;
}

static uint64_t test_of(const char *key, enum hs_shm_test_op op,
			const char *text, double number)
{
	struct hs_shm_test *t = &table.tests[table.nr_tests];

	memset(t, 0, sizeof(*t));
	snprintf(t->key, sizeof(t->key), "%s", key);
	t->op = (uint8_t)op;
	t->numeric = !text;
	t->number = number;
	snprintf(t->text, sizeof(t->text), "%s", text ? text : "");
	return 1ull << table.nr_tests++;
}

static void publish(void)
{
	seq += 2;
	hs_rules_shared_write(fake_agent_rules(&agent), &table, seq);
	hs_client_poll();
}

static uint64_t fired(uint32_t slot)
{
	return fake_agent_watch(&agent)->fired[slot];
}

struct what {
	const char *name;
	uint64_t ms;
	enum hs_span_status status;
	struct hs_attr attr; /* key NULL: none */
};

/* A span in a trace of its own. */
static struct hs_trace_id span(const struct what *w)
{
	struct hs_trace *t = hs_trace_begin(NULL, NULL);
	struct hs_trace_id id = hs_trace_id_get(t);
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = w->name,
		.has_start = true,
		.start_ns = 1000 * MS,
	};
	struct hs_span s;

	hs_span_start_args(t, &s, &args);
	if (w->attr.key)
		hs_span_attr(&s, &w->attr);
	if (w->status)
		hs_span_status(&s, w->status, NULL);
	hs_span_end_at(&s, 1000 * MS + w->ms * MS);
	hs_trace_end(t);
	fake_agent_drain(&agent);
	return id;
}

static struct hs_attr i64(const char *key, int64_t v)
{
	return (struct hs_attr){
		.key = key, .type = HS_VALUE_INT64, .value.i64 = v};
}

static struct hs_attr str(const char *key, const char *v)
{
	return (struct hs_attr){.key = key,
				.type = HS_VALUE_STRING,
				.value.bytes = {v, strlen(v)}};
}

static void test_status_and_duration(void **state)
{
	rule("failed")->statuses = 1u << HS_SPAN_STATUS_ERROR;
	rule("slow")->min_ns = 250 * MS;
	publish();
	span(&(struct what){"op", 1, 0, {0}});
	assert_int_equal(fired(0) + fired(1), 0);
	struct hs_trace_id id =
		span(&(struct what){"op", 1, HS_SPAN_STATUS_ERROR, {0}});
	const struct hs_shm_entry *e =
		fake_agent_entry(&agent, HS_SHM_ENTRY_TRIGGER, 0);
	assert_non_null(e);
	assert_true(e->trace_hi == id.hi && e->trace_lo == id.lo);
	assert_string_equal(fake_agent_up(&agent)->triggers[e->u.arg].name,
			    "failed");
	span(&(struct what){"op", 249, HS_SPAN_STATUS_OK, {0}});
	assert_int_equal(fired(1), 0);
	span(&(struct what){"op", 250, HS_SPAN_STATUS_OK, {0}});
	assert_int_equal(fired(0), 1);
	assert_int_equal(fired(1), 1);
	/* "error" is a status where there is none. */
	span(&(struct what){"op", 1, 0, str("error", "boom")});
	assert_int_equal(fired(0), 2);
	span(&(struct what){"op", 1, 0, str("error", "false")});
	span(&(struct what){"op", 1, HS_SPAN_STATUS_OK, str("error", "boom")});
	assert_int_equal(fired(0), 2);
}

/* The least of several durations is no other's. */
static void test_durations(void **state)
{
	rule("slow")->min_ns = 250 * MS;
	rule("slower")->min_ns = 500 * MS;
	rule("slowish")->min_ns = 100 * MS;
	publish();
	span(&(struct what){"op", 99, 0, {0}});
	assert_int_equal(fired(0) + fired(1) + fired(2), 0);
	span(&(struct what){"op", 100, 0, {0}});
	assert_int_equal(fired(0) + fired(1), 0);
	assert_int_equal(fired(2), 1);
	span(&(struct what){"op", 300, 0, {0}});
	assert_int_equal(fired(0), 1);
	assert_int_equal(fired(1), 0);
	assert_int_equal(fired(2), 2);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool fits;
	} cases[] = {
		{"", "anything", true},
		{"*", "", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "ab", true},
		{"*b", "ab", true},
		{"a*c*e", "abcde", true},
		{"a*c*e", "abde", false},
		{"*aab", "aaaaaab", true},
		{"GET /*", "GET /x", true},
		{"GET /*", "POST /x", false},
		{"**", "x", true},
		{"x*", "", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(
			hs_rules_match(cases[i].pattern, cases[i].text),
			cases[i].fits);
	strcpy(rule("get")->operation, "GET *");
	strcpy(rule("svc")->service, "s*c");
	strcpy(rule("other")->service, "x*");
	publish();
	span(&(struct what){"GET /a", 1, 0, {0}});
	span(&(struct what){"PUT /a", 1, 0, {0}});
	assert_int_equal(fired(0), 1);
	assert_int_equal(fired(1), 2);
	assert_int_equal(fired(2), 0);
}

static void test_attributes(void **state)
{
	rule("five")->tests =
		test_of("http.status_code", HS_SHM_TEST_AT_LEAST, NULL, 500);
	rule("is")->tests = test_of("tier", HS_SHM_TEST_EQUAL, "gold", 0);
	rule("not")->tests = test_of("tier", HS_SHM_TEST_NOT_EQUAL, "gold", 0);
	rule("there")->tests = test_of("retry", HS_SHM_TEST_EXISTS, "", 0);
	rule("both")->tests = 1 | 2;
	rule("before")->tests = test_of("tier", HS_SHM_TEST_LESS, "h", 0);
	publish();
	span(&(struct what){"op", 1, 0, i64("http.status_code", 499)});
	assert_int_equal(fired(0), 0);
	span(&(struct what){"op", 1, 0, i64("http.status_code", 500)});
	span(&(struct what){"op", 1, 0, str("http.status_code", "503")});
	assert_int_equal(fired(0), 2);
	span(&(struct what){"op", 1, 0, str("http.status_code", "50x")});
	assert_int_equal(fired(0), 2);
	span(&(struct what){"op", 1, 0, str("tier", "gold")});
	assert_int_equal(fired(1), 1);
	assert_int_equal(fired(2), 0);
	assert_int_equal(fired(5), 1);
	span(&(struct what){"op", 1, 0, str("tier", "silver")});
	assert_int_equal(fired(2), 1);
	assert_int_equal(fired(5), 1);
	span(&(struct what){"op", 1, 0, i64("retry", 0)});
	assert_int_equal(fired(3), 1);
	assert_int_equal(fired(4), 0);
}

/* Typed calls, in one pass and the long way, and what is written twice. */
static void test_attribute_calls(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	rule("both")->tests = test_of("code", HS_SHM_TEST_EQUAL, NULL, 7) |
			      test_of("flag", HS_SHM_TEST_EQUAL, "true", 0) |
			      test_of("part", HS_SHM_TEST_MORE, NULL, 0.5) |
			      test_of("who", HS_SHM_TEST_EQUAL, "me", 0);
	publish();
	for (uint64_t clock = 0; clock < 2; clock++) {
		fake_agent_calibrate(&agent, clock, 0, 0);
		hs_client_poll();
		t = hs_trace_begin(NULL, NULL);
		hs_span_start(t, &s, "op", 0);
		hs_span_attr_i64(&s, "code", 7);
		hs_span_attr_bool(&s, "flag", true);
		hs_span_attr_f64(&s, "part", 0.6);
		hs_span_attr_str(&s, "who", "me");
		hs_span_end(&s);
		hs_span_end(&s);
		assert_int_equal(fired(0), clock + 1);
		hs_trace_end(t);
		t = hs_trace_begin(NULL, NULL);
		hs_span_start(t, &s, "op", 0);
		hs_span_attr_i64(&s, "code", 7);
		hs_span_attr_bool(&s, "flag", true);
		hs_span_attr_f64(&s, "part", 0.6);
		hs_span_attr_str(&s, "who", "me");
		hs_span_attr_str(&s, "who", "you");
		hs_span_end(&s);
		assert_int_equal(fired(0), clock + 1);
		hs_trace_end(t);
	}
}

/* Spans of which little is said, in ticks: they end the shortest way, or would
 * if that were all. */
static void test_shortest_ends(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 1, 0, 0);
	rule("failed")->statuses = 1u << HS_SPAN_STATUS_ERROR;
	rule("slow")->min_ns = 250 * MS;
	publish();
	t = hs_trace_begin(NULL, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		hs_span_start(t, &s, "op", 0);
		hs_span_end(&s);
		assert_int_equal(t->w.open, 1);
	}
	assert_int_equal(fired(0) + fired(1), 0);
	hs_span_start(t, &s, "op", 0);
	s.start -= 1ull << 40;
	hs_span_end(&s);
	assert_int_equal(fired(1), 1);
	assert_int_equal(fired(0), 0);
	hs_span_start(t, &s, "op", 0);
	hs_span_status(&s, HS_SPAN_STATUS_ERROR, NULL);
	hs_span_end(&s);
	assert_int_equal(fired(0), 1);
	snprintf(rule("named")->operation, sizeof(table.rules[0].operation),
		 "named");
	publish();
	hs_span_start(t, &s, "op", 0);
	hs_span_end(&s);
	assert_int_equal(fired(2), 0);
	hs_span_start(t, &s, "named", 0);
	hs_span_end(&s);
	assert_int_equal(fired(2), 1);
	hs_trace_end(t);
}

/* A key of our own that stands in the buffer already, and rules that change
 * amid a span: what was met before they did is not held against them. */
static void test_shortest_asked(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 1, 0, 0);
	rule("code")->tests =
		test_of("our.code", HS_SHM_TEST_AT_LEAST, NULL, 9);
	publish();
	t = hs_trace_begin(NULL, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		hs_span_start(t, &s, "op", 0);
		hs_span_attr_i64(&s, "our.code", i < 2 ? 8 : 9);
		if (i == 2)
			publish();
		hs_span_end(&s);
		assert_int_equal(fired(0), i == 3);
	}
	hs_trace_end(t);
}

/* The same where more is said of the span by the new ones, whose first test is
 * another. */
static void test_shortest_asked_anew(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 1, 0, 0);
	rule("code")->tests =
		test_of("our.code", HS_SHM_TEST_AT_LEAST, NULL, 9);
	publish();
	t = hs_trace_begin(NULL, NULL);
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_i64(&s, "http.status_code", 1);
	hs_span_attr_i64(&s, "our.code", 9);
	table.nr_tests = 0;
	test_of("another.code", HS_SHM_TEST_AT_LEAST, NULL, 9);
	rule("status")->tests =
		test_of("http.status_code", HS_SHM_TEST_AT_LEAST, NULL, 500);
	publish();
	hs_span_attr_i64(&s, "http.status_code", 500);
	hs_span_end(&s);
	hs_trace_end(t);
	assert_int_equal(fired(0), 0);
	assert_int_equal(fired(1), 1);
}

/* Rules that come once a key is known. */
static void test_shortest_later(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	t = hs_trace_begin(NULL, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		if (i == 3) {
			rule("later")->tests = test_of(
				"later.code", HS_SHM_TEST_AT_LEAST, NULL, 9);
			publish();
		}
		hs_span_start(t, &s, "op", 0);
		hs_span_attr_i64(&s, "later.code", 9);
		hs_span_end(&s);
	}
	assert_int_equal(fired(0), 1);
	hs_trace_end(t);
}

/* The span of a trace that has ended says nothing in the one that has its
 * handle now. */
static void test_shortest_stale(void **state)
{
	struct hs_client_stats before, after;
	struct hs_trace *t, *next;
	struct hs_span stale, s;
	uint32_t pos;

	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	t = hs_trace_begin(NULL, NULL);
	hs_span_start(t, &stale, "op", 0);
	hs_trace_end(t);
	next = hs_trace_begin(NULL, NULL);
	assert_ptr_equal(next, t);
	for (int i = 0; i < 2; i++) {
		hs_span_start(next, &s, "op", 0);
		hs_span_attr_i64(&s, "http.status_code", 1);
	}
	assert_int_equal(next->w.open, 1);
	pos = next->w.pos;
	hs_client_stats_get(&before);
	hs_span_attr_i64(&stale, "http.status_code", 2);
	hs_span_event(&stale, "event", NULL, 0);
	hs_span_end(&stale);
	hs_client_stats_get(&after);
	assert_int_equal(next->w.pos, pos);
	assert_int_equal(after.calls_stale - before.calls_stale, 3);
	hs_trace_end(next);
}

/* What fails by an attribute fails, whatever way its span ends. */
static void test_shortest_error(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 1, 0, 0);
	rule("failed")->statuses = 1u << HS_SPAN_STATUS_ERROR;
	publish();
	t = hs_trace_begin(NULL, NULL);
	for (int error = 0; error < 2; error++) {
		hs_span_start(t, &s, "op", 0);
		hs_span_attr_bool(&s, "error", error);
		hs_span_end(&s);
		assert_int_equal(fired(0), error);
	}
	hs_trace_end(t);
}

static void test_once_a_handle(void **state)
{
	struct hs_context context;
	struct hs_trace *t;
	struct hs_span s;

	rule("all")->min_ns = 1;
	publish();
	t = hs_trace_begin(NULL, NULL);
	for (uint64_t i = 0; i < 3; i++) {
		struct hs_span_args args = {.size_bytes = sizeof(args),
					    .name = "op",
					    .has_start = true,
					    .start_ns = 5};

		hs_span_start_args(t, &s, &args);
		hs_span_end_at(&s, 10);
	}
	assert_int_equal(fired(0), 1);
	/* And what is called from here knows. */
	hs_context_inject(t, s.id, &context);
	assert_true(context.flags & HS_CONTEXT_F_TRIGGERED);
	hs_trace_end(t);
}

static void test_percentile(void **state)
{
	uint64_t x = 88172645463325252ull;
	uint32_t n = 60000;

	rule("p99")->percentile_ppm = 990000;
	publish();
	for (uint32_t i = 0; i < n; i++) {
		struct hs_span_args args = {.size_bytes = sizeof(args),
					    .name = i & 1 ? "a" : "b",
					    .has_start = true,
					    .start_ns = 5};
		struct hs_trace *t;
		struct hs_span s;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		t = hs_trace_begin(NULL, NULL);
		hs_span_start_args(t, &s, &args);
		/* One operation is a thousand times slower than the other. */
		hs_span_end_at(&s, 5 + (x % 1000000) * (i & 1 ? 1000 : 1));
		hs_trace_end(t);
		fake_agent_drain(&agent);
		agent.nr_entries = 0;
	}
	/* Each has its own hundredth. */
	assert_in_range(fired(0), n / 100 * 85 / 100, n / 100 * 115 / 100);
}

/* ---- an application's own ------------------------------------------------ */

static bool is_odd(void *context, const struct hs_auto_span *span)
{
	++*(uint32_t *)context;
	return span->duration_ns / MS % 2 && !strcmp(span->service, "svc") &&
	       !strcmp(span->name, "own") &&
	       span->status == HS_SPAN_STATUS_ERROR;
}

static void test_own(void **state)
{
	static uint32_t asked;
	struct hs_trigger *trigger = hs_trigger_define("odd");
	struct hs_trace *t;
	struct hs_span s;
	uint32_t before;

	assert_int_equal(hs_auto_span_watch(NULL, NULL, trigger), -EINVAL);
	assert_int_equal(hs_auto_span_watch(is_odd, &asked, trigger), 0);
	before = fake_agent_count(&agent, HS_SHM_ENTRY_TRIGGER);
	for (uint64_t ms = 0; ms < 10; ms++)
		span(&(struct what){"own", ms, HS_SPAN_STATUS_ERROR, {0}});
	span(&(struct what){"other", 1, HS_SPAN_STATUS_ERROR, {0}});
	assert_int_equal(asked, 11);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_TRIGGER),
			 before + 5);
	/* By ticks, of which nothing else is said. */
	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	t = hs_trace_begin(NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		hs_span_start(t, &s, "own", 0);
		hs_span_end(&s);
	}
	hs_trace_end(t);
	assert_int_equal(asked, 14);
	for (uint32_t i = 1; i < HS_AUTO_SPAN_MAX; i++)
		assert_int_equal(hs_auto_span_watch(is_odd, &asked, trigger),
				 0);
	assert_int_equal(hs_auto_span_watch(is_odd, &asked, trigger), -ENOSPC);
}

static void test_change(void **state)
{
	struct hs_trace *t;
	struct hs_span s;

	rule("one")->min_ns = 10 * MS;
	publish();
	span(&(struct what){"op", 20, 0, {0}});
	assert_int_equal(fired(0), 1);
	table.rules[0].min_ns = 30 * MS;
	publish();
	span(&(struct what){"op", 20, 0, {0}});
	assert_int_equal(fired(0), 1);
	assert_int_equal(fake_agent_watch(&agent)->rules_seq, seq);
	/* An attribute seen under another table does not count. */
	table.rules[0].min_ns = 0;
	table.rules[0].tests = test_of("k", HS_SHM_TEST_EXISTS, "", 0);
	publish();
	t = hs_trace_begin(NULL, NULL);
	hs_span_start(t, &s, "op", 0);
	hs_span_attr_i64(&s, "k", 1);
	publish();
	hs_span_end(&s);
	assert_int_equal(fired(0), 1);
	hs_trace_end(t);
	/* None at all. */
	table.nr_rules = 0;
	publish();
	assert_null(hs_rules_now());
}

static void test_nonsense(void **state)
{
	struct hs_shm_rules good;

	rule("fine")->min_ns = 1;
	publish();
	good = table;
	table.nr_rules = HS_SHM_RULES_MAX + 1;
	publish();
	assert_int_equal(fake_agent_watch(&agent)->rules_refused, 1);
	table = good;
	table.rules[0].slot = 64;
	publish();
	table = good;
	table.rules[0].tests = 2;
	publish();
	table = good;
	memset(table.rules[0].operation, 'x', sizeof(good.rules[0].operation));
	publish();
	table = good;
	table.rules[0].percentile_ppm = 1000000;
	publish();
	assert_int_equal(fake_agent_watch(&agent)->rules_refused, 5);
	/* The good one stayed. */
	span(&(struct what){"op", 1, 0, {0}});
	assert_int_equal(fired(0), 1);
	/* One that is being written is left for later. */
	fake_agent_rules(&agent)->seq = seq + 1;
	hs_client_poll();
	assert_int_equal(fake_agent_watch(&agent)->rules_refused, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, attach, detach)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status_and_duration),
		TEST(test_durations),
		TEST(test_patterns),
		TEST(test_attributes),
		TEST(test_attribute_calls),
		TEST(test_shortest_ends),
		TEST(test_shortest_error),
		TEST(test_shortest_asked),
		TEST(test_shortest_asked_anew),
		TEST(test_shortest_later),
		TEST(test_shortest_stale),
		TEST(test_once_a_handle),
		TEST(test_percentile),
		TEST(test_change),
		TEST(test_nonsense),
		TEST(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

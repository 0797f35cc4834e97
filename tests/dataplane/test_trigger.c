/* SPDX-License-Identifier: Apache-2.0 */
/* Triggers, crumbs, and how both travel between traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/peer.h"
#include "dataplane/trigger.h"
#include "harness.h"

#define OWN	0x0000000a00000001ull /* the fake agent's node */
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct hs_trace_id ID = {0x11, 0x22};
static struct fake_agent agent;

static int setup(void **state)
{
	struct hs_client_options options = {.trigger_rate_per_s = 5};

	harness_attach(&agent, NULL, &options);
	fake_agent_stock_all(&agent, 0, 20);
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

static void test_names(void **state)
{
	struct hs_trigger *a = hs_trigger_define("slow.p99");
	uint32_t nr = hs_peer_up_triggers(fake_agent_up(&agent));
	char name[40];

	assert_non_null(a);
	assert_ptr_equal(hs_trigger_define("slow.p99"), a);
	assert_int_equal(hs_peer_up_triggers(fake_agent_up(&agent)), nr);
	assert_string_equal(fake_agent_up(&agent)->triggers[nr - 1].name,
			    "slow.p99");
	assert_null(hs_trigger_define(NULL));
	assert_null(hs_trigger_define(""));
	assert_null(hs_trigger_define("a b"));
	assert_null(hs_trigger_define("0123456789012345678901234567890x"));
	assert_non_null(hs_trigger_define("012345678901234567890123456789x"));
	/* A new attachment is told all of them. */
	fake_agent_renew(&agent);
	hs_client_poll();
	harness_settle(&agent);
	assert_true(hs_peer_up_ready(fake_agent_up(&agent)));
	assert_int_equal(hs_peer_up_triggers(fake_agent_up(&agent)), nr + 1);
	assert_string_equal(fake_agent_up(&agent)->triggers[nr - 1].name,
			    "slow.p99");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		if (!hs_trigger_define(name))
			break;
	}
	assert_int_equal(hs_peer_up_triggers(fake_agent_up(&agent)), 64);
	assert_null(hs_trigger_define("one-too-many"));
}

static void test_fire(void **state)
{
	struct hs_trace_id lateral[33] = {{1, 1}, {2, 2}};
	struct hs_trigger *t = hs_trigger_define("slow.p99");
	struct hs_trace_id none = {0, 0};

	assert_true(hs_trigger_fire(t, &ID, lateral, 2));
	assert_false(hs_trigger_fire(t, &none, NULL, 0));
	assert_false(hs_trigger_fire(t, NULL, NULL, 0));
	assert_false(hs_trigger_fire(NULL, &ID, NULL, 0));
	assert_false(hs_trigger_fire(t, &ID, lateral, 33));
	assert_false(hs_trigger_fire(t, &ID, NULL, 1));
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 3);
	assert_int_equal(agent.entries[0].type, HS_SHM_ENTRY_TRIGGER);
	assert_int_equal(agent.entries[0].aux, 2);
	assert_int_equal(agent.entries[0].trace_lo, ID.lo);
	assert_string_equal(
		fake_agent_up(&agent)->triggers[agent.entries[0].u.arg].name,
		"slow.p99");
	assert_int_equal(agent.entries[2].type, HS_SHM_ENTRY_LATERAL);
	assert_int_equal(agent.entries[2].trace_hi, 2);
}

/* Under the test's own clock. */
static void test_bucket(void **state)
{
	const uint64_t second = 1000000000;
	uint64_t bucket = 0, now = 50 * second;
	int admitted = 0;

	for (int i = 0; i < 20; i++)
		admitted += hs_trigger_admit(&bucket, now, 5);
	assert_int_equal(admitted, 5);
	assert_false(hs_trigger_admit(&bucket, now + second / 5 - 1, 5));
	assert_true(hs_trigger_admit(&bucket, now + second / 5, 5));
	assert_false(hs_trigger_admit(&bucket, now + second / 5, 5));
	admitted = 0;
	for (int i = 0; i < 20; i++)
		admitted += hs_trigger_admit(&bucket, now + 60 * second, 5);
	assert_int_equal(admitted, 5);
	bucket = 0;
	assert_true(hs_trigger_admit(&bucket, now, 1));
	assert_false(hs_trigger_admit(&bucket, now, 1));
}

static void test_limited(void **state)
{
	struct hs_trigger *limited = hs_trigger_define("slow.p99");
	struct hs_trigger *other =
		hs_trigger_define("012345678901234567890123456789x");
	struct hs_client_stats counts;
	int fired = 0;

	for (int i = 0; i < 1000; i++)
		fired += hs_trigger_fire(limited, &ID, NULL, 0);
	hs_client_stats_get(&counts);
	assert_int_equal(counts.triggers_limited, 1000 - fired);
	/* The clock runs on, yet not so far that it were no limit. */
	assert_in_range(fired, 1, 900);
	assert_true(hs_trigger_fire(other, &ID, NULL, 0));
}

static void test_context_crumbs(void **state)
{
	struct hs_context in = {
		.trace_id = ID,
		.span_id = 8,
		.flags = HS_CONTEXT_F_TRIGGERED | HS_CONTEXT_F_SAMPLED,
		.trigger = 0xabcd,
		.nr_crumbs = 5,
		.crumbs = {70, OWN, 71, 70, 0},
	};
	struct hs_context out;
	struct hs_trace *t = hs_trace_begin(NULL, &in);

	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 3);
	assert_int_equal(agent.entries[0].type, HS_SHM_ENTRY_CRUMB);
	assert_int_equal(agent.entries[0].aux, HS_SHM_CRUMB_BACK);
	assert_int_equal(agent.entries[0].u.arg, 70);
	assert_int_equal(agent.entries[1].u.arg, 71);
	assert_int_equal(agent.entries[2].type, HS_SHM_ENTRY_CONTEXT_TRIGGER);
	assert_int_equal(agent.entries[2].u.arg, 0xabcd);
	hs_context_inject(t, 99, &out);
	assert_int_equal(out.trace_id.lo, ID.lo);
	assert_int_equal(out.flags, in.flags);
	assert_int_equal(out.trigger, 0xabcd);
	assert_int_equal(out.nr_crumbs, 3);
	assert_true(out.crumbs[0] == OWN && out.crumbs[1] == 70 &&
		    out.crumbs[2] == 71);
	hs_trace_end(t);
}

static void test_forward_and_reply(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_context reply, other;

	hs_context_forward(t, 80);
	hs_context_forward(t, 80);
	hs_context_forward(t, OWN);
	hs_context_forward(t, 0);
	hs_context_reply_inject(t, &reply);
	assert_int_equal(reply.nr_crumbs, 1);
	assert_int_equal(reply.crumbs[0], OWN);
	hs_context_reply_extract(t, &reply);
	reply.crumbs[0] = 81;
	other = reply;
	other.trace_id.lo++;
	hs_context_reply_extract(t, &other);
	hs_context_reply_extract(t, &reply);
	hs_context_reply_extract(t, &reply);
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 2);
	assert_int_equal(agent.entries[0].aux, HS_SHM_CRUMB_FORWARD);
	assert_int_equal(agent.entries[0].u.arg, 80);
	assert_int_equal(agent.entries[1].aux, HS_SHM_CRUMB_REPLY);
	assert_int_equal(agent.entries[1].u.arg, 81);
	assert_int_equal(hs_client_node(), OWN);
	hs_trace_end(t);
}

/* Told to coordinators as it is, which know who is there. */
static void test_forward_by_address(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	const uint8_t v4[4] = {10, 0, 0, 9}, v6[16] = {0xfd, [15] = 9};

	assert_int_equal(hs_context_address(v4, 4), 0x0a000009);
	assert_int_equal(hs_context_address(v6, 16) >> 32, 0);
	assert_int_not_equal(hs_context_address(v6, 16), 0);
	assert_int_equal(hs_context_address(NULL, 4), 0);
	assert_int_equal(hs_context_address(v6, 8), 0);
	hs_context_forward(t, hs_context_address(v4, 4));
	hs_context_forward(t, hs_context_address(v4, 5));
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 1);
	assert_int_equal(agent.entries[0].aux, HS_SHM_CRUMB_FORWARD);
	assert_int_equal(agent.entries[0].u.arg, 0x0a000009);
	hs_trace_end(t);
}

static void test_fire_marks_own_context(void **state)
{
	struct hs_trigger *t = hs_trigger_define("slow.p99");
	struct hs_context out;

	hs_thread_begin(&ID, NULL);
	hs_context_inject(NULL, 1, &out);
	assert_int_equal(out.flags & HS_CONTEXT_F_TRIGGERED, 0);
	while (!hs_trigger_fire(t, &ID, NULL, 0))
		;
	hs_context_inject(NULL, 1, &out);
	assert_int_equal(out.flags & HS_CONTEXT_F_TRIGGERED,
			 HS_CONTEXT_F_TRIGGERED);
	assert_int_equal(out.trigger, hs_trigger_hash("slow.p99"));
	hs_thread_end();
}

/* Over the rate nothing is fired, and no context says that something was. */
static void test_limited_marks_nothing(void **state)
{
	struct hs_trigger *t = hs_trigger_define("slow.p99");
	struct hs_context out;
	int fired = 0, limited = 0;

	/* Until both have been seen, which the clock sees to. */
	for (int i = 0; i < 200 || !fired || !limited; i++) {
		struct hs_trace_id id = {ID.hi, ID.lo + (uint64_t)i};
		bool did;

		hs_thread_begin(&id, NULL);
		did = hs_trigger_fire(t, &id, NULL, 0);
		hs_context_inject(NULL, 1, &out);
		assert_int_equal(!!(out.flags & HS_CONTEXT_F_TRIGGERED), did);
		hs_thread_end();
		fake_agent_drain(&agent);
		agent.nr_entries = 0;
		fired += did;
		limited += !did;
	}
}

static void test_hash(void **state)
{
	/* Known values of FNV-1a. */
	assert_int_equal(hs_trigger_hash(""), 0x811c9dc5);
	assert_int_equal(hs_trigger_hash("a"), 0xe40c292c);
	assert_int_equal(hs_trigger_hash("foobar"), 0xbf9cf968);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fire),
		T(test_bucket),
		T(test_context_crumbs),
		T(test_forward_and_reply),
		T(test_forward_by_address),
		T(test_names),
		T(test_limited),
		T(test_fire_marks_own_context),
		T(test_limited_marks_nothing),
		T(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

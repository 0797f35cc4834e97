/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core.c - the coordinator's logic, message by message in virtual time
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/wire.h"
#include "tests/coordinator/world.h"

#define CLOSED	 HS_WIRE_STATE_CLOSED
#define OPEN	 HS_WIRE_STATE_OPEN
#define SECOND	 (1000 * WORLD_MS)
#define IDS(...) ((const uint64_t[]){__VA_ARGS__})

static struct world *w;

static int setup(void **state)
{
	const struct hs_coord_config config = {.seed = 42};

	(void)state;
	w = world_new(&config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_free(w);
	return 0;
}

/* Every pair of every table: allowed ones lead somewhere, FREE is reached and
 * left as it should be, and no allowed event is without a target. */
static void transitions(void **state)
{
	(void)state;
	for (int s = 0; s < HS_COORD_NR_STATES; s++)
		for (int e = 0; e < HS_COORD_NR_EVENTS; e++) {
			uint8_t to = hs_coord_transitions[s][e];
			bool names = e == HS_COORD_NAMED;
			bool drops = e == HS_COORD_FORGOTTEN;

			assert_true(to == HS_COORD_NEVER ||
				    to < HS_COORD_NR_STATES);
			/* Only NAMED leaves FREE, only STORED is forgotten. */
			assert_true((s == HS_COORD_FREE) == names ||
				    to == HS_COORD_NEVER);
			assert_int_equal(to == HS_COORD_FREE,
					 s == HS_COORD_STORED && drops);
			if (to == HS_COORD_STORED)
				assert_int_equal(e, HS_COORD_ACKED);
			if (s != HS_COORD_FREE && e == HS_COORD_ASKED)
				assert_int_equal(to, HS_COORD_SEEKING);
		}
	for (int s = 0; s < HS_COORD_NR_VISIT_STATES; s++) {
		for (int e = 0; e < HS_COORD_NR_VISIT_EVENTS; e++)
			assert_int_not_equal(hs_coord_visit_transitions[s][e],
					     HS_COORD_VISIT_FREE);
		/* Whoever speaks for himself is heard, whatever was thought. */
		assert_int_equal(
			hs_coord_visit_transitions[s][HS_COORD_VISIT_ANSWER],
			HS_COORD_VISIT_ANSWERED);
	}
}

static void alone(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 1);
	world_knows(w, 1, 7, CLOSED, 0, NULL);
	key = world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 10 * WORLD_MS);
	assert_int_equal(world_seen(w, 7)->nr_manifests, 1);
	assert_int_equal(world_seen(w, 7)->version, 1);
	assert_true(world_seen(w, 7)->settled);
	assert_string_equal(world_seen(w, 7)->triggers[0].name, "slow");
	assert_true(world_stored(w, 1, key));
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	assert_int_equal(w->nodes[1].nr_asked, 0);
}

static void chain(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 20);
	world_chain(w, 7, 20);
	key = world_trigger(w, 20, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 7)->nr_answers, 20);
	assert_true(world_seen(w, 7)->settled);
	world_expect_closed(w, 7, 1, 20);
	assert_true(world_stored(w, 20, key));
	/* Nobody twice, and the one that fired not at all. */
	for (uint32_t i = 1; i < 20; i++)
		assert_int_equal(w->nodes[i].nr_asked, 1);
	assert_int_equal(w->nodes[20].nr_asked, 0);
	assert_int_equal(world_stats(w).collects_again, 0);
	assert_int_equal(world_seen(w, 7)->nr_manifests, 1);
}

/* Agents hold a trace for each trigger that names it: all are told of each. */
static void every_trigger_is_told(void **state)
{
	(void)state;
	world_up_to(w, 1, 5);
	world_chain(w, 7, 5);
	world_trigger(w, 5, "flood", 1, IDS(7));
	world_run(w, SECOND);
	for (uint32_t i = 1; i < 5; i++)
		assert_int_equal(w->nodes[i].nr_asked, 1);
	assert_int_equal(world_stats(w).collects_also, 0);
	world_trigger(w, 2, "rare", 1, IDS(7));
	world_run(w, SECOND);
	/* All but the one where it fired, which has it already. */
	assert_int_equal(w->nodes[1].nr_asked, 2);
	assert_int_equal(w->nodes[2].nr_asked, 1);
	assert_int_equal(w->nodes[5].nr_asked, 1);
	assert_int_equal(world_stats(w).collects_also, 4);
	/* The same name once more makes no other hold. */
	world_trigger(w, 3, "rare", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_stats(w).collects_also, 4);
	assert_int_equal(world_seen(w, 7)->nr_triggers, 3);
	world_expect_closed(w, 7, 1, 5);
}

/* Where the second fires before it was asked for the first. */
static void a_later_origin_hears_of_the_earlier(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	world_trigger(w, 1, "rare", 1, IDS(7));
	world_trigger(w, 3, "flood", 1, IDS(7));
	world_run(w, SECOND);
	/* 1: flood; 2: one asks, one is told beside; 3: rare. */
	assert_int_equal(w->nodes[1].nr_asked, 1);
	assert_int_equal(w->nodes[2].nr_asked, 2);
	assert_int_equal(w->nodes[3].nr_asked, 1);
	world_expect_closed(w, 7, 1, 3);
}

static void fan_out_16_at_once(void **state)
{
	uint64_t crumbs[16];

	(void)state;
	world_up_to(w, 1, 17);
	for (uint32_t i = 0; i < 16; i++) {
		crumbs[i] = node_id(i + 2, 1);
		world_knows(w, i + 2, 7, CLOSED, 1, IDS(node_id(1, 1)));
	}
	world_knows(w, 1, 7, CLOSED, 16, crumbs);
	world_trigger(w, 1, "slow", 1, IDS(7));
	/* Trigger 1, COLLECT 2, CRUMBS 3, manifest 4, ack 5, STORED 6 ms. */
	world_run(w, 6 * WORLD_MS);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	world_expect_closed(w, 7, 1, 17);
	assert_int_equal(world_seen(w, 7)->nr_manifests, 1);
}

static void fan_out_2000(void **state)
{
	static uint64_t crumbs[1000];

	(void)state;
	world_up_to(w, 1, 2001);
	for (uint32_t i = 0; i < 1000; i++) {
		crumbs[i] = node_id(i + 2, 1);
		world_knows(w, i + 2, 7, CLOSED, 1, IDS(node_id(i + 1002, 1)));
		world_knows(w, i + 1002, 7, CLOSED, 1, IDS(node_id(1, 1)));
	}
	world_knows(w, 1, 7, CLOSED, 1000, crumbs);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 2 * SECOND);
	assert_int_equal(world_seen(w, 7)->nr_answers, 2001);
	assert_true(world_seen(w, 7)->settled);
	world_expect_closed(w, 7, 1, 2001);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
}

static void loops_and_self_crumbs(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	for (uint32_t i = 1; i <= 3; i++)
		world_knows(w, i, 7, CLOSED, 5,
			    IDS(node_id(1, 1), node_id(2, 1), node_id(3, 1),
				node_id(i, 1), 0));
	world_trigger(w, 2, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 7)->nr_answers, 3);
	assert_int_equal(w->nodes[1].nr_asked + w->nodes[2].nr_asked +
				 w->nodes[3].nr_asked,
			 2);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
}

/* Whatever is lost and doubled, all of it arrives and is stored. */
static void lossy(void **state)
{
	uint64_t key;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		bool stored = false;

		teardown(NULL);
		setup(NULL);
		hs_random_seed(&w->random, seed);
		w->loss = 0.3;
		w->twice = 0.3;
		world_up_to(w, 1, 12);
		world_chain(w, 7, 12);
		world_chain(w, 8, 6);
		key = world_trigger(w, 5, "slow", 2, IDS(7, 8));
		for (int i = 0; i < 100 && !stored; i++) {
			world_run(w, SECOND);
			stored = world_stored(w, 5, key);
			if (!stored)
				world_trigger_again(w, 5, "slow", key, 2,
						    IDS(7, 8));
		}
		assert_true(stored);
		w->loss = 0;
		world_run(w, 60 * SECOND);
		world_expect_closed(w, 7, 1, 12);
		world_expect_closed(w, 8, 1, 6);
		assert_int_equal(world_seen(w, 7)->nr_answers, 12);
		assert_int_equal(world_state(w, 7), HS_COORD_STORED);
		assert_int_equal(world_state(w, 8), HS_COORD_STORED);
		assert_int_equal(world_stats(w).nr_requests, 0);
	}
}

static void repeated_trigger(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	key = world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(w->nodes[1].nr_stored, 1);
	world_trigger_again(w, 1, "slow", key, 1, IDS(7));
	world_run(w, SECOND);
	/* STORED again, and no new version: nothing is new. */
	assert_int_equal(w->nodes[1].nr_stored, 2);
	assert_int_equal(world_seen(w, 7)->version, 1);
	assert_int_equal(world_seen(w, 7)->nr_triggers, 1);
}

static void two_triggers_one_trace(void **state)
{
	uint64_t a, b;

	(void)state;
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	a = world_trigger(w, 1, "slow", 1, IDS(7));
	b = world_trigger(w, 3, "error", 1, IDS(7));
	world_run(w, SECOND);
	assert_true(world_stored(w, 1, a));
	assert_true(world_stored(w, 3, b));
	assert_int_equal(world_seen(w, 7)->nr_triggers, 2);
	assert_int_equal(world_seen(w, 7)->nr_answers, 3);
	assert_int_equal(world_stats(w).nr_traces, 1);
}

static void group_is_stored_as_one(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 4);
	world_chain(w, 7, 3);
	/* A lateral that goes on to a node that is not there for a while. */
	world_knows(w, 1, 8, CLOSED, 1, IDS(node_id(5, 1)));
	key = world_trigger(w, 1, "queue", 2, IDS(7, 8));
	world_run(w, 100 * WORLD_MS);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	assert_int_equal(world_state(w, 8), HS_COORD_SEEKING);
	assert_false(world_stored(w, 1, key));
	/* The partial manifest has it, but nobody else would ask on. */
	world_run(w, 400 * WORLD_MS);
	assert_false(world_seen(w, 8)->settled);
	assert_false(world_stored(w, 1, key));
	world_run(w, 2 * SECOND);
	assert_true(world_seen(w, 8)->settled);
	assert_true(world_stored(w, 1, key));
	/* One question for both traces: they name the same node. */
	world_knows(w, 1, 9, CLOSED, 1, IDS(node_id(4, 1)));
	world_knows(w, 1, 10, CLOSED, 1, IDS(node_id(4, 1)));
	world_trigger(w, 1, "queue", 2, IDS(9, 10));
	world_run(w, 100 * WORLD_MS);
	assert_int_equal(w->nodes[4].nr_collects, 1);
	assert_int_equal(w->nodes[4].nr_asked, 2);
}

static void dead_hop_is_reached_across(void **state)
{
	const struct hs_wire_answer *a;

	(void)state;
	world_up_to(w, 1, 4);
	world_chain(w, 7, 4);
	/* Contexts carry the crumbs of the last nodes: 4 knows 2 as well. */
	world_knows(w, 4, 7, CLOSED, 2, IDS(node_id(3, 1), node_id(2, 1)));
	world_down(w, 3);
	world_trigger(w, 4, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_SEEKING);
	world_run(w, 2 * SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	assert_true(world_seen(w, 7)->settled);
	assert_int_equal(world_seen(w, 7)->nr_answers, 4);
	a = world_answer(w, 7, node_id(3, 1));
	assert_int_equal(a->state, HS_WIRE_STATE_UNREACHABLE);
	assert_int_equal(a->rev, 0);
	assert_non_null(world_answer(w, 7, node_id(1, 1)));
	/* It comes back, the same incarnation: the version is raised. */
	world_up(w, 3, 1);
	world_run(w, SECOND);
	assert_true(world_seen(w, 7)->version >= 2);
	world_expect_closed(w, 7, 1, 4);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
}

static void mute_node_is_given_up_and_asked_on(void **state)
{
	(void)state;
	world_up_to(w, 1, 2);
	world_chain(w, 7, 2);
	w->nodes[2].mute = true;
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 4 * SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	assert_int_equal(world_answer(w, 7, node_id(2, 1))->state,
			 HS_WIRE_STATE_UNREACHABLE);
	w->nodes[2].mute = false;
	world_run(w, 10 * SECOND);
	world_expect_closed(w, 7, 1, 2);
	/* Asked now and then only. */
	assert_in_range(w->nodes[2].nr_asked, 3, 12);
}

static void later_incarnation(void **state)
{
	const struct hs_wire_answer *a;

	(void)state;
	world_up_to(w, 1, 1);
	world_up(w, 2, 2);
	world_up(w, 3, 2);
	world_knows(w, 1, 7, CLOSED, 2, IDS(node_id(2, 1), node_id(3, 1)));
	/* 2 has seen the trace again since it began anew, 3 has not. */
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	assert_int_equal(world_answer(w, 7, node_id(2, 1))->state,
			 HS_WIRE_STATE_GONE);
	assert_int_equal(world_answer(w, 7, node_id(2, 2))->state, CLOSED);
	a = world_answer(w, 7, node_id(3, 1));
	assert_int_equal(a->state, HS_WIRE_STATE_GONE);
	assert_int_equal(a->rev, 0);
	assert_int_equal(world_answer(w, 7, node_id(3, 2))->state,
			 HS_WIRE_STATE_UNKNOWN);
	/* Named again by an update: known already what became of them. */
	world_knows(w, 1, 7, CLOSED, 3,
		    IDS(node_id(2, 1), node_id(3, 1), node_id(3, 0)));
	world_update(w, 1, 7);
	world_run(w, SECOND);
	assert_int_equal(w->nodes[2].nr_asked, 1);
	assert_int_equal(w->nodes[3].nr_asked, 1);
	assert_int_equal(world_answer(w, 7, node_id(3, 0))->state,
			 HS_WIRE_STATE_GONE);
}

static void earlier_incarnation_is_not_asked(void **state)
{
	(void)state;
	world_up_to(w, 1, 2);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(2, 5)));
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(w->nodes[2].nr_asked, 0);
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	world_up(w, 2, 5);
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(2, 5))->state, CLOSED);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
}

static void open_trace_of_a_dead_incarnation(void **state)
{
	(void)state;
	world_up_to(w, 1, 2);
	world_chain(w, 7, 2);
	world_knows(w, 2, 7, OPEN, 1, IDS(node_id(1, 1)));
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(2, 1))->state, OPEN);
	world_down(w, 2);
	free(w->nodes[2].facts->crumbs);
	free(w->nodes[2].facts);
	w->nodes[2].facts = NULL;
	world_up(w, 2, 2);
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(2, 2))->state,
			 HS_WIRE_STATE_UNKNOWN);
}

static void late_update_raises_the_version(void **state)
{
	uint64_t key;
	uint32_t version;

	(void)state;
	world_up_to(w, 1, 3);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(2, 1)));
	world_knows(w, 2, 7, OPEN, 1, IDS(node_id(1, 1)));
	world_knows(w, 3, 7, CLOSED, 1, IDS(node_id(2, 1)));
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	version = world_seen(w, 7)->version;
	assert_int_equal(world_seen(w, 7)->nr_answers, 2);
	world_knows(w, 2, 7, CLOSED, 2, IDS(node_id(1, 1), node_id(3, 1)));
	key = world_update(w, 2, 7);
	world_run(w, SECOND);
	assert_true(world_seen(w, 7)->version > version);
	world_expect_closed(w, 7, 1, 3);
	assert_true(world_stored(w, 2, key));
	/* The same words once more: stored, and nothing is told. */
	version = world_seen(w, 7)->version;
	key = world_update(w, 2, 7);
	world_run(w, SECOND);
	assert_true(world_stored(w, 2, key));
	assert_int_equal(world_seen(w, 7)->version, version);
	/* An UPDATE is no trigger. */
	assert_int_equal(world_seen(w, 7)->nr_triggers, 1);
}

static void many_updates_few_manifests(void **state)
{
	uint64_t crumbs[64];
	uint32_t before;

	(void)state;
	world_up_to(w, 1, 65);
	for (uint32_t i = 0; i < 64; i++) {
		crumbs[i] = node_id(i + 2, 1);
		world_knows(w, i + 2, 7, OPEN, 0, NULL);
	}
	world_knows(w, 1, 7, OPEN, 64, crumbs);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	before = world_seen(w, 7)->nr_manifests;
	for (uint32_t i = 1; i <= 65; i++) {
		world_knows(w, i, 7, CLOSED, i == 1 ? 64 : 0, crumbs);
		world_update(w, i, 7);
		world_run(w, WORLD_MS);
	}
	world_run(w, SECOND);
	world_expect_closed(w, 7, 1, 65);
	assert_in_range(world_seen(w, 7)->nr_manifests - before, 1, 6);
}

static void restart_by_update(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	world_restart(w);
	key = world_update(w, 3, 7);
	world_run(w, SECOND);
	assert_true(world_stored(w, 3, key));
	world_expect_closed(w, 7, 1, 3);
	assert_int_equal(world_seen(w, 7)->version, 1);
	assert_int_equal(world_seen(w, 7)->nr_triggers, 0);
	/* CRUMBS for a trace that nobody here asked for are dropped. */
	assert_int_equal(world_stats(w).answers_strange, 0);
	world_restart(w);
	w->nodes[3].mute = true;
	world_trigger(w, 2, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_SEEKING);
}

static void reconnection_asks_again(void **state)
{
	(void)state;
	world_up_to(w, 1, 2);
	world_chain(w, 7, 2);
	w->nodes[2].mute = true;
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 10 * WORLD_MS);
	w->nodes[2].mute = false;
	/* The new connection is there before the old one's end is seen. */
	world_up(w, 2, 1);
	world_run(w, 10 * WORLD_MS);
	world_expect_closed(w, 7, 1, 2);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transitions),
		each(alone),
		each(chain),
		each(every_trigger_is_told),
		each(a_later_origin_hears_of_the_earlier),
		each(fan_out_16_at_once),
		each(fan_out_2000),
		each(loops_and_self_crumbs),
		each(lossy),
		each(repeated_trigger),
		each(two_triggers_one_trace),
		each(group_is_stored_as_one),
		each(dead_hop_is_reached_across),
		each(mute_node_is_given_up_and_asked_on),
		each(later_incarnation),
		each(earlier_incarnation_is_not_asked),
		each(open_trace_of_a_dead_incarnation),
		each(late_update_raises_the_version),
		each(many_updates_few_manifests),
		each(restart_by_update),
		each(reconnection_asks_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_limits.c - the coordinator's logic at its limits and among
 * strangers
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

static void again_with(const struct hs_coord_config *config)
{
	world_free(w);
	w = world_new(config);
}

static int teardown(void **state)
{
	(void)state;
	world_free(w);
	return 0;
}

static void strange_crumbs(void **state)
{
	struct {
		struct hs_wire_group g;
		struct hs_wire_answer a;
	} m = {.g = {.trigger = {.origin = node_id(1, 1),
				 .key = 1,
				 .name = "slow",
				 .primary = trace_id(7)},
		     .nr = 1},
	       .a = {.trace = trace_id(7),
		     .node = node_id(2, 1),
		     .rev = 1,
		     .state = CLOSED}};
	uint64_t from = node_id(2, 1);

	(void)state;
	world_up_to(w, 1, 2);
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_CRUMBS, &m, sizeof(m)),
			 0);
	assert_int_equal(world_stats(w).answers_strange, 1);
	assert_int_equal(world_stats(w).nr_traces, 0);
	/* Speaking for another node, in our words, or cut. */
	m.a.node = node_id(1, 1);
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_CRUMBS, &m, sizeof(m)),
			 -EBADMSG);
	m.a.node = from;
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_TRIGGER, &m, sizeof(m)),
			 -EBADMSG);
	m.g.trigger.origin = from;
	m.a.rev = 0;
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_TRIGGER, &m, sizeof(m)),
			 -EBADMSG);
	m.a.rev = 1;
	m.a.state = HS_WIRE_STATE_GONE;
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_TRIGGER, &m, sizeof(m)),
			 -EBADMSG);
	m.a.state = CLOSED;
	for (uint32_t n = 0; n < sizeof(m); n++)
		assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
						       HS_WIRE_TRIGGER, &m, n),
				 -EBADMSG);
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_SLICE, &m, sizeof(m)),
			 -EBADMSG);
	assert_int_equal(world_stats(w).nr_traces, 0);
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns, from,
					       HS_WIRE_TRIGGER, &m, sizeof(m)),
			 0);
	assert_int_equal(world_stats(w).nr_traces, 1);
}

static void collector_unreachable(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	w->collector_up = false;
	key = world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 60 * SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_TELLING);
	assert_false(world_stored(w, 1, key));
	assert_in_range(world_stats(w).manifests_failed, 5, 30);
	w->collector_up = true;
	hs_coord_core_collector_up(w->core, w->now_ns);
	world_run(w, 10 * WORLD_MS);
	assert_true(world_stored(w, 1, key));
	assert_int_equal(world_seen(w, 7)->version, 1);
}

static void table_full(void **state)
{
	const struct hs_coord_config config = {.seed = 1, .nr_traces = 4};
	uint64_t keys[6];

	(void)state;
	again_with(&config);
	world_up_to(w, 1, 1);
	for (uint64_t lo = 1; lo <= 6; lo++)
		world_knows(w, 1, lo, CLOSED, 0, NULL);
	w->collector_up = false;
	for (uint64_t lo = 1; lo <= 6; lo++)
		keys[lo - 1] = world_trigger(w, 1, "slow", 1, IDS(lo));
	world_run(w, SECOND);
	/* What is not stored never gives way; the others come again. */
	assert_int_equal(world_stats(w).nr_traces, 4);
	assert_int_equal(world_stats(w).triggers_refused, 2);
	assert_int_equal(world_state(w, 5), HS_COORD_FREE);
	w->collector_up = true;
	hs_coord_core_collector_up(w->core, w->now_ns);
	world_run(w, SECOND);
	world_trigger_again(w, 1, "slow", keys[4], 1, IDS(5));
	world_trigger_again(w, 1, "slow", keys[5], 1, IDS(6));
	world_run(w, SECOND);
	for (int i = 0; i < 6; i++)
		assert_true(world_stored(w, 1, keys[i]));
	assert_int_equal(world_stats(w).evicted, 2);
}

static void forgotten_and_back(void **state)
{
	const struct hs_coord_config config = {.seed = 1,
					       .forget_after_ns = 10 * SECOND};
	uint64_t key, epoch;

	(void)state;
	again_with(&config);
	world_up_to(w, 1, 2);
	world_chain(w, 7, 2);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 5 * SECOND);
	assert_int_equal(world_stats(w).nr_traces, 1);
	epoch = world_seen(w, 7)->epoch;
	world_run(w, 6 * SECOND);
	assert_int_equal(world_stats(w).nr_traces, 0);
	assert_int_equal(world_stats(w).nr_visits, 0);
	assert_int_equal(world_stats(w).forgotten, 1);
	key = world_trigger(w, 2, "slow", 1, IDS(7));
	world_run(w, SECOND);
	/* Version 1 again, of a later traversal. */
	assert_true(world_stored(w, 2, key));
	assert_int_equal(world_seen(w, 7)->version, 1);
	assert_true(world_seen(w, 7)->epoch > epoch);
}

static void limits_are_marked(void **state)
{
	const struct hs_coord_config config = {.seed = 1, .trace_nodes = 5};
	uint64_t crumbs[10];

	(void)state;
	again_with(&config);
	world_up_to(w, 1, 11);
	for (uint32_t i = 0; i < 10; i++) {
		crumbs[i] = node_id(i + 2, 1);
		world_knows(w, i + 2, 7, CLOSED, 0, NULL);
	}
	world_knows(w, 1, 7, CLOSED, 10, crumbs);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 7)->nr_answers, 5);
	assert_int_equal(world_answer(w, 7, node_id(1, 1))->flags,
			 HS_WIRE_F_CUT);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	/* An UPDATE of one that found no place: cut, not forgotten. */
	world_update(w, 11, 7);
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 7)->nr_answers, 5);
}

/* More crumbs than a manifest holds: thousands of nodes that do not exist. */
/* A node that floods has to wait; others do not notice. */
static void budget_of_an_origin(void **state)
{
	const struct hs_coord_config config = {
		.seed = 1, .origin_per_s = 100, .origin_waiting = 20};
	uint64_t crumbs[50], key;

	(void)state;
	again_with(&config);
	world_up_to(w, 1, 2);
	for (uint64_t lo = 1000; lo < 1500; lo++) {
		world_knows(w, 1, lo, CLOSED, 0, NULL);
		world_trigger(w, 1, "slow", 1, &lo);
	}
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	key = world_trigger(w, 2, "slow", 1, IDS(7));
	world_run(w, 10 * WORLD_MS);
	/* Each is a trigger and a new trace; a second's worth at once. */
	assert_in_range(world_stats(w).triggers, 51, 53);
	assert_in_range(world_stats(w).origin_refused, 448, 450);
	assert_true(world_stored(w, 2, key));
	/* It is told of each, what the budget is, and when to come again. */
	assert_int_equal(w->nodes[1].nr_refused, world_stats(w).origin_refused);
	assert_int_equal(w->nodes[1].refused.origin, node_id(1, 1));
	assert_int_equal(w->nodes[1].refused.key, key - 1);
	assert_int_equal(w->nodes[1].refused.per_s, 100);
	assert_in_range(w->nodes[1].refused.wait_ns, 1, 20 * WORLD_MS);
	assert_int_equal(w->nodes[2].nr_refused, 0);
	world_run(w, w->nodes[1].refused.wait_ns);
	key = world_trigger(w, 1, "slow", 1, IDS(1499));
	world_run(w, 10 * WORLD_MS);
	assert_true(world_stored(w, 1, key));
	assert_int_equal(w->nodes[1].nr_refused, world_stats(w).origin_refused);
	/* Again later, as agents do. */
	world_run(w, SECOND);
	key = world_trigger(w, 1, "slow", 1, IDS(1400));
	world_run(w, SECOND);
	assert_true(world_stored(w, 1, key));
	/* Crumbs to nodes that are not there: bounded, and said so. */
	for (uint32_t k = 0; k < 50; k++)
		crumbs[k] = node_id(100 + k, 1);
	world_knows(w, 1, 6, CLOSED, 50, crumbs);
	world_trigger(w, 1, "slow", 1, IDS(6));
	world_run(w, 5 * SECOND);
	assert_int_equal(world_seen(w, 6)->nr_answers, 21);
	assert_int_equal(world_answer(w, 6, node_id(1, 1))->flags,
			 HS_WIRE_F_CUT);
	assert_int_equal(world_stats(w).origin_cut, 30);
	world_knows(w, 2, 5, CLOSED, 2, IDS(node_id(1, 1), node_id(200, 1)));
	world_trigger(w, 2, "slow", 1, IDS(5));
	world_run(w, 5 * SECOND);
	assert_int_equal(world_answer(w, 5, node_id(2, 1))->flags, 0);
	assert_non_null(world_answer(w, 5, node_id(200, 1)));
}

static void hostile_fan_out(void **state)
{
	static uint64_t crumbs[HS_WIRE_CRUMBS_MAX];
	const struct hs_coord_config config = {.seed = 1, .nr_nodes = 3000};

	(void)state;
	again_with(&config);
	world_up_to(w, 1, 100);
	for (uint32_t i = 1; i <= 100; i++) {
		for (uint32_t k = 0; k < HS_WIRE_CRUMBS_MAX; k++)
			crumbs[k] = node_id(
				k < 100 ? k + 1 : 100000 + i * 2000 + k, 1);
		world_knows(w, i, 7, CLOSED, HS_WIRE_CRUMBS_MAX, crumbs);
	}
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 10 * SECOND);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	assert_true(world_seen(w, 7)->settled);
	assert_in_range(world_seen(w, 7)->nr_answers, 100, HS_WIRE_ANSWERS_MAX);
	assert_true(world_stats(w).answers_cut > 0);
	assert_int_equal(world_stats(w).nr_nodes, 3000);
	/* They are forgotten with the trace that named them. */
	world_run(w, 400 * SECOND);
	assert_int_equal(world_stats(w).nr_nodes, 100);
}

static void window(void **state)
{
	const struct hs_coord_config config = {.seed = 1, .window = 4};

	(void)state;
	again_with(&config);
	world_up_to(w, 1, 2);
	w->nodes[2].mute = true;
	for (uint64_t lo = 1; lo <= 20; lo++) {
		world_knows(w, 1, lo, CLOSED, 1, IDS(node_id(2, 1)));
		world_knows(w, 2, lo, CLOSED, 0, NULL);
		world_trigger(w, 1, "slow", 1, IDS(lo));
	}
	world_run(w, 100 * WORLD_MS);
	assert_int_equal(w->nodes[2].nr_asked, 4);
	w->nodes[2].mute = false;
	world_run(w, 5 * SECOND);
	for (uint64_t lo = 1; lo <= 20; lo++)
		assert_int_equal(world_state(w, lo), HS_COORD_STORED);
	assert_int_equal(world_stats(w).nr_waiting, 0);
}

static void node_takes_no_more(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	w->node_full = true;
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(w->nodes[2].nr_asked, 0);
	w->node_full = false;
	world_run(w, SECOND);
	world_expect_closed(w, 7, 1, 3);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(strange_crumbs),	  each(collector_unreachable),
		each(table_full),	  each(forgotten_and_back),
		each(limits_are_marked),  each(budget_of_an_origin),
		each(hostile_fan_out),	  each(window),
		each(node_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

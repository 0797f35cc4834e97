/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_seek.c - the question to many: when it is asked, whom it finds,
 * what it costs at most, and what the manifest says of it
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
#define SECOND	 (1000 * WORLD_MS)
#define IDS(...) ((const uint64_t[]){__VA_ARGS__})
#define PART	 HS_WIRE_SOUGHT_PART

static struct world *w;

static int setup_with(const struct hs_coord_config *config)
{
	w = world_new(config);
	world_run(w, 5 * SECOND); /* not fresh any more */
	return 0;
}

static int setup(void **state)
{
	const struct hs_coord_config config = {.seed = 42, .seek_nodes = 8};

	(void)state;
	return setup_with(&config);
}

static int teardown(void **state)
{
	(void)state;
	world_free(w);
	return 0;
}

/* hs trigger ID, where nobody knows who saw it. */
static void fired_elsewhere(void **state)
{
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 6);
	world_chain(w, 7, 3);
	w->elsewhere = true;
	key = world_trigger(w, 6, "operator", 1, IDS(7));
	world_run(w, SECOND);
	world_expect_closed(w, 7, 1, 3);
	/* The one that fired has nothing to do with it. */
	assert_null(world_answer(w, 7, node_id(6, 1)));
	assert_int_equal(world_seen(w, 7)->nr_answers, 3);
	assert_int_equal(world_seen(w, 7)->sought, 6);
	/* All three said so themselves, whoever's crumbs were first. */
	assert_int_equal(world_seen(w, 7)->nr_sought_crumbs, 3);
	assert_true(world_stored(w, 6, key));
	assert_int_equal(world_stats(w).questions, 1);
	assert_int_equal(w->nodes[5].nr_sought, 1);
	assert_int_equal(w->nodes[5].nr_asked, 0);
}

static void nobody_knows(void **state)
{
	const struct hs_wire_answer *a;
	uint64_t key;

	(void)state;
	world_up_to(w, 1, 3);
	w->elsewhere = true;
	key = world_trigger(w, 1, "operator", 1, IDS(7));
	world_run(w, SECOND);
	a = world_answer(w, 7, node_id(1, 1));
	assert_non_null(a);
	assert_int_equal(a->state, HS_WIRE_STATE_UNKNOWN);
	assert_int_equal(world_seen(w, 7)->sought, 3);
	assert_true(world_stored(w, 1, key));
	/* Once is enough. */
	world_trigger(w, 2, "operator", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_stats(w).questions, 1);
}

/* One that fired what it had itself, and has forgotten, stays a cause. */
static void the_origin_has_forgotten(void **state)
{
	(void)state;
	world_up_to(w, 1, 4);
	world_chain(w, 7, 2);
	world_trigger(w, 4, "slow", 1, IDS(7));
	world_run(w, SECOND);
	world_expect_closed(w, 7, 1, 2);
	assert_int_equal(world_answer(w, 7, node_id(4, 1))->state,
			 HS_WIRE_STATE_UNKNOWN);
	assert_int_equal(world_seen(w, 7)->sought, 4);
}

/* A crumb that names the one that fired makes it a part of the trace. */
static void a_crumb_names_the_origin(void **state)
{
	(void)state;
	world_up_to(w, 1, 4);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(4, 1)));
	w->elsewhere = true;
	world_trigger(w, 4, "operator", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(4, 1))->state,
			 HS_WIRE_STATE_UNKNOWN);
}

/* Behind a dead hop that alone knew the way. */
static void across_a_dead_hop(void **state)
{
	(void)state;
	world_up_to(w, 1, 5);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(9, 1)));
	world_knows(w, 3, 7, CLOSED, 1, IDS(node_id(9, 1)));
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 4 * SECOND);
	assert_int_equal(world_answer(w, 7, node_id(9, 1))->state,
			 HS_WIRE_STATE_UNREACHABLE);
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state, CLOSED);
	assert_int_equal(world_seen(w, 7)->sought, 5);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	/* A whole trace asks nobody. */
	world_knows(w, 1, 8, CLOSED, 0, NULL);
	world_trigger(w, 1, "slow", 1, IDS(8));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 8)->sought, 0);
	assert_int_equal(world_stats(w).questions, 1);
}

static void not_everybody(void **state)
{
	(void)state;
	world_up_to(w, 1, 20);
	w->elsewhere = true;
	world_trigger(w, 1, "operator", 1, IDS(6));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 6)->sought, 8 | PART);
	assert_int_equal(world_stats(w).seeks_sent, 8);
	/* The next question goes to others. */
	world_knows(w, 16, 7, CLOSED, 0, NULL);
	world_trigger(w, 1, "operator", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(16, 1))->state, CLOSED);
}

/* It cannot know whom it does not know yet, unless a list says so. */
static void just_started(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	world_restart(w);
	w->elsewhere = true;
	world_trigger(w, 1, "operator", 1, IDS(6));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 6)->sought, 3 | PART);
	hs_coord_core_listing(w->core, true);
	world_trigger(w, 1, "operator", 1, IDS(7));
	world_run(w, SECOND);
	assert_int_equal(world_seen(w, 7)->sought, 3);
}

static void one_is_silent(void **state)
{
	(void)state;
	world_up_to(w, 1, 4);
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	w->nodes[3].mute = true;
	w->elsewhere = true;
	world_trigger(w, 1, "operator", 1, IDS(7));
	world_run(w, 3 * SECOND);
	assert_int_equal(world_seen(w, 7)->sought, 4 | PART);
	assert_int_equal(w->nodes[2].nr_sought, 1);
	assert_in_range(w->nodes[3].nr_sought, 3, 5);
	/* One that is known to be down was not asked, and is not forgotten. */
	world_down(w, 4);
	world_trigger(w, 1, "operator", 1, IDS(6));
	w->nodes[3].mute = false;
	world_run(w, 3 * SECOND);
	assert_int_equal(world_seen(w, 6)->sought, 3 | PART);
	hs_coord_core_node_left(w->core, w->now_ns, 4);
	world_trigger(w, 1, "operator", 1, IDS(5));
	world_run(w, 3 * SECOND);
	assert_int_equal(world_seen(w, 5)->sought, 3);
}

static void lossy(void **state)
{
	(void)state;
	w->loss = 0.2;
	w->twice = 0.2;
	world_up_to(w, 1, 6);
	world_chain(w, 7, 3);
	w->elsewhere = true;
	for (uint32_t i = 0; i < 10; i++) {
		world_trigger_again(w, 6, "operator", 1, 1, IDS(7));
		world_run(w, SECOND);
	}
	w->loss = 0;
	world_run(w, 10 * SECOND);
	world_expect_closed(w, 7, 1, 3);
	assert_null(world_answer(w, 7, node_id(6, 1)));
}

/* Many traces share a question; more than the budget allows are put off, and
 * given up in the end, which the manifest says. */
static void bounded(void **state)
{
	const struct hs_coord_config config = {
		.seed = 42, .seek_nodes = 100, .seek_per_s = 100};
	struct hs_coord_stats st;

	(void)state;
	setup_with(&config);
	world_up_to(w, 1, 100);
	w->elsewhere = true;
	for (uint64_t lo = 100; lo < 300; lo++)
		world_trigger(w, 1, "operator", 1, &lo);
	world_run(w, 500 * WORLD_MS);
	st = world_stats(w);
	assert_int_equal(st.questions, 1);
	assert_int_equal(st.seeks_sent, 100);
	assert_int_equal(st.seeks_asked, 100 * 200);
	for (uint64_t lo = 1000; lo < 2000; lo++) {
		world_trigger(w, 1, "operator", 1, &lo);
		world_run(w, 10 * WORLD_MS);
	}
	world_run(w, 5 * SECOND);
	st = world_stats(w);
	assert_in_range(st.seeks_sent, 500, 2500);
	assert_true(st.seeks_deferred > 0);
	assert_int_equal(st.nr_seeks, 0);
	assert_int_equal(st.nr_seeking, 0);
	teardown(NULL);
}

/* What waits for the budget goes when that allows it, and is not looked at
 * again and again until then; what may not go in time is given up in time. */
static void put_off(uint32_t per_s)
{
	const struct hs_coord_config config = {
		.seed = 42, .seek_nodes = 3, .seek_per_s = per_s};

	setup_with(&config);
	world_up_to(w, 1, 3);
	w->elsewhere = true;
	world_run(w, SECOND);
	/* The first finds all that was saved, the second goes on credit. */
	for (uint64_t lo = 5; lo < 8; lo++) {
		world_trigger(w, 1, "operator", 1, &lo);
		world_run(w, 12 * WORLD_MS);
	}
	assert_int_equal(world_stats(w).questions, 2);
	assert_int_equal(world_stats(w).seeks_sent, 6);
}

static void goes_when_the_budget_is_even(void **state)
{
	/* The first one went after 11 ms of 36. */
	const uint64_t wait_ns = SECOND / 64 * 3 - 25 * WORLD_MS;

	(void)state;
	put_off(64);
	assert_int_equal(hs_coord_core_next_ns(w->core), w->now_ns + wait_ns);
	world_run(w, wait_ns - 1);
	assert_int_equal(world_stats(w).questions, 2);
	assert_int_equal(world_stats(w).seeks_deferred, 0);
	world_run(w, 1);
	assert_int_equal(world_stats(w).questions, 3);
	teardown(NULL);
}

static void is_given_up_in_time(void **state)
{
	(void)state;
	put_off(1);
	world_run(w, SECOND - 11 * WORLD_MS - 1);
	assert_int_equal(world_stats(w).seeks_refused, 0);
	assert_int_equal(world_stats(w).nr_seeks, 1);
	world_run(w, 1);
	assert_int_equal(world_stats(w).seeks_refused, 1);
	assert_int_equal(world_stats(w).nr_seeks, 0);
	assert_int_equal(world_stats(w).questions, 2);
	teardown(NULL);
}

/* There are eight at a time; the ninth goes when the first one ends. */
static void goes_when_a_place_is_free(void **state)
{
	(void)state;
	world_up_to(w, 1, 2);
	w->nodes[1].mute = w->nodes[2].mute = true;
	w->elsewhere = true;
	for (uint64_t lo = 100; lo < 109; lo++) {
		world_trigger(w, 1, "operator", 1, &lo);
		world_run(w, 12 * WORLD_MS);
	}
	assert_int_equal(world_stats(w).questions, 8);
	/* The first one went after 11 ms of 108, and has a second. */
	world_run(w, SECOND - 97 * WORLD_MS - 1);
	assert_int_equal(world_stats(w).questions, 8);
	/* While the silent are asked again, and at no other time. */
	assert_true(world_stats(w).seeks_deferred < 40);
	world_run(w, 1);
	assert_int_equal(world_stats(w).questions, 9);
	assert_int_equal(world_stats(w).seeks_refused, 0);
}

static void malformed(void **state)
{
	struct {
		struct hs_wire_seek head;
		struct hs_wire_trace_id traces[2];
	} m = {{7, 2, 0}, {{1, 2}, {3, 4}}};

	(void)state;
	world_up_to(w, 1, 2);
	for (uint32_t size = 0; size < sizeof(m); size++)
		assert_int_equal(hs_coord_core_message(w->core, w->now_ns,
						       node_id(1, 1),
						       HS_WIRE_FOUND, &m, size),
				 -EBADMSG);
	/* Of traces that nobody asked for. */
	assert_int_equal(hs_coord_core_message(w->core, w->now_ns,
					       node_id(1, 1), HS_WIRE_FOUND, &m,
					       sizeof(m)),
			 0);
	assert_int_equal(world_stats(w).found, 0);
	assert_int_equal(world_stats(w).messages_bad, sizeof(m));
}

/* A node that left costs no timeout, one that no list names is unknown. */
static void gone_and_unknown(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	hs_coord_core_node_left(w->core, w->now_ns, 3);
	w->nodes[3].up = false;
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(3, 1)));
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 100 * WORLD_MS);
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state,
			 HS_WIRE_STATE_GONE);
	assert_int_equal(world_state(w, 7), HS_COORD_STORED);
	/* It was not gone: its answer replaces the word. */
	world_knows(w, 3, 7, CLOSED, 0, NULL);
	world_up(w, 3, 1);
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state, CLOSED);
	/* Listed, not listed, and left only after it was given up. */
	hs_coord_core_listing(w->core, true);
	hs_coord_core_node_listed(w->core, w->now_ns, 4);
	world_knows(w, 1, 6, CLOSED, 2, IDS(node_id(4, 1), node_id(5, 1)));
	world_trigger(w, 1, "slow", 1, IDS(6));
	world_run(w, 5 * SECOND);
	assert_int_equal(world_answer(w, 6, node_id(4, 1))->state,
			 HS_WIRE_STATE_UNREACHABLE);
	assert_int_equal(world_answer(w, 6, node_id(5, 1))->state,
			 HS_WIRE_STATE_UNKNOWN);
	hs_coord_core_node_left(w->core, w->now_ns, 4);
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 6, node_id(4, 1))->state,
			 HS_WIRE_STATE_GONE);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(fired_elsewhere),
		each(nobody_knows),
		each(the_origin_has_forgotten),
		each(a_crumb_names_the_origin),
		each(across_a_dead_hop),
		each(not_everybody),
		each(just_started),
		each(one_is_silent),
		each(lossy),
		cmocka_unit_test(bounded),
		cmocka_unit_test(goes_when_the_budget_is_even),
		cmocka_unit_test(is_given_up_in_time),
		each(goes_when_a_place_is_free),
		each(malformed),
		each(gone_and_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_ahead.c - tables of crumbs that are read before nodes answer: what
 * they save, and that nothing they say makes a trace look worse or better
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
#define UNKNOWN	 HS_WIRE_STATE_UNKNOWN
#define SECOND	 (1000 * WORLD_MS)
#define IDS(...) ((const uint64_t[]){__VA_ARGS__})

static struct world *w;

static int setup(void **state)
{
	const struct hs_coord_config config = {.seed = 42, .seek_never = true};

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

static void tables(uint32_t first, uint32_t last)
{
	for (uint32_t i = first; i <= last; i++)
		world_table(w, i);
}

static uint64_t settle_ns(uint64_t lo)
{
	uint64_t from = w->now_ns;

	world_trigger(w, 1, "slow", 1, IDS(lo));
	while (!world_seen(w, lo)->settled && w->now_ns < from + 100 * WORLD_MS)
		world_run(w, WORLD_MS / 10);
	assert_true(world_seen(w, lo)->settled);
	return w->now_ns - from;
}

/* It fires, and what follows from it has time to. */
static uint64_t fire(uint64_t lo, uint64_t for_ns)
{
	uint64_t key = world_trigger(w, 1, "slow", 1, IDS(lo));

	world_run(w, for_ns);
	return key;
}

/* Nodes 1 and 2 are the trace; the table of 2 names the last one, too. */
static void two_and_a_hint_at(uint32_t last)
{
	world_up_to(w, 1, last);
	world_chain(w, 7, 2);
	tables(1, 2);
	world_hint(w, 2, 7, node_id(last, 1));
}

/* A chain of three whose last one does not answer, and has a table. */
static void three_and_the_last_is_mute(void)
{
	world_up_to(w, 1, 3);
	world_chain(w, 7, 3);
	tables(1, 3);
	w->nodes[3].mute = true;
}

/* Ten hops one after the other are twenty messages; all at once they are two,
 * the TRIGGER and the MANIFEST beside them. */
static void a_chain_is_asked_at_once(void **state)
{
	uint64_t without, with;

	(void)state;
	world_up_to(w, 1, 10);
	world_chain(w, 7, 10);
	world_chain(w, 6, 10);
	without = settle_ns(7);
	tables(1, 10);
	with = settle_ns(6);
	assert_true(without >= 20 * WORLD_MS);
	assert_true(with < 5 * WORLD_MS);
	world_expect_closed(w, 6, 1, 10);
	for (uint32_t i = 2; i <= 10; i++)
		assert_int_equal(w->nodes[i].nr_asked, 2);
	/* An answer named each of them; no table is in the manifest. */
	assert_int_equal(world_seen(w, 6)->nr_sought_crumbs, 0);
	assert_int_equal(world_seen(w, 6)->nr_answers, 10);
	assert_int_equal(world_stats(w).hints, 8);
	assert_int_equal(world_stats(w).hints_confirmed, 8);
	assert_int_equal(world_stats(w).reads_sent, 9);
	assert_int_equal(world_stats(w).reads_hit, 9);
	assert_int_equal(world_stats(w).collects_again, 0);
}

/* One that a table names and that knows nothing was never there. */
static void who_knows_nothing_is_left_out(void **state)
{
	uint64_t key;

	(void)state;
	two_and_a_hint_at(4);
	key = fire(7, SECOND);
	assert_int_equal(w->nodes[4].nr_asked, 1);
	assert_null(world_answer(w, 7, node_id(4, 1)));
	assert_int_equal(world_seen(w, 7)->nr_answers, 2);
	assert_int_equal(world_seen(w, 7)->nr_sought_crumbs, 0);
	assert_true(world_seen(w, 7)->settled);
	assert_int_equal(world_seen(w, 7)->nr_manifests, 1);
	assert_true(world_stored(w, 1, key));
	assert_int_equal(world_stats(w).hints, 1);
	assert_int_equal(world_stats(w).hints_confirmed, 0);
}

/* Nobody waits for one that a table names and that says nothing. */
static void who_is_silent_holds_nothing_up(void **state)
{
	(void)state;
	two_and_a_hint_at(4);
	w->nodes[4].mute = true;
	assert_true(settle_ns(7) < 6 * WORLD_MS);
	world_run(w, 20 * SECOND);
	/* It is asked on, as any: it may have pinned what it has. */
	assert_true(w->nodes[4].nr_asked > 4 && w->nodes[4].nr_asked < 12);
	assert_null(world_answer(w, 7, node_id(4, 1)));
	assert_int_equal(world_stats(w).hints_vain, 1);
	assert_int_equal(world_stats(w).unreachable, 0);
	assert_int_equal(world_stats(w).nr_waiting, 0);
}

/* What an answer names and does not know is a cause, hinted at before or not.
 */
static void an_answer_confirms_the_unknown(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(2, 1)));
	world_knows(w, 2, 7, CLOSED, 1, IDS(node_id(3, 1)));
	tables(1, 2);
	fire(7, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state, UNKNOWN);
	assert_int_equal(w->nodes[3].nr_asked, 1);
	assert_int_equal(world_stats(w).hints_confirmed, 1);
}

/* One that knows the trace, and that no answer names any more, counts as
 * found: the manifest itself names it. */
static void who_knows_it_counts(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(2, 1)));
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	world_knows(w, 3, 7, CLOSED, 0, NULL);
	tables(1, 2);
	world_hint(w, 2, 7, node_id(3, 1));
	fire(7, SECOND);
	world_expect_closed(w, 7, 1, 3);
	assert_int_equal(world_seen(w, 7)->nr_sought_crumbs, 1);
}

/* Lost on its way: it is asked again from when an answer names it. */
static void a_lost_question_is_asked_again(void **state)
{
	(void)state;
	three_and_the_last_is_mute();
	fire(7, 100 * WORLD_MS);
	assert_int_equal(w->nodes[3].nr_asked, 1);
	w->nodes[3].mute = false;
	world_run(w, SECOND);
	assert_int_equal(w->nodes[3].nr_asked, 2);
	world_expect_closed(w, 7, 1, 3);
}

/* Silent for good, and named: as it is without any table. */
static void the_named_are_unreachable(void **state)
{
	(void)state;
	three_and_the_last_is_mute();
	fire(7, 3 * SECOND);
	assert_true(world_seen(w, 7)->settled);
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state,
			 HS_WIRE_STATE_UNREACHABLE);
	assert_int_equal(world_stats(w).unreachable, 1);
}

/* Garbage, failures, no room: as without a table. */
static void what_cannot_be_read_changes_nothing(void **state)
{
	(void)state;
	world_up_to(w, 1, 4);
	world_chain(w, 7, 4);
	world_chain(w, 6, 4);
	world_chain(w, 5, 4);
	world_chain(w, 4, 4);
	tables(1, 4);
	for (uint32_t i = 2; i <= 4; i++)
		world_entry(w, i, 7)->nodes[0] ^= 1;
	settle_ns(7);
	world_expect_closed(w, 7, 1, 4);
	assert_int_equal(world_stats(w).reads_torn, 3);
	w->reads_fail = true;
	settle_ns(6);
	world_expect_closed(w, 6, 1, 4);
	assert_int_equal(world_stats(w).reads_failed, 3);
	w->reads_fail = false;
	w->reads_stall = true;
	settle_ns(5);
	world_expect_closed(w, 5, 1, 4);
	assert_int_equal(world_stats(w).reads_refused, 3);
	w->reads_stall = false;
	for (uint32_t i = 2; i <= 4; i++)
		*world_entry(w, i, 4) = (struct hs_crumb_entry){0};
	settle_ns(4);
	world_expect_closed(w, 4, 1, 4);
	assert_int_equal(world_stats(w).reads_other, 3);
	assert_int_equal(world_stats(w).hints, 0);
}

/* Nodes that are not there, that left, that are of another life. */
static void hints_at_nobody(void **state)
{
	(void)state;
	world_up_to(w, 1, 3);
	world_up(w, 4, 2);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(2, 1)));
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	tables(1, 2);
	world_down(w, 3);
	world_hint(w, 2, 7, node_id(3, 1));
	world_hint(w, 2, 7, node_id(4, 1));
	world_hint(w, 2, 7, node_id(4, 3));
	world_hint(w, 2, 7, node_id(77, 1));
	world_hint(w, 2, 7, node_id(1, 1));
	world_hint(w, 2, 7, 5);
	fire(7, SECOND);
	assert_int_equal(world_seen(w, 7)->nr_answers, 2);
	assert_int_equal(world_stats(w).hints, 0);
	assert_int_equal(world_stats(w).hints_refused, 5);
	assert_int_equal(world_stats(w).nr_nodes, 4);
}

/* Between the hint and the answer that names it a node began anew. */
static void a_later_life_answers(void **state)
{
	(void)state;
	three_and_the_last_is_mute();
	w->nodes[2].mute = true;
	fire(7, 5 * WORLD_MS);
	assert_int_equal(w->nodes[3].nr_asked, 1);
	world_down(w, 3);
	world_knows(w, 3, 7, UNKNOWN, 0, NULL);
	world_up(w, 3, 2);
	w->nodes[2].mute = w->nodes[3].mute = false;
	world_run(w, 3 * SECOND);
	/* As without a hint: the earlier one is gone, a later one is there. */
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state,
			 HS_WIRE_STATE_GONE);
	assert_int_equal(world_answer(w, 7, node_id(2, 1))->state, CLOSED);
}

/* A table tells of nobody but its node, and goes with the connection. */
static void tables_are_of_a_connection(void **state)
{
	struct hs_crumb_table t;

	(void)state;
	world_up_to(w, 1, 4);
	world_chain(w, 7, 4);
	tables(1, 4);
	/* As another version has them: it stays, and is read no more. */
	t = w->nodes[4].table;
	t.version++;
	assert_int_equal(hs_coord_core_table(w->core, w->now_ns, node_id(4, 1),
					     &t, sizeof(t),
					     hs_crumbs_bytes(&t)),
			 0);
	t = w->nodes[2].table;
	t.node = node_id(3, 1);
	assert_int_equal(hs_coord_core_table(w->core, w->now_ns, node_id(2, 1),
					     &t, sizeof(t),
					     hs_crumbs_bytes(&t)),
			 -EBADMSG);
	/* Of a life that is over, or one that never was: not heard. */
	t = w->nodes[3].table;
	world_down(w, 3);
	world_up(w, 3, 1);
	assert_int_equal(hs_coord_core_table(w->core, w->now_ns, node_id(3, 2),
					     &t, sizeof(t),
					     hs_crumbs_bytes(&t)),
			 0);
	settle_ns(7);
	world_expect_closed(w, 7, 1, 4);
	assert_int_equal(world_stats(w).reads_sent, 0);
}

/* What was read of a trace comes when that is forgotten, and when another has
 * its place: it says nothing then. */
static void what_comes_too_late(void **state)
{
	const struct hs_coord_config config = {
		.seed = 42, .seek_never = true, .forget_after_ns = SECOND};
	uint64_t reads;

	(void)state;
	world_free(w);
	w = world_new(&config);
	world_up_to(w, 1, 4);
	world_chain(w, 7, 3);
	world_chain(w, 6, 3);
	world_chain(w, 5, 3);
	tables(1, 3);
	/* Who is named there would be asked. */
	for (uint64_t lo = 5; lo < 8; lo++)
		world_hint(w, 3, lo, node_id(4, 1));
	w->reads_wait = true;
	settle_ns(7);
	settle_ns(5);
	reads = world_stats(w).reads_sent;
	assert_int_equal(reads, 4);
	world_run(w, 3 * SECOND);
	assert_int_equal(world_stats(w).nr_traces, 0);
	w->reads_wait = false;
	world_run(w, 0);
	assert_int_equal(world_stats(w).reads_other, 4);
	assert_int_equal(world_stats(w).hints, 0);
	assert_int_equal(w->nodes[4].nr_asked, 0);
	/* And again, with trace 6 in the place of what was read for 7. */
	w->reads_wait = true;
	settle_ns(7);
	world_run(w, 3 * SECOND);
	assert_int_equal(world_stats(w).nr_traces, 0);
	world_trigger(w, 1, "slow", 1, IDS(6));
	while (!world_stats(w).nr_traces)
		world_run(w, WORLD_MS / 10);
	w->reads_wait = false;
	world_run(w, SECOND / 2);
	world_expect_closed(w, 6, 1, 3);
	assert_int_equal(world_stats(w).reads_other, 6);
	assert_int_equal(world_stats(w).reads_hit,
			 world_stats(w).reads_sent - 6);
	assert_int_equal(w->nodes[4].nr_asked, 1);
}

/* It names more than may wait for its answers: hints stop, crumbs are cut. */
static void hints_are_bounded(void **state)
{
	const struct hs_coord_config config = {
		.seed = 42, .seek_never = true, .origin_waiting = 4};

	(void)state;
	world_free(w);
	w = world_new(&config);
	world_up_to(w, 1, 20);
	world_knows(w, 1, 7, CLOSED, 1, IDS(node_id(2, 1)));
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	tables(1, 2);
	for (uint32_t i = 3; i < 3 + HS_CRUMB_NODES_MAX; i++) {
		world_hint(w, 2, 7, node_id(i, 1));
		w->nodes[i].mute = true;
	}
	fire(7, 3 * SECOND);
	assert_int_equal(world_stats(w).hints, 4);
	assert_int_equal(world_stats(w).hints_refused, HS_CRUMB_NODES_MAX - 4);
	assert_int_equal(world_stats(w).hints_vain, 4);
	assert_true(world_seen(w, 7)->settled);
	/* Those that came to nothing stand in nobody's way. */
	world_knows(w, 1, 6, CLOSED, 1, IDS(node_id(2, 1)));
	world_knows(w, 2, 6, CLOSED, 4,
		    IDS(node_id(3, 1), node_id(4, 1), node_id(5, 1),
			node_id(6, 1)));
	for (uint32_t i = 3; i < 7; i++) {
		world_knows(w, i, 6, CLOSED, 0, NULL);
		w->nodes[i].mute = false;
	}
	settle_ns(6);
	world_expect_closed(w, 6, 1, 6);
}

/* The hinted one fires the trace itself, and does not know it: that is said. */
static void the_hinted_one_fires(void **state)
{
	(void)state;
	two_and_a_hint_at(3);
	w->nodes[2].mute = true;
	fire(7, 10 * WORLD_MS);
	world_trigger(w, 3, "slow", 1, IDS(7));
	w->nodes[2].mute = false;
	world_run(w, SECOND);
	assert_int_equal(world_answer(w, 7, node_id(3, 1))->state, UNKNOWN);
	assert_int_equal(world_seen(w, 7)->nr_answers, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_chain_is_asked_at_once),
		T(who_knows_nothing_is_left_out),
		T(who_is_silent_holds_nothing_up),
		T(an_answer_confirms_the_unknown),
		T(who_knows_it_counts),
		T(a_lost_question_is_asked_again),
		T(the_named_are_unreachable),
		T(what_cannot_be_read_changes_nothing),
		T(hints_at_nobody),
		T(a_later_life_answers),
		T(tables_are_of_a_connection),
		T(hints_are_bounded),
		T(what_comes_too_late),
		T(the_hinted_one_fires),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}

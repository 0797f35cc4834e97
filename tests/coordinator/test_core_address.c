/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_address.c - nodes that crumbs name by their address
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/node_at.h"
#include "tests/coordinator/world.h"

#define CLOSED	 HS_WIRE_STATE_CLOSED
#define SECOND	 (1000 * WORLD_MS)
#define IDS(...) ((const uint64_t[]){__VA_ARGS__})

static struct world *w;

static int setup(void **state)
{
	const struct hs_coord_config config = {
		.seed = 42, .seek_nodes = 8, .address_doubt_ns = SECOND};

	(void)state;
	w = world_new(&config);
	world_run(w, 5 * SECOND); /* not fresh any more */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_free(w);
	return 0;
}

/* 10.0.0.N */
static uint64_t address(uint8_t n)
{
	return hs_node_at((const uint8_t[]){10, 0, 0, n}, 4);
}

static void up_at(uint32_t number, uint32_t incarnation, uint8_t n)
{
	world_up(w, number, incarnation);
	hs_coord_core_node_at(w->core, node_id(number, incarnation),
			      address(n));
}

/* What one says that calls whoever is at 10.0.0.N. */
static void calls(uint32_t number, uint8_t n)
{
	const uint64_t crumb = address(n);

	world_knows(w, number, 7, CLOSED, 1, &crumb);
}

static void fired_at_once(void)
{
	uint64_t key = world_trigger(w, 1, "slow", 1, IDS(7));

	world_run(w, SECOND);
	assert_true(world_stored(w, 1, key));
}

static void fired(void)
{
	world_run(w, 2 * SECOND);
	fired_at_once();
}

static uint16_t flags_of(uint32_t number)
{
	const struct hs_wire_answer *a = world_answer(w, 7, node_id(number, 1));

	assert_non_null(a);
	return a->flags;
}

static void words(void **state)
{
	uint8_t v6[16] = {0xfd, [15] = 1}, mapped[16] = {0};

	(void)state;
	assert_true(address(9) == 0x0a000009);
	mapped[10] = mapped[11] = 0xff;
	mapped[12] = 10, mapped[15] = 9;
	assert_true(hs_node_at(mapped, 16) == address(9));
	assert_true(hs_node_is_at(hs_node_at(v6, 16)));
	v6[15]++;
	assert_true(hs_node_at(v6, 16) !=
		    hs_node_at((const uint8_t[16]){0xfd, [15] = 1}, 16));
	assert_true(hs_node_at((const uint8_t[16]){0}, 16) == 0);
	assert_true(hs_node_at((const uint8_t[4]){0}, 4) == 0);
	assert_true(hs_node_at(v6, 6) == 0);
	assert_false(hs_node_is_at(node_id(1, 1)));
	assert_false(hs_node_is_at(0));
}

static void a_chain(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 4; i++)
		up_at(i, 1, i);
	calls(1, 2);
	calls(2, 3);
	calls(3, 4);
	world_knows(w, 4, 7, CLOSED, 0, NULL);
	fired();
	world_expect_closed(w, 7, 1, 4);
	assert_int_equal(world_seen(w, 7)->nr_address_crumbs, 3);
	assert_int_equal(world_seen(w, 7)->sought, 0);
	assert_int_equal(world_stats(w).addresses_lost, 0);
	assert_int_equal(world_stats(w).addresses, 3);
}

static void itself(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	calls(1, 1);
	fired();
	world_expect_closed(w, 7, 1, 1);
	assert_int_equal(world_seen(w, 7)->nr_address_crumbs, 0);
	assert_int_equal(world_seen(w, 7)->nr_answers, 1);
}

/* Honest, and not the end: the question to many finds who was there. */
static void nobody_there(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 2);
	calls(1, 77);
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	fired();
	assert_true(flags_of(1) & HS_WIRE_F_CUT);
	assert_int_equal(flags_of(2), 0);
	assert_int_equal(world_seen(w, 7)->sought, 2);
	assert_int_equal(world_seen(w, 7)->nr_sought_crumbs, 1);
	assert_int_equal(world_stats(w).addresses_lost, 1);
}

static void two_there(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 9);
	up_at(3, 1, 9);
	calls(1, 9);
	world_knows(w, 3, 7, CLOSED, 0, NULL);
	fired();
	assert_true(flags_of(1) & HS_WIRE_F_CUT);
	assert_int_equal(flags_of(3), 0);
}

/* Whom it called may be the one that went, also where it has the address. */
static void two_were_there(void **state)
{
	(void)state;
	up_at(1, 1, 9);
	up_at(2, 1, 1);
	up_at(3, 1, 9);
	world_run(w, 2 * SECOND);
	hs_coord_core_node_left(w->core, w->now_ns, 3);
	calls(2, 9);
	world_knows(w, 1, 7, CLOSED, 2, IDS(address(9), address(1)));
	fired_at_once();
	assert_true(flags_of(1) & HS_WIRE_F_CUT);
	assert_true(flags_of(2) & HS_WIRE_F_CUT);
	assert_int_equal(world_stats(w).addresses_lost, 2);
}

/* One is enough to be lost in a moment, and it comes back to that address. */
static void one_went_down(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 9);
	up_at(3, 1, 9);
	world_run(w, 2 * SECOND);
	world_down(w, 3);
	calls(1, 9);
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	fired_at_once();
	assert_true(flags_of(1) & HS_WIRE_F_CUT);
}

/* Long ago: whom it called was there alone. */
static void alone_since(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 9);
	up_at(3, 1, 9);
	world_down(w, 3);
	calls(1, 9);
	world_knows(w, 2, 7, CLOSED, 1, IDS(address(9)));
	fired();
	world_expect_closed(w, 7, 1, 2);
}

/* The one that is up has it; who was there before is nobody's peer now. */
static void moved(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 9);
	world_down(w, 2);
	up_at(3, 1, 9);
	calls(1, 9);
	world_knows(w, 3, 7, CLOSED, 0, NULL);
	fired();
	assert_int_equal(flags_of(1), 0);
	assert_int_equal(flags_of(3), 0);
	assert_int_equal(world_seen(w, 7)->nr_answers, 2);
}

/* Another memory, or another node: who was called may be another. */
static void new_there(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 2);
	world_run(w, 2 * SECOND);
	world_down(w, 2);
	up_at(2, 2, 2);
	calls(1, 2);
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	fired_at_once();
	assert_true(flags_of(1) & HS_WIRE_F_CUT);
	assert_non_null(world_answer(w, 7, node_id(2, 2)));
	assert_int_equal(world_stats(w).addresses_lost, 1);
}

/* Its old address is nobody's, whether it comes back or leaves. */
static void elsewhere_now(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 9);
	world_down(w, 2);
	up_at(2, 2, 10);
	up_at(3, 1, 11);
	hs_coord_core_node_left(w->core, w->now_ns, 3);
	world_knows(w, 1, 7, CLOSED, 3,
		    IDS(address(9), address(10), address(11)));
	world_knows(w, 2, 7, CLOSED, 0, NULL);
	fired();
	assert_true(flags_of(1) & HS_WIRE_F_CUT);
	assert_non_null(world_answer(w, 7, node_id(2, 2)));
	assert_int_equal(world_stats(w).addresses_lost, 2);
}

/* It died, and is asked as if its id had been named. */
static void down_now(void **state)
{
	(void)state;
	up_at(1, 1, 1);
	up_at(2, 1, 2);
	world_down(w, 2);
	world_run(w, 2 * SECOND);
	calls(1, 2);
	world_trigger(w, 1, "slow", 1, IDS(7));
	world_run(w, 10 * SECOND);
	assert_int_equal(flags_of(1), 0);
	assert_int_equal(world_answer(w, 7, node_id(2, 1))->state,
			 HS_WIRE_STATE_UNREACHABLE);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(words),	     each(a_chain),	  each(itself),
		each(nobody_there),  each(two_there),	  each(two_were_there),
		each(one_went_down), each(alone_since),	  each(moved),
		each(new_there),     each(elsewhere_now), each(down_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

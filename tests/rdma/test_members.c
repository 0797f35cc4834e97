/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_members.c - the list of members: every transition, sources that change
 * their minds, connections that overtake each other, and who owns what
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "rdma/members.h"

#define S      1000000000ull
#define NR     8u
#define ID(n)  ((uint64_t)(n) << 32 | 1)
#define AGENT  HS_WIRE_ROLE_AGENT
#define COORD  HS_WIRE_ROLE_COORDINATOR
#define COLL   HS_WIRE_ROLE_COLLECTOR
#define NOBODY 0u

static struct hs_members *make(uint32_t nr)
{
	const struct hs_members_config config = {.nr = nr,
						 .expire_after_ns = 60 * S};
	void *memory = calloc(1, hs_members_size_bytes(&config));

	assert_non_null(memory);
	return hs_members_create(memory, &config);
}

static void check(const struct hs_members *m)
{
	const char *why = "";

	if (!hs_members_check(m, &why))
		fail_msg("it does not add up: %s", why);
}

static struct hs_member_line line(uint32_t number, const char *address)
{
	struct hs_member_line l = {.number = number};

	snprintf(l.address, sizeof(l.address), "%s", address);
	return l;
}

static uint32_t came(struct hs_members *m, enum hs_wire_role role, uint64_t id,
		     const char *address, uint32_t peer, uint64_t now_ns)
{
	uint32_t superseded;

	return hs_members_came(m, role, id, "p", address, peer, now_ns,
			       &superseded);
}

static enum hs_member_state state_of(const struct hs_members *m,
				     enum hs_wire_role role, uint32_t number)
{
	const struct hs_member *at =
		hs_member(m, hs_members_find(m, role, number));

	return at ? at->state : HS_MEMBER_FREE;
}

/* Every state is entered, and every event leads where the table says. */
static void the_table(void **state)
{
	struct hs_member_line one[] = {line(7, "h:1")};
	struct hs_members *m = make(NR);

	(void)state;
	assert_true(hs_members_list(m, COORD, true, one, 1, S));
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_JOINING);
	assert_false(hs_members_list(m, COORD, true, one, 1, S));
	assert_true(hs_members_list(m, COORD, true, NULL, 0, S));
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_GONE);
	assert_true(hs_members_list(m, COORD, true, one, 1, S));
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_JOINING);
	came(m, COORD, ID(7), "h:1", 3, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_UP);
	hs_members_went(m, 3, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_DOWN);
	came(m, COORD, ID(7), "h:1", 4, S);
	hs_members_list(m, COORD, true, NULL, 0, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_LEAVING);
	hs_members_list(m, COORD, true, one, 1, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_UP);
	hs_members_leaves(m, 4, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_LEAVING);
	hs_members_went(m, 4, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_GONE);
	came(m, COORD, ID(7), "h:1", 5, S);
	assert_int_equal(state_of(m, COORD, 7), HS_MEMBER_UP);
	hs_members_went(m, 5, S);
	hs_members_list(m, COORD, true, NULL, 0, S);
	check(m);
	free(m);
}

static void unlisted_ones_expire(void **state)
{
	struct hs_member_line one[] = {line(8, "")};
	struct hs_members *m = make(NR);

	(void)state;
	came(m, AGENT, ID(7), "", 1, S);
	hs_members_list(m, AGENT, false, one, 1, S);
	came(m, AGENT, ID(8), "", 2, S);
	hs_members_went(m, 1, S);
	hs_members_went(m, 2, S);
	hs_members_tick(m, 60 * S);
	assert_int_equal(state_of(m, AGENT, 7), HS_MEMBER_DOWN);
	hs_members_tick(m, 61 * S);
	assert_int_equal(state_of(m, AGENT, 7), HS_MEMBER_GONE);
	assert_int_equal(state_of(m, AGENT, 8), HS_MEMBER_DOWN);
	check(m);
	free(m);
}

static void names_are_bound_to_addresses(void **state)
{
	struct hs_member_line two[] = {line(0, "a:1"), line(0, "b:1")};
	struct hs_members *m = make(NR);
	uint32_t a, superseded;

	(void)state;
	hs_members_list(m, COLL, true, two, 2, S);
	a = came(m, COLL, ID(5), "a:1", 1, S);
	assert_int_equal(hs_member(m, a)->number, 5);
	assert_true(hs_member(m, a)->listed);
	/* The machine came back before its old connection was seen to end. */
	assert_int_equal(hs_members_came(m, COLL, ID(5) + 1, "p", "a:1", 9, S,
					 &superseded),
			 a);
	assert_int_equal(superseded, 1);
	assert_int_equal(hs_members_went(m, 1, S), NOBODY);
	assert_int_equal(hs_members_peer(m, 9), a);
	hs_members_went(m, 9, S);
	/* Another node sits at that address now. */
	a = came(m, COLL, ID(6), "a:1", 10, S);
	assert_int_equal(hs_member(m, a)->number, 6);
	assert_true(hs_member(m, a)->listed);
	assert_int_equal(hs_members_find(m, COLL, 5), NOBODY);
	check(m);
	free(m);
}

static void room_is_bounded(void **state)
{
	struct hs_members *m = make(2);

	(void)state;
	assert_int_not_equal(came(m, AGENT, ID(1), "", 1, S), NOBODY);
	assert_int_not_equal(came(m, AGENT, ID(2), "", 2, S), NOBODY);
	assert_int_equal(came(m, AGENT, ID(3), "", 3, S), NOBODY);
	assert_int_equal(m->stats.refused, 1);
	/* One that is gone makes room, the oldest first. */
	hs_members_leaves(m, 2, S);
	hs_members_went(m, 2, S);
	assert_int_not_equal(came(m, AGENT, ID(3), "", 3, S), NOBODY);
	assert_int_equal(hs_members_find(m, AGENT, 2), NOBODY);
	check(m);
	free(m);
}

static void owners_move_only_when_theirs_goes(void **state)
{
	struct hs_members *m = make(NR);
	uint32_t owner[300], nr[4] = {0};

	(void)state;
	assert_int_equal(
		hs_members_shard(m, &(struct hs_wire_trace_id){1, 2}, 0),
		NOBODY);
	for (uint32_t i = 1; i <= 3; i++)
		came(m, COORD, ID(i), "", i, S);
	for (uint32_t i = 0; i < 300; i++) {
		struct hs_wire_trace_id id = {i, i * 77};
		uint32_t first = hs_members_shard(m, &id, 0);
		uint32_t second = hs_members_shard(m, &id, 1);
		uint32_t third = hs_members_shard(m, &id, 2);

		assert_true(first != second && second != third &&
			    third != first);
		assert_int_equal(hs_members_shard(m, &id, 3), first);
		owner[i] = hs_member(m, first)->number;
		nr[owner[i]]++;
	}
	for (uint32_t i = 1; i <= 3; i++)
		assert_in_range(nr[i], 60, 140);
	/* A restart moves nothing, a death what it owned, to the second. */
	came(m, COORD, ID(3) + 7, "", 33, S);
	for (uint32_t i = 0; i < 300; i++) {
		struct hs_wire_trace_id id = {i, i * 77};

		assert_int_equal(
			hs_member(m, hs_members_shard(m, &id, 0))->number,
			owner[i]);
	}
	hs_members_went(m, 2, S);
	for (uint32_t i = 0; i < 300; i++) {
		struct hs_wire_trace_id id = {i, i * 77};
		uint32_t now =
			hs_member(m, hs_members_shard(m, &id, 0))->number;

		assert_int_not_equal(now, 2);
		if (owner[i] != 2)
			assert_int_equal(now, owner[i]);
	}
	free(m);
}

/* A collector that is down is waited for; one that was never reached, too, for
 * a while; one that is listed no more is not. */
static void collectors_are_waited_for(void **state)
{
	struct hs_member_line two[] = {line(1, "a:1"), line(0, "b:1")};
	struct hs_wire_trace_id id = {3, 4};
	struct hs_members *m = make(NR);
	uint64_t routes;
	uint32_t owner;

	(void)state;
	hs_members_list(m, COLL, true, two, 2, S);
	came(m, COLL, ID(1), "a:1", 1, S);
	assert_int_equal(hs_members_collector(m, &id, 2 * S), NOBODY);
	routes = hs_members_routes(m, S);
	assert_int_equal(hs_members_routes(m, 2 * S), routes);
	owner = hs_members_collector(m, &id, 7 * S);
	assert_int_not_equal(hs_members_routes(m, 7 * S), routes);
	routes = hs_members_routes(m, 7 * S);
	assert_int_equal(hs_member(m, owner)->number, 1);
	came(m, COLL, ID(2), "b:1", 2, 8 * S);
	for (uint64_t lo = 0; lo < 64; lo++) {
		struct hs_wire_trace_id at = {9, lo};

		owner = hs_members_collector(m, &at, 9 * S);
		assert_int_not_equal(owner, NOBODY);
		if (hs_member(m, owner)->number == 2)
			id = at;
	}
	assert_int_not_equal(hs_members_routes(m, 9 * S), routes);
	routes = hs_members_routes(m, 9 * S);
	hs_members_went(m, 2, 9 * S);
	assert_int_not_equal(hs_members_routes(m, 9 * S), routes);
	assert_int_equal(hs_members_collector(m, &id, 99 * S), NOBODY);
	hs_members_list(m, COLL, true, two, 1, 99 * S);
	owner = hs_members_collector(m, &id, 99 * S);
	assert_int_equal(hs_member(m, owner)->number, 1);
	free(m);
}

/* Who connects to us under a collector's role owns nothing that was not listed:
 * not while it is there, and nobody waits for it when it is gone. */
static void strangers_own_nothing(void **state)
{
	struct hs_member_line one[] = {line(1, "a:1")};
	struct hs_members *m = make(NR);

	(void)state;
	hs_members_list(m, COLL, true, one, 1, S);
	came(m, COLL, ID(1), "a:1", 1, S);
	came(m, COLL, ID(119), "", 2, S);
	for (uint32_t turn = 0; turn < 2; turn++) {
		for (uint64_t lo = 0; lo < 64; lo++) {
			struct hs_wire_trace_id at = {9, lo};
			uint32_t owner = hs_members_collector(m, &at, 9 * S);

			assert_int_not_equal(owner, NOBODY);
			assert_int_equal(hs_member(m, owner)->number, 1);
		}
		hs_members_went(m, 2, 9 * S);
	}
	free(m);
}

/* Anything in any order leaves sums that add up. */
static void random_walks(void **state)
{
	struct hs_random r;

	(void)state;
	hs_random_seed(&r, 11);
	for (uint32_t walk = 0; walk < 200; walk++) {
		struct hs_members *m = make(6);

		for (uint32_t i = 0; i < 300; i++) {
			struct hs_member_line lines[4];
			enum hs_wire_role role =
				(enum hs_wire_role)(1 + hs_random_below(&r, 3));
			uint32_t nr = (uint32_t)hs_random_below(&r, 4);
			uint32_t n = 1 + (uint32_t)hs_random_below(&r, 5);
			char address[8];

			snprintf(address, sizeof(address), "%u:1",
				 (uint32_t)hs_random_below(&r, 5));
			for (uint32_t k = 0; k < nr; k++) {
				char a[8];

				snprintf(a, sizeof(a), "%u:1",
					 (uint32_t)hs_random_below(&r, 5));
				lines[k] = line(
					(uint32_t)hs_random_below(&r, 5), a);
			}
			switch (hs_random_below(&r, 5)) {
			case 0:
				hs_members_list(m, role, true, lines, nr,
						i * S);
				break;
			case 1:
				came(m, role, ID(n), address, 100 + i, i * S);
				break;
			case 2:
				hs_members_went(m, 100 + i - n, i * S);
				break;
			case 3:
				hs_members_leaves(m, 100 + i - n, i * S);
				break;
			default:
				hs_members_tick(m, i * S);
			}
			check(m);
		}
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
		cmocka_unit_test(unlisted_ones_expire),
		cmocka_unit_test(names_are_bound_to_addresses),
		cmocka_unit_test(room_is_bounded),
		cmocka_unit_test(owners_move_only_when_theirs_goes),
		cmocka_unit_test(collectors_are_waited_for),
		cmocka_unit_test(strangers_own_nothing),
		cmocka_unit_test(random_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_peers.c - the latest connection of a node, and one owner of a trace
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/peers.h"

static struct hs_transport_peer make(uint32_t peer, enum hs_wire_role role,
				     uint64_t node)
{
	return (struct hs_transport_peer){peer, role, node, "p"};
}

static void latest_connection(void **state)
{
	struct hs_transport_peer a = make(1, HS_WIRE_ROLE_AGENT, 7ULL << 32);
	struct hs_transport_peer b =
		make(17, HS_WIRE_ROLE_AGENT, 7ULL << 32 | 1);
	struct hs_transport_peer c =
		make(33, HS_WIRE_ROLE_COLLECTOR, 7ULL << 32);
	struct hs_peers p;

	(void)state;
	assert_int_equal(hs_peers_init(&p, 3), 0);
	assert_non_null(hs_peers_add(&p, &a));
	assert_non_null(hs_peers_add(&p, &b));
	assert_non_null(hs_peers_add(&p, &c));
	assert_null(hs_peers_add(&p, &a));
	assert_int_equal(
		hs_peers_node(&p, HS_WIRE_ROLE_AGENT, 7ULL << 32)->at.peer, 17);
	hs_peers_drop(&p, 17);
	hs_peers_drop(&p, 17);
	assert_null(hs_peers_find(&p, 17));
	assert_int_equal(
		hs_peers_node(&p, HS_WIRE_ROLE_AGENT, 7ULL << 32)->at.peer, 1);
	hs_peers_drop(&p, 1);
	assert_null(hs_peers_node(&p, HS_WIRE_ROLE_AGENT, 7ULL << 32));
	assert_int_equal(hs_peers_find(&p, 33)->at.peer, 33);
	assert_non_null(hs_peers_add(&p, &b));
	hs_peers_free(&p);
}

static void owner_moves_only_when_its_own_goes(void **state)
{
	struct hs_peers p;
	uint32_t owner[100];
	uint32_t nr[4] = {0};

	(void)state;
	assert_int_equal(hs_peers_init(&p, 8), 0);
	assert_null(hs_peers_owner(&p, &(struct hs_wire_trace_id){1, 2}));
	for (uint32_t i = 1; i <= 3; i++) {
		struct hs_transport_peer at =
			make(i, HS_WIRE_ROLE_COLLECTOR, (uint64_t)i << 32);

		assert_non_null(hs_peers_add(&p, &at));
	}
	for (uint32_t i = 0; i < 100; i++) {
		struct hs_wire_trace_id id = {i, i * 77};

		owner[i] = hs_peers_owner(&p, &id)->at.peer;
		nr[owner[i]]++;
	}
	for (uint32_t i = 1; i <= 3; i++)
		assert_in_range(nr[i], 15, 60);
	hs_peers_drop(&p, 2);
	for (uint32_t i = 0; i < 100; i++) {
		struct hs_wire_trace_id id = {i, i * 77};
		uint32_t now = hs_peers_owner(&p, &id)->at.peer;

		if (owner[i] != 2)
			assert_int_equal(now, owner[i]);
		else
			assert_int_not_equal(now, 2);
	}
	hs_peers_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(latest_connection),
		cmocka_unit_test(owner_moves_only_when_its_own_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

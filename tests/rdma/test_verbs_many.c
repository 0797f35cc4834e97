/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verbs_many.c - what a thousand connections make one side register
 *
 * A coordinator with a thousand peers on a device made of memory: what it
 * registers for each beyond the receive queue that all share, when nothing is
 * said, when hops are, and when each is sent what does not fit inline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/verbs.h"
#include "tests/rdma/fake_verbs.h"
#include "tests/rdma/until.h"

#define PEERS 1000u
#define GOAL  ((uint64_t)64 << 10)

struct side {
	struct hs_transport *t;
	uint32_t peers[PEERS];
	uint32_t nr_up;
	uint32_t nr_messages;
};

static struct side coordinator, agents;

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	assert_true(s->nr_up < PEERS);
	s->peers[s->nr_up++] = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	(void)ctx;
	fail_msg("peer %u went down", peer);
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct side *s = ctx;

	(void)peer, (void)type, (void)payload, (void)payload_bytes;
	s->nr_messages++;
}

static void open_side(struct side *s, uint64_t node)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	/* A slow machine must not take them for silent. */
	const struct hs_transport_limits limits = {
		.nr_peers = 1024, .idle_timeout_ns = 600 * HS_NS_PER_SEC};
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = node, .name = "side"};

	s->t = hs_transport_verbs_create_with(&fake_verbs_api, &self, &limits,
					      NULL, &events, s);
	assert_non_null(s->t);
}

static void turn(void)
{
	assert_int_equal(hs_transport_poll(coordinator.t, 1), 0);
	assert_int_equal(hs_transport_poll(agents.t, 0), 0);
}

static void say_all(uint32_t size)
{
	static uint8_t bytes[100000];
	const struct iovec iov = {bytes, size};
	uint32_t want = agents.nr_messages + PEERS;

	for (uint32_t i = 0; i < PEERS; i++)
		assert_int_equal(hs_transport_send(coordinator.t,
						   coordinator.peers[i],
						   HS_WIRE_SLICE, &iov, 1),
				 0);
	until(agents.nr_messages == want);
}

static struct hs_transport_verbs_stats told(const char *when)
{
	struct hs_transport_verbs_stats st;

	assert_true(hs_transport_verbs_stats(coordinator.t, &st));
	print_message("%u connections, %s: %llu B registered for each beyond "
		      "the receive queue, at most %llu B; %llu B shared, %u of "
		      "%u receives promised\n",
		      PEERS, when,
		      (unsigned long long)(st.registered_peer_bytes / PEERS),
		      (unsigned long long)st.registered_peer_max_bytes,
		      (unsigned long long)st.registered_shared_bytes,
		      st.srq_reserved, st.srq_depth);
	assert_true(st.registered_peer_max_bytes <= GOAL);
	assert_true(st.registered_peer_bytes <= GOAL * PEERS);
	assert_true(st.srq_reserved_max <= st.srq_depth);
	return st;
}

static void a_thousand(void **state)
{
	char address[40];
	int port;

	(void)state;
	fake_reset();
	hs_log_level_set(HS_LOG_ERROR);
	open_side(&coordinator, 1);
	open_side(&agents, 2);
	port = hs_transport_listen(coordinator.t, "127.0.0.1:0");
	assert_true(port > 0);
	for (uint32_t i = 0; i < PEERS; i++) {
		snprintf(address, sizeof(address), "127.1.%u.%u:%d", i / 250,
			 i % 250 + 1, port);
		assert_int_equal(hs_transport_dial(agents.t, address), 0);
	}
	until(coordinator.nr_up == PEERS && agents.nr_up == PEERS);
	assert_int_equal(told("quiet").registered_peer_bytes, 0);
	say_all(120);
	assert_int_equal(told("a hop each").registered_peer_bytes, 0);
	say_all(100000);
	assert_int_equal(told("100 kB each").registered_peer_bytes,
			 (uint64_t)PEERS * HS_VERBS_RING_BYTES);
	hs_transport_destroy(agents.t);
	hs_transport_destroy(coordinator.t);
	if (fake.wrong)
		fail_msg("%s", fake.wrong);
	assert_int_equal(fake.nr_objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_thousand)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

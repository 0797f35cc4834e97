/* SPDX-License-Identifier: Apache-2.0 */
/*
 * victim.c - see victim.h
 */
#include "tests/rdma/victim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct hs_transport *t;
int port;
uint32_t nr_up, nr_down, nr_messages, last_up;

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	(void)ctx;
	nr_up++;
	last_up = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	(void)ctx, (void)peer;
	nr_down++;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	(void)ctx, (void)peer, (void)type, (void)payload, (void)payload_bytes;
	nr_messages++;
}

const struct hs_transport_events events = {on_up, on_down, on_message, NULL};

void victim_open(struct hs_transport *(*create)(
			 const struct hs_transport_self *self,
			 const struct hs_transport_limits *limits,
			 const struct hs_transport_events *events, void *ctx),
		 const char *key_file, const struct hs_transport_limits *limits)
{
	const struct hs_transport_self self = {.role = HS_WIRE_ROLE_COORDINATOR,
					       .node = 77,
					       .name = "victim",
					       .trust = {.key_file = key_file}};

	nr_up = nr_down = nr_messages = 0;
	t = create(&self, limits, &events, NULL);
	assert_non_null(t);
	port = hs_transport_listen(t, "127.0.0.1:0");
	assert_true(port > 0);
}

int teardown(void **state)
{
	(void)state;
	hs_transport_destroy(t);
	return 0;
}

void turn(void)
{
	assert_int_equal(hs_transport_poll(t, 1), 0);
}

struct hs_transport_stats stats(void)
{
	struct hs_transport_stats st;

	hs_transport_stats(t, &st);
	return st;
}

uint64_t cut(enum hs_transport_cause cause)
{
	return stats().cut[cause];
}

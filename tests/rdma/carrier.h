/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier.h - what test_transport.c has to know about a carrier
 *
 * One suite, linked with one of carrier_*.c each.
 */
#ifndef HS_TESTS_CARRIER_H
#define HS_TESTS_CARRIER_H

#include "rdma/transport.h"

struct carrier {
	const char *name;
	/** open() - 0, or 77 and a line on stderr if it cannot run here */
	int (*open)(void);
	struct hs_transport *(*create)(int side,
				       const struct hs_transport_self *self,
				       const struct hs_transport_limits *limits,
				       const struct hs_transport_events *events,
				       void *ctx);
	/** where that side listens, without the port */
	void (*host)(int side, char *out, size_t size_bytes);
	/** after each test: NULL, or what it broke */
	const char *(*check)(void);
	uint64_t idle_ns; /* silence that a busy machine does not cause */
	uint64_t at;	  /* peers' address, by base/node_at.h; 0: not told */
};

extern const struct carrier carrier;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier_tcp.c - the suite over TCP on this machine
 */
#include <stdio.h>

#include "base/clock.h"
#include "tests/rdma/carrier.h"

static int open_tcp(void)
{
	return 0;
}

static struct hs_transport *create(int side,
				   const struct hs_transport_self *self,
				   const struct hs_transport_limits *limits,
				   const struct hs_transport_events *events,
				   void *ctx)
{
	return hs_transport_tcp_create(self, limits, events, ctx);
}

static void host(int side, char *out, size_t size_bytes)
{
	snprintf(out, size_bytes, "127.0.0.1");
}

static const char *check(void)
{
	return NULL;
}

const struct carrier carrier = {"tcp", open_tcp,	  create,    host,
				check, 50 * HS_NS_PER_MS, 0x7f000001};

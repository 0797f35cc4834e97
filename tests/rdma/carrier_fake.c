/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier_fake.c - the suite over verbs on devices made of memory
 */
#include <stdio.h>

#include "base/clock.h"
#include "rdma/verbs.h"
#include "tests/rdma/carrier.h"
#include "tests/rdma/fake_verbs.h"

static int open_fake(void)
{
	fake_reset();
	return 0;
}

static struct hs_transport *create(int side,
				   const struct hs_transport_self *self,
				   const struct hs_transport_limits *limits,
				   const struct hs_transport_events *events,
				   void *ctx)
{
	return hs_transport_verbs_create_with(&fake_verbs_api, self, limits,
					      NULL, events, ctx);
}

static void host(int side, char *out, size_t size_bytes)
{
	snprintf(out, size_bytes, "127.0.0.1");
}

static const char *check(void)
{
	if (!fake.wrong && fake.nr_objects)
		return "an object was not freed";
	return fake.wrong;
}

const struct carrier carrier = {"fake verbs", open_fake,	 create, host,
				check,	      50 * HS_NS_PER_MS, 0};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier_verbs.c - the suite over real RDMA devices
 *
 * HS_VERBS_HOSTS names the addresses of the sides' devices, by commas; sides
 * beyond the list begin again at its start. Without it, and without a device,
 * the suite is skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rdma/transport_verbs.h"
#include "tests/rdma/carrier.h"

#define HOSTS_MAX 16

static char hosts[HOSTS_MAX][HS_VERBS_NAME_BYTES];
static int nr_hosts;

static int open_verbs(void)
{
	const char *text = getenv("HS_VERBS_HOSTS");

	while (text && *text && nr_hosts < HOSTS_MAX) {
		size_t n = strcspn(text, ",");

		if (n == 0 || n >= HS_VERBS_NAME_BYTES)
			break;
		memcpy(hosts[nr_hosts++], text, n);
		text += n + (text[n] == ',');
	}
	if (nr_hosts)
		return 0;
	fprintf(stderr, "SKIPPED: HS_VERBS_HOSTS names no address of an RDMA "
			"device\n");
	return 77;
}

static void host(int side, char *out, size_t size_bytes)
{
	snprintf(out, size_bytes, "%s", hosts[side % nr_hosts]);
}

static struct hs_transport *create(int side,
				   const struct hs_transport_self *self,
				   const struct hs_transport_limits *limits,
				   const struct hs_transport_events *events,
				   void *ctx)
{
	struct hs_transport_verbs_options options = {.spin_ns = 0};

	host(side, options.source, sizeof(options.source));
	return hs_transport_verbs_create(self, limits, &options, events, ctx);
}

static const char *check(void)
{
	return NULL;
}

/* Soft-RoCE in an emulated guest stalls for 15 ms now and then. */
const struct carrier carrier = {"verbs", open_verbs,	     create, host,
				check,	 100 * HS_NS_PER_MS, 0};

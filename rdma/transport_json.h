/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what a daemon's status says of its transport, alike in all three. */
#ifndef HS_RDMA_TRANSPORT_JSON_H
#define HS_RDMA_TRANSPORT_JSON_H

#include <jansson.h>

#include "rdma/transport.h"

/**
 * hs_transport_json() - carrier, why it is that one, what it counts
 * @t: the transport
 * @stats: of it, taken when its owner could
 * @why: of hs_transport_create()
 *
 * Own: the caller's reference. Return: NULL: no memory.
 */
json_t *hs_transport_json(const struct hs_transport *t,
			  const struct hs_transport_stats *stats,
			  const char *why);

#endif

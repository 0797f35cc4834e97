/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_near.c - see verbs_near.h
 */
#include "rdma/verbs_near.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/numa.h"

static int compare(const void *left, const void *right)
{
	const struct hs_verbs_port *a = left, *b = right;
	int by;

	if (a->active != b->active)
		return a->active ? -1 : 1;
	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	by = strverscmp(a->device, b->device); /* mlx5_2 before mlx5_10 */
	if (by)
		return by;
	return a->number < b->number ? -1 : a->number > b->number;
}

uint32_t hs_verbs_near_order(const struct hs_numa *numa, uint64_t here,
			     struct hs_verbs_port *ports, uint32_t nr)
{
	uint32_t nr_active = 0;

	for (uint32_t i = 0; i < nr; i++) {
		ports[i].distance =
			hs_numa_distance(numa, here, ports[i].nodes);
		nr_active += ports[i].active;
	}
	qsort(ports, nr, sizeof(*ports), compare);
	return nr_active;
}

static const uint8_t *bytes_of(const struct sockaddr *at)
{
	return at->sa_family == AF_INET6
		       ? ((const struct sockaddr_in6 *)at)->sin6_addr.s6_addr
		       : (const uint8_t *)&((const struct sockaddr_in *)at)
				 ->sin_addr;
}

static bool same_bits(const struct hs_verbs_address *a,
		      const struct sockaddr *to, uint32_t bits)
{
	const uint8_t *left = bytes_of((const struct sockaddr *)&a->at);
	const uint8_t *right = bytes_of(to);
	uint32_t rest = bits % 8;

	if (a->at.ss_family != to->sa_family ||
	    memcmp(left, right, bits / 8) != 0)
		return false;
	return !rest || (left[bits / 8] ^ right[bits / 8]) >> (8 - rest) == 0;
}

const struct hs_verbs_address *
hs_verbs_near_from(const struct hs_verbs_port *ports, uint32_t nr,
		   const struct sockaddr *to)
{
	uint32_t all = to->sa_family == AF_INET6 ? 128 : 32;
	const struct hs_verbs_address *beside = NULL, *beyond = NULL;

	if (to->sa_family != AF_INET && to->sa_family != AF_INET6)
		return NULL;
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < ports[i].nr_addresses; k++) {
			const struct hs_verbs_address *a =
				&ports[i].addresses[k];

			if (same_bits(a, to, all))
				return NULL;
			if (!beside && a->network_bits &&
			    a->network_bits <= all &&
			    same_bits(a, to, a->network_bits))
				beside = a;
			if (!beyond && same_bits(a, to, 0))
				beyond = a;
		}
	return beside ? beside : beyond;
}

void hs_verbs_near_text(const struct hs_verbs_port *ports, uint32_t nr,
			char *out, size_t size_bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < nr && used < size_bytes; i++) {
		const struct hs_verbs_port *p = &ports[i];
		char how[32];
		int n;

		snprintf(how, sizeof(how), "%s%u", i ? "" : "distance ",
			 p->distance);
		n = snprintf(out + used, size_bytes - used, "%s%s port %u (%s)",
			     i ? ", " : "nearest: ", p->device, p->number,
			     p->active ? how : "not active");
		used += n > 0 ? (size_t)n : 0;
	}
}

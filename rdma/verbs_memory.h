/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_memory.h - registered memory: huge pages where there are any
 *
 * Registered for local access only: no peer can read or write any of it.
 */
#ifndef HS_RDMA_VERBS_MEMORY_H
#define HS_RDMA_VERBS_MEMORY_H

#include <stdbool.h>

#include "rdma/verbs_api.h"

#define HS_VERBS_HUGE_BYTES ((size_t)2 << 20)
/* What a connection registers when it sends what does not fit inline. */
#define HS_VERBS_RING_BYTES ((size_t)64 << 10)

struct hs_verbs_area {
	uint8_t *data;
	size_t size_bytes;
	struct ibv_mr *mr;
	bool huge;
	struct hs_verbs_area *next;
};

struct hs_verbs_ring {
	uint8_t *data;
	uint32_t lkey;
	struct hs_verbs_ring *next;
};

/* Rings of one device, cut from areas; given back ones are used again. */
struct hs_verbs_memory {
	const struct hs_verbs_api *api;
	struct ibv_pd *pd;
	struct hs_verbs_area *areas;
	struct hs_verbs_ring *spare;
};

/** hs_verbs_area_open() - at least @size_bytes; Return: 0 or -errno */
int hs_verbs_area_open(struct hs_verbs_area *a, const struct hs_verbs_api *api,
		       struct ibv_pd *pd, size_t size_bytes);
void hs_verbs_area_close(struct hs_verbs_area *a,
			 const struct hs_verbs_api *api);

/** hs_verbs_ring_get() - HS_VERBS_RING_BYTES, or NULL: no memory */
struct hs_verbs_ring *hs_verbs_ring_get(struct hs_verbs_memory *m);
void hs_verbs_ring_put(struct hs_verbs_memory *m, struct hs_verbs_ring *r);
void hs_verbs_memory_close(struct hs_verbs_memory *m);

#endif

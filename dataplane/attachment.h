/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one attachment to an agent: its mappings, and this process's
 * private view of them.
 *
 * Guarantees: everything in `down` is checked once, at hs_attachment_make(),
 * against the sizes that the kernel reports for the descriptors; what was
 * checked is kept here and the shared copy is not asked again. A descriptor
 * that could shrink is refused, so that no later access can fault.
 *
 * Life: made by the helper, published in hs_client.attachment, and kept until
 * hs_client_close(). When a new one replaces it, hs_attachment_retire() lays
 * private zero pages over its mappings: a thread that is still inside a call
 * then writes where nobody reads, and the old pool's memory is given back.
 */
#ifndef HS_DATAPLANE_ATTACHMENT_H
#define HS_DATAPLANE_ATTACHMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/lane.h"
#include "hs/shm_format.h"

/* Descriptors of an attachment: down, up, and a pool for each NUMA node. */
#define HS_ATTACHMENT_FDS_MAX (2u + HS_SHM_NR_NODES)

/* The ring of one size class within a stock. */
struct hs_attachment_ring {
	uint64_t offset;
	uint32_t mask; /* of its words */
};

struct hs_attachment {
	uint64_t number; /* of this process, from 1 */
	struct hs_attachment *next;
	uint8_t *down;
	uint8_t *up;
	uint8_t *pools[HS_SHM_NR_NODES];
	size_t down_bytes, up_bytes, pool_bytes; /* of each pool */
	struct hs_shm_down layout;		 /* the checked copy */
	struct hs_attachment_ring rings[HS_SHM_NR_CLASSES];
	uint32_t bad; /* 1: shared memory held nonsense; drop everything */
	uint32_t lane_hint;
	uint32_t nr_rows; /* lanes that keep a row of stock: stock.c */
	struct hs_shm_status clock; /* our copy of the calibration */
	/* Of up, NULL where the agent gave no room for counts. */
	struct hs_shm_watch *watch;
	struct hs_shm_operation *operations;
	struct hs_shm_tally *tallies;
	uint32_t nr_stripes, nr_own_stripes; /* the first ones: a lane's each */
	uint32_t slots_used;		     /* up to which up says it */
	struct hs_shm_slot *slots;
	uint64_t *lanes_taken; /* bitmap */
	struct hs_lane *lanes;
	struct hs_trace *homeless; /* ended without a lane: ending.h */
};

/**
 * hs_attachment_check() - whether a layout fits into mappings of these sizes
 * @layout: what version 1 left unsaid is filled in
 *
 * Context: pure.
 * Return:  0, -EPROTO for another magic or version, -EBADMSG for bad numbers.
 */
int hs_attachment_check(struct hs_shm_down *layout, uint64_t down_bytes,
			uint64_t up_bytes, uint64_t pool_bytes);

/**
 * hs_attachment_make() - map what an agent sent
 * @fds: down, up, pools; they stay the caller's
 *
 * Return: 0; negative errno when refused.
 */
int hs_attachment_make(const int *fds, uint32_t nr_fds,
		       struct hs_attachment **out);

/* Detach the memory but keep the address range; see above. */
void hs_attachment_retire(struct hs_attachment *at);

/* Context: no thread uses it any more. @mapped: false in a forked child. */
void hs_attachment_free(struct hs_attachment *at, bool mapped);

/**
 * hs_attachment_lane_take() - a lane for the calling thread
 *
 * Return: NULL when all are taken but the last one, which is borrowed.
 */
struct hs_lane *hs_attachment_lane_take(struct hs_attachment *at);
/**
 * hs_attachment_lane_borrow() - a lane for one call of a thread without
 *
 * Return: NULL while another one has it, or where there is one lane in all; to
 *	   be given back by hs_attachment_lane_return().
 */
struct hs_lane *hs_attachment_lane_borrow(struct hs_attachment *at);
/** hs_attachment_lane_take_index() - this one; false when a thread has it */
bool hs_attachment_lane_take_index(struct hs_attachment *at, uint32_t index);
void hs_attachment_lane_return(struct hs_attachment *at, struct hs_lane *lane);

/**
 * hs_attachment_clock_refresh() - take over a new calibration, if there is one
 *
 * Our copy, since the agent's shares its line with a heartbeat.
 *
 * Context: the helper, or before @at is published.
 */
void hs_attachment_clock_refresh(struct hs_attachment *at);

/* A drop that no lane can count. */
void hs_attachment_lost_unpinned(struct hs_attachment *at);

static inline struct hs_shm_up *hs_attachment_up(const struct hs_attachment *at)
{
	return (struct hs_shm_up *)at->up;
}

/* Say that a stripe is in use, before it is. */
static inline void hs_attachment_stripe_use(const struct hs_attachment *at,
					    uint32_t stripe)
{
	uint64_t bit = 1ull << stripe;

	/* operation.C12 relaxed: a bit stays, once it is set. */
	if (__atomic_load_n(&at->watch->stripes, __ATOMIC_RELAXED) & bit)
		return;
	/* operation.C13 relaxed: an agent that reads it later reads what was
	 * counted later. */
	__atomic_fetch_or(&at->watch->stripes, bit, __ATOMIC_RELAXED);
}

/* Of an index that no handle had yet: say that its slot is in use, before it
 * is. Return: NULL beyond the slots. */
struct hs_shm_slot *hs_attachment_slot_first(struct hs_attachment *at,
					     uint32_t index);

static inline struct hs_shm_slot *hs_attachment_slot(struct hs_attachment *at,
						     uint32_t index)
{
	/* slot.R6 acquire, pairs slot.W8: that up says it before the slot. */
	if (index >= __atomic_load_n(&at->slots_used, __ATOMIC_ACQUIRE))
		return hs_attachment_slot_first(at, index);
	return at->slots + index;
}

#endif

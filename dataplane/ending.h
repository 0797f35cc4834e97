/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the END of a handle, and what becomes of it when the lane is full.
 *
 * Guarantees: a buffer that the agent handed out is never forgotten. A handle
 * whose END finds no room is over for its owner, but keeps its slot and waits
 * in the lane; whoever pushes next on that lane publishes it first, or the
 * helper does: there once the thread is gone, and by the lane that is borrowed
 * while the thread lives, which may push nothing for hours (ADR 57). So a full
 * lane costs handles for a while, and not buffers for ever. A thread without a
 * lane borrows the last one; while another has that, the handle waits for the
 * helper.
 */
#ifndef HS_DATAPLANE_ENDING_H
#define HS_DATAPLANE_ENDING_H

#include "dataplane/attachment.h"
#include "dataplane/handle.h"

/**
 * hs_ending_publish() - publish the END of a handle now, or as soon as may be
 * @lane: the calling thread's, NULL if it has none
 * @trace: on the present attachment; no more its owner's afterwards
 *
 * Context: write path.
 */
void hs_ending_publish(struct hs_lane *lane, struct hs_trace *trace);

/** hs_ending_flush() - publish what waits; false when the lane is still full */
bool hs_ending_flush_slow(struct hs_lane *lane);
static inline bool hs_ending_flush(struct hs_lane *lane)
{
	/* ending.C3 relaxed: a hint; looked at again when it is taken. */
	return !__atomic_load_n(&lane->ended, __ATOMIC_RELAXED) ||
	       hs_ending_flush_slow(lane);
}

/**
 * hs_ending_offer() - hand entries to the agent, in the calling thread's lane
 *or in the one that is borrowed
 *
 * Return: false: for the caller to account for.
 */
bool hs_ending_offer(struct hs_tls *tls, struct hs_attachment *at,
		     const struct hs_shm_entry *entries, uint32_t nr);

/** hs_ending_return() - give back a lane that was taken for a moment */
void hs_ending_return(struct hs_attachment *at, struct hs_lane *lane);

/** hs_ending_drop() - give up what waits: its attachment was replaced */
void hs_ending_drop(struct hs_lane *lane);

/** hs_ending_abandon() - the same for all lanes. Context: as
 * hs_ending_sweep() */
void hs_ending_abandon(struct hs_attachment *at);

/**
 * hs_ending_sweep() - publish what waits, whoever holds the lane
 *
 * Context: the helper; not on the write path.
 */
void hs_ending_sweep(struct hs_attachment *at);

#endif

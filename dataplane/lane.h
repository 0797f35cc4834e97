/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a thread's lane to the agent: a ring of entries with one producer,
 * the thread that holds the lane, and one consumer, the agent.
 *
 * Guarantees: wait-free; a group of entries appears whole or not at all, even
 * when the process is killed between any two instructions; a full lane costs
 * the entries and says so with the interval; a tail that makes no sense reads
 * as a full lane.
 */
#ifndef HS_DATAPLANE_LANE_H
#define HS_DATAPLANE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/hindsight.h"
#include "hs/shm_format.h"

/* A trigger with all its laterals, and one to spare. */
#define HS_LANE_PUSH_MAX (HS_LATERAL_MAX + 2)

/* Free handles that a lane keeps for its thread. */
#define HS_LANE_HANDLES_MAX 16u

/* The producer's private side; survives the threads that hold it in turn. */
struct hs_lane {
	struct hs_shm_lane *shared;
	struct hs_shm_entry *entries;
	const struct hs_shm_lane_tail *tail;
	uint64_t head;
	uint64_t seen_tail;
	uint64_t lost;
	uint32_t nr_entries;
	uint32_t index;
	uint32_t number_next; /* handle numbers handed to this lane */
	uint32_t number_end;
	uint32_t nr_free; /* handles kept here, so that begin is local */
	struct hs_trace *free[HS_LANE_HANDLES_MAX];
	struct hs_trace *ended; /* their END found no room: ending.h;
				 * the helper takes them, too */
	bool dropping;		/* the last push found it full */
};

/**
 * hs_lane_offer() - hand entries to the agent, all or none
 * @lane: the calling thread's own
 * @entries: copied
 * @nr: 1 to HS_LANE_PUSH_MAX
 *
 * Context: the thread that holds the lane; wait-free.
 * Order:   lane.W1 publishes the entries, and with them every byte of the
 *	    buffers that they name (pairs lane.R1).
 * Return:  false when the lane is full: for the caller to account for.
 */
bool hs_lane_offer(struct hs_lane *lane, const struct hs_shm_entry *entries,
		   uint32_t nr);

/** hs_lane_room() - whether as many entries will be taken next */
bool hs_lane_room(struct hs_lane *lane, uint32_t nr);

/** hs_lane_push() - the same; a full lane counts them as lost, with the time */
bool hs_lane_push(struct hs_lane *lane, const struct hs_shm_entry *entries,
		  uint32_t nr);

#endif

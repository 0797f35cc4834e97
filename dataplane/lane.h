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

#include "base/planted.h"
#include "hs/hindsight.h"
#include "hs/shm_format.h"

/* A trigger with all its laterals, and one to spare. */
#define HS_LANE_PUSH_MAX (HS_LATERAL_MAX + 2)

/* Free handles that a lane keeps for its thread, at most: as many as a loop
 * begins and ends in one round. */
#define HS_LANE_HANDLES_MAX 64u

/* Buffers of the smallest size that a lane keeps for its thread: stock.h. */
#define HS_LANE_STOCK_MAX 8u

/*
 * The producer's private side; survives the threads that hold it in turn. Two
 * lines at a time go to the core that writes one of them, where the processor
 * asks for pairs.
 */
struct hs_lane {
	struct hs_shm_lane *shared;
	struct hs_shm_entry *entries;
	const struct hs_shm_lane_tail *tail;
	uint64_t head;
	uint64_t seen_tail;
	uint64_t lost;
	/* Of the attachment's operations, for its thread alone; NULL: shared.
	 */
	struct hs_shm_tally *tallies;
	uint32_t nr_entries;
	uint32_t index;
	uint32_t number_next; /* handle numbers handed to this lane */
	uint32_t number_end;
	uint32_t nr_free;   /* handles kept here, so that begin is local */
	uint32_t free_room; /* that it may keep: handle.c */
	bool free_missed;   /* its thread began with none here since */
	struct hs_trace *free[HS_LANE_HANDLES_MAX];
	bool keeps_row;		      /* one of attachment.nr_rows */
	uint32_t stock_at, stock_end; /* stock words kept here */
	uint64_t stock[HS_LANE_STOCK_MAX];
	struct hs_trace *ended; /* their END found no room: ending.h;
				 * the helper takes them, too */
	bool dropping;		/* the last push found it full */
} __attribute__((aligned(2 * HS_SHM_LINE_BYTES)));

/* hs_lane_room(), once the tail as it was seen last leaves too little. */
bool hs_lane_room_again(struct hs_lane *lane, uint32_t nr);

/** hs_lane_room() - whether as many entries will be taken next */
static inline bool hs_lane_room(struct hs_lane *lane, uint32_t nr)
{
	return lane->head - lane->seen_tail <= lane->nr_entries - nr ||
	       hs_lane_room_again(lane, nr);
}

/*
 * Field by field, as the entry was just made: a load wider than the stores
 * before it waits until all of those, into buffers that no cache has, have
 * left the core. Atomics, so that the compiler does not make such loads.
 */
static inline void hs_lane_put(struct hs_shm_entry *to,
			       const struct hs_shm_entry *e)
{
#define HS_LANE_PUT(field)                                                     \
	/* lane.C5 relaxed: announced by lane.W1. */                           \
	__atomic_store_n(&to->field, e->field, __ATOMIC_RELAXED)
#define HS_LANE_PUT_REST()                                                     \
	HS_LANE_PUT(trace_hi);                                                 \
	HS_LANE_PUT(trace_lo);                                                 \
	HS_LANE_PUT(handle);                                                   \
	HS_LANE_PUT(seq);                                                      \
	HS_LANE_PUT(type);                                                     \
	HS_LANE_PUT(aux)
	HS_LANE_PUT(u.buffer.ref);
	HS_LANE_PUT(u.buffer.committed);
	HS_LANE_PUT_REST();
}
static inline void hs_lane_put_arg(struct hs_shm_entry *to,
				   const struct hs_shm_entry *e)
{
	HS_LANE_PUT(u.arg);
	HS_LANE_PUT_REST();
#undef HS_LANE_PUT_REST
#undef HS_LANE_PUT
}

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
static inline bool hs_lane_offer(struct hs_lane *lane,
				 const struct hs_shm_entry *entries,
				 uint32_t nr)
{
	if (nr == 0 || nr > HS_LANE_PUSH_MAX || !hs_lane_room(lane, nr))
		return false;
	lane->dropping = false;
	if (HS_PLANTED(104))
		lane->shared->head = lane->head + nr;
	for (uint32_t i = 0; i < nr; i++)
		hs_lane_put(&lane->entries[(lane->head + i) &
					   (lane->nr_entries - 1)],
			    &entries[i]);
	lane->head += nr;
	/* lane.W1 release, pairs lane.R1: entries, and the bytes of the
	 * buffers they name, before head. */
	__atomic_store_n(&lane->shared->head, lane->head, __ATOMIC_RELEASE);
	return true;
}

/**
 * hs_lane_offer_one() - the same of one entry, which is made where it goes
 * @entry: made of values at hand, so that it is never put together in memory
 * @has_arg: u.arg, which is no buffer
 */
static inline __attribute__((always_inline)) bool
hs_lane_offer_one(struct hs_lane *lane, const struct hs_shm_entry *entry,
		  bool has_arg)
{
	struct hs_shm_entry *to;

	if (__builtin_expect(!hs_lane_room(lane, 1), 0))
		return false;
	lane->dropping = false;
	if (HS_PLANTED(104))
		lane->shared->head = lane->head + 1;
	to = &lane->entries[lane->head & (lane->nr_entries - 1)];
	if (has_arg)
		hs_lane_put_arg(to, entry);
	else
		hs_lane_put(to, entry);
	lane->head++;
	/* lane.W4 release, pairs lane.R1: as lane.W1. */
	__atomic_store_n(&lane->shared->head, lane->head, __ATOMIC_RELEASE);
	return true;
}

/** hs_lane_push() - the same; a full lane counts them as lost, with the time */
bool hs_lane_push(struct hs_lane *lane, const struct hs_shm_entry *entries,
		  uint32_t nr);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the agent's side of the words that it shares with an application:
 * one function per word that is waited on, so that each ordering stands in one
 * place beside its partner in this folder. docs/MEMORY_MODEL.md has the table.
 *
 * What these return was written by the application: input, to be checked.
 *
 * The agent's round: read all slots, then drain all lanes. A handle that ends
 * publishes its END entry before it empties its slot, so a slot found empty
 * after having been seen live means that the END (or the lane's count of
 * losses) is there to be read in the same round.
 */
#ifndef HS_DATAPLANE_PEER_H
#define HS_DATAPLANE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/fetch.h"
#include "hs/shm_format.h"

/* Entries ever published in a lane; those below it may be read. */
static inline uint64_t hs_peer_lane_head(const struct hs_shm_lane *lane)
{
	HS_SHM_FETCH(&lane->head, sizeof(lane->head));
	/* lane.R1 acquire, pairs lane.W1 lane.W4: head before entries, and the
	 * bytes of the buffers they name. */
	return __atomic_load_n(&lane->head, __ATOMIC_ACQUIRE);
}

/* The entries below @tail have been copied: their places are free. */
static inline void hs_peer_lane_consumed(struct hs_shm_lane_tail *lane,
					 uint64_t tail)
{
	/* lane.W2 release, pairs lane.R2: entries are read before their
	 * places are given back. */
	__atomic_store_n(&lane->tail, tail, __ATOMIC_RELEASE);
}

struct hs_peer_loss {
	uint64_t lost;
	uint64_t first_ns; /* at or after this */
	uint64_t last_ns;  /* at or before this, or later by now */
};

/* What a lane dropped so far, and when the present run of drops began. */
static inline struct hs_peer_loss
hs_peer_lane_loss(const struct hs_shm_lane *lane)
{
	struct hs_peer_loss loss;

	HS_SHM_FETCH(lane, sizeof(*lane));
	/* lane.R3 acquire, pairs lane.W3: the count before its interval. */
	loss.lost = __atomic_load_n(&lane->lost, __ATOMIC_ACQUIRE);
	/* lane.C3 relaxed: ordered by lane.R3. */
	loss.first_ns = __atomic_load_n(&lane->lost_first_ns, __ATOMIC_RELAXED);
	/* lane.C4 relaxed: ordered by lane.R3. */
	loss.last_ns = __atomic_load_n(&lane->lost_last_ns, __ATOMIC_RELAXED);
	return loss;
}

/* The same for drops of threads that found no lane. */
static inline struct hs_peer_loss
hs_peer_unpinned_loss(const struct hs_shm_up *up)
{
	struct hs_peer_loss loss;

	HS_SHM_FETCH(up, sizeof(*up));
	/* up.R3 acquire, pairs up.W3: the count before its interval. */
	loss.lost = __atomic_load_n(&up->lost_unpinned, __ATOMIC_ACQUIRE);
	/* up.C4 relaxed: ordered by up.R3. */
	loss.first_ns = __atomic_load_n(&up->lost_first_ns, __ATOMIC_RELAXED);
	/* up.C5 relaxed: ordered by up.R3. */
	loss.last_ns = __atomic_load_n(&up->lost_last_ns, __ATOMIC_RELAXED);
	return loss;
}

/* Whether the application has mapped its memory and speaks a format of ours. */
static inline bool hs_peer_up_ready(const struct hs_shm_up *up)
{
	HS_SHM_FETCH(up, sizeof(*up));
	/* up.R1 acquire, pairs up.W1: the magic before the header. */
	return __atomic_load_n(&up->magic, __ATOMIC_ACQUIRE) ==
		       HS_SHM_UP_MAGIC &&
	       up->version >= HS_SHM_VERSION_MIN &&
	       up->version <= HS_SHM_VERSION;
}

/* Trigger names that may be read; never more than there is room for. */
static inline uint32_t hs_peer_up_triggers(const struct hs_shm_up *up)
{
	uint32_t nr;

	HS_SHM_FETCH(&up->nr_triggers, sizeof(up->nr_triggers));
	/* up.R2 acquire, pairs up.W2: their number before the names. */
	nr = __atomic_load_n(&up->nr_triggers, __ATOMIC_ACQUIRE);

	return nr < HS_SHM_NR_TRIGGERS ? nr : HS_SHM_NR_TRIGGERS;
}

/* Stock words ever taken from a ring; the places below it may be refilled. */
static inline uint64_t hs_peer_stock_taken(const struct hs_shm_stock_tail *ring)
{
	HS_SHM_FETCH(ring, sizeof(*ring));
	/* stock.R2 acquire, pairs stock.W2: a word is read by its taker
	 * before its place is written again. */
	return __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
}

/* The words below @head are in their places. */
static inline void hs_peer_stock_put(struct hs_shm_stock_ring *ring,
				     uint64_t head)
{
	/* stock.W1 release, pairs stock.R1: words before head. */
	__atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
}

/* Slots that may have been used, of @nr; all where the client does not say. */
static inline uint32_t hs_peer_slots_used(const struct hs_shm_up *up,
					  uint32_t nr)
{
	uint32_t used;

	HS_SHM_FETCH(&up->slots_used, sizeof(up->slots_used));
	/* slot.C11 relaxed: those beyond are opened later, as if each of them
	 * were read now. */
	used = __atomic_load_n(&up->slots_used, __ATOMIC_RELAXED);
	return used && used < nr ? used : nr;
}

/**
 * hs_peer_slot_read() - what a slot holds
 * @out: a copy of one life of the slot, in which buffer, seq and lost may be
 *	of different moments
 *
 * Return: false when no handle is live there, or when it changed hands while
 *	   being read: the next round will tell.
 */
static inline bool hs_peer_slot_read(const struct hs_shm_slot *slot,
				     struct hs_shm_slot *out)
{
	uint32_t again;

	HS_SHM_FETCH(slot, sizeof(*slot));
	/* slot.R1 acquire, pairs slot.W1 slot.W7: an odd use before the other
	 * words, an even one before the lane's END entry. */
	out->use = __atomic_load_n(&slot->use, __ATOMIC_ACQUIRE);
	if (!(out->use & 1))
		return false;
	HS_SHM_FETCH(slot, sizeof(*slot));
	/* slot.R2 acquire, pairs slot.W2: a word of the next life before the
	 * second look at use. */
	out->handle = __atomic_load_n(&slot->handle, __ATOMIC_ACQUIRE);
	/* slot.R4 acquire, pairs slot.W4: as slot.R2. */
	out->trace_hi = __atomic_load_n(&slot->trace_hi, __ATOMIC_ACQUIRE);
	/* slot.R5 acquire, pairs slot.W5: as slot.R2. */
	out->trace_lo = __atomic_load_n(&slot->trace_lo, __ATOMIC_ACQUIRE);
	/* slot.R3 acquire, pairs slot.W3 slot.W6: as slot.R2, and the word
	 * before the header of the buffer that it names. */
	out->buffer = __atomic_load_n(&slot->buffer, __ATOMIC_ACQUIRE);
	/* slot.C6 relaxed: a hint. */
	out->seq = __atomic_load_n(&slot->seq, __ATOMIC_RELAXED);
	/* slot.C7 relaxed: a count. */
	out->lost = __atomic_load_n(&slot->lost, __ATOMIC_RELAXED);
	/* slot.C8 relaxed: a hint. */
	out->begin_ns = __atomic_load_n(&slot->begin_ns, __ATOMIC_RELAXED);
	HS_SHM_FETCH(&slot->use, sizeof(slot->use));
	/* slot.C9 relaxed: the acquires above keep it behind them. */
	again = __atomic_load_n(&slot->use, __ATOMIC_RELAXED);
	return again == out->use;
}

/* Bytes of a buffer that may be read, its header included; unchecked. */
static inline uint32_t
hs_peer_buffer_committed(const struct hs_shm_buffer *buffer)
{
	HS_SHM_FETCH(&buffer->committed, sizeof(buffer->committed));
	/* buffer.R1 acquire, pairs buffer.W1 buffer.W2 buffer.W3:
	 * the length before the bytes. */
	return __atomic_load_n(&buffer->committed, __ATOMIC_ACQUIRE);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: every access of the agent to memory that applications map. Nothing
 * else in the agent dereferences a pointer into it.
 *
 * Guarantees: each word is read once, into a local; what comes back is what
 * the other side wrote at some moment, ordered as the labels say and true in
 * no other way: the caller checks it. See docs/MEMORY_MODEL.md.
 */
#ifndef HS_AGENT_SHM_READ_H
#define HS_AGENT_SHM_READ_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/fetch.h"
#include "dataplane/peer.h"
#include "hs/shm_format.h"

static inline uint64_t hs_shm_read_lane_head(const struct hs_shm_lane *lane)
{
	return hs_peer_lane_head(lane);
}

static inline uint64_t hs_shm_read_lane_lost(const struct hs_shm_lane *lane)
{
	return hs_peer_lane_loss(lane).lost;
}

/* A copy of entry @index; its writer may be hostile and still be writing. */
static inline void hs_shm_read_entry(struct hs_shm_entry *out,
				     const struct hs_shm_entry *ring,
				     uint32_t mask, uint64_t index)
{
	HS_SHM_FETCH(&ring[index & mask], sizeof(*out));
	memcpy(out, &ring[index & mask], sizeof(*out));
	/* The compiler must not go back to the ring for what it has read. */
	__asm__ volatile("" ::: "memory");
}

static inline void hs_shm_write_lane_tail(struct hs_shm_lane_tail *tail,
					  uint64_t value)
{
	hs_peer_lane_consumed(tail, value);
}

static inline uint64_t hs_shm_read_own_tail(const struct hs_shm_lane_tail *tail)
{
	/* lane.C10 relaxed: written by a predecessor that is dead. */
	return __atomic_load_n(&tail->tail, __ATOMIC_RELAXED);
}

static inline uint64_t
hs_shm_read_stock_tail(const struct hs_shm_stock_tail *tail)
{
	return hs_peer_stock_taken(tail);
}

static inline uint64_t
hs_shm_read_stock_nulls(const struct hs_shm_stock_tail *tail)
{
	HS_SHM_FETCH(tail, sizeof(*tail));
	/* stock.C10 relaxed: a counter. */
	return __atomic_load_n(&tail->nulls, __ATOMIC_RELAXED);
}

static inline uint64_t
hs_shm_read_stock_empties(const struct hs_shm_stock_tail *tail)
{
	HS_SHM_FETCH(tail, sizeof(*tail));
	/* stock.C14 relaxed: a counter. */
	return __atomic_load_n(&tail->empties, __ATOMIC_RELAXED);
}

static inline void hs_shm_write_stock_word(uint64_t *word, uint64_t value)
{
	/* stock.C11 relaxed: announced by stock.W1. */
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline uint64_t hs_shm_read_own_word(const uint64_t *word)
{
	/* stock.C12 relaxed: written by a predecessor that is dead. */
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void hs_shm_write_stock_head(struct hs_shm_stock_ring *ring,
					   uint64_t value)
{
	hs_peer_stock_put(ring, value);
}

/* So many words of the ring should have been taken by now. */
static inline void hs_shm_write_stock_recall(struct hs_shm_stock_ring *ring,
					     uint64_t value)
{
	/* stock.C15 relaxed: a wish. */
	__atomic_store_n(&ring->recall, value, __ATOMIC_RELAXED);
}

static inline uint64_t
hs_shm_read_own_head(const struct hs_shm_stock_ring *ring)
{
	/* stock.C13 relaxed: written by a predecessor that is dead. */
	return __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
}

static inline bool hs_shm_read_up_ready(const struct hs_shm_up *up)
{
	return hs_peer_up_ready(up);
}

static inline uint64_t hs_shm_read_unpinned(const struct hs_shm_up *up)
{
	return hs_peer_unpinned_loss(up).lost;
}

static inline uint32_t hs_shm_read_slots_used(const struct hs_shm_up *up,
					      uint32_t nr)
{
	return hs_peer_slots_used(up, nr);
}

static inline uint32_t hs_shm_read_nr_triggers(const struct hs_shm_up *up)
{
	return hs_peer_up_triggers(up);
}

static inline void hs_shm_read_trigger(struct hs_shm_trigger *out,
				       const struct hs_shm_up *up,
				       uint32_t index)
{
	HS_SHM_FETCH(&up->triggers[index], sizeof(*out));
	memcpy(out, &up->triggers[index], sizeof(*out));
	__asm__ volatile("" ::: "memory");
	out->name[HS_SHM_TRIGGER_NAME_BYTES - 1] = '\0';
}

/* Times that a copy is tried while its handle changes under it. */
#define HS_SHM_SLOT_TRIES 4

/**
 * hs_shm_read_slot() - a copy of one handle's slot
 * Return: whether it is live and the copy is of one handle.
 */
static inline bool hs_shm_read_slot(struct hs_shm_slot *out,
				    const struct hs_shm_slot *slot)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < HS_SHM_SLOT_TRIES; i++) {
		if (hs_peer_slot_read(slot, out))
			return true;
		if (!(out->use & 1))
			return false;
	}
	return false;
}

/* The header of a buffer that is still being written. */
static inline void hs_shm_read_header(struct hs_shm_buffer *out,
				      const struct hs_shm_buffer *header)
{
	uint32_t committed = hs_peer_buffer_committed(header);

	HS_SHM_FETCH(header, sizeof(*out));
	memcpy(out, header, sizeof(*out));
	__asm__ volatile("" ::: "memory");
	out->committed = committed;
}

/* Bytes to send; whether they change meanwhile is the receiver's to find. */
static inline void hs_shm_read_bytes(void *out, const void *shared,
				     uint32_t size_bytes)
{
	HS_SHM_FETCH(shared, size_bytes);
	memcpy(out, shared, size_bytes);
	__asm__ volatile("" ::: "memory");
}

/* Whether an operation has its texts. */
static inline bool hs_shm_read_ready(const struct hs_shm_operation *operation)
{
	HS_SHM_FETCH(&operation->ready, sizeof(operation->ready));
	/* operation.R3 acquire, pairs operation.W2: the texts. */
	return __atomic_load_n(&operation->ready, __ATOMIC_ACQUIRE) == 1;
}

/* Its texts, whatever they are, NUL-terminated. */
static inline void
hs_shm_read_operation(struct hs_shm_operation *out,
		      const struct hs_shm_operation *operation)
{
	HS_SHM_FETCH(operation, sizeof(*out));
	memcpy(out, operation, sizeof(*out));
	__asm__ volatile("" ::: "memory");
	out->service[sizeof(out->service) - 1] = '\0';
	out->name[sizeof(out->name) - 1] = '\0';
}

/* A counter of struct hs_shm_watch or hs_shm_tally. */
static inline uint64_t hs_shm_read_count(const uint64_t *count)
{
	HS_SHM_FETCH(count, sizeof(*count));
	/* operation.C11 relaxed: a counter. */
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static inline void hs_shm_write_heartbeat(struct hs_shm_status *status,
					  uint64_t value)
{
	/* status.C1 relaxed: nothing is published by it. */
	__atomic_store_n(&status->heartbeat, value, __ATOMIC_RELAXED);
}

#endif

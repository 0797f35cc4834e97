/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_ring.h - bytes between two processes through a memory of each
 *
 * Pure: memory comes in, whom to ring goes out. See hs/ring_format.h.
 *
 * Guarantees: wait-free; what counts is kept in the structure, which nobody
 * else maps, so that whatever the other side writes, into its memory or ours,
 * it is never trusted for more than a ring's worth of bytes, and those are
 * copied before anybody judges them. A counter that cannot be is told in
 * `wrong`, and nothing passes from then on. Between hs_shm_ring_sleep() and a
 * ring nothing is missed.
 *
 * Context: one thread has all of a structure.
 */
#ifndef HS_RDMA_SHM_RING_H
#define HS_RDMA_SHM_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hs/ring_format.h"

struct hs_shm_ring {
	struct hs_ring_words *ours;
	const struct hs_ring_words *theirs;
	uint8_t *out;	   /* HS_RING_BYTES, ours */
	const uint8_t *in; /* HS_RING_BYTES, theirs */
	uint64_t head;	   /* as we shall publish it */
	uint64_t tail;
	uint64_t tail_seen; /* theirs: never more than head */
	uint64_t head_seen; /* theirs: never less than tail */
	uint32_t naps, thirst;
	uint32_t naps_rung, thirst_rung; /* theirs, that we rang for */
	const char *wrong;		 /* NULL, or what the other side did */
};

/* Two memories of HS_RING_MEMORY_BYTES; ours is all zeros. */
void hs_shm_ring_make(struct hs_shm_ring *r, void *ours, const void *theirs);

/**
 * hs_shm_ring_put() - write as much as there is room for
 * @iov: what; @nr_iov pieces
 *
 * When it is not all, the other side will ring once it has read some. The other
 * side sees nothing of it before hs_shm_ring_publish().
 *
 * Return: how many bytes.
 */
size_t hs_shm_ring_put(struct hs_shm_ring *r, const struct iovec *iov,
		       int nr_iov);
/** hs_shm_ring_publish() - Return: the other side sleeps, and is to be rung */
bool hs_shm_ring_publish(struct hs_shm_ring *r);
/** hs_shm_ring_get() - Return: how many bytes were copied to @to; 0: none are
 * there */
size_t hs_shm_ring_get(struct hs_shm_ring *r, void *to, size_t room_bytes);
/** hs_shm_ring_taken() - give back the room of what was read. Return: the other
 * side waits for it, and is to be rung */
bool hs_shm_ring_taken(struct hs_shm_ring *r);
/** hs_shm_ring_sleep() - say that we read no more until rung. Return: false:
 * there is something to read, go on */
bool hs_shm_ring_sleep(struct hs_shm_ring *r);

/* How often the other side has had reason to ring: no more rings than this. */
static inline uint32_t hs_shm_ring_reasons(const struct hs_shm_ring *r)
{
	return r->naps + r->thirst;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see shm_ring.h. */
#include "rdma/shm_ring.h"

#include <string.h>

/* Before each look at what the other side says: tests let it act there. */
#ifdef HS_SHM_RING_HOOK
void hs_shm_ring_hook(void);
#define LOOK() hs_shm_ring_hook()
#else
#define LOOK() ((void)0)
#endif

#define MASK (HS_RING_BYTES - 1)
HS_RING_ASSERT((HS_RING_BYTES & MASK) == 0);
HS_RING_ASSERT(sizeof(struct hs_ring_words) <= HS_RING_WORDS_BYTES);

void hs_shm_ring_make(struct hs_shm_ring *r, void *ours, const void *theirs)
{
	*r = (struct hs_shm_ring){
		.ours = ours,
		.theirs = theirs,
		.out = (uint8_t *)ours + HS_RING_WORDS_BYTES,
		.in = (const uint8_t *)theirs + HS_RING_WORDS_BYTES,
	};
}

/* How much may be written by what the other side says that it has read. */
static size_t room(struct hs_shm_ring *r)
{
	uint64_t tail;

	LOOK();
	/* shm_ring.R2 seq_cst, pairs shm_ring.W2: a byte was read before its
	 * place is written again; and after thirst was raised (shm_ring.W4). */
	tail = __atomic_load_n(&r->theirs->tail, __ATOMIC_SEQ_CST);

	if (tail - r->tail_seen > r->head - r->tail_seen) {
		r->wrong = "it says that it has read what was never written";
		return 0;
	}
	r->tail_seen = tail;
	return HS_RING_BYTES - (size_t)(r->head - tail);
}

static void copy_in(struct hs_shm_ring *r, const void *data, size_t size)
{
	size_t at = r->head & MASK;
	size_t first = HS_RING_BYTES - at < size ? HS_RING_BYTES - at : size;

	memcpy(r->out + at, data, first);
	memcpy(r->out, (const uint8_t *)data + first, size - first);
	r->head += size;
}

/* Return: how much of it there was room for. */
static size_t put(struct hs_shm_ring *r, const uint8_t *data, size_t size)
{
	bool asks = false;
	size_t done = 0;

	while (done < size && !r->wrong) {
		size_t n = HS_RING_BYTES - (size_t)(r->head - r->tail_seen);

		if (n < size - done)
			n = room(r);
		if (n > size - done)
			n = size - done;
		if (n) {
			copy_in(r, data + done, n);
			asks = false;
			done += n;
			continue;
		}
		if (asks)
			break;
		/* Anew in each call: we may have been rung for room that we had
		 * filled already. */
		asks = true;
		LOOK();
		/* shm_ring.W4 seq_cst, pairs shm_ring.R4: raised before we look
		 * once more for room: the other side gives room back before it
		 * looks here, so one of both sees the other. */
		__atomic_store_n(&r->ours->thirst, ++r->thirst,
				 __ATOMIC_SEQ_CST);
	}
	return done;
}

size_t hs_shm_ring_put(struct hs_shm_ring *r, const struct iovec *iov,
		       int nr_iov)
{
	size_t sum = 0;

	for (int i = 0; i < nr_iov; i++) {
		size_t n = put(r, iov[i].iov_base, iov[i].iov_len);

		sum += n;
		if (n < iov[i].iov_len)
			break;
	}
	return sum;
}

bool hs_shm_ring_publish(struct hs_shm_ring *r)
{
	uint32_t naps;

	/* shm_ring.W1 seq_cst, pairs shm_ring.R1: the bytes before the head;
	 * and the head before we look whether the other side sleeps. */
	__atomic_store_n(&r->ours->head, r->head, __ATOMIC_SEQ_CST);
	LOOK();
	/* shm_ring.R3 seq_cst, pairs shm_ring.W3: after the head. */
	naps = __atomic_load_n(&r->theirs->naps, __ATOMIC_SEQ_CST);
	if (naps == r->naps_rung)
		return false;
	r->naps_rung = naps;
	return true;
}

/* How much there is to read by what the other side says. */
static size_t there(struct hs_shm_ring *r)
{
	uint64_t head;

	LOOK();
	/* shm_ring.R1 seq_cst, pairs shm_ring.W1: the bytes before the head;
	 * and after naps was raised (shm_ring.W3). */
	head = __atomic_load_n(&r->theirs->head, __ATOMIC_SEQ_CST);

	if (head - r->tail > HS_RING_BYTES) {
		r->wrong = "it says that it has written more than there is "
			   "room for";
		return 0;
	}
	/* Else it could keep us from sleeping with nothing to read. */
	if (head - r->tail < r->head_seen - r->tail) {
		r->wrong = "it takes back what it has written";
		return 0;
	}
	r->head_seen = head;
	return (size_t)(head - r->tail);
}

size_t hs_shm_ring_get(struct hs_shm_ring *r, void *to, size_t room_bytes)
{
	size_t at = r->tail & MASK, first;
	size_t size = r->wrong ? 0 : there(r);

	if (size > room_bytes)
		size = room_bytes;
	first = HS_RING_BYTES - at < size ? HS_RING_BYTES - at : size;
	memcpy(to, r->in + at, first);
	memcpy((uint8_t *)to + first, r->in, size - first);
	r->tail += size;
	return size;
}

bool hs_shm_ring_taken(struct hs_shm_ring *r)
{
	uint32_t thirst;

	/* shm_ring.W2 seq_cst, pairs shm_ring.R2: the bytes were read before
	 * their places are given back; and that before we look who waits. */
	__atomic_store_n(&r->ours->tail, r->tail, __ATOMIC_SEQ_CST);
	LOOK();
	/* shm_ring.R4 seq_cst, pairs shm_ring.W4: after the tail. */
	thirst = __atomic_load_n(&r->theirs->thirst, __ATOMIC_SEQ_CST);
	if (thirst == r->thirst_rung)
		return false;
	r->thirst_rung = thirst;
	return true;
}

bool hs_shm_ring_sleep(struct hs_shm_ring *r)
{
	LOOK();
	/* shm_ring.W3 seq_cst, pairs shm_ring.R3: raised before we look once
	 * more: the other side writes before it looks here. */
	__atomic_store_n(&r->ours->naps, ++r->naps, __ATOMIC_SEQ_CST);
	return r->wrong || there(r) == 0;
}

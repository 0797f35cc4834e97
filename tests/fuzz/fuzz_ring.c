/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ring.c - a hostile process at the other end of two shared memories
 *
 * One end is real, with memories of exactly a ring's size; the input writes the
 * words of both, since the other side can map both for writing, and the bytes,
 * between the real end's steps. It must stay within the memories, take no more
 * than there can be, and never go on once a word made no sense.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "rdma/shm_ring.h"
#include "tests/fuzz/fuzz.h"

/* Steps of the real end; an honest other end; lies. */
static const uint8_t seed_honest[] = {0, 200, 1, 6, 0, 255, 2, 90, 3, 4, 7, 0};
static const uint8_t seed_heads[] = {5, 0, 1, 2, 3, 4, 5, 6, 7, 2, 9,  2, 255,
				     6, 1, 2, 9, 4, 6, 0, 2, 9, 6, 64, 2, 255};
static const uint8_t seed_tails[] = {0, 255, 1, 7,   1, 0,  255, 1,
				     7, 255, 0, 255, 5, 64, 255, 255,
				     1, 1,   1, 1,   1, 1,  0,	 9};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_honest, sizeof(seed_honest)},
	{seed_heads, sizeof(seed_heads)},
	{seed_tails, sizeof(seed_tails)},
	{NULL, 0},
};

static uint8_t room[2 * HS_RING_BYTES];

struct end {
	struct hs_shm_ring ring;
	uint8_t *ours, *theirs;
};

static void step_real(struct end *e, uint8_t what, uint8_t much)
{
	struct hs_shm_ring *r = &e->ring;
	size_t size = (size_t)much * 300, n;
	struct iovec iov[2] = {{room, size / 2}, {room, size - size / 2}};
	uint64_t head = r->head, tail = r->tail;
	bool wrong = r->wrong;

	switch (what) {
	case 0:
		n = hs_shm_ring_put(r, iov, 2);
		hs_check(n <= size && r->head == head + n);
		hs_check(!wrong || n == 0);
		break;
	case 1:
		hs_shm_ring_publish(r);
		break;
	case 2:
		n = hs_shm_ring_get(r, room, size);
		hs_check(n <= size && r->tail == tail + n);
		hs_check(n <= HS_RING_BYTES && (!wrong || n == 0));
		break;
	case 3:
		hs_shm_ring_taken(r);
		break;
	default:
		hs_shm_ring_sleep(r);
		break;
	}
	hs_check(r->head - r->tail_seen <= HS_RING_BYTES);
	hs_check(r->head_seen - r->tail <= HS_RING_BYTES);
	hs_check(!wrong || r->wrong);
}

static size_t step_other(struct end *e, const uint8_t *data, size_t left)
{
	struct hs_ring_words *w = (struct hs_ring_words *)e->theirs;
	uint64_t value = 0;
	size_t n = left > 10 ? 8 : left > 2 ? left - 2 : 0;

	if (left < 2)
		return left;
	switch (data[0] % 8 - 5) {
	case 0: /* any word of either, any value */
		memcpy(&value, data + 2, n);
		memcpy((data[1] & 128 ? e->ours : e->theirs) +
			       data[1] % (sizeof(*w) - 8),
		       &value, 8);
		return 2 + n;
	case 1: /* a head, near to what can be */
		w->head = e->ring.tail + data[1] * 300ull;
		return 2;
	default: /* a tail, likewise */
		w->tail = e->ring.tail_seen + data[1] * 300ull;
		return 2;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct end e = {.ours = calloc(1, HS_RING_MEMORY_BYTES),
			.theirs = calloc(1, HS_RING_MEMORY_BYTES)};

	hs_check(e.ours && e.theirs);
	hs_shm_ring_make(&e.ring, e.ours, e.theirs);
	while (len_bytes > 1) {
		size_t used = 2;

		if (data[0] % 8 < 5)
			step_real(&e, data[0] % 8, data[1]);
		else
			used = step_other(&e, data, len_bytes);
		data += used;
		len_bytes -= used;
	}
	free(e.ours);
	free(e.theirs);
	return 0;
}

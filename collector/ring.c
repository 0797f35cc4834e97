/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see ring.h. */
#include "collector/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/hash.h"

int hs_ring_init(struct hs_ring *ring, uint64_t size_bytes, uint64_t seed)
{
	memset(ring, 0, sizeof(*ring));
	size_bytes = (size_bytes + HS_RING_ALIGN_BYTES - 1) /
		     HS_RING_ALIGN_BYTES * HS_RING_ALIGN_BYTES;
	ring->data = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring->data == MAP_FAILED) {
		ring->data = NULL;
		return -ENOMEM;
	}
	ring->size_bytes = size_bytes;
	ring->seed = seed;
	return 0;
}

void hs_ring_destroy(struct hs_ring *ring)
{
	if (ring->data)
		munmap(ring->data, ring->size_bytes);
	ring->data = NULL;
}

uint64_t hs_ring_bytes(size_t first_bytes, size_t second_bytes)
{
	return (sizeof(struct hs_ring_entry) + first_bytes + second_bytes +
		HS_RING_ALIGN_BYTES - 1) /
	       HS_RING_ALIGN_BYTES * HS_RING_ALIGN_BYTES;
}

static uint32_t chain_of(const struct hs_ring *ring,
			 const struct hs_wire_trace_id *trace)
{
	return (uint32_t)hs_hash_trace(ring->seed, trace->hi, trace->lo, 0) &
	       (HS_RING_NR_CHAINS - 1);
}

static struct hs_ring_entry *entry_at(const struct hs_ring *ring,
				      uint64_t position)
{
	return (struct hs_ring_entry *)(ring->data +
					position % ring->size_bytes);
}

bool hs_ring_put(struct hs_ring *ring, const struct hs_ring_entry *like,
		 const void *const parts[2])
{
	uint64_t bytes =
		hs_ring_bytes(like->part_bytes[0], like->part_bytes[1]);
	uint64_t left = ring->size_bytes - ring->head % ring->size_bytes;
	uint64_t pad = bytes > left ? left : 0;
	uint32_t chain = chain_of(ring, &like->trace);
	struct hs_ring_entry *entry;

	if (!ring->nr_entries && pad) {
		/* Nothing waits, so it may begin anywhere. */
		ring->head += pad;
		ring->tail = ring->head;
		pad = 0;
	}
	if (ring->size_bytes - (ring->head - ring->tail) < bytes + pad)
		return false;
	if (pad) {
		*entry_at(ring, ring->head) = (struct hs_ring_entry){
			.bytes = (uint32_t)pad, .type = HS_RING_PAD};
		ring->head += pad;
	}
	entry = entry_at(ring, ring->head);
	ring->newest = ring->head;
	*entry = *like;
	entry->bytes = (uint32_t)bytes;
	entry->before = ring->chains[chain];
	ring->chains[chain] = ring->head + 1;
	for (int i = 0; i < 2; i++)
		if (like->part_bytes[i])
			memcpy((uint8_t *)(entry + 1) +
				       (i ? like->part_bytes[0] : 0),
			       parts[i], like->part_bytes[i]);
	ring->head += bytes;
	ring->nr_entries++;
	return true;
}

void hs_ring_end_batch(struct hs_ring *ring)
{
	entry_at(ring, ring->newest)->ends = 1;
}

void hs_ring_let_go(struct hs_ring *ring, uint64_t position)
{
	while (ring->tail < position) {
		const struct hs_ring_entry *entry = entry_at(ring, ring->tail);

		ring->tail += entry->bytes;
		if (entry->type != HS_RING_PAD)
			ring->nr_entries--;
	}
	hs_check(ring->tail <= ring->head, "the ring let go what it never had");
}

const struct hs_ring_entry *hs_ring_at(const struct hs_ring *ring,
				       uint64_t *position, uint64_t upto)
{
	while (*position < upto) {
		const struct hs_ring_entry *entry = entry_at(ring, *position);

		*position += entry->bytes;
		if (entry->type != HS_RING_PAD)
			return entry;
	}
	return NULL;
}

/* A chain ends where it names what was let go: that may be overwritten. */
bool hs_ring_has(const struct hs_ring *ring,
		 const struct hs_wire_trace_id *trace)
{
	uint64_t at = ring->chains[chain_of(ring, trace)];

	while (at > ring->tail) {
		const struct hs_ring_entry *entry = entry_at(ring, at - 1);

		if (entry->trace.hi == trace->hi &&
		    entry->trace.lo == trace->lo)
			return true;
		at = entry->before;
	}
	return false;
}

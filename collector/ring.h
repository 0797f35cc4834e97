/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - what waits for the disk: entries of any length in bounded memory
 *
 * One thread puts and lets go, another reads what lies between two positions
 * that it was told; nothing in here is shared by itself. Positions only grow.
 * An entry lies in one piece, so a put may leave the end of the memory unused.
 *
 * Entries are chained by a hash of their trace, the newest first, so that
 * asking for those of a trace that has none costs a line of memory or two. The
 * hash is seeded: whoever sends may choose trace ids.
 */
#ifndef HS_COLLECTOR_RING_H
#define HS_COLLECTOR_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_RING_ALIGN_BYTES 64u

enum hs_ring_type {
	HS_RING_PAD = 0,   /* goes on at the beginning */
	HS_RING_SLICE = 1, /* struct hs_wire_slice and its bytes */
	HS_RING_UNION = 2, /* an assembly's union of manifests */
	HS_RING_MARK = 3,  /* struct hs_ring_mark and two texts */
	HS_RING_EXPIRE = 4 /* the number of a segment, all of it */
};

/* part_bytes[0] and [1] bytes of payload follow at once. */
struct hs_ring_entry {
	uint32_t bytes; /* with this head and to the next entry */
	uint32_t type;	/* enum hs_ring_type */
	uint32_t part_bytes[2];
	struct hs_wire_trace_id trace;
	int64_t now_ns;
	uint64_t before; /* position + 1 of the one before in its chain; 0 */
	uint32_t ends;	 /* a batch: what belongs together is before or in it */
	uint32_t reserved[3];
};
HS_WIRE_ASSERT(sizeof(struct hs_ring_entry) == HS_RING_ALIGN_BYTES);

/* NUL-terminated causes, then NUL-terminated nodes, both JSON, follow. */
struct hs_ring_mark {
	uint64_t version;
	uint64_t nr_bytes;
	uint32_t mark;
	uint32_t causes_bytes; /* with its NUL */
};

#define HS_RING_NR_CHAINS 65536u

struct hs_ring {
	uint8_t *data;
	uint64_t size_bytes; /* a multiple of HS_RING_ALIGN_BYTES */
	uint64_t head;	     /* where the next entry goes */
	uint64_t tail;	     /* of the oldest that was not let go */
	uint64_t newest;     /* entry; where there is any */
	uint64_t nr_entries;
	uint64_t seed;
	uint64_t chains[HS_RING_NR_CHAINS]; /* position + 1 of the newest */
};

/**
 * hs_ring_init() - @seed: that nobody else knows
 * Return: 0, -ENOMEM. Own: hs_ring_destroy()
 */
int hs_ring_init(struct hs_ring *ring, uint64_t size_bytes, uint64_t seed);
void hs_ring_destroy(struct hs_ring *ring);

/** hs_ring_bytes() - that an entry of such parts takes */
uint64_t hs_ring_bytes(size_t first_bytes, size_t second_bytes);

/**
 * hs_ring_put() - copy one entry in
 * @like: type, trace, time and lengths of the parts; bytes is filled in
 *
 * Return: false: no room now; nothing changed.
 */
bool hs_ring_put(struct hs_ring *ring, const struct hs_ring_entry *like,
		 const void *const parts[2]);

/**
 * hs_ring_end_batch() - the newest entry is the last of a batch
 *
 * Whoever reads has not been told of it yet.
 */
void hs_ring_end_batch(struct hs_ring *ring);

/** hs_ring_let_go() - everything before @position is done with */
void hs_ring_let_go(struct hs_ring *ring, uint64_t position);

/**
 * hs_ring_at() - the entry at *@position, which moves behind it
 * @upto: a position that was a head
 *
 * Return: NULL at the end.
 */
const struct hs_ring_entry *hs_ring_at(const struct hs_ring *ring,
				       uint64_t *position, uint64_t upto);

static inline const uint8_t *hs_ring_payload(const struct hs_ring_entry *entry)
{
	return (const uint8_t *)(entry + 1);
}

/** hs_ring_has() - whether anything of that trace waits */
bool hs_ring_has(const struct hs_ring *ring,
		 const struct hs_wire_trace_id *trace);

#endif

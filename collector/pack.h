/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h - records packed ahead of who writes them, by threads of their own
 *
 * Who writes cuts what waits into lots, in order, and takes them in that order,
 * packed. Meanwhile whichever thread has nothing to do packs the oldest lot
 * that nobody has begun; who would have to wait for a lot packs, too. So one
 * thread does with none beside it, and each one more takes its share. A record
 * says nothing of where it will stand (hs_segment_seal() does), and so a lot is
 * of no group and no segment.
 *
 * Bounded: HS_PACK_LOTS of HS_PACK_LOT_BYTES each. What is longer than a lot is
 * left to who takes it.
 *
 * Context: one thread adds, takes and drops; the others are in here.
 */
#ifndef HS_COLLECTOR_PACK_H
#define HS_COLLECTOR_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/ring.h"

#define HS_PACK_LOTS	    64u /* power of two */
#define HS_PACK_LOT_BYTES   (256u << 10)
#define HS_PACK_LOT_ENTRIES 256u
#define HS_PACK_THREADS_MAX 64u

struct hs_pack;

struct hs_pack_record {
	const struct hs_ring_entry *entry;
	uint64_t behind; /* position of the ring */
	const uint8_t *data;
	uint32_t bytes; /* of data, not sealed; 0: not packed */
};

struct hs_pack_lot {
	struct hs_pack_record records[HS_PACK_LOT_ENTRIES];
	uint32_t nr_records;
};

/** hs_pack_new() - without threads so far. Own: hs_pack_free() */
struct hs_pack *hs_pack_new(void);
/** hs_pack_start() - Return: 0; -errno, with those that began */
int hs_pack_start(struct hs_pack *pack, uint32_t nr_threads);
void hs_pack_free(struct hs_pack *pack);

/** hs_pack_level() - of lots from now on; 0: they are left as they are */
void hs_pack_level(struct hs_pack *pack, int zstd_level);

/**
 * hs_pack_add() - the entries from *@position on are the next lot
 * @upto: a position that was a head; entries up to there stay as they are
 *
 * Return: false: no room now, or nothing to add.
 */
bool hs_pack_add(struct hs_pack *pack, const struct hs_ring *ring,
		 uint64_t *position, uint64_t upto);

/**
 * hs_pack_take() - the oldest lot, packed
 *
 * Own: until the next call of take() or drop().
 * Return: NULL: none was added.
 */
const struct hs_pack_lot *hs_pack_take(struct hs_pack *pack);

/** hs_pack_drop() - none of what was added is wanted; nobody reads it now */
void hs_pack_drop(struct hs_pack *pack);

/** hs_pack_cores() - that this process may run on */
uint32_t hs_pack_cores(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the contenders of hs-perf index share: which trace comes
 * when, which is asked for, and memory of the same kind of pages.
 *
 * A cycle is: a trace comes with one buffer and one crumb (which finds it by
 * its id, as in the agent), one that is live is looked up, and the oldest goes.
 */
#ifndef HS_BENCH_INDEX_H
#define HS_BENCH_INDEX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/hash.h"

#define HS_BENCH_INDEX_BATCH 64u
#define HS_BENCH_INDEX_SLACK 8192u /* entries that wait for a grace period */
#define HS_BENCH_INDEX_SEED  0x5bd1e9955bd1e995ull

struct hs_bench_index {
	uint32_t nr_live;
	bool is_huge;
	bool prefetches; /* where the contender leaves it open */
	void *state;	 /* the contender's; NULL: to be made by its run() */
	void (*drop)(struct hs_bench_index *index);
	uint64_t next; /* number of the next trace */
	uint64_t nr_lost;
};

struct hs_bench_index_id {
	uint64_t hi, lo;
};

static inline struct hs_bench_index_id hs_bench_index_id(uint64_t number)
{
	return (struct hs_bench_index_id){hs_hash_mix64(2 * number + 1),
					  hs_hash_mix64(2 * number + 2)};
}

/* A trace that is live, anywhere in the order. */
static inline struct hs_bench_index_id
hs_bench_index_any(const struct hs_bench_index *index, uint64_t number)
{
	uint64_t back =
		(hs_hash_mix64(number + 7) >> 32) * (index->nr_live / 2) >> 32;

	return hs_bench_index_id(index->next - 1 - back);
}

static inline uint64_t hs_bench_index_hash(struct hs_bench_index_id id)
{
	return hs_hash_trace(HS_BENCH_INDEX_SEED, id.hi, id.lo, 0);
}

static inline void *hs_bench_index_memory(size_t size_bytes, bool is_huge)
{
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	(void)madvise(p, size_bytes, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return p;
}

/*
 * What a peer keeps of a trace, beside its table: as little as will do. Trace
 * N has entry, buffer and crumb N modulo their number, since all go in order.
 */
struct hs_bench_index_entry {
	uint64_t link[2]; /* the table's */
	uint64_t hi, lo;
	uint64_t first_ns, last_ns;
	uint32_t buffer, crumb, nr_buffers, nr_crumbs;
};
_Static_assert(sizeof(struct hs_bench_index_entry) == 64, "a line");

struct hs_bench_index_bare {
	uint32_t nr;
	struct hs_bench_index_entry *entries;
	uint32_t *buffers; /* next of the trace */
	uint32_t *order;   /* entries, the least recently seen first */
	struct {
		uint64_t node;
		uint32_t next, kind;
	} * crumbs;
	size_t size_bytes;
	void *memory;
};

static inline void hs_bench_index_bare_make(struct hs_bench_index_bare *b,
					    const struct hs_bench_index *index)
{
	uint8_t *p;

	b->nr = index->nr_live + HS_BENCH_INDEX_SLACK;
	b->size_bytes = (size_t)b->nr * (64 + 16 + 4 + 4) + 4096;
	b->memory = p = hs_bench_index_memory(b->size_bytes, index->is_huge);
	b->entries = (void *)p;
	b->crumbs = (void *)(p + (size_t)b->nr * 64);
	b->buffers = (void *)(p + (size_t)b->nr * 80);
	b->order = (void *)(p + (size_t)b->nr * 84);
}

static inline struct hs_bench_index_entry *
hs_bench_index_bare_at(const struct hs_bench_index_bare *b, uint64_t number)
{
	return &b->entries[number % b->nr];
}

/* The one that came as the @number-th. */
static inline struct hs_bench_index_entry *
hs_bench_index_bare_oldest(const struct hs_bench_index_bare *b, uint64_t number)
{
	return &b->entries[b->order[number % b->nr]];
}

static inline void hs_bench_index_bare_fill(struct hs_bench_index_bare *b,
					    uint64_t number,
					    struct hs_bench_index_id id)
{
	struct hs_bench_index_entry *e = hs_bench_index_bare_at(b, number);

	e->hi = id.hi;
	e->lo = id.lo;
	e->first_ns = e->last_ns = number;
	e->crumb = e->nr_crumbs = 0;
	e->buffer = (uint32_t)(number % b->nr);
	e->nr_buffers = 1;
	b->buffers[e->buffer] = 0;
	b->order[number % b->nr] = (uint32_t)(e - b->entries);
}

static inline void hs_bench_index_bare_crumb(struct hs_bench_index_bare *b,
					     struct hs_bench_index_entry *e,
					     uint64_t number)
{
	uint32_t k = (uint32_t)(number % b->nr);

	b->crumbs[k].node = number;
	b->crumbs[k].next = e->crumb;
	e->crumb = k;
	e->nr_crumbs++;
	e->last_ns = number;
}

#endif

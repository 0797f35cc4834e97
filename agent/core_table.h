/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_table.h - the agent's core: looking into a bucket of the index
 *
 * Included by core_priv.h. What is inline here is walked through for every
 * trace; all else, and what a bucket is, is in core_table.c.
 */
#ifndef HS_AGENT_CORE_TABLE_H
#define HS_AGENT_CORE_TABLE_H

#include "agent/core_priv.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HS_IX_LANES_LOW	 0x0001000100010001ull
#define HS_IX_LANES_REST 0x7fff7fff7fff7fffull
#define HS_IX_LANES_USED 0x0000000080008000ull /* of the third word */
#define HS_IX_SPILL_ONE	 (1ull << 32)

static inline uint64_t hs_ix_tag_of(uint64_t hash)
{
	uint64_t tag = hash >> 32 & 0xffff;

	return tag ? tag : 1;
}
/* The tag in every lane. */
static inline uint64_t hs_ix_tags_of(uint64_t hash)
{
	return hs_ix_tag_of(hash) * HS_IX_LANES_LOW;
}

static inline uint64_t hs_ix_tags_load(const struct hs_ix_bucket *b, uint32_t w)
{
	/* index.R2 acquire, pairs index.W2: the tag before its index. */
	return __atomic_load_n(&b->tags[w], __ATOMIC_ACQUIRE);
}

static inline void hs_ix_tags_store(struct hs_ix_bucket *b, uint32_t w,
				    uint64_t tags)
{
	/* index.W2 release, pairs index.R2: the index before its tag. */
	__atomic_store_n(&b->tags[w], tags, __ATOMIC_RELEASE);
}

static inline uint32_t hs_ix_index_load(const struct hs_ix_bucket *b,
					uint32_t slot)
{
	/* index.R1 acquire, pairs index.W1: the index before the entry. */
	return __atomic_load_n(&b->index[slot], __ATOMIC_ACQUIRE);
}

static inline uint32_t hs_ix_spilled(const struct hs_ix_bucket *b)
{
	return (uint32_t)(hs_ix_tags_load(b, 2) >> 32);
}

/* The top bit of every lane of word @w that is in @tags, and no other bit. */
static inline uint64_t hs_ix_word_match(const struct hs_ix_bucket *b,
					uint32_t w, uint64_t tags)
{
	uint64_t x = hs_ix_tags_load(b, w) ^ tags;
	uint64_t m = ~(((x & HS_IX_LANES_REST) + HS_IX_LANES_REST) | x |
		       HS_IX_LANES_REST);

	return w == 2 ? m & HS_IX_LANES_USED : m;
}

static inline uint32_t hs_ix_slot_of(uint32_t w, uint64_t match)
{
	return w * 4 + (uint32_t)__builtin_ctzll(match) / 16;
}

/*
 * A bit for each slot with @tag, which is 0 for those that are free. The
 * writer's: what it has stored itself it reads as it likes, all of it at once.
 */
static inline uint32_t hs_ix_own_slots(const struct hs_ix_bucket *b,
				       uint64_t tag)
{
#ifdef __SSE2__
	__m128i key = _mm_set1_epi16((short)tag);
	__m128i low = _mm_load_si128((const __m128i *)b->tags);
	__m128i rest = _mm_loadl_epi64((const __m128i *)&b->tags[2]);

	low = _mm_packs_epi16(_mm_cmpeq_epi16(low, key),
			      _mm_cmpeq_epi16(rest, key));
	return (uint32_t)_mm_movemask_epi8(low) & ((1u << HS_IX_SLOTS) - 1);
#else
	uint32_t slots = 0;

	for (uint32_t w = 0; w < 3; w++)
		for (uint64_t m = hs_ix_word_match(b, w, tag * HS_IX_LANES_LOW);
		     m; m &= m - 1)
			slots |= 1u << hs_ix_slot_of(w, m);
	return slots;
#endif
}

static inline __attribute__((always_inline)) uint32_t
hs_ix_find_in(const struct hs_domain *d, const struct hs_ix_bucket *b,
	      uint64_t tags, uint64_t hi, uint64_t lo)
{
#pragma GCC unroll 3
	for (uint32_t w = 0; w < 3; w++)
		for (uint64_t m = hs_ix_word_match(b, w, tags); m; m &= m - 1) {
			uint32_t i = hs_ix_index_load(b, hs_ix_slot_of(w, m));

			if (d->traces[i].hi == hi && d->traces[i].lo == lo)
				return i;
		}
	return HS_NIL;
}

/* Context: the writer, or a reader before its grace period ends. */
static inline uint32_t hs_ix_find_hashed(const struct hs_domain *d,
					 uint64_t hash, uint64_t hi,
					 uint64_t lo)
{
	const struct hs_ix_bucket *b = &d->buckets[hash & d->bucket_mask];
	uint32_t i = hs_ix_find_in(d, b, hs_ix_tags_of(hash), hi, lo);

	if (__builtin_expect(i == HS_NIL && hs_ix_spilled(b), 0))
		return hs_ix_find_further(d, hash, hi, lo);
	return i;
}

/* The writer's own look at it: the same, in a third of the instructions. */
static inline uint32_t hs_ix_own_find(const struct hs_domain *d, uint64_t hash,
				      uint64_t hi, uint64_t lo)
{
	const struct hs_ix_bucket *b = &d->buckets[hash & d->bucket_mask];
	uint32_t slots = hs_ix_own_slots(b, hs_ix_tag_of(hash));

	for (; slots; slots &= slots - 1) {
		uint32_t i = b->index[__builtin_ctz(slots)];

		if (d->traces[i].hi == hi && d->traces[i].lo == lo)
			return i;
	}
	if (__builtin_expect(b->tags[2] >= HS_IX_SPILL_ONE, 0))
		return hs_ix_find_further(d, hash, hi, lo);
	return HS_NIL;
}

/* The entry that is most likely the one; HS_NIL: none here. */
static inline uint32_t hs_ix_own_guess(const struct hs_domain *d, uint64_t hash)
{
	const struct hs_ix_bucket *b = &d->buckets[hash & d->bucket_mask];
	uint32_t slots = hs_ix_own_slots(b, hs_ix_tag_of(hash));

	return slots ? b->index[__builtin_ctz(slots)] : HS_NIL;
}

static inline void hs_ix_own_fill(struct hs_ix_bucket *b, uint32_t slot,
				  uint64_t hash, uint32_t trace)
{
	/* index.W1 release, pairs index.R1: the entry before its index. */
	__atomic_store_n(&b->index[slot], trace, __ATOMIC_RELEASE);
	hs_ix_tags_store(b, slot / 4,
			 b->tags[slot / 4] | hs_ix_tag_of(hash)
						     << slot % 4 * 16);
}

static inline bool hs_ix_own_clear(struct hs_ix_bucket *b, uint64_t hash,
				   uint32_t trace)
{
	uint32_t slots = hs_ix_own_slots(b, hs_ix_tag_of(hash)), slot;

	for (; slots; slots &= slots - 1) {
		slot = (uint32_t)__builtin_ctz(slots);
		if (b->index[slot] != trace)
			continue;
		hs_ix_tags_store(b, slot / 4,
				 b->tags[slot / 4] &
					 ~(0xffffull << slot % 4 * 16));
		return true;
	}
	return false;
}

static inline void hs_ix_table_insert(struct hs_domain *d, uint64_t hash,
				      uint32_t trace)
{
	struct hs_ix_bucket *b = &d->buckets[hash & d->bucket_mask];
	uint32_t slots = hs_ix_own_slots(b, 0);

	if (__builtin_expect(slots != 0, 1))
		hs_ix_own_fill(b, (uint32_t)__builtin_ctz(slots), hash, trace);
	else
		hs_ix_insert_further(d, hash, trace);
}

static inline void hs_ix_table_remove(struct hs_domain *d, uint64_t hash,
				      uint32_t trace)
{
	if (__builtin_expect(
		    !hs_ix_own_clear(&d->buckets[hash & d->bucket_mask], hash,
				     trace),
		    0))
		hs_ix_remove_further(d, hash, trace);
}

/*
 * Entries that were used and are free fill their array from below, those in
 * limbo from above. Those that never were go in order, and are listed nowhere.
 */
#define HS_IX_LIMBO_MAX 4096u

/* Return: HS_NIL when all are in use. */
static inline uint32_t hs_ix_entry_take(struct hs_agent_core *c,
					struct hs_domain *d)
{
	if (d->nr_traces_free == 0) {
		if (d->traces_used < d->nr_traces)
			return d->traces_used++;
		if (d->nr_traces_limbo)
			hs_ix_limbo_end(c, d);
		if (d->nr_traces_free == 0)
			return HS_NIL;
	}
	return d->traces_free[--d->nr_traces_free];
}

static inline void hs_ix_entry_give(struct hs_agent_core *c,
				    struct hs_domain *d, uint32_t trace)
{
	if (!c->config.grace) {
		d->traces_free[d->nr_traces_free++] = trace;
		return;
	}
	d->nr_traces_limbo++;
	d->traces_free[d->nr_traces - d->nr_traces_limbo] = trace;
	if (d->nr_traces_limbo >= HS_IX_LIMBO_MAX)
		hs_ix_limbo_end(c, d);
}

/* The entry that is most likely the one; HS_NIL: none here. */
static inline uint32_t hs_ix_guess(const struct hs_domain *d, uint64_t hash)
{
	const struct hs_ix_bucket *b = &d->buckets[hash & d->bucket_mask];
	uint64_t tags = hs_ix_tags_of(hash);

#pragma GCC unroll 3
	for (uint32_t w = 0; w < 3; w++) {
		uint64_t m = hs_ix_word_match(b, w, tags);

		if (m)
			return hs_ix_index_load(b, hs_ix_slot_of(w, m));
	}
	return HS_NIL;
}

#endif

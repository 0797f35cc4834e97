/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_chunk.h - the agent's core: chunks, and the buffers in them
 *
 * Included by core_priv.h. What is inline here is walked through for every
 * buffer; all else is in core_chunk.c.
 */
#ifndef HS_AGENT_CORE_CHUNK_H
#define HS_AGENT_CORE_CHUNK_H

#include "agent/core_priv.h"

#define HS_TAKE_AHEAD 12u /* lines of buffers that are asked for ahead */

static inline uint32_t hs_chunk_of(const struct hs_domain *d, uint32_t buffer)
{
	return buffer >> d->chunk_shift;
}
/* Context, of these three: the buffer is not FREE. */
static inline uint32_t hs_buffer_units(const struct hs_domain *d,
				       uint32_t buffer)
{
	return d->chunks[hs_chunk_of(d, buffer)].units;
}
static inline uint32_t hs_buffer_bytes(const struct hs_domain *d,
				       uint32_t buffer)
{
	return hs_buffer_units(d, buffer) * d->buffer_bytes;
}
static inline uint32_t hs_buffer_node(const struct hs_domain *d,
				      uint32_t buffer)
{
	return d->chunks[hs_chunk_of(d, buffer)].node;
}
static inline __attribute__((always_inline)) void
hs_buffer_prefetch(const struct hs_domain *d, uint32_t buffer)
{
	__builtin_prefetch(&d->buffers[buffer], 1);
	__builtin_prefetch(&d->rt[buffer], 1);
}
static inline uint32_t hs_domain_nr_free(const struct hs_domain *d)
{
	return d->nr_buffers - d->nr_stocked - d->nr_held - d->nr_parked;
}

void hs_chunks_init(struct hs_domain *d);
uint32_t hs_chunk_open(struct hs_domain *d, uint32_t node, uint32_t size_class);
void hs_chunk_carved(struct hs_domain *d, uint32_t chunk);
void hs_chunk_full(struct hs_domain *d, uint32_t chunk);
void hs_chunk_roomy(struct hs_domain *d, uint32_t chunk);
void hs_chunk_release(struct hs_domain *d, uint32_t chunk);
void hs_chunk_adopt(struct hs_domain *d, uint32_t chunk, uint32_t size_class);
void hs_chunk_adopted(struct hs_domain *d, uint32_t chunk);
bool hs_chunks_check(const struct hs_domain *d, const char **why);

/* The place of the @at-th of the free buffers of a chunk. */
static inline uint32_t *hs_chunk_free_slot(const struct hs_domain *d,
					   uint32_t chunk, uint32_t at)
{
	const struct hs_chunk *k = &d->chunks[chunk];

	at += k->free_first;
	if (at >= k->room)
		at -= k->room;
	return &d->buffers_free[((uint64_t)chunk << d->chunk_shift) + at];
}

static inline uint32_t hs_chunk_carve(struct hs_domain *d, uint32_t chunk)
{
	struct hs_chunk *k = &d->chunks[chunk];
	uint32_t buffer = (chunk << d->chunk_shift) + k->nr_carved * k->units;

	if (++k->nr_carved == k->room)
		hs_chunk_carved(d, chunk);
	else if (k->room - k->nr_carved > HS_TAKE_AHEAD)
		hs_buffer_prefetch(d, buffer + HS_TAKE_AHEAD * k->units);
	return buffer;
}

/* The oldest free one first: a late reader of it has had the most time. */
static inline uint32_t hs_chunk_take_again(struct hs_domain *d, uint32_t chunk)
{
	struct hs_chunk *k = &d->chunks[chunk];
	uint32_t buffer = *hs_chunk_free_slot(d, chunk, 0);

	if (k->nr_free > HS_TAKE_AHEAD)
		hs_buffer_prefetch(
			d, *hs_chunk_free_slot(d, chunk, HS_TAKE_AHEAD));
	k->free_first = k->free_first + 1 < k->room ? k->free_first + 1 : 0;
	if (--k->nr_free == 0)
		hs_chunk_full(d, chunk);
	return buffer;
}

/*
 * One more at a process.
 * Return: HS_NIL when the class has none on that node, nor a chunk to carve.
 */
static inline __attribute__((always_inline)) uint32_t
hs_chunk_take(struct hs_domain *d, uint32_t node, uint32_t size_class)
{
	uint32_t chunk = d->carved[node][size_class];
	uint32_t buffer;

	if (chunk == HS_NIL && d->empty[node].first != HS_NIL)
		chunk = hs_chunk_open(d, node, size_class);
	if (chunk != HS_NIL) {
		buffer = hs_chunk_carve(d, chunk);
	} else {
		chunk = d->roomy[node][size_class].first;
		if (chunk == HS_NIL)
			return HS_NIL;
		buffer = hs_chunk_take_again(d, chunk);
	}
	d->chunks[chunk].nr_out++;
	d->chunks[chunk].nr_stocked++;
	return buffer;
}

/* @k: that chunk */
static inline void hs_chunk_give_to(struct hs_domain *d, struct hs_chunk *k,
				    uint32_t chunk, uint32_t buffer)
{
	if (k->nr_free == 0 && k->nr_carved == k->room)
		hs_chunk_roomy(d, chunk);
	*hs_chunk_free_slot(d, chunk, k->nr_free++) = buffer;
	if (--k->nr_out == 0)
		hs_chunk_release(d, chunk);
}

static inline void hs_chunk_give(struct hs_domain *d, uint32_t buffer)
{
	uint32_t chunk = hs_chunk_of(d, buffer);

	hs_chunk_give_to(d, &d->chunks[chunk], chunk, buffer);
}

/*
 * Which buffers have a slice under way: a few thousand at most, of millions.
 * The words with a bit for each buffer come first, those with a bit for each
 * of these words behind them.
 */
static inline uint32_t hs_flying_nr_words(uint32_t nr_bits)
{
	return nr_bits / 64 + (nr_bits % 64 != 0);
}
static inline uint32_t hs_flying_size(uint32_t nr_buffers)
{
	uint32_t nr = hs_flying_nr_words(nr_buffers);

	return nr + hs_flying_nr_words(nr);
}
static inline void hs_flying_set(struct hs_domain *d, uint32_t buffer)
{
	uint64_t *above = d->flying + hs_flying_nr_words(d->nr_buffers);
	uint32_t word = buffer / 64;

	d->flying[word] |= 1ull << buffer % 64;
	above[word / 64] |= 1ull << word % 64;
}
static inline void hs_flying_clear(struct hs_domain *d, uint32_t buffer)
{
	uint64_t *above = d->flying + hs_flying_nr_words(d->nr_buffers);
	uint32_t word = buffer / 64;

	d->flying[word] &= ~(1ull << buffer % 64);
	if (!d->flying[word])
		above[word / 64] &= ~(1ull << word % 64);
}

/* What is not yet acknowledged, up to @upto, is the carrier's now. */
static inline void hs_flight_begin(struct hs_agent_core *c, struct hs_domain *d,
				   uint32_t buffer, uint32_t upto)
{
	d->rt[buffer].in_flight = upto;
	hs_flying_set(d, buffer);
	c->in_flight_bytes += upto - d->buffers[buffer].acked;
	c->nr_in_flight++;
	d->nr_sending += hs_buffer_units(d, buffer);
	if (hs_ledger_word_state(d->buffers[buffer].word) == HS_LEDGER_STOCKED)
		d->nr_sending_open += hs_buffer_units(d, buffer);
}
/* Answered, or given up; @acked of the ledger is still what it was. */
static inline void hs_flight_end(struct hs_agent_core *c, struct hs_domain *d,
				 uint32_t buffer)
{
	c->in_flight_bytes -=
		d->rt[buffer].in_flight - d->buffers[buffer].acked;
	c->nr_in_flight--;
	d->rt[buffer].in_flight = 0;
	hs_flying_clear(d, buffer);
	d->nr_sending -= hs_buffer_units(d, buffer);
	if (hs_ledger_word_state(d->buffers[buffer].word) == HS_LEDGER_STOCKED)
		d->nr_sending_open -= hs_buffer_units(d, buffer);
}

#endif

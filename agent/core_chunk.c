/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_chunk.c - free buffers: chunks of the pool, each carved into a class
 *
 * The pool is a row of chunks. A chunk belongs to no size class until one
 * needs it, is carved from its beginning to its end, and belongs to none again
 * as soon as all of its buffers are free: so memory follows demand, and no
 * step here depends on how large the pool is.
 *
 * A class takes from the chunk that it carves, then from an empty chunk, and
 * only then from carved ones that have room again. Traces go in the order in
 * which they came, so chunks that are left alone run empty as a whole; those
 * that a pinned trace or an idle stock keeps from it are what is used last.
 *
 * The ledger has a word for each chunk: its class, written before the first of
 * its buffers is handed out and taken back after the last one came home.
 */
#include "agent/core_priv.h"

static void list_add(struct hs_domain *d, struct hs_chunk_list *list,
		     uint32_t chunk)
{
	d->chunks[chunk].next = HS_NIL;
	d->chunks[chunk].prev = list->last;
	if (list->last != HS_NIL)
		d->chunks[list->last].next = chunk;
	else
		list->first = chunk;
	list->last = chunk;
}

static void list_remove(struct hs_domain *d, struct hs_chunk_list *list,
			uint32_t chunk)
{
	struct hs_chunk *k = &d->chunks[chunk];

	if (k->prev != HS_NIL)
		d->chunks[k->prev].next = k->next;
	else
		list->first = k->next;
	if (k->next != HS_NIL)
		d->chunks[k->next].prev = k->prev;
	else
		list->last = k->prev;
}

static uint32_t units_of_chunk(const struct hs_domain *d, uint32_t chunk)
{
	uint64_t first = (uint64_t)chunk << d->chunk_shift;
	uint64_t left = d->nr_buffers - first;

	return left < 1ull << d->chunk_shift ? (uint32_t)left
					     : 1u << d->chunk_shift;
}

static void chunk_reset(struct hs_domain *d, uint32_t chunk)
{
	d->chunks[chunk] = (struct hs_chunk){
		.size_class = HS_CHUNK_NO_CLASS,
		.node = (uint8_t)((chunk << d->chunk_shift) / d->node_buffers),
	};
	list_add(d, &d->empty[d->chunks[chunk].node], chunk);
}

void hs_chunks_init(struct hs_domain *d)
{
	for (uint32_t n = 0; n < HS_SHM_NR_NODES; n++) {
		d->empty[n] = (struct hs_chunk_list){HS_NIL, HS_NIL};
		for (uint32_t i = 0; i < HS_SHM_NR_CLASSES; i++) {
			d->carved[n][i] = HS_NIL;
			d->roomy[n][i] = (struct hs_chunk_list){HS_NIL, HS_NIL};
		}
	}
	for (uint32_t i = 0; i < d->nr_chunks; i++)
		chunk_reset(d, i);
}

/* It is carved to its end, and one of its buffers has come home. */
void hs_chunk_roomy(struct hs_domain *d, uint32_t chunk)
{
	const struct hs_chunk *k = &d->chunks[chunk];

	list_add(d, &d->roomy[k->node][k->size_class], chunk);
}

/* All of it is free: whoever needs a chunk next may have it. */
void hs_chunk_release(struct hs_domain *d, uint32_t chunk)
{
	struct hs_chunk *k = &d->chunks[chunk];

	if (d->carved[k->node][k->size_class] == chunk)
		d->carved[k->node][k->size_class] = HS_NIL;
	else if (k->nr_free)
		list_remove(d, &d->roomy[k->node][k->size_class], chunk);
	d->nr_class_chunks[k->size_class]--;
	hs_ledger_set32(&d->chunk_words[chunk], 0);
	chunk_reset(d, chunk);
}

static void chunk_assign(struct hs_domain *d, uint32_t chunk,
			 uint32_t size_class)
{
	struct hs_chunk *k = &d->chunks[chunk];

	list_remove(d, &d->empty[k->node], chunk);
	k->size_class = (uint8_t)size_class;
	k->units = d->class_units[size_class];
	k->room = units_of_chunk(d, chunk) / k->units;
	d->nr_class_chunks[size_class]++;
	hs_ledger_set32(&d->chunk_words[chunk], size_class + 1);
}

/* An empty chunk to carve; HS_NIL: there is none. */
uint32_t hs_chunk_open(struct hs_domain *d, uint32_t node, uint32_t size_class)
{
	uint32_t chunk = d->empty[node].first;

	/* The last one may be too small for a large buffer. */
	if (chunk != HS_NIL &&
	    units_of_chunk(d, chunk) < d->class_units[size_class])
		chunk = d->chunks[chunk].next;
	if (chunk == HS_NIL)
		return HS_NIL;
	chunk_assign(d, chunk, size_class);
	d->carved[node][size_class] = chunk;
	return chunk;
}

/* The last of its buffers has been carved. */
void hs_chunk_carved(struct hs_domain *d, uint32_t chunk)
{
	const struct hs_chunk *k = &d->chunks[chunk];

	d->carved[k->node][k->size_class] = HS_NIL;
	if (k->nr_free)
		hs_chunk_roomy(d, chunk);
}

/* None of it is free any more. */
void hs_chunk_full(struct hs_domain *d, uint32_t chunk)
{
	const struct hs_chunk *k = &d->chunks[chunk];

	list_remove(d, &d->roomy[k->node][k->size_class], chunk);
}

/*
 * A chunk as a predecessor left it. Its buffers count as handed out until
 * each one's word has been looked at; one more keeps it from being released
 * under the hands of who looks.
 */
void hs_chunk_adopt(struct hs_domain *d, uint32_t chunk, uint32_t size_class)
{
	struct hs_chunk *k = &d->chunks[chunk];

	chunk_assign(d, chunk, size_class);
	k->nr_carved = k->room;
	k->nr_out = k->room + 1;
}

void hs_chunk_adopted(struct hs_domain *d, uint32_t chunk)
{
	if (--d->chunks[chunk].nr_out == 0)
		hs_chunk_release(d, chunk);
}

static bool check_chunk(const struct hs_domain *d, uint32_t chunk)
{
	const struct hs_chunk *k = &d->chunks[chunk];
	uint32_t word = hs_ledger_get32(&d->chunk_words[chunk]);
	uint32_t units, first = chunk << d->chunk_shift, nr_out = 0,
			stocked = 0;

	if (k->size_class == HS_CHUNK_NO_CLASS)
		return word == 0 && k->nr_out == 0;
	units = k->units;
	for (uint32_t i = 0; i < k->nr_free; i++)
		if (hs_ledger_word_state(
			    d->buffers[*hs_chunk_free_slot(d, chunk, i)]
				    .word) != HS_LEDGER_FREE ||
		    d->rt[*hs_chunk_free_slot(d, chunk, i)].lent)
			return false;
	for (uint32_t i = 0; i < units_of_chunk(d, chunk); i++) {
		enum hs_ledger_state state =
			hs_ledger_word_state(d->buffers[first + i].word);

		if (state != HS_LEDGER_FREE && i % units)
			return false;
		nr_out += state != HS_LEDGER_FREE || d->rt[first + i].parked;
		stocked += state == HS_LEDGER_STOCKED;
	}
	return word == k->size_class + 1u && nr_out == k->nr_out && nr_out &&
	       stocked == k->nr_stocked &&
	       k->nr_carved == k->nr_out + k->nr_free;
}

bool hs_chunks_check(const struct hs_domain *d, const char **why)
{
	uint32_t nr[HS_SHM_NR_CLASSES] = {0};

	*why = "a chunk's buffers do not add up";
	for (uint32_t i = 0; i < d->nr_chunks; i++) {
		if (!check_chunk(d, i))
			return false;
		if (d->chunks[i].size_class != HS_CHUNK_NO_CLASS)
			nr[d->chunks[i].size_class]++;
	}
	*why = "the chunks of a class do not add up";
	for (uint32_t i = 0; i < HS_SHM_NR_CLASSES; i++)
		if (nr[i] != d->nr_class_chunks[i])
			return false;
	return true;
}

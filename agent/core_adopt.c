/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_adopt.c - take a domain's memory over from the ledger alone
 *
 * Also how a fresh domain begins: all its words are zero: no chunk has a class,
 * and nothing has to be walked over. What a kill left half done is finished
 * here: a buffer in FREEING was counted if its trace's totals name it, else it
 * is counted now; a chunk whose buffers are all free belongs to no class.
 */
#include "agent/core_priv.h"
#include "base/planted.h"
#include "base/reached.h"

#define LINES_AHEAD    48u /* of the ledger */
#define PREFETCH_AHEAD 24u /* what they lead to */

static void adopt_stocked(struct hs_domain *d, uint32_t i)
{
	d->nr_stocked += hs_buffer_units(d, i);
	d->chunks[hs_chunk_of(d, i)].nr_stocked++;
}

/*
 * From whatever state, by one store: whoever calls it stocked at nobody first
 * and is killed in between leaves it so, and nobody's death frees it.
 */
static void adopt_free(struct hs_domain *d, uint32_t i)
{
	uint32_t generation = hs_ledger_word_generation(d->buffers[i].word);

	HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(d->buffers[i].word),
		   HS_LEDGER_FREE);
	hs_ledger_set64(&d->buffers[i].word,
			hs_ledger_word(HS_LEDGER_FREE, generation, 0));
	hs_chunk_give(d, i);
}

#define WALK_MAX 64u

/*
 * The memory's order is not the one in which they were published, and what was
 * announced first is to be sent first. They come nearly in order; a walk that
 * gets long ends where it is.
 */
static void into_order(struct hs_domain *d, uint32_t trace, uint32_t i)
{
	struct hs_ix_trace *t = &d->traces[trace];
	struct hs_buffer_rt *rt = &d->rt[i];
	uint32_t before = rt->prev;

	for (uint32_t n = 0; n < WALK_MAX && before != HS_NIL; n++) {
		if (d->buffers[before].seen_ns <= d->buffers[i].seen_ns)
			break;
		before = d->rt[before].prev;
	}
	if (before == rt->prev)
		return;
	/* It is the last one: out there, and in behind @before. */
	t->buf_last = rt->prev;
	d->rt[t->buf_last].next = HS_NIL;
	rt->prev = before;
	rt->next = before == HS_NIL ? t->buf_first : d->rt[before].next;
	d->rt[rt->next].prev = i;
	if (before == HS_NIL)
		t->buf_first = i;
	else
		d->rt[before].next = i;
	if (t->fired != HS_NIL)
		hs_ix_more(d, trace)->ship_next = t->buf_first;
}

static void adopt_held(struct hs_agent_core *c, struct hs_domain *d, uint32_t i,
		       uint64_t now_ns)
{
	struct hs_ledger_buffer *b = &d->buffers[i];
	uint64_t seen_ns =
		b->seen_ns && b->seen_ns < now_ns ? b->seen_ns : now_ns;
	uint32_t trace = HS_NIL;
	struct hs_ix_trace *t;

	if ((b->trace_hi | b->trace_lo) &&
	    b->committed <= hs_buffer_bytes(d, i))
		trace = hs_ix_get(c, d, b->trace_hi, b->trace_lo, seen_ns);
	if (trace == HS_NIL) {
		c->stats.lost_index_full++;
		adopt_free(d, i);
		return;
	}
	/* Whoever wrote it took part, also where it is given up. */
	t = &d->traces[trace];
	t->flags |= (uint16_t)b->flags;
	if (t->first_ns > seen_ns)
		t->first_ns = seen_ns;
	if (t->last_ns < seen_ns)
		t->last_ns = seen_ns;
	t->visited = 1;
	t->process = hs_ledger_word_process(b->word);
	t->several = 1; /* which ones is not known any more */
	if (t->fired != HS_NIL)
		hs_loss_adopt_part(c, d, t->fired, seen_ns, now_ns);
	if (hs_fired_abandoned(c, t->fired)) {
		adopt_free(d, i);
		return;
	}
	if (HS_PLANTED(10))
		b->acked = b->committed;
	hs_buffer_append(c, d, trace, i);
	into_order(d, trace, i);
	if (t->fired != HS_NIL)
		hs_report_enqueue(c, d, trace);
	c->stats.adopted_buffers++;
}

/*
 * The lines that adopting buffer @i will read and write: most of the time of an
 * adoption was waiting for them, since ids are random and the tables large.
 * Those of its trace are known once its own line is here, which was asked for
 * before; the entry will be a new one, as nearly always.
 */
static inline __attribute__((always_inline)) void
adopt_prefetch(const struct hs_agent_core *c, const struct hs_domain *d,
	       uint32_t i)
{
	const struct hs_ledger_buffer *b = &d->buffers[i];

	if (hs_ledger_word_state(b->word) != HS_LEDGER_HELD)
		return;
	hs_ix_prefetch_trace(d, hs_ix_hash(d, b->trace_hi, b->trace_lo));
	hs_fired_prefetch(c, b->trace_hi, b->trace_lo);
	__builtin_prefetch(&d->rt[i], 1);
	if (d->nr_traces - d->traces_used > PREFETCH_AHEAD)
		__builtin_prefetch(&d->traces[d->traces_used + PREFETCH_AHEAD],
				   1);
}

static void adopt_freeing(struct hs_agent_core *c, struct hs_domain *d,
			  uint32_t i)
{
	struct hs_ledger_buffer *b = &d->buffers[i];
	uint32_t fired = hs_fired_find(c, b->trace_hi, b->trace_lo);
	uint64_t key = hs_buffer_ship_key(d, i);

	if (fired != HS_NIL) {
		struct hs_ledger_fired *f = &c->fired[fired];
		uint32_t now = f->totals_select & 1;

		/* No slice is under way yet: keys of buffers alone. */
		if (f->totals[now].last != key) {
			f->totals[!now].buffers = f->totals[now].buffers + 1;
			f->totals[!now].bytes =
				f->totals[now].bytes + b->committed;
			f->totals[!now].last = key;
			hs_ledger_set32(&f->totals_select, !now);
		}
	}
	adopt_free(d, i);
}

static void adopt_buffer(struct hs_agent_core *c, struct hs_domain *d,
			 uint32_t i, uint64_t now_ns)
{
	d->rt[i] = (struct hs_buffer_rt){
		.next = HS_NIL, .prev = HS_NIL, .trace = HS_NIL};
	switch (hs_ledger_word_state(hs_ledger_get64(&d->buffers[i].word))) {
	case HS_LEDGER_STOCKED:
		adopt_stocked(d, i);
		break;
	case HS_LEDGER_HELD:
		adopt_held(c, d, i, now_ns);
		break;
	case HS_LEDGER_FREEING:
		adopt_freeing(c, d, i);
		break;
	case HS_LEDGER_FREE:
	default:
		adopt_free(d, i);
	}
}

static void adopt_chunks(struct hs_agent_core *c, struct hs_domain *d,
			 uint64_t now_ns)
{
	/* All of them first: a trace that is evicted for want of a place in
	 * the index may have buffers anywhere. */
	for (uint32_t k = 0; k < d->nr_chunks; k++) {
		uint32_t word = hs_ledger_get32(&d->chunk_words[k]);

		if (word && word <= d->nr_classes)
			hs_chunk_adopt(d, k, word - 1);
	}
	for (uint32_t k = 0; k < d->nr_chunks; k++) {
		const struct hs_chunk *chunk = &d->chunks[k];
		uint32_t first = k << d->chunk_shift, units, room;

		if (chunk->size_class == HS_CHUNK_NO_CLASS)
			continue;
		units = chunk->units;
		room = chunk->room;
		for (uint32_t i = 0; i < room; i++) {
			if (i + LINES_AHEAD < room)
				__builtin_prefetch(
					&d->buffers[first +
						    (i + LINES_AHEAD) * units]);
			if (i + PREFETCH_AHEAD < room)
				adopt_prefetch(c, d,
					       first + (i + PREFETCH_AHEAD) *
							       units);
			adopt_buffer(c, d, first + i * units, now_ns);
		}
		hs_chunk_adopted(d, k);
	}
}

void hs_adopt_domain(struct hs_agent_core *c, struct hs_domain *d,
		     uint64_t now_ns)
{
	adopt_chunks(c, d, now_ns);
	d->crumb_free = HS_NIL;
	for (uint32_t k = d->nr_crumbs; k-- > 0;) {
		if (hs_ledger_get32(&d->crumbs[k].live)) {
			hs_ix_crumb_adopt(c, d, k, now_ns);
			continue;
		}
		d->crumb_next[k] = d->crumb_free;
		d->crumb_free = k;
		d->nr_crumbs_free++;
	}
	hs_ix_seats_sort(d);
	hs_loss_adopt(c, d);
}

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

static inline void adopt_held(struct hs_agent_core *c, struct hs_domain *d,
			      uint32_t i, uint64_t hash, uint64_t now_ns)
{
	struct hs_ledger_buffer *b = &d->buffers[i];
	uint64_t seen_ns =
		b->seen_ns && b->seen_ns < now_ns ? b->seen_ns : now_ns;
	uint32_t trace = HS_NIL;
	struct hs_ix_trace *t;

	if ((b->trace_hi | b->trace_lo) &&
	    b->committed <= hs_buffer_bytes(d, i))
		trace = hs_ix_adopt(c, d, hash, b->trace_hi, b->trace_lo,
				    seen_ns);
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
	hs_ix_seat_wanted(d, trace);
	if (t->fired != HS_NIL)
		hs_loss_adopt_part(c, d, t->fired, seen_ns, now_ns);
	if (hs_fired_abandoned(c, t->fired)) {
		adopt_free(d, i);
		return;
	}
	if (HS_PLANTED(10))
		b->acked = b->committed;
	if (t->fired == HS_NIL)
		hs_buffer_append_plain(d, trace, i, hs_buffer_units(d, i));
	else
		hs_buffer_append(c, d, trace, i);
	if (d->rt[i].prev != HS_NIL)
		into_order(d, trace, i);
	/* What its mark said: our own successor does not look it up. */
	if (!d->parts_say)
		hs_ix_flag(c, d, trace, t->flags);
	if (t->fired != HS_NIL)
		hs_report_enqueue(c, d, trace);
	c->stats.adopted_buffers++;
}

/*
 * The lines that adopting buffer @i will read and write: most of the time of an
 * adoption was waiting for them, since ids are random and the tables large.
 * Those of its trace are known once its own line is here, which was asked for
 * before; the entry will be a new one, as nearly always.
 * Return: the hash of its trace, if it has one.
 */
static inline __attribute__((always_inline)) uint64_t
adopt_prefetch(const struct hs_agent_core *c, const struct hs_domain *d,
	       uint32_t i)
{
	const struct hs_ledger_buffer *b = &d->buffers[i];
	uint64_t hash;

	if (hs_ledger_word_state(b->word) != HS_LEDGER_HELD)
		return 0;
	hash = hs_ix_hash(d, b->trace_hi, b->trace_lo);
	__builtin_prefetch(&d->buckets[hash & d->bucket_mask], 1);
	if (!d->parts_say)
		__builtin_prefetch(hs_ix_gone_bucket(d, hash));
	hs_fired_prefetch(c, b->trace_hi, b->trace_lo);
	__builtin_prefetch(&d->rt[i], 1);
	if (d->nr_traces - d->traces_used > PREFETCH_AHEAD)
		__builtin_prefetch(&d->traces[d->traces_used + PREFETCH_AHEAD],
				   1);
	return hash;
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

static inline void adopt_buffer(struct hs_agent_core *c, struct hs_domain *d,
				uint32_t i, uint64_t hash, uint64_t now_ns)
{
	d->rt[i] = (struct hs_buffer_rt){
		.next = HS_NIL, .prev = HS_NIL, .trace = HS_NIL};
	switch (hs_ledger_word_state(hs_ledger_get64(&d->buffers[i].word))) {
	case HS_LEDGER_STOCKED:
		adopt_stocked(d, i);
		break;
	case HS_LEDGER_HELD:
		adopt_held(c, d, i, hash, now_ns);
		break;
	case HS_LEDGER_FREEING:
		adopt_freeing(c, d, i);
		break;
	case HS_LEDGER_FREE:
	default:
		adopt_free(d, i);
	}
}

/* A walk over the buffers of all chunks that have a class. */
struct walk {
	uint32_t chunk, at; /* the next one: of that chunk, so many on */
};

/* Return: the buffer that it has come to; HS_NIL: there are no more. */
static inline uint32_t walk_next(const struct hs_domain *d, struct walk *w)
{
	const struct hs_chunk *k;

	for (; w->chunk < d->nr_chunks; w->chunk++, w->at = 0) {
		k = &d->chunks[w->chunk];
		if (k->size_class != HS_CHUNK_NO_CLASS && w->at < k->room)
			return (w->chunk << d->chunk_shift) +
			       w->at++ * k->units;
	}
	return HS_NIL;
}

/*
 * Three walks, one ahead of the other: lines of the ledger are asked for, what
 * they lead to is, and the buffers are taken in.
 */
static void adopt_buffers(struct hs_agent_core *c, struct hs_domain *d,
			  uint64_t now_ns)
{
	struct {
		uint32_t buffer;
		uint64_t hash;
	} row[PREFETCH_AHEAD];
	struct walk lines = {0, 0}, ahead = {0, 0};

	for (uint32_t n = 0;; n++) {
		uint32_t at = n % PREFETCH_AHEAD, later = walk_next(d, &lines);

		if (later != HS_NIL)
			__builtin_prefetch(&d->buffers[later]);
		if (n < LINES_AHEAD - PREFETCH_AHEAD)
			continue;
		if (n >= LINES_AHEAD) {
			if (row[at].buffer == HS_NIL)
				return;
			adopt_buffer(c, d, row[at].buffer, row[at].hash,
				     now_ns);
		}
		row[at].buffer = walk_next(d, &ahead);
		if (row[at].buffer != HS_NIL)
			row[at].hash = adopt_prefetch(c, d, row[at].buffer);
	}
}

static void adopt_chunks(struct hs_agent_core *c, struct hs_domain *d,
			 uint64_t now_ns)
{
	/* All of them first: an adoption may let buffers of any of them go. */
	for (uint32_t k = 0; k < d->nr_chunks; k++) {
		uint32_t word = hs_ledger_get32(&d->chunk_words[k]);

		if (word && word <= d->nr_classes)
			hs_chunk_adopt(d, k, word - 1);
	}
	adopt_buffers(c, d, now_ns);
	for (uint32_t k = 0; k < d->nr_chunks; k++)
		if (d->chunks[k].size_class != HS_CHUNK_NO_CLASS)
			hs_chunk_adopted(d, k);
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
	hs_ix_seats_adopt(d);
	hs_loss_adopt(c, d);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_index.c - the traces of a domain: who is here, with what, since when
 *
 * A table under a private seed (core_table.c), entries from a fixed pool, and
 * the order in which untriggered traces were last seen (core_retain.c), so
 * that the least recently seen goes first, whole (law 4). Evictions leave a
 * fingerprint behind: a trace whose first half was evicted must not look whole
 * when its second arrives.
 */
#include "agent/core_priv.h"

#include <string.h>

#include "base/node_at.h"
#include "rdma/crumbs.h"
#include "base/planted.h"
#include "base/reached.h"

#define EVICT_AHEAD 16u
/* Of a full index, that go for a new trace: one in so many, and at most. */
#define ROOM_PART 256u
#define ROOM_MAX  64u

/* In the ledger: a successor must know it too. The low byte says why. */
#define WHY_MASK 0xffull
/*
 * Beside HS_WIRE_F_* in a fingerprint, and never told: it had fired, all of it
 * was shipped, and it has been forgotten. What comes of it later and goes
 * unshipped is lost to whoever believes what was said before (ADR 59).
 */
#define FORGOTTEN 0x80u
#define WENT	  0x100u /* given to gone() beside them: unshipped */

typedef uint32_t quarters __attribute__((vector_size(16), aligned(8)));
typedef uint64_t pair __attribute__((vector_size(16), aligned(8)));
_Static_assert(HS_EVICTED_WAYS == 8, "gone_maybe() looks at eight");

/*
 * Whether a mark's upper half is that of @hash: hardly ever, unless it is
 * there. All eight at once, since two in three of those who ask find none.
 */
static inline bool gone_maybe(const uint64_t *bucket, uint64_t hash)
{
	const quarters *q = (const quarters *)bucket;
	uint32_t upper = (uint32_t)(hash >> 32);
	quarters key = {upper, upper, upper, upper}, low, high, same;
	uint64_t any[2];

	low = __builtin_shufflevector(q[0], q[1], 1, 3, 5, 7);
	high = __builtin_shufflevector(q[2], q[3], 1, 3, 5, 7);
	same = (quarters)((low == key) | (high == key));
	memcpy(any, &same, sizeof(any));
	return any[0] | any[1];
}

static inline uint64_t *gone_find(uint64_t *bucket, uint64_t hash)
{
	if (__builtin_expect(!gone_maybe(bucket, hash), 1))
		return NULL;
	for (uint32_t i = 0; i < HS_EVICTED_WAYS; i++)
		if ((bucket[i] ^ hash) <= WHY_MASK && bucket[i])
			return &bucket[i];
	return NULL;
}

static inline uint16_t was_here(const struct hs_domain *d, uint64_t hash)
{
	const uint64_t *known = gone_find(hs_ix_gone_bucket(d, hash), hash);

	return known ? (uint16_t)(*known & WHY_MASK & ~FORGOTTEN) : 0;
}

/* HS_WIRE_F_* of what was here of it and is not any more; 0: nothing known. */
uint16_t hs_ix_was_here(const struct hs_domain *d, uint64_t hi, uint64_t lo)
{
	return was_here(d, hs_ix_hash(d, hi, lo));
}

/*
 * The newest mark of a bucket: each moves on by one, the last first, so that a
 * kill in between loses no other.
 */
static inline void gone_push(uint64_t *bucket, uint64_t mark)
{
#ifdef __SSE2__
	pair p[HS_EVICTED_WAYS / 2];

	memcpy(p, bucket, sizeof(p));
	hs_ledger_set64(&bucket[7], p[3][0]);
	/* That is a release: it holds back nothing that follows. */
	__asm__ volatile("" ::: "memory");
	*(pair *)&bucket[5] = p[2];
	__asm__ volatile("" ::: "memory");
	*(pair *)&bucket[3] = p[1];
	__asm__ volatile("" ::: "memory");
	*(pair *)&bucket[1] = p[0];
#else
	for (uint32_t i = HS_EVICTED_WAYS - 1; i > 0; i--)
		hs_ledger_set64(&bucket[i], bucket[i - 1]);
#endif
	hs_ledger_set64(&bucket[0], mark);
}

static inline void gone(struct hs_agent_core *c, struct hs_domain *d,
			uint64_t hash, uint16_t flags)
{
	uint64_t *bucket = hs_ix_gone_bucket(d, hash);
	uint64_t *known = gone_find(bucket, hash);

	if (known) {
		if (*known & FORGOTTEN && flags & WENT)
			flags |= HS_WIRE_F_LOST;
		hs_ledger_set64(known, *known | (flags & WHY_MASK));
		return;
	}
	c->stats.gone_forgotten += bucket[HS_EVICTED_WAYS - 1] != 0;
	gone_push(bucket, (hash & ~WHY_MASK) | (flags & WHY_MASK));
}

void hs_ix_gone(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		uint64_t lo, uint16_t flags)
{
	gone(c, d, hs_ix_hash(d, hi, lo), flags);
}

void hs_ix_forgotten(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		     uint64_t lo)
{
	gone(c, d, hs_ix_hash(d, hi, lo), HS_WIRE_F_EVICTED | FORGOTTEN);
}

void hs_ix_init(struct hs_domain *d)
{
	hs_ix_table_init(d);
	d->seat_tail = d->seat_head = 0;
	d->seats_move = false;
}

uint32_t hs_ix_find(const struct hs_domain *d, uint64_t hi, uint64_t lo)
{
	return hs_ix_find_hashed(d, hs_ix_hash(d, hi, lo), hi, lo);
}

struct hs_ix_more *hs_ix_more(struct hs_domain *d, uint32_t trace)
{
	struct hs_ix_trace *t = &d->traces[trace];

	if (!t->has_more) {
		d->more[trace] = (struct hs_ix_more){
			.ship_next = t->buf_first,
			.crumb_first = HS_NIL,
			.hold = HS_NIL,
		};
		t->has_more = 1;
	}
	return &d->more[trace];
}

static void pin(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		uint32_t fired)
{
	struct hs_ix_trace *t = &d->traces[trace];

	hs_ix_more(d, trace)->ship_next = t->buf_first;
	t->fired = fired;
	d->nr_traces_fired++;
	hs_ix_more(d, trace)->nr_units = 0;
	for (uint32_t i = t->buf_first; i != HS_NIL; i = d->rt[i].next)
		hs_ix_more(d, trace)->nr_units += hs_buffer_units(d, i);
	d->nr_pinned += hs_ix_more(d, trace)->nr_units;
	d->nr_crumbs_fired += hs_ix_more(d, trace)->nr_crumbs;
	if (t->visited)
		hs_loss_took_part(c, d, fired, t->process, t->several,
				  hs_ix_first_ns(t), t->last_ns);
	hs_hold_place(c, d, trace);
}

/* Entry @i, which is free, is that trace's from here on. */
static inline void entry_fill(struct hs_agent_core *c, struct hs_domain *d,
			      uint32_t i, uint64_t hash, uint64_t hi,
			      uint64_t lo, uint64_t now_ns, uint16_t flags)
{
	d->traces[i] = (struct hs_ix_trace){
		.hi = hi,
		.lo = lo,
		.first_ns = now_ns,
		.last_ns = now_ns,
		.buf_first = HS_NIL,
		.buf_last = HS_NIL,
		.flags = flags,
		.fired = HS_NIL,
	};
	d->hashes[i] = hash;
	d->trace_last = i;
	hs_ix_table_insert(d, hash, i);
	d->nr_traces_live++;
	c->stats.traces_seen++;
}

static void entries_room(struct hs_agent_core *c, struct hs_domain *d);

/* What hs_ix_get_hashed() does for another trace than the last one. */
uint32_t hs_ix_get_other(struct hs_agent_core *c, struct hs_domain *d,
			 uint64_t hash, uint64_t hi, uint64_t lo,
			 uint64_t now_ns)
{
	uint32_t i = d->trace_last = hs_ix_own_find(d, hash, hi, lo), fired;

	if (i != HS_NIL)
		return i;
	i = hs_ix_entry_take(c, d);
	if (__builtin_expect(i == HS_NIL, 0)) {
		entries_room(c, d);
		i = hs_ix_entry_take(c, d);
		if (i == HS_NIL)
			return HS_NIL;
	}
	entry_fill(c, d, i, hash, hi, lo, now_ns, was_here(d, hash));
	hs_ix_seat_take(d, i);
	fired = hs_fired_find(c, hi, lo);
	if (fired != HS_NIL)
		hs_ix_pin(c, d, i, fired);
	return i;
}

/*
 * A successor's: nothing sits yet (hs_ix_seats_adopt()), so that nothing can be
 * evicted for it. There were no more of them than entries, unless a predecessor
 * had more: what has no place leaves a mark. What the ledger has of a trace
 * carries its flags, those of its mark among them.
 */
uint32_t hs_ix_adopt(struct hs_agent_core *c, struct hs_domain *d,
		     uint64_t hash, uint64_t hi, uint64_t lo, uint64_t seen_ns)
{
	uint32_t i = d->trace_last, fired;

	if (hs_ix_is(d, i, hi, lo))
		return i;
	i = d->trace_last = hs_ix_own_find(d, hash, hi, lo);
	if (i != HS_NIL)
		return i;
	i = hs_ix_entry_take(c, d);
	if (i == HS_NIL) {
		hs_ix_gone(c, d, hi, lo, HS_WIRE_F_EVICTED | WENT);
		return HS_NIL;
	}
	entry_fill(c, d, i, hash, hi, lo, seen_ns,
		   d->parts_say ? 0 : was_here(d, hash));
	fired = hs_fired_find(c, hi, lo);
	if (fired != HS_NIL)
		pin(c, d, i, fired);
	return i;
}

uint32_t hs_ix_get(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		   uint64_t lo, uint64_t now_ns)
{
	return hs_ix_get_hashed(c, d, hs_ix_hash(d, hi, lo), hi, lo, now_ns);
}

/* See hs_ix_flag(). */
void hs_ix_flag_some(struct hs_agent_core *c, struct hs_domain *d,
		     uint32_t trace, uint16_t flags)
{
	struct hs_ix_trace *t = &d->traces[trace];
	struct hs_ledger_crumb *crumb = NULL;

	t->flags |= flags;
	if (t->buf_last != HS_NIL)
		d->buffers[t->buf_last].flags |= flags;
	if (t->has_more && d->more[trace].crumb_first != HS_NIL) {
		crumb = &d->crumbs[d->more[trace].crumb_first];
		hs_ledger_set32(&crumb->live,
				crumb->live | (uint32_t)flags << 8);
	}
	if (t->fired != HS_NIL)
		c->fired[t->fired].flags |= flags;
	else if (t->buf_last == HS_NIL && !crumb)
		hs_ix_gone(c, d, t->hi, t->lo, flags);
}

/* A fired trace leaves the order of eviction. */
void hs_ix_pin(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
	       uint32_t fired)
{
	if (d->traces[trace].fired != HS_NIL)
		return;
	hs_ix_seat_leave(d, trace);
	pin(c, d, trace, fired);
}

static void crumb_free(struct hs_domain *d, uint32_t crumb)
{
	hs_ledger_set32(&d->crumbs[crumb].live, 0);
	d->crumb_next[crumb] = d->crumb_free;
	d->crumb_free = crumb;
	d->nr_crumbs_free++;
}

/* The first goes last: leaves_in_parts(). */
static void crumbs_free(struct hs_domain *d, uint32_t trace)
{
	uint32_t first = d->more[trace].crumb_first, next;

	if (first == HS_NIL)
		return;
	for (uint32_t k = d->crumb_next[first]; k != HS_NIL; k = next) {
		next = d->crumb_next[k];
		crumb_free(d, k);
	}
	crumb_free(d, first);
}

/*
 * A trace of several buffers or crumbs goes by as many stores. A successor of
 * who is killed among them must know that what it finds is not all: what goes
 * last says so first, and nobody need look for each trace's mark.
 */
static inline void leaves_in_parts(struct hs_domain *d, uint32_t trace)
{
	const struct hs_ix_trace *t = &d->traces[trace];
	uint32_t first = hs_ix_crumb_first(d, trace);

	if (HS_PLANTED(111))
		return;
	if (first != HS_NIL)
		hs_ledger_set32(&d->crumbs[first].live,
				d->crumbs[first].live |
					(uint32_t)HS_WIRE_F_EVICTED << 8);
	else if (t->buf_first != t->buf_last)
		d->buffers[t->buf_last].flags |= HS_WIRE_F_EVICTED;
}

/* From the table, and its entry to those that are free. */
static inline __attribute__((always_inline)) void
entry_leave(struct hs_agent_core *c, struct hs_domain *d,
	    const struct hs_ix_trace *t, uint32_t trace, uint64_t hash)
{
	hs_ix_table_remove(d, hash, trace);
	if (d->trace_last == trace)
		d->trace_last = HS_NIL;
	if (t->has_more)
		crumbs_free(d, trace);
	d->nr_traces_live--;
	hs_ix_entry_give(c, d, trace);
}

/* Its buffers must have been let go. */
void hs_ix_remove(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace)
{
	const struct hs_ix_trace *t = &d->traces[trace];

	leaves_in_parts(d, trace);
	if (t->fired == HS_NIL) {
		hs_ix_seat_leave(d, trace);
	} else {
		d->nr_traces_fired--;
		d->nr_crumbs_fired -= hs_ix_more(d, trace)->nr_crumbs;
	}
	entry_leave(c, d, t, trace, d->hashes[trace]);
}

static bool crumb_known(const struct hs_domain *d,
			const struct hs_ix_more *more, uint64_t node)
{
	for (uint32_t k = more->crumb_first; k != HS_NIL; k = d->crumb_next[k])
		if (d->crumbs[k].node == node)
			return true;
	return false;
}

void hs_agent_core_hide_crumbs(struct hs_agent_core *c)
{
	c->config.crumb_buckets = NULL;
}

/* Where coordinators look before we answer; what we answer counts. */
static void show(struct hs_agent_core *c, uint64_t hi, uint64_t lo,
		 uint64_t node)
{
	if (!c->config.crumb_buckets || hs_node_is_at(node))
		return;
	c->stats.crumbs_shown++;
	c->stats.crumbs_covered += hs_crumbs_add(
		&c->config.crumb_table, c->config.crumb_buckets, hi, lo, node);
}

/*
 * Room for a crumb of @trace: the oldest traces make it, unless what fired has
 * all of them. A few at a time, as most have none to give where few requests
 * leave their node.
 */
static uint32_t crumb_room(struct hs_agent_core *c, struct hs_domain *d,
			   uint32_t trace)
{
	for (uint32_t n = 0;
	     d->crumb_free == HS_NIL && n < HS_EVICT_FOR_CRUMB &&
	     d->nr_crumbs_fired < d->nr_crumbs && hs_ix_oldest(d) != trace;
	     n++)
		if (!hs_ix_evict_one(c, d))
			break;
	return d->crumb_free;
}

void hs_ix_crumb(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		 uint64_t node, uint32_t kind)
{
	struct hs_ix_trace *t = &d->traces[trace];
	struct hs_ix_more *more;
	uint32_t k;

	if (node == 0 || node == c->ledger->node_id)
		return;
	more = hs_ix_more(d, trace);
	if (HS_PLANTED(7) && more->nr_crumbs > 0)
		return;
	if (crumb_known(d, more, node))
		return;
	k = more->nr_crumbs < c->config.trace_crumbs_max
		    ? crumb_room(c, d, trace)
		    : HS_NIL;
	if (k == HS_NIL) {
		hs_ix_flag(c, d, trace, HS_WIRE_F_CUT);
		c->stats.crumbs_lost++;
		return;
	}
	d->crumb_free = d->crumb_next[k];
	/* That of the next crumb, whoever's it will be. */
	if (d->crumb_free != HS_NIL)
		__builtin_prefetch(&d->crumbs[d->crumb_free], 1);
	d->nr_crumbs_free--;
	d->crumbs[k].trace_hi = t->hi;
	d->crumbs[k].trace_lo = t->lo;
	d->crumbs[k].node = node;
	d->crumbs[k].kind = kind;
	hs_ledger_set32(&d->crumbs[k].live, 1u | (uint32_t)t->flags << 8);
	d->crumb_next[k] = more->crumb_first;
	more->crumb_first = k;
	more->nr_crumbs++;
	show(c, t->hi, t->lo, node);
	d->nr_crumbs_fired += t->fired != HS_NIL;
}

/* A crumb that a predecessor wrote finds its trace again. */
void hs_ix_crumb_adopt(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t crumb, uint64_t now_ns)
{
	uint64_t hi = d->crumbs[crumb].trace_hi, lo = d->crumbs[crumb].trace_lo;
	uint32_t i = hs_ix_adopt(c, d, hs_ix_hash(d, hi, lo), hi, lo, now_ns);
	struct hs_ix_more *more;

	if (i == HS_NIL) {
		crumb_free(d, crumb);
		c->stats.crumbs_lost++;
		return;
	}
	if (d->traces[i].fired != HS_NIL)
		hs_loss_adopt_part(c, d, d->traces[i].fired, now_ns, now_ns);
	else
		d->traces[i].undated |= !d->traces[i].nr_buffers;
	d->traces[i].visited = 1;
	d->traces[i].several = 1; /* which ones is not known any more */
	d->traces[i].flags |= (uint16_t)(d->crumbs[crumb].live >> 8);
	hs_ix_seat_wanted(d, i);
	more = hs_ix_more(d, i);
	d->crumb_next[crumb] = more->crumb_first;
	more->crumb_first = crumb;
	more->nr_crumbs++;
	if (!d->parts_say)
		hs_ix_flag(c, d, i, d->traces[i].flags);
	show(c, d->traces[i].hi, d->traces[i].lo, d->crumbs[crumb].node);
	d->nr_crumbs_fired += d->traces[i].fired != HS_NIL;
}

/* See hs_ix_visit(): for the first time, or by another one, or it has fired. */
void hs_ix_visit_first(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace, uint32_t process, uint64_t now_ns)
{
	struct hs_ix_trace *t = &d->traces[trace];
	bool first = !t->visited;

	if (first)
		t->process = process;
	else if (t->process != process)
		t->several = 1;
	t->visited = 1;
	hs_ix_touch(d, trace, now_ns);
	if (t->fired != HS_NIL) {
		hs_loss_took_part(c, d, t->fired, process, false, now_ns,
				  now_ns);
		hs_fired_dirty(c, t->fired);
	}
	if (first && (c->kept_before_ppm | c->config.head_ppm))
		hs_sample_first(c, d, trace, now_ns);
}

/*
 * Ask for the lines of the next to go: the trace and where it stands, then what
 * it leads to. Inline by force: gcc takes a function that only prefetches for
 * one without effect, and drops calls of it within this file.
 */
static inline __attribute__((always_inline)) void
prefetch_evict(const struct hs_domain *d, const uint32_t *seats, uint32_t mask,
	       uint32_t tail)
{
	const struct hs_ix_trace *t, *traces = d->traces;
	uint32_t i;

	/* Of so few all of it is near. */
	if (d->seat_head - tail <= EVICT_AHEAD)
		return;
	i = seats[(tail + EVICT_AHEAD) & mask];
	if (i != HS_NIL) {
		uint64_t hash = d->hashes[i];

		__builtin_prefetch(&traces[i], 1);
		__builtin_prefetch(&d->buckets[hash & d->bucket_mask], 1);
		__builtin_prefetch(hs_ix_gone_bucket(d, hash), 1);
	}
	i = seats[(tail + EVICT_AHEAD / 2) & mask];
	if (i != HS_NIL && traces[i].buf_first != HS_NIL)
		hs_buffer_prefetch(d, traces[i].buf_first);
	i = seats[(tail + EVICT_AHEAD / 4) & mask];
	if (i == HS_NIL)
		return;
	t = &traces[i];
	if (t->buf_first != t->buf_last)
		hs_buffer_prefetch(d, d->rt[t->buf_first].next);
}

/*
 * All buffers of a trace that goes as a whole and that no trigger named, from
 * its first on: no link needs mending, and its entry is nobody's soon.
 */
static inline __attribute__((always_inline)) void
buffers_evict(struct hs_agent_core *c, struct hs_domain *d, uint32_t buffer)
{
	while (buffer != HS_NIL) {
		struct hs_ledger_buffer *b = &d->buffers[buffer];
		struct hs_buffer_rt *rt = &d->rt[buffer];
		uint32_t chunk = hs_chunk_of(d, buffer), next = rt->next;
		struct hs_chunk *k = &d->chunks[chunk];

		if (__builtin_expect(rt->in_flight, 0))
			hs_flight_end(c, d, buffer);
		HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(b->word),
			   HS_LEDGER_FREE);
		hs_ledger_set64(&b->word, hs_ledger_word_free(b->word));
		d->nr_held -= k->units;
		hs_chunk_give_to(d, k, chunk, buffer);
		buffer = next;
	}
}

/* The least recently seen untriggered trace goes, whole. */
static inline __attribute__((always_inline)) bool
evict_one(struct hs_agent_core *c, struct hs_domain *d)
{
	uint32_t tail = d->seat_tail, mask = d->seat_mask, i;
	uint32_t *seats = d->seats;
	struct hs_ix_trace *t;
	uint64_t hash;

	if (tail == d->seat_head)
		return false;
	i = seats[tail & mask];
	t = &d->traces[i];
	hash = d->hashes[i];
	prefetch_evict(d, seats, mask, tail);
	if (!HS_PLANTED(6))
		gone(c, d, hash, HS_WIRE_F_EVICTED | WENT);
	if (t->has_more || t->buf_first != t->buf_last)
		leaves_in_parts(d, i);
	buffers_evict(c, d, t->buf_first);
	hs_ix_seat_empty(d, tail);
	entry_leave(c, d, t, i, hash);
	c->stats.traces_evicted++;
	return true;
}

bool hs_ix_evict_one(struct hs_agent_core *c, struct hs_domain *d)
{
	return evict_one(c, d);
}

uint32_t hs_ix_evict_until(struct hs_agent_core *c, struct hs_domain *d,
			   uint32_t units, uint32_t most)
{
	/* While traces go nothing else of this changes. */
	int64_t held = (int64_t)hs_domain_nr_free(d) + d->nr_held - units;
	uint32_t nr = 0;

	while (d->nr_held > held && nr < most && evict_one(c, d))
		nr++;
	return nr;
}

/*
 * All entries are in use. Several of the oldest go at once where readers may
 * have to be waited for, which is the same wait for one and for many.
 */
static __attribute__((noinline)) void entries_room(struct hs_agent_core *c,
						   struct hs_domain *d)
{
	uint32_t nr = c->config.grace ? d->nr_traces / ROOM_PART : 0;

	if (nr > ROOM_MAX)
		nr = ROOM_MAX;
	while (evict_one(c, d) && nr > 1)
		nr--;
}

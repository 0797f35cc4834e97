/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_buffer.c - whose buffer it is, and what the lanes say of it
 *
 * A buffer is FREE, STOCKED at one process, HELD by one trace, or FREEING. The
 * ledger's word alone decides; what a lane claims is checked against it, so
 * that a process can publish only what it was given, and only once.
 */
#include "agent/core_priv.h"
#include "base/planted.h"
#include "base/reached.h"

#include <errno.h>
#include <string.h>

/* How far ahead what is asked for: lines that an entry names, lines that these
 * lead to, and so on; by and by, so many entries' at a time. */
#define AHEAD_LINES   32u /* as many as a core fetches at a time */
#define AHEAD_TRACES  16u
#define AHEAD_LASTS   8u
#define GROUP_ENTRIES 16u
#define AHEAD_ENTRIES 64u /* a power of two: all of these, and one before */
_Static_assert(AHEAD_LINES + GROUP_ENTRIES < AHEAD_ENTRIES, "each its place");
#define COMMITTED_MASK 0x0fffffffu /* of an entry: the rest is the node */

const struct hs_domain *hs_domain_look(const struct hs_agent_core *c,
				       uint32_t domain)
{
	if (domain >= HS_AGENT_DOMAINS_MAX || !c->domains[domain].live)
		return NULL;
	return &c->domains[domain];
}

struct hs_domain *hs_domain_get(struct hs_agent_core *c, uint32_t domain)
{
	return (struct hs_domain *)hs_domain_look(c, domain);
}

/*
 * It names one slice, not one buffer: the answer to an earlier sending must
 * not be taken for one to what was sent since.
 */
uint64_t hs_buffer_ship_key(const struct hs_domain *d, uint32_t buffer)
{
	uint64_t generation =
		hs_ledger_word_generation(d->buffers[buffer].word);
	uint64_t sending = d->rt[buffer].sending;

	return (uint64_t)d->id << 60 |
	       (sending & ((1u << HS_KEY_SENDINGS) - 1))
		       << (HS_KEY_BUFFERS + HS_KEY_GENERATIONS) |
	       (uint64_t)buffer << HS_KEY_GENERATIONS |
	       (generation & ((1u << HS_KEY_GENERATIONS) - 1));
}

void hs_buffer_append(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t trace, uint32_t buffer)
{
	uint32_t units = hs_buffer_units(d, buffer);

	hs_buffer_append_plain(d, trace, buffer, units);
	if (d->traces[trace].fired == HS_NIL)
		return;
	if (hs_ix_more(d, trace)->ship_next == HS_NIL)
		hs_ix_more(d, trace)->ship_next = buffer;
	hs_hold_pinned(c, d, trace, (int)units);
}

static void trace_unlink(struct hs_agent_core *c, struct hs_domain *d,
			 uint32_t buffer)
{
	struct hs_buffer_rt *rt = &d->rt[buffer];
	struct hs_ix_trace *t = &d->traces[rt->trace];

	if (t->fired != HS_NIL && hs_ix_more(d, rt->trace)->ship_next == buffer)
		hs_ix_more(d, rt->trace)->ship_next = rt->next;
	if (rt->prev != HS_NIL)
		d->rt[rt->prev].next = rt->next;
	else
		t->buf_first = rt->next;
	if (rt->next != HS_NIL)
		d->rt[rt->next].prev = rt->prev;
	else
		t->buf_last = rt->prev;
	t->nr_buffers--;
	hs_ix_bytes_set(t, hs_ix_bytes(t) - d->buffers[buffer].committed);
	d->nr_held -= hs_buffer_units(d, buffer);
	if (t->fired != HS_NIL)
		hs_hold_pinned(c, d, rt->trace,
			       -(int)hs_buffer_units(d, buffer));
}

/* One that a process had is its no more. */
static void leave_stock(struct hs_domain *d, uint32_t buffer)
{
	struct hs_chunk *k = &d->chunks[hs_chunk_of(d, buffer)];

	d->nr_stocked -= k->units;
	k->nr_stocked--;
}

/*
 * From whatever state back to the free ones; by way of the parked ones while
 * the carrier still reads it. A successor need not know: its predecessor's
 * port ended with it.
 */
void hs_buffer_free(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t buffer)
{
	uint64_t word = d->buffers[buffer].word;

	if (d->rt[buffer].in_flight)
		hs_flight_end(c, d, buffer);
	if (hs_ledger_word_state(word) == HS_LEDGER_STOCKED)
		leave_stock(d, buffer);
	else
		trace_unlink(c, d, buffer);
	HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(word),
		   HS_LEDGER_FREE);
	hs_ledger_set64(&d->buffers[buffer].word,
			hs_ledger_word(HS_LEDGER_FREE,
				       hs_ledger_word_generation(word), 0));
	d->rt[buffer].in_flight = 0;
	if (d->rt[buffer].lent && !HS_PLANTED(27)) {
		d->rt[buffer].parked = true;
		d->nr_parked += hs_buffer_units(d, buffer);
		return;
	}
	hs_chunk_give(d, buffer);
}

static inline uint32_t buffer_of_ref(const struct hs_domain *d, uint32_t node,
				     uint32_t ref)
{
	uint32_t unit = ref >> d->unit_shift;

	if (node >= d->nr_nodes || unit >= d->node_buffers ||
	    unit << d->unit_shift != ref)
		return HS_NIL;
	/* In the midst of a larger one: its word says that it is nobody's. */
	return node * d->node_buffers + unit;
}

/* Whatever its generation. */
static inline bool stocked_at(const struct hs_domain *d, uint32_t buffer,
			      uint32_t process)
{
	uint64_t any = hs_ledger_word(HS_LEDGER_FREE, 0xffffffu, 0);

	return (d->buffers[buffer].word & ~any) ==
	       hs_ledger_word(HS_LEDGER_STOCKED, 0, process);
}

/* The buffer of a stock word that @process still has; HS_NIL if it has not. */
uint32_t hs_buffer_of_word(const struct hs_domain *d, uint64_t stock_word,
			   uint32_t process)
{
	uint32_t buffer = buffer_of_ref(d, hs_shm_stock_node(stock_word),
					hs_shm_stock_ref(stock_word));

	if (buffer == HS_NIL || !stocked_at(d, buffer, process) ||
	    hs_ledger_word_generation(d->buffers[buffer].word) !=
		    hs_shm_stock_generation(stock_word))
		return HS_NIL;
	return buffer;
}

bool hs_agent_core_owns(const struct hs_agent_core *core, uint32_t domain,
			uint32_t process, uint64_t stock_word)
{
	const struct hs_domain *d = hs_domain_look(core, domain);

	return d && hs_buffer_of_word(d, stock_word, process) != HS_NIL;
}

/*
 * What is under way of it from when it was open is for a trace that has been
 * forgotten since, or went under other names than it is published with: then
 * it counts for nothing, and all of it goes again.
 */
static void take_back(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t buffer, const struct hs_ledger_buffer *body,
		      bool fired)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];

	if (d->rt[buffer].in_flight && !fired)
		hs_flight_end(c, d, buffer);
	if ((!b->acked && !d->rt[buffer].in_flight) ||
	    (b->trace_hi == body->trace_hi && b->trace_lo == body->trace_lo &&
	     b->handle == body->handle))
		return;
	if (d->rt[buffer].in_flight)
		hs_flight_end(c, d, buffer);
	b->acked = 0;
	b->sent = 0;
	b->flags |= HS_WIRE_F_MODIFIED;
}

/* A trace that has fired goes on, or a dry run counts: what else that means. */
static void published_more(struct hs_agent_core *c, struct hs_domain *d,
			   uint32_t trace, const struct hs_ledger_buffer *b)
{
	if (c->dry_runs)
		hs_policy_dry_more(c, b->trace_hi, b->trace_lo, b->committed);
	if (d->traces[trace].fired != HS_NIL)
		hs_report_enqueue(c, d, trace);
}

/* The index has no place for its trace, or the trace may have no more. */
static __attribute__((noinline, cold)) void
publish_refused(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		uint32_t buffer, uint32_t process, uint64_t now_ns)
{
	if (trace == HS_NIL) {
		c->stats.lost_index_full++;
		hs_agent_core_loss(c, d->id, process, now_ns, now_ns);
	} else if (d->traces[trace].nr_buffers >= c->config.trace_buffers_max) {
		hs_ix_flag(c, d, trace, HS_WIRE_F_CUT);
	}
	hs_buffer_free(c, d, buffer);
}

/* Of chunk @k, which a process had. */
static inline void publish_count(struct hs_domain *d, struct hs_chunk *k,
				 uint32_t units, uint32_t committed)
{
	d->nr_stocked -= units;
	k->nr_stocked--;
	d->nr_indexed++;
	d->units_indexed += units;
	d->bytes_indexed += committed;
}

/*
 * It becomes @trace's, which has been visited. Lost where that may have no
 * more, with the mark of it.
 */
static void publish(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t trace, uint32_t buffer,
		    const struct hs_ledger_buffer *body, uint32_t process,
		    uint64_t now_ns)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	struct hs_buffer_rt *rt = &d->rt[buffer];
	struct hs_chunk *k = &d->chunks[hs_chunk_of(d, buffer)];
	struct hs_ix_trace *t = &d->traces[trace];

	hs_ix_flag(c, d, trace, (uint16_t)body->flags);
	if (t->nr_buffers >= c->config.trace_buffers_max ||
	    hs_fired_abandoned(c, t->fired)) {
		publish_refused(c, d, trace, buffer, process, now_ns);
		return;
	}
	if (HS_PLANTED(106))
		b->word = hs_ledger_word(HS_LEDGER_HELD,
					 hs_ledger_word_generation(b->word),
					 process);
	if (rt->in_flight | b->acked)
		take_back(c, d, buffer, body, t->fired != HS_NIL);
	b->trace_hi = body->trace_hi;
	b->trace_lo = body->trace_lo;
	b->handle = body->handle;
	b->seq = body->seq;
	b->committed = body->committed;
	b->seen_ns = now_ns;
	/* A part may have been refused already. */
	b->flags |= t->flags;
	if (b->acked > b->committed) /* it shrank: not what was shipped */
		b->flags |= HS_WIRE_F_MODIFIED;
	HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(b->word),
		   HS_LEDGER_HELD);
	hs_ledger_set64(&b->word,
			hs_ledger_word(HS_LEDGER_HELD,
				       hs_ledger_word_generation(b->word),
				       process));
	if (rt->in_flight)
		d->nr_sending_open -= k->units;
	hs_ix_flag(c, d, trace, (uint16_t)b->flags);
	publish_count(d, k, k->units, b->committed);
	hs_buffer_append(c, d, trace, buffer);
	if (c->dry_runs || t->fired != HS_NIL)
		published_more(c, d, trace, b);
}

/* See entry_publish(): something is known of the trace, or of the buffer. */
static __attribute__((noinline)) void
entry_publish_more(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		   uint32_t buffer, const struct hs_shm_entry *e,
		   uint32_t process, uint64_t now_ns)
{
	struct hs_ledger_buffer body = {
		.trace_hi = e->trace_hi,
		.trace_lo = e->trace_lo,
		.handle = e->handle,
		.seq = e->seq,
		.committed = e->u.buffer.committed & COMMITTED_MASK,
		.flags = e->aux && !HS_PLANTED(13) ? HS_WIRE_F_LOST : 0,
	};

	publish(c, d, trace, buffer, &body, process, now_ns);
}

/*
 * A stocked buffer becomes @trace's, which has been visited. Nearly always that
 * is one that nothing is known of but its buffers, and nothing of the buffer
 * has been sent, which includes what is under way and what has arrived.
 */
static inline __attribute__((always_inline)) void
entry_publish(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
	      struct hs_ix_trace *t, uint32_t buffer,
	      const struct hs_shm_entry *e, uint32_t process, uint64_t now_ns)
{
	uint32_t committed = e->u.buffer.committed & COMMITTED_MASK;
	struct hs_chunk *k = &d->chunks[hs_chunk_of(d, buffer)];
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	uint32_t units = k->units;

	if (__builtin_expect(t->fired != HS_NIL ||
				     (t->flags | b->sent | b->flags | e->aux |
				      c->dry_runs) ||
				     t->nr_buffers >=
					     c->config.trace_buffers_max,
			     0)) {
		entry_publish_more(c, d, trace, buffer, e, process, now_ns);
		return;
	}
	if (HS_PLANTED(106))
		b->word = hs_ledger_word_in(b->word, HS_LEDGER_HELD);
	b->trace_hi = e->trace_hi;
	b->trace_lo = e->trace_lo;
	b->handle = e->handle;
	b->seq = e->seq;
	b->committed = committed;
	b->seen_ns = now_ns;
	HS_REACHED(HS_MACHINE_BUFFER, hs_ledger_word_state(b->word),
		   HS_LEDGER_HELD);
	hs_ledger_set64(&b->word, hs_ledger_word_in(b->word, HS_LEDGER_HELD));
	publish_count(d, k, units, committed);
	hs_buffer_append_to(d, t, trace, &d->rt[buffer], buffer, committed,
			    units);
}

/* The index is full of traces that may not go. */
static __attribute__((noinline, cold)) void
entry_lost(struct hs_agent_core *c, struct hs_domain *d, uint32_t process,
	   uint32_t buffer, uint64_t now_ns)
{
	if (buffer != HS_NIL)
		publish_refused(c, d, HS_NIL, buffer, process, now_ns);
	else
		hs_agent_core_loss(c, d->id, process, now_ns, now_ns);
}

/*
 * A buffer, or the end of a handle that has none, now or ever.
 * @buffer: what the entry names, HS_NIL if there is no such
 */
static inline __attribute__((always_inline)) void
entry_buffer(struct hs_agent_core *c, struct hs_domain *d, uint32_t process,
	     const struct hs_shm_entry *e, uint32_t buffer, uint64_t hash,
	     uint64_t now_ns)
{
	uint32_t committed = e->u.buffer.committed & COMMITTED_MASK, trace;
	struct hs_ix_trace *t;

	if (buffer == HS_NIL
		    ? e->type != HS_SHM_ENTRY_END ||
			      e->u.buffer.ref != HS_SHM_NO_BUFFER
		    : !stocked_at(d, buffer, process) ||
			      committed < sizeof(struct hs_shm_buffer) ||
			      committed > hs_buffer_bytes(d, buffer)) {
		c->stats.entries_bad++;
		return;
	}
	if (!hs_sample_kept(c, e->trace_hi, e->trace_lo)) {
		if (buffer == HS_NIL)
			return;
		c->stats.buffers_unkept++;
		hs_buffer_free(c, d, buffer);
		return;
	}
	trace = hs_ix_get_hashed(c, d, hash, e->trace_hi, e->trace_lo, now_ns);
	if (__builtin_expect(trace == HS_NIL, 0)) {
		entry_lost(c, d, process, buffer, now_ns);
		return;
	}
	t = &d->traces[trace];
	if (buffer == HS_NIL && e->aux && !HS_PLANTED(13))
		hs_ix_flag(c, d, trace, HS_WIRE_F_LOST);
	/* It may fire for that. */
	hs_ix_visit(c, d, trace, process, now_ns);
	if (buffer != HS_NIL)
		entry_publish(c, d, trace, t, buffer, e, process, now_ns);
}

static __attribute__((noinline)) void
entry_crumb(struct hs_agent_core *c, struct hs_domain *d, uint32_t process,
	    const struct hs_shm_entry *e, uint64_t hash, uint64_t now_ns)
{
	uint32_t trace;

	if (!hs_sample_kept(c, e->trace_hi, e->trace_lo))
		return;
	trace = hs_ix_get_hashed(c, d, hash, e->trace_hi, e->trace_lo, now_ns);
	if (trace == HS_NIL) {
		c->stats.crumbs_lost++;
		hs_agent_core_loss(c, d->id, process, now_ns, now_ns);
		return;
	}
	/* Older ones may have to go for it, and this one not with them. */
	if (d->crumb_free == HS_NIL)
		hs_ix_touch(d, trace, now_ns);
	hs_ix_crumb(c, d, trace, e->u.arg,
		    e->aux <= HS_SHM_CRUMB_REPLY ? e->aux : HS_WIRE_CRUMB_BACK);
	hs_ix_visit(c, d, trace, process, now_ns);
}

/* Return: entries used; 0 when the laterals are not all there yet. */
static uint32_t entry_trigger(struct hs_agent_core *c,
			      const struct hs_shm_entry *e, uint32_t left,
			      const struct hs_shm_trigger *names,
			      uint32_t nr_names, uint64_t now_ns)
{
	struct hs_wire_trace_id traces[HS_WIRE_TRACES_MAX];
	uint32_t nr = 1, nr_lateral = e->aux;
	char name[HS_WIRE_NAME_BYTES];

	if (nr_lateral + 1 > HS_WIRE_TRACES_MAX || e->u.arg >= nr_names) {
		c->stats.entries_bad++;
		return 1;
	}
	if (nr_lateral + 1 > left)
		return 0;
	traces[0] = (struct hs_wire_trace_id){e->trace_hi, e->trace_lo};
	for (uint32_t i = 1; i <= nr_lateral; i++) {
		if (e[i].type != HS_SHM_ENTRY_LATERAL) {
			c->stats.entries_bad++;
			return i;
		}
		traces[nr++] =
			(struct hs_wire_trace_id){e[i].trace_hi, e[i].trace_lo};
	}
	memcpy(name, names[e->u.arg].name, sizeof(name));
	if (hs_fired_group(c, name, false, traces, nr, now_ns) == -EINVAL)
		c->stats.entries_bad++;
	return nr;
}

/* Nearly all do. */
static inline bool says_buffer(const struct hs_shm_entry *e)
{
	return (e->type == HS_SHM_ENTRY_BUFFER ||
		e->type == HS_SHM_ENTRY_END) &&
	       e->trace_hi | e->trace_lo;
}

/* Most others do. */
static inline bool says_crumb(const struct hs_shm_entry *e)
{
	return e->type == HS_SHM_ENTRY_CRUMB && e->trace_hi | e->trace_lo;
}

/* In the place of a buffer: it is no buffer that this entry is about. */
#define SAYS_ELSE 0xfffffffeu

/*
 * What is known of entries before they are looked at: of as many as memory is
 * asked for ahead of. It is asked for by and by, a few entries' with each few
 * that are looked at, since where a table's page is not at hand, to ask waits
 * for that, and there are not many such waits that a core can have at once.
 */
struct ahead {
	uint64_t hashes[AHEAD_ENTRIES];
	uint32_t buffers[AHEAD_ENTRIES]; /* HS_NIL: none; or SAYS_ELSE */
	uint32_t guess[AHEAD_ENTRIES];	 /* the trace's entry, or HS_NIL */
	uint32_t lines, traces, lasts;	 /* entries that have been asked for */
};

static inline uint32_t ahead_to(uint32_t at, uint32_t nr, uint32_t distance)
{
	return nr - at < distance ? nr : at + distance;
}

/* First what is known of each entry alone. */
static inline __attribute__((always_inline)) void
ahead_lines(const struct hs_domain *d, const struct hs_shm_entry *entries,
	    uint32_t to, struct ahead *ahead)
{
	uint64_t hash =
		ahead->lines ? ahead->hashes[(ahead->lines - 1) % AHEAD_ENTRIES]
			     : 0;

	for (uint32_t i = ahead->lines; i < to; i++) {
		const struct hs_shm_entry *e = &entries[i];
		uint32_t buffer = SAYS_ELSE;

		/* What one handle says often stands together. */
		if (!i || e->trace_lo != e[-1].trace_lo ||
		    e->trace_hi != e[-1].trace_hi) {
			hash = hs_ix_hash(d, e->trace_hi, e->trace_lo);
			hs_ix_prefetch_trace(d, hash);
		}
		ahead->hashes[i % AHEAD_ENTRIES] = hash;
		if (says_buffer(e))
			buffer = buffer_of_ref(d, e->u.buffer.committed >> 28,
					       e->u.buffer.ref);
		ahead->buffers[i % AHEAD_ENTRIES] = buffer;
		if (buffer < SAYS_ELSE)
			hs_buffer_prefetch(d, buffer);
	}
	ahead->lines = to;
}

/* Then the trace that a bucket leads to. */
static inline __attribute__((always_inline)) void
ahead_traces(const struct hs_agent_core *c, const struct hs_domain *d,
	     const struct hs_shm_entry *entries, uint32_t to,
	     struct ahead *ahead)
{
	for (uint32_t i = ahead->traces; i < to; i++) {
		uint64_t hash = ahead->hashes[i % AHEAD_ENTRIES];
		uint32_t trace = HS_NIL;

		if (!i || hash != ahead->hashes[(i - 1) % AHEAD_ENTRIES]) {
			trace = hs_ix_own_guess(d, hash);
			if (trace != HS_NIL)
				__builtin_prefetch(&d->traces[trace], 1);
			else if (c->nr_fired)
				hs_fired_prefetch(c, entries[i].trace_hi,
						  entries[i].trace_lo);
		}
		ahead->guess[i % AHEAD_ENTRIES] = trace;
	}
	ahead->traces = to;
}

/* Of a trace that goes on: the buffer that this one comes behind. */
static inline __attribute__((always_inline)) void
ahead_lasts(const struct hs_domain *d, uint32_t to, struct ahead *ahead)
{
	for (uint32_t i = ahead->lasts; i < to; i++) {
		uint32_t trace = ahead->guess[i % AHEAD_ENTRIES], last;

		if (trace == HS_NIL)
			continue;
		last = d->traces[trace].buf_last;
		if (last != HS_NIL)
			__builtin_prefetch(&d->rt[last], 1);
	}
	ahead->lasts = to;
}

/* A buffer that was in stock and asked for: free again. */
static void entry_return(struct hs_agent_core *c, struct hs_domain *d,
			 uint32_t process, const struct hs_shm_entry *e)
{
	uint32_t buffer =
		buffer_of_ref(d, e->u.buffer.committed >> 28, e->u.buffer.ref);

	if (buffer == HS_NIL || !stocked_at(d, buffer, process)) {
		c->stats.entries_bad++;
		return;
	}
	hs_buffer_free(c, d, buffer);
	c->stats.stock_returned++;
}

/*
 * One that says something else than a buffer.
 * Return: entries used; 0 when the laterals are not all there yet.
 */
static __attribute__((noinline)) uint32_t
entry(struct hs_agent_core *c, struct hs_domain *d, uint32_t process,
      const struct hs_shm_entry *e, uint32_t left, uint64_t hash,
      const struct hs_shm_trigger *names, uint32_t nr_names, uint64_t now_ns)
{
	uint32_t trace;

	if (e->type == HS_SHM_ENTRY_RETURN) {
		entry_return(c, d, process, e);
		return 1;
	}
	if (!(e->trace_hi | e->trace_lo)) {
		c->stats.entries_bad++;
		return 1;
	}
	switch (e->type) {
	case HS_SHM_ENTRY_TRIGGER:
		return entry_trigger(c, e, left, names, nr_names, now_ns);
	case HS_SHM_ENTRY_CONTEXT_TRIGGER:
		trace = hs_ix_find_hashed(d, hash, e->trace_hi, e->trace_lo);
		hs_policy_context(c, d, trace, now_ns);
		return 1;
	default:
		c->stats.entries_bad++;
		return 1;
	}
}

/* Apart from who finds the domain: gcc would find it anew at each use. */
static __attribute__((noinline)) uint32_t
entries_of(struct hs_agent_core *c, struct hs_domain *d, uint32_t process,
	   const struct hs_shm_entry *entries, uint32_t nr_entries,
	   const struct hs_shm_trigger *names, uint32_t nr_names,
	   uint64_t now_ns)
{
	struct ahead ahead;
	uint32_t i = 0, end, used;

	ahead.lines = ahead.traces = ahead.lasts = 0;
	while (i < nr_entries) {
		end = ahead_to(i, nr_entries, GROUP_ENTRIES);
		ahead_lines(d, entries, ahead_to(end, nr_entries, AHEAD_LINES),
			    &ahead);
		ahead_traces(c, d, entries,
			     ahead_to(end, nr_entries, AHEAD_TRACES), &ahead);
		ahead_lasts(d, ahead_to(end, nr_entries, AHEAD_LASTS), &ahead);
		while (i < end) {
			const struct hs_shm_entry *e = &entries[i];
			uint32_t buffer = ahead.buffers[i % AHEAD_ENTRIES];
			uint64_t hash = ahead.hashes[i % AHEAD_ENTRIES];

			if (buffer != SAYS_ELSE) {
				entry_buffer(c, d, process, e, buffer, hash,
					     now_ns);
				i++;
				continue;
			}
			if (says_crumb(e)) {
				entry_crumb(c, d, process, e, hash, now_ns);
				i++;
				continue;
			}
			used = entry(c, d, process, e, nr_entries - i, hash,
				     names, nr_names, now_ns);
			if (!used)
				return i;
			i += used;
		}
	}
	return i;
}

uint32_t hs_agent_core_entries(struct hs_agent_core *core, uint32_t domain,
			       uint32_t process,
			       const struct hs_shm_entry *entries,
			       uint32_t nr_entries,
			       const struct hs_shm_trigger *names,
			       uint32_t nr_names, uint64_t now_ns)
{
	struct hs_domain *d = hs_domain_get(core, domain);

	return d ? entries_of(core, d, process, entries, nr_entries, names,
			      nr_names, now_ns)
		 : 0;
}

static void dead_publish(struct hs_agent_core *c, struct hs_domain *d,
			 uint32_t buffer, const struct hs_ledger_buffer *body,
			 uint32_t process, uint64_t now_ns)
{
	uint32_t trace =
		hs_ix_get(c, d, body->trace_hi, body->trace_lo, now_ns);

	if (trace == HS_NIL) {
		publish_refused(c, d, trace, buffer, process, now_ns);
		return;
	}
	hs_ix_visit(c, d, trace, process, now_ns);
	publish(c, d, trace, buffer, body, process, now_ns);
}

void hs_agent_core_dead_slot(struct hs_agent_core *core, uint32_t domain,
			     uint32_t process, const struct hs_shm_slot *slot,
			     const struct hs_shm_buffer *h, uint64_t now_ns)
{
	struct hs_domain *d = hs_domain_get(core, domain);
	struct hs_wire_trace_id id = {slot->trace_hi, slot->trace_lo};
	struct hs_ledger_buffer body = {
		.trace_hi = slot->trace_hi,
		.trace_lo = slot->trace_lo,
		.handle = slot->handle,
		.seq = slot->seq,
		.flags = (HS_PLANTED(1) ? 0 : HS_WIRE_F_CRASHED) |
			 (slot->lost ? HS_WIRE_F_LOST : 0),
	};
	uint32_t buffer, trace;

	if (!d || !(id.hi | id.lo))
		return;
	buffer = slot->buffer ? hs_buffer_of_word(d, slot->buffer, process)
			      : HS_NIL;
	if (buffer != HS_NIL && h && h->magic == HS_SHM_BUF_MAGIC &&
	    h->stock_word == slot->buffer && h->trace_hi == id.hi &&
	    h->trace_lo == id.lo && h->handle == slot->handle &&
	    h->committed >= sizeof(*h) &&
	    h->committed <= hs_buffer_bytes(d, buffer)) {
		body.seq = h->seq;
		body.committed = h->committed;
		if (hs_sample_kept(core, id.hi, id.lo)) {
			dead_publish(core, d, buffer, &body, process, now_ns);
		} else {
			core->stats.buffers_unkept++;
			hs_buffer_free(core, d, buffer);
		}
	}
	if (!hs_sample_kept(core, id.hi, id.lo))
		return;
	trace = hs_ix_get(core, d, id.hi, id.lo, now_ns);
	if (trace == HS_NIL)
		return;
	hs_ix_flag(core, d, trace, (uint16_t)body.flags);
	hs_ix_visit(core, d, trace, process, now_ns);
	core->died_open = process;
	if (core->config.crash_trigger)
		hs_fired_group(core, "crash", false, &id, 1, now_ns);
}

void hs_agent_core_process_dead(struct hs_agent_core *core, uint32_t domain,
				uint32_t process, uint64_t now_ns)
{
	struct hs_domain *d = hs_domain_get(core, domain);

	if (d) {
		hs_loss_settle(core, d, process);
		hs_stock_salvage(core, d, process);
	}
	/* Most processes end in peace. */
	if (core->died_open == process)
		core->stats.crashes++;
	core->died_open = 0;
}

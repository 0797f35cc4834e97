/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_walk.h - the agent's core: what is done for every entry of a lane
 *
 * Included by core_priv.h. Only the part that almost every entry needs is
 * inline; the rest is where it belongs, and said in its name.
 */
#ifndef HS_AGENT_CORE_WALK_H
#define HS_AGENT_CORE_WALK_H

#include "agent/core_priv.h"

#define HS_SAMPLE_ALL 1000000u

/* Whether the trace is among those that are kept at all. */
static inline bool hs_sample_kept(const struct hs_agent_core *c, uint64_t hi,
				  uint64_t lo)
{
	return c->config.kept_ppm >= HS_SAMPLE_ALL ||
	       hs_sample_within(c, hi, lo, c->config.kept_ppm);
}

/* Where the mark of a trace that is gone stands, if there is one. */
static inline uint64_t *hs_ix_gone_bucket(const struct hs_domain *d,
					  uint64_t hash)
{
	return &d->evicted[(hash >> (32 - HS_EVICTED_WAYS_LOG)) &
			   (d->nr_evicted - HS_EVICTED_WAYS)];
}

/*
 * Ask for the lines that a lookup will read. Inline by force: gcc takes a
 * function that only prefetches for one without effect, and drops its calls.
 */
static inline __attribute__((always_inline)) void
hs_ix_prefetch_trace(const struct hs_domain *d, uint64_t hash)
{
	__builtin_prefetch(&d->buckets[hash & d->bucket_mask], 1);
	__builtin_prefetch(hs_ix_gone_bucket(d, hash));
}

static inline uint32_t hs_fired_find(const struct hs_agent_core *c, uint64_t hi,
				     uint64_t lo)
{
	return c->nr_fired ? hs_fired_look(c, hi, lo) : HS_NIL;
}

/*
 * The entry of a trace, made if there is none. A trace that has fired already
 * is pinned at once.
 * Return: HS_NIL when the index is full of traces that may not go.
 */
static inline uint32_t hs_ix_get_hashed(struct hs_agent_core *c,
					struct hs_domain *d, uint64_t hash,
					uint64_t hi, uint64_t lo,
					uint64_t now_ns)
{
	/* What one handle says often stands together. */
	if (hs_ix_is(d, d->trace_last, hi, lo))
		return d->trace_last;
	return hs_ix_get_other(c, d, hash, hi, lo, now_ns);
}

/*
 * Something about the trace is not whole. It is written to whatever of it is in
 * the ledger, since a successor knows nothing else; what comes to the ledger
 * later carries it from the beginning.
 */
static inline void hs_ix_flag(struct hs_agent_core *c, struct hs_domain *d,
			      uint32_t trace, uint16_t flags)
{
	if (flags)
		hs_ix_flag_some(c, d, trace, flags);
}

static inline void hs_ix_touch(struct hs_domain *d, uint32_t trace,
			       uint64_t now_ns)
{
	struct hs_ix_trace *t = &d->traces[trace];

	/* index.C2 relaxed: readers may see the one time or the other. */
	__atomic_store_n(&t->last_ns, now_ns, __ATOMIC_RELAXED);
	if (t->fired == HS_NIL)
		hs_ix_seat_renew(d, trace);
}

/* An application named the trace here. */
static inline __attribute__((always_inline)) void
hs_ix_visit(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
	    uint32_t process, uint64_t now_ns)
{
	struct hs_ix_trace *t = &d->traces[trace];
	bool last = t->seat == d->seat_head - 1;

	if (!t->visited && t->fired == HS_NIL &&
	    !(c->kept_before_ppm | c->config.head_ppm)) {
		t->process = process;
		t->visited = 1;
	} else if (__builtin_expect(!t->visited || t->process != process ||
					    t->fired != HS_NIL,
				    0)) {
		hs_ix_visit_first(c, d, trace, process, now_ns);
		return;
	}
	/* index.C2 relaxed: readers may see the one time or the other. */
	__atomic_store_n(&t->last_ns, now_ns, __ATOMIC_RELAXED);
	if (!last)
		hs_ix_seat_renew(d, trace);
}

/* It becomes the last buffer of an untriggered trace, of @units. */
static inline void hs_buffer_append_to(struct hs_domain *d,
				       struct hs_ix_trace *t, uint32_t trace,
				       struct hs_buffer_rt *rt, uint32_t buffer,
				       uint32_t committed, uint32_t units)
{
	uint32_t last = t->buf_last;

	rt->next = HS_NIL;
	rt->prev = last;
	rt->trace = trace;
	if (last != HS_NIL)
		d->rt[last].next = buffer;
	else
		t->buf_first = buffer;
	t->buf_last = buffer;
	t->nr_buffers++;
	hs_ix_bytes_set(t, hs_ix_bytes(t) + committed);
	d->nr_held += units;
}

static inline void hs_buffer_append_plain(struct hs_domain *d, uint32_t trace,
					  uint32_t buffer, uint32_t units)
{
	hs_buffer_append_to(d, &d->traces[trace], trace, &d->rt[buffer], buffer,
			    d->buffers[buffer].committed, units);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_index.c - the traces of a domain: who is here, with what, since when
 *
 * A chained hash under a private seed, entries from a fixed pool; untriggered
 * traces in the order in which they were last seen, so that the least recently
 * seen goes first, whole (law 4). Evictions leave a fingerprint behind: a trace
 * whose first half was evicted must not look whole when its second arrives.
 */
#include "agent/core_priv.h"

#include "base/hash.h"

static uint32_t hash_slot(const struct hs_agent_core *c,
			  const struct hs_domain *d, uint64_t hi, uint64_t lo)
{
	return (uint32_t)hs_hash_trace(c->config.index_seed, hi, lo, d->id) &
	       (d->nr_hash - 1);
}

/* In the ledger: a successor must know it too. */
static uint64_t *evicted_slot(const struct hs_domain *d, uint64_t hi,
			      uint64_t lo, uint64_t *fingerprint)
{
	*fingerprint =
		hs_hash_trace(d->ledger->evicted_seed, hi, lo, d->id) | 1;
	return &d->evicted[*fingerprint >> 48 & (HS_EVICTED_SLOTS - 1)];
}

void hs_ix_init(struct hs_domain *d)
{
	for (uint32_t i = 0; i < d->nr_hash; i++)
		d->hash[i] = HS_NIL;
	for (uint32_t i = 0; i < d->nr_traces; i++)
		d->traces[i].hash_next = i + 1;
	d->traces[d->nr_traces - 1].hash_next = HS_NIL;
	d->trace_free = 0;
	d->lru_first = d->lru_last = HS_NIL;
}

uint32_t hs_ix_find(const struct hs_agent_core *c, const struct hs_domain *d,
		    uint64_t hi, uint64_t lo)
{
	uint32_t i = d->hash[hash_slot(c, d, hi, lo)];

	while (i != HS_NIL && (d->traces[i].hi != hi || d->traces[i].lo != lo))
		i = d->traces[i].hash_next;
	return i;
}

static void lru_unlink(struct hs_domain *d, uint32_t i)
{
	struct hs_ix_trace *t = &d->traces[i];

	if (t->lru_prev != HS_NIL)
		d->traces[t->lru_prev].lru_next = t->lru_next;
	else
		d->lru_first = t->lru_next;
	if (t->lru_next != HS_NIL)
		d->traces[t->lru_next].lru_prev = t->lru_prev;
	else
		d->lru_last = t->lru_prev;
}

static void lru_append(struct hs_domain *d, uint32_t i)
{
	struct hs_ix_trace *t = &d->traces[i];

	t->lru_prev = d->lru_last;
	t->lru_next = HS_NIL;
	if (d->lru_last != HS_NIL)
		d->traces[d->lru_last].lru_next = i;
	else
		d->lru_first = i;
	d->lru_last = i;
}

/*
 * The entry of a trace, made if there is none. A trace that has fired already
 * is pinned at once.
 * Return: HS_NIL when the index is full of traces that may not go.
 */
uint32_t hs_ix_get(struct hs_agent_core *c, struct hs_domain *d, uint64_t hi,
		   uint64_t lo, uint64_t now_ns)
{
	uint32_t i = hs_ix_find(c, d, hi, lo);
	uint64_t fingerprint, *evicted;
	uint32_t *head;

	if (i != HS_NIL)
		return i;
	if (d->trace_free == HS_NIL && !hs_ix_evict_one(c, d))
		return HS_NIL;
	i = d->trace_free;
	d->trace_free = d->traces[i].hash_next;
	head = &d->hash[hash_slot(c, d, hi, lo)];
	d->traces[i] = (struct hs_ix_trace){
		.hi = hi,
		.lo = lo,
		.first_ns = now_ns,
		.last_ns = now_ns,
		.hash_next = *head,
		.buf_first = HS_NIL,
		.buf_last = HS_NIL,
		.ship_next = HS_NIL,
		.crumb_first = HS_NIL,
		.fired = HS_NIL,
	};
	*head = i;
	d->nr_traces_live++;
	c->stats.traces_seen++;
	evicted = evicted_slot(d, hi, lo, &fingerprint);
	if (*evicted == fingerprint)
		d->traces[i].flags |= HS_WIRE_F_EVICTED;
	lru_append(d, i);
	uint32_t fired = hs_fired_find(c, hi, lo);
	if (fired != HS_NIL)
		hs_ix_pin(d, i, fired);
	return i;
}

/*
 * Something about the trace is not whole. It is written to whatever of it is in
 * the ledger, since a successor knows nothing else; what comes to the ledger
 * later carries it from the beginning.
 */
void hs_ix_flag(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		uint16_t flags)
{
	struct hs_ix_trace *t = &d->traces[trace];

	t->flags |= flags;
	if (!flags)
		return;
	if (t->buf_last != HS_NIL)
		d->buffers[t->buf_last].flags |= flags;
	if (t->crumb_first != HS_NIL)
		hs_ledger_set32(&d->crumbs[t->crumb_first].live,
				d->crumbs[t->crumb_first].live | (uint32_t)flags
									 << 8);
	if (t->fired != HS_NIL)
		c->fired[t->fired].flags |= flags;
}

void hs_ix_touch(struct hs_domain *d, uint32_t trace, uint64_t now_ns)
{
	struct hs_ix_trace *t = &d->traces[trace];

	t->last_ns = now_ns;
	if (t->fired == HS_NIL && d->lru_last != trace) {
		lru_unlink(d, trace);
		lru_append(d, trace);
	}
}

/* A fired trace leaves the order of eviction. */
void hs_ix_pin(struct hs_domain *d, uint32_t trace, uint32_t fired)
{
	struct hs_ix_trace *t = &d->traces[trace];

	if (t->fired != HS_NIL)
		return;
	lru_unlink(d, trace);
	t->fired = fired;
	d->nr_traces_fired++;
	d->nr_pinned += t->nr_buffers;
}

/* Its buffers must have been let go. */
void hs_ix_remove(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace)
{
	struct hs_ix_trace *t = &d->traces[trace];
	uint32_t *link = &d->hash[hash_slot(c, d, t->hi, t->lo)];

	while (*link != trace)
		link = &d->traces[*link].hash_next;
	*link = t->hash_next;
	if (t->fired == HS_NIL)
		lru_unlink(d, trace);
	else
		d->nr_traces_fired--;
	for (uint32_t k = t->crumb_first; k != HS_NIL;) {
		uint32_t next = d->crumb_next[k];

		hs_ledger_set32(&d->crumbs[k].live, 0);
		d->crumb_next[k] = d->crumb_free;
		d->crumb_free = k;
		d->nr_crumbs_free++;
		k = next;
	}
	t->hash_next = d->trace_free;
	d->trace_free = trace;
	d->nr_traces_live--;
}

static bool crumb_known(const struct hs_domain *d, const struct hs_ix_trace *t,
			uint64_t node)
{
	for (uint32_t k = t->crumb_first; k != HS_NIL; k = d->crumb_next[k])
		if (d->crumbs[k].node == node)
			return true;
	return false;
}

void hs_ix_crumb(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		 uint64_t node, uint32_t kind)
{
	struct hs_ix_trace *t = &d->traces[trace];
	uint32_t k = d->crumb_free;

	if (node == 0 || node == c->ledger->node_id || crumb_known(d, t, node))
		return;
	if (k == HS_NIL || t->nr_crumbs >= c->config.trace_crumbs_max) {
		hs_ix_flag(c, d, trace, HS_WIRE_F_CUT);
		c->stats.crumbs_lost++;
		return;
	}
	d->crumb_free = d->crumb_next[k];
	d->nr_crumbs_free--;
	d->crumbs[k].trace_hi = t->hi;
	d->crumbs[k].trace_lo = t->lo;
	d->crumbs[k].node = node;
	d->crumbs[k].kind = kind;
	hs_ledger_set32(&d->crumbs[k].live, 1u | (uint32_t)t->flags << 8);
	d->crumb_next[k] = t->crumb_first;
	t->crumb_first = k;
	t->nr_crumbs++;
}

/* A crumb that a predecessor wrote finds its trace again. */
void hs_ix_crumb_adopt(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t crumb, uint64_t now_ns)
{
	uint32_t i = hs_ix_get(c, d, d->crumbs[crumb].trace_hi,
			       d->crumbs[crumb].trace_lo, now_ns);

	if (i == HS_NIL) {
		hs_ledger_set32(&d->crumbs[crumb].live, 0);
		d->crumb_next[crumb] = d->crumb_free;
		d->crumb_free = crumb;
		d->nr_crumbs_free++;
		c->stats.crumbs_lost++;
		return;
	}
	d->traces[i].visited = 1;
	d->traces[i].flags |= (uint16_t)(d->crumbs[crumb].live >> 8);
	d->crumb_next[crumb] = d->traces[i].crumb_first;
	d->traces[i].crumb_first = crumb;
	d->traces[i].nr_crumbs++;
}

/* An application named the trace here. */
void hs_ix_visit(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace,
		 uint32_t process, uint64_t now_ns)
{
	struct hs_ix_trace *t = &d->traces[trace];

	if (!t->visited)
		t->process = process;
	else if (t->process != process)
		t->several = 1;
	t->visited = 1;
	hs_ix_touch(d, trace, now_ns);
	if (t->fired != HS_NIL) {
		c->fired[t->fired].visited = 1;
		hs_fired_dirty(c, t->fired);
	}
}

/* The least recently seen untriggered trace goes, whole. */
bool hs_ix_evict_one(struct hs_agent_core *c, struct hs_domain *d)
{
	uint32_t i = d->lru_first;
	uint64_t fingerprint, *evicted;

	if (i == HS_NIL)
		return false;
	evicted =
		evicted_slot(d, d->traces[i].hi, d->traces[i].lo, &fingerprint);
	hs_ledger_set64(evicted, fingerprint);
	while (d->traces[i].buf_first != HS_NIL)
		hs_buffer_free(c, d, d->traces[i].buf_first);
	hs_ix_remove(c, d, i);
	c->stats.traces_evicted++;
	return true;
}

bool hs_ix_was_evicted(const struct hs_domain *d, uint64_t hi, uint64_t lo)
{
	uint64_t fingerprint;
	const uint64_t *evicted = evicted_slot(d, hi, lo, &fingerprint);

	return *evicted == fingerprint;
}

/*
 * What was lost may have been the first that a trace had to say, or its last:
 * it was there for longer than its entries show.
 */
static bool overlaps(const struct hs_process_losses *p,
		     const struct hs_ix_trace *t, uint64_t taint_ns)
{
	for (uint32_t i = 0; i < p->nr; i++)
		if (p->at[i].first_ns <= t->last_ns + taint_ns &&
		    t->first_ns <= p->at[i].last_ns + taint_ns)
			return true;
	return false;
}

/* Whether a loss that no trace could be named for may have hit this one. */
bool hs_ix_lossy(const struct hs_agent_core *c, const struct hs_domain *d,
		 uint32_t trace)
{
	const struct hs_ix_trace *t = &d->traces[trace];

	for (uint32_t i = 0; i < HS_LEDGER_PROCESSES; i++) {
		const struct hs_process_losses *p = &d->losses[i];

		if (p->nr && (t->several || p->process == t->process) &&
		    overlaps(p, t, c->config.taint_ns))
			return true;
	}
	return false;
}

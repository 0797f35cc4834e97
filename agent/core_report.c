/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_report.c - slices to the collectors: in which order, and until when
 *
 * One queue for each trigger name, served in proportion to its weight (least
 * virtual bytes first); within a queue the highest priority first, from a
 * pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) whose links live in
 * the fired traces. A buffer is let go when the collector has it durable; when
 * fired traces hold more than half a domain, the group of lowest priority is
 * abandoned, which every node decides alike, since the priority is a keyed hash
 * of the primary trace id.
 */
#include "agent/core_priv.h"
#include "base/planted.h"

#include <string.h>

#define SHIP_PER_TICK 256u

uint32_t hs_queue_get(struct hs_agent_core *c, const char *name)
{
	struct hs_queue *q;
	uint32_t i;

	for (i = 0; i < c->nr_queues; i++)
		if (!strncmp(c->queues[i].name, name, HS_WIRE_NAME_BYTES))
			return i;
	/* The last queue serves all names that found no place. */
	if (c->nr_queues == HS_AGENT_TRIGGERS_MAX)
		return HS_AGENT_TRIGGERS_MAX - 1;
	i = c->nr_queues++;
	q = &c->queues[i];
	*q = (struct hs_queue){.root = HS_NIL, .weight = 1};
	memcpy(q->name, name, strnlen(name, HS_WIRE_NAME_BYTES - 1));
	for (uint32_t k = 0; k < c->config.nr_policies; k++) {
		const struct hs_agent_trigger_policy *p =
			&c->config.policies[k];

		if (strncmp(p->name, q->name, HS_WIRE_NAME_BYTES))
			continue;
		q->weight = p->weight ? p->weight : 1;
		q->rate_per_s = p->rate_per_s;
	}
	return i;
}

/* Whether fired trace a goes before b: the same on every node. */
static bool before(const struct hs_agent_core *c, uint32_t a, uint32_t b)
{
	const struct hs_ledger_fired *x = &c->fired[a], *y = &c->fired[b];

	if (x->trigger.priority != y->trigger.priority)
		return x->trigger.priority > y->trigger.priority;
	if (x->trace.hi != y->trace.hi)
		return x->trace.hi > y->trace.hi;
	return x->trace.lo > y->trace.lo;
}

static uint32_t heap_meld(struct hs_agent_core *c, uint32_t a, uint32_t b)
{
	struct hs_fired_rt *rt = c->fired_rt;

	if (a == HS_NIL)
		return b;
	if (b == HS_NIL)
		return a;
	if (before(c, a, b) == HS_PLANTED(12)) {
		uint32_t swap = a;

		a = b;
		b = swap;
	}
	rt[b].parent = a;
	rt[b].sibling = rt[a].child;
	rt[a].child = b;
	return a;
}

/* The two passes of a pairing heap over a list of siblings. */
static uint32_t heap_merge(struct hs_agent_core *c, uint32_t first)
{
	struct hs_fired_rt *rt = c->fired_rt;
	uint32_t pairs = HS_NIL, root = HS_NIL;

	while (first != HS_NIL) {
		uint32_t a = first, b = rt[a].sibling, m;

		first = b != HS_NIL ? rt[b].sibling : HS_NIL;
		rt[a].sibling = rt[a].parent = HS_NIL;
		if (b != HS_NIL)
			rt[b].sibling = rt[b].parent = HS_NIL;
		m = heap_meld(c, a, b);
		rt[m].sibling = pairs;
		pairs = m;
	}
	while (pairs != HS_NIL) {
		uint32_t next = rt[pairs].sibling;

		rt[pairs].sibling = HS_NIL;
		root = heap_meld(c, root, pairs);
		pairs = next;
	}
	return root;
}

void hs_report_enqueue(struct hs_agent_core *c, uint32_t fired)
{
	struct hs_fired_rt *rt = &c->fired_rt[fired];
	struct hs_queue *q = &c->queues[rt->queue];

	if (rt->queued)
		return;
	if (q->nr == 0) { /* no credit for having been idle */
		for (uint32_t i = 0; i < c->nr_queues; i++)
			if (c->queues[i].nr &&
			    q->virtual_bytes < c->queues[i].virtual_bytes)
				q->virtual_bytes = c->queues[i].virtual_bytes;
	}
	rt->child = rt->sibling = rt->parent = HS_NIL;
	rt->queued = true;
	q->root = heap_meld(c, q->root, fired);
	q->nr++;
}

void hs_report_remove(struct hs_agent_core *c, uint32_t fired)
{
	struct hs_fired_rt *rt = c->fired_rt;
	struct hs_queue *q = &c->queues[rt[fired].queue];
	uint32_t parent = rt[fired].parent, *link, rest;

	if (!rt[fired].queued)
		return;
	if (parent == HS_NIL) {
		q->root = heap_merge(c, rt[fired].child);
	} else {
		link = &rt[parent].child;
		while (*link != fired)
			link = &rt[*link].sibling;
		*link = rt[fired].sibling;
		rest = heap_merge(c, rt[fired].child);
		q->root = heap_meld(c, q->root, rest);
	}
	rt[fired].child = rt[fired].sibling = rt[fired].parent = HS_NIL;
	rt[fired].queued = false;
	q->nr--;
}

static bool window_open(const struct hs_agent_core *c)
{
	return c->in_flight_bytes < c->config.window_bytes;
}

/* Hand bytes acked..upto of a buffer to the carrier. */
static bool ship(struct hs_agent_core *c, struct hs_domain *d, uint32_t buffer,
		 const struct hs_wire_slice *ids, uint32_t upto,
		 uint64_t priority)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	struct hs_agent_slice s = {
		.head = *ids,
		.domain = d->id,
		.pool_offset = (uint64_t)buffer * d->buffer_bytes + b->acked,
	};

	d->rt[buffer].sending++;
	d->rt[buffer].waited = false;
	s.head.node = c->ledger->node_id;
	s.head.ship_key = hs_buffer_ship_key(d, buffer);
	s.head.priority = priority;
	s.head.process = hs_ledger_word_process(b->word);
	s.head.offset = b->acked;
	s.head.length_bytes = upto - b->acked;
	if (!c->ops->ship(c->ctx, &s))
		return false;
	if (b->sent > b->acked)
		c->stats.slices_resent++;
	b->sent = upto;
	hs_flight_begin(c, d, buffer, upto);
	c->stats.slices_sent++;
	c->stats.bytes_sent += s.head.length_bytes;
	return true;
}

/* Return: false when the carrier or the window is full. */
static bool ship_trace(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace, struct hs_queue *q)
{
	struct hs_ix_trace *t = &d->traces[trace];
	struct hs_ix_more *more = hs_ix_more(d, trace);

	while (more->ship_next != HS_NIL) {
		uint32_t i = more->ship_next;
		struct hs_ledger_buffer *b = &d->buffers[i];
		struct hs_wire_slice ids = {
			.trace = {t->hi, t->lo},
			.handle = b->handle,
			.seq = b->seq,
			.flags = (uint16_t)b->flags,
			.final = 1,
		};
		uint32_t from =
			b->acked < b->committed ? b->acked : b->committed;

		/* One slice of a buffer at a time: its rest follows the ack. */
		if (d->rt[i].in_flight) {
			more->ship_next = d->rt[i].next;
			continue;
		}
		if (!window_open(c))
			return false;
		b->acked = from;
		if (!ship(c, d, i, &ids, b->committed,
			  c->fired[t->fired].trigger.priority))
			return false;
		d->rt[i].final_sent = true;
		if (HS_PLANTED(4)) {
			hs_report_ack(c, hs_buffer_ship_key(d, i), false);
			continue;
		}
		q->bytes_sent += b->committed - from;
		q->virtual_bytes += (b->committed - from) / q->weight + 1;
		more->ship_next = d->rt[i].next;
	}
	return true;
}

static bool ship_fired(struct hs_agent_core *c, uint32_t fired,
		       struct hs_queue *q)
{
	const struct hs_wire_trace_id *id = &c->fired[fired].trace;

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t i = hs_ix_find(c, d, id->hi, id->lo);

		if (i != HS_NIL && !ship_trace(c, d, i, q))
			return false;
	}
	return true;
}

void hs_report_run(struct hs_agent_core *c)
{
	for (uint32_t n = 0; n < SHIP_PER_TICK && window_open(c); n++) {
		struct hs_queue *best = NULL;
		uint32_t fired;

		for (uint32_t i = 0; i < c->nr_queues; i++)
			if (c->queues[i].nr &&
			    (!best ||
			     c->queues[i].virtual_bytes < best->virtual_bytes))
				best = &c->queues[i];
		if (!best)
			return;
		fired = best->root;
		if (!ship_fired(c, fired, best))
			return;
		hs_report_remove(c, fired);
	}
}

/* Durable at the collector: count it and let it go, in crash order. */
static void let_go(struct hs_agent_core *c, struct hs_domain *d,
		   uint32_t buffer)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	struct hs_ledger_fired *f =
		&c->fired[d->traces[d->rt[buffer].trace].fired];
	uint32_t now = f->totals_select & 1;
	uint64_t key;

	/* The key that a successor will make of the same buffer. */
	d->rt[buffer].sending = 0;
	key = hs_buffer_ship_key(d, buffer);
	hs_ledger_set64(&b->word,
			hs_ledger_word(HS_LEDGER_FREEING,
				       hs_ledger_word_generation(b->word),
				       hs_ledger_word_process(b->word)));
	f->totals[!now].buffers = f->totals[now].buffers + 1;
	f->totals[!now].bytes = f->totals[now].bytes + b->committed;
	f->totals[!now].last = key;
	hs_ledger_set32(&f->totals_select, !now);
	hs_buffer_free(c, d, buffer);
}

void hs_report_ack(struct hs_agent_core *c, uint64_t ship_key, bool refused)
{
	struct hs_domain *d = hs_domain_get(c, hs_ship_key_domain(ship_key));
	uint32_t i = hs_ship_key_buffer(ship_key);
	struct hs_ledger_buffer *b;
	uint32_t upto;

	if (!d || i >= d->nr_buffers || !d->rt[i].in_flight ||
	    hs_buffer_ship_key(d, i) != ship_key)
		return;
	b = &d->buffers[i];
	upto = d->rt[i].in_flight;
	hs_flight_end(c, d, i);
	b->acked = upto;
	c->stats.slices_acked++;
	if (refused) {
		c->stats.slices_refused++;
		b->flags |= HS_WIRE_F_LOST; /* also of one that is open yet */
	}
	if (hs_ledger_word_state(b->word) != HS_LEDGER_HELD)
		return;
	if (refused) {
		hs_ix_flag(c, d, d->rt[i].trace, HS_WIRE_F_LOST);
		hs_fired_dirty(c, d->traces[d->rt[i].trace].fired);
	}
	if (refused || d->rt[i].final_sent) {
		let_go(c, d, i);
	} else { /* it was open when that went; now the rest */
		hs_ix_more(d, d->rt[i].trace)->ship_next =
			d->traces[d->rt[i].trace].buf_first;
		hs_report_enqueue(c, d->traces[d->rt[i].trace].fired);
	}
}

/* Whatever answer may still come to it, it does not count any more. */
static void send_again(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t buffer)
{
	struct hs_buffer_rt *rt = &d->rt[buffer];
	struct hs_ix_trace *t;

	hs_flight_end(c, d, buffer);
	if (rt->trace == HS_NIL)
		return; /* open: the next scan finds it */
	t = &d->traces[rt->trace];
	hs_ix_more(d, rt->trace)->ship_next = t->buf_first;
	hs_report_enqueue(c, t->fired);
}

/* The collector may have lost what it had not acknowledged: all again. */
void hs_report_resend(struct hs_agent_core *c)
{
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];

		for (uint32_t i = 0; i < d->nr_buffers; i++)
			if (d->rt[i].in_flight)
				send_again(c, d, i);
	}
}

/*
 * Each slice for itself: acknowledgements of others say nothing about one that
 * a collector let fall, or whose own was lost. What the sweep before found
 * under way, too, goes again.
 */
void hs_report_sweep(struct hs_agent_core *c, uint64_t now_ns)
{
	c->swept_ns = now_ns;
	for (uint32_t k = 0; c->nr_in_flight && k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];

		for (uint32_t i = 0; i < d->nr_buffers; i++) {
			if (!d->rt[i].in_flight)
				continue;
			if (d->rt[i].waited)
				send_again(c, d, i);
			else
				d->rt[i].waited = true;
		}
	}
}

/* What an open buffer has committed by now goes ahead of its end. */
void hs_report_open(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t trace, uint32_t buffer,
		    const struct hs_shm_buffer *header)
{
	struct hs_ledger_buffer *b = &d->buffers[buffer];
	const struct hs_ix_trace *t = &d->traces[trace];
	struct hs_wire_slice ids = {
		.trace = {t->hi, t->lo},
		.handle = header->handle,
		.seq = header->seq,
	};

	if (d->rt[buffer].in_flight || header->committed <= b->acked ||
	    header->committed > d->buffer_bytes || !window_open(c))
		return;
	if (ship(c, d, buffer, &ids, header->committed,
		 c->fired[t->fired].trigger.priority))
		d->rt[buffer].final_sent = false;
}

static void abandon(struct hs_agent_core *c, uint32_t fired)
{
	struct hs_ledger_fired *f = &c->fired[fired];

	f->flags |= HS_WIRE_F_ABANDONED;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t i = hs_ix_find(c, d, f->trace.hi, f->trace.lo);

		while (i != HS_NIL && d->traces[i].buf_first != HS_NIL)
			hs_buffer_free(c, d, d->traces[i].buf_first);
	}
	hs_report_remove(c, fired);
	hs_fired_dirty(c, fired);
	c->stats.traces_abandoned++;
}

/* Pins hold at most half a domain: the lowest group goes, as one. */
void hs_report_overload(struct hs_agent_core *c)
{
	bool over = false;
	uint32_t lowest = HS_NIL;

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];

		over |= d->nr_pinned > d->nr_buffers / 2;
	}
	if (!over)
		return;
	for (uint32_t i = 0; i < c->config.nr_fired; i++)
		if (c->fired[i].live && c->fired_rt[i].queued &&
		    (lowest == HS_NIL || before(c, lowest, i)))
			lowest = i;
	if (lowest == HS_NIL)
		return; /* all of it is on its way */
	struct hs_wire_trace_id primary = c->fired[lowest].trigger.primary;
	for (uint32_t i = 0; i < c->config.nr_fired; i++)
		if (c->fired[i].live &&
		    c->fired[i].trigger.primary.hi == primary.hi &&
		    c->fired[i].trigger.primary.lo == primary.lo)
			abandon(c, i);
}

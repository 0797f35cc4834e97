/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_table.c - pools, hash chains, lists and the heap of deadlines
 */
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "coordinator/core_internal.h"

uint32_t hs_coord_pool_take(struct hs_coord_pool *p)
{
	uint32_t i = p->free;
	uint8_t *at;

	if (!i && p->fresh == p->nr)
		return 0;
	if (!i)
		i = ++p->fresh;
	at = p->base + (size_t)i * p->stride_bytes;
	if (i == p->free)
		memcpy(&p->free, at, sizeof(p->free));
	memset(at, 0, p->stride_bytes);
	p->used++;
	return i;
}

void hs_coord_pool_give(struct hs_coord_pool *p, uint32_t i)
{
	uint8_t *at = p->base + (size_t)i * p->stride_bytes;

	memcpy(at, &p->free, sizeof(p->free));
	p->free = i;
	p->used--;
}

static struct hs_coord_link *link_of(struct hs_coord_pool *p, size_t offset,
				     uint32_t i)
{
	return (struct hs_coord_link *)(p->base + (size_t)i * p->stride_bytes +
					offset);
}

void hs_coord_list_push(struct hs_coord_list *l, struct hs_coord_pool *p,
			size_t link_offset, uint32_t i)
{
	struct hs_coord_link *link = link_of(p, link_offset, i);

	link->prev = l->tail;
	link->next = 0;
	if (l->tail)
		link_of(p, link_offset, l->tail)->next = i;
	else
		l->head = i;
	l->tail = i;
}

void hs_coord_list_drop(struct hs_coord_list *l, struct hs_coord_pool *p,
			size_t link_offset, uint32_t i)
{
	struct hs_coord_link *link = link_of(p, link_offset, i);

	if (link->prev)
		link_of(p, link_offset, link->prev)->next = link->next;
	else
		l->head = link->next;
	if (link->next)
		link_of(p, link_offset, link->next)->prev = link->prev;
	else
		l->tail = link->prev;
	link->prev = 0;
	link->next = 0;
}

/* Take @i, which must be there, out of a chain that starts at @at. */
static void chain_drop(struct hs_coord_pool *p, uint32_t *at, uint32_t i)
{
	/* next_hash is the first word of everything that is chained. */
	while (*at != i) {
		hs_check(*at, "index=%u is not in its chain", i);
		at = (uint32_t *)(p->base + (size_t)*at * p->stride_bytes);
	}
	*at = *(uint32_t *)(p->base + (size_t)i * p->stride_bytes);
}

static uint32_t *trace_chain(const struct hs_coord_core *c,
			     const struct hs_wire_trace_id *id)
{
	return &c->trace_table[hs_hash_trace(c->config.seed, id->hi, id->lo,
					     0) &
			       c->trace_mask];
}

uint32_t hs_coord_trace_find(const struct hs_coord_core *c,
			     const struct hs_wire_trace_id *id)
{
	uint32_t t = *trace_chain(c, id);

	hs_coord_fetch(hs_coord_trace(c, t), 6);
	while (t && (hs_coord_trace(c, t)->id.hi != id->hi ||
		     hs_coord_trace(c, t)->id.lo != id->lo))
		t = hs_coord_trace(c, t)->next_hash;
	return t;
}

uint32_t hs_coord_trace_new(struct hs_coord_core *c,
			    const struct hs_wire_trace_id *id)
{
	uint32_t *chain = trace_chain(c, id);
	uint32_t t = hs_coord_pool_take(&c->traces);

	if (!t)
		return 0;
	hs_coord_trace(c, t)->id = *id;
	hs_coord_trace(c, t)->next_hash = *chain;
	*chain = t;
	return t;
}

void hs_coord_trace_free(struct hs_coord_core *c, uint32_t t)
{
	chain_drop(&c->traces, trace_chain(c, &hs_coord_trace(c, t)->id), t);
	hs_coord_pool_give(&c->traces, t);
}

static uint32_t *visit_chain(const struct hs_coord_core *c, uint32_t t,
			     uint64_t node)
{
	/* Without the incarnation: a node's are all in one chain. */
	return &c->visit_table[hs_hash_trace(c->config.seed, node >> 32, t, 1) &
			       c->visit_mask];
}

uint32_t hs_coord_visit_find(const struct hs_coord_core *c, uint32_t t,
			     uint64_t node)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t near, v;

	if (!(trace->seen & hs_coord_seen_bit(node)))
		return 0;
	near = hs_coord_near(trace, node);
	if (near < HS_COORD_NEAR_VISITS)
		return trace->near[near];
	if (trace->nr_visits <= HS_COORD_NEAR_VISITS)
		return 0;
	v = *visit_chain(c, t, node);
	while (v && (hs_coord_visit(c, v)->trace != t ||
		     hs_coord_visit(c, v)->id != node))
		v = hs_coord_visit(c, v)->next_hash;
	return v;
}

void hs_coord_visit_listed(struct hs_coord_core *c, uint32_t t, uint32_t v)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	uint64_t bit = hs_coord_seen_bit(visit->id);
	uint32_t at = trace->nr_visits++;
	uint32_t *chain;

	trace->again |= (trace->seen & bit) != 0;
	trace->seen |= bit;
	if (at < HS_COORD_NEAR_VISITS) {
		trace->near_nodes[at] = visit->id;
		trace->near[at] = v;
		return;
	}
	chain = visit_chain(c, t, visit->id);
	visit->next_hash = *chain;
	*chain = v;
}

void hs_coord_visits_unlisted(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t v = trace->visits;

	for (uint32_t i = 0; i < trace->nr_visits; i++) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (i >= HS_COORD_NEAR_VISITS)
			chain_drop(&c->visits, visit_chain(c, t, visit->id), v);
		v = visit->next;
	}
	trace->nr_visits = 0;
}

struct hs_coord_same hs_coord_same(const struct hs_coord_core *c, uint32_t t,
				   uint64_t node)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);

	if (!(trace->seen & hs_coord_seen_bit(node)))
		return (struct hs_coord_same){HS_COORD_NEAR_VISITS, 0};
	return (struct hs_coord_same){0, trace->nr_visits > HS_COORD_NEAR_VISITS
						 ? *visit_chain(c, t, node)
						 : 0};
}

uint32_t hs_coord_same_next(const struct hs_coord_core *c, uint32_t t,
			    uint64_t node, struct hs_coord_same *at)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);

	while (at->near < trace->nr_visits && at->near < HS_COORD_NEAR_VISITS) {
		uint32_t i = at->near++;

		if (trace->near_nodes[i] >> 32 == node >> 32)
			return trace->near[i];
	}
	while (at->far) {
		uint32_t v = at->far;

		at->far = hs_coord_visit(c, v)->next_hash;
		if (hs_coord_visit(c, v)->trace == t &&
		    hs_coord_visit(c, v)->id >> 32 == node >> 32)
			return v;
	}
	return 0;
}

static uint32_t *member_chain(const struct hs_coord_core *c, uint32_t number)
{
	return &c->member_table[hs_hash_trace(c->config.seed, number, 1, 2) &
				c->member_mask];
}

uint32_t hs_coord_member_find(const struct hs_coord_core *c, uint64_t node)
{
	uint32_t number = (uint32_t)(node >> 32);
	uint32_t m = *member_chain(c, number);

	while (m && hs_coord_member(c, m)->number != number)
		m = hs_coord_member(c, m)->next_hash;
	return m;
}

uint32_t hs_coord_member_get(struct hs_coord_core *c, uint64_t node)
{
	uint32_t number = (uint32_t)(node >> 32);
	uint32_t *chain = member_chain(c, number);
	uint32_t m = hs_coord_member_find(c, node);

	if (m)
		return m;
	m = hs_coord_pool_take(&c->members);
	if (!m)
		return 0;
	hs_coord_member(c, m)->number = number;
	hs_coord_member(c, m)->next_hash = *chain;
	*chain = m;
	return m;
}

void hs_coord_member_put(struct hs_coord_core *c, uint32_t m)
{
	struct hs_coord_member *member = hs_coord_member(c, m);

	if (member->up || member->visits.head || member->known || member->left)
		return;
	if (member->is_ready)
		hs_coord_list_drop(&c->ready,
				   HS_COORD_LINK(&c->members,
						 struct hs_coord_member, ready),
				   m);
	hs_coord_address_drop(c, m);
	chain_drop(&c->members, member_chain(c, member->number), m);
	hs_coord_pool_give(&c->members, m);
}

static uint32_t *request_chain(const struct hs_coord_core *c, uint64_t origin,
			       uint64_t key)
{
	return &c->request_table[hs_hash_trace(c->config.seed, origin, key, 3) &
				 c->request_mask];
}

uint32_t hs_coord_request_find(const struct hs_coord_core *c, uint64_t origin,
			       uint64_t key)
{
	uint32_t r = *request_chain(c, origin, key);

	while (r && (hs_coord_request(c, r)->origin != origin ||
		     hs_coord_request(c, r)->key != key))
		r = hs_coord_request(c, r)->next_hash;
	return r;
}

uint32_t hs_coord_request_new(struct hs_coord_core *c, uint64_t origin,
			      uint64_t key)
{
	uint32_t *chain = request_chain(c, origin, key);
	uint32_t r = hs_coord_pool_take(&c->requests);

	if (!r)
		return 0;
	hs_coord_request(c, r)->origin = origin;
	hs_coord_request(c, r)->key = key;
	hs_coord_request(c, r)->next_hash = *chain;
	*chain = r;
	return r;
}

void hs_coord_request_free(struct hs_coord_core *c, uint32_t r)
{
	struct hs_coord_request *request = hs_coord_request(c, r);

	chain_drop(&c->requests,
		   request_chain(c, request->origin, request->key), r);
	hs_coord_pool_give(&c->requests, r);
}

/* What has to be looked at in this event already is in no heap, but in a list:
 * most manifests go as soon as the last node has answered. And a deadline stays
 * where it is when there is none any more, for the trace that has the place
 * next: to look at a trace too early costs less, and most of them die before
 * it, than to keep the heap as it should be. */
static void heap_put(struct hs_coord_core *c, uint32_t at,
		     struct hs_coord_deadline d)
{
	c->heap[at] = d;
	c->heap_at[d.trace] = at;
}

static void heap_up(struct hs_coord_core *c, uint32_t at,
		    struct hs_coord_deadline d)
{
	for (; at > 1; at = (at + 2) / 4) {
		uint32_t above = (at + 2) / 4;

		if (c->heap[above].when_ns <= d.when_ns)
			break;
		heap_put(c, at, c->heap[above]);
	}
	heap_put(c, at, d);
}

static void heap_down(struct hs_coord_core *c, uint32_t at,
		      struct hs_coord_deadline d)
{
	for (;;) {
		uint32_t below = 4 * at - 2, least = 0;

		for (uint32_t i = below; i < below + 4 && i <= c->nr_heap; i++)
			if (!least ||
			    c->heap[i].when_ns < c->heap[least].when_ns)
				least = i;
		if (!least || d.when_ns <= c->heap[least].when_ns)
			break;
		heap_put(c, at, c->heap[least]);
		at = least;
	}
	heap_put(c, at, d);
}

static void heap_pop(struct hs_coord_core *c)
{
	struct hs_coord_deadline last = c->heap[c->nr_heap];

	c->heap_at[c->heap[1].trace] = 0;
	c->nr_heap--;
	if (c->nr_heap)
		heap_down(c, 1, last);
}

void hs_coord_deadline_by(struct hs_coord_core *c, uint32_t t, uint64_t when_ns)
{
	struct hs_coord_deadline d = {when_ns, t, 0};
	uint32_t at = c->heap_at[t];

	if (when_ns <= c->now_ns) {
		struct hs_coord_trace *trace = hs_coord_trace(c, t);

		if (trace->is_due)
			return;
		trace->is_due = true;
		trace->next_due = 0;
		if (c->due)
			hs_coord_trace(c, c->due_tail)->next_due = t;
		else
			c->due = t;
		c->due_tail = t;
	} else if (when_ns != UINT64_MAX && !at) {
		heap_up(c, ++c->nr_heap, d);
	} else if (at && when_ns < c->heap[at].when_ns) {
		heap_up(c, at, d);
	}
}

static bool is_nobodys(const struct hs_coord_core *c, uint32_t t)
{
	return hs_coord_trace(c, t)->state == HS_COORD_FREE;
}

uint32_t hs_coord_deadline_next(struct hs_coord_core *c)
{
	uint32_t t = c->due;

	if (t) {
		c->due = hs_coord_trace(c, t)->next_due;
		return t;
	}
	while (c->nr_heap && (c->heap[1].when_ns <= c->now_ns ||
			      is_nobodys(c, c->heap[1].trace))) {
		t = c->heap[1].trace;
		heap_pop(c);
		if (is_nobodys(c, t))
			continue;
		hs_coord_trace(c, t)->is_due = true;
		return t;
	}
	return 0;
}

void hs_coord_deadline_met(struct hs_coord_core *c, uint32_t t)
{
	hs_coord_trace(c, t)->is_due = false;
}

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

uint32_t *hs_coord_visit_chain(const struct hs_coord_core *c, uint32_t t,
			       uint64_t node)
{
	/* Without the incarnation: a node's are all in one chain. */
	return &c->visit_table[hs_hash_trace(c->config.seed, node >> 32, t, 1) &
			       c->visit_mask];
}

uint32_t hs_coord_visit_find(const struct hs_coord_core *c, uint32_t t,
			     uint64_t node)
{
	uint32_t v = *hs_coord_visit_chain(c, t, node);

	while (v && (hs_coord_visit(c, v)->trace != t ||
		     hs_coord_visit(c, v)->id != node))
		v = hs_coord_visit(c, v)->next_hash;
	return v;
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

static bool earlier(const struct hs_coord_core *c, uint32_t a, uint32_t b)
{
	return hs_coord_trace(c, c->heap[a])->deadline_ns <
	       hs_coord_trace(c, c->heap[b])->deadline_ns;
}

static void heap_swap(struct hs_coord_core *c, uint32_t a, uint32_t b)
{
	uint32_t was = c->heap[a];

	c->heap[a] = c->heap[b];
	c->heap[b] = was;
	hs_coord_trace(c, c->heap[a])->heap_at = a;
	hs_coord_trace(c, c->heap[b])->heap_at = b;
}

static void heap_up(struct hs_coord_core *c, uint32_t at)
{
	for (; at > 1 && earlier(c, at, at / 2); at /= 2)
		heap_swap(c, at, at / 2);
}

static void heap_down(struct hs_coord_core *c, uint32_t at)
{
	for (;;) {
		uint32_t least = at;

		if (2 * at <= c->nr_heap && earlier(c, 2 * at, least))
			least = 2 * at;
		if (2 * at + 1 <= c->nr_heap && earlier(c, 2 * at + 1, least))
			least = 2 * at + 1;
		if (least == at)
			return;
		heap_swap(c, at, least);
		at = least;
	}
}

void hs_coord_deadline_by(struct hs_coord_core *c, uint32_t t, uint64_t when_ns)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	if (when_ns == UINT64_MAX ||
	    (trace->heap_at && trace->deadline_ns <= when_ns))
		return;
	trace->deadline_ns = when_ns;
	if (!trace->heap_at) {
		c->heap[++c->nr_heap] = t;
		trace->heap_at = c->nr_heap;
	}
	heap_up(c, trace->heap_at);
}

void hs_coord_deadline_drop(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t at = trace->heap_at;

	if (!at)
		return;
	if (at != c->nr_heap)
		heap_swap(c, at, c->nr_heap);
	c->nr_heap--;
	trace->heap_at = 0;
	if (at <= c->nr_heap) {
		heap_up(c, at);
		heap_down(c, at);
	}
}

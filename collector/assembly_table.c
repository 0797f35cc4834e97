/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_table.c - the tables of an assembly: find, add, drop
 *
 * Chained hash tables under a secret seed, since senders choose the keys. A
 * trace is dropped whole; nothing in it is ever freed by itself but crumbs,
 * when a newer answer brings others.
 */
#include "collector/assembly_internal.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

static uint32_t trace_slot(const struct hs_assembly *a,
			   const struct hs_wire_trace_id *id)
{
	return (uint32_t)hs_hash_trace(a->limits.seed, id->hi, id->lo, 0) &
	       a->trace_mask;
}

/* By node without its incarnation, so that aliases share a chain. */
static uint32_t node_slot(const struct hs_assembly *a, uint32_t t,
			  uint64_t node)
{
	return (uint32_t)hs_hash_trace(a->limits.seed, node >> 32, t, 1) &
	       a->node_mask;
}

static uint32_t buffer_slot(const struct hs_assembly *a, uint32_t n,
			    const struct hs_wire_slice *s)
{
	return (uint32_t)hs_hash_trace(a->limits.seed,
				       (uint64_t)s->process << 32 | s->handle,
				       (uint64_t)n << 32 | s->seq, 2) &
	       a->buffer_mask;
}

static void lru_remove(struct hs_assembly *a, uint32_t t)
{
	struct hs_asm_trace *trace = &a->traces[t];

	if (trace->lru_newer)
		a->traces[trace->lru_newer].lru_older = trace->lru_older;
	else
		a->newest = trace->lru_older;
	if (trace->lru_older)
		a->traces[trace->lru_older].lru_newer = trace->lru_newer;
	else
		a->oldest = trace->lru_newer;
	trace->lru_newer = 0;
	trace->lru_older = 0;
}

static void lru_add(struct hs_assembly *a, uint32_t t)
{
	a->traces[t].lru_older = a->newest;
	a->traces[t].lru_newer = 0;
	if (a->newest)
		a->traces[a->newest].lru_newer = t;
	else
		a->oldest = t;
	a->newest = t;
}

uint32_t hs_asm_trace_find(struct hs_assembly *a,
			   const struct hs_wire_trace_id *id)
{
	uint32_t t = a->trace_table[trace_slot(a, id)];

	while (t &&
	       (a->traces[t].id.hi != id->hi || a->traces[t].id.lo != id->lo))
		t = a->traces[t].next_hash;
	return t;
}

static void unlink_trace(struct hs_assembly *a, uint32_t t)
{
	uint32_t *at = &a->trace_table[trace_slot(a, &a->traces[t].id)];

	while (*at != t)
		at = &a->traces[*at].next_hash;
	*at = a->traces[t].next_hash;
}

static void free_buffers(struct hs_assembly *a, uint32_t n)
{
	uint32_t b = a->nodes[n].buffers;

	while (b) {
		struct hs_asm_buffer *buffer = &a->buffers[b];
		uint32_t next = buffer->next_node;
		struct hs_wire_slice key = {.process = buffer->process,
					    .handle = buffer->handle,
					    .seq = buffer->seq};
		uint32_t *at = &a->buffer_table[buffer_slot(a, n, &key)];

		while (*at != b)
			at = &a->buffers[*at].next_hash;
		*at = buffer->next_hash;
		buffer->next_node = a->free_buffer;
		a->free_buffer = b;
		a->nr_free_buffers++;
		b = next;
	}
}

void hs_asm_crumbs_free(struct hs_assembly *a, uint32_t n)
{
	struct hs_asm_node *node = &a->nodes[n];
	uint32_t c = node->crumbs;

	while (c) {
		uint32_t next = a->crumbs[c].next;

		a->crumbs[c].next = a->free_crumb;
		a->free_crumb = c;
		a->nr_free_crumbs++;
		c = next;
	}
	a->traces[node->trace].nr_crumbs -= node->nr_crumbs;
	node->crumbs = 0;
	node->nr_crumbs = 0;
}

static void free_node(struct hs_assembly *a, uint32_t n)
{
	struct hs_asm_node *node = &a->nodes[n];
	uint32_t *at = &a->node_table[node_slot(a, node->trace, node->id)];

	free_buffers(a, n);
	hs_asm_crumbs_free(a, n);
	while (*at != n)
		at = &a->nodes[*at].next_hash;
	*at = node->next_hash;
	node->id = 0;
	node->next_trace = a->free_node;
	a->free_node = n;
	a->nr_free_nodes++;
}

static void undirty(struct hs_assembly *a, uint32_t t)
{
	uint32_t *at = &a->dirty;

	if (!a->traces[t].dirty)
		return;
	while (*at != t)
		at = &a->traces[*at].next_dirty;
	*at = a->traces[t].next_dirty;
	a->traces[t].dirty = false;
}

void hs_asm_trace_drop(struct hs_assembly *a, uint32_t t)
{
	struct hs_asm_trace *trace = &a->traces[t];

	hs_check(trace->used && !trace->nr_pending, "a trace is owed an ack");
	for (uint32_t n = trace->nodes; n;) {
		uint32_t next = a->nodes[n].next_trace;

		free_node(a, n);
		n = next;
	}
	for (uint32_t g = trace->triggers; g;) {
		uint32_t next = a->triggers[g].next;

		a->triggers[g].next = a->free_trigger;
		a->free_trigger = g;
		a->nr_free_triggers++;
		g = next;
	}
	undirty(a, t);
	unlink_trace(a, t);
	lru_remove(a, t);
	memset(trace, 0, sizeof(*trace));
	trace->next_hash = a->free_trace;
	a->free_trace = t;
	a->stats.nr_traces--;
	a->stats.traces_dropped++;
}

/* The least recently touched trace that waits for nothing gives way. */
static bool drop_one(struct hs_assembly *a)
{
	for (uint32_t t = a->oldest; t; t = a->traces[t].lru_newer) {
		struct hs_asm_trace *trace = &a->traces[t];

		if (t == a->keep || trace->nr_pending || trace->dirty)
			continue;
		hs_asm_trace_drop(a, t);
		return true;
	}
	return false;
}

bool hs_asm_reserve(struct hs_assembly *a, uint32_t nr_nodes,
		    uint32_t nr_buffers, uint32_t nr_crumbs,
		    uint32_t nr_triggers)
{
	while (a->nr_free_nodes < nr_nodes || a->nr_free_buffers < nr_buffers ||
	       a->nr_free_crumbs < nr_crumbs ||
	       a->nr_free_triggers < nr_triggers)
		if (!drop_one(a))
			return false;
	return true;
}

static uint32_t trace_make(struct hs_assembly *a,
			   const struct hs_wire_trace_id *id)
{
	uint32_t slot = trace_slot(a, id);
	struct hs_asm_trace *trace;
	uint32_t t;

	a->keep = 0;
	if (!a->free_trace && !drop_one(a))
		return 0;
	t = a->free_trace;
	trace = &a->traces[t];
	a->free_trace = trace->next_hash;
	memset(trace, 0, sizeof(*trace));
	trace->used = true;
	trace->id = *id;
	trace->next_hash = a->trace_table[slot];
	a->trace_table[slot] = t;
	lru_add(a, t);
	a->stats.nr_traces++;
	return t;
}

/*
 * Find a trace in memory or bring back what the store has of it.
 * Return: 0; HS_ASSEMBLY_BUSY: no room; -ENOENT: unknown and not to be made;
 * another negative errno of ops->load.
 */
int hs_asm_trace_get(struct hs_assembly *a, const struct hs_wire_trace_id *id,
		     bool make, uint32_t *out)
{
	uint32_t t = hs_asm_trace_find(a, id);
	int rc = 0;

	*out = 0;
	if (t) {
		lru_remove(a, t);
		lru_add(a, t);
		a->keep = t;
		*out = t;
		return 0;
	}
	t = trace_make(a, id);
	if (!t)
		return HS_ASSEMBLY_BUSY;
	a->keep = t;
	if (a->ops.load)
		rc = a->ops.load(a->ctx, id);
	undirty(a, t);
	a->traces[t].union_dirty = false;
	if (rc < 0) {
		hs_asm_trace_drop(a, t);
		return rc == -EBUSY ? (int)HS_ASSEMBLY_BUSY : rc;
	}
	if (a->traces[t].version)
		a->stats.traces_loaded++;
	if (!a->traces[t].version && !make) {
		hs_asm_trace_drop(a, t);
		return -ENOENT;
	}
	*out = t;
	return 0;
}

uint32_t hs_asm_node_find(const struct hs_assembly *a, uint32_t t,
			  uint64_t node)
{
	uint32_t n = a->node_table[node_slot(a, t, node)];

	while (n && (a->nodes[n].trace != t || a->nodes[n].id != node))
		n = a->nodes[n].next_hash;
	return n;
}

/* Whether a later incarnation of @node has answered in its own words. */
bool hs_asm_node_later(const struct hs_assembly *a, uint32_t t, uint64_t node)
{
	uint32_t n = a->node_table[node_slot(a, t, node)];

	for (; n; n = a->nodes[n].next_hash) {
		const struct hs_asm_node *at = &a->nodes[n];

		if (at->trace == t && at->id >> 32 == node >> 32 &&
		    at->id > node && at->answered && at->rev > 0)
			return true;
	}
	return hs_asm_node_past(a, node);
}

/* The nearest place of a node number; a full neighbourhood is not known. */
static uint64_t *latest_of(const struct hs_assembly *a, uint64_t node)
{
	uint32_t at = (uint32_t)hs_hash_trace(a->limits.seed, node >> 32, 0, 2);

	for (uint32_t i = 0; i < 16; i++) {
		uint64_t *p =
			&a->latest[(at + i) & (HS_ASSEMBLY_NR_LATEST - 1)];

		if (!*p || *p >> 32 == node >> 32)
			return p;
	}
	return NULL;
}

/* Whether a later incarnation of @node is, or was, connected. */
bool hs_asm_node_past(const struct hs_assembly *a, uint64_t node)
{
	const uint64_t *latest = latest_of(a, node);

	return latest && *latest > node;
}

static bool owes(const struct hs_asm_node *node)
{
	return !node->answered || node->state == HS_WIRE_STATE_OPEN ||
	       node->arrived_buffers < node->nr_buffers ||
	       node->arrived_bytes < node->nr_bytes;
}

/* Whether crumbs of @n name an earlier one of @node that has not answered. */
static bool names_earlier(const struct hs_assembly *a, uint32_t n,
			  uint64_t node)
{
	for (uint32_t c = a->nodes[n].crumbs; c; c = a->crumbs[c].next) {
		uint64_t to = a->crumbs[c].crumb.node;

		if (to >> 32 == node >> 32 && to < node &&
		    !hs_asm_node_find(a, a->nodes[n].trace, to))
			return true;
	}
	return false;
}

void hs_assembly_node_up(struct hs_assembly *a, uint64_t node)
{
	uint64_t *latest = latest_of(a, node);

	if (!latest || *latest >= node)
		return;
	*latest = node;
	a->seq++;
	for (uint32_t n = 1; n <= a->limits.nr_nodes; n++) {
		const struct hs_asm_node *at = &a->nodes[n];

		if (!at->id)
			continue; /* a free one */
		if ((at->id >> 32 == node >> 32 && at->id < node && owes(at)) ||
		    names_earlier(a, n, node))
			hs_asm_change(a, at->trace, true);
	}
}

uint32_t hs_asm_node_add(struct hs_assembly *a, uint32_t t, uint64_t id)
{
	uint32_t slot = node_slot(a, t, id);
	uint32_t n = a->free_node;
	struct hs_asm_node *node = &a->nodes[n];

	hs_check(n, "nodes were not reserved");
	a->free_node = node->next_trace;
	a->nr_free_nodes--;
	memset(node, 0, sizeof(*node));
	node->id = id;
	node->trace = t;
	node->next_hash = a->node_table[slot];
	a->node_table[slot] = n;
	node->next_trace = a->traces[t].nodes;
	a->traces[t].nodes = n;
	a->traces[t].nr_nodes++;
	return n;
}

uint32_t hs_asm_buffer_find(const struct hs_assembly *a, uint32_t n,
			    const struct hs_wire_slice *s)
{
	uint32_t b = a->buffer_table[buffer_slot(a, n, s)];

	for (; b; b = a->buffers[b].next_hash) {
		const struct hs_asm_buffer *at = &a->buffers[b];

		if (at->node == n && at->process == s->process &&
		    at->handle == s->handle && at->seq == s->seq)
			break;
	}
	return b;
}

uint32_t hs_asm_buffer_add(struct hs_assembly *a, uint32_t n,
			   const struct hs_wire_slice *s)
{
	uint32_t slot = buffer_slot(a, n, s);
	uint32_t b = a->free_buffer;
	struct hs_asm_buffer *buffer = &a->buffers[b];

	hs_check(b, "buffers were not reserved");
	a->free_buffer = buffer->next_node;
	a->nr_free_buffers--;
	memset(buffer, 0, sizeof(*buffer));
	buffer->node = n;
	buffer->process = s->process;
	buffer->handle = s->handle;
	buffer->seq = s->seq;
	buffer->end = HS_ASSEMBLY_END_NONE;
	buffer->next_hash = a->buffer_table[slot];
	a->buffer_table[slot] = b;
	buffer->next_node = a->nodes[n].buffers;
	a->nodes[n].buffers = b;
	a->traces[a->nodes[n].trace].nr_buffers++;
	return b;
}

void hs_asm_change(struct hs_assembly *a, uint32_t t, bool of_union)
{
	struct hs_asm_trace *trace = &a->traces[t];

	trace->version++;
	trace->seq = a->seq;
	trace->marked = false;
	if (of_union)
		trace->union_dirty = true;
	if (!trace->dirty) {
		trace->dirty = true;
		trace->next_dirty = a->dirty;
		a->dirty = t;
	}
}

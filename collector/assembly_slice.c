/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_slice.c - which bytes of which buffers arrived
 */
#include "collector/assembly_internal.h"

#include <errno.h>
#include <string.h>

#include "rdma/wire.h"

/* Does the buffer hold [from, to) already? */
static bool covered(const struct hs_asm_buffer *b, uint32_t from, uint32_t to)
{
	if (from == to)
		return true;
	for (uint32_t i = 0; i < b->nr_ranges; i++)
		if (from >= b->ranges[i].from && to <= b->ranges[i].to)
			return true;
	return false;
}

static uint64_t held_bytes(const struct hs_asm_buffer *b)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < b->nr_ranges; i++)
		sum += b->ranges[i].to - b->ranges[i].from;
	return sum;
}

/*
 * Unite with [from, to). Return: false where the range would be one more apart
 * than a buffer remembers; nothing changed then.
 */
static bool unite(struct hs_asm_buffer *b, uint32_t from, uint32_t to)
{
	struct hs_asm_range out[HS_ASSEMBLY_NR_RANGES + 1];
	uint32_t nr = 0;
	bool placed = false;

	if (from == to)
		return true;
	for (uint32_t i = 0; i < b->nr_ranges; i++) {
		struct hs_asm_range r = b->ranges[i];

		if (r.to < from) {
			out[nr++] = r;
		} else if (r.from > to) {
			if (!placed)
				out[nr++] = (struct hs_asm_range){from, to};
			placed = true;
			out[nr++] = r;
		} else {
			from = r.from < from ? r.from : from;
			to = r.to > to ? r.to : to;
		}
	}
	if (!placed)
		out[nr++] = (struct hs_asm_range){from, to};
	if (nr > HS_ASSEMBLY_NR_RANGES)
		return false;
	memcpy(b->ranges, out, nr * sizeof(out[0]));
	b->nr_ranges = nr;
	return true;
}

/* Final was seen, and there is no hole before the end. */
static bool whole(const struct hs_asm_buffer *b)
{
	return b->end != HS_ASSEMBLY_END_NONE &&
	       (b->end == 0 || (b->nr_ranges > 0 && b->ranges[0].from == 0 &&
				b->ranges[0].to >= b->end));
}

static bool says_nothing_new(const struct hs_assembly *a, uint32_t n,
			     uint32_t b, const struct hs_wire_slice *s)
{
	const struct hs_asm_buffer *buffer = &a->buffers[b];
	uint32_t end = s->offset + s->length_bytes;

	if (!n || !b || (s->flags & ~a->nodes[n].slice_flags))
		return false;
	if (s->final &&
	    (buffer->end == HS_ASSEMBLY_END_NONE || end > buffer->end))
		return false;
	return covered(buffer, s->offset, end);
}

/* What a slice, stored now or earlier, changes. Room was reserved. */
static void apply(struct hs_assembly *a, uint32_t t,
		  const struct hs_wire_slice *s)
{
	uint32_t n = hs_asm_node_find(a, t, s->node);
	struct hs_asm_trace *trace = &a->traces[t];
	uint32_t end = s->offset + s->length_bytes;
	struct hs_asm_buffer *buffer;
	struct hs_asm_node *node;
	uint64_t before;
	uint32_t b;
	bool was;

	if (!n)
		n = hs_asm_node_add(a, t, s->node);
	node = &a->nodes[n];
	b = hs_asm_buffer_find(a, n, s);
	if (!b)
		b = hs_asm_buffer_add(a, n, s);
	buffer = &a->buffers[b];
	was = whole(buffer);
	before = held_bytes(buffer);
	if (!unite(buffer, s->offset, end)) {
		a->stats.ranges_over_limit++;
		node->slice_flags |= HS_WIRE_F_CUT;
	}
	/* Two ends: the longer counts, whatever came first. */
	if (s->final &&
	    (buffer->end == HS_ASSEMBLY_END_NONE || end > buffer->end))
		buffer->end = end;
	node->slice_flags |= s->flags;
	node->arrived_bytes += held_bytes(buffer) - before;
	trace->nr_bytes += held_bytes(buffer) - before;
	node->arrived_buffers += (uint32_t)whole(buffer) - (uint32_t)was;
	hs_asm_change(a, t, false);
}

/* Return: HS_ASSEMBLY_TAKEN with room for it, else what to do instead. */
static int make_room(struct hs_assembly *a, uint32_t t,
		     const struct hs_wire_slice *s)
{
	const struct hs_asm_trace *trace = &a->traces[t];
	uint32_t n = hs_asm_node_find(a, t, s->node);
	uint32_t b = n ? hs_asm_buffer_find(a, n, s) : 0;

	if ((!n && trace->nr_nodes >= a->limits.trace_nodes) ||
	    (!b && trace->nr_buffers >= a->limits.trace_buffers))
		return HS_ASSEMBLY_REFUSED;
	return hs_asm_reserve(a, !n, !b, 0, 0) ? HS_ASSEMBLY_TAKEN
					       : HS_ASSEMBLY_BUSY;
}

int hs_assembly_replay_slice(struct hs_assembly *a,
			     const struct hs_wire_slice *slice)
{
	uint32_t t = hs_asm_trace_find(a, &slice->trace);
	int rc;

	if (!t)
		return -ENOENT;
	rc = make_room(a, t, slice);
	if (rc == HS_ASSEMBLY_BUSY)
		return -EBUSY;
	if (rc == HS_ASSEMBLY_REFUSED)
		return 0; /* the limits shrank since; the union says cut */
	apply(a, t, slice);
	return 0;
}

static bool in_bounds(const struct hs_wire_slice *s)
{
	return s->offset <= HS_ASSEMBLY_BUFFER_MAX_BYTES &&
	       s->length_bytes <= HS_ASSEMBLY_BUFFER_MAX_BYTES - s->offset &&
	       s->final <= 1;
}

static void refuse_ack(struct hs_assembly *a, uint32_t peer,
		       const void *payload, uint32_t payload_bytes)
{
	struct hs_wire_slice head;

	if (payload_bytes < sizeof(head))
		return;
	memcpy(&head, payload, sizeof(head));
	a->ops.slice_ack(a->ctx, peer, head.ship_key, true);
}

/* Over a limit of ours: the trace says so, and says so durably. */
static int cut(struct hs_assembly *a, uint32_t t)
{
	a->stats.slices_over_limit++;
	if (!a->traces[t].cut) {
		a->traces[t].cut = true;
		a->seq++;
		hs_asm_change(a, t, true);
	}
	return HS_ASSEMBLY_REFUSED;
}

static int take(struct hs_assembly *a, uint32_t t,
		const struct hs_wire_slice *s, const uint8_t *bytes)
{
	uint32_t n = hs_asm_node_find(a, t, s->node);
	uint32_t b = n ? hs_asm_buffer_find(a, n, s) : 0;
	int rc;

	if (says_nothing_new(a, n, b, s)) {
		a->stats.slices_duplicate++;
		return HS_ASSEMBLY_TAKEN;
	}
	rc = make_room(a, t, s);
	if (rc == HS_ASSEMBLY_REFUSED)
		return cut(a, t);
	if (rc)
		return rc;
	rc = a->ops.store_slice(a->ctx, s, bytes);
	if (rc < 0) {
		a->stats.store_errors++;
		return rc;
	}
	a->seq++;
	apply(a, t, s);
	a->stats.slices++;
	return HS_ASSEMBLY_TAKEN;
}

int hs_asm_slice(struct hs_assembly *a, uint32_t peer, const void *payload,
		 uint32_t payload_bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_slice *s;
	const uint8_t *bytes;
	struct hs_asm_ack ack;
	uint32_t t;
	int rc;

	s = hs_wire_take_slice(&r, &bytes);
	if (!s || !hs_wire_done(&r) || !in_bounds(s)) {
		a->stats.slices_malformed++;
		refuse_ack(a, peer, payload, payload_bytes);
		return HS_ASSEMBLY_REFUSED;
	}
	if (!hs_asm_ack_room(a))
		return HS_ASSEMBLY_BUSY;
	rc = hs_asm_trace_get(a, &s->trace, true, &t);
	if (rc)
		return rc;
	rc = take(a, t, s, bytes);
	if (rc == HS_ASSEMBLY_REFUSED)
		refuse_ack(a, peer, payload, payload_bytes);
	if (rc) {
		if (!a->traces[t].version)
			hs_asm_trace_drop(a, t);
		return rc;
	}
	ack = (struct hs_asm_ack){.seq = a->seq, .trace = t, .peer = peer};
	ack.u.ship_key = s->ship_key;
	hs_asm_ack_put(a, &ack);
	return HS_ASSEMBLY_TAKEN;
}

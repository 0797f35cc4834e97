/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly.c - an assembly's memory, its acknowledgements and its views
 */
#include "collector/assembly.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "collector/assembly_internal.h"
#include "base/planted.h"

#define LINE_BYTES 64u

void hs_assembly_limits_fill(struct hs_assembly_limits *l)
{
	static const struct hs_assembly_limits defaults = {
		.nr_traces = 16384,
		.nr_nodes = 65536,
		.nr_buffers = 262144,
		.nr_crumbs = 262144,
		.nr_triggers = 32768,
		.nr_pending = 65536,
		.trace_nodes = HS_WIRE_ANSWERS_MAX,
		.trace_buffers = 65536,
		.trace_crumbs = 65536,
		.trace_triggers = HS_WIRE_TRIGGERS_MAX,
	};

#define FILL(field) l->field = l->field ? l->field : defaults.field
	FILL(nr_traces);
	FILL(nr_nodes);
	FILL(nr_buffers);
	FILL(nr_crumbs);
	FILL(nr_triggers);
	FILL(nr_pending);
	FILL(trace_nodes);
	FILL(trace_buffers);
	FILL(trace_crumbs);
	FILL(trace_triggers);
#undef FILL
}

/*
 * One trace at its limits and the message that is being taken always fit once
 * all others gave way; else that trace would be refused for ever.
 */
static bool limits_ok(const struct hs_assembly_limits *l)
{
	const uint32_t most = 1u << 28;

	return l->nr_traces >= 2 && l->nr_traces < most && l->nr_nodes < most &&
	       l->nr_buffers < most && l->nr_crumbs < most &&
	       l->nr_triggers < most && l->nr_pending > 0 &&
	       l->nr_pending < most && l->trace_nodes <= HS_WIRE_ANSWERS_MAX &&
	       l->trace_triggers <= HS_WIRE_TRIGGERS_MAX &&
	       l->nr_nodes / 2 >= l->trace_nodes &&
	       l->nr_buffers > l->trace_buffers &&
	       l->nr_crumbs / 2 >= l->trace_crumbs &&
	       l->nr_triggers / 2 >= l->trace_triggers &&
	       l->nr_triggers >= 2 * HS_WIRE_TRIGGERS_MAX;
}

static uint32_t table_slots(uint32_t nr)
{
	uint32_t slots = 16;

	while (slots < nr)
		slots *= 2;
	return slots;
}

/* Walks the memory, or, without any, only counts it. */
struct carver {
	uint8_t *at;
	size_t used_bytes;
};

static void *carve(struct carver *c, size_t nr, size_t each_bytes)
{
	void *p = c->at ? c->at + c->used_bytes : NULL;
	size_t bytes = nr * each_bytes;

	c->used_bytes += (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
	return p;
}

static size_t blob_size(const struct hs_assembly_limits *l)
{
	return sizeof(struct hs_asm_union) + sizeof(struct hs_wire_manifest) +
	       (size_t)l->trace_triggers * sizeof(struct hs_wire_trigger) +
	       (size_t)l->trace_nodes * sizeof(struct hs_wire_answer) +
	       (size_t)l->trace_crumbs * sizeof(struct hs_wire_crumb);
}

static size_t lay_out(struct hs_assembly *a, void *memory)
{
	const struct hs_assembly_limits *l = &a->limits;
	struct carver c = {.at = memory};

	carve(&c, 1, sizeof(*a));
	a->traces = carve(&c, l->nr_traces + 1, sizeof(*a->traces));
	a->nodes = carve(&c, l->nr_nodes + 1, sizeof(*a->nodes));
	a->buffers = carve(&c, l->nr_buffers + 1, sizeof(*a->buffers));
	a->crumbs = carve(&c, l->nr_crumbs + 1, sizeof(*a->crumbs));
	a->triggers = carve(&c, l->nr_triggers + 1, sizeof(*a->triggers));
	a->acks = carve(&c, l->nr_pending, sizeof(*a->acks));
	a->trace_mask = table_slots(l->nr_traces) - 1;
	a->node_mask = table_slots(l->nr_nodes) - 1;
	a->buffer_mask = table_slots(l->nr_buffers) - 1;
	a->trace_table = carve(&c, a->trace_mask + 1, sizeof(uint32_t));
	a->node_table = carve(&c, a->node_mask + 1, sizeof(uint32_t));
	a->buffer_table = carve(&c, a->buffer_mask + 1, sizeof(uint32_t));
	a->latest = carve(&c, HS_ASSEMBLY_NR_LATEST, sizeof(uint64_t));
	a->blob_bytes = blob_size(l);
	a->blob = carve(&c, a->blob_bytes, 1);
	return c.used_bytes;
}

size_t hs_assembly_size(const struct hs_assembly_limits *limits)
{
	struct hs_assembly a = {.limits = *limits};

	hs_assembly_limits_fill(&a.limits);
	return limits_ok(&a.limits) ? lay_out(&a, NULL) : 0;
}

/* Everything is free; 0 stays nobody. */
static void chain_free(struct hs_assembly *a)
{
	const struct hs_assembly_limits *l = &a->limits;

	for (uint32_t i = l->nr_traces; i > 0; i--) {
		a->traces[i].next_hash = a->free_trace;
		a->free_trace = i;
	}
	for (uint32_t i = l->nr_nodes; i > 0; i--) {
		a->nodes[i].next_trace = a->free_node;
		a->free_node = i;
	}
	for (uint32_t i = l->nr_buffers; i > 0; i--) {
		a->buffers[i].next_node = a->free_buffer;
		a->free_buffer = i;
	}
	for (uint32_t i = l->nr_crumbs; i > 0; i--) {
		a->crumbs[i].next = a->free_crumb;
		a->free_crumb = i;
	}
	for (uint32_t i = l->nr_triggers; i > 0; i--) {
		a->triggers[i].next = a->free_trigger;
		a->free_trigger = i;
	}
	a->nr_free_nodes = l->nr_nodes;
	a->nr_free_buffers = l->nr_buffers;
	a->nr_free_crumbs = l->nr_crumbs;
	a->nr_free_triggers = l->nr_triggers;
}

struct hs_assembly *hs_assembly_create(void *memory,
				       const struct hs_assembly_limits *limits,
				       const struct hs_assembly_ops *ops,
				       void *ctx)
{
	struct hs_assembly *a = memory;

	if (!hs_assembly_size(limits))
		return NULL;
	hs_check((uintptr_t)memory % LINE_BYTES == 0);
	a->limits = *limits;
	hs_assembly_limits_fill(&a->limits);
	a->ops = *ops;
	a->ctx = ctx;
	lay_out(a, memory);
	chain_free(a);
	return a;
}

int hs_assembly_message(struct hs_assembly *a, uint32_t peer, uint16_t type,
			const void *payload, uint32_t payload_bytes)
{
	int rc = HS_ASSEMBLY_REFUSED;

	if (type == HS_WIRE_SLICE)
		rc = hs_asm_slice(a, peer, payload, payload_bytes);
	else if (type == HS_WIRE_MANIFEST)
		rc = hs_asm_manifest(a, peer, payload, payload_bytes);
	a->keep = 0;
	if (rc == HS_ASSEMBLY_BUSY)
		a->stats.busy++;
	return rc;
}

/* ---- what waits for the disk -------------------------------------------- */

bool hs_asm_ack_room(const struct hs_assembly *a)
{
	return a->nr_acks < a->limits.nr_pending;
}

static void ack_send(struct hs_assembly *a, const struct hs_asm_ack *ack)
{
	if (ack->manifest)
		a->ops.manifest_ack(a->ctx, ack->peer, &ack->u.manifest_ack);
	else
		a->ops.slice_ack(a->ctx, ack->peer, ack->u.ship_key, false);
}

void hs_asm_ack_put(struct hs_assembly *a, const struct hs_asm_ack *ack)
{
	if (ack->seq <= a->durable || HS_PLANTED(20)) {
		ack_send(a, ack);
		return;
	}
	hs_check(hs_asm_ack_room(a));
	a->acks[(a->ack_head + a->nr_acks++) % a->limits.nr_pending] = *ack;
	a->traces[ack->trace].nr_pending++;
}

int hs_assembly_flush(struct hs_assembly *a, uint64_t *seq)
{
	int rc;

	*seq = a->durable;
	while (a->dirty) {
		uint32_t t = a->dirty;
		struct hs_asm_trace *trace = &a->traces[t];

		if (trace->union_dirty) {
			uint32_t bytes = hs_asm_union_write(a, t);

			rc = a->ops.store_union(a->ctx, &trace->id, a->blob,
						bytes);
			if (rc < 0) {
				a->stats.store_errors++;
				return rc;
			}
			trace->union_dirty = false;
		}
		/* Whoever asks for its causes there marks it, too. */
		if (a->ops.changed) {
			rc = a->ops.changed(a->ctx, &trace->id);
			if (rc < 0)
				return rc;
		}
		hs_asm_mark(a, t);
		a->dirty = trace->next_dirty;
		trace->dirty = false;
		trace->next_dirty = 0;
	}
	*seq = a->seq;
	return 0;
}

void hs_assembly_durable(struct hs_assembly *a, uint64_t seq)
{
	hs_check(seq <= a->seq);
	if (seq > a->durable)
		a->durable = seq;
	while (a->nr_acks) {
		struct hs_asm_ack ack = a->acks[a->ack_head];

		if (ack.seq > seq)
			break;
		a->ack_head = (a->ack_head + 1) % a->limits.nr_pending;
		a->nr_acks--;
		a->traces[ack.trace].nr_pending--;
		ack_send(a, &ack);
	}
}

void hs_assembly_lost(struct hs_assembly *a)
{
	for (uint32_t i = 0; i < a->nr_acks; i++) {
		uint32_t at = (a->ack_head + i) % a->limits.nr_pending;

		a->traces[a->acks[at].trace].nr_pending--;
	}
	a->nr_acks = 0;
	a->ack_head = 0;
	if (HS_PLANTED(24))
		return;
	for (uint32_t t = a->oldest; t;) {
		uint32_t newer = a->traces[t].lru_newer;

		if (a->traces[t].dirty || a->traces[t].seq > a->durable)
			hs_asm_trace_drop(a, t);
		t = newer;
	}
	a->seq = a->durable;
}

bool hs_assembly_forget(struct hs_assembly *a,
			const struct hs_wire_trace_id *id)
{
	uint32_t t = hs_asm_trace_find(a, id);

	if (!t)
		return true;
	if (a->traces[t].nr_pending || a->traces[t].dirty)
		return false;
	hs_asm_trace_drop(a, t);
	return true;
}

void hs_assembly_replay_damage(struct hs_assembly *a,
			       const struct hs_wire_trace_id *id,
			       uint64_t version_min)
{
	uint32_t t = hs_asm_trace_find(a, id);

	if (!t)
		return;
	if (!a->traces[t].damaged) {
		a->traces[t].damaged = true;
		hs_asm_change(a, t, false);
	}
	if (a->traces[t].version < version_min)
		a->traces[t].version = version_min;
}

/* ---- views --------------------------------------------------------------- */

int hs_assembly_view(struct hs_assembly *a, const struct hs_wire_trace_id *id,
		     struct hs_assembly_view *out)
{
	const struct hs_asm_trace *trace;
	uint32_t t;
	int rc = hs_asm_trace_get(a, id, false, &t);

	if (rc)
		return rc == HS_ASSEMBLY_BUSY ? -EBUSY : rc;
	hs_asm_mark(a, t);
	trace = &a->traces[t];
	*out = (struct hs_assembly_view){
		.id = trace->id,
		.version = trace->version,
		.nr_bytes = trace->nr_bytes,
		.mark = trace->mark,
		.nr_nodes = trace->nr_nodes,
		.nr_triggers = trace->nr_triggers,
		.nr_buffers = trace->nr_buffers,
		.settled = trace->settled,
		.sought = trace->sought,
	};
	return 0;
}

uint32_t hs_assembly_nodes(struct hs_assembly *a,
			   const struct hs_wire_trace_id *id,
			   struct hs_assembly_node *out, uint32_t max)
{
	uint32_t nr = 0;
	uint32_t t;

	if (hs_asm_trace_get(a, id, false, &t))
		return 0;
	for (uint32_t n = a->traces[t].nodes; n && nr < max;
	     n = a->nodes[n].next_trace) {
		const struct hs_asm_node *node = &a->nodes[n];

		out[nr++] = (struct hs_assembly_node){
			.node = node->id,
			.answered = node->answered,
			.rev = node->rev,
			.state = node->state,
			.flags = node->flags | node->slice_flags,
			.nr_buffers = node->nr_buffers,
			.nr_crumbs = node->nr_crumbs,
			.nr_bytes = node->nr_bytes,
			.arrived_buffers = node->arrived_buffers,
			.arrived_bytes = node->arrived_bytes,
		};
	}
	return nr;
}

uint32_t hs_assembly_triggers(struct hs_assembly *a,
			      const struct hs_wire_trace_id *id,
			      struct hs_wire_trigger *out, uint32_t max)
{
	uint32_t nr = 0;
	uint32_t t;

	if (hs_asm_trace_get(a, id, false, &t))
		return 0;
	for (uint32_t g = a->traces[t].triggers; g && nr < max;
	     g = a->triggers[g].next)
		out[nr++] = a->triggers[g].trigger;
	return nr;
}

void hs_assembly_stats(const struct hs_assembly *a,
		       struct hs_assembly_stats *out)
{
	*out = a->stats;
	out->nr_pending = a->nr_acks;
}

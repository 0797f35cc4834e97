/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see slices.h. */
#include "bench/slices.h"

#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "hs/shm_format.h"
#include "model/record.h"
#include "rdma/wire.h"

/* A span of ours takes less than this. */
#define SPAN_ROOM_BYTES 256u

struct out {
	uint8_t *data;
	uint32_t used;
};

static void record(struct out *o, uint32_t type, const uint8_t *payload,
		   uint32_t bytes)
{
	uint32_t word = hs_record_header(type, bytes);

	memcpy(o->data + o->used, &word, sizeof(word));
	memcpy(o->data + o->used + sizeof(word), payload, bytes);
	o->used += (uint32_t)sizeof(word) + bytes;
}

static uint32_t text(uint8_t *out, const char *t)
{
	uint32_t n = hs_record_varint_put(out, strlen(t));

	memcpy(out + n, t, strlen(t));
	return n + (uint32_t)strlen(t);
}

static uint64_t span_id(uint64_t trace, uint32_t node, uint32_t nr)
{
	return hs_hash_mix64(trace * 64 + node * 4096 + nr + 1) | 1;
}

enum draw { DRAW_SERVICE, DRAW_TRIGGER, DRAW_DURATION, DRAW_ERROR };

static uint64_t drawn(uint64_t trace, enum draw what)
{
	return hs_hash_mix64(trace * 4 + what + 1);
}

/* K of one trace in 2^(K + 1). */
static uint32_t halving(uint64_t trace, enum draw what)
{
	return (uint32_t)__builtin_ctzll(drawn(trace, what) | 1ull << 40);
}

static uint64_t start_of(const struct hs_bench_slices *s, uint64_t trace)
{
	return s->start_ns + trace * (s->step_ns ? s->step_ns : 1000);
}

static int64_t duration_of(const struct hs_bench_slices *s, uint64_t trace,
			   uint64_t id)
{
	uint64_t ms = 1000000;

	if (!s->varied)
		return (int64_t)(100000 + (id & 0xfffff));
	ms <<= halving(trace, DRAW_DURATION);
	return (int64_t)(ms + id % ms);
}

static void resource(struct out *o, uint32_t node)
{
	char service[32];
	uint8_t p[128];
	uint32_t n = hs_record_varint_put(p, 0);

	snprintf(service, sizeof(service), "service-%u", node);
	p[n++] = HS_RECORD_HAS_SERVICE;
	n += text(p + n, service);
	n += hs_record_varint_put(p + n, 0);
	record(o, HS_RECORD_RESOURCE, p, n);
}

/* Of the span that is open under reference 0. */
static void failed(struct out *o)
{
	uint8_t p[8];
	uint32_t n = hs_record_varint_put(p, 0);

	p[n++] = 2; /* error */
	n += text(p + n, "");
	record(o, HS_RECORD_STATUS, p, n);
}

static void span(const struct hs_bench_slices *s, struct out *o, uint64_t trace,
		 uint32_t node, uint32_t nr)
{
	uint64_t id = span_id(trace, node, nr);
	uint64_t parent = 0;
	char name[48];
	uint8_t p[SPAN_ROOM_BYTES];
	uint32_t n = hs_record_varint_put(p, 0);

	if (nr)
		parent = span_id(trace, node, (nr - 1) / 2);
	else if (node)
		parent = span_id(trace, node - 1, 0);
	memcpy(p + n, &id, 8);
	memcpy(p + n + 8, &parent, 8);
	n += 16;
	n += hs_record_varint_put(p + n, 0);
	p[n++] = 2; /* server */
	n += hs_record_varint_put(p + n, hs_record_zigzag(nr * 1000));
	snprintf(name, sizeof(name), "GET /catalogue/%u/item", nr % 7);
	n += text(p + n, name);
	record(o, HS_RECORD_SPAN_START, p, n);
	if (s->varied && !nr && drawn(trace, DRAW_ERROR) % 1024 == 0)
		failed(o);
	n = hs_record_varint_put(p, 0);
	n += hs_record_varint_put(p + n,
				  hs_record_zigzag(duration_of(s, trace, id)));
	record(o, HS_RECORD_SPAN_END, p, n);
}

struct hs_wire_trace_id hs_bench_slice_trace(uint64_t trace)
{
	return (struct hs_wire_trace_id){hs_hash_mix64(trace + 1), trace + 1};
}

static uint64_t node_id(uint32_t node)
{
	return (uint64_t)(node + 1) << 32 | 1;
}

uint32_t hs_bench_slice_make(const struct hs_bench_slices *s, uint64_t trace,
			     uint32_t node, void *out)
{
	struct hs_wire_trace_id id = hs_bench_slice_trace(trace);
	uint8_t *bytes = (uint8_t *)out + sizeof(struct hs_wire_slice);
	struct hs_shm_buffer head = {
		.magic = HS_SHM_BUF_MAGIC,
		.version = HS_SHM_BUF_VERSION,
		.header_bytes = sizeof(head),
		.trace_hi = id.hi,
		.trace_lo = id.lo,
		.process = 1,
		.handle = 1,
		.first_record = sizeof(head),
		.time_base = start_of(s, trace),
	};
	struct hs_wire_slice slice = {
		.trace = id,
		.node = node_id(node),
		.ship_key = trace * s->nr_nodes + node,
		.process = 1,
		.handle = 1,
		.final = 1,
	};
	struct out o = {bytes, sizeof(head)};

	resource(&o, s->varied ? halving(trace, DRAW_SERVICE) : node);
	for (uint32_t i = 0; o.used + SPAN_ROOM_BYTES < s->slice_bytes; i++)
		span(s, &o, trace, node, i);
	head.committed = o.used;
	memcpy(bytes, &head, sizeof(head));
	slice.length_bytes = o.used;
	slice.crc = hs_crc32c(0, bytes, o.used);
	memcpy(out, &slice, sizeof(slice));
	return (uint32_t)sizeof(slice) + o.used;
}

void hs_bench_slice_name(const struct hs_bench_slices *s, uint64_t trace,
			 uint32_t node, void *message)
{
	struct hs_wire_slice *slice = message;
	struct hs_shm_buffer *head = (void *)(slice + 1);

	slice->trace = hs_bench_slice_trace(trace);
	slice->ship_key = trace * s->nr_nodes + node;
	head->trace_hi = slice->trace.hi;
	head->trace_lo = slice->trace.lo;
	head->time_base = start_of(s, trace);
}

void hs_bench_slice_rename(const struct hs_bench_slices *s, uint64_t trace,
			   uint32_t node, void *message, uint32_t bytes)
{
	struct hs_wire_slice *slice = message;

	hs_bench_slice_name(s, trace, node, message);
	slice->crc = hs_crc32c(0, slice + 1, bytes - sizeof(*slice));
}

uint32_t hs_bench_manifest_make(const struct hs_bench_slices *s, uint64_t trace,
				const uint32_t *slice_bytes, void *out)
{
	struct hs_wire_writer w = hs_wire_writer_make(out, 4096);
	struct hs_wire_trace_id id = hs_bench_slice_trace(trace);
	struct hs_wire_manifest head = {.trace = id,
					.epoch = 1,
					.version = 1,
					.settled = 1,
					.nr_triggers = 1,
					.nr_answers = s->nr_nodes};
	struct hs_wire_trigger trigger = {.origin = node_id(0),
					  .key = trace + 1,
					  .fired_ns = s->start_ns + trace,
					  .primary = id,
					  .name = "slow"};

	if (s->varied)
		snprintf(trigger.name, sizeof(trigger.name), "trigger-%u",
			 halving(trace, DRAW_TRIGGER));
	hs_wire_put(&w, &head, sizeof(head));
	hs_wire_put(&w, &trigger, sizeof(trigger));
	for (uint32_t i = 0; i < s->nr_nodes; i++) {
		struct hs_wire_crumb crumb = {
			.node = node_id(i ? i - 1 : i + 1),
			.kind = i ? HS_WIRE_CRUMB_BACK : HS_WIRE_CRUMB_FORWARD};
		struct hs_wire_answer answer = {.trace = id,
						.node = node_id(i),
						.rev = 1,
						.state = HS_WIRE_STATE_CLOSED,
						.nr_buffers = 1,
						.nr_bytes = slice_bytes[i],
						.nr_crumbs = s->nr_nodes > 1};

		hs_wire_put(&w, &answer, sizeof(answer));
		if (answer.nr_crumbs)
			hs_wire_put(&w, &crumb, sizeof(crumb));
	}
	return (uint32_t)w.used_bytes;
}

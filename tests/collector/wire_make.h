/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_make.h - slices and manifests for tests, as agents and coordinators
 * would send them
 */
#ifndef HS_TESTS_COLLECTOR_WIRE_MAKE_H
#define HS_TESTS_COLLECTOR_WIRE_MAKE_H

#include <string.h>

#include "base/crc32c.h"
#include "hs/wire_format.h"
#include "rdma/wire.h"

#define NODE(n, inc) ((uint64_t)(n) << 32 | (inc))

struct msg {
	uint16_t type;
	uint32_t bytes;
	_Alignas(8) uint8_t data[65536];
};

static inline struct hs_wire_trace_id make_trace(uint64_t lo)
{
	return (struct hs_wire_trace_id){0xabcdef0123456789ull, lo};
}

struct slice_args {
	uint64_t trace, node, ship_key;
	uint32_t process, handle, seq, offset, length_bytes;
	uint16_t flags;
	int final;
	const void *data; /* NULL: a pattern */
};

static inline void make_slice(struct msg *m, struct slice_args args)
{
	uint8_t bytes[32768];
	struct hs_wire_slice s = {
		.trace = make_trace(args.trace),
		.node = args.node,
		.ship_key = args.ship_key,
		.process = args.process,
		.handle = args.handle,
		.seq = args.seq,
		.offset = args.offset,
		.length_bytes = args.length_bytes,
		.flags = args.flags,
		.final = (uint16_t)args.final,
	};
	struct hs_wire_writer w = hs_wire_writer_make(m->data, sizeof(m->data));

	for (uint32_t i = 0; i < args.length_bytes; i++)
		bytes[i] = (uint8_t)((args.offset + i) * 7 + args.seq);
	if (args.data)
		memcpy(bytes, args.data, args.length_bytes);
	s.crc = hs_crc32c(0, bytes, args.length_bytes);
	m->type = HS_WIRE_SLICE;
	hs_wire_put(&w, &s, sizeof(s));
	hs_wire_put(&w, bytes, args.length_bytes);
	m->bytes = (uint32_t)w.used_bytes;
}

struct answer_args {
	uint64_t node;
	uint32_t rev;
	uint16_t state, flags;
	uint32_t nr_buffers;
	uint64_t nr_bytes;
	uint64_t crumbs[4]; /* up to the first 0 */
};

struct manifest_args {
	uint64_t trace, epoch;
	uint32_t version;
	int settled;
	uint64_t trigger_key; /* 0: none */
	const char *trigger;
	uint64_t origin;
};

/* Ends the answers at the first whose node is 0. */
static inline void make_manifest(struct msg *m, struct manifest_args args,
				 const struct answer_args *answers)
{
	struct hs_wire_writer w = hs_wire_writer_make(m->data, sizeof(m->data));
	struct hs_wire_manifest head = {
		.trace = make_trace(args.trace),
		.epoch = args.epoch,
		.version = args.version ? args.version : 1,
		.settled = (uint16_t)args.settled,
		.nr_triggers = args.trigger_key != 0,
	};
	struct hs_wire_trigger trigger = {.origin = args.origin,
					  .key = args.trigger_key,
					  .fired_ns = 1700000000000000000ull,
					  .primary = make_trace(args.trace)};

	if (args.trigger)
		strncpy(trigger.name, args.trigger, sizeof(trigger.name) - 1);
	while (answers[head.nr_answers].node)
		head.nr_answers++;
	hs_wire_put(&w, &head, sizeof(head));
	if (head.nr_triggers)
		hs_wire_put(&w, &trigger, sizeof(trigger));
	for (const struct answer_args *at = answers; at->node; at++) {
		struct hs_wire_crumb crumbs[4] = {{0}};
		struct hs_wire_answer answer = {
			.trace = make_trace(args.trace),
			.node = at->node,
			.rev = at->rev,
			.state = at->state,
			.flags = at->flags,
			.nr_buffers = at->nr_buffers,
			.nr_bytes = at->nr_bytes,
		};

		for (; answer.nr_crumbs < 4 && at->crumbs[answer.nr_crumbs];
		     answer.nr_crumbs++)
			crumbs[answer.nr_crumbs].node =
				at->crumbs[answer.nr_crumbs];
		hs_wire_put_answer(&w, &answer, crumbs);
	}
	m->type = HS_WIRE_MANIFEST;
	m->bytes = (uint32_t)w.used_bytes;
}

#endif

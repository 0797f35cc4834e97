/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assembly_rig.h - an assembly over a store in memory that can be told to fail
 */
#ifndef HS_TESTS_COLLECTOR_ASSEMBLY_RIG_H
#define HS_TESTS_COLLECTOR_ASSEMBLY_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "collector/assembly.h"
#include "tests/collector/wire_make.h"

#define NR_STORED 4096

/* A store in memory that can be told to fail. */
struct rig {
	struct hs_assembly *a;
	void *memory;
	uint32_t nr_stored;
	struct {
		bool is_union;
		struct hs_wire_trace_id trace;
		struct hs_wire_slice slice;
		uint8_t *blob;
		uint32_t blob_bytes;
	} stored[NR_STORED];
	int store_error;
	uint32_t nr_slice_acks, nr_refused, nr_manifest_acks, nr_changed;
	uint64_t last_ship_key;
	struct hs_wire_manifest_ack last_manifest_ack;
};

static inline int store_slice(void *ctx, const struct hs_wire_slice *slice,
			      const uint8_t *bytes)
{
	struct rig *r = ctx;

	if (r->store_error)
		return r->store_error;
	assert_true(r->nr_stored < NR_STORED);
	r->stored[r->nr_stored].is_union = false;
	r->stored[r->nr_stored].trace = slice->trace;
	r->stored[r->nr_stored++].slice = *slice;
	return 0;
}

static inline int store_union(void *ctx, const struct hs_wire_trace_id *trace,
			      const void *blob, uint32_t blob_bytes)
{
	struct rig *r = ctx;

	if (r->store_error)
		return r->store_error;
	assert_true(r->nr_stored < NR_STORED);
	r->stored[r->nr_stored].is_union = true;
	r->stored[r->nr_stored].trace = *trace;
	r->stored[r->nr_stored].blob = malloc(blob_bytes);
	memcpy(r->stored[r->nr_stored].blob, blob, blob_bytes);
	r->stored[r->nr_stored++].blob_bytes = blob_bytes;
	return 0;
}

static inline int load(void *ctx, const struct hs_wire_trace_id *trace)
{
	struct rig *r = ctx;
	int rc = 0;

	for (uint32_t i = 0; i < r->nr_stored && !rc; i++) {
		if (!hs_wire_trace_equal(&r->stored[i].trace, trace))
			continue;
		rc = r->stored[i].is_union
			     ? hs_assembly_replay_union(r->a, trace,
							r->stored[i].blob,
							r->stored[i].blob_bytes)
			     : hs_assembly_replay_slice(r->a,
							&r->stored[i].slice);
	}
	return rc;
}

static inline int changed(void *ctx, const struct hs_wire_trace_id *trace)
{
	((struct rig *)ctx)->nr_changed++;
	return 0;
}

static inline void slice_ack(void *ctx, uint32_t peer, uint64_t ship_key,
			     bool refused)
{
	struct rig *r = ctx;

	r->nr_slice_acks += !refused;
	r->nr_refused += refused;
	r->last_ship_key = ship_key;
}

static inline void manifest_ack(void *ctx, uint32_t peer,
				const struct hs_wire_manifest_ack *ack)
{
	struct rig *r = ctx;

	r->nr_manifest_acks++;
	r->last_manifest_ack = *ack;
}

static const struct hs_assembly_ops ops = {
	.store_slice = store_slice,
	.store_union = store_union,
	.load = load,
	.changed = changed,
	.slice_ack = slice_ack,
	.manifest_ack = manifest_ack,
};

static const struct hs_assembly_limits small = {
	.nr_traces = 4,
	.nr_nodes = 32,
	.nr_buffers = 32,
	.nr_crumbs = 64,
	.nr_triggers = 128,
	.nr_pending = 64,
	.trace_nodes = 8,
	.trace_buffers = 16,
	.trace_crumbs = 16,
	.seed = 42,
};

static inline void start(struct rig *r)
{
	size_t size = hs_assembly_size(&small);

	assert_true(size > 0);
	if (!r->memory)
		r->memory = aligned_alloc(64, size);
	memset(r->memory, 0, size);
	r->a = hs_assembly_create(r->memory, &small, &ops, r);
	assert_non_null(r->a);
}

static inline int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	start(r);
	*state = r;
	return 0;
}

static inline void forget(struct rig *r)
{
	for (uint32_t i = 0; i < r->nr_stored; i++)
		if (r->stored[i].is_union)
			free(r->stored[i].blob);
	r->nr_stored = 0;
}

static inline int teardown(void **state)
{
	struct rig *r = *state;

	forget(r);
	free(r->memory);
	free(r);
	return 0;
}

static struct msg scratch __attribute__((unused));

static inline int slice(struct rig *r, struct slice_args args)
{
	if (!args.trace)
		args.trace = 1;
	make_slice(&scratch, args);
	return hs_assembly_message(r->a, 7, scratch.type, scratch.data,
				   scratch.bytes);
}

static inline int manifest(struct rig *r, struct manifest_args args,
			   const struct answer_args *answers)
{
	if (!args.trace)
		args.trace = 1;
	make_manifest(&scratch, args, answers);
	return hs_assembly_message(r->a, 8, scratch.type, scratch.data,
				   scratch.bytes);
}

static inline void sync_all(struct rig *r)
{
	uint64_t seq;

	assert_int_equal(hs_assembly_flush(r->a, &seq), 0);
	hs_assembly_durable(r->a, seq);
}

static inline struct hs_assembly_view view(struct rig *r, uint64_t trace)
{
	struct hs_wire_trace_id id = make_trace(trace);
	struct hs_assembly_view v;

	assert_int_equal(hs_assembly_view(r->a, &id, &v), 0);
	return v;
}

static inline bool has_cause(struct rig *r, uint64_t node,
			     enum hs_assembly_why why)
{
	struct hs_wire_trace_id id = make_trace(1);
	struct hs_assembly_cause c[32];
	uint32_t nr = hs_assembly_causes(r->a, &id, c, 32);

	for (uint32_t i = 0; i < nr; i++)
		if (c[i].node == node && c[i].why == why)
			return true;
	return false;
}

#define ANSWERS(...)                                                           \
	(const struct answer_args[])                                           \
	{                                                                      \
		__VA_ARGS__,                                                   \
		{                                                              \
			0                                                      \
		}                                                              \
	}
#define A NODE(1, 1)
#define B NODE(2, 1)

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: law 4's mark, cause by cause; the union of manifests; what arrives
 * twice, late and in any order; acknowledgement only after durability.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/assembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static int store_slice(void *ctx, const struct hs_wire_slice *slice,
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

static int store_union(void *ctx, const struct hs_wire_trace_id *trace,
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

static int load(void *ctx, const struct hs_wire_trace_id *trace)
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

static int changed(void *ctx, const struct hs_wire_trace_id *trace)
{
	((struct rig *)ctx)->nr_changed++;
	return 0;
}

static void slice_ack(void *ctx, uint32_t peer, uint64_t ship_key, bool refused)
{
	struct rig *r = ctx;

	r->nr_slice_acks += !refused;
	r->nr_refused += refused;
	r->last_ship_key = ship_key;
}

static void manifest_ack(void *ctx, uint32_t peer,
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

static void start(struct rig *r)
{
	size_t size = hs_assembly_size(&small);

	assert_true(size > 0);
	if (!r->memory)
		r->memory = aligned_alloc(64, size);
	memset(r->memory, 0, size);
	r->a = hs_assembly_create(r->memory, &small, &ops, r);
	assert_non_null(r->a);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	start(r);
	*state = r;
	return 0;
}

static void forget(struct rig *r)
{
	for (uint32_t i = 0; i < r->nr_stored; i++)
		if (r->stored[i].is_union)
			free(r->stored[i].blob);
	r->nr_stored = 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	forget(r);
	free(r->memory);
	free(r);
	return 0;
}

static struct msg scratch;

static int slice(struct rig *r, struct slice_args args)
{
	if (!args.trace)
		args.trace = 1;
	make_slice(&scratch, args);
	return hs_assembly_message(r->a, 7, scratch.type, scratch.data,
				   scratch.bytes);
}

static int manifest(struct rig *r, struct manifest_args args,
		    const struct answer_args *answers)
{
	if (!args.trace)
		args.trace = 1;
	make_manifest(&scratch, args, answers);
	return hs_assembly_message(r->a, 8, scratch.type, scratch.data,
				   scratch.bytes);
}

static void sync_all(struct rig *r)
{
	uint64_t seq;

	assert_int_equal(hs_assembly_flush(r->a, &seq), 0);
	hs_assembly_durable(r->a, seq);
}

static struct hs_assembly_view view(struct rig *r, uint64_t trace)
{
	struct hs_wire_trace_id id = make_trace(trace);
	struct hs_assembly_view v;

	assert_int_equal(hs_assembly_view(r->a, &id, &v), 0);
	return v;
}

static bool has_cause(struct rig *r, uint64_t node, enum hs_assembly_why why)
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

static void test_two_nodes_complete(void **state)
{
	struct rig *r = *state;

	slice(r,
	      (struct slice_args){.node = A, .length_bytes = 100, .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_true(has_cause(r, 0, HS_ASSEMBLY_WHY_NO_MANIFEST));
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 100, {B}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_true(has_cause(r, B, HS_ASSEMBLY_WHY_NO_ANSWER));
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 100, {B}},
			 {B, 1, HS_WIRE_STATE_CLOSED, 0, 2, 50, {A}}));
	assert_true(has_cause(r, B, HS_ASSEMBLY_WHY_MISSING));
	slice(r,
	      (struct slice_args){.node = B, .length_bytes = 30, .final = 1});
	slice(r, (struct slice_args){.node = B, .seq = 1, .length_bytes = 20});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	slice(r, (struct slice_args){
			 .node = B, .seq = 1, .offset = 20, .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	assert_int_equal(view(r, 1).nr_bytes, 150);
}

static void test_every_cause_of_partial(void **state)
{
	static const struct {
		uint32_t rev;
		uint16_t wire_state, flags;
		enum hs_assembly_why why;
	} cases[] = {
		{0, HS_WIRE_STATE_UNREACHABLE, 0, HS_ASSEMBLY_WHY_UNREACHABLE},
		{0, HS_WIRE_STATE_GONE, 0, HS_ASSEMBLY_WHY_GONE},
		{1, HS_WIRE_STATE_UNKNOWN, 0, HS_ASSEMBLY_WHY_UNKNOWN},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_EVICTED,
		 HS_ASSEMBLY_WHY_EVICTED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_LOST, HS_ASSEMBLY_WHY_LOST},
		{1, HS_WIRE_STATE_OPEN, HS_WIRE_F_ABANDONED,
		 HS_ASSEMBLY_WHY_ABANDONED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_CRASHED,
		 HS_ASSEMBLY_WHY_CRASHED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_MODIFIED,
		 HS_ASSEMBLY_WHY_MODIFIED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_CUT, HS_ASSEMBLY_WHY_CUT},
		{1, HS_WIRE_STATE_CLOSED, 0x4000, HS_ASSEMBLY_WHY_LOST},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig *r = *state;

		forget(r);
		start(r);
		manifest(r, (struct manifest_args){.settled = 1},
			 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {B}},
				 {B,
				  cases[i].rev,
				  cases[i].wire_state,
				  cases[i].flags,
				  0,
				  0,
				  {0}}));
		assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
		assert_true(has_cause(r, B, cases[i].why));
		assert_true(view(r, 1).settled);
	}
}

static void test_open_answer_then_closed(void **state)
{
	struct rig *r = *state;
	uint64_t v;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 3, HS_WIRE_STATE_OPEN, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_OPEN));
	v = view(r, 1).version;
	/* An older word of the same node changes nothing. */
	manifest(r, (struct manifest_args){.epoch = 2},
		 ANSWERS({A, 2, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_int_equal(view(r, 1).version, v);
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A, 4, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	assert_true(view(r, 1).version > v);
}

static void test_slice_flags_make_partial(void **state)
{
	struct rig *r = *state;

	slice(r, (struct slice_args){.node = A,
				     .length_bytes = 10,
				     .final = 1,
				     .flags = HS_WIRE_F_CRASHED});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_CRASHED));
}

static void test_late_data_raises_version(void **state)
{
	struct rig *r = *state;
	uint64_t v;

	slice(r,
	      (struct slice_args){.node = A, .length_bytes = 10, .final = 1});
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	v = view(r, 1).version;
	slice(r, (struct slice_args){.node = A, .seq = 1, .length_bytes = 10});
	assert_int_equal(view(r, 1).version, v + 1);
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A, 2, HS_WIRE_STATE_CLOSED, 0, 2, 30, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_int_equal(view(r, 1).version, v + 2);
	/* Overlapping the ten bytes that are there. */
	slice(r, (struct slice_args){.node = A,
				     .seq = 1,
				     .offset = 5,
				     .length_bytes = 15,
				     .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	assert_int_equal(view(r, 1).nr_bytes, 30);
}

static void test_duplicates_are_stored_once(void **state)
{
	struct rig *r = *state;
	struct slice_args s = {
		.node = A, .length_bytes = 10, .final = 1, .ship_key = 77};
	uint64_t v;

	slice(r, s);
	v = view(r, 1).version;
	slice(r, s);
	slice(r,
	      (struct slice_args){.node = A, .offset = 2, .length_bytes = 3});
	assert_int_equal(view(r, 1).version, v);
	assert_int_equal(r->nr_stored, 1);
	/* The copy is no more durable than the original. */
	assert_int_equal(r->nr_slice_acks, 0);
	sync_all(r);
	assert_int_equal(r->nr_slice_acks, 3);
	slice(r, s);
	assert_int_equal(r->nr_slice_acks, 4);
	assert_int_equal(r->last_ship_key, 77);
}

static void test_holes_and_many_ranges(void **state)
{
	struct rig *r = *state;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 40, {0}}));
	slice(r,
	      (struct slice_args){
		      .node = A, .offset = 30, .length_bytes = 10, .final = 1});
	slice(r,
	      (struct slice_args){.node = A, .offset = 10, .length_bytes = 5});
	slice(r,
	      (struct slice_args){.node = A, .offset = 0, .length_bytes = 5});
	assert_int_equal(view(r, 1).nr_bytes, 20);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_MISSING));
	slice(r,
	      (struct slice_args){.node = A, .offset = 4, .length_bytes = 26});
	assert_int_equal(view(r, 1).nr_bytes, 40);
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	/* Five islands are more than a buffer remembers: it says so. */
	for (uint32_t i = 0; i < 5; i++)
		slice(r, (struct slice_args){.node = A,
					     .seq = 1,
					     .offset = 10 * i,
					     .length_bytes = 5});
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_CUT));
}

static void test_triggers_are_named_once(void **state)
{
	struct rig *r = *state;
	struct hs_wire_trace_id id = make_trace(1);
	struct hs_wire_trigger t[4];
	const struct answer_args *answers =
		ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}});

	manifest(r,
		 (struct manifest_args){
			 .trigger_key = 5, .origin = A, .trigger = "error"},
		 answers);
	manifest(r,
		 (struct manifest_args){.trigger_key = 5,
					.origin = A,
					.trigger = "error",
					.epoch = 9},
		 answers);
	manifest(r,
		 (struct manifest_args){
			 .trigger_key = 5, .origin = B, .trigger = "slow"},
		 answers);
	assert_int_equal(hs_assembly_triggers(r->a, &id, t, 4), 2);
	assert_string_equal(t[0].name, "error");
	assert_string_equal(t[1].name, "slow");
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
}

static void test_later_incarnation_answers(void **state)
{
	struct rig *r = *state;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {NODE(2, 5)}},
			 {NODE(2, 4), 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	/* An earlier one does not speak for it. */
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_NO_ANSWER));
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({NODE(2, 5), 0, HS_WIRE_STATE_GONE, 0, 0, 0, {0}}));
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_GONE));
	manifest(r, (struct manifest_args){.version = 3},
		 ANSWERS({NODE(2, 6), 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	manifest(r, (struct manifest_args){.version = 4},
		 ANSWERS({NODE(2, 6), 2, HS_WIRE_STATE_UNKNOWN, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
}

static void test_acks_wait_for_the_disk(void **state)
{
	struct rig *r = *state;
	uint64_t seq;

	slice(r, (struct slice_args){
			 .node = A, .length_bytes = 10, .ship_key = 1});
	manifest(r, (struct manifest_args){.epoch = 3, .version = 9},
		 ANSWERS({A, 1, HS_WIRE_STATE_OPEN, 0, 1, 10, {0}}));
	assert_int_equal(hs_assembly_flush(r->a, &seq), 0);
	assert_int_equal(r->nr_changed, 1);
	slice(r,
	      (struct slice_args){
		      .node = A, .seq = 1, .length_bytes = 10, .ship_key = 2});
	assert_int_equal(r->nr_slice_acks + r->nr_manifest_acks, 0);
	hs_assembly_durable(r->a, seq);
	assert_int_equal(r->nr_slice_acks, 1);
	assert_int_equal(r->last_ship_key, 1);
	assert_int_equal(r->nr_manifest_acks, 1);
	assert_int_equal(r->last_manifest_ack.epoch, 3);
	assert_int_equal(r->last_manifest_ack.version, 9);
	sync_all(r);
	assert_int_equal(r->last_ship_key, 2);
}

static void test_a_failing_store_acks_nothing(void **state)
{
	struct rig *r = *state;
	struct slice_args s = {.node = A, .length_bytes = 10, .final = 1};
	struct hs_wire_trace_id id = make_trace(1);
	struct hs_assembly_view v;
	uint64_t seq;

	r->store_error = -ENOSPC;
	assert_int_equal(slice(r, s), -ENOSPC);
	assert_int_equal(hs_assembly_view(r->a, &id, &v), -ENOENT);
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	assert_int_equal(hs_assembly_flush(r->a, &seq), -ENOSPC);
	hs_assembly_durable(r->a, seq);
	assert_int_equal(r->nr_manifest_acks, 0);
	/* The disk is back: what was kept goes out, what was not comes again.*/
	r->store_error = 0;
	assert_int_equal(slice(r, s), HS_ASSEMBLY_TAKEN);
	sync_all(r);
	assert_int_equal(r->nr_manifest_acks, 1);
	assert_int_equal(r->nr_slice_acks, 1);
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
}

static void test_lost_before_sync(void **state)
{
	struct rig *r = *state;
	uint32_t nr;

	slice(r, (struct slice_args){.node = A, .length_bytes = 10});
	sync_all(r);
	nr = r->nr_stored;
	slice(r, (struct slice_args){.node = A, .seq = 1, .length_bytes = 10});
	slice(r,
	      (struct slice_args){.trace = 2, .node = A, .length_bytes = 10});
	r->nr_stored = nr;
	hs_assembly_lost(r->a);
	sync_all(r);
	assert_int_equal(r->nr_slice_acks, 1);
	assert_int_equal(view(r, 1).nr_bytes, 10);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct hs_assembly_stats stats;

	make_slice(&scratch, (struct slice_args){.trace = 1,
						 .node = A,
						 .length_bytes = 100,
						 .ship_key = 5});
	for (uint32_t cut = 0; cut < scratch.bytes; cut++)
		assert_int_equal(hs_assembly_message(r->a, 1, HS_WIRE_SLICE,
						     scratch.data, cut),
				 HS_ASSEMBLY_REFUSED);
	assert_int_equal(r->nr_refused, 100);
	assert_int_equal(r->last_ship_key, 5);
	scratch.data[sizeof(struct hs_wire_slice) + 3] ^= 1;
	assert_int_equal(hs_assembly_message(r->a, 1, HS_WIRE_SLICE,
					     scratch.data, scratch.bytes),
			 HS_ASSEMBLY_REFUSED);
	assert_int_equal(slice(r, (struct slice_args){.node = A,
						      .offset = 0xfffffff0u,
						      .length_bytes = 100}),
			 HS_ASSEMBLY_REFUSED);
	make_manifest(&scratch, (struct manifest_args){.trace = 1},
		      ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {B}}));
	for (uint32_t cut = 0; cut < scratch.bytes; cut++)
		assert_int_equal(hs_assembly_message(r->a, 1, HS_WIRE_MANIFEST,
						     scratch.data, cut),
				 HS_ASSEMBLY_REFUSED);
	hs_assembly_stats(r->a, &stats);
	assert_int_equal(stats.nr_traces, 0);
	assert_int_equal(r->nr_stored, 0);
}

static void test_over_a_limit_is_cut(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < 17; i++) {
		int rc = slice(r, (struct slice_args){.node = A,
						      .seq = i,
						      .length_bytes = 1});

		assert_int_equal(rc, i < 16 ? HS_ASSEMBLY_TAKEN
					    : HS_ASSEMBLY_REFUSED);
	}
	assert_int_equal(r->nr_refused, 1);
	assert_true(has_cause(r, 0, HS_ASSEMBLY_WHY_CUT));
	sync_all(r);
	/* It is remembered, and not only in memory. */
	start(r);
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	assert_true(has_cause(r, 0, HS_ASSEMBLY_WHY_CUT));
}

static void test_memory_is_a_cache(void **state)
{
	struct rig *r = *state;
	struct hs_assembly_stats stats;

	for (uint64_t t = 1; t <= 20; t++) {
		assert_int_equal(
			slice(r, (struct slice_args){.trace = t,
						     .node = A,
						     .length_bytes = 10,
						     .final = 1}),
			HS_ASSEMBLY_TAKEN);
		manifest(r, (struct manifest_args){.trace = t},
			 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 2, 20, {0}}));
		sync_all(r);
	}
	hs_assembly_stats(r->a, &stats);
	assert_int_equal(stats.nr_traces, 4);
	assert_int_equal(stats.traces_dropped, 16);
	for (uint64_t t = 1; t <= 20; t++) {
		uint64_t v = view(r, t).version;

		assert_int_equal(view(r, t).mark, HS_ASSEMBLY_OPEN);
		slice(r, (struct slice_args){.trace = t,
					     .node = A,
					     .seq = 1,
					     .length_bytes = 10,
					     .final = 1});
		assert_int_equal(view(r, t).mark, HS_ASSEMBLY_COMPLETE);
		assert_int_equal(view(r, t).version, v + 1);
		sync_all(r);
		start(r);
		assert_int_equal(view(r, t).mark, HS_ASSEMBLY_COMPLETE);
		assert_int_equal(view(r, t).version, v + 1);
	}
}

static void test_busy_when_all_wait_for_the_disk(void **state)
{
	struct rig *r = *state;
	struct slice_args s = {.trace = 5, .node = A, .length_bytes = 10};

	for (uint64_t t = 1; t <= 4; t++)
		slice(r, (struct slice_args){
				 .trace = t, .node = A, .length_bytes = 10});
	assert_int_equal(slice(r, s), HS_ASSEMBLY_BUSY);
	sync_all(r);
	assert_int_equal(slice(r, s), HS_ASSEMBLY_TAKEN);
}

#define NR_EVENTS 6

static void event(struct rig *r, int which)
{
	switch (which) {
	case 0:
		slice(r, (struct slice_args){.node = A, .length_bytes = 20});
		break;
	case 1:
		slice(r, (struct slice_args){.node = A,
					     .offset = 10,
					     .length_bytes = 20,
					     .final = 1});
		break;
	case 2:
		slice(r, (struct slice_args){
				 .node = B, .length_bytes = 5, .final = 1});
		break;
	case 3:
		manifest(r,
			 (struct manifest_args){.epoch = 1,
						.origin = A,
						.trigger_key = 1,
						.trigger = "one"},
			 ANSWERS({A, 1, HS_WIRE_STATE_OPEN, 0, 1, 20, {B}},
				 {B,
				  0,
				  HS_WIRE_STATE_UNREACHABLE,
				  0,
				  0,
				  0,
				  {0}}));
		break;
	case 4:
		manifest(r,
			 (struct manifest_args){.epoch = 2,
						.origin = B,
						.trigger_key = 1,
						.trigger = "two"},
			 ANSWERS({B, 3, HS_WIRE_STATE_CLOSED, 0, 1, 5, {A}}));
		break;
	default:
		manifest(r,
			 (struct manifest_args){
				 .epoch = 1, .version = 2, .settled = 1},
			 ANSWERS({A, 2, HS_WIRE_STATE_CLOSED, 0, 1, 30, {B}}));
		break;
	}
}

/* Heap's algorithm, one step at a time. */
static bool next_order(int *order, int *count, int *at)
{
	while (*at < NR_EVENTS) {
		if (count[*at] < *at) {
			int j = *at % 2 ? count[*at] : 0;
			int swap = order[*at];

			order[*at] = order[j];
			order[j] = swap;
			count[*at]++;
			*at = 0;
			return true;
		}
		count[(*at)++] = 0;
	}
	return false;
}

static void test_any_order_leads_to_the_same(void **state)
{
	struct rig *r = *state;
	int order[NR_EVENTS] = {0, 1, 2, 3, 4, 5};
	int count[NR_EVENTS] = {0};
	int at = 0;
	int nr = 0;

	do {
		struct hs_assembly_view v;

		forget(r);
		start(r);
		for (int i = 0; i < NR_EVENTS; i++) {
			event(r, order[i]);
			if (nr % 3 == 0)
				event(r, order[nr % (i + 1)]);
			if (nr % 2)
				sync_all(r);
			/* Only 3 says nothing that others do not say. */
			if (i < NR_EVENTS - 2 ||
			    (i == NR_EVENTS - 2 && order[i + 1] != 3))
				assert_int_not_equal(view(r, 1).mark,
						     HS_ASSEMBLY_COMPLETE);
		}
		v = view(r, 1);
		assert_int_equal(v.mark, HS_ASSEMBLY_COMPLETE);
		assert_int_equal(v.nr_bytes, 35);
		assert_int_equal(v.nr_triggers, 2);
		assert_int_equal(v.nr_nodes, 2);
		sync_all(r);
		start(r);
		assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
		assert_int_equal(view(r, 1).version, v.version);
		nr++;
	} while (next_order(order, count, &at));
	assert_int_equal(nr, 720);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_two_nodes_complete),
		T(test_every_cause_of_partial),
		T(test_open_answer_then_closed),
		T(test_slice_flags_make_partial),
		T(test_late_data_raises_version),
		T(test_duplicates_are_stored_once),
		T(test_holes_and_many_ranges),
		T(test_triggers_are_named_once),
		T(test_later_incarnation_answers),
		T(test_acks_wait_for_the_disk),
		T(test_a_failing_store_acks_nothing),
		T(test_lost_before_sync),
		T(test_refused),
		T(test_over_a_limit_is_cut),
		T(test_memory_is_a_cache),
		T(test_busy_when_all_wait_for_the_disk),
		T(test_any_order_leads_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

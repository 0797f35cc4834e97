/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: acknowledgement only after durability, a store that fails, limits,
 * malformed messages, and memory as a cache over the store.
 */
#include "tests/collector/assembly_rig.h"

#include <errno.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_acks_wait_for_the_disk),
		T(test_a_failing_store_acks_nothing),
		T(test_lost_before_sync),
		T(test_refused),
		T(test_over_a_limit_is_cut),
		T(test_memory_is_a_cache),
		T(test_busy_when_all_wait_for_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

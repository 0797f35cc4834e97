/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the store stays within its bytes and its age; a trace goes whole or
 * not at all, whatever segments it lies in and whoever makes the index again;
 * and what comes for one that is gone is never called complete.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/collector/tmpdir.h"
#include "tests/collector/wire_make.h"

#define SEGMENT_BYTES 65536u
#define RETAIN_BYTES  (6 * SEGMENT_BYTES)
#define SLICE_BYTES   7000u
#define NODES	      2u

struct rig {
	char dir[256];
	struct hs_collector *c;
	uint64_t retain_bytes, retain_ns;
	uint64_t acked, manifests, sent;
};

static struct msg m;

static int on_send(void *ctx, uint32_t peer, uint16_t type,
		   const struct iovec *iov, int nr_iov)
{
	struct rig *r = ctx;
	const struct hs_wire_slice_ack *ack = iov[0].iov_base;

	if (type == HS_WIRE_SLICE_ACK)
		r->acked += ack->refused ? 0 : ack->nr;
	else
		r->manifests++;
	return 0;
}

static void open_it(struct rig *r)
{
	const struct hs_collector_options options = {
		.store = {.dir = r->dir,
			  .segment_bytes = SEGMENT_BYTES,
			  .zstd_level = -1},
		.sync_interval_ns = 1000000,
		.retain_bytes = r->retain_bytes,
		.retain_ns = r->retain_ns,
		.send = on_send,
		.ctx = r};
	char error[256] = "";

	if (hs_collector_open(&r->c, &options, error, sizeof(error)))
		fail_msg("open: %s", error);
}

static void close_it(struct rig *r)
{
	hs_collector_close(r->c);
	r->c = NULL;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	hs_log_fd_set(open("/dev/null", O_WRONLY | O_CLOEXEC));
	tmpdir_make(r->dir);
	r->retain_bytes = RETAIN_BYTES;
	open_it(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	close_it(r);
	tmpdir_remove(r->dir);
	free(r);
	return 0;
}

static void give(struct rig *r)
{
	assert_int_equal(hs_collector_message(r->c, 1, m.type, m.data, m.bytes,
					      hs_clock_mono_ns()),
			 0);
	r->sent += m.type == HS_WIRE_SLICE;
}

static void slice(struct rig *r, uint64_t trace, uint32_t node)
{
	make_slice(&m, (struct slice_args){.trace = trace,
					   .node = NODE(node, 1),
					   .ship_key = trace * NODES + node,
					   .length_bytes = SLICE_BYTES,
					   .final = 1});
	give(r);
}

static void manifest(struct rig *r, uint64_t trace)
{
	const struct answer_args answers[] = {{.node = NODE(1, 1),
					       .rev = 1,
					       .state = HS_WIRE_STATE_CLOSED,
					       .nr_buffers = 1,
					       .nr_bytes = SLICE_BYTES,
					       .crumbs = {NODE(2, 1)}},
					      {.node = NODE(2, 1),
					       .rev = 1,
					       .state = HS_WIRE_STATE_CLOSED,
					       .nr_buffers = 1,
					       .nr_bytes = SLICE_BYTES,
					       .crumbs = {NODE(1, 1)}},
					      {0}};

	make_manifest(&m,
		      (struct manifest_args){.trace = trace,
					     .epoch = 1,
					     .settled = 1,
					     .trigger_key = trace + 1,
					     .trigger = "slow",
					     .origin = NODE(1, 1)},
		      answers);
	give(r);
}

static void step(struct rig *r)
{
	assert_int_equal(hs_collector_sync(r->c), 0);
	hs_collector_step(r->c, hs_clock_mono_ns());
}

static struct hs_collector_stats stats_of(struct rig *r)
{
	struct hs_collector_stats stats;

	hs_collector_stats(r->c, &stats);
	return stats;
}

/* As many steps as it takes until nothing more has to go. */
static void settle(struct rig *r)
{
	uint64_t expired;

	do {
		expired = stats_of(r).store.expired_segments;
		step(r);
		step(r);
	} while (stats_of(r).store.expired_segments != expired);
}

static void whole(struct rig *r, uint64_t trace)
{
	slice(r, trace, 1);
	slice(r, trace, 2);
	manifest(r, trace);
}

static int count_slice(void *ctx, const struct hs_wire_slice *s,
		       const uint8_t *bytes)
{
	for (uint32_t i = 0; i < s->length_bytes; i++)
		assert_int_equal(bytes[i], (uint8_t)(i * 7));
	(*(uint32_t *)ctx)++;
	return 0;
}

static int no_damage(void *ctx)
{
	fail_msg("a record that is indexed cannot be read");
	return 0;
}

/* Return: slices that are there; complete exactly if both are. */
static uint32_t look(struct rig *r, uint64_t trace)
{
	struct hs_wire_trace_id id = make_trace(trace);
	uint32_t nr = 0;
	const struct hs_store_reader reader = {
		.ctx = &nr, .slice = count_slice, .damaged = no_damage};
	struct hs_assembly_view view;
	int rc = hs_assembly_view(hs_collector_assembly(r->c), &id, &view);

	assert_int_equal(
		hs_store_read(hs_collector_store(r->c), &id, true, &reader), 0);
	if (rc == -ENOENT) {
		assert_int_equal(nr, 0);
		return 0;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(view.mark == HS_ASSEMBLY_COMPLETE, nr == NODES);
	return nr;
}

static void drop_index(struct rig *r)
{
	static const char *const files[] = {"index.db", "index.db-wal",
					    "index.db-shm"};
	char path[300];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", r->dir, files[i]);
		unlink(path);
	}
}

static void test_by_size(void **state)
{
	struct rig *r = *state;
	uint32_t there[200];
	uint32_t nr = 0;

	for (uint64_t t = 0; t < 200; t++) {
		whole(r, t);
		step(r);
	}
	settle(r);
	assert_int_equal(r->acked, r->sent);
	assert_true(stats_of(r).store.disk_bytes <= RETAIN_BYTES);
	assert_true(stats_of(r).store.disk_bytes >= RETAIN_BYTES / 2);
	assert_true(stats_of(r).store.expired_segments > 30);
	for (uint64_t t = 0; t < 200; t++) {
		there[t] = look(r, t);
		assert_true(there[t] == 0 || there[t] == NODES);
		nr += there[t] != 0;
	}
	/* The newest ones. */
	assert_true(nr > 5 && nr < 60);
	assert_int_equal(there[199], NODES);
	assert_int_equal(there[0], 0);
	assert_int_equal(stats_of(r).store.expired_traces, 200 - nr);
	/* Whoever makes the index again finds the same. */
	close_it(r);
	drop_index(r);
	open_it(r);
	for (uint64_t t = 0; t < 200; t++)
		assert_int_equal(look(r, t), there[t]);
}

/* Half before, half after its first half has gone. */
static void test_what_comes_late(void **state)
{
	struct rig *r = *state;

	slice(r, 1000, 1);
	for (uint64_t t = 0; t < 100; t++) {
		whole(r, t);
		step(r);
	}
	settle(r);
	assert_int_equal(look(r, 1000), 0);
	slice(r, 1000, 2);
	manifest(r, 1000);
	settle(r);
	assert_int_equal(look(r, 1000), 1);
	close_it(r);
	drop_index(r);
	open_it(r);
	assert_int_equal(look(r, 1000), 1);
}

/* One that reaches from the oldest segment into the last goes as a whole. */
static void test_one_that_reaches_far(void **state)
{
	struct rig *r = *state;

	slice(r, 1000, 1);
	for (uint64_t t = 0; t < 15; t++)
		whole(r, t);
	slice(r, 1000, 2);
	manifest(r, 1000);
	step(r);
	assert_int_equal(look(r, 1000), NODES);
	for (uint64_t t = 100; t < 116; t++) {
		whole(r, t);
		step(r);
	}
	settle(r);
	assert_int_equal(look(r, 1000), 0);
	/* What it has in segments that stay is found by nobody. */
	close_it(r);
	drop_index(r);
	open_it(r);
	assert_int_equal(look(r, 1000), 0);
}

static void test_by_age(void **state)
{
	struct rig *r = *state;

	close_it(r);
	r->retain_bytes = 0;
	r->retain_ns = 1;
	open_it(r);
	for (uint64_t t = 0; t < 40; t++) {
		whole(r, t);
		step(r);
	}
	settle(r);
	/* All but the one that is written to. */
	assert_int_equal(stats_of(r).store.nr_segments, 1);
	assert_int_equal(look(r, 0), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_by_size),
		T(test_what_comes_late),
		T(test_one_that_reaches_far),
		T(test_by_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

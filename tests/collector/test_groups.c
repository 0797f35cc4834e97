/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a collector hands to its store in one go: slices with what they
 * add up to, in batches that stay whole while the disk is behind.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/collector.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/collector/tmpdir.h"
#include "tests/collector/wire_make.h"

#define SLICE_BYTES 7000u
#define FOR_EVER_NS (3600 * HS_NS_PER_SEC)

#define PEERS	  70u /* more than acknowledgements are put together for */
#define PEER_KEYS 20u
#define PEER(n)	  (1000u + (n))

struct rig {
	char dir[256];
	struct hs_collector *c;
	uint64_t acked;
	uint32_t messages;
	uint32_t told[PEERS][PEER_KEYS]; /* of test_each_is_told_its_own() */
};

static int on_send(void *ctx, uint32_t peer, uint16_t type,
		   const struct iovec *iov, int nr_iov)
{
	struct rig *r = ctx;
	const struct hs_wire_slice_ack *ack = iov[0].iov_base;

	if (type != HS_WIRE_SLICE_ACK)
		return 0;
	r->acked += ack->refused ? 0 : ack->nr;
	r->messages++;
	assert_int_equal(nr_iov, 1);
	assert_int_equal(iov[0].iov_len,
			 sizeof(*ack) + ack->nr * sizeof(uint64_t));
	for (uint32_t i = 0; i < ack->nr && peer >= PEER(0); i++) {
		uint64_t key;

		memcpy(&key, (const uint8_t *)(ack + 1) + i * sizeof(key),
		       sizeof(key));
		assert_int_equal(key / PEER_KEYS, peer - PEER(0));
		r->told[key / PEER_KEYS][key % PEER_KEYS]++;
	}
	return 0;
}

/* By time nothing is handed over, and of memory there is as little as may be.
 */
static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct hs_collector_options options = {
		.store = {.dir = r->dir, .unsynced_bytes = 1, .zstd_level = -1},
		.sync_interval_ns = FOR_EVER_NS,
		.send = on_send,
		.ctx = r};
	char error[256] = "";

	hs_log_fd_set(open("/dev/null", O_WRONLY | O_CLOEXEC));
	tmpdir_make(r->dir);
	if (hs_collector_open(&r->c, &options, error, sizeof(error)))
		fail_msg("open: %s", error);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	hs_collector_close(r->c);
	tmpdir_remove(r->dir);
	free(r);
	return 0;
}

static void give(struct rig *r, const struct msg *m)
{
	assert_int_equal(hs_collector_message(r->c, 1, m->type, m->data,
					      m->bytes, hs_clock_mono_ns()),
			 0);
}

static void give_trace(struct rig *r, uint64_t trace)
{
	static struct msg m;
	struct answer_args answers[3] = {{0}};

	for (uint32_t n = 1; n <= 2; n++) {
		make_slice(&m, (struct slice_args){.trace = trace,
						   .node = NODE(n, 1),
						   .ship_key = trace * 2 + n,
						   .length_bytes = SLICE_BYTES,
						   .final = 1});
		give(r, &m);
		answers[n - 1] =
			(struct answer_args){.node = NODE(n, 1),
					     .rev = 1,
					     .state = HS_WIRE_STATE_CLOSED,
					     .nr_buffers = 1,
					     .nr_bytes = SLICE_BYTES,
					     .crumbs = {NODE(3 - n, 1)}};
	}
	make_manifest(&m,
		      (struct manifest_args){.trace = trace,
					     .epoch = 1,
					     .settled = 1,
					     .trigger_key = trace + 1,
					     .trigger = "slow",
					     .origin = NODE(1, 1)},
		      answers);
	give(r, &m);
}

static uint64_t rows(struct rig *r, enum hs_assembly_mark mark)
{
	struct hs_index_counts counts;

	hs_store_counts(hs_collector_store(r->c), &counts);
	return counts.nr_marks[mark];
}

/* Nobody asked, so much waited: and each row says already what it is. */
static void test_a_group_has_its_marks(void **state)
{
	struct rig *r = *state;
	uint64_t traces = 0;

	while (!rows(r, HS_ASSEMBLY_COMPLETE) && traces < 100000) {
		give_trace(r, traces++);
		/* At most one has more to come than had come by then. */
		assert_true(rows(r, HS_ASSEMBLY_OPEN) <= 1);
	}
	assert_true(rows(r, HS_ASSEMBLY_COMPLETE) > 1);
}

/* A slice of each peer, and so on: they become durable in turns. */
static void give_in_turns(struct rig *r, uint32_t nr_peers)
{
	static struct msg m;

	for (uint32_t i = 0; i < PEER_KEYS * nr_peers; i++) {
		uint32_t n = i % nr_peers, key = i / nr_peers;

		make_slice(&m,
			   (struct slice_args){.trace = 1 + key,
					       .node = NODE(1 + n, 1),
					       .ship_key = n * PEER_KEYS + key,
					       .length_bytes = 100,
					       .final = 1});
		assert_int_equal(hs_collector_message(r->c, PEER(n), m.type,
						      m.data, m.bytes,
						      hs_clock_mono_ns()),
				 0);
	}
	assert_int_equal(hs_collector_sync(r->c), 0);
	for (uint32_t n = 0; n < nr_peers; n++)
		for (uint32_t i = 0; i < PEER_KEYS; i++)
			assert_int_equal(r->told[n][i], 1);
}

static void test_each_is_told_its_own(void **state)
{
	give_in_turns(*state, PEERS);
}

static void test_a_few_are_told_in_a_message_each(void **state)
{
	struct rig *r = *state;

	give_in_turns(r, 10);
	assert_int_equal(r->messages, 10);
}

/* However far behind the disk is: all that was refused for want of room comes
 * again, and is in the end what it is without. */
static void test_a_full_memory_loses_nothing(void **state)
{
	struct rig *r = *state;
	struct hs_store_stats stats;
	uint64_t traces = 0;

	do {
		for (int i = 0; i < 1000; i++)
			give_trace(r, traces++);
		hs_store_stats(hs_collector_store(r->c), &stats);
	} while (!stats.refused && traces < 100000);
	assert_int_equal(hs_collector_sync(r->c), 0);
	assert_int_equal(r->acked, 2 * traces);
	assert_int_equal(rows(r, HS_ASSEMBLY_COMPLETE), traces);
	assert_int_equal(rows(r, HS_ASSEMBLY_OPEN), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_group_has_its_marks),
		T(test_a_full_memory_loses_nothing),
		T(test_each_is_told_its_own),
		T(test_a_few_are_told_in_a_message_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stocks of several sizes as a client sees them: buffers that grow, the next
 * size where one is out, what is asked back, what a thread takes at once, and
 * agents of version 1.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

static struct fake_agent agent;

static const struct fake_config *config(uint32_t version)
{
	static struct fake_config c;

	c = fake_config_default();
	c.version = version;
	c.nr_rings = 1;
	memcpy(c.class_bytes, (uint32_t[3]){512, 2048, 8192}, 12);
	return &c;
}

static void attach(uint32_t version)
{
	struct hs_client_options options = {.service = "svc"};

	harness_attach(&agent, config(version), &options);
}

static void write_some(struct hs_trace *t, uint32_t bytes)
{
	static const uint8_t data[1000];

	for (; bytes; bytes -= bytes < 1000 ? bytes : 1000)
		hs_tracepoint_plain(t, data, bytes < 1000 ? bytes : 1000);
}

/* The committed length of the n-th published buffer. */
static uint32_t length_of(uint32_t n)
{
	const struct hs_shm_entry *e =
		fake_agent_entry(&agent, HS_SHM_ENTRY_BUFFER, n);

	return e ? e->u.buffer.committed & 0x0fffffffu : 0;
}

static void test_buffers_grow(void **state)
{
	struct hs_trace *t;

	attach(0);
	for (uint32_t c = 0; c < 3; c++)
		fake_agent_stock(&agent, 0, c, 8);
	t = hs_trace_begin(NULL, NULL);
	write_some(t, 30000);
	hs_trace_end(t);
	fake_agent_drain(&agent);
	assert_int_equal(length_of(0), 512);
	assert_int_equal(length_of(1), 2048);
	assert_int_equal(length_of(2), 8192);
	assert_int_equal(length_of(3), 8192);
	assert_int_equal(fake_agent_nulls(&agent), 0);
	harness_detach(&agent);
}

static void test_next_size_where_one_is_out(void **state)
{
	struct hs_client_stats stats;
	struct hs_trace *t;

	attach(0);
	fake_agent_stock(&agent, 0, 1, 2);
	/* No small one: the next larger; no large one: the next smaller. */
	t = hs_trace_begin(NULL, NULL);
	write_some(t, 3000);
	hs_trace_end(t);
	fake_agent_drain(&agent);
	assert_int_equal(length_of(0), 2048);
	/* Two sizes away is too far. */
	fake_agent_stock(&agent, 0, 2, 2);
	t = hs_trace_begin(NULL, NULL);
	write_some(t, 100);
	hs_trace_end(t);
	hs_client_stats_get(&stats);
	assert_int_equal(stats.buffers_null, 1);
	assert_int_equal(fake_agent_nulls(&agent), 1);
	harness_detach(&agent);
}

static void test_what_is_asked_back(void **state)
{
	attach(0);
	fake_agent_stock(&agent, 0, 0, 40);
	fake_agent_recall(&agent, 0, 0, 36);
	assert_int_equal(hs_client_poll(), 0);
	assert_int_equal(hs_client_poll(), 0);
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_RETURN), 36);
	for (uint32_t i = 0; i < 36; i++) {
		const struct hs_shm_entry *e =
			fake_agent_entry(&agent, HS_SHM_ENTRY_RETURN, i);

		assert_int_equal(e->trace_hi | e->trace_lo, 0);
		assert_int_equal(e->u.buffer.ref, i * 2);
	}
	/* The rest serves on; what is gone is asked for in vain. */
	write_some(hs_trace_begin(NULL, NULL), 10);
	assert_int_equal(hs_client_poll(), 0);
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_RETURN), 36);
	harness_detach(&agent);
}

/* One point in a buffer of its own. Return: whether there was one. */
static bool one_trace(void)
{
	struct hs_client_stats before, after;
	struct hs_trace *t;

	hs_client_stats_get(&before);
	t = hs_trace_begin(NULL, NULL);
	write_some(t, 100);
	hs_trace_end(t);
	hs_client_stats_get(&after);
	return after.buffers_null == before.buffers_null;
}

/* All that no thread has: how many came back. */
static uint32_t ask_back(uint64_t all)
{
	fake_agent_recall(&agent, 0, 0, all);
	for (int i = 0; i < 4; i++)
		assert_int_equal(hs_client_poll(), 0);
	fake_agent_drain(&agent);
	return fake_agent_count(&agent, HS_SHM_ENTRY_RETURN);
}

/* A thread takes a few at once, in order, and leaves the most to others. */
static void test_a_thread_takes_a_row(void **state)
{
	const struct hs_shm_entry *e;

	attach(0);
	fake_agent_stock(&agent, 0, 0, 16);
	assert_true(one_trace());
	assert_int_equal(ask_back(16), 12);
	for (uint32_t i = 1; i < 4; i++)
		assert_true(one_trace());
	assert_false(one_trace());
	fake_agent_drain(&agent);
	for (uint32_t i = 0; i < 4; i++) {
		e = fake_agent_entry(&agent, HS_SHM_ENTRY_END, i);
		assert_int_equal(e->u.buffer.ref, i * 2);
	}
	harness_detach(&agent);
}

static void test_of_few_a_thread_takes_one(void **state)
{
	attach(0);
	fake_agent_stock(&agent, 0, 0, 7);
	assert_true(one_trace());
	assert_int_equal(ask_back(7), 6);
	assert_false(one_trace());
	harness_detach(&agent);
}

/* Return: as one_trace(), as a pointer. */
static void *thread_of_one_trace(void *yes)
{
	return one_trace() ? yes : NULL;
}

/* Together they are a small share of the pool: of this one, a single row. */
static void test_few_threads_have_a_row(void **state)
{
	const struct hs_client_options options = {.service = "svc"};
	struct fake_config c = *config(0);
	pthread_t thread;
	void *done;

	c.pool_bytes = 2u << 20;
	harness_attach(&agent, &c, &options);
	fake_agent_stock(&agent, 0, 0, 16);
	assert_true(one_trace());
	assert_int_equal(
		pthread_create(&thread, NULL, thread_of_one_trace, &agent), 0);
	pthread_join(thread, &done);
	assert_non_null(done);
	assert_int_equal(ask_back(16), 16 - 4 - 1);
	harness_detach(&agent);
}

/* A thread that moves to another node is served from there at once. */
static void test_no_rows_where_there_are_nodes(void **state)
{
	const struct hs_client_options options = {.service = "svc"};
	struct fake_config c = *config(0);

	c.nr_nodes = 2;
	harness_attach(&agent, &c, &options);
	fake_agent_stock(&agent, 0, 0, 16);
	assert_true(one_trace());
	assert_int_equal(ask_back(16), 15);
	harness_detach(&agent);
}

/* One ring, one size, one pool; and nothing is ever asked back. */
static void test_agent_of_version_1(void **state)
{
	struct hs_client_stats stats;
	struct hs_trace *t;

	attach(1);
	assert_int_equal(agent.hello.version_min, 1);
	assert_int_equal(agent.hello.version_max, HS_SHM_VERSION);
	assert_int_equal(fake_agent_up(&agent)->version, 1);
	fake_agent_stock(&agent, 0, 0, 20);
	fake_agent_recall(&agent, 0, 0, 1000);
	assert_int_equal(hs_client_poll(), 0);
	t = hs_trace_begin(NULL, NULL);
	write_some(t, 4000);
	hs_trace_end(t);
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_RETURN), 0);
	assert_int_equal(length_of(0), 512);
	assert_int_equal(length_of(1), 512);
	hs_client_stats_get(&stats);
	assert_int_equal(stats.buffers_null, 0);
	harness_detach(&agent);
}

/* Sizes are input: one that is 0 costs traces, and not the process. */
static void test_the_smallest_size_is_none(void **state)
{
	const struct hs_client_options options = {.service = "svc"};
	struct fake_config c = *config(1);

	c.class_bytes[0] = 0;
	harness_attach(&agent, &c, &options);
	assert_false(one_trace());
	harness_detach(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffers_grow),
		cmocka_unit_test(test_next_size_where_one_is_out),
		cmocka_unit_test(test_what_is_asked_back),
		cmocka_unit_test(test_a_thread_takes_a_row),
		cmocka_unit_test(test_of_few_a_thread_takes_one),
		cmocka_unit_test(test_few_threads_have_a_row),
		cmocka_unit_test(test_no_rows_where_there_are_nodes),
		cmocka_unit_test(test_agent_of_version_1),
		cmocka_unit_test(test_the_smallest_size_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

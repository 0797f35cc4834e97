/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real agent and a client of it on a machine with one NUMA node or more:
 * where pools lie, from which node a thread is served, also after it has
 * moved, and what happens when its node is full. With one node all of it is
 * node 0; tests/vm runs the same with two.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/handle.h"
#include "numa/numa.h"
#include "tests/agent/house.h"

#define TRIES	   3000u
#define OPEN_MAX   20000u
#define POOL_BYTES (8u << 20)

static struct house house;
static struct hs_numa *numa;
static uint32_t nr_nodes;

static int setup(void **state)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = house.socket,
		.service = "numa",
		.max_traces = OPEN_MAX,
	};

	assert_int_equal(hs_numa_open(&numa), 0);
	nr_nodes = hs_numa_nr_nodes(numa);
	if (getenv("HS_NUMA_NODES"))
		assert_int_equal(nr_nodes, atoi(getenv("HS_NUMA_NODES")));
	house_make_pool(&house, "8MiB", "limits: {slots: 20000}\n");
	house_start(&house);
	assert_int_equal(hs_client_open(&options), 0);
	for (uint32_t i = 0; i < TRIES && !hs_client_attached(); i++)
		usleep(10000);
	assert_true(hs_client_attached());
	return 0;
}

static int teardown(void **state)
{
	hs_client_close();
	house_free(&house);
	hs_numa_close(numa);
	return 0;
}

/* A core next to each node; -1: a node without cores. */
static int cpu_of(uint32_t node)
{
	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++)
		if (hs_numa_node_of_cpu(numa, (uint32_t)cpu) == node)
			return cpu;
	return -1;
}

static void move_to(uint32_t node)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu_of(node), &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* The stock of a core is filled by the agent: give it a moment. */
static struct hs_trace *trace_with_buffer(void)
{
	for (uint32_t i = 0; i < TRIES; i++) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		hs_tracepoint(t, "x", 1);
		if (HS_INLINE_HAS_WINDOW(t) && t->word)
			return t;
		hs_trace_end(t);
		usleep(1000);
	}
	return NULL;
}

static uint32_t node_of_page(const void *at)
{
	void *page = (void *)((uintptr_t)at & ~(uintptr_t)4095);
	int status = -1;

	assert_int_equal(
		syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0), 0);
	assert_true(status >= 0);
	return (uint32_t)status;
}

static void test_pools_lie_on_their_nodes(void **state)
{
	const struct hs_attachment *at = hs_client_attachment();

	assert_non_null(at);
	assert_int_equal(at->layout.nr_nodes, nr_nodes);
	assert_int_equal(at->layout.pool_bytes, POOL_BYTES / nr_nodes);
	assert_int_equal(house_number(&house, "domains.0.memory.nodes"),
			 nr_nodes);
	assert_int_equal(
		house_number(&house, "domains.0.memory.misplaced_bytes"), 0);
	for (uint32_t i = 0; i < nr_nodes; i++)
		assert_int_equal(hs_numa_bytes_on(numa, i, at->pools[i],
						  at->layout.pool_bytes),
				 at->layout.pool_bytes);
}

static void test_threads_are_served_where_they_are(void **state)
{
	/* There, and back again: it is asked anew each time. */
	for (uint32_t turn = 0; turn < 2 * nr_nodes; turn++) {
		uint32_t node = turn % nr_nodes;
		struct hs_trace *t;

		move_to(node);
		t = trace_with_buffer();
		assert_non_null(t);
		assert_int_equal(hs_shm_stock_node(t->word), node);
		assert_int_equal(node_of_page(t->w.base), node);
		hs_trace_end(t);
	}
}

/* Open traces cannot be evicted: a node fills up, and the next one helps. */
static void test_a_full_node_is_helped(void **state)
{
	static struct hs_trace *open[OPEN_MAX];
	static const uint8_t data[4096];
	uint32_t nr = 0, node = 0;
	int64_t helped = 0;

	move_to(0);
	/* First another core's stock serves it, then its own has the other
	 * node's buffers. */
	while (nr < OPEN_MAX && (node == 0 || helped == 0)) {
		open[nr] = trace_with_buffer();
		if (!open[nr])
			break;
		for (int i = 0; i < 4; i++)
			hs_tracepoint(open[nr], data, sizeof(data));
		node |= hs_shm_stock_node(open[nr++]->word);
		if (nr % 16 == 0)
			helped = house_number(&house, "stats.stock_remote");
		/* Full buffers of a trace that has ended make room. */
		if (nr_nodes == 1 && nr == 64)
			break;
	}
	assert_true(nr > 0);
	if (nr_nodes > 1) {
		assert_int_equal(node, 1);
		assert_true(helped > 0);
	} else {
		assert_int_equal(house_number(&house, "stats.stock_remote"), 0);
	}
	while (nr)
		hs_trace_end(open[--nr]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pools_lie_on_their_nodes),
		cmocka_unit_test(test_threads_are_served_where_they_are),
		cmocka_unit_test(test_a_full_node_is_helped),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

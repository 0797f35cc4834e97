/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ten thousand threads that each served one request and then wait: what they
 * hold of the pool, and what each of them takes of shared memory. The agent's
 * own figures are asked, not a model of them.
 */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "house.h"
#include "hs/hindsight.h"

#define NR_THREADS  10000u
#define NR_LANES    "10240"
#define NR_TRACES   16384u
#define STACK_BYTES (64u << 10)
#define WAIT_TRIES  3000u

static const char limits[] = "limits:\n"
			     "  lanes: " NR_LANES "\n"
			     "  lane_entries: 64\n"
			     "  slots: 16384\n";

static struct house house;
static sem_t served, go;
static pthread_t threads[NR_THREADS];

static void *one_request(void *arg)
{
	struct hs_trace_id id = {7, (uint64_t)(uintptr_t)arg + 1};
	struct hs_trace *trace = hs_trace_begin(&id, NULL);
	struct hs_span span;

	hs_span_start(trace, &span, "GET /", 5);
	hs_span_attr_i64(&span, "thread", (int64_t)id.lo);
	hs_span_end(&span);
	hs_trace_end(trace);
	sem_post(&served);
	sem_wait(&go);
	return NULL;
}

static void threads_start(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], &attr, one_request,
						(void *)(uintptr_t)i),
				 0);
	pthread_attr_destroy(&attr);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		sem_wait(&served);
}

static void client_start(void)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = house.socket,
		.service = "parked",
		.max_traces = NR_TRACES,
	};

	assert_int_equal(hs_client_open(&options), 0);
	for (uint32_t i = 0; i < WAIT_TRIES && !hs_client_attached(); i++)
		usleep(10000);
	assert_true(hs_client_attached());
}

/* Neither free nor a trace's: what the process keeps without using it. */
static int64_t stranded(void)
{
	return house_number(&house, "domains.0.buffers.stocked");
}

static void test_parked_threads_strand_little(void **state)
{
	struct hs_client_stats stats;
	int64_t total, now = 0;

	house_make_pool(&house, "64MiB", limits);
	house_start(&house);
	client_start();
	sem_init(&served, 0, 0);
	sem_init(&go, 0, 0);
	threads_start();
	hs_client_stats_get(&stats);
	assert_int_equal(stats.handles_lost, 0);
	assert_int_equal(stats.entries_lost, 0);
	total = house_number(&house, "domains.0.buffers.total");
	/* The stock that served them goes back, as its levels fall. */
	for (uint32_t i = 0; i < WAIT_TRIES; i++) {
		now = stranded();
		if (now * 100 <= total)
			break;
		usleep(10000);
	}
	assert_true(total > 0 && now * 100 <= total);
	/* All of them, without a thread of theirs doing anything more. */
	house_await(&house, "domains.0.traces", NR_THREADS);
	assert_int_equal(house_number(&house, "domains.0.traces"), NR_THREADS);
	assert_true(house_number(&house, "stats.stock_returned") > 0);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		sem_post(&go);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	hs_client_close();
	house_free(&house);
}

/* What the memories grow by, for each thread that may have a lane. */
static void test_shared_memory_of_a_thread(void **state)
{
	struct hs_shm_down d;
	struct guest g;

	house_make(&house, limits);
	house_start(&house);
	guest_attach(&g, house.socket);
	d = g.layout;
	assert_true(d.nr_lanes >= NR_THREADS && d.nr_slots >= NR_THREADS);
	assert_true(d.lane_stride + sizeof(struct hs_shm_lane_tail) +
			    sizeof(struct hs_shm_slot) * d.nr_slots /
				    d.nr_lanes <=
		    4096);
	/* All of it, with what a process has once. */
	assert_true((d.up_bytes + d.down_bytes) / NR_THREADS <= 4096);
	guest_free(&g);
	house_free(&house);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parked_threads_strand_little),
		cmocka_unit_test(test_shared_memory_of_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

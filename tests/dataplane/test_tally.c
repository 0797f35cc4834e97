/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans counted by operation when they end: each once, whatever way it ends,
 * whether or not it is kept, and where there is no room for a name of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>

#include "dataplane/client.h"
#include "dataplane/rules_shared.h"
#include "harness.h"

#define MS 1000000ull

static struct fake_agent agent;

static int attach(void **state)
{
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 1, 64);
	return 0;
}

static int detach(void **state)
{
	harness_detach(&agent);
	return 0;
}

/* A span that lasted so long, in a trace of its own. */
static void ended(const char *name, uint64_t ms, enum hs_span_status status)
{
	struct hs_trace *t = hs_trace_begin(NULL, NULL);
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = name,
		.has_start = true,
		.start_ns = 1000 * MS,
	};
	struct hs_span s;

	hs_span_start_args(t, &s, &args);
	if (status)
		hs_span_status(&s, status, NULL);
	hs_span_end_at(&s, 1000 * MS + ms * MS);
	hs_trace_end(t);
	fake_agent_drain(&agent);
}

static void test_counts(void **state)
{
	const struct hs_shm_operation *first, *o;
	struct hs_shm_tally tally;
	struct hs_resource *other = hs_resource_create("db", NULL, 0);
	struct hs_trace *t;
	struct hs_span_args args = {.size_bytes = sizeof(args),
				    .name = "count me",
				    .has_start = true,
				    .start_ns = 5};
	struct hs_span s;

	for (uint64_t i = 0; i < 10; i++)
		ended("count me", i, i == 3 ? HS_SPAN_STATUS_ERROR : 0);
	t = hs_trace_begin(NULL, NULL);
	args.resource = other;
	hs_span_start_args(t, &s, &args);
	hs_span_end_at(&s, 1);
	hs_trace_end(t);
	hs_client_poll();
	first = (const void *)(fake_agent_watch(&agent) + 1);
	o = fake_agent_operation(&agent, "svc", "count me");
	assert_non_null(o);
	assert_int_equal(
		fake_agent_tally(&agent, (uint32_t)(o - first), &tally), 10);
	assert_int_equal(tally.errors, 1);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(tally.buckets[hs_shm_tally_bucket(i * MS)], 1);
	/* Of another service; what ended before it began lasted 0. */
	o = fake_agent_operation(&agent, "db", "count me");
	assert_non_null(o);
	assert_int_equal(
		fake_agent_tally(&agent, (uint32_t)(o - first), &tally), 1);
	assert_int_equal(tally.buckets[0], 1);
	hs_resource_destroy(other);
}

/* Ended twice it is counted once, whatever was said of it; and what ended
 * before it began lasted 0, in ticks, too. */
static void test_counts_shortest(void **state)
{
	const struct hs_shm_operation *first, *o;
	struct hs_shm_tally tally;
	static const struct hs_shm_rules rules = {
		.version = HS_SHM_RULES_VERSION,
		.nr_rules = 1,
		.rules = {{.trigger = "slow",
			   .statuses = HS_SHM_STATUSES_ALL,
			   .min_ns = 250 * MS}},
	};
	struct hs_trace *t;
	struct hs_span s;

	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_rules_shared_write(fake_agent_rules(&agent), &rules, 2);
	hs_client_poll();
	t = hs_trace_begin(NULL, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		hs_span_start(t, &s, "shortest", 0);
		s.start += 1ull << 40;
		if (i == 3)
			hs_span_status(&s, HS_SPAN_STATUS_OK, NULL);
		hs_span_end(&s);
		hs_span_end(&s);
	}
	hs_trace_end(t);
	hs_client_poll();
	first = (const void *)(fake_agent_watch(&agent) + 1);
	o = fake_agent_operation(&agent, "svc", "shortest");
	assert_non_null(o);
	assert_int_equal(
		fake_agent_tally(&agent, (uint32_t)(o - first), &tally), 4);
	assert_int_equal(tally.buckets[0], 4);
	assert_int_equal(fake_agent_watch(&agent)->fired[0], 0);
}

/* The first lanes have a stripe of their own, as the format says; and an agent
 * need not count. */
static void test_stripes(void **state)
{
	struct fake_config config = fake_config_default();
	const struct hs_attachment *at;
	struct hs_trace *t;
	struct hs_span s;

	config.nr_lanes = 12;
	for (config.nr_stripes = 1; config.nr_stripes < 13;
	     config.nr_stripes++) {
		harness_attach(&agent, &config, NULL);
		at = hs_client_attachment();
		for (uint32_t i = 0; i < config.nr_lanes; i++)
			assert_int_equal(
				at->lanes[i].tallies != NULL,
				i < hs_shm_stripes_own(config.nr_stripes));
		assert_int_equal(fake_agent_watch(&agent)->stripes,
				 1ull << (config.nr_stripes - 1));
		harness_detach(&agent);
	}
	config.nr_operations = config.nr_stripes = 0;
	harness_attach(&agent, &config, NULL);
	fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	fake_agent_stock_all(&agent, 1, 4);
	t = hs_trace_begin(NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		hs_span_start(t, &s, "op", 0);
		hs_span_end(&s);
	}
	hs_trace_end(t);
	harness_detach(&agent);
}

/* One of many at once: counts a span, and keeps its lane until all have. */
static void *counts(void *arg)
{
	pthread_barrier_t *all = arg;
	struct hs_trace *t = hs_trace_begin(NULL, NULL);
	struct hs_span s;

	hs_span_start(t, &s, "at once", 0);
	hs_span_end(&s);
	hs_trace_end(t);
	pthread_barrier_wait(all);
	return NULL;
}

/* More threads than lanes with a stripe of their own, and some without a lane:
 * those who share are spread, nothing is lost, and what is in use is said. */
static void test_stripes_shared(void **state)
{
	enum { STRIPES = 8, OWN = 6, LANES = 11, THREADS = 14 };
	struct fake_config config = fake_config_default();
	const struct hs_shm_tally *tallies;
	const struct hs_shm_operation *first, *o;
	uint64_t of_stripe[STRIPES] = {0}, sum = 0;
	pthread_t threads[THREADS];
	struct hs_shm_tally tally;
	pthread_barrier_t all;

	config.nr_stripes = STRIPES;
	config.nr_lanes = LANES;
	harness_attach(&agent, &config, NULL);
	fake_agent_calibrate(&agent, 1, 0, 0);
	fake_agent_stock_all(&agent, 1, 64);
	hs_client_poll();
	pthread_barrier_init(&all, NULL, THREADS);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, counts, &all), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&all);
	hs_client_poll();
	first = (const void *)(fake_agent_watch(&agent) + 1);
	tallies = (const void *)(first + agent.layout.nr_operations);
	o = fake_agent_operation(&agent, "svc", "at once");
	assert_non_null(o);
	assert_int_equal(
		fake_agent_tally(&agent, (uint32_t)(o - first), &tally),
		THREADS);
	for (uint32_t s = 0; s < STRIPES; s++)
		for (uint32_t i = 0; i < HS_SHM_TALLY_BUCKETS; i++)
			of_stripe[s] += tallies[s * agent.layout.nr_operations +
						(uint32_t)(o - first)]
						.buckets[i];
	for (uint32_t s = 0; s < STRIPES; s++)
		sum += of_stripe[s];
	assert_int_equal(sum, THREADS);
	/* Ten lanes to hold: six with a stripe, two for each of the others,
	 * of which the last has the threads without a lane, too. */
	for (uint32_t s = 0; s < OWN; s++)
		assert_int_equal(of_stripe[s], 1);
	assert_int_equal(of_stripe[6], 2);
	assert_int_equal(of_stripe[7], 6);
	assert_int_equal(fake_agent_watch(&agent)->stripes, 0xff);
	harness_detach(&agent);
}

/* More names than there is room for, and no buffer to be had. */
static void test_counts_other(void **state)
{
	struct hs_shm_tally tally;
	char name[32];
	uint64_t nr = 0;

	for (uint32_t i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		ended(name, 1, 0);
	}
	for (uint32_t i = 0; i < agent.layout.nr_operations; i++)
		nr += fake_agent_tally(&agent, i, &tally);
	assert_int_equal(nr, 40);
	assert_true(fake_agent_tally(&agent, 0, &tally) >= 40 - 15);
	assert_int_equal(fake_agent_watch(&agent)->spans_other,
			 fake_agent_tally(&agent, 0, &tally));
}

static void test_counts_without_buffers(void **state)
{
	struct hs_client_stats stats;
	struct hs_shm_tally tally;
	uint64_t nr = 0;

	while (hs_client_stats_get(&stats), !stats.buffers_null)
		ended("starved", 1, 0), nr++;
	for (uint32_t i = 0; i < agent.layout.nr_operations; i++)
		nr -= fake_agent_tally(&agent, i, &tally);
	assert_int_equal(nr, 0);
}

static void test_buckets(void **state)
{
	for (uint32_t i = 0; i + 1 < HS_SHM_TALLY_BUCKETS; i++) {
		uint64_t low = hs_shm_tally_low_ns(i);

		assert_int_equal(hs_shm_tally_bucket(low), i);
		assert_int_equal(
			hs_shm_tally_bucket(hs_shm_tally_low_ns(i + 1) - 1), i);
	}
	assert_int_equal(hs_shm_tally_bucket(UINT64_MAX),
			 HS_SHM_TALLY_BUCKETS - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, attach, detach)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counts),
		TEST(test_counts_shortest),
		cmocka_unit_test(test_stripes),
		cmocka_unit_test(test_stripes_shared),
		TEST(test_counts_other),
		TEST(test_counts_without_buffers),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

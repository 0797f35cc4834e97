/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ending.c - a full lane delays the end of a trace, and loses nothing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "dataplane/peer.h"
#include "harness.h"

#define LANE_ENTRIES 64u
#define NR_TRACES    200u

static struct fake_agent agent;

static void attach(void)
{
	struct fake_config config = fake_config_default();
	struct hs_client_options options = {.size_bytes = sizeof(options),
					    .no_thread = true,
					    .max_traces = 1024};

	config.lane_entries = LANE_ENTRIES;
	config.nr_slots = 1024;
	harness_attach(&agent, &config, &options);
	fake_agent_stock_all(&agent, 0, NR_TRACES + 10);
}

static void write_traces(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct hs_trace_id id = {7, i + 1};
		struct hs_trace *t = hs_trace_begin(&id, NULL);

		hs_tracepoint(t, &i, sizeof(i));
		hs_trace_end(t);
	}
}

static uint32_t live_slots(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < agent.layout.nr_slots; i++)
		n += fake_agent_slot(&agent, i)->use & 1;
	return n;
}

static void full_lane_keeps_the_rest(void **state)
{
	(void)state;
	attach();
	write_traces(NR_TRACES);
	/* What is not in the lane is still in its slot: open, not lost. */
	assert_int_equal(live_slots(), NR_TRACES - LANE_ENTRIES);
	assert_int_equal(fake_agent_lane(&agent, 0)->lost, 0);
	for (int i = 0; i < 5; i++) {
		struct hs_trace *t;

		fake_agent_drain(&agent);
		t = hs_trace_begin(NULL, NULL);
		hs_trace_end(t);
	}
	fake_agent_drain(&agent);
	assert_int_equal(live_slots(), 0);
	for (uint32_t i = 0; i < NR_TRACES; i++) {
		struct hs_record_buffer out[4];
		struct hs_trace_id id = {7, i + 1};

		assert_int_equal(fake_agent_buffers(&agent, id, 0, out, 4), 1);
	}
	harness_detach(&agent);
}

static void *thread(void *unused)
{
	(void)unused;
	write_traces(NR_TRACES);
	return NULL;
}

/* A lane's worth was pushed; the helper's turns bring the rest. */
static void finish_by_the_helper(void)
{
	assert_int_equal(live_slots(), NR_TRACES - LANE_ENTRIES);
	for (int i = 0; i < 5; i++) {
		fake_agent_drain(&agent);
		hs_client_poll();
	}
	fake_agent_drain(&agent);
	assert_int_equal(live_slots(), 0);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END), NR_TRACES);
}

static void a_gone_thread_is_finished_by_the_helper(void **state)
{
	pthread_t t;

	(void)state;
	attach();
	assert_int_equal(pthread_create(&t, NULL, thread, NULL), 0);
	pthread_join(t, NULL);
	finish_by_the_helper();
	harness_detach(&agent);
}

static pthread_barrier_t barrier;

static void *thread_that_parks(void *unused)
{
	(void)unused;
	write_traces(NR_TRACES);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* It holds its lane, and pushes nothing in it any more. */
static void a_parked_thread_is_finished_by_the_helper(void **state)
{
	pthread_t t;

	(void)state;
	attach();
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&t, NULL, thread_that_parks, NULL), 0);
	pthread_barrier_wait(&barrier);
	finish_by_the_helper();
	for (uint32_t i = 0; i < NR_TRACES; i++) {
		struct hs_record_buffer out[4];
		struct hs_trace_id id = {7, i + 1};

		assert_int_equal(fake_agent_buffers(&agent, id, 0, out, 4), 1);
	}
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	pthread_barrier_destroy(&barrier);
	harness_detach(&agent);
}

static _Atomic bool over;

static void *busy_thread(void *unused)
{
	(void)unused;
	write_traces(NR_TRACES);
	over = true;
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* Thread and helper take what waits from each other: each END is there once. */
static void a_busy_thread_and_the_helper(void **state)
{
	(void)state;
	attach();
	for (int round = 0; round < 50; round++) {
		uint32_t before = fake_agent_count(&agent, HS_SHM_ENTRY_END);
		pthread_t t;

		over = false;
		pthread_barrier_init(&barrier, NULL, 2);
		assert_int_equal(pthread_create(&t, NULL, busy_thread, NULL),
				 0);
		while (!over) {
			hs_client_poll();
			fake_agent_drain(&agent);
		}
		for (int i = 0; i < 5; i++) {
			fake_agent_drain(&agent);
			hs_client_poll();
		}
		fake_agent_drain(&agent);
		assert_int_equal(live_slots(), 0);
		assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END),
				 before + NR_TRACES);
		pthread_barrier_wait(&barrier);
		pthread_join(t, NULL);
		pthread_barrier_destroy(&barrier);
	}
	harness_detach(&agent);
}

/* What goes back to the agent does not fill the lane that a thread is given. */
static void a_new_thread_finds_room(void **state)
{
	struct hs_client_stats stats;

	(void)state;
	attach();
	for (uint32_t i = 0; i < agent.layout.nr_rings; i++)
		fake_agent_recall(&agent, i, 0, NR_TRACES);
	for (int i = 0; i < 5; i++)
		hs_client_poll();
	write_traces(3);
	hs_client_stats_get(&stats);
	assert_int_equal(stats.entries_lost, 0);
	assert_int_equal(live_slots(), 0);
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END), 3);
	/* And leaves a part of its own to those who borrow it. */
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_RETURN),
			 LANE_ENTRIES - LANE_ENTRIES / 4);
	harness_detach(&agent);
}

static void handles_are_the_limit(void **state)
{
	struct hs_client_stats stats;

	(void)state;
	attach();
	write_traces(1024 + LANE_ENTRIES + 5);
	hs_client_stats_get(&stats);
	assert_int_equal(stats.handles_lost, 5);
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END),
			 LANE_ENTRIES);
	harness_detach(&agent);
}

/* What is live lies among the slots that are said to be used, which are as few
 * as were used at once. */
static void slots_are_said_before_they_are_used(void **state)
{
	const struct hs_shm_up *up;
	uint32_t used;

	(void)state;
	attach();
	up = fake_agent_up(&agent);
	assert_int_equal(up->slots_used, 32);
	fake_agent_drain(&agent);
	write_traces(LANE_ENTRIES / 2);
	fake_agent_drain(&agent);
	assert_int_equal(up->slots_used, 32);
	write_traces(NR_TRACES);
	used = hs_peer_slots_used(up, agent.layout.nr_slots);
	assert_in_range(used, NR_TRACES - LANE_ENTRIES, NR_TRACES);
	for (uint32_t i = used; i < agent.layout.nr_slots; i++)
		assert_int_equal(fake_agent_slot(&agent, i)->use & 1, 0);
	while (live_slots()) {
		fake_agent_drain(&agent);
		hs_client_poll();
	}
	assert_int_equal(up->slots_used, used);
	/* Who does not say may have used any; more than there are there are
	 * not. */
	assert_int_equal(hs_peer_slots_used(up, used - 1), used - 1);
	assert_int_equal(
		hs_peer_slots_used(&(struct hs_shm_up){.slots_used = 0}, 7), 7);
	harness_detach(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_lane_keeps_the_rest),
		cmocka_unit_test(slots_are_said_before_they_are_used),
		cmocka_unit_test(a_gone_thread_is_finished_by_the_helper),
		cmocka_unit_test(a_parked_thread_is_finished_by_the_helper),
		cmocka_unit_test(a_busy_thread_and_the_helper),
		cmocka_unit_test(a_new_thread_finds_room),
		cmocka_unit_test(handles_are_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

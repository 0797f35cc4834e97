/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes, slots and threads: who publishes what, in which order, and losses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <signal.h>

#include <cmocka.h>

#include "dataplane/client.h"
#include "dataplane/ending.h"
#include "dataplane/peer.h"
#include "harness.h"

static const struct hs_trace_id ID = {0x11, 0x22};
static const struct hs_trace_id OTHER = {0x33, 0x44};
static struct fake_agent agent;

static int setup(void **state)
{
	struct fake_config config = fake_config_default();

	config.lane_entries = 64;
	harness_attach(&agent, &config, NULL);
	fake_agent_stock_all(&agent, 0, 100);
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

static void test_slot(void **state)
{
	struct hs_shm_slot live = {0};
	const struct hs_shm_slot *slot = fake_agent_slot(&agent, 0);
	struct hs_trace *t;

	assert_false(hs_peer_slot_read(slot, &live));
	t = hs_trace_begin(&ID, NULL);
	assert_true(hs_peer_slot_read(slot, &live));
	assert_int_equal(live.trace_hi, ID.hi);
	assert_int_equal(live.trace_lo, ID.lo);
	assert_int_equal(live.buffer, 0);
	assert_int_equal(live.begin_ns, 0);
	hs_tracepoint_at(t, 1, "x", 1);
	assert_true(hs_peer_slot_read(slot, &live));
	assert_int_equal(live.begin_ns, 1);
	assert_int_not_equal(hs_shm_stock_generation(live.buffer), 0);
	assert_int_equal(
		hs_peer_buffer_committed(
			(const void *)(agent.pool +
				       (uint64_t)hs_shm_stock_ref(live.buffer) *
					       HS_SHM_REF_UNIT_BYTES)),
		64 + 2 + 1 + 1);
	/* Nothing is published before the buffer is full or the trace ends. */
	assert_int_equal(hs_peer_lane_head(fake_agent_lane(&agent, 0)), 0);
	hs_trace_end(t);
	assert_false(hs_peer_slot_read(slot, &live));
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 1);
	assert_int_equal(agent.entries[0].type, HS_SHM_ENTRY_END);
	assert_int_equal(agent.entries[0].u.buffer.committed, 68);
	assert_int_equal(agent.entries[0].aux, 0);
}

static void test_end_without_data(void **state)
{
	hs_trace_end(hs_trace_begin(&ID, NULL));
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 1);
	assert_int_equal(agent.entries[0].u.buffer.ref, HS_SHM_NO_BUFFER);
}

static void test_two_handles_interleaved(void **state)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);
	struct hs_trace *u = hs_trace_begin(&OTHER, NULL);
	struct hs_trace *v = hs_trace_begin(&ID, NULL);

	for (int i = 0; i < 3; i++) {
		hs_tracepoint_at(t, 1, "t", 1);
		hs_tracepoint_at(u, 2, "u", 1);
		hs_tracepoint_at(v, 3, "v", 1);
	}
	hs_trace_end(u);
	hs_trace_end(t);
	hs_trace_end(v);
	assert_string_equal(harness_text(&agent, OTHER, 0, NULL),
			    "point t=2 u\npoint t=2 u\npoint t=2 u\n");
	assert_int_equal(agent.nr_entries, 3);
	assert_int_not_equal(agent.entries[1].handle, agent.entries[2].handle);
	assert_string_equal(
		harness_text(&agent, ID, agent.entries[1].handle, NULL),
		"point t=1 t\npoint t=1 t\npoint t=1 t\n");
	assert_string_equal(
		harness_text(&agent, ID, agent.entries[2].handle, NULL),
		"point t=3 v\npoint t=3 v\npoint t=3 v\n");
}

/* Triggers are what a full lane loses; ends wait, see test_ending.c. */
static void test_lane_full(void **state)
{
	const struct hs_shm_lane *lane = fake_agent_lane(&agent, 0);
	struct hs_trigger *trigger = hs_trigger_define("full");
	struct hs_client_stats counts;
	struct hs_peer_loss loss;

	for (int i = 0; i < 70; i++)
		assert_int_equal(hs_trigger_fire(trigger, &ID, NULL, 0),
				 i < 64);
	loss = hs_peer_lane_loss(lane);
	assert_int_equal(loss.lost, 6);
	assert_true(loss.first_ns && loss.first_ns <= loss.last_ns);
	hs_client_stats_get(&counts);
	assert_int_equal(counts.entries_lost, 6);
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 64);
	assert_true(hs_trigger_fire(trigger, &ID, NULL, 0));
	assert_int_equal(hs_peer_lane_loss(lane).lost, 6);
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 65);
}

/* A group that does not fit whole does not appear at all. */
static void test_group_is_whole(void **state)
{
	struct hs_trigger *trigger = hs_trigger_define("group");
	struct hs_trace_id lateral[HS_LATERAL_MAX] = {{0, 0}};

	for (int i = 0; i < 40; i++)
		assert_true(hs_trigger_fire(trigger, &ID, NULL, 0));
	assert_false(hs_trigger_fire(trigger, &ID, lateral, HS_LATERAL_MAX));
	assert_true(hs_trigger_fire(trigger, &ID, lateral, 23));
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 64);
	assert_int_equal(agent.entries[40].aux, 23);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_LATERAL), 23);
}

/* A buffer that finds the lane full is kept: only the record is lost. */
static void test_lane_full_keeps_buffer(void **state)
{
	static char data[900];
	struct hs_record_stats stats;
	struct hs_trace *t;

	for (int i = 0; i < 64; i++)
		hs_trace_end(hs_trace_begin(&OTHER, NULL));
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, data, sizeof(data));
	hs_tracepoint_at(t, 2, data, sizeof(data));
	assert_int_equal(fake_agent_slot(&agent, 0)->lost, 1);
	fake_agent_drain(&agent);
	hs_tracepoint_at(t, 3, "now", 3);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, &stats),
			    "point t=1 <900>\npoint t=3 now\n");
	assert_int_equal(stats.cut, 1);
	assert_int_equal(stats.gaps, 0);
	assert_int_equal(agent.entries[agent.nr_entries - 1].aux, 1);
}

static void test_bad_tail_reads_as_full(void **state)
{
	struct hs_shm_lane_tail *tail =
		(void *)(agent.down + agent.layout.down_tails);

	for (int i = 0; i < 60; i++)
		hs_trace_end(hs_trace_begin(&ID, NULL));
	tail->tail = 1ull << 40;
	for (int i = 0; i < 10; i++)
		hs_trace_end(hs_trace_begin(&ID, NULL));
	assert_int_equal(hs_peer_lane_head(fake_agent_lane(&agent, 0)), 64);
	tail->tail = 0;
}

static void test_bad_stock_word(void **state)
{
	static const uint32_t refs[] = {0xffffffffu, (4u << 20) / 256};
	struct hs_trace *t;

	/* All good ones away first. */
	t = hs_trace_begin(&OTHER, NULL);
	for (int i = 0; i < 200; i++) {
		static char data[1000];

		hs_tracepoint_at(t, 1, data, sizeof(data));
		fake_agent_drain(&agent);
	}
	hs_trace_end(t);
	fake_agent_drain(&agent);
	agent.nr_entries = 0;
	for (uint32_t ring = 0; ring < 2; ring++)
		fake_agent_stock_word(&agent, ring,
				      hs_shm_stock_word(refs[ring], 0, 0, 1));
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, "x", 1);
	hs_trace_end(t);
	/* Switched off: not even good words are used any more. */
	fake_agent_stock_all(&agent, 0, 1);
	t = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(t, 1, "x", 1);
	hs_trace_end(t);
	assert_string_equal(harness_text(&agent, ID, 0, NULL), "");
}

/* ---- threads ------------------------------------------------------------- */

static struct hs_trace *moving;

static void *thread_moved_to(void *unused)
{
	static char data[900];

	hs_trace_attach(moving);
	hs_tracepoint_at(moving, 2, data, sizeof(data));
	hs_tracepoint_at(NULL, 3, "mine", 4);
	hs_trace_end(moving);
	return NULL;
}

static void run_thread(void *(*fn)(void *))
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, NULL), 0);
	pthread_join(thread, NULL);
}

static void test_detach_attach(void **state)
{
	static char data[900];

	hs_thread_begin(&ID, NULL);
	moving = hs_thread_trace();
	hs_tracepoint_at(NULL, 1, data, sizeof(data));
	hs_trace_detach(NULL);
	hs_tracepoint_at(NULL, 1, "nobody's", 8);
	run_thread(thread_moved_to);
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=1 <900>\npoint t=2 <900>\n"
			    "point t=3 mine\n");
	assert_int_equal(agent.nr_entries, 2);
}

static void *thread_short(void *unused)
{
	hs_trace_end(hs_trace_begin(&ID, NULL));
	return NULL;
}

static void test_lanes_come_back(void **state)
{
	/* Four lanes serve any number of threads one after the other. */
	for (int i = 0; i < 20; i++)
		run_thread(thread_short);
	fake_agent_drain(&agent);
	assert_int_equal(agent.nr_entries, 20);
	assert_int_equal(fake_agent_up(&agent)->lost_unpinned, 0);
}

static pthread_barrier_t barrier;

/* What the agent has by now, the helper having done its part. */
static uint64_t ends_and_lost(void)
{
	fake_agent_drain(&agent);
	hs_client_poll();
	fake_agent_drain(&agent);
	return fake_agent_count(&agent, HS_SHM_ENTRY_END) +
	       hs_peer_unpinned_loss(fake_agent_up(&agent)).lost;
}

static void *thread_together(void *unused)
{
	struct hs_trace *t = hs_trace_begin(&ID, NULL);

	pthread_barrier_wait(&barrier);
	hs_tracepoint_at(t, 1, "x", 1);
	hs_trace_end(t);
	return NULL;
}

static void test_more_threads_than_lanes(void **state)
{
	pthread_t threads[6];
	struct hs_record_stats stats;
	uint64_t lost;

	pthread_barrier_init(&barrier, NULL, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						thread_together, NULL),
				 0);
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	/* Those that found the lane that is borrowed taken are the helper's, or
	 * could not begin. */
	lost = ends_and_lost() - fake_agent_count(&agent, HS_SHM_ENTRY_END);
	assert_int_equal(ends_and_lost(), 6);
	assert_true(lost <= 3);
	harness_text(&agent, ID, 0, &stats);
	pthread_barrier_destroy(&barrier);
}

static struct hs_trace *homeless;

static void *thread_without_lane(void *unused)
{
	pthread_barrier_wait(&barrier);
	hs_trace_attach(homeless);
	hs_trace_end(homeless);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void *thread_with_lane(void *unused)
{
	hs_trace_end(hs_trace_begin(&OTHER, NULL));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* Three threads hold or want all lanes while a fourth ends a trace. */
static void end_where_no_lane_is(void)
{
	pthread_t threads[4];

	pthread_barrier_init(&barrier, NULL, 4);
	homeless = hs_trace_begin(&ID, NULL);
	hs_tracepoint_at(homeless, 1, "x", 1);
	hs_trace_detach(homeless);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i ? thread_with_lane
						  : thread_without_lane,
						NULL),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

/* Its END goes by the lane that is borrowed, and its buffer with it. */
static void test_end_without_lane(void **state)
{
	end_where_no_lane_is();
	assert_int_equal(ends_and_lost(), 4);
	assert_int_equal(hs_peer_unpinned_loss(fake_agent_up(&agent)).lost, 0);
	assert_string_equal(harness_text(&agent, ID, 0, NULL), "point t=1 x\n");
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(fake_agent_slot(&agent, i)->use & 1, 0);
}

/* Nobody borrows it either: said where such losses are said, and the helper
 * publishes the END as soon as it can. */
static void test_end_left_to_the_helper(void **state)
{
	struct hs_attachment *at = hs_client_attachment();
	struct hs_lane *last = hs_attachment_lane_borrow(at);

	assert_non_null(last);
	assert_null(hs_attachment_lane_borrow(at));
	end_where_no_lane_is();
	fake_agent_drain(&agent);
	/* Of three one could not begin. */
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END), 2);
	assert_int_equal(hs_peer_unpinned_loss(fake_agent_up(&agent)).lost, 1);
	assert_true(hs_peer_unpinned_loss(fake_agent_up(&agent)).first_ns > 0);
	hs_ending_return(at, last);
	assert_int_equal(ends_and_lost(), 3 + 1);
	assert_string_equal(harness_text(&agent, ID, 0, NULL), "point t=1 x\n");
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(fake_agent_slot(&agent, i)->use & 1, 0);
}

static int nr_done;

static void *thread_of_many(void *unused)
{
	for (int i = 0; i < 500; i++) {
		struct hs_trace *t = hs_trace_begin(&ID, NULL);

		hs_tracepoint_at(t, 1, "x", 1);
		hs_trace_end(t);
	}
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Whatever they meet in that lane, each handle has its END or is counted. */
static void test_many_threads_borrow(void **state)
{
	pthread_t threads[12];

	for (int i = 0; i < 12; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, thread_of_many, NULL),
			0);
	/* Lanes are read as they fill, and what waits goes behind. */
	while (__atomic_load_n(&nr_done, __ATOMIC_ACQUIRE) < 12)
		ends_and_lost();
	for (int i = 0; i < 12; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 100; i++)
		ends_and_lost();
	assert_int_equal(ends_and_lost(), 6000);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(fake_agent_slot(&agent, i)->use & 1, 0);
}

static void on_signal(int sig)
{
	/* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): its promise */
	hs_tracepoint_at(NULL, 9, "nested", 6);
}

static void test_nested_call_is_dropped(void **state)
{
	struct hs_client_stats counts;
	struct hs_tls *tls;

	signal(SIGUSR1, on_signal);
	hs_thread_begin(&ID, NULL);
	hs_tracepoint_at(NULL, 1, "a", 1);
	/* Inside a call, as the handler sees it. */
	tls = hs_client_enter();
	assert_non_null(tls);
	raise(SIGUSR1);
	hs_client_leave(tls);
	/* Outside of one a handler may trace. */
	raise(SIGUSR1);
	hs_thread_end();
	assert_string_equal(harness_text(&agent, ID, 0, NULL),
			    "point t=1 a\npoint t=9 nested\n");
	hs_client_stats_get(&counts);
	assert_int_equal(counts.calls_nested, 1);
	signal(SIGUSR1, SIG_DFL);
}

static void test_more_traces_than_slots(void **state)
{
	struct hs_trace *t[70];
	struct hs_client_stats counts;

	for (int i = 0; i < 70; i++)
		t[i] = hs_trace_begin(&ID, NULL);
	/* They still serve contexts. */
	assert_int_equal(hs_trace_id_get(t[69]).lo, ID.lo);
	fake_agent_drain(&agent);
	for (int i = 0; i < 70; i++)
		hs_trace_end(t[i]);
	hs_client_stats_get(&counts);
	assert_int_equal(counts.handles_lost, 6);
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_END), 70);
	/* The six without a slot come first: what they lost has a name. */
	for (uint32_t i = 0; i < 6; i++) {
		const struct hs_shm_entry *e =
			fake_agent_entry(&agent, HS_SHM_ENTRY_END, i);

		assert_int_equal(e->trace_lo, ID.lo);
		assert_int_equal(e->aux, 1);
		assert_int_equal(e->u.buffer.ref, HS_SHM_NO_BUFFER);
	}
	assert_int_equal(fake_agent_up(&agent)->lost_unpinned, 0);
}

#define BURST 60u
static void begin_some(struct hs_trace **t)
{
	for (uint32_t i = 0; i < BURST; i++)
		t[i] = hs_trace_begin(&ID, NULL);
}

static void end_some(struct hs_trace **t)
{
	for (uint32_t i = 0; i < BURST; i++) {
		hs_trace_end(t[i]);
		fake_agent_drain(&agent);
	}
}

static void *end_of_another(void *t)
{
	uint32_t *room = malloc(sizeof(*room));
	struct hs_lane *lane;

	end_some(t);
	lane = hs_client_lane_held(&hs_tls);
	*room = lane ? lane->free_room : 0;
	return room;
}

/* As many as it begins at once; and few where it ends what others began. */
static void test_a_lane_keeps_what_its_thread_begins_with(void **state)
{
	struct hs_trace *t[BURST];
	struct hs_lane *lane;
	pthread_t thread;
	void *room;

	for (int i = 0; i < 4; i++) {
		begin_some(t);
		end_some(t);
	}
	lane = hs_client_lane_held(&hs_tls);
	assert_non_null(lane);
	assert_int_equal(lane->free_room, HS_LANE_HANDLES_MAX);
	assert_int_equal(lane->nr_free, BURST);
	begin_some(t);
	assert_int_equal(lane->nr_free, 0);
	assert_int_equal(pthread_create(&thread, NULL, end_of_another, t), 0);
	pthread_join(thread, &room);
	assert_int_equal(*(uint32_t *)room, HS_LANE_HANDLES_MAX / 4);
	free(room);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_slot),
		T(test_end_without_data),
		T(test_two_handles_interleaved),
		T(test_lane_full),
		T(test_group_is_whole),
		T(test_end_without_lane),
		T(test_end_left_to_the_helper),
		T(test_many_threads_borrow),
		T(test_lane_full_keeps_buffer),
		T(test_bad_tail_reads_as_full),
		T(test_bad_stock_word),
		T(test_detach_attach),
		T(test_lanes_come_back),
		T(test_more_threads_than_lanes),
		T(test_nested_call_is_dropped),
		T(test_more_traces_than_slots),
		T(test_a_lane_keeps_what_its_thread_begins_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

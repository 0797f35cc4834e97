/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_proto.c - the shipping protocol over a bad network
 *
 * Whatever is lost, repeated, late, bent, written to or restarted: every slice
 * comes whole, in order and once a connection, and is settled exactly once. The
 * figures of speed are of virtual time, so they are the same on every machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/proto_send.h"
#include "tests/ship/lossy.h"

#define MS 1000000ull

static struct lossy_plan plain(void)
{
	return (struct lossy_plan){
		.seed = 1,
		.nr_agents = 1,
		.nr_slices = 2000,
		.slice_min_bytes = 100,
		.slice_max_bytes = 20000,
		.frame_bytes = 1472,
		.delay_ns = MS / 10,
		.settle_ns = 2 * MS,
	};
}

static void run(const struct lossy_plan *plan, struct lossy_result *result)
{
	lossy_run(plan, result);
	if (!result->done)
		fail_msg("seed=%llu at %.3f s: %s",
			 (unsigned long long)plan->seed,
			 (double)result->now_ns / 1e9, result->why);
}

static void test_clean(void **state)
{
	struct lossy_plan plan = plain();
	struct lossy_result r;

	(void)state;
	plan.idle_ns = 20000 * MS;
	run(&plan, &r);
	/* An idle connection is asked every two seconds, and that is all. */
	assert_in_range(r.frames_idle, 5, 12);
	assert_int_equal(r.lost, 0);
	assert_int_equal(r.frames_resent, 0);
	assert_int_equal(r.downs, 0);
	assert_int_equal(r.twice, 0);
}

/* A slice may be empty, and as long as the collector's least credit. */
static void test_sizes(void **state)
{
	struct lossy_plan plan = plain();
	struct lossy_result r;
	static const struct {
		uint32_t frame, least, most;
	} sizes[] = {
		{576, 0, 3},	{576, 0, 16000},	{1472, 65536, 70000},
		{8972, 0, 300}, {8972, 100000, 400000}, {9216, 0, 20000},
	};

	(void)state;
	plan.nr_slices = 300;
	plan.loss = 0.02;
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		plan.seed = i + 1;
		plan.frame_bytes = sizes[i].frame;
		plan.slice_min_bytes = sizes[i].least;
		plan.slice_max_bytes = sizes[i].most;
		run(&plan, &r);
	}
}

/* Ten per cent lost both ways, ten repeated, overtaking each other. */
static void test_bad_network(void **state)
{
	struct lossy_plan plan = plain();
	struct lossy_result r;

	(void)state;
	plan.loss = 0.1;
	plan.repeat = 0.1;
	plan.jitter_ns = MS;
	plan.slice_min_bytes = 0;
	for (plan.seed = 1; plan.seed <= 20; plan.seed++) {
		run(&plan, &r);
		assert_int_equal(r.twice, 0);
		assert_true(r.lost > 0);
		assert_true(r.frames_resent > 0);
	}
}

static void test_everything(void **state)
{
	struct lossy_plan plan = plain();
	struct lossy_result r;
	uint64_t anew = 0, modified = 0, downs = 0;

	(void)state;
	plan.nr_agents = 3;
	plan.nr_slices = 400;
	plan.repeat = 0.05;
	plan.jitter_ns = 2 * MS;
	plan.modify = 0.02;
	plan.busy = 0.05;
	plan.refuse = 0.05;
	for (plan.seed = 1; plan.seed <= 60; plan.seed++) {
		plan.loss = 0.05 * (double)(plan.seed % 5);
		plan.bend = plan.seed % 4 == 0 ? 0.01 : 0;
		plan.tags = plan.seed % 4 == 0;
		plan.cut = plan.seed % 3 == 0 ? 0.02 : 0;
		plan.frame_bytes = plan.seed % 2 ? 1472 : 8972;
		run(&plan, &r);
		anew += r.anew;
		modified += r.modified;
		downs += r.downs;
	}
	assert_true(anew > 0);
	assert_true(modified > 0);
	assert_true(downs > 0);
}

/* A producer that never stops: its slices go as copies, the others pass. */
static void test_always_modified(void **state)
{
	struct lossy_plan plan = plain();
	struct lossy_result r;

	(void)state;
	plan.nr_slices = 50;
	plan.modify = 1;
	run(&plan, &r);
	assert_int_equal(r.modified, 50);
}

/* Losing a tenth of everything both ways costs less than half the goodput. */
static void test_goodput(void **state)
{
	struct lossy_plan plan = plain();
	struct lossy_result clean, lossy;
	double ratio;

	(void)state;
	plan.frame_bytes = 8972;
	plan.slice_min_bytes = plan.slice_max_bytes = 10000;
	plan.nr_slices = 20000;
	plan.link_bytes_per_s = 1000000000;
	plan.link_queue_bytes = 4 << 20;
	plan.offered_per_s = 500000000;
	run(&plan, &clean);
	plan.loss = 0.1;
	plan.repeat = 0.1;
	plan.jitter_ns = MS / 10;
	run(&plan, &lossy);
	assert_int_equal(clean.lost, 0);
	/* Of what agents sent, and of what they were answered. */
	assert_true(lossy.lost > lossy.frames / 11);
	ratio = (double)clean.now_ns / (double)lossy.now_ns;
	print_message(
		"goodput_loss10 %.0f MB/s, ratio loss0 %.2f, n=%u "
		"slices, %llu of %llu frames again\n",
		(double)lossy.delivered_bytes * 1e3 / (double)lossy.now_ns,
		ratio, plan.nr_slices, (unsigned long long)lossy.frames_resent,
		(unsigned long long)lossy.frames);
	assert_true(ratio >= 0.5);
}

/* The same however far it is: where a round trip is longer than a frame or two
 * take, and where it is not. */
static void test_goodput_anywhere(void **state)
{
	static const uint64_t delays_us[] = {2, 10, 50, 100, 250};
	struct lossy_plan plan = plain();
	struct lossy_result clean, lossy;

	(void)state;
	plan.frame_bytes = 8972;
	plan.slice_min_bytes = plan.slice_max_bytes = 10000;
	plan.nr_slices = 8000;
	plan.offered_per_s = 400000000;
	plan.settle_ns = 0;
	for (uint32_t i = 0; i < 2 * sizeof(delays_us) / sizeof(*delays_us);
	     i++) {
		bool bad = i % 2;

		plan.delay_ns = delays_us[i / 2] * 1000;
		plan.loss = plan.repeat = 0;
		plan.jitter_ns = 0;
		run(&plan, &clean);
		plan.loss = 0.1;
		plan.repeat = bad ? 0.1 : 0;
		plan.jitter_ns = bad ? plan.delay_ns : 0;
		run(&plan, &lossy);
		print_message("%llu us%s: ratio loss0 %.2f\n",
			      (unsigned long long)delays_us[i / 2],
			      bad ? ", repeated and overtaken" : "",
			      (double)clean.now_ns / (double)lossy.now_ns);
		assert_true(lossy.now_ns <= 2 * clean.now_ns);
		assert_int_equal(lossy.twice, 0);
	}
}

struct port {
	bool takes;
	uint32_t nr_offered, nr_sent;
};

static bool port_send(void *ctx, const void *head, uint32_t head_bytes,
		      const struct hs_ship_piece *pieces, uint32_t nr_pieces)
{
	struct port *p = ctx;

	p->nr_offered++;
	p->nr_sent += p->takes;
	return p->takes;
}

/* A link that was down for long costs no time once it is up. */
static void test_opens_soon(void **state)
{
	static const struct hs_ship_sender_ops ops = {.send_frame = port_send};
	const struct hs_ship_sender_config config = {.frame_bytes = 1472};
	struct port port = {0};
	struct hs_ship_sender *s;
	void *memory = calloc(1, hs_ship_sender_size(&config));
	uint64_t now_ns = 0, up_ns;

	(void)state;
	assert_non_null(memory);
	s = hs_ship_sender_create(memory, &config, &ops, &port, 1, now_ns);
	assert_non_null(s);
	while (now_ns < 30000 * MS)
		now_ns = hs_ship_sender_run(s, now_ns);
	/* It looks now and then, and does not spin. */
	assert_in_range(port.nr_offered, 10, 1501);
	assert_int_equal(port.nr_sent, 0);
	port.takes = true;
	up_ns = hs_ship_sender_run(s, now_ns);
	assert_int_equal(port.nr_sent, 1);
	assert_true(now_ns <= 30020 * MS);
	/* The first question of a way is asked again as soon as any. */
	assert_true(up_ns <= now_ns + 20 * MS);
	free(memory);
}

static struct lossy_plan sixteen(void)
{
	struct lossy_plan plan = plain();

	plan.nr_agents = 16;
	plan.nr_slices = 6000;
	plan.frame_bytes = 8972;
	plan.slice_min_bytes = plan.slice_max_bytes = 10000;
	plan.link_queue_bytes = 8 << 20;
	plan.offered_per_s = 125000000;
	plan.duration_ns = 400 * MS;
	plan.nr_frames = 1024;
	return plan;
}

static void run_fair(const struct lossy_plan *plan)
{
	struct lossy_result r;
	double sum = 0, squares = 0, jain;

	lossy_run(plan, &r);
	assert_string_equal(r.why, "out of time");
	for (uint32_t i = 0; i < plan->nr_agents; i++) {
		double share = (double)r.agent_bytes[i];

		sum += share;
		squares += share * share;
	}
	jain = sum * sum / (plan->nr_agents * squares);
	print_message("16 agents: jain %.3f, used %.2f, drops %llu, "
		      "frames kept at once %llu\n",
		      jain, sum / 0.4e9, (unsigned long long)r.link_drops,
		      (unsigned long long)r.held_most);
	assert_true(jain >= 0.95);
	assert_true(sum >= 0.9 * 0.4e9);
	assert_int_equal(r.link_drops, 0);
}

/* Sixteen agents, half of what they offer fits the collector's link. */
static void test_fair(void **state)
{
	struct lossy_plan plan = sixteen();

	(void)state;
	plan.link_bytes_per_s = 1000000000;
	run_fair(&plan);
}

/* Half of what they offer is what the collector takes: credit holds them up,
 * and who comes first in its tables has no more of it than the last. */
static void test_fair_taken(void **state)
{
	struct lossy_plan plan = sixteen();

	(void)state;
	plan.takes_per_s = 1000000000;
	run_fair(&plan);
}

/* The same where every second one has slices of twenty times the length, which
 * are three turns each. */
static void test_fair_sizes(void **state)
{
	struct lossy_plan plan = sixteen();

	(void)state;
	plan.takes_per_s = 1000000000;
	plan.slice_odd_bytes = 200000;
	run_fair(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bad_network),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_always_modified),
		cmocka_unit_test(test_goodput),
		cmocka_unit_test(test_goodput_anywhere),
		cmocka_unit_test(test_opens_soon),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_fair_taken),
		cmocka_unit_test(test_fair_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

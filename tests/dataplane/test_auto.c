/* SPDX-License-Identifier: Apache-2.0 */
/* Autotriggers: shares, ties, steps, warm-up, rare labels, laterals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/auto_percentile.h"
#include "harness.h"
#include "hs/autotrigger.h"

static uint64_t random_state;

static uint64_t draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull;
}

/* A long tail over @scale: the more leading zeros, the larger. */
static uint64_t draw_tail(uint64_t scale)
{
	uint32_t zeros = (uint32_t)__builtin_clzll(draw() | 1);

	return (scale << (zeros / 2)) + draw() % scale;
}

static uint64_t draw_seldom_other(uint64_t scale)
{
	return scale + (draw() % 1000 < 20);
}

static uint64_t draw_same(uint64_t scale)
{
	return scale;
}

static int setup(void **state)
{
	random_state = 88172645463325252ull;
	return 0;
}

static void assert_share(uint64_t fired, uint64_t n, double percentile)
{
	double ideal = (double)n * (1 - percentile / 100);
	double off = (double)fired - ideal;

	if (off < 0)
		off = -off;
	if (off > ideal * 0.15 + 1)
		fail_msg("p%g: %llu of %llu, ideal %g", percentile,
			 (unsigned long long)fired, (unsigned long long)n,
			 ideal);
}

static const double percentiles[] = {50, 90, 99, 99.9, 99.99};

static void share_of(uint64_t (*make)(uint64_t scale))
{
	for (size_t i = 0; i < 5; i++) {
		struct hs_auto_percentile *p =
			hs_auto_percentile_create(percentiles[i], 0);
		uint64_t fired = 0, n = 0;

		assert_non_null(p);
		while (p->warm)
			assert_false(hs_auto_percentile_add(p, make(1000)));
		for (; n < 1000000; n++)
			fired += hs_auto_percentile_add(p, make(1000));
		assert_share(fired, n, percentiles[i]);
		hs_auto_percentile_destroy(p);
	}
}

static void test_shares(void **state)
{
	share_of(draw_tail);
	share_of(draw_seldom_other);
	/* Ties: as many of them as there is room for. */
	share_of(draw_same);
}

/* Exactly those far above, and none far below, whatever the share. */
static void test_which_ones(void **state)
{
	struct hs_auto_percentile *p = hs_auto_percentile_create(99, 10000);
	uint64_t wrong = 0;

	for (uint64_t n = 0; n < 200000; n++) {
		/* p99 of 0..9999 is 9900 */
		uint64_t value = 10000 + draw() % 10000;
		bool symptom = hs_auto_percentile_add(p, value);

		if (n < 20000)
			continue;
		if (value > 19900 + 19900 / 64 + 100)
			wrong += !symptom;
		if (value < 19900 - 19900 / 64 - 100)
			wrong += symptom;
	}
	assert_int_equal(wrong, 0);
	hs_auto_percentile_destroy(p);
}

static void test_steps(void **state)
{
	static const uint64_t scales[] = {1000, 10000, 500, 4000000};

	for (size_t i = 2; i < 5; i++) {
		struct hs_auto_percentile *p =
			hs_auto_percentile_create(percentiles[i], 0);
		uint64_t window = 2ull * p->window;

		for (size_t k = 0; k < 4; k++) {
			uint64_t fired = 0;

			for (uint64_t n = 0; n < window; n++)
				hs_auto_percentile_add(p, draw_tail(scales[k]));
			for (uint64_t n = 0; n < window; n++)
				fired += hs_auto_percentile_add(
					p, draw_tail(scales[k]));
			assert_share(fired, window, percentiles[i]);
		}
		hs_auto_percentile_destroy(p);
	}
}

/* What is counted and not looked at would have been no symptom. */
static void test_not_looked_at(void **state)
{
	static struct hs_auto_percentile p, looked;

	for (size_t i = 0; i < 5; i++) {
		uint64_t skipped = 0;

		assert_true(hs_auto_percentile_init(&p, percentiles[i], 1000));
		for (uint64_t n = 0; n < 30000; n++) {
			/* It drifts, up and down, and steps at times. */
			uint64_t scale = 1000 + n % 7000 / 7 * (n / 7000 % 3);
			uint64_t value = draw_tail(scale);
			bool said, would;

			looked = p;
			looked.near = 0;
			would = hs_auto_percentile_sample(&looked, value);
			said = hs_auto_percentile_sample(&p, value);
			assert_int_equal(said, would);
			skipped += p.unsettled != p.left;
			assert_true(p.near <= p.threshold);
		}
		assert_true(skipped > 30000 / 4);
	}
}

static void test_percentile_limits(void **state)
{
	struct hs_auto_percentile *p;

	assert_null(hs_auto_percentile_create(49, 0));
	assert_null(hs_auto_percentile_create(100, 0));
	assert_null(hs_auto_percentile_create(99, 3));
	assert_false(hs_auto_percentile_add(NULL, 1));
	p = hs_auto_percentile_create(50, 16);
	for (int i = 0; i < 1000; i++) {
		hs_auto_percentile_add(p, 0);
		hs_auto_percentile_add(p, UINT64_MAX);
		hs_auto_percentile_add(p, 1ull << 47);
	}
	assert_int_equal(hs_auto_bucket(0), hs_auto_bucket(1));
	assert_int_equal(hs_auto_bucket(1), 0);
	assert_int_equal(hs_auto_bucket(UINT64_MAX), HS_AUTO_NR_BUCKETS - 1);
	hs_auto_percentile_destroy(p);
}

static void test_category(void **state)
{
	struct hs_auto_category *c = hs_auto_category_create(0.01, 0);
	uint64_t rare = 0, found = 0, wrong = 0;

	for (int i = 0; i < 100000; i++) {
		bool is_rare = draw() % 1000 < 5;
		bool said = hs_auto_category_add_text(c, is_rare ? "rare"
							 : i % 2 ? "a"
								 : "b");

		if (i < 10000)
			continue;
		rare += is_rare;
		found += is_rare && said;
		wrong += !is_rare && said;
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(found, rare);
	assert_true(rare > 300);
	hs_auto_category_destroy(c);
}

/* More labels than there is room for: none is found by mistake. */
static void test_category_full(void **state)
{
	struct hs_auto_category *c = hs_auto_category_create(0.001, 4096);
	uint64_t wrong = 0;

	for (int i = 0; i < 1000000; i++) {
		hs_auto_category_add(c, draw());
		wrong += hs_auto_category_add(c, 7) && i > 10000;
	}
	assert_int_equal(wrong, 0);
	assert_null(hs_auto_category_create(0, 0));
	assert_null(hs_auto_category_create(0.6, 0));
	hs_auto_category_destroy(c);
}

static void test_queue_names_those_before(void **state)
{
	static struct fake_agent agent;
	const struct hs_shm_entry *e;
	struct hs_trigger *trigger;
	struct hs_auto_queue *q = hs_auto_queue_create(99, 0, 3);
	struct hs_trace_id id = {1, 0};

	harness_attach(&agent, NULL, NULL);
	trigger = hs_trigger_define("queue");
	assert_non_null(trigger);
	for (; id.lo < 199; id.lo++)
		hs_auto_queue_leave(q, trigger, &id, 1000);
	fake_agent_drain(&agent);
	agent.nr_entries = 0;
	assert_true(hs_auto_queue_leave(q, trigger, &id, 9000000));
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_TRIGGER), 1);
	e = fake_agent_entry(&agent, HS_SHM_ENTRY_TRIGGER, 0);
	assert_int_equal(e->trace_lo, 199);
	assert_int_equal(e->aux, 3);
	for (uint32_t i = 0; i < 3; i++) {
		e = fake_agent_entry(&agent, HS_SHM_ENTRY_LATERAL, i);
		assert_in_range(e->trace_lo, 196, 198);
	}
	/* A full queue fires once, until somebody has left it. */
	agent.nr_entries = 0;
	id.lo = 500;
	assert_true(hs_auto_queue_full(q, trigger, &id));
	assert_false(hs_auto_queue_full(q, trigger, &id));
	fake_agent_drain(&agent);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_TRIGGER), 1);
	e = fake_agent_entry(&agent, HS_SHM_ENTRY_TRIGGER, 0);
	assert_int_equal(e->trace_lo, 500);
	assert_int_equal(e->aux, 3);
	id.lo = 501;
	hs_auto_queue_leave(q, trigger, &id, 1000);
	assert_true(hs_auto_queue_full(q, trigger, &id));
	assert_false(hs_auto_exception(trigger, &id, false));
	assert_true(hs_auto_exception(trigger, &id, true));
	assert_null(hs_auto_set_create(HS_LATERAL_MAX + 1));
	hs_auto_queue_destroy(q);
	harness_detach(&agent);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(test_shares),
		T(test_which_ones),
		T(test_steps),
		T(test_not_looked_at),
		T(test_percentile_limits),
		T(test_category),
		T(test_category_full),
		T(test_queue_names_those_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How long the worker looks away: steady loads, bursts, and nothing to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/nap.h"

#define ROUND_NS 5000ull /* of looking, without the nap */
#define LANE	 1024u

/* A lane that is written at @per_s, by a producer that never waits. */
struct lane {
	double left;
	uint64_t most, lost;
};

static uint64_t look(struct lane *l, uint64_t nap_ns, uint64_t per_s)
{
	uint64_t since_ns = nap_ns + ROUND_NS;
	uint32_t crowding;

	l->left += (double)(per_s * since_ns) / 1e9;
	if (l->left > LANE) {
		l->lost += (uint64_t)(l->left - LANE);
		l->left = LANE;
	}
	if ((uint64_t)l->left > l->most)
		l->most = (uint64_t)l->left;
	crowding = hs_nap_crowding((uint64_t)l->left, LANE);
	l->left -= (double)(uint64_t)l->left;
	return hs_nap_next(nap_ns, since_ns, crowding, HS_NAP_MAX_NS);
}

static void test_steady_loads_leave_room(void **state)
{
	for (uint64_t per_s = 100; per_s <= 10000000; per_s *= 10) {
		struct lane l = {0};
		uint64_t nap_ns = 0;

		for (int i = 0; i < 1000; i++)
			nap_ns = look(&l, nap_ns, per_s);
		assert_int_equal(l.lost, 0);
		/* Rounding, and a round that is not napped through. */
		assert_true(l.most <= LANE / 8 + LANE / 32);
		if (per_s <= 100000)
			assert_int_equal(nap_ns, HS_NAP_MAX_NS);
		/* 12 us to an eighth: there is no time to sleep in. */
		if (per_s == 10000000)
			assert_int_equal(nap_ns, 0);
	}
}

static void test_it_grows_sevenfold_and_nothing_is_lost(void **state)
{
	struct lane l = {0};
	uint64_t nap_ns = 0;

	for (int i = 0; i < 100; i++)
		nap_ns = look(&l, nap_ns, 300000);
	assert_true(nap_ns >= HS_NAP_MIN_NS);
	l.most = 0;
	nap_ns = look(&l, nap_ns, 7 * 300000);
	assert_int_equal(l.lost, 0);
	assert_true(l.most > LANE / 2);
	assert_int_equal(nap_ns, 0);
	for (int i = 0; i < 100; i++)
		nap_ns = look(&l, nap_ns, 7 * 300000);
	assert_int_equal(l.lost, 0);
}

static void test_full_is_looked_after_at_once(void **state)
{
	assert_int_equal(hs_nap_crowding(0, LANE), 0);
	assert_int_equal(hs_nap_crowding(LANE / 2, LANE), HS_NAP_WHOLE / 2);
	assert_int_equal(hs_nap_crowding(LANE, LANE), HS_NAP_WHOLE);
	assert_int_equal(hs_nap_crowding(5, 0), HS_NAP_WHOLE);
	/* However long ago it was looked at. */
	assert_int_equal(hs_nap_next(HS_NAP_MAX_NS, UINT64_MAX, HS_NAP_WHOLE,
				     HS_NAP_CALM_MAX_NS),
			 0);
	assert_int_equal(
		hs_nap_next(0, HS_NS_PER_SEC, HS_NAP_FULL + 1, HS_NAP_MAX_NS),
		0);
}

static void test_nothing_to_do(void **state)
{
	uint64_t nap_ns = 0, before = 0;

	for (int i = 0; i < 10; i++, before = nap_ns) {
		nap_ns = hs_nap_next(nap_ns, nap_ns, 0, HS_NAP_MAX_NS);
		assert_true(nap_ns >= before);
		assert_true(!before || nap_ns <= 2 * before);
	}
	assert_int_equal(nap_ns, HS_NAP_MAX_NS);
	assert_int_equal(hs_nap_next(nap_ns, UINT64_MAX, 1, HS_NAP_MAX_NS),
			 HS_NAP_MAX_NS);
}

static void test_short_ones_follow_a_trigger(void **state)
{
	uint64_t nap_ns = HS_NAP_MAX_NS;

	nap_ns = hs_nap_expect(nap_ns, 0);
	assert_int_equal(nap_ns, HS_NAP_TRIGGER_NS);
	/* Whatever they grew to meanwhile, until it is long ago. */
	nap_ns = hs_nap_next(nap_ns, nap_ns, 0, HS_NAP_MAX_NS);
	assert_true(nap_ns > HS_NAP_TRIGGER_NS);
	assert_int_equal(hs_nap_expect(nap_ns, HS_NAP_EXPECT_NS - 1),
			 HS_NAP_TRIGGER_NS);
	assert_int_equal(hs_nap_expect(nap_ns, HS_NAP_EXPECT_NS), nap_ns);
	/* It makes none longer. */
	assert_int_equal(hs_nap_expect(HS_NAP_MIN_NS, 0), HS_NAP_MIN_NS);
	assert_int_equal(hs_nap_expect(0, 0), 0);
}

/* As long as a stock lasts, however fast it is taken all at once. */
static void test_calm_ones_are_longer_where_stock_lasts(void **state)
{
	uint32_t whole = (uint32_t)(HS_NAP_CALM_MAX_NS / HS_NAP_BURST_NS);

	assert_int_equal(hs_nap_bound(false, whole), HS_NAP_MAX_NS);
	assert_int_equal(hs_nap_bound(true, 0), HS_NAP_MAX_NS);
	assert_int_equal(hs_nap_bound(true, 1), HS_NAP_MAX_NS);
	for (uint32_t words = 1; words <= whole; words++) {
		uint64_t ns = hs_nap_bound(true, words);

		assert_true(ns >= HS_NAP_MAX_NS);
		assert_true(ns == HS_NAP_MAX_NS ||
			    ns <= words * HS_NAP_BURST_NS);
	}
	assert_int_equal(hs_nap_bound(true, whole), HS_NAP_CALM_MAX_NS);
	assert_int_equal(hs_nap_bound(true, UINT32_MAX), HS_NAP_CALM_MAX_NS);
	assert_int_equal(hs_nap_next(HS_NAP_CALM_MAX_NS, HS_NAP_CALM_MAX_NS, 1,
				     HS_NAP_CALM_MAX_NS),
			 HS_NAP_CALM_MAX_NS);
	/* What has become less calm is looked at sooner from then on. */
	assert_int_equal(hs_nap_next(HS_NAP_CALM_MAX_NS, HS_NAP_CALM_MAX_NS, 1,
				     HS_NAP_MAX_NS),
			 HS_NAP_MAX_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady_loads_leave_room),
		cmocka_unit_test(test_it_grows_sevenfold_and_nothing_is_lost),
		cmocka_unit_test(test_full_is_looked_after_at_once),
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_short_ones_follow_a_trigger),
		cmocka_unit_test(test_calm_ones_are_longer_where_stock_lasts),
	};

	return cmocka_run_group_tests_name("nap", tests, NULL, NULL);
}

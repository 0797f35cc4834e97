/* SPDX-License-Identifier: Apache-2.0 */
/* Which coordinators are called silent, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/silence.h"

#define MS 1000000ull

static struct hs_silence s;
static uint64_t now_ns;

static int setup(void **state)
{
	s = (struct hs_silence){0};
	now_ns = 1000 * MS;
	return 0;
}

/* Told, and heard after so long, often enough that it is known. */
static void usually(uint32_t number, uint64_t took_ns)
{
	for (int i = 0; i < 50; i++) {
		hs_silence_told(&s, number, now_ns);
		now_ns += took_ns;
		hs_silence_heard(&s, number, now_ns);
		now_ns += MS;
	}
}

static void test_unknown_is_given_time(void **state)
{
	hs_silence_told(&s, 7, now_ns);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS - 1),
			 0);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS), 7);
	/* Once for each time that it was told something. */
	assert_int_equal(hs_silence_next(&s, now_ns + 9 * HS_SILENCE_MAX_NS),
			 0);
}

static void test_quick_one_is_missed_soon(void **state)
{
	usually(7, 2 * MS);
	hs_silence_told(&s, 7, now_ns);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MIN_NS - MS),
			 0);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MIN_NS), 7);
}

/* What it was told long after it was heard gives it its time anew. */
static void test_pause_is_no_silence(void **state)
{
	usually(7, 2 * MS);
	now_ns += HS_SILENCE_MIN_NS - 2 * MS;
	hs_silence_told(&s, 7, now_ns);
	hs_silence_told(&s, 7, now_ns + 10 * MS);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MIN_NS - 1),
			 0);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MIN_NS), 7);
}

static void test_slow_one_is_waited_for(void **state)
{
	usually(7, 400 * MS);
	hs_silence_told(&s, 7, now_ns);
	assert_int_equal(hs_silence_next(&s, now_ns + 390 * MS), 0);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS), 7);
}

/* Whatever it says, it is alive: load is no silence. */
static void test_busy_one_is_heard(void **state)
{
	usually(7, 2 * MS);
	hs_silence_told(&s, 7, now_ns);
	for (int i = 0; i < 100; i++) {
		now_ns += HS_SILENCE_MIN_NS / 2;
		hs_silence_heard(&s, 7, now_ns);
		assert_int_equal(hs_silence_next(&s, now_ns), 0);
	}
	/* What it owes besides is not forgotten by that. */
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MIN_NS), 7);
}

static void test_gone_is_not_silent(void **state)
{
	hs_silence_told(&s, 7, now_ns);
	hs_silence_told(&s, 8, now_ns);
	hs_silence_gone(&s, 7);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS), 8);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS), 0);
}

static void test_no_place_no_word(void **state)
{
	for (uint32_t i = 1; i <= HS_SILENCE_PEERS_MAX + 1; i++)
		hs_silence_told(&s, i, now_ns);
	for (uint32_t i = 1; i <= HS_SILENCE_PEERS_MAX; i++)
		assert_int_equal(
			hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS), i);
	assert_int_equal(hs_silence_next(&s, now_ns + HS_SILENCE_MAX_NS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_unknown_is_given_time, setup),
		cmocka_unit_test_setup(test_quick_one_is_missed_soon, setup),
		cmocka_unit_test_setup(test_pause_is_no_silence, setup),
		cmocka_unit_test_setup(test_slow_one_is_waited_for, setup),
		cmocka_unit_test_setup(test_busy_one_is_heard, setup),
		cmocka_unit_test_setup(test_gone_is_not_silent, setup),
		cmocka_unit_test_setup(test_no_place_no_word, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

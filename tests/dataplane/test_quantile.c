/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations of an operation that several threads judge at once: each of them is
 * judged, also by who meets another at work; the line goes on being drawn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/random.h"
#include "dataplane/rules_quantile.h"
#include "dataplane/tls.h"
#include "single_step.h"

#define SLOW	    1000000000ull
#define FAST	    500ull
#define RESTS	    64u /* more than who met another leaves out */
#define RESTS_LEAST 8u
#define LIMIT_NR    100000u

static struct hs_random random_source;
static uint32_t number;
static uint64_t asked;
static bool said;

static uint64_t usual(void)
{
	return 1000 + hs_random_below(&random_source, 1000);
}

static void judge(void)
{
	said = hs_rules_quantile_above(number, asked);
}

static uint64_t generation;

/* One more of the generation, that nothing was counted in. */
static void claim_another(void)
{
	static uint32_t operation;
	const struct hs_shm_rule rule = {.percentile_ppm = 990000};

	number = hs_rules_quantile_of(generation, &rule, ++operation);
	assert_int_not_equal(number, 0);
}

static void claim(void)
{
	/* That of two generations ago is free again. */
	generation += 2;
	claim_another();
}

static void count(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		(void)hs_rules_quantile_above(number, usual());
}

static void rest(void)
{
	for (uint32_t i = 0; i < RESTS; i++)
		(void)hs_rules_quantile_above(number, usual());
}

/* Each of the first ones, which are those of most counts. */
static uint32_t step(uint32_t at)
{
	return at < 100 ? 1 : 1 + at / 8;
}

/* Judged amid another's count, before its instructions in turn. Return: of how
 * many. */
static uint32_t amid(uint64_t duration_ns, bool expect)
{
	uint64_t duration;
	uint32_t at = 1;
	bool came = true;

	for (; came; at += step(at)) {
		rest();
		asked = duration_ns;
		said = expect;
		duration = usual();
		single_step_begin(at, judge);
		(void)hs_rules_quantile_above(number, duration);
		came = single_step_end();
		if (said != expect)
			fail_msg("%llu at instruction %u: %d",
				 (unsigned long long)duration_ns, at, said);
	}
	return at;
}

static void test_meets(void **state)
{
	claim();
	count(LIMIT_NR);
	assert_true(amid(SLOW, true) > 20);
	assert_true(amid(FAST, false) > 20);
}

/* Nobody knows yet what is slow. */
static void test_meets_cold(void **state)
{
	uint32_t at = 1;
	bool came = true;

	for (asked = SLOW; came; at += step(at)) {
		claim();
		said = false;
		single_step_begin(at, judge);
		(void)hs_rules_quantile_above(number, FAST);
		came = single_step_end();
		assert_false(said);
		/* What it met has it leave some out, of another one, too. */
		rest();
	}
	assert_true(at > 20);
}

/* From some instruction on the one that is asked amid it meets the other. */
static void meet(void)
{
	asked = FAST;
	hs_tls.rest = 0;
	for (uint32_t at = 1; !hs_tls.rest; at++) {
		single_step_begin(at, judge);
		(void)hs_rules_quantile_above(number, FAST);
		assert_true(single_step_end());
	}
}

/* What is left out by who met another is judged alike, and no longer than that:
 * a line drawn by faster ones follows when all become slower. */
static void test_after_it(void **state)
{
	uint32_t fired = 0;

	claim();
	count(LIMIT_NR);
	meet();
	for (uint32_t i = 0; i < RESTS_LEAST / 2; i++) {
		assert_true(hs_rules_quantile_above(number, SLOW));
		assert_false(hs_rules_quantile_above(number, FAST));
	}
	for (uint32_t i = 0; i < 2 * LIMIT_NR; i++) {
		bool is = hs_rules_quantile_above(number, 100 * usual());

		fired += i >= LIMIT_NR && is;
	}
	assert_in_range(fired, LIMIT_NR / 100 * 85 / 100,
			LIMIT_NR / 100 * 115 / 100);
}

/* Who met another at one of them counts for the others all the same: those that
 * know too little to judge by would know it late. */
static void test_of_another(void **state)
{
	uint32_t met;

	claim();
	met = number;
	count(LIMIT_NR);
	meet();
	claim_another();
	assert_int_not_equal(number, met);
	count(100);
	assert_true(hs_rules_quantile_above(number, SLOW));
}

static void *judges(void *arg)
{
	struct hs_random own;
	uint64_t fired = 0;

	hs_random_seed(&own, (uint64_t)(uintptr_t)arg);
	for (uint32_t i = 0; i < LIMIT_NR; i++)
		fired += hs_rules_quantile_above(
			number, 1000 + (hs_random_below(&own, 1u << 20) >>
					hs_random_below(&own, 20)));
	return (void *)(uintptr_t)fired;
}

/* However they meet, what they find slow together is about the share. */
static void test_threads(void **state)
{
	enum { THREADS = 4 };
	const double ideal = THREADS * (double)LIMIT_NR / 100;
	pthread_t threads[THREADS];
	uint64_t sum = 0;

	claim();
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, judges,
						(void *)(i + 1)),
				 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		void *fired;

		pthread_join(threads[i], &fired);
		sum += (uintptr_t)fired;
	}
	if ((double)sum < 0.7 * ideal || (double)sum > 1.3 * ideal)
		fail_msg("%llu of about %.0f", (unsigned long long)sum, ideal);
}

static int make(void **state)
{
	hs_random_seed(&random_source, 1);
	hs_rules_quantiles_make();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meets),
		cmocka_unit_test(test_meets_cold),
		cmocka_unit_test(test_after_it),
		cmocka_unit_test(test_of_another),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, make, NULL);
}

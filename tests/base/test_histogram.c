/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: buckets tile the range; quantiles against sorted truth.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/histogram.h"
#include "base/random.h"

#include <stdlib.h>

static struct hs_histogram one;
static struct hs_histogram two;
static struct hs_histogram all;

static void test_buckets_tile_all_values(void **state)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < HS_HISTOGRAM_NR_BUCKETS; i++) {
		uint64_t low = hs_histogram_bucket_low(i);
		uint64_t high = hs_histogram_bucket_high(i);

		assert_true(low == next);
		assert_int_equal(hs_histogram_bucket(low), i);
		assert_int_equal(hs_histogram_bucket(high), i);
		next = high + 1;
	}
	assert_true(next == 0); /* the last one ends at UINT64_MAX */
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_quantiles_against_sorted(void **state)
{
	static uint64_t values[10000];
	static const double shares[] = {0.001, 0.5, 0.9, 0.99, 0.999, 1};
	struct hs_random r;

	hs_random_seed(&r, 11);
	hs_histogram_init(&one);
	for (int i = 0; i < 10000; i++) {
		values[i] = hs_random_u64(&r) >> (hs_random_below(&r, 60));
		hs_histogram_record(&one, values[i]);
	}
	qsort(values, 10000, sizeof(values[0]), compare);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		uint64_t rank = (uint64_t)(shares[i] * 10000 + 0.5);
		uint64_t truth = values[rank - 1];
		uint64_t got = hs_histogram_quantile(&one, shares[i]);

		assert_true(got >= truth);
		assert_true(got - truth <= truth / HS_HISTOGRAM_NR_SUB);
	}
	assert_true(hs_histogram_quantile(&one, 0) == values[0]);
	assert_true(hs_histogram_quantile(&one, 1) == values[9999]);
}

static void test_merge_is_recording_all(void **state)
{
	struct hs_random r;

	hs_random_seed(&r, 12);
	hs_histogram_init(&one);
	hs_histogram_init(&two);
	hs_histogram_init(&all);
	for (int i = 0; i < 1000; i++) {
		uint64_t v = hs_random_below(&r, 1000000);

		hs_histogram_record(i % 3 ? &one : &two, v);
		hs_histogram_record(&all, v);
	}
	hs_histogram_merge(&one, &two);
	assert_memory_equal(&one, &all, sizeof(all));
}

static void test_edges(void **state)
{
	hs_histogram_init(&one);
	assert_true(hs_histogram_quantile(&one, 0.5) == 0);
	assert_true(hs_histogram_mean(&one) == 0);
	hs_histogram_record(&one, UINT64_MAX);
	hs_histogram_record(&one, UINT64_MAX);
	assert_true(one.sum == UINT64_MAX);
	assert_true(hs_histogram_quantile(&one, 0.5) == UINT64_MAX);
	hs_histogram_init(&one);
	hs_histogram_record_nr(&one, 10, 3);
	hs_histogram_record_nr(&one, 10, 0);
	hs_histogram_record(&one, 30);
	assert_true(one.nr_values == 4);
	assert_true(hs_histogram_mean(&one) == 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_tile_all_values),
		cmocka_unit_test(test_quantiles_against_sorted),
		cmocka_unit_test(test_merge_is_recording_all),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

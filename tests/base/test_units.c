/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: durations and sizes, read and written; near words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/suggest.h"
#include "base/units.h"

#include <errno.h>

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ns;
	} cases[] = {
		{"200ms", 0, 200000000},
		{"2s", 0, 2000000000},
		{"1.5us", 0, 1500},
		{"0.0000001s", 0, 100},
		{"1h30m", 0, 5400000000000},
		{"0", 0, 0},
		{"1d", 0, 86400000000000},
		{"5", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1.s", -EINVAL, 0},
		{"1sec", -EINVAL, 0},
		{"1m30", -EINVAL, 0},
		{"99999999999999999999s", -ERANGE, 0},
		{"213504d", -ERANGE, 0},
		{"200000d200000d", -ERANGE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 77;

		assert_int_equal(hs_units_duration_parse(cases[i].text, &ns),
				 cases[i].rc);
		assert_true(ns == (cases[i].rc == 0 ? cases[i].ns : 77));
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t size_bytes;
	} cases[] = {
		{"64MiB", 0, 64ULL << 20},
		{"4096", 0, 4096},
		{"1.5KiB", 0, 1536},
		{"10kB", 0, 10000},
		{"7B", 0, 7},
		{"2TB", 0, 2000000000000},
		{"64mib", -EINVAL, 0},
		{"64 MiB", -EINVAL, 0},
		{"64M", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1KiB1KiB", -EINVAL, 0},
		{"16777216TiB", -ERANGE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = 77;

		assert_int_equal(hs_units_size_parse(cases[i].text, &v),
				 cases[i].rc);
		assert_true(v == (cases[i].rc == 0 ? cases[i].size_bytes : 77));
	}
}

static void test_format(void **state)
{
	char t[HS_UNITS_TEXT_MAX];
	static const struct {
		uint64_t ns;
		const char *text;
	} d[] = {
		{0, "0ns"},
		{812, "812ns"},
		{1234, "1.23us"},
		{999499, "999us"},
		{999500, "1.00ms"},
		{45600000, "45.6ms"},
		{1500000000, "1.50s"},
		{125000000000, "2m05s"},
		{11220000000000, "3h07m"},
		{187200000000000, "2d04h"},
		{UINT64_MAX, "213503d23h"},
	};
	static const struct {
		uint64_t v;
		const char *text;
	} s[] = {
		{0, "0B"},
		{1023, "1023B"},
		{1536, "1.50KiB"},
		{64ULL << 20, "64.0MiB"},
		{(1ULL << 30) - 1, "1.00GiB"},
		{UINT64_MAX, "16.0EiB"},
	};

	for (size_t i = 0; i < sizeof(d) / sizeof(d[0]); i++) {
		hs_units_duration_format(t, d[i].ns);
		assert_string_equal(t, d[i].text);
	}
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		hs_units_size_format(t, s[i].v);
		assert_string_equal(t, s[i].text);
	}
}

static void test_exact_reads_back(void **state)
{
	static const uint64_t values[] = {
		0, 1, 1000, 1024, 1500, 90000000000, 64ULL << 20, UINT64_MAX,
	};
	char t[HS_UNITS_TEXT_MAX];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint64_t v = 77;

		hs_units_duration_exact(t, values[i]);
		assert_int_equal(hs_units_duration_parse(t, &v), 0);
		assert_true(v == values[i]);
		hs_units_size_exact(t, values[i]);
		assert_int_equal(hs_units_size_parse(t, &v), 0);
		assert_true(v == values[i]);
	}
	hs_units_size_exact(t, 64ULL << 20);
	assert_string_equal(t, "64MiB");
	hs_units_duration_exact(t, 90000000000);
	assert_string_equal(t, "90s");
}

static void test_suggest(void **state)
{
	size_t best = SIZE_MAX;

	assert_int_equal(hs_suggest_distance("listen", "listen"), 0);
	assert_int_equal(hs_suggest_distance("lisetn", "listen"), 1);
	assert_int_equal(hs_suggest_distance("kitten", "sitting"), 3);
	assert_int_equal(hs_suggest_distance("", "abc"), 3);
	assert_false(hs_suggest_better("listne", "memory", &best));
	assert_true(hs_suggest_better("listne", "listen", &best));
	assert_int_equal(best, 1);
	assert_false(hs_suggest_better("listne", "listed", &best));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_exact_reads_back),
		cmocka_unit_test(test_suggest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

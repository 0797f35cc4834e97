/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The percentile trigger on real durations: the spans of the shared data, by
 * operation and all together, in the order they were recorded. Skipped, and
 * saying so, where the data is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/auto_percentile.h"
#include "model/import.h"

static const double percentiles[] = {99, 99.9, 99.99};
static uint64_t *values;
static size_t nr_values;
static char path[4096];

static int collect(void)
{
	struct hs_model_set set;
	struct hs_model_import imp;
	size_t room = 0;
	int rc;

	hs_model_set_init(&set);
	hs_model_import_init(&imp, &set);
	rc = hs_model_import_path(&imp, path);
	for (uint32_t i = 0; i < set.nr_traces; i++)
		room += set.traces[i]->nr_spans;
	values = calloc(room ? room : 1, sizeof(*values));
	for (uint32_t i = 0; i < set.nr_traces; i++) {
		const struct hs_model_trace *t = set.traces[i];

		for (uint32_t k = 0; k < t->nr_spans; k++)
			values[nr_values++] =
				(uint64_t)t->spans[k]->duration_ns;
	}
	hs_model_set_destroy(&set);
	return rc;
}

/* From @skip values on; a step in between where @factor is not 1. */
static void check(double percentile, uint32_t window, uint64_t factor)
{
	static struct hs_auto_percentile p;
	uint64_t fired = 0, n = 0;
	double ideal, off;
	size_t skip;

	assert_true(hs_auto_percentile_init(&p, percentile, window));
	skip = factor == 1 ? p.warm : nr_values / 2 + 2ull * p.window;
	if (skip >= nr_values)
		return;
	for (size_t i = 0; i < nr_values; i++) {
		uint64_t v = values[i] * (i < nr_values / 2 ? 1 : factor);
		bool symptom = hs_auto_percentile_sample(&p, v);

		if (i < skip)
			continue;
		n++;
		fired += symptom;
	}
	ideal = (double)n * (1 - percentile / 100);
	off = (double)fired / ideal - 1;
	printf("p%g window %u step %llu: %llu of %llu, ideal %.1f, %+.1f %%\n",
	       percentile, p.window, (unsigned long long)factor,
	       (unsigned long long)fired, (unsigned long long)n, ideal,
	       off * 100);
	assert_true(off < 0.15 && off > -0.15);
}

static void test_real_durations(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		check(percentiles[i], 0, 1);
		check(percentiles[i], 25000, 1);
	}
}

static void test_step(void **state)
{
	for (uint64_t factor = 0; factor <= 10; factor += 5) {
		check(99, 0, factor ? factor : 3);
		check(99.9, 0, factor ? factor : 3);
		check(99.99, 0, factor ? factor : 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_durations),
		cmocka_unit_test(test_step),
	};
	const char *dir = getenv("HS_SHARED_DATA");
	int rc;

	snprintf(path, sizeof(path),
		 "%s/nezha/onlineboutique_2022-08-23_12h_trace_csv.tar.xz",
		 dir ? dir : HS_SHARED_DATA);
	if (access(path, R_OK)) {
		printf("skipped: no %s (HS_SHARED_DATA)\n", path);
		return 77;
	}
	rc = collect();
	if (!rc)
		rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(values);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The percentile trigger on real durations, in the order in which the spans
 * began: those of one set, by which its constants were chosen, and those of
 * five others, which nobody looked at before. Skipped, and saying so, where
 * the data is missing.
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
static const char *const others[] = {
	"traceweaver/hotel_load25.tar.xz", "traceweaver/hotel_load100.tar.xz",
	"traceweaver/media_load50.tar.xz", "traceweaver/media_load100.tar.xz",
	"traceweaver/node_load50.tar.xz",
};
#define TUNED_ON  "nezha/onlineboutique_2022-08-23_12h_trace_csv.tar.xz"
#define NR_OTHERS (sizeof(others) / sizeof(*others))
/* Fewer symptoms say nothing about a rate. */
#define SYMPTOMS_MIN 50

static uint64_t *values;
static size_t nr_values;
static char folder[4000];

static int collect(const char *file)
{
	struct hs_model_set set;
	struct hs_model_import imp;
	char path[4096];
	size_t room = 0;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	free(values);
	nr_values = 0;
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

/* Of the set that is loaded, all percentiles that it has symptoms for. */
static void check_rates(const char *name, size_t from, size_t to)
{
	static struct hs_auto_percentile p;

	for (size_t i = 0; i < 3; i++) {
		double ideal, off;
		uint64_t fired = 0, n = 0;

		assert_true(hs_auto_percentile_init(&p, percentiles[i], 0));
		for (size_t k = 0; k < to; k++) {
			bool symptom = hs_auto_percentile_sample(&p, values[k]);

			if (k < from || k < 1 / (1 - percentiles[i] / 100))
				continue;
			n++;
			fired += symptom;
		}
		ideal = (double)n * (1 - percentiles[i] / 100);
		off = (double)fired / ideal - 1;
		if (ideal < SYMPTOMS_MIN)
			continue;
		printf("%s p%g: %llu of %llu, ideal %.1f, %+.1f %%\n", name,
		       percentiles[i], (unsigned long long)fired,
		       (unsigned long long)n, ideal, off * 100);
		assert_true(off < 0.15 && off > -0.15);
	}
}

static void test_sets_not_tuned_on(void **state)
{
	for (size_t i = 0; i < NR_OTHERS; i++) {
		assert_int_equal(collect(others[i]), 0);
		check_rates(others[i], 0, nr_values);
	}
}

/*
 * One application after another: a step that nobody made up. Right again one
 * window (4096 values at p99) after it.
 */
static void test_one_after_another(void **state)
{
	uint64_t *all = NULL;
	size_t nr = 0, starts[NR_OTHERS + 1];

	for (size_t i = 0; i < NR_OTHERS; i++) {
		assert_int_equal(collect(others[i]), 0);
		starts[i] = nr;
		all = realloc(all, (nr + nr_values) * sizeof(*all));
		assert_non_null(all);
		memcpy(all + nr, values, nr_values * sizeof(*all));
		nr += nr_values;
	}
	starts[NR_OTHERS] = nr;
	free(values);
	values = all;
	nr_values = nr;
	check_rates("all five, one after another", 0, nr);
	for (size_t i = 1; i < NR_OTHERS; i++)
		if (starts[i + 1] - starts[i] > 4096 + 100 * SYMPTOMS_MIN)
			check_rates("after a change to the next",
				    starts[i] + 4096, starts[i + 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_durations),
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_sets_not_tuned_on),
		cmocka_unit_test(test_one_after_another),
	};
	const char *dir = getenv("HS_SHARED_DATA");
	char path[4200];
	int rc;

	snprintf(folder, sizeof(folder), "%s", dir ? dir : HS_SHARED_DATA);
	snprintf(path, sizeof(path), "%s/" TUNED_ON, folder);
	if (access(path, R_OK)) {
		printf("skipped: no %s (HS_SHARED_DATA)\n", path);
		return 77;
	}
	rc = collect(TUNED_ON);
	if (!rc)
		rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(values);
	return rc;
}

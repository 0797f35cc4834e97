/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All the real traces that the workplace shares: each set must be read whole,
 * and every trace must survive the way through the exporters. Skipped, and
 * saying so, where the data is missing.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

static const char *data_dir(void)
{
	const char *dir = getenv("HS_SHARED_DATA");

	return dir ? dir : HS_SHARED_DATA;
}

static void load_shared(struct loaded *loaded, const char *name, bool remap)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", data_dir(), name);
	load_init(loaded);
	loaded->imp.options.remap_ids = remap;
	assert_int_equal(hs_model_import_path(&loaded->imp, path), 0);
}

static void check_all(const struct loaded *loaded,
		      enum hs_model_export_format format)
{
	uint32_t i;

	for (i = 0; i < loaded->set.nr_traces; i++)
		assert_there_and_back(loaded->set.traces[i], format);
}

static void traceweaver_is_whole(void **state)
{
	static const struct {
		const char *name;
		uint64_t nr_spans;
	} sets[] = {
		{"traceweaver/hotel_load25.tar.xz", 11000},
		{"traceweaver/hotel_load100.tar.xz", 11000},
		{"traceweaver/media_load50.tar.xz", 27000},
		{"traceweaver/media_load100.tar.xz", 27000},
		{"traceweaver/node_load50.tar.xz", 6000},
	};
	static struct loaded loaded;
	size_t i;

	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		load_shared(&loaded, sets[i].name, false);
		assert_int_equal(loaded.set.nr_traces, 1000);
		assert_int_equal(loaded.imp.counts.nr_files_refused, 0);
		assert_int_equal(loaded.imp.counts.nr_spans, sets[i].nr_spans);
		assert_int_equal(loaded.imp.counts.nr_spans_merged, 0);
		check_all(&loaded, HS_MODEL_EXPORT_JAEGER);
		load_free(&loaded);
	}
}

static void fixtures_are_whole(void **state)
{
	static struct loaded loaded;
	uint32_t i;

	load_shared(&loaded, "jaeger-ui-fixtures", true);
	/* NOTE.md is the only file without a trace. */
	assert_int_equal(loaded.imp.counts.nr_files_refused, 1);
	assert_said(&loaded, "NOTE.md: holds no trace");
	assert_int_equal(loaded.set.nr_traces, 20);
	assert_int_equal(loaded.imp.counts.nr_spans_skipped, 0);
	for (i = 0; i < loaded.set.nr_traces; i++) {
		/* Nanoseconds are what OTLP's were; Jaeger has fewer. */
		bool otlp = loaded.set.traces[i]->resolution_ns == 1;

		assert_there_and_back(loaded.set.traces[i],
				      otlp ? HS_MODEL_EXPORT_OTLP
					   : HS_MODEL_EXPORT_JAEGER);
	}
	load_free(&loaded);
	load_shared(&loaded, "crisp-cases", true);
	assert_int_equal(loaded.imp.counts.nr_files_refused, 1);
	assert_int_equal(loaded.set.nr_traces, 30);
	assert_int_equal(loaded.imp.counts.nr_spans_skipped, 0);
	check_all(&loaded, HS_MODEL_EXPORT_JAEGER);
	load_free(&loaded);
}

static void fixtures_without_remapping(void **state)
{
	static struct loaded loaded;

	load_shared(&loaded, "crisp-cases", false);
	assert_int_equal(loaded.set.nr_traces, 1);
	assert_said(&loaded, "spans[6].spanID: \"G\" is no id");
	assert_said(&loaded, "holds other spans under this id");
	load_free(&loaded);
}

static void nezha_is_whole(void **state)
{
	static struct loaded loaded;
	uint64_t nr_spans = 0;
	uint32_t i;

	load_shared(&loaded,
		    "nezha/onlineboutique_2022-08-23_12h_trace_csv.tar.xz",
		    false);
	assert_int_equal(loaded.set.nr_traces, 8616);
	assert_int_equal(loaded.imp.counts.nr_spans_merged, 1690);
	assert_int_equal(loaded.imp.counts.nr_spans_skipped, 0);
	for (i = 0; i < loaded.set.nr_traces; i++)
		nr_spans += loaded.set.traces[i]->nr_spans;
	assert_int_equal(nr_spans, 369418);
	for (i = 0; i < loaded.set.nr_traces; i += 50)
		assert_there_and_back(loaded.set.traces[i],
				      HS_MODEL_EXPORT_OTLP);
	load_free(&loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traceweaver_is_whole),
		cmocka_unit_test(fixtures_are_whole),
		cmocka_unit_test(fixtures_without_remapping),
		cmocka_unit_test(nezha_is_whole),
	};

	if (access(data_dir(), R_OK)) {
		fprintf(stderr,
			"skipped: no shared data in %s (HS_SHARED_DATA names "
			"another place)\n",
			data_dir());
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabric.json: what is written is read back; what is wrong is refused by name.
 * And a collector's rows in words.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tools/fabric.h"
#include "tools/row.h"

struct place {
	char dir[64];
	char file[96];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/hs-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->file, sizeof(p->file), "%s/fabric.json", p->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	unlink(p->file);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void put(const struct place *p, const char *text)
{
	FILE *f = fopen(p->file, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void test_round_trip(void **state)
{
	const struct place *p = *state;
	struct hs_fabric out,
		in = {.nr_nodes = 2, .nr_coordinators = 1, .nr_collectors = 1};
	char error[256];

	strcpy(in.nodes[0].name, "a");
	strcpy(in.nodes[0].agent, "/x/a.sock");
	strcpy(in.nodes[0].application, "/x/app.sock");
	strcpy(in.nodes[1].name, "b");
	strcpy(in.nodes[1].agent, "/x/b.sock");
	strcpy(in.nodes[1].application, "/x/bpp.sock");
	strcpy(in.coordinators[0], "/x/co.sock");
	strcpy(in.collectors[0], "/x/cl.sock");
	assert_int_equal(hs_fabric_save(&in, p->dir), 0);
	assert_int_equal(hs_fabric_load(&out, p->dir, error, sizeof(error)), 0);
	assert_memory_equal(&in, &out, sizeof(in));
}

static void test_relative_paths(void **state)
{
	const struct place *p = *state;
	struct hs_fabric out;
	char error[256], want[128];

	put(p, "{\"nodes\":[{\"name\":\"a\",\"agent\":\"a.sock\"}]}");
	assert_int_equal(hs_fabric_load(&out, p->dir, error, sizeof(error)), 0);
	snprintf(want, sizeof(want), "%s/a.sock", p->dir);
	assert_string_equal(out.nodes[0].agent, want);
	assert_string_equal(out.nodes[0].application, "");
	assert_int_equal(out.nr_collectors, 0);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"nodes\":1}",
		"{\"nodes\":[1]}",
		"{\"nodes\":[{\"name\":\"a\"}]}",
		"{\"nodes\":[{\"name\":\"\",\"agent\":\"x\"}]}",
		"{\"nodes\":[{\"name\":\"a\",\"agent\":\"\"}]}",
		"{\"nodes\":[],\"collectors\":\"x\"}",
		"{\"nodes\":[],\"collectors\":[1]}",
		"{\"nodes\":[],\"nodes\":[]}",
		"{\"nodes\":[",
	};
	const struct place *p = *state;
	struct hs_fabric out;
	char error[256];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put(p, bad[i]);
		error[0] = 0;
		assert_int_equal(
			hs_fabric_load(&out, p->dir, error, sizeof(error)),
			-EINVAL);
		assert_non_null(strstr(error, "fabric.json"));
	}
}

static void test_missing(void **state)
{
	const struct place *p = *state;
	struct hs_fabric out;
	char error[256];

	assert_int_equal(hs_fabric_load(&out, p->dir, error, sizeof(error)),
			 -ENOENT);
}

static void read_row(const char *text, struct hs_tools_row *row, json_t **json)
{
	*json = json_loads(text, 0, NULL);
	assert_non_null(*json);
	assert_int_equal(hs_tools_row_read(*json, row), 0);
}

static void test_row_words(void **state)
{
	struct hs_tools_row row;
	json_t *json;
	char text[128];

	read_row("{\"trace_id\":\"00000000000000000000000000000001\","
		 "\"mark\":\"partial\",\"version\":3,\"triggers\":[\"a\","
		 "{\"name\":\"b\"}],\"causes\":[{\"node\":\"0000000200000007\","
		 "\"cause\":\"application died\"}]}",
		 &row, &json);
	hs_tools_row_mark(&row, text, sizeof(text));
	assert_string_equal(text, "partial: node 2: application died");
	hs_tools_row_names(row.triggers, text, sizeof(text));
	assert_string_equal(text, "a, b");
	hs_tools_row_names(row.triggers, text, 3);
	assert_string_equal(text, "a,");
	json_decref(json);
	read_row("{\"trace_id\":\"00000000000000000000000000000001\","
		 "\"mark\":\"complete\",\"version\":3}",
		 &row, &json);
	hs_tools_row_mark(&row, text, sizeof(text));
	assert_string_equal(text, "complete as of v3");
	json_decref(json);
}

static void test_row_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"trace_id\":\"1\",\"mark\":\"open\"}",
		"{\"trace_id\":\"00000000000000000000000000000001\"}",
		"{\"trace_id\":7,\"mark\":\"open\"}",
	};
	struct hs_tools_row row;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		json_t *json = json_loads(bad[i], 0, NULL);

		assert_int_equal(hs_tools_row_read(json, &row), -EBADMSG);
		json_decref(json);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip), TEST(test_relative_paths),
		TEST(test_refused),    TEST(test_missing),
		TEST(test_row_words),  TEST(test_row_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

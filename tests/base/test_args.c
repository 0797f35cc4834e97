/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: options read, refused in words, and shown with their defaults.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool json;
static const char *socket_path;
static uint64_t limit;
static uint64_t last_ns;
static uint64_t pool_bytes;
static double share;
static const char *items[2];
static struct hs_args_list triggers;

static const struct hs_args_option options[] = {
	{"json", 'j', HS_ARGS_FLAG, &json, NULL, "Print JSON.", 0, 0},
	{"socket", 0, HS_ARGS_STRING, &socket_path, "PATH", "Whom to ask.", 0,
	 0},
	{"limit", 'n', HS_ARGS_U64, &limit, "N", "How many.", 1, 100},
	{"last", 0, HS_ARGS_DURATION, &last_ns, "TIME", "How far back.", 0, 0},
	{"pool", 0, HS_ARGS_SIZE, &pool_bytes, "SIZE", "How big.", 1024,
	 1 << 20},
	{"share", 0, HS_ARGS_DOUBLE, &share, "X", "Of all.", 0, 1},
	{"trigger", 0, HS_ARGS_LIST, &triggers, "RULE", "What fires.", 0, 0},
};

static struct hs_args_program program = {
	.name = "hs traces",
	.synopsis = "[options] ID...",
	.summary = "Show traces.",
	.options = options,
	.nr_options = sizeof(options) / sizeof(options[0]),
	.examples = "  hs traces --limit 5",
};

static char *out_text;
static char *err_text;
static int first;

static int parse(int argc, const char *const *argv)
{
	char *copy[16] = {0};
	size_t len;
	FILE *out;
	FILE *err;
	int rc;

	free(out_text);
	free(err_text);
	out = open_memstream(&out_text, &len);
	err = open_memstream(&err_text, &len);
	for (int i = 0; i < argc; i++)
		copy[i] = (char *)(uintptr_t)argv[i];
	rc = hs_args_parse(&program, argc, copy, &first, out, err);
	fclose(out);
	fclose(err);
	return rc;
}

#define PARSE(...)                                                             \
	parse(sizeof((const char *[]){"hs", __VA_ARGS__}) / sizeof(char *),    \
	      (const char *[]){"hs", __VA_ARGS__})

static int set_up(void **state)
{
	json = false;
	socket_path = "/run/hs";
	limit = 20;
	last_ns = 2000000000;
	pool_bytes = 65536;
	share = 0.01;
	triggers = (struct hs_args_list){items, 0, 2};
	program.stops_at_word = false;
	return 0;
}

static int tear_down(void **state)
{
	free(out_text);
	free(err_text);
	out_text = NULL;
	err_text = NULL;
	return 0;
}

static void test_all(void **state)
{
	assert_int_equal(PARSE("id", "-j", "--socket=/x", "-n5", "--last", "1h",
			       "--pool", "4KiB", "--share", "1", "--trigger",
			       "a", "--trigger=b", "id2"),
			 HS_ARGS_OK);
	assert_true(json);
	assert_string_equal(socket_path, "/x");
	assert_true(limit == 5 && last_ns == 3600000000000);
	assert_true(pool_bytes == 4096 && share == 1);
	assert_int_equal(triggers.nr_items, 2);
	assert_string_equal(items[1], "b");
	assert_int_equal(first, 13); /* the two words are last */
	assert_string_equal(err_text, "");
}

static void test_stops_at_word(void **state)
{
	program.stops_at_word = true;
	assert_int_equal(PARSE("--json", "show", "--unknown"), HS_ARGS_OK);
	assert_int_equal(first, 2);
}

static void test_refused(void **state)
{
	assert_int_equal(PARSE("--limt", "5"), -EINVAL);
	assert_string_equal(err_text, "hs traces: unknown option --limt; did "
				      "you mean --limit?\n");
	assert_int_equal(PARSE("--colour"), -EINVAL);
	assert_string_equal(err_text, "hs traces: unknown option --colour; "
				      "see --help\n");
	assert_int_equal(PARSE("--limit", "101"), -EINVAL);
	assert_string_equal(err_text,
			    "hs traces: --limit: \"101\" does not fit; right "
			    "would be a whole number, from 1 to 100\n");
	assert_int_equal(PARSE("--pool", "1TiB"), -EINVAL);
	assert_string_equal(err_text,
			    "hs traces: --pool: \"1TiB\" does not fit; right "
			    "would be a size such as 64MiB, from 1KiB to "
			    "1MiB\n");
	assert_int_equal(PARSE("--last", "soon"), -EINVAL);
	assert_int_equal(PARSE("--share", "nan"), -EINVAL);
	assert_int_equal(PARSE("--limit"), -EINVAL);
	assert_string_equal(err_text,
			    "hs traces: --limit wants a value; see --help\n");
	assert_int_equal(
		PARSE("--trigger", "a", "--trigger", "b", "--trigger", "c"),
		-EINVAL);
	assert_string_equal(err_text,
			    "hs traces: --trigger may be given 2 times\n");
	assert_int_equal(PARSE("-z"), -EINVAL);
	assert_string_equal(err_text,
			    "hs traces: unknown option -z; see --help\n");
	assert_true(limit == 20);
}

static void test_help(void **state)
{
	assert_int_equal(PARSE("--help"), HS_ARGS_HELP);
	assert_string_equal(
		out_text,
		"usage: hs traces [options] ID...\n\nShow traces.\n\n"
		"options:\n"
		"  -j, --json                   Print JSON.\n"
		"      --socket PATH            Whom to ask. (default "
		"/run/hs)\n"
		"  -n, --limit N                How many. (default 20)\n"
		"      --last TIME              How far back. (default 2s)\n"
		"      --pool SIZE              How big. (default 64KiB)\n"
		"      --share X                Of all. (default 0.01)\n"
		"      --trigger RULE           What fires. (may be given "
		"again)\n"
		"  -h, --help                   Print this and exit.\n"
		"\nexamples:\n  hs traces --limit 5\n"
		"\nexit codes:\n  0  done\n  1  failed\n  2  wrong usage\n");
	assert_int_equal(PARSE("-h"), HS_ARGS_HELP);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_all),
		CASE(test_stops_at_word),
		CASE(test_refused),
		CASE(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

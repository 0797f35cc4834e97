/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_settings.c - the schema is sound, and the example in docs/ is its own
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/settings.h"

static const char *example_path;

static void schema_is_sound(void **state)
{
	char why[256];

	(void)state;
	if (!hs_config_schema_check(&hs_coordinator_schema, why, sizeof(why)))
		fail_msg("%s", why);
}

static void example_is_printed(void **state)
{
	static char printed[65536], stands[65536];
	FILE *f = fmemopen(printed, sizeof(printed) - 1, "w");

	(void)state;
	hs_config_print_example(&hs_coordinator_schema, f);
	fclose(f);
	f = fopen(example_path, "r");
	assert_non_null(f);
	assert_true(fread(stands, 1, sizeof(stands) - 1, f) > 0);
	fclose(f);
	/* Differs: hs-coordinator --print-config > docs/examples/... */
	assert_string_equal(stands, printed);
}

static int load(const char *text, struct hs_coordinator_settings *out,
		struct hs_config_error *error)
{
	char path[] = "/tmp/hs-coordinator-XXXXXX";
	int fd = mkstemp(path);
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	rc = hs_coordinator_settings_load(path, out, error);
	unlink(path);
	return rc;
}

static void read_and_refused(void **state)
{
	struct hs_coordinator_settings s;
	struct hs_config_error error;
	struct hs_coord_config c;

	(void)state;
	assert_int_equal(load("node:\n  id: 7\n  name: c\n"
			      "timeouts:\n  unreachable: 3s\n",
			      &s, &error),
			 0);
	c = hs_coordinator_settings_core(&s);
	assert_int_equal(c.unreachable_after_ns, 3000000000ull);
	assert_int_equal(c.nr_traces, 16384);
	assert_string_equal(s.name, "c");
	hs_config_free(&hs_coordinator_schema, &s);
	assert_int_equal(load("node:\n  id: 7\n  name: 'a b'\n", &s, &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "node.name"));
	assert_int_equal(load("node:\n  id: 0\n", &s, &error), -EINVAL);
	assert_int_equal(load("node:\n  id: 1\nlisten_on: x\n", &s, &error),
			 -EINVAL);
	assert_int_equal(error.line, 3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schema_is_sound),
		cmocka_unit_test(example_is_printed),
		cmocka_unit_test(read_and_refused),
	};

	if (argc != 2)
		return 2;
	example_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostlist.c - lists as Slurm writes them, and what is no list
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rdma/hostlist.h"

static char got[4096];
static char error[HS_HOSTLIST_ERROR_BYTES];

static int add(void *ctx, const char *word)
{
	(void)ctx;
	snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", word);
	return 0;
}

static int expand(const char *text, uint32_t max)
{
	got[0] = 0;
	return hs_hostlist_expand(text, max, add, NULL, error);
}

static void good(void **state)
{
	static const char *const pairs[][2] = {
		{"a:1", "a:1 "},
		{"a,b", "a b "},
		{"node[01-03,20]:7410",
		 "node01:7410 node02:7410 node03:7410 node20:7410 "},
		{"n[9-11]", "n9 n10 n11 "},
		{"n[008-010],head", "n008 n009 n010 head "},
		{"r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2 "},
		{"n[5]", "n5 "},
		{"[::1]:7410,10.0.0.[1-2]:7", "[::1]:7410 10.0.0.1:7 "
					      "10.0.0.2:7 "},
		{"1001@h:1", "1001@h:1 "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(expand(pairs[i][0], 100), 0);
		assert_string_equal(got, pairs[i][1]);
	}
}

static void bad(void **state)
{
	static const char *const wrong[] = {"",
					    ",",
					    "a,",
					    "a[",
					    "a[1",
					    "a]",
					    "a[]",
					    "a[1-]",
					    "a[-1]",
					    "a[3-1]",
					    "a[1,]",
					    "a[x]",
					    "a[1-2-3]",
					    "a b",
					    "a\n",
					    "a[1]]",
					    "a[1[2]]",
					    "a[99999999999]",
					    "a[1][1][1][1][1]"};
	char text[600];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(expand(wrong[i], 100), -EINVAL);
		assert_true(error[0]);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(expand(text, 100), -EINVAL);
	text[275] = 0;
	strcat(text, "[10000-10001]");
	assert_int_equal(expand(text, 100), -EINVAL);
	assert_int_equal(expand("a[1-100000000]", 100), -ENOSPC);
	assert_int_equal(expand("a,b,c", 2), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

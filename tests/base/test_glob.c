/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns, and one that would take for ever where a star is tried wrongly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/glob.h"

static bool fits(const char *pattern, const char *text)
{
	return hs_glob(pattern, strlen(pattern), text, strlen(text));
}

static void test_fits(void **state)
{
	assert_true(fits("", ""));
	assert_true(fits("a", "a"));
	assert_true(fits("*", ""));
	assert_true(fits("*", "anything"));
	assert_true(fits("http.*.secret", "http.request.secret"));
	assert_true(fits("*.email", "user.home.email"));
	assert_true(fits("a*b*c", "aXbYbZc"));
	assert_true(fits("?b?", "abc"));
	assert_true(fits("**a**", "bab"));
	assert_true(fits("a*", "a"));
}

static void test_fits_not(void **state)
{
	assert_false(fits("", "a"));
	assert_false(fits("a", ""));
	assert_false(fits("a", "ab"));
	assert_false(fits("?", ""));
	assert_false(fits("*.email", "user.email.old"));
	assert_false(fits("a*b", "acbd"));
	assert_false(fits("A", "a"));
}

static void test_not_exponential(void **state)
{
	char pattern[128], text[4096];

	for (size_t i = 0; i + 1 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(text, 'a', sizeof(text));
	assert_true(hs_glob(pattern, sizeof(pattern), text, sizeof(text)));
	text[sizeof(text) - 1] = 'b';
	assert_false(hs_glob(pattern, sizeof(pattern), text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_fits_not),
		cmocka_unit_test(test_not_exponential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

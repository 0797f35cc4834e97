/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: alignment of tables, widths of text, and what is made harmless.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/table.h"

#include <stdlib.h>
#include <string.h>

static char *printed(const struct hs_table *t, bool with_titles)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(hs_table_print(t, f, with_titles), 0);
	fclose(f);
	return text;
}

static void test_columns(void **state)
{
	static const struct hs_table_column columns[] = {
		{"service", false, 8},
		{"spans", true, 0},
		{"took", true, 0},
		{"note", false, 0},
	};
	struct hs_table *t = hs_table_new(columns, 4);
	char *text;

	assert_non_null(t);
	hs_table_text(t, "a-long-service");
	hs_table_number(t, 7);
	hs_table_duration(t, 1500000000);
	hs_table_text(t, "");
	hs_table_text(t, "\xc3\xa9\xe4\xb8\xad");
	hs_table_number(t, 1234567);
	hs_table_size(t, 2048);
	hs_table_textf(t, "%d!", 5);
	hs_table_text(t, "half");
	assert_int_equal(hs_table_nr_rows(t), 3);
	text = printed(t, true);
	assert_string_equal(text, "service     spans     took  note\n"
				  "a-long-\xe2\x80\xa6        7    1.50s\n"
				  "\xc3\xa9\xe4\xb8\xad       1234567  "
				  "2.00KiB  5!\n"
				  "half\n");
	free(text);
	text = printed(t, false);
	assert_null(strstr(text, "service  "));
	free(text);
	hs_table_free(t);
	hs_table_free(NULL);
}

static void test_width(void **state)
{
	assert_int_equal(hs_table_text_width(""), 0);
	assert_int_equal(hs_table_text_width("abc"), 3);
	assert_int_equal(hs_table_text_width("e\xcc\x81"), 1);
	assert_int_equal(hs_table_text_width("\xe4\xb8\xad"), 2);
	assert_int_equal(hs_table_text_width("\xf0\x9f\x98\x80"), 2);
	assert_int_equal(hs_table_text_width("\xff\xff"), 2);
	assert_int_equal(hs_table_text_width("\xe4\xb8"), 2); /* cut */
}

static void test_harmless(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		const char *shown;
	} cases[] = {
		{"a\x1b[2Jb\n", 0, "a?[2Jb?"},
		{"\xc2\x9b"
		 "31m",
		 0, "??31m"},		    /* C1 control */
		{"\xc0\xaf", 0, "??"},	    /* overlong */
		{"\xed\xa0\x80", 0, "???"}, /* surrogate */
		{"\xe2\x80\xae"
		 "x",
		 0, "???x"}, /* turns the line round */
		{"abcdef", 4, "abc\xe2\x80\xa6"},
		{"\xe4\xb8\xad\xe4\xb8\xad", 3, "\xe4\xb8\xad\xe2\x80\xa6"},
		{"\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 4,
		 "\xe4\xb8\xad\xe2\x80\xa6"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);

		hs_table_text_print(f, cases[i].text, cases[i].max);
		fclose(f);
		assert_string_equal(text, cases[i].shown);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

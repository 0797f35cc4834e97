/* SPDX-License-Identifier: Apache-2.0 */
/* OpenMetrics text: declarations, suffixes, what must be escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/openmetrics.h"

static void test_text(void **state)
{
	const struct hs_openmetrics_family counter = {
		.prefix = "p",
		.name = "sent_bytes",
		.type = HS_OPENMETRICS_COUNTER,
		.unit = "bytes",
		.help = "What was sent.",
	};
	const struct hs_openmetrics_family gauge = {
		.prefix = "p",
		.name = "up_seconds",
		.type = HS_OPENMETRICS_GAUGE,
	};
	const struct hs_openmetrics_label labels[] = {
		{"to", "a\"b\\c\nd"},
		{"how", ""},
	};
	char *text = NULL;
	size_t size_bytes;
	FILE *f = open_memstream(&text, &size_bytes);

	hs_openmetrics_begin(f, &counter);
	hs_openmetrics_u64(f, &counter, labels, 2, UINT64_MAX);
	hs_openmetrics_begin(f, &gauge);
	hs_openmetrics_seconds(f, &gauge, NULL, 0, 1500000000.0);
	hs_openmetrics_end(f);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "# TYPE p_sent_bytes counter\n"
				  "# UNIT p_sent_bytes bytes\n"
				  "# HELP p_sent_bytes What was sent.\n"
				  "p_sent_bytes_total{to=\"a\\\"b\\\\c\\nd\","
				  "how=\"\"} 18446744073709551615\n"
				  "# TYPE p_up_seconds gauge\n"
				  "p_up_seconds 1.5\n"
				  "# EOF\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

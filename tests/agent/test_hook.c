/* SPDX-License-Identifier: Apache-2.0 */
/* What a webhook is asked for, in each of its forms, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/hook.h"

#define ID_A "4bf92f3577b34da6a3ce929d0e0e4736"
#define ID_B "00000000000000000000000000000b0b"

static struct hs_hook hook;
static struct hs_hook_defaults defaults;

static void taken(const char *body)
{
	if (hs_hook_parse(&defaults, body, strlen(body), &hook))
		fail_msg("%s", hook.why);
}

static void refused(const char *body, const char *why)
{
	assert_int_equal(hs_hook_parse(&defaults, body, strlen(body), &hook),
			 -EINVAL);
	if (!strstr(hook.why, why))
		fail_msg("\"%s\" is not in \"%s\"", why, hook.why);
}

static void test_form(void **state)
{
	taken("trigger=slow&trace_id=" ID_A "&other=1&trace_id=b0b");
	assert_int_equal(hook.nr_asks, 1);
	assert_string_equal(hook.asks[0].name, "slow");
	assert_int_equal(hook.asks[0].nr_ids, 2);
	assert_int_equal(hook.ids[0].hi, 0x4bf92f3577b34da6);
	assert_int_equal(hook.ids[1].lo, 0xb0b);
	taken("last=2s&service=cart+%26%20co&limit=7");
	assert_string_equal(hook.asks[0].name, "alert");
	assert_int_equal(hook.asks[0].last_ns, 2000000000);
	assert_string_equal(hook.asks[0].service, "cart & co");
	assert_int_equal(hook.asks[0].limit, 7);
	taken("last=1m");
	assert_int_equal(hook.asks[0].limit, HS_HOOK_LIMIT);
	taken("\r\n trace_ids=" ID_A ",%20" ID_B);
	assert_int_equal(hook.asks[0].nr_ids, 2);
}

static void test_plain_json(void **state)
{
	taken("{\"trigger\": \"slow\", \"trace_ids\": [\"" ID_A "\", \"" ID_B
	      "\"], \"more\": {}}");
	assert_int_equal(hook.asks[0].nr_ids, 2);
	taken("{\"last\": \"1.5s\", \"limit\": 9}");
	assert_int_equal(hook.asks[0].last_ns, 1500000000);
	assert_int_equal(hook.asks[0].limit, 9);
	refused("{\"last\": true}", "last: should be a text");
	refused("{\"trace_ids\": [7]}", "list of texts");
	refused("{\"trace_id\": ", "no JSON: line 1");
	refused("{}", "nothing is asked for");
}

#define ALERT(status, labels, notes)                                           \
	"{\"status\": \"" status "\", \"labels\": {" labels                    \
	"}, \"annotations\": {" notes "}}"

static void test_alertmanager(void **state)
{
	taken("{\"version\": \"4\", \"status\": \"firing\", \"alerts\": "
	      "[" ALERT(
		      "firing", "\"alertname\": \"Slow checkout (p99)!\"",
		      "\"trace_id\": \"" ID_A
		      "\"") "," ALERT("resolved", "\"alertname\": \"x\"",
				      "\"trace_id\": \"" ID_A
				      "\"") "," ALERT("firing",
						      "\"alertname\": "
						      "\"Errors\"",
						      "\"hs_last\": \"30s\", "
						      "\"hs_service\": "
						      "\"cart\", "
						      "\"hs_limit\": \"20\", "
						      "\"hs_trigger\": "
						      "\"errors\"") "," ALERT("firing",
									      "\"alertname\": \"DiskFull\"",
									      "") "]}");
	assert_int_equal(hook.nr_asks, 2);
	assert_string_equal(hook.asks[0].name, "Slow_checkout__p99__");
	assert_int_equal(hook.asks[0].nr_ids, 1);
	assert_string_equal(hook.asks[1].name, "errors");
	assert_int_equal(hook.asks[1].last_ns, 30000000000);
	assert_string_equal(hook.asks[1].service, "cart");
	assert_int_equal(hook.asks[1].limit, 20);
	assert_int_equal(hook.asks[1].nr_ids, 0);
	assert_int_equal(hook.resolved, 1);
	assert_int_equal(hook.empty, 1);
	/* All is well again: nothing to do, and no error. */
	taken("{\"alerts\": [" ALERT("resolved", "", "") "]}");
	assert_int_equal(hook.nr_asks, 0);
	refused("{\"alerts\": {}}", "should be a list");
	refused("{\"alerts\": [1, null, []]}", "nothing is asked for");
}

static void test_defaults(void **state)
{
	defaults = (struct hs_hook_defaults){
		.trigger = "pager", .last = "5s", .service = "s", .limit = "3"};
	taken("{\"alerts\": [" ALERT("firing", "\"alertname\": \"A\"",
				     "") "]}");
	assert_string_equal(hook.asks[0].name, "A");
	assert_int_equal(hook.asks[0].last_ns, 5000000000);
	assert_int_equal(hook.asks[0].limit, 3);
	assert_string_equal(hook.asks[0].service, "s");
	taken("");
	assert_string_equal(hook.asks[0].name, "pager");
	defaults.last = "soon";
	refused("", "last: \"soon\"");
	defaults = (struct hs_hook_defaults){0};
}

static void test_refused(void **state)
{
	refused("", "nothing is asked for");
	refused("trace_id=xyz", "\"xyz\" should be up to 32");
	refused("trace_id=0", "not all zero");
	refused("trace_id=" ID_A "0", "up to 32");
	refused("last=2", "such as 2s");
	refused("last=0s", "such as 2s");
	refused("last=2s&limit=0", "1 to 4096");
	refused("last=2s&limit=9999", "1 to 4096");
	refused("hello", "nothing is asked for");
}

/* Over a limit is left out, and counted. */
static void test_bounded(void **state)
{
	static char body[65536];
	size_t n = (size_t)snprintf(body, sizeof(body), "{\"alerts\": [");

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n,
				      "%s{\"labels\": {\"trace_ids\": "
				      "\"%x,%x,%x,%x,%x\"}}",
				      i ? "," : "", i + 1, i + 2, i + 3, i + 4,
				      i + 5);
	snprintf(body + n, sizeof(body) - n, "]}");
	taken(body);
	assert_int_equal(hook.nr_ids, HS_HOOK_IDS_MAX);
	/* 52 alerts have all or some of their ids, those after them none. */
	assert_int_equal(hook.nr_asks, 52);
	assert_true(hook.left_out + hook.empty >= 100 - 52);
	memset(body, 'x', 1000);
	memcpy(body, "last=2s&service=", 16);
	body[1000] = '\0';
	refused(body, "service: should have at most 127");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_plain_json),
		cmocka_unit_test(test_alertmanager),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

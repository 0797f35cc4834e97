/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of a configuration, compiled: what comes out, what is refused and with
 * which words, and which counters a change keeps.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/rules.h"
#include "dataplane/rules.h"

struct file {
	struct hs_config_maps rules;
};
static const struct hs_config_key keys[] = {
	{.path = "rules",
	 .type = HS_CONFIG_MAPS,
	 .offset = offsetof(struct file, rules),
	 .items = &hs_agent_rule_schema},
};
static const struct hs_config_schema schema = {
	.size_bytes = sizeof(struct file), .keys = keys, .nr_keys = 1};

static struct hs_agent_rules rules;
static struct hs_config_error error;

static int compile(const char *text)
{
	struct file file;
	int rc = hs_config_parse(&schema, "agent.yaml", text, strlen(text),
				 &file, &error);

	if (rc)
		return rc;
	rc = hs_rules_compile(&file.rules, "agent.yaml", &rules, &error);
	hs_config_free(&schema, &file);
	return rc;
}

static int begin(void **state)
{
	memset(&rules, 0, sizeof(rules));
	return 0;
}

static void test_all_fields(void **state)
{
	const struct hs_shm_rules *t = &rules.table;

	assert_int_equal(
		compile("rules:\n"
			"  - name: failed\n"
			"    status: error\n"
			"  - name: slow-cart\n"
			"    trigger: slow\n"
			"    service: checkout\n"
			"    operation: 'POST /cart*'\n"
			"    duration: 250ms\n"
			"    percentile: 99.9\n"
			"    attributes: ['http.status_code >= 500', retry,\n"
			"      'tier = \"7\"', 'part<0.5']\n"
			"  - name: again\n"
			"    attributes: [retry]\n"),
		0);
	assert_int_equal(t->nr_rules, 3);
	assert_string_equal(t->rules[0].trigger, "failed");
	assert_int_equal(t->rules[0].statuses, 4);
	assert_string_equal(t->rules[1].trigger, "slow");
	assert_string_equal(t->rules[1].service, "checkout");
	assert_string_equal(t->rules[1].operation, "POST /cart*");
	assert_int_equal(t->rules[1].min_ns, 250000000);
	assert_int_equal(t->rules[1].percentile_ppm, 999000);
	assert_int_equal(t->rules[1].tests, 15);
	assert_int_equal(t->nr_tests, 4);
	assert_string_equal(t->tests[0].key, "http.status_code");
	assert_int_equal(t->tests[0].op, HS_SHM_TEST_AT_LEAST);
	assert_int_equal(t->tests[0].numeric, 1);
	assert_true(t->tests[0].number == 500);
	assert_int_equal(t->tests[1].op, HS_SHM_TEST_EXISTS);
	assert_int_equal(t->tests[2].numeric, 0);
	assert_string_equal(t->tests[2].text, "7");
	assert_int_equal(t->tests[3].op, HS_SHM_TEST_LESS);
	/* Asked twice, tested once. */
	assert_int_equal(t->rules[2].tests, 2);
	assert_true(hs_rules_check(t));
}

static void refused(const char *text, const char *why)
{
	assert_int_equal(compile(text), -EINVAL);
	if (!strstr(error.text, why))
		fail_msg("'%s' is not in '%s'", why, error.text);
	assert_int_equal(strncmp(error.text, "agent.yaml", 10), 0);
}

static void test_refused(void **state)
{
	refused("rules: [{name: a}]", "\"a\": asks nothing");
	refused("rules: [{name: a, status: bad}]", "status");
	refused("rules: [{name: 'a b', status: ok}]", "names should be");
	refused("rules: [{name: a, trigger: '', status: ok}]", "names");
	refused("rules: [{name: a, status: ok}, {name: a, status: ok}]",
		"twice");
	refused("rules: [{name: a, percentile: 49}]", "50 to 99.999");
	refused("rules: [{name: a, percentile: 99.9999}]", "50 to 99.999");
	refused("rules: [{name: a, attributes: ['= 5']}]", "key");
	refused("rules: [{name: a, attributes: ['k ! 5']}]", "one of");
	refused("rules: [{name: a, attributes: ['k = ']}]", "missing");
	refused("rules: [{name: a, duration: 1w}]", "duration");
	refused("rules: [{nam: a}]", "name");
	/* What was in force stays, whatever came since. */
	assert_int_equal(compile("rules: [{name: a, status: error}]"), 0);
	refused("rules: [{name: b, status: ok}, {name: c}]", "\"c\"");
	assert_int_equal(rules.table.nr_rules, 1);
	assert_string_equal(rules.places[0].name, "a");
}

static void test_limits(void **state)
{
	char text[8192] = "rules:\n";
	size_t n = strlen(text);

	for (uint32_t i = 0; i < HS_SHM_RULES_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "  - {name: r%u, attributes: [k%u]}\n", i,
				      i);
	assert_int_equal(compile(text), 0);
	assert_int_equal(rules.table.nr_rules, HS_SHM_RULES_MAX);
	assert_true(hs_rules_check(&rules.table));
	snprintf(text + n, sizeof(text) - n, "  - {name: x, status: ok}\n");
	refused(text, "at most 64");
	text[n] = '\0';
	text[n - 3] = ',';
	snprintf(text + n - 2, sizeof(text) - n, " y]}\n");
	refused(text, "different ones");
}

static void test_places(void **state)
{
	assert_int_equal(compile("rules: [{name: a, status: ok}, {name: b, "
				 "status: ok}]"),
			 0);
	rules.places[1].fired = 7;
	assert_int_equal(compile("rules: [{name: c, status: ok}, {name: b, "
				 "status: ok}]"),
			 0);
	/* b counts on where it counted, c in a place of its own. */
	assert_int_equal(rules.table.rules[1].slot, 1);
	assert_int_equal(rules.places[1].fired, 7);
	assert_int_equal(rules.table.rules[0].slot, 2);
	assert_false(rules.places[0].live);
	assert_int_equal(compile("rules: []"), 0);
	assert_int_equal(rules.table.nr_rules, 0);
	assert_true(hs_rules_check(&rules.table));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_fields, begin),
		cmocka_unit_test_setup(test_refused, begin),
		cmocka_unit_test_setup(test_limits, begin),
		cmocka_unit_test_setup(test_places, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

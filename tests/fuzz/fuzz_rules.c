/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the rules from both ends. As YAML: compiled or refused with a
 * place, and what compiles is a table that clients take. As a table in shared
 * memory that the agent, or who stands for it, filled with any bytes: taken or
 * left, and spans go on.
 */
#include "tests/fuzz/fuzz.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rules.h"
#include "dataplane/rules.h"
#include "dataplane/rules_shared.h"
#include "tests/dataplane/harness.h"

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

#define SEED(text)                                                             \
	{                                                                      \
		text, sizeof(text) - 1                                         \
	}
const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	SEED("rules:\n  - name: a\n    status: error\n    duration: 5ms\n"
	     "    percentile: 99\n    service: s*\n    operation: '*o*'\n"
	     "    attributes: ['k >= 5', 'k2', 'k3 = \"x\"']\n"),
	SEED("rules: [{name: a, attributes: ['k!=', '=', '<=1', \"k='\"]}]"),
	SEED("\1\0\0\0\2\0\0\0\2\0\0\0"),
	{NULL, 0},
};

static struct fake_agent agent;
static uint64_t seq;

static void yaml(const uint8_t *data, size_t len_bytes)
{
	static struct hs_agent_rules rules;
	struct hs_config_error error = {0};
	struct file file;

	if (hs_config_parse(&schema, "fuzz", data, len_bytes, &file, &error))
		return;
	memset(&rules, 0, sizeof(rules));
	if (hs_rules_compile(&file.rules, "fuzz", &rules, &error) == 0) {
		if (!hs_rules_check(&rules.table))
			abort();
	} else if (strncmp(error.text, "fuzz", 4) != 0) {
		abort();
	}
	hs_config_free(&schema, &file);
}

/* The bytes again and again, over a table that would be good. */
static void table(const uint8_t *data, size_t len_bytes)
{
	static struct hs_shm_rules t;
	static const uint32_t limits[] = {HS_SHM_RULES_MAX, HS_SHM_TESTS_MAX};
	uint8_t *at = (uint8_t *)t.rules;
	size_t room = sizeof(t) - offsetof(struct hs_shm_rules, rules);

	memset(&t, 0, sizeof(t));
	for (size_t i = 0; i < room; i++)
		at[i] = data[i % len_bytes];
	t.version = HS_SHM_RULES_VERSION;
	t.nr_rules = data[0] % (limits[0] + 2);
	t.nr_tests = data[len_bytes - 1] % (limits[1] + 2);
	/* Where most would fail the same way, one byte in two is put right. */
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX && data[0] & 1; i++) {
		struct hs_shm_rule *r = &t.rules[i];

		r->trigger[3] = r->service[5] = r->operation[9] = '\0';
		r->statuses = (uint8_t)(1 + r->statuses % 7);
		r->slot %= HS_SHM_RULES_MAX;
		r->percentile_ppm = r->percentile_ppm & 1 ? 990000 : 0;
		r->tests &= t.nr_tests < 64 ? (1ull << t.nr_tests) - 1 : ~0ull;
	}
	for (uint32_t i = 0; i < HS_SHM_TESTS_MAX && data[0] & 1; i++) {
		t.tests[i].key[7] = t.tests[i].text[9] = '\0';
		t.tests[i].op %= HS_SHM_TEST_NR;
		t.tests[i].numeric &= 1;
	}
	seq += 2;
	hs_rules_shared_write(fake_agent_rules(&agent), &t, seq);
	hs_client_poll();
}

static void use(const uint8_t *data, size_t len_bytes)
{
	struct hs_trace *t = hs_trace_begin(NULL, NULL);
	struct hs_attr attr = {.key = (const char *)data,
			       .key_bytes = (uint32_t)(len_bytes % 12 + 1),
			       .type = data[0] % 6u};
	struct hs_span s;

	attr.value.bytes.data = data;
	attr.value.bytes.size_bytes = len_bytes;
	hs_span_start(t, &s, data[0] & 2 ? "operation" : "o", 0);
	if (attr.key_bytes <= len_bytes)
		hs_span_attr(&s, &attr);
	hs_span_attr_i64(&s, "k", data[0]);
	hs_span_status(&s, (enum hs_span_status)(data[0] % 3), NULL);
	hs_span_end(&s);
	hs_trace_end(t);
	fake_agent_drain(&agent);
	agent.nr_entries = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	if (!agent.down)
		harness_attach(&agent, NULL, NULL);
	if (!len_bytes)
		return 0;
	yaml(data, len_bytes);
	table(data, len_bytes);
	use(data, len_bytes);
	return 0;
}

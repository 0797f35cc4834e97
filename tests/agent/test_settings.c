/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused in the configuration, and that the example is good. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/settings.h"

#define HEAD                                                                   \
	"node: {id: 3}\n"                                                      \
	"domains:\n"                                                           \
	"  - {name: a, socket: /tmp/a.sock}\n"

static void refused(const char *text, const char *says)
{
	static struct hs_agent_settings s;
	struct hs_config_error error;

	assert_int_equal(hs_agent_settings_load(&s, "x.yaml", text,
						strlen(text), &error),
			 -EINVAL);
	if (!strstr(error.text, says))
		fail_msg("\"%s\" is not in \"%s\"", says, error.text);
	assert_non_null(strstr(error.text, "x.yaml"));
}

static void test_defaults(void **state)
{
	static struct hs_agent_settings s;
	struct hs_config_error error;
	struct hs_agent_config core;

	assert_int_equal(
		hs_agent_settings_load(&s, "x", HEAD, strlen(HEAD), &error), 0);
	assert_int_equal(s.node, 3);
	assert_string_equal(s.door.socket, "/run/hindsight/control.sock");
	assert_int_equal(hs_agent_listener_get(&s, 0)->mode, 0666);
	assert_int_equal(hs_agent_listener_get(&s, 0)->buffer_bytes, 512);
	assert_int_equal(hs_agent_listener_get(&s, 0)->buffer_max_bytes, 65536);
	assert_int_equal(s.linger_ns, 30000000000);
	assert_true(s.nr_rings > 0);
	assert_non_null(s.node_name);
	hs_agent_settings_core(&s, &core);
	assert_int_equal(core.evict_percent, 80);
	assert_false(core.crash_trigger);
	hs_agent_settings_free(&s);
}

static void test_refused(void **state)
{
	refused("node: {id: 0}\n", "4294967295");
	refused("node: {id: 3}\n", "domains");
	refused(HEAD "bogus: 1\n", "bogus");
	refused(HEAD "cluster_key: 12\n", "32 hexadecimal digits");
	refused(HEAD "control: {token: short}\n", "16");
	refused(HEAD "limits: {lane_entries: 1000}\n", "a power of two");
	refused(HEAD "  - {name: a, socket: /tmp/b.sock}\n", "of their own");
	refused(HEAD "  - {name: b, socket: /tmp/a.sock}\n", "of their own");
	refused(HEAD "  - {name: 'b:c', socket: /tmp/b.sock}\n", "letters");
	refused(HEAD "  - {name: b, socket: /tmp/b, buffer: 1000}\n",
		"power of two");
	refused(HEAD "  - {name: b, socket: /tmp/b, mode: 689}\n", "octal");
	refused(HEAD "triggers: [{name: x}, {name: x}]\n",
		"x.yaml:4:23: triggers: \"x\"");
}

static void test_policy(void **state)
{
	static struct hs_agent_settings s;
	struct hs_config_error error;
	struct hs_agent_config core;
	const char *text =
		HEAD "triggers:\n"
		     "  - {name: slow, weight: 4, rate: 9, byte_rate: 2MiB,"
		     " dry_run: true, reason: because}\n"
		     "contexts: {from: [3, 10-19]}\n"
		     "limits: {byte_rate: 8MiB}\n";

	assert_int_equal(
		hs_agent_settings_load(&s, "x", text, strlen(text), &error), 0);
	hs_agent_settings_core(&s, &core);
	assert_int_equal(core.policies[0].weight, 4);
	assert_int_equal(core.policies[0].rate_per_s, 9);
	assert_int_equal(core.policies[0].bytes_per_s, 2 << 20);
	assert_true(core.policies[0].dry_run);
	assert_int_equal(core.bytes_per_s, 8 << 20);
	assert_int_equal(core.nr_context_peers, 2);
	assert_int_equal(core.context_peers[1].first, 10);
	assert_int_equal(core.context_peers[1].last, 19);
	hs_agent_settings_free(&s);
	refused(HEAD "contexts: {from: [9-3]}\n", "\"9-3\"");
	refused(HEAD "contexts: {from: [all]}\n", "a node's number");
	refused(HEAD "redact: [{key: a, action: hash}]\n",
		"x.yaml:4:10: redact: hash needs a cluster_key");
	refused(HEAD "redact: [{key: '@status'}]\n", "masked only");
	refused(HEAD "redact: [{action: drop}]\n", "\"key\" is missing");
}

static void test_roles(void **state)
{
	static struct hs_agent_settings s;
	struct hs_config_error error;
	const struct hs_roles_peer team = {
		.uid = 7, .nr_groups = 1, .groups = {77}};
	const char *text = HEAD "control:\n"
				"  token: 0123456789abcdef\n"
				"  allow:\n"
				"  - {group: 77, may: [read, fire]}\n"
				"  - {user: root, may: [stop]}\n"
				"  - {token: 0123456789abcdeX, may: [fire]}\n"
				"  - {group: root, may: [stop]}\n";

	assert_int_equal(
		hs_agent_settings_load(&s, "x", text, strlen(text), &error), 0);
	assert_int_equal(s.roles.nr, 5);
	assert_int_equal(s.roles.rules[4].by, HS_ROLES_BY_GROUP);
	assert_int_equal(s.roles.rules[4].id, 0);
	assert_int_equal(hs_roles_of_peer(&s.roles, &team),
			 HS_ROLE_READ | HS_ROLE_FIRE);
	assert_int_equal(hs_roles_of_token(&s.roles, "0123456789abcdef"),
			 HS_ROLES_ALL);
	assert_int_equal(hs_roles_of_token(&s.roles, "0123456789abcdeX"),
			 HS_ROLE_FIRE);
	assert_int_equal(hs_roles_of_token(&s.roles, ""), 0);
	assert_int_equal(s.roles.rules[2].id, 0);
	hs_agent_settings_free(&s);
	refused(HEAD "control: {allow: [{user: 1}]}\n", "\"may\" is missing");
	refused(HEAD "control: {allow: [{user: 1, may: [sing]}]}\n",
		"x.yaml:4:19: control.allow: may: \"sing\"");
	refused(HEAD "control: {allow: [{may: [read]}]}\n", "one of user");
	refused(HEAD "control: {allow: [{user: a, group: b, may: [read]}]}\n",
		"one of user");
	refused(HEAD "control: {allow: [{user: no-such-1, may: [read]}]}\n",
		"knows none called \"no-such-1\"");
	/* No id is the last number, which stands for none. */
	refused(HEAD "control: {allow: [{user: 4294967295, may: [read]}]}\n",
		"knows none called \"4294967295\"");
	refused(HEAD "control: {allow: [{group: 77a, may: [read]}]}\n",
		"group: this machine knows none called \"77a\"");
	refused(HEAD "control: {token: 0123456789abcdef, token_file: /a}\n",
		"one of them");
	refused(HEAD "control: {token_file: /no/such/file}\n", "No such file");
	refused(HEAD "control: {token_file: /dev/null}\n",
		"begin with a token");
}

static void test_example(void **state)
{
	char why[256], *printed = NULL, *kept;
	static struct hs_agent_settings s;
	struct hs_config_error error;
	size_t size_bytes, kept_bytes;
	FILE *f = open_memstream(&printed, &size_bytes);

	assert_true(hs_config_schema_check(&hs_agent_schema, why, sizeof(why)));
	assert_non_null(f);
	hs_agent_settings_print_example(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(hs_agent_settings_load(&s, "example", printed,
						size_bytes, &error),
			 0);
	hs_agent_settings_free(&s);
	/* The copy for readers is the same. */
	f = fopen(getenv("HS_AGENT_EXAMPLE"), "r");
	assert_non_null(f);
	kept = calloc(1, size_bytes + 2);
	assert_non_null(kept);
	kept_bytes = fread(kept, 1, size_bytes + 1, f);
	fclose(f);
	assert_int_equal(kept_bytes, size_bytes);
	assert_memory_equal(kept, printed, size_bytes);
	free(kept);
	free(printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_policy),	 cmocka_unit_test(test_roles),
		cmocka_unit_test(test_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a schema reads, and what it refuses with which words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct peer {
	char *name;
	int64_t port;
};

struct daemon {
	char *node;
	bool verbose;
	int64_t port;
	char *socket;
	uint64_t pool_bytes;
	uint64_t linger_ns;
	double share;
	int mode;
	struct hs_config_strings tags;
	struct hs_config_maps peers;
};

static const char *const modes[] = {"tcp", "verbs", NULL};

static const struct hs_config_key peer_keys[] = {
	{.path = "name",
	 .type = HS_CONFIG_STRING,
	 .offset = offsetof(struct peer, name),
	 .check = hs_config_is_word,
	 .want = HS_CONFIG_WANT_WORD,
	 .required = true,
	 .example = "n1",
	 .doc = "Its name."},
	{.path = "port",
	 .type = HS_CONFIG_INT,
	 .offset = offsetof(struct peer, port),
	 .default_text = "7000",
	 .min = 1,
	 .max = 65535,
	 .doc = "Its port."},
};

static const struct hs_config_schema peer_schema = {
	.size_bytes = sizeof(struct peer),
	.keys = peer_keys,
	.nr_keys = 2,
};

#define AT(field) .offset = offsetof(struct daemon, field)

static const struct hs_config_key keys[] = {
	{.path = "node",
	 .type = HS_CONFIG_STRING,
	 AT(node),
	 .required = true,
	 .example = "it's-n0",
	 .doc = "The name of this node."},
	{.path = "verbose",
	 .type = HS_CONFIG_BOOL,
	 AT(verbose),
	 .default_text = "false",
	 .doc = "Say more."},
	{.path = "http.port",
	 .type = HS_CONFIG_INT,
	 AT(port),
	 .default_text = "8080",
	 .min = 1,
	 .max = 65535,
	 .doc = "The port to listen on, which has an explanation that goes on "
		"for so long that it has to be wrapped at least once."},
	{.path = "http.socket",
	 .type = HS_CONFIG_STRING,
	 AT(socket),
	 .doc = "The socket to listen on."},
	{.path = "pool.size",
	 .type = HS_CONFIG_SIZE,
	 AT(pool_bytes),
	 .default_text = "64MiB",
	 .min = 1 << 20,
	 .max = 1LL << 40,
	 .doc = "How much memory."},
	{.path = "linger",
	 .type = HS_CONFIG_DURATION,
	 AT(linger_ns),
	 .default_text = "200ms",
	 .max = 3600000000000LL,
	 .doc = "How long."},
	{.path = "share",
	 .type = HS_CONFIG_DOUBLE,
	 AT(share),
	 .default_text = "0.01",
	 .max = 1,
	 .doc = "Of all."},
	{.path = "mode",
	 .type = HS_CONFIG_ENUM,
	 AT(mode),
	 .default_text = "verbs",
	 .choices = modes,
	 .doc = "The carrier."},
	{.path = "tags",
	 .type = HS_CONFIG_STRINGS,
	 AT(tags),
	 .example = "[a, b]",
	 .max = 3,
	 .doc = "Words."},
	{.path = "peers",
	 .type = HS_CONFIG_MAPS,
	 AT(peers),
	 .items = &peer_schema,
	 .reloads = true,
	 .doc = "The others."},
};

static const struct hs_config_schema schema = {
	.title = "A daemon of this test.",
	.size_bytes = sizeof(struct daemon),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

static struct daemon out;
static struct hs_config_error error;

static int parse(const char *text)
{
	memset(&error, 0, sizeof(error));
	return hs_config_parse(&schema, "d.yaml", text, strlen(text), &out,
			       &error);
}

static void refused(const char *text, const char *message)
{
	static const struct daemon zero;

	assert_int_equal(parse(text), -EINVAL);
	if (strcmp(error.text, message) != 0)
		print_message("got  %s\nwant %s\n", error.text, message);
	assert_string_equal(error.text, message);
	assert_memory_equal(&out, &zero, sizeof(zero));
}

static void test_everything(void **state)
{
	const struct peer *peers;

	assert_int_equal(parse("node: n0\n"
			       "verbose: true\n"
			       "http:\n"
			       "  port: 99\n"
			       "  socket: /run/x\n"
			       "pool: {size: 2MiB}\n"
			       "linger: 1s\n"
			       "share: 0.5\n"
			       "mode: tcp\n"
			       "tags: [x, 'y z']\n"
			       "peers:\n"
			       "  - name: n1\n"
			       "    port: 1\n"
			       "  - name: n2\n"),
			 0);
	assert_string_equal(out.node, "n0");
	assert_true(out.verbose);
	assert_int_equal(out.port, 99);
	assert_string_equal(out.socket, "/run/x");
	assert_true(out.pool_bytes == 2 << 20);
	assert_true(out.linger_ns == 1000000000);
	assert_true(out.share == 0.5);
	assert_int_equal(out.mode, 0);
	assert_int_equal(out.tags.nr_items, 2);
	assert_string_equal(out.tags.items[1], "y z");
	assert_int_equal(out.peers.nr_items, 2);
	peers = out.peers.items;
	assert_string_equal(peers[0].name, "n1");
	assert_int_equal(peers[0].port, 1);
	assert_string_equal(peers[1].name, "n2");
	assert_int_equal(peers[1].port, 7000);
	hs_config_free(&schema, &out);
}

static void test_defaults(void **state)
{
	assert_int_equal(parse("node: n0\nhttp:\ntags:\n"), 0);
	assert_false(out.verbose);
	assert_int_equal(out.port, 8080);
	assert_null(out.socket);
	assert_true(out.pool_bytes == 64 << 20);
	assert_true(out.linger_ns == 200000000);
	assert_int_equal(out.mode, 1);
	assert_int_equal(out.tags.nr_items, 0);
	hs_config_free(&schema, &out);
}

static void test_keys_refused(void **state)
{
	refused("node: n0\nlingre: 1s\n",
		"d.yaml:2:1: unknown key \"lingre\"; did you mean "
		"\"linger\"?");
	refused("node: n0\nhttp:\n  prot: 1\n",
		"d.yaml:3:3: unknown key \"http.prot\"; did you mean "
		"\"http.port\"?");
	refused("http:\n  colour: 1\n",
		"d.yaml:2:3: unknown key \"http.colour\"; right would be one "
		"of: port, socket");
	refused("colour: 1\n",
		"d.yaml:1:1: unknown key \"colour\"; right would be one of: "
		"node, verbose, http, pool, linger, share, mode, tags, peers");
	refused("http.port: 1\n",
		"d.yaml:1:1: unknown key \"http.port\"; right would be one "
		"of: node, verbose, http, pool, linger, share, mode, tags, "
		"peers");
	refused("node: a\nnode: b\n",
		"d.yaml:2:1: key \"node\" is given twice; keep one");
	refused("http: {port: 1}\nhttp: {socket: x}\n",
		"d.yaml:2:1: key \"http\" is given twice; keep one");
	refused("verbose: true\n",
		"d.yaml:1:1: key \"node\" is missing; right would be a text");
	refused("", "d.yaml:1:1: key \"node\" is missing; right would be a "
		    "text");
	refused("node: a\npeers:\n  - port: 1\n",
		"d.yaml:3:5: key \"name\" is missing; right would be 1 to 31 "
		"letters, digits, '_', '.', '-'");
	refused("[a]: b\n", "d.yaml:1:1: a key must be a word, not a list");
}

static void test_values_refused(void **state)
{
	refused("http: {port: 0}\n",
		"d.yaml:1:14: key \"http.port\": \"0\" is out of range; right "
		"would be a whole number, from 1 to 65535");
	refused("http: {port: 8o}\n",
		"d.yaml:1:14: key \"http.port\": \"8o\" does not fit; right "
		"would be a whole number, from 1 to 65535");
	refused("pool: {size: 1KiB}\n",
		"d.yaml:1:14: key \"pool.size\": \"1KiB\" is out of range; "
		"right would be a size such as 64MiB, from 1MiB to 1TiB");
	refused("linger: 5\n",
		"d.yaml:1:9: key \"linger\": \"5\" does not fit; right would "
		"be a duration such as 200ms, from 0ns to 1h");
	refused("share: nan\n",
		"d.yaml:1:8: key \"share\": \"nan\" does not fit; right would "
		"be a number such as 0.01, from 0 to 1");
	refused("mode: udp\n",
		"d.yaml:1:7: key \"mode\": \"udp\" does not fit; right would "
		"be one of tcp, verbs");
	refused("verbose: yes\n",
		"d.yaml:1:10: key \"verbose\": \"yes\" does not fit; right "
		"would be true or false");
	refused("node:\n", "d.yaml:1:6: key \"node\" has nothing here; right "
			   "would be a text");
	refused("node: [a]\n", "d.yaml:1:7: key \"node\" has a list here; "
			       "right would be a text");
	refused("http: 80\n", "d.yaml:1:7: key \"http\" has a single value "
			      "here; right would be a map with keys like "
			      "\"port\"");
	refused("tags: [a, b, c, d]\n",
		"d.yaml:1:17: key \"tags\" has more than 3 entries");
	refused("tags: [a, [b]]\n",
		"d.yaml:1:11: key \"tags\" has a list here; right would be a "
		"list of texts such as [a, b], from 0 to 3 of them");
	refused("peers: [x]\n",
		"d.yaml:1:9: key \"peers\" has a single value here; right "
		"would be a list of maps, each begun by a dash");
	refused("- a\n", "d.yaml:1:1: the file holds a list; right would be "
			 "\"key: value\" lines");
}

static void test_bombs_refused(void **state)
{
	char *big = malloc(HS_CONFIG_FILE_MAX_BYTES + 2);
	int rc;

	refused("node: &a x\n", "d.yaml:1:7: anchors (&name) are not used "
				"here; write the value out");
	refused("node: *a\n", "d.yaml:1:7: aliases (*name) are not used here; "
			      "write the value out");
	refused("node: !!str x\n", "d.yaml:1:7: tags (!name) are not used "
				   "here; leave the tag out");
	refused("node: x\n---\nnode: y\n",
		"d.yaml:2:1: a second document begins here; one file holds "
		"one document");
	refused("node: \"a\\0b\"\n",
		"d.yaml:1:7: this text has a zero byte in it");
	assert_non_null(big);
	memset(big, 'x', HS_CONFIG_FILE_MAX_BYTES + 1);
	memcpy(big, "node: ", 6);
	big[5000] = '\0';
	refused(big, "d.yaml:1:7: this text has 4994 bytes; at most 4096 are "
		     "taken");
	rc = hs_config_parse(&schema, "d.yaml", big,
			     HS_CONFIG_FILE_MAX_BYTES + 1, &out, &error);
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(error.text,
			    "d.yaml: over 1 MiB; a configuration is smaller");
	/* nesting goes no deeper than the schema, wherever it is tried */
	memset(big, '[', 100000);
	big[100000] = '\0';
	assert_int_equal(parse(big), -EINVAL);
	memset(big, '{', 100000);
	assert_int_equal(parse(big), -EINVAL);
	free(big);
}

static void test_not_yaml(void **state)
{
	assert_int_equal(parse("node: \"abc\n"), -EINVAL);
	assert_non_null(strstr(error.text, "d.yaml:"));
	assert_non_null(strstr(error.text, "not YAML: "));
	assert_int_equal(parse("node: \xff\xfe\n"), -EINVAL);
	assert_non_null(strstr(error.text, "not UTF-8 text: "));
	assert_int_equal(parse("node: a\n\tport: 1\n"), -EINVAL);
	assert_int_equal(error.line, 2);
}

static void test_load(void **state)
{
	char path[] = "/tmp/hs-config-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "node: n0\n", 9), 9);
	close(fd);
	assert_int_equal(hs_config_load(&schema, path, &out, &error), 0);
	assert_string_equal(out.node, "n0");
	hs_config_free(&schema, &out);
	unlink(path);
	assert_int_equal(hs_config_load(&schema, path, &out, &error), -ENOENT);
	assert_non_null(strstr(error.text, "No such file"));
	assert_int_equal(hs_config_load(&schema, "/tmp", &out, &error),
			 -EISDIR);
}

static void test_example_reads_back(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int rc;

	hs_config_print_example(&schema, f);
	fclose(f);
	rc = parse(text);
	if (rc != 0)
		print_message("%s\n%s", error.text, text);
	assert_int_equal(rc, 0);
	assert_string_equal(out.node, "it's-n0");
	assert_int_equal(out.port, 8080);
	assert_true(out.pool_bytes == 64 << 20);
	assert_int_equal(out.peers.nr_items, 0);
	hs_config_free(&schema, &out);
	assert_non_null(strstr(text, "\nhttp:\n"));
	assert_non_null(strstr(text, "\n  port: 8080\n"));
	assert_non_null(strstr(text, "\n  # socket: ''\n"));
	assert_non_null(strstr(text, "# The name of this node.\n"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= 80);
	free(text);
}

static void test_schema_check(void **state)
{
	struct hs_config_key bad[2] = {keys[1], keys[2]};
	struct hs_config_schema s = schema;
	char why[200];

	assert_true(hs_config_schema_check(&schema, why, sizeof(why)));
	s.keys = bad;
	s.nr_keys = 2;
	assert_true(hs_config_schema_check(&s, why, sizeof(why)));
	bad[1].default_text = "70000";
	assert_false(hs_config_schema_check(&s, why, sizeof(why)));
	assert_string_equal(why, "key \"http.port\": its default or example "
				 "does not fit it");
	bad[1] = bad[0];
	assert_false(hs_config_schema_check(&s, why, sizeof(why)));
	assert_string_equal(why, "key \"verbose\": its path is used twice");
	s.nr_keys = 1;
	bad[0].offset = sizeof(struct daemon);
	assert_false(hs_config_schema_check(&s, why, sizeof(why)));
}

/* What a key's own check refuses, and where; and what a daemon refuses. */
static void test_judged(void **state)
{
	struct hs_config_mark mark;

	refused("node: n\npeers:\n  - {name: a}\n  - {name: 'b c'}\n",
		"d.yaml:4:12: key \"name\": \"b c\" does not fit; right would "
		"be "
		"1 to 31 letters, digits, '_', '.', '-'");
	assert_int_equal(
		parse("node: n\npeers:\n  - {name: a}\n  - {name: b}\n"), 0);
	mark = out.peers.marks[1];
	assert_int_equal(mark.line, 4);
	assert_int_equal(mark.column, 5);
	assert_int_equal(
		hs_config_refuse(&error, "d.yaml", &mark, "no %s", "b"),
		-EINVAL);
	assert_string_equal(error.text, "d.yaml:4:5: no b");
	hs_config_refuse(&error, "d.yaml", NULL, "no");
	assert_string_equal(error.text, "d.yaml: no");
	hs_config_free(&schema, &out);
}

static size_t pinned(const char *text, char *names, size_t names_bytes)
{
	struct daemon before;
	size_t nr;

	assert_int_equal(parse("node: n\ntags: [a]\npeers: [{name: a}]\n"), 0);
	before = out;
	assert_int_equal(parse(text), 0);
	nr = hs_config_differ(&schema, &before, &out, false, names,
			      names_bytes);
	hs_config_free(&schema, &out);
	hs_config_free(&schema, &before);
	return nr;
}

static void test_pinned(void **state)
{
	char names[32];

	assert_int_equal(pinned("node: n\ntags: [a]\npeers: [{name: a}]\n",
				names, sizeof(names)),
			 0);
	/* Peers may change while it runs, as the schema says. */
	assert_int_equal(pinned("node: n\ntags: [a]\n", names, sizeof(names)),
			 0);
	assert_int_equal(pinned("node: m\nhttp: {port: 1, socket: /a}\n", names,
				sizeof(names)),
			 4);
	assert_string_equal(names, "node, http.port, http.socket");
	assert_int_equal(
		pinned("node: n\ntags: [b]\nmode: tcp\n", names, sizeof(names)),
		2);
	assert_string_equal(names, "mode, tags");
}

static void test_swapped(void **state)
{
	struct daemon before;
	char names[32];

	assert_int_equal(parse("node: n\npeers: [{name: a}]\n"), 0);
	before = out;
	assert_int_equal(parse("node: m\n"), 0);
	assert_int_equal(hs_config_differ(&schema, &before, &out, true, names,
					  sizeof(names)),
			 1);
	assert_string_equal(names, "peers");
	hs_config_swap(&schema, &before, &out);
	assert_int_equal(before.peers.nr_items, 0);
	assert_int_equal(out.peers.nr_items, 1);
	assert_string_equal(before.node, "n");
	hs_config_free(&schema, &out);
	hs_config_free(&schema, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_keys_refused),
		cmocka_unit_test(test_values_refused),
		cmocka_unit_test(test_bombs_refused),
		cmocka_unit_test(test_not_yaml),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_example_reads_back),
		cmocka_unit_test(test_schema_check),
		cmocka_unit_test(test_judged),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_swapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

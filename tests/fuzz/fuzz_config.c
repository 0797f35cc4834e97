/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: any bytes as a configuration: read or refused with a place, never
 * a crash, a leak or an endless wait.
 */
#include "tests/fuzz/fuzz.h"
#include "base/config.h"

#include <stdlib.h>
#include <string.h>

struct item {
	char *name;
	struct hs_config_strings words;
};

struct all {
	char *text;
	bool flag;
	int64_t number;
	double share;
	uint64_t size_bytes;
	uint64_t duration_ns;
	int mode;
	struct hs_config_strings words;
	struct hs_config_maps items;
};

static const char *const modes[] = {"tcp", "verbs", NULL};

static const struct hs_config_key item_keys[] = {
	{.path = "name",
	 .type = HS_CONFIG_STRING,
	 .offset = offsetof(struct item, name),
	 .required = true,
	 .example = "x"},
	{.path = "words",
	 .type = HS_CONFIG_STRINGS,
	 .offset = offsetof(struct item, words)},
};

static const struct hs_config_schema item_schema = {
	.size_bytes = sizeof(struct item), .keys = item_keys, .nr_keys = 2};

#define KEY(p, t, f) .path = (p), .type = (t), .offset = offsetof(struct all, f)

static const struct hs_config_key keys[] = {
	{KEY("text", HS_CONFIG_STRING, text), .default_text = "a"},
	{KEY("flag", HS_CONFIG_BOOL, flag)},
	{KEY("map.number", HS_CONFIG_INT, number), .min = -5, .max = 5},
	{KEY("map.deep.share", HS_CONFIG_DOUBLE, share)},
	{KEY("map.deep.size", HS_CONFIG_SIZE, size_bytes)},
	{KEY("duration", HS_CONFIG_DURATION, duration_ns)},
	{KEY("mode", HS_CONFIG_ENUM, mode), .choices = modes},
	{KEY("words", HS_CONFIG_STRINGS, words), .max = 5},
	{KEY("items", HS_CONFIG_MAPS, items), .items = &item_schema},
};

static const struct hs_config_schema schema = {
	.size_bytes = sizeof(struct all),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

#define SEED(text)                                                             \
	{                                                                      \
		text, sizeof(text) - 1                                         \
	}

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	SEED("text: abc\nflag: true\nmap:\n  number: -3\n  deep:\n"
	     "    share: 0.5\n    size: 64MiB\nduration: 1h30m\n"
	     "mode: verbs\nwords: [a, 'b c', \"d\\n\"]\nitems:\n"
	     "  - name: x\n    words: []\n  - name: y\n    words: [z]\n"),
	SEED("# nothing\n"),
	SEED("{text: a, map: {number: 1, deep: {share: 1e-3}}}"),
	SEED("text: |\n  long\n  text\nwords:\n- >-\n  folded\n  too\n"),
	SEED("&a {text: *a, ? [x] : !!int y}\n--- x\n...\n%YAML 1.1\n"),
	{NULL, 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct hs_config_error error = {0};
	static const struct all zero;
	struct all all;

	if (hs_config_parse(&schema, "fuzz", data, len_bytes, &all, &error) ==
	    0)
		hs_config_free(&schema, &all);
	else if (memchr(error.text, '\0', sizeof(error.text)) == NULL ||
		 strncmp(error.text, "fuzz:", 5) != 0)
		abort();
	/* read and freed, or refused: nothing may be left behind */
	/* Padding, too: the reader clears all of it. */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c)
	 */
	if (memcmp(&all, &zero, sizeof(all)) != 0)
		abort();
	return 0;
}

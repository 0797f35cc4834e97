/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules.h: from the configuration to the table. */
#include "agent/rules.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs/hindsight.h"

#define PPM 1000000.0

static const char *const statuses[] = {"any", "unset", "ok", "error", NULL};

#define KEY(p, t, field)                                                       \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_agent_rule_settings, field)

static const struct hs_config_key keys[] = {
	{KEY("name", STRING, name), .required = true, .example = "failed",
	 .doc = "What the rule is called: letters, digits, '_', '.', '-'."},
	{KEY("trigger", STRING, trigger), .example = "failed",
	 .doc = "The trigger that it fires; the rule's name when absent."},
	{KEY("service", STRING, service), .example = "checkout",
	 .doc = "Only spans of this service. '*' stands for any text."},
	{KEY("operation", STRING, operation), .example = "'POST /cart*'",
	 .doc = "Only spans of this name. '*' stands for any text."},
	{KEY("status", ENUM, status), .default_text = "any",
	 .choices = statuses,
	 .doc = "Only spans that ended so. An attribute `error` counts as "
		"error where the application set no status."},
	{KEY("duration", DURATION, min_ns), .default_text = "0s",
	 .max = 86400LL * 1000000000,
	 .doc = "Only spans that lasted at least so long."},
	{KEY("percentile", DOUBLE, percentile), .default_text = "0", .min = 0,
	 .max = 100,
	 .doc = "Only spans above this percentile of what else their operation "
		"has, in each process: 50 to 99.999; 0 asks nothing."},
	{KEY("attributes", STRINGS, attributes), .max = HS_SHM_TESTS_MAX,
	 .example = "['http.status_code >= 500', retry]",
	 .doc = "Only spans with all of these: a key, or a key with =, !=, <, "
		"<=, >, >= and a number or a text."},
};
const struct hs_config_schema hs_agent_rule_schema = {
	.size_bytes = sizeof(struct hs_agent_rule_settings),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

/* What compiling one rule has at hand. */
struct compile {
	const char *path;
	const struct hs_agent_rule_settings *from;
	const struct hs_config_mark *mark;
	struct hs_shm_rules *table;
	struct hs_config_error *error;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct compile *c,
							const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return hs_config_refuse(c->error, c->path, c->mark,
				"rules: \"%.40s\": %s", c->from->name, text);
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < HS_AGENT_RULE_NAME_BYTES &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
			    "WXYZ0123456789_.-") == n;
}

static int text_take(const struct compile *c, const char *what, char *out,
		     size_t room, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n >= room)
		return refuse(c, "%s: should have at most %zu bytes", what,
			      room - 1);
	if (n)
		memcpy(out, text, n);
	return 0;
}

/* ---- tests of attributes ------------------------------------------------- */

static const char *skip(const char *p)
{
	return p + strspn(p, " \t");
}

static const struct {
	const char *text;
	enum hs_shm_test_op op;
} operators[] = {
	/* Longer ones first. */
	{"!=", HS_SHM_TEST_NOT_EQUAL}, {"<=", HS_SHM_TEST_AT_MOST},
	{">=", HS_SHM_TEST_AT_LEAST},  {"==", HS_SHM_TEST_EQUAL},
	{"=", HS_SHM_TEST_EQUAL},      {"<", HS_SHM_TEST_LESS},
	{">", HS_SHM_TEST_MORE},
};

static const char *operator_take(const char *p, uint8_t *op)
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
		size_t n = strlen(operators[i].text);

		if (strncmp(p, operators[i].text, n) == 0) {
			*op = (uint8_t)operators[i].op;
			return p + n;
		}
	}
	return NULL;
}

/* A number as it stands, or a text, in quotes where it looks like a number. */
static int value_take(const struct compile *c, const char *p,
		      struct hs_shm_test *test)
{
	size_t n = strlen(p);
	char *end;

	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n >= 2 && (*p == '"' || *p == '\'') && p[n - 1] == *p) {
		p++;
		n -= 2;
	} else if (n) {
		test->number = strtod(p, &end);
		test->numeric = end == p + n && isfinite(test->number);
	} else {
		return refuse(c, "attributes: a value is missing; '' is the "
				 "empty text");
	}
	if (test->numeric)
		return 0;
	test->number = 0;
	if (n >= sizeof(test->text))
		return refuse(c,
			      "attributes: a value should have at most %zu "
			      "bytes",
			      sizeof(test->text) - 1);
	memcpy(test->text, p, n);
	return 0;
}

static int test_parse(const struct compile *c, const char *text,
		      struct hs_shm_test *out)
{
	const char *p = skip(text);
	size_t n = strcspn(p, "=!<>");
	const char *rest = p + n;
	int rc;

	*out = (struct hs_shm_test){.op = HS_SHM_TEST_EXISTS};
	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n == 0 || n >= sizeof(out->key))
		return refuse(c,
			      "attributes: '%.60s': should begin with a key of "
			      "1 to %zu bytes",
			      text, sizeof(out->key) - 1);
	memcpy(out->key, p, n);
	if (!*rest)
		return 0;
	rest = operator_take(rest, &out->op);
	if (!rest)
		return refuse(c,
			      "attributes: '%.60s': should have one of =, !=, "
			      "<, <=, >, >=",
			      text);
	rc = value_take(c, skip(rest), out);
	return rc;
}

/* Rules that ask the same share the test. */
static int test_add(const struct compile *c, const char *text, uint64_t *tests)
{
	struct hs_shm_rules *t = c->table;
	struct hs_shm_test test;
	uint32_t i;
	int rc = test_parse(c, text, &test);

	if (rc)
		return rc;
	for (i = 0; i < t->nr_tests; i++) {
		if (!memcmp(&t->tests[i], &test, sizeof(test)))
			break;
	}
	if (i == HS_SHM_TESTS_MAX)
		return refuse(c,
			      "attributes: more than %u different ones in all "
			      "rules",
			      HS_SHM_TESTS_MAX);
	if (i == t->nr_tests)
		t->tests[t->nr_tests++] = test;
	*tests |= 1ull << i;
	return 0;
}

/* ---- rules --------------------------------------------------------------- */

static int percentile_take(const struct compile *c, uint32_t *ppm)
{
	double p = c->from->percentile;

	*ppm = 0;
	if (p == 0)
		return 0;
	if (!(p >= 50 && p <= 99.999))
		return refuse(c, "percentile: should be 50 to 99.999");
	*ppm = (uint32_t)(p / 100 * PPM + 0.5);
	return 0;
}

static bool asks_nothing(const struct hs_shm_rule *r)
{
	return !r->service[0] && !r->operation[0] && !r->min_ns && !r->tests &&
	       !r->percentile_ppm && r->statuses == HS_SHM_STATUSES_ALL;
}

static int rule_make(const struct compile *c, struct hs_shm_rule *out)
{
	static const uint8_t bits[] = {
		[HS_AGENT_RULE_ANY] = HS_SHM_STATUSES_ALL,
		[HS_AGENT_RULE_UNSET] = 1u << HS_SPAN_STATUS_UNSET,
		[HS_AGENT_RULE_OK] = 1u << HS_SPAN_STATUS_OK,
		[HS_AGENT_RULE_ERROR] = 1u << HS_SPAN_STATUS_ERROR,
	};
	const struct hs_agent_rule_settings *from = c->from;
	const char *trigger = from->trigger ? from->trigger : from->name;
	int rc = 0;

	if (!name_ok(from->name) || !name_ok(trigger))
		return refuse(c,
			      "names should be 1 to %u letters, digits, '_', "
			      "'.', '-'",
			      HS_AGENT_RULE_NAME_BYTES - 1);
	*out = (struct hs_shm_rule){
		.min_ns = from->min_ns,
		.statuses = bits[from->status],
	};
	memcpy(out->trigger, trigger, strlen(trigger));
	rc = text_take(c, "service", out->service, sizeof(out->service),
		       from->service);
	if (!rc)
		rc = text_take(c, "operation", out->operation,
			       sizeof(out->operation), from->operation);
	if (!rc)
		rc = percentile_take(c, &out->percentile_ppm);
	for (size_t i = 0; i < from->attributes.nr_items && !rc; i++)
		rc = test_add(c, from->attributes.items[i], &out->tests);
	if (!rc && asks_nothing(out))
		rc = refuse(c, "asks nothing, so every span would fire it");
	return rc;
}

/* The place of this name, or a free one. */
static uint8_t place_take(struct hs_agent_rules *r, const char *name)
{
	uint32_t free = HS_SHM_RULES_MAX;

	for (uint32_t i = 0; i < HS_SHM_RULES_MAX; i++) {
		if (!strcmp(r->places[i].name, name)) {
			r->places[i].live = true;
			return (uint8_t)i;
		}
	}
	/* One that never was taken before one whose rule is gone. */
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX; i++) {
		if (!r->places[i].live &&
		    (free == HS_SHM_RULES_MAX ||
		     (r->places[free].name[0] && !r->places[i].name[0])))
			free = i;
	}
	r->places[free] = (struct hs_agent_rule){.live = true};
	memcpy(r->places[free].name, name, strlen(name));
	return (uint8_t)free;
}

static int check_names(const struct compile *c,
		       const struct hs_agent_rule_settings *all, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (!strcmp(all[i].name, all[j].name))
			return refuse(c, "stands there twice");
	}
	return 0;
}

int hs_rules_compile(const struct hs_config_maps *rules, const char *path,
		     struct hs_agent_rules *inout,
		     struct hs_config_error *error)
{
	const struct hs_agent_rule_settings *all = rules->items;
	struct hs_agent_rules *next;
	struct compile c = {.path = path, .error = error};
	uint8_t taken[HS_SHM_RULES_MAX];
	int rc = 0;

	if (rules->nr_items > HS_SHM_RULES_MAX) {
		c.from = &all[HS_SHM_RULES_MAX];
		c.mark = &rules->marks[HS_SHM_RULES_MAX];
		return refuse(&c, "there should be at most %u rules",
			      HS_SHM_RULES_MAX);
	}
	next = malloc(sizeof(*next));
	if (!next)
		return -ENOMEM;
	*next = *inout;
	memset(&next->table, 0, sizeof(next->table));
	next->table.version = HS_SHM_RULES_VERSION;
	c.table = &next->table;
	for (uint32_t i = 0; i < HS_SHM_RULES_MAX; i++)
		next->places[i].live = false;
	for (size_t i = 0; i < rules->nr_items && !rc; i++) {
		c.from = &all[i];
		c.mark = &rules->marks[i];
		rc = check_names(&c, all, i);
		if (!rc)
			rc = rule_make(&c, &next->table.rules[i]);
	}
	/* Names that stay keep their places before new ones look for theirs. */
	for (uint32_t pass = 0; pass < 2 && !rc; pass++) {
		for (size_t i = 0; i < rules->nr_items; i++) {
			bool known = false;

			for (uint32_t k = 0; k < HS_SHM_RULES_MAX; k++)
				known |= !strcmp(next->places[k].name,
						 all[i].name);
			if (known || pass == 1)
				taken[i] = place_take(next, all[i].name);
		}
	}
	if (!rc) {
		for (size_t i = 0; i < rules->nr_items; i++)
			next->table.rules[i].slot = taken[i];
		next->table.nr_rules = (uint32_t)rules->nr_items;
		*inout = *next;
	}
	free(next);
	return rc;
}

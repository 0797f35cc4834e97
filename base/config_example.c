/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: print a schema as a commented example, and check that a schema is
 * sound; see config.h.
 */
#include "base/config.h"
#include "base/config_value.h"

#include <stdlib.h>
#include <string.h>

#define WRAP_COLUMNS 76

struct printer {
	FILE *f;
	unsigned int indent;
	bool commented; /* an item of a list, which is shown as a comment */
};

static void margin(const struct printer *p)
{
	fprintf(p->f, "%*s%s", (int)p->indent, "", p->commented ? "# " : "");
}

/* Words of @text in comment lines of at most WRAP_COLUMNS. */
static void comment(const struct printer *p, const char *text)
{
	size_t used = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (used > 0 && p->indent + used + 1 + len > WRAP_COLUMNS) {
			fputc('\n', p->f);
			used = 0;
		}
		if (used == 0) {
			margin(p);
			fputc('#', p->f);
			used = 1;
		}
		fprintf(p->f, " %.*s", (int)len, text);
		used += len + 1;
		text += len;
		text += strspn(text, " ");
	}
	if (used > 0)
		fputc('\n', p->f);
}

/* A string as YAML: quoted, so that no text is read as something else. */
static void quoted(FILE *f, const char *text)
{
	fputc('\'', f);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputc('\'', f);
		fputc(*text, f);
	}
	fputc('\'', f);
}

static void print_keys(const struct hs_config_schema *schema,
		       struct printer *p);

static void print_items(const struct hs_config_key *key, const char *word,
			struct printer *p)
{
	struct printer item = *p;
	bool live = key->min > 0;

	margin(p);
	if (key->type == HS_CONFIG_STRINGS && live) {
		fprintf(p->f, "%s: %s\n", word, key->example);
		return;
	}
	fprintf(p->f, "%s:%s\n", word, live ? "" : " []");
	if (key->type == HS_CONFIG_MAPS) {
		item.indent += 2;
		item.commented |= !live;
		margin(&item);
		fprintf(p->f, "- # one entry has these keys\n");
		item.indent += 2;
		print_keys(key->items, &item);
	} else if (key->example != NULL) {
		margin(p);
		fprintf(p->f, "# %s: %s\n", word, key->example);
	}
}

static void print_key(const struct hs_config_key *key, const char *word,
		      struct printer *p)
{
	char want[HS_CONFIG_WANT_MAX];
	char line[HS_CONFIG_WANT_MAX + 32];
	const char *text = key->default_text;

	if (key->doc != NULL)
		comment(p, key->doc);
	hs_config_value_want(key, want);
	snprintf(line, sizeof(line), "%s%s.", key->required ? "Required: " : "",
		 want);
	comment(p, line);
	if (key->type >= HS_CONFIG_STRINGS) {
		print_items(key, word, p);
		return;
	}
	margin(p);
	if (text == NULL) {
		text = key->example != NULL ? key->example : "";
		if (!key->required)
			fputs("# ", p->f);
	}
	fprintf(p->f, "%s: ", word);
	if (key->type == HS_CONFIG_STRING)
		quoted(p->f, text);
	else
		fputs(text, p->f);
	fputc('\n', p->f);
}

/* Length of what two paths share, in whole maps: "a.b.x", "a.b.y" -> 4. */
static size_t shared_maps(const char *a, const char *b)
{
	size_t shared = 0;

	for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++) {
		if (a[i] == '.')
			shared = i + 1;
	}
	return shared;
}

static void print_keys(const struct hs_config_schema *schema, struct printer *p)
{
	const char *last = "";
	unsigned int base = p->indent;

	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		const char *word = key->path;
		size_t shared = shared_maps(last, key->path);
		const char *dot;

		p->indent = base;
		if (!p->commented)
			fputc('\n', p->f);
		while ((dot = strchr(word, '.')) != NULL) {
			if ((size_t)(dot - key->path) >= shared) {
				margin(p);
				fprintf(p->f, "%.*s:\n", (int)(dot - word),
					word);
			}
			p->indent += 2;
			word = dot + 1;
		}
		print_key(key, word, p);
		last = key->path;
	}
	p->indent = base;
}

void hs_config_print_example(const struct hs_config_schema *schema, FILE *f)
{
	struct printer p = {.f = f};

	if (schema->title != NULL)
		comment(&p, schema->title);
	print_keys(schema, &p);
}

/* Does the map that @path begins with show up again after another one? */
static bool is_scattered(const struct hs_config_schema *schema, size_t i)
{
	const char *path = schema->keys[i].path;

	for (size_t j = 0; j + 1 < i; j++) {
		const char *earlier = schema->keys[j].path;
		const char *previous = schema->keys[i - 1].path;

		if (shared_maps(earlier, path) > shared_maps(previous, path))
			return true;
	}
	return false;
}

/* The same path twice, or a path that is both a value and a map. */
static bool clashes(const char *a, const char *b)
{
	size_t len = strlen(a);

	return strncmp(a, b, len) == 0 && (b[len] == '\0' || b[len] == '.');
}

static bool reads_back(const struct hs_config_key *key, const char *text)
{
	struct hs_config_key probe = *key;
	union {
		char *text;
		uint64_t word;
	} value = {.word = 0};
	int rc;

	if (text == NULL || key->type >= HS_CONFIG_STRINGS)
		return true;
	probe.offset = 0;
	rc = hs_config_value_set(&probe, text, &value);
	if (key->type == HS_CONFIG_STRING)
		free(value.text);
	return rc == 0;
}

static const char *key_flaw(const struct hs_config_schema *schema, size_t i)
{
	const struct hs_config_key *key = &schema->keys[i];
	size_t size = hs_config_value_size(key);

	if (strlen(key->path) >= HS_CONFIG_PATH_MAX - 1)
		return "its path is too long";
	if (key->offset > schema->size_bytes ||
	    size > schema->size_bytes - key->offset)
		return "its offset lies outside of the struct";
	if (key->type == HS_CONFIG_ENUM && key->choices == NULL)
		return "an enum needs choices";
	if (key->type == HS_CONFIG_MAPS && key->items == NULL)
		return "a list of maps needs a schema of its items";
	if (key->type >= HS_CONFIG_STRINGS && key->default_text != NULL)
		return "a list has no default";
	if (key->required && key->default_text != NULL)
		return "required, and yet it has a default";
	if (key->required && key->type < HS_CONFIG_STRINGS &&
	    key->example == NULL)
		return "required, and has no example";
	for (size_t j = 0; j < schema->nr_keys; j++) {
		if (j != i && clashes(key->path, schema->keys[j].path))
			return "its path is used twice";
	}
	if (is_scattered(schema, i))
		return "the keys of its map do not stand together";
	if (key->type == HS_CONFIG_STRINGS && key->min > 0 &&
	    key->example == NULL)
		return "a list that may not be empty needs an example";
	if (!reads_back(key, key->default_text) ||
	    !reads_back(key, key->example))
		return "its default or example does not fit it";
	return NULL;
}

bool hs_config_schema_check(const struct hs_config_schema *schema, char *why,
			    size_t why_bytes)
{
	if (schema->nr_keys > HS_CONFIG_KEYS_MAX) {
		snprintf(why, why_bytes, "more than %d keys",
			 HS_CONFIG_KEYS_MAX);
		return false;
	}
	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		const char *flaw = key_flaw(schema, i);

		if (flaw != NULL) {
			snprintf(why, why_bytes, "key \"%s\": %s", key->path,
				 flaw);
			return false;
		}
		if (key->type == HS_CONFIG_MAPS &&
		    !hs_config_schema_check(key->items, why, why_bytes))
			return false;
	}
	return true;
}

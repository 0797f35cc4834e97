/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what daemons judge alike once a file was read: single values, what
 * differs between two readings, and how a refusal is said; see config.h.
 */
#include "base/config.h"
#include "base/config_value.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

int hs_config_refuse(struct hs_config_error *error, const char *name,
		     const struct hs_config_mark *mark, const char *fmt, ...)
{
	va_list args;
	int n;

	error->line = mark != NULL ? mark->line : 0;
	error->column = mark != NULL ? mark->column : 0;
	if (error->line != 0)
		n = snprintf(error->text, sizeof(error->text),
			     "%.200s:%u:%u: ", name, error->line,
			     error->column);
	else
		n = snprintf(error->text, sizeof(error->text),
			     "%.200s: ", name);
	va_start(args, fmt);
	vsnprintf(error->text + n, sizeof(error->text) - (size_t)n, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* ---- two readings ---------------------------------------------------------
 */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_strings(const struct hs_config_strings *a,
			 const struct hs_config_strings *b)
{
	if (a->nr_items != b->nr_items)
		return false;
	for (size_t i = 0; i < a->nr_items; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static bool same_value(const struct hs_config_key *key, const void *a,
		       const void *b);

static bool same_maps(const struct hs_config_schema *schema,
		      const struct hs_config_maps *a,
		      const struct hs_config_maps *b)
{
	if (a->nr_items != b->nr_items)
		return false;
	for (size_t i = 0; i < a->nr_items; i++)
		for (size_t k = 0; k < schema->nr_keys; k++)
			if (!same_value(&schema->keys[k],
					(const char *)a->items +
						i * schema->size_bytes,
					(const char *)b->items +
						i * schema->size_bytes))
				return false;
	return true;
}

static bool same_value(const struct hs_config_key *key, const void *a,
		       const void *b)
{
	const void *x = (const char *)a + key->offset;
	const void *y = (const char *)b + key->offset;

	switch (key->type) {
	case HS_CONFIG_STRING:
		return same_text(*(char *const *)x, *(char *const *)y);
	case HS_CONFIG_STRINGS:
		return same_strings(x, y);
	case HS_CONFIG_MAPS:
		return same_maps(key->items, x, y);
	default:
		return memcmp(x, y, hs_config_value_size(key)) == 0;
	}
}

size_t hs_config_differ(const struct hs_config_schema *schema, const void *a,
			const void *b, bool reloads, char *out,
			size_t out_bytes)
{
	size_t nr = 0, used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		int n;

		if (key->reloads != reloads || same_value(key, a, b))
			continue;
		n = snprintf(out + used, out_bytes - used, "%s%s",
			     nr != 0 ? ", " : "", key->path);
		if (n > 0 && (size_t)n < out_bytes - used)
			used += (size_t)n;
		else
			out[used] = '\0';
		nr++;
	}
	return nr;
}

void hs_config_swap(const struct hs_config_schema *schema, void *a, void *b)
{
	char kept[sizeof(struct hs_config_maps)];

	for (size_t i = 0; i < schema->nr_keys; i++) {
		const struct hs_config_key *key = &schema->keys[i];
		size_t size = hs_config_value_size(key);

		if (!key->reloads)
			continue;
		memcpy(kept, hs_config_value_at(key, a), size);
		memcpy(hs_config_value_at(key, a), hs_config_value_at(key, b),
		       size);
		memcpy(hs_config_value_at(key, b), kept, size);
	}
}

/* ---- single values --------------------------------------------------------
 */

bool hs_config_is_name(void *value)
{
	const char *name = *(char **)value;
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return len > 0 && len < HS_CONFIG_NAME_BYTES;
}

bool hs_config_is_word(void *value)
{
	const char *name = *(char **)value;

	return hs_config_is_name(value) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
			    "WXYZ0123456789_.-") == strlen(name);
}

bool hs_config_is_token(void *value)
{
	return strlen(*(char **)value) >= HS_CONFIG_TOKEN_BYTES;
}

bool hs_config_is_power_of_2(void *value)
{
	int64_t v = *(int64_t *)value;

	return v > 0 && (v & (v - 1)) == 0;
}

bool hs_config_is_mode(void *value)
{
	int64_t typed = *(int64_t *)value, mode = 0;

	for (int64_t unit = 1; typed > 0; typed /= 10, unit *= 8) {
		if (typed % 10 > 7)
			return false;
		mode += typed % 10 * unit;
	}
	*(int64_t *)value = mode;
	return true;
}

void hs_config_host_name(char out[HS_CONFIG_NAME_BYTES], const char *fallback)
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	memcpy(out, host, HS_CONFIG_NAME_BYTES - 1);
	out[HS_CONFIG_NAME_BYTES - 1] = '\0';
	if (!hs_config_is_name(&out))
		snprintf(out, HS_CONFIG_NAME_BYTES, "%s", fallback);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: scalars of a configuration; see config_value.h.
 */
#include "base/config_value.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool has_limits(const struct hs_config_key *key)
{
	return key->min != 0 || key->max != 0;
}

static void limit_text(const struct hs_config_key *key, int64_t v,
		       char out[HS_UNITS_TEXT_MAX])
{
	if (key->type == HS_CONFIG_SIZE)
		hs_units_size_exact(out, (uint64_t)v);
	else if (key->type == HS_CONFIG_DURATION)
		hs_units_duration_exact(out, (uint64_t)v);
	else
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRId64, v);
}

static void want_choice(const struct hs_config_key *key, char *out)
{
	size_t n = 0;

	for (const char *const *c = key->choices; *c != NULL; c++) {
		int m = snprintf(out + n, HS_CONFIG_WANT_MAX - n, "%s%s",
				 c == key->choices ? "one of " : ", ", *c);

		if (m < 0 || (size_t)m >= HS_CONFIG_WANT_MAX - n)
			return;
		n += (size_t)m;
	}
}

void hs_config_value_want(const struct hs_config_key *key,
			  char out[HS_CONFIG_WANT_MAX])
{
	static const char *const kinds[] = {
		[HS_CONFIG_STRING] = "a text",
		[HS_CONFIG_BOOL] = "true or false",
		[HS_CONFIG_INT] = "a whole number",
		[HS_CONFIG_DOUBLE] = "a number such as 0.01",
		[HS_CONFIG_SIZE] = "a size such as 64MiB",
		[HS_CONFIG_DURATION] = "a duration such as 200ms",
		[HS_CONFIG_ENUM] = "",
		[HS_CONFIG_STRINGS] = "a list of texts such as [a, b]",
		[HS_CONFIG_MAPS] = "a list of maps, each begun by a dash",
	};
	char low[HS_UNITS_TEXT_MAX];
	char high[HS_UNITS_TEXT_MAX];

	if (key->want != NULL) {
		snprintf(out, HS_CONFIG_WANT_MAX, "%s", key->want);
		return;
	}
	if (key->type == HS_CONFIG_ENUM) {
		want_choice(key, out);
		return;
	}
	limit_text(key, key->min, low);
	limit_text(key, key->max, high);
	if (!has_limits(key))
		snprintf(out, HS_CONFIG_WANT_MAX, "%s", kinds[key->type]);
	else if (key->type == HS_CONFIG_STRING)
		snprintf(out, HS_CONFIG_WANT_MAX, "a text of %s to %s bytes",
			 low, high);
	else
		snprintf(out, HS_CONFIG_WANT_MAX, "%s, from %s to %s%s",
			 kinds[key->type], low, high,
			 key->type >= HS_CONFIG_STRINGS ? " of them" : "");
}

static int set_string(const struct hs_config_key *key, const char *text,
		      char **at)
{
	size_t len = strlen(text);

	if (has_limits(key) &&
	    (len < (size_t)key->min || len > (size_t)key->max))
		return -ERANGE;
	*at = strdup(text);
	return *at == NULL ? -ENOMEM : 0;
}

static int set_bool(const char *text, bool *at)
{
	if (strcmp(text, "true") == 0)
		*at = true;
	else if (strcmp(text, "false") == 0)
		*at = false;
	else
		return -EINVAL;
	return 0;
}

static int set_int(const struct hs_config_key *key, const char *text,
		   int64_t *at)
{
	const char *digits = text + (*text == '-');
	char *end;
	long long v;

	if (*digits < '0' || *digits > '9')
		return -EINVAL;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE)
		return -ERANGE;
	if (has_limits(key) && (v < key->min || v > key->max))
		return -ERANGE;
	*at = v;
	return 0;
}

static int set_double(const struct hs_config_key *key, const char *text,
		      double *at)
{
	char *end;
	double v;

	/* strtod also knows hexadecimal, "inf" and "nan" */
	if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
		return -EINVAL;
	v = strtod(text, &end);
	if (*end != '\0' || !isfinite(v))
		return -EINVAL;
	if (has_limits(key) && (v < (double)key->min || v > (double)key->max))
		return -ERANGE;
	*at = v;
	return 0;
}

static int set_unsigned(const struct hs_config_key *key, const char *text,
			uint64_t *at)
{
	uint64_t v;
	int rc = key->type == HS_CONFIG_SIZE
			 ? hs_units_size_parse(text, &v)
			 : hs_units_duration_parse(text, &v);

	if (rc != 0)
		return rc;
	if (has_limits(key) &&
	    (v < (uint64_t)key->min || v > (uint64_t)key->max))
		return -ERANGE;
	*at = v;
	return 0;
}

static int set_enum(const struct hs_config_key *key, const char *text, int *at)
{
	for (int i = 0; key->choices[i] != NULL; i++) {
		if (strcmp(text, key->choices[i]) == 0) {
			*at = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set(const struct hs_config_key *key, const char *text, void *at)
{
	switch (key->type) {
	case HS_CONFIG_STRING:
		return set_string(key, text, at);
	case HS_CONFIG_BOOL:
		return set_bool(text, at);
	case HS_CONFIG_INT:
		return set_int(key, text, at);
	case HS_CONFIG_DOUBLE:
		return set_double(key, text, at);
	case HS_CONFIG_SIZE:
	case HS_CONFIG_DURATION:
		return set_unsigned(key, text, at);
	case HS_CONFIG_ENUM:
		return set_enum(key, text, at);
	case HS_CONFIG_STRINGS:
	case HS_CONFIG_MAPS:
		break;
	}
	return -EINVAL;
}

int hs_config_value_set(const struct hs_config_key *key, const char *text,
			void *out)
{
	void *at = hs_config_value_at(key, out);
	int rc = set(key, text, at);

	return rc == 0 && key->check != NULL && !key->check(at) ? -EINVAL : rc;
}

size_t hs_config_value_size(const struct hs_config_key *key)
{
	static const size_t sizes[] = {
		[HS_CONFIG_STRING] = sizeof(char *),
		[HS_CONFIG_BOOL] = sizeof(bool),
		[HS_CONFIG_INT] = sizeof(int64_t),
		[HS_CONFIG_DOUBLE] = sizeof(double),
		[HS_CONFIG_SIZE] = sizeof(uint64_t),
		[HS_CONFIG_DURATION] = sizeof(uint64_t),
		[HS_CONFIG_ENUM] = sizeof(int),
		[HS_CONFIG_STRINGS] = sizeof(struct hs_config_strings),
		[HS_CONFIG_MAPS] = sizeof(struct hs_config_maps),
	};

	return sizes[key->type];
}

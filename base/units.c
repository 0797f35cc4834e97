/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: durations and sizes as text; see units.h.
 */
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* From the largest down: the exact formatters take the first that divides. */
static const struct unit durations[] = {
	{"d", 86400000000000ULL},
	{"h", 3600000000000ULL},
	{"m", 60000000000ULL},
	{"s", 1000000000ULL},
	{"ms", 1000000ULL},
	{"us", 1000ULL},
	{"ns", 1ULL},
	{NULL, 0},
};

static const struct unit sizes[] = {
	{"TiB", 1ULL << 40},   {"GiB", 1ULL << 30},
	{"MiB", 1ULL << 20},   {"KiB", 1ULL << 10},
	{"B", 1ULL},	       {"TB", 1000000000000ULL},
	{"GB", 1000000000ULL}, {"MB", 1000000ULL},
	{"kB", 1000ULL},       {NULL, 0},
};

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The unit that the text begins with, ended by a digit or the text's end. */
static const struct unit *unit_at(const struct unit *units, const char *text,
				  size_t *len)
{
	size_t n = 0;

	while (text[n] != '\0' && !is_digit(text[n]))
		n++;
	for (; units->name != NULL; units++) {
		if (strlen(units->name) == n &&
		    memcmp(units->name, text, n) == 0) {
			*len = n;
			return units;
		}
	}
	return NULL;
}

/* Reads one "12.5unit"; @text moves behind it. A missing unit is @bare, or an
 * error if that is 0. */
static int part_parse(const struct unit *units, uint64_t bare,
		      const char **text, uint64_t *out)
{
	const char *p = *text;
	unsigned __int128 whole = 0;
	uint64_t fraction = 0;
	uint64_t scale = 1;
	const struct unit *unit;
	uint64_t factor = bare;
	size_t len = 0;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++) {
		whole = whole * 10 + (unsigned)(*p - '0');
		if (whole > UINT64_MAX)
			return -ERANGE;
	}
	if (*p == '.') {
		if (!is_digit(*++p))
			return -EINVAL;
		/* 15 places are exact; what lies behind is cut off */
		for (; is_digit(*p); p++) {
			if (scale < 1000000000000000ULL) {
				fraction = fraction * 10 + (unsigned)(*p - '0');
				scale *= 10;
			}
		}
	}
	if (*p != '\0' || bare == 0) {
		unit = unit_at(units, p, &len);
		if (unit == NULL)
			return -EINVAL;
		factor = unit->factor;
	}
	whole = whole * factor + (unsigned __int128)fraction * factor / scale;
	if (whole > UINT64_MAX)
		return -ERANGE;
	*out = (uint64_t)whole;
	*text = p + len;
	return 0;
}

int hs_units_duration_parse(const char *text, uint64_t *ns)
{
	uint64_t sum = 0;

	if (strcmp(text, "0") == 0) {
		*ns = 0;
		return 0;
	}
	do {
		uint64_t part;
		int rc = part_parse(durations, 0, &text, &part);

		if (rc != 0)
			return rc;
		if (__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
	} while (*text != '\0');
	*ns = sum;
	return 0;
}

int hs_units_size_parse(const char *text, uint64_t *size_bytes)
{
	uint64_t value;
	int rc = part_parse(sizes, 1, &text, &value);

	if (rc != 0)
		return rc;
	if (*text != '\0')
		return -EINVAL;
	*size_bytes = value;
	return 0;
}

/* Three digits of which some may be behind the point. */
static void three_digits(char *out, double v, const char *unit)
{
	int places = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;

	snprintf(out, HS_UNITS_TEXT_MAX, "%.*f%s", places, v, unit);
}

void hs_units_duration_format(char out[HS_UNITS_TEXT_MAX], uint64_t ns)
{
	uint64_t sec = ns / 1000000000ULL;

	if (ns < 1000)
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64 "ns", ns);
	else if (ns < 999500)
		three_digits(out, (double)ns / 1e3, "us");
	else if (ns < 999500000)
		three_digits(out, (double)ns / 1e6, "ms");
	else if (sec < 60)
		three_digits(out, (double)ns / 1e9, "s");
	else if (sec < 3600)
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64 "m%02" PRIu64 "s",
			 sec / 60, sec % 60);
	else if (sec < 86400)
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64 "h%02" PRIu64 "m",
			 sec / 3600, sec / 60 % 60);
	else
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64 "d%02" PRIu64 "h",
			 sec / 86400, sec / 3600 % 24);
}

void hs_units_size_format(char out[HS_UNITS_TEXT_MAX], uint64_t size_bytes)
{
	static const char *const names[] = {"B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB"};
	double v = (double)size_bytes;
	int i = 0;

	if (size_bytes < 1024) {
		snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64 "B", size_bytes);
		return;
	}
	while (v >= 1023.5 && i < 6) {
		v /= 1024;
		i++;
	}
	three_digits(out, v, names[i]);
}

static void exact(char *out, const struct unit *units, uint64_t v)
{
	for (; units->factor > 1; units++) {
		if (v >= units->factor && v % units->factor == 0)
			break;
	}
	snprintf(out, HS_UNITS_TEXT_MAX, "%" PRIu64 "%s", v / units->factor,
		 units->name);
}

void hs_units_duration_exact(char out[HS_UNITS_TEXT_MAX], uint64_t ns)
{
	exact(out, durations, ns);
}

void hs_units_size_exact(char out[HS_UNITS_TEXT_MAX], uint64_t size_bytes)
{
	exact(out, sizes, size_bytes);
}

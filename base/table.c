/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: tables on a terminal; see table.h.
 */
#include "base/table.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct hs_table {
	size_t nr_columns;
	size_t nr_cells;
	size_t nr_cells_max;
	char **cells;
	bool failed;
	struct hs_table_column columns[];
};

struct range {
	uint32_t first;
	uint32_t last;
	uint8_t width;
};

/* Not all of Unicode's tables, but what names of services may hold. */
static const struct range ranges[] = {
	{0x0300, 0x036f, 0},   {0x0591, 0x05bd, 0},   {0x064b, 0x065f, 0},
	{0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},
	{0x200b, 0x200f, 0},   {0x20d0, 0x20ff, 0},   {0x2e80, 0x303e, 2},
	{0x3041, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},
	{0xfe00, 0xfe0f, 0},   {0xfe20, 0xfe2f, 0},   {0xfe30, 0xfe6f, 2},
	{0xfeff, 0xfeff, 0},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},
	{0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1f9ff, 2},
	{0x20000, 0x3fffd, 2},
};

static size_t width_of(uint32_t c)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return ranges[i].width;
	}
	return 1;
}

/* Decode one character; returns its bytes, 0 if it is broken or a control
 * (also C1 and the ones that turn the direction of the line). */
static size_t decode(const char *text, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)text;
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc0 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf8 ? 4
				   : 0;

	if (len == 0)
		return 0;
	*c = len == 1 ? p[0] : p[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	if (*c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000))
		return 0;
	if (*c < 0x20 || (*c >= 0x7f && *c < 0xa0) ||
	    (*c >= 0x202a && *c <= 0x202e) || (*c >= 0x2066 && *c <= 0x2069))
		return 0;
	return len;
}

size_t hs_table_text_width(const char *text)
{
	size_t width = 0;

	while (*text != '\0') {
		uint32_t c;
		size_t len = decode(text, &c);

		width += len ? width_of(c) : 1;
		text += len ? len : 1;
	}
	return width;
}

size_t hs_table_text_print(FILE *f, const char *text, size_t max_width)
{
	bool cut = max_width > 0 && hs_table_text_width(text) > max_width;
	size_t room = cut ? max_width - 1 : SIZE_MAX;
	size_t width = 0;

	while (*text != '\0') {
		uint32_t c;
		size_t len = decode(text, &c);
		size_t w = len ? width_of(c) : 1;

		if (w > room - width)
			break;
		if (len > 0)
			fwrite(text, 1, len, f);
		else
			fputc('?', f);
		width += w;
		text += len ? len : 1;
	}
	if (cut) {
		fputs("\xe2\x80\xa6", f);
		width++;
	}
	return width;
}

struct hs_table *hs_table_new(const struct hs_table_column *columns,
			      size_t nr_columns)
{
	struct hs_table *t =
		calloc(1, sizeof(*t) + nr_columns * sizeof(columns[0]));

	if (t == NULL)
		return NULL;
	t->nr_columns = nr_columns;
	memcpy(t->columns, columns, nr_columns * sizeof(columns[0]));
	return t;
}

void hs_table_text(struct hs_table *t, const char *text)
{
	if (t->failed)
		return;
	if (t->nr_cells == t->nr_cells_max) {
		size_t max = t->nr_cells_max ? 2 * t->nr_cells_max : 64;
		char **grown = reallocarray(t->cells, max, sizeof(*grown));

		if (grown == NULL) {
			t->failed = true;
			return;
		}
		t->cells = grown;
		t->nr_cells_max = max;
	}
	t->cells[t->nr_cells] = strdup(text);
	if (t->cells[t->nr_cells] == NULL)
		t->failed = true;
	else
		t->nr_cells++;
}

void hs_table_textf(struct hs_table *t, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->failed = true;
		return;
	}
	hs_table_text(t, text);
	free(text);
}

void hs_table_number(struct hs_table *t, uint64_t v)
{
	hs_table_textf(t, "%" PRIu64, v);
}

void hs_table_duration(struct hs_table *t, uint64_t ns)
{
	char text[HS_UNITS_TEXT_MAX];

	hs_units_duration_format(text, ns);
	hs_table_text(t, text);
}

void hs_table_size(struct hs_table *t, uint64_t size_bytes)
{
	char text[HS_UNITS_TEXT_MAX];

	hs_units_size_format(text, size_bytes);
	hs_table_text(t, text);
}

size_t hs_table_nr_rows(const struct hs_table *t)
{
	return (t->nr_cells + t->nr_columns - 1) / t->nr_columns;
}

static size_t column_width(const struct hs_table *t, size_t column,
			   bool with_titles)
{
	const struct hs_table_column *c = &t->columns[column];
	size_t width = with_titles ? hs_table_text_width(c->title) : 0;

	for (size_t i = column; i < t->nr_cells; i += t->nr_columns) {
		size_t w = hs_table_text_width(t->cells[i]);

		if (c->max_width > 0 && w > c->max_width)
			w = c->max_width;
		if (w > width)
			width = w;
	}
	return width;
}

static void pad(FILE *f, size_t n)
{
	while (n-- > 0)
		fputc(' ', f);
}

/* One row; no blanks at its end. */
static void print_row(const struct hs_table *t, FILE *f, const size_t *widths,
		      const char *const *cells, size_t nr_cells)
{
	size_t owed = 0; /* blanks to print before the next cell */

	for (size_t i = 0; i < nr_cells; i++) {
		const struct hs_table_column *c = &t->columns[i];
		size_t max = cells[i] == c->title ? 0 : c->max_width;
		size_t w = hs_table_text_width(cells[i]);

		if (max > 0 && w > max)
			w = max;
		if (c->is_right)
			owed += widths[i] - w;
		if (w > 0) {
			pad(f, owed);
			owed = 0;
			w = hs_table_text_print(f, cells[i], max);
		}
		owed += (c->is_right ? 0 : widths[i] - w) + 2;
	}
	fputc('\n', f);
}

int hs_table_print(const struct hs_table *t, FILE *f, bool with_titles)
{
	size_t *widths = calloc(t->nr_columns, sizeof(*widths));
	const char **titles = calloc(t->nr_columns, sizeof(*titles));

	if (widths == NULL || titles == NULL || t->failed) {
		free(widths);
		free(titles);
		return -ENOMEM;
	}
	for (size_t i = 0; i < t->nr_columns; i++) {
		widths[i] = column_width(t, i, with_titles);
		titles[i] = t->columns[i].title;
	}
	if (with_titles)
		print_row(t, f, widths, titles, t->nr_columns);
	for (size_t i = 0; i < t->nr_cells; i += t->nr_columns) {
		size_t left = t->nr_cells - i;

		print_row(t, f, widths, (const char *const *)t->cells + i,
			  left < t->nr_columns ? left : t->nr_columns);
	}
	free(widths);
	free(titles);
	return 0;
}

void hs_table_free(struct hs_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->nr_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

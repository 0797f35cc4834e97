/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace drawn for a terminal. Pure: text in, text out.
 */
#include "model/draw.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/hash.h"
#include "model/ident.h"
#include "model/tree.h"
#include "model/utf8.h"

#define WIDTH_DEFAULT	 100
#define WIDTH_MIN	 40
#define WIDTH_MAX	 1000
#define DEPTH_DEFAULT	 24
#define DEPTH_MAX	 64
#define DURATION_COLUMNS 9

struct glyphs {
	const char *branch, *last, *through, *blank;
	const char *error, *full, *left, *right, *dots;
};

static const struct glyphs utf8_glyphs = {
	"\xe2\x94\x9c\xe2\x94\x80",
	"\xe2\x94\x94\xe2\x94\x80",
	"\xe2\x94\x82 ",
	"  ",
	"\xe2\x9c\x97 ",
	"\xe2\x96\x88",
	"\xe2\x96\x8c",
	"\xe2\x96\x90",
	"\xe2\x80\xa6",
};
static const struct glyphs ascii_glyphs = {
	"|-", "`-", "| ", "  ", "! ", "#", "#", "#", "~",
};

struct drawing {
	const struct hs_model_trace *trace;
	struct hs_model_text *text;
	const struct glyphs *glyphs;
	struct hs_model_tree tree;
	struct hs_model_draw_options options;
	uint32_t label_columns;
	uint32_t bar_columns;
	int64_t start_ns;
	int64_t duration_ns; /* at least 1 */
	/* Does the ancestor at this depth have a sibling still to come? */
	bool more[DEPTH_MAX + 1];
};

char *hs_model_duration_format(int64_t duration_ns, char *text)
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
	double magnitude =
		duration_ns < 0 ? -(double)duration_ns : (double)duration_ns;
	size_t i;

	for (i = 0; i < 3; i++) {
		double value = (double)duration_ns / units[i].ns;
		double size = magnitude / units[i].ns;

		if (size < 1)
			continue;
		snprintf(text, 24, "%.*f%s",
			 size < 10    ? 2
			 : size < 100 ? 1
				      : 0,
			 value, units[i].unit);
		return text;
	}
	snprintf(text, 24, "%" PRId64 "ns", duration_ns);
	return text;
}

/* Columns of a character, near enough: East Asian wide and emoji take two. */
static uint32_t columns_of(const char *ptr, uint32_t step)
{
	const uint8_t *b = (const uint8_t *)ptr;
	uint32_t code;

	if (step < 3)
		return 1;
	code = step == 3 ? (b[0] & 15u) << 12 | (b[1] & 63u) << 6 | (b[2] & 63u)
			 : 0x10000;
	return code >= 0x10000 || (code >= 0x1100 && code <= 0x115f) ||
			       (code >= 0x2e80 && code <= 0xa4cf) ||
			       (code >= 0xac00 && code <= 0xd7a3) ||
			       (code >= 0xf900 && code <= 0xfaff) ||
			       (code >= 0xff00 && code <= 0xff60)
		       ? 2
		       : 1;
}

/*
 * Names come from anywhere: control characters, also those of C1 and the
 * marks that turn the direction of writing, become '?'.
 */
static bool harmless(const char *ptr, uint32_t step, bool ascii)
{
	const uint8_t *b = (const uint8_t *)ptr;

	if (step == 1)
		return b[0] >= 0x20 && b[0] != 0x7f;
	if (!step || ascii || (step == 2 && b[0] == 0xc2 && b[1] < 0xa0))
		return false;
	if (step == 3 && b[0] == 0xe2 && b[1] == 0x80)
		return !(b[2] >= 0x8b && b[2] <= 0x8f) &&
		       !(b[2] >= 0xa8 && b[2] <= 0xae);
	return !(step == 3 && b[0] == 0xe2 && b[1] == 0x81 && b[2] >= 0xa6 &&
		 b[2] <= 0xaf);
}

/* Write at most @columns columns of @str. Return: columns used. */
static uint32_t put_str(struct drawing *d, struct hs_model_str str,
			uint32_t columns)
{
	uint32_t at = 0, used = 0;

	while (at < str.len) {
		uint32_t step = hs_model_utf8_step(str.ptr + at, str.len - at);
		bool good = harmless(str.ptr + at, step, d->options.ascii);
		uint32_t need = good ? columns_of(str.ptr + at, step) : 1;
		bool fits = used + need < columns ||
			    (used + need == columns &&
			     at + (step ? step : 1) == str.len);

		if (!fits) {
			if (used < columns) {
				hs_model_text_puts(d->text, d->glyphs->dots);
				used++;
			}
			break;
		}
		if (good)
			hs_model_text_add(d->text, str.ptr + at, step);
		else
			hs_model_text_puts(d->text, "?");
		used += need;
		at += step ? step : 1;
	}
	return used;
}

static uint32_t put_text(struct drawing *d, const char *text, uint32_t columns)
{
	return put_str(d, hs_model_str(text), columns);
}

static void put_spaces(struct drawing *d, uint32_t nr)
{
	while (nr-- > 0)
		hs_model_text_add(d->text, " ", 1);
}

static void colour_on(struct drawing *d, const struct hs_model_span *span)
{
	static const int colours[] = {32, 33, 34, 35, 36, 92, 94, 96};
	struct hs_model_str service =
		hs_model_span_resource(d->trace, span)->service;
	struct hs_model_hash h;

	if (!d->options.colour)
		return;
	hs_model_hash_init(&h, 7);
	hs_model_hash_bytes(&h, service.ptr, service.len);
	hs_model_text_printf(d->text, "\033[%dm",
			     hs_model_span_has_error(span) ? 31
							   : colours[h.a % 8]);
}

static void colour_off(struct drawing *d)
{
	if (d->options.colour)
		hs_model_text_puts(d->text, "\033[0m");
}

/* The branches left of a span. Return: columns used. */
static uint32_t put_branches(struct drawing *d, uint32_t index)
{
	const struct hs_model_tree_node *node = &d->tree.nodes[index];
	uint32_t depth = node->depth, i;

	if (depth > d->options.max_depth)
		depth = d->options.max_depth;
	d->more[depth] = node->next_sibling != HS_MODEL_TREE_NONE;
	if (!depth)
		return 0;
	for (i = 1; i < depth; i++)
		hs_model_text_puts(d->text, d->more[i] ? d->glyphs->through
						       : d->glyphs->blank);
	hs_model_text_puts(d->text, d->more[depth] ? d->glyphs->branch
						   : d->glyphs->last);
	return 2 * depth;
}

static uint32_t put_label(struct drawing *d, uint32_t index, uint32_t used)
{
	const struct hs_model_tree_node *node = &d->tree.nodes[index];
	const struct hs_model_span *span = d->trace->spans[index];
	struct hs_model_str service =
		hs_model_span_resource(d->trace, span)->service;
	uint32_t columns = d->label_columns;
	char deep[24];

	if (hs_model_span_has_error(span) && used + 2 < columns) {
		hs_model_text_puts(d->text, d->glyphs->error);
		used += 2;
	}
	if (node->depth > d->options.max_depth) {
		snprintf(deep, sizeof(deep), "[%" PRIu32 "] ", node->depth);
		used += put_text(d, deep, columns - used);
	}
	colour_on(d, span);
	used += service.len ? put_str(d, service, columns - used)
			    : put_text(d, "(no service)", columns - used);
	colour_off(d);
	used += put_text(d, " ", columns - used);
	used += put_str(d, span->name, columns - used);
	if (node->mark == HS_MODEL_TREE_ORPHAN)
		used += put_text(d, " (parent missing)", columns - used);
	else if (node->mark == HS_MODEL_TREE_CUT)
		used += put_text(d, " (parent is below)", columns - used);
	return used;
}

/* Time to half columns of the bar; the ends of the trace map to its ends. */
static uint32_t half_of(const struct drawing *d, int64_t time_ns)
{
	double share = ((double)time_ns - (double)d->start_ns) /
		       (double)d->duration_ns;

	if (share < 0)
		share = 0;
	if (share > 1)
		share = 1;
	return (uint32_t)(share * 2 * d->bar_columns + 0.5);
}

static void put_bar(struct drawing *d, const struct hs_model_span *span)
{
	uint32_t from = half_of(d, span->start_ns);
	uint32_t to = half_of(d, hs_model_span_end_ns(span)), i;

	if (to <= from)
		to = from + 1;
	/* What starts at the very end still shows. */
	if (to > 2 * d->bar_columns) {
		to = 2 * d->bar_columns;
		from = from < to ? from : to - 1;
	}
	put_spaces(d, from / 2);
	colour_on(d, span);
	for (i = from / 2; 2 * i < to; i++) {
		bool left = 2 * i >= from, right = 2 * i + 1 < to;

		hs_model_text_puts(d->text, left && right ? d->glyphs->full
					    : left	  ? d->glyphs->left
							  : d->glyphs->right);
	}
	colour_off(d);
}

static void put_span(struct drawing *d, uint32_t index)
{
	const struct hs_model_span *span = d->trace->spans[index];
	uint32_t used = put_branches(d, index);
	char duration[24];

	used = put_label(d, index, used);
	put_spaces(d, d->label_columns > used ? d->label_columns - used : 0);
	hs_model_text_printf(
		d->text, "%*s ", DURATION_COLUMNS,
		hs_model_duration_format(span->duration_ns, duration));
	put_bar(d, span);
	hs_model_text_puts(d->text, "\n");
}

static uint32_t nr_services(const struct hs_model_trace *trace)
{
	uint32_t nr = 0, i, j;

	/* Bounded: no more than a glance is needed of a monster. */
	for (i = 0; i < trace->nr_resources && i < 4096; i++) {
		for (j = 0; j < i; j++)
			if (hs_model_str_equal(trace->resources[i]->service,
					       trace->resources[j]->service))
				break;
		nr += j == i;
	}
	return nr;
}

static void put_count(struct drawing *d, uint32_t nr, const char *what)
{
	hs_model_text_printf(d->text, "%" PRIu32 " %s%s, ", nr, what,
			     nr == 1 ? "" : "s");
}

static void put_head(struct drawing *d)
{
	const struct hs_model_trace *trace = d->trace;
	const struct hs_model_span *root = hs_model_trace_root(trace);
	time_t seconds = (time_t)(d->start_ns / 1000000000);
	char id[2 * HS_MODEL_TRACE_ID_SIZE + 1], when[40] = "", duration[24];
	uint32_t i, nr_errors = 0;
	struct tm tm;

	hs_model_text_printf(
		d->text, "trace %s",
		hs_model_id_format(trace->id, sizeof(trace->id), id));
	if (!root) {
		hs_model_text_puts(d->text, ": no spans\n");
		return;
	}
	hs_model_text_puts(d->text, "  ");
	put_str(d, hs_model_span_resource(trace, root)->service, 40);
	hs_model_text_puts(d->text, " ");
	put_str(d, root->name, 80);
	for (i = 0; i < trace->nr_spans; i++)
		nr_errors += hs_model_span_has_error(trace->spans[i]);
	if (gmtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	hs_model_text_puts(d->text, "\n");
	put_count(d, trace->nr_spans, "span");
	put_count(d, nr_services(trace), "service");
	if (nr_errors)
		put_count(d, nr_errors, "error");
	hs_model_text_printf(
		d->text, "%s, from %s.%06" PRId64 "Z\n",
		hs_model_duration_format(hs_model_trace_duration_ns(trace),
					 duration),
		when, d->start_ns % 1000000000 / 1000);
}

/* The time at the left end, in the middle and at the right end of the bars. */
static void put_axis(struct drawing *d)
{
	char middle[24], end[24];
	uint32_t half = d->bar_columns / 2, nr_middle, nr_end;

	hs_model_duration_format(d->duration_ns / 2, middle);
	hs_model_duration_format(d->duration_ns, end);
	nr_middle = (uint32_t)strlen(middle);
	nr_end = (uint32_t)strlen(end);
	if (d->options.colour)
		hs_model_text_puts(d->text, "\033[2m");
	put_spaces(d, d->label_columns + DURATION_COLUMNS + 1);
	hs_model_text_puts(d->text, "0");
	if (d->bar_columns < nr_end + 2) {
		end[0] = 0;
	} else if (half >= nr_middle + nr_end + 2) {
		put_spaces(d, half - 1);
		hs_model_text_puts(d->text, middle);
		put_spaces(d, d->bar_columns - half - nr_middle - nr_end);
	} else {
		put_spaces(d, d->bar_columns - 1 - nr_end);
	}
	hs_model_text_puts(d->text, end);
	colour_off(d);
	hs_model_text_puts(d->text, "\n");
}

static void layout(struct drawing *d)
{
	uint32_t width = d->options.width_columns;

	if (!width)
		width = WIDTH_DEFAULT;
	if (width < WIDTH_MIN)
		width = WIDTH_MIN;
	if (width > WIDTH_MAX)
		width = WIDTH_MAX;
	if (!d->options.max_depth)
		d->options.max_depth = DEPTH_DEFAULT;
	if (d->options.max_depth > DEPTH_MAX)
		d->options.max_depth = DEPTH_MAX;
	d->label_columns = width / 2;
	/* A name next to the deepest branch needs room for itself. */
	if (d->options.max_depth > d->label_columns / 4)
		d->options.max_depth = d->label_columns / 4;
	d->bar_columns = width - d->label_columns - DURATION_COLUMNS - 2;
}

int hs_model_trace_draw(const struct hs_model_trace *trace,
			const struct hs_model_draw_options *options,
			struct hs_model_text *text)
{
	struct drawing d = {.trace = trace, .text = text};
	uint32_t at, nr = 0;
	int64_t end_ns;
	int err;

	if (options)
		d.options = *options;
	d.glyphs = d.options.ascii ? &ascii_glyphs : &utf8_glyphs;
	layout(&d);
	err = hs_model_tree_init(&d.tree, trace);
	if (err)
		return err;
	hs_model_trace_bounds(trace, &d.start_ns, &end_ns);
	d.duration_ns = hs_model_trace_duration_ns(trace);
	if (d.duration_ns < 1)
		d.duration_ns = 1;
	put_head(&d);
	if (trace->nr_spans)
		put_axis(&d);
	for (at = d.tree.first_root; at != HS_MODEL_TREE_NONE;
	     at = hs_model_tree_next(&d.tree, at)) {
		if (d.options.max_lines && nr == d.options.max_lines) {
			hs_model_text_printf(text, "%s %" PRIu32 " more\n",
					     d.glyphs->dots,
					     trace->nr_spans - nr);
			break;
		}
		put_span(&d, at);
		nr++;
	}
	hs_model_tree_destroy(&d.tree);
	return hs_model_text_error(text);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparison of two canonical traces.
 *
 * Spans are sorted by (id, digest) on both sides and walked together. Equal
 * digests are still compared field by field: a hash only finds the partner,
 * it never decides.
 */
#include "model/equal.h"

#include <stdlib.h>
#include <string.h>

#include "model/equal_internal.h"
#include "model/ident.h"

struct entry {
	const struct hs_model_span *span;
	struct hs_model_hash digest;
};

static int entry_compare(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int order = memcmp(a->span->id, b->span->id, sizeof(a->span->id));

	if (order)
		return order;
	if (a->digest.a != b->digest.a)
		return a->digest.a < b->digest.a ? -1 : 1;
	if (a->digest.b != b->digest.b)
		return a->digest.b < b->digest.b ? -1 : 1;
	return 0;
}

static struct entry *entries_sorted(const struct hs_model_trace *trace,
				    uint32_t resolution_ns)
{
	struct entry *entries = calloc(trace->nr_spans + 1, sizeof(*entries));
	uint32_t i;

	if (!entries)
		return NULL;
	for (i = 0; i < trace->nr_spans; i++) {
		entries[i].span = trace->spans[i];
		hs_model_span_digest(trace, trace->spans[i], resolution_ns,
				     &entries[i].digest);
	}
	qsort(entries, trace->nr_spans, sizeof(*entries), entry_compare);
	return entries;
}

static uint32_t id_run(const struct entry *entries, uint32_t from, uint32_t nr)
{
	uint32_t to = from;

	while (to < nr && !memcmp(entries[to].span->id, entries[from].span->id,
				  sizeof(entries[from].span->id)))
		to++;
	return to - from;
}

static void say_span(struct diff *diff, const struct hs_model_span *span,
		     const char *what)
{
	char id[2 * HS_MODEL_SPAN_ID_SIZE + 1];

	diff_say(diff, "span %s (%s): %s",
		 hs_model_id_format(span->id, sizeof(span->id), id),
		 span->name.ptr ? span->name.ptr : "", what);
}

/* The first of both runs of one span id without a partner, then why. */
static bool run_equal(struct diff *diff, const struct entry *a, uint32_t nr_a,
		      const struct entry *b, uint32_t nr_b)
{
	uint32_t i = 0, j = 0;

	while (i < nr_a && j < nr_b && !entry_compare(&a[i], &b[j])) {
		if (!span_equal(diff, a[i].span, b[j].span))
			return false;
		i++;
		j++;
	}
	if (i == nr_a && j == nr_b)
		return true;
	if (j == nr_b)
		say_span(diff, a[i].span, "only in the first trace");
	else if (i == nr_a)
		say_span(diff, b[j].span, "only in the second trace");
	else if (span_equal(diff, a[i].span, b[j].span))
		/* Digests differ, fields do not: a bug, and never silent. */
		say_span(diff, a[i].span, "digests disagree");
	return false;
}

static bool entries_equal(struct diff *diff, const struct entry *a,
			  uint32_t nr_a, const struct entry *b, uint32_t nr_b)
{
	uint32_t i = 0, j = 0;

	while (i < nr_a && j < nr_b) {
		uint32_t run_a = id_run(a, i, nr_a);
		uint32_t run_b = id_run(b, j, nr_b);
		int order = memcmp(a[i].span->id, b[j].span->id,
				   sizeof(a[i].span->id));

		if (order < 0) {
			say_span(diff, a[i].span, "only in the first trace");
			return false;
		}
		if (order > 0) {
			say_span(diff, b[j].span, "only in the second trace");
			return false;
		}
		if (!run_equal(diff, a + i, run_a, b + j, run_b))
			return false;
		i += run_a;
		j += run_b;
	}
	if (i < nr_a)
		say_span(diff, a[i].span, "only in the first trace");
	else if (j < nr_b)
		say_span(diff, b[j].span, "only in the second trace");
	return i == nr_a && j == nr_b;
}

int hs_model_trace_equal(const struct hs_model_trace *a,
			 const struct hs_model_trace *b, char *text,
			 size_t size)
{
	struct diff diff = {.a = a, .b = b, .text = text, .size = size};
	char id_a[2 * HS_MODEL_TRACE_ID_SIZE + 1];
	char id_b[2 * HS_MODEL_TRACE_ID_SIZE + 1];
	struct entry *ea, *eb;
	int equal = -ENOMEM;

	if (size)
		text[0] = 0;
	diff.resolution_ns = a->resolution_ns > b->resolution_ns
				     ? a->resolution_ns
				     : b->resolution_ns;
	if (memcmp(a->id, b->id, sizeof(a->id))) {
		diff_say(&diff, "trace id: %s vs %s",
			 hs_model_id_format(a->id, sizeof(a->id), id_a),
			 hs_model_id_format(b->id, sizeof(b->id), id_b));
		return 0;
	}
	ea = entries_sorted(a, diff.resolution_ns);
	eb = entries_sorted(b, diff.resolution_ns);
	if (ea && eb)
		equal = entries_equal(&diff, ea, a->nr_spans, eb, b->nr_spans);
	free(ea);
	free(eb);
	return equal;
}

static int index_compare(const void *x, const void *y, void *ctx)
{
	const struct entry *entries = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int order = entry_compare(&entries[a], &entries[b]);

	return order ? order : (a < b ? -1 : 1);
}

/* Mark, in @drop, every span that repeats one before it. */
static int64_t duplicates_mark(const struct hs_model_trace *trace,
			       const struct entry *entries, uint32_t *order,
			       bool *drop)
{
	struct diff quiet = {.a = trace, .b = trace, .resolution_ns = 1};
	uint32_t first = 0, i;
	int64_t nr = 0;

	for (i = 1; i < trace->nr_spans; i++) {
		const struct entry *kept = &entries[order[first]];
		const struct entry *next = &entries[order[i]];

		if (!entry_compare(kept, next) &&
		    span_equal(&quiet, kept->span, next->span)) {
			drop[order[i]] = true;
			nr++;
		} else {
			first = i;
		}
	}
	return nr;
}

int64_t hs_model_trace_merge_duplicates(struct hs_model_trace *trace)
{
	uint32_t nr = trace->nr_spans, i, kept = 0;
	struct entry *entries = calloc(nr + 1, sizeof(*entries));
	uint32_t *order = calloc(nr + 1, sizeof(*order));
	bool *drop = calloc(nr + 1, sizeof(*drop));
	int64_t nr_dropped = -ENOMEM;

	if (!entries || !order || !drop)
		goto out;
	for (i = 0; i < nr; i++) {
		order[i] = i;
		entries[i].span = trace->spans[i];
		hs_model_span_digest(trace, trace->spans[i], 1,
				     &entries[i].digest);
	}
	qsort_r(order, nr, sizeof(*order), index_compare, entries);
	nr_dropped = duplicates_mark(trace, entries, order, drop);
	for (i = 0; i < nr; i++)
		if (!drop[i])
			trace->spans[kept++] = trace->spans[i];
	trace->nr_spans = kept;
out:
	free(entries);
	free(order);
	free(drop);
	return nr_dropped;
}

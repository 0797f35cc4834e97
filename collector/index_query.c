/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_query.c - everything that reads the index, but for listings
 */
#include "collector/index_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int hs_index_each_row(struct hs_index *ix, sqlite3_stmt *st,
		      int (*row)(void *ctx, sqlite3_stmt *st), void *ctx)
{
	int rc = 0;
	int step;

	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		rc = row(ctx, st);
		if (rc)
			break;
	}
	if (!rc && step != SQLITE_DONE)
		rc = hs_index_fail(ix, step);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

static struct hs_index_place column_place(sqlite3_stmt *st, int at)
{
	return (struct hs_index_place){
		.segment = (uint32_t)sqlite3_column_int64(st, at),
		.offset = (uint64_t)sqlite3_column_int64(st, at + 1)};
}

struct records {
	const struct hs_index_records *visitor;
	const struct hs_wire_trace_id *trace;
	struct hs_index_place manifests;
};

static int union_row(void *ctx, sqlite3_stmt *st)
{
	((struct records *)ctx)->manifests = column_place(st, 0);
	return 0;
}

static int manifests_once(struct records *r)
{
	struct hs_index_place place = r->manifests;

	r->manifests.segment = 0;
	return place.segment ? r->visitor->manifests(r->visitor->ctx, place)
			     : 0;
}

static bool before(struct hs_index_place a, struct hs_index_place b)
{
	return a.segment < b.segment ||
	       (a.segment == b.segment && a.offset < b.offset);
}

static int one_head(struct records *r, uint32_t segment,
		    const struct hs_index_head *h)
{
	struct hs_index_place place = {segment, h->at};
	struct hs_wire_slice head = {
		.trace = *r->trace,
		.node = h->node,
		.process = h->process,
		.handle = h->handle,
		.seq = h->seq,
		.offset = h->offset,
		.length_bytes = h->length_bytes,
		.flags = h->flags,
		.final = h->final,
	};
	int rc = 0;

	if (before(r->manifests, place))
		rc = manifests_once(r);
	return rc ? rc
		  : r->visitor->slice(r->visitor->ctx, &head, place,
				      h->damaged != 0);
}

static int records_row(void *ctx, sqlite3_stmt *st)
{
	const uint8_t *heads = sqlite3_column_blob(st, 1);
	size_t bytes = (size_t)sqlite3_column_bytes(st, 1);
	uint32_t segment = (uint32_t)sqlite3_column_int64(st, 0);
	struct hs_index_head h;
	int rc = 0;

	for (size_t i = 0; !rc && i + sizeof(h) <= bytes; i += sizeof(h)) {
		memcpy(&h, heads + i, sizeof(h));
		rc = one_head(ctx, segment, &h);
	}
	return rc;
}

int hs_index_each_record(struct hs_index *ix,
			 const struct hs_wire_trace_id *trace,
			 const struct hs_index_records *visitor)
{
	struct records r = {.visitor = visitor, .trace = trace};
	sqlite3_stmt *st = ix->statements[HS_INDEX_UNION_OF];
	struct hs_index_row row;
	int rc = hs_index_row_of(ix, trace, &row);

	if (rc <= 0)
		return rc;
	sqlite3_bind_int64(st, 1, row.key);
	rc = hs_index_each_row(ix, st, union_row, &r);
	if (rc)
		return rc;
	st = ix->statements[HS_INDEX_RECORDS_OF];
	sqlite3_bind_int64(st, 1, row.key);
	rc = hs_index_each_row(ix, st, records_row, &r);
	return rc ? rc : manifests_once(&r);
}

static int number_row(void *ctx, sqlite3_stmt *st)
{
	*(uint64_t *)ctx = (uint64_t)sqlite3_column_int64(st, 0);
	return 0;
}

uint64_t hs_index_version(struct hs_index *ix,
			  const struct hs_wire_trace_id *trace)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_VERSION_OF];
	uint64_t version = 0;

	hs_index_bind_id(st, 1, trace);
	return hs_index_each_row(ix, st, number_row, &version) ? 0 : version;
}

int hs_index_segment_get(struct hs_index *ix, uint32_t segment, uint64_t *end)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SEGMENT_GET];

	*end = 0;
	sqlite3_bind_int64(st, 1, segment);
	return hs_index_each_row(ix, st, number_row, end);
}

struct trace_visit {
	int (*visit)(void *ctx, const struct hs_wire_trace_id *trace,
		     bool elsewhere_too);
	void *ctx;
};

static int segment_trace_row(void *ctx, sqlite3_stmt *st)
{
	const struct trace_visit *v = ctx;
	struct hs_wire_trace_id id;
	int rc = hs_index_column_id(st, 0, &id);

	return rc ? rc : v->visit(v->ctx, &id, sqlite3_column_int(st, 1) != 0);
}

int hs_index_segment_traces(struct hs_index *ix, uint32_t segment,
			    int (*visit)(void *ctx,
					 const struct hs_wire_trace_id *trace,
					 bool elsewhere_too),
			    void *ctx)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SEGMENT_TRACES];
	struct trace_visit v = {visit, ctx};

	sqlite3_bind_int64(st, 1, segment);
	return hs_index_each_row(ix, st, segment_trace_row, &v);
}

int hs_index_in_segment(struct hs_index *ix,
			const struct hs_wire_trace_id *trace, uint32_t segment)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_IN_SEGMENT];
	uint64_t found = 0;
	int rc;

	hs_index_bind_id(st, 1, trace);
	sqlite3_bind_int64(st, 2, segment);
	rc = hs_index_each_row(ix, st, number_row, &found);
	return rc ? rc : (int)found;
}

struct number_list {
	uint32_t *out;
	uint32_t max;
	uint32_t nr;
};

static int segment_row(void *ctx, sqlite3_stmt *st)
{
	struct number_list *list = ctx;

	if (list->nr < list->max)
		list->out[list->nr++] = (uint32_t)sqlite3_column_int64(st, 0);
	return 0;
}

int hs_index_segments(struct hs_index *ix, uint32_t *out, uint32_t max)
{
	struct number_list list = {.out = out, .max = max};
	int rc = hs_index_each_row(ix, ix->statements[HS_INDEX_SEGMENT_LIST],
				   segment_row, &list);

	return rc ? rc : (int)list.nr;
}

struct id_list {
	struct hs_wire_trace_id *out;
	uint32_t nr;
};

static int id_row(void *ctx, sqlite3_stmt *st)
{
	struct id_list *list = ctx;

	return hs_index_column_id(st, 0, &list->out[list->nr++]);
}

int hs_index_stale(struct hs_index *ix, int64_t before_ns,
		   struct hs_wire_trace_id *out, uint32_t max)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_STALE_LIST];
	struct id_list list = {.out = out};
	int rc;

	sqlite3_bind_int64(st, 1, before_ns);
	sqlite3_bind_int64(st, 2, max);
	rc = hs_index_each_row(ix, st, id_row, &list);
	return rc ? rc : (int)list.nr;
}

int hs_index_unmarked(struct hs_index *ix, struct hs_wire_trace_id *out,
		      uint32_t max)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_UNMARKED_LIST];
	struct id_list list = {.out = out};
	int rc;

	sqlite3_bind_int64(st, 1, max);
	rc = hs_index_each_row(ix, st, id_row, &list);
	return rc ? rc : (int)list.nr;
}

static int marks_row(void *ctx, sqlite3_stmt *st)
{
	struct hs_index_counts *counts = ctx;
	int mark = sqlite3_column_int(st, 0);

	if (mark >= 0 && mark < 3)
		counts->nr_marks[mark] = (uint64_t)sqlite3_column_int64(st, 1);
	return 0;
}

static int rest_row(void *ctx, sqlite3_stmt *st)
{
	struct hs_index_counts *counts = ctx;

	counts->nr_slices = (uint64_t)sqlite3_column_int64(st, 0);
	counts->nr_stale = (uint64_t)sqlite3_column_int64(st, 1);
	return 0;
}

static int key_row(void *ctx, sqlite3_stmt *st)
{
	*(int64_t *)ctx = sqlite3_column_int64(st, 0);
	return 0;
}

int hs_index_recount(struct hs_index *ix)
{
	int rc;

	ix->counts = (struct hs_index_counts){0};
	rc = hs_index_each_row(ix, ix->statements[HS_INDEX_COUNT_MARKS],
			       marks_row, &ix->counts);
	if (!rc)
		rc = hs_index_each_row(ix, ix->statements[HS_INDEX_COUNT_REST],
				       rest_row, &ix->counts);
	return rc ? rc
		  : hs_index_each_row(ix, ix->statements[HS_INDEX_LAST_KEY],
				      key_row, &ix->last_key);
}

int hs_index_count(struct hs_index *ix, struct hs_index_counts *out)
{
	*out = ix->counts;
	return 0;
}

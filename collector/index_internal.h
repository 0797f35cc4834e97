/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_internal.h - the index's statements, for its own files
 */
#ifndef HS_COLLECTOR_INDEX_INTERNAL_H
#define HS_COLLECTOR_INDEX_INTERNAL_H

#include <sqlite3.h>

#include "collector/index.h"

enum hs_index_statement {
	HS_INDEX_BEGIN,
	HS_INDEX_COMMIT,
	HS_INDEX_ROLLBACK,
	HS_INDEX_TRACE_KEY,
	HS_INDEX_TRACE_ADD,
	HS_INDEX_TRACE_STALE,
	HS_INDEX_SLICE_ADD,
	HS_INDEX_UNION_SET,
	HS_INDEX_TRIGGER_ADD,
	HS_INDEX_MARK_SET,
	HS_INDEX_SUMMARY_SET,
	HS_INDEX_SERVICES_CLEAR,
	HS_INDEX_SERVICE_ADD,
	HS_INDEX_SLICES_OF,
	HS_INDEX_UNION_OF,
	HS_INDEX_SLICE_DAMAGED,
	HS_INDEX_VERSION_OF,
	HS_INDEX_MARK_OF,
	HS_INDEX_STALE_LIST,
	HS_INDEX_SEGMENT_GET,
	HS_INDEX_SEGMENT_SET,
	HS_INDEX_SEGMENT_DEL,
	HS_INDEX_SEGMENT_STALE,
	HS_INDEX_SEGMENT_UNIONS,
	HS_INDEX_SEGMENT_SLICES,
	HS_INDEX_SEGMENT_LIST,
	HS_INDEX_COUNT_MARKS,
	HS_INDEX_COUNT_REST,
	HS_INDEX_NR_STATEMENTS
};

struct hs_index {
	sqlite3 *db;
	sqlite3_stmt *statements[HS_INDEX_NR_STATEMENTS];
	char error[256];
};

/* Keep SQLite's words. Return: what that is as an errno. */
int hs_index_fail(struct hs_index *ix, int sqlite_rc);
/* Run a bound statement that gives no rows, and make it ready again. */
int hs_index_run(struct hs_index *ix, sqlite3_stmt *st);
/* An id as it stands in the table: 16 bytes, most significant first. */
void hs_index_bind_id(sqlite3_stmt *st, int at,
		      const struct hs_wire_trace_id *id);
int hs_index_column_id(sqlite3_stmt *st, int at, struct hs_wire_trace_id *id);
/* Return: 1 and the trace's key; 0: no such trace; negative errno. */
int hs_index_key(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		 int64_t *key);

#endif

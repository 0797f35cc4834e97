/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_internal.h - the index's statements, for its own files
 */
#ifndef HS_COLLECTOR_INDEX_INTERNAL_H
#define HS_COLLECTOR_INDEX_INTERNAL_H

#include <sqlite3.h>

#include "collector/index.h"

/* Those from HS_INDEX_NR_READER on are a writer's. */
enum hs_index_statement {
	HS_INDEX_TRACE_KEY,
	HS_INDEX_RECORDS_OF,
	HS_INDEX_UNION_OF,
	HS_INDEX_VERSION_OF,
	HS_INDEX_STALE_LIST,
	HS_INDEX_UNMARKED_LIST,
	HS_INDEX_SEGMENT_GET,
	HS_INDEX_SEGMENT_LIST,
	HS_INDEX_SEGMENT_TRACES,
	HS_INDEX_IN_SEGMENT,
	HS_INDEX_COUNT_MARKS,
	HS_INDEX_COUNT_REST,
	HS_INDEX_BEGIN,
	HS_INDEX_COMMIT,
	HS_INDEX_NR_READER,
	HS_INDEX_ROLLBACK = HS_INDEX_NR_READER,
	HS_INDEX_LAST_KEY,
	HS_INDEX_TRACE_ADD,
	HS_INDEX_TRACES_ADD, /* of HS_INDEX_NR_ROWS at once, as those below */
	HS_INDEX_ALL_RECORDS_ADD,
	HS_INDEX_TRIGGERS_ADD,
	HS_INDEX_TRIGGER_NAMES_ADD,
	HS_INDEX_TRACE_STALE,
	HS_INDEX_UNMARKED_SET,
	HS_INDEX_RECORDS_ADD,
	HS_INDEX_RECORDS_GET,
	HS_INDEX_RECORDS_SET,
	HS_INDEX_UNION_SET,
	HS_INDEX_TRIGGER_ADD,
	HS_INDEX_TRIGGER_NAME_ADD,
	HS_INDEX_TRIGGER_NAMES_TAKE,
	HS_INDEX_TRIGGER_NAMES_PUT,
	HS_INDEX_MARK_SET,
	HS_INDEX_MARK_KEEP,
	HS_INDEX_SUMMARY_SET,
	HS_INDEX_SERVICES_CLEAR,
	HS_INDEX_SERVICE_ADD,
	HS_INDEX_SEGMENT_SET,
	HS_INDEX_SEGMENT_DEL,
	HS_INDEX_SEGMENT_STALE,
	HS_INDEX_SEGMENT_UNIONS,
	HS_INDEX_SEGMENT_RECORDS,
	HS_INDEX_EXPIRE_SERVICES,
	HS_INDEX_EXPIRE_TRIGGER_NAMES,
	HS_INDEX_EXPIRE_TRIGGERS,
	HS_INDEX_EXPIRE_TRACES,
	HS_INDEX_EXPIRE_RECORDS,
	HS_INDEX_DROP_SERVICES,
	HS_INDEX_DROP_TRIGGERS,
	HS_INDEX_DROP_RECORDS,
	HS_INDEX_DROP_TRACE,
	HS_INDEX_NR_STATEMENTS
};

/*
 * So many traces that are new go in by one statement for each table: to begin
 * and to end one takes about as long as two rows of it.
 */
#define HS_INDEX_NR_ROWS 16

/* A slice as it stands in a row of `records`: little-endian, packed. */
struct hs_index_head {
	uint64_t at; /* in the segment */
	uint64_t node;
	uint32_t stored_bytes;
	uint32_t process;
	uint32_t handle;
	uint32_t seq;
	uint32_t offset;
	uint32_t length_bytes;
	uint16_t flags;
	uint8_t final;
	uint8_t damaged;
	uint32_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_index_head) == 48);

struct hs_index {
	sqlite3 *db;
	sqlite3_stmt *statements[HS_INDEX_NR_STATEMENTS];
	struct hs_index_counts counts; /* a writer's, this transaction's too */
	int64_t last_key;	       /* of a trace; a writer's */
	uint8_t *heads;		       /* a row put together */
	size_t heads_bytes;
	uint32_t log_pages;  /* in the log */
	uint32_t log_copied; /* of them: a checkpoint has seen them */
	char error[256];
};

/* Keep SQLite's words. Return: what that is as an errno. */
int hs_index_fail(struct hs_index *ix, int sqlite_rc);
/* Run a bound statement that gives no rows, and make it ready again. */
int hs_index_run(struct hs_index *ix, sqlite3_stmt *st);
/* Walk the rows of a bound statement; @row's nonzero ends it, passed on. */
int hs_index_each_row(struct hs_index *ix, sqlite3_stmt *st,
		      int (*row)(void *ctx, sqlite3_stmt *st), void *ctx);
/* An id as it stands in the table: 16 bytes, most significant first. */
void hs_index_bind_id(sqlite3_stmt *st, int at,
		      const struct hs_wire_trace_id *id);
int hs_index_column_id(sqlite3_stmt *st, int at, struct hs_wire_trace_id *id);
/* What a trace's row is like before a change. */
struct hs_index_row {
	int64_t key;
	int mark;
	bool stale;
	bool unmarked;
	uint64_t nr_bytes; /* of slices, as its mark had them */
	uint64_t nr_spans; /* as it was summed up last */
};
/* Return: 1 and the trace's row; 0: no such trace; negative errno. */
int hs_index_row_of(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		    struct hs_index_row *row);
/* Count everything anew, by reading it; and the last key, too. */
int hs_index_recount(struct hs_index *ix);

/* index_put.c */
int hs_index_heads_append(struct hs_index *ix, int64_t key, bool known,
			  const struct hs_index_change *change);
struct hs_index_head hs_index_head_of(const struct hs_index_slice *s);
/* Room for @bytes in ix->heads. */
int hs_index_heads_room(struct hs_index *ix, size_t bytes);
int hs_index_put_known(struct hs_index *ix, const struct hs_index_change *c,
		       const struct hs_index_row *row);
/* All but the trace's own row; that it is @known: so it may have some. */
int hs_index_put_rest(struct hs_index *ix, const struct hs_index_change *c,
		      int64_t key, bool known);
int hs_index_triggers_add(struct hs_index *ix, const struct hs_index_change *c,
			  int64_t key, bool known);

/* Of what it has, nothing lies in another segment. */
static inline bool hs_index_one_segment(const struct hs_index_change *c)
{
	return !c->nr_slices || !c->union_place.segment ||
	       c->union_place.segment == c->slices[0].place.segment;
}

/* One that turned is summed up first; what still grows waits a while. */
static inline int64_t hs_index_due_ns(const struct hs_index_change *c)
{
	return c->mark && c->mark->mark ? 0 : c->now_ns;
}

/* index_rows.c */
/* The @at-th row that HS_INDEX_TRACE(S)_ADD will add. */
void hs_index_bind_trace(sqlite3_stmt *st, uint32_t at, int64_t key,
			 const struct hs_index_change *c);
void hs_index_count_trace(struct hs_index *ix, const struct hs_index_change *c);

/* index_list.c */
#define HS_INDEX_LIST_TEXT_BYTES 3072
/**
 * hs_index_list_text() - the statement that answers a listing
 * @out: HS_INDEX_LIST_TEXT_BYTES
 *
 * Which index it goes by is in it, since what serves depends on how much there
 * is of what. Return: 0, negative errno.
 */
int hs_index_list_text(struct hs_index *ix,
		       const struct hs_index_filter *filter, char *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - the index's schema, its handles and its transaction
 */
#include "collector/index_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/log.h"

#define SCHEMA_VERSION 3
#define LOG	       "store"

static const char schema[] =
	"CREATE TABLE traces(key INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
	" start_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL DEFAULT 0,"
	" service TEXT NOT NULL DEFAULT '', operation TEXT NOT NULL DEFAULT '',"
	" error INTEGER NOT NULL DEFAULT 0, mark INTEGER NOT NULL DEFAULT 0,"
	" version INTEGER NOT NULL DEFAULT 0,"
	" nr_spans INTEGER NOT NULL DEFAULT 0,"
	" nr_bytes INTEGER NOT NULL DEFAULT 0, updated_ns INTEGER NOT NULL,"
	" causes TEXT NOT NULL DEFAULT '[]', nodes TEXT NOT NULL DEFAULT '[]',"
	" union_segment INTEGER NOT NULL DEFAULT 0,"
	" union_offset INTEGER NOT NULL DEFAULT 0,"
	" stale INTEGER NOT NULL DEFAULT 1,"
	" stale_ns INTEGER NOT NULL DEFAULT 0,"
	" unmarked INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX traces_start ON traces(start_ns);"
	"CREATE INDEX traces_duration ON traces(duration_ns, start_ns)"
	" WHERE duration_ns <> 0;"
	"CREATE INDEX traces_error ON traces(start_ns) WHERE error = 1;"
	"CREATE INDEX traces_open ON traces(start_ns) WHERE mark = 0;"
	"CREATE INDEX traces_partial ON traces(start_ns) WHERE mark = 2;"
	"CREATE INDEX traces_stale ON traces(stale_ns) WHERE stale = 1;"
	"CREATE INDEX traces_unmarked ON traces(key) WHERE unmarked = 1;"
	"CREATE TABLE records(trace INTEGER NOT NULL, segment INTEGER NOT NULL,"
	" heads BLOB NOT NULL, PRIMARY KEY(trace, segment)) WITHOUT ROWID;"
	"CREATE INDEX records_segment ON records(segment);"
	"CREATE TABLE services(service TEXT NOT NULL, start_ns INTEGER NOT"
	" NULL, trace INTEGER NOT NULL,"
	" PRIMARY KEY(service, start_ns, trace)) WITHOUT ROWID;"
	"CREATE INDEX services_trace ON services(trace);"
	"CREATE TABLE triggers(trace INTEGER NOT NULL, origin INTEGER NOT NULL,"
	" trigger_key INTEGER NOT NULL, name TEXT NOT NULL,"
	" fired_ns INTEGER NOT NULL,"
	" PRIMARY KEY(trace, origin, trigger_key)) WITHOUT ROWID;"
	"CREATE TABLE trigger_names(name TEXT NOT NULL, start_ns INTEGER NOT"
	" NULL, trace INTEGER NOT NULL,"
	" PRIMARY KEY(name, start_ns, trace)) WITHOUT ROWID;"
	"CREATE TABLE segments(number INTEGER PRIMARY KEY,"
	" indexed_to INTEGER NOT NULL);"
	"PRAGMA user_version = 3;";

#define IN_SEGMENT " IN (SELECT trace FROM records WHERE segment = ?1)"

/* A trigger's name stands with its trace's start, which finds it. */
#define NAMES_OF                                                               \
	" (name, start_ns, trace) IN (SELECT g.name, t.start_ns, t.key FROM"   \
	" traces AS t JOIN triggers AS g ON g.trace = t.key"

/* Rows that are added: one to a statement, or HS_INDEX_NR_ROWS. One that is
 * there already ends it or is left out, neither of which takes a journal of the
 * statement's own. */
#define FOUR(row)    row ", " row ", " row ", " row
#define SIXTEEN(row) FOUR(FOUR(row))
HS_WIRE_ASSERT(HS_INDEX_NR_ROWS == 16);

#define TRACE_ADD(or)                                                          \
	"INSERT OR " or                                                        \
		" INTO traces(key, id, start_ns, updated_ns, stale_ns,"        \
		" mark, version, nr_bytes, causes, nodes, union_segment,"      \
		" union_offset, unmarked, stale) VALUES"
#define TRACE_ROW   "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define RECORDS_ADD "INSERT OR FAIL INTO records(trace, segment, heads) VALUES"
#define RECORDS_ROW "(?, ?, ?)"
#define TRIGGER_ADD                                                            \
	"INSERT OR IGNORE INTO triggers(trace, origin, trigger_key, name,"     \
	" fired_ns) VALUES"
#define TRIGGER_ROW "(?, ?, ?, ?, ?)"
#define NAME_ADD                                                               \
	"INSERT OR IGNORE INTO trigger_names(name, start_ns, trace) VALUES"
#define NAME_ROW "(?, ?, ?)"

static const char *const texts[HS_INDEX_NR_STATEMENTS] = {
	[HS_INDEX_TRACE_KEY] =
		"SELECT key, mark, stale, nr_bytes, unmarked, nr_spans FROM"
		" traces WHERE id = ?1",
	[HS_INDEX_RECORDS_OF] = "SELECT segment, heads FROM records WHERE"
				" trace = ?1 ORDER BY segment",
	[HS_INDEX_UNION_OF] = "SELECT union_segment, union_offset FROM traces"
			      " WHERE key = ?1",
	[HS_INDEX_VERSION_OF] = "SELECT version FROM traces WHERE id = ?1",
	[HS_INDEX_STALE_LIST] =
		"SELECT id FROM traces WHERE stale = 1 AND stale_ns <= ?1"
		" ORDER BY stale_ns LIMIT ?2",
	[HS_INDEX_UNMARKED_LIST] =
		"SELECT id FROM traces WHERE unmarked = 1 ORDER BY key LIMIT"
		" ?1",
	[HS_INDEX_SEGMENT_GET] =
		"SELECT indexed_to FROM segments WHERE number = ?1",
	[HS_INDEX_SEGMENT_LIST] = "SELECT number FROM segments ORDER BY number",
	[HS_INDEX_SEGMENT_TRACES] =
		"SELECT t.id, EXISTS(SELECT 1 FROM records AS o WHERE o.trace ="
		" r.trace AND o.segment <> ?1) FROM records AS r JOIN traces"
		" AS t ON t.key = r.trace WHERE r.segment = ?1",
	[HS_INDEX_IN_SEGMENT] =
		"SELECT 1 FROM records WHERE segment = ?2 AND trace ="
		" (SELECT key FROM traces WHERE id = ?1)",
	[HS_INDEX_COUNT_MARKS] = "SELECT mark, count(*) FROM traces GROUP BY 1",
	[HS_INDEX_COUNT_REST] =
		"SELECT (SELECT sum(length(heads)) / 48 FROM records),"
		" (SELECT count(*) FROM traces WHERE stale = 1)",
	[HS_INDEX_BEGIN] = "BEGIN",
	[HS_INDEX_COMMIT] = "COMMIT",
	[HS_INDEX_ROLLBACK] = "ROLLBACK",
	[HS_INDEX_LAST_KEY] = "SELECT ifnull(max(key), 0) FROM traces",
	[HS_INDEX_TRACE_ADD] = TRACE_ADD("FAIL") TRACE_ROW,
	[HS_INDEX_TRACES_ADD] = TRACE_ADD("IGNORE") SIXTEEN(TRACE_ROW),
	[HS_INDEX_ALL_RECORDS_ADD] = RECORDS_ADD SIXTEEN(RECORDS_ROW),
	[HS_INDEX_TRIGGERS_ADD] = TRIGGER_ADD SIXTEEN(TRIGGER_ROW),
	[HS_INDEX_TRIGGER_NAMES_ADD] = NAME_ADD SIXTEEN(NAME_ROW),
	[HS_INDEX_TRACE_STALE] = "UPDATE traces SET stale = 1, stale_ns = ?2"
				 " WHERE key = ?1",
	[HS_INDEX_UNMARKED_SET] =
		"UPDATE traces SET unmarked = ?2 WHERE key = ?1",
	[HS_INDEX_RECORDS_ADD] = RECORDS_ADD RECORDS_ROW,
	[HS_INDEX_RECORDS_GET] =
		"SELECT heads FROM records WHERE trace = ?1 AND segment = ?2",
	[HS_INDEX_RECORDS_SET] =
		"UPDATE records SET heads = ?3 WHERE trace = ?1 AND"
		" segment = ?2",
	[HS_INDEX_UNION_SET] =
		"UPDATE traces SET union_segment = ?2, union_offset = ?3 WHERE"
		" key = ?1 AND (union_segment, union_offset) < (?2, ?3)",
	[HS_INDEX_TRIGGER_ADD] = TRIGGER_ADD TRIGGER_ROW,
	[HS_INDEX_TRIGGER_NAME_ADD] = NAME_ADD NAME_ROW,
	[HS_INDEX_TRIGGER_NAMES_TAKE] =
		"DELETE FROM trigger_names WHERE" NAMES_OF " WHERE t.key = ?1)",
	[HS_INDEX_TRIGGER_NAMES_PUT] =
		"INSERT OR IGNORE INTO trigger_names(name, start_ns, trace)"
		" SELECT g.name, t.start_ns, t.key FROM traces AS t JOIN"
		" triggers AS g ON g.trace = t.key WHERE t.key = ?1",
	[HS_INDEX_MARK_SET] =
		"UPDATE traces SET mark = ?2, version = ?3, causes = ?4,"
		" nodes = ?5, nr_bytes = ?6, updated_ns = ?7, unmarked = ?8"
		" WHERE key = ?1",
	/* Whoever names a column has each index with it written anew. */
	[HS_INDEX_MARK_KEEP] =
		"UPDATE traces SET version = ?3, causes = ?4, nodes = ?5,"
		" nr_bytes = ?6, updated_ns = ?7 WHERE key = ?1",
	[HS_INDEX_SUMMARY_SET] =
		"UPDATE traces SET start_ns = ifnull(?2, start_ns),"
		" duration_ns = ?3, service = ?4, operation = ?5, error = ?6,"
		" nr_spans = ?7, stale = 0 WHERE key = ?1",
	[HS_INDEX_SERVICES_CLEAR] = "DELETE FROM services WHERE trace = ?1",
	[HS_INDEX_SERVICE_ADD] =
		"INSERT OR IGNORE INTO services(service, start_ns, trace)"
		" SELECT ?1, start_ns, key FROM traces WHERE key = ?2",
	[HS_INDEX_SEGMENT_SET] =
		"INSERT INTO segments(number, indexed_to) VALUES(?1, ?2)"
		" ON CONFLICT(number) DO UPDATE SET indexed_to = ?2",
	[HS_INDEX_SEGMENT_DEL] = "DELETE FROM segments WHERE number = ?1",
	[HS_INDEX_SEGMENT_STALE] =
		"UPDATE traces SET stale = 1, unmarked = 1 WHERE key IN"
		" (SELECT trace FROM records WHERE segment = ?1)",
	[HS_INDEX_SEGMENT_UNIONS] =
		"UPDATE traces SET union_segment = 0, union_offset = 0"
		" WHERE union_segment = ?1 AND key IN (SELECT trace FROM"
		" records WHERE segment = ?1)",
	[HS_INDEX_SEGMENT_RECORDS] = "DELETE FROM records WHERE segment = ?1",
	[HS_INDEX_EXPIRE_SERVICES] =
		"DELETE FROM services WHERE trace" IN_SEGMENT,
	[HS_INDEX_EXPIRE_TRIGGERS] =
		"DELETE FROM triggers WHERE trace" IN_SEGMENT,
	[HS_INDEX_EXPIRE_TRIGGER_NAMES] =
		"DELETE FROM trigger_names WHERE" NAMES_OF
		" WHERE t.key" IN_SEGMENT ")",
	[HS_INDEX_EXPIRE_TRACES] = "DELETE FROM traces WHERE key" IN_SEGMENT,
	[HS_INDEX_EXPIRE_RECORDS] =
		"DELETE FROM records WHERE trace" IN_SEGMENT,
	[HS_INDEX_DROP_SERVICES] = "DELETE FROM services WHERE trace = ?1",
	[HS_INDEX_DROP_TRIGGERS] = "DELETE FROM triggers WHERE trace = ?1",
	[HS_INDEX_DROP_RECORDS] = "DELETE FROM records WHERE trace = ?1",
	[HS_INDEX_DROP_TRACE] = "DELETE FROM traces WHERE key = ?1",
};

int hs_index_fail(struct hs_index *ix, int sqlite_rc)
{
	snprintf(ix->error, sizeof(ix->error), "index: %s (%s)",
		 ix->db ? sqlite3_errmsg(ix->db) : "no memory",
		 sqlite3_errstr(sqlite_rc));
	switch (sqlite_rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

int hs_index_run(struct hs_index *ix, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		rc = hs_index_fail(ix, rc);
	else
		rc = 0;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

static int run(struct hs_index *ix, enum hs_index_statement which)
{
	return hs_index_run(ix, ix->statements[which]);
}

static int schema_make(struct hs_index *ix)
{
	sqlite3_stmt *st;
	int version = -1;
	int rc;

	rc = sqlite3_prepare_v2(ix->db, "PRAGMA user_version", -1, &st, NULL);
	if (rc)
		return hs_index_fail(ix, rc);
	if (sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	rc = sqlite3_finalize(st);
	if (rc)
		return hs_index_fail(ix, rc);
	if (version == SCHEMA_VERSION)
		return 0;
	/* Of another version, or half made: it is made from the segments. */
	if (version != 0) {
		snprintf(ix->error, sizeof(ix->error),
			 "index: of schema %d, this is %d", version,
			 SCHEMA_VERSION);
		return -EBADMSG;
	}
	if (sqlite3_exec(ix->db, "BEGIN", NULL, NULL, NULL) ||
	    sqlite3_exec(ix->db, schema, NULL, NULL, NULL) ||
	    sqlite3_exec(ix->db, "COMMIT", NULL, NULL, NULL))
		return hs_index_fail(ix, sqlite3_errcode(ix->db));
	return 0;
}

static int prepare(struct hs_index *ix, int upto)
{
	for (int i = 0; i < upto; i++) {
		int rc = sqlite3_prepare_v3(ix->db, texts[i], -1,
					    SQLITE_PREPARE_PERSISTENT,
					    &ix->statements[i], NULL);

		/* A file of our version without our tables is not ours. */
		if (rc == SQLITE_ERROR)
			rc = SQLITE_CORRUPT;
		if (rc)
			return hs_index_fail(ix, rc);
	}
	return 0;
}

/* Its account of its memory is a lock around each allocation, in a process
 * where nobody reads it. */
static void configure(void)
{
	int rc = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

	if (rc)
		hs_log_warn(LOG, "SQLite keeps its account of memory: %s",
			    sqlite3_errstr(rc));
}

static int db_open(struct hs_index *ix, const char *path)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int rc;

	pthread_once(&once, configure);
	rc = sqlite3_open_v2(path, &ix->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				     SQLITE_OPEN_NOMUTEX,
			     NULL);

	if (rc)
		return hs_index_fail(ix, rc);
	sqlite3_busy_timeout(ix->db, 2000);
	return 0;
}

/* Committed: the log has @pages, anew from its start if all were copied. */
static int log_grown(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct hs_index *ix = ctx;

	ix->log_pages = (uint32_t)pages;
	if (ix->log_copied > ix->log_pages)
		ix->log_copied = 0;
	return SQLITE_OK;
}

static int writer_open(struct hs_index *ix, const char *path)
{
	int rc = db_open(ix, path);

	if (rc)
		return rc;
	/* Whoever commits says when the log is copied: it takes two syncs. */
	rc = sqlite3_exec(ix->db,
			  "PRAGMA journal_mode = WAL;"
			  "PRAGMA synchronous = NORMAL;"
			  "PRAGMA wal_autocheckpoint = 0;"
			  "PRAGMA cache_size = -16384;",
			  NULL, NULL, NULL);
	if (rc)
		return hs_index_fail(ix, rc);
	sqlite3_wal_hook(ix->db, log_grown, ix);
	rc = schema_make(ix);
	if (!rc)
		rc = prepare(ix, HS_INDEX_NR_STATEMENTS);
	if (!rc)
		rc = hs_index_recount(ix);
	return rc ? rc : run(ix, HS_INDEX_BEGIN);
}

static int reader_open(struct hs_index *ix, const char *path)
{
	int rc = db_open(ix, path);

	if (!rc && sqlite3_exec(ix->db,
				"PRAGMA query_only = 1;"
				"PRAGMA cache_size = -16384;",
				NULL, NULL, NULL))
		rc = hs_index_fail(ix, sqlite3_errcode(ix->db));
	return rc ? rc : prepare(ix, HS_INDEX_NR_READER);
}

static int open_as(struct hs_index **out, const char *path,
		   int (*how)(struct hs_index *ix, const char *path),
		   char *error, size_t error_bytes)
{
	struct hs_index *ix = calloc(1, sizeof(*ix));
	int rc;

	*out = NULL;
	if (!ix)
		return -ENOMEM;
	rc = how(ix, path);
	if (rc) {
		snprintf(error, error_bytes, "%s: %s", path, ix->error);
		hs_index_close(ix);
		return rc;
	}
	*out = ix;
	return 0;
}

int hs_index_open(struct hs_index **out, const char *path, char *error,
		  size_t error_bytes)
{
	return open_as(out, path, writer_open, error, error_bytes);
}

int hs_index_open_reader(struct hs_index **out, const char *path, char *error,
			 size_t error_bytes)
{
	return open_as(out, path, reader_open, error, error_bytes);
}

void hs_index_close(struct hs_index *ix)
{
	if (!ix)
		return;
	for (int i = 0; i < HS_INDEX_NR_STATEMENTS; i++)
		sqlite3_finalize(ix->statements[i]);
	sqlite3_close(ix->db);
	free(ix->heads);
	free(ix);
}

const char *hs_index_error(const struct hs_index *ix)
{
	return ix->error;
}

int hs_index_commit(struct hs_index *ix)
{
	int rc = 0;

	if (!sqlite3_get_autocommit(ix->db))
		rc = run(ix, HS_INDEX_COMMIT);
	if (!rc)
		rc = run(ix, HS_INDEX_BEGIN);
	return rc;
}

int hs_index_rollback(struct hs_index *ix)
{
	int rc;

	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(ix->db))
		run(ix, HS_INDEX_ROLLBACK);
	rc = hs_index_recount(ix);
	return rc ? rc : run(ix, HS_INDEX_BEGIN);
}

uint32_t hs_index_log_pages(const struct hs_index *ix)
{
	return ix->log_pages - ix->log_copied;
}

int hs_index_checkpoint(struct hs_index *ix)
{
	int rc;

	/* A log that nobody reads at this moment; else the next time. */
	rc = sqlite3_wal_checkpoint_v2(ix->db, NULL, SQLITE_CHECKPOINT_PASSIVE,
				       NULL, NULL);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		return hs_index_fail(ix, rc);
	ix->log_copied = ix->log_pages;
	return 0;
}

int hs_index_hold(struct hs_index *ix)
{
	return sqlite3_get_autocommit(ix->db) ? run(ix, HS_INDEX_BEGIN) : 0;
}

void hs_index_release(struct hs_index *ix)
{
	/* Nothing was written, so nothing can fail that matters. */
	if (!sqlite3_get_autocommit(ix->db))
		run(ix, HS_INDEX_COMMIT);
}

void hs_index_bind_id(sqlite3_stmt *st, int at,
		      const struct hs_wire_trace_id *id)
{
	uint64_t be[2] = {htobe64(id->hi), htobe64(id->lo)};

	sqlite3_bind_blob(st, at, be, sizeof(be), SQLITE_TRANSIENT);
}

int hs_index_column_id(sqlite3_stmt *st, int at, struct hs_wire_trace_id *id)
{
	uint64_t be[2];

	if (sqlite3_column_bytes(st, at) != sizeof(be))
		return -EBADMSG;
	memcpy(be, sqlite3_column_blob(st, at), sizeof(be));
	id->hi = be64toh(be[0]);
	id->lo = be64toh(be[1]);
	return 0;
}

int hs_index_row_of(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		    struct hs_index_row *row)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_TRACE_KEY];
	int rc;

	hs_index_bind_id(st, 1, trace);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*row = (struct hs_index_row){
			.key = sqlite3_column_int64(st, 0),
			.mark = sqlite3_column_int(st, 1),
			.stale = sqlite3_column_int(st, 2) != 0,
			.nr_bytes = (uint64_t)sqlite3_column_int64(st, 3),
			.unmarked = sqlite3_column_int(st, 4) != 0,
			.nr_spans = (uint64_t)sqlite3_column_int64(st, 5)};
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		hs_index_fail(ix, rc);
	sqlite3_reset(st);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -EIO;
}

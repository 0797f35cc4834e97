/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - the index's schema and everything that writes to it
 */
#include "collector/index_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

#define SCHEMA_VERSION 1

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
	" stale_ns INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX traces_start ON traces(start_ns);"
	"CREATE INDEX traces_duration ON traces(duration_ns);"
	"CREATE INDEX traces_mark ON traces(mark, start_ns);"
	"CREATE INDEX traces_stale ON traces(stale_ns) WHERE stale = 1;"
	"CREATE TABLE slices(trace INTEGER NOT NULL, segment INTEGER NOT NULL,"
	" offset INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
	" node INTEGER NOT NULL, process INTEGER NOT NULL,"
	" handle INTEGER NOT NULL, seq INTEGER NOT NULL,"
	" at INTEGER NOT NULL, length_bytes INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, final INTEGER NOT NULL,"
	" damaged INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY(trace, segment, offset)) WITHOUT ROWID;"
	"CREATE INDEX slices_segment ON slices(segment);"
	"CREATE TABLE services(service TEXT NOT NULL, trace INTEGER NOT NULL,"
	" PRIMARY KEY(service, trace)) WITHOUT ROWID;"
	"CREATE INDEX services_trace ON services(trace);"
	"CREATE TABLE triggers(trace INTEGER NOT NULL, origin INTEGER NOT NULL,"
	" trigger_key INTEGER NOT NULL, name TEXT NOT NULL,"
	" fired_ns INTEGER NOT NULL,"
	" PRIMARY KEY(trace, origin, trigger_key)) WITHOUT ROWID;"
	"CREATE INDEX triggers_name ON triggers(name, trace);"
	"CREATE TABLE segments(number INTEGER PRIMARY KEY,"
	" indexed_to INTEGER NOT NULL);"
	"PRAGMA user_version = 1;";

static const char *const texts[HS_INDEX_NR_STATEMENTS] = {
	[HS_INDEX_BEGIN] = "BEGIN",
	[HS_INDEX_COMMIT] = "COMMIT",
	[HS_INDEX_ROLLBACK] = "ROLLBACK",
	[HS_INDEX_TRACE_KEY] = "SELECT key FROM traces WHERE id = ?1",
	[HS_INDEX_TRACE_ADD] = "INSERT INTO traces(id, start_ns, updated_ns,"
			       " stale_ns) VALUES(?1, ?2, ?2, ?2)",
	[HS_INDEX_TRACE_STALE] = "UPDATE traces SET stale = 1, stale_ns = ?2"
				 " WHERE key = ?1 AND stale = 0",
	[HS_INDEX_SLICE_ADD] =
		"INSERT OR IGNORE INTO slices(trace, segment, offset,"
		" stored_bytes, node, process, handle, seq, at, length_bytes,"
		" flags, final) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
		" ?11, ?12)",
	[HS_INDEX_UNION_SET] =
		"UPDATE traces SET union_segment = ?2, union_offset = ?3 WHERE"
		" key = ?1 AND (union_segment, union_offset) < (?2, ?3)",
	[HS_INDEX_TRIGGER_ADD] =
		"INSERT OR IGNORE INTO triggers(trace, origin, trigger_key,"
		" name, fired_ns) VALUES(?1, ?2, ?3, ?4, ?5)",
	[HS_INDEX_MARK_SET] =
		"UPDATE traces SET mark = ?2, version = ?3, causes = ?4,"
		" nodes = ?5, nr_bytes = ?6, updated_ns = ?7 WHERE id = ?1",
	[HS_INDEX_SUMMARY_SET] =
		"UPDATE traces SET start_ns = ifnull(?2, start_ns),"
		" duration_ns = ?3, service = ?4, operation = ?5, error = ?6,"
		" nr_spans = ?7, stale = 0 WHERE id = ?1",
	[HS_INDEX_SERVICES_CLEAR] = "DELETE FROM services WHERE trace = ?1",
	[HS_INDEX_SERVICE_ADD] =
		"INSERT OR IGNORE INTO services(service, trace) VALUES(?1, ?2)",
	[HS_INDEX_SLICES_OF] =
		"SELECT segment, offset, node, process, handle, seq, at,"
		" length_bytes, flags, final, damaged FROM slices WHERE"
		" trace = ?1 ORDER BY segment, offset",
	[HS_INDEX_UNION_OF] = "SELECT union_segment, union_offset FROM traces"
			      " WHERE key = ?1",
	[HS_INDEX_SLICE_DAMAGED] = "UPDATE slices SET damaged = 1 WHERE trace"
				   " = ?1 AND segment = ?2 AND offset = ?3",
	[HS_INDEX_VERSION_OF] = "SELECT version FROM traces WHERE id = ?1",
	[HS_INDEX_MARK_OF] = "SELECT mark FROM traces WHERE id = ?1",
	[HS_INDEX_STALE_LIST] =
		"SELECT id FROM traces WHERE stale = 1 AND stale_ns <= ?1"
		" ORDER BY stale_ns LIMIT ?2",
	[HS_INDEX_SEGMENT_GET] =
		"SELECT indexed_to FROM segments WHERE number = ?1",
	[HS_INDEX_SEGMENT_SET] =
		"INSERT INTO segments(number, indexed_to) VALUES(?1, ?2)"
		" ON CONFLICT(number) DO UPDATE SET indexed_to = ?2",
	[HS_INDEX_SEGMENT_DEL] = "DELETE FROM segments WHERE number = ?1",
	[HS_INDEX_SEGMENT_STALE] =
		"UPDATE traces SET stale = 1 WHERE union_segment = ?1 OR key IN"
		" (SELECT trace FROM slices WHERE segment = ?1)",
	[HS_INDEX_SEGMENT_UNIONS] =
		"UPDATE traces SET union_segment = 0, union_offset = 0"
		" WHERE union_segment = ?1",
	[HS_INDEX_SEGMENT_SLICES] = "DELETE FROM slices WHERE segment = ?1",
	[HS_INDEX_SEGMENT_LIST] = "SELECT number FROM segments ORDER BY number",
	[HS_INDEX_COUNT_MARKS] = "SELECT mark, count(*) FROM traces GROUP BY 1",
	[HS_INDEX_COUNT_REST] =
		"SELECT (SELECT count(*) FROM slices),"
		" (SELECT count(*) FROM traces WHERE stale = 1)",
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
	if (version != 0)
		return -EBADMSG;
	if (sqlite3_exec(ix->db, "BEGIN", NULL, NULL, NULL) ||
	    sqlite3_exec(ix->db, schema, NULL, NULL, NULL) ||
	    sqlite3_exec(ix->db, "COMMIT", NULL, NULL, NULL))
		return hs_index_fail(ix, sqlite3_errcode(ix->db));
	return 0;
}

static int prepare_all(struct hs_index *ix, const char *path)
{
	int rc = sqlite3_open_v2(path, &ix->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					 SQLITE_OPEN_NOMUTEX,
				 NULL);

	if (rc)
		return hs_index_fail(ix, rc);
	sqlite3_busy_timeout(ix->db, 2000);
	rc = sqlite3_exec(ix->db,
			  "PRAGMA journal_mode = WAL;"
			  "PRAGMA synchronous = NORMAL;"
			  "PRAGMA wal_autocheckpoint = 2000;",
			  NULL, NULL, NULL);
	if (rc)
		return hs_index_fail(ix, rc);
	rc = schema_make(ix);
	for (int i = 0; !rc && i < HS_INDEX_NR_STATEMENTS; i++) {
		rc = sqlite3_prepare_v3(ix->db, texts[i], -1,
					SQLITE_PREPARE_PERSISTENT,
					&ix->statements[i], NULL);
		/* A file of our version without our tables is not ours. */
		if (rc == SQLITE_ERROR)
			rc = SQLITE_CORRUPT;
		if (rc)
			rc = hs_index_fail(ix, rc);
	}
	return rc ? rc : run(ix, HS_INDEX_BEGIN);
}

int hs_index_open(struct hs_index **out, const char *path, char *error,
		  size_t error_bytes)
{
	struct hs_index *ix = calloc(1, sizeof(*ix));
	int rc;

	*out = NULL;
	if (!ix)
		return -ENOMEM;
	rc = prepare_all(ix, path);
	if (rc) {
		snprintf(error, error_bytes, "%s: %s", path, ix->error);
		hs_index_close(ix);
		return rc;
	}
	*out = ix;
	return 0;
}

void hs_index_close(struct hs_index *ix)
{
	if (!ix)
		return;
	for (int i = 0; i < HS_INDEX_NR_STATEMENTS; i++)
		sqlite3_finalize(ix->statements[i]);
	sqlite3_close(ix->db);
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
	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(ix->db))
		run(ix, HS_INDEX_ROLLBACK);
	return run(ix, HS_INDEX_BEGIN);
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

int hs_index_key(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		 int64_t *key)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_TRACE_KEY];
	int rc;

	hs_index_bind_id(st, 1, trace);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*key = sqlite3_column_int64(st, 0);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		hs_index_fail(ix, rc);
	sqlite3_reset(st);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -EIO;
}

/* The key of a trace that something was added to: made, or made stale. */
static int touch(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		 int64_t now_ns, int64_t *key)
{
	sqlite3_stmt *st;
	int rc = hs_index_key(ix, trace, key);

	if (rc < 0)
		return rc;
	if (rc > 0) {
		st = ix->statements[HS_INDEX_TRACE_STALE];
		sqlite3_bind_int64(st, 1, *key);
		sqlite3_bind_int64(st, 2, now_ns);
		return hs_index_run(ix, st);
	}
	st = ix->statements[HS_INDEX_TRACE_ADD];
	hs_index_bind_id(st, 1, trace);
	sqlite3_bind_int64(st, 2, now_ns);
	rc = hs_index_run(ix, st);
	*key = sqlite3_last_insert_rowid(ix->db);
	return rc;
}

int hs_index_add_slice(struct hs_index *ix, const struct hs_wire_slice *s,
		       struct hs_index_place place, uint32_t stored_bytes,
		       int64_t now_ns)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SLICE_ADD];
	const int64_t values[] = {place.segment,   (int64_t)place.offset,
				  stored_bytes,	   (int64_t)s->node,
				  s->process,	   s->handle,
				  s->seq,	   s->offset,
				  s->length_bytes, s->flags,
				  s->final};
	int64_t key;
	int rc = touch(ix, &s->trace, now_ns, &key);

	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, key);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		sqlite3_bind_int64(st, (int)i + 2, values[i]);
	return hs_index_run(ix, st);
}

int hs_index_add_union(struct hs_index *ix,
		       const struct hs_wire_trace_id *trace,
		       struct hs_index_place place,
		       const struct hs_wire_trigger *triggers,
		       uint32_t nr_triggers, int64_t now_ns)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_UNION_SET];
	int64_t key;
	int rc = touch(ix, trace, now_ns, &key);

	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, place.segment);
	sqlite3_bind_int64(st, 3, (int64_t)place.offset);
	rc = hs_index_run(ix, st);
	st = ix->statements[HS_INDEX_TRIGGER_ADD];
	for (uint32_t i = 0; !rc && i < nr_triggers; i++) {
		sqlite3_bind_int64(st, 1, key);
		sqlite3_bind_int64(st, 2, (int64_t)triggers[i].origin);
		sqlite3_bind_int64(st, 3, (int64_t)triggers[i].key);
		sqlite3_bind_text(st, 4, triggers[i].name, -1,
				  SQLITE_TRANSIENT);
		sqlite3_bind_int64(st, 5, (int64_t)triggers[i].fired_ns);
		rc = hs_index_run(ix, st);
	}
	return rc;
}

int hs_index_put_mark(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		      int mark, uint64_t version, const char *causes,
		      const char *nodes, uint64_t nr_bytes, int64_t now_ns)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_MARK_SET];

	hs_index_bind_id(st, 1, trace);
	sqlite3_bind_int(st, 2, mark);
	sqlite3_bind_int64(st, 3, (int64_t)version);
	sqlite3_bind_text(st, 4, causes, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(st, 5, nodes, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(st, 6, (int64_t)nr_bytes);
	sqlite3_bind_int64(st, 7, now_ns);
	return hs_index_run(ix, st);
}

int hs_index_put_summary(struct hs_index *ix,
			 const struct hs_wire_trace_id *trace,
			 const struct hs_index_summary *s)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SUMMARY_SET];
	int64_t key;
	int rc = hs_index_key(ix, trace, &key);

	if (rc <= 0)
		return rc;
	hs_index_bind_id(st, 1, trace);
	if (s->nr_spans)
		sqlite3_bind_int64(st, 2, s->start_ns);
	sqlite3_bind_int64(st, 3, s->duration_ns);
	sqlite3_bind_text(st, 4, s->service, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(st, 5, s->operation, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int(st, 6, s->error);
	sqlite3_bind_int64(st, 7, s->nr_spans);
	rc = hs_index_run(ix, st);
	if (rc)
		return rc;
	st = ix->statements[HS_INDEX_SERVICES_CLEAR];
	sqlite3_bind_int64(st, 1, key);
	rc = hs_index_run(ix, st);
	st = ix->statements[HS_INDEX_SERVICE_ADD];
	for (uint32_t i = 0; !rc && i < s->nr_services; i++) {
		sqlite3_bind_text(st, 1, s->services[i], -1, SQLITE_TRANSIENT);
		sqlite3_bind_int64(st, 2, key);
		rc = hs_index_run(ix, st);
	}
	return rc;
}

int hs_index_mark_damaged(struct hs_index *ix,
			  const struct hs_wire_trace_id *trace,
			  struct hs_index_place place)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SLICE_DAMAGED];
	int64_t key;
	int rc = hs_index_key(ix, trace, &key);

	if (rc <= 0)
		return rc;
	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, place.segment);
	sqlite3_bind_int64(st, 3, (int64_t)place.offset);
	return hs_index_run(ix, st);
}

int hs_index_segment_set(struct hs_index *ix, uint32_t segment, uint64_t end)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SEGMENT_SET];

	sqlite3_bind_int64(st, 1, segment);
	sqlite3_bind_int64(st, 2, (int64_t)end);
	return hs_index_run(ix, st);
}

int hs_index_segment_forget(struct hs_index *ix, uint32_t segment)
{
	static const enum hs_index_statement steps[] = {
		HS_INDEX_SEGMENT_STALE, HS_INDEX_SEGMENT_UNIONS,
		HS_INDEX_SEGMENT_SLICES, HS_INDEX_SEGMENT_DEL};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(steps) / sizeof(steps[0]); i++) {
		sqlite3_bind_int64(ix->statements[steps[i]], 1, segment);
		rc = run(ix, steps[i]);
	}
	return rc;
}

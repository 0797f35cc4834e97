/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.c - counts in SQLite; see tally.h
 */
#include "collector/tally.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/endian.h"
#include "base/log.h"

#define LOG	       "collector"
#define MINUTE_NS      (60 * (int64_t)HS_NS_PER_SEC)
#define PRUNE_NS       (60 * MINUTE_NS)
#define SCHEMA_VERSION 1
/* Errors, then bucket words. */
#define BLOB_MAX_BYTES ((1 + HS_WIRE_TALLY_BUCKETS) * sizeof(uint64_t))

static const char schema[] =
	"CREATE TABLE sources(node INTEGER NOT NULL, process INTEGER NOT NULL,"
	" service TEXT NOT NULL, operation TEXT NOT NULL,"
	" counts BLOB NOT NULL, updated_ns INTEGER NOT NULL,"
	" PRIMARY KEY(node, process, service, operation)) WITHOUT ROWID;"
	"CREATE TABLE minutes(minute INTEGER NOT NULL, service TEXT NOT NULL,"
	" operation TEXT NOT NULL, counts BLOB NOT NULL,"
	" PRIMARY KEY(minute, service, operation)) WITHOUT ROWID;"
	"PRAGMA user_version = 1;";

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	SOURCE_GET,
	SOURCE_SET,
	SOURCES_COUNT,
	SOURCES_PRUNE,
	MINUTE_GET,
	MINUTE_SET,
	MINUTES_OLD,
	MINUTES_DROP,
	QUERY,
	NR_STATEMENTS
};

static const char *const texts[NR_STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SOURCE_GET] = "SELECT counts FROM sources WHERE node = ?1 AND"
		       " process = ?2 AND service = ?3 AND operation = ?4",
	[SOURCE_SET] = "INSERT INTO sources VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
		       " ON CONFLICT DO UPDATE SET counts = ?5,"
		       " updated_ns = ?6",
	[SOURCES_COUNT] = "SELECT count(*) FROM sources",
	[SOURCES_PRUNE] = "DELETE FROM sources WHERE updated_ns < ?1",
	[MINUTE_GET] = "SELECT counts FROM minutes WHERE minute = ?1 AND"
		       " service = ?2 AND operation = ?3",
	[MINUTE_SET] = "INSERT INTO minutes VALUES(?1, ?2, ?3, ?4)"
		       " ON CONFLICT DO UPDATE SET counts = ?4",
	[MINUTES_OLD] = "SELECT service, operation, counts FROM minutes"
			" WHERE minute > 0 AND minute < ?1",
	[MINUTES_DROP] = "DELETE FROM minutes WHERE minute > 0 AND minute < ?1",
	[QUERY] = "SELECT service, operation, counts FROM minutes WHERE"
		  " minute >= ?1 AND minute < ?2 AND"
		  " (?3 IS NULL OR service = ?3) AND"
		  " (?4 IS NULL OR operation = ?4)"
		  " ORDER BY service, operation",
};

struct hs_tally {
	sqlite3 *db;
	sqlite3_stmt *statements[NR_STATEMENTS];
	bool in_transaction;
	int64_t pruned_ns;
	struct hs_tally_stats stats;
};

/* ---- SQLite -------------------------------------------------------------- */

static int errno_of(int sqlite_rc)
{
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

/* A statement that gives no row. */
static int run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : errno_of(rc);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static uint32_t encode(const struct hs_tally_counts *c,
		       uint8_t out[BLOB_MAX_BYTES])
{
	struct hs_wire_writer w = hs_wire_writer_make(out, BLOB_MAX_BYTES);
	uint8_t errors[sizeof(uint64_t)];

	hs_le64_store(errors, c->errors);
	hs_wire_put(&w, errors, sizeof(errors));
	hs_wire_put_counts(&w, c);
	return (uint32_t)w.used_bytes;
}

/* What is no blob of ours counts as nothing. */
static void decode(sqlite3_stmt *st, int column, struct hs_tally_counts *out)
{
	const void *blob = sqlite3_column_blob(st, column);
	int bytes = sqlite3_column_bytes(st, column);
	struct hs_wire_reader r;

	memset(out, 0, sizeof(*out));
	if (!blob || bytes < (int)sizeof(uint64_t) || bytes % 8)
		return;
	r = hs_wire_reader_make((const uint8_t *)blob + 8, (size_t)bytes - 8);
	if (hs_wire_take_counts(&r, (uint32_t)bytes / 8 - 1, out))
		out->errors = hs_le64_load(blob);
	else
		memset(out, 0, sizeof(*out));
}

/* ---- opening ------------------------------------------------------------- */

static int schema_make(sqlite3 *db)
{
	sqlite3_stmt *st;
	int version = -1;
	int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL);

	if (rc)
		return rc;
	if (sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	rc = sqlite3_finalize(st);
	if (rc || version == SCHEMA_VERSION)
		return rc;
	if (version != 0)
		return SQLITE_NOTADB;
	return sqlite3_exec(db, schema, NULL, NULL, NULL);
}

static int open_db(struct hs_tally *t, const char *path)
{
	int rc = sqlite3_open_v2(path, &t->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					 SQLITE_OPEN_NOMUTEX,
				 NULL);

	if (!rc)
		rc = sqlite3_exec(t->db,
				  "PRAGMA journal_mode = WAL;"
				  "PRAGMA synchronous = FULL;",
				  NULL, NULL, NULL);
	if (!rc)
		rc = schema_make(t->db);
	for (int i = 0; !rc && i < NR_STATEMENTS; i++)
		rc = sqlite3_prepare_v3(t->db, texts[i], -1,
					SQLITE_PREPARE_PERSISTENT,
					&t->statements[i], NULL);
	return rc ? errno_of(rc) : 0;
}

static void close_db(struct hs_tally *t)
{
	for (int i = 0; i < NR_STATEMENTS; i++) {
		sqlite3_finalize(t->statements[i]);
		t->statements[i] = NULL;
	}
	sqlite3_close(t->db);
	t->db = NULL;
}

static int put_aside(const char *path)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char from[4200], to[4200];
	int rc = 0;

	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "%s%s", path, ends[i]);
		snprintf(to, sizeof(to), "%s.damaged%s", path, ends[i]);
		if (rename(from, to) && errno != ENOENT)
			rc = -errno;
	}
	hs_log_error(LOG, "%s is damaged: put aside, counts begin anew", path);
	return rc;
}

int hs_tally_open(struct hs_tally **out, const char *dir, char *error,
		  size_t error_bytes)
{
	struct hs_tally *t = calloc(1, sizeof(*t));
	char path[4100];
	int rc;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/operations.db", dir);
	rc = open_db(t, path);
	if (rc == -EBADMSG) {
		close_db(t);
		rc = put_aside(path);
		if (!rc)
			rc = open_db(t, path);
	}
	if (!rc && sqlite3_step(t->statements[SOURCES_COUNT]) == SQLITE_ROW)
		t->stats.sources = (uint64_t)sqlite3_column_int64(
			t->statements[SOURCES_COUNT], 0);
	sqlite3_reset(t->statements[SOURCES_COUNT]);
	if (rc) {
		snprintf(error, error_bytes, "%s: %s", path,
			 t->db ? sqlite3_errmsg(t->db) : strerror(-rc));
		hs_tally_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

void hs_tally_close(struct hs_tally *t)
{
	if (!t)
		return;
	(void)hs_tally_commit(t, (int64_t)hs_clock_real_ns());
	close_db(t);
	free(t);
}

/* ---- taking in ----------------------------------------------------------- */

/* What there is of a key that is bound already. Return: 1: a row; 0; -errno. */
static int get(sqlite3_stmt *st, struct hs_tally_counts *out)
{
	int step = sqlite3_step(st);
	int rc = step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;

	memset(out, 0, sizeof(*out));
	if (rc > 0)
		decode(st, 0, out);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc < 0 ? errno_of(step) : rc;
}

static int minute_add(struct hs_tally *t, int64_t minute, const char *service,
		      const char *operation, const struct hs_tally_counts *more)
{
	sqlite3_stmt *st = t->statements[MINUTE_GET];
	uint8_t blob[BLOB_MAX_BYTES];
	struct hs_tally_counts have;
	int rc;

	sqlite3_bind_int64(st, 1, minute);
	bind_text(st, 2, service);
	bind_text(st, 3, operation);
	rc = get(st, &have);
	if (rc < 0)
		return rc;
	hs_tally_add(&have, more);
	st = t->statements[MINUTE_SET];
	sqlite3_bind_int64(st, 1, minute);
	bind_text(st, 2, service);
	bind_text(st, 3, operation);
	sqlite3_bind_blob(st, 4, blob, (int)encode(&have, blob), SQLITE_STATIC);
	return run(st);
}

static void bind_source(sqlite3_stmt *st, const struct hs_wire_tally *head,
			const struct hs_tally_row *row)
{
	sqlite3_bind_int64(st, 1, (int64_t)head->node);
	sqlite3_bind_int64(st, 2, head->process);
	bind_text(st, 3, row->service);
	bind_text(st, 4, row->name);
}

static int take_row(struct hs_tally *t, const struct hs_wire_tally *head,
		    const struct hs_tally_row *row, int64_t now_ns)
{
	sqlite3_stmt *st = t->statements[SOURCE_GET];
	struct hs_tally_counts have, news;
	uint8_t blob[BLOB_MAX_BYTES];
	bool known;
	int rc;

	bind_source(st, head, row);
	rc = get(st, &have);
	if (rc < 0)
		return rc;
	known = rc > 0;
	if (!known && t->stats.sources >= HS_TALLY_SOURCES_MAX) {
		t->stats.over_limit++;
		return 0;
	}
	if (hs_tally_unite(&have, &row->counts, &news)) {
		t->stats.rows_news++;
		rc = minute_add(t, now_ns / MINUTE_NS, row->service, row->name,
				&news);
		if (rc)
			return rc;
	} else {
		t->stats.rows_known++;
	}
	st = t->statements[SOURCE_SET];
	bind_source(st, head, row);
	sqlite3_bind_blob(st, 5, blob, (int)encode(&have, blob), SQLITE_STATIC);
	sqlite3_bind_int64(st, 6, now_ns);
	rc = run(st);
	t->stats.sources += !rc && !known;
	return rc;
}

/* Everything is looked at before anything counts. */
static bool well_formed(const void *payload, uint32_t payload_bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_tally *head = hs_wire_take_tally(&r);
	struct hs_tally_row row;

	for (uint32_t i = 0; head && i < head->nr_rows; i++)
		if (!hs_wire_take_tally_row(&r, &row))
			return false;
	return head && hs_wire_done(&r);
}

static int begin(struct hs_tally *t)
{
	int rc = t->in_transaction ? 0 : run(t->statements[BEGIN]);

	t->in_transaction |= !rc;
	return rc;
}

/* Nothing since the last commit counts, and nothing of it is acknowledged. */
static int fail(struct hs_tally *t, int rc)
{
	t->stats.errors++;
	hs_log_limited(HS_LOG_ERROR, LOG, "operations: %s",
		       sqlite3_errmsg(t->db));
	if (t->in_transaction)
		(void)run(t->statements[ROLLBACK]);
	t->in_transaction = false;
	return rc;
}

int hs_tally_put(struct hs_tally *t, const void *payload,
		 uint32_t payload_bytes, int64_t now_ns,
		 struct hs_wire_tally_ack *ack)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);
	const struct hs_wire_tally *head;
	struct hs_tally_row row;
	int rc;

	t->stats.messages++;
	if (!well_formed(payload, payload_bytes)) {
		t->stats.malformed++;
		return -EBADMSG;
	}
	rc = begin(t);
	head = hs_wire_take_tally(&r);
	for (uint32_t i = 0; i < head->nr_rows && !rc; i++) {
		hs_wire_take_tally_row(&r, &row);
		rc = take_row(t, head, &row, now_ns);
	}
	if (rc)
		return fail(t, rc);
	*ack = (struct hs_wire_tally_ack){.seq = head->seq,
					  .process = head->process};
	return 0;
}

/* Old minutes become the minute 0. */
static int prune(struct hs_tally *t, int64_t now_ns)
{
	int64_t old = now_ns / MINUTE_NS - HS_TALLY_KEEP_MINUTES;
	sqlite3_stmt *st = t->statements[MINUTES_OLD];
	int rc = 0, step = SQLITE_DONE;

	if (now_ns - t->pruned_ns < PRUNE_NS || old <= 0)
		return 0;
	t->pruned_ns = now_ns;
	sqlite3_bind_int64(st, 1, old);
	while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct hs_tally_counts counts;

		decode(st, 2, &counts);
		rc = minute_add(t, 0, (const char *)sqlite3_column_text(st, 0),
				(const char *)sqlite3_column_text(st, 1),
				&counts);
	}
	if (!rc && step != SQLITE_DONE)
		rc = errno_of(step);
	sqlite3_reset(st);
	st = t->statements[MINUTES_DROP];
	sqlite3_bind_int64(st, 1, old);
	rc = rc ? rc : run(st);
	st = t->statements[SOURCES_PRUNE];
	sqlite3_bind_int64(st, 1, old * MINUTE_NS);
	rc = rc ? rc : run(st);
	t->stats.sources -= (uint64_t)sqlite3_changes(t->db) <= t->stats.sources
				    ? (uint64_t)sqlite3_changes(t->db)
				    : t->stats.sources;
	return rc;
}

int hs_tally_commit(struct hs_tally *t, int64_t now_ns)
{
	int rc;

	if (!t->in_transaction)
		return 0;
	rc = prune(t, now_ns);
	if (!rc)
		rc = run(t->statements[COMMIT]);
	if (rc)
		return fail(t, rc);
	t->in_transaction = false;
	return 0;
}

/* ---- asking -------------------------------------------------------------- */

static bool same(const struct hs_tally_row *row, sqlite3_stmt *st)
{
	return !strcmp(row->service,
		       (const char *)sqlite3_column_text(st, 0)) &&
	       !strcmp(row->name, (const char *)sqlite3_column_text(st, 1));
}

int hs_tally_query(struct hs_tally *t, const struct hs_tally_filter *filter,
		   int (*row)(void *ctx, const struct hs_tally_row *row),
		   void *ctx)
{
	sqlite3_stmt *st = t->statements[QUERY];
	struct hs_tally_row sum;
	bool has_sum = false;
	int rc = 0, step;

	sqlite3_bind_int64(st, 1, filter->since_ns / MINUTE_NS);
	sqlite3_bind_int64(st, 2,
			   filter->until_ns ? (filter->until_ns + MINUTE_NS -
					       1) / MINUTE_NS
					    : INT64_MAX);
	if (filter->service)
		bind_text(st, 3, filter->service);
	if (filter->operation)
		bind_text(st, 4, filter->operation);
	while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct hs_tally_counts counts;

		if (has_sum && !same(&sum, st)) {
			rc = row(ctx, &sum);
			has_sum = false;
		}
		if (!has_sum) {
			memset(&sum, 0, sizeof(sum));
			snprintf(sum.service, sizeof(sum.service), "%s",
				 sqlite3_column_text(st, 0));
			snprintf(sum.name, sizeof(sum.name), "%s",
				 sqlite3_column_text(st, 1));
			has_sum = true;
		}
		decode(st, 2, &counts);
		hs_tally_add(&sum.counts, &counts);
	}
	if (!rc && step != SQLITE_DONE)
		rc = errno_of(step);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (!rc && has_sum)
		rc = row(ctx, &sum);
	return rc;
}

void hs_tally_stats(const struct hs_tally *t, struct hs_tally_stats *out)
{
	*out = t->stats;
}

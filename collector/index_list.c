/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_list.c - listings: the newest traces that match
 *
 * Services, triggers, errors, open and partial ones have indexes that are in
 * the order of a listing, so that as much of them is read as is shown. Complete
 * is what most are: those go by their starts. Durations cannot: a listing goes
 * by theirs only where few are so long, and sorts those. Of several things that
 * are asked for, it goes by the one that there is least of, counted up to a
 * limit, and looks at what that gives for the others. Each statement names its
 * index, so that none depends on what SQLite thinks.
 */
#include "collector/index_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* As many as are counted, and sorted, for one listing. */
#define COUNT_MAX 4096

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

enum way {
	WAY_SERVICE,
	WAY_TRIGGER,
	WAY_ERROR,
	WAY_OPEN,
	WAY_PARTIAL,
	WAY_DURATION,
	WAY_START,
	NR_WAYS
};

/* Where a listing begins. What has a table of its own is `d`, traces are `t`.
 */
static const struct {
	const char *from;
	const char *where;
	bool own; /* a table of its own */
} ways[NR_WAYS] = {
	[WAY_SERVICE] = {"services AS d", "d.service = :service", true},
	[WAY_TRIGGER] = {"trigger_names AS d", "d.name = :trigger", true},
	[WAY_ERROR] = {"traces AS t INDEXED BY traces_error",
		       "t.error = 1 AND t.start_ns <= :last", false},
	[WAY_OPEN] = {"traces AS t INDEXED BY traces_open",
		      "t.mark = 0 AND t.start_ns <= :last", false},
	[WAY_PARTIAL] = {"traces AS t INDEXED BY traces_partial",
			 "t.mark = 2 AND t.start_ns <= :last", false},
	[WAY_DURATION] = {"traces AS t INDEXED BY traces_duration",
			  "t.duration_ns <> 0 AND t.duration_ns >= :min",
			  false},
	[WAY_START] = {"traces AS t INDEXED BY traces_start",
		       "t.start_ns <= :last", false},
};

static void bind_text(sqlite3_stmt *st, const char *name, const char *value)
{
	int at = sqlite3_bind_parameter_index(st, name);

	if (at)
		sqlite3_bind_text(st, at, value, -1, SQLITE_TRANSIENT);
}

static void bind_number(sqlite3_stmt *st, const char *name, int64_t value)
{
	int at = sqlite3_bind_parameter_index(st, name);

	if (at)
		sqlite3_bind_int64(st, at, value);
}

static void bind(sqlite3_stmt *st, const struct hs_index_filter *f)
{
	bind_text(st, ":service", f->service);
	bind_text(st, ":trigger", f->trigger);
	bind_number(st, ":min", f->min_duration_ns);
	bind_number(st, ":max", f->max_duration_ns);
	bind_number(st, ":error", f->error);
	bind_number(st, ":mark", f->mark);
	bind_number(st, ":since", f->since_ns);
	/* Up to the last start there can be, which is one, too. */
	bind_number(st, ":last", f->until_ns ? f->until_ns - 1 : INT64_MAX);
	bind_number(st, ":limit", f->limit);
}

/* ---- by which index ------------------------------------------------------ */

static bool asked(const struct hs_index_filter *f, enum way way)
{
	switch (way) {
	case WAY_SERVICE:
		return f->service;
	case WAY_TRIGGER:
		return f->trigger;
	case WAY_ERROR:
		return f->error == 1;
	case WAY_OPEN:
		return f->mark == 0;
	case WAY_PARTIAL:
		return f->mark == 2;
	case WAY_DURATION:
		return f->min_duration_ns > 0;
	default:
		return true;
	}
}

static int count_row(void *ctx, sqlite3_stmt *st)
{
	*(int64_t *)ctx = sqlite3_column_int64(st, 0);
	return 0;
}

/* How much there is to read that way, up to COUNT_MAX. */
static int count(struct hs_index *ix, const struct hs_index_filter *f,
		 enum way way, int64_t *out)
{
	sqlite3_stmt *st;
	char text[256];
	int rc;

	snprintf(text, sizeof(text),
		 "SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT"
		 " " STRING(COUNT_MAX) ")",
		 ways[way].from, ways[way].where);
	rc = sqlite3_prepare_v2(ix->db, text, -1, &st, NULL);
	if (rc)
		return hs_index_fail(ix, rc);
	bind(st, f);
	rc = hs_index_each_row(ix, st, count_row, out);
	sqlite3_finalize(st);
	return rc;
}

static int choose(struct hs_index *ix, const struct hs_index_filter *f,
		  enum way *out)
{
	int64_t least = INT64_MAX;
	int nr = 0;

	*out = WAY_START;
	for (int w = 0; w < WAY_START; w++) {
		if (!asked(f, (enum way)w))
			continue;
		if (!nr++)
			*out = (enum way)w;
	}
	/* One that is in the order of the listing serves, however much. */
	if (nr < 2 && *out != WAY_DURATION)
		return 0;
	*out = WAY_START;
	for (int w = 0; w < WAY_START; w++) {
		int64_t n = 0;
		int rc = 0;

		if (asked(f, (enum way)w))
			rc = count(ix, f, (enum way)w, &n);
		if (rc)
			return rc;
		if (!asked(f, (enum way)w) || n >= least ||
		    (w == WAY_DURATION && n == COUNT_MAX))
			continue;
		least = n;
		*out = (enum way)w;
	}
	return 0;
}

/* ---- the statement ------------------------------------------------------- */

#define COLUMNS                                                                \
	"SELECT id, start_ns, duration_ns, service, operation, error, mark,"   \
	" version, nr_spans, nr_bytes, updated_ns, causes, nodes,"             \
	" (SELECT json_group_array(name) FROM (SELECT DISTINCT name FROM"      \
	" triggers WHERE trace = t.key ORDER BY name)),"                       \
	" (SELECT json_group_array(service) FROM services WHERE trace ="       \
	" t.key), stale FROM "

/* What is said of other tables than the one that a listing goes by. */
#define HAS_SERVICE                                                            \
	" AND EXISTS(SELECT 1 FROM services AS x INDEXED BY services_trace"    \
	" WHERE x.trace = %s AND x.service = :service)"
#define HAS_TRIGGER                                                            \
	" AND EXISTS(SELECT 1 FROM triggers AS x WHERE x.trace = %s AND"       \
	" x.name = :trigger)"

struct text {
	char *data;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t,
						      const char *format, ...)
{
	va_list args;

	/* The longest of all is known, and has room. */
	va_start(args, format);
	t->used += (size_t)vsnprintf(t->data + t->used,
				     HS_INDEX_LIST_TEXT_BYTES - t->used, format,
				     args);
	va_end(args);
}

/* Whether the listing has to look into traces' rows to know what matches. */
static bool looks(const struct hs_index_filter *f)
{
	return f->min_duration_ns >= 0 || f->max_duration_ns >= 0 ||
	       f->error >= 0 || f->mark >= 0;
}

int hs_index_list_text(struct hs_index *ix, const struct hs_index_filter *f,
		       char *out)
{
	struct text t = {.data = out};
	const char *start, *key;
	enum way way;
	int rc = choose(ix, f, &way);

	if (rc)
		return rc;
	start = ways[way].own ? "d.start_ns" : "t.start_ns";
	key = ways[way].own ? "d.trace" : "t.key";
	/* Rows are put together for those alone that are shown. */
	add(&t, COLUMNS "(SELECT %s AS found FROM %s", key, ways[way].from);
	if (ways[way].own && looks(f))
		add(&t, " CROSS JOIN traces AS t ON t.key = d.trace");
	add(&t, " WHERE %s", ways[way].where);
	if (f->service && way != WAY_SERVICE)
		add(&t, HAS_SERVICE, key);
	if (f->trigger && way != WAY_TRIGGER)
		add(&t, HAS_TRIGGER, key);
	if (f->min_duration_ns >= 0)
		add(&t, " AND t.duration_ns >= :min");
	if (f->max_duration_ns >= 0)
		add(&t, " AND t.duration_ns <= :max");
	if (f->error >= 0)
		add(&t, " AND t.error = :error");
	if (f->mark >= 0)
		add(&t, " AND t.mark = :mark");
	if (f->since_ns)
		add(&t, " AND %s >= :since", start);
	if (f->until_ns)
		add(&t, " AND %s <= :last", start);
	add(&t,
	    " ORDER BY %s DESC, %s DESC LIMIT :limit) CROSS JOIN traces"
	    " AS t ON t.key = found ORDER BY start_ns DESC, key DESC",
	    start, key);
	return 0;
}

/* ---- the rows ------------------------------------------------------------ */

struct listing {
	int (*visit)(void *ctx, const struct hs_index_trace *trace);
	void *ctx;
};

static int trace_row(void *ctx, sqlite3_stmt *st)
{
	const struct listing *listing = ctx;
	struct hs_index_trace t = {
		.start_ns = sqlite3_column_int64(st, 1),
		.duration_ns = sqlite3_column_int64(st, 2),
		.service = (const char *)sqlite3_column_text(st, 3),
		.operation = (const char *)sqlite3_column_text(st, 4),
		.error = sqlite3_column_int(st, 5) != 0,
		.mark = sqlite3_column_int(st, 6),
		.version = (uint64_t)sqlite3_column_int64(st, 7),
		.nr_spans = (uint32_t)sqlite3_column_int64(st, 8),
		.nr_bytes = (uint64_t)sqlite3_column_int64(st, 9),
		.updated_ns = sqlite3_column_int64(st, 10),
		.causes = (const char *)sqlite3_column_text(st, 11),
		.nodes = (const char *)sqlite3_column_text(st, 12),
		.triggers = (const char *)sqlite3_column_text(st, 13),
		.services = (const char *)sqlite3_column_text(st, 14),
		.stale = sqlite3_column_int(st, 15) != 0,
	};
	int rc = hs_index_column_id(st, 0, &t.id);

	if (rc)
		return rc;
	if (!t.service || !t.operation || !t.causes || !t.nodes ||
	    !t.triggers || !t.services)
		return -ENOMEM;
	return listing->visit(listing->ctx, &t);
}

int hs_index_query(struct hs_index *ix, const struct hs_index_filter *f,
		   int (*visit)(void *ctx, const struct hs_index_trace *trace),
		   void *ctx)
{
	struct listing listing = {.visit = visit, .ctx = ctx};
	char text[HS_INDEX_LIST_TEXT_BYTES];
	sqlite3_stmt *st;
	int rc = hs_index_list_text(ix, f, text);

	if (rc)
		return rc;
	rc = sqlite3_prepare_v2(ix->db, text, -1, &st, NULL);
	if (rc)
		return hs_index_fail(ix, rc);
	bind(st, f);
	rc = hs_index_each_row(ix, st, trace_row, &listing);
	sqlite3_finalize(st);
	return rc;
}

int hs_index_get(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		 int (*visit)(void *ctx, const struct hs_index_trace *trace),
		 void *ctx)
{
	struct listing listing = {.visit = visit, .ctx = ctx};
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_prepare_v2(ix->db, COLUMNS "traces AS t WHERE id = ?1", -1,
				&st, NULL);
	if (rc)
		return hs_index_fail(ix, rc);
	hs_index_bind_id(st, 1, trace);
	rc = hs_index_each_row(ix, st, trace_row, &listing);
	sqlite3_finalize(st);
	return rc;
}

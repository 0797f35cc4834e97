/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_rows.c - rows of traces that are new, many to a statement
 *
 * A row takes SQLite little; what takes it long is beginning and ending a
 * statement, which opens the table and each of its indexes. So traces that the
 * index does not have wait until there are HS_INDEX_NR_ROWS of them. They keep
 * their order, which is that of their starts: so all but what goes by the id is
 * added at an end.
 *
 * Most need not be looked for first: all that ever changed a trace is in what
 * comes now, by its version. Where one is there all the same its row is left
 * out, and it is looked for then.
 */
#include "collector/index_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Columns of the statements that add rows. */
enum {
	TRACE_COLUMNS = 14,
	RECORDS_COLUMNS = 3,
	TRIGGER_COLUMNS = 5,
	NAME_COLUMNS = 3
};

struct rows {
	struct hs_index *ix;
	int64_t first_key;
	const struct hs_index_change *changes[HS_INDEX_NR_ROWS];
	uint32_t nr;
};

void hs_index_bind_trace(sqlite3_stmt *st, uint32_t at, int64_t key,
			 const struct hs_index_change *c)
{
	static const struct hs_index_mark none = {.causes = "[]",
						  .nodes = "[]"};
	const struct hs_index_mark *m = c->mark ? c->mark : &none;
	int i = (int)at * TRACE_COLUMNS;

	sqlite3_bind_int64(st, i + 1, key);
	hs_index_bind_id(st, i + 2, &c->trace);
	sqlite3_bind_int64(st, i + 3, c->now_ns);
	sqlite3_bind_int64(st, i + 4, c->now_ns);
	sqlite3_bind_int64(st, i + 5, hs_index_due_ns(c));
	sqlite3_bind_int(st, i + 6, m->mark);
	sqlite3_bind_int64(st, i + 7, (int64_t)m->version);
	sqlite3_bind_int64(st, i + 8, (int64_t)m->nr_bytes);
	sqlite3_bind_text(st, i + 9, m->causes, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, i + 10, m->nodes, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, i + 11, c->union_place.segment);
	sqlite3_bind_int64(st, i + 12, (int64_t)c->union_place.offset);
	sqlite3_bind_int(st, i + 13, c->unmarked);
	/* Manifests alone add up to what a fresh row says already. */
	sqlite3_bind_int(st, i + 14, c->nr_slices > 0);
}

void hs_index_count_trace(struct hs_index *ix, const struct hs_index_change *c)
{
	ix->counts.nr_marks[c->mark ? c->mark->mark : 0]++;
	ix->counts.nr_stale += c->nr_slices > 0;
}

/* Return: how many were added, negative errno. */
static int traces_add(struct rows *r)
{
	sqlite3_stmt *st = r->ix->statements[HS_INDEX_TRACES_ADD];
	int rc;

	for (uint32_t i = 0; i < r->nr; i++)
		hs_index_bind_trace(st, i, r->first_key + i, r->changes[i]);
	rc = hs_index_run(r->ix, st);
	return rc ? rc : sqlite3_changes(r->ix->db);
}

/* A union has a row too, without heads, as in hs_index_heads_append(). */
static int records_add(struct rows *r)
{
	sqlite3_stmt *st = r->ix->statements[HS_INDEX_ALL_RECORDS_ADD];
	size_t nr = 0, used = 0;
	int rc;

	for (uint32_t i = 0; i < r->nr; i++)
		nr += r->changes[i]->nr_slices;
	/* One more, so that there is an address where there is nothing. */
	if (hs_index_heads_room(r->ix, (nr + 1) * sizeof(struct hs_index_head)))
		return -ENOMEM;
	for (uint32_t i = 0; i < r->nr; i++) {
		const struct hs_index_change *c = r->changes[i];
		int at = (int)i * RECORDS_COLUMNS;
		size_t begin = used;

		for (uint32_t k = 0; k < c->nr_slices; k++) {
			struct hs_index_head head =
				hs_index_head_of(&c->slices[k]);

			memcpy(r->ix->heads + used, &head, sizeof(head));
			used += sizeof(head);
		}
		sqlite3_bind_int64(st, at + 1, r->first_key + i);
		sqlite3_bind_int64(st, at + 2,
				   c->nr_slices ? c->slices[0].place.segment
						: c->union_place.segment);
		sqlite3_bind_blob64(st, at + 3, r->ix->heads + begin,
				    used - begin, SQLITE_STATIC);
	}
	rc = hs_index_run(r->ix, st);
	if (!rc)
		r->ix->counts.nr_slices += nr;
	return rc;
}

static int triggers_of_each(struct rows *r)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < r->nr; i++)
		rc = hs_index_triggers_add(r->ix, r->changes[i],
					   r->first_key + i, false);
	return rc;
}

/* Nearly every trace has one. */
static int triggers_add(struct rows *r)
{
	sqlite3_stmt *st = r->ix->statements[HS_INDEX_TRIGGERS_ADD];
	sqlite3_stmt *names = r->ix->statements[HS_INDEX_TRIGGER_NAMES_ADD];
	int rc;

	for (uint32_t i = 0; i < r->nr; i++)
		if (r->changes[i]->nr_triggers != 1)
			return triggers_of_each(r);
	for (uint32_t i = 0; i < r->nr; i++) {
		const struct hs_wire_trigger *t = r->changes[i]->triggers;
		int at = (int)i * TRIGGER_COLUMNS;

		sqlite3_bind_int64(st, at + 1, r->first_key + i);
		sqlite3_bind_int64(st, at + 2, (int64_t)t->origin);
		sqlite3_bind_int64(st, at + 3, (int64_t)t->key);
		sqlite3_bind_text(st, at + 4, t->name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, at + 5, (int64_t)t->fired_ns);
		at = (int)i * NAME_COLUMNS;
		sqlite3_bind_text(names, at + 1, t->name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(names, at + 2, r->changes[i]->now_ns);
		sqlite3_bind_int64(names, at + 3, r->first_key + i);
	}
	rc = hs_index_run(r->ix, st);
	return rc ? rc : hs_index_run(r->ix, names);
}

/* Some were there: whose key is not the one that it was to get. */
static int sort_out(struct rows *r)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < r->nr; i++) {
		const struct hs_index_change *c = r->changes[i];
		struct hs_index_row row = {0};
		int known = hs_index_row_of(r->ix, &c->trace, &row);

		if (known < 0) {
			rc = known;
		} else if (!known) {
			snprintf(r->ix->error, sizeof(r->ix->error),
				 "index: a row did not go in, its key is "
				 "another's");
			rc = -EBADMSG;
		} else if (row.key == r->first_key + i) {
			hs_index_count_trace(r->ix, c);
			rc = hs_index_put_rest(r->ix, c, row.key, false);
		} else {
			rc = hs_index_put_known(r->ix, c, &row);
		}
	}
	return rc;
}

static int rows_add(struct rows *r)
{
	int rc;

	r->first_key = r->ix->last_key + 1;
	r->ix->last_key += r->nr;
	rc = traces_add(r);
	if (rc >= 0 && rc < (int)r->nr) {
		rc = sort_out(r);
	} else if (rc >= 0) {
		for (uint32_t i = 0; i < r->nr; i++)
			hs_index_count_trace(r->ix, r->changes[i]);
		rc = records_add(r);
		if (!rc)
			rc = triggers_add(r);
	}
	r->nr = 0;
	return rc;
}

static bool is_new_by_version(const struct hs_index_change *c)
{
	return c->mark &&
	       c->mark->version <= c->nr_slices + (c->union_place.segment > 0);
}

static int row_next(struct rows *r, const struct hs_index_change *c)
{
	struct hs_index_row row = {0};
	int known = 0;

	if (!is_new_by_version(c))
		known = hs_index_row_of(r->ix, &c->trace, &row);
	if (known)
		return known < 0 ? known : hs_index_put_known(r->ix, c, &row);
	if (!hs_index_one_segment(c) ||
	    (!c->nr_slices && !c->union_place.segment))
		return hs_index_put(r->ix, c);
	r->changes[r->nr++] = c;
	return r->nr == HS_INDEX_NR_ROWS ? rows_add(r) : 0;
}

int hs_index_put_all(struct hs_index *ix, const struct hs_index_change *changes,
		     uint32_t nr)
{
	struct rows r = {.ix = ix};
	int rc = 0;

	for (uint32_t i = 0; !rc && i < nr; i++)
		rc = row_next(&r, &changes[i]);
	for (uint32_t i = 0; !rc && i < r.nr; i++)
		rc = hs_index_put(ix, r.changes[i]);
	return rc;
}

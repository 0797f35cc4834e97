/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_put.c - everything that writes to the index
 */
#include "collector/index_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int run(struct hs_index *ix, enum hs_index_statement which)
{
	return hs_index_run(ix, ix->statements[which]);
}

static int run_of(struct hs_index *ix, enum hs_index_statement which,
		  int64_t key)
{
	sqlite3_bind_int64(ix->statements[which], 1, key);
	return run(ix, which);
}

struct hs_index_head hs_index_head_of(const struct hs_index_slice *s)
{
	return (struct hs_index_head){
		.at = s->place.offset,
		.node = s->head->node,
		.stored_bytes = s->stored_bytes,
		.process = s->head->process,
		.handle = s->head->handle,
		.seq = s->head->seq,
		.offset = s->head->offset,
		.length_bytes = s->head->length_bytes,
		.flags = s->head->flags,
		.final = s->head->final != 0,
	};
}

int hs_index_heads_room(struct hs_index *ix, size_t bytes)
{
	size_t want = ix->heads_bytes ? ix->heads_bytes : 4096;
	uint8_t *more;

	if (bytes <= ix->heads_bytes)
		return 0;
	while (want < bytes)
		want *= 2;
	more = realloc(ix->heads, want);
	if (!more)
		return -ENOMEM;
	ix->heads = more;
	ix->heads_bytes = want;
	return 0;
}

/* The row that is there, into ix->heads with @more bytes of room behind. */
static int64_t heads_get(struct hs_index *ix, int64_t key, uint32_t segment,
			 size_t more)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_RECORDS_GET];
	size_t bytes = 0;
	int rc;

	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, segment);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		bytes = (size_t)sqlite3_column_bytes(st, 0);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		rc = hs_index_fail(ix, rc);
	} else if (hs_index_heads_room(ix, bytes + more)) {
		rc = -ENOMEM;
	} else {
		if (bytes)
			memcpy(ix->heads, sqlite3_column_blob(st, 0), bytes);
		rc = rc == SQLITE_ROW ? 0 : -ENOENT;
	}
	sqlite3_reset(st);
	if (rc == -ENOENT)
		return -ENOENT;
	return rc ? rc
		  : (int64_t)(bytes - bytes % sizeof(struct hs_index_head));
}

static int heads_put(struct hs_index *ix, enum hs_index_statement how,
		     int64_t key, uint32_t segment, size_t bytes)
{
	sqlite3_stmt *st = ix->statements[how];

	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, segment);
	sqlite3_bind_blob64(st, 3, bytes ? (const void *)ix->heads : "", bytes,
			    SQLITE_STATIC);
	return hs_index_run(ix, st);
}

/* Return: whether a head at @at is among the @bytes, which ascend. */
static bool heads_have(const struct hs_index *ix, size_t bytes, uint64_t at)
{
	size_t low = 0;
	size_t high = bytes / sizeof(struct hs_index_head);

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		uint64_t there;

		memcpy(&there, ix->heads + mid * sizeof(struct hs_index_head),
		       sizeof(there));
		if (there == at)
			return true;
		if (there < at)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* A union has a row too, without heads, so that its segment is found by it. */
int hs_index_heads_append(struct hs_index *ix, int64_t key, bool known,
			  const struct hs_index_change *c)
{
	size_t more = c->nr_slices * sizeof(struct hs_index_head);
	uint32_t segment = c->nr_slices ? c->slices[0].place.segment
					: c->union_place.segment;
	int64_t bytes = -ENOENT;
	size_t used;
	int rc;

	if (!segment)
		return 0;
	if (known)
		bytes = heads_get(ix, key, segment, more);
	if (bytes < 0 && bytes != -ENOENT)
		return (int)bytes;
	used = bytes > 0 ? (size_t)bytes : 0;
	if (hs_index_heads_room(ix, used + more))
		return -ENOMEM;
	for (uint32_t i = 0; i < c->nr_slices; i++) {
		struct hs_index_head head = hs_index_head_of(&c->slices[i]);

		if (bytes > 0 && heads_have(ix, (size_t)bytes, head.at))
			continue;
		memcpy(ix->heads + used, &head, sizeof(head));
		used += sizeof(head);
	}
	if (bytes >= 0 && used == (size_t)bytes)
		return 0;
	rc = heads_put(ix,
		       bytes < 0 ? HS_INDEX_RECORDS_ADD : HS_INDEX_RECORDS_SET,
		       key, segment, used);
	if (!rc)
		ix->counts.nr_slices +=
			(used - (bytes > 0 ? (size_t)bytes : 0)) /
			sizeof(struct hs_index_head);
	return rc;
}

static int row_add(struct hs_index *ix, const struct hs_index_change *c,
		   int64_t key)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_TRACE_ADD];
	int rc;

	hs_index_bind_trace(st, 0, key, c);
	rc = hs_index_run(ix, st);
	if (!rc)
		hs_index_count_trace(ix, c);
	return rc;
}

static int mark_set(struct hs_index *ix, const struct hs_index_change *c,
		    const struct hs_index_row *row)
{
	bool keeps = c->mark->mark == row->mark && c->unmarked == row->unmarked;
	sqlite3_stmt *st =
		ix->statements[keeps ? HS_INDEX_MARK_KEEP : HS_INDEX_MARK_SET];
	int rc;

	sqlite3_bind_int64(st, 1, row->key);
	sqlite3_bind_int64(st, 3, (int64_t)c->mark->version);
	sqlite3_bind_text(st, 4, c->mark->causes, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, c->mark->nodes, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 6, (int64_t)c->mark->nr_bytes);
	sqlite3_bind_int64(st, 7, c->now_ns);
	if (!keeps) {
		sqlite3_bind_int(st, 2, c->mark->mark);
		sqlite3_bind_int(st, 8, c->unmarked);
	}
	rc = hs_index_run(ix, st);
	if (!rc) {
		ix->counts.nr_marks[row->mark]--;
		ix->counts.nr_marks[c->mark->mark]++;
	}
	return rc;
}

static int stale_set(struct hs_index *ix, const struct hs_index_row *row,
		     int64_t when_ns)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_TRACE_STALE];
	int rc;

	sqlite3_bind_int64(st, 1, row->key);
	sqlite3_bind_int64(st, 2, when_ns);
	rc = hs_index_run(ix, st);
	if (!rc && !row->stale)
		ix->counts.nr_stale++;
	return rc;
}

static int unmarked_set(struct hs_index *ix, int64_t key)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_UNMARKED_SET];

	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int(st, 2, 1);
	return hs_index_run(ix, st);
}

/* One that turns is summed up at once, if it has anything to sum up: it may
 * have turned since something of that became unreadable. */
static bool turns(const struct hs_index_change *c,
		  const struct hs_index_row *row)
{
	return c->mark && c->mark->mark && c->mark->mark != row->mark &&
	       (c->nr_slices || c->mark->nr_bytes || row->nr_bytes ||
		row->stale);
}

static int row_change(struct hs_index *ix, const struct hs_index_change *c,
		      const struct hs_index_row *row)
{
	bool turned = turns(c, row);
	sqlite3_stmt *st = ix->statements[HS_INDEX_UNION_SET];
	int rc = 0;

	/* What waits already keeps its place, unless it turned. */
	if (turned || (c->nr_slices && !row->stale))
		rc = stale_set(ix, row, turned ? 0 : hs_index_due_ns(c));
	if (!rc && c->union_place.segment) {
		sqlite3_bind_int64(st, 1, row->key);
		sqlite3_bind_int64(st, 2, c->union_place.segment);
		sqlite3_bind_int64(st, 3, (int64_t)c->union_place.offset);
		rc = hs_index_run(ix, st);
	}
	if (!rc && c->mark)
		rc = mark_set(ix, c, row);
	else if (!rc && c->unmarked && !row->unmarked)
		rc = unmarked_set(ix, row->key);
	return rc;
}

/* Of a row that was just made: it starts when it was heard of. */
static int name_add(struct hs_index *ix, const struct hs_index_change *c,
		    int64_t key)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_TRIGGER_NAME_ADD];

	sqlite3_bind_text(st, 1, c->triggers[0].name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, c->now_ns);
	sqlite3_bind_int64(st, 3, key);
	return hs_index_run(ix, st);
}

int hs_index_triggers_add(struct hs_index *ix, const struct hs_index_change *c,
			  int64_t key, bool known)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_TRIGGER_ADD];
	int rc = 0;

	for (uint32_t i = 0; !rc && i < c->nr_triggers; i++) {
		sqlite3_bind_int64(st, 1, key);
		sqlite3_bind_int64(st, 2, (int64_t)c->triggers[i].origin);
		sqlite3_bind_int64(st, 3, (int64_t)c->triggers[i].key);
		sqlite3_bind_text(st, 4, c->triggers[i].name, -1,
				  SQLITE_STATIC);
		sqlite3_bind_int64(st, 5, (int64_t)c->triggers[i].fired_ns);
		rc = hs_index_run(ix, st);
	}
	/* Of what is there by now: only so is it found to be taken away. */
	if (!rc && c->nr_triggers == 1 && !known)
		rc = name_add(ix, c, key);
	else if (!rc && c->nr_triggers)
		rc = run_of(ix, HS_INDEX_TRIGGER_NAMES_PUT, key);
	return rc;
}

int hs_index_put_rest(struct hs_index *ix, const struct hs_index_change *c,
		      int64_t key, bool known)
{
	int rc = hs_index_heads_append(ix, key, known, c);

	/* The union may lie in a later segment than the slices. */
	if (!rc && !hs_index_one_segment(c)) {
		struct hs_index_change alone = *c;

		alone.nr_slices = 0;
		rc = hs_index_heads_append(ix, key, true, &alone);
	}
	return rc ? rc : hs_index_triggers_add(ix, c, key, known);
}

int hs_index_put_known(struct hs_index *ix, const struct hs_index_change *c,
		       const struct hs_index_row *row)
{
	int rc = row_change(ix, c, row);

	return rc ? rc : hs_index_put_rest(ix, c, row->key, true);
}

static int put_new(struct hs_index *ix, const struct hs_index_change *c)
{
	int64_t key = ++ix->last_key;
	int rc = row_add(ix, c, key);

	return rc ? rc : hs_index_put_rest(ix, c, key, false);
}

int hs_index_put(struct hs_index *ix, const struct hs_index_change *c)
{
	struct hs_index_row row = {0};
	int known = hs_index_row_of(ix, &c->trace, &row);

	if (known)
		return known < 0 ? known : hs_index_put_known(ix, c, &row);
	/* A mark of what is stored nowhere (any more) is no trace's. */
	if (!c->nr_slices && !c->union_place.segment)
		return 0;
	return put_new(ix, c);
}

int hs_index_put_summary(struct hs_index *ix,
			 const struct hs_wire_trace_id *trace,
			 const struct hs_index_summary *s)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SUMMARY_SET];
	struct hs_index_row row;
	int rc = hs_index_row_of(ix, trace, &row);

	if (rc <= 0)
		return rc;
	/* They stand in the order of starts; without spans that stays. */
	if (s->nr_spans) {
		rc = run_of(ix, HS_INDEX_TRIGGER_NAMES_TAKE, row.key);
		if (rc)
			return rc;
	}
	sqlite3_bind_int64(st, 1, row.key);
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
	ix->counts.nr_stale -= row.stale;
	if (s->nr_spans)
		rc = run_of(ix, HS_INDEX_TRIGGER_NAMES_PUT, row.key);
	/* One that had no spans had no services. */
	if (!rc && row.nr_spans)
		rc = run_of(ix, HS_INDEX_SERVICES_CLEAR, row.key);
	st = ix->statements[HS_INDEX_SERVICE_ADD];
	for (uint32_t i = 0; !rc && s->nr_spans && i < s->nr_services; i++) {
		sqlite3_bind_text(st, 1, s->services[i], -1, SQLITE_TRANSIENT);
		sqlite3_bind_int64(st, 2, row.key);
		rc = hs_index_run(ix, st);
	}
	return rc;
}

int hs_index_put_damage(struct hs_index *ix,
			const struct hs_wire_trace_id *trace,
			struct hs_index_place place)
{
	struct hs_index_row row;
	int64_t bytes;
	int rc = hs_index_row_of(ix, trace, &row);

	if (rc <= 0)
		return rc;
	bytes = heads_get(ix, row.key, place.segment, 0);
	if (bytes < 0)
		return bytes == -ENOENT ? 0 : (int)bytes;
	for (int64_t i = 0; i < bytes; i += sizeof(struct hs_index_head)) {
		struct hs_index_head head;

		memcpy(&head, ix->heads + i, sizeof(head));
		if (head.at != place.offset)
			continue;
		head.damaged = 1;
		memcpy(ix->heads + i, &head, sizeof(head));
	}
	rc = heads_put(ix, HS_INDEX_RECORDS_SET, row.key, place.segment,
		       (size_t)bytes);
	return rc ? rc : unmarked_set(ix, row.key);
}

int hs_index_segment_set(struct hs_index *ix, uint32_t segment, uint64_t end)
{
	sqlite3_stmt *st = ix->statements[HS_INDEX_SEGMENT_SET];

	sqlite3_bind_int64(st, 1, segment);
	sqlite3_bind_int64(st, 2, (int64_t)end);
	return hs_index_run(ix, st);
}

static int run_all(struct hs_index *ix, const enum hs_index_statement *steps,
		   size_t nr, int64_t value)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < nr; i++)
		rc = run_of(ix, steps[i], value);
	return rc ? rc : hs_index_recount(ix);
}

int hs_index_expire(struct hs_index *ix, uint32_t segment)
{
	/* Records last: the others ask them who it is; and names of triggers
	 * before what they are found by. */
	static const enum hs_index_statement steps[] = {
		HS_INDEX_EXPIRE_SERVICES, HS_INDEX_EXPIRE_TRIGGER_NAMES,
		HS_INDEX_EXPIRE_TRIGGERS, HS_INDEX_EXPIRE_TRACES,
		HS_INDEX_EXPIRE_RECORDS,  HS_INDEX_SEGMENT_DEL};

	return run_all(ix, steps, sizeof(steps) / sizeof(steps[0]), segment);
}

int hs_index_expire_one(struct hs_index *ix,
			const struct hs_wire_trace_id *trace)
{
	static const enum hs_index_statement steps[] = {
		HS_INDEX_DROP_SERVICES, HS_INDEX_TRIGGER_NAMES_TAKE,
		HS_INDEX_DROP_TRIGGERS, HS_INDEX_DROP_RECORDS,
		HS_INDEX_DROP_TRACE};
	struct hs_index_row row;
	int rc = hs_index_row_of(ix, trace, &row);

	if (rc <= 0)
		return rc;
	return run_all(ix, steps, sizeof(steps) / sizeof(steps[0]), row.key);
}

int hs_index_segment_forget(struct hs_index *ix, uint32_t segment)
{
	static const enum hs_index_statement steps[] = {
		HS_INDEX_SEGMENT_STALE, HS_INDEX_SEGMENT_UNIONS,
		HS_INDEX_SEGMENT_RECORDS, HS_INDEX_SEGMENT_DEL};

	return run_all(ix, steps, sizeof(steps) / sizeof(steps[0]), segment);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a listing may ask for, and what is counted, on a real index.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/index_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/collector/tmpdir.h"
#include "tests/collector/wire_make.h"

#define NOW 1700000000000000000LL
#define ANY                                                                    \
	.min_duration_ns = -1, .max_duration_ns = -1, .error = -1, .mark = -1

struct rig {
	char dir[256];
	struct hs_index *ix;
};

struct listed {
	uint32_t nr;
	uint64_t ids[16];
};

static int on_trace(void *ctx, const struct hs_index_trace *t)
{
	struct listed *l = ctx;

	l->ids[l->nr++] = t->id.lo;
	return 0;
}

static struct listed list(struct rig *r, struct hs_index_filter f)
{
	struct listed l = {0};

	f.limit = f.limit ? f.limit : 16;
	assert_int_equal(hs_index_query(r->ix, &f, on_trace, &l), 0);
	return l;
}

static void slice(struct rig *r, uint64_t trace, uint64_t offset)
{
	struct hs_wire_slice s = {.trace = make_trace(trace), .node = 5};
	const struct hs_index_slice one = {&s, {1, offset}, 100};

	assert_int_equal(
		hs_index_put(r->ix, &(struct hs_index_change){.trace = s.trace,
							      .now_ns = NOW,
							      .slices = &one,
							      .nr_slices = 1}),
		0);
}

/* Trace 1 to 5: t us after NOW, t * 100 ns long, 3 failed, 5 is complete. */
static void fill(struct rig *r, uint64_t t)
{
	const char *services[] = {"front", t % 2 ? "odd" : "even"};
	const struct hs_index_summary s = {
		.start_ns = NOW + (int64_t)t * 1000,
		.duration_ns = (int64_t)t * 100,
		.service = services[0],
		.operation = "GET /",
		.error = t == 3,
		.nr_spans = 2,
		.services = services,
		.nr_services = 2,
	};
	struct hs_wire_trace_id id = make_trace(t);
	struct hs_wire_trigger trigger = {
		.origin = 1, .key = t, .name = "slow"};
	const struct hs_index_mark mark = {.mark = t == 5,
					   .version = t,
					   .nr_bytes = 10,
					   .causes = "[]",
					   .nodes = "[]"};

	slice(r, t, 128);
	if (t > 3)
		assert_int_equal(hs_index_put(r->ix,
					      &(struct hs_index_change){
						      .trace = id,
						      .now_ns = NOW,
						      .union_place = {1, 8},
						      .triggers = &trigger,
						      .nr_triggers = 1}),
				 0);
	assert_int_equal(
		hs_index_put(r->ix, &(struct hs_index_change){.trace = id,
							      .now_ns = NOW,
							      .mark = &mark}),
		0);
	assert_int_equal(hs_index_put_summary(r->ix, &id, &s), 0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	char path[300];
	char error[256];

	tmpdir_make(r->dir);
	snprintf(path, sizeof(path), "%s/index.db", r->dir);
	assert_int_equal(hs_index_open(&r->ix, path, error, sizeof(error)), 0);
	for (uint64_t t = 1; t <= 5; t++)
		fill(r, t);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	hs_index_close(r->ix);
	tmpdir_remove(r->dir);
	free(r);
	return 0;
}

#define FILTER(...) list(r, (struct hs_index_filter){__VA_ARGS__})

static void test_filters(void **state)
{
	struct rig *r = *state;
	struct hs_index_filter f = {ANY};

	assert_int_equal(FILTER(ANY).nr, 5);
	assert_int_equal(FILTER(ANY).ids[0], 5);
	assert_int_equal(FILTER(ANY, .service = "odd").nr, 3);
	assert_int_equal(FILTER(ANY, .service = "no").nr, 0);
	assert_int_equal(FILTER(ANY, .service = "' OR 1 --").nr, 0);
	assert_int_equal(FILTER(ANY, .trigger = "slow").nr, 2);
	assert_int_equal(FILTER(ANY, .limit = 2).nr, 2);
	assert_int_equal(
		FILTER(ANY, .since_ns = NOW + 2000, .until_ns = NOW + 4000).nr,
		2);
	f.min_duration_ns = 200;
	f.max_duration_ns = 300;
	assert_int_equal(list(r, f).nr, 2);
	f = (struct hs_index_filter){ANY};
	f.error = 1;
	assert_int_equal(list(r, f).nr, 1);
	assert_int_equal(list(r, f).ids[0], 3);
	f = (struct hs_index_filter){ANY};
	f.mark = 1;
	assert_int_equal(list(r, f).nr, 1);
	assert_int_equal(list(r, f).ids[0], 5);
}

static void test_counts_and_what_is_stale(void **state)
{
	struct rig *r = *state;
	struct hs_wire_trace_id ids[4];
	struct hs_index_counts counts;

	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_marks[0], 4);
	assert_int_equal(counts.nr_marks[1], 1);
	assert_int_equal(counts.nr_slices, 5);
	assert_int_equal(counts.nr_stale, 0);
	slice(r, 2, 512);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_stale, 1);
	assert_int_equal(hs_index_stale(r->ix, NOW - 1, ids, 4), 0);
	assert_int_equal(hs_index_stale(r->ix, NOW, ids, 4), 1);
	assert_int_equal(ids[0].lo, 2);
	/* The same record again, as after a crash, is one record. */
	slice(r, 2, 512);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_slices, 6);
}

/* Manifests add up to nothing; a slice of theirs does, and what turns with
 * bytes in it. */
static void test_only_slices_make_stale(void **state)
{
	struct rig *r = *state;
	struct hs_index_mark mark = {
		.mark = 2, .version = 1, .causes = "[]", .nodes = "[]"};
	struct hs_index_change c = {.trace = make_trace(8),
				    .now_ns = NOW,
				    .union_place = {1, 2048},
				    .mark = &mark};
	const struct hs_index_change turned = {
		.trace = make_trace(8), .now_ns = NOW, .mark = &mark};
	struct hs_index_counts counts;

	assert_int_equal(hs_index_put(r->ix, &c), 0);
	mark.mark = 1;
	c.union_place.offset = 4096;
	assert_int_equal(hs_index_put(r->ix, &c), 0);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_stale, 0);
	assert_int_equal(counts.nr_marks[1], 2);
	mark.mark = 2;
	mark.nr_bytes = 10;
	assert_int_equal(hs_index_put(r->ix, &turned), 0);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_stale, 1);
	assert_int_equal(hs_index_commit(r->ix), 0);
	/* What it counted is what stands there. */
	assert_int_equal(hs_index_rollback(r->ix), 0);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_stale, 1);
	slice(r, 8, 8192);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_stale, 1);
}

/* A mark that stays changes what stands beside it, and moves nothing. */
static void test_a_mark_that_stays(void **state)
{
	struct rig *r = *state;
	struct hs_index_mark mark = {
		.version = 3, .nr_bytes = 10, .causes = "[]", .nodes = "[]"};
	struct hs_index_change c = {.trace = make_trace(2),
				    .now_ns = NOW,
				    .mark = &mark,
				    .unmarked = true};
	struct hs_wire_trace_id ids[4];
	struct hs_index_counts counts;

	assert_int_equal(FILTER(.min_duration_ns = -1, .max_duration_ns = -1,
				.error = -1, .mark = 0)
				 .nr,
			 4);
	assert_int_equal(hs_index_put(r->ix, &c), 0);
	assert_int_equal(hs_index_unmarked(r->ix, ids, 4), 1);
	for (mark.version = 4; mark.version < 6; mark.version++) {
		c.unmarked = false;
		assert_int_equal(hs_index_put(r->ix, &c), 0);
		assert_int_equal(hs_index_version(r->ix, &c.trace),
				 mark.version);
		assert_int_equal(hs_index_unmarked(r->ix, ids, 4), 0);
	}
	assert_int_equal(FILTER(.min_duration_ns = -1, .max_duration_ns = -1,
				.error = -1, .mark = 0)
				 .nr,
			 4);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_marks[0], 4);
	mark.mark = 2;
	assert_int_equal(hs_index_put(r->ix, &c), 0);
	assert_int_equal(FILTER(.min_duration_ns = -1, .max_duration_ns = -1,
				.error = -1, .mark = 0)
				 .nr,
			 3);
	assert_int_equal(FILTER(.min_duration_ns = -1, .max_duration_ns = -1,
				.error = -1, .mark = 2)
				 .nr,
			 1);
}

static void test_rolled_back_and_forgotten(void **state)
{
	struct rig *r = *state;
	struct hs_index_counts counts;

	assert_int_equal(hs_index_segment_set(r->ix, 1, 600), 0);
	assert_int_equal(hs_index_commit(r->ix), 0);
	slice(r, 9, 1024);
	assert_int_equal(hs_index_rollback(r->ix), 0);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_slices, 5);
	assert_int_equal(hs_index_segment_forget(r->ix, 1), 0);
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_slices, 0);
	assert_int_equal(counts.nr_stale, 5);
}

struct heads {
	uint32_t nr, nr_damaged;
	uint64_t at[16];
};

static int on_head(void *ctx, const struct hs_wire_slice *head,
		   struct hs_index_place place, bool damaged)
{
	struct heads *h = ctx;

	assert_int_equal(head->node, 5);
	h->nr_damaged += damaged;
	h->at[h->nr++] = (uint64_t)place.segment << 32 | place.offset;
	return 0;
}

static int on_union(void *ctx, struct hs_index_place place)
{
	struct heads *h = ctx;

	h->at[h->nr++] = (uint64_t)place.segment << 32 | place.offset;
	return 0;
}

static struct heads heads_of(struct hs_index *ix, uint64_t trace)
{
	struct heads h = {0};
	struct hs_wire_trace_id id = make_trace(trace);
	const struct hs_index_records visitor = {&h, on_head, on_union};

	assert_int_equal(hs_index_each_record(ix, &id, &visitor), 0);
	return h;
}

/* A batch at once, over two segments, comes back in the order of places. */
static void test_a_change_of_many(void **state)
{
	struct rig *r = *state;
	struct hs_wire_slice s = {.trace = make_trace(8), .node = 5};
	const struct hs_index_slice many[3] = {
		{&s, {2, 128}, 100}, {&s, {2, 256}, 100}, {&s, {2, 512}, 100}};
	const struct hs_index_slice more = {&s, {3, 128}, 100};
	struct heads h;

	assert_int_equal(hs_index_put(r->ix,
				      &(struct hs_index_change){
					      .trace = s.trace,
					      .now_ns = NOW,
					      .slices = many,
					      .nr_slices = 3,
					      .union_place = {2, 384}}),
			 0);
	assert_int_equal(
		hs_index_put(r->ix, &(struct hs_index_change){.trace = s.trace,
							      .now_ns = NOW,
							      .slices = &more,
							      .nr_slices = 1}),
		0);
	h = heads_of(r->ix, 8);
	assert_int_equal(h.nr, 5);
	assert_int_equal(h.at[0], 2ull << 32 | 128);
	assert_int_equal(h.at[2], 2ull << 32 | 384);
	assert_int_equal(h.at[3], 2ull << 32 | 512);
	assert_int_equal(h.at[4], 3ull << 32 | 128);
}

#define NR_ALL 45u /* twice the rows of a statement, and more */

/*
 * Trace 100 + i: every third has two slices, every fifth a mark, every seventh
 * a second trigger; the third is known, the fourth has its union in a later
 * segment than its slices, and of the fifth there is nothing but a mark.
 */
static void all_make(struct hs_index_change c[NR_ALL],
		     struct hs_wire_slice heads[NR_ALL],
		     struct hs_index_slice slices[NR_ALL][2],
		     struct hs_wire_trigger triggers[NR_ALL][2])
{
	static const struct hs_index_mark mark = {
		.mark = 2, .version = 9, .causes = "[]", .nodes = "[\"n\"]"};

	for (uint32_t i = 0; i < NR_ALL; i++) {
		bool has_slices = i % 3 == 0;

		heads[i] = (struct hs_wire_slice){.trace = make_trace(100 + i),
						  .node = 5};
		for (uint32_t k = 0; k < 2; k++) {
			slices[i][k] = (struct hs_index_slice){
				&heads[i], {7, 1000 * i + 64 * k}, 100};
			triggers[i][k] = (struct hs_wire_trigger){
				.origin = 1, .key = 2 * i + k, .name = "many"};
		}
		c[i] = (struct hs_index_change){
			.trace = heads[i].trace,
			.now_ns = NOW + 1000000 + i,
			.slices = slices[i],
			.nr_slices = has_slices ? 2 : 0,
			.union_place = {i == 3 ? 8 : 7, 1000 * i + 128},
			.triggers = triggers[i],
			.nr_triggers = i % 7 == 6 ? 2 : 1,
			.mark = i % 5 == 0 ? &mark : NULL};
	}
	c[2].trace = make_trace(1);
	c[4] = (struct hs_index_change){
		.trace = c[4].trace, .now_ns = NOW, .mark = &mark};
}

static void all_are_there(struct rig *r)
{
	struct hs_index_counts counts;
	struct hs_index_filter f = {ANY};
	struct listed l;
	uint64_t last = 100 + NR_ALL - 1;

	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	/* With the five that were there; a mark alone makes no trace. */
	assert_int_equal(counts.nr_marks[0] + counts.nr_marks[1] +
				 counts.nr_marks[2],
			 5 + NR_ALL - 2);
	assert_int_equal(counts.nr_marks[2], 9);
	assert_int_equal(counts.nr_slices, 5 + 2 * 15);
	assert_int_equal(counts.nr_stale, 15);
	/* By their starts, which are those of their coming. */
	l = FILTER(ANY, .trigger = "many", .limit = 3);
	assert_int_equal(l.nr, 3);
	assert_int_equal(l.ids[0], last);
	assert_int_equal(l.ids[2], last - 2);
	f.mark = 2;
	l = list(r, f);
	assert_int_equal(l.ids[0], 140);
	assert_int_equal(l.ids[1], 135);
	l = FILTER(ANY, .since_ns = NOW + 1000000, .until_ns = NOW + 1000004);
	assert_int_equal(l.nr, 3);
	for (uint64_t i = 0; i < NR_ALL; i++) {
		struct heads h = heads_of(r->ix, 100 + i);

		if (i == 2 || i == 4) {
			assert_int_equal(h.nr, 0);
			continue;
		}
		assert_int_equal(h.nr, i % 3 ? 1 : 3);
		assert_int_equal(h.at[0],
				 7ull << 32 | (1000 * i + (i % 3 ? 128 : 0)));
	}
	assert_int_equal(heads_of(r->ix, 103).at[2], 8ull << 32 | 3128);
	assert_int_equal(heads_of(r->ix, 1).nr, 2);
}

/* Many at once are what they are one by one, again after a rollback, and when
 * they are said again. */
static void test_many_at_once(void **state)
{
	static struct hs_index_change c[NR_ALL];
	static struct hs_wire_slice heads[NR_ALL];
	static struct hs_index_slice slices[NR_ALL][2];
	static struct hs_wire_trigger triggers[NR_ALL][2];
	struct rig *r = *state;

	assert_int_equal(hs_index_commit(r->ix), 0);
	all_make(c, heads, slices, triggers);
	for (uint32_t i = 0; i < NR_ALL; i++)
		assert_int_equal(hs_index_put(r->ix, &c[i]), 0);
	all_are_there(r);
	assert_int_equal(hs_index_rollback(r->ix), 0);
	for (uint32_t turn = 0; turn < 2; turn++) {
		assert_int_equal(hs_index_put_all(r->ix, c, NR_ALL), 0);
		all_are_there(r);
	}
	assert_int_equal(hs_index_commit(r->ix), 0);
	assert_int_equal(hs_index_recount(r->ix), 0);
	all_are_there(r);
	assert_int_equal(hs_index_expire(r->ix, 7), 0);
	assert_int_equal(FILTER(ANY, .trigger = "many").nr, 0);
}

/* One whose version says that it is new, and which is there, is changed. */
static void test_new_by_version_alone(void **state)
{
	static struct hs_index_change c[NR_ALL];
	static struct hs_wire_slice heads[NR_ALL];
	static struct hs_index_slice slices[NR_ALL][2];
	static struct hs_wire_trigger triggers[NR_ALL][2];
	const struct hs_index_mark mark = {
		.mark = 1, .version = 1, .causes = "[]", .nodes = "[]"};
	struct rig *r = *state;
	struct hs_index_counts before, counts;

	all_make(c, heads, slices, triggers);
	for (uint32_t i = 0; i < NR_ALL; i++)
		assert_int_equal(hs_index_put(r->ix, &c[i]), 0);
	assert_int_equal(hs_index_count(r->ix, &before), 0);
	/* Every second one of forty is there, whole or in part. */
	for (uint32_t i = 0; i < 40; i++) {
		if (i % 2)
			c[i].trace = heads[i].trace = make_trace(200 + i);
		c[i].mark = &mark;
	}
	assert_int_equal(hs_index_put_all(r->ix, c, 40), 0);
	for (uint64_t i = 0; i < 40; i++) {
		struct heads h = heads_of(r->ix, (i % 2 ? 200 : 100) + i);

		if (i != 2 && i != 4)
			assert_int_equal(h.nr, i % 3 ? 1 : 3);
	}
	assert_int_equal(hs_index_count(r->ix, &counts), 0);
	assert_int_equal(counts.nr_slices, before.nr_slices + 2 * 7);
	assert_int_equal(counts.nr_marks[0] + counts.nr_marks[1] +
				 counts.nr_marks[2],
			 before.nr_marks[0] + before.nr_marks[1] +
				 before.nr_marks[2] + 20);
	assert_int_equal(hs_index_recount(r->ix), 0);
	assert_int_equal(counts.nr_marks[1], r->ix->counts.nr_marks[1]);
	assert_int_equal(counts.nr_slices, r->ix->counts.nr_slices);
	assert_int_equal(counts.nr_stale, r->ix->counts.nr_stale);
}

/* What cannot be read is said of that slice alone, and makes work. */
static void test_damage(void **state)
{
	struct rig *r = *state;
	struct hs_wire_trace_id id = make_trace(2);
	struct hs_wire_trace_id ids[4];

	slice(r, 2, 512);
	assert_int_equal(hs_index_unmarked(r->ix, ids, 4), 0);
	assert_int_equal(hs_index_put_damage(r->ix, &id,
					     (struct hs_index_place){1, 512}),
			 0);
	assert_int_equal(heads_of(r->ix, 2).nr, 2);
	assert_int_equal(heads_of(r->ix, 2).nr_damaged, 1);
	assert_int_equal(hs_index_unmarked(r->ix, ids, 4), 1);
	assert_int_equal(ids[0].lo, 2);
}

/* A reader sees what was committed, whatever is being written. */
static void test_a_reader(void **state)
{
	struct rig *r = *state;
	struct hs_index *reader;
	char path[300];
	char error[256];

	assert_int_equal(hs_index_commit(r->ix), 0);
	snprintf(path, sizeof(path), "%s/index.db", r->dir);
	assert_int_equal(
		hs_index_open_reader(&reader, path, error, sizeof(error)), 0);
	slice(r, 2, 512);
	assert_int_equal(heads_of(reader, 2).nr, 1);
	assert_int_equal(heads_of(r->ix, 2).nr, 2);
	assert_int_equal(hs_index_commit(r->ix), 0);
	assert_int_equal(heads_of(reader, 2).nr, 2);
	assert_int_equal(hs_index_checkpoint(r->ix), 0);
	assert_int_equal(heads_of(reader, 2).nr, 2);
	hs_index_close(reader);
}

/* What one commit after the other adds counts until it is copied, and no
 * longer; not even where somebody still reads it, so that it has to stay. */
static void test_the_log(void **state)
{
	struct rig *r = *state;
	struct hs_index *reader;
	char path[300];
	char error[256];
	uint32_t pages, held;

	assert_int_equal(hs_index_commit(r->ix), 0);
	pages = hs_index_log_pages(r->ix);
	assert_true(pages > 0);
	slice(r, 2, 512);
	assert_int_equal(hs_index_commit(r->ix), 0);
	assert_true(hs_index_log_pages(r->ix) > pages);
	snprintf(path, sizeof(path), "%s/index.db", r->dir);
	assert_int_equal(
		hs_index_open_reader(&reader, path, error, sizeof(error)), 0);
	assert_int_equal(hs_index_hold(reader), 0);
	assert_int_equal(heads_of(reader, 2).nr, 2);
	assert_int_equal(hs_index_checkpoint(r->ix), 0);
	assert_int_equal(hs_index_log_pages(r->ix), 0);
	slice(r, 3, 512);
	assert_int_equal(hs_index_commit(r->ix), 0);
	held = hs_index_log_pages(r->ix);
	assert_true(held > 0 && held < pages);
	hs_index_release(reader);
	assert_int_equal(hs_index_checkpoint(r->ix), 0);
	assert_int_equal(hs_index_log_pages(r->ix), 0);
	/* All is copied and nobody reads it: it begins anew. */
	slice(r, 4, 512);
	assert_int_equal(hs_index_commit(r->ix), 0);
	assert_int_equal(hs_index_log_pages(r->ix), held);
	hs_index_close(reader);
}

/* ---- by which index a listing goes ---------------------------------------
 */

struct plan {
	char text[2048];
	bool sorts;	/* rows, before it knows which are shown */
	bool reads_all; /* of a table, in no order */
};

/* What SQLite says that it does for a listing's inner part. */
static struct plan plan_of(struct rig *r, struct hs_index_filter f)
{
	char list_text[HS_INDEX_LIST_TEXT_BYTES];
	char text[HS_INDEX_LIST_TEXT_BYTES + 32];
	struct plan p = {.text = ""};
	sqlite3_stmt *st;
	size_t used = 0;

	f.limit = 20;
	assert_int_equal(hs_index_list_text(r->ix, &f, list_text), 0);
	snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", list_text);
	assert_int_equal(sqlite3_prepare_v2(r->ix->db, text, -1, &st, NULL),
			 SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 3);

		used += (size_t)snprintf(p.text + used, sizeof(p.text) - used,
					 "%s\n", line);
		assert_true(used < sizeof(p.text));
		/* The rows that are shown are read from the inner listing. */
		if (!strncmp(line, "SCAN (subquery", 14) ||
		    !strncmp(line, "SCAN SUBQUERY", 13))
			break;
		p.sorts |= strstr(line, "FOR ORDER BY") != NULL;
		p.reads_all |= !strncmp(line, "SCAN ", 5);
	}
	sqlite3_finalize(st);
	return p;
}

static void goes_by(struct rig *r, struct hs_index_filter f, const char *index,
		    bool sorts)
{
	struct plan p = plan_of(r, f);

	if (!strstr(p.text, index) || p.reads_all || p.sorts != sorts)
		fail_msg("not by %s, %s:\n%s", index,
			 sorts ? "sorted" : "in order", p.text);
}

#define BY(index, sorts, ...)                                                  \
	goes_by(r, (struct hs_index_filter){__VA_ARGS__}, index, sorts)

static void fill_many(struct rig *r, uint64_t from, uint64_t nr)
{
	for (uint64_t t = from; t < from + nr; t++)
		fill(r, t);
}

static void test_ways(void **state)
{
	struct rig *r = *state;

	BY("traces_start (start_ns<?)", false, ANY);
	BY("traces_start (start_ns>? AND start_ns<?)", false, ANY,
	   .since_ns = NOW, .until_ns = NOW + 1);
	BY("SEARCH d USING PRIMARY KEY (service=?)", false, ANY,
	   .service = "front");
	BY("SEARCH d USING PRIMARY KEY (service=? AND start_ns>?", false, ANY,
	   .service = "front", .since_ns = NOW);
	BY("SEARCH d USING PRIMARY KEY (name=?)", false, ANY,
	   .trigger = "slow");
	BY("traces_error", false, .min_duration_ns = -1, .max_duration_ns = -1,
	   .mark = -1, .error = 1);
	BY("traces_partial (start_ns<?)", false, .min_duration_ns = -1,
	   .max_duration_ns = -1, .mark = 2, .error = -1);
	/* Few are so long: those are sorted. */
	BY("COVERING INDEX traces_duration (duration_ns>?)", true,
	   .min_duration_ns = 400, .max_duration_ns = -1, .mark = -1,
	   .error = -1);
}

/* By what there is least of, and by starts where most are so long. */
static void test_ways_by_number(void **state)
{
	struct rig *r = *state;

	fill_many(r, 6, 5000);
	BY("traces_start (start_ns<?)", false, .min_duration_ns = 400,
	   .max_duration_ns = -1, .mark = -1, .error = -1);
	BY("traces_duration (duration_ns>?)", true, .min_duration_ns = 400000,
	   .max_duration_ns = -1, .mark = -1, .error = -1);
	/* 1,003 of 5,005 are longer, 1 of them has failed. */
	BY("traces_error", false, .min_duration_ns = 400000,
	   .max_duration_ns = -1, .mark = -1, .error = 1);
	BY("traces_duration (duration_ns>?)", true, .service = "front",
	   .min_duration_ns = 400000, .max_duration_ns = -1, .mark = -1,
	   .error = -1);
	BY("SEARCH d USING PRIMARY KEY (service=?)", false, .service = "front",
	   .min_duration_ns = 400, .max_duration_ns = -1, .mark = -1,
	   .error = -1);
	BY("SEARCH d USING PRIMARY KEY (service=?)", false, ANY,
	   .service = "none", .trigger = "slow");
	BY("SEARCH d USING PRIMARY KEY (name=?)", false, ANY,
	   .service = "front", .trigger = "none");
}

/* Each pair of what may be asked for gives what both give, whichever of them
 * it goes by. */
static void test_pairs(void **state)
{
	struct rig *r = *state;
	struct hs_index_filter f = {ANY};

	assert_int_equal(FILTER(ANY, .service = "odd", .trigger = "slow").nr,
			 1);
	assert_int_equal(FILTER(ANY, .service = "even", .trigger = "slow").nr,
			 1);
	f.service = "odd";
	f.min_duration_ns = 300;
	assert_int_equal(list(r, f).nr, 2);
	f.error = 1;
	assert_int_equal(list(r, f).nr, 1);
	f.trigger = "slow";
	assert_int_equal(list(r, f).nr, 0);
	f.error = 0;
	f.mark = 1;
	assert_int_equal(list(r, f).nr, 1);
	assert_int_equal(list(r, f).ids[0], 5);
	f.since_ns = NOW + 5001;
	assert_int_equal(list(r, f).nr, 0);
	f.since_ns = NOW + 5000;
	assert_int_equal(list(r, f).nr, 1);
}

static int rows_of(struct rig *r, const char *table)
{
	sqlite3_stmt *st;
	char text[64];
	int nr;

	snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
	assert_int_equal(sqlite3_prepare_v2(r->ix->db, text, -1, &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	nr = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return nr;
}

/* Starts that are known anew count in every order. */
static void test_a_start_that_moves(void **state)
{
	struct rig *r = *state;
	const char *services[] = {"front"};
	const struct hs_index_summary s = {.start_ns = NOW + 100,
					   .duration_ns = 500,
					   .service = "front",
					   .operation = "GET /",
					   .nr_spans = 1,
					   .services = services,
					   .nr_services = 1};
	struct hs_wire_trace_id id = make_trace(5);

	assert_int_equal(hs_index_put_summary(r->ix, &id, &s), 0);
	assert_int_equal(FILTER(ANY).ids[4], 5);
	assert_int_equal(FILTER(ANY, .service = "front").ids[4], 5);
	assert_int_equal(FILTER(ANY, .trigger = "slow").ids[1], 5);
	assert_int_equal(FILTER(ANY, .service = "odd").nr, 2);
	assert_int_equal(
		FILTER(ANY, .trigger = "slow", .until_ns = NOW + 101).nr, 1);
	/* And nothing is left of it where it is dropped. */
	assert_int_equal(rows_of(r, "trigger_names"), 2);
	assert_int_equal(hs_index_expire_one(r->ix, &id), 0);
	assert_int_equal(FILTER(ANY, .trigger = "slow").nr, 1);
	assert_int_equal(FILTER(ANY, .service = "front").nr, 4);
	assert_int_equal(rows_of(r, "trigger_names"), 1);
	assert_int_equal(hs_index_expire(r->ix, 1), 0);
	assert_int_equal(rows_of(r, "trigger_names"), 0);
	assert_int_equal(rows_of(r, "services"), 0);
	assert_int_equal(rows_of(r, "traces"), 0);
}

/* Whatever a clock said, a trace is listed: by starts, and by what else is in
 * their order. */
static void test_the_last_start_there_can_be(void **state)
{
	struct rig *r = *state;
	const char *services[] = {"front"};
	const struct hs_index_summary s = {.start_ns = INT64_MAX,
					   .duration_ns = 1,
					   .service = "front",
					   .operation = "GET /",
					   .error = true,
					   .nr_spans = 1,
					   .services = services,
					   .nr_services = 1};
	struct hs_wire_trace_id id = make_trace(4);
	struct hs_index_filter f = {ANY};

	assert_int_equal(hs_index_put_summary(r->ix, &id, &s), 0);
	assert_int_equal(FILTER(ANY).nr, 5);
	assert_int_equal(FILTER(ANY).ids[0], 4);
	f.error = 1;
	assert_int_equal(list(r, f).nr, 2);
	assert_int_equal(list(r, f).ids[0], 4);
	f.error = -1;
	f.mark = 0;
	assert_int_equal(list(r, f).nr, 4);
	assert_int_equal(FILTER(ANY, .since_ns = INT64_MAX).nr, 1);
	assert_int_equal(FILTER(ANY, .until_ns = INT64_MAX).nr, 4);
	assert_int_equal(
		FILTER(ANY, .since_ns = INT64_MAX, .until_ns = INT64_MAX).nr,
		0);
}

/* Whoever fires one again under another name is known by the first. */
static void test_a_trigger_renamed(void **state)
{
	struct rig *r = *state;
	struct hs_wire_trigger trigger = {
		.origin = 1, .key = 5, .name = "renamed"};
	struct hs_wire_trace_id id = make_trace(5);

	assert_int_equal(
		hs_index_put(r->ix,
			     &(struct hs_index_change){.trace = id,
						       .now_ns = NOW,
						       .union_place = {1, 8},
						       .triggers = &trigger,
						       .nr_triggers = 1}),
		0);
	assert_int_equal(FILTER(ANY, .trigger = "renamed").nr, 0);
	assert_int_equal(FILTER(ANY, .trigger = "slow").nr, 2);
	assert_int_equal(hs_index_expire(r->ix, 1), 0);
	assert_int_equal(rows_of(r, "trigger_names"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_filters),
		T(test_counts_and_what_is_stale),
		T(test_only_slices_make_stale),
		T(test_a_mark_that_stays),
		T(test_rolled_back_and_forgotten),
		T(test_a_change_of_many),
		T(test_many_at_once),
		T(test_new_by_version_alone),
		T(test_damage),
		T(test_a_reader),
		T(test_the_log),
		T(test_ways),
		T(test_ways_by_number),
		T(test_pairs),
		T(test_a_start_that_moves),
		T(test_a_trigger_renamed),
		T(test_the_last_start_there_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

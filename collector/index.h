/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - where what is, and what it is like: SQLite beside the segments
 *
 * Everything in it can be made again from the segments; it is committed after
 * the segment's bytes are on disk and says up to where it has read each
 * segment. A trace whose row does not yet say what its slices add up to is
 * *stale*; whoever has time sums it up. One without slices never is. One that
 * was committed without a mark of all that it has by then, or of which
 * something became unreadable, is *unmarked* until the assembly says what it
 * makes of it.
 *
 * A row of `records` has the heads of all slices of a trace in one segment,
 * packed, so that a trace that comes in one piece costs one row and not one a
 * slice.
 *
 * One writes, in a transaction that is always open; any number read, each over
 * a handle of its own, what was committed last.
 *
 * Errors are negative errnos: -ENOSPC, -EBADMSG (damaged file), -EIO, and
 * hs_index_error() has SQLite's own words.
 *
 * Context: one thread at a time, for each handle.
 */
#ifndef HS_COLLECTOR_INDEX_H
#define HS_COLLECTOR_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/wire_format.h"

struct hs_index;

struct hs_index_place {
	uint32_t segment;
	uint64_t offset;
};

/* What a listing may ask for; zero, NULL and -1 ask for nothing. */
struct hs_index_filter {
	const char *service;
	const char *trigger;
	int64_t min_duration_ns; /* -1: none */
	int64_t max_duration_ns; /* -1: none */
	int error;		 /* 1: with, 0: without, -1: either */
	int64_t since_ns;	 /* start, inclusive; 0: none */
	int64_t until_ns;	 /* start, exclusive; 0: none */
	int mark;		 /* enum hs_assembly_mark; -1: any */
	uint32_t limit;
};

/* What a trace's row says. Strings live during the callback. */
struct hs_index_trace {
	struct hs_wire_trace_id id;
	int64_t start_ns; /* without a span yet: when it was first heard of */
	int64_t duration_ns;
	const char *service; /* of the root span */
	const char *operation;
	bool error;
	int mark;
	uint64_t version;
	uint32_t nr_spans;
	uint64_t nr_bytes;
	int64_t updated_ns;
	const char *causes;   /* JSON, for display */
	const char *nodes;    /* JSON */
	const char *triggers; /* JSON: names */
	const char *services; /* JSON: names */
	bool stale;
};

struct hs_index_summary {
	int64_t start_ns;
	int64_t duration_ns;
	const char *service;
	const char *operation;
	bool error;
	uint32_t nr_spans;
	const char *const *services;
	uint32_t nr_services;
};

struct hs_index_counts {
	uint64_t nr_marks[3]; /* by enum hs_assembly_mark */
	uint64_t nr_slices;
	uint64_t nr_stale;
};

struct hs_index_slice {
	const struct hs_wire_slice *head;
	struct hs_index_place place; /* ascending within a segment */
	uint32_t stored_bytes;
};

/* What the assembly makes of a trace. */
struct hs_index_mark {
	int mark; /* enum hs_assembly_mark */
	uint64_t version;
	uint64_t nr_bytes;
	const char *causes; /* JSON */
	const char *nodes;  /* JSON */
};

/* All that a batch has about one trace; what is 0 or NULL does not change. */
struct hs_index_change {
	struct hs_wire_trace_id trace;
	int64_t now_ns;
	const struct hs_index_slice *slices; /* all of one segment */
	uint32_t nr_slices;
	struct hs_index_place union_place;
	const struct hs_wire_trigger *triggers; /* with a union */
	uint32_t nr_triggers;
	const struct hs_index_mark *mark;
	bool unmarked; /* nobody has marked it with all this in it */
};

/** hs_index_open() - open or make; a transaction is open from then on */
int hs_index_open(struct hs_index **out, const char *path, char *error,
		  size_t error_bytes);
/** hs_index_open_reader() - one that only reads; hs_index_open() came first */
int hs_index_open_reader(struct hs_index **out, const char *path, char *error,
			 size_t error_bytes);
void hs_index_close(struct hs_index *ix);
/** hs_index_commit() - and begin the next transaction */
int hs_index_commit(struct hs_index *ix);
/** hs_index_rollback() - and begin the next transaction */
int hs_index_rollback(struct hs_index *ix);
/** hs_index_log_pages() - committed since a checkpoint, to the log alone */
uint32_t hs_index_log_pages(const struct hs_index *ix);
/** hs_index_checkpoint() - what was committed goes from the log to its place */
int hs_index_checkpoint(struct hs_index *ix);
const char *hs_index_error(const struct hs_index *ix);
/**
 * hs_index_hold() - a reader sees the same until released; cheap when held
 *
 * It saves what beginning to read costs each time, and keeps the log from
 * being copied: not for long.
 */
int hs_index_hold(struct hs_index *ix);
void hs_index_release(struct hs_index *ix);

/** hs_index_put() - a record that is known already changes nothing */
int hs_index_put(struct hs_index *ix, const struct hs_index_change *change);
/** hs_index_put_all() - of many traces, each named once; those that are new
 * have their rows in the order in which they are given, and cost less by it */
int hs_index_put_all(struct hs_index *ix, const struct hs_index_change *changes,
		     uint32_t nr);
int hs_index_put_summary(struct hs_index *ix,
			 const struct hs_wire_trace_id *trace,
			 const struct hs_index_summary *summary);

/* @union_place.segment 0: none. slice: heads only, in the order stored. */
struct hs_index_records {
	void *ctx;
	int (*slice)(void *ctx, const struct hs_wire_slice *head,
		     struct hs_index_place place, bool damaged);
	int (*manifests)(void *ctx, struct hs_index_place place);
};

/** hs_index_each_record() - all slices and the last union of a trace */
int hs_index_each_record(struct hs_index *ix,
			 const struct hs_wire_trace_id *trace,
			 const struct hs_index_records *visitor);
/** hs_index_put_damage() - what is at @place cannot be read; unmarked by that
 */
int hs_index_put_damage(struct hs_index *ix,
			const struct hs_wire_trace_id *trace,
			struct hs_index_place place);
/** hs_index_version() - as last committed; 0: unknown trace */
uint64_t hs_index_version(struct hs_index *ix,
			  const struct hs_wire_trace_id *trace);

/** hs_index_unmarked() - Return: how many were written, negative errno */
int hs_index_unmarked(struct hs_index *ix, struct hs_wire_trace_id *out,
		      uint32_t max);
/** hs_index_stale() - traces not summed up since @before_ns, oldest first */
int hs_index_stale(struct hs_index *ix, int64_t before_ns,
		   struct hs_wire_trace_id *out, uint32_t max);
/** hs_index_query() - newest first; @visit's nonzero ends it, passed on */
int hs_index_query(struct hs_index *ix, const struct hs_index_filter *filter,
		   int (*visit)(void *ctx, const struct hs_index_trace *trace),
		   void *ctx);
/** hs_index_get() - one trace's row; @visit is not called for an unknown one */
int hs_index_get(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		 int (*visit)(void *ctx, const struct hs_index_trace *trace),
		 void *ctx);
int hs_index_count(struct hs_index *ix, struct hs_index_counts *out);

/* How far each segment has been read into this index; 0: not at all. */
int hs_index_segment_get(struct hs_index *ix, uint32_t segment, uint64_t *end);
int hs_index_segment_set(struct hs_index *ix, uint32_t segment, uint64_t end);
/** hs_index_segment_forget() - drop all that points into @segment */
int hs_index_segment_forget(struct hs_index *ix, uint32_t segment);
/** hs_index_segment_traces() - those with anything in it; nonzero ends it */
int hs_index_segment_traces(struct hs_index *ix, uint32_t segment,
			    int (*visit)(void *ctx,
					 const struct hs_wire_trace_id *trace,
					 bool elsewhere_too),
			    void *ctx);
/** hs_index_in_segment() - Return: 1, 0, negative errno */
int hs_index_in_segment(struct hs_index *ix,
			const struct hs_wire_trace_id *trace, uint32_t segment);
/** hs_index_expire() - drop whole traces that have anything in @segment */
int hs_index_expire(struct hs_index *ix, uint32_t segment);
/** hs_index_expire_one() - drop what there is of one trace */
int hs_index_expire_one(struct hs_index *ix,
			const struct hs_wire_trace_id *trace);
int hs_index_segments(struct hs_index *ix, uint32_t *out, uint32_t max);

#endif

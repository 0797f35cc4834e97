/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - where what is, and what it is like: SQLite beside the segments
 *
 * Everything in it can be made again from the segments; it is committed after
 * the segment's bytes are on disk and says up to where it has read each
 * segment. A trace whose row does not yet say what its slices add up to is
 * *stale*; whoever has time sums it up.
 *
 * Errors are negative errnos: -ENOSPC, -EBADMSG (damaged file), -EIO, and
 * hs_index_error() has SQLite's own words.
 *
 * Context: one thread at a time.
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

/** hs_index_open() - open or make; a transaction is open from then on */
int hs_index_open(struct hs_index **out, const char *path, char *error,
		  size_t error_bytes);
void hs_index_close(struct hs_index *ix);
/** hs_index_commit() - and begin the next transaction */
int hs_index_commit(struct hs_index *ix);
/** hs_index_rollback() - and begin the next transaction */
int hs_index_rollback(struct hs_index *ix);
const char *hs_index_error(const struct hs_index *ix);

int hs_index_add_slice(struct hs_index *ix, const struct hs_wire_slice *slice,
		       struct hs_index_place place, uint32_t stored_bytes,
		       int64_t now_ns);
int hs_index_add_union(struct hs_index *ix,
		       const struct hs_wire_trace_id *trace,
		       struct hs_index_place place,
		       const struct hs_wire_trigger *triggers,
		       uint32_t nr_triggers, int64_t now_ns);
int hs_index_put_mark(struct hs_index *ix, const struct hs_wire_trace_id *trace,
		      int mark, uint64_t version, const char *causes,
		      const char *nodes, uint64_t nr_bytes, int64_t now_ns);
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
int hs_index_mark_damaged(struct hs_index *ix,
			  const struct hs_wire_trace_id *trace,
			  struct hs_index_place place);
/** hs_index_version() - as last committed; 0: unknown trace */
uint64_t hs_index_version(struct hs_index *ix,
			  const struct hs_wire_trace_id *trace);

/** hs_index_mark() - enum hs_assembly_mark of its row; -1: unknown trace */
int hs_index_mark(struct hs_index *ix, const struct hs_wire_trace_id *trace);

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
/** hs_index_segment_forget() - drop all rows that point into @segment */
int hs_index_segment_forget(struct hs_index *ix, uint32_t segment);
int hs_index_segments(struct hs_index *ix, uint32_t *out, uint32_t max);

#endif

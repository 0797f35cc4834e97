/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_internal.h - a store's insides, for its own files
 *
 * Two threads: the owner puts, asks and reads; the writer has packed (pack.h),
 * writes, has synced (syncer.h) and indexes. What both touch is under `lock`.
 * The writer holds `committing` while rows become visible and the entries that
 * they come from stop being pending, so that whoever reads both sees each
 * record once.
 */
#ifndef HS_COLLECTOR_STORE_INTERNAL_H
#define HS_COLLECTOR_STORE_INTERNAL_H

#include <pthread.h>

#include "collector/pack.h"
#include "collector/ring.h"
#include "collector/segment.h"
#include "collector/store.h"
#include "collector/syncer.h"

#define HS_STORE_DAMAGES_MAX 64u
#define HS_STORE_NR_EFFORTS  4u

struct hs_store_segment {
	uint32_t number;
	uint64_t salt;
	uint64_t end; /* durable bytes */
	int64_t created_ns;
	bool bad;
};

/* What one thread needs to read records. */
struct hs_store_view {
	struct hs_store *store;
	struct hs_index *index;
	struct hs_segment_codec *codec;
	int read_fd; /* of the segment read last; -1: none */
	uint32_t read_number;
	uint8_t *record; /* one record, as stored */
	uint8_t *raw;	 /* one payload */
	uint64_t damaged_reads;
	bool is_writer;
};

struct hs_store_damage {
	struct hs_wire_trace_id trace;
	struct hs_index_place place;
};

/* An entry as it was laid out. */
struct hs_store_item {
	const struct hs_ring_entry *entry;
	struct hs_index_place place;
	uint32_t stored_bytes;
	uint32_t next; /* item of its trace; 0: none */
	uint32_t last; /* of a trace's first one: the last one */
	bool is_first;
};

/* A group that the disk syncs. */
struct hs_store_flight {
	bool is;
	int failed;	   /* its rows could not be made */
	uint64_t bytes;	   /* behind the last segment's end */
	uint64_t position; /* of the ring: behind its last entry */
};

struct hs_store {
	struct hs_store_options options;
	char *dir;
	int dir_fd;
	int lock_fd;

	/* The owner's. */
	struct hs_ring ring;
	struct hs_store_view own;
	struct hs_store_stats put; /* the counts of what was put */

	/* The writer's. */
	struct hs_store_view view;
	struct hs_index *index;
	struct hs_segment_codec *codec;
	int fd;		  /* of the last segment, appended to; -1: none */
	uint8_t *out;	  /* records as they will stand in the file */
	size_t out_used;  /* of it, not written yet */
	uint64_t written; /* bytes behind the last segment's end */
	struct hs_store_flight flight;
	struct hs_syncer syncer;
	struct hs_pack *pack;
	uint64_t position; /* of the ring: durable up to here */
	struct hs_store_item *items;
	struct hs_index_slice *slices;
	uint32_t *firsts; /* items + 1 by their traces' hashes */
	uint32_t nr_items;
	uint32_t effort;  /* of packing; 0 is what was configured */
	uint64_t pack_ns; /* waited for that, since a group was settled */
	uint64_t disk_ns; /* and for the disk */
	uint64_t pack_ns_at[HS_STORE_NR_EFFORTS]; /* when last tried */
	bool index_behind; /* it missed records; they are read from segments */

	/* Both threads', under lock. */
	pthread_mutex_t committing;
	pthread_mutex_t lock;
	pthread_cond_t asked_cond;
	pthread_cond_t answered_cond;
	pthread_t thread;
	bool has_thread;
	bool stop;
	int event_fd;  /* readable when something was answered */
	bool woken;    /* by it; until the owner looks */
	uint64_t from; /* the oldest entry at the last question */
	uint64_t target;
	uint64_t done; /* durable and in the index */
	uint64_t asked;
	uint64_t answered;
	int result;    /* of the last attempt */
	bool unmarked; /* rows were made that nobody has marked */
	struct hs_store_segment *segments; /* by number, ascending */
	uint32_t nr_segments;
	uint32_t cap_segments;
	struct hs_store_damage damages[HS_STORE_DAMAGES_MAX];
	uint32_t nr_damages;
	struct hs_store_stats stats; /* the writer's */
	struct hs_index_counts counts;
};

#define HS_STORE_SEGMENT_NAME_BYTES 24u

void hs_store_segment_name(char out[HS_STORE_SEGMENT_NAME_BYTES],
			   uint32_t number);
int hs_store_segment_append(struct hs_store *s,
			    const struct hs_store_segment *segment);
/* A copy of the segment of that number. Return: false: there is none. */
bool hs_store_segment_find(struct hs_store *s, uint32_t number,
			   struct hs_store_segment *out);
/* Note what is wrong with the disk. Return: @error. */
int hs_store_failed(struct hs_store *s, int error, const char *what);

/* store_recover.c; before the writer begins, or in it. */
int hs_store_recover(struct hs_store *s, char *error, size_t error_bytes);
/* Bring into the index what one segment has behind @from. */
int hs_store_reindex(struct hs_store *s, const struct hs_store_segment *segment,
		     int fd, uint64_t from, uint64_t *end, uint64_t *damaged);
void hs_store_index_path(const struct hs_store *s, char *out, size_t out_bytes);

/* store_view.c */
int hs_store_view_init(struct hs_store_view *view, struct hs_store *s,
		       bool is_writer, char *error, size_t error_bytes);
void hs_store_view_destroy(struct hs_store_view *view);

/* store_write.c: the writer's. */
int hs_store_writer_init(struct hs_store *s);
void hs_store_writer_destroy(struct hs_store *s);
/* Everything before the ring's @target, to the disk and the index. */
int hs_store_write(struct hs_store *s, uint64_t from, uint64_t target);

/* store_thread.c */
void *hs_store_writer(void *store);
/* Under lock: the owner has something to look at. */
void hs_store_wake(struct hs_store *s);

/* store_expire.c: the writer's, between groups. */
int hs_store_drop_segment(struct hs_store *s, uint32_t number);

/* store_index.c: the writer's. */
/* What was laid out: into the index, not committed. @end: of the segment */
int hs_store_index_items(struct hs_store *s, uint64_t end);
/* It is durable now: commit, and it waits no more. */
int hs_store_index_commit(struct hs_store *s, uint64_t position);
/* If there is enough in the log; @idle: nothing else is to be done. */
int hs_store_index_checkpoint(struct hs_store *s, bool idle);
int hs_store_index_repair(struct hs_store *s);
int hs_store_index_damages(struct hs_store *s);
int hs_store_index_failed(struct hs_store *s, int error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - a collector's disk: segments for the truth, an index to find it
 *
 * What is put waits in memory, which is bounded. Threads of the store's own
 * pack it, append it to a segment, sync, and bring it into the index; what was
 * put is durable and to be found when poll() says so, and not before. A
 * disk that is full or fails loses nothing: attempts fail, puts are refused
 * once the memory is full, nobody gets an acknowledgement, and as soon as the
 * disk takes writes again everything goes on where it stood. Order of
 * durability: segment, then index. Opening reads what the index has not seen
 * yet, cuts a torn tail off, and makes the whole index again where it is
 * missing or damaged.
 *
 * How hard is packed follows the disk: where more is waited for packing than
 * for writing and more waits than should, it is packed less, and in the end not
 * at all.
 *
 * Context: one thread, the owner, at a time; options.idle runs in the store's.
 */
#ifndef HS_COLLECTOR_STORE_H
#define HS_COLLECTOR_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/index.h"

struct hs_store;
struct hs_store_view;

struct hs_store_options {
	const char *dir;	 /* made when missing */
	uint64_t segment_bytes;	 /* 0: 64 MiB */
	int zstd_level;		 /* 0: default (3); -1: none */
	int pack_threads;	 /* 0: half of the cores, 8 at most; -1: none */
	uint32_t unsynced_bytes; /* kept in memory at most; 0: 32 MiB */
	/*
	 * Whatever may be done when nothing waits, in small steps; it may read
	 * by @view and change @index, which is committed afterwards.
	 * Return: how much was done, 0: nothing is left; negative errno.
	 */
	int (*idle)(void *ctx, struct hs_store_view *view,
		    struct hs_index *index);
	void *idle_ctx;
};

struct hs_store_stats {
	uint64_t records;      /* put since it was opened */
	uint64_t raw_bytes;    /* of them */
	uint64_t stored_bytes; /* of them, headers and padding included */
	uint64_t disk_bytes;   /* of all segments */
	uint64_t recovered;    /* records that opening brought into the index */
	uint64_t damaged_bytes; /* unreadable, as opening found them */
	uint64_t damaged_reads; /* records that failed when asked for */
	uint64_t torn_bytes;	/* cut off when opened */
	uint64_t syncs;		/* of groups */
	uint64_t sync_errors;
	uint32_t nr_segments;
	uint32_t bad_segments; /* without a readable head: left alone */
	uint32_t unsynced_bytes;
	uint32_t effort;      /* of packing: 0 as configured, 3 none */
	uint64_t idle_done;   /* what options.idle says that it did */
	uint64_t idle_errors; /* and could not do */
	uint64_t wake_errors; /* answers that the owner was not woken for */
	uint64_t refused;     /* puts without room in memory */
	uint64_t expired_segments;
	uint64_t expired_traces;
	int error; /* 0: the disk takes writes; else -errno */
	char error_text[256];
};

/**
 * hs_store_open() - open or make a store
 * @error: a sentence, when it fails
 *
 * Return: 0; -EBUSY: another process has it open; other negative errno.
 */
int hs_store_open(struct hs_store **out, const struct hs_store_options *options,
		  char *error, size_t error_bytes);
/** hs_store_close() - sync once more, and let go; NULL is fine */
void hs_store_close(struct hs_store *store);

/* Return: 0; -EAGAIN: no room in memory now; negative: not kept. */
int hs_store_put_slice(struct hs_store *store,
		       const struct hs_wire_slice *slice, const uint8_t *bytes,
		       int64_t now_ns);
int hs_store_put_union(struct hs_store *store,
		       const struct hs_wire_trace_id *trace, const void *blob,
		       uint32_t blob_bytes, int64_t now_ns);
/** hs_store_put_mark() - of a trace, as of everything put before */
int hs_store_put_mark(struct hs_store *store,
		      const struct hs_wire_trace_id *trace,
		      const struct hs_index_mark *mark, int64_t now_ns);

/**
 * hs_store_submit() - have made durable what was put so far
 *
 * Return: a ticket; poll() tells when everything up to it is durable.
 */
uint64_t hs_store_submit(struct hs_store *store);
/**
 * hs_store_due() - so much waits that it should be submitted
 *
 * Whoever puts does not have it submitted before, but where there is no room:
 * the owner may have more to say of what it put, and once in a group is cheap.
 */
bool hs_store_due(const struct hs_store *store);
/**
 * hs_store_poll() - how far the store is
 * @done: out: tickets up to this are durable
 *
 * Return: 0, or what the last attempt failed with: submit() tries again.
 */
int hs_store_poll(struct hs_store *store, uint64_t *done);
/** hs_store_wait() - until an attempt that is under way has ended */
void hs_store_wait(struct hs_store *store);
/** hs_store_fd() - readable when poll() has news */
int hs_store_fd(const struct hs_store *store);
/** hs_store_sync() - submit, and wait for it. Return: 0, negative errno */
int hs_store_sync(struct hs_store *store);

/**
 * hs_store_oldest() - the segment that goes first, if one has to
 * @max_bytes: of all segments; 0: any number
 * @before_ns: whose last record is older has to go; 0: none
 *
 * The segment that is written to never has to.
 * Return: its number; 0: none.
 */
uint32_t hs_store_oldest(struct hs_store *store, uint64_t max_bytes,
			 int64_t before_ns);
/**
 * hs_store_expire() - drop @segment, and all of each trace in it
 *
 * It takes effect behind everything put before. Return: 0, -EAGAIN.
 */
int hs_store_expire(struct hs_store *store, uint32_t segment, int64_t now_ns);

/* What the store committed, to be read by the owner. */
struct hs_index *hs_store_index(struct hs_store *store);
void hs_store_counts(struct hs_store *store, struct hs_index_counts *out);
/** hs_store_unmarked() - whether rows may be unmarked; once for each time */
bool hs_store_unmarked(struct hs_store *store);

struct hs_store_reader {
	void *ctx;
	/* @bytes is NULL where only heads were asked for. NULL: not wanted. */
	int (*slice)(void *ctx, const struct hs_wire_slice *slice,
		     const uint8_t *bytes);
	int (*manifests)(void *ctx, const void *blob, uint32_t blob_bytes);
	/* A record that is indexed cannot be read (any more). */
	int (*damaged)(void *ctx);
};

/**
 * hs_store_read() - what there is of a trace, in the order it was put
 * @with_bytes: read and check the slices' bytes; else heads, from the index
 *
 * Return: 0, also when there is nothing; negative errno; the reader's nonzero.
 */
int hs_store_read(struct hs_store *store, const struct hs_wire_trace_id *trace,
		  bool with_bytes, const struct hs_store_reader *reader);

/** hs_store_view_wanted() - in options.idle: whether something waits by now */
bool hs_store_view_wanted(const struct hs_store_view *view);
/** hs_store_view_read() - the same in options.idle, of what is durable */
int hs_store_view_read(struct hs_store_view *view,
		       const struct hs_wire_trace_id *trace, bool with_bytes,
		       const struct hs_store_reader *reader);

void hs_store_stats(struct hs_store *store, struct hs_store_stats *out);

#endif

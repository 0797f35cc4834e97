/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - a collector's disk: segments for the truth, an index to find it
 *
 * What is put is durable after the next sync() that returns 0, and not before.
 * Until then it is kept in memory, so that a disk that is full or fails loses
 * nothing: sync() fails, the puts fail once that memory is full, nobody gets
 * an acknowledgement, and as soon as the disk takes writes again everything
 * goes on where it stood. Order of durability: segment, then index. Opening
 * reads what the index has not seen yet, cuts a torn tail off, and makes the
 * whole index again where it is missing or damaged.
 *
 * Context: one thread at a time.
 */
#ifndef HS_COLLECTOR_STORE_H
#define HS_COLLECTOR_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/index.h"

struct hs_store;

struct hs_store_options {
	const char *dir;	 /* made when missing */
	uint64_t segment_bytes;	 /* 0: 64 MiB */
	int zstd_level;		 /* 0: default (3); -1: none */
	uint32_t unsynced_bytes; /* kept in memory at most; 0: 16 MiB */
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
	uint64_t syncs;
	uint64_t sync_errors;
	uint32_t nr_segments;
	uint32_t bad_segments; /* without a readable head: left alone */
	uint32_t unsynced_bytes;
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

/* Return: 0; negative: not kept; see stats().error_text. */
int hs_store_put_slice(struct hs_store *store,
		       const struct hs_wire_slice *slice, const uint8_t *bytes,
		       int64_t now_ns);
int hs_store_put_union(struct hs_store *store,
		       const struct hs_wire_trace_id *trace, const void *blob,
		       uint32_t blob_bytes, int64_t now_ns);

/** hs_store_sync() - make durable what was put. Return: 0, negative errno */
int hs_store_sync(struct hs_store *store);

/* The index, for everything that is no record; commit comes with sync(). */
struct hs_index *hs_store_index(struct hs_store *store);

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
 * hs_store_read() - what there is of a trace, in the order it was stored
 * @with_bytes: read and check the slices' bytes; else heads, from the index
 *
 * Return: 0, also when there is nothing; negative errno; the reader's nonzero.
 */
int hs_store_read(struct hs_store *store, const struct hs_wire_trace_id *trace,
		  bool with_bytes, const struct hs_store_reader *reader);

void hs_store_stats(struct hs_store *store, struct hs_store_stats *out);

#endif

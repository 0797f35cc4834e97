/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_internal.h - a store's insides, for its own files
 */
#ifndef HS_COLLECTOR_STORE_INTERNAL_H
#define HS_COLLECTOR_STORE_INTERNAL_H

#include "collector/segment.h"
#include "collector/store.h"

struct hs_store_segment {
	uint32_t number;
	uint64_t salt;
	uint64_t end; /* durable bytes */
	bool bad;
};

struct hs_store {
	struct hs_store_options options;
	char *dir;
	int dir_fd;
	int lock_fd;
	struct hs_index *index;
	struct hs_segment_codec *codec;
	struct hs_store_segment *segments; /* by number, ascending */
	uint32_t nr_segments;
	uint32_t cap_segments;
	int fd;	     /* of the last segment, appended to; -1: none */
	int read_fd; /* of the segment read last; -1: none */
	uint32_t read_number;
	uint8_t *unsynced; /* what goes behind the last segment's end */
	uint32_t unsynced_used;
	uint8_t *record;   /* one record, as stored */
	uint8_t *raw;	   /* one payload */
	bool index_behind; /* it missed records; sync() repairs that */
	struct hs_store_stats stats;
};

#define HS_STORE_SEGMENT_NAME_BYTES 24u

void hs_store_segment_name(char out[HS_STORE_SEGMENT_NAME_BYTES],
			   uint32_t number);
int hs_store_segment_append(struct hs_store *s, uint32_t number, uint64_t salt,
			    uint64_t end, bool bad);
/* Note what is wrong with the disk. Return: @error. */
int hs_store_failed(struct hs_store *s, int error, const char *what);

/* store_recover.c */
int hs_store_recover(struct hs_store *s, char *error, size_t error_bytes);
/* Bring into the index what one segment has behind @from. */
int hs_store_reindex(struct hs_store *s, struct hs_store_segment *segment,
		     int fd, uint64_t from, uint64_t *end, uint64_t *damaged);

#endif

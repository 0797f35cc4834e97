/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - putting records, making them durable, reading them back
 */
#include "collector/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "collector/assembly.h"
#include "collector/store_internal.h"

#define SEGMENT_BYTES  (64ull << 20)
#define UNSYNCED_BYTES (16u << 20)
#define ZSTD_LEVEL     3

int hs_store_failed(struct hs_store *s, int error, const char *what)
{
	s->stats.error = error;
	snprintf(s->stats.error_text, sizeof(s->stats.error_text), "%s: %s",
		 what, strerror(-error));
	return error;
}

static int index_failed(struct hs_store *s, int error)
{
	s->index_behind = true;
	s->stats.error = error;
	snprintf(s->stats.error_text, sizeof(s->stats.error_text), "%s",
		 hs_index_error(s->index));
	return error;
}

void hs_store_segment_name(char out[HS_STORE_SEGMENT_NAME_BYTES],
			   uint32_t number)
{
	snprintf(out, HS_STORE_SEGMENT_NAME_BYTES, "segment-%010u", number);
}

int hs_store_segment_append(struct hs_store *s, uint32_t number, uint64_t salt,
			    uint64_t end, bool bad)
{
	if (s->nr_segments == s->cap_segments) {
		uint32_t cap = s->cap_segments ? 2 * s->cap_segments : 64;
		void *p = realloc(s->segments, cap * sizeof(*s->segments));

		if (!p)
			return -ENOMEM;
		s->segments = p;
		s->cap_segments = cap;
	}
	s->segments[s->nr_segments++] = (struct hs_store_segment){
		.number = number, .salt = salt, .end = end, .bad = bad};
	return 0;
}

static struct hs_store_segment *last(struct hs_store *s)
{
	return &s->segments[s->nr_segments - 1];
}

static int write_all(int fd, const uint8_t *data, size_t bytes, uint64_t at)
{
	while (bytes) {
		ssize_t n = pwrite(fd, data, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* A fresh segment at the end; it is on disk, name and all, or not at all. */
static int segment_new(struct hs_store *s, int64_t now_ns)
{
	uint32_t number = s->nr_segments ? last(s)->number + 1 : 1;
	uint8_t start[HS_SEGMENT_START_BYTES];
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	uint64_t salt;
	int fd;
	int rc = hs_random_secure(&salt, sizeof(salt));

	if (rc)
		return hs_store_failed(s, rc, "no randomness");
	hs_store_segment_name(name, number);
	fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return hs_store_failed(s, -errno, name);
	hs_segment_head_make(start, number, (uint64_t)now_ns, salt);
	rc = write_all(fd, start, sizeof(start), 0);
	if (!rc && (fdatasync(fd) || fsync(s->dir_fd)))
		rc = -errno;
	if (!rc)
		rc = hs_store_segment_append(s, number, salt, sizeof(start),
					     false);
	if (rc) {
		close(fd);
		unlinkat(s->dir_fd, name, 0);
		return hs_store_failed(s, rc, name);
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->stats.disk_bytes += sizeof(start);
	return 0;
}

/* Everything put so far is in the file and on the disk. */
static int sync_segment(struct hs_store *s)
{
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	struct hs_store_segment *segment;
	int rc;

	if (!s->unsynced_used)
		return 0;
	segment = last(s);
	/*
	 * After a failed fdatasync the kernel may call pages clean that never
	 * reached the disk; so the bytes are kept here and written once more.
	 */
	rc = write_all(s->fd, s->unsynced, s->unsynced_used, segment->end);
	if (!rc && fdatasync(s->fd))
		rc = -errno;
	if (rc) {
		hs_store_segment_name(name, segment->number);
		s->stats.sync_errors++;
		return hs_store_failed(s, rc, name);
	}
	segment->end += s->unsynced_used;
	s->stats.disk_bytes += s->unsynced_used;
	s->unsynced_used = 0;
	return 0;
}

/* The index lost its open transaction: read again what it misses. */
static int index_repair(struct hs_store *s)
{
	int rc = hs_index_rollback(s->index);

	for (uint32_t i = 0; !rc && i < s->nr_segments; i++) {
		struct hs_store_segment *segment = &s->segments[i];
		char name[HS_STORE_SEGMENT_NAME_BYTES];
		uint64_t from;
		uint64_t end;
		uint64_t damaged;
		int fd;

		rc = hs_index_segment_get(s->index, segment->number, &from);
		if (rc || segment->bad || from >= segment->end)
			continue;
		hs_store_segment_name(name, segment->number);
		fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return hs_store_failed(s, -errno, name);
		rc = hs_store_reindex(s, segment, fd,
				      from ? from : HS_SEGMENT_START_BYTES,
				      &end, &damaged);
		close(fd);
	}
	return rc ? index_failed(s, rc) : 0;
}

int hs_store_sync(struct hs_store *s)
{
	int rc = sync_segment(s);

	if (rc)
		return rc;
	if (s->index_behind) {
		rc = index_repair(s);
		if (rc)
			return rc;
	}
	if (s->nr_segments && s->fd >= 0)
		rc = hs_index_segment_set(s->index, last(s)->number,
					  last(s)->end);
	if (!rc)
		rc = hs_index_commit(s->index);
	if (rc) {
		s->stats.sync_errors++;
		return index_failed(s, rc);
	}
	s->index_behind = false;
	s->stats.syncs++;
	s->stats.error = 0;
	s->stats.error_text[0] = '\0';
	return 0;
}

/* Room for one more record of any length, in memory and in the segment. */
static int make_room(struct hs_store *s, size_t record_bytes, int64_t now_ns)
{
	int rc;

	if (s->index_behind ||
	    s->options.unsynced_bytes - s->unsynced_used < record_bytes) {
		rc = hs_store_sync(s);
		if (rc)
			return rc;
	}
	if (s->fd < 0)
		return segment_new(s, now_ns);
	if (last(s)->end + s->unsynced_used + record_bytes <=
		    s->options.segment_bytes ||
	    last(s)->end + s->unsynced_used == HS_SEGMENT_START_BYTES)
		return 0;
	rc = hs_store_sync(s);
	return rc ? rc : segment_new(s, now_ns);
}

struct put {
	enum hs_segment_type type;
	const struct hs_wire_trace_id *trace;
	const void *parts[2];
	size_t part_bytes[2];
};

/* Lay a record behind the others, not counted yet. 0 bytes: cannot be. */
static int append(struct hs_store *s, const struct put *put, int64_t now_ns,
		  struct hs_index_place *place, size_t *record_bytes)
{
	int rc = make_room(s,
			   sizeof(struct hs_segment_record) +
				   HS_SEGMENT_ALIGN_BYTES + put->part_bytes[0] +
				   put->part_bytes[1],
			   now_ns);

	if (rc)
		return rc;
	place->segment = last(s)->number;
	place->offset = last(s)->end + s->unsynced_used;
	*record_bytes = hs_segment_encode(
		s->codec, last(s)->salt, place->offset, put->type, put->trace,
		put->parts, put->part_bytes, s->unsynced + s->unsynced_used);
	return *record_bytes ? 0 : -EMSGSIZE;
}

static int put_done(struct hs_store *s, int rc, const struct put *put,
		    size_t record_bytes)
{
	if (rc)
		return index_failed(s, rc);
	s->unsynced_used += (uint32_t)record_bytes;
	s->stats.records++;
	s->stats.raw_bytes += put->part_bytes[0] + put->part_bytes[1];
	s->stats.stored_bytes += record_bytes;
	return 0;
}

int hs_store_put_slice(struct hs_store *s, const struct hs_wire_slice *slice,
		       const uint8_t *bytes, int64_t now_ns)
{
	struct put put = {HS_SEGMENT_SLICE,
			  &slice->trace,
			  {slice, bytes},
			  {sizeof(*slice), slice->length_bytes}};
	struct hs_index_place place;
	size_t n;
	int rc = append(s, &put, now_ns, &place, &n);

	if (rc)
		return rc;
	rc = hs_index_add_slice(s->index, slice, place, (uint32_t)n, now_ns);
	return put_done(s, rc, &put, n);
}

int hs_store_put_union(struct hs_store *s, const struct hs_wire_trace_id *trace,
		       const void *blob, uint32_t blob_bytes, int64_t now_ns)
{
	struct put put = {
		HS_SEGMENT_UNION, trace, {blob, NULL}, {blob_bytes, 0}};
	const struct hs_wire_trigger *triggers;
	struct hs_index_place place;
	uint32_t nr_triggers;
	size_t n;
	int rc = hs_assembly_union_triggers(blob, blob_bytes, &triggers,
					    &nr_triggers);

	if (rc)
		return rc;
	rc = append(s, &put, now_ns, &place, &n);
	if (rc)
		return rc;
	rc = hs_index_add_union(s->index, trace, place, triggers, nr_triggers,
				now_ns);
	return put_done(s, rc, &put, n);
}

struct hs_index *hs_store_index(struct hs_store *s)
{
	return s->index;
}

void hs_store_stats(struct hs_store *s, struct hs_store_stats *out)
{
	*out = s->stats;
	out->nr_segments = s->nr_segments;
	out->unsynced_bytes = s->unsynced_used;
}

/* ---- opening and closing --------------------------------------------------
 */

static int dir_open(struct hs_store *s, char *error, size_t error_bytes)
{
	if (mkdir(s->dir, 0700) && errno != EEXIST)
		goto failed;
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		goto failed;
	s->lock_fd =
		openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		goto failed;
	if (!flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK) {
		snprintf(error, error_bytes,
			 "%s: another collector has it open", s->dir);
		return -EBUSY;
	}
failed:
	snprintf(error, error_bytes, "%s: %s", s->dir, strerror(errno));
	return -errno;
}

static struct hs_store *store_new(const struct hs_store_options *options)
{
	struct hs_store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dir_fd = -1;
	s->lock_fd = -1;
	s->fd = -1;
	s->read_fd = -1;
	s->options = *options;
	if (!s->options.segment_bytes)
		s->options.segment_bytes = SEGMENT_BYTES;
	if (!s->options.unsynced_bytes)
		s->options.unsynced_bytes = UNSYNCED_BYTES;
	if (!s->options.zstd_level)
		s->options.zstd_level = ZSTD_LEVEL;
	if (s->options.unsynced_bytes < HS_SEGMENT_RECORD_MAX_BYTES)
		s->options.unsynced_bytes = HS_SEGMENT_RECORD_MAX_BYTES;
	s->dir = strdup(options->dir);
	s->codec = hs_segment_codec_new(s->options.zstd_level);
	s->unsynced = malloc(s->options.unsynced_bytes);
	s->record = malloc(HS_SEGMENT_RECORD_MAX_BYTES);
	s->raw = malloc(HS_SEGMENT_RAW_MAX_BYTES);
	if (s->dir && s->codec && s->unsynced && s->record && s->raw)
		return s;
	hs_store_close(s);
	return NULL;
}

int hs_store_open(struct hs_store **out, const struct hs_store_options *options,
		  char *error, size_t error_bytes)
{
	struct hs_store *s = store_new(options);
	int rc;

	*out = NULL;
	if (!s) {
		snprintf(error, error_bytes, "no memory for a store");
		return -ENOMEM;
	}
	rc = dir_open(s, error, error_bytes);
	if (!rc)
		rc = hs_store_recover(s, error, error_bytes);
	if (rc) {
		hs_store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void hs_store_close(struct hs_store *s)
{
	if (!s)
		return;
	if (s->index)
		hs_store_sync(s);
	hs_index_close(s->index);
	hs_segment_codec_free(s->codec);
	if (s->fd >= 0)
		close(s->fd);
	if (s->read_fd >= 0)
		close(s->read_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->segments);
	free(s->unsynced);
	free(s->record);
	free(s->raw);
	free(s->dir);
	free(s);
}

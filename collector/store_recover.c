/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_recover.c - opening what an earlier process left, however it ended
 *
 * Segments are the truth. Whatever the index has not seen is read into it;
 * what it has seen of a segment that is shorter now, or gone, it forgets.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/assembly.h"
#include "collector/store_internal.h"

#define LOG "store"

struct indexing {
	struct hs_store *store;
	uint32_t number;
	int64_t now_ns;
	uint64_t nr_records;
};

static int index_record(void *ctx, uint64_t offset,
			const struct hs_segment_record *record,
			const uint8_t *raw, size_t raw_bytes)
{
	struct indexing *i = ctx;
	struct hs_wire_slice slice;
	struct hs_index_slice one = {.head = &slice,
				     .place = {i->number, offset},
				     .stored_bytes = record->stored_bytes};
	struct hs_index_change change = {
		.trace = {record->trace_hi, record->trace_lo},
		.now_ns = i->now_ns,
		.slices = &one,
		.unmarked = true};
	const uint8_t *bytes;

	i->nr_records++;
	if (record->type == HS_SEGMENT_EXPIRED)
		return hs_index_expire_one(i->store->index, &change.trace);
	if (record->type == HS_SEGMENT_SLICE) {
		if (hs_segment_slice(raw, raw_bytes, record, &slice, &bytes))
			return 0;
		change.nr_slices = 1;
	} else if (record->type != HS_SEGMENT_UNION ||
		   hs_assembly_union_triggers(raw, (uint32_t)raw_bytes,
					      &change.triggers,
					      &change.nr_triggers)) {
		return 0;
	} else {
		change.union_place = one.place;
	}
	return hs_index_put(i->store->index, &change);
}

int hs_store_reindex(struct hs_store *s, const struct hs_store_segment *segment,
		     int fd, uint64_t from, uint64_t *end, uint64_t *damaged)
{
	/* The time at which a trace was first heard of, near enough. */
	struct indexing i = {.store = s,
			     .number = segment->number,
			     .now_ns = segment->created_ns};
	struct hs_segment_scan scan;
	int rc;

	rc = hs_segment_scan(s->codec, fd, segment->salt, from, index_record,
			     &i, &scan);
	*end = scan.end;
	*damaged = scan.damaged_bytes;
	pthread_mutex_lock(&s->lock);
	s->stats.recovered += i.nr_records;
	s->unmarked = s->unmarked || i.nr_records;
	pthread_mutex_unlock(&s->lock);
	return rc ? rc
		  : hs_index_segment_set(s->index, segment->number, scan.end);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The numbers of all segments in the directory, ascending. */
static int list_segments(struct hs_store *s, uint32_t **out, uint32_t *nr)
{
	uint32_t cap = 0;
	struct dirent *entry;
	DIR *dir = opendir(s->dir);

	*out = NULL;
	*nr = 0;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		char name[HS_STORE_SEGMENT_NAME_BYTES];
		unsigned long number;

		if (strncmp(entry->d_name, "segment-", 8) != 0)
			continue;
		number = strtoul(entry->d_name + 8, NULL, 10);
		if (number > UINT32_MAX)
			continue;
		hs_store_segment_name(name, (uint32_t)number);
		if (strcmp(name, entry->d_name) != 0)
			continue;
		if (*nr == cap) {
			uint32_t *p;

			cap = cap ? 2 * cap : 64;
			p = realloc(*out, cap * sizeof(*p));
			if (!p) {
				closedir(dir);
				free(*out);
				return -ENOMEM;
			}
			*out = p;
		}
		(*out)[(*nr)++] = (uint32_t)number;
	}
	closedir(dir);
	if (*nr)
		qsort(*out, *nr, sizeof(**out), by_number);
	return 0;
}

/* Bytes behind the last sound record were never acknowledged: cut them off. */
static int cut_tail(struct hs_store *s, struct hs_store_segment *segment,
		    int fd, uint64_t size)
{
	if (size > segment->end) {
		s->stats.torn_bytes += size - segment->end;
		hs_log_warn(LOG, "segment %u: cut %llu torn bytes at %llu",
			    segment->number,
			    (unsigned long long)(size - segment->end),
			    (unsigned long long)segment->end);
		if (ftruncate(fd, (off_t)segment->end))
			return -errno;
	}
	/* What is read into the index now may not have been synced then. */
	return fdatasync(fd) ? -errno : 0;
}

/* Its number stays taken and its bytes stay counted; nothing is read. */
static int leave_alone(struct hs_store *s, uint32_t number, const char *name,
		       uint64_t size)
{
	hs_log_error(LOG, "%s: no readable head, left alone", name);
	s->stats.bad_segments++;
	return hs_store_segment_append(s, &(struct hs_store_segment){
						  .number = number,
						  .end = size,
						  .bad = true,
					  });
}

static int recover_segment(struct hs_store *s, uint32_t number, bool is_last)
{
	char name[HS_STORE_SEGMENT_NAME_BYTES];
	uint8_t start[HS_SEGMENT_START_BYTES];
	struct hs_store_segment *segment;
	struct hs_segment_head head;
	uint64_t damaged = 0;
	struct stat st;
	uint64_t from;
	int rc;
	int fd;

	hs_store_segment_name(name, number);
	fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		rc = -errno;
		goto out;
	}
	if (pread(fd, start, sizeof(start), 0) != (ssize_t)sizeof(start)) {
		/* Killed while it was made: nothing was ever in it. */
		rc = unlinkat(s->dir_fd, name, 0) ? -errno : 0;
		goto out;
	}
	rc = hs_segment_head_read(start, sizeof(start), &head);
	if (rc || head.number != number) {
		rc = leave_alone(s, number, name, (uint64_t)st.st_size);
		goto out;
	}
	rc = hs_store_segment_append(
		s, &(struct hs_store_segment){
			   .number = number,
			   .salt = head.salt,
			   .end = (uint64_t)st.st_size,
			   .created_ns = (int64_t)head.created_ns});
	if (!rc)
		rc = hs_index_segment_get(s->index, number, &from);
	if (rc)
		goto out;
	segment = &s->segments[s->nr_segments - 1];
	if (from > segment->end) {
		/* Shorter than the index says: what it says is void. */
		rc = hs_index_segment_forget(s->index, number);
		from = 0;
	}
	if (!rc)
		rc = hs_store_reindex(s, segment, fd,
				      from ? from : HS_SEGMENT_START_BYTES,
				      &segment->end, &damaged);
	if (!rc && is_last)
		rc = cut_tail(s, segment, fd, (uint64_t)st.st_size);
	if (is_last && (uint64_t)st.st_size > segment->end)
		damaged -= (uint64_t)st.st_size - segment->end;
	s->stats.damaged_bytes += damaged;
	s->stats.disk_bytes += segment->end;
	if (!rc)
		rc = hs_index_commit(s->index);
	if (!rc && is_last) {
		s->fd = fd;
		return 0;
	}
out:
	close(fd);
	return rc;
}

/* Rows that point into segments which are no longer there. */
static int forget_missing(struct hs_store *s, const uint32_t *numbers,
			  uint32_t nr)
{
	const uint32_t max = 1u << 20;
	uint32_t *known = malloc(max * sizeof(*known));
	int n;
	int rc = 0;

	if (!known)
		return -ENOMEM;
	n = hs_index_segments(s->index, known, max);
	for (int i = 0; !rc && i < n; i++) {
		if (nr && bsearch(&known[i], numbers, nr, sizeof(*numbers),
				  by_number))
			continue;
		hs_log_error(LOG, "segment %u is missing", known[i]);
		rc = hs_index_segment_forget(s->index, known[i]);
	}
	free(known);
	return n < 0 ? n : rc;
}

void hs_store_index_path(const struct hs_store *s, char *out, size_t out_bytes)
{
	snprintf(out, out_bytes, "%s/index.db", s->dir);
}

static int index_open(struct hs_store *s, char *error, size_t error_bytes)
{
	static const char *const files[] = {"index.db", "index.db-wal",
					    "index.db-shm"};
	char path[PATH_MAX];
	int rc;

	if (strlen(s->dir) + sizeof("/index.db") > sizeof(path)) {
		snprintf(error, error_bytes, "%s: too long a path", s->dir);
		return -ENAMETOOLONG;
	}
	hs_store_index_path(s, path, sizeof(path));
	rc = hs_index_open(&s->index, path, error, error_bytes);
	if (rc != -EBADMSG)
		return rc;
	hs_log_error(LOG, "%s; making the index again", error);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (unlinkat(s->dir_fd, files[i], 0) && errno != ENOENT)
			return -errno;
	return hs_index_open(&s->index, path, error, error_bytes);
}

int hs_store_recover(struct hs_store *s, char *error, size_t error_bytes)
{
	uint32_t *numbers = NULL;
	uint32_t nr = 0;
	int rc = index_open(s, error, error_bytes);

	if (rc)
		return rc;
	rc = list_segments(s, &numbers, &nr);
	if (!rc)
		rc = forget_missing(s, numbers, nr);
	for (uint32_t i = 0; !rc && i < nr; i++)
		rc = recover_segment(s, numbers[i], i + 1 == nr);
	free(numbers);
	if (rc)
		snprintf(error, error_bytes, "%s: %s (%s)", s->dir,
			 strerror(-rc), hs_index_error(s->index));
	/* An earlier process may have ended before all were marked. */
	s->unmarked = true;
	hs_index_count(s->index, &s->counts);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_view.c - reading records back, from the disk or from what waits for it
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/store_internal.h"

int hs_store_view_init(struct hs_store_view *v, struct hs_store *s,
		       bool is_writer, char *error, size_t error_bytes)
{
	char path[PATH_MAX];

	v->store = s;
	v->is_writer = is_writer;
	v->codec = hs_segment_codec_reader();
	v->record = malloc(HS_SEGMENT_RECORD_MAX_BYTES);
	v->raw = malloc(HS_SEGMENT_RAW_MAX_BYTES);
	if (!v->codec || !v->record || !v->raw) {
		snprintf(error, error_bytes, "no memory for a store");
		return -ENOMEM;
	}
	hs_store_index_path(s, path, sizeof(path));
	return hs_index_open_reader(&v->index, path, error, error_bytes);
}

void hs_store_view_destroy(struct hs_store_view *v)
{
	hs_index_close(v->index);
	hs_segment_codec_free(v->codec);
	if (v->read_fd >= 0)
		close(v->read_fd);
	free(v->record);
	free(v->raw);
}

bool hs_store_segment_find(struct hs_store *s, uint32_t number,
			   struct hs_store_segment *out)
{
	uint32_t low = 0;
	uint32_t high;
	bool found;

	pthread_mutex_lock(&s->lock);
	high = s->nr_segments;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (s->segments[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	found = low < s->nr_segments && s->segments[low].number == number;
	if (found)
		*out = s->segments[low];
	pthread_mutex_unlock(&s->lock);
	return found;
}

static int open_for_read(struct hs_store_view *v, uint32_t number)
{
	char name[HS_STORE_SEGMENT_NAME_BYTES];

	if (v->read_fd >= 0 && v->read_number == number)
		return 0;
	if (v->read_fd >= 0)
		close(v->read_fd);
	hs_store_segment_name(name, number);
	v->read_fd = openat(v->store->dir_fd, name, O_RDONLY | O_CLOEXEC);
	v->read_number = number;
	return v->read_fd < 0 ? -errno : 0;
}

/* As many bytes of a segment as there are, up to @bytes. */
static int64_t fetch(struct hs_store_view *v,
		     const struct hs_store_segment *segment, uint64_t at,
		     size_t bytes)
{
	size_t got = 0;
	int rc = open_for_read(v, segment->number);

	if (rc)
		return rc;
	while (got < bytes) {
		ssize_t n = pread(v->read_fd, v->record + got, bytes - got,
				  (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (int64_t)got;
}

/* The payload of the record at @place, in v->raw. */
static int64_t read_record(struct hs_store_view *v, struct hs_index_place place,
			   struct hs_segment_record *record)
{
	struct hs_store_segment segment;
	int64_t got;
	int64_t n;

	if (!hs_store_segment_find(v->store, place.segment, &segment) ||
	    segment.bad)
		return -EBADMSG;
	got = fetch(v, &segment, place.offset, 4096);
	if (got < 0)
		return got;
	n = hs_segment_check(v->record, (size_t)got, segment.salt, place.offset,
			     record);
	if (n == -EAGAIN) {
		got = fetch(v, &segment, place.offset,
			    sizeof(*record) + record->stored_bytes);
		if (got < 0)
			return got;
		n = hs_segment_check(v->record, (size_t)got, segment.salt,
				     place.offset, record);
	}
	if (n <= 0)
		return -EBADMSG;
	return hs_segment_decode(v->codec, v->record, record, v->raw);
}

struct reading {
	struct hs_store_view *view;
	const struct hs_wire_trace_id *trace;
	const struct hs_store_reader *reader;
	bool with_bytes;
	bool noted; /* damage that the index is to know of */
};

/* Damage is a finding, not a failure; anything else is. */
static int unreadable(struct reading *r, int error)
{
	if (error != -EBADMSG && error != -ENOENT)
		return error;
	r->view->damaged_reads++;
	return r->reader->damaged ? r->reader->damaged(r->reader->ctx) : 0;
}

/* What finds no room here is found again. */
static void note_damage(struct reading *r, struct hs_index_place place)
{
	struct hs_store *s = r->view->store;

	pthread_mutex_lock(&s->lock);
	if (s->nr_damages < HS_STORE_DAMAGES_MAX)
		s->damages[s->nr_damages++] =
			(struct hs_store_damage){*r->trace, place};
	pthread_mutex_unlock(&s->lock);
	r->noted = true;
}

static int slice(void *ctx, const struct hs_wire_slice *head,
		 struct hs_index_place place, bool damaged)
{
	struct reading *r = ctx;
	struct hs_segment_record record;
	struct hs_wire_slice stored;
	const uint8_t *bytes;
	int64_t n;

	if (!r->reader->slice)
		return 0;
	if (!r->with_bytes) {
		if (damaged)
			return unreadable(r, -EBADMSG);
		return r->reader->slice(r->reader->ctx, head, NULL);
	}
	n = read_record(r->view, place, &record);
	if (n >= 0 && record.type != HS_SEGMENT_SLICE)
		n = -EBADMSG;
	if (n >= 0 &&
	    hs_segment_slice(r->view->raw, (size_t)n, &record, &stored, &bytes))
		n = -EBADMSG;
	if (n >= 0 && (stored.trace.hi != r->trace->hi ||
		       stored.trace.lo != r->trace->lo))
		n = -EBADMSG;
	if (n >= 0)
		return r->reader->slice(r->reader->ctx, &stored, bytes);
	if ((n == -EBADMSG || n == -ENOENT) && !damaged)
		note_damage(r, place);
	return unreadable(r, (int)n);
}

static int manifests(void *ctx, struct hs_index_place place)
{
	struct reading *r = ctx;
	struct hs_segment_record record;
	int64_t n;

	if (!r->reader->manifests)
		return 0;
	n = read_record(r->view, place, &record);
	if (n >= 0 && (record.type != HS_SEGMENT_UNION ||
		       record.trace_hi != r->trace->hi ||
		       record.trace_lo != r->trace->lo))
		n = -EBADMSG;
	if (n < 0)
		return unreadable(r, (int)n);
	return r->reader->manifests(r->reader->ctx, r->view->raw, (uint32_t)n);
}

static int read_durable(struct reading *r)
{
	const struct hs_index_records visitor = {
		.ctx = r, .slice = slice, .manifests = manifests};

	return hs_index_each_record(r->view->index, r->trace, &visitor);
}

bool hs_store_view_wanted(const struct hs_store_view *v)
{
	struct hs_store *s = v->store;
	bool wanted;

	pthread_mutex_lock(&s->lock);
	wanted = s->asked != s->answered;
	pthread_mutex_unlock(&s->lock);
	return wanted;
}

int hs_store_view_read(struct hs_store_view *v,
		       const struct hs_wire_trace_id *trace, bool with_bytes,
		       const struct hs_store_reader *reader)
{
	struct reading r = {v, trace, reader, with_bytes, false};

	return read_durable(&r);
}

/* What waits of a trace, from the memory where it waits. */
static int read_waiting(struct reading *r, uint64_t from)
{
	struct hs_store *s = r->view->store;
	const struct hs_ring_entry *e;
	int rc = 0;

	while (!rc && (e = hs_ring_at(&s->ring, &from, s->ring.head))) {
		const uint8_t *payload = hs_ring_payload(e);

		if (e->trace.hi != r->trace->hi || e->trace.lo != r->trace->lo)
			continue;
		if (e->type == HS_RING_SLICE && r->reader->slice)
			rc = r->reader->slice(
				r->reader->ctx, (const void *)payload,
				r->with_bytes ? payload + e->part_bytes[0]
					      : NULL);
		else if (e->type == HS_RING_UNION && r->reader->manifests)
			rc = r->reader->manifests(r->reader->ctx, payload,
						  e->part_bytes[0]);
	}
	return rc;
}

int hs_store_read(struct hs_store *s, const struct hs_wire_trace_id *trace,
		  bool with_bytes, const struct hs_store_reader *reader)
{
	struct reading r = {&s->own, trace, reader, with_bytes, false};
	uint64_t from;
	int rc;

	if (!hs_ring_has(&s->ring, trace)) {
		rc = hs_index_hold(s->own.index);
		if (!rc)
			rc = read_durable(&r);
	} else {
		hs_index_release(s->own.index);
		/* Meanwhile nothing turns from waiting to durable. */
		pthread_mutex_lock(&s->committing);
		pthread_mutex_lock(&s->lock);
		from = s->done > s->ring.tail ? s->done : s->ring.tail;
		pthread_mutex_unlock(&s->lock);
		rc = read_durable(&r);
		if (!rc)
			rc = read_waiting(&r, from);
		pthread_mutex_unlock(&s->committing);
	}
	/* The next one who asks is told of the damage, too. */
	if (r.noted)
		hs_store_sync(s);
	return rc;
}

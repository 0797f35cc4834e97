/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_read.c - reading records back, from the disk or from what waits for it
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "collector/store_internal.h"

static const struct hs_store_segment *find(const struct hs_store *s,
					   uint32_t number)
{
	uint32_t low = 0;
	uint32_t high = s->nr_segments;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (s->segments[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == s->nr_segments || s->segments[low].number != number)
		return NULL;
	return &s->segments[low];
}

static int open_for_read(struct hs_store *s, uint32_t number)
{
	char name[HS_STORE_SEGMENT_NAME_BYTES];

	if (s->read_fd >= 0 && s->read_number == number)
		return 0;
	if (s->read_fd >= 0)
		close(s->read_fd);
	hs_store_segment_name(name, number);
	s->read_fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
	s->read_number = number;
	return s->read_fd < 0 ? -errno : 0;
}

/* As many bytes of a segment as there are, up to @bytes. */
static int64_t fetch(struct hs_store *s, const struct hs_store_segment *segment,
		     uint64_t at, uint8_t *out, size_t bytes)
{
	size_t got = 0;
	int rc;

	if (at >= segment->end) {
		uint64_t skip = at - segment->end;

		if (segment != &s->segments[s->nr_segments - 1] ||
		    skip >= s->unsynced_used)
			return 0;
		if (bytes > s->unsynced_used - skip)
			bytes = (size_t)(s->unsynced_used - skip);
		memcpy(out, s->unsynced + skip, bytes);
		return (int64_t)bytes;
	}
	rc = open_for_read(s, segment->number);
	if (rc)
		return rc;
	while (got < bytes) {
		ssize_t n = pread(s->read_fd, out + got, bytes - got,
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

/* The payload of the record at @place, in s->raw. */
static int64_t read_record(struct hs_store *s, struct hs_index_place place,
			   struct hs_segment_record *record)
{
	const struct hs_store_segment *segment = find(s, place.segment);
	int64_t got;
	int64_t n;

	if (!segment || segment->bad)
		return -EBADMSG;
	got = fetch(s, segment, place.offset, s->record, 4096);
	if (got < 0)
		return got;
	n = hs_segment_check(s->record, (size_t)got, segment->salt,
			     place.offset, record);
	if (n == -EAGAIN) {
		got = fetch(s, segment, place.offset, s->record,
			    sizeof(*record) + record->stored_bytes);
		if (got < 0)
			return got;
		n = hs_segment_check(s->record, (size_t)got, segment->salt,
				     place.offset, record);
	}
	if (n <= 0)
		return -EBADMSG;
	return hs_segment_decode(s->codec, s->record, record, s->raw);
}

struct reading {
	struct hs_store *store;
	const struct hs_wire_trace_id *trace;
	const struct hs_store_reader *reader;
	bool with_bytes;
};

/* Damage is a finding, not a failure; anything else is. */
static int unreadable(struct reading *r, int error)
{
	if (error != -EBADMSG && error != -ENOENT)
		return error;
	r->store->stats.damaged_reads++;
	return r->reader->damaged ? r->reader->damaged(r->reader->ctx) : 0;
}

static int slice(void *ctx, const struct hs_wire_slice *head,
		 struct hs_index_place place, bool damaged)
{
	struct reading *r = ctx;
	struct hs_segment_record record;
	struct hs_wire_slice stored;
	const uint8_t *bytes;
	int64_t n;
	int rc;

	if (!r->reader->slice)
		return 0;
	if (!r->with_bytes) {
		if (damaged)
			return unreadable(r, -EBADMSG);
		return r->reader->slice(r->reader->ctx, head, NULL);
	}
	n = read_record(r->store, place, &record);
	if (n >= 0 && record.type != HS_SEGMENT_SLICE)
		n = -EBADMSG;
	if (n >= 0 && hs_segment_slice(r->store->raw, (size_t)n, &record,
				       &stored, &bytes))
		n = -EBADMSG;
	if (n >= 0 && (stored.trace.hi != r->trace->hi ||
		       stored.trace.lo != r->trace->lo))
		n = -EBADMSG;
	if (n >= 0)
		return r->reader->slice(r->reader->ctx, &stored, bytes);
	if (n == -EBADMSG || n == -ENOENT) {
		rc = hs_index_mark_damaged(r->store->index, r->trace, place);
		if (rc)
			return rc;
	}
	return unreadable(r, (int)n);
}

static int manifests(void *ctx, struct hs_index_place place)
{
	struct reading *r = ctx;
	struct hs_segment_record record;
	int64_t n;

	if (!r->reader->manifests)
		return 0;
	n = read_record(r->store, place, &record);
	if (n >= 0 && (record.type != HS_SEGMENT_UNION ||
		       record.trace_hi != r->trace->hi ||
		       record.trace_lo != r->trace->lo))
		n = -EBADMSG;
	if (n < 0)
		return unreadable(r, (int)n);
	return r->reader->manifests(r->reader->ctx, r->store->raw, (uint32_t)n);
}

int hs_store_read(struct hs_store *s, const struct hs_wire_trace_id *trace,
		  bool with_bytes, const struct hs_store_reader *reader)
{
	struct reading r = {s, trace, reader, with_bytes};
	const struct hs_index_records visitor = {
		.ctx = &r, .slice = slice, .manifests = manifests};

	return hs_index_each_record(s->index, trace, &visitor);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see record_read.h. The stream of a handle is walked buffer by
 * buffer; a record that lies whole in one buffer is decoded in place, one that
 * runs on is gathered in the scratch area first.
 */
#include "model/record_read.h"

#include <string.h>

#include "hs/shm_format.h"

/* Where the reader stands in the stream. */
struct reader {
	const struct hs_record_visitor *visitor;
	struct hs_record_stats *stats;
	uint8_t *scratch;
	size_t scratch_bytes;
	size_t have; /* bytes of a record that runs on, in scratch; 0: none */
	/* Of the buffer that is read, or, while a record is pending, of that
	 * where it began. */
	uint32_t version;
	struct hs_record_clock clock;
};

static bool timed(const struct hs_record *record)
{
	switch (record->type) {
	case HS_RECORD_SPAN_START:
	case HS_RECORD_SPAN_END:
	case HS_RECORD_EVENT:
	case HS_RECORD_TRACEPOINT:
		return true;
	default:
		return false;
	}
}

/* @buffer: the record starts in it at @at and ends in it, or NULL. */
static int deliver(struct reader *r, uint8_t type, const uint8_t *buffer,
		   size_t at, const uint8_t *payload, size_t payload_bytes)
{
	struct hs_record record;
	int rc;

	rc = hs_record_decode(type, r->version, buffer, at, payload,
			      payload_bytes, &r->clock, &record);
	if (rc < 0) {
		r->stats->garbage++;
		return 0;
	}
	if (rc > 0) {
		r->stats->unknown++;
		return 0;
	}
	if (record.type == HS_RECORD_CLOCK) {
		r->clock.ns = record.u.clock.ns;
		r->clock.last_ns = record.u.clock.ns;
		r->clock.mult = record.u.clock.mult;
		r->clock.unknown = false;
		return 0;
	}
	if (record.type == HS_RECORD_ATTR && record.u.attr.gone) {
		r->stats->dropped++;
		return 0;
	}
	if (timed(&record))
		r->clock.last_ns = record.time_ns;
	r->stats->records++;
	return r->visitor->record(r->visitor->context, &record);
}

/* What the pending record lacks, at least; 0: nothing, or it is nonsense. */
static size_t pending_need(const struct reader *r, struct hs_record_head *head)
{
	size_t need;

	*head = (struct hs_record_head){0};
	need = hs_record_head_get(r->scratch, r->have, r->version, head);

	if (need)
		return need;
	if (head->payload_bytes > HS_RECORD_MAX_BYTES)
		return 0;
	return head->bytes + head->payload_bytes - r->have;
}

static void pending_drop(struct reader *r)
{
	if (r->have)
		r->stats->cut++;
	r->have = 0;
}

/* It has all that it needs. */
static int pending_done(struct reader *r, const struct hs_record_head *head)
{
	r->have = 0;
	if (head->payload_bytes > HS_RECORD_MAX_BYTES) {
		r->stats->garbage++;
		return 0;
	}
	return deliver(r, head->type, NULL, 0, r->scratch + head->bytes,
		       head->payload_bytes);
}

/*
 * Feed the pending record with the bytes that precede the buffer's first
 * record; returns how many of them it took, or a visitor's verdict in *rc.
 */
static size_t pending_feed(struct reader *r, const uint8_t *p, size_t len,
			   int *rc)
{
	struct hs_record_head head;
	size_t used = 0;

	while (r->have) {
		size_t need = pending_need(r, &head);
		size_t take = need < len - used ? need : len - used;

		if (need == 0) {
			*rc = pending_done(r, &head);
			break;
		}
		if (take > r->scratch_bytes - r->have) {
			pending_drop(r);
			break;
		}
		memcpy(r->scratch + r->have, p + used, take);
		r->have += take;
		used += take;
		if (take < need)
			break;
	}
	return used;
}

/* Records that start in this buffer, from @pos on. */
static int read_records(struct reader *r, const struct hs_record_buffer *buffer,
			size_t pos)
{
	const uint8_t *data = buffer->data;

	while (pos < buffer->size_bytes) {
		size_t left = buffer->size_bytes - pos;
		struct hs_record_head head = {0};
		bool whole = !hs_record_head_get(data + pos, left, r->version,
						 &head);
		int rc;

		if (head.payload_bytes > HS_RECORD_MAX_BYTES) {
			r->stats->garbage++;
			r->stats->skipped_bytes += left;
			return 0;
		}
		if (whole && head.payload_bytes <= left - head.bytes) {
			rc = deliver(r, head.type, data, pos,
				     data + pos + head.bytes,
				     head.payload_bytes);
			if (rc)
				return rc;
			pos += head.bytes + head.payload_bytes;
			continue;
		}
		if (left > r->scratch_bytes) {
			r->stats->cut++;
			return 0;
		}
		memcpy(r->scratch, data + pos, left);
		r->have = left;
		return 0;
	}
	return 0;
}

bool hs_record_header_get(const void *data, size_t size_bytes,
			  struct hs_shm_buffer *out)
{
	if (size_bytes < sizeof(*out))
		return false;
	memcpy(out, data, sizeof(*out));
	return out->magic == HS_SHM_BUF_MAGIC &&
	       out->version >= HS_SHM_BUF_VERSION_MIN &&
	       out->version <= HS_SHM_BUF_VERSION &&
	       out->header_bytes == sizeof(*out) &&
	       out->first_record <= size_bytes &&
	       (out->first_record == 0 || out->first_record >= sizeof(*out));
}

/* The times of records that start in this buffer. */
static void base_of(struct hs_record_clock *clock,
		    const struct hs_shm_buffer *header)
{
	bool ticks = (header->clock & 0xffff) == HS_SHM_CLOCK_TSC;

	*clock = (struct hs_record_clock){
		.ns = ticks ? 0 : header->time_base,
		.ticks = header->time_base,
		.unknown = ticks,
		.last_ns = ticks ? clock->last_ns : header->time_base,
	};
}

static int read_buffer(struct reader *r, const struct hs_record_buffer *buffer,
		       const struct hs_shm_buffer *header)
{
	const uint8_t *p = buffer->data;
	size_t first = header->first_record;
	size_t end = first ? first : buffer->size_bytes;
	size_t pos = sizeof(*header);
	int rc = 0;

	if (r->have)
		pos += pending_feed(r, p + pos, end - pos, &rc);
	if (rc)
		return rc;
	r->stats->skipped_bytes += end - pos;
	if (!first) {
		/* It was fed all there is, so it may go on. */
		return 0;
	}
	pending_drop(r);
	base_of(&r->clock, header);
	r->version = header->version;
	return read_records(r, buffer, first);
}

int hs_record_read(const struct hs_record_buffer *buffers, size_t nr_buffers,
		   void *scratch, size_t scratch_bytes,
		   const struct hs_record_visitor *visitor,
		   struct hs_record_stats *stats)
{
	struct hs_record_stats own = {0};
	struct reader r = {
		.visitor = visitor,
		.stats = stats ? stats : &own,
		.scratch = scratch,
		.scratch_bytes = scratch_bytes,
	};
	uint64_t next_seq = 0;
	int rc = 0;

	for (size_t i = 0; i < nr_buffers && !rc; i++) {
		struct hs_shm_buffer header;

		if (buffers[i].seq < next_seq) {
			r.stats->duplicates++;
			continue;
		}
		if (buffers[i].seq > next_seq) {
			r.stats->gaps += buffers[i].seq - next_seq;
			pending_drop(&r);
		}
		next_seq = (uint64_t)buffers[i].seq + 1;
		if (!hs_record_header_get(buffers[i].data,
					  buffers[i].size_bytes, &header)) {
			r.stats->bad_buffers++;
			pending_drop(&r);
			continue;
		}
		rc = read_buffer(&r, &buffers[i], &header);
	}
	if (!rc)
		pending_drop(&r);
	return rc;
}

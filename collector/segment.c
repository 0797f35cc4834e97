/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - records: laying them out, checking them, finding them again
 */
#include "collector/segment.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "base/crc32c.h"
#include "rdma/wire.h"

/* Holds the longest record whatever its alignment in the file. */
#define WINDOW_BYTES (4u << 20)
/* Less than this is stored as it is: a zstd frame has some 12 bytes itself. */
#define COMPRESS_MIN_BYTES 128u
#define SHORT_BYTES	   4096u
#define SHORT_LEVEL_MAX	   3

struct hs_segment_codec {
	ZSTD_CCtx *in;
	ZSTD_DCtx *out;
	int level;
};

static uint64_t padded(uint64_t bytes)
{
	return (bytes + HS_SEGMENT_ALIGN_BYTES - 1) / HS_SEGMENT_ALIGN_BYTES *
	       HS_SEGMENT_ALIGN_BYTES;
}

void hs_segment_head_make(void *start, uint32_t number, uint64_t created_ns,
			  uint64_t salt)
{
	struct hs_segment_head head = {.magic = HS_SEGMENT_MAGIC,
				       .version = HS_SEGMENT_VERSION,
				       .number = number,
				       .created_ns = created_ns,
				       .salt = salt};

	head.crc = hs_crc32c(0, &head, offsetof(struct hs_segment_head, crc));
	memcpy(start, &head, sizeof(head));
	memcpy((uint8_t *)start + sizeof(head), &head, sizeof(head));
}

int hs_segment_head_read(const void *start, size_t start_bytes,
			 struct hs_segment_head *out)
{
	for (size_t at = 0;
	     at + sizeof(*out) <= start_bytes && at < HS_SEGMENT_START_BYTES;
	     at += sizeof(*out)) {
		memcpy(out, (const uint8_t *)start + at, sizeof(*out));
		if (out->magic == HS_SEGMENT_MAGIC &&
		    out->version == HS_SEGMENT_VERSION &&
		    out->crc ==
			    hs_crc32c(0, out,
				      offsetof(struct hs_segment_head, crc)))
			return 0;
	}
	return -EBADMSG;
}

static struct hs_segment_codec *codec_new(bool packs)
{
	struct hs_segment_codec *codec = calloc(1, sizeof(*codec));

	if (!codec)
		return NULL;
	codec->out = ZSTD_createDCtx();
	if (packs)
		codec->in = ZSTD_createCCtx();
	if (codec->out && (!packs || codec->in))
		return codec;
	hs_segment_codec_free(codec);
	return NULL;
}

struct hs_segment_codec *hs_segment_codec_new(int zstd_level)
{
	struct hs_segment_codec *codec = codec_new(true);

	if (codec)
		hs_segment_codec_level(codec, zstd_level);
	return codec;
}

struct hs_segment_codec *hs_segment_codec_reader(void)
{
	return codec_new(false);
}

void hs_segment_codec_level(struct hs_segment_codec *codec, int zstd_level)
{
	codec->level = zstd_level;
}

void hs_segment_codec_free(struct hs_segment_codec *codec)
{
	if (!codec)
		return;
	ZSTD_freeCCtx(codec->in);
	ZSTD_freeDCtx(codec->out);
	free(codec);
}

static uint32_t crc_start(uint64_t salt, uint64_t offset)
{
	uint64_t place[2] = {salt, offset};

	return hs_crc32c(0, place, sizeof(place));
}

static uint32_t header_crc(uint64_t salt, uint64_t offset,
			   const struct hs_segment_record *record)
{
	const size_t from = offsetof(struct hs_segment_record, payload_crc);

	return hs_crc32c(crc_start(salt, offset),
			 (const uint8_t *)record + from,
			 sizeof(*record) - from);
}

/*
 * Most records are short, and for those zstd prepares for longer than it packs.
 * Its level -1 takes half of the time or less there, and makes 2 to 5 % more of
 * it than level 3, of nearly 4 KiB as much. Who wants more than 3 gets it.
 */
static int level_for(const struct hs_segment_codec *codec, size_t raw_bytes)
{
	return codec->level > 0 && codec->level <= SHORT_LEVEL_MAX &&
			       raw_bytes < SHORT_BYTES
		       ? -1
		       : codec->level;
}

size_t hs_segment_pack(struct hs_segment_codec *codec,
		       enum hs_segment_type type,
		       const struct hs_wire_trace_id *trace, const void *raw,
		       size_t raw_bytes, uint8_t *out)
{
	struct hs_segment_record record = {.magic = HS_SEGMENT_RECORD_MAGIC,
					   .type = (uint16_t)type,
					   .raw_bytes = (uint32_t)raw_bytes,
					   .stored_bytes = (uint32_t)raw_bytes,
					   .trace_hi = trace->hi,
					   .trace_lo = trace->lo};
	uint8_t *payload = out + sizeof(record);
	size_t packed = 0;

	if (raw_bytes > HS_SEGMENT_RAW_MAX_BYTES)
		return 0;
	/* Without room for more than is gained by, zstd says that it fails. */
	if (raw_bytes >= COMPRESS_MIN_BYTES && codec->level)
		packed = ZSTD_compressCCtx(codec->in, payload, raw_bytes - 1,
					   raw, raw_bytes,
					   level_for(codec, raw_bytes));
	if (packed && !ZSTD_isError(packed)) {
		record.flags = HS_SEGMENT_F_ZSTD;
		record.stored_bytes = (uint32_t)packed;
	} else if (raw_bytes) {
		memcpy(payload, raw, raw_bytes);
	}
	memcpy(out, &record, sizeof(record));
	packed = sizeof(record) + record.stored_bytes;
	memset(out + packed, 0, padded(packed) - packed);
	return padded(packed);
}

void hs_segment_seal(uint8_t *data, uint64_t salt, uint64_t offset)
{
	struct hs_segment_record record;

	memcpy(&record, data, sizeof(record));
	record.payload_crc =
		hs_crc32c(crc_start(salt, offset), data + sizeof(record),
			  record.stored_bytes);
	record.header_crc = header_crc(salt, offset, &record);
	memcpy(data, &record, sizeof(record));
}

size_t hs_segment_encode(struct hs_segment_codec *codec, uint64_t salt,
			 uint64_t offset, enum hs_segment_type type,
			 const struct hs_wire_trace_id *trace, const void *raw,
			 size_t raw_bytes, uint8_t *out)
{
	size_t n = hs_segment_pack(codec, type, trace, raw, raw_bytes, out);

	if (n)
		hs_segment_seal(out, salt, offset);
	return n;
}

int64_t hs_segment_check(const uint8_t *data, size_t size_bytes, uint64_t salt,
			 uint64_t offset, struct hs_segment_record *out)
{
	if (size_bytes < sizeof(*out))
		return 0;
	memcpy(out, data, sizeof(*out));
	if (out->magic != HS_SEGMENT_RECORD_MAGIC ||
	    out->stored_bytes > HS_SEGMENT_RAW_MAX_BYTES ||
	    out->raw_bytes > HS_SEGMENT_RAW_MAX_BYTES ||
	    out->header_crc != header_crc(salt, offset, out))
		return 0;
	if (out->stored_bytes > size_bytes - sizeof(*out))
		return -EAGAIN;
	if (out->payload_crc != hs_crc32c(crc_start(salt, offset),
					  data + sizeof(*out),
					  out->stored_bytes))
		return 0;
	return (int64_t)padded(sizeof(*out) + out->stored_bytes);
}

int64_t hs_segment_decode(struct hs_segment_codec *codec, const uint8_t *data,
			  const struct hs_segment_record *record, uint8_t *raw)
{
	const uint8_t *payload = data + sizeof(*record);
	size_t got;

	if (record->raw_bytes > HS_SEGMENT_RAW_MAX_BYTES)
		return -EBADMSG;
	if (!(record->flags & HS_SEGMENT_F_ZSTD)) {
		if (record->raw_bytes != record->stored_bytes)
			return -EBADMSG;
		memcpy(raw, payload, record->raw_bytes);
		return record->raw_bytes;
	}
	got = ZSTD_decompressDCtx(codec->out, raw, HS_SEGMENT_RAW_MAX_BYTES,
				  payload, record->stored_bytes);
	if (ZSTD_isError(got) || got != record->raw_bytes)
		return -EBADMSG;
	return (int64_t)got;
}

int hs_segment_slice(const uint8_t *raw, size_t raw_bytes,
		     const struct hs_segment_record *record,
		     struct hs_wire_slice *slice, const uint8_t **bytes)
{
	if (raw_bytes < sizeof(*slice))
		return -EBADMSG;
	memcpy(slice, raw, sizeof(*slice));
	*bytes = raw + sizeof(*slice);
	if (slice->length_bytes != raw_bytes - sizeof(*slice) ||
	    slice->trace.hi != record->trace_hi ||
	    slice->trace.lo != record->trace_lo)
		return -EBADMSG;
	return 0;
}

/* ---- scanning ------------------------------------------------------------ */

struct window {
	int fd;
	uint8_t *data;
	uint64_t from; /* of the file */
	size_t len_bytes;
	bool at_end;
};

/* Make the window start at @from and as long as the file allows. */
static int window_move(struct window *w, uint64_t from)
{
	w->from = from;
	w->len_bytes = 0;
	w->at_end = false;
	while (w->len_bytes < WINDOW_BYTES) {
		ssize_t n = pread(w->fd, w->data + w->len_bytes,
				  WINDOW_BYTES - w->len_bytes,
				  (off_t)(from + w->len_bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			w->at_end = true;
			break;
		}
		w->len_bytes += (size_t)n;
	}
	return 0;
}

/* As hs_segment_check(), with as much of the file as that wants. */
static int64_t window_check(struct window *w, uint64_t salt, uint64_t pos,
			    struct hs_segment_record *record)
{
	for (;;) {
		size_t skip = (size_t)(pos - w->from);
		int64_t n = 0;
		int rc;

		if (skip <= w->len_bytes) {
			n = hs_segment_check(w->data + skip,
					     w->len_bytes - skip, salt, pos,
					     record);
			if (n > 0 || w->at_end || skip == 0)
				return n == -EAGAIN ? 0 : n;
			if (n == 0 && w->len_bytes - skip >= sizeof(*record))
				return 0;
		}
		rc = window_move(w, pos);
		if (rc)
			return rc;
	}
}

static int visit_at(struct hs_segment_codec *codec, const struct window *w,
		    uint64_t pos, const struct hs_segment_record *record,
		    uint8_t *raw, hs_segment_visit visit, void *ctx)
{
	int64_t n = hs_segment_decode(codec, w->data + (pos - w->from), record,
				      raw);

	if (n < 0)
		return 0; /* sound and yet no zstd: not written by us */
	return visit(ctx, pos, record, raw, (size_t)n);
}

static int scan(struct hs_segment_codec *codec, struct window *w, uint8_t *raw,
		uint64_t salt, uint64_t from, hs_segment_visit visit, void *ctx,
		struct hs_segment_scan *out)
{
	uint64_t pos = from;
	int rc = window_move(w, from);

	while (!rc && (!w->at_end || pos < w->from + w->len_bytes)) {
		struct hs_segment_record record = {0};
		int64_t n = window_check(w, salt, pos, &record);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			pos += HS_SEGMENT_ALIGN_BYTES;
			continue;
		}
		rc = visit_at(codec, w, pos, &record, raw, visit, ctx);
		out->damaged_bytes += pos - out->end;
		pos += (uint64_t)n;
		out->end = pos;
		out->nr_records++;
	}
	if (!rc && w->from + w->len_bytes > out->end)
		out->damaged_bytes += w->from + w->len_bytes - out->end;
	return rc;
}

int hs_segment_scan(struct hs_segment_codec *codec, int fd, uint64_t salt,
		    uint64_t from, hs_segment_visit visit, void *ctx,
		    struct hs_segment_scan *out)
{
	struct window w = {.fd = fd, .data = malloc(WINDOW_BYTES)};
	uint8_t *raw = malloc(HS_SEGMENT_RAW_MAX_BYTES);
	int rc = -ENOMEM;

	*out = (struct hs_segment_scan){.end = from};
	if (w.data && raw)
		rc = scan(codec, &w, raw, salt, from, visit, ctx, out);
	free(w.data);
	free(raw);
	return rc;
}

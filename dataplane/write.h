/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: write records into a handle's buffers.
 *
 * A record is emitted twice by the same function: once to be measured, since
 * its header comes first and may be published with a buffer before the rest is
 * written, and once into the buffer. An application that changes a string in
 * between gets its own text cut or padded, never a broken stream.
 *
 * Guarantees: a record becomes readable whole, by a release store of the
 * buffer's committed length, or, when it runs on, with the buffers it fills; a
 * record that cannot be kept costs itself alone.
 */
#ifndef HS_DATAPLANE_WRITE_H
#define HS_DATAPLANE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/handle.h"
#include "model/record.h"

/* A record up to this size starts in a new buffer rather than running on. */
#define HS_WRITE_WHOLE_BYTES 128u

struct hs_sink {
	bool measure;
	bool failed;
	bool cut; /* something other than an attribute's value was cut */
	size_t size_bytes; /* so far */
	size_t left;	   /* of the payload as it was measured */
	uint8_t *p;
	uint8_t *end;
	uint64_t time_base;
	const struct hs_stamp *stamp; /* what a further buffer is opened by */
	struct hs_trace *trace;	      /* NULL: plain memory, it ends at end */
	struct hs_tls *tls;
};

typedef void (*hs_emit_fn)(struct hs_sink *sink, const void *args);

/* When something was: what the caller says, or now by the buffer's clock. */
enum hs_stamp_kind {
	HS_STAMP_NONE,
	HS_STAMP_AT,
	HS_STAMP_NOW,
};
struct hs_stamp {
	enum hs_stamp_kind kind;
	bool in_ticks; /* the writer's: how it is written */
	bool taken;    /* the writer's, NOW: when its buffer was opened */
	uint64_t ns;   /* AT; NOW: the writer's */
	uint64_t ticks;
};

/**
 * hs_write_record() - append one record
 * @type: enum hs_record_type
 * @stamp: the record's time, or NULL; what @emit gives to hs_sink_time()
 *
 * A buffer that a record with a time of the caller's opens counts in ns: what
 * such a caller tells may be years ago. One that is opened now is opened at the
 * time of the record that wants it: one look at the clock serves both.
 *
 * Context: write path, between enter and leave.
 * Return:  false when dropped: counted, and marked in the handle.
 */
bool hs_write_record(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		     struct hs_stamp *stamp, hs_emit_fn emit, const void *args);

/* The same for one without a time, just before one with @next. */
bool hs_write_before(struct hs_tls *tls, struct hs_trace *trace, uint8_t type,
		     struct hs_stamp *next, hs_emit_fn emit, const void *args);

/**
 * hs_write_open() - the first buffer of @trace, and its window where it may be
 * @next: as of hs_write_before()
 *
 * Return: false where a record would have been dropped, accounted for likewise.
 */
bool hs_write_open(struct hs_tls *tls, struct hs_trace *trace,
		   struct hs_stamp *next);

/* Measure @emit, or write it to plain memory of that size. */
size_t hs_write_measure(hs_emit_fn emit, const void *args);
bool hs_write_memory(uint8_t *out, size_t size_bytes, hs_emit_fn emit,
		     const void *args);

/* What a caller says is true or false; it may have set another member, and then
 * the byte is no bool that may be loaded as one. */
static inline bool hs_attr_bool(const struct hs_attr *attr)
{
	uint8_t byte;

	memcpy(&byte, &attr->value.b, sizeof(byte));
	return byte != 0;
}

/* What emit functions are made of. */
void hs_sink_bytes(struct hs_sink *sink, const void *data, size_t size_bytes);
void hs_sink_u8(struct hs_sink *sink, uint8_t v);
void hs_sink_u64(struct hs_sink *sink, uint64_t v);
void hs_sink_varint(struct hs_sink *sink, uint64_t v);
void hs_sink_time(struct hs_sink *sink, const struct hs_stamp *stamp);
/* @len_bytes 0: NUL-terminated; NULL is empty. Cut at HS_VALUE_MAX_BYTES. */
void hs_sink_text(struct hs_sink *sink, const char *text, size_t len_bytes);
void hs_sink_attr(struct hs_sink *sink, const struct hs_attr *attr);
/* As many as a record may hold; the rest is cut. */
void hs_sink_attrs(struct hs_sink *sink, const struct hs_attr *attrs,
		   size_t nr);

/* Bytes of a UTF-8 text that fit into @max_bytes without half a character. */
size_t hs_write_text_fit(const char *text, size_t len_bytes, size_t max_bytes);

#endif

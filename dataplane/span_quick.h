/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the shortest way of a record on a span: one whose span is among the
 * first of its handle, so that its ref is a byte, and which is short whatever
 * it says. Most are; all else goes the way of span.h.
 *
 * A record's fields stand at fixed places then, and are stored several at once.
 *
 * Guarantees: as hs_put_begin(): what a signal handler does in between finds
 * the window closed.
 */
#ifndef HS_DATAPLANE_SPAN_QUICK_H
#define HS_DATAPLANE_SPAN_QUICK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/endian.h"
#include "dataplane/put.h"

/* No record takes more, with what is stored behind its end. */
#define HS_SPAN_QUICK_BYTES   56u
#define HS_SPAN_QUICK_REF_MAX 0x7fu
/* Type, length and ref. */
#define HS_SPAN_QUICK_HEAD 3u

/* @bytes: written, counted from the record's start */
#define HS_SPAN_QUICK_FITS(bytes)                                              \
	_Static_assert((bytes) <= HS_SPAN_QUICK_BYTES,                         \
		       "room for it is looked for")

struct hs_span_quick {
	struct hs_trace *trace;
	uint8_t *base;
	uint8_t *record;
	size_t pos;
	uint32_t ref;
};

/*
 * A span's ref and, above it, its use, as one word: a load that is wider than
 * the stores before it would wait for them to leave the core.
 */
_Static_assert(offsetof(struct hs_span, use) ==
		       offsetof(struct hs_span, ref) + 4,
	       "one word");
static inline uint64_t hs_span_tag(const struct hs_span *span)
{
	return hs_le64_load((const uint8_t *)span +
			    offsetof(struct hs_span, ref));
}
static inline void hs_span_tag_store(struct hs_span *span, uint64_t tag)
{
	hs_le64_store((uint8_t *)span + offsetof(struct hs_span, ref), tag);
}

/* Window @w is closed from here on; false: it is as it was. */
static inline __attribute__((always_inline)) bool
hs_span_quick_close(struct hs_trace_window *w, struct hs_span_quick *q)
{
	if (!hs_put_close(w))
		return false;
	q->pos = w->pos;
	if (__builtin_expect(q->pos > w->last, 0)) {
		w->open = 1;
		return false;
	}
	q->base = w->base;
	q->record = q->base + q->pos;
	return true;
}

/* Nothing was written after all. */
static inline void hs_span_quick_drop(struct hs_span_quick *q)
{
	q->trace->w.open = 1;
}

/**
 * hs_span_quick() - close the window for a record of @span's
 *
 * Return: false: take another way.
 */
static inline __attribute__((always_inline)) bool
hs_span_quick(const struct hs_span *span, struct hs_span_quick *q)
{
	uint64_t ref;

	if (__builtin_expect(!span, 0))
		return false;
	q->trace = span->trace;
	if (__builtin_expect(!q->trace, 0))
		return false;
	/* Of this handle, and one of its first: one compare for both. */
	ref = hs_span_tag(span) - q->trace->spans;
	if (__builtin_expect(ref > HS_SPAN_QUICK_REF_MAX, 0))
		return false;
	q->ref = (uint32_t)ref;
	return hs_span_quick_close(&q->trace->w, q);
}

/*
 * Its first four bytes, of which the last is @next's and may be written over.
 * @bytes: of the record, all in all
 */
static inline __attribute__((always_inline)) void
hs_span_quick_head(const struct hs_span_quick *q, uint32_t type, uint32_t bytes,
		   uint32_t next)
{
	hs_le32_store(q->record, (type | HS_RECORD_F_SHORT |
				  (bytes - HS_RECORD_SHORT_HEADER_BYTES) << 8) +
					 (q->ref << 16) + (next << 24));
}

static inline __attribute__((always_inline)) void
hs_span_quick_end(const struct hs_span_quick *q, uint32_t bytes)
{
	/* As wide as pos is kept, so that it need not be kept twice. */
	hs_put_open(&q->trace->w, q->base, q->pos + bytes);
}

#endif

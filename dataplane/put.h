/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: append a record that surely fits, in one pass, without entering
 * the library: an open window (hs/inline.h) says that the handle is live, is
 * attached, has a buffer and is in nobody's hands.
 *
 * Guarantees: as hs_inline_point(): what a signal handler does in between
 * finds the window closed.
 */
#ifndef HS_DATAPLANE_PUT_H
#define HS_DATAPLANE_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/endian.h"
#include "dataplane/calibration.h"
#include "dataplane/copy.h"
#include "dataplane/handle.h"
#include "model/record.h"

/* Longer records take the long way, which knows all limits. */
#define HS_PUT_MAX_BYTES 16384u

/* Window @w is closed from here on; false: it was, and is as it was. */
static inline __attribute__((always_inline)) bool
hs_put_close(struct hs_trace_window *w)
{
#if defined(HS_INLINE)
	if (!hs_inline_close(w))
		return false;
#else
	if (!w->open)
		return false;
	w->open = 0;
#endif
	/* window.C2 acq_rel, pairs window.C1 window.C4 window.C6:
	 * closed before pos is read. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	return true;
}

/* Its records end before @next of @base, its buffer, and it opens. */
static inline __attribute__((always_inline)) void
hs_put_open(struct hs_trace_window *w, uint8_t *base, size_t next)
{
	/* buffer.W3 release, pairs buffer.R1: bytes before their length. */
	__atomic_store_n(&((struct hs_shm_buffer *)base)->committed,
			 (uint32_t)next, __ATOMIC_RELEASE);
	w->pos = (uint32_t)next;
	/* window.C6 acq_rel, pairs window.C2: all of it before it opens. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	w->open = 1;
}

/**
 * hs_put_begin() - close the window for a record of at most @max_bytes
 * @max_bytes: header included
 *
 * Return: where it goes; NULL: take the long way.
 */
static inline uint8_t *hs_put_begin(struct hs_trace *trace, size_t max_bytes)
{
	struct hs_trace_window *w = &trace->w;

	if (!hs_put_close(w))
		return NULL;
	if (max_bytes > w->size - w->pos) {
		w->open = 1;
		return NULL;
	}
	return w->base + w->pos;
}

/* The record ends before @end. */
static inline void hs_put_commit(struct hs_trace *trace, const uint8_t *end)
{
	struct hs_trace_window *w = &trace->w;

	hs_put_open(w, w->base, (size_t)(end - w->base));
}

/* The header of a record of up to HS_RECORD_SHORT_MAX_BYTES, or of any. */
static inline void hs_put_end_short(struct hs_trace *trace, uint32_t type,
				    uint8_t *record, const uint8_t *end)
{
	uint32_t n = (uint32_t)(end - record) - HS_RECORD_SHORT_HEADER_BYTES;

	hs_le16_store(record, (uint16_t)(type | HS_RECORD_F_SHORT | n << 8));
	hs_put_commit(trace, end);
}
static inline void hs_put_end(struct hs_trace *trace, uint32_t type,
			      uint8_t *record, const uint8_t *end)
{
	uint32_t n = (uint32_t)(end - record) - HS_RECORD_HEADER_BYTES;

	hs_le32_store(record, hs_record_header(type, n));
	hs_put_commit(trace, end);
}

/* Eight bytes are written, of which six count. */
#define HS_PUT_TICKS_BYTES 8u
static inline uint8_t *hs_put_these_ticks(uint8_t *p, uint64_t ticks)
{
	hs_le64_store(p, ticks);
	return p + HS_RECORD_TICKS_BYTES;
}
static inline uint8_t *hs_put_ticks(uint8_t *p)
{
	return hs_put_these_ticks(p, hs_ticks());
}

/* A varint of one or two digits. */
static inline __attribute__((always_inline)) uint8_t *hs_put_two(uint8_t *p,
								 uint32_t v)
{
	if (v < 0x80) {
		*p = (uint8_t)v;
		return p + 1;
	}
	hs_le16_store(p, (uint16_t)((v & 0x7f) | 0x80 | v >> 7 << 8));
	return p + 2;
}

/* Of any: the last two digits at once. */
static inline __attribute__((always_inline)) uint8_t *hs_put_varint(uint8_t *p,
								    uint64_t v)
{
	for (; v >= 0x4000; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	return hs_put_two(p, (uint32_t)v);
}

static inline uint8_t *hs_put_bytes(uint8_t *p, const void *data, size_t n)
{
	hs_copy_short(p, data, n);
	return p + n;
}

/* Room for a text of @n bytes with its length. */
static inline size_t hs_put_text_max(size_t n)
{
	return n + HS_RECORD_VARINT_MAX_BYTES;
}
static inline uint8_t *hs_put_text(uint8_t *p, const char *text, size_t n)
{
	return hs_put_bytes(hs_put_varint(p, n), text, n);
}

/*
 * A tracepoint; false: the long way.
 * @ticks: when, if the counter was asked already; 0: now
 */
static inline __attribute__((always_inline)) bool
hs_put_point_at(struct hs_trace *trace, const void *data, size_t n,
		bool stamped, uint64_t ticks)
{
	uint8_t *record, *p;

	if (!HS_INLINE_HAS_WINDOW(trace) || !data || n > HS_PUT_MAX_BYTES)
		return false;
	record = hs_put_begin(trace,
			      HS_RECORD_HEADER_BYTES + HS_PUT_TICKS_BYTES + n);
	if (!record)
		return false;
	p = record + HS_RECORD_HEADER_BYTES;
	if (stamped)
		p = hs_put_these_ticks(p, ticks ? ticks : hs_ticks());
	if (n <= HS_COPY_SHORT_BYTES)
		hs_copy_short(p, data, n);
	else if (n < HS_COPY_LONG_BYTES)
		memcpy(p, data, n);
	else
		hs_copy_long(p, data, n, n, trace->w.base,
			     trace->w.base + trace->w.size);
	hs_put_end(trace,
		   stamped ? HS_RECORD_TRACEPOINT | HS_RECORD_F_TICKS
			   : HS_RECORD_POINT,
		   record, p + n);
	return true;
}
static inline bool hs_put_point(struct hs_trace *trace, const void *data,
				size_t n, bool stamped)
{
	return hs_put_point_at(trace, data, n, stamped, 0);
}

#endif

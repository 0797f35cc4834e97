/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the files of the span calls share: a record about a span, the
 * long way and in one pass.
 */
#ifndef HS_DATAPLANE_SPAN_H
#define HS_DATAPLANE_SPAN_H

#include "dataplane/put.h"
#include "dataplane/write.h"

/**
 * hs_span_write() - a record on @span, the long way
 *
 * Return: whether the span is one of a live trace, kept or not.
 */
bool hs_span_write(const struct hs_span *span, uint8_t type,
		   struct hs_stamp *stamp, hs_emit_fn emit, const void *args);

/*
 * A short record on this span that is all written at once: where it starts, or
 * NULL. An open window says all that hs_span_write() asks but whether it is
 * still the span's own trace.
 */
#define HS_SPAN_HEAD_BYTES (HS_RECORD_HEADER_BYTES + HS_RECORD_VARINT_MAX_BYTES)
static inline __attribute__((always_inline)) uint8_t *
hs_span_put(const struct hs_span *span, size_t max_bytes)
{
	if (!span || !span->trace || span->trace->use != span->use)
		return NULL;
	return hs_put_begin(span->trace, HS_SPAN_HEAD_BYTES + max_bytes);
}

/* The same for a short record, up to and with the span's ref. */
#define HS_SPAN_REF_MAX 0x3fffu
static inline __attribute__((always_inline)) uint8_t *
hs_span_put_short(const struct hs_span *span, size_t max_bytes,
		  struct hs_trace **trace, uint8_t **record)
{
	uint32_t ref;
	uint8_t *p;

	if (!span)
		return NULL;
	/* Asked once: what is written through bytes may be anything's. */
	ref = span->ref;
	*trace = span->trace;
	if (ref > HS_SPAN_REF_MAX || !*trace || (*trace)->use != span->use)
		return NULL;
	p = hs_put_begin(*trace, HS_SPAN_HEAD_BYTES + max_bytes);
	if (!p)
		return NULL;
	*record = p;
	return hs_put_two(p + HS_RECORD_SHORT_HEADER_BYTES, ref);
}

/* What a function is not called for is compiled away. */
#define HS_ASSUME(what)                                                        \
	do {                                                                   \
		if (!(what))                                                   \
			__builtin_unreachable();                               \
	} while (0)

/* Texts up to here fit into short records, and are copied without a call. */
#define HS_SPAN_TEXT_BYTES 32u

#endif

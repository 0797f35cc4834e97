/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the attributes of spans share, whether their keys are literals
 * (span_marked.c) or any text (span_attr.c): a short record, put in one pass.
 */
#ifndef HS_DATAPLANE_SPAN_ATTR_H
#define HS_DATAPLANE_SPAN_ATTR_H

#include "dataplane/span.h"
#include "hs/inline.h"

#define HS_SPAN_ATTR_TYPE (HS_RECORD_ATTR | HS_RECORD_F_KNOWN)

/* A short record up to its key. */
struct hs_span_attr_put {
	struct hs_trace *trace;
	uint8_t *record;
	uint8_t *attr;
};

_Static_assert(HS_INLINE_MARK_MAX == HS_SPAN_TEXT_BYTES,
	       "a literal's key has room where any short one has");

/* With room for its key, a byte before that and one behind it, and @max_bytes.
 * Return: false: the long way. */
static inline __attribute__((always_inline)) bool
hs_span_attr_put(struct hs_span_attr_put *put, const struct hs_span *span,
		 size_t max_bytes)
{
	put->attr = hs_span_put_short(span, HS_SPAN_TEXT_BYTES + 2 + max_bytes,
				      &put->trace, &put->record);
	return put->attr;
}

/* Where the key is in the buffer. */
static inline __attribute__((always_inline)) uint32_t
hs_span_attr_at(const struct hs_span_attr_put *put)
{
	return (uint32_t)(put->attr - put->trace->w.base);
}

#endif

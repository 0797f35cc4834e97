/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparison of two spans field by field, with words; shared by the trace
 * comparison and the merging of duplicates. Not for other folders.
 */
#ifndef HS_MODEL_EQUAL_INTERNAL_H
#define HS_MODEL_EQUAL_INTERNAL_H

#include <errno.h>

#include "model/trace.h"

struct diff {
	const struct hs_model_trace *a;
	const struct hs_model_trace *b;
	uint32_t resolution_ns;
	char *text; /* NULL: nobody asks why */
	size_t size;
};

__attribute__((format(printf, 2, 3))) void diff_say(struct diff *diff,
						    const char *format, ...);
bool span_equal(struct diff *diff, const struct hs_model_span *a,
		const struct hs_model_span *b);

/* The same attributes in the same order. */
bool attrs_identical(const struct hs_model_attrs *a,
		     const struct hs_model_attrs *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: an application's own autotriggers over the spans that end.
 *
 * Guarantees: they are added, never taken away, so a reader of their number
 * finds that many whole.
 */
#ifndef HS_DATAPLANE_AUTO_SPAN_H
#define HS_DATAPLANE_AUTO_SPAN_H

#include <stdint.h>

#include "dataplane/handle.h"
#include "hs/autotrigger.h"

struct hs_auto_spans {
	uint32_t nr;
	struct {
		hs_auto_span_fn fn;
		void *context;
		struct hs_trigger *trigger;
	} items[HS_AUTO_SPAN_MAX];
};
extern struct hs_auto_spans hs_auto_spans __attribute__((visibility("hidden")));

static inline uint32_t hs_auto_spans_nr(void)
{
	/* auto.R1 acquire, pairs auto.W1: those that it counts. */
	return __atomic_load_n(&hs_auto_spans.nr, __ATOMIC_ACQUIRE);
}

/* Ask them all. Context: write path, outside of enter and leave. */
void hs_auto_spans_judge(const struct hs_span *span, struct hs_trace *trace,
			 uint64_t duration_ns, uint32_t status);

#endif

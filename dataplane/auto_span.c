/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see auto_span.h. */
#include "dataplane/auto_span.h"

#include <errno.h>
#include <pthread.h>

#include "dataplane/operation.h"
#include "dataplane/trigger.h"

struct hs_auto_spans hs_auto_spans;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int hs_auto_span_watch(hs_auto_span_fn fn, void *context,
		       struct hs_trigger *trigger)
{
	int rc = -ENOSPC;
	uint32_t nr;

	if (!fn || !trigger)
		return -EINVAL;
	pthread_mutex_lock(&lock);
	nr = hs_auto_spans.nr;
	if (nr < HS_AUTO_SPAN_MAX) {
		hs_auto_spans.items[nr].fn = fn;
		hs_auto_spans.items[nr].context = context;
		hs_auto_spans.items[nr].trigger = trigger;
		/* auto.W1 release, pairs auto.R1: it before its number. */
		__atomic_store_n(&hs_auto_spans.nr, nr + 1, __ATOMIC_RELEASE);
		rc = 0;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void hs_auto_spans_judge(const struct hs_span *span, struct hs_trace *trace,
			 uint64_t duration_ns, uint32_t status)
{
	const struct hs_operation *o =
		&hs_operations.items[span->operation % HS_SHM_OPERATIONS_MAX];
	const struct hs_auto_span what = {
		.size_bytes = sizeof(what),
		.trace_id = trace->id,
		.duration_ns = duration_ns,
		.service = o->service,
		.name = o->name,
		.status = status,
	};
	uint32_t nr = hs_auto_spans_nr();

	for (uint32_t i = 0; i < nr && i < HS_AUTO_SPAN_MAX; i++) {
		if (trace->fired_own >> i & 1 ||
		    !hs_auto_spans.items[i].fn(hs_auto_spans.items[i].context,
					       &what))
			continue;
		if (hs_trigger_fire_own(hs_auto_spans.items[i].trigger, trace))
			trace->fired_own |= (uint8_t)(1u << i);
	}
}

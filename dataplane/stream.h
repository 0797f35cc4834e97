/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: long tracepoints, copied past the caches.
 *
 * A store fence for each would cost as much as the copy. So what was streamed
 * is committed a little later, by one fence for HS_STREAM_LAG_BYTES, or before
 * anything else happens to the handle. Till then its window is closed, so that
 * nothing else commits it unfenced.
 *
 * Guarantees: what is committed is readable. A process that is killed may lose
 * the last HS_STREAM_LAG_BYTES that it streamed into a trace.
 */
#ifndef HS_DATAPLANE_STREAM_H
#define HS_DATAPLANE_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/handle.h"

#define HS_STREAM_LAG_BYTES 16384u

/** hs_stream_point() - false: another way */
bool hs_stream_point(struct hs_trace *trace, const void *data, size_t n,
		     bool stamped);

void hs_stream_commit_slow(struct hs_trace *trace);
/** hs_stream_commit() - commit what was streamed, before all else */
static inline void hs_stream_commit(struct hs_trace *trace)
{
	if (trace->streamed)
		hs_stream_commit_slow(trace);
}

#endif

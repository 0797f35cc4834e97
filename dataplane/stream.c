/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see stream.h. */
#include "dataplane/stream.h"

#include "dataplane/put.h"

void hs_stream_commit_slow(struct hs_trace *trace)
{
	hs_copy_fence();
	trace->streamed = 0;
	/* buffer.W4 release, pairs buffer.R1: bytes before their length. */
	__atomic_store_n(&((struct hs_shm_buffer *)trace->w.base)->committed,
			 trace->w.pos, __ATOMIC_RELEASE);
}

static uint8_t *begin(struct hs_trace *trace, size_t max_bytes)
{
	struct hs_trace_window *w = &trace->w;

	if (!trace->streamed)
		return hs_put_begin(trace, max_bytes);
	/* Of a client that was closed: nothing is streamed any more. */
	if (!hs_handle_live(trace) || max_bytes > w->size - w->pos)
		return NULL;
	return w->base + w->pos + HS_RECORD_HEADER_BYTES;
}

static void end(struct hs_trace *trace, uint32_t type, const uint8_t *stop)
{
	struct hs_trace_window *w = &trace->w;
	uint8_t *record = w->base + w->pos;
	uint32_t next = (uint32_t)(stop - w->base);
	uint32_t n = next - w->pos;

	hs_le32_store(record,
		      hs_record_header(type, n - HS_RECORD_HEADER_BYTES));
	/* Shut, and not only in use, until it is committed. */
	trace->opened = 0;
	w->pos = next;
	trace->streamed += n;
	if (trace->streamed < HS_STREAM_LAG_BYTES)
		return;
	hs_stream_commit(trace);
	/* window.C7 acq_rel, pairs window.C2: all of it before it opens. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	w->open = 1;
	trace->opened = 1;
}

bool hs_stream_point(struct hs_trace *trace, const void *data, size_t n,
		     bool stamped)
{
	struct hs_tls *tls = &hs_tls;
	uint8_t *p;

	if (!HS_INLINE_HAS_WINDOW(trace) || !data ||
	    n < HS_COPY_STREAM_MIN_BYTES || n > HS_PUT_MAX_BYTES || tls->busy)
		return false;
	tls->busy = 1;
	/* client.C19 acq_rel, pairs client.C20: as client.C3. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	p = begin(trace, HS_RECORD_HEADER_BYTES + HS_PUT_TICKS_BYTES + n);
	if (p) {
		if (stamped)
			p = hs_put_ticks(p);
		hs_copy_stream(p, data, n);
		end(trace,
		    stamped ? HS_RECORD_TRACEPOINT | HS_RECORD_F_TICKS
			    : HS_RECORD_POINT,
		    p + n);
	}
	/* client.C20 acq_rel, pairs client.C19: as client.C4. */
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	tls->busy = 0;
	return p;
}

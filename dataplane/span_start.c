/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a span's start: its id and its ref, its record, and what its end is
 * judged by.
 */
#include <string.h>

#include "dataplane/again.h"
#include "dataplane/resource.h"
#include "dataplane/span.h"
#include "dataplane/trace.h"
#include "dataplane/watch.h"
#include "dataplane/write.h"

struct start {
	const struct hs_span_args *args;
	struct hs_trace *trace;
	uint64_t id;
	struct hs_stamp stamp;
	uint32_t ref;
	uint32_t resource;
	size_t name_bytes;
	/* What the name is in the buffer that was measured last; 0: in full. */
	uint8_t *again;
	uint8_t *again_bytes;
};

/* Longer ones are not looked for: their records may run on. */
#define AGAIN_MAX_BYTES 64u

static void emit_start_name(struct hs_sink *s, const struct start *start)
{
	const char *name = start->args->name ? start->args->name : "";
	size_t n =
		hs_write_text_fit(name, start->name_bytes, HS_VALUE_MAX_BYTES);

	s->cut |= n < start->name_bytes;
	hs_sink_varint(s, (uint64_t)n << 1);
	hs_sink_bytes(s, name, n);
}

/* Measured, it is looked for in the buffer that the record will start in. */
static void measure_start_name(struct hs_sink *s, const struct start *start)
{
	struct hs_sink memory = {
		.left = AGAIN_MAX_BYTES,
		.p = start->again,
		.end = start->again + AGAIN_MAX_BYTES,
	};
	uint32_t at = start->trace->w.pos + HS_RECORD_SHORT_HEADER_BYTES +
		      (uint32_t)s->size_bytes;
	size_t n;

	*start->again_bytes = 0;
	if (start->name_bytes > AGAIN_MAX_BYTES - HS_RECORD_VARINT_MAX_BYTES) {
		emit_start_name(s, start);
		return;
	}
	emit_start_name(&memory, start);
	n = AGAIN_MAX_BYTES - memory.left;
	n = (size_t)(hs_again_name(start->trace, at, start->again,
				   start->again + n) -
		     start->again);
	*start->again_bytes = (uint8_t)n;
	s->size_bytes += n;
}

static void emit_start(struct hs_sink *s, const void *args)
{
	const struct start *start = args;

	hs_sink_varint(s, start->ref);
	hs_sink_u64(s, start->id);
	hs_sink_u64(s, start->args->parent_id);
	hs_sink_varint(s, start->resource);
	hs_sink_u8(s, start->args->kind);
	hs_sink_time(s, &start->stamp);
	if (s->measure)
		measure_start_name(s, start);
	else if (*start->again_bytes)
		hs_sink_bytes(s, start->again, *start->again_bytes);
	else
		emit_start_name(s, start);
}

static size_t start_name_bytes(const struct hs_span_args *args)
{
	if (!args->name)
		return 0;
	return args->name_bytes ? args->name_bytes : strlen(args->name);
}

/* What a start needs that is put in one pass, and not in the window. */
#define PUT_START_BYTES                                                        \
	(HS_SPAN_HEAD_BYTES + 16 + HS_RECORD_VARINT_MAX_BYTES + 1 +            \
	 HS_PUT_TICKS_BYTES + 1 + HS_SPAN_TEXT_BYTES)

/*
 * The record of a span that has its id and its ref, at @record, now.
 * @m: of a name that is a literal, or NULL
 * @ticks: that, if the counter was asked already; 0: it was not
 */
static inline __attribute__((always_inline)) void
put_start_record(struct hs_trace *trace, struct hs_span *span, uint8_t *record,
		 const struct hs_span_args *args, size_t n,
		 const struct hs_resource *resource, uint32_t resource_nr,
		 const struct hs_operation_mark *m, uint64_t ticks)
{
	uint8_t *p;

	p = hs_put_varint(record + HS_RECORD_SHORT_HEADER_BYTES, span->ref);
	hs_le64_store(p, span->id);
	hs_le64_store(p + 8, args->parent_id);
	p = hs_put_varint(p + 16, resource_nr);
	*p++ = args->kind;
	if (!ticks)
		ticks = hs_ticks();
	p = hs_put_these_ticks(p, ticks);
	if (m)
		p = hs_again_literal_name_put(
			trace, (uint32_t)(m - hs_operation_marks),
			(uint32_t)(p - trace->w.base), p, args->name, n);
	else
		p = hs_again_name_put(trace, (uint32_t)(p - trace->w.base), p,
				      args->name, n);
	hs_put_end_short(trace,
			 HS_RECORD_SPAN_START | HS_RECORD_F_TICKS |
				 HS_RECORD_F_KNOWN,
			 record, p);
	hs_watch_start(span,
		       m ? m->number
			 : hs_watch_operation(resource, args->name, n),
		       ticks, HS_WATCH_TICKS);
}

/* A span of the resource that the trace wrote last, now. */
static inline __attribute__((always_inline)) bool
put_start(struct hs_trace *trace, struct hs_span *span,
	  const struct hs_span_args *args, size_t n,
	  const struct hs_resource *resource, const struct hs_operation_mark *m)
{
	struct hs_tls *tls = &hs_tls;
	uint32_t resource_nr;
	uint8_t *record;

	if (!HS_INLINE_HAS_WINDOW(trace) || !trace->next_resource ||
	    n > HS_SPAN_TEXT_BYTES)
		return false;
	resource_nr = trace->next_resource - 1;
	if (trace->resources[resource_nr % HS_HANDLE_RESOURCES_MAX] != resource)
		return false;
	/* An id is drawn from the thread's state: not amid another call. */
	if (tls->busy || tls->random_epoch != trace->epoch)
		return false;
	record = hs_put_begin(trace, PUT_START_BYTES);
	if (!record)
		return false;
	if (args->id) {
		span->id = args->id;
	} else {
		/* As hs_client_enter() does, for a handler that starts spans,
		 * too. */
		tls->busy = 1;
		/* client.C17 acq_rel, pairs client.C18: as client.C3. */
		__atomic_signal_fence(__ATOMIC_ACQ_REL);
		span->id = hs_client_random(tls);
		if (!span->id)
			span->id = 1;
		/* client.C18 acq_rel, pairs client.C17: as client.C4. */
		__atomic_signal_fence(__ATOMIC_ACQ_REL);
		tls->busy = 0;
	}
	span->trace = trace;
	span->use = trace->use;
	span->ref = trace->next_ref++;
	put_start_record(trace, span, record, args, n, resource, resource_nr, m,
			 0);
	return true;
}

/* With all that a record of any length needs. */
static void write_start(struct hs_tls *tls, struct hs_trace *trace,
			struct hs_span *span, const struct hs_span_args *args,
			size_t n, const struct hs_resource *resource,
			struct start *start)
{
	uint8_t again[AGAIN_MAX_BYTES] = {0}, again_bytes = 0;
	enum hs_watch_clock clock;
	uint64_t at;

	start->args = args;
	start->trace = trace;
	start->id = span->id;
	start->ref = span->ref;
	start->name_bytes = n;
	start->again = again;
	start->again_bytes = &again_bytes;
	hs_write_record(tls, trace, HS_RECORD_SPAN_START | HS_RECORD_F_KNOWN,
			&start->stamp, emit_start, start);
	at = hs_watch_time(&start->stamp, &clock);
	hs_watch_start(
		span,
		hs_watch_operation(resource, args->name ? args->name : "", n),
		at, clock);
}

static void span_start(struct hs_trace *trace, struct hs_span *span,
		       const struct hs_span_args *args, size_t n)
{
	const struct hs_resource *resource =
		args->resource ? args->resource : hs_client.resource;
	struct start start;
	struct hs_tls *tls;
	uint8_t *record = NULL;

	*span = (struct hs_span){.id = args->id};
	tls = hs_trace_enter(&trace);
	if (!tls)
		return;
	if (!span->id) {
		do
			span->id = hs_client_random(tls);
		while (!span->id);
	}
	span->trace = trace;
	span->use = trace->use;
	span->ref = trace->next_ref++;
	if (trace->at) {
		start.stamp = (struct hs_stamp){
			.kind = args->has_start ? HS_STAMP_AT : HS_STAMP_NOW,
			.ns = args->start_ns};
		start.resource =
			hs_resource_in(tls, trace, resource, &start.stamp);
		/* Most often this was what the long way was wanted for. */
		if (!args->has_start && n <= HS_SPAN_TEXT_BYTES)
			record = hs_put_begin(trace, PUT_START_BYTES);
		if (record)
			put_start_record(trace, span, record, args, n, resource,
					 start.resource, NULL,
					 start.stamp.taken &&
							 start.stamp.in_ticks
						 ? start.stamp.ticks
						 : 0);
		else
			write_start(tls, trace, span, args, n, resource,
				    &start);
	}
	hs_client_leave(tls);
}

static __attribute__((noinline, cold)) void
start_slow(struct hs_trace *trace, struct hs_span *span, const char *name,
	   size_t n, uint64_t parent_id)
{
	const struct hs_span_args args = {.name = name, .parent_id = parent_id};

	span_start(trace, span, &args, n);
}

void hs_sized_start(struct hs_trace *trace, struct hs_span *span,
		    const char *name, size_t n, uint64_t parent_id)
{
	/* Nobody sees its address, so that it is never made. */
	const struct hs_span_args args = {.name = name, .parent_id = parent_id};

	if (span && !put_start(trace, span, &args, n, hs_client.resource, NULL))
		start_slow(trace, span, name, n, parent_id);
}

static __attribute__((noinline, cold)) void
start_remember(struct hs_trace *trace, struct hs_span *span, const char *name,
	       size_t n, uint64_t parent_id, uint64_t mark)
{
	hs_sized_start(trace, span, name, n, parent_id);
	/* One that found no trace says nothing of its operation. */
	if (span && span->start_clock)
		hs_operation_remember(mark, hs_client.resource_hash,
				      span->operation);
}

void hs_marked_start(struct hs_trace *trace, struct hs_span *span,
		     const char *name, size_t n, uint64_t parent_id,
		     uint64_t mark)
{
	const struct hs_span_args args = {.name = name, .parent_id = parent_id};
	const struct hs_operation_mark *m =
		hs_operation_glance(mark, hs_client.resource_hash);

	if (__builtin_expect(!m, 0))
		start_remember(trace, span, name, n, parent_id, mark);
	else if (span &&
		 !put_start(trace, span, &args, n, hs_client.resource, m))
		start_slow(trace, span, name, n, parent_id);
}

void hs_span_start(struct hs_trace *trace, struct hs_span *span,
		   const char *name, uint64_t parent_id)
{
	hs_sized_start(trace, span, name, name ? strlen(name) : 0, parent_id);
}

static __attribute__((noinline, cold)) struct hs_span_args
args_complete(const struct hs_span_args *args)
{
	struct hs_span_args copy = {0};

	if (args)
		memcpy(&copy, args,
		       args->size_bytes < sizeof(copy) ? args->size_bytes
						       : sizeof(copy));
	if (!copy.name)
		copy.name = "";
	return copy;
}

void hs_span_start_args(struct hs_trace *trace, struct hs_span *span,
			const struct hs_span_args *args)
{
	struct hs_span_args copy;
	size_t n;

	if (!span)
		return;
	/* A caller compiled against a smaller struct, or without a name. */
	if (!args || args->size_bytes < sizeof(copy) || !args->name) {
		copy = args_complete(args);
		args = &copy;
	}
	n = start_name_bytes(args);
	if (args->has_start ||
	    !put_start(trace, span, args, n,
		       args->resource ? args->resource : hs_client.resource,
		       NULL))
		span_start(trace, span, args, n);
}

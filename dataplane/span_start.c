/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a span's start: its id and its ref, its record, and what its end is
 * judged by.
 */
#include <string.h>

#include "dataplane/again.h"
#include "dataplane/resource.h"
#include "dataplane/span.h"
#include "dataplane/span_quick.h"
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

/*
 * Spans of a handle have ids at odd steps from one that was drawn for it: as
 * different from each other as can be, and as likely to be another handle's as
 * any that were drawn. 0 is none.
 */
#define ID_STEP 0x9e3779b97f4a7c15ull
static inline uint64_t next_id(const struct hs_trace *trace, uint32_t ref)
{
	uint64_t id = trace->span_ids + ref * ID_STEP;

	return __builtin_expect(id != 0, 1) ? id : ID_STEP;
}

/* ---- the shortest record ------------------------------------------------ */

#define START_IDS   HS_SPAN_QUICK_HEAD
#define START_WHAT  (START_IDS + 16u) /* resource and kind */
#define START_TIME  (START_WHAT + 2u)
#define START_NAME  (START_TIME + HS_RECORD_TICKS_BYTES)
#define START_BYTES (START_NAME + HS_AGAIN_BYTES)
HS_SPAN_QUICK_FITS(START_NAME + sizeof(uint32_t));

/* A name of any text that is as short. */
#define QUICK_NAME_BYTES (HS_SPAN_QUICK_BYTES - START_NAME - 1u)
HS_SPAN_QUICK_FITS(START_NAME + 1 + QUICK_NAME_BYTES);
static inline __attribute__((always_inline)) uint32_t
quick_name(const struct hs_span_quick *q, const char *name, size_t n)
{
	struct hs_trace *trace = q->trace;
	uint32_t at = (uint32_t)q->pos + START_NAME;
	uint8_t *p = q->record + START_NAME;
	struct hs_again *a;

	HS_ASSUME(n <= QUICK_NAME_BYTES);
	if (n + 1 > HS_AGAIN_BYTES) {
		a = hs_again_short(trace->again_names, name, n);
		if (hs_again_stands(trace, a, name, n)) {
			hs_le32_store(p,
				      HS_RECORD_AGAIN | (uint32_t)a->at << 8);
			return START_BYTES;
		}
		if (at < HS_RECORD_AGAIN_REACH)
			*a = (struct hs_again){.at = (uint16_t)at,
					       .key_bytes = (uint8_t)(n + 1)};
	}
	*p = (uint8_t)(n << 1);
	hs_copy_short(p + 1, name, n);
	return START_NAME + 1 + (uint32_t)n;
}

/*
 * Of the resource that the trace wrote last, under any name.
 * @number: of its operation
 * @ticks: now, if the counter was asked already; 0: it was not
 */
static inline __attribute__((always_inline)) bool
quick_args(struct hs_trace *trace, struct hs_span *span,
	   const struct hs_span_args *args, size_t n,
	   const struct hs_resource *resource, uint32_t number, uint64_t ticks)
{
	struct hs_span_quick q = {.trace = trace};
	uint32_t bytes;
	uint64_t id;

	if (!hs_span_quick_close(&trace->w, &q))
		return false;
	q.ref = trace->next_ref;
	id = args->id ? args->id : trace->span_ids + q.ref * ID_STEP;
	/* Another's call in between may have named another one. */
	if (__builtin_expect(trace->start_resource != resource, 0) ||
	    __builtin_expect(q.ref > HS_SPAN_QUICK_REF_MAX, 0) ||
	    __builtin_expect(!id, 0)) {
		hs_span_quick_drop(&q);
		return false;
	}
	trace->next_ref = q.ref + 1;
	span->trace = trace;
	span->id = id;
	hs_span_tag_store(span, trace->spans + q.ref);
	hs_le64_store(q.record + START_IDS, id);
	hs_le64_store(q.record + START_IDS + 8, args->parent_id);
	/* No more resources than spans were named: a byte where a ref is. */
	hs_le16_store(q.record + START_WHAT,
		      (uint16_t)(trace->start_resource_nr | (uint32_t)args->kind
								    << 8));
	if (!ticks)
		ticks = hs_ticks();
	hs_le64_store(q.record + START_TIME, ticks);
	bytes = quick_name(&q, args->name, n);
	hs_span_quick_head(&q,
			   HS_RECORD_SPAN_START | HS_RECORD_F_TICKS |
				   HS_RECORD_F_KNOWN,
			   bytes, (uint32_t)id & 0xffu);
	hs_span_quick_end(&q, bytes);
	hs_watch_start(span, number, ticks, HS_WATCH_TICKS);
	return true;
}

/* ---- in one pass -------------------------------------------------------- */

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
		p = hs_again_literal_name_put(trace, m->index,
					      (uint32_t)(p - trace->w.base), p,
					      args->name, n);
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
	uint32_t resource_nr;
	uint8_t *record;

	if (!HS_INLINE_HAS_WINDOW(trace) || trace->start_resource != resource ||
	    n > HS_SPAN_TEXT_BYTES)
		return false;
	record = hs_put_begin(trace, PUT_START_BYTES);
	if (!record)
		return false;
	/* Another's call in between may have named another one. */
	if (!trace->span_ids || trace->start_resource != resource) {
		trace->w.open = 1;
		return false;
	}
	resource_nr = trace->start_resource_nr;
	span->id = args->id ? args->id : next_id(trace, trace->next_ref);
	span->trace = trace;
	hs_span_tag_store(span, trace->spans + trace->next_ref++);
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

static void span_identify(struct hs_trace *trace, struct hs_span *span,
			  const struct hs_span_args *args)
{
	*span = (struct hs_span){.id = args->id};
	if (!span->id)
		span->id = next_id(trace, trace->next_ref);
	span->trace = trace;
	hs_span_tag_store(span, trace->spans + trace->next_ref++);
}

static void span_start(struct hs_trace *trace, struct hs_span *span,
		       const struct hs_span_args *args, size_t n)
{
	const struct hs_resource *resource =
		args->resource ? args->resource : hs_client.resource;
	struct start start;
	struct hs_tls *tls;

	tls = hs_trace_enter(&trace);
	if (!tls) {
		*span = (struct hs_span){.id = args->id};
		return;
	}
	while (!trace->span_ids)
		trace->span_ids = hs_client_random(tls);
	if (!trace->at) {
		span_identify(trace, span, args);
	} else {
		start.stamp = (struct hs_stamp){
			.kind = args->has_start ? HS_STAMP_AT : HS_STAMP_NOW,
			.ns = args->start_ns};
		start.resource =
			hs_resource_in(tls, trace, resource, &start.stamp);
		/* Most often this was what the long way was wanted for. */
		if (args->has_start || n > QUICK_NAME_BYTES ||
		    !quick_args(trace, span, args, n, resource,
				hs_watch_operation(resource, args->name, n),
				start.stamp.taken && start.stamp.in_ticks
					? start.stamp.ticks
					: 0)) {
			span_identify(trace, span, args);
			write_start(tls, trace, span, args, n, resource,
				    &start);
		}
	}
	hs_client_leave(tls);
}

/* The first of its resource, or with a time of the caller's. */
static __attribute__((noinline)) void
start_first(struct hs_trace *trace, struct hs_span *span,
	    const struct hs_span_args *args)
{
	span_start(trace, span, args, start_name_bytes(args));
}

/* Of any length. */
static __attribute__((noinline)) void
start_wide(struct hs_trace *trace, struct hs_span *span,
	   const struct hs_span_args *args)
{
	const struct hs_resource *resource =
		args->resource ? args->resource : hs_client.resource;
	size_t n = start_name_bytes(args);

	if (!put_start(trace, span, args, n, resource, NULL))
		span_start(trace, span, args, n);
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
start_remember(struct hs_trace *trace, struct hs_span *span, uint64_t parent_id,
	       uint64_t mark, const char *name)
{
	hs_sized_start(trace, span, name, strlen(name), parent_id);
	/* One that found no trace says nothing of its operation, and one that
	 * has no number of its own would keep a place from one that has. */
	if (span->start_clock && span->operation)
		hs_operation_remember(mark, hs_client.resource_hash,
				      span->operation);
}

/*
 * Of the process's own resource, which the trace named already, as it did the
 * name: what a place says of either is believed while the window is closed.
 */
static inline __attribute__((always_inline)) bool
quick_start(struct hs_trace *trace, struct hs_span *span, uint64_t parent_id,
	    const struct hs_operation_mark *m)
{
	struct hs_span_quick q = {.trace = trace};
	const struct hs_again *a;
	uint32_t low, high;
	uint64_t id;

	if (!HS_INLINE_HAS_WINDOW(trace) || !hs_span_quick_close(&trace->w, &q))
		return false;
	q.ref = trace->next_ref;
	if (__builtin_expect(trace->start_resource != hs_client.resource, 0) ||
	    __builtin_expect(q.ref > HS_SPAN_QUICK_REF_MAX, 0))
		goto wide;
	a = (const struct hs_again *)((const uint8_t *)trace + m->again_at);
	if (__builtin_expect(a->whose != hs_again_whose(trace, m->index), 0))
		goto wide;
	id = trace->span_ids + q.ref * ID_STEP;
	if (__builtin_expect(!id, 0))
		goto wide;
	trace->next_ref = q.ref + 1;
	span->trace = trace;
	span->id = id;
	hs_span_tag_store(span, trace->spans + q.ref);
	hs_span_quick_head(&q,
			   HS_RECORD_SPAN_START | HS_RECORD_F_TICKS |
				   HS_RECORD_F_KNOWN,
			   START_BYTES, 0);
	hs_le64_store(q.record + START_IDS, id);
	hs_le64_store(q.record + START_IDS + 8, parent_id);
	/* No more resources than spans were named: a byte where a ref is. */
	hs_le16_store(q.record + START_WHAT,
		      (uint16_t)trace->start_resource_nr);
	hs_le32_store(q.record + START_NAME,
		      HS_RECORD_AGAIN | (uint32_t)a->at << 8);
	hs_ticks_halves(&low, &high);
	/* Six bytes, and no more: the name stands there already. */
	hs_le32_store(q.record + START_TIME, low);
	hs_le16_store(q.record + START_TIME + 4, (uint16_t)high);
	hs_span_quick_end(&q, START_BYTES);
	hs_watch_start(span, m->number, (uint64_t)high << 32 | low,
		       HS_WATCH_TICKS);
	return true;
wide:
	hs_span_quick_drop(&q);
	return false;
}

static __attribute__((noinline)) void
marked_wide(struct hs_trace *trace, struct hs_span *span, uint64_t parent_id,
	    const struct hs_operation_mark *m, const char *name)
{
	const struct hs_span_args args = {.name = name, .parent_id = parent_id};
	size_t n = strlen(name);

	if (!put_start(trace, span, &args, n, hs_client.resource, m))
		start_slow(trace, span, name, n, parent_id);
}

void hs_marked_start(struct hs_trace *trace, struct hs_span *span,
		     uint64_t parent_id, uint64_t mark, const char *name)
{
	const struct hs_operation_mark *m =
		hs_operation_glance(mark, hs_client.resource_hash);

	if (__builtin_expect(!m, 0))
		start_remember(trace, span, parent_id, mark, name);
	else if (!quick_start(trace, span, parent_id, m))
		marked_wide(trace, span, parent_id, m, name);
}

void hs_span_start(struct hs_trace *trace, struct hs_span *span,
		   const char *name, uint64_t parent_id)
{
	hs_sized_start(trace, span, name, name ? strlen(name) : 0, parent_id);
}

/* From a caller compiled against a smaller struct, or without a name. */
static __attribute__((noinline, cold)) void
start_incomplete(struct hs_trace *trace, struct hs_span *span,
		 const struct hs_span_args *args)
{
	struct hs_span_args copy = {0};

	if (args)
		memcpy(&copy, args,
		       args->size_bytes < sizeof(copy) ? args->size_bytes
						       : sizeof(copy));
	if (!copy.name)
		copy.name = "";
	start_first(trace, span, &copy);
}

/* Most are of a trace that has named their resource, now, and of an operation
 * that was seen before. */
void hs_span_start_args(struct hs_trace *trace, struct hs_span *span,
			const struct hs_span_args *args)
{
	const struct hs_resource *resource;
	uint32_t number;
	size_t n;

	if (!span)
		return;
	if (__builtin_expect(!args || args->size_bytes < sizeof(*args) ||
				     !args->name,
			     0)) {
		start_incomplete(trace, span, args);
		return;
	}
	resource = args->resource ? args->resource : hs_client.resource;
	if (!HS_INLINE_HAS_WINDOW(trace) || args->has_start ||
	    trace->start_resource != resource || !resource) {
		start_first(trace, span, args);
		return;
	}
	n = start_name_bytes(args);
	if (n > QUICK_NAME_BYTES)
		goto wide;
	number = hs_operation_find(
		hs_operation_hash(resource->hash, args->name, n));
	if (number && quick_args(trace, span, args, n, resource, number, 0))
		return;
wide:
	start_wide(trace, span, args);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the span calls: each is one record about the span's ref, which is
 * what tells two spans with the same id apart.
 */
#include <string.h>

#include "dataplane/again.h"
#include "dataplane/resource.h"
#include "dataplane/span.h"
#include "dataplane/trace.h"
#include "dataplane/watch.h"
#include "dataplane/write.h"

/*
 * Enter a call on a span. A span of the null trace is dropped in silence, one
 * whose trace has ended is counted.
 */
static struct hs_tls *span_enter(const struct hs_span *span)
{
	struct hs_tls *tls;

	if (!span || !span->trace || !span->use)
		return NULL;
	tls = hs_client_enter();
	if (!tls)
		return NULL;
	if (span->trace->use == span->use && hs_handle_live(span->trace)) {
		if (span->trace->at)
			return tls;
	} else {
		hs_client_count(HS_COUNT_CALLS_STALE, 1);
	}
	hs_client_leave(tls);
	return NULL;
}

bool hs_span_write(const struct hs_span *span, uint8_t type,
		   struct hs_stamp *stamp, hs_emit_fn emit, const void *args)
{
	struct hs_tls *tls = span_enter(span);

	if (!tls)
		return false;
	hs_write_record(tls, span->trace, type, stamp, emit, args);
	hs_client_leave(tls);
	return true;
}

/* ---- start and end ------------------------------------------------------ */

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

struct end {
	const struct hs_stamp *stamp;
	uint32_t ref;
};

static void emit_end(struct hs_sink *s, const void *args)
{
	const struct end *end = args;

	hs_sink_varint(s, end->ref);
	hs_sink_time(s, end->stamp);
}

static __attribute__((noinline, cold)) void span_end(struct hs_span *span,
						     struct hs_stamp *stamp)
{
	struct end args = {stamp, span ? span->ref : 0};
	enum hs_watch_clock clock;
	uint64_t at;

	if (!hs_span_write(span, HS_RECORD_SPAN_END, stamp, emit_end, &args))
		return;
	at = hs_watch_time(stamp, &clock);
	hs_watch_end(span, at, clock);
}

static __attribute__((noinline, cold)) void end_slow(struct hs_span *span)
{
	struct hs_stamp now = {.kind = HS_STAMP_NOW};

	span_end(span, &now);
}

void hs_span_end(struct hs_span *span)
{
	struct hs_trace *trace;
	uint64_t ticks;
	uint8_t *record, *p;

	p = hs_span_put_short(span, HS_PUT_TICKS_BYTES, &trace, &record);
	if (!p) {
		end_slow(span);
		return;
	}
	ticks = hs_ticks();
	hs_put_end_short(trace, HS_RECORD_SPAN_END | HS_RECORD_F_TICKS, record,
			 hs_put_these_ticks(p, ticks));
	hs_watch_end(span, ticks, HS_WATCH_TICKS);
}

void hs_span_end_at(struct hs_span *span, uint64_t end_ns)
{
	struct hs_stamp at = {.kind = HS_STAMP_AT, .ns = end_ns};

	span_end(span, &at);
}

/* ---- events and links --------------------------------------------------- */

struct event {
	const struct hs_stamp *stamp;
	const char *name;
	const struct hs_attr *attrs;
	size_t nr_attrs;
	uint32_t ref;
};

static void emit_event(struct hs_sink *s, const void *args)
{
	const struct event *e = args;

	hs_sink_varint(s, e->ref);
	hs_sink_time(s, e->stamp);
	hs_sink_u8(s, e->name ? HS_RECORD_HAS_NAME : 0);
	hs_sink_text(s, e->name, 0);
	hs_sink_attrs(s, e->attrs, e->nr_attrs);
}

static void span_event(const struct hs_span *span, struct hs_stamp *stamp,
		       const char *name, const struct hs_attr *attrs,
		       size_t nr_attrs)
{
	struct event args = {stamp, name, attrs, nr_attrs,
			     span ? span->ref : 0};

	hs_span_write(span, HS_RECORD_EVENT | HS_RECORD_F_KNOWN, stamp,
		      emit_event, &args);
}

/* One without attributes, now. */
static bool put_event(const struct hs_span *span, const char *name, size_t n)
{
	struct hs_trace *trace;
	uint8_t *record, *p;

	if (n > HS_SPAN_TEXT_BYTES)
		return false;
	p = hs_span_put_short(span, HS_PUT_TICKS_BYTES + 3 + HS_SPAN_TEXT_BYTES,
			      &trace, &record);
	if (!p)
		return false;
	p = hs_put_ticks(p);
	*p++ = name ? HS_RECORD_HAS_NAME : 0;
	*p++ = (uint8_t)n;
	p = hs_put_bytes(p, name, n);
	*p++ = 0;
	hs_put_end_short(trace, HS_RECORD_EVENT | HS_RECORD_F_TICKS, record, p);
	return true;
}

void hs_sized_event(struct hs_span *span, const char *name, size_t n,
		    const struct hs_attr *attrs, size_t nr_attrs)
{
	struct hs_stamp now = {.kind = HS_STAMP_NOW};

	if ((attrs && nr_attrs) || !put_event(span, name, n))
		span_event(span, &now, name, attrs, nr_attrs);
}

void hs_span_event(struct hs_span *span, const char *name,
		   const struct hs_attr *attrs, size_t nr_attrs)
{
	hs_sized_event(span, name, name ? strlen(name) : 0, attrs, nr_attrs);
}

void hs_span_event_at(struct hs_span *span, uint64_t time_ns, const char *name,
		      const struct hs_attr *attrs, size_t nr_attrs)
{
	struct hs_stamp at = {.kind = HS_STAMP_AT, .ns = time_ns};

	span_event(span, &at, name, attrs, nr_attrs);
}

struct span_link {
	uint32_t ref;
	uint8_t kind;
	struct hs_trace_id trace_id;
	uint64_t span_id;
	const char *trace_state;
	const struct hs_attr *attrs;
	size_t nr_attrs;
};

static void emit_link(struct hs_sink *s, const void *args)
{
	const struct span_link *l = args;

	hs_sink_varint(s, l->ref);
	hs_sink_u8(s, l->kind);
	hs_sink_u64(s, l->trace_id.hi);
	hs_sink_u64(s, l->trace_id.lo);
	hs_sink_u64(s, l->span_id);
	hs_sink_text(s, l->trace_state, 0);
	hs_sink_attrs(s, l->attrs, l->nr_attrs);
}

void hs_span_link(struct hs_span *span, enum hs_link_kind kind,
		  const struct hs_trace_id *trace_id, uint64_t span_id,
		  const char *trace_state, const struct hs_attr *attrs,
		  size_t nr_attrs)
{
	struct span_link args;

	if (!span || !span->trace)
		return;
	args = (struct span_link){
		.ref = span->ref,
		.kind = (uint8_t)kind,
		.trace_id = trace_id ? *trace_id : span->trace->id,
		.span_id = span_id,
		.trace_state = trace_state,
		.attrs = attrs,
		.nr_attrs = nr_attrs,
	};
	hs_span_write(span, HS_RECORD_LINK | HS_RECORD_F_KNOWN, NULL, emit_link,
		      &args);
}

/* ---- status, texts, flags ----------------------------------------------- */

struct text {
	uint32_t ref;
	uint8_t which;
	const char *text;
};

static void emit_text(struct hs_sink *s, const void *args)
{
	const struct text *t = args;

	hs_sink_varint(s, t->ref);
	hs_sink_u8(s, t->which);
	hs_sink_text(s, t->text, 0);
}

void hs_span_status(struct hs_span *span, enum hs_span_status status,
		    const char *message)
{
	struct text args = {span ? span->ref : 0, (uint8_t)status, message};

	hs_span_write(span, HS_RECORD_STATUS, NULL, emit_text, &args);
	hs_watch_status(span, status);
}

void hs_span_text(struct hs_span *span, enum hs_span_text which,
		  const char *text)
{
	struct text args = {span ? span->ref : 0, (uint8_t)which, text};

	hs_span_write(span, HS_RECORD_TEXT, NULL, emit_text, &args);
}

struct flags {
	uint32_t ref;
	uint32_t flags;
};

static void emit_flags(struct hs_sink *s, const void *args)
{
	const struct flags *f = args;

	hs_sink_varint(s, f->ref);
	hs_sink_varint(s, f->flags);
}

void hs_span_flags(struct hs_span *span, uint32_t flags)
{
	struct flags args = {span ? span->ref : 0, flags};

	hs_span_write(span, HS_RECORD_FLAGS, NULL, emit_flags, &args);
}

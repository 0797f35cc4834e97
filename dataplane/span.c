/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the span calls but starts (span_start.c) and attributes: each is one
 * record about the span's ref, which is what tells two spans with the same id
 * apart.
 */
#include <string.h>

#include "dataplane/span.h"
#include "dataplane/span_quick.h"
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

/* ---- the end ------------------------------------------------------------ */

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

/* With all that may have been said of it. */
static __attribute__((noinline)) void end_wide(struct hs_span *span)
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

__attribute__((noinline)) void
hs_watch_end_shared(struct hs_span *span, struct hs_trace *trace,
		    const struct hs_attachment *at, uint64_t duration_ns)
{
	const struct hs_rules_table *t = hs_rules_now();

	hs_operation_count_shared(at, span->operation, duration_ns, false);
	if (t)
		hs_rules_judge(t, span, trace, duration_ns,
			       HS_SPAN_STATUS_UNSET);
}

#define END_BYTES (HS_SPAN_QUICK_HEAD + HS_RECORD_TICKS_BYTES)
HS_SPAN_QUICK_FITS(HS_SPAN_QUICK_HEAD + sizeof(uint64_t));
void hs_span_end(struct hs_span *span)
{
	const struct hs_attachment *at;
	struct hs_span_quick q;
	uint64_t ticks;

	if (__builtin_expect(hs_auto_spans_nr() != 0, 0) ||
	    !hs_span_quick(span, &q)) {
		end_wide(span);
		return;
	}
	if (__builtin_expect(!hs_watch_is_plain(span), 0)) {
		hs_span_quick_drop(&q);
		end_wide(span);
		return;
	}
	hs_span_quick_head(&q, HS_RECORD_SPAN_END | HS_RECORD_F_TICKS,
			   END_BYTES, 0);
	ticks = hs_ticks();
	hs_le64_store(q.record + HS_SPAN_QUICK_HEAD, ticks);
	at = q.trace->at;
	hs_span_quick_end(&q, END_BYTES);
	hs_watch_end_plain(span, q.trace, at, ticks);
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

/* Time, that there is a name, its length, and behind it no attributes. */
#define EVENT_NAME (HS_SPAN_QUICK_HEAD + HS_RECORD_TICKS_BYTES + 2u)
HS_SPAN_QUICK_FITS(EVENT_NAME + HS_SPAN_TEXT_BYTES + 1);
void hs_named_event(struct hs_span *span, const char *name, size_t n)
{
	struct hs_span_quick q;
	uint32_t bytes = EVENT_NAME + (uint32_t)n + 1;

	HS_ASSUME(span);
	if (__builtin_expect(n > HS_SPAN_TEXT_BYTES, 0) ||
	    !hs_span_quick(span, &q)) {
		hs_sized_event(span, name, n, NULL, 0);
		return;
	}
	HS_ASSUME(n <= HS_SPAN_TEXT_BYTES);
	hs_span_quick_head(&q, HS_RECORD_EVENT | HS_RECORD_F_TICKS, bytes, 0);
	hs_le64_store(q.record + HS_SPAN_QUICK_HEAD, hs_ticks());
	hs_le16_store(q.record + EVENT_NAME - 2,
		      (uint16_t)(HS_RECORD_HAS_NAME | n << 8));
	hs_copy_short(q.record + EVENT_NAME, name, n);
	q.record[bytes - 1] = 0;
	hs_span_quick_end(&q, bytes);
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the span calls: each is one record about the span's ref, which is
 * what tells two spans with the same id apart.
 */
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/resource.h"
#include "dataplane/trace.h"
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

static void span_write(struct hs_tls *tls, const struct hs_span *span,
		       uint8_t type, const uint64_t *time_ns, hs_emit_fn emit,
		       const void *args)
{
	hs_write_record(tls, span->trace, type, time_ns, emit, args);
	hs_client_leave(tls);
}

/* ---- start and end ------------------------------------------------------ */

struct resource_ref {
	uint32_t local_id;
	const struct hs_resource *resource;
};

static void emit_resource_ref(struct hs_sink *s, const void *args)
{
	const struct resource_ref *r = args;

	hs_sink_varint(s, r->local_id);
	hs_sink_bytes(s, r->resource->payload, r->resource->size_bytes);
}

/* The id of @resource in this handle's stream, written there if it was not. */
static uint32_t resource_id(struct hs_tls *tls, struct hs_trace *trace,
			    const struct hs_resource *resource)
{
	struct resource_ref args = {trace->next_resource, resource};
	uint32_t nr = trace->next_resource;
	uint32_t oldest = 0;

	if (nr > HS_HANDLE_RESOURCES_MAX)
		oldest = nr - HS_HANDLE_RESOURCES_MAX;
	for (uint32_t id = nr; id-- > oldest;) {
		if (trace->resources[id % HS_HANDLE_RESOURCES_MAX] == resource)
			return id;
	}
	if (hs_write_record(tls, trace, HS_RECORD_RESOURCE, NULL,
			    emit_resource_ref, &args)) {
		trace->resources[nr % HS_HANDLE_RESOURCES_MAX] = resource;
		trace->next_resource++;
	}
	return nr;
}

struct start {
	const struct hs_span_args *args;
	uint64_t id;
	uint64_t start_ns;
	uint32_t ref;
	uint32_t resource;
};

static void emit_start(struct hs_sink *s, const void *args)
{
	const struct start *start = args;

	hs_sink_varint(s, start->ref);
	hs_sink_u64(s, start->id);
	hs_sink_u64(s, start->args->parent_id);
	hs_sink_varint(s, start->resource);
	hs_sink_u8(s, start->args->kind);
	hs_sink_time(s, start->start_ns);
	hs_sink_text(s, start->args->name, start->args->name_bytes);
}

static void span_start(struct hs_trace *trace, struct hs_span *span,
		       const struct hs_span_args *args)
{
	struct start start = {.args = args};
	const struct hs_resource *resource = args->resource;
	struct hs_tls *tls;

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
		start.id = span->id;
		start.ref = span->ref;
		start.start_ns =
			args->has_start ? args->start_ns : hs_clock_real_ns();
		start.resource = resource_id(
			tls, trace, resource ? resource : hs_client.resource);
		hs_write_record(tls, trace, HS_RECORD_SPAN_START,
				&start.start_ns, emit_start, &start);
	}
	hs_client_leave(tls);
}

void hs_span_start(struct hs_trace *trace, struct hs_span *span,
		   const char *name, uint64_t parent_id)
{
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = name,
		.parent_id = parent_id,
	};

	if (span)
		span_start(trace, span, &args);
}

void hs_span_start_args(struct hs_trace *trace, struct hs_span *span,
			const struct hs_span_args *args)
{
	struct hs_span_args copy = {0};

	if (!span)
		return;
	/* A caller compiled against a smaller or a larger struct. */
	if (args)
		memcpy(&copy, args,
		       args->size_bytes < sizeof(copy) ? args->size_bytes
						       : sizeof(copy));
	span_start(trace, span, &copy);
}

struct end {
	uint64_t end_ns;
	uint32_t ref;
};

static void emit_end(struct hs_sink *s, const void *args)
{
	const struct end *end = args;

	hs_sink_varint(s, end->ref);
	hs_sink_time(s, end->end_ns);
}

void hs_span_end(struct hs_span *span)
{
	struct hs_tls *tls = span_enter(span);
	struct end args;

	if (!tls)
		return;
	args = (struct end){hs_clock_real_ns(), span->ref};
	span_write(tls, span, HS_RECORD_SPAN_END, &args.end_ns, emit_end,
		   &args);
}

void hs_span_end_at(struct hs_span *span, uint64_t end_ns)
{
	struct hs_tls *tls = span_enter(span);
	struct end args;

	if (!tls)
		return;
	args = (struct end){end_ns, span->ref};
	span_write(tls, span, HS_RECORD_SPAN_END, &args.end_ns, emit_end,
		   &args);
}

/* ---- attributes --------------------------------------------------------- */

struct span_attr {
	uint32_t ref;
	const struct hs_attr *attr;
};

static void emit_attr(struct hs_sink *s, const void *args)
{
	const struct span_attr *a = args;

	hs_sink_varint(s, a->ref);
	hs_sink_attr(s, a->attr);
}

void hs_span_attr(struct hs_span *span, const struct hs_attr *attr)
{
	struct hs_tls *tls = attr ? span_enter(span) : NULL;
	struct span_attr args;

	if (!tls)
		return;
	args = (struct span_attr){span->ref, attr};
	span_write(tls, span, HS_RECORD_ATTR, NULL, emit_attr, &args);
}

void hs_span_attr_str(struct hs_span *span, const char *key, const char *value)
{
	struct hs_attr attr = {.key = key, .type = HS_VALUE_STRING};

	attr.value.bytes.data = value;
	attr.value.bytes.size_bytes = value ? strlen(value) : 0;
	hs_span_attr(span, &attr);
}

void hs_span_attr_i64(struct hs_span *span, const char *key, int64_t value)
{
	struct hs_attr attr = {.key = key, .type = HS_VALUE_INT64};

	attr.value.i64 = value;
	hs_span_attr(span, &attr);
}

void hs_span_attr_f64(struct hs_span *span, const char *key, double value)
{
	struct hs_attr attr = {.key = key, .type = HS_VALUE_FLOAT64};

	attr.value.f64 = value;
	hs_span_attr(span, &attr);
}

void hs_span_attr_bool(struct hs_span *span, const char *key, bool value)
{
	struct hs_attr attr = {.key = key, .type = HS_VALUE_BOOL};

	attr.value.b = value;
	hs_span_attr(span, &attr);
}

/* ---- events and links --------------------------------------------------- */

struct event {
	uint64_t time_ns;
	const char *name;
	const struct hs_attr *attrs;
	size_t nr_attrs;
	uint32_t ref;
};

static void emit_event(struct hs_sink *s, const void *args)
{
	const struct event *e = args;

	hs_sink_varint(s, e->ref);
	hs_sink_time(s, e->time_ns);
	hs_sink_u8(s, e->name ? HS_RECORD_HAS_NAME : 0);
	hs_sink_text(s, e->name, 0);
	hs_sink_attrs(s, e->attrs, e->nr_attrs);
}

void hs_span_event(struct hs_span *span, const char *name,
		   const struct hs_attr *attrs, size_t nr_attrs)
{
	struct hs_tls *tls = span_enter(span);
	struct event args;

	if (!tls)
		return;
	args = (struct event){hs_clock_real_ns(), name, attrs, nr_attrs,
			      span->ref};
	span_write(tls, span, HS_RECORD_EVENT, &args.time_ns, emit_event,
		   &args);
}

void hs_span_event_at(struct hs_span *span, uint64_t time_ns, const char *name,
		      const struct hs_attr *attrs, size_t nr_attrs)
{
	struct hs_tls *tls = span_enter(span);
	struct event args;

	if (!tls)
		return;
	args = (struct event){time_ns, name, attrs, nr_attrs, span->ref};
	span_write(tls, span, HS_RECORD_EVENT, &args.time_ns, emit_event,
		   &args);
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
	struct hs_tls *tls = span_enter(span);
	struct span_link args;

	if (!tls)
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
	span_write(tls, span, HS_RECORD_LINK, NULL, emit_link, &args);
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
	struct hs_tls *tls = span_enter(span);
	struct text args;

	if (!tls)
		return;
	args = (struct text){span->ref, (uint8_t)status, message};
	span_write(tls, span, HS_RECORD_STATUS, NULL, emit_text, &args);
}

void hs_span_text(struct hs_span *span, enum hs_span_text which,
		  const char *text)
{
	struct hs_tls *tls = span_enter(span);
	struct text args;

	if (!tls)
		return;
	args = (struct text){span->ref, (uint8_t)which, text};
	span_write(tls, span, HS_RECORD_TEXT, NULL, emit_text, &args);
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
	struct hs_tls *tls = span_enter(span);
	struct flags args;

	if (!tls)
		return;
	args = (struct flags){span->ref, flags};
	span_write(tls, span, HS_RECORD_FLAGS, NULL, emit_flags, &args);
}

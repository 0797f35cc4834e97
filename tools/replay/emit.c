/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical model through the public API. See emit.h.
 */
#include <string.h>

#include "tools/replay/emit.h"

struct hs_trace_id
hs_replay_emit_trace_id(const uint8_t id[HS_MODEL_TRACE_ID_SIZE])
{
	struct hs_trace_id out;

	out.hi = hs_replay_emit_span_id(id);
	out.lo = hs_replay_emit_span_id(id + 8);
	return out;
}

uint64_t hs_replay_emit_span_id(const uint8_t id[HS_MODEL_SPAN_ID_SIZE])
{
	uint64_t out = 0;
	uint32_t i;

	for (i = 0; i < HS_MODEL_SPAN_ID_SIZE; i++)
		out = out << 8 | id[i];
	return out;
}

static void attr_make(const struct hs_model_attr *from, struct hs_attr *out)
{
	static const uint32_t types[HS_MODEL_VALUE_NR] = {
		[HS_MODEL_VALUE_STRING] = HS_VALUE_STRING,
		[HS_MODEL_VALUE_INT64] = HS_VALUE_INT64,
		[HS_MODEL_VALUE_FLOAT64] = HS_VALUE_FLOAT64,
		[HS_MODEL_VALUE_BOOL] = HS_VALUE_BOOL,
		[HS_MODEL_VALUE_BYTES] = HS_VALUE_BYTES,
		[HS_MODEL_VALUE_JSON] = HS_VALUE_JSON,
	};

	memset(out, 0, sizeof(*out));
	out->key = from->key.ptr ? from->key.ptr : "";
	out->key_bytes = from->key.len;
	out->type = types[from->value.type];
	switch (from->value.type) {
	case HS_MODEL_VALUE_INT64:
		out->value.i64 = from->value.i64;
		break;
	case HS_MODEL_VALUE_FLOAT64:
		out->value.f64 = from->value.f64;
		break;
	case HS_MODEL_VALUE_BOOL:
		out->value.b = from->value.boolean;
		break;
	default:
		out->value.bytes.data = from->value.str.ptr;
		out->value.bytes.size_bytes = from->value.str.len;
	}
}

static size_t attrs_make(const struct hs_model_attrs *from,
			 struct hs_attr out[HS_REPLAY_ATTRS_MAX])
{
	size_t nr = 0;

	while (nr < from->nr && nr < HS_REPLAY_ATTRS_MAX) {
		attr_make(&from->items[nr], &out[nr]);
		nr++;
	}
	return nr;
}

static void emit_attrs(struct hs_span *out, const struct hs_model_attrs *attrs,
		       uint32_t first, uint32_t end)
{
	struct hs_attr attr;
	uint32_t i;

	for (i = first; i < end; i++) {
		attr_make(&attrs->items[i], &attr);
		hs_span_attr(out, &attr);
	}
}

static void emit_text(struct hs_span *out, enum hs_span_text which,
		      struct hs_model_str text)
{
	if (text.len)
		hs_span_text(out, which, text.ptr);
}

/* A parent that is more than an id, or that does not come first, is said as a
 * link, which keeps its place and what hangs on it. */
static bool parent_is_plain(const struct hs_model_span *span)
{
	const struct hs_model_ref *ref = span->refs;

	return span->has_parent && span->nr_refs &&
	       ref->kind == HS_MODEL_REF_CHILD_OF && !ref->trace_state.len &&
	       !ref->attrs.nr &&
	       !memcmp(ref->span_id, span->parent_id, sizeof(ref->span_id));
}

static void emit_refs(struct hs_span *out, const struct hs_model_span *span,
		      uint32_t first)
{
	static const enum hs_link_kind kinds[HS_MODEL_REF_NR] = {
		[HS_MODEL_REF_CHILD_OF] = HS_LINK_CHILD_OF,
		[HS_MODEL_REF_FOLLOWS_FROM] = HS_LINK_FOLLOWS_FROM,
		[HS_MODEL_REF_LINK] = HS_LINK_LINK,
	};
	struct hs_attr attrs[HS_REPLAY_ATTRS_MAX];
	uint32_t i;

	for (i = first; i < span->nr_refs; i++) {
		const struct hs_model_ref *ref = &span->refs[i];
		struct hs_trace_id id = hs_replay_emit_trace_id(ref->trace_id);

		hs_span_link(out, kinds[ref->kind], &id,
			     hs_replay_emit_span_id(ref->span_id),
			     ref->trace_state.len ? ref->trace_state.ptr : NULL,
			     attrs, attrs_make(&ref->attrs, attrs));
	}
}

void hs_replay_emit_start(struct hs_trace *trace, struct hs_span *out,
			  const struct hs_model_span *span,
			  const struct hs_resource *resource)
{
	struct hs_span_args args = {
		.size_bytes = sizeof(args),
		.name = span->name.len ? span->name.ptr : "",
		.name_bytes = span->name.len,
		.id = hs_replay_emit_span_id(span->id),
		.start_ns = (uint64_t)span->start_ns,
		.has_start = true,
		.kind = (uint8_t)span->kind,
		.resource = resource,
	};
	bool plain = parent_is_plain(span);

	if (plain)
		args.parent_id = hs_replay_emit_span_id(span->parent_id);
	hs_span_start_args(trace, out, &args);
	emit_refs(out, span, plain ? 1 : 0);
	emit_text(out, HS_SPAN_TEXT_TRACE_STATE, span->trace_state);
	emit_text(out, HS_SPAN_TEXT_SCOPE_NAME, span->scope_name);
	emit_text(out, HS_SPAN_TEXT_SCOPE_VERSION, span->scope_version);
	if (span->has_flags)
		hs_span_flags(out, span->flags);
	emit_attrs(out, &span->attrs, 0, span->attrs.nr / 2);
}

void hs_replay_emit_event(struct hs_span *out,
			  const struct hs_model_event *event)
{
	struct hs_attr attrs[HS_REPLAY_ATTRS_MAX];

	hs_span_event_at(out, (uint64_t)event->time_ns,
			 event->name.len ? event->name.ptr : NULL, attrs,
			 attrs_make(&event->attrs, attrs));
}

void hs_replay_emit_end(struct hs_span *out, const struct hs_model_span *span)
{
	uint32_t i;

	emit_attrs(out, &span->attrs, span->attrs.nr / 2, span->attrs.nr);
	for (i = 0; i < span->nr_warnings; i++)
		hs_span_text(out, HS_SPAN_TEXT_WARNING,
			     span->warnings[i].len ? span->warnings[i].ptr
						   : "");
	if (span->status != HS_MODEL_STATUS_UNSET || span->status_message.len)
		hs_span_status(out, (enum hs_span_status)span->status,
			       span->status_message.len
				       ? span->status_message.ptr
				       : NULL);
	hs_span_end_at(out, (uint64_t)hs_model_span_end_ns(span));
}

struct hs_resource *
hs_replay_emit_resource(const struct hs_model_resource *resource)
{
	struct hs_attr attrs[HS_REPLAY_ATTRS_MAX];

	return hs_resource_create(resource->service.len ? resource->service.ptr
							: NULL,
				  attrs, attrs_make(&resource->attrs, attrs));
}

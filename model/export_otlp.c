/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as OTLP's JSON encoding: hex ids, 64-bit integers as strings, enums
 * as numbers.
 */
#include "model/export_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void any_write(struct hs_model_text *text, const json_t *json);

static void any_list(struct hs_model_text *text, const json_t *json)
{
	size_t i;

	hs_model_text_puts(text, "{\"arrayValue\":{\"values\":[");
	for (i = 0; i < json_array_size(json); i++) {
		if (i)
			hs_model_text_puts(text, ",");
		any_write(text, json_array_get(json, i));
	}
	hs_model_text_puts(text, "]}}");
}

static void any_object(struct hs_model_text *text, json_t *json)
{
	const char *key;
	json_t *value;
	bool any = false;

	hs_model_text_puts(text, "{\"kvlistValue\":{\"values\":[");
	json_object_foreach(json, key, value)
	{
		hs_model_text_puts(text, any ? ",{\"key\":" : "{\"key\":");
		hs_model_text_json(text, hs_model_str(key));
		hs_model_text_puts(text, ",\"value\":");
		any_write(text, value);
		hs_model_text_puts(text, "}");
		any = true;
	}
	hs_model_text_puts(text, "]}}");
}

/* Plain JSON as an AnyValue; its depth is what jansson let through. */
static void any_write(struct hs_model_text *text, const json_t *json)
{
	struct hs_model_str str;

	switch (json ? json_typeof(json) : JSON_NULL) {
	case JSON_STRING:
		str.ptr = json_string_value(json);
		str.len = (uint32_t)json_string_length(json);
		hs_model_text_puts(text, "{\"stringValue\":");
		hs_model_text_json(text, str);
		hs_model_text_puts(text, "}");
		break;
	case JSON_INTEGER:
		hs_model_text_printf(text, "{\"intValue\":\"%lld\"}",
				     (long long)json_integer_value(json));
		break;
	case JSON_REAL:
		hs_model_text_puts(text, "{\"doubleValue\":");
		hs_model_text_f64(text, json_real_value(json));
		hs_model_text_puts(text, "}");
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		hs_model_text_printf(text, "{\"boolValue\":%s}",
				     json_is_true(json) ? "true" : "false");
		break;
	case JSON_ARRAY:
		any_list(text, json);
		break;
	case JSON_OBJECT:
		any_object(text, (json_t *)json);
		break;
	default:
		hs_model_text_puts(text, "{}");
	}
}

static void json_write(struct hs_model_text *text, struct hs_model_str str)
{
	json_t *json = json_loadb(str.ptr, str.len,
				  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	if (json) {
		any_write(text, json);
	} else {
		hs_model_text_puts(text, "{\"stringValue\":");
		hs_model_text_json(text, str);
		hs_model_text_puts(text, "}");
	}
	json_decref(json);
}

static void value_write(struct hs_model_text *text,
			const struct hs_model_value *value)
{
	switch (value->type) {
	case HS_MODEL_VALUE_INT64:
		hs_model_text_printf(text, "{\"intValue\":\"%" PRId64 "\"}",
				     value->i64);
		return;
	case HS_MODEL_VALUE_FLOAT64:
		hs_model_text_puts(text, "{\"doubleValue\":");
		hs_model_text_f64(text, value->f64);
		break;
	case HS_MODEL_VALUE_BOOL:
		hs_model_text_printf(text, "{\"boolValue\":%s",
				     value->boolean ? "true" : "false");
		break;
	case HS_MODEL_VALUE_BYTES:
		hs_model_text_puts(text, "{\"bytesValue\":");
		hs_model_text_base64(text, value->str);
		break;
	case HS_MODEL_VALUE_JSON:
		json_write(text, value->str);
		return;
	default:
		hs_model_text_puts(text, "{\"stringValue\":");
		hs_model_text_json(text, value->str);
	}
	hs_model_text_puts(text, "}");
}

static void attr_write(struct hs_model_text *text, bool *any,
		       struct hs_model_str key,
		       const struct hs_model_value *value)
{
	hs_model_text_puts(text, *any ? ",{\"key\":" : "{\"key\":");
	hs_model_text_json(text, key);
	hs_model_text_puts(text, ",\"value\":");
	value_write(text, value);
	hs_model_text_puts(text, "}");
	*any = true;
}

/* @key, where its text is not empty, goes in front. */
static void attrs_write(struct hs_model_text *text, const char *key,
			struct hs_model_str first,
			const struct hs_model_attrs *attrs)
{
	struct hs_model_value value = {.type = HS_MODEL_VALUE_STRING,
				       .str = first};
	bool any = false;
	uint32_t i;

	hs_model_text_puts(text, "\"attributes\":[");
	if (first.len)
		attr_write(text, &any, hs_model_str(key), &value);
	for (i = 0; i < attrs->nr; i++)
		attr_write(text, &any, attrs->items[i].key,
			   &attrs->items[i].value);
	hs_model_text_puts(text, "]");
}

static void events_write(struct hs_model_text *text,
			 const struct hs_model_span *span)
{
	uint32_t i;

	hs_model_text_puts(text, ",\"events\":[");
	for (i = 0; i < span->nr_events; i++) {
		const struct hs_model_event *event = &span->events[i];
		const struct hs_model_attr *word =
			hs_model_attrs_find(&event->attrs, "event");
		struct hs_model_str name = event->name;

		/* A Jaeger log is called after its field "event". */
		if (!name.len && word &&
		    word->value.type == HS_MODEL_VALUE_STRING)
			name = word->value.str;
		hs_model_text_printf(
			text, "%s{\"timeUnixNano\":\"%" PRId64 "\",\"name\":",
			i ? "," : "", event->time_ns);
		hs_model_text_json(text, name);
		hs_model_text_puts(text, ",");
		attrs_write(text, NULL, hs_model_str(""), &event->attrs);
		hs_model_text_puts(text, "}");
	}
	hs_model_text_puts(text, "]");
}

static void links_write(struct hs_model_text *text,
			const struct hs_model_trace *trace,
			const struct hs_model_span *span)
{
	static const char *const kinds[HS_MODEL_REF_NR] = {
		"child_of",
		"follows_from",
		"",
	};
	bool parent_seen = !span->has_parent, any = false;
	uint32_t i;

	hs_model_text_puts(text, ",\"links\":[");
	for (i = 0; i < span->nr_refs; i++) {
		const struct hs_model_ref *ref = &span->refs[i];

		if (!parent_seen && ref->kind == HS_MODEL_REF_CHILD_OF &&
		    !memcmp(ref->trace_id, trace->id, sizeof(trace->id)) &&
		    !memcmp(ref->span_id, span->parent_id, sizeof(span->id))) {
			parent_seen = true;
			continue;
		}
		hs_model_text_puts(text,
				   any ? ",{\"traceId\":" : "{\"traceId\":");
		export_id(text, ref->trace_id, sizeof(ref->trace_id));
		hs_model_text_puts(text, ",\"spanId\":");
		export_id(text, ref->span_id, sizeof(ref->span_id));
		if (ref->trace_state.len) {
			hs_model_text_puts(text, ",\"traceState\":");
			hs_model_text_json(text, ref->trace_state);
		}
		hs_model_text_puts(text, ",");
		attrs_write(text, "opentracing.ref_type",
			    hs_model_str(kinds[ref->kind]), &ref->attrs);
		hs_model_text_puts(text, "}");
		any = true;
	}
	hs_model_text_puts(text, "]");
}

static void status_write(struct hs_model_text *text,
			 const struct hs_model_span *span)
{
	hs_model_text_puts(text, ",\"status\":{");
	if (span->status_message.len) {
		hs_model_text_puts(text, "\"message\":");
		hs_model_text_json(text, span->status_message);
		hs_model_text_puts(text, ",");
	}
	hs_model_text_printf(text, "\"code\":%d}", (int)span->status);
}

static void span_write(struct hs_model_text *text,
		       const struct hs_model_trace *trace,
		       const struct hs_model_span *span)
{
	hs_model_text_puts(text, "{\"traceId\":");
	export_id(text, trace->id, sizeof(trace->id));
	hs_model_text_puts(text, ",\"spanId\":");
	export_id(text, span->id, sizeof(span->id));
	if (span->trace_state.len) {
		hs_model_text_puts(text, ",\"traceState\":");
		hs_model_text_json(text, span->trace_state);
	}
	if (span->has_parent) {
		hs_model_text_puts(text, ",\"parentSpanId\":");
		export_id(text, span->parent_id, sizeof(span->parent_id));
	}
	if (span->has_flags)
		hs_model_text_printf(text, ",\"flags\":%" PRIu32, span->flags);
	hs_model_text_puts(text, ",\"name\":");
	hs_model_text_json(text, span->name);
	hs_model_text_printf(text,
			     ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64
			     "\",\"endTimeUnixNano\":\"%" PRId64 "\",",
			     (int)span->kind, span->start_ns,
			     hs_model_span_end_ns(span));
	attrs_write(text, NULL, hs_model_str(""), &span->attrs);
	events_write(text, span);
	links_write(text, trace, span);
	status_write(text, span);
	hs_model_text_puts(text, "}");
}

static void scope_open(struct hs_model_text *text,
		       const struct hs_model_span *span)
{
	hs_model_text_puts(text, "{\"scope\":{\"name\":");
	hs_model_text_json(text, span->scope_name);
	if (span->scope_version.len) {
		hs_model_text_puts(text, ",\"version\":");
		hs_model_text_json(text, span->scope_version);
	}
	hs_model_text_puts(text, "},\"spans\":[");
}

static bool same_scope(const struct hs_model_span *a,
		       const struct hs_model_span *b)
{
	return hs_model_str_equal(a->scope_name, b->scope_name) &&
	       hs_model_str_equal(a->scope_version, b->scope_version);
}

/* One resource with the spans of order[from..to). */
static void resource_write(struct hs_model_text *text,
			   const struct hs_model_trace *trace,
			   const uint32_t *order, uint32_t from, uint32_t to)
{
	const struct hs_model_span *last = NULL;
	const struct hs_model_resource *resource =
		hs_model_span_resource(trace, trace->spans[order[from]]);
	uint32_t i;

	hs_model_text_puts(text, "{\"resource\":{");
	attrs_write(text, "service.name", resource->service, &resource->attrs);
	hs_model_text_puts(text, "},\"scopeSpans\":[");
	for (i = from; i < to; i++) {
		const struct hs_model_span *span = trace->spans[order[i]];

		if (last && same_scope(last, span)) {
			hs_model_text_puts(text, ",");
		} else {
			hs_model_text_puts(text, last ? "]}," : "");
			scope_open(text, span);
		}
		span_write(text, trace, span);
		last = span;
	}
	hs_model_text_puts(text, "]}]}");
}

static int by_resource(const void *x, const void *y, void *ctx)
{
	const struct hs_model_trace *trace = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	uint32_t resource_a = trace->spans[a]->resource;
	uint32_t resource_b = trace->spans[b]->resource;

	if (resource_a != resource_b)
		return resource_a < resource_b ? -1 : 1;
	return (a > b) - (a < b);
}

int export_otlp(struct hs_model_text *text, const struct hs_model_trace *trace)
{
	uint32_t *order =
		malloc(((size_t)trace->nr_spans + 1) * sizeof(*order));
	uint32_t from, to;

	if (!order)
		return -ENOMEM;
	for (from = 0; from < trace->nr_spans; from++)
		order[from] = from;
	qsort_r(order, trace->nr_spans, sizeof(*order), by_resource,
		(void *)trace);
	for (from = 0; from < trace->nr_spans; from = to) {
		for (to = from + 1; to < trace->nr_spans; to++)
			if (trace->spans[order[to]]->resource !=
			    trace->spans[order[from]]->resource)
				break;
		hs_model_text_puts(text, from ? ",\n" : "");
		resource_write(text, trace, order, from, to);
	}
	free(order);
	return 0;
}

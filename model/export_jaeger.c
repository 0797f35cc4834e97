/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as Jaeger's JSON. Tags go out as they are; what other sources keep
 * beside the tags (kind, status, scope, state) is written in Jaeger's words
 * where no tag of that name stands there already.
 */
#include "model/export_internal.h"

#include <inttypes.h>
#include <string.h>

/* Writes commas between the items of a list. */
struct list {
	struct hs_model_text *text;
	bool any;
};

static void item(struct list *list)
{
	if (list->any)
		hs_model_text_add(list->text, ",", 1);
	list->any = true;
}

static void tag_value(struct hs_model_text *text,
		      const struct hs_model_value *value)
{
	switch (value->type) {
	case HS_MODEL_VALUE_INT64:
		hs_model_text_printf(text, "%" PRId64, value->i64);
		break;
	case HS_MODEL_VALUE_FLOAT64:
		hs_model_text_f64(text, value->f64);
		break;
	case HS_MODEL_VALUE_BOOL:
		hs_model_text_puts(text, value->boolean ? "true" : "false");
		break;
	case HS_MODEL_VALUE_BYTES:
		hs_model_text_base64(text, value->str);
		break;
	default:
		hs_model_text_json(text, value->str);
	}
}

static void tag(struct list *list, struct hs_model_str key,
		const struct hs_model_value *value)
{
	static const char *const types[HS_MODEL_VALUE_NR] = {
		"string", "int64", "float64", "bool", "binary", "string",
	};

	item(list);
	hs_model_text_puts(list->text, "{\"key\":");
	hs_model_text_json(list->text, key);
	hs_model_text_printf(list->text,
			     ",\"type\":\"%s\",\"value\":", types[value->type]);
	tag_value(list->text, value);
	hs_model_text_puts(list->text, "}");
}

static void tags(struct list *list, const struct hs_model_attrs *attrs)
{
	uint32_t i;

	for (i = 0; i < attrs->nr; i++)
		tag(list, attrs->items[i].key, &attrs->items[i].value);
}

/* A tag for what is kept beside the tags, unless one says it already. */
static void extra(struct list *list, const struct hs_model_attrs *attrs,
		  const char *key, struct hs_model_str text)
{
	struct hs_model_value value = {.type = HS_MODEL_VALUE_STRING,
				       .str = text};

	if (text.len && !hs_model_attrs_find(attrs, key))
		tag(list, hs_model_str(key), &value);
}

static void span_tags(struct hs_model_text *text,
		      const struct hs_model_span *span)
{
	struct hs_model_value yes = {.type = HS_MODEL_VALUE_BOOL,
				     .boolean = true};
	const struct hs_model_attrs *attrs = &span->attrs;
	struct list list = {.text = text};

	hs_model_text_puts(text, ",\"tags\":[");
	tags(&list, attrs);
	if (span->kind != HS_MODEL_KIND_UNSPECIFIED)
		extra(&list, attrs, "span.kind",
		      hs_model_str(hs_model_kind_name(span->kind)));
	/* An error tag says it all in Jaeger; OTLP's word says it twice. */
	if (span->status == HS_MODEL_STATUS_OK)
		extra(&list, attrs, "otel.status_code", hs_model_str("OK"));
	if (span->status == HS_MODEL_STATUS_ERROR &&
	    !hs_model_attrs_find(attrs, "error")) {
		extra(&list, attrs, "otel.status_code", hs_model_str("ERROR"));
		if (!hs_model_attrs_find(attrs, "otel.status_code"))
			tag(&list, hs_model_str("error"), &yes);
	}
	extra(&list, attrs, "otel.status_description", span->status_message);
	extra(&list, attrs, "w3c.tracestate", span->trace_state);
	extra(&list, attrs, "otel.scope.name", span->scope_name);
	extra(&list, attrs, "otel.scope.version", span->scope_version);
	hs_model_text_puts(text, "]");
}

static void references(struct hs_model_text *text,
		       const struct hs_model_span *span)
{
	struct list list = {.text = text};
	uint32_t i;

	hs_model_text_puts(text, ",\"references\":[");
	for (i = 0; i < span->nr_refs; i++) {
		const struct hs_model_ref *ref = &span->refs[i];

		item(&list);
		/* Jaeger knows two kinds; a link follows from. */
		hs_model_text_printf(text, "{\"refType\":\"%s\",\"traceID\":",
				     hs_model_ref_kind_name(
					     ref->kind == HS_MODEL_REF_LINK
						     ? HS_MODEL_REF_FOLLOWS_FROM
						     : ref->kind));
		export_id(text, ref->trace_id, sizeof(ref->trace_id));
		hs_model_text_puts(text, ",\"spanID\":");
		export_id(text, ref->span_id, sizeof(ref->span_id));
		hs_model_text_puts(text, "}");
	}
	hs_model_text_puts(text, "]");
}

static void logs(struct hs_model_text *text, const struct hs_model_span *span)
{
	struct list events = {.text = text};
	uint32_t i;

	hs_model_text_puts(text, ",\"logs\":[");
	for (i = 0; i < span->nr_events; i++) {
		const struct hs_model_event *event = &span->events[i];
		struct list fields = {.text = text};

		item(&events);
		hs_model_text_printf(text,
				     "{\"timestamp\":%" PRId64 ",\"fields\":[",
				     event->time_ns / 1000);
		extra(&fields, &event->attrs, "event", event->name);
		tags(&fields, &event->attrs);
		hs_model_text_puts(text, "]}");
	}
	hs_model_text_puts(text, "]");
}

static void warnings(struct hs_model_text *text,
		     const struct hs_model_span *span)
{
	struct list list = {.text = text};
	uint32_t i;

	if (!span->nr_warnings) {
		hs_model_text_puts(text, ",\"warnings\":null");
		return;
	}
	hs_model_text_puts(text, ",\"warnings\":[");
	for (i = 0; i < span->nr_warnings; i++) {
		item(&list);
		hs_model_text_json(text, span->warnings[i]);
	}
	hs_model_text_puts(text, "]");
}

static void span_write(struct hs_model_text *text,
		       const struct hs_model_trace *trace,
		       const struct hs_model_span *span)
{
	hs_model_text_puts(text, "{\"traceID\":");
	export_id(text, trace->id, sizeof(trace->id));
	hs_model_text_puts(text, ",\"spanID\":");
	export_id(text, span->id, sizeof(span->id));
	if (span->has_flags)
		hs_model_text_printf(text, ",\"flags\":%" PRIu32, span->flags);
	hs_model_text_puts(text, ",\"operationName\":");
	hs_model_text_json(text, span->name);
	references(text, span);
	hs_model_text_printf(text,
			     ",\"startTime\":%" PRId64 ",\"duration\":%" PRId64,
			     span->start_ns / 1000, span->duration_ns / 1000);
	span_tags(text, span);
	logs(text, span);
	hs_model_text_printf(text, ",\"processID\":\"p%" PRIu32 "\"",
			     span->resource + 1);
	warnings(text, span);
	hs_model_text_puts(text, "}");
}

void export_jaeger(struct hs_model_text *text,
		   const struct hs_model_trace *trace)
{
	struct list spans = {.text = text}, processes = {.text = text};
	uint32_t i;

	hs_model_text_puts(text, "{\"traceID\":");
	export_id(text, trace->id, sizeof(trace->id));
	hs_model_text_puts(text, ",\"spans\":[");
	for (i = 0; i < trace->nr_spans; i++) {
		item(&spans);
		span_write(text, trace, trace->spans[i]);
	}
	hs_model_text_puts(text, "],\"processes\":{");
	for (i = 0; i < trace->nr_resources; i++) {
		const struct hs_model_resource *resource = trace->resources[i];
		struct list list = {.text = text};

		item(&processes);
		hs_model_text_printf(
			text, "\"p%" PRIu32 "\":{\"serviceName\":", i + 1);
		hs_model_text_json(text, resource->service);
		hs_model_text_puts(text, ",\"tags\":[");
		tags(&list, &resource->attrs);
		hs_model_text_puts(text, "]}");
	}
	hs_model_text_puts(text, "},\"warnings\":null}");
}

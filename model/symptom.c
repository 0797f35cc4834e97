/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is derived from a span's own words: its parent, kind and status, and
 * the symptoms that trigger rules look for. Pure.
 */
#include "model/trace.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[HS_MODEL_KIND_NR] = {
	"unspecified", "internal", "server", "client", "producer", "consumer",
};
static const char *const status_names[HS_MODEL_STATUS_NR] = {
	"unset",
	"ok",
	"error",
};
static const char *const ref_names[HS_MODEL_REF_NR] = {
	"CHILD_OF",
	"FOLLOWS_FROM",
	"LINK",
};
static const char *const type_names[HS_MODEL_VALUE_NR] = {
	"string", "int64", "float64", "bool", "bytes", "json",
};

const char *hs_model_kind_name(enum hs_model_kind kind)
{
	return (unsigned int)kind < HS_MODEL_KIND_NR ? kind_names[kind] : "?";
}

const char *hs_model_status_name(enum hs_model_status status)
{
	return (unsigned int)status < HS_MODEL_STATUS_NR ? status_names[status]
							 : "?";
}

const char *hs_model_ref_kind_name(enum hs_model_ref_kind kind)
{
	return (unsigned int)kind < HS_MODEL_REF_NR ? ref_names[kind] : "?";
}

const char *hs_model_value_type_name(enum hs_model_value_type type)
{
	return (unsigned int)type < HS_MODEL_VALUE_NR ? type_names[type] : "?";
}

void hs_model_span_derive_parent(const struct hs_model_trace *trace,
				 struct hs_model_span *span)
{
	uint32_t i;

	span->has_parent = false;
	memset(span->parent_id, 0, sizeof(span->parent_id));
	for (i = 0; i < span->nr_refs; i++) {
		const struct hs_model_ref *ref = &span->refs[i];

		if (ref->kind != HS_MODEL_REF_CHILD_OF ||
		    memcmp(ref->trace_id, trace->id, sizeof(trace->id)))
			continue;
		span->has_parent = true;
		memcpy(span->parent_id, ref->span_id, sizeof(span->parent_id));
		return;
	}
}

/* Jaeger's error tag: true, or words about the error. */
static bool error_tag_set(const struct hs_model_attrs *attrs)
{
	const struct hs_model_attr *tag = hs_model_attrs_find(attrs, "error");

	if (!tag)
		return false;
	if (tag->value.type == HS_MODEL_VALUE_BOOL)
		return tag->value.boolean;
	return tag->value.type == HS_MODEL_VALUE_STRING && tag->value.str.len &&
	       !hs_model_str_is(tag->value.str, "false");
}

static bool http_failed(const struct hs_model_attr *tag)
{
	if (!tag)
		return false;
	switch (tag->value.type) {
	case HS_MODEL_VALUE_INT64:
		return tag->value.i64 >= 500;
	case HS_MODEL_VALUE_FLOAT64:
		return tag->value.f64 >= 500;
	case HS_MODEL_VALUE_STRING:
		return strtol(tag->value.str.ptr, NULL, 10) >= 500;
	default:
		return false;
	}
}

void hs_model_span_derive_tags(struct hs_model_span *span)
{
	const struct hs_model_attr *tag;
	int i;

	tag = hs_model_attrs_find(&span->attrs, "span.kind");
	for (i = 1; tag && i < HS_MODEL_KIND_NR; i++)
		if (tag->value.type == HS_MODEL_VALUE_STRING &&
		    hs_model_str_is(tag->value.str, kind_names[i]))
			span->kind = (enum hs_model_kind)i;
	if (error_tag_set(&span->attrs))
		span->status = HS_MODEL_STATUS_ERROR;
	tag = hs_model_attrs_find(&span->attrs, "otel.status_code");
	if (tag && tag->value.type == HS_MODEL_VALUE_STRING) {
		if (hs_model_str_is(tag->value.str, "ERROR"))
			span->status = HS_MODEL_STATUS_ERROR;
		else if (hs_model_str_is(tag->value.str, "OK"))
			span->status = HS_MODEL_STATUS_OK;
	}
	tag = hs_model_attrs_find(&span->attrs, "otel.status_description");
	if (tag && tag->value.type == HS_MODEL_VALUE_STRING)
		span->status_message = tag->value.str;
}

bool hs_model_span_has_error(const struct hs_model_span *span)
{
	const struct hs_model_attrs *attrs = &span->attrs;

	return span->status == HS_MODEL_STATUS_ERROR || error_tag_set(attrs) ||
	       http_failed(hs_model_attrs_find(attrs, "http.status_code")) ||
	       http_failed(
		       hs_model_attrs_find(attrs, "http.response.status_code"));
}

bool hs_model_trace_has_error(const struct hs_model_trace *trace)
{
	uint32_t i;

	for (i = 0; i < trace->nr_spans; i++)
		if (hs_model_span_has_error(trace->spans[i]))
			return true;
	return false;
}

static int id_compare(const void *a, const void *b)
{
	return memcmp(a, b, HS_MODEL_SPAN_ID_SIZE);
}

static uint8_t *ids_sorted(const struct hs_model_trace *trace)
{
	uint8_t *ids = malloc((size_t)trace->nr_spans * HS_MODEL_SPAN_ID_SIZE);
	uint32_t i;

	if (!ids)
		return NULL;
	for (i = 0; i < trace->nr_spans; i++)
		memcpy(ids + (size_t)i * HS_MODEL_SPAN_ID_SIZE,
		       trace->spans[i]->id, HS_MODEL_SPAN_ID_SIZE);
	qsort(ids, trace->nr_spans, HS_MODEL_SPAN_ID_SIZE, id_compare);
	return ids;
}

static const struct hs_model_span *earlier(const struct hs_model_span *a,
					   const struct hs_model_span *b)
{
	return a && a->start_ns <= b->start_ns ? a : b;
}

const struct hs_model_span *
hs_model_trace_root(const struct hs_model_trace *trace)
{
	const struct hs_model_span *root = NULL, *orphan = NULL, *any = NULL;
	uint8_t *ids;
	uint32_t i;

	for (i = 0; i < trace->nr_spans; i++) {
		if (!trace->spans[i]->has_parent)
			root = earlier(root, trace->spans[i]);
		any = earlier(any, trace->spans[i]);
	}
	if (root || !any)
		return root;
	ids = ids_sorted(trace);
	for (i = 0; ids && i < trace->nr_spans; i++)
		if (!bsearch(trace->spans[i]->parent_id, ids, trace->nr_spans,
			     HS_MODEL_SPAN_ID_SIZE, id_compare))
			orphan = earlier(orphan, trace->spans[i]);
	free(ids);
	return orphan ? orphan : any;
}

int64_t hs_model_span_end_ns(const struct hs_model_span *span)
{
	int64_t end;

	if (__builtin_add_overflow(span->start_ns, span->duration_ns, &end))
		return span->duration_ns > 0 ? INT64_MAX : INT64_MIN;
	return end;
}

void hs_model_trace_bounds(const struct hs_model_trace *trace,
			   int64_t *start_ns, int64_t *end_ns)
{
	uint32_t i;

	*start_ns = trace->nr_spans ? INT64_MAX : 0;
	*end_ns = trace->nr_spans ? INT64_MIN : 0;
	for (i = 0; i < trace->nr_spans; i++) {
		int64_t start = trace->spans[i]->start_ns;
		int64_t end = hs_model_span_end_ns(trace->spans[i]);

		if (start < *start_ns)
			*start_ns = start;
		if (end < start)
			end = start;
		if (end > *end_ns)
			*end_ns = end;
	}
}

int64_t hs_model_trace_duration_ns(const struct hs_model_trace *trace)
{
	int64_t start, end, duration;

	hs_model_trace_bounds(trace, &start, &end);
	if (__builtin_sub_overflow(end, start, &duration))
		return INT64_MAX;
	return duration;
}

const struct hs_model_resource *
hs_model_span_resource(const struct hs_model_trace *trace,
		       const struct hs_model_span *span)
{
	return trace->resources[span->resource];
}

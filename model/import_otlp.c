/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP's JSON encoding: {"resourceSpans": [...]}, ids in hex, enums as numbers
 * or names, 64-bit integers as strings or numbers; unknown fields are ignored,
 * as the specification asks. Spans of one trace may lie in many resources and
 * documents of a file: they meet in the file's own set.
 */
#include "model/import_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const struct import_file *file;
	struct hs_model_set *local;
	const json_t *resource;
	const json_t *scope;
	const struct place *resource_at;
	/* Where the current resource stands in the trace used last. */
	struct hs_model_trace *last;
	uint32_t last_index;
	uint64_t nr_good; /* spans */
	uint64_t nr_seen;
};

static int items_check(const struct reader *reader, const struct place *at,
		       const json_t *list)
{
	if (!list || json_is_null(list) || json_is_array(list))
		return 0;
	import_say(reader->file, at, "expected a list");
	return IMPORT_SKIP;
}

/* @skip_key, where given, is left out: it is kept elsewhere. */
static int attrs_read(const struct reader *reader, const struct place *up,
		      struct hs_model_trace *trace, const json_t *owner,
		      const char *skip_key, struct hs_model_attrs *attrs)
{
	const json_t *list = json_object_get(owner, "attributes");
	int err = items_check(reader, AT(up, "attributes"), list);
	size_t i;

	for (i = 0; !err && i < json_array_size(list); i++) {
		const struct place *at = AT_NTH(up, "attributes", i);
		const json_t *pair = json_array_get(list, i);
		const json_t *key = json_object_get(pair, "key");
		struct hs_model_value value = {0};
		char *owned = NULL;

		if (!json_is_string(key)) {
			import_say(reader->file, AT(at, "key"),
				   "expected a string");
			return IMPORT_SKIP;
		}
		err = import_otlp_value(reader->file, AT(at, "value"),
					json_object_get(pair, "value"), &value,
					&owned);
		if (!err && !(skip_key && value.type == HS_MODEL_VALUE_STRING &&
			      !strcmp(json_string_value(key), skip_key)))
			err = import_attr(reader->file, at, trace, attrs,
					  import_str(key), &value);
		free(owned);
	}
	return err;
}

static struct hs_model_str service_name(const json_t *resource)
{
	const json_t *list = json_object_get(resource, "attributes");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *pair = json_array_get(list, i);
		const json_t *any = json_object_get(pair, "value");

		if (hs_model_str_is(import_str(json_object_get(pair, "key")),
				    "service.name"))
			return import_str(json_object_get(any, "stringValue"));
	}
	return hs_model_str("");
}

static int resource_read(struct reader *reader, struct hs_model_trace *trace)
{
	struct hs_model_str service = service_name(reader->resource);
	int err;

	if (reader->last == trace)
		return 0;
	err = hs_model_resource_add(trace, service, &reader->last_index);
	if (err)
		return import_limit(reader->file, reader->resource_at, err);
	err = attrs_read(reader, reader->resource_at, trace, reader->resource,
			 "service.name",
			 &trace->resources[reader->last_index]->attrs);
	if (!err)
		reader->last = trace;
	return err;
}

/* The trace of this id in the file's own set, made when it is new. */
static int trace_get(struct reader *reader, const uint8_t *id,
		     struct hs_model_trace **out)
{
	struct hs_model_trace *trace = hs_model_set_find(reader->local, id);
	uint64_t nr_merged = 0;
	int err;

	if (!trace) {
		trace = hs_model_trace_new(&reader->file->imp->options.limits);
		if (!trace)
			return -ENOMEM;
		memcpy(trace->id, id, sizeof(trace->id));
		err = hs_model_set_commit(reader->local, trace,
					  HS_MODEL_MERGE_UNION, &nr_merged);
		if (err < 0)
			return err;
	}
	*out = trace;
	return 0;
}

/* An enum as its number or its name, which is @prefix and a word of ours. */
static int enum_read(const struct reader *reader, const struct place *at,
		     const json_t *json, const char *prefix,
		     const char *(*name)(unsigned int), unsigned int nr,
		     unsigned int *out)
{
	const char *text = json_string_value(json);
	size_t skip = strlen(prefix);
	unsigned int i;

	*out = 0;
	if (!json || json_is_null(json))
		return 0;
	if (json_is_integer(json)) {
		json_int_t number = json_integer_value(json);

		/* Numbers to come are legal and mean nothing yet. */
		if (number >= 0 && number < (json_int_t)nr)
			*out = (unsigned int)number;
		return 0;
	}
	for (i = 0; text && !strncmp(text, prefix, skip) && i < nr; i++) {
		if (strcasecmp(text + skip, name(i)))
			continue;
		*out = i;
		return 0;
	}
	import_say(reader->file, at, "expected a number or a name %s...",
		   prefix);
	return IMPORT_SKIP;
}

static const char *kind_name(unsigned int kind)
{
	return hs_model_kind_name((enum hs_model_kind)kind);
}

static const char *status_name(unsigned int status)
{
	return hs_model_status_name((enum hs_model_status)status);
}

static int text_read(const struct reader *reader, const struct place *at,
		     struct hs_model_trace *trace, const json_t *json,
		     const char *key, struct hs_model_str *out)
{
	const json_t *text = json_object_get(json, key);
	int err;

	if (text && !json_is_string(text) && !json_is_null(text)) {
		import_say(reader->file, AT(at, key), "expected a string");
		return IMPORT_SKIP;
	}
	err = hs_model_trace_set_name(trace, import_str(text), out);
	return err ? import_limit(reader->file, AT(at, key), err) : 0;
}

static int time_read(const struct reader *reader, const struct place *at,
		     const json_t *json, const char *key, int64_t *out)
{
	const json_t *number = json_object_get(json, key);
	int err;

	*out = 0;
	if (!number)
		return 0;
	err = import_i64(reader->file, AT(at, key), number, out);
	if (!err && *out < 0) {
		import_say(reader->file, AT(at, key), "out of range");
		err = IMPORT_SKIP;
	}
	return err;
}

static int times_read(const struct reader *reader, const struct place *at,
		      const json_t *json, struct hs_model_span *span)
{
	int64_t end;
	int err = time_read(reader, at, json, "startTimeUnixNano",
			    &span->start_ns);

	if (!err)
		err = time_read(reader, at, json, "endTimeUnixNano", &end);
	if (!err)
		/* Neither is negative, so this cannot overflow. */
		span->duration_ns = end - span->start_ns;
	return err;
}

static int events_read(const struct reader *reader, const struct place *up,
		       struct hs_model_trace *trace, const json_t *json,
		       struct hs_model_span *span)
{
	const json_t *list = json_object_get(json, "events");
	int err = items_check(reader, AT(up, "events"), list);
	size_t i;

	for (i = 0; !err && i < json_array_size(list); i++) {
		const struct place *at = AT_NTH(up, "events", i);
		const json_t *item = json_array_get(list, i);
		struct hs_model_event *event;
		int64_t time_ns;

		err = time_read(reader, at, item, "timeUnixNano", &time_ns);
		if (err)
			return err;
		err = hs_model_span_add_event(
			trace, span, time_ns,
			import_str(json_object_get(item, "name")), &event);
		if (err)
			return import_limit(reader->file, at, err);
		err = attrs_read(reader, at, trace, item, NULL, &event->attrs);
	}
	return err;
}

/* Our exporter marks what was a Jaeger reference before it was a link. */
static enum hs_model_ref_kind link_kind(const json_t *link)
{
	const json_t *list = json_object_get(link, "attributes");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *pair = json_array_get(list, i);
		struct hs_model_str text = import_str(json_object_get(
			json_object_get(pair, "value"), "stringValue"));

		if (!hs_model_str_is(import_str(json_object_get(pair, "key")),
				     "opentracing.ref_type"))
			continue;
		if (hs_model_str_is(text, "child_of"))
			return HS_MODEL_REF_CHILD_OF;
		if (hs_model_str_is(text, "follows_from"))
			return HS_MODEL_REF_FOLLOWS_FROM;
	}
	return HS_MODEL_REF_LINK;
}

static int link_read(const struct reader *reader, const struct place *at,
		     struct hs_model_trace *trace, const json_t *link,
		     struct hs_model_span *span)
{
	enum hs_model_ref_kind kind = link_kind(link);
	uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE];
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_ref *ref;
	int err;

	err = import_id(reader->file, AT(at, "traceId"),
			json_object_get(link, "traceId"), trace_id,
			sizeof(trace_id));
	if (!err)
		err = import_id(reader->file, AT(at, "spanId"),
				json_object_get(link, "spanId"), id,
				sizeof(id));
	if (err)
		return err;
	err = hs_model_span_add_ref(trace, span, kind, trace_id, id, &ref);
	if (err)
		return import_limit(reader->file, at, err);
	err = text_read(reader, at, trace, link, "traceState",
			&ref->trace_state);
	if (err)
		return err;
	return attrs_read(reader, at, trace, link,
			  kind == HS_MODEL_REF_LINK ? NULL
						    : "opentracing.ref_type",
			  &ref->attrs);
}

static int refs_read(const struct reader *reader, const struct place *at,
		     struct hs_model_trace *trace, const json_t *json,
		     struct hs_model_span *span)
{
	const json_t *parent = json_object_get(json, "parentSpanId");
	const json_t *links = json_object_get(json, "links");
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	int err = items_check(reader, AT(at, "links"), links);
	size_t i;

	if (!err && import_str(parent).len) {
		err = import_id(reader->file, AT(at, "parentSpanId"), parent,
				id, sizeof(id));
		if (err)
			return err;
		err = hs_model_span_add_ref(trace, span, HS_MODEL_REF_CHILD_OF,
					    trace->id, id, NULL);
		err = import_limit(reader->file, at, err);
		span->has_parent = !err;
		memcpy(span->parent_id, id, sizeof(id));
	}
	for (i = 0; !err && i < json_array_size(links); i++)
		err = link_read(reader, AT_NTH(at, "links", i), trace,
				json_array_get(links, i), span);
	return err;
}

static int head_read(const struct reader *reader, const struct place *at,
		     struct hs_model_trace *trace, const json_t *json,
		     struct hs_model_span *span)
{
	const json_t *status = json_object_get(json, "status");
	const json_t *flags = json_object_get(json, "flags");
	unsigned int kind, code;
	int64_t number;
	int err;

	err = enum_read(reader, AT(at, "kind"), json_object_get(json, "kind"),
			"SPAN_KIND_", kind_name, HS_MODEL_KIND_NR, &kind);
	if (!err)
		err = enum_read(reader, AT(AT(at, "status"), "code"),
				json_object_get(status, "code"), "STATUS_CODE_",
				status_name, HS_MODEL_STATUS_NR, &code);
	if (!err)
		err = text_read(reader, at, trace, json, "name", &span->name);
	if (!err)
		err = text_read(reader, at, trace, status, "message",
				&span->status_message);
	if (!err)
		err = text_read(reader, at, trace, json, "traceState",
				&span->trace_state);
	if (!err)
		err = text_read(reader, at, trace, reader->scope, "name",
				&span->scope_name);
	if (!err)
		err = text_read(reader, at, trace, reader->scope, "version",
				&span->scope_version);
	if (err)
		return err;
	span->kind = (enum hs_model_kind)kind;
	span->status = (enum hs_model_status)code;
	if (!flags || json_is_null(flags))
		return 0;
	err = import_i64(reader->file, AT(at, "flags"), flags, &number);
	span->has_flags = !err;
	span->flags = err ? 0 : (uint32_t)number;
	return err;
}

static int span_read(struct reader *reader, const struct place *at,
		     const json_t *json)
{
	uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE];
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_trace *trace;
	struct hs_model_span *span;
	int err;

	err = import_id(reader->file, AT(at, "traceId"),
			json_object_get(json, "traceId"), trace_id,
			sizeof(trace_id));
	if (!err)
		err = import_id(reader->file, AT(at, "spanId"),
				json_object_get(json, "spanId"), id,
				sizeof(id));
	if (!err)
		err = trace_get(reader, trace_id, &trace);
	if (!err)
		err = resource_read(reader, trace);
	if (err)
		return err;
	err = hs_model_span_add(trace, id, reader->last_index, &span);
	if (err)
		return import_limit(reader->file, at, err);
	err = head_read(reader, at, trace, json, span);
	if (!err)
		err = times_read(reader, at, json, span);
	if (!err)
		err = refs_read(reader, at, trace, json, span);
	if (!err)
		err = attrs_read(reader, at, trace, json, NULL, &span->attrs);
	if (!err)
		err = events_read(reader, at, trace, json, span);
	if (err)
		hs_model_span_drop_last(trace);
	return err;
}

static int scope_read(struct reader *reader, const struct place *at,
		      const json_t *scope)
{
	struct hs_model_import_counts *counts = &reader->file->imp->counts;
	const json_t *spans = json_object_get(scope, "spans");
	size_t i;
	int err = items_check(reader, AT(at, "spans"), spans);

	if (err)
		return err;
	reader->scope = json_object_get(scope, "scope");
	for (i = 0; i < json_array_size(spans); i++) {
		err = span_read(reader, AT_NTH(at, "spans", i),
				json_array_get(spans, i));
		if (err < 0)
			return err;
		reader->nr_seen++;
		reader->nr_good += !err;
		if (err)
			counts->nr_spans_skipped++;
		else
			counts->nr_spans++;
	}
	return 0;
}

int import_otlp(const struct import_file *file, const json_t *root,
		struct hs_model_set *local)
{
	const json_t *list = json_object_get(root, "resourceSpans");
	struct reader reader = {.file = file, .local = local};
	size_t i, j;
	int err;

	if (!json_is_array(list)) {
		import_say(file, AT(NULL, "resourceSpans"), "expected a list");
		return IMPORT_SKIP;
	}
	for (i = 0; i < json_array_size(list); i++) {
		const struct place *at = AT_NTH(NULL, "resourceSpans", i);
		const json_t *item = json_array_get(list, i);
		const json_t *scopes = json_object_get(item, "scopeSpans");
		const struct place *resource_at = AT(at, "resource");

		reader.resource = json_object_get(item, "resource");
		reader.resource_at = resource_at;
		reader.last = NULL;
		(void)items_check(&reader, AT(at, "scopeSpans"), scopes);
		for (j = 0; j < json_array_size(scopes); j++) {
			err = scope_read(&reader, AT_NTH(at, "scopeSpans", j),
					 json_array_get(scopes, j));
			if (err < 0)
				return err;
		}
	}
	if (!reader.nr_seen)
		import_say(file, AT(NULL, "resourceSpans"),
			   "holds no trace: no span in it");
	return reader.nr_good ? 0 : IMPORT_SKIP;
}

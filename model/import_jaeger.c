/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jaeger's JSON as its query service and UI write it: {"data": [trace...]}, or
 * a trace alone {"traceID", "spans", "processes"}. Times are microseconds.
 *
 * Tags are kept as they stand. The type that a tag names decides; a value in a
 * string where the type names a number or a bool is converted, since Jaeger's
 * storage writes all values as strings. Where value and type cannot agree, the
 * value wins and is counted as retyped.
 */
#include "model/import_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define US_MAX (INT64_MAX / 1000)

struct reader {
	const struct import_file *file;
	struct hs_model_trace *trace;
	const json_t *processes;
	json_t *indices; /* process id -> index of the resource */
};

static int time_us(const struct reader *reader, const struct place *at,
		   const json_t *number, int64_t min_us, int64_t *out_ns)
{
	int64_t us;
	int err = import_i64(reader->file, at, number, &us);

	if (err)
		return err;
	if (us < min_us || us > US_MAX) {
		import_say(reader->file, at,
			   "%lld microseconds are out of range", (long long)us);
		return IMPORT_SKIP;
	}
	*out_ns = us * 1000;
	return 0;
}

/* Only the value, for where no type is named or the named one cannot be. */
static void value_as_is(const json_t *json, struct hs_model_value *value)
{
	switch (json_typeof(json)) {
	case JSON_TRUE:
	case JSON_FALSE:
		value->type = HS_MODEL_VALUE_BOOL;
		value->boolean = json_is_true(json);
		break;
	case JSON_INTEGER:
		value->type = HS_MODEL_VALUE_INT64;
		value->i64 = json_integer_value(json);
		break;
	case JSON_REAL:
		value->type = HS_MODEL_VALUE_FLOAT64;
		value->f64 = json_real_value(json);
		break;
	default:
		value->type = HS_MODEL_VALUE_STRING;
		value->str = import_str(json);
	}
}

static bool text_f64(struct hs_model_str text, double *out)
{
	char *end;

	if (!text.len || strchr(" \t\n\r\v\f", text.ptr[0]))
		return false;
	*out = strtod(text.ptr, &end);
	return end == text.ptr + text.len;
}

static bool value_of_string(const char *type, struct hs_model_str text,
			    struct hs_model_value *value)
{
	if (!strcmp(type, "bool")) {
		value->type = HS_MODEL_VALUE_BOOL;
		value->boolean = hs_model_str_is(text, "true");
		return value->boolean || hs_model_str_is(text, "false");
	}
	if (!strcmp(type, "int64")) {
		value->type = HS_MODEL_VALUE_INT64;
		return !import_text_i64(text.ptr, text.len, &value->i64);
	}
	if (!strcmp(type, "float64")) {
		value->type = HS_MODEL_VALUE_FLOAT64;
		return text_f64(text, &value->f64);
	}
	return !strcmp(type, "string");
}

static bool value_of_number(const char *type, const json_t *json,
			    struct hs_model_value *value)
{
	if (!strcmp(type, "float64") && json_is_number(json)) {
		value->type = HS_MODEL_VALUE_FLOAT64;
		value->f64 = json_number_value(json);
		return true;
	}
	if (!strcmp(type, "int64"))
		return json_is_integer(json);
	return !strcmp(type, "bool") && json_is_boolean(json);
}

/* Own: *@owned, if set, is freed once the value was copied. */
static int value_read(const struct reader *reader, const char *type,
		      const json_t *json, struct hs_model_value *value,
		      char **owned)
{
	size_t len;
	int err;

	value_as_is(json, value);
	if (!*type)
		type = hs_model_value_type_name(value->type);
	if (json_is_string(json) && !strcmp(type, "binary")) {
		err = import_base64(value->str.ptr, value->str.len, owned,
				    &len);
		if (err == -ENOMEM)
			return err;
		if (!err) {
			value->type = HS_MODEL_VALUE_BYTES;
			value->str.ptr = *owned;
			value->str.len = (uint32_t)len;
			return 0;
		}
	} else if (json_is_string(json)) {
		struct hs_model_value typed = *value;

		if (value_of_string(type, value->str, &typed)) {
			*value = typed;
			return 0;
		}
	} else if (value_of_number(type, json, value)) {
		return 0;
	}
	reader->file->imp->counts.nr_values_retyped++;
	if (json_is_object(json) || json_is_array(json)) {
		*owned = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
		if (!*owned)
			return -ENOMEM;
		value->str = hs_model_str(*owned);
	}
	return 0;
}

static int tag_read(const struct reader *reader, const struct place *at,
		    const json_t *tag, struct hs_model_attrs *attrs)
{
	const json_t *key = json_object_get(tag, "key");
	const json_t *json = json_object_get(tag, "value");
	struct hs_model_value value = {0};
	char *owned = NULL;
	int err;

	if (!json_is_string(key) || !json) {
		import_say(reader->file, at,
			   "expected {\"key\", \"type\", \"value\"}");
		return IMPORT_SKIP;
	}
	err = value_read(reader, import_str(json_object_get(tag, "type")).ptr,
			 json, &value, &owned);
	if (!err)
		err = import_attr(reader->file, at, reader->trace, attrs,
				  import_str(key), &value);
	free(owned);
	return err;
}

/* Missing and null are no list items; anything but a list is an error. */
static int list_check(const struct reader *reader, const struct place *at,
		      const json_t *list)
{
	if (!list || json_is_null(list) || json_is_array(list))
		return 0;
	import_say(reader->file, at, "expected a list");
	return IMPORT_SKIP;
}

static int tags_read(const struct reader *reader, const struct place *up,
		     const char *key, const json_t *tags,
		     struct hs_model_attrs *attrs)
{
	int err = list_check(reader, AT(up, key), tags);
	size_t i;

	for (i = 0; !err && i < json_array_size(tags); i++)
		err = tag_read(reader, AT_NTH(up, key, i),
			       json_array_get(tags, i), attrs);
	return err;
}

static int process_read(const struct reader *reader, const struct place *at,
			const json_t *process, uint32_t *index)
{
	const json_t *name = json_object_get(process, "serviceName");
	int err;

	if (!json_is_string(name)) {
		import_say(reader->file, at,
			   "expected {\"serviceName\", \"tags\"}");
		return IMPORT_SKIP;
	}
	err = hs_model_resource_add(reader->trace, import_str(name), index);
	if (err)
		return import_limit(reader->file, at, err);
	return tags_read(reader, at, "tags", json_object_get(process, "tags"),
			 &reader->trace->resources[*index]->attrs);
}

/* Which resource a span belongs to; processes are read when first used. */
static int resource_find(const struct reader *reader, const struct place *at,
			 const json_t *span, uint32_t *index)
{
	const json_t *id = json_object_get(span, "processID");
	const json_t *inner = json_object_get(span, "process");
	const char *name = json_string_value(id);
	const json_t *process, *known;
	int err;

	process = name ? json_object_get(reader->processes, name) : NULL;
	if (!process) {
		if (json_is_object(inner))
			return process_read(reader, AT(at, "process"), inner,
					    index);
		import_say(reader->file, AT(at, "processID"),
			   name ? "\"%.64s\" is not among the processes"
				: "missing",
			   name);
		return IMPORT_SKIP;
	}
	known = json_object_get(reader->indices, name);
	if (known) {
		*index = (uint32_t)json_integer_value(known);
		return 0;
	}
	err = process_read(reader, AT(AT(NULL, "processes"), name), process,
			   index);
	if (err)
		return err;
	return json_object_set_new(reader->indices, name, json_integer(*index))
		       ? -ENOMEM
		       : 0;
}

static int ref_read(const struct reader *reader, const struct place *at,
		    const json_t *json, struct hs_model_span *span)
{
	struct hs_model_str type = import_str(json_object_get(json, "refType"));
	uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE];
	uint8_t span_id[HS_MODEL_SPAN_ID_SIZE];
	enum hs_model_ref_kind kind;
	int err;

	for (kind = 0; kind < HS_MODEL_REF_LINK; kind++)
		if (hs_model_str_is(type, hs_model_ref_kind_name(kind)))
			break;
	if (kind == HS_MODEL_REF_LINK) {
		import_say(reader->file, AT(at, "refType"),
			   "expected CHILD_OF or FOLLOWS_FROM");
		return IMPORT_SKIP;
	}
	err = import_id(reader->file, AT(at, "traceID"),
			json_object_get(json, "traceID"), trace_id,
			sizeof(trace_id));
	if (!err)
		err = import_id(reader->file, AT(at, "spanID"),
				json_object_get(json, "spanID"), span_id,
				sizeof(span_id));
	if (err)
		return err;
	err = hs_model_span_add_ref(reader->trace, span, kind, trace_id,
				    span_id, NULL);
	return err ? import_limit(reader->file, at, err) : 0;
}

static int refs_read(const struct reader *reader, const struct place *at,
		     const json_t *json, struct hs_model_span *span)
{
	const json_t *refs = json_object_get(json, "references");
	const json_t *parent = json_object_get(json, "parentSpanID");
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	int err = list_check(reader, AT(at, "references"), refs);
	size_t i;

	for (i = 0; !err && i < json_array_size(refs); i++)
		err = ref_read(reader, AT_NTH(at, "references", i),
			       json_array_get(refs, i), span);
	/* What Jaeger wrote before there were references. */
	if (err || span->nr_refs || !import_str(parent).len)
		return err;
	err = import_id(reader->file, AT(at, "parentSpanID"), parent, id,
			sizeof(id));
	if (err)
		return err;
	err = hs_model_span_add_ref(reader->trace, span, HS_MODEL_REF_CHILD_OF,
				    reader->trace->id, id, NULL);
	return err ? import_limit(reader->file, at, err) : 0;
}

static int logs_read(const struct reader *reader, const struct place *up,
		     const json_t *json, struct hs_model_span *span)
{
	const json_t *logs = json_object_get(json, "logs");
	int err = list_check(reader, AT(up, "logs"), logs);
	size_t i;

	for (i = 0; !err && i < json_array_size(logs); i++) {
		const struct place *at = AT_NTH(up, "logs", i);
		const json_t *log = json_array_get(logs, i);
		struct hs_model_event *event;
		int64_t time_ns;

		err = time_us(reader, AT(at, "timestamp"),
			      json_object_get(log, "timestamp"), 0, &time_ns);
		if (err)
			break;
		err = hs_model_span_add_event(reader->trace, span, time_ns,
					      hs_model_str(""), &event);
		if (err)
			return import_limit(reader->file, at, err);
		err = tags_read(reader, at, "fields",
				json_object_get(log, "fields"), &event->attrs);
	}
	return err;
}

static int warnings_read(const struct reader *reader, const struct place *up,
			 const json_t *json, struct hs_model_span *span)
{
	const json_t *warnings = json_object_get(json, "warnings");
	int err = list_check(reader, AT(up, "warnings"), warnings);
	size_t i;

	for (i = 0; !err && i < json_array_size(warnings); i++) {
		const json_t *text = json_array_get(warnings, i);

		if (!json_is_string(text)) {
			import_say(reader->file, AT_NTH(up, "warnings", i),
				   "expected a string");
			return IMPORT_SKIP;
		}
		err = hs_model_span_add_warning(reader->trace, span,
						import_str(text));
		err = import_limit(reader->file, up, err);
	}
	return err;
}

static int head_read(const struct reader *reader, const struct place *at,
		     const json_t *json, struct hs_model_span *span)
{
	const json_t *name = json_object_get(json, "operationName");
	const json_t *flags = json_object_get(json, "flags");
	int64_t number;
	int err;

	err = time_us(reader, AT(at, "startTime"),
		      json_object_get(json, "startTime"), 0, &span->start_ns);
	if (!err)
		err = time_us(reader, AT(at, "duration"),
			      json_object_get(json, "duration"), -US_MAX,
			      &span->duration_ns);
	if (!err && name && !json_is_string(name)) {
		import_say(reader->file, AT(at, "operationName"),
			   "expected a string");
		err = IMPORT_SKIP;
	}
	if (err)
		return err;
	err = hs_model_trace_set_name(reader->trace, import_str(name),
				      &span->name);
	if (err)
		return import_limit(reader->file, AT(at, "operationName"), err);
	if (!flags || json_is_null(flags))
		return 0;
	err = import_i64(reader->file, AT(at, "flags"), flags, &number);
	if (!err && (number < 0 || number > UINT32_MAX)) {
		import_say(reader->file, AT(at, "flags"), "out of range");
		err = IMPORT_SKIP;
	}
	if (err)
		return err;
	span->has_flags = true;
	span->flags = (uint32_t)number;
	return 0;
}

static int span_fill(const struct reader *reader, const struct place *at,
		     const json_t *json, struct hs_model_span *span)
{
	int err = head_read(reader, at, json, span);

	if (!err)
		err = refs_read(reader, at, json, span);
	if (!err)
		err = tags_read(reader, at, "tags",
				json_object_get(json, "tags"), &span->attrs);
	if (!err)
		err = logs_read(reader, at, json, span);
	if (!err)
		err = warnings_read(reader, at, json, span);
	if (err)
		return err;
	hs_model_span_derive_parent(reader->trace, span);
	hs_model_span_derive_tags(span);
	return 0;
}

static int span_read(const struct reader *reader, const struct place *at,
		     const json_t *json)
{
	uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE];
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_span *span;
	uint32_t resource;
	int err;

	if (!json_is_object(json)) {
		import_say(reader->file, at, "expected a span object");
		return IMPORT_SKIP;
	}
	err = import_id(reader->file, AT(at, "traceID"),
			json_object_get(json, "traceID"), trace_id,
			sizeof(trace_id));
	if (!err)
		err = import_id(reader->file, AT(at, "spanID"),
				json_object_get(json, "spanID"), id,
				sizeof(id));
	if (err)
		return err;
	if (memcmp(trace_id, reader->trace->id, sizeof(trace_id))) {
		import_say(reader->file, AT(at, "traceID"),
			   "is not the id of the trace it stands in");
		return IMPORT_SKIP;
	}
	err = resource_find(reader, at, json, &resource);
	if (err)
		return err;
	err = hs_model_span_add(reader->trace, id, resource, &span);
	if (err)
		return import_limit(reader->file, at, err);
	err = span_fill(reader, at, json, span);
	if (err)
		hs_model_span_drop_last(reader->trace);
	return err;
}

static int spans_read(const struct reader *reader, const struct place *at,
		      const json_t *spans)
{
	struct hs_model_import_counts *counts = &reader->file->imp->counts;
	size_t i;
	int err;

	for (i = 0; i < json_array_size(spans); i++) {
		err = span_read(reader, AT_NTH(at, "spans", i),
				json_array_get(spans, i));
		if (err < 0)
			return err;
		if (err)
			counts->nr_spans_skipped++;
		else
			counts->nr_spans++;
	}
	return 0;
}

/* A trace without an id of its own is called as its first span says. */
static int trace_id_read(const struct import_file *file, const struct place *at,
			 const json_t *json, uint8_t *id)
{
	const json_t *own = json_object_get(json, "traceID");
	const json_t *spans = json_object_get(json, "spans");
	size_t i;

	for (i = 0; !own && i < json_array_size(spans); i++)
		own = json_object_get(json_array_get(spans, i), "traceID");
	return import_id(file, AT(at, "traceID"), own, id,
			 HS_MODEL_TRACE_ID_SIZE);
}

static int trace_read(const struct import_file *file, const struct place *at,
		      const json_t *json)
{
	const json_t *spans = json_object_get(json, "spans");
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];
	struct reader reader = {.file = file};
	int err;

	if (!json_is_array(spans)) {
		import_say(file, at,
			   "holds no trace: no list of \"spans\" in it");
		return IMPORT_SKIP;
	}
	err = trace_id_read(file, at, json, id);
	if (err)
		return err;
	reader.processes = json_object_get(json, "processes");
	reader.trace = hs_model_trace_new(&file->imp->options.limits);
	reader.indices = json_object();
	if (!reader.trace || !reader.indices) {
		hs_model_trace_free(reader.trace);
		json_decref(reader.indices);
		return -ENOMEM;
	}
	memcpy(reader.trace->id, id, sizeof(id));
	reader.trace->resolution_ns = 1000;
	err = spans_read(&reader, at, spans);
	json_decref(reader.indices);
	if (err) {
		hs_model_trace_free(reader.trace);
		return err;
	}
	return import_commit(file, at, reader.trace,
			     file->imp->options.remap_ids
				     ? HS_MODEL_MERGE_RENAME
				     : HS_MODEL_MERGE_REFUSE);
}

int import_jaeger(const struct import_file *file, const json_t *root)
{
	const json_t *data = json_object_get(root, "data");
	size_t i, nr_good = 0;
	int err;

	if (!data)
		return trace_read(file, NULL, root);
	if (json_is_object(data))
		return trace_read(file, AT(NULL, "data"), data);
	if (!json_array_size(data)) {
		import_say(file, AT(NULL, "data"),
			   "holds no trace: expected a list of traces");
		return IMPORT_SKIP;
	}
	for (i = 0; i < json_array_size(data); i++) {
		uint64_t refused = file->imp->counts.nr_traces_refused;

		err = trace_read(file, AT_NTH(NULL, "data", i),
				 json_array_get(data, i));
		if (err < 0)
			return err;
		nr_good += !err;
		/* Not yet counted where it was refused before it was built. */
		if (err && refused == file->imp->counts.nr_traces_refused)
			file->imp->counts.nr_traces_refused++;
	}
	return nr_good ? 0 : IMPORT_SKIP;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nezha's span CSV: TraceID, SpanID, ParentID ("root" for none), PodName,
 * OperationName, StartTimeUnixNano, EndTimeUnixNano, Duration. The duration
 * column repeats the difference of the two times, coarser, and is not used.
 * The service is the pod's name without its last two parts; the pod stays as
 * the resource attribute k8s.pod.name. A trace may go on in the next file.
 */
#include "model/import_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/ident.h"
#include "model/utf8.h"

#define NR_COLUMNS 8
#define HEAD	   "TraceID,SpanID,ParentID,PodName,OperationName,"

enum column {
	COLUMN_TRACE,
	COLUMN_SPAN,
	COLUMN_PARENT,
	COLUMN_POD,
	COLUMN_OPERATION,
	COLUMN_START,
	COLUMN_END,
};

static const char *const column_names[NR_COLUMNS] = {
	"TraceID",	   "SpanID",	    "ParentID",
	"PodName",	   "OperationName", "StartTimeUnixNano",
	"EndTimeUnixNano", "Duration",
};

struct row {
	const struct import_file *file;
	size_t line;
	struct hs_model_str columns[NR_COLUMNS];
};

bool import_nezha_head(const char *bytes, size_t len)
{
	return len >= strlen(HEAD) && !memcmp(bytes, HEAD, strlen(HEAD));
}

static int row_say(const struct row *row, int column, const char *what)
{
	struct import_file at = *row->file;

	at.first_line = row->line;
	if (column < 0)
		import_say(&at, NULL, "%s", what);
	else
		import_say(&at, AT(NULL, column_names[column]), "\"%.*s\": %s",
			   row->columns[column].len > 64
				   ? 64
				   : (int)row->columns[column].len,
			   row->columns[column].ptr, what);
	return IMPORT_SKIP;
}

static int row_split(struct row *row, const char *text, size_t len)
{
	size_t from = 0, i;
	int column = 0;
	uint32_t step;

	/* JSON's parser sees to that by itself. */
	for (i = 0; i < len; i += step) {
		size_t left = len - i;

		step = hs_model_utf8_step(text + i,
					  left > 4 ? 4 : (uint32_t)left);
		if (!step)
			return row_say(row, -1, "is not UTF-8");
	}
	if (memchr(text, '"', len))
		return row_say(row, -1, "quoted columns are not known here");
	for (i = 0; i <= len; i++) {
		if (i < len && text[i] != ',')
			continue;
		if (column == NR_COLUMNS)
			return row_say(row, -1, "expected 8 columns, got more");
		row->columns[column++] = (struct hs_model_str){
			.ptr = text + from, .len = (uint32_t)(i - from)};
		from = i + 1;
	}
	if (column < NR_COLUMNS)
		return row_say(row, -1, "expected 8 columns, got fewer");
	return 0;
}

static int row_id(const struct row *row, enum column column, uint8_t *id,
		  size_t size)
{
	struct hs_model_str text = row->columns[column];
	int err = hs_model_id_parse(text.ptr, text.len, id, size);

	if (err && text.len && row->file->imp->options.remap_ids) {
		hs_model_id_hash(text.ptr, text.len, 6, id, size);
		row->file->imp->counts.nr_ids_remapped++;
		return 0;
	}
	if (err)
		return row_say(row, column, "is no id of hex digits");
	return 0;
}

static int row_time(const struct row *row, enum column column, int64_t *out)
{
	struct hs_model_str text = row->columns[column];

	if (import_text_i64(text.ptr, text.len, out) || *out < 0)
		return row_say(row, column,
			       "expected nanoseconds since the epoch");
	return 0;
}

static struct hs_model_str service_of(struct hs_model_str pod)
{
	uint32_t len = pod.len;
	int parts = 2;

	while (len && parts) {
		len--;
		parts -= pod.ptr[len] == '-';
	}
	/* A pod of fewer parts is its own service. */
	if (!parts && len)
		pod.len = len;
	return pod;
}

static int resource_get(struct hs_model_trace *trace, struct hs_model_str pod,
			uint32_t *index)
{
	struct hs_model_value value = {.type = HS_MODEL_VALUE_STRING,
				       .str = pod};
	uint32_t i;
	int err;

	for (i = 0; i < trace->nr_resources; i++) {
		const struct hs_model_attrs *attrs =
			&trace->resources[i]->attrs;

		if (attrs->nr &&
		    hs_model_str_equal(attrs->items[0].value.str, pod)) {
			*index = i;
			return 0;
		}
	}
	err = hs_model_resource_add(trace, service_of(pod), index);
	return err ? err
		   : hs_model_attrs_add(trace, &trace->resources[*index]->attrs,
					hs_model_str("k8s.pod.name"), &value);
}

static int trace_get(const struct row *row, struct hs_model_set *local,
		     struct hs_model_trace **out)
{
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];
	uint64_t nr_merged = 0;
	int err = row_id(row, COLUMN_TRACE, id, sizeof(id));

	if (err)
		return err;
	*out = hs_model_set_find(local, id);
	if (*out)
		return 0;
	*out = hs_model_trace_new(&row->file->imp->options.limits);
	if (!*out)
		return -ENOMEM;
	memcpy((*out)->id, id, sizeof(id));
	err = hs_model_set_commit(local, *out, HS_MODEL_MERGE_UNION,
				  &nr_merged);
	return err < 0 ? err : 0;
}

static int row_span(const struct row *row, struct hs_model_set *local)
{
	uint8_t id[HS_MODEL_SPAN_ID_SIZE], parent[HS_MODEL_SPAN_ID_SIZE];
	bool is_root = hs_model_str_is(row->columns[COLUMN_PARENT], "root");
	struct hs_model_trace *trace;
	struct hs_model_span *span;
	int64_t start, end;
	uint32_t resource;
	int err;

	err = row_id(row, COLUMN_SPAN, id, sizeof(id));
	if (!err && !is_root)
		err = row_id(row, COLUMN_PARENT, parent, sizeof(parent));
	if (!err)
		err = row_time(row, COLUMN_START, &start);
	if (!err)
		err = row_time(row, COLUMN_END, &end);
	if (!err)
		err = trace_get(row, local, &trace);
	if (err)
		return err;
	err = resource_get(trace, row->columns[COLUMN_POD], &resource);
	if (!err)
		err = hs_model_span_add(trace, id, resource, &span);
	if (err)
		return import_limit(row->file, NULL, err);
	span->start_ns = start;
	span->duration_ns = end - start;
	err = hs_model_trace_set_name(trace, row->columns[COLUMN_OPERATION],
				      &span->name);
	if (!err && !is_root)
		err = hs_model_span_add_ref(trace, span, HS_MODEL_REF_CHILD_OF,
					    trace->id, parent, NULL);
	hs_model_span_derive_parent(trace, span);
	if (!err)
		return 0;
	hs_model_span_drop_last(trace);
	return import_limit(row->file, NULL, err);
}

static int row_read(struct row *row, const char *text, size_t len,
		    struct hs_model_set *local)
{
	struct hs_model_import_counts *counts = &row->file->imp->counts;
	int err;

	if (len && text[len - 1] == '\r')
		len--;
	if (!len)
		return 0;
	err = row_split(row, text, len);
	if (!err)
		err = row_span(row, local);
	if (err < 0)
		return err;
	if (err)
		counts->nr_spans_skipped++;
	else
		counts->nr_spans++;
	return 0;
}

int import_nezha(struct import_file *file, const char *bytes, size_t len)
{
	struct row row = {.file = file};
	struct hs_model_set local;
	size_t at = 0;
	int err = 0;

	if (!import_nezha_head(bytes, len)) {
		import_say(file, NULL,
			   "holds no trace: the first line is not " HEAD "...");
		return IMPORT_SKIP;
	}
	hs_model_set_init(&local);
	while (!err && at < len) {
		const char *end = memchr(bytes + at, '\n', len - at);
		size_t size = end ? (size_t)(end - (bytes + at)) : len - at;

		row.line++;
		if (row.line > 1)
			err = row_read(&row, bytes + at, size, &local);
		at += size + 1;
	}
	if (!err)
		err = import_commit_set(file, &local, HS_MODEL_MERGE_UNION);
	hs_model_set_destroy(&local);
	return err;
}

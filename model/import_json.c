/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON documents, one or many in a file: found by a scan that knows strings
 * and nesting only, which also holds the limit on depth, then parsed one by
 * one and given to the importer that their content asks for.
 */
#include "model/import_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Jansson stops at its own depth, so a larger limit would be a lie. */
#define DEPTH_MAX 2000

struct scan {
	const char *bytes;
	size_t len;
	size_t at;
	size_t line; /* of @at, from 1 */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct scan *scan)
{
	for (; scan->at < scan->len && is_space(scan->bytes[scan->at]);
	     scan->at++)
		scan->line += scan->bytes[scan->at] == '\n';
}

static void skip_string(struct scan *scan)
{
	for (scan->at++; scan->at < scan->len; scan->at++) {
		char c = scan->bytes[scan->at];

		if (c == '\\' && scan->at + 1 < scan->len)
			scan->at++;
		else if (c == '"')
			return;
		else if (c == '\n')
			scan->line++;
	}
}

/*
 * Move past one top-level object or array, or to the end of the bytes where it
 * is cut short. Return: 0, or -E2BIG at the bracket that nests too deeply.
 */
static int skip_document(struct scan *scan, uint32_t max_depth)
{
	uint32_t depth = 0;

	for (; scan->at < scan->len; scan->at++) {
		char c = scan->bytes[scan->at];

		if (c == '"') {
			skip_string(scan);
		} else if (c == '{' || c == '[') {
			if (++depth > max_depth)
				return -E2BIG;
		} else if ((c == '}' || c == ']') && (!depth || !--depth)) {
			scan->at++;
			return 0;
		} else if (c == '\n') {
			scan->line++;
			/* Brackets never opened: one line is one mistake. */
			if (!depth)
				return 0;
		}
	}
	return 0;
}

static const char *root_kind(const json_t *root)
{
	switch (json_typeof(root)) {
	case JSON_ARRAY:
		return "a list";
	case JSON_OBJECT:
		return "an object";
	default:
		return "neither a list nor an object";
	}
}

static int import_root(struct import_file *file, const json_t *root,
		       struct hs_model_set *local)
{
	enum hs_model_format format = file->imp->options.format;

	if (format == HS_MODEL_FORMAT_AUTO) {
		if (json_object_get(root, "resourceSpans"))
			format = HS_MODEL_FORMAT_OTLP;
		else if (json_object_get(root, "data") ||
			 json_object_get(root, "spans"))
			format = HS_MODEL_FORMAT_JAEGER;
	}
	if (format == HS_MODEL_FORMAT_OTLP)
		return import_otlp(file, root, local);
	if (format == HS_MODEL_FORMAT_JAEGER)
		return import_jaeger(file, root);
	import_say(file, NULL,
		   "holds no trace: %s without \"resourceSpans\" (OTLP), "
		   "\"data\" or \"spans\" (Jaeger)",
		   root_kind(root));
	return IMPORT_SKIP;
}

static int import_document(struct import_file *file, const char *bytes,
			   size_t len, struct hs_model_set *local)
{
	json_error_t why;
	json_t *root;
	int err;

	root = json_loadb(bytes, len, JSON_ALLOW_NUL, &why);
	if (!root) {
		size_t line = file->first_line;

		file->first_line = 0;
		import_say(file, NULL, "line %zu column %d: not valid JSON: %s",
			   line + (size_t)(why.line > 0 ? why.line - 1 : 0),
			   why.column, why.text);
		file->first_line = line;
		return IMPORT_SKIP;
	}
	err = import_root(file, root, local);
	json_decref(root);
	return err;
}

int import_json(struct import_file *file, const char *bytes, size_t len)
{
	struct scan scan = {.bytes = bytes, .len = len, .line = 1};
	uint32_t max_depth = file->imp->options.max_depth;
	uint64_t nr_good = 0, nr_bad = 0;
	struct hs_model_set local;
	int err = 0, deep = 0;

	if (max_depth > DEPTH_MAX)
		max_depth = DEPTH_MAX;
	hs_model_set_init(&local);
	for (skip_space(&scan); scan.at < len && !deep; skip_space(&scan)) {
		size_t from = scan.at;

		file->first_line = scan.line;
		deep = skip_document(&scan, max_depth);
		if (deep) {
			import_say(file, NULL,
				   "line %zu: nested deeper than %" PRIu32,
				   scan.line, max_depth);
			nr_bad++;
			break;
		}
		err = import_document(file, bytes + from, scan.at - from,
				      &local);
		if (err < 0)
			break;
		if (err)
			nr_bad++;
		else
			nr_good++;
	}
	file->first_line = 1;
	if (err >= 0 && local.nr_traces)
		err = import_commit_set(file, &local,
					file->imp->options.remap_ids
						? HS_MODEL_MERGE_RENAME
						: HS_MODEL_MERGE_REFUSE);
	else if (err > 0)
		err = 0;
	hs_model_set_destroy(&local);
	if (err < 0)
		return err;
	if (err == IMPORT_SKIP || !nr_good)
		return IMPORT_SKIP;
	file->imp->counts.nr_files_damaged += nr_bad > 0;
	return 0;
}

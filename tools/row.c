/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a collector's listing. See row.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "tools/row.h"

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static int64_t number_of(const json_t *json, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(json, key));
}

static const json_t *list_of(const json_t *json, const char *key)
{
	const json_t *list = json_object_get(json, key);

	return json_is_array(list) ? list : NULL;
}

int hs_tools_row_read(const json_t *json, struct hs_tools_row *row)
{
	int64_t duration_ns = number_of(json, "duration_ns");

	memset(row, 0, sizeof(*row));
	row->id = text_of(json, "trace_id");
	row->mark = text_of(json, "mark");
	if (strlen(row->id) != 32 || !*row->mark)
		return -EBADMSG;
	row->version = (uint64_t)number_of(json, "version");
	row->start_ns = number_of(json, "start_ns");
	row->duration_ns = duration_ns > 0 ? (uint64_t)duration_ns : 0;
	row->service = text_of(json, "service");
	row->operation = text_of(json, "operation");
	row->nr_spans = (uint64_t)number_of(json, "spans");
	row->error = json_is_true(json_object_get(json, "error"));
	row->triggers = list_of(json, "triggers");
	row->nodes = list_of(json, "nodes");
	row->causes = list_of(json, "causes");
	return 0;
}

/* Append what fits; a text that is full stays full. */
static size_t append(char *text, size_t text_bytes, size_t used,
		     const char *more)
{
	int n;

	if (used >= text_bytes)
		return used;
	n = snprintf(text + used, text_bytes - used, "%s", more);
	return n < 0 ? used : used + (size_t)n;
}

/* A node's id as a person knows it: its number, without the incarnation. */
static void node_name(const char *id, char *out, size_t out_bytes)
{
	uint64_t node;

	if (strlen(id) == 16 && !hs_hex_u64_parse(id, 16, &node))
		snprintf(out, out_bytes, "node %llu",
			 (unsigned long long)(node >> 32));
	else
		snprintf(out, out_bytes, "%s", id);
}

static size_t append_one(char *text, size_t text_bytes, size_t used,
			 const json_t *item)
{
	const char *cause = text_of(item, "cause");
	const char *name = json_string_value(item);
	char node[64] = "";

	if (!name)
		name = text_of(item, "name");
	if (!*name)
		name = text_of(item, "node");
	node_name(name, node, sizeof(node));
	used = append(text, text_bytes, used, node);
	if (*cause && *node)
		used = append(text, text_bytes, used, ": ");
	return append(text, text_bytes, used, cause);
}

void hs_tools_row_names(const json_t *list, char *text, size_t text_bytes)
{
	size_t used = 0, i;

	text[0] = 0;
	for (i = 0; i < json_array_size(list); i++) {
		if (i)
			used = append(text, text_bytes, used, ", ");
		used = append_one(text, text_bytes, used,
				  json_array_get(list, i));
	}
}

void hs_tools_row_mark(const struct hs_tools_row *row, char *text,
		       size_t text_bytes)
{
	char causes[512];

	hs_tools_row_names(row->causes, causes, sizeof(causes));
	if (!strcmp(row->mark, "complete"))
		snprintf(text, text_bytes, "complete as of v%llu",
			 (unsigned long long)row->version);
	else if (!strcmp(row->mark, "open"))
		snprintf(text, text_bytes, "open: may still grow%s%s",
			 *causes ? "; " : "", causes);
	else
		snprintf(text, text_bytes, "%s%s%s", row->mark,
			 *causes ? ": " : "", causes);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_trace.c - one trace, in the format that is asked for
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "collector/api.h"
#include "collector/decode.h"
#include "collector/summary.h"
#include "model/export.h"

/* A response is put together in memory. */
#define TEXT_MAX_BYTES (512ull << 20)
#define CAUSES_MAX     8192u
#define NODES_MAX      HS_WIRE_ANSWERS_MAX

static json_t *flag_names(uint16_t flags)
{
	static const char *const names[] = {"evicted", "lost",	   "abandoned",
					    "crashed", "modified", "cut"};
	json_t *out = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & 1u << i)
			json_array_append_new(out, json_string(names[i]));
	return out;
}

static json_t *node_json(const struct hs_assembly_node *n)
{
	char id[17];

	hs_hex_u64_encode(id, n->node);
	return json_pack(
		"{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "node", id,
		"state",
		n->answered ? hs_assembly_state_name(n->state) : "no answer",
		"flags", flag_names(n->flags), "rev", (json_int_t)n->rev,
		"crumbs", (json_int_t)n->nr_crumbs, "buffers",
		(json_int_t)n->nr_buffers, "bytes", (json_int_t)n->nr_bytes,
		"arrived_buffers", (json_int_t)n->arrived_buffers,
		"arrived_bytes", (json_int_t)n->arrived_bytes);
}

static json_t *nodes_json(struct hs_assembly *a,
			  const struct hs_wire_trace_id *id)
{
	struct hs_assembly_node *nodes = calloc(NODES_MAX, sizeof(*nodes));
	json_t *out = json_array();
	uint32_t nr = nodes ? hs_assembly_nodes(a, id, nodes, NODES_MAX) : 0;

	for (uint32_t i = 0; i < nr; i++)
		json_array_append_new(out, node_json(&nodes[i]));
	free(nodes);
	return out;
}

static json_t *triggers_json(struct hs_assembly *a,
			     const struct hs_wire_trace_id *id)
{
	struct hs_wire_trigger t[HS_WIRE_TRIGGERS_MAX];
	uint32_t nr = hs_assembly_triggers(a, id, t, HS_WIRE_TRIGGERS_MAX);
	json_t *out = json_array();

	for (uint32_t i = 0; i < nr; i++) {
		char origin[17];
		char primary[33];

		hs_hex_u64_encode(origin, t[i].origin);
		hs_hex_u128_encode(primary, t[i].primary.hi, t[i].primary.lo);
		json_array_append_new(
			out, json_pack("{s:s, s:s, s:I, s:I, s:s}", "name",
				       t[i].name, "origin", origin, "key",
				       (json_int_t)t[i].key, "fired_ns",
				       (json_int_t)t[i].fired_ns, "primary",
				       primary));
	}
	return out;
}

static json_t *decode_json(const struct hs_decode_stats *s)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "spans",
		(json_int_t)s->records.spans, "unfinished",
		(json_int_t)s->records.unfinished, "orphans",
		(json_int_t)s->records.orphans, "over_limits",
		(json_int_t)s->records.over_limits + (json_int_t)s->over_limit,
		"foreign", (json_int_t)s->records.foreign, "damaged",
		(json_int_t)s->damaged, "holes",
		(json_int_t)s->holes + (json_int_t)s->records.records.gaps,
		"garbage",
		(json_int_t)s->records.records.garbage +
			(json_int_t)s->records.records.bad_buffers);
}

/* The row of a listing, from the spans as they are now. */
static json_t *row_json(const char *text, const struct hs_assembly_view *view,
			const struct hs_model_trace *trace)
{
	const struct hs_model_span *root = hs_model_trace_root(trace);
	struct hs_model_str service = {0};
	struct hs_model_str name = {0};
	int64_t start_ns = 0;
	int64_t end_ns = 0;

	if (root) {
		service = hs_model_span_resource(trace, root)->service;
		name = root->name;
		hs_model_trace_bounds(trace, &start_ns, &end_ns);
	}
	return json_pack(
		"{s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:o, s:o, s:b, s:I}",
		"trace_id", text, "mark", hs_assembly_mark_name(view->mark),
		"version", (json_int_t)view->version, "settled", view->settled,
		"bytes", (json_int_t)view->nr_bytes, "start_ns",
		(json_int_t)start_ns, "duration_ns",
		(json_int_t)hs_model_trace_duration_ns(trace), "service",
		hs_api_string(service.ptr ? service.ptr : ""), "operation",
		hs_api_string(name.ptr ? name.ptr : ""), "error",
		hs_model_trace_has_error(trace), "spans",
		(json_int_t)trace->nr_spans);
}

/* Everything that a manifest and what arrived say, without the spans. */
static json_t *head_json(const struct hs_api *api, const char *text,
			 const struct hs_assembly_view *view,
			 const struct hs_model_trace *trace,
			 const struct hs_decode_stats *stats)
{
	struct hs_assembly *a = hs_collector_assembly(api->collector);
	json_t *out = row_json(text, view, trace);
	json_t *causes = hs_summary_causes(a, &view->id, CAUSES_MAX);
	json_t *nodes = nodes_json(a, &view->id);
	json_t *names = json_array();
	json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node)
		json_array_append(names, json_object_get(node, "node"));
	hs_api_names(api, causes);
	hs_api_names(api, nodes);
	json_object_set_new(out, "causes", causes);
	json_object_set_new(out, "triggers", triggers_json(a, &view->id));
	json_object_set_new(out, "nodes", names);
	json_object_set_new(
		out, "manifest",
		json_pack(
			"{s:o, s:{s:i, s:b}}", "nodes", nodes, "sought",
			"nodes", view->sought & HS_WIRE_SOUGHT_MAX, "everybody",
			view->sought && !(view->sought & HS_WIRE_SOUGHT_PART)));
	json_object_set_new(out, "decoded", decode_json(stats));
	return out;
}

static int export_text(struct hs_model_text *text,
		       enum hs_model_export_format format,
		       const struct hs_model_trace *trace)
{
	struct hs_model_export export;
	int rc = hs_model_export_begin(&export, format, text);

	if (!rc)
		rc = hs_model_export_trace(&export, trace);
	return rc ? rc : hs_model_export_end(&export);
}

/* The head, and behind it the export's own text, unparsed. */
static int hs_text(struct hs_model_text *text, json_t *head,
		   const struct hs_model_trace *trace)
{
	char *dump = head ? json_dumps(head, JSON_COMPACT) : NULL;
	size_t len = dump ? strlen(dump) : 0;
	int rc;

	if (len < 2) {
		free(dump);
		return -ENOMEM;
	}
	hs_model_text_add(text, dump, len - 1);
	free(dump);
	hs_model_text_puts(text, ",\"jaeger\":");
	rc = export_text(text, HS_MODEL_EXPORT_JAEGER, trace);
	hs_model_text_puts(text, "}");
	return rc ? rc : hs_model_text_error(text);
}

struct wanted {
	struct hs_wire_trace_id id;
	char text[33];
	bool hs; /* else: */
	enum hs_model_export_format format;
};

/* Return: 0; else @response says what is wrong. */
static int wanted_parse(const struct hs_httpd_request *request,
			struct hs_httpd_response *response,
			struct wanted *wanted)
{
	const char *format = hs_httpd_query(request, "format");
	const char *id = request->param ? request->param : "";

	if (hs_hex_u128_parse(id, strlen(id), &wanted->id.hi, &wanted->id.lo) ||
	    !(wanted->id.hi | wanted->id.lo)) {
		hs_httpd_error(response, 400,
			       "'%s' is no trace id: wants up to 32 "
			       "hexadecimal digits",
			       id);
		return -EINVAL;
	}
	hs_hex_u128_encode(wanted->text, wanted->id.hi, wanted->id.lo);
	wanted->hs = !format || !format[0] || !strcmp(format, "hs");
	if (!wanted->hs &&
	    hs_model_export_format_parse(format, &wanted->format)) {
		hs_httpd_error(response, 400,
			       "format='%s': wants hs, jaeger, otlp or "
			       "perfetto",
			       format);
		return -EINVAL;
	}
	return 0;
}

/* Under the collector's lock: everything that is needed, copied out. */
static int gather(const struct hs_api *api, const struct wanted *wanted,
		  struct hs_model_trace **trace, json_t **head)
{
	struct hs_collector *c = api->collector;
	struct hs_assembly *a = hs_collector_assembly(c);
	struct hs_assembly_view view;
	struct hs_decode_stats stats;
	int rc = hs_assembly_view(a, &wanted->id, &view);

	if (!rc)
		rc = hs_decode_trace(
			(struct hs_decode_source){
				.store = hs_collector_store(c)},
			&wanted->id, trace, &stats);
	/* What reading found out the mark has to name. */
	if (!rc && stats.damaged) {
		hs_collector_damaged(c, &wanted->id);
		rc = hs_assembly_view(a, &wanted->id, &view);
	}
	if (!rc && wanted->hs)
		*head = head_json(api, wanted->text, &view, *trace, &stats);
	return rc;
}

void hs_api_trace(void *ctx, const struct hs_httpd_request *request,
		  struct hs_httpd_response *response)
{
	struct hs_api *api = ctx;
	struct hs_model_trace *trace = NULL;
	struct hs_model_text text;
	struct wanted wanted;
	json_t *head = NULL;
	int rc;

	if (wanted_parse(request, response, &wanted))
		return;
	hs_collector_lock(api->collector);
	rc = gather(api, &wanted, &trace, &head);
	hs_collector_unlock(api->collector);
	if (rc == -ENOENT) {
		hs_httpd_error(response, 404, "no trace %s here", wanted.text);
		return;
	}
	hs_model_text_init(&text);
	text.max_bytes = TEXT_MAX_BYTES;
	if (!rc)
		rc = wanted.hs ? hs_text(&text, head, trace)
			       : export_text(&text, wanted.format, trace);
	if (!rc)
		rc = hs_model_text_error(&text);
	json_decref(head);
	hs_model_trace_free(trace);
	if (rc) {
		hs_model_text_destroy(&text);
		hs_httpd_error(response, rc == -E2BIG ? 413 : 500,
			       "trace %s: %s", wanted.text, strerror(-rc));
		return;
	}
	response->body = text.ptr;
	response->body_bytes = text.len;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * summary.c - a trace's row in the index
 */
#include "collector/summary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "collector/decode.h"

json_t *hs_summary_causes(struct hs_assembly *assembly,
			  const struct hs_wire_trace_id *trace, uint32_t max)
{
	struct hs_assembly_cause *causes = calloc(max, sizeof(*causes));
	json_t *out = json_array();
	uint32_t nr;

	if (!causes || !out)
		goto failed;
	nr = hs_assembly_causes(assembly, trace, causes, max);
	for (uint32_t i = 0; i < nr; i++) {
		char node[17];

		hs_hex_u64_encode(node, causes[i].node);
		if (json_array_append_new(
			    out,
			    json_pack("{s:s, s:s}", "node",
				      causes[i].node ? node : "collector",
				      "cause",
				      hs_assembly_why_name(causes[i].why))))
			goto failed;
	}
	free(causes);
	return out;
failed:
	free(causes);
	json_decref(out);
	return NULL;
}

/* Rows are written by the thousand: their JSON is put together by hand. */
struct text {
	char data[HS_SUMMARY_TEXT_BYTES];
	size_t used;
};

static void text_add(struct text *t, const char *what, size_t bytes)
{
	/* The limits of causes and nodes keep it short enough. */
	if (bytes >= sizeof(t->data) - t->used)
		return;
	memcpy(t->data + t->used, what, bytes);
	t->used += bytes;
}

#define TEXT_ADD(t, literal) text_add(t, literal, sizeof(literal) - 1)

static void text_add_node(struct text *t, uint64_t node)
{
	char hex[17];

	hs_hex_u64_encode(hex, node);
	text_add(t, hex, 16);
}

/* Return: as a string, which text_add() has left room for the end of. */
static const char *text_end(struct text *t)
{
	t->data[t->used] = '\0';
	return t->data;
}

static void causes_text(struct text *t, struct hs_assembly *assembly,
			const struct hs_wire_trace_id *trace)
{
	struct hs_assembly_cause causes[HS_SUMMARY_CAUSES_MAX];
	uint32_t nr = hs_assembly_causes(assembly, trace, causes,
					 HS_SUMMARY_CAUSES_MAX);

	TEXT_ADD(t, "[");
	for (uint32_t i = 0; i < nr; i++) {
		const char *why = hs_assembly_why_name(causes[i].why);

		if (i)
			TEXT_ADD(t, ",");
		TEXT_ADD(t, "{\"node\":\"");
		if (causes[i].node)
			text_add_node(t, causes[i].node);
		else
			TEXT_ADD(t, "collector");
		TEXT_ADD(t, "\",\"cause\":\"");
		text_add(t, why, strlen(why));
		TEXT_ADD(t, "\"}");
	}
	TEXT_ADD(t, "]");
}

static void nodes_text(struct text *t, struct hs_assembly *assembly,
		       const struct hs_wire_trace_id *trace)
{
	struct hs_assembly_node nodes[HS_SUMMARY_NODES_MAX];
	uint32_t nr =
		hs_assembly_nodes(assembly, trace, nodes, HS_SUMMARY_NODES_MAX);

	TEXT_ADD(t, "[");
	for (uint32_t i = 0; i < nr; i++) {
		if (i)
			TEXT_ADD(t, ",");
		TEXT_ADD(t, "\"");
		text_add_node(t, nodes[i].node);
		TEXT_ADD(t, "\"");
	}
	TEXT_ADD(t, "]");
}

int hs_summary_mark(struct hs_store *store, struct hs_assembly *assembly,
		    const struct hs_wire_trace_id *trace,
		    struct hs_assembly_view *view)
{
	struct text causes, nodes;
	struct hs_index_mark mark;
	int rc;

	causes.used = 0;
	nodes.used = 0;
	/* First, since looking for causes is what marks it. */
	causes_text(&causes, assembly, trace);
	rc = hs_assembly_view(assembly, trace, view);
	if (rc == -ENOENT) {
		/* Only damaged records are left of it. */
		*view = (struct hs_assembly_view){.id = *trace};
		rc = 0;
	}
	if (rc)
		return rc;
	nodes_text(&nodes, assembly, trace);
	mark = (struct hs_index_mark){.mark = (int)view->mark,
				      .version = view->version,
				      .nr_bytes = view->nr_bytes,
				      .causes = text_end(&causes),
				      .nodes = text_end(&nodes)};
	return hs_store_put_mark(store, trace, &mark,
				 (int64_t)hs_clock_real_ns());
}

static void add_service(struct hs_index_summary *s, const char **names,
			const char *name)
{
	for (uint32_t i = 0; i < s->nr_services; i++)
		if (!strcmp(names[i], name))
			return;
	if (name[0] && s->nr_services < HS_SUMMARY_SERVICES_MAX)
		names[s->nr_services++] = name;
}

static const char *text_of(struct hs_model_str str)
{
	return str.ptr ? str.ptr : "";
}

int hs_summary_make(struct hs_store_view *view, struct hs_index *index,
		    const struct hs_wire_trace_id *id)
{
	const char *names[HS_SUMMARY_SERVICES_MAX];
	struct hs_index_summary s = {
		.service = "", .operation = "", .services = names};
	const struct hs_model_span *root;
	struct hs_decode_stats stats;
	struct hs_model_trace *trace;
	int rc = hs_decode_trace((struct hs_decode_source){.view = view}, id,
				 &trace, &stats);

	if (rc)
		return rc;
	root = hs_model_trace_root(trace);
	if (root) {
		int64_t end_ns;

		s.service =
			text_of(hs_model_span_resource(trace, root)->service);
		s.operation = text_of(root->name);
		s.nr_spans = trace->nr_spans;
		s.error = hs_model_trace_has_error(trace);
		s.duration_ns = hs_model_trace_duration_ns(trace);
		hs_model_trace_bounds(trace, &s.start_ns, &end_ns);
		for (uint32_t i = 0; i < trace->nr_resources; i++)
			add_service(&s, names,
				    text_of(trace->resources[i]->service));
	}
	rc = hs_index_put_summary(index, id, &s);
	hs_model_trace_free(trace);
	return rc ? rc : stats.damaged > 0;
}

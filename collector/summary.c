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

static json_t *node_names(struct hs_assembly *assembly,
			  const struct hs_wire_trace_id *trace)
{
	struct hs_assembly_node nodes[HS_SUMMARY_NODES_MAX];
	uint32_t nr =
		hs_assembly_nodes(assembly, trace, nodes, HS_SUMMARY_NODES_MAX);
	json_t *out = json_array();

	for (uint32_t i = 0; out && i < nr; i++) {
		char node[17];

		hs_hex_u64_encode(node, nodes[i].node);
		json_array_append_new(out, json_string(node));
	}
	return out;
}

int hs_summary_mark(struct hs_store *store, struct hs_assembly *assembly,
		    const struct hs_wire_trace_id *trace,
		    struct hs_assembly_view *view)
{
	json_t *causes;
	json_t *nodes;
	char *text[2] = {NULL, NULL};
	int rc = hs_assembly_view(assembly, trace, view);

	if (rc == -ENOENT) {
		/* Only damaged records are left of it. */
		*view = (struct hs_assembly_view){.id = *trace};
		rc = 0;
	}
	if (rc)
		return rc;
	causes = hs_summary_causes(assembly, trace, HS_SUMMARY_CAUSES_MAX);
	nodes = node_names(assembly, trace);
	if (causes && nodes) {
		text[0] = json_dumps(causes, JSON_COMPACT);
		text[1] = json_dumps(nodes, JSON_COMPACT);
	}
	if (text[0] && text[1])
		rc = hs_index_put_mark(hs_store_index(store), trace,
				       (int)view->mark, view->version, text[0],
				       text[1], view->nr_bytes,
				       (int64_t)hs_clock_real_ns());
	else
		rc = -ENOMEM;
	free(text[0]);
	free(text[1]);
	json_decref(causes);
	json_decref(nodes);
	return rc;
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

int hs_summary_make(struct hs_store *store, const struct hs_wire_trace_id *id)
{
	const char *names[HS_SUMMARY_SERVICES_MAX];
	struct hs_index_summary s = {
		.service = "", .operation = "", .services = names};
	const struct hs_model_span *root;
	struct hs_decode_stats stats;
	struct hs_model_trace *trace;
	int rc = hs_decode_trace(store, id, &trace, &stats);

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
	rc = hs_index_put_summary(hs_store_index(store), id, &s);
	hs_model_trace_free(trace);
	return rc ? rc : stats.damaged > 0;
}

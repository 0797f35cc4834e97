/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as Chrome's trace events: a process per service, complete ("X")
 * events, and an arrow from parent to child where it crosses services.
 *
 * Viewers nest what lies on one thread by time alone. So a span shares a lane
 * only with its ancestors and with what had ended before it began; all others
 * get lanes of their own.
 *
 * Times count from midnight (UTC) before the first trace: viewers keep them as
 * doubles of microseconds, in which nanoseconds since the epoch get lost.
 */
#include "model/export_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/tree.h"

#define DAY_NS	    (86400ll * 1000000000ll)
#define LANES_TRIED 512

/* Of each span: where it is drawn. */
struct place {
	uint32_t service;
	uint32_t lane;
};

/* Of each lane: the innermost span that is still open there. */
struct lane {
	uint32_t service;
	uint32_t open;
};

struct perfetto {
	struct hs_model_export *export;
	const struct hs_model_trace *trace;
	struct hs_model_tree tree;
	struct place *places;
	struct lane *lanes;
	uint32_t nr_lanes;
	uint32_t *service_of; /* resource -> first resource of that name */
	uint64_t first_pid;
};

static void time_write(struct hs_model_text *text, int64_t time_ns)
{
	const char *sign = time_ns < 0 ? "-" : "";
	uint64_t ns = time_ns < 0 ? -(uint64_t)time_ns : (uint64_t)time_ns;

	hs_model_text_printf(text, "%s%" PRIu64 ".%03u", sign, ns / 1000,
			     (unsigned int)(ns % 1000));
}

static void where_write(const struct perfetto *p, uint32_t span)
{
	hs_model_text_printf(p->export->text,
			     ",\"pid\":%" PRIu64 ",\"tid\":%" PRIu32,
			     p->first_pid + p->places[span].service,
			     p->places[span].lane + 1);
}

static int service_order(const void *x, const void *y, void *ctx)
{
	const struct hs_model_trace *trace = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	struct hs_model_str sa = trace->resources[a]->service;
	struct hs_model_str sb = trace->resources[b]->service;
	uint32_t len = sa.len < sb.len ? sa.len : sb.len;
	int order = len ? memcmp(sa.ptr, sb.ptr, len) : 0;

	if (!order)
		order = (sa.len > sb.len) - (sa.len < sb.len);
	return order ? order : (a > b) - (a < b);
}

/* Resources of one service name are one process. */
static int services_find(struct perfetto *p)
{
	const struct hs_model_trace *trace = p->trace;
	uint32_t nr = trace->nr_resources, i, first = 0;
	uint32_t *order = malloc(((size_t)nr + 1) * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		order[i] = i;
	qsort_r(order, nr, sizeof(*order), service_order, (void *)trace);
	for (i = 0; i < nr; i++) {
		if (!hs_model_str_equal(
			    trace->resources[order[i]]->service,
			    trace->resources[order[first]]->service))
			first = i;
		p->service_of[order[i]] = order[first];
	}
	free(order);
	return 0;
}

/* What of the lane is still open at the time that @span starts. */
static uint32_t lane_open(const struct perfetto *p, uint32_t index,
			  int64_t start_ns)
{
	struct lane *lane = &p->lanes[index];

	while (lane->open != HS_MODEL_TREE_NONE &&
	       hs_model_span_end_ns(p->trace->spans[lane->open]) <= start_ns) {
		uint32_t up = p->tree.nodes[lane->open].parent;

		/* Below an ancestor on this lane, or the lane is free. */
		while (up != HS_MODEL_TREE_NONE && p->places[up].lane != index)
			up = p->tree.nodes[up].parent;
		lane->open = up;
	}
	return lane->open;
}

static bool lane_takes(const struct perfetto *p, uint32_t lane, uint32_t span)
{
	const struct hs_model_span *inner = p->trace->spans[span];
	const struct hs_model_span *outer;
	uint32_t open;

	if (p->lanes[lane].service != p->places[span].service)
		return false;
	open = lane_open(p, lane, inner->start_ns);
	if (open == HS_MODEL_TREE_NONE)
		return true;
	outer = p->trace->spans[open];
	return open == p->tree.nodes[span].parent &&
	       outer->start_ns <= inner->start_ns &&
	       hs_model_span_end_ns(outer) >= hs_model_span_end_ns(inner);
}

static void lane_choose(struct perfetto *p, uint32_t span)
{
	uint32_t i;

	for (i = 0; i < p->nr_lanes && i < LANES_TRIED; i++)
		if (lane_takes(p, i, span))
			break;
	if (i == LANES_TRIED)
		i = p->nr_lanes;
	if (i == p->nr_lanes)
		p->lanes[p->nr_lanes++].service = p->places[span].service;
	p->lanes[i].open = span;
	p->places[span].lane = i;
}

static int start_order(const void *x, const void *y, void *ctx)
{
	const struct perfetto *p = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	const struct hs_model_span *sa = p->trace->spans[a];
	const struct hs_model_span *sb = p->trace->spans[b];
	uint32_t depth_a = p->tree.nodes[a].depth;
	uint32_t depth_b = p->tree.nodes[b].depth;

	if (sa->start_ns != sb->start_ns)
		return sa->start_ns < sb->start_ns ? -1 : 1;
	/* A parent is on its lane before its child asks. */
	if (depth_a != depth_b)
		return depth_a < depth_b ? -1 : 1;
	return (a > b) - (a < b);
}

static int lanes_assign(struct perfetto *p)
{
	uint32_t nr = p->trace->nr_spans, i;
	uint32_t *order = malloc(((size_t)nr + 1) * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		order[i] = i;
		p->places[i].service =
			p->service_of[p->trace->spans[i]->resource];
		p->places[i].lane = UINT32_MAX;
	}
	qsort_r(order, nr, sizeof(*order), start_order, p);
	for (i = 0; i < nr; i++)
		lane_choose(p, order[i]);
	free(order);
	return 0;
}

static void args_write(struct hs_model_text *text,
		       const struct hs_model_trace *trace,
		       const struct hs_model_span *span)
{
	uint32_t i;

	hs_model_text_puts(text, ",\"args\":{\"trace_id\":");
	export_id(text, trace->id, sizeof(trace->id));
	hs_model_text_puts(text, ",\"span_id\":");
	export_id(text, span->id, sizeof(span->id));
	for (i = 0; i < span->attrs.nr; i++) {
		const struct hs_model_value *value =
			&span->attrs.items[i].value;

		hs_model_text_puts(text, ",");
		hs_model_text_json(text, span->attrs.items[i].key);
		hs_model_text_puts(text, ":");
		switch (value->type) {
		case HS_MODEL_VALUE_INT64:
			hs_model_text_printf(text, "%" PRId64, value->i64);
			break;
		case HS_MODEL_VALUE_FLOAT64:
			hs_model_text_f64(text, value->f64);
			break;
		case HS_MODEL_VALUE_BOOL:
			hs_model_text_puts(text,
					   value->boolean ? "true" : "false");
			break;
		case HS_MODEL_VALUE_BYTES:
			hs_model_text_base64(text, value->str);
			break;
		default:
			hs_model_text_json(text, value->str);
		}
	}
	hs_model_text_puts(text, "}}");
}

static void span_write(const struct perfetto *p, uint32_t index)
{
	struct hs_model_text *text = p->export->text;
	const struct hs_model_span *span = p->trace->spans[index];

	hs_model_text_puts(text, ",\n{\"ph\":\"X\",\"cat\":\"span\",\"name\":");
	hs_model_text_json(text, span->name);
	where_write(p, index);
	hs_model_text_puts(text, ",\"ts\":");
	time_write(text, span->start_ns - p->export->base_ns);
	hs_model_text_puts(text, ",\"dur\":");
	time_write(text, span->duration_ns > 0 ? span->duration_ns : 0);
	if (hs_model_span_has_error(span))
		hs_model_text_puts(text, ",\"cname\":\"terrible\"");
	args_write(text, p->trace, span);
}

/* The arrow leaves within the parent and arrives where the child begins. */
static void flow_write(const struct perfetto *p, uint32_t child)
{
	struct hs_model_text *text = p->export->text;
	uint32_t parent = p->tree.nodes[child].parent;
	const struct hs_model_span *from;
	int64_t start, leave;

	if (parent == HS_MODEL_TREE_NONE ||
	    p->places[parent].service == p->places[child].service)
		return;
	from = p->trace->spans[parent];
	start = p->trace->spans[child]->start_ns;
	leave = start;
	if (leave > hs_model_span_end_ns(from))
		leave = hs_model_span_end_ns(from);
	if (leave < from->start_ns)
		leave = from->start_ns;
	hs_model_text_printf(text,
			     ",\n{\"ph\":\"s\",\"cat\":\"call\",\"name\":"
			     "\"call\",\"id\":%" PRIu64,
			     p->export->next_flow);
	where_write(p, parent);
	hs_model_text_puts(text, ",\"ts\":");
	time_write(text, leave - p->export->base_ns);
	hs_model_text_printf(text,
			     "},\n{\"ph\":\"f\",\"bp\":\"e\",\"cat\":\"call\","
			     "\"name\":\"call\",\"id\":%" PRIu64,
			     p->export->next_flow++);
	where_write(p, child);
	hs_model_text_puts(text, ",\"ts\":");
	time_write(text, start - p->export->base_ns);
	hs_model_text_puts(text, "}");
}

static void processes_write(const struct perfetto *p)
{
	struct hs_model_text *text = p->export->text;
	bool any = false;
	uint32_t i;

	for (i = 0; i < p->trace->nr_resources; i++) {
		if (p->service_of[i] != i)
			continue;
		hs_model_text_printf(text,
				     "%s{\"ph\":\"M\",\"name\":"
				     "\"process_name\",\"pid\":%" PRIu64
				     ",\"args\":{\"name\":",
				     any ? ",\n" : "", p->first_pid + i);
		hs_model_text_json(text, p->trace->resources[i]->service);
		hs_model_text_puts(text, "}}");
		any = true;
	}
	for (i = 0; i < p->nr_lanes; i++)
		hs_model_text_printf(
			text,
			",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":"
			"%" PRIu64 ",\"tid\":%" PRIu32
			",\"args\":{\"name\":\"lane %" PRIu32 "\"}}",
			p->first_pid + p->lanes[i].service, i + 1, i + 1);
}

static int prepare(struct perfetto *p)
{
	size_t nr = (size_t)p->trace->nr_spans + 1;
	int err;

	p->places = calloc(nr, sizeof(*p->places));
	p->lanes = calloc(nr, sizeof(*p->lanes));
	p->service_of = calloc((size_t)p->trace->nr_resources + 1,
			       sizeof(*p->service_of));
	if (!p->places || !p->lanes || !p->service_of)
		return -ENOMEM;
	err = hs_model_tree_init(&p->tree, p->trace);
	if (!err)
		err = services_find(p);
	if (!err)
		err = lanes_assign(p);
	return err;
}

int export_perfetto(struct hs_model_export *export,
		    const struct hs_model_trace *trace)
{
	struct perfetto p = {.export = export, .trace = trace};
	int64_t start, end;
	uint32_t i;
	int err;

	if (!export->nr_traces) {
		hs_model_trace_bounds(trace, &start, &end);
		export->base_ns = start - start % DAY_NS;
	}
	p.first_pid = export->next_pid + 1;
	export->next_pid += trace->nr_resources;
	err = prepare(&p);
	if (!err) {
		processes_write(&p);
		for (i = 0; i < trace->nr_spans; i++)
			span_write(&p, i);
		for (i = 0; i < trace->nr_spans; i++)
			flow_write(&p, i);
	}
	hs_model_tree_destroy(&p.tree);
	free(p.places);
	free(p.lanes);
	free(p.service_of);
	return err;
}

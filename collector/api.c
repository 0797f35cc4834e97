/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.c - listings and status
 */
#include "collector/api.h"
#include "collector/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/door.h"
#include "base/hex.h"
#include "base/units.h"

json_t *hs_api_string(const char *text)
{
	json_t *out = json_string(text);
	char *copy;

	if (out)
		return out;
	copy = strdup(text);
	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	out = copy ? json_string(copy) : NULL;
	free(copy);
	return out;
}

static json_t *list_of(const char *text)
{
	json_t *list = json_loads(text, 0, NULL);

	return list ? list : json_array();
}

void hs_api_names(const struct hs_api *api, json_t *list)
{
	json_t *item;
	size_t i;

	if (!api->node_name)
		return;
	json_array_foreach(list, i, item)
	{
		const char *text =
			json_string_value(json_object_get(item, "node"));
		const char *name;
		uint64_t node;

		if (!text || hs_hex_u64_parse(text, strlen(text), &node))
			continue;
		name = api->node_name(api->ctx, node);
		if (name)
			json_object_set_new(item, "name", json_string(name));
	}
}

struct rows {
	const struct hs_api *api;
	json_t *list;
};

static int add_row(void *ctx, const struct hs_index_trace *t)
{
	const struct rows *rows = ctx;
	json_t *causes = list_of(t->causes);
	char id[33];
	json_t *row;

	hs_api_names(rows->api, causes);
	hs_hex_u128_encode(id, t->id.hi, t->id.lo);
	row = json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:b, s:I, s:I, s:I, s:o,"
		" s:o, s:o, s:o, s:b}",
		"trace_id", id, "mark",
		hs_assembly_mark_name((enum hs_assembly_mark)t->mark),
		"version", (json_int_t)t->version, "start_ns",
		(json_int_t)t->start_ns, "duration_ns",
		(json_int_t)t->duration_ns, "service",
		hs_api_string(t->service), "operation",
		hs_api_string(t->operation), "error", t->error, "spans",
		(json_int_t)t->nr_spans, "bytes", (json_int_t)t->nr_bytes,
		"updated_ns", (json_int_t)t->updated_ns, "triggers",
		list_of(t->triggers), "nodes", list_of(t->nodes), "services",
		list_of(t->services), "causes", causes, "stale", t->stale);
	return json_array_append_new(rows->list, row) ? -ENOMEM : 0;
}

/* ---- what is asked for -----------------------------------------------------
 */

static void refuse(struct hs_api_question *q, const char *name,
		   const char *text, const char *wants)
{
	if (!q->failed)
		hs_httpd_error(q->response, 400, "%s='%s': wants %s", name,
			       text, wants);
	q->failed = true;
}

/* Digits alone, or NULL-terminated text with a unit where @unit allows it. */
int64_t hs_api_ask_number(struct hs_api_question *q, const char *name,
			  bool unit, int64_t absent)
{
	const char *text = hs_httpd_query(q->request, name);
	uint64_t value;
	char *end;

	if (!text || !text[0])
		return absent;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end && !errno &&
	    value <= INT64_MAX)
		return (int64_t)value;
	if (unit && !hs_units_duration_parse(text, &value) &&
	    value <= INT64_MAX)
		return (int64_t)value;
	refuse(q, name, text,
	       unit ? "nanoseconds, or a duration such as 200ms"
		    : "a whole number");
	return absent;
}

static int ask_error(struct hs_api_question *q)
{
	const char *text = hs_httpd_query(q->request, "error");

	if (!text || !text[0])
		return -1;
	if (!strcmp(text, "true") || !strcmp(text, "1"))
		return 1;
	if (!strcmp(text, "false") || !strcmp(text, "0"))
		return 0;
	refuse(q, "error", text, "true or false");
	return -1;
}

static int ask_mark(struct hs_api_question *q)
{
	const char *text = hs_httpd_query(q->request, "mark");

	if (!text || !text[0])
		return -1;
	for (int i = 0; i < HS_ASSEMBLY_NR_MARKS; i++)
		if (!strcmp(text,
			    hs_assembly_mark_name((enum hs_assembly_mark)i)))
			return i;
	refuse(q, "mark", text, "open, complete or partial");
	return -1;
}

static const char *ask_text(struct hs_api_question *q, const char *name)
{
	const char *text = hs_httpd_query(q->request, name);

	return text && text[0] ? text : NULL;
}

static void traces(void *ctx, const struct hs_httpd_request *request,
		   struct hs_httpd_response *response)
{
	struct hs_api *api = ctx;
	struct hs_api_question q = {request, response, false};
	struct hs_index_filter filter = {
		.service = ask_text(&q, "service"),
		.trigger = ask_text(&q, "trigger"),
		.min_duration_ns =
			hs_api_ask_number(&q, "min_duration", true, -1),
		.max_duration_ns =
			hs_api_ask_number(&q, "max_duration", true, -1),
		.error = ask_error(&q),
		.since_ns = hs_api_ask_number(&q, "since", false, 0),
		.until_ns = hs_api_ask_number(&q, "until", false, 0),
		.mark = ask_mark(&q),
	};
	int64_t limit =
		hs_api_ask_number(&q, "limit", false, HS_API_LIMIT_DEFAULT);
	struct rows rows = {.api = api};
	int rc;

	if (limit < 1 || limit > HS_API_LIMIT_MAX)
		refuse(&q, "limit", hs_httpd_query(request, "limit"),
		       "1 to 1000000");
	if (q.failed)
		return;
	filter.limit = (uint32_t)limit;
	rows.list = json_array();
	hs_collector_lock(api->collector);
	rc = hs_index_query(hs_store_index(hs_collector_store(api->collector)),
			    &filter, add_row, &rows);
	hs_collector_unlock(api->collector);
	if (rc) {
		json_decref(rows.list);
		hs_httpd_error(response, 500, "the index: %s", strerror(-rc));
		return;
	}
	hs_httpd_json(response, 200, json_pack("{s:o}", "traces", rows.list));
}

/* ---- status
 * ------------------------------------------------------------------ */

#define NUMBER(object, from, field)                                            \
	json_object_set_new(object, #field,                                    \
			    json_integer((json_int_t)(from)->field))

static json_t *store_status(const struct hs_store_stats *s)
{
	json_t *out = json_object();
	const char *state = !s->error ? "ok"
			    : s->error == -ENOSPC || s->error == -EDQUOT ||
					    s->error == -EFBIG
				    ? "full"
				    : "error";

	json_object_set_new(out, "disk", json_string(state));
	if (s->error)
		json_object_set_new(out, "disk_error",
				    hs_api_string(s->error_text));
	NUMBER(out, s, nr_segments);
	NUMBER(out, s, disk_bytes);
	NUMBER(out, s, records);
	NUMBER(out, s, raw_bytes);
	NUMBER(out, s, stored_bytes);
	NUMBER(out, s, unsynced_bytes);
	NUMBER(out, s, effort);
	NUMBER(out, s, refused);
	NUMBER(out, s, expired_segments);
	NUMBER(out, s, expired_traces);
	NUMBER(out, s, syncs);
	NUMBER(out, s, sync_errors);
	NUMBER(out, s, recovered);
	return out;
}

static json_t *assembly_status(const struct hs_collector_stats *c)
{
	const struct hs_assembly_stats *s = &c->assembly;
	json_t *out = json_object();

	NUMBER(out, s, slices);
	NUMBER(out, s, slices_duplicate);
	NUMBER(out, s, manifests);
	NUMBER(out, s, manifests_duplicate);
	NUMBER(out, s, nr_traces);
	NUMBER(out, s, nr_pending);
	NUMBER(out, s, traces_loaded);
	NUMBER(out, s, traces_dropped);
	NUMBER(out, s, busy);
	NUMBER(out, c, acks_sent);
	NUMBER(out, c, acks_dropped);
	json_object_set_new(out, "summaries",
			    json_integer((json_int_t)c->store.idle_done));
	return out;
}

static json_t *operations_status(const struct hs_tally_stats *s)
{
	json_t *out = json_object();

	NUMBER(out, s, messages);
	NUMBER(out, s, malformed);
	NUMBER(out, s, rows_news);
	NUMBER(out, s, rows_known);
	NUMBER(out, s, over_limit);
	NUMBER(out, s, errors);
	NUMBER(out, s, sources);
	return out;
}

/* What was not kept, or not as it came. All 0 on a good day. */
static json_t *losses_status(const struct hs_collector_stats *c)
{
	json_t *out = json_object();

	NUMBER(out, &c->assembly, slices_malformed);
	NUMBER(out, &c->assembly, slices_over_limit);
	NUMBER(out, &c->assembly, manifests_malformed);
	NUMBER(out, &c->assembly, answers_over_limit);
	NUMBER(out, &c->assembly, triggers_over_limit);
	NUMBER(out, &c->assembly, ranges_over_limit);
	NUMBER(out, &c->assembly, store_errors);
	NUMBER(out, c, messages_failed);
	json_object_set_new(out, "summary_errors",
			    json_integer((json_int_t)c->store.idle_errors));
	NUMBER(out, &c->store, wake_errors);
	NUMBER(out, &c->store, damaged_bytes);
	NUMBER(out, &c->store, damaged_reads);
	NUMBER(out, &c->store, torn_bytes);
	NUMBER(out, &c->store, bad_segments);
	return out;
}

static void status(void *ctx, const struct hs_httpd_request *request,
		   struct hs_httpd_response *response)
{
	struct hs_api *api = ctx;
	struct hs_collector_stats stats;
	char node[17];
	json_t *marks;
	json_t *out;

	hs_hex_u64_encode(node, api->node);
	hs_collector_lock(api->collector);
	hs_collector_stats(api->collector, &stats);
	marks = json_object();
	for (int i = 0; i < HS_ASSEMBLY_NR_MARKS; i++)
		json_object_set_new(
			marks, hs_assembly_mark_name((enum hs_assembly_mark)i),
			json_integer((json_int_t)stats.counts.nr_marks[i]));
	json_object_set_new(marks, "stale",
			    json_integer((json_int_t)stats.counts.nr_stale));
	out = json_pack(
		"{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "role", "collector",
		"node", node, "name", api->name, "uptime_ns",
		(json_int_t)(hs_clock_mono_ns() - api->started_ns), "traces",
		marks, "store", store_status(&stats.store), "assembly",
		assembly_status(&stats), "losses", losses_status(&stats));
	json_object_set_new(out, "operations", operations_status(&stats.tally));
	if (api->status && out)
		api->status(api->ctx, out);
	hs_collector_unlock(api->collector);
	hs_httpd_json(response, 200, out);
}

static void config(void *ctx, const struct hs_httpd_request *request,
		   struct hs_httpd_response *response)
{
	const struct hs_api *api = ctx;

	if (api->config)
		hs_httpd_json(
			response, 200,
			hs_door_config_json(&hs_collector_schema, api->config));
	else
		hs_httpd_error(response, 404, "nothing is at %s",
			       request->path);
}

static void stop(void *ctx, const struct hs_httpd_request *request,
		 struct hs_httpd_response *response)
{
	struct hs_api *api = ctx;

	if (api->stop)
		api->stop(api->ctx);
	hs_httpd_json(response, 200,
		      json_pack("{s:b, s:s}", "stopping", 1, "store", "kept"));
}

const struct hs_httpd_route hs_api_routes[] = {
	{"GET", "/v1/traces", traces, HS_ROLE_READ},
	{"GET", "/v1/traces/{id}", hs_api_trace, HS_ROLE_READ},
	{"GET", "/v1/operations", hs_api_operations, HS_ROLE_READ},
	{"GET", "/v1/status", status, HS_ROLE_READ},
	{"GET", "/v1/config", config, HS_ROLE_READ},
	{"POST", "/v1/stop", stop, HS_ROLE_STOP},
};
const size_t hs_api_nr_routes =
	sizeof(hs_api_routes) / sizeof(hs_api_routes[0]);

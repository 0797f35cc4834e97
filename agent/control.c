/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see control.h. */
#include "agent/control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/figures.h"
#include "agent/guest.h"
#include "agent/mailbox.h"
#include "agent/seen.h"
#include "agent/reload.h"
#include "agent/shipper.h"
#include "base/clock.h"
#include "base/hex.h"
#include "rdma/members_json.h"
#include "rdma/transport_json.h"
#include "rdma/wire.h"

/* Long enough for the answer to a stop to leave. */
#define STOP_AFTER_NS (50 * HS_NS_PER_MS)

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *status_node(const struct hs_worker *w)
{
	char id[17];

	hs_hex_u64_encode(id, w->node_id);
	return json_pack("{s:s, s:s, s:I, s:I}", "id", id, "name",
			 w->settings.node_name, "number",
			 (json_int_t)w->settings.node, "pid",
			 (json_int_t)getpid());
}

static json_t *status_processes(const struct hs_worker *w,
				const struct hs_tenant *t)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < w->nr_guests; i++) {
		const struct hs_guest *g = w->guests[i];

		if (!g || g->tenant != t)
			continue;
		json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:s, s:b, s:b, s:I, s:I}", "pid",
				  (json_int_t)g->pid, "process",
				  (json_int_t)g->number, "service", g->service,
				  "connected", g->line >= 0, "cut_off",
				  g->garbage, "lost", (json_int_t)g->lost_total,
				  "nulls", (json_int_t)g->nulls_total));
	}
	return list;
}

/* Of each size of buffers: how much of the pool is carved into them. */
static json_t *status_classes(const struct hs_agent_domain_stats *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->nr_classes; i++)
		json_array_append_new(
			list,
			json_pack("{s:I, s:I, s:I}", "bytes",
				  (json_int_t)s->classes[i].buffer_bytes,
				  "chunks", (json_int_t)s->classes[i].chunks,
				  "of", (json_int_t)s->chunks));
	return list;
}

static json_t *status_domain(const struct hs_worker *w,
			     const struct hs_tenant *t)
{
	const struct hs_agent_listener *listener =
		hs_agent_listener_find(&w->settings, t->name);
	struct hs_agent_domain_stats s;
	char why[HS_PAGES_WHY_BYTES];
	json_t *d = json_object();

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	json_object_set_new(d, "name", json_string(t->name));
	json_object_set_new(d, "uid", number(t->uid));
	json_object_set_new(d, "socket",
			    json_string(listener ? listener->socket : ""));
	json_object_set_new(
		d, "pool_bytes",
		number(hs_tenant_pool_bytes(t) * t->config.nr_nodes));
	json_object_set_new(d, "buffer_bytes", number(t->config.buffer_bytes));
	json_object_set_new(d, "buffers",
			    json_pack("{s:I, s:I, s:I, s:I, s:I}", "free",
				      (json_int_t)s.buffers_free, "stocked",
				      (json_int_t)s.buffers_stocked, "held",
				      (json_int_t)s.buffers_held, "pinned",
				      (json_int_t)s.buffers_pinned, "total",
				      (json_int_t)s.buffers_total));
	hs_figures_domain(w, t, d);
	json_object_set_new(d, "classes", status_classes(&s));
	hs_pages_why(t->pages, w->settings.huge_pages, why);
	json_object_set_new(d, "memory",
			    json_pack("{s:s, s:I, s:s, s:I, s:I}", "pages",
				      hs_pages_names[t->pages], "huge_bytes",
				      (json_int_t)t->huge_bytes, "why", why,
				      "nodes", (json_int_t)t->config.nr_nodes,
				      "misplaced_bytes",
				      (json_int_t)t->misplaced_bytes));
	json_object_set_new(d, "traces", number(s.traces));
	json_object_set_new(d, "traces_fired", number(s.traces_fired));
	json_object_set_new(d, "event_horizon_ns", number(s.horizon_ns));
	json_object_set_new(d, "processes", status_processes(w, t));
	return d;
}

static const char *reason_of(const struct hs_worker *w, const char *name)
{
	const struct hs_agent_trigger_settings *t = w->settings.triggers.items;

	for (size_t i = 0; i < w->settings.triggers.nr_items; i++)
		if (!strcmp(t[i].name, name))
			return t[i].reason;
	return NULL;
}

static void status_policy(const struct hs_worker *w,
			  const struct hs_agent_trigger_stats *t, json_t *one)
{
	const char *reason = reason_of(w, t->name);

	json_object_set_new(one, "weight", number(t->weight));
	json_object_set_new(one, "rate", number(t->rate_per_s));
	json_object_set_new(one, "byte_rate", number(t->bytes_per_s));
	json_object_set_new(one, "dry_run", json_boolean(t->dry_run));
	if (reason)
		json_object_set_new(one, "reason", json_string(reason));
	/* Of one that was in a dry run before, they say what that was. */
	if (!t->dry_run && !t->dry_fired)
		return;
	json_object_set_new(one, "dry_fired", number(t->dry_fired));
	json_object_set_new(one, "dry_traces", number(t->dry_traces));
	json_object_set_new(one, "dry_bytes", number(t->dry_bytes));
}

static json_t *status_triggers(const struct hs_worker *w)
{
	struct hs_agent_trigger_stats t[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr = hs_agent_core_trigger_stats_get(w->core, t,
						      HS_AGENT_TRIGGERS_MAX);
	json_t *list = json_array();

	for (uint32_t i = 0; i < nr; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "name", json_string(t[i].name));
		json_object_set_new(one, "fired", number(t[i].fired_local));
		json_object_set_new(one, "fired_local",
				    number(t[i].fired_local));
		json_object_set_new(one, "fired_remote",
				    number(t[i].fired_remote));
		json_object_set_new(one, "limited", number(t[i].limited));
		json_object_set_new(one, "bytes_sent", number(t[i].bytes_sent));
		json_object_set_new(one, "queued", number(t[i].queued));
		status_policy(w, &t[i], one);
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *status_peers(const struct hs_worker *w)
{
	json_t *list = json_array();
	char id[17];

	for (uint32_t role = HS_WIRE_ROLE_AGENT; role <= HS_WIRE_ROLE_COLLECTOR;
	     role++)
		for (uint32_t i = hs_members_next(w->members, role, 0); i;
		     i = hs_members_next(w->members, role, i)) {
			const struct hs_member *at = hs_member(w->members, i);

			if (!at->peer)
				continue;
			hs_hex_u64_encode(id, at->id);
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:s}", "name",
						at->name, "node", id, "role",
						hs_wire_role_name(role)));
		}
	return list;
}

static void serve_status(const struct hs_worker *w,
			 struct hs_httpd_response *response)
{
	struct hs_control_number numbers[HS_CONTROL_NUMBERS_MAX];
	uint32_t nr = hs_control_stats(w, numbers);
	struct hs_transport_stats transport;
	json_t *root = json_object(), *domains = json_array(),
	       *stats = json_object();
	bool huge = false;

	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		if (!w->tenants[i])
			continue;
		huge |= w->tenants[i]->pages != HS_PAGES_SMALL;
		json_array_append_new(domains, status_domain(w, w->tenants[i]));
	}
	for (uint32_t i = 0; i < nr; i++)
		json_object_set_new(stats, numbers[i].name,
				    number(numbers[i].value));
	json_object_set_new(root, "node", status_node(w));
	json_object_set_new(root, "standby", hs_figures_standby(w));
	hs_transport_stats(w->transport, &transport);
	json_object_set_new(
		root, "transport",
		hs_transport_json(w->transport, &transport, w->transport_why));
	json_object_set_new(json_object_get(root, "transport"), "waits",
			    json_integer((json_int_t)w->counters.waits));
	json_object_set_new(root, "ship", hs_shipper_json(w->shipper));
	json_object_set_new(root, "huge_pages", json_boolean(huge));
	json_object_set_new(root, "busy",
			    json_boolean(hs_agent_core_busy(w->core)));
	json_object_set_new(root, "domains", domains);
	hs_figures_status(w, root);
	json_object_set_new(root, "triggers", status_triggers(w));
	json_object_set_new(root, "rules", hs_rules_status(w));
	json_object_set_new(root, "stats", stats);
	json_object_set_new(root, "peers", status_peers(w));
	json_object_set_new(root, "door", hs_door_json(hs_mailbox_door(w)));
	json_object_set_new(root, "members",
			    hs_members_json(w->members, w->sources));
	hs_httpd_json(response, 200, root);
}

/* Looks at every buffer: applications find no stock for as long. */
static void serve_check(const struct hs_worker *w,
			struct hs_httpd_response *response)
{
	const char *why = "";
	bool good = hs_agent_core_check(w->core, &why);

	hs_httpd_json(
		response, 200,
		json_pack("{s:b, s:s}", "good", good, "why", good ? "" : why));
}

static void serve_metrics(const struct hs_worker *w,
			  struct hs_httpd_response *response)
{
	response->body = hs_control_metrics(w, &response->body_bytes);
	if (!response->body) {
		hs_httpd_error(response, 500, "out of memory");
		return;
	}
	response->content_type = "application/openmetrics-text; version=1.0.0; "
				 "charset=utf-8";
}

json_t *hs_control_body(const struct hs_httpd_request *request,
			struct hs_httpd_response *response)
{
	json_error_t error;
	json_t *body;

	if (request->body_bytes == 0)
		return json_object();
	body = json_loadb(request->body, request->body_bytes,
			  JSON_REJECT_DUPLICATES, &error);
	if (body && json_is_object(body))
		return body;
	if (body)
		hs_httpd_error(response, 400,
			       "the body should be a JSON object");
	else
		hs_httpd_error(response, 400,
			       "the body is no JSON: line %d: "
			       "%s",
			       error.line, error.text);
	json_decref(body);
	return NULL;
}

static void serve_reload(struct hs_worker *w,
			 const struct hs_httpd_request *request,
			 struct hs_httpd_response *response)
{
	json_t *body = hs_control_body(request, response);
	const json_t *text;
	struct hs_reload out;
	bool check;
	int rc;

	if (!body)
		return;
	text = json_object_get(body, "text");
	check = json_is_true(json_object_get(body, "check"));
	rc = hs_reload(w, json_string_value(text), json_string_length(text),
		       check, &out);
	json_decref(body);
	hs_httpd_json(response,
		      rc == 0	      ? 200
		      : rc == -EINVAL ? 400
		      : rc == -EBUSY  ? 409
				      : 500,
		      rc ? json_pack("{s:s, s:i, s:i, s:s}", "error",
				     out.error.text, "line",
				     (int)out.error.line, "column",
				     (int)out.error.column, "needs_restart",
				     out.pinned)
			 : json_pack("{s:b, s:s}", "taken", !check, "changed",
				     out.changed));
}

static void serve_stop(struct hs_worker *w,
		       const struct hs_httpd_request *request,
		       struct hs_httpd_response *response)
{
	json_t *body = hs_control_body(request, response);

	if (!body)
		return;
	w->purging |= json_is_true(json_object_get(body, "purge"));
	json_decref(body);
	w->asked_to_stop = true;
	w->ask_stop_ns = w->now_ns + STOP_AFTER_NS;
	hs_httpd_json(
		response, 200,
		json_pack("{s:b, s:b}", "stopping", 1, "purge", w->purging));
}

void hs_control_serve(struct hs_worker *w,
		      const struct hs_httpd_request *request,
		      struct hs_httpd_response *response)
{
	if (!strcmp(request->path, "/v1/status"))
		serve_status(w, response);
	else if (!strcmp(request->path, "/v1/seen"))
		hs_seen_serve(w->core, request, response);
	else if (!strcmp(request->path, "/v1/check"))
		serve_check(w, response);
	else if (!strcmp(request->path, "/v1/config"))
		hs_httpd_json(
			response, 200,
			hs_door_config_json(&hs_agent_schema, &w->settings));
	else if (!strcmp(request->path, "/metrics"))
		serve_metrics(w, response);
	else if (!strcmp(request->path, "/v1/trigger"))
		hs_control_fire(w, request, response);
	else if (!strcmp(request->path, "/v1/hook"))
		hs_control_hook(w, request, response);
	else if (!strcmp(request->path, "/v1/reload"))
		serve_reload(w, request, response);
	else if (!strcmp(request->path, "/v1/stop"))
		serve_stop(w, request, response);
	else
		hs_httpd_error(response, 404, "no such path: %s",
			       request->path);
}

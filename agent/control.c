/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see control.h. */
#include "agent/control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/door.h"
#include "agent/figures.h"
#include "agent/guest.h"
#include "base/clock.h"
#include "base/hex.h"
#include "rdma/wire.h"

#define RECENT_FIRST 100u
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

static const char *socket_of(const struct hs_worker *w,
			     const struct hs_tenant *t)
{
	for (size_t i = 0; i < w->settings.domains.nr_items; i++) {
		const struct hs_agent_listener *l =
			hs_agent_listener_get(&w->settings, i);

		if (!strcmp(l->name, t->name))
			return l->socket;
	}
	return "";
}

static json_t *status_domain(const struct hs_worker *w,
			     const struct hs_tenant *t)
{
	struct hs_agent_domain_stats s;
	json_t *d = json_object();

	hs_agent_core_domain_stats_get(w->core, t->index, w->now_ns, &s);
	json_object_set_new(d, "name", json_string(t->name));
	json_object_set_new(d, "uid", number(t->uid));
	json_object_set_new(d, "socket", json_string(socket_of(w, t)));
	json_object_set_new(d, "pool_bytes", number(hs_tenant_pool_bytes(t)));
	json_object_set_new(d, "buffer_bytes", number(t->config.buffer_bytes));
	json_object_set_new(d, "buffers",
			    json_pack("{s:I, s:I, s:I, s:I, s:I}", "free",
				      (json_int_t)s.buffers_free, "stocked",
				      (json_int_t)s.buffers_stocked, "held",
				      (json_int_t)s.buffers_held, "pinned",
				      (json_int_t)s.buffers_pinned, "total",
				      (json_int_t)s.buffers_total));
	hs_figures_domain(w, t, d);
	json_object_set_new(d, "traces", number(s.traces));
	json_object_set_new(d, "traces_fired", number(s.traces_fired));
	json_object_set_new(d, "event_horizon_ns", number(s.horizon_ns));
	json_object_set_new(d, "processes", status_processes(w, t));
	return d;
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
	json_t *root = json_object(), *domains = json_array(),
	       *stats = json_object();
	bool huge = false;

	for (uint32_t i = 0; i < HS_AGENT_DOMAINS_MAX; i++) {
		if (!w->tenants[i])
			continue;
		huge |= w->tenants[i]->pool.is_huge;
		json_array_append_new(domains, status_domain(w, w->tenants[i]));
	}
	for (uint32_t i = 0; i < nr; i++)
		json_object_set_new(stats, numbers[i].name,
				    number(numbers[i].value));
	json_object_set_new(root, "node", status_node(w));
	json_object_set_new(root, "transport",
			    json_string(w->transport->ops->name));
	json_object_set_new(root, "transport_why",
			    json_string(w->transport_why));
	json_object_set_new(root, "huge_pages", json_boolean(huge));
	json_object_set_new(root, "busy",
			    json_boolean(hs_agent_core_busy(w->core)));
	json_object_set_new(root, "domains", domains);
	hs_figures_status(w, root);
	json_object_set_new(root, "triggers", status_triggers(w));
	json_object_set_new(root, "rules", hs_rules_status(w));
	json_object_set_new(root, "stats", stats);
	json_object_set_new(root, "peers", status_peers(w));
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

static bool trace_of(const json_t *value, struct hs_wire_trace_id *out)
{
	const char *text = json_string_value(value);

	return text &&
	       !hs_hex_u128_parse(text, strlen(text), &out->hi, &out->lo) &&
	       (out->hi | out->lo);
}

static void answer_fired(const struct hs_wire_trace_id *traces, uint32_t nr,
			 struct hs_httpd_response *response)
{
	json_t *ids = json_array();
	char id[33];

	for (uint32_t i = 0; i < nr; i++) {
		hs_hex_u128_encode(id, traces[i].hi, traces[i].lo);
		json_array_append_new(ids, json_string(id));
	}
	hs_httpd_json(response, 200,
		      json_pack("{s:I, s:o}", "fired", (json_int_t)nr,
				"trace_ids", ids));
}

static void serve_fire(struct hs_worker *w, const char *name,
		       const struct hs_wire_trace_id *traces, uint32_t nr,
		       struct hs_httpd_response *response)
{
	switch (hs_agent_core_fire(w->core, name, traces, nr, w->now_ns)) {
	case 0:
		answer_fired(traces, nr, response);
		break;
	case -EBUSY:
		hs_httpd_error(response, 429,
			       "trigger \"%s\" is limited by its "
			       "rate in the configuration",
			       name);
		break;
	case -ENOSPC:
		hs_httpd_error(response, 503,
			       "too many triggers wait for coordinators; try "
			       "again later");
		break;
	default:
		hs_httpd_error(response, 400,
			       "trigger: should be 1 to %u "
			       "printable characters",
			       HS_WIRE_NAME_BYTES - 1);
	}
}

static void trigger_ids(struct hs_worker *w, const json_t *body,
			const char *name, struct hs_httpd_response *response)
{
	struct hs_wire_trace_id traces[HS_WIRE_TRACES_MAX];
	const json_t *lateral = json_object_get(body, "lateral");
	size_t nr = json_array_size(lateral);

	if (nr >= HS_WIRE_TRACES_MAX || (lateral && !json_is_array(lateral))) {
		hs_httpd_error(response, 400,
			       "lateral: should be a list of at "
			       "most %u trace ids",
			       HS_WIRE_TRACES_MAX - 1);
		return;
	}
	if (!trace_of(json_object_get(body, "trace_id"), &traces[0])) {
		hs_httpd_error(response, 400,
			       "trace_id: should be up to 32 hexadecimal "
			       "digits, not all zero");
		return;
	}
	for (size_t i = 0; i < nr; i++)
		if (!trace_of(json_array_get(lateral, i), &traces[i + 1])) {
			hs_httpd_error(response, 400,
				       "lateral[%zu]: should be up to 32 "
				       "hexadecimal digits, not all zero",
				       i);
			return;
		}
	serve_fire(w, name, traces, (uint32_t)nr + 1, response);
}

/* Traces of a service, newest first, of each of its processes in turn. */
static uint32_t recent(struct hs_worker *w, const char *service,
		       uint64_t since_ns, struct hs_wire_trace_id *out,
		       uint32_t nr_out)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; !service && i < HS_AGENT_DOMAINS_MAX; i++)
		if (w->tenants[i] && nr < nr_out)
			nr += hs_agent_core_recent(w->core, i, 0, since_ns,
						   out + nr, nr_out - nr);
	for (uint32_t i = 0; service && i < w->nr_guests; i++) {
		const struct hs_guest *g = w->guests[i];

		if (g && nr < nr_out && !strcmp(g->service, service))
			nr += hs_agent_core_recent(w->core, g->tenant->index,
						   g->number, since_ns,
						   out + nr, nr_out - nr);
	}
	return nr;
}

/* Each trace for itself: what happens to be recent is no lateral group. */
static void trigger_recent(struct hs_worker *w, const json_t *body,
			   const char *name, struct hs_httpd_response *response)
{
	static struct hs_wire_trace_id traces[HS_AGENT_RECENT_MAX];
	const json_t *service = json_object_get(body, "service");
	json_int_t last_ns =
		json_integer_value(json_object_get(body, "last_ns"));
	const json_t *limit_value = json_object_get(body, "limit");
	json_int_t limit = limit_value ? json_integer_value(limit_value)
				       : (json_int_t)RECENT_FIRST;
	uint32_t fired = 0;
	uint64_t since_ns;
	uint32_t nr;
	int rc = 0;

	if (last_ns <= 0 || limit <= 0 || limit > HS_AGENT_RECENT_MAX ||
	    (service && !json_is_string(service))) {
		hs_httpd_error(response, 400,
			       "give trace_id; or last_ns (over 0), limit (1 "
			       "to %u) and service (a name)",
			       HS_AGENT_RECENT_MAX);
		return;
	}
	since_ns = (uint64_t)last_ns < w->now_ns ? w->now_ns - (uint64_t)last_ns
						 : 0;
	nr = recent(w, json_string_value(service), since_ns, traces,
		    (uint32_t)limit);
	for (uint32_t i = 0; i < nr && rc == 0; i++) {
		rc = hs_agent_core_fire(w->core, name, &traces[i], 1,
					w->now_ns);
		fired += rc == 0;
	}
	if (rc && !fired) {
		serve_fire(w, name, traces, 1, response);
		return;
	}
	answer_fired(traces, fired, response);
}

static json_t *body_of(const struct hs_httpd_request *request,
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

static void serve_trigger(struct hs_worker *w,
			  const struct hs_httpd_request *request,
			  struct hs_httpd_response *response)
{
	json_t *body = body_of(request, response);
	const json_t *given;
	const char *name;

	if (!body)
		return;
	given = json_object_get(body, "trigger");
	name = given ? json_string_value(given) : "operator";
	if (!name || strlen(name) >= HS_WIRE_NAME_BYTES)
		hs_httpd_error(response, 400,
			       "trigger: should be 1 to %u "
			       "printable characters",
			       HS_WIRE_NAME_BYTES - 1);
	else if (json_object_get(body, "trace_id"))
		trigger_ids(w, body, name, response);
	else
		trigger_recent(w, body, name, response);
	json_decref(body);
}

static void serve_stop(struct hs_worker *w,
		       const struct hs_httpd_request *request,
		       struct hs_httpd_response *response)
{
	json_t *body = body_of(request, response);

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
	else if (!strcmp(request->path, "/v1/check"))
		serve_check(w, response);
	else if (!strcmp(request->path, "/v1/config"))
		hs_httpd_json(
			response, 200,
			hs_door_config_json(&hs_agent_schema, &w->settings));
	else if (!strcmp(request->path, "/metrics"))
		serve_metrics(w, response);
	else if (!strcmp(request->path, "/v1/trigger"))
		serve_trigger(w, request, response);
	else if (!strcmp(request->path, "/v1/stop"))
		serve_stop(w, request, response);
	else
		hs_httpd_error(response, 404, "no such path: %s",
			       request->path);
}

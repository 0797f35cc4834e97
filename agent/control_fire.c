/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: triggers from the control door; see control.h. */
#include "agent/control.h"

#include <errno.h>
#include <string.h>

#include "agent/door.h"
#include "agent/guest.h"
#include "base/hex.h"

#define RECENT_FIRST 100u

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

static void say_fired(int rc, const char *name,
		      const struct hs_wire_trace_id *traces, uint32_t nr,
		      struct hs_httpd_response *response)
{
	switch (rc) {
	case 0:
		answer_fired(traces, nr, response);
		break;
	case -EBUSY:
		hs_httpd_error(response, 429,
			       "trigger \"%s\" is limited by its "
			       "rate in the configuration",
			       name);
		break;
	case -ENOENT:
		hs_httpd_error(response, 404,
			       "the trace is outside the share that is kept: "
			       "sampling.kept_ppm");
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
	bool seek = json_is_true(json_object_get(body, "seek"));
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
	say_fired((seek ? hs_agent_core_fire_elsewhere : hs_agent_core_fire)(
			  w->core, name, traces, (uint32_t)nr + 1, w->now_ns),
		  name, traces, (uint32_t)nr + 1, response);
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
		say_fired(rc, name, traces, 1, response);
		return;
	}
	answer_fired(traces, fired, response);
}

void hs_control_fire(struct hs_worker *w,
		     const struct hs_httpd_request *request,
		     struct hs_httpd_response *response)
{
	json_t *body = hs_control_body(request, response);
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

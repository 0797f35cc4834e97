/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: triggers from the control door; see control.h. */
#include "agent/control.h"

#include <errno.h>
#include <string.h>

#include "agent/door.h"
#include "agent/guest.h"
#include "agent/hook.h"
#include "base/hex.h"

#define RECENT_FIRST 100u

static bool trace_of(const json_t *value, struct hs_wire_trace_id *out)
{
	const char *text = json_string_value(value);

	return text && hs_hook_id(text, strlen(text), out);
}

/* ---- what came of it --------------------------------------------------------
 */

/* Of one trigger, by ids or by time. */
struct fired {
	int rc;		   /* of the last one that was not fired */
	uint32_t nr;	   /* of these: */
	uint32_t dry;	   /* only counted */
	uint32_t seen;	   /* by time: at most HS_AGENT_RECENT_MAX */
	uint32_t left_out; /* by time: over the limit, or after a refusal */
	const char *name;
	const struct hs_wire_trace_id *traces; /* the first @nr */
};

static json_t *fired_json(const struct fired *f)
{
	json_t *ids = json_array();
	char id[33];

	for (uint32_t i = 0; i < f->nr; i++) {
		hs_hex_u128_encode(id, f->traces[i].hi, f->traces[i].lo);
		json_array_append_new(ids, json_string(id));
	}
	return json_pack("{s:I, s:b, s:I, s:I, s:o}", "fired",
			 (json_int_t)(f->nr - f->dry), "dry_run", f->dry > 0,
			 "seen", (json_int_t)f->seen, "left_out",
			 (json_int_t)f->left_out, "trace_ids", ids);
}

static int status_of(int rc)
{
	switch (rc) {
	case -EBUSY:
		return 429;
	case -ENOENT:
		return 404;
	case -ENOSPC:
		return 503;
	default:
		return rc >= 0 ? 200 : 400;
	}
}

static const char *why_of(int rc)
{
	switch (rc) {
	case -EBUSY:
		return "the trigger is limited by its rate in the "
		       "configuration";
	case -ENOENT:
		return "the trace is outside the share that is kept: "
		       "sampling.kept_ppm";
	case -ENOSPC:
		return "too many triggers wait for coordinators; try again "
		       "later";
	default:
		return "trigger: should be 1 to 31 printable characters";
	}
}

static void answer(const struct fired *f, struct hs_httpd_response *response)
{
	if (f->rc < 0 && !f->nr)
		hs_httpd_error(response, status_of(f->rc), "%s: %s", f->name,
			       why_of(f->rc));
	else
		hs_httpd_json(response, 200, fired_json(f));
}

/* ---- firing -----------------------------------------------------------------
 */

typedef int (*fire_fn)(struct hs_agent_core *core, const char *name,
		       const struct hs_wire_trace_id *traces, uint32_t nr,
		       uint64_t now_ns);

/*
 * Each trace for itself: what happens to be recent is no lateral group. Those
 * that were fired come first in @traces afterwards; one of a share that is not
 * kept is passed by, any other refusal would meet the rest, too.
 */
static struct fired fire_each(struct hs_worker *w, fire_fn fire,
			      const char *name, struct hs_wire_trace_id *traces,
			      uint32_t nr)
{
	struct fired f = {.name = name, .traces = traces};

	for (uint32_t i = 0; i < nr && (f.rc >= 0 || f.rc == -ENOENT); i++) {
		f.rc = fire(w->core, name, &traces[i], 1, w->now_ns);
		f.dry += f.rc == HS_AGENT_FIRE_DRY;
		if (f.rc >= 0)
			traces[f.nr++] = traces[i];
	}
	return f;
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

static struct fired fire_recent(struct hs_worker *w, const char *name,
				const char *service, uint64_t last_ns,
				uint32_t limit)
{
	static struct hs_wire_trace_id traces[HS_AGENT_RECENT_MAX];
	uint64_t since_ns = last_ns < w->now_ns ? w->now_ns - last_ns : 0;
	uint32_t seen =
		recent(w, service, since_ns, traces, HS_AGENT_RECENT_MAX);
	struct fired f = fire_each(w, hs_agent_core_fire, name, traces,
				   seen < limit ? seen : limit);

	f.seen = seen;
	f.left_out = seen - f.nr;
	w->counters.recent_fired += f.nr - f.dry;
	w->counters.recent_left_out += f.left_out;
	return f;
}

/* ---- POST /v1/trigger -------------------------------------------------------
 */

static void trigger_ids(struct hs_worker *w, const json_t *body,
			const char *name, struct hs_httpd_response *response)
{
	struct hs_wire_trace_id traces[HS_WIRE_TRACES_MAX];
	bool seek = json_is_true(json_object_get(body, "seek"));
	const json_t *lateral = json_object_get(body, "lateral");
	size_t nr = json_array_size(lateral);
	struct fired f = {.name = name, .traces = traces};

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
	f.rc = (seek ? hs_agent_core_fire_elsewhere : hs_agent_core_fire)(
		w->core, name, traces, (uint32_t)nr + 1, w->now_ns);
	f.nr = f.rc >= 0 ? (uint32_t)nr + 1 : 0;
	f.dry = f.rc == HS_AGENT_FIRE_DRY ? f.nr : 0;
	answer(&f, response);
}

static void trigger_recent(struct hs_worker *w, const json_t *body,
			   const char *name, struct hs_httpd_response *response)
{
	const json_t *service = json_object_get(body, "service");
	json_int_t last_ns =
		json_integer_value(json_object_get(body, "last_ns"));
	const json_t *limit_value = json_object_get(body, "limit");
	json_int_t limit = limit_value ? json_integer_value(limit_value)
				       : (json_int_t)RECENT_FIRST;
	struct fired f;

	if (last_ns <= 0 || limit <= 0 || limit > HS_AGENT_RECENT_MAX ||
	    (service && !json_is_string(service))) {
		hs_httpd_error(response, 400,
			       "give trace_id; or last_ns (over 0), limit (1 "
			       "to %u) and service (a name)",
			       HS_AGENT_RECENT_MAX);
		return;
	}
	f = fire_recent(w, name, json_string_value(service), (uint64_t)last_ns,
			(uint32_t)limit);
	answer(&f, response);
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

/* ---- POST /v1/hook ----------------------------------------------------------
 */

static json_t *ask_json(const struct fired *f)
{
	json_t *one = fired_json(f);

	json_object_set_new(one, "trigger", json_string(f->name));
	if (f->rc < 0)
		json_object_set_new(one, "error", json_string(why_of(f->rc)));
	return one;
}

/* Whoever sends it need not know where a trace was: coordinators find out. */
void hs_control_hook(struct hs_worker *w,
		     const struct hs_httpd_request *request,
		     struct hs_httpd_response *response)
{
	static struct hs_hook hook; /* large; one at a time */
	const struct hs_hook_defaults defaults = {
		.trigger = hs_httpd_query(request, "trigger"),
		.last = hs_httpd_query(request, "last"),
		.service = hs_httpd_query(request, "service"),
		.limit = hs_httpd_query(request, "limit"),
	};
	uint32_t fired = 0;
	json_t *asks;
	int rc = 0;

	w->counters.hooks++;
	if (hs_hook_parse(&defaults, request->body, request->body_bytes,
			  &hook)) {
		w->counters.hooks_refused++;
		hs_httpd_error(response, 400, "%s", hook.why);
		return;
	}
	asks = json_array();
	for (uint32_t i = 0; i < hook.nr_asks; i++) {
		const struct hs_hook_ask *a = &hook.asks[i];
		struct fired f =
			a->nr_ids
				? fire_each(w, hs_agent_core_fire_elsewhere,
					    a->name, &hook.ids[a->first_id],
					    a->nr_ids)
				: fire_recent(w, a->name,
					      a->service[0] ? a->service : NULL,
					      a->last_ns, a->limit);

		fired += f.nr - f.dry;
		rc = f.rc < 0 ? f.rc : rc;
		json_array_append_new(asks, ask_json(&f));
	}
	/* An alerting system repeats what was refused, if it is told. */
	hs_httpd_json(response, fired || rc >= 0 ? 200 : status_of(rc),
		      json_pack("{s:I, s:I, s:I, s:I, s:o}", "fired",
				(json_int_t)fired, "left_out",
				(json_int_t)hook.left_out, "resolved",
				(json_int_t)hook.resolved, "empty",
				(json_int_t)hook.empty, "triggers", asks));
}

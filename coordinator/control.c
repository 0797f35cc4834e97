/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - HTTP and JSON for people and hs(1)
 *
 *	GET  /v1/status	   counters, peers, traces under way (100 at most)
 *	GET  /v1/config	   the settings in effect
 *	POST /v1/stop	   as SIGTERM
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "coordinator/shell.h"
#include "rdma/members_json.h"
#include "rdma/transport_json.h"
#include "rdma/transport_verbs.h"
#include "rdma/wire.h"

#define TRACES_SHOWN 100

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

struct counter {
	const char *name;
	size_t offset;
};
#define C64(field)                                                             \
	{                                                                      \
#field, offsetof(struct hs_coord_stats, field)                 \
	}

static const struct counter counters[] = {
	C64(triggers),
	C64(triggers_repeated),
	C64(triggers_refused),
	C64(triggers_cut),
	C64(updates),
	C64(updates_refused),
	C64(origin_refused),
	C64(origin_cut),
	C64(answers),
	C64(answers_stale),
	C64(answers_strange),
	C64(answers_cut),
	C64(addresses),
	C64(addresses_lost),
	C64(messages_bad),
	C64(collects_sent),
	C64(collects_asked),
	C64(collects_again),
	C64(unreachable),
	C64(gone),
	C64(manifests_sent),
	C64(manifests_again),
	C64(manifests_failed),
	C64(acks),
	C64(acks_strange),
	C64(stored_sent),
	C64(left),
	C64(questions),
	C64(seeks_sent),
	C64(seeks_asked),
	C64(seeks_deferred),
	C64(seeks_refused),
	C64(seeks_part),
	C64(found),
	C64(reads_sent),
	C64(reads_refused),
	C64(reads_failed),
	C64(reads_hit),
	C64(reads_other),
	C64(reads_torn),
	C64(hints),
	C64(hints_refused),
	C64(hints_confirmed),
	C64(hints_vain),
	C64(forgotten),
	C64(evicted),
};

static json_t *stats_json(struct hs_coordinator *c)
{
	struct hs_coord_stats st;
	json_t *o = json_object();

	hs_coord_core_stats_get(c->core, &st);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)&st + counters[i].offset,
		       sizeof(value));
		json_object_set_new(o, counters[i].name, number(value));
	}
	json_object_set_new(o, "messages_misplaced",
			    number(c->messages_misplaced));
	json_object_set_new(o, "traces", number(st.nr_traces));
	json_object_set_new(o, "traces_seeking", number(st.nr_seeking));
	json_object_set_new(o, "traces_telling", number(st.nr_telling));
	json_object_set_new(o, "traces_stored", number(st.nr_stored));
	json_object_set_new(o, "visits", number(st.nr_visits));
	json_object_set_new(o, "visits_waiting", number(st.nr_waiting));
	json_object_set_new(o, "nodes", number(st.nr_nodes));
	json_object_set_new(o, "nodes_up", number(st.nr_nodes_up));
	json_object_set_new(o, "requests", number(st.nr_requests));
	return o;
}

/* What the RDMA carrier counts beyond the others; null over TCP. */
static json_t *verbs_json(struct hs_transport *t)
{
	struct hs_transport_verbs_stats v;
	json_t *o;

	if (!hs_transport_verbs_stats(t, &v))
		return json_null();
	o = json_object();
	json_object_set_new(o, "frames_sent", number(v.frames_sent));
	json_object_set_new(o, "frames_received", number(v.frames_received));
	json_object_set_new(o, "control_sent", number(v.control_sent));
	json_object_set_new(o, "sends_inline", number(v.sends_inline));
	json_object_set_new(o, "sends_signalled", number(v.sends_signalled));
	json_object_set_new(o, "doorbells", number(v.doorbells));
	json_object_set_new(o, "completion_events",
			    number(v.completion_events));
	json_object_set_new(o, "registered_shared_bytes",
			    number(v.registered_shared_bytes));
	json_object_set_new(o, "registered_peer_bytes",
			    number(v.registered_peer_bytes));
	json_object_set_new(o, "inline_bytes", number(v.inline_bytes));
	json_object_set_new(o, "srq_depth", number(v.srq_depth));
	json_object_set_new(o, "srq_reserved", number(v.srq_reserved));
	json_object_set_new(o, "srq_reserved_max", number(v.srq_reserved_max));
	json_object_set_new(o, "devices", number(v.nr_devices));
	json_object_set_new(o, "devices_lost", number(v.nr_devices_lost));
	json_object_set_new(o, "huge_pages", json_boolean(v.huge_pages));
	return o;
}

static json_t *transport_json(struct hs_coordinator *c)
{
	struct hs_transport_stats t;
	json_t *o;

	hs_transport_stats(c->transport, &t);
	o = hs_transport_json(c->transport, &t, c->transport_why);
	if (o)
		json_object_set_new(o, "waits", number(c->waits));
	if (o)
		json_object_set_new(o, "verbs", verbs_json(c->transport));
	return o;
}

static json_t *peer_json(struct hs_coordinator *c, const struct hs_member *at)
{
	struct hs_transport_clock k = {0};
	char id[17];

	hs_hex_u64_encode(id, at->id);
	(void)hs_transport_clock(c->transport, at->peer, &k);
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", at->name, "node",
			 id, "role", hs_wire_role_name(at->role), "rtt_ns",
			 (json_int_t)k.rtt_ns, "clock_offset_ns",
			 (json_int_t)k.offset_ns);
}

static json_t *peers_json(struct hs_coordinator *c)
{
	json_t *list = json_array();

	for (uint32_t role = HS_WIRE_ROLE_AGENT; role <= HS_WIRE_ROLE_COLLECTOR;
	     role++)
		for (uint32_t i = hs_members_next(c->members, role, 0); i;
		     i = hs_members_next(c->members, role, i))
			if (hs_member(c->members, i)->peer)
				json_array_append_new(
					list,
					peer_json(c, hs_member(c->members, i)));
	return list;
}

static json_t *traces_json(struct hs_coordinator *c)
{
	static struct hs_coord_view views[TRACES_SHOWN]; /* under the lock */
	uint32_t nr = hs_coord_core_view(c->core, views, TRACES_SHOWN);
	json_t *list = json_array();

	for (uint32_t i = 0; i < nr; i++) {
		const struct hs_coord_view *v = &views[i];
		char id[33];

		hs_hex_u128_encode(id, v->trace.hi, v->trace.lo);
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, "
				  "s:I}",
				  "trace", id, "state",
				  hs_coord_state_name(v->state), "trigger",
				  v->name, "triggers",
				  (json_int_t)v->nr_triggers, "nodes",
				  (json_int_t)v->nr_nodes, "waiting",
				  (json_int_t)v->nr_waiting, "unreachable",
				  (json_int_t)v->nr_unreachable, "version",
				  (json_int_t)v->version, "acknowledged",
				  (json_int_t)v->acked));
	}
	return list;
}

static void serve_status(void *ctx, const struct hs_httpd_request *request,
			 struct hs_httpd_response *response)
{
	struct hs_coordinator *c = ctx;
	json_t *root = json_object();
	char id[17];

	(void)request;
	hs_hex_u64_encode(id, c->node);
	pthread_mutex_lock(&c->lock);
	json_object_set_new(
		root, "node",
		json_pack("{s:s, s:s, s:s, s:i, s:I, s:I}", "role",
			  "coordinator", "name", c->settings->name, "node", id,
			  "port", c->port, "pid", (json_int_t)getpid(),
			  "uptime_ns",
			  (json_int_t)(hs_clock_mono_ns() - c->started_ns)));
	json_object_set_new(root, "stats", stats_json(c));
	json_object_set_new(root, "door", hs_door_json(c->httpd));
	json_object_set_new(root, "transport", transport_json(c));
	json_object_set_new(root, "peers", peers_json(c));
	json_object_set_new(root, "members",
			    hs_members_json(c->members, c->sources));
	json_object_set_new(root, "traces", traces_json(c));
	pthread_mutex_unlock(&c->lock);
	hs_httpd_json(response, 200, root);
}

static void serve_config(void *ctx, const struct hs_httpd_request *request,
			 struct hs_httpd_response *response)
{
	const struct hs_coordinator *c = ctx;

	(void)request;
	hs_httpd_json(response, 200,
		      hs_door_config_json(&hs_coordinator_schema, c->settings));
}

static void serve_stop(void *ctx, const struct hs_httpd_request *request,
		       struct hs_httpd_response *response)
{
	struct hs_coordinator *c = ctx;
	uint64_t one = 1;

	(void)request;
	if (write(c->stop_fd, &one, sizeof(one)) != sizeof(one)) {
		hs_httpd_error(response, 500, "cannot stop: %s",
			       strerror(errno));
		return;
	}
	hs_httpd_json(response, 200, json_pack("{s:b}", "stopping", 1));
}

int hs_control_open(struct hs_coordinator *c)
{
	static const struct hs_httpd_route routes[] = {
		{"GET", "/v1/status", serve_status, HS_ROLE_READ},
		{"GET", "/v1/config", serve_config, HS_ROLE_READ},
		{"POST", "/v1/stop", serve_stop, HS_ROLE_STOP},
	};
	const struct hs_coordinator_settings *s = c->settings;

	return hs_door_open(&c->httpd, "coordinator", &s->door, &s->roles,
			    routes, sizeof(routes) / sizeof(routes[0]), c);
}

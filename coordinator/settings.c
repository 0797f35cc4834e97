/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - see settings.h
 */
#include "coordinator/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define KEY(p, t, field)                                                       \
	.path = (p), .type = HS_CONFIG_##t,                                    \
	.offset = offsetof(struct hs_coordinator_settings, field)
#define SECOND 1000000000LL

static const struct hs_config_key keys[] = {
	{KEY("node.id", INT, node), .required = true, .example = "1001",
	 .min = 1, .max = 0xffffffffLL,
	 .doc = "This coordinator's number, different from every other node's "
		"of the cluster."},
	{KEY("node.name", STRING, name), .check = hs_config_is_name,
	 .want = HS_CONFIG_WANT_NAME,
	 .doc = "What people call it; the host's name when absent.",
	 .example = "coordinator-a"},
	{KEY("listen", STRING, listen), .default_text = "127.0.0.1:7410",
	 .doc = "host:port where agents connect; port 0 lets the kernel "
		"choose."},
	HS_TRANSPORT_KEYS(struct hs_coordinator_settings, transport),
	{KEY("collectors", STRINGS, collectors),
	 .max = HS_COORDINATOR_COLLECTORS_MAX, .example = "[127.0.0.1:7420]",
	 .doc = "Each collector, the same ones as the agents have: host:port, "
		"NUMBER@host:port, node[01-03]:7420, file:PATH, "
		"dns:NAME:PORT, srv:NAME, etcd:HOST:PORT/PREFIX."},
	{KEY("agents", STRINGS, agents), .max = 4096,
	 .example = "[file:/etc/hindsight/agents]",
	 .doc = "All agents there are, written likewise, with their numbers: "
		"then a breadcrumb of any other is unknown, and one that is "
		"taken off the list is gone. Without it whoever connects is "
		"one."},
	{KEY("announce", STRING, announce),
	 .example = "etcd:127.0.0.1:2379/hindsight/coordinators",
	 .doc = "Where to say that this coordinator is there, for as long as "
		"it is (a lease of 5 s)."},
	{KEY("announce_address", STRING, announce_address),
	 .example = "10.0.0.7:7410",
	 .doc = "As which host:port; listen when absent."},
	HS_DOOR_KEYS(struct hs_coordinator_settings, door,
		     "/run/hindsight/coordinator.sock", NULL,
		     "Where hs(1) asks for status."),
	{KEY("log", ENUM, log_level), .default_text = "info",
	 .choices = hs_log_level_names, .doc = "Say nothing below this."},
	{KEY("timeouts.retry", DURATION, retry_ns), .default_text = "200ms",
	 .min = 1000000, .max = 60 * SECOND,
	 .doc = "A node that does not answer is asked again after this, then "
		"after twice as long, up to 5 s."},
	{KEY("timeouts.unreachable", DURATION, unreachable_after_ns),
	 .default_text = "2s", .min = 1000000, .max = 3600 * SECOND,
	 .doc = "It is called unreachable in the manifest after this; a later "
		"answer still counts."},
	{KEY("timeouts.tell", DURATION, tell_unsettled_ns),
	 .default_text = "200ms", .min = 1000000, .max = 60 * SECOND,
	 .doc = "While nodes have yet to answer, collectors hear of changes at "
		"most this often."},
	{KEY("timeouts.resend", DURATION, resend_ns), .default_text = "500ms",
	 .min = 1000000, .max = 60 * SECOND,
	 .doc = "A manifest that is not acknowledged goes again after this, "
		"then after twice as long, up to 5 s."},
	{KEY("timeouts.forget", DURATION, forget_after_ns),
	 .default_text = "5m", .min = SECOND, .max = 86400 * SECOND,
	 .doc = "How long a stored trace is remembered for what comes late."},
	{KEY("timeouts.gone", DURATION, gone_after_ns), .default_text = "1h",
	 .max = 365 * 86400 * SECOND,
	 .doc = "An agent that is on no list and away for so long is gone; 0: "
		"never."},
	{KEY("timeouts.idle", DURATION, idle_ns), .default_text = "5s",
	 .min = 10000000, .max = 3600 * SECOND,
	 .doc = "A silent peer is pinged after this, and cut off when three "
		"pings in a row stay unanswered."},
	{KEY("limits.peers", INT, nr_peers), .default_text = "4096", .min = 1,
	 .max = 1 << 20, .doc = "Connections at a time."},
	{KEY("limits.send_queue", SIZE, send_queue_bytes),
	 .default_text = "4MiB", .min = 1 << 16, .max = 1 << 30,
	 .doc = "What may wait to be sent to one peer."},
	{KEY("limits.traces", INT, nr_traces), .default_text = "16384",
	 .min = 64, .max = 1 << 24,
	 .doc = "Traces at a time. Stored ones give way to new ones; when none "
		"is stored, triggers have to wait at their agents."},
	{KEY("limits.visits", INT, nr_visits), .default_text = "131072",
	 .min = 64, .max = 1 << 26, .doc = "Nodes of all these traces."},
	{KEY("limits.crumbs", INT, nr_crumbs), .default_text = "262144",
	 .min = 256, .max = 1 << 26, .doc = "Breadcrumbs of all of them."},
	{KEY("limits.nodes", INT, nr_nodes), .default_text = "16384", .min = 16,
	 .max = 1 << 24,
	 .doc = "Nodes known by their connection or a breadcrumb."},
	{KEY("limits.requests", INT, nr_requests), .default_text = "16384",
	 .min = 16, .max = 1 << 24,
	 .doc = "Triggers and updates that no collector has stored yet."},
	{KEY("limits.trace_nodes", INT, trace_nodes), .default_text = "8192",
	 .min = 1, .max = HS_WIRE_ANSWERS_MAX,
	 .doc = "Nodes of one trace; over it the trace is marked as cut."},
	{KEY("limits.window", INT, window), .default_text = "1024", .min = 1,
	 .max = 1 << 20,
	 .doc = "Traces that one node is asked about at a time."},
	{KEY("origin.rate", INT, origin_per_s), .default_text = "10000",
	 .min = 1, .max = 1000000000,
	 .doc = "Triggers, updates and new traces that one node may bring in a "
		"second; more have to wait there."},
	{KEY("origin.waiting", INT, origin_waiting), .default_text = "16384",
	 .min = 16, .max = 1 << 26,
	 .doc = "Nodes that one node's breadcrumbs name and that have not "
		"answered yet; further ones are left out, marked as cut."},
	{KEY("seek.nodes", INT, seek_nodes), .default_text = "500", .min = 0,
	 .max = 100000,
	 .doc = "When breadcrumbs are missing, so many nodes at most are asked "
		"whether they know the trace; 0: nobody is."},
	{KEY("seek.rate", INT, seek_per_s), .default_text = "20000", .min = 1,
	 .max = 1000000000,
	 .doc = "Messages a second for all such questions together."},
};

const struct hs_config_schema hs_coordinator_schema = {
	.title = "hs-coordinator: finds the nodes that a triggered trace "
		 "visited.",
	.size_bytes = sizeof(struct hs_coordinator_settings),
	.keys = keys,
	.nr_keys = sizeof(keys) / sizeof(keys[0]),
};

static int default_name(struct hs_coordinator_settings *s)
{
	char host[HS_CONFIG_NAME_BYTES], number[HS_CONFIG_NAME_BYTES];

	if (s->name)
		return 0;
	snprintf(number, sizeof(number), "coordinator-%u", (uint32_t)s->node);
	hs_config_host_name(host, number);
	s->name = strdup(host);
	return s->name ? 0 : -ENOMEM;
}

int hs_coordinator_settings_load(const char *path,
				 struct hs_coordinator_settings *out,
				 struct hs_config_error *error)
{
	int rc = hs_config_load(&hs_coordinator_schema, path, out, error);

	if (!rc)
		rc = hs_door_roles(&out->door, path, &out->roles, error);
	if (!rc)
		rc = default_name(out);
	if (rc)
		hs_config_free(&hs_coordinator_schema, out);
	return rc;
}

struct hs_coord_config
hs_coordinator_settings_core(const struct hs_coordinator_settings *s)
{
	return (struct hs_coord_config){
		.nr_traces = (uint32_t)s->nr_traces,
		.nr_visits = (uint32_t)s->nr_visits,
		.nr_crumbs = (uint32_t)s->nr_crumbs,
		.nr_nodes = (uint32_t)s->nr_nodes,
		.nr_requests = (uint32_t)s->nr_requests,
		.trace_nodes = (uint32_t)s->trace_nodes,
		.window = (uint32_t)s->window,
		.origin_per_s = (uint32_t)s->origin_per_s,
		.origin_waiting = (uint32_t)s->origin_waiting,
		.seek_never = s->seek_nodes == 0,
		.seek_nodes = (uint32_t)s->seek_nodes,
		.seek_per_s = (uint32_t)s->seek_per_s,
		.retry_ns = s->retry_ns,
		.unreachable_after_ns = s->unreachable_after_ns,
		.tell_unsettled_ns = s->tell_unsettled_ns,
		.resend_ns = s->resend_ns,
		.forget_after_ns = s->forget_after_ns,
	};
}

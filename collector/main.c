/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - hs-collector: takes slices and manifests over the network, keeps
 * them, and answers what is asked about them
 *
 * One thread owns the transport; it shares the collector with the HTTP
 * server's thread under the collector's lock. SIGTERM and SIGINT end it in
 * order. After kill -9 a start needs no cleaning up: see store.h.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/httpd.h"
#include "base/log.h"
#include "base/turns.h"
#include "collector/api.h"
#include "collector/collector.h"
#include "collector/config.h"
#include "collector/intake.h"
#include "collector/nap.h"
#include "rdma/transport.h"
#include "rdma/transport_json.h"
#include "rdma/wire.h"

#define LOG "collector"

struct peer_entry {
	struct hs_transport_peer peer;
	struct peer_entry *next;
};

struct daemon {
	struct hs_collector_config config;
	struct hs_collector *collector;
	struct hs_transport *transport;
	struct hs_intake *intake; /* NULL: slices come by the transport */
	struct hs_httpd *httpd;
	struct hs_api api;
	struct peer_entry *peers; /* under the collector's lock */
	char transport_why[HS_TRANSPORT_WHY_BYTES];
	struct hs_transport_stats transport_stats; /* a copy, under the lock */
	int signal_fd;
	int stop_fd; /* an eventfd: POST /v1/stop */
};

/* ---- the network -----------------------------------------------------------
 */

static void peer_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct daemon *d = ctx;
	struct peer_entry *entry = malloc(sizeof(*entry));

	hs_log_info(LOG, "%s is here", peer->name);
	if (peer->role == HS_WIRE_ROLE_AGENT)
		hs_collector_node_up(d->collector, peer->node,
				     hs_clock_mono_ns());
	if (!entry)
		return;
	entry->peer = *peer;
	entry->next = d->peers;
	d->peers = entry;
}

static void peer_down(void *ctx, uint32_t peer)
{
	struct daemon *d = ctx;

	for (struct peer_entry **at = &d->peers; *at; at = &(*at)->next) {
		struct peer_entry *entry = *at;

		if (entry->peer.peer != peer)
			continue;
		hs_log_info(LOG, "%s is gone", entry->peer.name);
		*at = entry->next;
		free(entry);
		return;
	}
}

static void message(void *ctx, uint32_t peer, uint16_t type,
		    const void *payload, uint32_t payload_bytes)
{
	struct daemon *d = ctx;
	int rc = hs_collector_message(d->collector, peer, type, payload,
				      payload_bytes, hs_clock_mono_ns());

	/* One that was not kept may not be stood in for by what is behind it on
	 * this connection: it comes again on the next one (ADR 62). */
	if (type == HS_WIRE_SLICE && (rc < 0 || rc == HS_ASSEMBLY_BUSY))
		hs_transport_cut(d->transport, peer);
}

static const struct hs_transport_events events = {
	.peer_up = peer_up, .peer_down = peer_down, .message = message};

static int send_to(void *ctx, uint32_t peer, uint16_t type,
		   const struct iovec *iov, int nr_iov)
{
	struct daemon *d = ctx;

	if (peer >= HS_INTAKE_PEER)
		return d->intake ? hs_intake_ack(d->intake, peer, iov, nr_iov)
				 : -ENOTCONN;
	if (!d->transport)
		return -ENOTCONN;
	return hs_transport_send(d->transport, peer, type, iov, nr_iov);
}

static int listen_start(struct daemon *d)
{
	struct hs_transport_self self = {.role = HS_WIRE_ROLE_COLLECTOR,
					 .node = d->api.node};
	const struct hs_transport_limits limits = {
		.nr_peers = (uint32_t)d->config.limits.peers, .flushes = true};
	int port;

	snprintf(self.name, sizeof(self.name), "%s", d->config.node.name);
	d->transport = hs_transport_create(&d->config.transport, &self, &limits,
					   &events, d, d->transport_why);
	if (!d->transport) {
		int rc = -errno;

		hs_log_error(LOG, "no transport: %s", d->transport_why);
		return rc;
	}
	port = hs_transport_listen(d->transport, d->config.listen);
	if (port < 0) {
		hs_log_error(LOG, "listen: %s: %s", d->config.listen,
			     strerror(-port));
		return port;
	}
	hs_log_info(LOG, "listens at %s (port %d)", d->config.listen, port);
	return 0;
}

/* ---- HTTP
 * -------------------------------------------------------------------- */

static void add_status(void *ctx, json_t *status)
{
	struct daemon *d = ctx;
	json_t *peers = json_array();

	for (struct peer_entry *at = d->peers; at; at = at->next) {
		char node[17];

		hs_hex_u64_encode(node, at->peer.node);
		json_array_append_new(
			peers,
			json_pack("{s:s, s:s, s:s}", "name", at->peer.name,
				  "role", hs_wire_role_name(at->peer.role),
				  "node", node));
	}
	json_object_set_new(status, "peers", peers);
	json_object_set_new(status, "door", hs_door_json(d->httpd));
	json_object_set_new(status, "ship", hs_intake_json(d->intake));
	json_object_set_new(status, "transport",
			    hs_transport_json(d->transport, &d->transport_stats,
					      d->transport_why));
}

static const char *node_name(void *ctx, uint64_t node)
{
	struct daemon *d = ctx;

	for (struct peer_entry *at = d->peers; at; at = at->next)
		if (at->peer.role == HS_WIRE_ROLE_AGENT &&
		    at->peer.node >> 32 == node >> 32)
			return at->peer.name;
	return NULL;
}

static void stop_asked(void *ctx)
{
	struct daemon *d = ctx;
	uint64_t one = 1;

	if (write(d->stop_fd, &one, sizeof(one)) != sizeof(one))
		hs_log_error(LOG, "stop: %s", strerror(errno));
}

/* ---- running
 * ------------------------------------------------------------------ */

/* In a nap only those that end it are looked at. */
static bool should_stop(struct daemon *d, uint64_t wait_ns, bool naps)
{
	struct pollfd fds[] = {
		{.fd = d->signal_fd, .events = POLLIN},
		{.fd = d->stop_fd, .events = POLLIN},
		{.fd = d->transport->ops->fd(d->transport), .events = POLLIN},
		{.fd = hs_intake_fd(d->intake), .events = POLLIN},
		{.fd = hs_collector_fd(d->collector), .events = POLLIN},
	};
	struct timespec wait = {(time_t)(wait_ns / HS_NS_PER_SEC),
				(long)(wait_ns % HS_NS_PER_SEC)};

	if (ppoll(fds, naps ? 2 : 5, &wait, NULL) < 0 && errno != EINTR) {
		hs_log_error(LOG, "poll: %s", strerror(errno));
		return true;
	}
	return fds[0].revents || fds[1].revents;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What a look makes of what came is said at its end: by itself nothing has
 * another follow. Return: ns until there is something to do, if nothing comes.
 */
static uint64_t look(struct daemon *d, uint64_t now_ns)
{
	uint64_t wait_ns;
	int rc = hs_transport_poll(d->transport, 0);

	if (rc < 0)
		hs_log_limited(HS_LOG_ERROR, LOG, "transport: %s",
			       strerror(-rc));
	wait_ns = hs_intake_run(d->intake, now_ns);
	wait_ns = sooner(wait_ns,
			 hs_collector_step(d->collector, hs_clock_mono_ns()));
	wait_ns = sooner(wait_ns,
			 hs_intake_answer(d->intake, hs_clock_mono_ns()));
	hs_transport_flush(d->transport);
	d->transport->ops->stats(d->transport, &d->transport_stats);
	return wait_ns;
}

static uint64_t bytes_came(const struct daemon *d)
{
	return d->transport_stats.bytes_received + hs_intake_bytes(d->intake);
}

static void run(struct daemon *d)
{
	uint64_t wait_ns = 0, looked_ns = 0, bytes = 0;
	bool naps = false;

	while (!should_stop(d, wait_ns, naps)) {
		uint64_t now_ns = hs_clock_mono_ns(), nap_ns;

		hs_collector_lock(d->collector);
		wait_ns = look(d, now_ns);
		nap_ns = hs_collector_nap(now_ns - looked_ns,
					  bytes_came(d) - bytes);
		bytes = bytes_came(d);
		hs_collector_unlock(d->collector);
		looked_ns = now_ns;
		/* What is due within it is more urgent. */
		naps = nap_ns && nap_ns <= wait_ns;
		if (naps)
			wait_ns = nap_ns;
	}
	hs_log_info(LOG, "ending");
}

static int collector_start(struct daemon *d)
{
	const struct hs_collector_config *c = &d->config;
	const struct hs_collector_options options = {
		.store = {.dir = c->store,
			  .segment_bytes = c->segment_bytes,
			  .zstd_level = (int)c->zstd_level,
			  .pack_threads = (int)c->pack_threads},
		.limits = {.nr_traces = (uint32_t)c->limits.traces,
			   .nr_nodes = (uint32_t)c->limits.nodes,
			   .nr_buffers = (uint32_t)c->limits.buffers,
			   .nr_crumbs = (uint32_t)c->limits.crumbs,
			   .trace_buffers = (uint32_t)c->limits.trace_buffers},
		.sync_interval_ns = c->sync_interval_ns,
		.retain_bytes = c->retain_bytes,
		.retain_ns = c->retain_ns,
		.send = send_to,
		.ctx = d,
	};
	char error[512] = "";
	int rc = hs_collector_open(&d->collector, &options, error,
				   sizeof(error));

	if (rc)
		hs_log_error(LOG, "%s", error[0] ? error : strerror(-rc));
	return rc;
}

static int signals_take(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* A file over its limit is a full disk, not a reason to die. */
	signal(SIGXFSZ, SIG_IGN);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	d->stop_fd = eventfd(0, EFD_CLOEXEC);
	return d->signal_fd < 0 || d->stop_fd < 0 ? -errno : 0;
}

static int serve(struct daemon *d)
{
	int rc = signals_take(d);

	/* All threads: agents and coordinators may be on these cores, too.
	 * Refused, they wait for as long as they did. */
	(void)hs_turns_short();
	d->api = (struct hs_api){.node = (uint64_t)d->config.node.id << 32,
				 .name = d->config.node.name,
				 .started_ns = hs_clock_mono_ns(),
				 .ctx = d,
				 .status = add_status,
				 .node_name = node_name,
				 .config = &d->config,
				 .stop = stop_asked};
	if (!rc)
		rc = collector_start(d);
	d->api.collector = d->collector;
	if (!rc)
		rc = listen_start(d);
	if (!rc)
		rc = hs_intake_make(&d->intake, &d->config.ship,
				    &d->config.transport, d->api.node,
				    d->collector);
	if (!rc)
		rc = hs_door_open(&d->httpd, LOG, &d->config.door,
				  &d->config.roles, hs_api_routes,
				  hs_api_nr_routes, &d->api);
	if (!rc)
		run(d);
	hs_httpd_stop(d->httpd);
	/* The last acknowledgements still find their way out. */
	if (d->collector) {
		hs_collector_sync(d->collector);
		if (d->transport)
			hs_transport_poll(d->transport, 0);
		hs_intake_run(d->intake, hs_clock_mono_ns());
	}
	hs_transport_destroy(d->transport);
	d->transport = NULL;
	hs_collector_close(d->collector);
	hs_intake_free(d->intake);
	d->intake = NULL;
	while (d->peers)
		peer_down(d, d->peers->peer.peer);
	return rc;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	const char *path = NULL;
	bool print = false;
	bool check = false;
	const struct hs_args_option options[] = {
		{"config", 'c', HS_ARGS_STRING, &path, "FILE",
		 "the configuration", 0, 0},
		{"print-config", 0, HS_ARGS_FLAG, &print, NULL,
		 "print a commented configuration with every key, and end", 0,
		 0},
		{"check-config", 0, HS_ARGS_FLAG, &check, NULL,
		 "read the configuration, say what is wrong, and end", 0, 0},
	};
	const struct hs_args_program program = {
		.name = "hs-collector",
		.synopsis = "--config FILE",
		.summary = "Collects the slices of triggered traces and the "
			   "manifests that name them, stores them, and answers "
			   "over HTTP on its control socket.",
		.options = options,
		.nr_options = sizeof(options) / sizeof(options[0]),
		.examples = "  hs-collector --print-config > collector.yaml\n"
			    "  hs-collector --config collector.yaml\n",
		.exit_codes = "  0  ended when asked to\n"
			      "  1  could not start, or failed\n"
			      "  2  wrong options or configuration\n",
	};
	struct hs_config_error error;
	int first;
	int rc = hs_args_parse(&program, argc, argv, &first, stdout, stderr);

	if (rc)
		return rc == HS_ARGS_HELP ? 0 : HS_ARGS_EXIT_USAGE;
	if (print) {
		hs_config_print_example(&hs_collector_schema, stdout);
		return 0;
	}
	if (!path || first < argc) {
		fprintf(stderr, "hs-collector: wants --config FILE; "
				"--print-config shows one\n");
		return HS_ARGS_EXIT_USAGE;
	}
	if (hs_collector_config_load(path, &d.config, &error)) {
		fprintf(stderr, "hs-collector: %s\n", error.text);
		return HS_ARGS_EXIT_USAGE;
	}
	if (!check) {
		hs_log_level_set((enum hs_log_level)d.config.log_level);
		rc = serve(&d);
	}
	hs_config_free(&hs_collector_schema, &d.config);
	return rc ? 1 : 0;
}

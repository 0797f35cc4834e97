/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell.c - see shell.h
 */
#include "coordinator/shell.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/aligned.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "rdma/hostlist.h"

#define MEMBERS_GONE 1024u
#define EVENTS_MAX   64

/* What else the loop waits for than the transport. */
enum { EVENT_END, EVENT_SOURCES, EVENT_TRANSPORT };

static bool send_to(struct hs_coordinator *c, uint32_t member, uint16_t type,
		    const void *payload, uint32_t payload_bytes)
{
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};
	const struct hs_member *to = hs_member(c->members, member);

	return to && to->peer &&
	       hs_transport_send(c->transport, to->peer, type, &iov, 1) == 0;
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t payload_bytes)
{
	struct hs_coordinator *c = ctx;

	return send_to(c,
		       hs_members_find(c->members, HS_WIRE_ROLE_AGENT,
				       (uint32_t)(node >> 32)),
		       type, payload, payload_bytes);
}

static bool send_collector(void *ctx, const struct hs_wire_trace_id *trace,
			   uint16_t type, const void *payload,
			   uint32_t payload_bytes)
{
	struct hs_coordinator *c = ctx;

	return send_to(c, hs_members_collector(c->members, trace, c->now_ns),
		       type, payload, payload_bytes);
}

static bool read_node(void *ctx, uint64_t node, uint64_t offset_bytes,
		      uint32_t size_bytes, uint64_t cookie)
{
	struct hs_coordinator *c = ctx;
	const struct hs_member *at = hs_member(
		c->members, hs_members_find(c->members, HS_WIRE_ROLE_AGENT,
					    (uint32_t)(node >> 32)));

	return at && at->peer && at->id == node &&
	       hs_transport_read(c->transport, at->peer, offset_bytes,
				 size_bytes, cookie) == 0;
}

static const struct hs_coord_ops core_ops = {send_node, send_collector,
					     read_node};

static void node_up(struct hs_coordinator *c,
		    const struct hs_transport_peer *peer, uint64_t now_ns)
{
	hs_coord_core_node_up(c->core, now_ns, peer->node);
	hs_coord_core_node_at(c->core, peer->node, peer->at);
}

static void on_peer_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct hs_coordinator *c = ctx;
	uint64_t now_ns = c->now_ns;
	uint32_t superseded;

	hs_log_info("coordinator", "peer up role=%d name=%s node=%016llx",
		    (int)peer->role, peer->name,
		    (unsigned long long)peer->node);
	if (!hs_members_came(c->members, peer->role, peer->node, peer->name,
			     peer->address, peer->peer, now_ns, &superseded)) {
		hs_transport_cut(c->transport, peer->peer);
		return;
	}
	/* A node that came back before its old connection was seen to end. */
	if (superseded)
		hs_transport_cut(c->transport, superseded);
	if (peer->role == HS_WIRE_ROLE_AGENT)
		node_up(c, peer, now_ns);
	else if (peer->role == HS_WIRE_ROLE_COLLECTOR)
		hs_coord_core_collector_up(c->core, now_ns);
}

static void on_peer_down(void *ctx, uint32_t peer)
{
	struct hs_coordinator *c = ctx;
	uint64_t now_ns = c->now_ns;
	const struct hs_member *at = hs_member(
		c->members, hs_members_went(c->members, peer, now_ns));

	if (!at)
		return;
	hs_log_info("coordinator", "peer down role=%d name=%s node=%016llx",
		    (int)at->role, at->name, (unsigned long long)at->id);
	if (at->role == HS_WIRE_ROLE_AGENT)
		hs_coord_core_node_down(c->core, now_ns, at->id);
}

static bool may_say(enum hs_wire_role role, uint16_t type)
{
	switch (type) {
	case HS_WIRE_TRIGGER:
	case HS_WIRE_CRUMBS:
	case HS_WIRE_UPDATE:
	case HS_WIRE_FOUND:
	case HS_WIRE_LEAVE:
		return role == HS_WIRE_ROLE_AGENT;
	case HS_WIRE_MANIFEST_ACK:
		return role == HS_WIRE_ROLE_COLLECTOR;
	default:
		return false;
	}
}

/* It is gone when it hangs up; the core hears of that by the list. */
static void on_leave(struct hs_coordinator *c, const struct hs_member *at,
		     const void *payload, uint32_t payload_bytes)
{
	const struct hs_wire_leave *leave = payload;

	if (payload_bytes != sizeof(*leave) || leave->node != at->id)
		hs_transport_cut(c->transport, at->peer);
	else
		hs_members_leaves(c->members, at->peer, c->now_ns);
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct hs_coordinator *c = ctx;
	const struct hs_member *at =
		hs_member(c->members, hs_members_peer(c->members, peer));

	if (!at)
		return;
	if (!may_say(at->role, type)) {
		c->messages_misplaced++;
		hs_transport_cut(c->transport, peer);
		return;
	}
	if (type == HS_WIRE_LEAVE) {
		on_leave(c, at, payload, payload_bytes);
		return;
	}
	if (hs_coord_core_message(c->core, c->now_ns, at->id, type, payload,
				  payload_bytes) != 0)
		hs_transport_cut(c->transport, peer);
}

/* Crumbs that a node lets us read before it answers. */
static int on_readable(void *ctx, uint32_t peer, const void *about,
		       uint32_t about_bytes, uint64_t size_bytes)
{
	struct hs_coordinator *c = ctx;
	const struct hs_member *at =
		hs_member(c->members, hs_members_peer(c->members, peer));

	if (!at || at->role != HS_WIRE_ROLE_AGENT)
		return -EBADMSG;
	return hs_coord_core_table(c->core, c->now_ns, at->id, about,
				   about_bytes, size_bytes);
}

static void on_read(void *ctx, uint32_t peer, uint64_t cookie, const void *data,
		    uint32_t size_bytes)
{
	struct hs_coordinator *c = ctx;
	const struct hs_member *at =
		hs_member(c->members, hs_members_peer(c->members, peer));

	if (at)
		hs_coord_core_read(c->core, c->now_ns, at->id, cookie, data,
				   size_bytes);
}

static void on_writable(void *ctx, uint32_t peer)
{
	struct hs_coordinator *c = ctx;

	(void)peer;
	hs_coord_core_tick(c->core, c->now_ns);
}

static int open_core(struct hs_coordinator *c)
{
	struct hs_coord_config config =
		hs_coordinator_settings_core(c->settings);
	struct hs_members_config members = {
		/* Those that are gone are remembered for a while. */
		.nr = (uint32_t)c->settings->nr_peers + MEMBERS_GONE,
		.expire_after_ns = c->settings->gone_after_ns,
	};
	int rc = hs_random_secure(&config.seed, sizeof(config.seed));

	if (rc)
		return rc;
	c->epoch = hs_clock_real_ns();
	c->started_ns = c->now_ns = hs_clock_mono_ns();
	/* Of seconds: a restart within one is the same node to its peers, who
	 * keep nothing by it. */
	c->node = (uint64_t)c->settings->node << 32 |
		  (uint32_t)(c->epoch / HS_NS_PER_SEC);
	config.node = c->node;
	config.epoch = c->epoch;
	c->memory_bytes = hs_coord_core_size_bytes(&config);
	c->memory = hs_aligned_pages(c->memory_bytes);
	if (!c->memory)
		return -ENOMEM;
	c->core = hs_coord_core_create(c->memory, &config, &core_ops, c,
				       c->started_ns);
	c->members = calloc(1, hs_members_size_bytes(&members));
	if (!c->members)
		return -ENOMEM;
	hs_members_create(c->members, &members);
	return 0;
}

/* What the lists changed about agents, the core has to hear. */
static void tell_core(struct hs_coordinator *c, uint64_t now_ns)
{
	uint64_t seen = c->members_version;

	for (uint32_t i = hs_members_next(c->members, HS_WIRE_ROLE_AGENT, 0); i;
	     i = hs_members_next(c->members, HS_WIRE_ROLE_AGENT, i)) {
		const struct hs_member *at = hs_member(c->members, i);

		if (at->version <= seen)
			continue;
		if (at->state == HS_MEMBER_GONE)
			hs_coord_core_node_left(c->core, now_ns, at->number);
		else if (at->listed)
			hs_coord_core_node_listed(c->core, now_ns, at->number);
	}
	c->members_version = c->members->stats.version;
}

static void apply_lists(struct hs_coordinator *c)
{
	uint64_t now_ns = c->now_ns;

	if (hs_sources_apply(c->sources, c->members, c->transport, now_ns))
		hs_coord_core_collector_up(c->core, now_ns);
	hs_members_tick(c->members, now_ns);
	if (c->members_version != c->members->stats.version)
		tell_core(c, now_ns);
}

static int open_sources(struct hs_coordinator *c)
{
	const struct hs_coordinator_settings *s = c->settings;
	struct hs_sources_config config = {
		.lists = {{HS_WIRE_ROLE_COLLECTOR, true,
			   (const char *const *)s->collectors.items,
			   s->collectors.nr_items},
			  {HS_WIRE_ROLE_AGENT, false,
			   (const char *const *)s->agents.items,
			   s->agents.nr_items}},
		.nr_lists = s->agents.nr_items ? 2 : 1,
		.announce = s->announce,
		.announced_as = c->announced_as,
	};
	char error[HS_HOSTLIST_ERROR_BYTES];

	snprintf(c->announced_as, sizeof(c->announced_as), "%u@%s",
		 (uint32_t)s->node,
		 s->announce_address ? s->announce_address : s->listen);
	c->sources = hs_sources_start(&config, error);
	if (!c->sources) {
		int rc = -errno;

		hs_log_error("coordinator", "collectors, agents, announce: %s",
			     error);
		return rc;
	}
	hs_coord_core_listing(c->core, s->agents.nr_items != 0);
	apply_lists(c);
	return 0;
}

static int open_transport(struct hs_coordinator *c)
{
	static const struct hs_transport_events events = {
		on_peer_up, on_peer_down, on_message, on_writable};
	static const struct hs_transport_windows windows = {
		.readable = on_readable, .read_done = on_read};
	const struct hs_coordinator_settings *s = c->settings;
	const struct hs_transport_limits limits = {
		.nr_peers = (uint32_t)s->nr_peers,
		.send_queue_bytes = (uint32_t)s->send_queue_bytes,
		.idle_timeout_ns = s->idle_ns,
		.flushes = true,
		.epoll_fd = c->epoll_fd,
	};
	struct hs_transport_self self = {.role = HS_WIRE_ROLE_COORDINATOR,
					 .node = c->node};
	int rc;

	snprintf(self.name, sizeof(self.name), "%s", s->name);
	c->transport = hs_transport_create(&s->transport, &self, &limits,
					   &events, c, c->transport_why);
	if (!c->transport) {
		rc = -errno;
		hs_log_error("coordinator", "no transport: %s",
			     c->transport_why);
		return rc;
	}
	/* Over TCP nobody can be read: all is learned from answers then. */
	rc = hs_transport_windows(c->transport, &windows);
	if (rc && rc != -EOPNOTSUPP)
		return rc;
	c->port = hs_transport_listen(c->transport, s->listen);
	if (c->port < 0) {
		hs_log_error("coordinator",
			     "cannot listen; listen should be a free host:port "
			     "address=%s error=%s",
			     s->listen, strerror(-c->port));
		return c->port;
	}
	return open_sources(c);
}

int hs_coordinator_open(struct hs_coordinator *c,
			const struct hs_coordinator_settings *settings)
{
	int rc;

	*c = (struct hs_coordinator){.settings = settings};
	pthread_mutex_init(&c->lock, NULL);
	c->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	rc = c->stop_fd < 0 || c->epoll_fd < 0 ? -errno : open_core(c);
	if (!rc)
		rc = open_transport(c);
	if (!rc)
		rc = hs_control_open(c);
	if (rc)
		return rc;
	hs_log_info("coordinator", "ready port=%d node=%016llx collectors=%zu",
		    c->port, (unsigned long long)c->node,
		    settings->collectors.nr_items);
	return 0;
}

static int wait_ms(const struct hs_coordinator *c)
{
	uint64_t next = hs_coord_core_next_ns(c->core);
	uint64_t now = hs_clock_mono_ns();

	if (next <= now)
		return 0;
	if (next - now > 3600 * HS_NS_PER_SEC)
		return -1;
	return (int)((next - now) / HS_NS_PER_MS) + 1;
}

static int watch(struct hs_coordinator *c, int fd, uint64_t event)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = event};

	return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int watch_all(struct hs_coordinator *c, int signal_fd)
{
	int fd = hs_transport_fd(c->transport);
	int rc = watch(c, signal_fd, EVENT_END);

	if (!rc)
		rc = watch(c, c->stop_fd, EVENT_END);
	if (!rc)
		rc = watch(c, hs_sources_fd(c->sources), EVENT_SOURCES);
	return rc || fd == c->epoll_fd ? rc : watch(c, fd, EVENT_TRANSPORT);
}

/* The transport's of @events, or what it waited for itself. */
static int transport_turn(struct hs_coordinator *c,
			  const struct epoll_event *events, int nr_events)
{
	if (hs_transport_fd(c->transport) != c->epoll_fd)
		return hs_transport_poll(c->transport, 0);
	hs_transport_turn(c->transport, events, nr_events);
	return 0;
}

/* Those of the transport come first. Return: how many; -1: it is to end. */
static int sort_events(struct epoll_event *events, int nr_events)
{
	int nr = 0;

	for (int i = 0; i < nr_events; i++)
		if (events[i].data.u64 & HS_TRANSPORT_EVENT)
			events[nr++] = events[i];
		else if (events[i].data.u64 == EVENT_END)
			return -1;
	return nr;
}

int hs_coordinator_run(struct hs_coordinator *c, int signal_fd)
{
	struct epoll_event events[EVENTS_MAX];
	int rc = watch_all(c, signal_fd), nr;

	pthread_mutex_lock(&c->lock);
	while (!rc) {
		int wait = wait_ms(c);

		pthread_mutex_unlock(&c->lock);
		nr = epoll_wait(c->epoll_fd, events, EVENTS_MAX, wait);
		if (nr < 0 && errno != EINTR)
			rc = -errno;
		pthread_mutex_lock(&c->lock);
		c->waits++;
		c->now_ns = hs_clock_mono_ns();
		nr = sort_events(events, nr);
		if (nr < 0)
			break;
		apply_lists(c);
		if (!rc)
			rc = transport_turn(c, events, nr);
		c->now_ns = hs_clock_mono_ns();
		hs_coord_core_tick(c->core, c->now_ns);
		hs_transport_flush(c->transport);
	}
	pthread_mutex_unlock(&c->lock);
	if (rc)
		hs_log_error("coordinator", "cannot go on: %s", strerror(-rc));
	return rc;
}

void hs_coordinator_close(struct hs_coordinator *c)
{
	hs_httpd_stop(c->httpd);
	hs_sources_stop(c->sources);
	hs_transport_destroy(c->transport);
	free(c->members);
	if (c->memory)
		munmap(c->memory, c->memory_bytes);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	pthread_mutex_destroy(&c->lock);
}

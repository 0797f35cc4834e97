/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see carrier.h. */
#include "agent/carrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "agent/domain.h"
#include "agent/redact.h"
#include "agent/shipper.h"
#include "agent/shm_read.h"
#include "agent/shown.h"
#include "agent/tally_send.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "rdma/hostlist.h"

static void on_peer_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct hs_worker *w = ctx;
	uint32_t superseded;

	hs_log_info("agent", "peer up role=%d name=%s node=%016llx",
		    (int)peer->role, peer->name,
		    (unsigned long long)peer->node);
	if (!hs_members_came(w->members, peer->role, peer->node, peer->name,
			     peer->address, peer->peer, w->now_ns,
			     &superseded)) {
		hs_transport_cut(w->transport, peer->peer);
		return;
	}
	if (superseded)
		hs_transport_cut(w->transport, superseded);
	if (peer->role == HS_WIRE_ROLE_COLLECTOR)
		hs_agent_core_collector_up(w->core, w->now_ns);
	if (peer->role == HS_WIRE_ROLE_COORDINATOR)
		hs_agent_core_coordinator_up(w->core, peer->node, w->now_ns);
}

static void on_peer_down(void *ctx, uint32_t peer)
{
	struct hs_worker *w = ctx;
	const struct hs_member *at = hs_member(
		w->members, hs_members_went(w->members, peer, w->now_ns));

	if (!at)
		return;
	hs_log_info("agent", "peer down role=%d name=%s", (int)at->role,
		    at->name);
	if (at->role != HS_WIRE_ROLE_COORDINATOR)
		return;
	hs_silence_gone(&w->silence, at->number);
	hs_agent_core_coordinator_down(w->core, at->id, w->now_ns);
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct hs_worker *w = ctx;
	const struct hs_member *at =
		hs_member(w->members, hs_members_peer(w->members, peer));
	enum hs_wire_role from;

	switch (type) {
	case HS_WIRE_COLLECT:
	case HS_WIRE_SEEK:
	case HS_WIRE_STORED:
	case HS_WIRE_REFUSED:
		from = HS_WIRE_ROLE_COORDINATOR;
		break;
	case HS_WIRE_SLICE_ACK:
	case HS_WIRE_TALLY_ACK:
		from = HS_WIRE_ROLE_COLLECTOR;
		break;
	default:
		w->counters.messages_misplaced++;
		return;
	}
	if (!at || at->role != from) {
		w->counters.messages_misplaced++;
		return;
	}
	if (type == HS_WIRE_TALLY_ACK) {
		hs_tally_ack(w, payload, payload_bytes);
		return;
	}
	if (from == HS_WIRE_ROLE_COORDINATOR)
		hs_silence_heard(&w->silence, at->number, w->now_ns);
	if (type == HS_WIRE_COLLECT)
		w->asked_ns = w->now_ns;
	hs_agent_core_message(w->core, at->id, type, payload, payload_bytes,
			      w->now_ns);
}

/* Traces that had no collector may have one now. Most rounds nobody waits. */
static void look_at_routes(struct hs_worker *w)
{
	uint64_t routes;

	if (!hs_agent_core_away(w->core))
		return;
	routes = hs_members_routes(w->members, w->now_ns);
	if (routes == w->routes)
		return;
	w->routes = routes;
	hs_agent_core_routes_changed(w->core);
}

void hs_carrier_listen(struct hs_worker *w)
{
	uint32_t number;

	look_at_routes(w);
	while ((number = hs_silence_next(&w->silence, w->now_ns)))
		if (hs_agent_core_coordinator_silent(w->core, number,
						     w->now_ns))
			hs_log_limited(HS_LOG_INFO, "agent",
				       "coordinator is quiet, telling the next "
				       "one number=%u",
				       number);
}

/* Who is listed is dialled, and nobody else. */
static int sources_start(struct hs_worker *w)
{
	const struct hs_agent_settings *s = &w->settings;
	const struct hs_sources_config config = {
		.lists = {{HS_WIRE_ROLE_COORDINATOR, true,
			   (const char *const *)s->coordinators.items,
			   s->coordinators.nr_items},
			  {HS_WIRE_ROLE_COLLECTOR, true,
			   (const char *const *)s->collectors.items,
			   s->collectors.nr_items}},
		.nr_lists = 2,
	};
	char error[HS_HOSTLIST_ERROR_BYTES];

	w->sources = hs_sources_start(&config, error);
	if (!w->sources) {
		int rc = -errno;

		hs_log_error("agent", "coordinators, collectors: %s", error);
		return rc;
	}
	hs_sources_apply(w->sources, w->members, w->transport, w->now_ns);
	return hs_worker_watch(w, hs_sources_fd(w->sources), HS_WORKER_SOURCES,
			       0);
}

int hs_carrier_make(struct hs_worker *w)
{
	static const struct hs_transport_events events = {
		.peer_up = on_peer_up,
		.peer_down = on_peer_down,
		.message = on_message,
	};
	const struct hs_agent_settings *s = &w->settings;
	struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT,
		.node = w->node_id,
	};
	struct hs_transport_limits limits = {
		.nr_peers = HS_AGENT_PEERS_MAX,
		.flushes = true,
		.epoll_fd = w->epoll,
	};
	/* Twice: those that are gone are remembered for a while. */
	struct hs_members_config members = {.nr = 2 * HS_AGENT_PEERS_MAX};
	int rc;

	snprintf(self.name, sizeof(self.name), "%s", s->node_name);
	w->bounce = malloc(HS_WIRE_SLICE_MAX_BYTES);
	w->members = calloc(1, hs_members_size_bytes(&members));
	w->redact = hs_redact_make();
	if (!w->bounce || !w->members || !w->redact)
		return -ENOMEM;
	hs_redact_load(w->redact, &s->redact, s->cluster_key);
	hs_members_create(w->members, &members);
	w->transport = hs_transport_create(&s->transport, &self, &limits,
					   &events, w, w->transport_why);
	if (!w->transport) {
		rc = -errno;
		hs_log_error("agent", "no transport: %s", w->transport_why);
		return rc;
	}
	hs_shown_tell(w);
	rc = sources_start(w);
	if (rc)
		return rc;
	if (hs_transport_fd(w->transport) == w->epoll)
		return 0;
	return hs_worker_watch(w, hs_transport_fd(w->transport),
			       HS_WORKER_TRANSPORT, 0);
}

void hs_carrier_free(struct hs_worker *w)
{
	hs_sources_stop(w->sources);
	w->sources = NULL;
	hs_transport_destroy(w->transport);
	w->transport = NULL;
	hs_shown_free(w);
	free(w->bounce);
	w->bounce = NULL;
	free(w->members);
	w->members = NULL;
	hs_redact_free(w->redact);
	w->redact = NULL;
}

void hs_carrier_relist(struct hs_worker *w)
{
	/* What went to a collector that is listed no more goes to the next. */
	if (hs_sources_apply(w->sources, w->members, w->transport, w->now_ns))
		hs_agent_core_collector_up(w->core, w->now_ns);
}

void hs_carrier_poll(struct hs_worker *w)
{
	int rc = hs_transport_poll(w->transport, 0);

	w->sent = false;
	if (rc < 0 && rc != -EINTR)
		hs_log_error("agent", "transport failed error=%s",
			     strerror(-rc));
}

void hs_carrier_turn(struct hs_worker *w, const struct epoll_event *events,
		     int nr_events)
{
	hs_transport_turn(w->transport, events, nr_events);
	w->sent = false;
}

void hs_carrier_flush(struct hs_worker *w)
{
	hs_transport_flush(w->transport);
	w->sent = false;
}

static bool post(struct hs_worker *w, const struct hs_member *to, uint16_t type,
		 const struct iovec *iov, int nr_iov)
{
	int rc;

	if (!to || !to->peer)
		return false;
	rc = hs_transport_send(w->transport, to->peer, type, iov, nr_iov);
	w->sent = true;
	if (rc == 0)
		return true;
	w->counters.ship_refused++;
	return false;
}

static uint64_t send_coordinator(void *ctx,
				 const struct hs_wire_trace_id *primary,
				 uint32_t attempt, uint16_t type,
				 const void *payload, uint32_t payload_bytes)
{
	struct hs_worker *w = ctx;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};
	const struct hs_member *to = hs_member(
		w->members, hs_members_shard(w->members, primary, attempt));

	if (to)
		hs_silence_told(&w->silence, to->number, w->now_ns);
	return post(w, to, type, &iov, 1) ? to->id : 0;
}

static uint64_t coordinator_of(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt)
{
	const struct hs_worker *w = ctx;
	const struct hs_member *to = hs_member(
		w->members, hs_members_shard(w->members, primary, attempt));

	return to ? to->id : 0;
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t payload_bytes)
{
	struct hs_worker *w = ctx;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

	return post(
		w,
		hs_member(w->members,
			  hs_members_find(w->members, HS_WIRE_ROLE_COORDINATOR,
					  (uint32_t)(node >> 32))),
		type, &iov, 1);
}

bool hs_carrier_collect(struct hs_worker *w, const struct hs_wire_trace_id *id,
			uint16_t type, const void *payload,
			uint32_t payload_bytes)
{
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

	return post(w,
		    hs_member(w->members,
			      hs_members_collector(w->members, id, w->now_ns)),
		    type, &iov, 1);
}

/*
 * Where the bytes are that may leave: in the pool, or, where there are rules of
 * redaction, rewritten at the start of the bounce buffer. For that they are
 * read from their buffer's start to what is committed, as records neither begin
 * nor end with a slice.
 * Return: NULL for a slice that is of no buffer.
 */
static const uint8_t *prepared(struct hs_worker *w, const struct hs_tenant *t,
			       struct hs_agent_slice *slice)
{
	const uint8_t *at = (const uint8_t *)t->pools[slice->pool_node].base +
			    slice->pool_offset;
	uint64_t mask = hs_redact_mask(w->redact, t->index, t->name);
	struct hs_wire_slice *head = &slice->head;
	struct hs_wire_slice whole = *head;

	if (!mask)
		return at;
	whole.length_bytes = slice->committed - head->offset;
	if (head->offset > slice->pool_offset ||
	    slice->committed > HS_WIRE_SLICE_MAX_BYTES ||
	    whole.length_bytes < head->length_bytes ||
	    whole.length_bytes > hs_tenant_pool_bytes(t) - slice->pool_offset)
		return NULL;
	hs_shm_read_bytes(w->bounce, at - head->offset, slice->committed);
	hs_redact_slice(w->redact, mask, t->index, &whole, w->bounce);
	head->flags = whole.flags;
	memmove(w->bounce, w->bounce + head->offset, head->length_bytes);
	return w->bounce;
}

/* To its manifest's collector. By the transport with one copy: what is sent is
 * what was summed, whatever its producer does. */
static enum hs_agent_shipped ship(void *ctx, const struct hs_agent_slice *slice)
{
	struct hs_worker *w = ctx;
	const struct hs_tenant *t = slice->domain < HS_AGENT_DOMAINS_MAX
					    ? w->tenants[slice->domain]
					    : NULL;
	const struct hs_member *p = hs_member(
		w->members, hs_members_collector(w->members, &slice->head.trace,
						 w->now_ns));
	struct hs_agent_slice out = *slice;
	struct hs_wire_slice *head = &out.head;
	uint64_t pool_bytes;
	const uint8_t *bytes;
	struct iovec iov[2];

	if (!p)
		return HS_AGENT_SHIP_AWAY;
	if (!t)
		return HS_AGENT_SHIP_NOT;
	pool_bytes = hs_tenant_pool_bytes(t);
	if (head->length_bytes > HS_WIRE_SLICE_MAX_BYTES ||
	    slice->pool_node >= t->nr_pools ||
	    slice->pool_offset > pool_bytes ||
	    head->length_bytes > pool_bytes - slice->pool_offset)
		return HS_AGENT_SHIP_NOT;
	bytes = prepared(w, t, &out);
	if (!bytes)
		return HS_AGENT_SHIP_NOT;
	if (w->shipper)
		return hs_shipper_ship(w->shipper, p->number, &out, bytes,
				       bytes != w->bounce);
	if (bytes != w->bounce)
		hs_shm_read_bytes(w->bounce, bytes, head->length_bytes);
	head->crc = hs_crc32c(0, w->bounce, head->length_bytes);
	iov[0] = (struct iovec){head, sizeof(*head)};
	iov[1] = (struct iovec){w->bounce, head->length_bytes};
	return post(w, p, HS_WIRE_SLICE, iov, 2) ? HS_AGENT_SHIP_COPIED
						 : HS_AGENT_SHIP_NOT;
}

/* As last words: destroying the transport sends what the kernel takes. */
void hs_carrier_leave(struct hs_worker *w)
{
	struct hs_wire_leave leave = {.node = w->node_id};
	struct iovec iov = {&leave, sizeof(leave)};
	uint32_t i = 0;

	while ((i = hs_members_next(w->members, HS_WIRE_ROLE_COORDINATOR, i)))
		post(w, hs_member(w->members, i), HS_WIRE_LEAVE, &iov, 1);
}

const struct hs_agent_ops hs_carrier_ops = {
	.send_coordinator = send_coordinator,
	.send_node = send_node,
	.ship = ship,
	.coordinator_of = coordinator_of,
};

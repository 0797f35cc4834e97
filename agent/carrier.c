/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see carrier.h. */
#include "agent/carrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "agent/domain.h"
#include "agent/shm_read.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/log.h"
#include "rdma/wire.h"

static struct hs_worker_peer *peer_find(struct hs_worker *w, uint32_t peer)
{
	for (uint32_t i = 0; i < HS_AGENT_PEERS_MAX; i++)
		if (w->peers[i].live && w->peers[i].peer.peer == peer)
			return &w->peers[i];
	return NULL;
}

static void on_peer_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct hs_worker *w = ctx;

	for (uint32_t i = 0; i < HS_AGENT_PEERS_MAX; i++) {
		if (w->peers[i].live)
			continue;
		w->peers[i].peer = *peer;
		w->peers[i].live = true;
		break;
	}
	hs_log_info("agent", "peer up role=%d name=%s node=%016llx",
		    (int)peer->role, peer->name,
		    (unsigned long long)peer->node);
	if (peer->role == HS_WIRE_ROLE_COLLECTOR)
		hs_agent_core_collector_up(w->core, w->now_ns);
	if (peer->role == HS_WIRE_ROLE_COORDINATOR)
		hs_agent_core_coordinator_up(w->core, w->now_ns);
}

static void on_peer_down(void *ctx, uint32_t peer)
{
	struct hs_worker *w = ctx;
	struct hs_worker_peer *p = peer_find(w, peer);

	if (!p)
		return;
	hs_log_info("agent", "peer down role=%d name=%s", (int)p->peer.role,
		    p->peer.name);
	p->live = false;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct hs_worker *w = ctx;
	const struct hs_worker_peer *p = peer_find(w, peer);
	enum hs_wire_role from;

	switch (type) {
	case HS_WIRE_COLLECT:
	case HS_WIRE_STORED:
		from = HS_WIRE_ROLE_COORDINATOR;
		break;
	case HS_WIRE_SLICE_ACK:
		from = HS_WIRE_ROLE_COLLECTOR;
		break;
	default:
		w->counters.messages_misplaced++;
		return;
	}
	if (!p || p->peer.role != from) {
		w->counters.messages_misplaced++;
		return;
	}
	hs_agent_core_message(w->core, p->peer.node, type, payload,
			      payload_bytes, w->now_ns);
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
	struct hs_transport_limits limits = {.nr_peers = HS_AGENT_PEERS_MAX};
	int rc = 0;

	snprintf(self.name, sizeof(self.name), "%s", s->node_name);
	w->bounce = malloc(HS_WIRE_SLICE_MAX_BYTES);
	if (!w->bounce)
		return -ENOMEM;
	w->transport = hs_transport_create(&s->transport, &self, &limits,
					   &events, w, w->transport_why);
	if (!w->transport) {
		rc = -errno;
		hs_log_error("agent", "no transport: %s", w->transport_why);
		return rc;
	}
	for (size_t i = 0; i < s->coordinators.nr_items && rc >= 0; i++)
		rc = hs_transport_dial(w->transport, s->coordinators.items[i]);
	for (size_t i = 0; i < s->collectors.nr_items && rc >= 0; i++)
		rc = hs_transport_dial(w->transport, s->collectors.items[i]);
	if (rc < 0) {
		hs_log_error("agent",
			     "an address of coordinators or "
			     "collectors should be host:port error=%s",
			     strerror(-rc));
		return rc;
	}
	return hs_worker_watch(w, w->transport->ops->fd(w->transport),
			       HS_WORKER_TRANSPORT, 0);
}

void hs_carrier_free(struct hs_worker *w)
{
	hs_transport_destroy(w->transport);
	w->transport = NULL;
	free(w->bounce);
	w->bounce = NULL;
}

void hs_carrier_poll(struct hs_worker *w)
{
	int rc = hs_transport_poll(w->transport, 0);

	w->sent = false;
	if (rc < 0 && rc != -EINTR)
		hs_log_error("agent", "transport failed error=%s",
			     strerror(-rc));
}

/*
 * The @attempt-th of @role for @trace, counted over those that are up, best
 * first. All nodes rank alike, whatever they see down.
 */
static const struct hs_worker_peer *pick(const struct hs_worker *w,
					 enum hs_wire_role role,
					 const struct hs_wire_trace_id *trace,
					 uint32_t attempt)
{
	uint64_t key = hs_wire_trace_key(trace);
	const struct hs_worker_peer *order[HS_AGENT_PEERS_MAX];
	uint64_t wants[HS_AGENT_PEERS_MAX];
	uint32_t nr = 0;

	for (uint32_t i = 0; i < HS_AGENT_PEERS_MAX; i++) {
		const struct hs_worker_peer *p = &w->peers[i];
		uint64_t want;
		uint32_t j;

		if (!p->live || p->peer.role != role)
			continue;
		want = hs_hash_rendezvous(key, p->peer.node);
		for (j = nr++;
		     j > 0 && (want > wants[j - 1] ||
			       (want == wants[j - 1] &&
				p->peer.node > order[j - 1]->peer.node));
		     j--) {
			wants[j] = wants[j - 1];
			order[j] = order[j - 1];
		}
		wants[j] = want;
		order[j] = p;
	}
	return nr ? order[attempt % nr] : NULL;
}

static bool post(struct hs_worker *w, const struct hs_worker_peer *p,
		 uint16_t type, const struct iovec *iov, int nr_iov)
{
	int rc;

	if (!p)
		return false;
	rc = hs_transport_send(w->transport, p->peer.peer, type, iov, nr_iov);
	w->sent = true;
	if (rc == 0)
		return true;
	w->counters.ship_refused++;
	return false;
}

static bool send_coordinator(void *ctx, const struct hs_wire_trace_id *primary,
			     uint32_t attempt, uint16_t type,
			     const void *payload, uint32_t payload_bytes)
{
	struct hs_worker *w = ctx;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

	return post(w, pick(w, HS_WIRE_ROLE_COORDINATOR, primary, attempt),
		    type, &iov, 1);
}

static bool send_node(void *ctx, uint64_t node, uint16_t type,
		      const void *payload, uint32_t payload_bytes)
{
	struct hs_worker *w = ctx;
	struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

	for (uint32_t i = 0; i < HS_AGENT_PEERS_MAX; i++)
		if (w->peers[i].live && w->peers[i].peer.node == node)
			return post(w, &w->peers[i], type, &iov, 1);
	return false;
}

/* One copy: what is sent is what was summed, whatever its producer does. */
static bool ship(void *ctx, const struct hs_agent_slice *slice)
{
	struct hs_worker *w = ctx;
	const struct hs_tenant *t = slice->domain < HS_AGENT_DOMAINS_MAX
					    ? w->tenants[slice->domain]
					    : NULL;
	const struct hs_worker_peer *p =
		pick(w, HS_WIRE_ROLE_COLLECTOR, &slice->head.trace, 0);
	struct hs_wire_slice head = slice->head;
	uint64_t pool_bytes;
	struct iovec iov[2];

	if (!t || !p)
		return false;
	pool_bytes = hs_tenant_pool_bytes(t);
	if (head.length_bytes > HS_WIRE_SLICE_MAX_BYTES ||
	    slice->pool_offset > pool_bytes ||
	    head.length_bytes > pool_bytes - slice->pool_offset)
		return false;
	hs_shm_read_bytes(w->bounce,
			  (const uint8_t *)t->pool.base + slice->pool_offset,
			  head.length_bytes);
	head.crc = hs_crc32c(0, w->bounce, head.length_bytes);
	iov[0] = (struct iovec){&head, sizeof(head)};
	iov[1] = (struct iovec){w->bounce, head.length_bytes};
	return post(w, p, HS_WIRE_SLICE, iov, 2);
}

const struct hs_agent_ops hs_carrier_ops = {
	.send_coordinator = send_coordinator,
	.send_node = send_node,
	.ship = ship,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_cm.c - connections between queue pairs, as librdmacm makes them
 */
#include "tests/rdma/fake_cm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 8192

struct fake_event {
	struct rdma_cm_event event; /* first */
	struct rdma_event_channel *channel;
	uint8_t private_data[64];
};

struct fake_id *ids[IDS_MAX];
uint16_t next_port;
static struct fake_event *events[EVENTS_MAX];
static uint32_t nr_events;

struct rdma_event_channel *fake_cm_open(void)
{
	struct rdma_event_channel *c = make(sizeof(*c));

	if (c)
		c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return c;
}

void fake_cm_close(struct rdma_event_channel *c)
{
	close(c->fd);
	drop(c);
}

static void push_event(struct fake_id *id, enum rdma_cm_event_type type,
		       int status, const struct fake_id *from)
{
	struct fake_event *e = calloc(1, sizeof(*e));

	e->event.id = &id->id;
	e->event.event = type;
	e->event.status = status;
	e->channel = id->id.channel;
	if (from && from->private_size) {
		memcpy(e->private_data, from->private_data, from->private_size);
		e->event.param.conn.private_data = e->private_data;
		e->event.param.conn.private_data_len = from->private_size;
		e->event.param.conn.initiator_depth = from->reads;
	}
	if (nr_events == EVENTS_MAX) {
		note("too many CM events");
		free(e);
		return;
	}
	events[nr_events++] = e;
	signal_fd(e->channel->fd);
}

int fake_cm_event(struct rdma_event_channel *channel,
		  struct rdma_cm_event **event)
{
	for (uint32_t i = 0; i < nr_events; i++) {
		if (events[i]->channel != channel)
			continue;
		*event = &events[i]->event;
		memmove(events + i, events + i + 1,
			(--nr_events - i) * sizeof(events[0]));
		return 0;
	}
	quiet_fd(channel->fd);
	errno = EAGAIN;
	return -1;
}

int fake_cm_ack(struct rdma_cm_event *event)
{
	free(event);
	return 0;
}

static struct fake_id *new_id(struct rdma_event_channel *channel, void *ctx)
{
	struct fake_id *id = make(sizeof(*id));

	if (!id)
		return NULL;
	id->id.channel = channel;
	id->id.context = ctx;
	id->id.port_num = 1;
	/* Its GID of index 1, see fake_query_gid(). */
	memcpy(id->id.route.addr.addr.ibaddr.sgid.raw + 10,
	       "\xff\xff\x7f\0\0\1", 6);
	for (int i = 0; i < IDS_MAX; i++)
		if (!ids[i]) {
			ids[i] = id;
			return id;
		}
	note("too many ids");
	drop(id);
	return NULL;
}

int fake_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id,
		   void *ctx)
{
	struct fake_id *made = new_id(channel, ctx);

	*id = made ? &made->id : NULL;
	return made ? 0 : -1;
}

static void hang_up(struct fake_id *id)
{
	struct fake_id *peer = id->peer;

	if (!id->connected)
		return;
	id->connected = false;
	id->peer = NULL;
	if (!peer)
		return;
	peer->peer = NULL;
	push_event(peer, RDMA_CM_EVENT_DISCONNECTED, 0, NULL);
}

int fake_destroy_id(struct rdma_cm_id *cm_id)
{
	struct fake_id *id = (struct fake_id *)cm_id;
	uint32_t kept = 0;

	hang_up(id);
	if (id->peer)
		id->peer->peer = NULL;
	if (cm_id->qp)
		note("an id was destroyed before its queue pair");
	for (uint32_t i = 0; i < nr_events; i++) {
		if (events[i]->event.id == cm_id &&
		    events[i]->event.event != RDMA_CM_EVENT_CONNECT_REQUEST)
			free(events[i]);
		else
			events[kept++] = events[i];
	}
	nr_events = kept;
	for (int i = 0; i < IDS_MAX; i++)
		if (ids[i] == id)
			ids[i] = NULL;
	drop(id);
	return 0;
}

static uint16_t port_of(const struct sockaddr *at)
{
	return at->sa_family == AF_INET6
		       ? ntohs(((const struct sockaddr_in6 *)at)->sin6_port)
		       : ntohs(((const struct sockaddr_in *)at)->sin_port);
}

static struct fake_id *listener_at(uint16_t port)
{
	for (int i = 0; i < IDS_MAX; i++)
		if (ids[i] && ids[i]->listening && ids[i]->port == port)
			return ids[i];
	return NULL;
}

int fake_bind_addr(struct rdma_cm_id *cm_id, struct sockaddr *at)
{
	struct fake_id *id = (struct fake_id *)cm_id;

	if (fails())
		return -1;
	id->port = port_of(at) ? port_of(at) : next_port++;
	cm_id->verbs = &context;
	return 0;
}

int fake_listen(struct rdma_cm_id *cm_id, int backlog)
{
	struct fake_id *id = (struct fake_id *)cm_id;

	if (fails())
		return -1;
	if (listener_at(id->port)) {
		errno = EADDRINUSE;
		return -1;
	}
	id->listening = true;
	return 0;
}

int fake_resolve_addr(struct rdma_cm_id *cm_id, struct sockaddr *from,
		      struct sockaddr *to, int timeout_ms)
{
	struct fake_id *id = (struct fake_id *)cm_id;

	if (fails())
		return -1;
	id->port = port_of(to);
	fake.from =
		from ? ntohl(((struct sockaddr_in *)from)->sin_addr.s_addr) : 0;
	cm_id->verbs = &context;
	cm_id->port_num = 1;
	push_event(id, RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL);
	return 0;
}

int fake_resolve_route(struct rdma_cm_id *cm_id, int timeout_ms)
{
	if (fails())
		return -1;
	push_event((struct fake_id *)cm_id, RDMA_CM_EVENT_ROUTE_RESOLVED, 0,
		   NULL);
	return 0;
}

static void keep_private(struct fake_id *id, const struct rdma_conn_param *p)
{
	id->private_size = p->private_data_len;
	memcpy(id->private_data, p->private_data, id->private_size);
	id->reads = p->responder_resources == RDMA_MAX_RESP_RES
			    ? 16
			    : p->responder_resources;
}

int fake_connect(struct rdma_cm_id *cm_id, struct rdma_conn_param *param)
{
	struct fake_id *id = (struct fake_id *)cm_id;
	struct fake_id *listener = listener_at(id->port);
	struct fake_id *other;

	if (fails())
		return -1;
	keep_private(id, param);
	if (!listener) {
		push_event(id, RDMA_CM_EVENT_REJECTED, -ECONNREFUSED, NULL);
		return 0;
	}
	other = new_id(listener->id.channel, listener->id.context);
	if (!other)
		return -1;
	other->id.verbs = &context;
	other->id.port_num = 1;
	other->peer = id;
	id->peer = other;
	push_event(other, RDMA_CM_EVENT_CONNECT_REQUEST, 0, id);
	return 0;
}

int fake_accept(struct rdma_cm_id *cm_id, struct rdma_conn_param *param)
{
	struct fake_id *id = (struct fake_id *)cm_id;

	if (fails())
		return -1;
	if (!id->peer) {
		errno = ECONNRESET;
		return -1;
	}
	keep_private(id, param);
	id->connected = true;
	id->peer->connected = true;
	push_event(id->peer, RDMA_CM_EVENT_ESTABLISHED, 0, id);
	push_event(id, RDMA_CM_EVENT_ESTABLISHED, 0, NULL);
	return 0;
}

int fake_reject(struct rdma_cm_id *cm_id)
{
	struct fake_id *id = (struct fake_id *)cm_id;

	if (id->peer) {
		push_event(id->peer, RDMA_CM_EVENT_REJECTED, 28, NULL);
		id->peer->peer = NULL;
		id->peer = NULL;
	}
	return 0;
}

int fake_disconnect(struct rdma_cm_id *cm_id)
{
	if (cm_id->qp)
		((struct fake_qp *)cm_id->qp)->error = true;
	hang_up((struct fake_id *)cm_id);
	return 0;
}

int fake_set_option(struct rdma_cm_id *id, int option, void *value,
		    size_t size_bytes)
{
	return 0;
}

int fake_src_port(struct rdma_cm_id *id)
{
	return ((struct fake_id *)id)->port;
}

void fake_remove_device(void)
{
	for (int i = 0; i < IDS_MAX; i++)
		if (ids[i] && ids[i]->id.verbs)
			push_event(ids[i], RDMA_CM_EVENT_DEVICE_REMOVAL, 0,
				   NULL);
}

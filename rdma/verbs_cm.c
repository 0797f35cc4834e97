/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_cm.c - connections by librdmacm: listeners, dials, their ends
 *
 * A dial resolves the address to a device, then the route, then connects; both
 * sides' first credits and buffer sizes travel in the private data. Whatever
 * ends a connection dooms its link, and link.h's machinery does the rest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/verbs.h"

#define EVENTS_A_TURN	64
#define RESOLVE_MS	2000
#define BACKLOG		1024
#define ACK_TIMEOUT	14u
#define LISTEN_RETRY_NS (500 * HS_NS_PER_MS)

/* What outlives the acknowledgement of an event. */
struct event {
	enum rdma_cm_event_type type;
	int status;
	struct rdma_cm_id *id;
	struct rdma_cm_id *listen_id;
	struct hs_verbs_greeting greeting; /* zeros: none came */
	uint32_t initiator_depth;
};

static struct rdma_conn_param conn_param(const struct hs_verbs *v,
					 const struct hs_verbs_greeting *g)
{
	const struct hs_transport_windows *w = &v->hub.windows;

	return (struct rdma_conn_param){
		.private_data = g,
		.private_data_len = sizeof(*g),
		/* As many reads as both devices can, where there are any. */
		.responder_resources = w->data ? RDMA_MAX_RESP_RES : 0,
		.initiator_depth = w->readable ? RDMA_MAX_INIT_DEPTH : 0,
		.retry_count = 7,
		/* Credits see to it that a buffer is there: without end. */
		.rnr_retry_count = 7,
	};
}

static void set_options(struct hs_verbs *v, struct rdma_cm_id *id)
{
	uint8_t tos = (uint8_t)v->options.traffic_class;
	uint8_t ack = (uint8_t)(v->options.ack_timeout ? v->options.ack_timeout
						       : ACK_TIMEOUT);

	/* Older kernels know no such option; then the fabric's own holds. */
	if (tos)
		v->api->set_option(id, RDMA_OPTION_ID_TOS, &tos, sizeof(tos));
	v->api->set_option(id, RDMA_OPTION_ID_ACK_TIMEOUT, &ack, sizeof(ack));
}

static int sys_errno(void)
{
	return errno ? -errno : -EIO;
}

static struct hs_verbs_conn *conn_create(struct hs_verbs *v,
					 struct hs_dial *dial)
{
	struct hs_verbs_conn *conn = calloc(1, sizeof(*conn));

	if (!conn || hs_link_init(&conn->link, &v->hub, dial)) {
		free(conn);
		return NULL;
	}
	conn->chan = hs_verbs_chan_create(v, &conn->link);
	if (conn->chan)
		return conn;
	hs_verbs_release(&conn->link);
	return NULL;
}

int hs_verbs_dial(struct hs_hub *h, struct hs_dial *dial, uint32_t at)
{
	struct hs_verbs *v = (struct hs_verbs *)h;
	struct sockaddr *to = (struct sockaddr *)&dial->at.at[at];
	struct hs_verbs_conn *conn = conn_create(v, dial);
	struct sockaddr *from;
	int rc = -ENOMEM;

	if (!conn) {
		dial->link = NULL;
		return rc;
	}
	from = hs_verbs_source(v, dial, to, &conn->chan->nearest);
	errno = 0;
	if (v->api->create_id(v->cm, &conn->chan->id, conn->chan) == 0) {
		set_options(v, conn->chan->id);
		if (v->api->resolve_addr(conn->chan->id, from, to,
					 RESOLVE_MS) == 0)
			return 0;
	} else {
		conn->chan->id = NULL;
	}
	rc = sys_errno();
	hs_verbs_release(&conn->link);
	dial->link = NULL;
	return rc;
}

static void give_up(struct hs_verbs_chan *c, const char *what, int error)
{
	if (!c->link || c->link->state == HS_LINK_DOOMED)
		return;
	hs_log_limited(HS_LOG_DEBUG, "verbs", "%s: %s peer=%u", what,
		       strerror(error < 0 ? -error : error), c->link->id);
	hs_link_doom(c->link);
}

static void connect_now(struct hs_verbs_chan *c)
{
	struct hs_verbs_greeting greeting;
	struct rdma_conn_param param;
	int rc = hs_verbs_chan_open(c);

	if (rc) {
		hs_log_limited(HS_LOG_WARN, "verbs",
			       "cannot connect: %s peer=%u", strerror(-rc),
			       c->link->id);
		hs_link_doom(c->link);
		return;
	}
	greeting = hs_verbs_chan_greeting(c);
	param = conn_param(c->v, &greeting);
	errno = 0;
	if (c->v->api->connect(c->id, &param))
		give_up(c, "cannot connect", sys_errno());
}

static void established(struct hs_verbs_chan *c, const struct event *e)
{
	const char *wrong;

	if (c->link->dial) {
		c->initiator_depth = e->initiator_depth;
		wrong = hs_verbs_chan_greet(c, &e->greeting);
		if (wrong) {
			hs_link_cut(c->link, HS_TRANSPORT_CUT_GARBAGE, wrong);
			return;
		}
	}
	if (c->link->state == HS_LINK_CONNECTING)
		hs_link_connected(c->link);
}

static void refuse(struct hs_verbs *v, struct rdma_cm_id *id,
		   enum hs_transport_cause cause, const char *why)
{
	hs_hub_count_cut(&v->hub, cause);
	hs_log_limited(HS_LOG_WARN, "verbs",
		       "connection refused: %s nr_peers=%u", why,
		       v->hub.stats.nr_peers);
	v->api->reject(id);
}

static void accept_one(struct hs_verbs *v, const struct event *e)
{
	struct hs_verbs_conn *conn = conn_create(v, NULL);
	struct hs_verbs_greeting greeting;
	struct rdma_conn_param param;
	struct hs_verbs_chan *c;
	enum hs_transport_cause cause = HS_TRANSPORT_CUT_GARBAGE;
	const char *wrong;

	if (!conn) {
		refuse(v, e->id, HS_TRANSPORT_CUT_FULL,
		       "no room for another peer");
		v->api->destroy_id(e->id);
		return;
	}
	c = conn->chan;
	c->id = e->id;
	c->id->context = c;
	c->initiator_depth = e->initiator_depth;
	wrong = hs_verbs_chan_greet(c, &e->greeting);
	if (!wrong && hs_verbs_chan_open(c)) {
		wrong = "no room at the device";
		cause = HS_TRANSPORT_CUT_FULL;
	}
	if (wrong) {
		refuse(v, e->id, cause, wrong);
		hs_verbs_release(&conn->link);
		return;
	}
	greeting = hs_verbs_chan_greeting(c);
	param = conn_param(c->v, &greeting);
	if (v->api->accept(c->id, &param))
		hs_link_doom(&conn->link);
}

static void device_removed(struct hs_verbs *v, struct ibv_context *verbs)
{
	for (uint32_t i = 0; verbs && i < HS_VERBS_DEVICES_MAX; i++)
		if (v->devices[i] && v->devices[i]->verbs == verbs)
			hs_verbs_device_lost(v->devices[i], "removed");
}

static void on_chan(struct hs_verbs_chan *c, const struct event *e)
{
	if (e->type == RDMA_CM_EVENT_DEVICE_REMOVAL)
		device_removed(c->v, e->id->verbs);
	if (!c->link || c->link->state == HS_LINK_DOOMED)
		return;
	switch (e->type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		errno = 0;
		if (c->v->api->resolve_route(c->id, RESOLVE_MS))
			give_up(c, "no route", sys_errno());
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		connect_now(c);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		established(c, e);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* What came before the hang-up is still read. */
		if (c->device)
			hs_verbs_device_drain(c->device);
		if (c->link->state != HS_LINK_DOOMED)
			hs_link_doom(c->link);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		give_up(c, rdma_event_str(e->type), e->status);
		break;
	default: /* TIMEWAIT_EXIT, ADDR_CHANGE: nothing to do */
		break;
	}
}

static void leave(struct hs_verbs *v, struct hs_verbs_listener *l)
{
	if (l->id)
		v->api->destroy_id(l->id);
	l->id = NULL;
	l->retry_ns = v->hub.now_ns + LISTEN_RETRY_NS;
	hs_hub_timer_by(&v->hub, l->retry_ns);
}

void hs_verbs_listeners_leave(struct hs_verbs *v, struct ibv_context *verbs)
{
	for (uint32_t i = 0; i < v->nr_listeners; i++)
		if (v->listeners[i].id && v->listeners[i].id->verbs == verbs)
			leave(v, &v->listeners[i]);
}

static void dispatch(struct hs_verbs *v, const struct event *e)
{
	enum hs_verbs_id_kind *kind = e->id->context;

	if (e->type == RDMA_CM_EVENT_CONNECT_REQUEST) {
		accept_one(v, e);
	} else if (*kind == HS_VERBS_ID_CHAN) {
		on_chan((struct hs_verbs_chan *)kind, e);
	} else if (e->type == RDMA_CM_EVENT_DEVICE_REMOVAL) {
		struct hs_verbs_listener *l = (struct hs_verbs_listener *)kind;

		device_removed(v, e->id->verbs);
		leave(v, l);
	}
}

void hs_verbs_cm_run(struct hs_verbs *v)
{
	for (int i = 0; i < EVENTS_A_TURN; i++) {
		struct rdma_cm_event *got;
		struct event e = {0};

		v->hub.stats.system_calls++;
		if (v->api->cm_event(v->cm, &got))
			return;
		e.type = got->event;
		e.status = got->status;
		e.id = got->id;
		e.listen_id = got->listen_id;
		if (e.type == RDMA_CM_EVENT_CONNECT_REQUEST ||
		    e.type == RDMA_CM_EVENT_ESTABLISHED)
			e.initiator_depth = got->param.conn.initiator_depth;
		if ((e.type == RDMA_CM_EVENT_CONNECT_REQUEST ||
		     e.type == RDMA_CM_EVENT_ESTABLISHED) &&
		    got->param.conn.private_data &&
		    got->param.conn.private_data_len >= sizeof(e.greeting))
			memcpy(&e.greeting, got->param.conn.private_data,
			       sizeof(e.greeting));
		/* An id cannot be destroyed before its events are told. */
		v->api->cm_ack(got);
		dispatch(v, &e);
	}
}

/* Return: the port, or -errno. */
static int listen_at(struct hs_verbs *v, struct hs_verbs_listener *l)
{
	int rc;

	errno = 0;
	if (v->api->create_id(v->cm, &l->id, l)) {
		l->id = NULL;
		return sys_errno();
	}
	set_options(v, l->id);
	if (v->api->bind_addr(l->id, (struct sockaddr *)&l->at) ||
	    v->api->listen(l->id, BACKLOG)) {
		rc = sys_errno();
		v->api->destroy_id(l->id);
		l->id = NULL;
		return rc;
	}
	return v->api->src_port(l->id);
}

uint64_t hs_verbs_listen_again(struct hs_verbs *v)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < v->nr_listeners; i++) {
		struct hs_verbs_listener *l = &v->listeners[i];

		if (l->id)
			continue;
		if (l->retry_ns <= v->hub.now_ns && listen_at(v, l) < 0)
			l->retry_ns = v->hub.now_ns + LISTEN_RETRY_NS;
		if (!l->id && l->retry_ns < next)
			next = l->retry_ns;
	}
	return next;
}

int hs_verbs_listen(struct hs_transport *t, const char *address)
{
	struct hs_verbs *v = (struct hs_verbs *)t;
	struct hs_verbs_listener *l;
	struct hs_addresses at;
	int rc = hs_address_resolve(address, 1, &at);

	if (rc)
		return rc;
	if (v->nr_listeners == HS_VERBS_LISTENERS_MAX)
		return -ENOSPC;
	l = &v->listeners[v->nr_listeners];
	memset(l, 0, sizeof(*l));
	l->kind = HS_VERBS_ID_LISTENER;
	rc = -EADDRNOTAVAIL;
	for (uint32_t i = 0; i < at.nr && rc < 0; i++) {
		l->at = at.at[i];
		rc = listen_at(v, l);
	}
	if (rc < 0)
		return rc;
	/* The same port when its device comes back. */
	if (l->at.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&l->at)->sin6_port =
			htons((uint16_t)rc);
	else
		((struct sockaddr_in *)&l->at)->sin_port = htons((uint16_t)rc);
	v->nr_listeners++;
	return rc;
}

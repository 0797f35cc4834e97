/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_verbs.c - messages between nodes over RDMA: the event loop
 *
 * Completions are polled; before anything sleeps, the completion queue is
 * armed and polled once more, so that the device's event (in the same epoll
 * as all else) wakes whoever waits on fd().
 *
 * Guarantees: as TCP's. Nothing waits but name resolution of a dialled address
 * that is a name, and destroy(), which gives last words a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/node_at.h"
#include "rdma/verbs.h"

#define EVENTS_A_TURN 64
#define LINGER_NS     (200 * HS_NS_PER_MS)
#define ARRIVE_NS     (10 * HS_NS_PER_MS)

static struct hs_verbs *verbs_of(struct hs_transport *t)
{
	return (struct hs_verbs *)t;
}

static uint32_t drain(struct hs_verbs *v)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < HS_VERBS_DEVICES_MAX; i++)
		if (v->devices[i])
			nr += hs_verbs_device_drain(v->devices[i]);
	if (nr)
		v->busy_ns = v->hub.now_ns;
	return nr;
}

/* Whatever completes from now on raises an event; what did before is taken. */
static uint32_t arm(struct hs_verbs *v)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < HS_VERBS_DEVICES_MAX; i++) {
		struct hs_verbs_device *d = v->devices[i];

		if (!d || d->armed || d->lost)
			continue;
		hs_verbs_device_arm(d);
		nr += hs_verbs_device_drain(d);
	}
	return nr;
}

/* Is it worth waiting a little before the device's event is asked for? */
static uint32_t spin(struct hs_verbs *v)
{
	uint64_t until = v->busy_ns + v->options.spin_ns;
	uint32_t nr = 0;

	while (nr == 0 && hs_clock_mono_ns() < until)
		nr = drain(v);
	return nr;
}

static void bury(struct hs_verbs *v, uint64_t now_ns)
{
	struct hs_verbs_chan **at = &v->graves;

	while (*at) {
		struct hs_verbs_chan *c = *at;

		if (c->bury_ns > now_ns) {
			at = &c->grave_next;
			continue;
		}
		*at = c->grave_next;
		if (c->device)
			hs_verbs_device_drain(c->device);
		hs_verbs_chan_bury(c);
	}
}

/* librdmacm may close a removed device's context with the last id on it: the
 * queues go before the ids. */
static void free_lost(struct hs_verbs *v, struct hs_verbs_device *d)
{
	struct ibv_context *verbs = d->verbs;

	for (uint32_t i = 0; i <= d->by_qp_mask; i++)
		for (struct hs_verbs_chan *c = d->by_qp[i]; c; c = c->next)
			if (c->link) {
				hs_hub_wake(&v->hub); /* to be reaped first */
				return;
			}
	for (struct hs_verbs_chan *c = v->graves; c; c = c->grave_next)
		if (c->device == d) {
			hs_verbs_chan_close(c);
			c->bury_ns = 0;
		}
	hs_verbs_device_free(d);
	hs_verbs_listeners_leave(v, verbs);
	bury(v, 0);
}

static uint64_t verbs_tick(struct hs_hub *h)
{
	struct hs_verbs *v = (struct hs_verbs *)h;
	uint64_t next = hs_verbs_listen_again(v);

	bury(v, h->now_ns);
	for (struct hs_verbs_chan *c = v->graves; c; c = c->grave_next)
		next = c->bury_ns < next ? c->bury_ns : next;
	for (uint32_t i = 0; i < h->limits.nr_peers; i++) {
		struct hs_verbs_conn *conn =
			(struct hs_verbs_conn *)h->links[i];
		uint64_t at;

		if (!conn)
			continue;
		at = hs_verbs_chan_tick(conn->chan);
		next = at < next ? at : next;
	}
	return next;
}

static void on_event(struct hs_verbs *v, const struct epoll_event *ev)
{
	uint32_t index = (uint32_t)ev->data.u64 % HS_VERBS_DEVICES_MAX;
	uint32_t tag = hs_hub_tag_of(ev);
	struct hs_verbs_device *d = v->devices[index];

	if (tag == HS_VERBS_TAG_CM)
		hs_verbs_cm_run(v);
	else if (tag == HS_VERBS_TAG_CQ && d)
		hs_verbs_device_event(d);
	else if (tag == HS_VERBS_TAG_ASYNC && d)
		hs_verbs_device_async(d);
	/* The timer is looked at afterwards, each time. */
}

static void finish_turn(struct hs_verbs *v)
{
	struct hs_hub *h = &v->hub;

	hs_hub_timer_run(h);
	hs_hub_flush(h);
	for (uint32_t i = 0; i < HS_VERBS_DEVICES_MAX; i++)
		if (v->devices[i] && v->devices[i]->lost)
			free_lost(v, v->devices[i]);
	if (arm(v))
		hs_hub_flush(h);
	if (h->dirty)
		hs_hub_wake(h);
	h->in_poll = false;
}

static int verbs_poll(struct hs_transport *transport, int timeout_ms)
{
	struct hs_verbs *v = verbs_of(transport);
	struct hs_hub *h = &v->hub;
	struct epoll_event events[EVENTS_A_TURN];
	uint32_t work;
	int nr;

	h->in_poll = true;
	h->now_ns = hs_clock_mono_ns();
	hs_hub_flush(h);
	work = drain(v);
	if (!work && timeout_ms)
		work = spin(v);
	work += arm(v);
	if (work)
		hs_hub_flush(h);
	nr = hs_hub_wait(h, events, EVENTS_A_TURN,
			 work || h->dirty ? 0 : timeout_ms);
	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++)
		on_event(v, &events[i]);
	drain(v);
	finish_turn(v);
	return 0;
}

static void nobody_up(void *ctx, const struct hs_transport_peer *peer)
{
}

static void nobody_down(void *ctx, uint32_t peer)
{
}

static void nobody_hears(void *ctx, uint32_t peer, uint16_t type,
			 const void *payload, uint32_t payload_bytes)
{
}

/* Is anything of it not known to have arrived? */
static bool has_last_words(struct hs_link *l, uint64_t waited_ns)
{
	struct hs_verbs_chan *c = ((struct hs_verbs_conn *)l)->chan;

	if (l->state != HS_LINK_UP)
		return false;
	c->closing = true;
	/* Signalled, it speaks for the requests before it that are not. */
	if (!l->out.used_bytes && c->unsignalled &&
	    hs_verbs_credit_control_may(&c->credit))
		hs_verbs_send_control(c);
	else
		hs_verbs_flush(l);
	if (l->state != HS_LINK_UP)
		return false;
	return l->out.used_bytes ||
	       (c->wr_done != c->wr_next && waited_ns < ARRIVE_NS);
}

/* The last words, as far as the peers' credits go. */
static void linger(struct hs_verbs *v)
{
	struct hs_hub *h = &v->hub;
	uint64_t start_ns = hs_clock_mono_ns();
	uint64_t waited_ns = 0;
	bool more = true;

	h->events = (struct hs_transport_events){nobody_up, nobody_down,
						 nobody_hears, NULL};
	h->in_poll = true;
	while (more && waited_ns < LINGER_NS) {
		more = false;
		for (uint32_t i = 0; i < h->limits.nr_peers; i++)
			if (h->links[i] &&
			    has_last_words(h->links[i], waited_ns))
				more = true;
		if (more && !drain(v))
			poll(NULL, 0, 1);
		h->now_ns = hs_clock_mono_ns();
		waited_ns = h->now_ns - start_ns;
	}
}

static void verbs_destroy(struct hs_transport *transport)
{
	struct hs_verbs *v = verbs_of(transport);
	struct hs_hub *h = &v->hub;

	if (h->links)
		linger(v);
	for (uint32_t i = 0; h->links && i < h->limits.nr_peers; i++)
		if (h->links[i])
			hs_verbs_release(h->links[i]);
	bury(v, UINT64_MAX);
	for (uint32_t i = 0; i < v->nr_listeners; i++)
		if (v->listeners[i].id)
			v->api->destroy_id(v->listeners[i].id);
	for (uint32_t i = 0; i < HS_VERBS_DEVICES_MAX; i++)
		if (v->devices[i])
			hs_verbs_device_free(v->devices[i]);
	if (v->cm)
		v->api->cm_close(v->cm);
	hs_verbs_ports_close(v);
	hs_hub_close(h);
	free(v);
}

static const struct hs_transport_ops verbs_ops = {
	.name = "verbs",
	.listen = hs_verbs_listen,
	.dial = hs_hub_dial,
	.undial = hs_hub_undial,
	.send = hs_hub_send,
	.poll = verbs_poll,
	.fd = hs_hub_fd,
	.stats = hs_hub_stats,
	.destroy = verbs_destroy,
	.cut = hs_hub_cut,
	.clock = hs_hub_clock,
	.flush = hs_hub_flush_now,
	.windows = hs_hub_windows,
	.read = hs_hub_read,
};

static void came_up(struct hs_link *l)
{
	hs_verbs_used_add(((struct hs_verbs_conn *)l)->chan);
	hs_verbs_window_open(l);
}

static uint64_t verbs_at(struct hs_link *l)
{
	const struct hs_verbs_chan *c = ((struct hs_verbs_conn *)l)->chan;

	return c->id ? hs_node_at_socket(rdma_get_peer_addr(c->id)) : 0;
}

static const struct hs_carrier verbs_carrier = {
	.dial = hs_verbs_dial,
	.flush = hs_verbs_flush,
	.release = hs_verbs_release,
	.at = verbs_at,
	.came_up = came_up,
	.window = hs_verbs_window_told,
	.read = hs_verbs_read,
	.tick = verbs_tick,
};

bool hs_transport_verbs_stats(struct hs_transport *t,
			      struct hs_transport_verbs_stats *out)
{
	struct hs_verbs *v = verbs_of(t);

	if (t->ops != &verbs_ops)
		return false;
	*out = v->stats;
	for (uint32_t i = 0; i < HS_VERBS_DEVICES_MAX; i++) {
		struct hs_verbs_device *d = v->devices[i];

		if (!d)
			continue;
		out->nr_devices++;
		out->registered_shared_bytes += d->recv.size_bytes;
		out->huge_pages = d->recv.huge;
		out->inline_bytes = d->inline_bytes;
		out->srq_depth += d->pool.depth;
		out->srq_reserved += d->pool.reserved;
		out->srq_reserved_max += d->pool.reserved_max;
	}
	return true;
}

static int verbs_open(struct hs_verbs *v)
{
	int rc = hs_verbs_ports_open(v);

	if (rc)
		return rc;
	errno = 0;
	v->cm = v->api->cm_open();
	if (!v->cm)
		return errno ? -errno : -ENODEV;
	if (fcntl(v->cm->fd, F_SETFL, O_NONBLOCK))
		return -errno;
	return hs_hub_watch(&v->hub, v->cm->fd, EPOLLIN,
			    hs_hub_tag_make(HS_VERBS_TAG_CM, 0));
}

struct hs_transport *hs_transport_verbs_create_with(
	const struct hs_verbs_api *api, const struct hs_transport_self *self,
	const struct hs_transport_limits *limits,
	const struct hs_transport_verbs_options *options,
	const struct hs_transport_events *events, void *ctx)
{
	struct hs_verbs *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return NULL;
	v->api = api;
	if (options)
		v->options = *options;
	rc = hs_hub_open(&v->hub, &verbs_ops, &verbs_carrier, self, limits,
			 events, ctx);
	if (!rc)
		rc = verbs_open(v);
	if (rc) {
		verbs_destroy(&v->hub.base);
		errno = -rc;
		return NULL;
	}
	return &v->hub.base;
}

struct hs_transport *
hs_transport_verbs_create(const struct hs_transport_self *self,
			  const struct hs_transport_limits *limits,
			  const struct hs_transport_verbs_options *options,
			  const struct hs_transport_events *events, void *ctx)
{
	return hs_transport_verbs_create_with(&hs_verbs_api_real, self, limits,
					      options, events, ctx);
}

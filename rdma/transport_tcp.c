/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tcp.c - messages between nodes over TCP
 *
 * Whatever was queued until a poll() leaves in one system call a peer.
 *
 * Guarantees: nothing waits but name resolution of a dialled address that is
 * a name; no SIGPIPE; memory is bounded by the limits; without descriptors it
 * stops accepting for a while and leaves the connections in the backlog.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/tcp.h"

#define EVENTS_A_TURN	64
#define ACCEPTS_A_TURN	64
#define LISTEN_PAUSE_NS (100 * HS_NS_PER_MS)

static struct hs_tcp *tcp_of(struct hs_transport *t)
{
	return (struct hs_tcp *)t;
}

static int no_delay(int fd)
{
	int one = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Return: 0 when the kernel is at it; the connection tells the rest. */
static int tcp_dial(struct hs_hub *h, struct hs_dial *d, uint32_t at)
{
	int fd = socket(d->at.at[at].ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct hs_tcp_conn *c;
	int rc;

	h->stats.system_calls += 2;
	if (fd < 0)
		return -errno;
	if (no_delay(fd) || (connect(fd, (struct sockaddr *)&d->at.at[at],
				     d->at.size_bytes[at]) != 0 &&
			     errno != EINPROGRESS)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	c = hs_tcp_conn_create((struct hs_tcp *)h, fd, d);
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->polls_out = true;
	rc = hs_hub_watch(h, fd, EPOLLIN | EPOLLOUT,
			  hs_hub_tag_make(HS_TCP_TAG_CONN, c->link.id));
	if (rc) {
		hs_tcp_conn_release(&c->link);
		d->link = NULL;
	}
	return rc;
}

static void pause_listener(struct hs_tcp *t, uint32_t i, bool pause)
{
	struct hs_tcp_listener *l = &t->listeners[i];
	struct epoll_event ev = {
		.events = pause ? 0 : EPOLLIN,
		.data.u64 = hs_hub_tag_make(HS_TCP_TAG_LISTENER, i),
	};

	t->hub.stats.system_calls++;
	epoll_ctl(t->hub.epoll_fd, EPOLL_CTL_MOD, l->fd, &ev);
	l->paused_until_ns = pause ? t->hub.now_ns + LISTEN_PAUSE_NS : 0;
	if (pause)
		hs_hub_timer_by(&t->hub, l->paused_until_ns);
}

static void accept_one(struct hs_tcp *t, int fd)
{
	struct hs_tcp_conn *c = hs_tcp_conn_create(t, fd, NULL);

	if (!c) {
		hs_hub_count_cut(&t->hub, HS_TRANSPORT_CUT_FULL);
		hs_log_limited(HS_LOG_WARN, "tcp",
			       "no room for another peer nr_peers=%u",
			       t->hub.stats.nr_peers);
		close(fd);
		return;
	}
	if (no_delay(fd) ||
	    hs_hub_watch(&t->hub, fd, EPOLLIN,
			 hs_hub_tag_make(HS_TCP_TAG_CONN, c->link.id))) {
		hs_tcp_conn_release(&c->link);
		return;
	}
	hs_tcp_conn_connected(c);
}

static void accept_some(struct hs_tcp *t, uint32_t i)
{
	for (int n = 0; n < ACCEPTS_A_TURN; n++) {
		int fd = accept4(t->listeners[i].fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		t->hub.stats.system_calls++;
		if (fd >= 0) {
			accept_one(t, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			hs_log_limited(HS_LOG_WARN, "tcp",
				       "cannot accept for now: %s",
				       strerror(errno));
			pause_listener(t, i, true);
			return;
		}
	}
}

static uint64_t tcp_tick(struct hs_hub *h)
{
	struct hs_tcp *t = (struct hs_tcp *)h;
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < t->nr_listeners; i++) {
		uint64_t until = t->listeners[i].paused_until_ns;

		if (until && until <= h->now_ns)
			pause_listener(t, i, false);
		else if (until && until < next)
			next = until;
	}
	return next;
}

static void on_event(struct hs_tcp *t, const struct epoll_event *ev)
{
	uint32_t id = (uint32_t)ev->data.u64;
	uint32_t tag = (uint32_t)(ev->data.u64 >> 32);
	struct hs_link *l;

	if (tag == HS_TCP_TAG_LISTENER) {
		accept_some(t, id);
	} else if (tag == HS_TCP_TAG_CONN) {
		l = hs_hub_link(&t->hub, id);
		if (l && l->state != HS_LINK_DOOMED)
			hs_tcp_conn_event((struct hs_tcp_conn *)l, ev->events);
	}
	/* The timer is looked at after the sockets, each time. */
}

static int tcp_poll(struct hs_transport *transport, int timeout_ms)
{
	struct hs_tcp *t = tcp_of(transport);
	struct epoll_event events[EVENTS_A_TURN];
	int nr;

	t->hub.in_poll = true;
	t->hub.now_ns = hs_clock_mono_ns();
	hs_hub_flush(&t->hub);
	t->hub.stats.system_calls++;
	nr = epoll_wait(t->hub.epoll_fd, events, EVENTS_A_TURN, timeout_ms);
	if (nr < 0 && errno != EINTR) {
		nr = -errno;
		t->hub.in_poll = false;
		return nr;
	}
	t->hub.now_ns = hs_clock_mono_ns();
	for (int i = 0; i < nr; i++)
		on_event(t, &events[i]);
	hs_hub_timer_run(&t->hub);
	hs_hub_flush(&t->hub);
	if (t->hub.dirty)
		hs_hub_wake(&t->hub);
	t->hub.in_poll = false;
	return 0;
}

static int listen_at(struct hs_tcp *t, const struct sockaddr *sa,
		     socklen_t size)
{
	int fd = socket(sa->sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;
	int rc;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, sa, size) || listen(fd, 1024)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	rc = hs_hub_watch(
		&t->hub, fd, EPOLLIN,
		hs_hub_tag_make(HS_TCP_TAG_LISTENER, t->nr_listeners));
	if (rc) {
		close(fd);
		return rc;
	}
	t->listeners[t->nr_listeners++].fd = fd;
	return fd;
}

static int tcp_listen(struct hs_transport *transport, const char *address)
{
	struct hs_tcp *t = tcp_of(transport);
	struct hs_addresses at;
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} got = {.v6 = {0}};
	socklen_t size = sizeof(got);
	int rc = hs_address_resolve(address, 1, &at);

	if (rc)
		return rc;
	if (t->nr_listeners == HS_TCP_LISTENERS_MAX)
		return -ENOSPC;
	rc = -EADDRNOTAVAIL;
	for (uint32_t i = 0; i < at.nr && rc < 0; i++)
		rc = listen_at(t, (struct sockaddr *)&at.at[i],
			       at.size_bytes[i]);
	if (rc < 0)
		return rc;
	if (getsockname(rc, &got.sa, &size) != 0)
		return -errno;
	if (got.sa.sa_family == AF_INET6)
		return ntohs(got.v6.sin6_port);
	return ntohs(got.v4.sin_port);
}

static void tcp_destroy(struct hs_transport *transport)
{
	struct hs_tcp *t = tcp_of(transport);
	struct hs_hub *h = &t->hub;

	for (uint32_t i = 0; h->links && i < h->limits.nr_peers; i++) {
		if (!h->links[i])
			continue;
		/* The last words, as far as the kernel takes them. */
		h->events.writable = NULL;
		hs_tcp_conn_flush(h->links[i]);
		hs_tcp_conn_release(h->links[i]);
	}
	for (uint32_t i = 0; i < t->nr_listeners; i++)
		close(t->listeners[i].fd);
	hs_hub_close(h);
	hs_tls_context_destroy(t->tls);
	free(t->cipher);
	free(t);
}

static void tcp_stats(struct hs_transport *t, struct hs_transport_stats *out)
{
	hs_hub_stats(t, out);
	out->tls = tcp_of(t)->tls != NULL;
}

static const char *tcp_speaks_for(struct hs_link *l,
				  const struct hs_wire_hello *hello)
{
	struct hs_tcp_conn *c = (struct hs_tcp_conn *)l;

	return c->tls ? hs_tls_speaks_for(c->tls, hello) : NULL;
}

static const struct hs_transport_ops tcp_ops = {
	.name = "tcp",
	.listen = tcp_listen,
	.dial = hs_hub_dial,
	.undial = hs_hub_undial,
	.send = hs_hub_send,
	.poll = tcp_poll,
	.fd = hs_hub_fd,
	.stats = tcp_stats,
	.destroy = tcp_destroy,
	.cut = hs_hub_cut,
	.clock = hs_hub_clock,
	.flush = hs_hub_flush_now,
};

static const struct hs_carrier tcp_carrier = {
	.dial = tcp_dial,
	.flush = hs_tcp_conn_flush,
	.release = hs_tcp_conn_release,
	.speaks_for = tcp_speaks_for,
	.tick = tcp_tick,
};

static int open_tls(struct hs_tcp *t, const struct hs_transport_trust *trust)
{
	if (!trust->tls_ca && !trust->tls_cert && !trust->tls_key)
		return 0;
	if (!trust->tls_ca || !trust->tls_cert || !trust->tls_key) {
		if (trust->error)
			snprintf(trust->error, HS_TRANSPORT_ERROR_BYTES,
				 "transport.tls_ca, tls_cert, tls_key: should "
				 "be given all three, or none");
		return -EINVAL;
	}
	t->cipher = malloc(HS_TCP_CIPHER_BYTES);
	t->tls = hs_tls_context_create(trust->tls_ca, trust->tls_cert,
				       trust->tls_key,
				       (enum hs_tls_bind)trust->tls_bind,
				       trust->error, HS_TRANSPORT_ERROR_BYTES);
	if (!t->tls)
		return -errno;
	return t->cipher ? 0 : -ENOMEM;
}

struct hs_transport *
hs_transport_tcp_create(const struct hs_transport_self *self,
			const struct hs_transport_limits *limits,
			const struct hs_transport_events *events, void *ctx)
{
	struct hs_tcp *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return NULL;
	rc = hs_hub_open(&t->hub, &tcp_ops, &tcp_carrier, self, limits, events,
			 ctx);
	if (!rc)
		rc = open_tls(t, &self->trust);
	if (rc) {
		tcp_destroy(&t->hub.base);
		errno = -rc;
		return NULL;
	}
	return &t->hub.base;
}

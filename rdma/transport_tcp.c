/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tcp.c - messages between nodes over TCP
 *
 * One epoll for everything, which nests in the owner's loop: sockets, a timer
 * for dials and silence, and an edge-triggered eventfd by which a send() from
 * outside poll() asks for the next one. Whatever was queued until then leaves
 * in one system call a peer.
 *
 * Guarantees: nothing waits but name resolution of a dialled address that is
 * a name; no SIGPIPE; memory is bounded by the limits; without descriptors it
 * stops accepting for a while and leaves the connections in the backlog.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/tcp.h"
#include "rdma/wire.h"

#define EVENTS_A_TURN	 64
#define ACCEPTS_A_TURN	 64
#define LISTEN_PAUSE_NS	 (100 * HS_NS_PER_MS)
#define RESOLVE_EVERY	 8u /* failures: a name may have moved */
#define BACKOFF_DOUBLING 16u

static struct hs_tcp *tcp_of(struct hs_transport *t)
{
	return (struct hs_tcp *)t;
}

static struct hs_tcp_conn *conn_of(struct hs_tcp *t, uint32_t id)
{
	struct hs_tcp_conn *c = t->conns[id % t->limits.nr_peers];

	return c && c->id == id ? c : NULL;
}

static int watch(struct hs_tcp *t, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event ev = {.events = events, .data.u64 = tag};

	t->stats.system_calls++;
	return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void hs_tcp_timer_by(struct hs_tcp *t, uint64_t when_ns)
{
	struct itimerspec at = {
		.it_value = {.tv_sec = (time_t)(when_ns / HS_NS_PER_SEC),
			     .tv_nsec = (long)(when_ns % HS_NS_PER_SEC)},
	};

	if (when_ns == UINT64_MAX || (t->timer_ns && t->timer_ns <= when_ns))
		return;
	t->timer_ns = when_ns;
	t->stats.system_calls++;
	if (timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		hs_log_error("tcp", "cannot set the timer: %s",
			     strerror(errno));
}

static void dial_failed(struct hs_tcp *t, struct hs_tcp_dial *d)
{
	uint32_t doubling = d->nr_failures < BACKOFF_DOUBLING
				    ? d->nr_failures
				    : BACKOFF_DOUBLING;
	uint64_t wait = t->limits.reconnect_min_ns << doubling;

	if (wait > t->limits.reconnect_max_ns)
		wait = t->limits.reconnect_max_ns;
	wait = wait / 2 + hs_random_below(&t->random, wait / 2 + 1);
	if (d->nr_failures++ == 0)
		hs_log_info("tcp", "no connection, will keep trying address=%s",
			    d->address);
	d->next_ns = t->now_ns + wait;
	hs_tcp_timer_by(t, d->next_ns);
}

static int no_delay(int fd)
{
	int one = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Return: 0 when the kernel is at it; the connection tells the rest. */
static int dial_start(struct hs_tcp *t, struct hs_tcp_dial *d, uint32_t at)
{
	int fd = socket(d->at.at[at].ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct hs_tcp_conn *c;
	int rc;

	t->stats.system_calls += 2;
	if (fd < 0)
		return -errno;
	if (no_delay(fd) || (connect(fd, (struct sockaddr *)&d->at.at[at],
				     d->at.size_bytes[at]) != 0 &&
			     errno != EINPROGRESS)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	c = hs_tcp_conn_create(t, fd, d);
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->polls_out = true;
	rc = watch(t, fd, EPOLLIN | EPOLLOUT,
		   hs_tcp_tag_make(HS_TCP_TAG_CONN, c->id));
	if (rc) {
		hs_tcp_conn_free(c);
		return rc;
	}
	d->conn = c;
	return 0;
}

static void dial_try(struct hs_tcp *t, struct hs_tcp_dial *d)
{
	if (d->at.nr == 0 || (d->nr_failures % RESOLVE_EVERY) == 7) {
		struct hs_tcp_addresses at;

		if (hs_tcp_address_resolve(d->address, 0, &at) == 0)
			d->at = at;
	}
	/* One address an attempt: a host with several takes its turns, since
	 * a refusal may come later than this function returns. */
	if (d->at.nr == 0 || dial_start(t, d, d->at_next++ % d->at.nr) != 0)
		dial_failed(t, d);
}

static void reap(struct hs_tcp *t, struct hs_tcp_conn *c)
{
	struct hs_tcp_dial *d = c->dial;
	uint64_t up_ns = t->now_ns - c->since_ns;
	bool was_up = c->was_up;
	uint32_t id = c->id;

	hs_tcp_conn_free(c);
	if (d) {
		d->conn = NULL;
		if (was_up && up_ns > t->limits.reconnect_max_ns)
			d->nr_failures = 0;
		/* Before giving an attempt's wait, try the host's others. */
		if (!was_up && d->at.nr && d->at_next % d->at.nr != 0) {
			d->next_ns = t->now_ns;
			hs_tcp_timer_by(t, t->now_ns + 1);
		} else {
			dial_failed(t, d);
		}
	}
	if (was_up)
		t->events.peer_down(t->ctx, id);
}

static void wake(struct hs_tcp *t)
{
	uint64_t one = 1;

	t->stats.system_calls++;
	/* Edge-triggered: nobody reads it, every write counts. It cannot fill
	 * up in this machine's life. */
	if (write(t->wake_fd, &one, sizeof(one)) != sizeof(one))
		hs_log_limited(HS_LOG_ERROR, "tcp", "cannot wake: %s",
			       strerror(errno));
}

void hs_tcp_dirty(struct hs_tcp_conn *c)
{
	struct hs_tcp *t = c->t;

	if (c->dirty)
		return;
	if (!t->dirty && !t->in_poll)
		wake(t);
	c->dirty = true;
	c->dirty_next = t->dirty;
	t->dirty = c;
}

/* One round: a writable() that sends again makes its peer dirty again, and a
 * reader as fast as that would otherwise keep us here for ever. */
static void flush_dirty(struct hs_tcp *t)
{
	struct hs_tcp_conn *list = t->dirty;

	t->dirty = NULL;
	while (list) {
		struct hs_tcp_conn *c = list;

		list = c->dirty_next;
		c->dirty = false;
		if (c->state == HS_TCP_CONN_DOOMED)
			reap(t, c);
		else
			hs_tcp_conn_flush(c);
	}
}

static void pause_listener(struct hs_tcp *t, uint32_t i, bool pause)
{
	struct hs_tcp_listener *l = &t->listeners[i];
	struct epoll_event ev = {
		.events = pause ? 0 : EPOLLIN,
		.data.u64 = hs_tcp_tag_make(HS_TCP_TAG_LISTENER, i),
	};

	t->stats.system_calls++;
	epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, l->fd, &ev);
	l->paused_until_ns = pause ? t->now_ns + LISTEN_PAUSE_NS : 0;
	if (pause)
		hs_tcp_timer_by(t, l->paused_until_ns);
}

static void accept_one(struct hs_tcp *t, int fd)
{
	struct hs_tcp_conn *c = hs_tcp_conn_create(t, fd, NULL);

	if (!c) {
		t->stats.peers_cut_off++;
		hs_log_limited(HS_LOG_WARN, "tcp",
			       "no room for another peer nr_peers=%u",
			       t->stats.nr_peers);
		close(fd);
		return;
	}
	if (no_delay(fd) ||
	    watch(t, fd, EPOLLIN, hs_tcp_tag_make(HS_TCP_TAG_CONN, c->id))) {
		hs_tcp_conn_free(c);
		return;
	}
	hs_tcp_conn_connected(c);
}

static void accept_some(struct hs_tcp *t, uint32_t i)
{
	for (int n = 0; n < ACCEPTS_A_TURN; n++) {
		int fd = accept4(t->listeners[i].fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		t->stats.system_calls++;
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

static void on_timer(struct hs_tcp *t)
{
	uint64_t next = UINT64_MAX;

	if (!t->timer_ns || t->now_ns < t->timer_ns)
		return;
	t->timer_ns = 0;
	for (uint32_t i = 0; i < t->nr_listeners; i++) {
		uint64_t until = t->listeners[i].paused_until_ns;

		if (until && until <= t->now_ns)
			pause_listener(t, i, false);
		else if (until && until < next)
			next = until;
	}
	for (uint32_t i = 0; i < t->nr_dials; i++) {
		struct hs_tcp_dial *d = t->dials[i];

		if (!d->conn && d->next_ns <= t->now_ns)
			dial_try(t, d);
		if (!d->conn && d->next_ns < next)
			next = d->next_ns;
	}
	for (uint32_t i = 0; i < t->limits.nr_peers; i++) {
		uint64_t at;

		if (!t->conns[i])
			continue;
		at = hs_tcp_conn_tick(t->conns[i]);
		if (at < next)
			next = at;
	}
	hs_tcp_timer_by(t, next);
}

static void on_event(struct hs_tcp *t, const struct epoll_event *ev)
{
	uint32_t id = (uint32_t)ev->data.u64;
	struct hs_tcp_conn *c;

	switch ((enum hs_tcp_tag)(ev->data.u64 >> 32)) {
	case HS_TCP_TAG_CONN:
		c = conn_of(t, id);
		if (c && c->state != HS_TCP_CONN_DOOMED)
			hs_tcp_conn_event(c, ev->events);
		break;
	case HS_TCP_TAG_LISTENER:
		accept_some(t, id);
		break;
	case HS_TCP_TAG_TIMER: /* looked at after the sockets, each time */
	case HS_TCP_TAG_WAKE:
		break;
	}
}

static int tcp_poll(struct hs_transport *transport, int timeout_ms)
{
	struct hs_tcp *t = tcp_of(transport);
	struct epoll_event events[EVENTS_A_TURN];
	int nr;

	t->in_poll = true;
	t->now_ns = hs_clock_mono_ns();
	flush_dirty(t);
	t->stats.system_calls++;
	nr = epoll_wait(t->epoll_fd, events, EVENTS_A_TURN, timeout_ms);
	if (nr < 0 && errno != EINTR) {
		nr = -errno;
		t->in_poll = false;
		return nr;
	}
	t->now_ns = hs_clock_mono_ns();
	for (int i = 0; i < nr; i++)
		on_event(t, &events[i]);
	on_timer(t);
	flush_dirty(t);
	if (t->dirty)
		wake(t);
	t->in_poll = false;
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
	rc = watch(t, fd, EPOLLIN,
		   hs_tcp_tag_make(HS_TCP_TAG_LISTENER, t->nr_listeners));
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
	struct hs_tcp_addresses at;
	struct sockaddr_storage got;
	socklen_t size = sizeof(got);
	int rc = hs_tcp_address_resolve(address, 1, &at);

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
	if (getsockname(rc, (struct sockaddr *)&got, &size) != 0)
		return -errno;
	if (got.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&got)->sin6_port);
	return ntohs(((struct sockaddr_in *)&got)->sin_port);
}

static int tcp_dial(struct hs_transport *transport, const char *address)
{
	struct hs_tcp *t = tcp_of(transport);
	struct hs_tcp_dial *d;
	int rc = hs_tcp_address_check(address);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < t->nr_dials; i++)
		if (!strcmp(t->dials[i]->address, address))
			return 0; /* kept up already */
	if (t->nr_dials == HS_TCP_DIALS_MAX)
		return -ENOSPC;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	memcpy(d->address, address, strlen(address) + 1);
	t->dials[t->nr_dials++] = d;
	t->now_ns = hs_clock_mono_ns();
	dial_try(t, d);
	return 0;
}

static int tcp_send(struct hs_transport *transport, uint32_t peer,
		    uint16_t type, const struct iovec *iov, int nr_iov)
{
	struct hs_tcp_conn *c = conn_of(tcp_of(transport), peer);

	if (!c || c->state != HS_TCP_CONN_UP)
		return -ENOTCONN;
	return hs_tcp_conn_queue(c, type, iov, nr_iov, false);
}

static int tcp_cut(struct hs_transport *transport, uint32_t peer)
{
	struct hs_tcp_conn *c = conn_of(tcp_of(transport), peer);

	if (!c || c->state != HS_TCP_CONN_UP)
		return -ENOTCONN;
	hs_tcp_conn_cut(c, "its payload was refused");
	return 0;
}

static int tcp_clock(struct hs_transport *transport, uint32_t peer,
		     struct hs_transport_clock *out)
{
	struct hs_tcp_conn *c = conn_of(tcp_of(transport), peer);

	if (!c || c->state != HS_TCP_CONN_UP)
		return -ENOTCONN;
	*out = c->clock;
	return 0;
}

static int tcp_fd(struct hs_transport *transport)
{
	return tcp_of(transport)->epoll_fd;
}

static void tcp_stats(struct hs_transport *transport,
		      struct hs_transport_stats *out)
{
	*out = tcp_of(transport)->stats;
}

static void tcp_destroy(struct hs_transport *transport)
{
	struct hs_tcp *t = tcp_of(transport);

	for (uint32_t i = 0; t->conns && i < t->limits.nr_peers; i++) {
		if (!t->conns[i])
			continue;
		/* The last words, as far as the kernel takes them. */
		t->events.writable = NULL;
		hs_tcp_conn_flush(t->conns[i]);
		hs_tcp_conn_free(t->conns[i]);
	}
	for (uint32_t i = 0; i < t->nr_dials; i++)
		free(t->dials[i]);
	for (uint32_t i = 0; i < t->nr_listeners; i++)
		close(t->listeners[i].fd);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free(t->conns);
	free(t->dials);
	free(t);
}

static const struct hs_transport_ops tcp_ops = {
	.name = "tcp",
	.listen = tcp_listen,
	.dial = tcp_dial,
	.send = tcp_send,
	.poll = tcp_poll,
	.fd = tcp_fd,
	.stats = tcp_stats,
	.destroy = tcp_destroy,
	.cut = tcp_cut,
	.clock = tcp_clock,
};

static void default_limits(struct hs_transport_limits *l)
{
	if (!l->nr_peers)
		l->nr_peers = 1024;
	if (!l->send_queue_bytes)
		l->send_queue_bytes = 4u << 20;
	if (!l->reconnect_min_ns)
		l->reconnect_min_ns = 20 * HS_NS_PER_MS;
	if (!l->reconnect_max_ns)
		l->reconnect_max_ns = 2 * HS_NS_PER_SEC;
	if (!l->idle_timeout_ns)
		l->idle_timeout_ns = 5 * HS_NS_PER_SEC;
}

static int tcp_open(struct hs_tcp *t)
{
	uint64_t seed;
	int rc;

	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->epoll_fd < 0 || t->timer_fd < 0 || t->wake_fd < 0)
		return -errno;
	t->conns = calloc(t->limits.nr_peers, sizeof(struct hs_tcp_conn *));
	t->dials = calloc(HS_TCP_DIALS_MAX, sizeof(struct hs_tcp_dial *));
	if (!t->conns || !t->dials)
		return -ENOMEM;
	rc = hs_random_secure(&seed, sizeof(seed));
	if (rc)
		return rc;
	hs_random_seed(&t->random, seed);
	rc = watch(t, t->timer_fd, EPOLLIN | EPOLLET,
		   hs_tcp_tag_make(HS_TCP_TAG_TIMER, 0));
	if (rc)
		return rc;
	return watch(t, t->wake_fd, EPOLLIN | EPOLLET,
		     hs_tcp_tag_make(HS_TCP_TAG_WAKE, 0));
}

struct hs_transport *
hs_transport_tcp_create(const struct hs_transport_self *self,
			const struct hs_transport_limits *limits,
			const struct hs_transport_events *events, void *ctx)
{
	struct hs_tcp *t;
	int rc;

	if (!self->node || !hs_wire_name_ok(self->name)) {
		errno = EINVAL;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->base.ops = &tcp_ops;
	t->self = *self;
	if (limits)
		t->limits = *limits;
	default_limits(&t->limits);
	t->events = *events;
	t->ctx = ctx;
	t->next_id = 1;
	t->now_ns = hs_clock_mono_ns();
	rc = tcp_open(t);
	if (rc) {
		tcp_destroy(&t->base);
		errno = -rc;
		return NULL;
	}
	return &t->base;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tcp.c - messages between nodes over TCP
 *
 * Whatever was queued until a poll() leaves in one system call a peer.
 *
 * Guarantees: nothing waits but name resolution of a dialled address that is
 * a name; no SIGPIPE; memory is bounded by the limits.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/node_at.h"
#include "rdma/tcp.h"
#include "rdma/wire.h"

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
			  hs_hub_tag_make(HS_SOCKETS_TAG_LINK, c->link.id));
	if (rc) {
		hs_tcp_conn_release(&c->link);
		d->link = NULL;
	}
	return rc;
}

static bool tcp_accepted(struct hs_sockets *s, int fd)
{
	struct hs_tcp_conn *c =
		hs_tcp_conn_create((struct hs_tcp *)s, fd, NULL);

	if (!c) {
		close(fd);
		return false;
	}
	if (no_delay(fd) ||
	    hs_hub_watch(&s->hub, fd, EPOLLIN,
			 hs_hub_tag_make(HS_SOCKETS_TAG_LINK, c->link.id)))
		hs_tcp_conn_release(&c->link);
	else
		hs_tcp_conn_connected(c);
	return true;
}

static int tcp_poll(struct hs_transport *transport, int timeout_ms)
{
	struct hs_sockets *s = &tcp_of(transport)->sockets;
	int rc = hs_sockets_turn(s, timeout_ms);

	if (!rc)
		hs_sockets_turn_end(s);
	return rc;
}

static void tcp_turn(struct hs_transport *transport,
		     const struct epoll_event *events, int nr_events)
{
	struct hs_sockets *s = &tcp_of(transport)->sockets;

	hs_sockets_turn_with(s, events, nr_events);
	hs_sockets_turn_end(s);
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
	rc = -EADDRNOTAVAIL;
	for (uint32_t i = 0; i < at.nr && rc < 0; i++)
		rc = hs_sockets_listen(&t->sockets,
				       (struct sockaddr *)&at.at[i],
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
	struct hs_hub *h = &t->sockets.hub;

	for (uint32_t i = 0; h->links && i < h->limits.nr_peers; i++) {
		if (!h->links[i])
			continue;
		/* The last words, as far as the kernel takes them. */
		h->events.writable = NULL;
		hs_tcp_conn_flush(h->links[i]);
		hs_tcp_conn_release(h->links[i]);
	}
	hs_sockets_close(&t->sockets);
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

	return c->tls ? hs_tls_speaks_for(c->tls,
					  hs_wire_role_name(hello->role),
					  hello->name)
		      : NULL;
}

static uint64_t tcp_at(struct hs_link *l)
{
	struct sockaddr_storage at = {0};
	socklen_t size = sizeof(at);

	l->hub->stats.system_calls++;
	if (getpeername(((struct hs_tcp_conn *)l)->fd, (struct sockaddr *)&at,
			&size))
		return 0;
	return hs_node_at_socket((struct sockaddr *)&at);
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
	.turn = tcp_turn,
};

static const struct hs_carrier tcp_carrier = {
	.dial = tcp_dial,
	.flush = hs_tcp_conn_flush,
	.release = hs_tcp_conn_release,
	.speaks_for = tcp_speaks_for,
	.at = tcp_at,
	.tick = hs_sockets_tick,
};

static const struct hs_sockets_ops tcp_sockets = {
	.accepted = tcp_accepted,
	.event = hs_tcp_conn_event,
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
	t->sockets.ops = &tcp_sockets;
	rc = hs_hub_open(&t->sockets.hub, &tcp_ops, &tcp_carrier, self, limits,
			 events, ctx);
	if (!rc)
		rc = open_tls(t, &self->trust);
	if (rc) {
		tcp_destroy(&t->sockets.hub.base);
		errno = -rc;
		return NULL;
	}
	return &t->sockets.hub.base;
}

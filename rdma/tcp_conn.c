/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_conn.c - the bytes of one TCP connection
 *
 * A single system call drains the queue, however many messages it holds.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rdma/tcp.h"

/* One peer that sends without end must not keep the others waiting. */
#define READS_A_TURN 8

struct hs_tcp_conn *hs_tcp_conn_create(struct hs_tcp *t, int fd,
				       struct hs_dial *dial)
{
	struct hs_tcp_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	if (t->tls) {
		hs_tls_context_look(t->tls, t->sockets.hub.now_ns);
		c->tls = hs_tls_create(t->tls, dial != NULL);
	}
	if ((t->tls && !c->tls) ||
	    hs_link_init(&c->link, &t->sockets.hub, dial)) {
		hs_tls_destroy(c->tls);
		free(c);
		return NULL;
	}
	c->fd = fd;
	return c;
}

void hs_tcp_conn_release(struct hs_link *l)
{
	struct hs_tcp_conn *c = (struct hs_tcp_conn *)l;

	hs_link_fini(l);
	hs_tls_destroy(c->tls);
	close(c->fd); /* epoll forgets it with the last descriptor */
	free(c);
}

static void poll_out(struct hs_tcp_conn *c, bool on)
{
	struct hs_hub *h = c->link.hub;
	struct epoll_event ev = {
		.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN,
		.data.u64 = hs_hub_tag_make(HS_SOCKETS_TAG_LINK, c->link.id),
	};

	if (c->polls_out == on)
		return;
	h->stats.system_calls++;
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		hs_link_doom(&c->link);
	c->polls_out = on;
}

/* Return: the kernel took all of it. */
static bool send_cipher(struct hs_tcp_conn *c)
{
	const void *data;
	size_t size;

	while ((size = hs_tls_pending(c->tls, &data)) > 0) {
		ssize_t n =
			send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		c->link.hub->stats.system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			poll_out(c, true);
			return false;
		}
		if (n < 0) {
			hs_link_doom(&c->link);
			return false;
		}
		hs_tls_sent(c->tls, (size_t)n);
	}
	return true;
}

/* As much as one system call is worth. Return: how much. */
static size_t encrypt(struct hs_tcp_conn *c)
{
	struct hs_link *l = &c->link;
	struct iovec iov[2];
	size_t put = 0;

	while (put < HS_TCP_CIPHER_BYTES &&
	       hs_link_peek(l, iov, HS_TCP_CIPHER_BYTES) > 0) {
		ssize_t n =
			hs_tls_write(c->tls, iov[0].iov_base, iov[0].iov_len);

		if (n < 0)
			hs_link_cut(l, HS_TRANSPORT_CUT_TLS,
				    hs_tls_reason(c->tls));
		if (n <= 0)
			return put;
		hs_link_took(l, (size_t)n);
		put += (size_t)n;
	}
	return put;
}

static void flush_tls(struct hs_tcp_conn *c)
{
	struct hs_link *l = &c->link;
	bool all = send_cipher(c);

	while (all && l->state != HS_LINK_DOOMED &&
	       l->state != HS_LINK_CONNECTING && encrypt(c))
		all = send_cipher(c);
	if (all && l->state != HS_LINK_DOOMED)
		poll_out(c, false);
	hs_link_flushed(l);
}

static void shake(struct hs_tcp_conn *c)
{
	int rc = hs_tls_handshake(c->tls);

	/* The peer has to hear why, too: an alert says it. */
	if (send_cipher(c))
		poll_out(c, false);
	if (rc < 0) {
		hs_link_cut(&c->link, HS_TRANSPORT_CUT_TLS,
			    hs_tls_reason(c->tls));
	} else if (rc && c->link.state == HS_LINK_CONNECTING) {
		c->shaking = false;
		hs_link_connected(&c->link);
	}
}

void hs_tcp_conn_connected(struct hs_tcp_conn *c)
{
	if (!c->tls) {
		hs_link_connected(&c->link);
		return;
	}
	c->shaking = true;
	shake(c);
}

void hs_tcp_conn_flush(struct hs_link *l)
{
	struct hs_tcp_conn *c = (struct hs_tcp_conn *)l;
	struct iovec iov[2];
	int nr_iov;

	if (c->tls) {
		flush_tls(c);
		return;
	}

	while (l->state != HS_LINK_DOOMED && l->state != HS_LINK_CONNECTING &&
	       (nr_iov = hs_link_peek(l, iov, SIZE_MAX)) > 0) {
		struct msghdr msg = {.msg_iov = iov,
				     .msg_iovlen = (size_t)nr_iov};
		ssize_t n;

		l->hub->stats.system_calls++;
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			poll_out(c, true);
			return;
		}
		if (n < 0) {
			hs_link_doom(l);
			return;
		}
		hs_link_took(l, (size_t)n);
	}
	if (l->state != HS_LINK_DOOMED && !l->out.used_bytes)
		poll_out(c, false);
	hs_link_flushed(l);
}

static void take_plain(struct hs_tcp_conn *c)
{
	struct hs_link *l = &c->link;

	while (l->state != HS_LINK_DOOMED && l->state != HS_LINK_CONNECTING) {
		uint8_t *room;
		size_t room_bytes = hs_link_room(l, &room);
		ssize_t n = hs_tls_read(c->tls, room, room_bytes);

		if (n == 0)
			return;
		if (n > 0)
			hs_link_came(l, (size_t)n);
		else if (n == -EPIPE)
			hs_link_doom(l);
		else
			hs_link_cut(l, HS_TRANSPORT_CUT_TLS,
				    hs_tls_reason(c->tls));
	}
}

static void receive_tls(struct hs_tcp_conn *c)
{
	struct hs_link *l = &c->link;
	uint8_t *cipher = ((struct hs_tcp *)l->hub)->cipher;

	for (int i = 0; i < READS_A_TURN && l->state != HS_LINK_DOOMED; i++) {
		ssize_t n =
			recv(c->fd, cipher, HS_TCP_CIPHER_BYTES, MSG_DONTWAIT);

		l->hub->stats.system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 && c->shaking)
			hs_link_cut(l, HS_TRANSPORT_CUT_TLS,
				    "it hung up amid the TLS handshake: it may "
				    "have none");
		if (n <= 0 || hs_tls_feed(c->tls, cipher, (size_t)n)) {
			hs_link_doom(l);
			return;
		}
		if (c->shaking)
			shake(c);
		take_plain(c);
		if ((size_t)n < HS_TCP_CIPHER_BYTES)
			return;
	}
}

static void receive(struct hs_tcp_conn *c)
{
	struct hs_link *l = &c->link;

	for (int i = 0; i < READS_A_TURN && l->state != HS_LINK_DOOMED; i++) {
		uint8_t *room;
		size_t room_bytes = hs_link_room(l, &room);
		ssize_t n = recv(c->fd, room, room_bytes, MSG_DONTWAIT);

		l->hub->stats.system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			hs_link_doom(l);
			return;
		}
		hs_link_came(l, (size_t)n);
		if ((size_t)n < room_bytes)
			return;
	}
}

void hs_tcp_conn_event(struct hs_link *l, uint32_t events)
{
	struct hs_tcp_conn *c = (struct hs_tcp_conn *)l;

	if (l->state == HS_LINK_CONNECTING && !c->shaking) {
		int error = 0;
		socklen_t size = sizeof(error);

		l->hub->stats.system_calls++;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) ||
		    error) {
			hs_link_doom(l);
			return;
		}
		hs_tcp_conn_connected(c);
	}
	/* What came before a hang-up is still read: the end is read's 0. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (c->tls)
			receive_tls(c);
		else
			receive(c);
	}
	if (events & EPOLLOUT)
		hs_tcp_conn_flush(l);
}

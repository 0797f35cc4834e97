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

	if (!c || hs_link_init(&c->link, &t->hub, dial)) {
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
	close(c->fd); /* epoll forgets it with the last descriptor */
	free(c);
}

static void poll_out(struct hs_tcp_conn *c, bool on)
{
	struct hs_hub *h = c->link.hub;
	struct epoll_event ev = {
		.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN,
		.data.u64 = hs_hub_tag_make(HS_TCP_TAG_CONN, c->link.id),
	};

	if (c->polls_out == on)
		return;
	h->stats.system_calls++;
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		hs_link_doom(&c->link);
	c->polls_out = on;
}

void hs_tcp_conn_flush(struct hs_link *l)
{
	struct hs_tcp_conn *c = (struct hs_tcp_conn *)l;
	struct iovec iov[2];
	int nr_iov;

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

void hs_tcp_conn_event(struct hs_tcp_conn *c, uint32_t events)
{
	struct hs_link *l = &c->link;

	if (l->state == HS_LINK_CONNECTING) {
		int error = 0;
		socklen_t size = sizeof(error);

		l->hub->stats.system_calls++;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) ||
		    error) {
			hs_link_doom(l);
			return;
		}
		hs_link_connected(l);
	}
	/* What came before a hang-up is still read: the end is read's 0. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
	if (events & EPOLLOUT)
		hs_tcp_conn_flush(l);
}

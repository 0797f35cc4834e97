/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_bell.c - how the other side is woken up (ADR 84)
 *
 * By a byte through the connection's socket, which by MSG_DONTWAIT never waits;
 * or by an eventfd, for half of that. A write to one may wait for as long as
 * whoever shares it likes, and what a descriptor of somebody else's does when
 * it is watched is his to say. So there is one only between those who could
 * stop each other anyway: each takes the other for root's or its own user's,
 * and is up. It is watched for edges and never read, as its count lasts for
 * ever.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "rdma/shm.h"

bool hs_shm_bell_kin(int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
	       (who.uid == 0 || who.uid == geteuid());
}

uint16_t hs_shm_bell_flags(struct hs_link *l)
{
	return ((struct hs_shm_conn *)l)->kin ? HS_WIRE_HELLO_F_BELLS : 0;
}

static void watch(struct hs_shm_conn *c)
{
	struct hs_link *l = &c->link;

	if (hs_hub_watch(l->hub, c->bell_in, EPOLLIN | EPOLLET,
			 hs_hub_tag_make(HS_SOCKETS_TAG_LINK, l->id)))
		hs_link_cut(l, HS_TRANSPORT_CUT_GARBAGE,
			    "its bell cannot be waited for");
}

void hs_shm_bell_open(struct hs_link *l)
{
	struct hs_shm_conn *c = (struct hs_shm_conn *)l;
	const uint8_t word = HS_RING_EVENTFD;
	int fd;

	if (!c->kin || !l->peer_bells)
		return;
	if (c->bell_in >= 0) /* it was up before us */
		watch(c);
	/* What brings the other side up is rung for by the socket: before that
	 * it hears nothing else. */
	hs_shm_conn_flush(l);
	l->hub->stats.system_calls += 2;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	/* Where there is none, the socket rings as before. */
	if (fd >= 0 && hs_fdpass_send(c->fd, &word, 1, &fd, 1))
		close(fd);
	else
		c->bell_out = fd;
}

const char *hs_shm_bell_take(struct hs_shm_conn *c, int fd)
{
	if (!c->kin || c->bell_in >= 0) {
		close(fd);
		return "it hands over a bell that nobody asked for";
	}
	c->bell_in = fd;
	if (c->link.state == HS_LINK_UP)
		watch(c);
	return NULL;
}

bool hs_shm_bell_awaited(const struct hs_shm_conn *c)
{
	return c->link.state == HS_LINK_UP && c->kin && c->link.peer_bells &&
	       c->bell_in < 0;
}

void hs_shm_bell_ring(struct hs_shm_conn *c)
{
	const uint8_t byte = HS_RING_BELL;
	const uint64_t one = 1;
	ssize_t n;

	c->link.hub->stats.system_calls++;
	n = c->bell_out >= 0
		    ? write(c->bell_out, &one, sizeof(one))
		    : send(c->fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
		hs_link_cut(&c->link, HS_TRANSPORT_CUT_GARBAGE,
			    "it asks to be rung, and does not hear it");
	/* It hung up: what it wrote before is read when epoll says so. */
}

/* The other side has them, too: closed here alone they would still be watched.
 */
void hs_shm_bell_close(struct hs_shm_conn *c)
{
	if (c->bell_in >= 0) {
		epoll_ctl(c->link.hub->epoll_fd, EPOLL_CTL_DEL, c->bell_in,
			  NULL);
		close(c->bell_in);
	}
	if (c->bell_out >= 0)
		close(c->bell_out);
}

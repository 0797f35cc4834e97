/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see link.h. */
#include "bench/services/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MESSAGE_BYTES sizeof(struct hs_svc_message)
#define RING_BYTES    (HS_SVC_RING_MESSAGES * MESSAGE_BYTES)

/* ---- connections ------------------------------------------------------ */

static int listen_somewhere(struct sockaddr_in *a)
{
	socklen_t bytes = sizeof(*a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	*a = (struct sockaddr_in){.sin_family = AF_INET,
				  .sin_addr = {htonl(INADDR_LOOPBACK)}};
	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)a, sizeof(*a)) && !listen(fd, 16) &&
	    !getsockname(fd, (struct sockaddr *)a, &bytes))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* Who came may be a stranger: anybody on this machine may knock. */
static int accept_from(int listener, int connected)
{
	struct sockaddr_in want, have;
	socklen_t bytes = sizeof(want);

	if (getsockname(connected, (struct sockaddr *)&want, &bytes))
		return -errno;
	for (;;) {
		int fd;

		bytes = sizeof(have);
		fd = accept4(listener, (struct sockaddr *)&have, &bytes,
			     SOCK_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (have.sin_port == want.sin_port)
			return fd;
		close(fd);
	}
}

static int make_ready(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    fcntl(fd, F_SETFL, O_NONBLOCK))
		return -errno;
	return 0;
}

int hs_svc_link_pair(int ends[2])
{
	struct sockaddr_in a;
	int listener = listen_somewhere(&a), rc = 0;

	ends[0] = ends[1] = -1;
	if (listener < 0)
		return listener;
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&a, sizeof(a)))
		rc = -errno;
	if (!rc) {
		ends[1] = accept_from(listener, ends[0]);
		rc = ends[1] < 0 ? ends[1] : 0;
	}
	for (int i = 0; i < 2 && !rc; i++)
		rc = make_ready(ends[i]);
	close(listener);
	for (int i = 0; i < 2 && rc; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	return rc;
}

/* ---- links ------------------------------------------------------------ */

int hs_svc_links_open(struct hs_svc_links *ls, uint32_t nr)
{
	*ls = (struct hs_svc_links){.links =
					    calloc(nr + 1, sizeof(*ls->links))};
	return ls->links ? 0 : -ENOMEM;
}

void hs_svc_links_close(struct hs_svc_links *ls)
{
	for (uint32_t i = 0; i < ls->nr; i++) {
		struct hs_svc_link *k = &ls->links[i];

		if (k->ops)
			k->ops->close(k);
		free(k->rings);
	}
	free(ls->links);
	*ls = (struct hs_svc_links){0};
}

struct hs_svc_link *hs_svc_links_add(struct hs_svc_links *ls, uint16_t who)
{
	struct hs_svc_link *k = &ls->links[ls->nr];
	size_t bytes = 2 * sizeof(struct hs_svc_ring);

	*k = (struct hs_svc_link){
		.fd = -1,
		.who = who,
		.rings = aligned_alloc(_Alignof(struct hs_svc_ring), bytes),
	};
	if (!k->rings)
		return NULL;
	memset(k->rings, 0, bytes);
	k->in.ring = &k->rings[0];
	k->out.ring = &k->rings[1];
	ls->nr++;
	return k;
}

/* ---- over TCP --------------------------------------------------------- */

/* @bytes of a ring, from @part bytes into the message at @at on. */
static size_t spread(struct hs_svc_ring *r, uint64_t at, uint32_t part,
		     size_t bytes, struct iovec v[2])
{
	size_t from = at % HS_SVC_RING_MESSAGES * MESSAGE_BYTES + part;
	size_t first = bytes < RING_BYTES - from ? bytes : RING_BYTES - from;

	v[0] = (struct iovec){(char *)r->messages + from, first};
	v[1] = (struct iovec){r->messages, bytes - first};
	return bytes > first ? 2 : 1;
}

static bool later(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static void receive(struct hs_svc_links *ls, struct hs_svc_link *k)
{
	uint32_t room = hs_svc_ring_room(&k->in);
	struct iovec v[2];
	ssize_t n;
	int nr;

	if (!room || HS_SVC_RING_MESSAGES - room >= HS_SVC_LINK_LOW)
		return;
	nr = (int)spread(k->in.ring, k->in.at, k->in_part,
			 room * MESSAGE_BYTES - k->in_part, v);
	ls->traffic.reads++;
	n = readv(k->fd, v, nr);
	if (n <= 0) {
		ls->traffic.empty++;
		if (!n || !later(errno))
			hs_svc_links_broken(ls, k, n ? -errno : -ECONNRESET);
		return;
	}
	k->in_part += (uint32_t)n;
	k->in.at += k->in_part / MESSAGE_BYTES;
	k->in_part %= MESSAGE_BYTES;
	hs_svc_ring_flush(&k->in);
}

static uint32_t transmit(struct hs_svc_links *ls, struct hs_svc_link *k)
{
	uint32_t nr = hs_svc_ring_count(&k->out), gone;
	size_t bytes = nr * MESSAGE_BYTES - k->out_part;
	struct iovec v[2];
	struct msghdr m = {.msg_iov = v};
	ssize_t n;

	if (!nr)
		return 0;
	m.msg_iovlen = spread(k->out.ring, k->out.at, k->out_part, bytes, v);
	ls->traffic.writes++;
	n = sendmsg(k->fd, &m, MSG_NOSIGNAL);
	if (n < (ssize_t)bytes)
		ls->traffic.full++;
	if (n < 0) {
		if (!later(errno))
			hs_svc_links_broken(ls, k, -errno);
		return 0;
	}
	k->out_part += (uint32_t)n;
	gone = (uint32_t)(k->out_part / MESSAGE_BYTES);
	k->out_part %= MESSAGE_BYTES;
	k->out.at += gone;
	if (gone)
		hs_svc_ring_release(&k->out);
	return gone;
}

static void close_socket(struct hs_svc_link *k)
{
	close(k->fd);
}

struct hs_svc_link *hs_svc_links_add_socket(struct hs_svc_links *ls, int fd,
					    uint16_t who)
{
	static const struct hs_svc_link_ops ops = {
		.receive = receive, .send = transmit, .close = close_socket};
	struct hs_svc_link *k = hs_svc_links_add(ls, who);

	if (!k) {
		close(fd);
		return NULL;
	}
	k->ops = &ops;
	k->fd = fd;
	return k;
}

/* ---- all of a thread -------------------------------------------------- */

void hs_svc_links_receive(struct hs_svc_links *ls)
{
	for (uint32_t i = 0; i < ls->nr; i++)
		ls->links[i].ops->receive(ls, &ls->links[i]);
}

uint32_t hs_svc_links_send(struct hs_svc_links *ls)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < ls->nr; i++)
		nr += ls->links[i].ops->send(ls, &ls->links[i]);
	return nr;
}

struct hs_svc_traffic hs_svc_traffic_since(const struct hs_svc_traffic *now,
					   const struct hs_svc_traffic *before)
{
	return (struct hs_svc_traffic){
		.reads = now->reads - before->reads,
		.writes = now->writes - before->writes,
		.empty = now->empty - before->empty,
		.full = now->full - before->full,
	};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: the lives of the TCP port's connections: dialled, accepted, watched,
 * ended; see port_tcp.c. */
#include "ship/tcp_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LOG	     "ship"
#define PAUSE_MAX_NS HS_NS_PER_SEC
#define CONNECT_NS   (3 * HS_NS_PER_SEC)
/* Longer than any agent says nothing. */
#define SILENT_NS (30 * HS_NS_PER_SEC)

void hs_ship_tcp_end(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p)
{
	bool was_up = p->conn.state == HS_SHIP_TCP_UP;

	hs_log_limited(p->conn.ended ? HS_LOG_INFO : HS_LOG_WARN, LOG,
		       "tcp: %s %s: %s",
		       p->conn.dialled ? "collector at" : "agent from", p->text,
		       p->conn.why);
	hs_ship_tcp_conn_end(&p->conn);
	if (t->from == p) {
		t->from = NULL;
		t->left = 0;
	}
	if (!p->conn.dialled) {
		p->place.serial = 0; /* nobody's */
		return;
	}
	if (was_up)
		p->pause_ns = HS_TCP_PAUSE_NS;
	p->due_ns = hs_clock_mono_ns() + p->pause_ns;
	p->pause_ns =
		2 * p->pause_ns < PAUSE_MAX_NS ? 2 * p->pause_ns : PAUSE_MAX_NS;
}

static void watch(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p, int op,
		  bool out)
{
	struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0),
				.data.u64 = (uint64_t)p->place.serial << 32 |
					    p->place.nr};

	p->conn.polls_out = out;
	(void)epoll_ctl(t->epoll_fd, op, p->conn.fd, &e);
}

void hs_ship_tcp_peer_flush(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p)
{
	int rc;

	if (p->conn.state < HS_SHIP_TCP_SHAKING)
		return;
	rc = hs_ship_tcp_conn_flush(&p->conn, &t->stats);
	if (rc < 0)
		hs_ship_tcp_end(t, p);
	else if ((rc > 0) != p->conn.polls_out)
		watch(t, p, EPOLL_CTL_MOD, rc > 0);
}

static void options_set(const struct hs_ship_tcp *t, int fd, int family)
{
	int on = 1, tos = t->dscp << 2;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (family == AF_INET)
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	else
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos,
				 sizeof(tos));
}

/* TCP is there. */
static void connected(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p)
{
	if (t->tls)
		hs_tls_context_look(t->tls, hs_clock_mono_ns());
	if (hs_ship_tcp_conn_begin(&p->conn, t->tls)) {
		if (!p->conn.why[0])
			snprintf(p->conn.why, sizeof(p->conn.why), "no memory");
		hs_ship_tcp_end(t, p);
		return;
	}
	p->conn.heard_ns = hs_clock_mono_ns();
	hs_ship_tcp_peer_flush(t, p);
}

void hs_ship_tcp_dial(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p)
{
	const struct sockaddr_storage *to;
	socklen_t bytes;
	uint64_t now = hs_clock_mono_ns();

	if (now < p->due_ns)
		return;
	p->due_ns = now + p->pause_ns;
	to = &p->to.at[p->next_to % p->to.nr];
	bytes = p->to.size_bytes[p->next_to++ % p->to.nr];
	p->conn.why[0] = 0;
	p->conn.fd = socket(to->ss_family,
			    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->conn.fd < 0) {
		snprintf(p->conn.why, sizeof(p->conn.why), "%s",
			 strerror(errno));
		hs_ship_tcp_end(t, p);
		return;
	}
	options_set(t, p->conn.fd, to->ss_family);
	p->conn.state = HS_SHIP_TCP_CONNECTING;
	p->begun_ns = now;
	if (connect(p->conn.fd, (const struct sockaddr *)to, bytes) &&
	    errno != EINPROGRESS) {
		snprintf(p->conn.why, sizeof(p->conn.why), "%s",
			 strerror(errno));
		hs_ship_tcp_end(t, p);
		return;
	}
	watch(t, p, EPOLL_CTL_ADD, true);
}

void hs_ship_tcp_dialled(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p)
{
	socklen_t bytes = sizeof(int);
	int error = 0;

	(void)getsockopt(p->conn.fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	if (!error) {
		connected(t, p);
		return;
	}
	snprintf(p->conn.why, sizeof(p->conn.why), "%s", strerror(error));
	hs_ship_tcp_end(t, p);
}

/* Whether @a gives its place to who comes rather than @b: who has not said a
 * frame yet, then who has been silent for longer. */
static bool gives_way(const struct hs_ship_tcp_peer *a,
		      const struct hs_ship_tcp_peer *b)
{
	if (a->conn.spoke != b->conn.spoke)
		return !a->conn.spoke;
	return a->conn.heard_ns < b->conn.heard_ns;
}

/* A place for who comes: a free one, else another's. */
static struct hs_ship_tcp_peer *place_make(struct hs_ship_tcp *t)
{
	struct hs_ship_tcp_peer *silent = NULL;
	uint32_t nr = t->nr_peers;

	for (uint32_t i = 0; i < t->nr_peers; i++) {
		struct hs_ship_tcp_peer *p = t->peers[i];

		if (!p) {
			nr = i;
			break;
		}
		if (p->conn.state == HS_SHIP_TCP_DOWN)
			return p;
		if (!silent || gives_way(p, silent))
			silent = p;
	}
	if (nr < t->nr_peers) {
		t->peers[nr] = calloc(1, sizeof(struct hs_ship_tcp_peer));
		if (t->peers[nr]) {
			t->peers[nr]->place.nr = nr;
			t->peers[nr]->conn.fd = -1;
		}
		return t->peers[nr];
	}
	snprintf(silent->conn.why, sizeof(silent->conn.why),
		 "silent, and others come");
	hs_ship_tcp_end(t, silent);
	return silent;
}

static void text_of(const struct sockaddr_storage *from, socklen_t bytes,
		    char text[HS_ADDRESS_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";

	(void)getnameinfo((const struct sockaddr *)from, bytes, host,
			  sizeof(host), port, sizeof(port),
			  NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(text, HS_ADDRESS_BYTES,
		 from->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void hs_ship_tcp_accept(struct hs_ship_tcp *t)
{
	struct sockaddr_storage from;
	socklen_t bytes = sizeof(from);
	struct hs_ship_tcp_peer *p;
	int fd;

	while ((fd = accept4(t->listener, (struct sockaddr *)&from, &bytes,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		p = place_make(t);
		if (!p) {
			close(fd);
			errno = ENOMEM;
			break;
		}
		options_set(t, fd, from.ss_family);
		text_of(&from, bytes, p->text);
		bytes = sizeof(from);
		t->serial += t->serial == UINT32_MAX ? 2 : 1;
		p->place.serial = t->serial;
		p->conn.fd = fd;
		p->conn.why[0] = 0;
		watch(t, p, EPOLL_CTL_ADD, false);
		connected(t, p);
	}
	t->accept_ns = 0;
	if (errno == EAGAIN)
		return;
	/* Without descriptors or memory: the edge was, and does not come again
	 * for those who wait. */
	hs_log_limited(HS_LOG_WARN, LOG, "tcp: cannot accept for now: %s",
		       strerror(errno));
	t->accept_ns = hs_clock_mono_ns() + HS_TCP_PAUSE_NS;
}

/* Who does not answer a dial, and who came and says nothing. */
void hs_ship_tcp_give_up(struct hs_ship_tcp *t)
{
	uint64_t now = hs_clock_mono_ns();

	for (uint32_t i = 0; i < t->nr_peers; i++) {
		struct hs_ship_tcp_peer *p = t->peers[i];

		if (!p || p->conn.state == HS_SHIP_TCP_DOWN)
			continue;
		if (p->conn.dialled ? p->conn.state != HS_SHIP_TCP_UP &&
					      now - p->begun_ns > CONNECT_NS
				    : now - p->conn.heard_ns > SILENT_NS) {
			snprintf(p->conn.why, sizeof(p->conn.why),
				 "it does not answer");
			hs_ship_tcp_end(t, p);
		}
	}
}

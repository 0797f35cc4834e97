/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_shm.c - messages between processes of one machine
 *
 * "host:port" as everywhere: it stands for a Unix socket in the abstract
 * namespace, which belongs to the network namespace, as the port over TCP does.
 * So whoever reached the port reaches the socket, and nobody else. Whoever
 * likes may take a name there, so the kernel is asked whose process the other
 * side is, on both sides; who belongs to the cluster is told by its key, as
 * over every carrier.
 *
 * Guarantees: nothing waits but name resolution of a dialled address that is
 * a name; no SIGPIPE; memory is bounded by the limits: 68 KiB a peer of each
 * side's own, and what peers show to be read by HS_SHM_SHOWN_MAX_BYTES.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "base/log.h"
#include "rdma/shm.h"

/* Ports that are picked when none is asked for: where Linux picks its own. */
#define PORT_FIRST 32768u
#define PORTS	   28232u
#define PICKS	   64

union inet {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static uint16_t port_of(const union inet *at)
{
	return ntohs(at->sa.sa_family == AF_INET6 ? at->v6.sin6_port
						  : at->v4.sin_port);
}

static void set_port(union inet *at, uint16_t port)
{
	if (at->sa.sa_family == AF_INET6)
		at->v6.sin6_port = htons(port);
	else
		at->v4.sin_port = htons(port);
}

/* "\0hindsight/HOST:PORT", without a NUL at its end. */
static socklen_t name_of(const char *host, uint16_t port,
			 struct sockaddr_un *out)
{
	int n;

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(out->sun_path + 1, sizeof(out->sun_path) - 1,
		     "hindsight/%s:%u", host, port);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)n);
}

static void host_of(const union inet *at, char out[INET6_ADDRSTRLEN])
{
	const void *ip = at->sa.sa_family == AF_INET6
				 ? (const void *)&at->v6.sin6_addr
				 : (const void *)&at->v4.sin_addr;

	inet_ntop(at->sa.sa_family, ip, out, INET6_ADDRSTRLEN);
}

/* Whoever binds it to some port has it. */
static bool is_ours(const union inet *at, socklen_t bytes)
{
	int fd = socket(at->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union inet any = *at;
	bool ours;

	set_port(&any, 0);
	ours = fd >= 0 && bind(fd, &any.sa, bytes) == 0;
	if (fd >= 0)
		close(fd);
	return ours;
}

/* Is the process at the other end one of ours? Of who listens, the kernel tells
 * who it was when it began to. */
static bool is_known(struct hs_shm *t, int fd)
{
	struct hs_hub *h = &t->sockets.hub;
	struct hs_unix_peer peer;
	bool known = t->any_user;

	if (known)
		return true;
	h->stats.system_calls += 2;
	if (hs_unix_peer_get(fd, &peer))
		return false;
	known = peer.uid == 0 || peer.uid == geteuid();
	for (uint32_t i = 0; i < t->nr_users && !known; i++)
		known = t->users[i] == peer.uid;
	if (known)
		return true;
	hs_hub_count_cut(h, HS_TRANSPORT_CUT_USER);
	hs_log_limited(
		HS_LOG_WARN, "shm",
		"refused: its process is neither root's nor our own "
		"user's, nor of any in transport.shm_users uid=%u pid=%d",
		peer.uid, (int)peer.pid);
	return false;
}

/* Return: a socket, or -errno: -EACCES: a stranger has that name; -EAGAIN:
 * perhaps one: who listens takes nobody, and then is not known. */
static int connect_name(struct hs_shm *t, const char *host, uint16_t port)
{
	struct sockaddr_un un;
	socklen_t size = name_of(host, port, &un);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = 0;

	t->sockets.hub.stats.system_calls += 2;
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&un, size))
		rc = -errno;
	else if (!is_known(t, fd))
		rc = -EACCES;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* Who listens on all addresses has the name of none; a stranger who has it does
 * not hide him. */
static int connect_to(struct hs_shm *t, const union inet *at)
{
	static const char *const all[] = {"0.0.0.0", "::"};
	char host[INET6_ADDRSTRLEN];
	int fd;

	host_of(at, host);
	fd = connect_name(t, host, port_of(at));
	for (size_t i = 0;
	     i < sizeof(all) / sizeof(all[0]) &&
	     (fd == -ECONNREFUSED || fd == -EACCES || fd == -EAGAIN);
	     i++)
		fd = connect_name(t, all[i], port_of(at));
	return fd;
}

static bool watch(struct hs_shm_conn *c)
{
	return hs_hub_watch(c->link.hub, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET,
			    hs_hub_tag_make(HS_SOCKETS_TAG_LINK, c->link.id)) ==
	       0;
}

static int shm_dial(struct hs_hub *h, struct hs_dial *d, uint32_t at)
{
	union inet to = {.v6 = {0}};
	struct hs_shm_conn *c;
	int fd;

	memcpy(&to, &d->at.at[at], d->at.size_bytes[at]);
	if (!is_ours(&to, d->at.size_bytes[at])) {
		hs_log_limited(HS_LOG_WARN, "shm",
			       "not an address of this machine, as carrier: "
			       "shm wants it address=%s",
			       d->address);
		return -EADDRNOTAVAIL;
	}
	h->stats.system_calls += 3;
	fd = connect_to((struct hs_shm *)h, &to);
	if (fd < 0)
		return fd;
	c = hs_shm_conn_create((struct hs_shm *)h, fd, d);
	if (!c) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	if (watch(c))
		return 0;
	hs_shm_conn_release(&c->link);
	d->link = NULL;
	return -ENOMEM;
}

static bool shm_accepted(struct hs_sockets *s, int fd)
{
	struct hs_shm_conn *c;

	if (!is_known((struct hs_shm *)s, fd)) {
		close(fd);
		return true;
	}
	c = hs_shm_conn_create((struct hs_shm *)s, fd, NULL);
	if (!c) {
		bool gone = errno == EPIPE || errno == ECONNRESET;

		close(fd);
		return gone;
	}
	if (!watch(c))
		hs_shm_conn_release(&c->link);
	return true;
}

static int listen_at(struct hs_shm *t, const union inet *at, socklen_t bytes)
{
	struct hs_hub *h = &t->sockets.hub;
	uint16_t port = port_of(at);
	char host[INET6_ADDRSTRLEN];
	struct sockaddr_un un;
	int rc = -EADDRINUSE;

	if (!is_ours(at, bytes))
		return -EADDRNOTAVAIL;
	host_of(at, host);
	for (int i = 0; i < PICKS && rc == -EADDRINUSE; i++) {
		if (!port_of(at))
			port = (uint16_t)(PORT_FIRST +
					  hs_random_below(&h->random, PORTS));
		else
			i = PICKS;
		rc = hs_sockets_listen(&t->sockets, (struct sockaddr *)&un,
				       name_of(host, port, &un));
	}
	return rc < 0 ? rc : port;
}

static int shm_listen(struct hs_transport *transport, const char *address)
{
	struct hs_addresses at;
	int rc = hs_address_resolve(address, 1, &at);

	if (rc)
		return rc;
	rc = -EADDRNOTAVAIL;
	for (uint32_t i = 0; i < at.nr && rc < 0; i++) {
		union inet one = {.v6 = {0}};

		memcpy(&one, &at.at[i], at.size_bytes[i]);
		rc = listen_at((struct hs_shm *)transport, &one,
			       at.size_bytes[i]);
	}
	return rc;
}

/* After what has come, those who had more to say before. */
static void finish_turn(struct hs_shm *t)
{
	struct hs_shm_conn *late = t->late;

	t->late = NULL;
	while (late) {
		struct hs_shm_conn *c = late;

		late = c->late_next;
		c->late = false;
		hs_shm_conn_read(c);
	}
	if (t->late)
		hs_hub_wake(&t->sockets.hub);
	hs_sockets_turn_end(&t->sockets);
}

static int shm_poll(struct hs_transport *transport, int timeout_ms)
{
	struct hs_shm *t = (struct hs_shm *)transport;
	int rc = hs_sockets_turn(&t->sockets, t->late ? 0 : timeout_ms);

	if (!rc)
		finish_turn(t);
	return rc;
}

static void shm_turn(struct hs_transport *transport,
		     const struct epoll_event *events, int nr_events)
{
	struct hs_shm *t = (struct hs_shm *)transport;

	hs_sockets_turn_with(&t->sockets, events, nr_events);
	finish_turn(t);
}

static void shm_came_up(struct hs_link *l)
{
	hs_shm_bell_open(l);
	hs_shm_window_open(l);
}

static void shm_destroy(struct hs_transport *transport)
{
	struct hs_shm *t = (struct hs_shm *)transport;
	struct hs_hub *h = &t->sockets.hub;

	for (uint32_t i = 0; h->links && i < h->limits.nr_peers; i++) {
		if (!h->links[i])
			continue;
		/* The last words, as far as there is room for them. */
		h->events.writable = NULL;
		((struct hs_shm_conn *)h->links[i])->nr_reads = 0;
		hs_shm_conn_flush(h->links[i]);
		hs_shm_conn_release(h->links[i]);
	}
	hs_sockets_close(&t->sockets);
	hs_hub_close(h);
	free(t);
}

static const struct hs_transport_ops shm_ops = {
	.name = "shm",
	.listen = shm_listen,
	.dial = hs_hub_dial,
	.undial = hs_hub_undial,
	.send = hs_hub_send,
	.poll = shm_poll,
	.fd = hs_hub_fd,
	.stats = hs_hub_stats,
	.destroy = shm_destroy,
	.cut = hs_hub_cut,
	.clock = hs_hub_clock,
	.flush = hs_hub_flush_now,
	.turn = shm_turn,
	.windows = hs_shm_windows,
	.read = hs_hub_read,
};

static const struct hs_carrier shm_carrier = {
	.dial = shm_dial,
	.flush = hs_shm_conn_flush,
	.release = hs_shm_conn_release,
	.hello_flags = hs_shm_bell_flags,
	.came_up = shm_came_up,
	.window = hs_shm_window_told,
	.read = hs_shm_read,
	.reads_do = hs_shm_reads_do,
	.tick = hs_sockets_tick,
};

static const struct hs_sockets_ops shm_sockets = {
	.accepted = shm_accepted,
	.event = hs_shm_conn_event,
};

struct hs_transport *
hs_transport_shm_create(const struct hs_transport_self *self,
			const struct hs_transport_limits *limits,
			const struct hs_transport_events *events, void *ctx)
{
	const struct hs_transport_trust *trust = &self->trust;
	struct hs_shm *t;
	int rc;

	if (trust->nr_users > HS_TRANSPORT_USERS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->sockets.ops = &shm_sockets;
	t->any_user = trust->any_user;
	t->nr_users = trust->nr_users;
	for (uint32_t i = 0; i < t->nr_users; i++)
		t->users[i] = trust->users[i];
	rc = hs_hub_open(&t->sockets.hub, &shm_ops, &shm_carrier, self, limits,
			 events, ctx);
	if (rc) {
		shm_destroy(&t->sockets.hub.base);
		errno = -rc;
		return NULL;
	}
	return &t->sockets.hub.base;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_conn.c - one connection of the TCP carrier
 *
 * Bytes in through the stream parser, bytes out through a ring that a single
 * system call drains, however many messages it holds. HELLO, PING and PONG
 * live and die here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "rdma/tcp.h"
#include "rdma/wire.h"

/* One peer that sends without end must not keep the others waiting. */
#define READS_A_TURN 8

void hs_tcp_conn_doom(struct hs_tcp_conn *c)
{
	c->state = HS_TCP_CONN_DOOMED;
	c->t->any_doomed = true;
	hs_tcp_dirty(c); /* so that a poll() comes, and reaps it */
}

void hs_tcp_conn_cut(struct hs_tcp_conn *c, const char *reason)
{
	if (c->state == HS_TCP_CONN_DOOMED)
		return;
	c->t->stats.peers_cut_off++;
	hs_log_limited(HS_LOG_WARN, "tcp",
		       "peer cut off: %s peer=%u node=%llx from=%s", reason,
		       c->id, (unsigned long long)c->peer.node,
		       c->dial ? c->dial->address : "accepted");
	hs_tcp_conn_doom(c);
}

static uint32_t free_id(struct hs_tcp *t)
{
	for (uint32_t i = 0; i < t->limits.nr_peers; i++) {
		uint32_t id = t->next_id++;

		if (id && !t->conns[id % t->limits.nr_peers])
			return id;
	}
	return 0;
}

struct hs_tcp_conn *hs_tcp_conn_create(struct hs_tcp *t, int fd,
				       struct hs_tcp_dial *dial)
{
	size_t room = t->limits.send_queue_bytes;
	size_t least =
		sizeof(struct hs_wire_header) + HS_WIRE_PAYLOAD_MAX_BYTES;
	uint32_t id = free_id(t);
	struct hs_tcp_conn *c;
	void *in;

	if (!id)
		return NULL;
	c = calloc(1, sizeof(*c));
	in = malloc(HS_STREAM_BUFFER_BYTES);
	if (!c || !in) {
		free(c);
		free(in);
		return NULL;
	}
	c->out.room_bytes = (room > least ? room : least) + HS_TCP_URGENT_BYTES;
	c->out.data = malloc(c->out.room_bytes);
	if (!c->out.data) {
		free(c);
		free(in);
		return NULL;
	}
	hs_stream_init(&c->in, in, sizeof(struct hs_wire_hello));
	c->t = t;
	c->dial = dial;
	c->fd = fd;
	c->id = id;
	c->state = HS_TCP_CONN_CONNECTING;
	c->since_ns = t->now_ns;
	c->received_ns = t->now_ns;
	t->conns[id % t->limits.nr_peers] = c;
	t->stats.nr_peers++;
	hs_tcp_timer_by(t, t->now_ns + t->limits.idle_timeout_ns);
	return c;
}

void hs_tcp_conn_free(struct hs_tcp_conn *c)
{
	c->t->conns[c->id % c->t->limits.nr_peers] = NULL;
	c->t->stats.nr_peers--;
	close(c->fd); /* epoll forgets it with the last descriptor */
	free(c->in.buffer);
	free(c->out.data);
	free(c);
}

static void queue_bytes(struct hs_tcp_queue *q, const void *data, size_t size)
{
	size_t at = (q->head + q->used_bytes) % q->room_bytes;
	size_t first = q->room_bytes - at;

	if (size == 0)
		return;
	if (first > size)
		first = size;
	memcpy(q->data + at, data, first);
	memcpy(q->data, (const uint8_t *)data + first, size - first);
	q->used_bytes += size;
}

int hs_tcp_conn_queue(struct hs_tcp_conn *c, uint16_t type,
		      const struct iovec *iov, int nr_iov, bool urgent)
{
	struct hs_wire_header h;
	size_t payload = 0;
	size_t limit = c->t->limits.send_queue_bytes;
	uint32_t crc = 0;

	for (int i = 0; i < nr_iov; i++) {
		if (iov[i].iov_len > HS_WIRE_PAYLOAD_MAX_BYTES - payload)
			return -EMSGSIZE;
		payload += iov[i].iov_len;
	}
	if (urgent)
		limit = c->out.room_bytes;
	/* A message always fits into an empty queue, so that none waits for
	 * ever for a room that a small queue never has. */
	if (c->out.used_bytes &&
	    (c->out.used_bytes > limit ||
	     sizeof(h) + payload > limit - c->out.used_bytes)) {
		if (!urgent)
			c->wants_writable = true;
		return -EAGAIN;
	}
	for (int i = 0; i < nr_iov; i++)
		crc = hs_crc32c(crc, iov[i].iov_base, iov[i].iov_len);
	h = hs_stream_header(type, c->t->self.node, ++c->seq, (uint32_t)payload,
			     crc);
	queue_bytes(&c->out, &h, sizeof(h));
	for (int i = 0; i < nr_iov; i++)
		queue_bytes(&c->out, iov[i].iov_base, iov[i].iov_len);
	c->t->stats.messages_sent++;
	hs_tcp_dirty(c);
	return 0;
}

static void poll_out(struct hs_tcp_conn *c, bool on)
{
	struct epoll_event ev = {
		.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN,
		.data.u64 = hs_tcp_tag_make(HS_TCP_TAG_CONN, c->id),
	};

	if (c->polls_out == on)
		return;
	c->t->stats.system_calls++;
	if (epoll_ctl(c->t->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		hs_tcp_conn_doom(c);
	c->polls_out = on;
}

static void maybe_writable(struct hs_tcp_conn *c)
{
	if (!c->wants_writable || c->state != HS_TCP_CONN_UP ||
	    c->out.used_bytes > c->t->limits.send_queue_bytes / 2)
		return;
	c->wants_writable = false;
	if (c->t->events.writable)
		c->t->events.writable(c->t->ctx, c->id);
}

void hs_tcp_conn_flush(struct hs_tcp_conn *c)
{
	struct hs_tcp_queue *q = &c->out;

	while (q->used_bytes && c->state != HS_TCP_CONN_DOOMED &&
	       c->state != HS_TCP_CONN_CONNECTING) {
		size_t first = q->room_bytes - q->head;
		struct iovec iov[2] = {{q->data + q->head, q->used_bytes},
				       {q->data, 0}};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};
		ssize_t n;

		if (q->used_bytes > first) {
			iov[0].iov_len = first;
			iov[1].iov_len = q->used_bytes - first;
			msg.msg_iovlen = 2;
		}
		c->t->stats.system_calls++;
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			poll_out(c, true);
			return;
		}
		if (n < 0) {
			hs_tcp_conn_doom(c);
			return;
		}
		c->t->stats.bytes_sent += (uint64_t)n;
		q->used_bytes -= (size_t)n;
		q->head = q->used_bytes ? (q->head + (size_t)n) % q->room_bytes
					: 0;
	}
	if (c->state != HS_TCP_CONN_DOOMED && !q->used_bytes)
		poll_out(c, false);
	maybe_writable(c);
}

void hs_tcp_conn_connected(struct hs_tcp_conn *c)
{
	struct hs_wire_hello hello = {
		.role = c->t->self.role,
		.version_min = HS_WIRE_VERSION,
		.version_max = HS_WIRE_VERSION,
		.credit = UINT32_MAX, /* TCP has a window of its own */
		.node = c->t->self.node,
	};
	struct iovec iov = {&hello, sizeof(hello)};

	memcpy(hello.name, c->t->self.name, sizeof(hello.name));
	c->state = HS_TCP_CONN_HELLO;
	c->received_ns = c->t->now_ns;
	hs_tcp_conn_queue(c, HS_WIRE_HELLO, &iov, 1, true);
}

static void send_ping(struct hs_tcp_conn *c)
{
	struct hs_wire_ping ping = {.sent_ns = hs_clock_real_ns()};
	struct iovec iov = {&ping, sizeof(ping)};

	hs_tcp_conn_queue(c, HS_WIRE_PING, &iov, 1, true);
	c->pinged_ns = c->t->now_ns;
}

static void take_hello(struct hs_tcp_conn *c, const struct hs_wire_header *head,
		       const struct hs_wire_hello *hello)
{
	const char *wrong = NULL;

	if (head->type != HS_WIRE_HELLO || head->payload_bytes < sizeof(*hello))
		wrong = "HELLO is too short";
	else if (hello->version_min > HS_WIRE_VERSION ||
		 hello->version_max < HS_WIRE_VERSION)
		wrong = "speaks no version of ours";
	else if (hello->role < HS_WIRE_ROLE_AGENT ||
		 hello->role > HS_WIRE_ROLE_COLLECTOR)
		wrong = "no such role";
	else if (hello->node != head->from)
		wrong = "HELLO and header name different nodes";
	else if (!hs_wire_name_ok(hello->name))
		wrong = "name is not printable";
	else if (hello->node == c->t->self.node &&
		 hello->role == c->t->self.role)
		wrong = "it is ourselves";
	if (wrong) {
		hs_tcp_conn_cut(c, wrong);
		return;
	}
	c->peer.peer = c->id;
	c->peer.role = hello->role;
	c->peer.node = hello->node;
	memcpy(c->peer.name, hello->name, sizeof(c->peer.name));
	c->in.payload_limit = HS_WIRE_PAYLOAD_MAX_BYTES;
	c->state = HS_TCP_CONN_UP;
	c->since_ns = c->t->now_ns;
	c->was_up = true;
	if (c->dial && c->dial->was_up)
		c->t->stats.reconnects++;
	if (c->dial)
		c->dial->was_up = true;
	c->t->events.peer_up(c->t->ctx, &c->peer);
	send_ping(c);
}

static void take_ping(struct hs_tcp_conn *c, const struct hs_wire_header *head,
		      const struct hs_wire_ping *ping)
{
	struct hs_wire_ping pong;
	struct iovec iov = {&pong, sizeof(pong)};
	uint64_t now = hs_clock_real_ns();
	struct hs_transport_clock *k = &c->clock;
	uint64_t rtt;
	int64_t offset;

	if (head->payload_bytes != sizeof(*ping)) {
		hs_tcp_conn_cut(c, "PING or PONG of a wrong size");
		return;
	}
	if (head->type == HS_WIRE_PING) {
		/* No room: it hears from us by what fills the queue. */
		pong = (struct hs_wire_ping){ping->sent_ns, now};
		hs_tcp_conn_queue(c, HS_WIRE_PONG, &iov, 1, true);
		return;
	}
	/* Our clock was set back meanwhile, or the peer made the time up. */
	if (ping->sent_ns > now || now - ping->sent_ns > 60 * HS_NS_PER_SEC)
		return;
	rtt = now - ping->sent_ns;
	offset = (int64_t)(ping->peer_ns - (ping->sent_ns + rtt / 2));
	if (k->nr_pongs++ == 0) {
		k->rtt_ns = rtt;
		k->offset_ns = offset;
		return;
	}
	k->rtt_ns = k->rtt_ns - k->rtt_ns / 8 + rtt / 8;
	k->offset_ns = (int64_t)((uint64_t)k->offset_ns +
				 (uint64_t)((int64_t)((uint64_t)offset -
						      (uint64_t)k->offset_ns) /
					    8));
}

static void take_messages(struct hs_tcp_conn *c)
{
	struct hs_wire_header head;
	const void *payload;
	int rc = 0;

	while (c->state != HS_TCP_CONN_DOOMED) {
		rc = hs_stream_next(&c->in, &head, &payload);
		if (rc != HS_STREAM_MESSAGE)
			break;
		c->t->stats.messages_received++;
		c->nr_pings = 0;
		if (c->state == HS_TCP_CONN_HELLO)
			take_hello(c, &head, payload);
		else if (head.type == HS_WIRE_HELLO)
			hs_tcp_conn_cut(c, "HELLO twice");
		else if (head.type == HS_WIRE_PING || head.type == HS_WIRE_PONG)
			take_ping(c, &head, payload);
		else
			c->t->events.message(c->t->ctx, c->id, head.type,
					     payload, head.payload_bytes);
	}
	if (rc < 0)
		hs_tcp_conn_cut(c, c->in.error_reason);
}

static void receive(struct hs_tcp_conn *c)
{
	for (int i = 0; i < READS_A_TURN && c->state != HS_TCP_CONN_DOOMED;
	     i++) {
		uint8_t *room;
		size_t room_bytes = hs_stream_room(&c->in, &room);
		ssize_t n = recv(c->fd, room, room_bytes, MSG_DONTWAIT);

		c->t->stats.system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			hs_tcp_conn_doom(c);
			return;
		}
		c->t->stats.bytes_received += (uint64_t)n;
		c->received_ns = c->t->now_ns;
		hs_stream_came(&c->in, (size_t)n);
		take_messages(c);
		if ((size_t)n < room_bytes)
			return;
	}
}

void hs_tcp_conn_event(struct hs_tcp_conn *c, uint32_t events)
{
	if (c->state == HS_TCP_CONN_CONNECTING) {
		int error = 0;
		socklen_t size = sizeof(error);

		c->t->stats.system_calls++;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) ||
		    error) {
			hs_tcp_conn_doom(c);
			return;
		}
		hs_tcp_conn_connected(c);
	}
	/* What came before a hang-up is still read: the end is read's 0. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
	if (events & EPOLLOUT)
		hs_tcp_conn_flush(c);
}

uint64_t hs_tcp_conn_tick(struct hs_tcp_conn *c)
{
	uint64_t now = c->t->now_ns;
	uint64_t idle = c->t->limits.idle_timeout_ns;
	uint64_t last;

	if (c->state == HS_TCP_CONN_DOOMED)
		return UINT64_MAX;
	if (c->state != HS_TCP_CONN_UP) {
		/* Counted from the connection's start: one byte now and then
		 * does not buy more time before HELLO. */
		if (now - c->since_ns < idle)
			return c->since_ns + idle;
		if (c->state == HS_TCP_CONN_CONNECTING)
			hs_tcp_conn_doom(c);
		else
			hs_tcp_conn_cut(c, "no HELLO in time");
		return UINT64_MAX;
	}
	last = c->received_ns > c->pinged_ns ? c->received_ns : c->pinged_ns;
	if (now - last < idle)
		return last + idle;
	if (c->nr_pings >= HS_TCP_PINGS_MAX) {
		hs_tcp_conn_cut(c, "silent");
		return UINT64_MAX;
	}
	c->nr_pings++;
	send_ping(c);
	return now + idle;
}

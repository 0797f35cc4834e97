/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_tcp.c - frames over TCP, one connection for an agent and a collector
 *
 * The agent's end dials: an address that was resolved has one connection, made
 * when a frame is to go there and there is none, again after a pause that
 * doubles. The collector's end listens, and answers over what came in. Nothing
 * is lost while a connection stands; with it goes what was under way, and the
 * protocol begins anew over the next one, whose address is another.
 *
 * Certificates, if there are any, are asked for of both ends: a collector's of
 * the one that was dialled, an agent's of the one that dials.
 */
#include "ship/tcp_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define DIALLED_MAX 64u
#define STRANGERS   32u /* beyond the agents that may ship */
#define FEW_FRAMES  128u
#define ROUNDS	    4u /* of looking, in one receive() */
#define BACKLOG	    128
#define LISTENER    UINT32_MAX

static struct hs_ship_tcp *tcp_of(struct hs_ship_port *p)
{
	return (struct hs_ship_tcp *)p;
}

static void address_of(const struct hs_ship_tcp_place *place,
		       struct hs_ship_address *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out, place, sizeof(*place));
}

static struct hs_ship_tcp_peer *peer_of(const struct hs_ship_tcp *t,
					const struct hs_ship_address *a)
{
	struct hs_ship_tcp_place place;
	struct hs_ship_tcp_peer *p;

	memcpy(&place, a, sizeof(place));
	p = place.nr < t->nr_peers ? t->peers[place.nr] : NULL;
	return p && !memcmp(&p->place, &place, sizeof(place)) ? p : NULL;
}

/* ---- out ------------------------------------------------------------------
 */

static int tcp_send(struct hs_ship_port *port, const struct hs_ship_address *to,
		    const void *head, uint32_t head_bytes,
		    const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct hs_ship_tcp *t = tcp_of(port);
	struct hs_ship_tcp_peer *p = peer_of(t, to);
	uint32_t bytes = head_bytes;
	int rc;

	if (p && p->conn.dialled && p->conn.state == HS_SHIP_TCP_DOWN)
		hs_ship_tcp_dial(t, p);
	if (!p || p->conn.state != HS_SHIP_TCP_UP) {
		t->stats.no_link++;
		return -EAGAIN;
	}
	rc = hs_ship_tcp_conn_send(&p->conn, head, head_bytes, spans, nr_spans,
				   &t->stats);
	/* A network that was full last time says when it is not any more. */
	if (rc == -EAGAIN && !p->conn.polls_out) {
		hs_ship_tcp_peer_flush(t, p);
		if (p->conn.state == HS_SHIP_TCP_UP)
			rc = hs_ship_tcp_conn_send(&p->conn, head, head_bytes,
						   spans, nr_spans, &t->stats);
	}
	if (rc == -EAGAIN)
		t->stats.full++;
	else if (rc)
		hs_ship_tcp_end(t, p);
	if (rc)
		return -EAGAIN;
	for (uint32_t i = 0; i < nr_spans; i++)
		bytes += spans[i].bytes;
	t->stats.frames_sent++;
	t->stats.bytes_sent += bytes;
	return 0;
}

static void tcp_flush(struct hs_ship_port *port)
{
	struct hs_ship_tcp *t = tcp_of(port);

	for (uint32_t i = 0; i < t->nr_peers; i++)
		if (t->peers[i] && !t->peers[i]->conn.polls_out)
			hs_ship_tcp_peer_flush(t, t->peers[i]);
}

/* ---- in -------------------------------------------------------------------
 */

/* Frames of what was read last, each into memory of its own. */
static uint32_t hand_out(struct hs_ship_tcp *t,
			 struct hs_ship_port_frame *frames, uint32_t nr)
{
	uint32_t got = 0;

	while (got < nr && t->from) {
		struct hs_ship_port_frame *f = &frames[got];
		const char *why = NULL;
		const void *frame;
		uint8_t *to;
		int rc = hs_ship_stream_next(&t->from->conn.stream, &t->at,
					     &t->left, &frame, &f->bytes, &why);

		if (rc < 0) {
			const struct hs_ship_stream *s = &t->from->conn.stream;
			uint8_t first = s->kept ? s->part[0] : *t->at;
			bool tls = first == 0x16 && !t->tls;

			snprintf(t->from->conn.why, sizeof(t->from->conn.why),
				 "%s",
				 tls ? "it speaks TLS, and here are no "
				       "certificates"
				     : why);
			hs_ship_tcp_end(t, t->from);
			break;
		}
		if (!rc) {
			t->from = NULL;
			break;
		}
		t->from->conn.spoke = true;
		/* Nobody is granted more frames than there are. */
		if (!t->nr_free) {
			t->stats.dropped++;
			continue;
		}
		to = t->frames + (size_t)t->free_frames[--t->nr_free] *
					 HS_SHIP_FRAME_MAX_BYTES;
		memcpy(to, frame, f->bytes);
		address_of(&t->from_place, &f->from);
		f->handle = to;
		f->data = to;
		t->stats.frames_received++;
		t->stats.bytes_received += f->bytes;
		t->stats.bytes_copied_in += f->bytes;
		got++;
	}
	return got;
}

static void read_some(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p)
{
	int n = hs_ship_tcp_conn_read(&p->conn, t->cipher, t->plain, &t->stats);

	if (n < 0) {
		hs_ship_tcp_end(t, p);
		return;
	}
	if (!n)
		return;
	p->conn.heard_ns = hs_clock_mono_ns();
	p->pause_ns = HS_TCP_PAUSE_NS;
	t->from = p;
	t->from_place = p->place;
	t->at = t->plain;
	t->left = (size_t)n;
}

static void event(struct hs_ship_tcp *t, const struct epoll_event *e)
{
	const struct hs_ship_tcp_place place = {
		.nr = (uint32_t)e->data.u64,
		.serial = (uint32_t)(e->data.u64 >> 32)};
	struct hs_ship_tcp_peer *p;

	if (place.nr == LISTENER) {
		hs_ship_tcp_accept(t);
		return;
	}
	p = t->peers[place.nr];
	/* Of who was here before. */
	if (!p || p->place.serial != place.serial || p->conn.fd < 0)
		return;
	if (p->conn.state == HS_SHIP_TCP_CONNECTING) {
		hs_ship_tcp_dialled(t, p);
		return;
	}
	if (e->events & EPOLLOUT)
		hs_ship_tcp_peer_flush(t, p);
	if (p->conn.fd >= 0 && e->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_some(t, p);
}

static void look(struct hs_ship_tcp *t)
{
	int n = epoll_wait(t->epoll_fd, t->events, HS_TCP_EVENTS, 0);

	t->stats.system_calls++;
	t->next_event = 0;
	t->nr_events = n > 0 ? (uint32_t)n : 0;
}

static uint32_t tcp_receive(struct hs_ship_port *port,
			    struct hs_ship_port_frame *frames, uint32_t nr)
{
	struct hs_ship_tcp *t = tcp_of(port);
	uint32_t got = hand_out(t, frames, nr);

	if (t->accept_ns && hs_clock_mono_ns() >= t->accept_ns)
		hs_ship_tcp_accept(t);
	for (uint32_t round = 0; got < nr && round < ROUNDS; round++) {
		if (t->next_event == t->nr_events)
			look(t);
		if (!t->nr_events)
			break;
		while (got < nr && t->next_event < t->nr_events) {
			event(t, &t->events[t->next_event++]);
			got += hand_out(t, frames + got, nr - got);
		}
	}
	if (!got)
		hs_ship_tcp_give_up(t);
	return got;
}

static void tcp_release(struct hs_ship_port *port, void *handle)
{
	struct hs_ship_tcp *t = tcp_of(port);
	size_t at = (size_t)((uint8_t *)handle - t->frames);

	t->free_frames[t->nr_free++] = (uint32_t)(at / HS_SHIP_FRAME_MAX_BYTES);
}

/* ---- the rest -------------------------------------------------------------
 */

static int tcp_fd(const struct hs_ship_port *port)
{
	return ((const struct hs_ship_tcp *)port)->epoll_fd;
}

static int tcp_resolve(struct hs_ship_port *port, const char *text,
		       struct hs_ship_address *out, uint32_t *frame_bytes,
		       const char **why)
{
	struct hs_ship_tcp *t = tcp_of(port);
	struct hs_ship_tcp_peer *p;
	int rc;

	*why = "this end of TCP listens, it does not dial";
	if (t->listener >= 0)
		return -EINVAL;
	*why = "more than there is room for";
	if (t->nr_dialled == DIALLED_MAX)
		return -ENOSPC;
	p = calloc(1, sizeof(*p));
	*why = "no memory";
	if (!p)
		return -ENOMEM;
	rc = hs_address_resolve(text, 0, &p->to);
	*why = rc == -EINVAL ? "should be host:port, or [v6-address]:port"
			     : "no such host now";
	if (rc) {
		free(p);
		return rc;
	}
	snprintf(p->text, sizeof(p->text), "%s", text);
	p->conn.fd = -1;
	p->conn.dialled = true;
	p->pause_ns = HS_TCP_PAUSE_NS;
	p->place.nr = t->nr_dialled;
	t->peers[t->nr_dialled++] = p;
	address_of(&p->place, out);
	*frame_bytes = HS_SHIP_FRAME_MAX_BYTES;
	return 0;
}

static void tcp_stats(const struct hs_ship_port *port,
		      struct hs_ship_port_stats *out)
{
	const struct hs_ship_tcp *t = (const struct hs_ship_tcp *)port;

	*out = t->stats;
	out->tls = t->tls != NULL;
	/* To nobody that it should be up to. */
	out->link_down = t->nr_dialled > 0;
	for (uint32_t i = 0; i < t->nr_dialled; i++)
		if (t->peers[i]->conn.state == HS_SHIP_TCP_UP)
			out->link_down = false;
}

static void tcp_destroy(struct hs_ship_port *port)
{
	struct hs_ship_tcp *t = tcp_of(port);

	for (uint32_t i = 0; t->peers && i < t->nr_peers; i++) {
		if (t->peers[i])
			hs_ship_tcp_conn_end(&t->peers[i]->conn);
		free(t->peers[i]);
	}
	if (t->listener >= 0)
		close(t->listener);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	hs_tls_context_destroy(t->tls);
	free(t->peers);
	free(t->frames);
	free(t->free_frames);
	free(t->cipher);
	free(t->plain);
	free(t);
}

static const struct hs_ship_port_ops tcp_ops = {
	.name = "tcp",
	.send = tcp_send,
	.flush = tcp_flush,
	.receive = tcp_receive,
	.release = tcp_release,
	.fd = tcp_fd,
	.resolve = tcp_resolve,
	.stats = tcp_stats,
	.destroy = tcp_destroy,
};

/* ---- making it ------------------------------------------------------------
 */

static int listen_at(struct hs_ship_tcp *t, const char *bind_to,
		     const char **why)
{
	/* By the edge: who cannot be accepted now shall not keep us busy. */
	struct epoll_event e = {.events = EPOLLIN | EPOLLET,
				.data.u64 = LISTENER};
	struct hs_addresses found;
	int on = 1, rc = hs_address_resolve(bind_to, 1, &found);

	*why = rc == -EINVAL ? "should be host:port, or [v6-address]:port"
			     : "no such host now";
	if (rc)
		return rc;
	*why = "the address cannot be bound";
	t->listener = socket(found.at[0].ss_family,
			     SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->listener < 0 ||
	    setsockopt(t->listener, SOL_SOCKET, SO_REUSEADDR, &on,
		       sizeof(on)) ||
	    bind(t->listener, (struct sockaddr *)&found.at[0],
		 found.size_bytes[0]) ||
	    listen(t->listener, BACKLOG) ||
	    epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->listener, &e))
		return -errno;
	return 0;
}

static int tls_make(struct hs_ship_tcp *t, const struct hs_ship_trust *trust,
		    const char **why)
{
	static char error[320];

	if (!trust || !trust->tls_cert)
		return 0;
	t->tls = hs_tls_context_create(
		trust->tls_ca, trust->tls_cert, trust->tls_key,
		(enum hs_tls_bind)trust->tls_bind, error, sizeof(error));
	*why = error;
	return t->tls ? 0 : -errno;
}

static int memory_make(struct hs_ship_tcp *t,
		       const struct hs_ship_tcp_config *config)
{
	t->nr_peers =
		config->bind ? config->nr_connections + STRANGERS : DIALLED_MAX;
	t->nr_frames = config->nr_frames + FEW_FRAMES;
	t->peers = calloc(t->nr_peers, sizeof(struct hs_ship_tcp_peer *));
	t->frames = malloc((size_t)t->nr_frames * HS_SHIP_FRAME_MAX_BYTES);
	t->free_frames = calloc(t->nr_frames, sizeof(*t->free_frames));
	t->cipher = malloc(HS_TCP_IN_BYTES);
	t->plain = malloc(HS_TCP_PLAIN_BYTES);
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!t->peers || !t->frames || !t->free_frames || !t->cipher ||
	    !t->plain || t->epoll_fd < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->nr_frames; i++)
		t->free_frames[t->nr_free++] = i;
	return 0;
}

struct hs_ship_port *hs_ship_tcp_create(const struct hs_ship_tcp_config *config,
					const char **why)
{
	struct hs_ship_tcp *t = calloc(1, sizeof(*t));
	int rc = -ENOMEM;

	*why = "no memory";
	if (t) {
		t->port.ops = &tcp_ops;
		t->epoll_fd = t->listener = -1;
		t->dscp = config->dscp;
		rc = memory_make(t, config);
	}
	if (!rc)
		rc = tls_make(t, config->trust, why);
	if (!rc && config->bind)
		rc = listen_at(t, config->bind, why);
	if (!rc)
		return &t->port;
	if (t)
		tcp_destroy(&t->port);
	errno = -rc;
	return NULL;
}

uint16_t hs_ship_tcp_port(const struct hs_ship_port *port)
{
	struct sockaddr_in6 at = {0};
	socklen_t bytes = sizeof(at);

	/* Both families have the port in the same place. */
	if (getsockname(((const struct hs_ship_tcp *)port)->listener,
			(struct sockaddr *)&at, &bytes))
		return 0;
	return ntohs(at.sin6_port);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_conn.c - one TCP connection of the port: bytes out and in, with TLS or
 * without
 *
 * Without TLS the kernel reads the slices' bytes from where they lie, once;
 * what it does not take yet stays lent. With TLS a record is put together and
 * encrypted, which are two copies more.
 */
#include "ship/tcp_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int over(struct hs_ship_tcp_conn *c, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
	return -ECONNABORTED;
}

static int ended(struct hs_ship_tcp_conn *c)
{
	c->ended = true;
	return over(c, "it ended");
}

static int over_by_errno(struct hs_ship_tcp_conn *c)
{
	return over(c, strerror(errno));
}

/* ---- out ------------------------------------------------------------------
 */

static void piece_add(struct hs_ship_tcp_conn *c, const void *data,
		      uint32_t bytes, uint32_t *users)
{
	struct hs_ship_tcp_piece *p;

	if (!bytes)
		return;
	p = &c->pieces[c->next++];
	*p = (struct hs_ship_tcp_piece){.bytes = bytes, .users = users};
	if (users) {
		p->data = data;
		++*users;
		return;
	}
	p->own = c->own_bytes;
	memcpy(c->own + c->own_bytes, data, bytes);
	c->own_bytes += bytes;
}

/* Spans that nobody answers for are only there until the next flush. */
static int plain_send(struct hs_ship_tcp_conn *c, const void *head,
		      uint32_t head_bytes,
		      const struct hs_ship_port_span *spans, uint32_t nr_spans,
		      struct hs_ship_port_stats *stats)
{
	uint32_t own = head_bytes;

	for (uint32_t i = 0; i < nr_spans; i++)
		own += spans[i].users ? 0 : spans[i].bytes;
	if (c->next + 1 + nr_spans > HS_TCP_PIECES ||
	    own > HS_TCP_OWN_BYTES - c->own_bytes)
		return -EAGAIN;
	piece_add(c, head, head_bytes, NULL);
	for (uint32_t i = 0; i < nr_spans; i++) {
		piece_add(c, spans[i].data, spans[i].bytes, spans[i].users);
		stats->bytes_copied_kernel += spans[i].bytes;
		stats->bytes_copied += spans[i].users ? 0 : spans[i].bytes;
	}
	return 0;
}

/* What is in own, encrypted. */
static int record_write(struct hs_ship_tcp_conn *c)
{
	uint32_t at = 0;

	while (at < c->own_bytes) {
		ssize_t n =
			hs_tls_write(c->tls, c->own + at, c->own_bytes - at);

		if (n <= 0)
			return over(c, n ? hs_tls_reason(c->tls)
					 : "TLS: begins anew");
		at += (uint32_t)n;
	}
	c->own_bytes = 0;
	return 0;
}

static int record_add(struct hs_ship_tcp_conn *c, const void *data,
		      uint32_t bytes)
{
	const uint8_t *from = data;
	int rc = 0;

	while (bytes && !rc) {
		uint32_t n = HS_TCP_RECORD_BYTES - c->own_bytes;

		if (n > bytes)
			n = bytes;
		memcpy(c->own + c->own_bytes, from, n);
		c->own_bytes += n;
		from += n;
		bytes -= n;
		if (c->own_bytes == HS_TCP_RECORD_BYTES)
			rc = record_write(c);
	}
	return rc;
}

static int tls_send(struct hs_ship_tcp_conn *c, const void *head,
		    uint32_t head_bytes, const struct hs_ship_port_span *spans,
		    uint32_t nr_spans, struct hs_ship_port_stats *stats)
{
	const void *waits;
	int rc;

	if (hs_tls_pending(c->tls, &waits) >= HS_TCP_CIPHER_MAX)
		return -EAGAIN;
	rc = record_add(c, head, head_bytes);
	for (uint32_t i = 0; i < nr_spans && !rc; i++) {
		rc = record_add(c, spans[i].data, spans[i].bytes);
		/* Into the record, and into its cipher. */
		stats->bytes_copied += 2ull * spans[i].bytes;
		stats->bytes_copied_kernel += spans[i].bytes;
	}
	return rc;
}

int hs_ship_tcp_conn_send(struct hs_ship_tcp_conn *c, const void *head,
			  uint32_t head_bytes,
			  const struct hs_ship_port_span *spans,
			  uint32_t nr_spans, struct hs_ship_port_stats *stats)
{
	return c->tls ? tls_send(c, head, head_bytes, spans, nr_spans, stats)
		      : plain_send(c, head, head_bytes, spans, nr_spans, stats);
}

/* The network has so many bytes of the pieces. */
static void pieces_sent(struct hs_ship_tcp_conn *c, size_t bytes)
{
	while (bytes) {
		struct hs_ship_tcp_piece *p = &c->pieces[c->first];
		uint32_t n = bytes < p->bytes ? (uint32_t)bytes : p->bytes;

		bytes -= n;
		p->bytes -= n;
		if (p->users)
			p->data += n;
		else
			p->own += n;
		if (p->bytes)
			return;
		if (p->users)
			--*p->users;
		c->first++;
	}
}

/* To the beginning, with what is our own of it. */
static void pieces_gather(struct hs_ship_tcp_conn *c)
{
	uint32_t nr = c->next - c->first, base = c->own_bytes;

	if (!c->first)
		return;
	memmove(c->pieces, c->pieces + c->first, nr * sizeof(*c->pieces));
	c->first = 0;
	c->next = nr;
	for (uint32_t i = nr; i-- > 0;)
		if (!c->pieces[i].users)
			base = c->pieces[i].own;
	memmove(c->own, c->own + base, c->own_bytes - base);
	c->own_bytes -= base;
	for (uint32_t i = 0; i < nr; i++)
		if (!c->pieces[i].users)
			c->pieces[i].own -= base;
}

static int plain_flush(struct hs_ship_tcp_conn *c,
		       struct hs_ship_port_stats *stats)
{
	struct iovec iov[HS_TCP_PIECES];
	struct msghdr m = {.msg_iov = iov};

	while (c->first < c->next) {
		size_t bytes = 0;
		ssize_t n;

		m.msg_iovlen = 0;
		for (uint32_t i = c->first; i < c->next; i++) {
			const struct hs_ship_tcp_piece *p = &c->pieces[i];
			const uint8_t *at =
				p->users ? p->data : c->own + p->own;

			iov[m.msg_iovlen++] =
				(struct iovec){(void *)(uintptr_t)at, p->bytes};
			bytes += p->bytes;
		}
		n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		stats->system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
			pieces_gather(c);
			return 1;
		}
		if (n < 0)
			return over_by_errno(c);
		pieces_sent(c, (size_t)n);
		/* Not all: it is full, and need not say so once more. */
		if ((size_t)n < bytes) {
			pieces_gather(c);
			return 1;
		}
	}
	c->first = c->next = c->own_bytes = 0;
	return 0;
}

static int tls_flush(struct hs_ship_tcp_conn *c,
		     struct hs_ship_port_stats *stats)
{
	const void *data;
	size_t bytes;
	int rc = c->state == HS_SHIP_TCP_UP ? record_write(c) : 0;

	if (rc)
		return rc;
	while ((bytes = hs_tls_pending(c->tls, &data)) > 0) {
		ssize_t n =
			send(c->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

		stats->system_calls++;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return 1;
		if (n < 0)
			return over_by_errno(c);
		hs_tls_sent(c->tls, (size_t)n);
		if ((size_t)n < bytes)
			return 1;
	}
	return 0;
}

int hs_ship_tcp_conn_flush(struct hs_ship_tcp_conn *c,
			   struct hs_ship_port_stats *stats)
{
	return c->tls ? tls_flush(c, stats) : plain_flush(c, stats);
}

/* ---- in -------------------------------------------------------------------
 */

/* Whom the other end has to be. */
static int shake(struct hs_ship_tcp_conn *c)
{
	int rc = hs_tls_handshake(c->tls);
	const char *why;

	if (rc < 0)
		return over(c, hs_tls_reason(c->tls));
	if (!rc)
		return 0;
	why = hs_tls_speaks_for(c->tls, c->dialled ? "collector" : "agent",
				NULL);
	if (why)
		return over(c, why);
	c->state = HS_SHIP_TCP_UP;
	return 0;
}

static int tls_read(struct hs_ship_tcp_conn *c, uint8_t *plain)
{
	int got = 0;

	while (got < (int)HS_TCP_PLAIN_BYTES) {
		ssize_t n = hs_tls_read(c->tls, plain + got,
					HS_TCP_PLAIN_BYTES - (size_t)got);

		if (!n)
			return got;
		/* What came before its end counts. */
		if (n < 0 && got)
			return got;
		if (n < 0)
			return n == -EPIPE ? ended(c)
					   : over(c, hs_tls_reason(c->tls));
		got += (int)n;
	}
	return got;
}

int hs_ship_tcp_conn_read(struct hs_ship_tcp_conn *c, uint8_t *cipher,
			  uint8_t *plain, struct hs_ship_port_stats *stats)
{
	uint8_t *to = c->tls ? cipher : plain;
	ssize_t n = recv(c->fd, to, HS_TCP_IN_BYTES, MSG_DONTWAIT);
	bool first = !c->heard;
	int rc;

	stats->system_calls++;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return over_by_errno(c);
	if (!n)
		return ended(c);
	if (!c->tls)
		return (int)n;
	c->heard = true;
	/* Later on any byte may be the first one of a piece of TLS. */
	if (first && to[0] == 'H')
		return over(c, "it speaks no TLS, and here are certificates");
	if (hs_tls_feed(c->tls, cipher, (size_t)n))
		return over(c, "no memory");
	if (c->state == HS_SHIP_TCP_SHAKING) {
		rc = shake(c);
		/* What TLS says of it goes first, also why it is over. */
		(void)tls_flush(c, stats);
		if (rc || c->state != HS_SHIP_TCP_UP)
			return rc;
	}
	return tls_read(c, plain);
}

/* ---- beginning and end ----------------------------------------------------
 */

int hs_ship_tcp_conn_begin(struct hs_ship_tcp_conn *c,
			   const struct hs_tls_context *tls)
{
	if (!tls) {
		c->state = HS_SHIP_TCP_UP;
		return 0;
	}
	c->tls = hs_tls_create(tls, c->dialled);
	if (!c->tls)
		return -ENOMEM;
	c->state = HS_SHIP_TCP_SHAKING;
	return c->dialled ? shake(c) : 0;
}

void hs_ship_tcp_conn_end(struct hs_ship_tcp_conn *c)
{
	for (uint32_t i = c->first; i < c->next; i++)
		if (c->pieces[i].users)
			--*c->pieces[i].users;
	hs_tls_destroy(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	c->state = HS_SHIP_TCP_DOWN;
	c->fd = -1;
	c->polls_out = c->ended = c->spoke = c->heard = false;
	c->tls = NULL;
	c->first = c->next = c->own_bytes = 0;
	c->stream.kept = c->stream.bytes = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.h - the inside of the TCP carrier
 *
 * transport_tcp.c dials and listens; tcp_conn.c moves the bytes of one
 * connection. All else is link.h's and sockets.h's.
 */
#ifndef HS_RDMA_TCP_H
#define HS_RDMA_TCP_H

#include "base/tls.h"
#include "rdma/sockets.h"

#define HS_TCP_CIPHER_BYTES ((size_t)64 << 10)

struct hs_tcp_conn {
	struct hs_link link; /* first */
	int fd;
	bool polls_out;	    /* EPOLLOUT is armed */
	bool shaking;	    /* connected, the TLS handshake is not done */
	struct hs_tls *tls; /* NULL: bytes go as they are */
};

struct hs_tcp {
	struct hs_sockets sockets;  /* first */
	struct hs_tls_context *tls; /* NULL: none is configured */
	uint8_t *cipher; /* HS_TCP_CIPHER_BYTES, what was read last */
};

/** hs_tcp_conn_create() - around @fd, which it owns; NULL: no room or memory */
struct hs_tcp_conn *hs_tcp_conn_create(struct hs_tcp *t, int fd,
				       struct hs_dial *dial);
void hs_tcp_conn_release(struct hs_link *l);
/** hs_tcp_conn_connected() - TCP is; TLS begins, or HELLO */
void hs_tcp_conn_connected(struct hs_tcp_conn *c);
/** hs_tcp_conn_event() - what epoll told */
void hs_tcp_conn_event(struct hs_link *l, uint32_t events);
void hs_tcp_conn_flush(struct hs_link *l);

#endif

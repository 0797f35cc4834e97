/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_priv.h - what the parts of the TCP port share: the bytes of connections
 * (tcp_conn.c), their lives (tcp_peer.c), and the port that has them
 * (port_tcp.c)
 *
 * Context: the port's thread.
 */
#ifndef HS_SHIP_TCP_PRIV_H
#define HS_SHIP_TCP_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/epoll.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/tls.h"
#include "ship/port.h"
#include "ship/proto_stream.h"

#define HS_TCP_PIECES	    1024u	 /* of one system call, and waiting */
#define HS_TCP_OWN_BYTES    (128u << 10) /* heads, and what is copied */
#define HS_TCP_CIPHER_MAX   (512u << 10) /* that may wait for the network */
#define HS_TCP_RECORD_BYTES (16u << 10)	 /* of TLS, as long as they may be */
#define HS_TCP_IN_BYTES	    (64u << 10)	 /* of one read */
/* What was read, and a record of which the rest came with it. */
#define HS_TCP_PLAIN_BYTES (HS_TCP_IN_BYTES + 2 * HS_TCP_RECORD_BYTES)

/* Everything but its socket is zero between two connections. */
enum hs_ship_tcp_state {
	HS_SHIP_TCP_DOWN = 0,
	HS_SHIP_TCP_CONNECTING = 1,
	HS_SHIP_TCP_SHAKING = 2, /* TCP is there, TLS is not */
	HS_SHIP_TCP_UP = 3,
};

/* Bytes that wait for the network, in order. */
struct hs_ship_tcp_piece {
	const uint8_t *data; /* NULL: at @own of the connection's own */
	uint32_t own;
	uint32_t bytes;
	uint32_t *users;
};

struct hs_ship_tcp_conn {
	enum hs_ship_tcp_state state;
	int fd; /* -1: none */
	bool dialled;
	bool polls_out;
	bool spoke;	    /* a frame came */
	bool ended;	    /* by the other end, in order */
	bool heard;	    /* bytes came */
	struct hs_tls *tls; /* NULL: bytes go as they are */
	/* out: without TLS the pieces first .. next - 1; with it what is in
	 * own, up to a record, and then what libssl has. */
	struct hs_ship_tcp_piece pieces[HS_TCP_PIECES];
	uint32_t first, next;
	uint32_t own_bytes;
	uint8_t own[HS_TCP_OWN_BYTES];
	/* in */
	struct hs_ship_stream stream;
	uint64_t heard_ns;
	char why[HS_TLS_REASON_BYTES]; /* it ended */
};

/**
 * hs_ship_tcp_conn_begin() - TCP is there, the rest follows
 * @tls: NULL: bytes go as they are
 * Return: 0; -ENOMEM
 */
int hs_ship_tcp_conn_begin(struct hs_ship_tcp_conn *c,
			   const struct hs_tls_context *tls);
/** hs_ship_tcp_conn_send() - as a port's; -EAGAIN: no room */
int hs_ship_tcp_conn_send(struct hs_ship_tcp_conn *c, const void *head,
			  uint32_t head_bytes,
			  const struct hs_ship_port_span *spans,
			  uint32_t nr_spans, struct hs_ship_port_stats *stats);
/**
 * hs_ship_tcp_conn_flush() - give the network what it takes
 * Return: 0; 1: more waits; -errno with why set: it is over.
 */
int hs_ship_tcp_conn_flush(struct hs_ship_tcp_conn *c,
			   struct hs_ship_port_stats *stats);
/**
 * hs_ship_tcp_conn_read() - what has come, once
 * @cipher: HS_TCP_IN_BYTES for the time of the call
 * @plain: HS_TCP_PLAIN_BYTES
 * Return: bytes in @plain; 0: none now; -errno with why set: it is over.
 */
int hs_ship_tcp_conn_read(struct hs_ship_tcp_conn *c, uint8_t *cipher,
			  uint8_t *plain, struct hs_ship_port_stats *stats);
/** hs_ship_tcp_conn_end() - close it and let go of all that waits */
void hs_ship_tcp_conn_end(struct hs_ship_tcp_conn *c);

#define HS_TCP_EVENTS	64u
#define HS_TCP_PAUSE_NS (20 * HS_NS_PER_MS)

/* An address of this carrier. The serial makes that of a connection which came
 * in another than that of who had its place before. */
struct hs_ship_tcp_place {
	uint32_t nr;
	uint32_t serial; /* 0: dialled, whichever connection it is now */
};

struct hs_ship_tcp_peer {
	struct hs_ship_tcp_conn conn;
	struct hs_ship_tcp_place place;
	char text[HS_ADDRESS_BYTES]; /* for people */
	/* dialled */
	struct hs_addresses to;
	uint32_t next_to;
	uint64_t due_ns, pause_ns, begun_ns;
};

struct hs_ship_tcp {
	struct hs_ship_port port;
	struct hs_ship_port_stats stats;
	int epoll_fd, listener;
	uint64_t accept_ns; /* once more; 0: when somebody comes */
	struct hs_tls_context *tls;
	uint8_t dscp;
	/* Dialled ones first, in the order of resolve(). */
	struct hs_ship_tcp_peer **peers;
	uint32_t nr_peers, nr_dialled;
	uint32_t serial;
	uint8_t *frames;
	uint32_t *free_frames;
	uint32_t nr_frames, nr_free;
	struct epoll_event events[HS_TCP_EVENTS];
	uint32_t nr_events, next_event;
	/* What was read last, and what of it was not handed out yet. */
	uint8_t *cipher, *plain;
	struct hs_ship_tcp_peer *from;
	struct hs_ship_tcp_place from_place;
	const uint8_t *at;
	size_t left;
};

/** hs_ship_tcp_dial() - if it is time to */
void hs_ship_tcp_dial(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p);
/** hs_ship_tcp_dialled() - TCP answered, one way or the other */
void hs_ship_tcp_dialled(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p);
/** hs_ship_tcp_accept() - all who come */
void hs_ship_tcp_accept(struct hs_ship_tcp *t);
/** hs_ship_tcp_peer_flush() - and be told when the network takes more */
void hs_ship_tcp_peer_flush(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p);
/** hs_ship_tcp_end() - of its connection, for conn.why, which is logged */
void hs_ship_tcp_end(struct hs_ship_tcp *t, struct hs_ship_tcp_peer *p);
/** hs_ship_tcp_give_up() - of who does not answer, or says nothing */
void hs_ship_tcp_give_up(struct hs_ship_tcp *t);

#endif

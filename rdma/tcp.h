/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.h - the inside of the TCP carrier
 *
 * transport_tcp.c owns listeners, dials, timers and the event loop;
 * tcp_conn.c owns one connection: its bytes, HELLO, PING and send queue.
 * Nothing is freed while a callback runs: a connection that ends is marked
 * doomed and reaped by poll().
 */
#ifndef HS_RDMA_TCP_H
#define HS_RDMA_TCP_H

#include "base/random.h"
#include "rdma/stream.h"
#include "rdma/tcp_address.h"
#include "rdma/transport.h"

#define HS_TCP_LISTENERS_MAX 8u
#define HS_TCP_DIALS_MAX     1024u
/* PING and PONG pass although the peer's queue is full, this far. */
#define HS_TCP_URGENT_BYTES 1024u
#define HS_TCP_PINGS_MAX    3u

enum hs_tcp_conn_state {
	HS_TCP_CONN_CONNECTING, /* dialled, the kernel is at it */
	HS_TCP_CONN_HELLO,	/* connected, the peer has not said who it is */
	HS_TCP_CONN_UP,		/* peer_up was told */
	HS_TCP_CONN_DOOMED,	/* ended; poll() tells peer_down and frees it */
};

/* Bytes to send, a ring; at its start again whenever it runs empty. */
struct hs_tcp_queue {
	uint8_t *data;
	size_t room_bytes;
	size_t head; /* first byte to send */
	size_t used_bytes;
};

struct hs_tcp_dial;

struct hs_tcp_conn {
	struct hs_tcp *t;
	struct hs_tcp_dial *dial; /* NULL: accepted */
	struct hs_tcp_conn *dirty_next;
	struct hs_transport_peer peer;
	struct hs_stream in;
	struct hs_tcp_queue out;
	struct hs_transport_clock clock;
	uint64_t seq; /* of the last message queued */
	uint64_t since_ns;
	uint64_t received_ns; /* when anything came last */
	uint64_t pinged_ns;
	uint32_t nr_pings; /* unanswered */
	uint32_t id;	   /* peer.peer, known before UP */
	int fd;
	enum hs_tcp_conn_state state;
	bool was_up;
	bool dirty;	     /* is in the transport's dirty list */
	bool wants_writable; /* EAGAIN was said */
	bool polls_out;	     /* EPOLLOUT is armed */
};

struct hs_tcp_dial {
	char address[HS_TCP_ADDRESS_BYTES];
	struct hs_tcp_addresses at;
	uint32_t at_next;
	uint32_t nr_failures; /* in a row */
	uint64_t next_ns;     /* when to try again; while conn is NULL */
	struct hs_tcp_conn *conn;
	bool was_up;
};

struct hs_tcp_listener {
	int fd;
	uint64_t paused_until_ns; /* 0: not paused */
};

struct hs_tcp {
	struct hs_transport base; /* first */
	struct hs_transport_self self;
	struct hs_transport_limits limits;
	struct hs_transport_events events;
	void *ctx;
	int epoll_fd;
	int timer_fd;
	int wake_fd;
	uint64_t now_ns;   /* monotonic, read once a poll */
	uint64_t timer_ns; /* when timer_fd fires; 0: never */
	bool in_poll;	   /* poll() flushes: send() need not wake */
	bool any_doomed;
	uint32_t next_id;
	struct hs_tcp_conn **conns; /* limits.nr_peers, at id % nr_peers */
	struct hs_tcp_dial **dials;
	uint32_t nr_dials;
	struct hs_tcp_conn *dirty;
	struct hs_tcp_listener listeners[HS_TCP_LISTENERS_MAX];
	uint32_t nr_listeners;
	struct hs_transport_stats stats;
	struct hs_random random;
};

enum hs_tcp_tag {
	HS_TCP_TAG_CONN,
	HS_TCP_TAG_LISTENER,
	HS_TCP_TAG_TIMER,
	HS_TCP_TAG_WAKE,
};

static inline uint64_t hs_tcp_tag_make(enum hs_tcp_tag tag, uint32_t id)
{
	return (uint64_t)tag << 32 | id;
}

/** hs_tcp_conn_create() - around @fd, which it owns; NULL: no room or memory */
struct hs_tcp_conn *hs_tcp_conn_create(struct hs_tcp *t, int fd,
				       struct hs_tcp_dial *dial);
void hs_tcp_conn_free(struct hs_tcp_conn *c);
/** hs_tcp_conn_connected() - say HELLO */
void hs_tcp_conn_connected(struct hs_tcp_conn *c);
/** hs_tcp_conn_event() - what epoll told */
void hs_tcp_conn_event(struct hs_tcp_conn *c, uint32_t events);
/** hs_tcp_conn_queue() - transport.h's send(); @urgent passes the limit */
int hs_tcp_conn_queue(struct hs_tcp_conn *c, uint16_t type,
		      const struct iovec *iov, int nr_iov, bool urgent);
void hs_tcp_conn_flush(struct hs_tcp_conn *c);
/** hs_tcp_conn_tick() - silence; Return: when to look again */
uint64_t hs_tcp_conn_tick(struct hs_tcp_conn *c);
/** hs_tcp_conn_doom() - it ended; poll() does the rest */
void hs_tcp_conn_doom(struct hs_tcp_conn *c);
/** hs_tcp_conn_cut() - it ended by the peer's fault; counted and logged */
void hs_tcp_conn_cut(struct hs_tcp_conn *c, const char *reason);
/** hs_tcp_dirty() - poll() has to flush this one */
void hs_tcp_dirty(struct hs_tcp_conn *c);
/** hs_tcp_timer_by() - be woken at @when_ns at the latest */
void hs_tcp_timer_by(struct hs_tcp *t, uint64_t when_ns);

#endif

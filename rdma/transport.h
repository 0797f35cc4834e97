/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.h - messages between nodes, whatever carries them
 *
 * One interface: TCP and shared memory (here), RDMA verbs, and the simulator,
 * which calls the cores directly. A transport delivers whole messages of
 * wire_format.h in the order they were sent over one connection, or reports
 * the peer down; it never says that a message arrived. It exchanges HELLO by
 * itself, checks header, length and checksum, and cuts off (and counts) a peer
 * that sends anything else.
 *
 * Context: one thread owns a transport and everything it calls back.
 */
#ifndef HS_RDMA_TRANSPORT_H
#define HS_RDMA_TRANSPORT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hs/wire_format.h"

struct epoll_event;
struct hs_memfd;
struct hs_transport;

#define HS_TRANSPORT_ERROR_BYTES 320u

/* How peers tell who belongs to us. All zeros: by their word. */
struct hs_transport_trust {
	const char *key_file; /* the cluster's key: base/keyring.h */
	/* TCP alone: all of them or none; PEM, see base/tls.h. */
	const char *tls_ca, *tls_cert, *tls_key;
	int tls_bind; /* enum hs_tls_bind */
	/* Shared memory alone: users whose processes may be peers, beside root
	 * and our own. */
	const uint32_t *users;
	uint32_t nr_users; /* at most HS_TRANSPORT_USERS_MAX */
	bool any_user;
	char *error; /* where to say what is wrong with these, or NULL */
};
#define HS_TRANSPORT_USERS_MAX 16u

/* Who we say we are in HELLO. */
struct hs_transport_self {
	enum hs_wire_role role;
	uint64_t node;
	char name[HS_WIRE_NAME_BYTES];
	struct hs_transport_trust trust;
};

struct hs_transport_peer {
	uint32_t peer; /* number at this transport, never reused */
	enum hs_wire_role role;
	uint64_t node;
	char name[HS_WIRE_NAME_BYTES];
	/* That we dialled, "" where it connected to us; in peer_up() only. */
	const char *address;
	/* base/node_at.h of the other end; 0: the carrier cannot say. */
	uint64_t at;
};

struct hs_transport_events {
	void (*peer_up)(void *ctx, const struct hs_transport_peer *peer);
	void (*peer_down)(void *ctx, uint32_t peer);
	/* @payload is 8-byte aligned and valid during the call only. */
	void (*message)(void *ctx, uint32_t peer, uint16_t type,
			const void *payload, uint32_t payload_bytes);
	/* After -EAGAIN from send: there is room again. May be NULL. */
	void (*writable)(void *ctx, uint32_t peer);
};

/*
 * Memory that peers read without us, where the carrier and the device can: for
 * hints, since what is read may be torn, and nothing says that it is fresh.
 * Reading only, of nothing else, by peers of one role, while their connection
 * lasts. Called back with the events' ctx.
 */
struct hs_transport_windows {
	/* What they may read of ours; it stays until destroy(). NULL: none. */
	void *data;
	uint64_t size_bytes;
	/* That it is the base of, by HS_MEMFD_OURS: for carriers that hand it
	 * over, which have no windows on any other. NULL: it is none. */
	const struct hs_memfd *memory;
	enum hs_wire_role reader;
	const void *about; /* told with it; copied */
	uint32_t about_bytes;
	/* A peer lets us read @size_bytes, which @about tells of; 0, or
	 * negative: that is nothing of ours, cut it off. NULL: we read none. */
	int (*readable)(void *ctx, uint32_t peer, const void *about,
			uint32_t about_bytes, uint64_t size_bytes);
	/* What read() asked for by @cookie, until peer_down; @data NULL: it
	 * failed. */
	void (*read_done)(void *ctx, uint32_t peer, uint64_t cookie,
			  const void *data, uint32_t size_bytes);
};
#define HS_TRANSPORT_READ_MAX_BYTES 512u

struct hs_transport_limits {
	uint32_t nr_peers;	   /* 0: 1024 */
	uint32_t send_queue_bytes; /* per peer; 0: 4 MiB */
	uint64_t reconnect_min_ns; /* 0: 20 ms */
	uint64_t reconnect_max_ns; /* 0: 2 s */
	uint64_t idle_timeout_ns;  /* PING when idle, cut after 3; 0: 5 s */
	/* The caller flushes, or polls, after it has sent: a send() outside
	 * poll() does not make the descriptor readable. */
	bool flushes;
	/* The caller's, above 0: what the transport waits for is added to it,
	 * so that one call waits for all that the caller does. Not every
	 * carrier has turn(); fd() says whether it is this one. */
	int epoll_fd;
};

/* Of an event in the caller's epoll that is the transport's; no other has it.
 */
#define HS_TRANSPORT_EVENT (1ull << 63)

/* Why a peer was cut off; each is counted. */
enum hs_transport_cause {
	HS_TRANSPORT_CUT_GARBAGE, /* nothing that a peer of ours says */
	HS_TRANSPORT_CUT_KEY,	  /* no cluster key, or none in common */
	HS_TRANSPORT_CUT_FORGED,  /* a tag that does not fit */
	HS_TRANSPORT_CUT_REPLAY,  /* a message that came already */
	HS_TRANSPORT_CUT_FLOOD,	  /* PINGs or connections without end */
	HS_TRANSPORT_CUT_TLS,	  /* no TLS 1.3, no certificate of ours */
	HS_TRANSPORT_CUT_NAME,	  /* says that it is who it cannot be */
	HS_TRANSPORT_CUT_SILENT,  /* no HELLO, or no answer to PING */
	HS_TRANSPORT_CUT_REFUSED, /* its payload, by the transport's owner */
	HS_TRANSPORT_CUT_FULL,	  /* no room for it, or for its memory */
	HS_TRANSPORT_CUT_USER,	  /* a process of nobody of ours */
	HS_TRANSPORT_CUT_CAUSES,
};
extern const char *const hs_transport_causes[HS_TRANSPORT_CUT_CAUSES];

/* Of one type: payload, header and tag, and nothing of the carrier's. */
struct hs_transport_sent {
	uint64_t messages, bytes;
};

struct hs_transport_stats {
	uint64_t messages_sent;
	uint64_t messages_received;
	uint64_t bytes_sent;
	uint64_t bytes_received;
	uint64_t system_calls;
	uint64_t peers_cut_off; /* the sum of these: */
	uint64_t cut[HS_TRANSPORT_CUT_CAUSES];
	uint64_t reconnects;
	uint32_t nr_peers;
	uint32_t nr_keys; /* of the cluster that we accept; 0: no tags */
	bool tls;	  /* 1.3, with certificates on both sides */
	uint64_t reads;	  /* of peers' memory that came back */
	uint64_t reads_failed;
	uint64_t reads_refused;	  /* too many under way, or none for now */
	uint64_t windows_refused; /* not given, or not mapped */
	uint32_t nr_windows;	  /* open now: ours at peers, peers' at us */
	char by[256]; /* devices, ports, addresses, and why; "": the kernel's */
	/* By enum hs_wire_type, as queued; 0 is nobody's. */
	struct hs_transport_sent sent[HS_WIRE_TYPE_LAST + 1];
};

/* What PING and PONG told about a peer's clock, smoothed. */
struct hs_transport_clock {
	int64_t offset_ns; /* its wall clock minus ours */
	uint64_t rtt_ns;   /* the offset is uncertain by half of this */
	uint64_t nr_pongs; /* measured how often; 0: not known yet */
};

struct hs_transport_ops {
	const char *name; /* "tcp", "verbs", "shm" */
	/** "host:port", "[v6]:port"; port 0 picks one. Return: port or -errno
	 */
	int (*listen)(struct hs_transport *t, const char *address);
	/** keep a connection to @address up; peer_up tells when it is */
	int (*dial)(struct hs_transport *t, const char *address);
	/** hang up and dial no more; -ENOENT: it was not dialled */
	int (*undial)(struct hs_transport *t, const char *address);
	/**
	 * send() - queue one message; it is copied
	 * Return: 0; -EAGAIN: over the peer's queue, wait for writable();
	 *	-ENOTCONN: no such peer now; -EMSGSIZE: over the limit;
	 *	-EOPNOTSUPP: a type that it does not know.
	 */
	int (*send)(struct hs_transport *t, uint32_t peer, uint16_t type,
		    const struct iovec *iov, int nr_iov);
	/** do what can be done, waiting at most @timeout_ms (0: not at all) */
	int (*poll)(struct hs_transport *t, int timeout_ms);
	/** a descriptor that is readable when poll() has something to do; an
	 * epoll of the caller's: wait there, and call turn() */
	int (*fd)(struct hs_transport *t);
	void (*stats)(struct hs_transport *t, struct hs_transport_stats *out);
	void (*destroy)(struct hs_transport *t);
	/**
	 * cut() - hang up on a peer whose payload the caller refused
	 *
	 * Counted in peers_cut_off. peer_down follows from poll(); one that was
	 * dialled is dialled again, after a while. -ENOTCONN: no such peer.
	 */
	int (*cut)(struct hs_transport *t, uint32_t peer);
	/** clock() - of one peer. -ENOTCONN: no such peer now */
	int (*clock)(struct hs_transport *t, uint32_t peer,
		     struct hs_transport_clock *out);
	/** flush() - send what was queued, as poll() would, and no more of it;
	 * calls back likewise */
	void (*flush)(struct hs_transport *t);
	/**
	 * turn() - what poll() does, with what the caller waited for; NULL
	 * where the carrier has an epoll of its own
	 * @events: those with HS_TRANSPORT_EVENT in data.u64
	 */
	void (*turn)(struct hs_transport *t, const struct epoll_event *events,
		     int nr_events);
	/** windows() - before listen() and dial(), once; NULL where the carrier
	 * has none. Return: 0; -EINVAL */
	int (*windows)(struct hs_transport *t,
		       const struct hs_transport_windows *w);
	/**
	 * read() - of what that peer lets us read; read_done() follows, with
	 * the same @cookie, which nobody else sees
	 * Return: 0; -EAGAIN: too many under way; -EINVAL: not within it;
	 *	-ENOTCONN: no such peer now; -EOPNOTSUPP: it lets us read
	 *nothing or reading failed of late.
	 */
	int (*read)(struct hs_transport *t, uint32_t peer,
		    uint64_t offset_bytes, uint32_t size_bytes,
		    uint64_t cookie);
};

/* Carriers embed it first. */
struct hs_transport {
	const struct hs_transport_ops *ops;
};

/** hs_transport_tcp_create() - NULL with errno set */
struct hs_transport *
hs_transport_tcp_create(const struct hs_transport_self *self,
			const struct hs_transport_limits *limits,
			const struct hs_transport_events *events, void *ctx);

/** hs_transport_shm_create() - between processes of one machine: the same */
struct hs_transport *
hs_transport_shm_create(const struct hs_transport_self *self,
			const struct hs_transport_limits *limits,
			const struct hs_transport_events *events, void *ctx);

static inline int hs_transport_listen(struct hs_transport *t,
				      const char *address)
{
	return t->ops->listen(t, address);
}
static inline int hs_transport_dial(struct hs_transport *t, const char *address)
{
	return t->ops->dial(t, address);
}
static inline int hs_transport_undial(struct hs_transport *t,
				      const char *address)
{
	return t->ops->undial(t, address);
}
static inline int hs_transport_send(struct hs_transport *t, uint32_t peer,
				    uint16_t type, const struct iovec *iov,
				    int nr_iov)
{
	return t->ops->send(t, peer, type, iov, nr_iov);
}
static inline int hs_transport_poll(struct hs_transport *t, int timeout_ms)
{
	return t->ops->poll(t, timeout_ms);
}
static inline void hs_transport_turn(struct hs_transport *t,
				     const struct epoll_event *events,
				     int nr_events)
{
	t->ops->turn(t, events, nr_events);
}
static inline int hs_transport_fd(struct hs_transport *t)
{
	return t->ops->fd(t);
}
static inline void hs_transport_stats(struct hs_transport *t,
				      struct hs_transport_stats *out)
{
	t->ops->stats(t, out);
}
static inline int hs_transport_cut(struct hs_transport *t, uint32_t peer)
{
	return t->ops->cut(t, peer);
}
static inline int hs_transport_clock(struct hs_transport *t, uint32_t peer,
				     struct hs_transport_clock *out)
{
	return t->ops->clock(t, peer, out);
}
static inline void hs_transport_flush(struct hs_transport *t)
{
	t->ops->flush(t);
}
static inline int hs_transport_windows(struct hs_transport *t,
				       const struct hs_transport_windows *w)
{
	return t->ops->windows ? t->ops->windows(t, w) : -EOPNOTSUPP;
}
static inline int hs_transport_read(struct hs_transport *t, uint32_t peer,
				    uint64_t offset_bytes, uint32_t size_bytes,
				    uint64_t cookie)
{
	return t->ops->read
		       ? t->ops->read(t, peer, offset_bytes, size_bytes, cookie)
		       : -EOPNOTSUPP;
}
static inline void hs_transport_destroy(struct hs_transport *t)
{
	if (t)
		t->ops->destroy(t);
}

#endif

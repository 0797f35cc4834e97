/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - what all carriers of transport.h do alike
 *
 * A hub owns the event loop's descriptor, timers, dials and limits of one
 * transport (hub.c); a link is one connection: its bytes in and out, HELLO,
 * PING, silence (link.c). A carrier embeds both first in structures of its
 * own, moves bytes, and tells what happened; so a peer is judged alike
 * whatever its bytes came through.
 *
 * Nothing is freed while a callback runs: a link that ends is marked doomed
 * and reaped by poll().
 */
#ifndef HS_RDMA_LINK_H
#define HS_RDMA_LINK_H

#include <sys/epoll.h>

#include "base/random.h"
#include "base/address.h"
#include "rdma/auth.h"
#include "rdma/stream.h"
#include "rdma/transport.h"

#define HS_HUB_DIALS_MAX 1024u
/* PING and PONG pass although the peer's queue is full, this far. */
#define HS_LINK_URGENT_BYTES 1024u
#define HS_LINK_PINGS_MAX    3u
#define HS_LINK_PIECES_MAX   16 /* of one message, as send() gets it */
/* A peer asks after its silence; one that asks so often in a second floods. */
#define HS_LINK_PINGS_HEARD_MAX 1000u
/* Connections that nobody knows yet: half of all places, or at least these. */
#define HS_HUB_UNPROVEN_LEAST 16u

enum hs_link_state {
	HS_LINK_CONNECTING, /* dialled or accepted, the carrier is at it */
	HS_LINK_HELLO,	    /* connected, the peer has not said who it is */
	HS_LINK_PROVE,	 /* it has, and has yet to show that it has the key */
	HS_LINK_UP,	 /* peer_up was told */
	HS_LINK_REFUSED, /* cut off for its HELLO; ours has yet to arrive */
	HS_LINK_DOOMED,	 /* ended; poll() tells peer_down and frees it */
};

/* Bytes to send, a ring; at its start again whenever it runs empty. */
struct hs_link_queue {
	uint8_t *data;
	size_t room_bytes;
	size_t head; /* first byte to send */
	size_t used_bytes;
};

struct hs_hub;

struct hs_dial {
	char address[HS_ADDRESS_BYTES];
	struct hs_addresses at;
	uint32_t at_next;
	uint32_t nr_failures; /* in a row */
	uint64_t next_ns;     /* when to try again; while link is NULL */
	struct hs_link *link;
	bool was_up;
};

struct hs_link {
	struct hs_hub *hub;
	struct hs_dial *dial; /* NULL: accepted */
	struct hs_link *dirty_next;
	struct hs_transport_peer peer;
	struct hs_auth auth;
	struct hs_stream in;
	struct hs_link_queue out;
	struct hs_transport_clock clock;
	uint64_t seq; /* of the last message queued */
	uint64_t since_ns;
	uint64_t received_ns; /* when anything came last */
	uint64_t pinged_ns;
	uint64_t heard_ns; /* since when nr_pings_heard counts */
	uint32_t nr_pings_heard;
	uint32_t nr_pings; /* unanswered */
	uint32_t id;	   /* peer.peer, known before UP */
	enum hs_link_state state;
	bool was_up;
	bool accepted;	     /* not dialled, whatever becomes of the dial */
	bool dirty;	     /* is in the hub's dirty list */
	bool wants_writable; /* EAGAIN was said */
	bool peer_reads;     /* its HELLO says so, and */
	bool peer_bells;     /* of F_BELLS likewise */
	uint32_t peer_knows; /* no type beyond */
};

/* What only the carrier knows. */
struct hs_carrier {
	/** begin an attempt at dial->at.at[@at] and set dial->link, or -errno
	 */
	int (*dial)(struct hs_hub *h, struct hs_dial *dial, uint32_t at);
	/** send what can be sent of the link's queue */
	void (*flush)(struct hs_link *l);
	/** hang up and free, hs_link_fini() included */
	void (*release)(struct hs_link *l);
	/** why the peer cannot be who it says, or NULL; the entry may be, too
	 */
	const char *(*speaks_for)(struct hs_link *l,
				  const struct hs_wire_hello *hello);
	/** base/node_at.h of the other end's address; the entry may be NULL */
	uint64_t (*at)(struct hs_link *l);
	/** HS_WIRE_HELLO_F_* that the carrier says. The entry may be NULL */
	uint16_t (*hello_flags)(struct hs_link *l);
	/** the peer is up, its role known. The entry may be NULL */
	void (*came_up)(struct hs_link *l);
	/** it lets us read; Return: why that cannot be, or NULL. NULL entry:
	 * the carrier has no windows */
	const char *(*window)(struct hs_link *l,
			      const struct hs_wire_window *window,
			      const void *about);
	/** transport.h's read(), of a peer that is up. The entry may be NULL */
	int (*read)(struct hs_link *l, uint64_t offset_bytes,
		    uint32_t size_bytes, uint64_t cookie);
	/** what was asked for by read(), where no device does it: before
	 * anything is sent. The entry may be NULL */
	void (*reads_do)(struct hs_hub *h);
	/** timers of its own; Return: when to look again, UINT64_MAX: never */
	uint64_t (*tick)(struct hs_hub *h);
};

struct hs_hub {
	struct hs_transport base; /* first */
	const struct hs_carrier *carrier;
	struct hs_transport_self self;
	struct hs_transport_limits limits;
	struct hs_transport_events events;
	struct hs_transport_windows windows;
	uint8_t windows_about[HS_WIRE_WINDOW_ABOUT_MAX];
	void *ctx;
	int epoll_fd;
	bool borrowed; /* epoll_fd is the owner's, who waits */
	int timer_fd;
	int wake_fd;
	uint64_t now_ns;   /* monotonic, read once a poll */
	uint64_t timer_ns; /* when timer_fd fires; 0: never */
	bool in_poll;	   /* poll() flushes: send() need not wake */
	uint32_t next_id;
	struct hs_link **links; /* limits.nr_peers, at id % nr_peers */
	struct hs_dial **dials;
	uint32_t nr_dials;
	struct hs_link *dirty;
	uint32_t nr_unproven; /* accepted, and not up yet */
	struct hs_transport_stats stats;
	struct hs_random random;
	struct hs_mac *mac;
	struct hs_keyring keys;
	struct hs_keyring_file key_file;
	uint64_t key_file_ns; /* when it was looked at last */
};

/* The upper half of an epoll event's number; a carrier's own follow. */
enum hs_hub_tag {
	HS_HUB_TAG_TIMER,
	HS_HUB_TAG_WAKE,
	HS_HUB_TAG_CARRIER,
};

static inline uint64_t hs_hub_tag_make(uint32_t tag, uint32_t id)
{
	return HS_TRANSPORT_EVENT | (uint64_t)tag << 32 | id;
}

static inline uint32_t hs_hub_tag_of(const struct epoll_event *event)
{
	return (uint32_t)((event->data.u64 & ~HS_TRANSPORT_EVENT) >> 32);
}

static inline struct hs_hub *hs_hub_of(struct hs_transport *t)
{
	return (struct hs_hub *)t;
}

/**
 * hs_hub_open() - make a hub ready in zeroed memory
 * @h: the hub, first in the carrier's structure
 * @ops: the transport's operations
 * @carrier: what only it knows
 *
 * On failure the caller calls hs_hub_close() all the same.
 *
 * Return: 0; -EINVAL: who we are is no valid HELLO; -errno.
 */
int hs_hub_open(struct hs_hub *h, const struct hs_transport_ops *ops,
		const struct hs_carrier *carrier,
		const struct hs_transport_self *self,
		const struct hs_transport_limits *limits,
		const struct hs_transport_events *events, void *ctx);
/** hs_hub_close() - free what hs_hub_open() made; links are gone already */
void hs_hub_close(struct hs_hub *h);
/** hs_hub_watch() - add @fd to the epoll; Return: 0 or -errno */
int hs_hub_watch(struct hs_hub *h, int fd, uint32_t events, uint64_t tag);
/** hs_hub_wait() - a poll()'s epoll_wait(). Return: how many @events, or
 * -errno: the poll() is over */
int hs_hub_wait(struct hs_hub *h, struct epoll_event *events, int nr_events,
		int timeout_ms);
/** hs_hub_timer_by() - be woken at @when_ns at the latest */
void hs_hub_timer_by(struct hs_hub *h, uint64_t when_ns);
/** hs_hub_timer_run() - dials, silence and the carrier's own, if it is time */
void hs_hub_timer_run(struct hs_hub *h);
/** hs_hub_wake() - make the epoll readable: poll() has more to do */
void hs_hub_wake(struct hs_hub *h);
/** hs_hub_dirty() - poll() has to flush this one */
void hs_hub_dirty(struct hs_link *l);
/** hs_hub_flush() - one round over the dirty links; reaps the doomed */
void hs_hub_flush(struct hs_hub *h);
/** hs_hub_keys() - the cluster's keys, as the file now says them */
const struct hs_keyring *hs_hub_keys(struct hs_hub *h);
/** hs_hub_count_cut() - a peer that has no link, or loses it, was cut off */
void hs_hub_count_cut(struct hs_hub *h, enum hs_transport_cause cause);
/** hs_hub_link() - the link of that number, or NULL */
struct hs_link *hs_hub_link(struct hs_hub *h, uint32_t id);

/* Operations of transport.h that every carrier takes as they are. */
int hs_hub_dial(struct hs_transport *t, const char *address);
int hs_hub_undial(struct hs_transport *t, const char *address);
int hs_hub_send(struct hs_transport *t, uint32_t peer, uint16_t type,
		const struct iovec *iov, int nr_iov);
int hs_hub_fd(struct hs_transport *t);
void hs_hub_stats(struct hs_transport *t, struct hs_transport_stats *out);
int hs_hub_cut(struct hs_transport *t, uint32_t peer);
void hs_hub_flush_now(struct hs_transport *t);
/** hs_hub_read() - where the carrier has that entry */
int hs_hub_read(struct hs_transport *t, uint32_t peer, uint64_t offset_bytes,
		uint32_t size_bytes, uint64_t cookie);
int hs_hub_windows(struct hs_transport *t,
		   const struct hs_transport_windows *w);
int hs_hub_clock(struct hs_transport *t, uint32_t peer,
		 struct hs_transport_clock *out);

/** hs_link_init() - in zeroed memory; Return: 0, -ENOSPC, -ENOMEM */
int hs_link_init(struct hs_link *l, struct hs_hub *h, struct hs_dial *dial);
void hs_link_fini(struct hs_link *l);
/** hs_link_connected() - bytes can flow: say HELLO */
void hs_link_connected(struct hs_link *l);
/** hs_link_room() - where the next bytes received go; Return: how many fit */
size_t hs_link_room(struct hs_link *l, uint8_t **room);
/** hs_link_came() - @size_bytes were put there; messages are handed out */
void hs_link_came(struct hs_link *l, size_t size_bytes);
/** hs_link_queue() - transport.h's send(); @urgent passes the limit */
int hs_link_queue(struct hs_link *l, uint16_t type, const struct iovec *iov,
		  int nr_iov, bool urgent);
/**
 * hs_link_peek() - the next bytes to send
 * @l: the link
 * @iov: set to one or two pieces of the queue
 * @size_bytes: at most so many
 *
 * Return: how many pieces, 0 when the queue is empty.
 */
int hs_link_peek(struct hs_link *l, struct iovec iov[2], size_t size_bytes);
/** hs_link_took() - the carrier has @size_bytes of them */
void hs_link_took(struct hs_link *l, size_t size_bytes);
/** hs_link_flushed() - tell the owner if there is room again */
void hs_link_flushed(struct hs_link *l);
/** hs_link_tick() - silence; Return: when to look again */
uint64_t hs_link_tick(struct hs_link *l);
/** hs_link_doom() - it ended; poll() does the rest */
void hs_link_doom(struct hs_link *l);
/** hs_link_cut() - it ended by the peer's fault; counted and logged */
void hs_link_cut(struct hs_link *l, enum hs_transport_cause cause,
		 const char *reason);

#endif

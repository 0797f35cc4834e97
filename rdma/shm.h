/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm.h - the inside of the shared-memory carrier
 *
 * transport_shm.c dials, listens and gives turns; shm_conn.c moves the bytes of
 * one connection through shm_ring.h; shm_bell.c wakes the other side up;
 * shm_window.c has peers read, and reads.
 * All else is link.h's and sockets.h's.
 */
#ifndef HS_RDMA_SHM_H
#define HS_RDMA_SHM_H

#include "base/memfd.h"
#include "rdma/shm_ring.h"
#include "rdma/sockets.h"

#define HS_SHM_READS 32u /* under way at one peer */
/* Reads that follow from reads, in one turn. */
#define HS_SHM_READ_ROUNDS 16u
/* Of all peers' memories that are mapped to be read; the largest table of
 * crumb_format.h is as large. */
#define HS_SHM_SHOWN_MAX_BYTES (2ull << 30)

struct hs_shm_read {
	uint64_t offset_bytes, cookie;
	uint32_t size_bytes;
};

struct hs_shm_conn {
	struct hs_link link;	       /* first */
	int fd;			       /* its end is the connection's */
	struct hs_memfd ours, theirs;  /* theirs.base: NULL before its HELLO */
	struct hs_shm_ring ring;       /* once theirs is there */
	struct hs_shm_conn *late_next; /* in the transport's list */
	bool late;		       /* there is more to read */
	uint32_t heard;		       /* reasons to ring, when we read rings */
	uint32_t nr_idle;	       /* rings for nothing, since idle_ns */
	uint64_t idle_ns;
	uint64_t progress; /* of the ring, at the last of those */
	bool kin;	   /* the other side is root's or our own user's */
	int bell_in;	   /* it rings by it; -1: by the socket */
	int bell_out;	   /* likewise, that we ring by */
	int handed;	   /* a memory that WINDOW has to tell of; -1: none */
	bool shows;	   /* we handed one over */
	struct hs_memfd shown;
	uint64_t shown_bytes; /* of it, to read; 0: nothing */
	struct hs_shm_read reads[HS_SHM_READS];
	uint32_t nr_reads;
	struct hs_shm_conn *reads_next; /* in the transport's list */
	bool reads_listed;
};

struct hs_shm {
	struct hs_sockets sockets; /* first */
	/* Connections that had more to say than is taken in one turn. */
	struct hs_shm_conn *late;
	struct hs_shm_conn *readers; /* connections whose peers are read */
	uint64_t shown_bytes;	     /* of all connections */
	/* Whose processes may be peers, beside root's and our own. */
	uint32_t users[HS_TRANSPORT_USERS_MAX];
	uint32_t nr_users;
	bool any_user;
};

/** hs_shm_conn_create() - around @fd, which it owns if it succeeds; tells the
 * other side our memory. NULL: no room, no memory, or it hung up */
struct hs_shm_conn *hs_shm_conn_create(struct hs_shm *t, int fd,
				       struct hs_dial *dial);
void hs_shm_conn_release(struct hs_link *l);
void hs_shm_conn_event(struct hs_link *l, uint32_t events);
void hs_shm_conn_flush(struct hs_link *l);
/** hs_shm_conn_read() - a turn's worth of what the other side says */
void hs_shm_conn_read(struct hs_shm_conn *c);
/** hs_shm_conn_hear() - all that its socket has: rings, a memory */
void hs_shm_conn_hear(struct hs_shm_conn *c);

/* shm_bell.c */
/** hs_shm_bell_kin() - whether who is at the other end of @fd could stop us
 * anyway */
bool hs_shm_bell_kin(int fd);
/** hs_shm_bell_flags() - what HELLO says of it */
uint16_t hs_shm_bell_flags(struct hs_link *l);
/** hs_shm_bell_open() - the peer is up: from now on it is rung by an eventfd,
 * where both sides like */
void hs_shm_bell_open(struct hs_link *l);
/** hs_shm_bell_take() - it handed @fd over, which is the connection's now.
 * Return: what is wrong with that, or NULL */
const char *hs_shm_bell_take(struct hs_shm_conn *c, int fd);
/** hs_shm_bell_awaited() - its socket has to be read until it has come */
bool hs_shm_bell_awaited(const struct hs_shm_conn *c);
void hs_shm_bell_ring(struct hs_shm_conn *c);
void hs_shm_bell_close(struct hs_shm_conn *c);

/* shm_window.c */
int hs_shm_windows(struct hs_transport *t,
		   const struct hs_transport_windows *w);
/** hs_shm_window_open() - a peer is up: let it read, if it is to */
void hs_shm_window_open(struct hs_link *l);
const char *hs_shm_window_told(struct hs_link *l,
			       const struct hs_wire_window *window,
			       const void *about);
void hs_shm_window_close(struct hs_shm_conn *c);
int hs_shm_read(struct hs_link *l, uint64_t offset_bytes, uint32_t size_bytes,
		uint64_t cookie);
/** hs_shm_reads_do() - those that were asked for, and those that follow */
void hs_shm_reads_do(struct hs_hub *h);

#endif

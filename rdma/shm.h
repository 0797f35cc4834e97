/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm.h - the inside of the shared-memory carrier
 *
 * transport_shm.c dials, listens and gives turns; shm_conn.c moves the bytes of
 * one connection through shm_ring.h. All else is link.h's and sockets.h's.
 */
#ifndef HS_RDMA_SHM_H
#define HS_RDMA_SHM_H

#include "base/memfd.h"
#include "rdma/shm_ring.h"
#include "rdma/sockets.h"

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
};

struct hs_shm {
	struct hs_sockets sockets; /* first */
	/* Connections that had more to say than is taken in one turn. */
	struct hs_shm_conn *late;
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

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets.h - what carriers do alike whose peers come through sockets
 *
 * Listening sockets that stop accepting for a while when there are no
 * descriptors, and leave the connections in the backlog; and a turn of the
 * event loop. A carrier embeds hs_sockets first, where link.h wants its hub.
 */
#ifndef HS_RDMA_SOCKETS_H
#define HS_RDMA_SOCKETS_H

#include <sys/epoll.h>

#include "rdma/link.h"

#define HS_SOCKETS_LISTENERS_MAX 8u

struct hs_listener {
	int fd;
	uint64_t paused_until_ns; /* 0: not paused */
};

struct hs_sockets;

struct hs_sockets_ops {
	/** somebody connected; the entry closes @fd or keeps it. False: there
	 * was no room for it */
	bool (*accepted)(struct hs_sockets *s, int fd);
	/** epoll told of a link that is not doomed */
	void (*event)(struct hs_link *l, uint32_t events);
};

struct hs_sockets {
	struct hs_hub hub; /* first */
	const struct hs_sockets_ops *ops;
	struct hs_listener listeners[HS_SOCKETS_LISTENERS_MAX];
	uint32_t nr_listeners;
};

enum hs_sockets_tag {
	HS_SOCKETS_TAG_LINK = HS_HUB_TAG_CARRIER, /* with the link's number */
	HS_SOCKETS_TAG_LISTENER,
};

/** hs_sockets_listen() - bind, listen, watch. Return: a descriptor that stays
 * ours, or -errno */
int hs_sockets_listen(struct hs_sockets *s, const struct sockaddr *at,
		      socklen_t at_bytes);
/** hs_sockets_tick() - a carrier's tick: listeners that were paused */
uint64_t hs_sockets_tick(struct hs_hub *h);
/** hs_sockets_turn() - flush, wait at most @timeout_ms, hand events out;
 * hs_sockets_turn_end() follows where the Return is 0. Return: 0 or -errno */
int hs_sockets_turn(struct hs_sockets *s, int timeout_ms);
/** hs_sockets_turn_with() - the same, with what the owner waited for */
void hs_sockets_turn_with(struct hs_sockets *s,
			  const struct epoll_event *events, int nr_events);
void hs_sockets_turn_end(struct hs_sockets *s);
/** hs_sockets_close() - the listeners */
void hs_sockets_close(struct hs_sockets *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: calls over a carrier: one end of a connection between a caller and a
 * callee, calls one way and replies the other. Each direction has a ring of
 * its own at each end, which the loop fills and empties as it does those in
 * shared memory; a link moves between ring and carrier as many messages as
 * there are. Here is the one over TCP: one system call a round, messages back
 * to back, as they lie in the ring.
 *
 * Guarantees: no waiting, no allocation once open. What a carrier does not take
 * stays in its ring, and a full ring is said to its producer, who keeps the
 * message; what a ring has no room for stays in the carrier.
 *
 * Context: one thread.
 */
#ifndef HS_BENCH_SERVICES_LINK_H
#define HS_BENCH_SERVICES_LINK_H

#include "bench/services/ring.h"

/* With fewer messages left to read a link looks for more. */
#define HS_SVC_LINK_LOW 32u

/* System calls; of DPDK, bursts. */
struct hs_svc_traffic {
	uint64_t reads, writes;
	uint64_t empty; /* reads that found nothing */
	uint64_t full;	/* writes that the carrier did not take whole */
};

struct hs_svc_links;
struct hs_svc_link;

struct hs_svc_link_ops {
	/* Into the ring; see links->rc. */
	void (*receive)(struct hs_svc_links *links, struct hs_svc_link *link);
	/* From the ring. Return: messages. */
	uint32_t (*send)(struct hs_svc_links *links, struct hs_svc_link *link);
	void (*close)(struct hs_svc_link *link);
};

struct hs_svc_link {
	const struct hs_svc_link_ops *ops;
	int fd;			   /* TCP's */
	void *end;		   /* another carrier's */
	uint16_t who;		   /* the loop at the other end */
	struct hs_svc_ring *rings; /* what comes, what goes */
	struct hs_svc_end in;	   /* producer of what comes */
	struct hs_svc_end out;	   /* consumer of what goes */
	/* Bytes that have come, or gone, of the message there. */
	uint32_t in_part, out_part;
};

/* All of a thread. */
struct hs_svc_links {
	struct hs_svc_link *links;
	uint32_t nr;
	struct hs_svc_traffic traffic;
	int rc;	       /* why the first that broke did */
	uint16_t gone; /* who was at its other end */
};

/** hs_svc_link_pair() - both ends of a connection over loopback; they do not
 * block. Return: 0, -errno */
int hs_svc_link_pair(int ends[2]);
/** hs_svc_links_open() - room for @nr. Own: hs_svc_links_close(). Return: 0,
 * -ENOMEM */
int hs_svc_links_open(struct hs_svc_links *links, uint32_t nr);
/** hs_svc_links_close() - and what they travel over */
void hs_svc_links_close(struct hs_svc_links *links);
/** hs_svc_links_add() - whose ops are to be set. Return: NULL without memory */
struct hs_svc_link *hs_svc_links_add(struct hs_svc_links *links, uint16_t who);
/** hs_svc_links_add_socket() - @fd is owned from here on, whatever comes of it.
 * Return: NULL without memory */
struct hs_svc_link *hs_svc_links_add_socket(struct hs_svc_links *links, int fd,
					    uint16_t who);
/** hs_svc_links_receive() - into the rings; see @links->rc */
void hs_svc_links_receive(struct hs_svc_links *links);
/** hs_svc_links_send() - from the rings; see @links->rc. Return: messages */
uint32_t hs_svc_links_send(struct hs_svc_links *links);
/* The first reason stays. */
static inline void hs_svc_links_broken(struct hs_svc_links *links,
				       const struct hs_svc_link *link, int rc)
{
	if (links->rc)
		return;
	links->rc = rc;
	links->gone = link->who;
}
/** hs_svc_traffic_since() - what came after @before */
struct hs_svc_traffic hs_svc_traffic_since(const struct hs_svc_traffic *now,
					   const struct hs_svc_traffic *before);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what the two halves of libhindsight-dpdk share: frames (lend_poll.c)
 * and the connection to the agent (lend_open.c). */
#ifndef HS_SHIP_LEND_PRIV_H
#define HS_SHIP_LEND_PRIV_H

#include "base/memfd.h"
#include "hs/lend.h"
#include "ship/dpdk.h"
#include "ship/lend_ring.h"

#define HS_LEND_PUBLIC __attribute__((visibility("default")))

struct hs_lend {
	/* What each round needs. */
	bool lent;
	bool answers_arp;
	uint16_t port, tx_queue, rx_queue;
	uint32_t frame_bytes; /* of the loan */
	struct hs_lend_ring out, in;
	struct hs_lend_up *up; /* words of ours */
	struct rte_mempool *mempool;
	/* Packets that the queue has not taken yet. */
	struct rte_mbuf *queue[HS_LEND_BURST];
	uint32_t nr_queue;
	uint64_t ask_tsc;  /* between two questions for one address */
	uint64_t asks_tsc; /* since when they are counted, for all */
	uint32_t nr_asks;
	void (*other)(void *ctx, struct rte_mbuf *mbuf);
	void *ctx;
	struct hs_lend_stats stats;
	struct hs_dpdk_net net;
	/* The connection's. */
	char *path;
	int sock;
	uint64_t due_tsc;	   /* of an answer, or when to ask again */
	struct hs_memfd memory[2]; /* down, up */
	struct hs_lend_hello6 hello;
	bool ip6;
};

/** hs_lend_tell() - the counters, to the agent, for people */
void hs_lend_tell(struct hs_lend *l);

#endif

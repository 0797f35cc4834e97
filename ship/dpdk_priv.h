/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what the two halves of the DPDK port share: frames (port_dpdk.c) and
 * making it (dpdk_start.c). */
#ifndef HS_SHIP_DPDK_PRIV_H
#define HS_SHIP_DPDK_PRIV_H

#include "ship/dpdk.h"
#include "ship/dpdk_lend.h"
#include "ship/dpdk_mld.h"

#define HS_DPDK_QUEUE 512u /* packets waiting for the port */
/* af_packet wants room for a whole frame of its ring, whose sizes are powers of
 * two when they shall hold 9,000 bytes. */
#define HS_DPDK_ROOM_BYTES 16384u

struct hs_dpdk_port {
	struct hs_ship_port port;
	struct hs_ship_port_stats stats;
	struct hs_dpdk_net net;
	struct hs_dpdk_mld mld;
	struct rte_mempool *frames;
	struct hs_dpdk_lend lend;
	uint16_t id;
	uint16_t mtu;
	bool borrow; /* the port sends memory that is not DPDK's */
	struct rte_mbuf *queue[HS_DPDK_QUEUE];
	uint32_t nr_queue;
	uint64_t ask_tsc;      /* between two questions for one address */
	uint64_t ask_anew_tsc; /* for who is known */
	uint64_t link_tsc, link_every_tsc;
	bool link_up;
};

/** hs_dpdk_port_start() - EAL, the port and its memory; -errno with *why set */
int hs_dpdk_port_start(struct hs_dpdk_port *d,
		       const struct hs_ship_dpdk_config *config,
		       const char **why);

#endif

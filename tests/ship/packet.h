/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: packets as a DPDK driver gives them, without DPDK running. */
#ifndef HS_TESTS_SHIP_PACKET_H
#define HS_TESTS_SHIP_PACKET_H

#include <stdlib.h>
#include <string.h>

#include "ship/dpdk.h"

/* One segment over @room, of which the first @bytes are its own. */
static inline void packet_make(struct rte_mbuf *m, void *room,
			       uint32_t room_bytes, uint32_t bytes)
{
	memset(m, 0, sizeof(*m));
	m->buf_addr = room;
	m->buf_len = (uint16_t)room_bytes;
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	m->nb_segs = 1;
}

/* What behind the IPv6 header lies is right again after a change. */
static inline void packet_sum(struct rte_mbuf *m, size_t sum_at)
{
	struct rte_ipv6_hdr *ip =
		rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, 14);
	uint16_t sum = 0;

	memcpy((uint8_t *)(ip + 1) + sum_at, &sum, sizeof(sum));
	sum = rte_ipv6_udptcp_cksum_mbuf(m, ip, 54);
	memcpy((uint8_t *)(ip + 1) + sum_at, &sum, sizeof(sum));
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_net.c - hostile packets at a DPDK port: ARP, IPv4, IPv6, neighbour
 * discovery, listener discovery, UDP
 *
 * The input's first byte says over which family, whether in one piece or two,
 * and whether the sum behind an IPv6 header is made right first, since hardly
 * any change would get past it. Whatever comes, a datagram that is handed out
 * lies within the packet, an answer within its memory, and no more neighbours
 * are known than there are places.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ship/dpdk_mld.h"
#include "tests/fuzz/fuzz.h"
#include "tests/ship/packet.h"

#define HEAD 14 /* of Ethernet */

/* We are 192.0.2.1 and 2001:db8::1, port 7430; the other one ends in 2. */
#define ETHER(hi, lo) 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, hi, lo
#define US	      0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
#define THEY	      0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define GROUP	      0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1

static const uint8_t seed_arp[] = {0, ETHER(8, 6), 0, 1, 8, 0, 6,   4, 0, 1,
				   2, 0,	   0, 0, 0, 2, 192, 0, 2, 2,
				   0, 0,	   0, 0, 0, 0, 192, 0, 2, 1};
static const uint8_t seed_ip4[] = {
	0,    ETHER(8, 0), 0x45, 0,  0, 32, 0,	 0, 0x40, 0, 64,   17,
	0,    0,	   192,	 0,  2, 2,  192, 0, 2,	  1, 0x1d, 7,
	0x1d, 6,	   0,	 12, 0, 0,  1,	 2, 3,	  4};
static const uint8_t seed_solicit[] = {5,    ETHER(0x86, 0xdd),
				       0x60, 0,
				       0,    0,
				       0,    32,
				       58,   255,
				       THEY, GROUP,
				       135,  0,
				       0,    0,
				       0,    0,
				       0,    0,
				       US,   1,
				       1,    2,
				       0,    0,
				       0,    0,
				       2};
static const uint8_t seed_advert[] = {5,    ETHER(0x86, 0xdd),
				      0x60, 0,
				      0,    0,
				      0,    32,
				      58,   255,
				      THEY, US,
				      136,  0,
				      0,    0,
				      0x60, 0,
				      0,    0,
				      THEY, 2,
				      1,    2,
				      0,    0,
				      0,    0,
				      2};
static const uint8_t seed_echo[] = {5,	  ETHER(0x86, 0xdd),
				    0x60, 0,
				    0,	  0,
				    0,	  12,
				    58,	  64,
				    THEY, US,
				    128,  0,
				    0,	  0,
				    0,	  1,
				    0,	  1,
				    9,	  8,
				    7,	  6};
static const uint8_t seed_ip6[] = {5,	 ETHER(0x86, 0xdd),
				   0x60, 0,
				   0,	 0,
				   0,	 12,
				   17,	 64,
				   THEY, US,
				   0x1d, 7,
				   0x1d, 6,
				   0,	 12,
				   0,	 0,
				   1,	 2,
				   3,	 4};

#define ROUTER 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define ALL    0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
static const uint8_t seed_query[] = {5,	     ETHER(0x86, 0xdd),
				     0x60,   0,
				     0,	     0,
				     0,	     36,
				     0,	     1,
				     ROUTER, ALL,
				     58,     0,
				     5,	     2,
				     0,	     0,
				     1,	     0,
				     130,    0,
				     0,	     0,
				     3,	     0xe8,
				     0,	     0,
				     GROUP,  2,
				     125,    0,
				     0};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_arp, sizeof(seed_arp)},
	{seed_ip4, sizeof(seed_ip4)},
	{seed_solicit, sizeof(seed_solicit)},
	{seed_advert, sizeof(seed_advert)},
	{seed_echo, sizeof(seed_echo)},
	{seed_ip6, sizeof(seed_ip6)},
	{seed_query, sizeof(seed_query)},
	{NULL, 0},
};

static volatile uint8_t sink;

/* Behind options of the usual length, as if they were not there. */
static void query_mend(struct rte_mbuf *m)
{
	uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv6_hdr ip;
	uint16_t sum = 0;

	memcpy(&ip, at + 14, sizeof(ip));
	if (m->nb_segs != 1 || m->data_len < 62 + 4)
		return;
	ip.proto = IPPROTO_ICMPV6;
	ip.payload_len = rte_cpu_to_be_16((uint16_t)(m->data_len - 62));
	memcpy(at + 64, &sum, sizeof(sum));
	sum = rte_ipv6_udptcp_cksum_mbuf(m, &ip, 62);
	memcpy(at + 64, &sum, sizeof(sum));
}

static void sum_mend(struct rte_mbuf *m)
{
	const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t bytes;
	size_t sum_at;

	if (m->data_len >= 54 && at[20] == IPPROTO_HOPOPTS)
		query_mend(m);
	if (m->data_len < 54 ||
	    (at[20] != IPPROTO_UDP && at[20] != IPPROTO_ICMPV6))
		return;
	bytes = at[18] * 256u + at[19];
	sum_at = at[20] == IPPROTO_UDP ? 6 : 2;
	if (bytes >= sum_at + 2 && m->data_len >= 54 + sum_at + 2 &&
	    bytes <= m->pkt_len - 54)
		packet_sum(m, sum_at);
}

/* Whatever it asks, what is said to it is sound, and soon. */
static void asked(const struct hs_dpdk_net *net, const struct rte_mbuf *m)
{
	struct hs_dpdk_mld mld = {.hz = 1000};
	enum hs_dpdk_mld_kind kind;
	uint8_t room[HS_DPDK_MLD_BYTES];
	struct rte_mbuf said;

	if (!hs_dpdk_mld_take(&mld, net, m, 1, m->data_len))
		return;
	kind = hs_dpdk_mld_due(&mld, 1 + 10000);
	hs_check(kind == HS_DPDK_MLD_LISTENS || kind == HS_DPDK_MLD_LISTENS_V1);
	packet_make(&said, room, sizeof(room), 0);
	hs_dpdk_mld_report(net, &said, kind);
	hs_check(said.data_len <= sizeof(room));
	hs_check(!hs_dpdk_mld_take(&mld, net, &said, 1, 0));
}

static void give(struct hs_dpdk_net *net, struct rte_mbuf *m, uint32_t room)
{
	struct hs_ship_address from;
	uint32_t bytes, offset = hs_dpdk_payload(net, m, &bytes, &from);
	const uint8_t *at;
	uint8_t copy[2048];

	if (offset) {
		hs_check(offset + bytes <= m->pkt_len);
		at = bytes <= sizeof(copy)
			     ? rte_pktmbuf_read(m, offset, bytes, copy)
			     : NULL;
		for (uint32_t i = 0; at && i < bytes; i++)
			sink ^= at[i];
	} else {
		/* As where somebody else answers, and then as where we do. */
		hs_dpdk_learn(net, m);
		if (hs_dpdk_take(net, m)) {
			hs_check(m->nb_segs == 1 && m->data_len <= room);
			hs_check(m->pkt_len == m->data_len);
		}
	}
	hs_check(net->nr_neighbours <= HS_DPDK_NEIGHBOURS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static struct hs_dpdk_net net;
	uint32_t bytes = (uint32_t)len_bytes - 1, split, spare;
	uint8_t *room, *more;
	struct rte_mbuf m, second;
	struct hs_ship_ip they;

	/* A driver gives whole Ethernet headers, in one piece. */
	if (len_bytes < 1 + HEAD || bytes > 9000)
		return 0;
	hs_check(hs_ship_place_parse(data[0] & 1 ? "[2001:db8::1]:7430"
						 : "192.0.2.1:7430",
				     &net.own));
	hs_check(hs_ship_ip_parse(data[0] & 1 ? "2001:db8::2" : "192.0.2.2",
				  &they));
	hs_check(hs_dpdk_neighbour(&net, &they));
	split = data[0] & 2 ? HEAD + data[0] % (bytes - HEAD + 1) : bytes;
	/* Sometimes no byte more than the packet has. */
	spare = data[0] & 8 ? 0 : 128;
	room = malloc(split + spare);
	more = malloc(bytes - split + 1);
	hs_check(room && more);
	memcpy(room, data + 1, split);
	memcpy(more, data + 1 + split, bytes - split);
	packet_make(&m, room, split + spare, split);
	packet_make(&second, more, bytes - split, bytes - split);
	if (split < bytes) {
		m.next = &second;
		m.nb_segs = 2;
		m.pkt_len = bytes;
	}
	if (data[0] & 4)
		sum_mend(&m);
	if (data[0] & 1)
		asked(&net, &m);
	give(&net, &m, split + spare);
	free(room);
	free(more);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk_ip6.c - IPv6 and UDP around our frames, and neighbour discovery
 *
 * As much of RFC 8200, 4861 and 4443 as a host with one configured address on
 * one network needs: it asks for its neighbours by solicitation, answers
 * theirs, and echoes. Extension headers and fragments are for others. UDP has a
 * checksum here, which is looked at and made; a device does so where it can.
 */
#include "ship/dpdk.h"

#include <string.h>

#include <netinet/icmp6.h>

#define HOPS	64u
#define ND_HOPS 255u /* no router has passed it on */
#define VERSION 6u

/* A solicitation or an advertisement, up to its options. */
struct nd {
	uint8_t type, code;
	rte_be16_t sum;
	uint8_t flags;
	uint8_t reserved[3];
	struct hs_ship_ip target;
};
_Static_assert(sizeof(struct nd) == 24, "RFC 4861, 4.3 and 4.4");

/* The option with who it is on the link. */
struct nd_link {
	uint8_t type;
	uint8_t units; /* of eight bytes */
	struct rte_ether_addr mac;
};
_Static_assert(sizeof(struct nd_link) == 8, "RFC 4861, 4.6.1");

#define L4_AT	 (sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr))
#define ND_BYTES (L4_AT + sizeof(struct nd) + sizeof(struct nd_link))

static bool is(const uint8_t a[16], const struct hs_ship_ip *b)
{
	return !memcmp(a, b, sizeof(*b));
}

static bool multicast(const uint8_t ip[16])
{
	return ip[0] == 0xff;
}

static bool unspecified(const uint8_t ip[16])
{
	static const struct hs_ship_ip nobody;

	return is(ip, &nobody);
}

/* Where an address is asked for: RFC 4291, 2.7.1. */
struct hs_ship_ip hs_dpdk_ip6_solicited(const struct hs_ship_ip *ip)
{
	struct hs_ship_ip out = {{0xff, 0x02, [11] = 1, 0xff}};

	memcpy(out.bytes + 13, ip->bytes + 13, 3);
	return out;
}

static void link_of_group(const struct hs_ship_ip *group,
			  struct rte_ether_addr *out)
{
	out->addr_bytes[0] = out->addr_bytes[1] = 0x33;
	memcpy(out->addr_bytes + 2, group->bytes + 12, 4);
}

void hs_dpdk_ip6_group(const struct hs_dpdk_net *net,
		       struct rte_ether_addr *out)
{
	const struct hs_ship_ip group = hs_dpdk_ip6_solicited(&net->own.ip);

	link_of_group(&group, out);
}

/* ---- out ------------------------------------------------------------------
 */

static void ip6_fill(const struct hs_dpdk_net *net, struct rte_ipv6_hdr *ip,
		     const struct hs_ship_ip *to, uint8_t protocol,
		     uint8_t hops, uint32_t bytes)
{
	*ip = (struct rte_ipv6_hdr){
		.vtc_flow = rte_cpu_to_be_32(VERSION << 28),
		.payload_len = rte_cpu_to_be_16((uint16_t)bytes),
		.proto = protocol,
		.hop_limits = hops,
	};
	memcpy(ip->src_addr, &net->own.ip, sizeof(net->own.ip));
	memcpy(ip->dst_addr, to, sizeof(*to));
}

void hs_dpdk_ip6_headers(const struct hs_dpdk_net *net, void *at,
			 const struct hs_dpdk_neighbour *to, rte_be16_t to_port,
			 uint32_t payload_bytes)
{
	struct rte_ether_hdr *eth = at;
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint32_t bytes = (uint32_t)sizeof(*udp) + payload_bytes;

	eth->dst_addr = to->mac;
	eth->src_addr = net->mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6);
	ip6_fill(net, ip, &to->ip, IPPROTO_UDP, HOPS, bytes);
	ip->vtc_flow |= rte_cpu_to_be_32((uint32_t)net->dscp << 22);
	udp->src_port = net->own.port;
	udp->dst_port = to_port;
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)bytes);
	udp->dgram_cksum = 0;
}

void hs_dpdk_ip6_sum(const struct hs_dpdk_net *net, struct rte_mbuf *m)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(
		m, struct rte_ipv6_hdr *, sizeof(struct rte_ether_hdr));
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	if (!net->device_sums) {
		udp->dgram_cksum = rte_ipv6_udptcp_cksum_mbuf(m, ip, L4_AT);
		return;
	}
	m->ol_flags |= RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
	m->l2_len = sizeof(struct rte_ether_hdr);
	m->l3_len = sizeof(*ip);
	udp->dgram_cksum = rte_ipv6_phdr_cksum(ip, m->ol_flags);
}

static void nd_fill(const struct hs_dpdk_net *net, struct rte_mbuf *m,
		    const struct nd *head, const struct hs_ship_ip *to,
		    const struct rte_ether_addr *to_mac)
{
	const struct nd_link link = {
		.type = head->type == ND_NEIGHBOR_SOLICIT
				? ND_OPT_SOURCE_LINKADDR
				: ND_OPT_TARGET_LINKADDR,
		.units = 1,
		.mac = net->mac,
	};
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(eth + 1);
	struct nd *nd = (struct nd *)(ip + 1);

	m->data_len = ND_BYTES;
	m->pkt_len = ND_BYTES;
	eth->dst_addr = *to_mac;
	eth->src_addr = net->mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6);
	ip6_fill(net, ip, to, IPPROTO_ICMPV6, ND_HOPS,
		 sizeof(*nd) + sizeof(link));
	memcpy(nd, head, sizeof(*nd));
	memcpy(nd + 1, &link, sizeof(link));
	nd->sum = rte_ipv6_udptcp_cksum(ip, nd);
}

void hs_dpdk_ip6_ask(const struct hs_dpdk_net *net, struct rte_mbuf *m,
		     const struct hs_ship_ip *ip)
{
	const struct nd head = {.type = ND_NEIGHBOR_SOLICIT, .target = *ip};
	const struct hs_ship_ip group = hs_dpdk_ip6_solicited(ip);
	struct rte_ether_addr mac;

	link_of_group(&group, &mac);
	nd_fill(net, m, &head, &group, &mac);
}

/* ---- in -------------------------------------------------------------------
 */

/* The header of a packet of IPv6 that is whole in its first @m->data_len bytes
 * but for what lies behind @at_least of its payload. */
static bool ip6_take(const struct rte_mbuf *m, uint8_t protocol,
		     uint32_t at_least, struct rte_ipv6_hdr *ip)
{
	const struct rte_ether_hdr *eth =
		rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	uint32_t bytes;

	if (m->data_len < L4_AT + at_least ||
	    eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6))
		return false;
	memcpy(ip, eth + 1, sizeof(*ip));
	bytes = rte_be_to_cpu_16(ip->payload_len);
	return rte_be_to_cpu_32(ip->vtc_flow) >> 28 == VERSION &&
	       ip->proto == protocol && !multicast(ip->src_addr) &&
	       bytes >= at_least && bytes <= m->pkt_len - L4_AT;
}

/* A sum that a kernel on this machine left to a device there never was counts
 * as well: packets of a veth pair carry the pseudo header's alone. */
static bool sum_is_right(const struct rte_mbuf *m,
			 const struct rte_ipv6_hdr *ip, rte_be16_t sum)
{
	uint64_t said = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (!sum || said == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return false;
	return said == RTE_MBUF_F_RX_L4_CKSUM_GOOD ||
	       said == RTE_MBUF_F_RX_L4_CKSUM_NONE ||
	       !rte_ipv6_udptcp_cksum_mbuf_verify(m, ip, L4_AT) ||
	       sum == rte_ipv6_phdr_cksum(ip, 0);
}

uint32_t hs_dpdk_ip6_payload(const struct hs_dpdk_net *net,
			     const struct rte_mbuf *m, uint32_t *bytes,
			     struct hs_ship_place *from)
{
	struct rte_ipv6_hdr ip;
	struct rte_udp_hdr udp;

	if (!ip6_take(m, IPPROTO_UDP, sizeof(udp), &ip))
		return 0;
	memcpy(&udp, rte_pktmbuf_mtod_offset(m, const void *, L4_AT),
	       sizeof(udp));
	if (!is(ip.dst_addr, &net->own.ip) || unspecified(ip.src_addr) ||
	    udp.dst_port != net->own.port || udp.dgram_len != ip.payload_len ||
	    !sum_is_right(m, &ip, udp.dgram_cksum))
		return 0;
	*bytes = rte_be_to_cpu_16(udp.dgram_len) - (uint32_t)sizeof(udp);
	memcpy(&from->ip, ip.src_addr, sizeof(from->ip));
	from->port = udp.src_port;
	return L4_AT + sizeof(udp);
}

/*
 * The option of that type among all of them.
 * @mac: not set if there is none
 * Return: 0: none; 1: it is there; -1: they are malformed.
 */
static int options_look(const uint8_t *at, uint32_t left, uint8_t type,
			struct rte_ether_addr *mac)
{
	int found = 0;

	while (left) {
		uint32_t bytes = left < 2 ? 0 : 8u * at[1];

		/* One of no length would be looked at for ever. */
		if (!bytes || bytes > left)
			return -1;
		if (at[0] == type && bytes == sizeof(struct nd_link)) {
			memcpy(mac, at + 2, sizeof(*mac));
			found = 1;
		}
		at += bytes;
		left -= bytes;
	}
	return found;
}

/* Who asks us is one whom we shall answer. */
static bool solicitation_take(struct hs_dpdk_net *net, struct rte_mbuf *m,
			      const struct rte_ipv6_hdr *ip,
			      const struct rte_ether_addr *mac, bool has_mac)
{
	static const struct hs_ship_ip all_nodes = {{0xff, 0x02, [15] = 1}};
	const struct hs_ship_ip group = hs_dpdk_ip6_solicited(&net->own.ip);
	struct nd answer = {.type = ND_NEIGHBOR_ADVERT, .target = net->own.ip};
	struct rte_ether_addr to_mac;
	struct hs_ship_ip from;

	memcpy(&from, ip->src_addr, sizeof(from));
	if (unspecified(ip->src_addr)) {
		/* Whether the address is free: it is not, and all may know. */
		if (has_mac || !is(ip->dst_addr, &group))
			return false;
		answer.flags = 0x20; /* override */
		link_of_group(&all_nodes, &to_mac);
		nd_fill(net, m, &answer, &all_nodes, &to_mac);
		return true;
	}
	to_mac = *mac;
	if (has_mac)
		hs_dpdk_neighbour_learn(net, &from, mac);
	else
		to_mac = rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->src_addr;
	if (!rte_is_unicast_ether_addr(&to_mac))
		return false;
	answer.flags = 0x60; /* solicited, override */
	nd_fill(net, m, &answer, &from, &to_mac);
	return true;
}

/* Of whom we asked for; others are not remembered. */
static void advertisement_take(struct hs_dpdk_net *net,
			       const struct rte_ipv6_hdr *ip,
			       const struct nd *nd,
			       const struct rte_ether_addr *mac)
{
	bool override = nd->flags & 0x20;
	struct hs_dpdk_neighbour *n;

	/* An answer goes to who asked alone. */
	if (multicast(ip->dst_addr) ? (nd->flags & 0x40) != 0
				    : !is(ip->dst_addr, &net->own.ip))
		return;
	n = hs_dpdk_neighbour_find(net, &nd->target);
	if (n && (!n->known || override))
		hs_dpdk_neighbour_learn(net, &nd->target, mac);
}

/* Either of them, and who it says is where. Return: whether it counts. */
static bool nd_read(const struct hs_dpdk_net *net, const struct rte_mbuf *m,
		    const struct rte_ipv6_hdr *ip, struct nd *nd,
		    struct rte_ether_addr *mac, bool *has_mac)
{
	const struct hs_ship_ip group = hs_dpdk_ip6_solicited(&net->own.ip);
	const uint8_t *at = rte_pktmbuf_mtod_offset(m, const uint8_t *, L4_AT);
	uint32_t bytes = rte_be_to_cpu_16(ip->payload_len);
	bool asks;
	int link;

	if (bytes < sizeof(*nd) || ip->hop_limits != ND_HOPS)
		return false;
	memcpy(nd, at, sizeof(*nd));
	asks = nd->type == ND_NEIGHBOR_SOLICIT;
	link = options_look(
		at + sizeof(*nd), bytes - (uint32_t)sizeof(*nd),
		asks ? ND_OPT_SOURCE_LINKADDR : ND_OPT_TARGET_LINKADDR, mac);
	*has_mac = link > 0;
	if (link < 0 || nd->code || multicast(nd->target.bytes))
		return false;
	return !asks ||
	       (is(nd->target.bytes, &net->own.ip) &&
		(is(ip->dst_addr, &group) || is(ip->dst_addr, &net->own.ip)));
}

static bool nd_take(struct hs_dpdk_net *net, struct rte_mbuf *m,
		    const struct rte_ipv6_hdr *ip)
{
	struct rte_ether_addr mac = {{0}};
	struct nd nd;
	bool has_mac;

	if (!nd_read(net, m, ip, &nd, &mac, &has_mac))
		return false;
	if (nd.type == ND_NEIGHBOR_SOLICIT)
		return m->buf_len - m->data_off >= (int)ND_BYTES &&
		       solicitation_take(net, m, ip, &mac, has_mac);
	if (has_mac)
		advertisement_take(net, ip, &nd, &mac);
	return false;
}

static bool echo_take(const struct hs_dpdk_net *net, struct rte_mbuf *m,
		      const struct rte_ipv6_hdr *asked)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(eth + 1);
	uint8_t *at = (uint8_t *)(ip + 1);
	uint32_t bytes = rte_be_to_cpu_16(asked->payload_len);
	struct icmp6_hdr icmp; /* its words lie askew behind Ethernet's head */
	struct hs_ship_ip to;

	if (!is(asked->dst_addr, &net->own.ip) ||
	    unspecified(asked->src_addr) ||
	    !rte_is_unicast_ether_addr(&eth->src_addr))
		return false;
	memcpy(&to, asked->src_addr, sizeof(to));
	eth->dst_addr = eth->src_addr;
	eth->src_addr = net->mac;
	ip6_fill(net, ip, &to, IPPROTO_ICMPV6, HOPS, bytes);
	memcpy(&icmp, at, sizeof(icmp));
	icmp.icmp6_type = ICMP6_ECHO_REPLY;
	icmp.icmp6_cksum = 0;
	memcpy(at, &icmp, sizeof(icmp));
	icmp.icmp6_cksum = rte_ipv6_udptcp_cksum(ip, at);
	memcpy(at, &icmp, sizeof(icmp));
	m->data_len = (uint16_t)(L4_AT + bytes);
	m->pkt_len = m->data_len;
	return true;
}

/* A whole packet of ICMPv6 in one piece, its sum right. */
static bool icmp_read(const struct rte_mbuf *m, struct rte_ipv6_hdr *ip,
		      struct icmp6_hdr *icmp)
{
	if (m->nb_segs != 1 ||
	    !ip6_take(m, IPPROTO_ICMPV6, sizeof(*icmp), ip) ||
	    rte_ipv6_udptcp_cksum_mbuf_verify(m, ip, L4_AT))
		return false;
	memcpy(icmp, rte_pktmbuf_mtod_offset(m, const void *, L4_AT),
	       sizeof(*icmp));
	return true;
}

bool hs_dpdk_ip6_take(struct hs_dpdk_net *net, struct rte_mbuf *m)
{
	struct icmp6_hdr icmp;
	struct rte_ipv6_hdr ip;

	if (!icmp_read(m, &ip, &icmp))
		return false;
	switch (icmp.icmp6_type) {
	case ND_NEIGHBOR_SOLICIT:
	case ND_NEIGHBOR_ADVERT:
		return nd_take(net, m, &ip);
	case ICMP6_ECHO_REQUEST:
		return !icmp.icmp6_code && echo_take(net, m, &ip);
	default:
		return false;
	}
}

void hs_dpdk_ip6_learn(struct hs_dpdk_net *net, const struct rte_mbuf *m)
{
	struct rte_ether_addr mac = {{0}};
	struct icmp6_hdr icmp;
	struct rte_ipv6_hdr ip;
	struct hs_ship_ip from;
	struct nd nd;
	bool has_mac;

	if (!icmp_read(m, &ip, &icmp) ||
	    (icmp.icmp6_type != ND_NEIGHBOR_SOLICIT &&
	     icmp.icmp6_type != ND_NEIGHBOR_ADVERT) ||
	    !nd_read(net, m, &ip, &nd, &mac, &has_mac) || !has_mac)
		return;
	memcpy(&from, ip.src_addr, sizeof(from));
	if (nd.type == ND_NEIGHBOR_ADVERT)
		advertisement_take(net, &ip, &nd, &mac);
	else if (!unspecified(ip.src_addr))
		hs_dpdk_neighbour_learn(net, &from, &mac);
}

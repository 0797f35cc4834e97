/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk_net.c - neighbours, and Ethernet, ARP, IPv4 and UDP around our frames
 *
 * As much of each as two ends on one network need. UDP goes without a checksum,
 * as IPv4 allows: a frame's head and every slice carry CRC32C. Who is at an
 * address of IPv6 goes the other way at each turn: dpdk_ip6.c.
 */
#include "ship/dpdk.h"

#include <string.h>

#include <rte_arp.h>

#define TTL 64u

uint32_t hs_dpdk_headers_bytes(const struct hs_dpdk_net *net)
{
	return hs_ship_ip_is_v4(&net->own.ip) ? HS_DPDK_HEADERS_BYTES
					      : HS_DPDK_HEADERS_IP6_BYTES;
}

/* ---- neighbours -----------------------------------------------------------
 */

struct hs_dpdk_neighbour *hs_dpdk_neighbour_find(struct hs_dpdk_net *net,
						 const struct hs_ship_ip *ip)
{
	if (net->last < net->nr_neighbours &&
	    !memcmp(&net->neighbours[net->last].ip, ip, sizeof(*ip)))
		return &net->neighbours[net->last];
	for (uint32_t i = 0; i < net->nr_neighbours; i++) {
		if (memcmp(&net->neighbours[i].ip, ip, sizeof(*ip)))
			continue;
		net->last = i;
		return &net->neighbours[i];
	}
	return NULL;
}

/* Whether @a goes before @b does. */
static bool goes_first(const struct hs_dpdk_neighbour *a,
		       const struct hs_dpdk_neighbour *b)
{
	if (a->used != b->used)
		return !a->used;
	if (a->used && a->known != b->known)
		return !a->known;
	return a->last < b->last;
}

/* Whoever asks for us under many names holds no place for good, and takes none
 * of those to whom frames go. */
static struct hs_dpdk_neighbour *
place_make(struct hs_dpdk_net *net, const struct hs_ship_ip *ip, bool used)
{
	struct hs_dpdk_neighbour *n = NULL;

	if (net->nr_neighbours < HS_DPDK_NEIGHBOURS_MAX)
		n = &net->neighbours[net->nr_neighbours++];
	else
		for (uint32_t i = 0; i < HS_DPDK_NEIGHBOURS_MAX; i++) {
			struct hs_dpdk_neighbour *one = &net->neighbours[i];

			if (!one->fixed && (used || !one->used) &&
			    (!n || goes_first(one, n)))
				n = one;
		}
	if (n)
		*n = (struct hs_dpdk_neighbour){.ip = *ip};
	return n;
}

struct hs_dpdk_neighbour *hs_dpdk_neighbour(struct hs_dpdk_net *net,
					    const struct hs_ship_ip *ip)
{
	struct hs_dpdk_neighbour *n = hs_dpdk_neighbour_find(net, ip);

	if (!n)
		n = place_make(net, ip, true);
	if (!n)
		return NULL;
	n->used = true;
	n->last = ++net->uses;
	return n;
}

void hs_dpdk_neighbour_learn(struct hs_dpdk_net *net,
			     const struct hs_ship_ip *ip,
			     const struct rte_ether_addr *mac)
{
	struct hs_dpdk_neighbour *n;

	if (!rte_is_unicast_ether_addr(mac))
		return;
	n = hs_dpdk_neighbour_find(net, ip);
	if (!n)
		n = place_make(net, ip, false);
	if (!n || n->fixed)
		return;
	if (!n->used)
		n->last = ++net->uses;
	n->mac = *mac;
	n->known = true;
}

/* ---- ARP ------------------------------------------------------------------
 */

static void arp_fill(struct hs_dpdk_net *net, struct rte_mbuf *m,
		     uint16_t opcode, const struct rte_ether_addr *to,
		     rte_be32_t to_ip)
{
	struct rte_ether_hdr *eth;
	struct rte_arp_hdr *arp;

	m->data_len = sizeof(*eth) + sizeof(*arp);
	m->pkt_len = m->data_len;
	eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	eth->src_addr = net->mac;
	if (opcode == RTE_ARP_OP_REQUEST)
		memset(&eth->dst_addr, 0xff, sizeof(eth->dst_addr));
	else
		eth->dst_addr = *to;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP);
	arp = (struct rte_arp_hdr *)(eth + 1);
	arp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = sizeof(rte_be32_t);
	arp->arp_opcode = rte_cpu_to_be_16(opcode);
	arp->arp_data.arp_sha = net->mac;
	arp->arp_data.arp_sip = hs_ship_ip_to_v4(&net->own.ip);
	arp->arp_data.arp_tha = *to;
	arp->arp_data.arp_tip = to_ip;
}

void hs_dpdk_ask(struct hs_dpdk_net *net, struct rte_mbuf *m,
		 const struct hs_ship_ip *ip)
{
	const struct rte_ether_addr nobody = {{0}};

	if (hs_ship_ip_is_v4(&net->own.ip))
		arp_fill(net, m, RTE_ARP_OP_REQUEST, &nobody,
			 hs_ship_ip_to_v4(ip));
	else
		hs_dpdk_ip6_ask(net, m, ip);
}

uint16_t hs_dpdk_arp_learn(struct hs_dpdk_net *net, const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *eth =
		rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	struct rte_arp_hdr arp;
	struct hs_ship_ip sender;

	if (m->data_len < sizeof(*eth) + sizeof(arp) ||
	    eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))
		return 0;
	memcpy(&arp, eth + 1, sizeof(arp));
	if (arp.arp_data.arp_tip != hs_ship_ip_to_v4(&net->own.ip) ||
	    m->nb_segs != 1)
		return 0;
	/* Whom we asked; who asks us is one whom we shall answer. */
	sender = hs_ship_ip_v4(arp.arp_data.arp_sip);
	hs_dpdk_neighbour_learn(net, &sender, &arp.arp_data.arp_sha);
	return rte_be_to_cpu_16(arp.arp_opcode);
}

bool hs_dpdk_arp_take(struct hs_dpdk_net *net, struct rte_mbuf *m)
{
	struct rte_arp_hdr arp;

	if (hs_dpdk_arp_learn(net, m) != RTE_ARP_OP_REQUEST)
		return false;
	memcpy(&arp,
	       rte_pktmbuf_mtod_offset(m, void *, sizeof(struct rte_ether_hdr)),
	       sizeof(arp));
	arp_fill(net, m, RTE_ARP_OP_REPLY, &arp.arp_data.arp_sha,
		 arp.arp_data.arp_sip);
	return true;
}

bool hs_dpdk_take(struct hs_dpdk_net *net, struct rte_mbuf *m)
{
	return hs_ship_ip_is_v4(&net->own.ip) ? hs_dpdk_arp_take(net, m)
					      : hs_dpdk_ip6_take(net, m);
}

void hs_dpdk_learn(struct hs_dpdk_net *net, const struct rte_mbuf *m)
{
	if (hs_ship_ip_is_v4(&net->own.ip))
		(void)hs_dpdk_arp_learn(net, m);
	else
		hs_dpdk_ip6_learn(net, m);
}

/* ---- datagrams ------------------------------------------------------------
 */

void hs_dpdk_headers(struct hs_dpdk_net *net, void *at,
		     const struct hs_dpdk_neighbour *to, rte_be16_t to_port,
		     uint32_t payload_bytes)
{
	struct rte_ether_hdr *eth = at;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	if (!hs_ship_ip_is_v4(&net->own.ip)) {
		hs_dpdk_ip6_headers(net, at, to, to_port, payload_bytes);
		return;
	}
	eth->dst_addr = to->mac;
	eth->src_addr = net->mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.type_of_service = (uint8_t)(net->dscp << 2),
		.total_length = rte_cpu_to_be_16(
			(uint16_t)(sizeof(*ip) + sizeof(*udp) + payload_bytes)),
		.packet_id = rte_cpu_to_be_16(net->ident++),
		.fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
		.time_to_live = TTL,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = hs_ship_ip_to_v4(&net->own.ip),
		.dst_addr = hs_ship_ip_to_v4(&to->ip),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->src_port = net->own.port;
	udp->dst_port = to_port;
	udp->dgram_len =
		rte_cpu_to_be_16((uint16_t)(sizeof(*udp) + payload_bytes));
	udp->dgram_cksum = 0;
}

void hs_dpdk_sum(const struct hs_dpdk_net *net, struct rte_mbuf *m)
{
	if (!hs_ship_ip_is_v4(&net->own.ip))
		hs_dpdk_ip6_sum(net, m);
}

static uint32_t ip4_payload(const struct hs_dpdk_net *net,
			    const struct rte_mbuf *m, uint32_t *bytes,
			    struct hs_ship_place *from)
{
	const struct rte_ether_hdr *eth =
		rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	uint32_t total;

	if (m->data_len < HS_DPDK_HEADERS_BYTES ||
	    eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		return 0;
	memcpy(&ip, eth + 1, sizeof(ip));
	memcpy(&udp, (const uint8_t *)(eth + 1) + sizeof(ip), sizeof(udp));
	total = rte_be_to_cpu_16(ip.total_length);
	if (ip.version_ihl != RTE_IPV4_VHL_DEF ||
	    ip.next_proto_id != IPPROTO_UDP ||
	    ip.dst_addr != hs_ship_ip_to_v4(&net->own.ip) ||
	    udp.dst_port != net->own.port || total < sizeof(ip) + sizeof(udp) ||
	    total > m->pkt_len - sizeof(*eth) ||
	    (rte_be_to_cpu_16(ip.fragment_offset) &
	     (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) ||
	    rte_be_to_cpu_16(udp.dgram_len) != total - sizeof(ip))
		return 0;
	*bytes = total - (uint32_t)(sizeof(ip) + sizeof(udp));
	from->ip = hs_ship_ip_v4(ip.src_addr);
	from->port = udp.src_port;
	return HS_DPDK_HEADERS_BYTES;
}

uint32_t hs_dpdk_payload(const struct hs_dpdk_net *net,
			 const struct rte_mbuf *m, uint32_t *bytes,
			 struct hs_ship_address *from)
{
	struct hs_ship_place place = {0};
	uint32_t offset = hs_ship_ip_is_v4(&net->own.ip)
				  ? ip4_payload(net, m, bytes, &place)
				  : hs_dpdk_ip6_payload(net, m, bytes, &place);

	if (!offset)
		return 0;
	memset(from, 0, sizeof(*from));
	memcpy(from, &place, sizeof(place));
	return offset;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see dpdk_mld.h. */
#include "ship/dpdk_mld.h"

#include <string.h>

#include <netinet/icmp6.h>
#include <netinet/ip6.h>

#define REPORT_V2	   143u
#define RECORD_IS_EXCLUDE  2u /* all but nobody: everything */
#define RECORD_TO_EXCLUDE  4u
#define ROBUSTNESS	   2u
#define JOINS_PER_S	   1u
#define REPORTS_PER_S_MAX  10u
#define DELAY_MAX_MS	   10000u
#define ROUTER_ALERT	   5u
#define OPTION_UNKNOWN_ACT 0xc0u /* bits: what to do who does not know it */
#define V1_BYTES	   24u
#define V2_BYTES	   28u

#define IP_AT  sizeof(struct rte_ether_hdr)
#define EXT_AT (IP_AT + sizeof(struct rte_ipv6_hdr))

/* Hop by hop: routers shall look at it, whoever it is to. */
static const uint8_t alert[8] = {IPPROTO_ICMPV6, 0, ROUTER_ALERT, 2, 0, 0,
				 IP6OPT_PADN,	 0};

/* A query, a report and a done of version 1; of version 2, a query's begin. */
struct mld {
	uint8_t type, code;
	rte_be16_t sum;
	rte_be16_t delay;
	rte_be16_t reserved;
	struct hs_ship_ip group;
};
_Static_assert(sizeof(struct mld) == V1_BYTES, "RFC 2710, 3");

struct report {
	uint8_t type, code;
	rte_be16_t sum;
	rte_be16_t reserved, nr_records;
	uint8_t record_type, aux_words;
	rte_be16_t nr_sources;
	struct hs_ship_ip group;
};
_Static_assert(sizeof(struct report) == 28, "RFC 3810, 5.2");
_Static_assert(EXT_AT + sizeof(alert) + sizeof(struct report) ==
		       HS_DPDK_MLD_BYTES,
	       "a report's packet");

static bool of_link(const uint8_t ip[16])
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

/* ---- in -------------------------------------------------------------------
 */

/* Where what is behind the options lies, if they are sound and one of them is
 * the alert; 0: else. */
static uint32_t options_skip(const uint8_t *ext, uint32_t bytes)
{
	bool found = false;
	uint32_t end, at = 2;

	if (bytes < sizeof(alert) || ext[0] != IPPROTO_ICMPV6)
		return 0;
	end = 8u * (ext[1] + 1u);
	if (end > bytes)
		return 0;
	while (at < end) {
		uint32_t left = end - at;

		if (ext[at] == IP6OPT_PAD1) {
			at++;
			continue;
		}
		if (left < 2 || ext[at + 1] > left - 2)
			return 0;
		if (ext[at] == ROUTER_ALERT && ext[at + 1] == 2)
			found = !ext[at + 2] && !ext[at + 3];
		else if (ext[at] & OPTION_UNKNOWN_ACT)
			return 0;
		at += 2u + ext[at + 1];
	}
	return found ? end : 0;
}

/* The query that a packet is, to us. */
static bool query_read(const struct hs_dpdk_net *net, const struct rte_mbuf *m,
		       struct mld *query, uint32_t *bytes)
{
	const struct rte_ether_hdr *eth =
		rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct hs_ship_ip group = hs_dpdk_ip6_solicited(&net->own.ip);
	static const struct hs_ship_ip all;
	struct rte_ipv6_hdr ip;
	uint32_t payload, skip;
	rte_be16_t sources;

	if (m->nb_segs != 1 || m->data_len < EXT_AT + sizeof(alert) ||
	    eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6))
		return false;
	memcpy(&ip, eth + 1, sizeof(ip));
	payload = rte_be_to_cpu_16(ip.payload_len);
	if (rte_be_to_cpu_32(ip.vtc_flow) >> 28 != 6 ||
	    ip.proto != IPPROTO_HOPOPTS || ip.hop_limits != 1 ||
	    !of_link(ip.src_addr) || payload > m->data_len - EXT_AT)
		return false;
	skip = options_skip(rte_pktmbuf_mtod_offset(m, const uint8_t *, EXT_AT),
			    payload);
	if (!skip || payload - skip < V1_BYTES)
		return false;
	*bytes = payload - skip;
	/* Summed as if the options were not there. */
	ip.proto = IPPROTO_ICMPV6;
	ip.payload_len = rte_cpu_to_be_16((uint16_t)*bytes);
	memcpy(query, rte_pktmbuf_mtod_offset(m, const void *, EXT_AT + skip),
	       sizeof(*query));
	if (query->type != MLD_LISTENER_QUERY || query->code ||
	    rte_ipv6_udptcp_cksum_mbuf_verify(m, &ip,
					      (uint16_t)(EXT_AT + skip)))
		return false;
	if (*bytes > V1_BYTES) {
		if (*bytes < V2_BYTES)
			return false;
		memcpy(&sources,
		       rte_pktmbuf_mtod_offset(m, const void *,
					       EXT_AT + skip + V2_BYTES - 2),
		       sizeof(sources));
		if (*bytes < V2_BYTES + 16u * rte_be_to_cpu_16(sources))
			return false;
	}
	return !memcmp(&query->group, &all, sizeof(all)) ||
	       !memcmp(&query->group, &group, sizeof(group));
}

bool hs_dpdk_mld_take(struct hs_dpdk_mld *mld, const struct hs_dpdk_net *net,
		      const struct rte_mbuf *m, uint64_t now, uint64_t chance)
{
	struct mld query;
	uint64_t within, at;
	uint32_t bytes, ms;
	bool v1;

	if (!query_read(net, m, &query, &bytes))
		return false;
	v1 = bytes == V1_BYTES;
	/* From 32768 on version 2 has an exponent there (RFC 3810, 5.1.3), for
	 * that or longer, which is more than we care for. */
	ms = rte_be_to_cpu_16(query.delay);
	if (ms > DELAY_MAX_MS)
		ms = DELAY_MAX_MS;
	within = ms * mld->hz / 1000;
	at = now + (within ? chance % within : 0);
	/* One that is due earlier answers both. */
	if (mld->asked && mld->answer_at <= at && mld->v1 == v1)
		return true;
	mld->asked = true;
	mld->v1 = v1;
	mld->answer_at = at;
	return true;
}

/* ---- out ------------------------------------------------------------------
 */

void hs_dpdk_mld_up(struct hs_dpdk_mld *mld, uint64_t now)
{
	mld->nr_joins = ROBUSTNESS;
	mld->join_at = now;
}

enum hs_dpdk_mld_kind hs_dpdk_mld_due(const struct hs_dpdk_mld *mld,
				      uint64_t now)
{
	if (mld->said_at && now - mld->said_at < mld->hz / REPORTS_PER_S_MAX)
		return HS_DPDK_MLD_NONE;
	if (mld->nr_joins && now >= mld->join_at)
		return HS_DPDK_MLD_JOIN;
	if (mld->asked && now >= mld->answer_at)
		return mld->v1 ? HS_DPDK_MLD_LISTENS_V1 : HS_DPDK_MLD_LISTENS;
	return HS_DPDK_MLD_NONE;
}

void hs_dpdk_mld_said(struct hs_dpdk_mld *mld, enum hs_dpdk_mld_kind kind,
		      uint64_t now, uint64_t chance)
{
	mld->said_at = now;
	if (kind == HS_DPDK_MLD_JOIN) {
		mld->nr_joins--;
		mld->join_at = now + 1 + chance % (mld->hz / JOINS_PER_S);
	} else {
		mld->asked = false;
	}
}

/* Of version 1 it goes to the group itself, else to all routers that know
 * version 2. Return: where the report begins. */
static void *head_make(const struct hs_dpdk_net *net, struct rte_mbuf *m,
		       const struct hs_ship_ip *to, struct rte_ipv6_hdr *ip,
		       uint32_t bytes)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	uint8_t *ext = rte_pktmbuf_mtod_offset(m, uint8_t *, EXT_AT);

	m->data_len = (uint16_t)(EXT_AT + sizeof(alert) + bytes);
	m->pkt_len = m->data_len;
	eth->dst_addr = (struct rte_ether_addr){{0x33, 0x33}};
	memcpy(eth->dst_addr.addr_bytes + 2, to->bytes + 12, 4);
	eth->src_addr = net->mac;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6);
	*ip = (struct rte_ipv6_hdr){
		.vtc_flow = rte_cpu_to_be_32(6u << 28),
		.payload_len =
			rte_cpu_to_be_16((uint16_t)(sizeof(alert) + bytes)),
		.proto = IPPROTO_HOPOPTS,
		.hop_limits = 1,
	};
	if (of_link(net->own.ip.bytes))
		memcpy(ip->src_addr, &net->own.ip, sizeof(net->own.ip));
	memcpy(ip->dst_addr, to, sizeof(*to));
	memcpy(eth + 1, ip, sizeof(*ip));
	memcpy(ext, alert, sizeof(alert));
	/* It is summed as if the options were not there. */
	ip->proto = IPPROTO_ICMPV6;
	ip->payload_len = rte_cpu_to_be_16((uint16_t)bytes);
	return ext + sizeof(alert);
}

void hs_dpdk_mld_report(const struct hs_dpdk_net *net, struct rte_mbuf *m,
			enum hs_dpdk_mld_kind kind)
{
	static const struct hs_ship_ip routers = {{0xff, 2, [15] = 0x16}};
	const struct hs_ship_ip group = hs_dpdk_ip6_solicited(&net->own.ip);
	bool v1 = kind == HS_DPDK_MLD_LISTENS_V1;
	struct rte_ipv6_hdr ip;
	struct mld old = {.type = MLD_LISTENER_REPORT, .group = group};
	struct report report = {
		.type = REPORT_V2,
		.nr_records = rte_cpu_to_be_16(1),
		.record_type = kind == HS_DPDK_MLD_JOIN ? RECORD_TO_EXCLUDE
							: RECORD_IS_EXCLUDE,
		.group = group,
	};
	void *at = head_make(net, m, v1 ? &group : &routers, &ip,
			     v1 ? sizeof(old) : sizeof(report));

	if (v1) {
		old.sum = rte_ipv6_udptcp_cksum(&ip, &old);
		memcpy(at, &old, sizeof(old));
	} else {
		report.sum = rte_ipv6_udptcp_cksum(&ip, &report);
		memcpy(at, &report, sizeof(report));
	}
}

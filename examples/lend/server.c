/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the lcore of a server that is traced, and that lends its only port
 * to the agent which ships its traces. This is the file to read for how it is
 * done: hs_lend_take() for each packet that came, hs_lend_poll() once a round,
 * and ten times a second the two calls that enter the kernel.
 *
 * A request is a UDP datagram of at least 32 bytes; its reply begins with the
 * trace id in hexadecimal digits. One that begins with 'T' fires a trigger.
 */
#include "server.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#define BURST	    32u
#define POLLS_PER_S 10u
#define ID_CHARS    32u

struct packet {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	char payload[];
} __attribute__((packed, aligned(2)));

static bool is_request(const struct server *s, const struct rte_mbuf *m)
{
	const struct packet *p = rte_pktmbuf_mtod(m, const struct packet *);

	return m->data_len >= sizeof(*p) + ID_CHARS &&
	       p->eth.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) &&
	       p->ip.version_ihl == RTE_IPV4_VHL_DEF &&
	       p->ip.next_proto_id == IPPROTO_UDP && p->ip.dst_addr == s->ip &&
	       p->udp.dst_port == s->udp_port;
}

static void work(struct server *s, struct packet *p)
{
	struct hs_trace *trace = hs_trace_begin(NULL, NULL);
	struct hs_trace_id id = hs_trace_id_get(trace);
	struct hs_span span;
	char text[ID_CHARS + 1];

	hs_span_start(trace, &span, "answer", 0);
	hs_span_attr_i64(&span, "request", (int64_t)s->requests++);
	if (p->payload[0] == 'T')
		hs_trigger_fire(s->asked, &id, NULL, 0);
	snprintf(text, sizeof(text), "%016llx%016llx",
		 (unsigned long long)id.hi, (unsigned long long)id.lo);
	memcpy(p->payload, text, ID_CHARS);
	hs_span_end(&span);
	hs_trace_end(trace);
}

/* Back to where it came from, in the same packet. */
static void turn(struct packet *p)
{
	struct rte_ether_addr mac = p->eth.src_addr;
	rte_be32_t ip = p->ip.src_addr;
	rte_be16_t port = p->udp.src_port;

	p->eth.src_addr = p->eth.dst_addr;
	p->eth.dst_addr = mac;
	p->ip.src_addr = p->ip.dst_addr;
	p->ip.dst_addr = ip;
	p->udp.src_port = p->udp.dst_port;
	p->udp.dst_port = port;
	p->udp.dgram_cksum = 0;
}

static void round_make(struct server *s)
{
	struct rte_mbuf *packets[BURST], *replies[BURST];
	uint16_t nr = rte_eth_rx_burst(s->port, 0, packets, BURST);
	uint16_t nr_replies = 0, sent;

	for (uint16_t i = 0; i < nr; i++) {
		if (hs_lend_take(s->lend, packets[i]))
			continue;
		if (!is_request(s, packets[i])) {
			s->others++;
			rte_pktmbuf_free(packets[i]);
			continue;
		}
		work(s, rte_pktmbuf_mtod(packets[i], struct packet *));
		turn(rte_pktmbuf_mtod(packets[i], struct packet *));
		replies[nr_replies++] = packets[i];
	}
	sent = rte_eth_tx_burst(s->port, 0, replies, nr_replies);
	while (sent < nr_replies)
		rte_pktmbuf_free(replies[sent++]);
	hs_lend_poll(s->lend);
}

void server_run(struct server *s)
{
	uint64_t next = 0;

	while (!s->over) {
		uint64_t now = rte_rdtsc();

		round_make(s);
		if (now < next)
			continue;
		next = now + rte_get_tsc_hz() / POLLS_PER_S;
		hs_client_poll();
		hs_lend_renew(s->lend);
	}
}

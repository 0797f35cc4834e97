/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk.h - the parts of the DPDK port: EAL (dpdk_eal.c), frames around ours
 * (dpdk_net.c, dpdk_ip6.c, dpdk_mld.c), and the port itself (dpdk_start.c,
 * port_dpdk.c)
 *
 * Context: one thread, the one that made the port.
 */
#ifndef HS_SHIP_DPDK_H
#define HS_SHIP_DPDK_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "ship/place.h"
#include "ship/port.h"

#define HS_DPDK_HEADERS_BYTES                                                  \
	(sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr) +          \
	 sizeof(struct rte_udp_hdr))
#define HS_DPDK_HEADERS_IP6_BYTES                                              \
	(sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv6_hdr) +          \
	 sizeof(struct rte_udp_hdr))
#define HS_DPDK_NEIGHBOURS_MAX 256u

/** hs_dpdk_eal_start() - once a process. 0, or -errno with *why set */
int hs_dpdk_eal_start(const struct hs_ship_dpdk_config *config,
		      const char **why);

struct hs_dpdk_neighbour {
	struct hs_ship_ip ip;
	struct rte_ether_addr mac;
	bool known, fixed;
	bool used;     /* frames were to go there; else it only asked for us */
	uint64_t last; /* of net->uses, that it was used or heard of */
	uint64_t asked_tsc;
};

/* Who we are on the wire, and who is there. */
struct hs_dpdk_net {
	struct hs_ship_place own;
	struct rte_ether_addr mac;
	bool device_sums; /* the port makes UDP's checksum over IPv6 */
	uint8_t dscp;
	uint16_t ident;
	struct hs_dpdk_neighbour neighbours[HS_DPDK_NEIGHBOURS_MAX];
	uint32_t nr_neighbours;
	uint32_t last; /* that was looked for */
	uint64_t uses;
};

/** hs_dpdk_headers_bytes() - in front of a frame's */
uint32_t hs_dpdk_headers_bytes(const struct hs_dpdk_net *net);

/** hs_dpdk_neighbour_find() - NULL: nobody asked for it, or was it */
struct hs_dpdk_neighbour *hs_dpdk_neighbour_find(struct hs_dpdk_net *net,
						 const struct hs_ship_ip *ip);
/**
 * hs_dpdk_neighbour() - the same, with a place for it: frames are to go there
 *
 * Takes the place of another where there is no more, but of none that is fixed:
 * of one that only asked for us, else of one that does not answer, else of the
 * one to which nothing has gone for longest.
 * Return: NULL: all are fixed.
 */
struct hs_dpdk_neighbour *hs_dpdk_neighbour(struct hs_dpdk_net *net,
					    const struct hs_ship_ip *ip);
/**
 * hs_dpdk_neighbour_learn() - who has @ip, unless that is fixed
 *
 * One to which no frames go takes the place of another such one, at most.
 */
void hs_dpdk_neighbour_learn(struct hs_dpdk_net *net,
			     const struct hs_ship_ip *ip,
			     const struct rte_ether_addr *mac);
/** hs_dpdk_ask() - make @m the question who has @ip: ARP or a solicitation */
void hs_dpdk_ask(struct hs_dpdk_net *net, struct rte_mbuf *m,
		 const struct hs_ship_ip *ip);
/**
 * hs_dpdk_take() - a packet that is no datagram for us
 * Return: true: @m is the answer to it now, to be sent.
 */
bool hs_dpdk_take(struct hs_dpdk_net *net, struct rte_mbuf *m);
/** hs_dpdk_learn() - who is where, of such a packet that somebody else answers
 */
void hs_dpdk_learn(struct hs_dpdk_net *net, const struct rte_mbuf *m);
/**
 * hs_dpdk_arp_learn() - who sent an ARP packet for us
 * Return: its opcode; 0: it is none, or not for us.
 */
uint16_t hs_dpdk_arp_learn(struct hs_dpdk_net *net, const struct rte_mbuf *m);
/** hs_dpdk_arp_take() - an ARP packet; true: @m is the answer now, to be sent
 */
bool hs_dpdk_arp_take(struct hs_dpdk_net *net, struct rte_mbuf *m);
/** hs_dpdk_headers() - write hs_dpdk_headers_bytes() for @payload_bytes */
void hs_dpdk_headers(struct hs_dpdk_net *net, void *at,
		     const struct hs_dpdk_neighbour *to, rte_be16_t to_port,
		     uint32_t payload_bytes);
/** hs_dpdk_sum() - of a packet that is put together, where it has to have one
 */
void hs_dpdk_sum(const struct hs_dpdk_net *net, struct rte_mbuf *m);
/**
 * hs_dpdk_payload() - what of a packet is a datagram for us
 * Return: its offset; 0: it is none. *bytes and *from are set.
 */
uint32_t hs_dpdk_payload(const struct hs_dpdk_net *net,
			 const struct rte_mbuf *m, uint32_t *bytes,
			 struct hs_ship_address *from);

/* The same over IPv6. */
void hs_dpdk_ip6_ask(const struct hs_dpdk_net *net, struct rte_mbuf *m,
		     const struct hs_ship_ip *ip);
/** hs_dpdk_ip6_take() - neighbour discovery, and echo */
bool hs_dpdk_ip6_take(struct hs_dpdk_net *net, struct rte_mbuf *m);
void hs_dpdk_ip6_learn(struct hs_dpdk_net *net, const struct rte_mbuf *m);
void hs_dpdk_ip6_headers(const struct hs_dpdk_net *net, void *at,
			 const struct hs_dpdk_neighbour *to, rte_be16_t to_port,
			 uint32_t payload_bytes);
void hs_dpdk_ip6_sum(const struct hs_dpdk_net *net, struct rte_mbuf *m);
uint32_t hs_dpdk_ip6_payload(const struct hs_dpdk_net *net,
			     const struct rte_mbuf *m, uint32_t *bytes,
			     struct hs_ship_place *from);
/** hs_dpdk_ip6_solicited() - the group in which others ask for @ip */
struct hs_ship_ip hs_dpdk_ip6_solicited(const struct hs_ship_ip *ip);
/** hs_dpdk_ip6_group() - where on the link others ask for us */
void hs_dpdk_ip6_group(const struct hs_dpdk_net *net,
		       struct rte_ether_addr *out);

#endif

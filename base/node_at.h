/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a node named by its address, where its id is not known: a node id
 * whose number is 0, which no node has (ADR 43).
 *
 * IPv4 stands there as it is, also where it came as IPv6; an IPv6 address as a
 * hash. Two addresses may so look alike: whoever resolves one treats it as an
 * address that both have. A header alone, since libhindsight uses it.
 */
#ifndef HS_NODE_AT_H
#define HS_NODE_AT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool hs_node_is_at(uint64_t node)
{
	return node && !(node >> 32);
}

/**
 * hs_node_at() - the node at an address
 * @ip: in network order; @ip_bytes: 4 or 16
 *
 * Return: 0: that is the address of no node.
 */
static inline uint64_t hs_node_at(const void *ip, size_t ip_bytes)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *b = ip;
	uint32_t h = 2166136261u, any = 0;

	if (ip_bytes == 16 && !memcmp(b, mapped, sizeof(mapped))) {
		b += 12;
		ip_bytes = 4;
	}
	if (ip_bytes == 4)
		return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
		       (uint32_t)b[2] << 8 | b[3];
	if (ip_bytes != 16)
		return 0;
	for (size_t i = 0; i < 16; i++) {
		any |= b[i];
		h = (h ^ b[i]) * 16777619u;
	}
	return any ? (h ? h : 1) : 0;
}

/** hs_node_at_socket() - the same, of a socket's address */
static inline uint64_t hs_node_at_socket(const struct sockaddr *at)
{
	if (at->sa_family == AF_INET)
		return hs_node_at(&((const struct sockaddr_in *)at)->sin_addr,
				  4);
	if (at->sa_family == AF_INET6)
		return hs_node_at(&((const struct sockaddr_in6 *)at)->sin6_addr,
				  16);
	return 0;
}

#endif

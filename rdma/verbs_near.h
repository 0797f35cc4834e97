/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_near.h - which of several devices and ports a dial goes from
 *
 * Of the ports that are active the nearest to the cores that we may run on, as
 * far as a peer can be reached from it: one whose network the peer is in goes
 * before one from which a router would have to lead there. Ports as near as
 * each other go by name and number, so that it is the same one at each start.
 *
 * Pure: the list and the machine come in as arguments (verbs_ports.c looks at
 * the real ones), and a test can make both up.
 */
#ifndef HS_RDMA_VERBS_NEAR_H
#define HS_RDMA_VERBS_NEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "rdma/transport_verbs.h"

struct hs_numa;

#define HS_VERBS_PORTS_MAX	    16u
#define HS_VERBS_PORT_ADDRESSES_MAX 8u

struct hs_verbs_address {
	struct sockaddr_storage at;
	uint32_t network_bits; /* of it; 0: not known */
};

struct hs_verbs_port {
	char device[HS_VERBS_NAME_BYTES];
	uint32_t number;
	bool active;
	uint64_t nodes; /* that it is attached to; 0: not known */
	struct hs_verbs_address addresses[HS_VERBS_PORT_ADDRESSES_MAX];
	uint32_t nr_addresses;
	uint32_t distance; /* from us; hs_verbs_near_order() sets it */
};

/**
 * hs_verbs_near_order() - the nearest first, and those that are not active last
 * @numa: the machine; NULL: all is as near
 * @here: the nodes that we may run on, as numa.h has them
 *
 * Return: how many of them are active.
 */
uint32_t hs_verbs_near_order(const struct hs_numa *numa, uint64_t here,
			     struct hs_verbs_port *ports, uint32_t nr);

/**
 * hs_verbs_near_from() - what to dial from
 * @ports: in that order
 * @nr: of them; those that are active, or all if none is
 * @to: the peer
 *
 * Return: an address of @ports, or NULL: let the route decide. So it is where
 * @to is one of these addresses: no device is nearer to it than its own.
 */
const struct hs_verbs_address *
hs_verbs_near_from(const struct hs_verbs_port *ports, uint32_t nr,
		   const struct sockaddr *to);

/** hs_verbs_near_text() - which one is the nearest and how near the others are,
 * for people; of as many as there is room for */
void hs_verbs_near_text(const struct hs_verbs_port *ports, uint32_t nr,
			char *out, size_t size_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.h - who is connected: by connection, and by node number
 */
#ifndef HS_COORDINATOR_PEERS_H
#define HS_COORDINATOR_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "rdma/transport.h"

/* More of them are not chosen from. */
#define HS_PEERS_COLLECTORS_MAX 256u

struct hs_peer {
	struct hs_transport_peer at;
	uint32_t next_free;
	uint32_t next_peer; /* chains; 0 ends them */
	uint32_t next_node; /* latest connection first */
	bool live;
};

struct hs_peers {
	struct hs_peer *peers; /* 1..nr */
	uint32_t *by_peer, *by_node;
	uint32_t mask, nr, free;
	uint32_t collectors[HS_PEERS_COLLECTORS_MAX];
	uint32_t nr_collectors;
};

/** hs_peers_init() - room for @nr; Return: 0; -ENOMEM */
int hs_peers_init(struct hs_peers *p, uint32_t nr);
void hs_peers_free(struct hs_peers *p);
/** hs_peers_add() - Return: NULL when full */
struct hs_peer *hs_peers_add(struct hs_peers *p,
			     const struct hs_transport_peer *at);
void hs_peers_drop(struct hs_peers *p, uint32_t peer);
/** hs_peers_find() - by connection; NULL: none */
struct hs_peer *hs_peers_find(const struct hs_peers *p, uint32_t peer);
/** hs_peers_node() - the latest connection of that role and node number */
struct hs_peer *hs_peers_node(const struct hs_peers *p, enum hs_wire_role role,
			      uint64_t node);
/** hs_peers_owner() - the collector of @trace among those connected. Agents
 * rank them by the same rule, so that slices and manifest meet. */
struct hs_peer *hs_peers_owner(const struct hs_peers *p,
			       const struct hs_wire_trace_id *trace);

#endif

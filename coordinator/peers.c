/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c - see peers.h
 */
#include "coordinator/peers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "rdma/wire.h"

int hs_peers_init(struct hs_peers *p, uint32_t nr)
{
	uint32_t slots = 16;

	while (slots < nr)
		slots *= 2;
	*p = (struct hs_peers){.mask = slots - 1, .nr = nr};
	p->peers = calloc((size_t)nr + 1, sizeof(*p->peers));
	p->by_peer = calloc(slots, sizeof(*p->by_peer));
	p->by_node = calloc(slots, sizeof(*p->by_node));
	if (!p->peers || !p->by_peer || !p->by_node) {
		hs_peers_free(p);
		return -ENOMEM;
	}
	for (uint32_t i = nr; i > 0; i--) {
		p->peers[i].next_free = p->free;
		p->free = i;
	}
	return 0;
}

void hs_peers_free(struct hs_peers *p)
{
	free(p->peers);
	free(p->by_peer);
	free(p->by_node);
	*p = (struct hs_peers){0};
}

static uint32_t *node_chain(const struct hs_peers *p, uint64_t node)
{
	return &p->by_node[hs_hash_mix64(node >> 32) & p->mask];
}

struct hs_peer *hs_peers_add(struct hs_peers *p,
			     const struct hs_transport_peer *at)
{
	uint32_t *peer = &p->by_peer[at->peer & p->mask];
	uint32_t *node = node_chain(p, at->node);
	uint32_t i = p->free;

	if (!i)
		return NULL;
	p->free = p->peers[i].next_free;
	p->peers[i] = (struct hs_peer){
		.at = *at,
		.next_peer = *peer,
		.next_node = *node,
		.live = true,
	};
	*peer = i;
	*node = i;
	if (at->role == HS_WIRE_ROLE_COLLECTOR &&
	    p->nr_collectors < HS_PEERS_COLLECTORS_MAX)
		p->collectors[p->nr_collectors++] = i;
	return &p->peers[i];
}

struct hs_peer *hs_peers_find(const struct hs_peers *p, uint32_t peer)
{
	uint32_t i = p->by_peer[peer & p->mask];

	while (i && p->peers[i].at.peer != peer)
		i = p->peers[i].next_peer;
	return i ? &p->peers[i] : NULL;
}

void hs_peers_drop(struct hs_peers *p, uint32_t peer)
{
	struct hs_peer *at = hs_peers_find(p, peer);
	uint32_t *chain;
	uint32_t i;

	if (!at)
		return;
	i = (uint32_t)(at - p->peers);
	for (chain = &p->by_peer[peer & p->mask]; *chain != i;)
		chain = &p->peers[*chain].next_peer;
	*chain = at->next_peer;
	for (chain = node_chain(p, at->at.node); *chain != i;)
		chain = &p->peers[*chain].next_node;
	*chain = at->next_node;
	for (uint32_t k = 0; k < p->nr_collectors; k++)
		if (p->collectors[k] == i)
			p->collectors[k--] = p->collectors[--p->nr_collectors];
	at->live = false;
	at->next_free = p->free;
	p->free = i;
}

struct hs_peer *hs_peers_node(const struct hs_peers *p, enum hs_wire_role role,
			      uint64_t node)
{
	uint32_t i = *node_chain(p, node);

	while (i && (p->peers[i].at.node >> 32 != node >> 32 ||
		     p->peers[i].at.role != role))
		i = p->peers[i].next_node;
	return i ? &p->peers[i] : NULL;
}

struct hs_peer *hs_peers_owner(const struct hs_peers *p,
			       const struct hs_wire_trace_id *trace)
{
	uint64_t key = hs_wire_trace_key(trace);
	struct hs_peer *best = NULL;
	uint64_t most = 0;

	for (uint32_t k = 0; k < p->nr_collectors; k++) {
		struct hs_peer *at = &p->peers[p->collectors[k]];
		uint64_t wants = hs_hash_rendezvous(key, at->at.node);
		if (!best || wants > most ||
		    (wants == most && at->at.node > best->at.node)) {
			best = at;
			most = wants;
		}
	}
	return best;
}

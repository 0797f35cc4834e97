/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_address.c - nodes that crumbs name by their address
 *
 * A second source of nodes beside crumbs with ids: an application that knows
 * its peer's address alone says that, and it stands for the node that came to
 * us from there. Resolved once, when the answer comes, so that what follows
 * (visits, manifests, collectors) knows ids only. The node itself at its own
 * address is nobody more. An address that nobody has, or several nodes, marks
 * the answer as cut, and so does one whose node came there lately, as another
 * node or with another memory, or had it with another lately: it may not be
 * the one that was called. The question to many (core_seek.c) may find who was.
 */
#include "base/hash.h"
#include "base/node_at.h"
#include "coordinator/core_internal.h"

static uint32_t *chain_of(const struct hs_coord_core *c, uint64_t at)
{
	return &c->at_table[hs_hash_trace(c->config.seed, at, 1, 4) &
			    c->member_mask];
}

void hs_coord_address_down(struct hs_coord_core *c, uint32_t m)
{
	uint64_t at = hs_coord_member(c, m)->at;

	for (uint32_t o = at ? *chain_of(c, at) : 0; o;
	     o = hs_coord_member(c, o)->next_at) {
		struct hs_coord_member *other = hs_coord_member(c, o);

		if (o != m && other->at == at)
			other->shared_ns = c->now_ns;
	}
}

void hs_coord_address_drop(struct hs_coord_core *c, uint32_t m)
{
	struct hs_coord_member *member = hs_coord_member(c, m);
	uint32_t *link;

	if (!member->at)
		return;
	if (member->up)
		hs_coord_address_down(c, m);
	link = chain_of(c, member->at);
	while (*link != m)
		link = &hs_coord_member(c, *link)->next_at;
	*link = member->next_at;
	member->at = 0;
	member->shared_ns = 0;
}

void hs_coord_core_node_at(struct hs_coord_core *c, uint64_t node, uint64_t at)
{
	uint32_t m = hs_coord_member_find(c, node);
	struct hs_coord_member *member = hs_coord_member(c, m);
	uint32_t *chain;

	if (!m || member->up != node)
		return;
	if (member->at == at && member->at_id == node)
		return;
	hs_coord_address_drop(c, m);
	if (!hs_node_is_at(at))
		return;
	member->at_ns = c->now_ns;
	chain = chain_of(c, at);
	member->at = at;
	member->at_id = node;
	member->next_at = *chain;
	*chain = m;
}

static bool lately(const struct hs_coord_core *c, uint64_t ns)
{
	return c->now_ns - ns < c->config.address_doubt_ns;
}

/* The one that is up, or was last: an address may have gone to another. @asker
 * was there whenever it named the address as its own. Return: 0 if that is
 * nobody, or not one alone. */
static uint64_t resolve(const struct hs_coord_core *c, uint64_t at,
			uint64_t asker, bool *sure)
{
	uint64_t up = 0, down = 0;
	uint32_t nr_up = 0, nr_down = 0;

	for (uint32_t m = *chain_of(c, at); m && nr_up < 2;
	     m = hs_coord_member(c, m)->next_at) {
		const struct hs_coord_member *member = hs_coord_member(c, m);

		if (member->at != at)
			continue;
		if ((member->number != asker >> 32 &&
		     lately(c, member->at_ns)) ||
		    (member->shared_ns && lately(c, member->shared_ns)))
			*sure = false;
		if (member->up) {
			up = member->up;
			nr_up++;
		} else {
			down = member->at_id;
			nr_down++;
		}
	}
	if (nr_up)
		return nr_up == 1 ? up : 0;
	return nr_down == 1 ? down : 0;
}

const struct hs_wire_crumb *
hs_coord_addresses(struct hs_coord_core *c, struct hs_wire_answer *answer,
		   const struct hs_wire_crumb *crumbs, bool *cut)
{
	uint32_t i = 0, nr = 0;

	while (i < answer->nr_crumbs && !hs_node_is_at(crumbs[i].node))
		i++;
	if (i == answer->nr_crumbs)
		return crumbs;
	for (i = 0; i < answer->nr_crumbs; i++) {
		struct hs_wire_crumb crumb = crumbs[i];
		bool sure = true;

		if (hs_node_is_at(crumb.node)) {
			crumb.node =
				resolve(c, crumb.node, answer->node, &sure);
			crumb.kind = HS_WIRE_CRUMB_ADDRESS;
			sure = sure && crumb.node;
			c->stats.addresses++;
			c->stats.addresses_lost += !sure;
			*cut |= !sure;
			/* Its own address, as others see it, is itself. */
			if (crumb.node >> 32 == answer->node >> 32)
				continue;
		}
		if (crumb.node)
			c->resolved[nr++] = crumb;
	}
	answer->nr_crumbs = nr;
	return c->resolved;
}

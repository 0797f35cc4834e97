/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_coord_address.c - crumbs that name nodes by their address: who was there
 * when, as a plain model has it, and so whom an address stands for
 */
#include "base/node_at.h"
#include "tests/sim/bout_coord.h"

/* So few that nodes meet there. */
#define NR_ADDRESSES 3u

void bco_address_draw(struct bco *g, uint64_t seed)
{
	hs_random_seed(&g->far, seed ^ 0xadd7e55ull);
	g->config.address_doubt_ns = (1 + bout_below(&g->far, 4)) * SIM_S;
	g->by_address = !g->small && hs_random_chance(&g->far, 0.6);
}

/* In the place of some crumbs' ids. */
uint64_t bco_address_name(struct bco *g, uint64_t node)
{
	if (!g->by_address || !hs_random_chance(&g->far, 0.15))
		return node;
	return 1 + bout_below(&g->far, NR_ADDRESSES);
}

/* Who is left there was not alone. */
static void leaves(struct bco *g, uint32_t number)
{
	uint64_t at = g->homes[number].at;

	for (uint32_t n = 0; at && n < BCO_NUMBERS; n++)
		if (n != number && g->homes[n].at == at)
			g->homes[n].shared_ns = g->now_ns;
}

void bco_address_goes(struct bco *g, uint32_t number)
{
	leaves(g, number);
}

void bco_address_left(struct bco *g, uint32_t number)
{
	g->homes[number].at = 0;
	g->homes[number].shared_ns = 0;
}

/* Where one that has just come, or another, is: mostly what is so. */
void bco_address_comes(struct bco *g, uint32_t number, uint64_t node)
{
	struct bco_home *home;
	uint64_t at;

	if (!g->by_address)
		return;
	if (hs_random_chance(&g->far, 0.1)) {
		number = bout_below(&g->far, BCO_NUMBERS);
		node = bco_node_id(2 * number);
	}
	home = &g->homes[number];
	at = bout_below(&g->far, NR_ADDRESSES + 1);
	if (home->at && hs_random_chance(&g->far, 0.5))
		at = home->at;
	hs_coord_core_node_at(g->core, node, at);
	if (g->up[number] != node || (home->at == at && home->node == node))
		return;
	leaves(g, number);
	bco_address_left(g, number);
	if (!at)
		return;
	home->at = at;
	home->node = node;
	home->came_ns = g->now_ns;
}

static bool lately(const struct bco *g, uint64_t ns)
{
	return ns && g->now_ns < ns + g->config.address_doubt_ns;
}

/* Return: 0: nobody, or not one alone. */
static uint64_t who_is(const struct bco *g, uint64_t at, uint64_t asker,
		       bool *sure)
{
	uint64_t up = 0, down = 0;
	uint32_t nr_up = 0, nr_down = 0;

	for (uint32_t n = 0; n < BCO_NUMBERS; n++) {
		const struct bco_home *home = &g->homes[n];

		if (home->at != at)
			continue;
		if (lately(g, home->shared_ns) ||
		    (n + 1 != asker >> 32 && lately(g, home->came_ns)))
			*sure = false;
		if (g->up[n]) {
			up = g->up[n];
			nr_up++;
		} else {
			down = home->node;
			nr_down++;
		}
	}
	if (nr_up)
		return nr_up == 1 ? up : 0;
	return nr_down == 1 ? down : 0;
}

uint32_t bco_address_ids(struct bco *g, const struct hs_wire_answer *a,
			 struct hs_wire_crumb *to, bool *cut)
{
	const struct hs_wire_crumb *from = (const void *)(a + 1);
	uint32_t nr = 0;
	bool any = false;

	for (uint32_t i = 0; i < a->nr_crumbs; i++)
		any |= hs_node_is_at(from[i].node);
	for (uint32_t i = 0; i < a->nr_crumbs; i++) {
		bool sure = true;

		to[nr] = from[i];
		if (hs_node_is_at(from[i].node)) {
			to[nr].node = who_is(g, from[i].node, a->node, &sure);
			to[nr].kind = HS_WIRE_CRUMB_ADDRESS;
			sure &= to[nr].node != 0;
			g->addresses++;
			g->addresses_lost += !sure;
			*cut |= !sure;
			if (to[nr].node >> 32 == a->node >> 32)
				continue;
		}
		nr += !any || to[nr].node;
	}
	return nr;
}

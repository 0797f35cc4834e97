/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.c - a port that reads slices where they lie in the pool, for as long as
 * a device would: until after the answer at times, and whatever becomes of the
 * trace meanwhile. What it is lent must not change before it gives it back.
 *
 * What is lent and for how long follows from the slice, so that other draws
 * stay what they were.
 */
#include "base/crc32c.h"
#include "base/hash.h"
#include "tests/sim/sim.h"

#define LATE_ONE_IN 32u

static uint64_t draw(const struct sim *s, const struct sim_node *n,
		     uint64_t ship_key)
{
	return hs_hash_mix64(ship_key ^ hs_hash_mix64(s->p.seed ^ n->id));
}

static uint32_t sum(const struct sim_node *n, const struct sim_loan *l)
{
	return hs_crc32c(0, n->pool + l->at, l->length_bytes);
}

bool sim_port_lend(struct sim *s, uint32_t node,
		   const struct hs_agent_slice *slice, uint64_t at)
{
	struct sim_node *n = &s->nodes[node];
	uint64_t r = draw(s, n, slice->head.ship_key);
	uint64_t wait_ns = (r >> 8) % (20 * SIM_MS);
	uint32_t i = 0;

	/* A buffer's header changes while it is written: that goes as a copy.
	 */
	if (r % 2 || (!slice->head.final && !slice->head.offset))
		return false;
	while (i < SIM_LOANS && n->loans[i].live)
		i++;
	if (i == SIM_LOANS)
		return false;
	n->loans[i] = (struct sim_loan){
		.live = true,
		.honest = slice->domain < s->p.nr_domains,
		.ship_key = slice->head.ship_key,
		.at = at,
		.length_bytes = slice->head.length_bytes,
	};
	n->loans[i].crc = sum(n, &n->loans[i]);
	if (r / 2 % LATE_ONE_IN == 0)
		wait_ns += 300 * SIM_MS;
	sim_push(s, s->now_ns + wait_ns, SIM_EV_PORT, node, i, n->gen, NULL);
	s->t.lent++;
	return true;
}

void sim_port_done(struct sim *s, uint32_t node, uint32_t loan)
{
	struct sim_node *n = &s->nodes[node];
	struct sim_loan *l = &n->loans[loan];

	l->live = false;
	if (l->honest && sum(n, l) != l->crc)
		sim_fail(s,
			 "node%u: memory changed under the port that reads "
			 "it",
			 n->number);
	hs_agent_core_returned(n->core, l->ship_key, l->length_bytes);
}

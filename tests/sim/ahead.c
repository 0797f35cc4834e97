/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.c - tables of crumbs that coordinators read while agents write them
 *
 * A read takes less than a message, since no agent has to run for it, and
 * nothing it brings is sure: what stood there when it was asked for, or when it
 * came, or half of each; with a bit turned; nothing at all; or what a table
 * says that somebody filled who wants the coordinator to ask the wrong nodes,
 * with check words that fit. No law may depend on any of it.
 */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core_internal.h"
#include "rdma/crumbs.h"
#include "tests/sim/sim.h"

#define ENTRIES 64u /* few: traces push each other out */
#define BUCKETS (ENTRIES / HS_CRUMB_WAYS)

struct sim_read {
	uint32_t coord, coord_gen, node, node_gen;
	uint64_t id; /* of the node that it was asked of */
	uint64_t offset, cookie;
	struct hs_crumb_bucket then; /* when it was asked for */
};

void sim_ahead_draw(struct sim_params *p, uint64_t seed)
{
	struct hs_random r;

	hs_random_seed(&r, seed ^ 0xa4eadull);
	p->ahead = hs_random_chance(&r, 0.5);
	p->read_bad = hs_random_chance(&r, 0.6) ? hs_random_f64(&r) * 0.8 : 0;
	p->read_lies = hs_random_chance(&r, 0.5) ? hs_random_f64(&r) * 0.5 : 0;
}

/* Each worker begins with an empty one, and a key of its own. */
void sim_ahead_table(struct sim *s, struct sim_node *n)
{
	uint8_t key[16];

	n->config.crumb_buckets = NULL;
	free(n->crumbs);
	n->crumbs = NULL;
	/* A device here and there has no windows. */
	if (!s->p.ahead || hs_random_chance(&s->ahead, 0.1))
		return;
	hs_random_fill(&s->ahead, key, sizeof(key));
	n->config.crumb_table = hs_crumbs_table_make(n->id, ENTRIES, key);
	n->crumbs = sim_zalloc(1, hs_crumbs_bytes(&n->config.crumb_table));
	n->config.crumb_buckets = n->crumbs;
}

void sim_ahead_told(struct sim *s, uint32_t i, uint32_t node)
{
	const struct sim_node *n = &s->nodes[node];
	struct sim_coord *c = &s->coords[i];

	if (n->crumbs &&
	    hs_coord_core_table(c->core, s->now_ns + (uint64_t)c->clock_ns,
				n->id, &n->config.crumb_table,
				sizeof(n->config.crumb_table),
				hs_crumbs_bytes(&n->config.crumb_table)))
		sim_fail(s, "coord%u refuses the table of an honest node", i);
}

bool sim_ahead_read(struct sim *s, uint32_t i, uint64_t node, uint64_t offset,
		    uint32_t size, uint64_t cookie)
{
	uint32_t at = (uint32_t)(node >> 32) - 1;
	const struct sim_node *n = &s->nodes[at];
	struct sim_read *r;

	if (at >= s->p.nr_nodes || !n->crumbs || size != sizeof(r->then) ||
	    offset > hs_crumbs_bytes(&n->config.crumb_table) - size) {
		sim_fail(s, "coord%u reads where nothing is", i);
		return false;
	}
	if (hs_random_chance(&s->ahead, s->p.read_bad / 8))
		return false;
	r = sim_zalloc(1, sizeof(*r));
	*r = (struct sim_read){
		i,    s->coords[i].gen, at,	n->gen,
		node, offset,		cookie, n->crumbs[offset / size]};
	s->t.reads++;
	sim_push(s,
		 s->now_ns + 2 * s->p.delay_min_ns +
			 hs_random_below(&s->ahead, s->p.delay_max_ns -
							    s->p.delay_min_ns +
							    1),
		 SIM_EV_READ, i, at, 0, r);
	return true;
}

void sim_ahead_dies(struct sim *s, uint32_t i)
{
	const struct hs_coord_core *c = s->coords[i].core;

	for (uint32_t n = 1; n <= c->traces.fresh; n++) {
		const struct hs_coord_trace *trace = hs_coord_trace(c, n);
		uint32_t t = trace->state == HS_COORD_FREE
				     ? UINT32_MAX
				     : ora_trace_find(s, &trace->id);

		if (t == UINT32_MAX)
			continue;
		for (uint32_t v = trace->visits; v;
		     v = hs_coord_visit(c, v)->next) {
			const struct hs_coord_visit *visit =
				hs_coord_visit(c, v);
			struct ora_visit *there =
				ora_visit_find(s, t, visit->id);

			if (!there)
				continue;
			there->hint_died |= visit->hinted;
			there->known_died = true;
		}
	}
}

/* What the table says if whoever fills it likes to mislead. */
static void lie(struct sim *s, const struct sim_node *n,
		struct hs_crumb_bucket *b)
{
	struct hs_crumb_bucket *all = sim_zalloc(BUCKETS, sizeof(*all));
	const struct hs_crumb_entry *e =
		&b->ways[hs_random_below(&s->ahead, HS_CRUMB_WAYS)];
	uint64_t hi = e->hi, lo = e->lo;
	uint32_t nr = 1 + (uint32_t)hs_random_below(&s->ahead, 14);

	if (!(hi | lo) || hs_random_chance(&s->ahead, 0.3)) {
		uint32_t t =
			(uint32_t)hs_random_below(&s->ahead, s->nr_traces + 1);

		hi = t < s->nr_traces ? s->traces[t].id.hi : 1;
		lo = t < s->nr_traces ? s->traces[t].id.lo : 1;
	}
	while (nr--) {
		uint32_t k =
			(uint32_t)hs_random_below(&s->ahead, s->p.nr_nodes + 1);
		uint64_t id = k < s->p.nr_nodes ? s->nodes[k].id
						: hs_random_u64(&s->ahead);

		id += hs_random_chance(&s->ahead, 0.2);
		id -= hs_random_chance(&s->ahead, 0.2);
		hs_crumbs_add(&n->config.crumb_table, all, hi, lo, id);
	}
	*b = all[hs_crumbs_bucket(&n->config.crumb_table, hi, lo)];
	free(all);
}

/* Return: false: it comes to nothing. */
static bool bring(struct sim *s, const struct sim_read *r,
		  struct hs_crumb_bucket *b)
{
	const struct sim_node *n = &s->nodes[r->node];
	bool there = n->up && n->gen == r->node_gen;
	size_t at = hs_random_below(&s->ahead, sizeof(*b));

	*b = there ? n->crumbs[r->offset / sizeof(*b)] : r->then;
	if (there && hs_random_chance(&s->ahead, s->p.read_lies))
		lie(s, n, b);
	if (!hs_random_chance(&s->ahead, s->p.read_bad))
		return there;
	switch (hs_random_below(&s->ahead, 4)) {
	case 0:
		*b = r->then;
		return true;
	case 1:
		memcpy(b, &r->then, at);
		return true;
	case 2:
		((uint8_t *)b)[at] ^= (uint8_t)(1u << at % 8);
		return true;
	default:
		return false;
	}
}

void sim_ahead_deliver(struct sim *s, struct sim_read *r)
{
	struct sim_coord *c = &s->coords[r->coord];
	struct hs_crumb_bucket b;
	uint64_t sum = 0;
	bool came;

	if (!c->up || c->gen != r->coord_gen) {
		free(r);
		return;
	}
	came = bring(s, r, &b);
	for (uint32_t i = 0; came && i < HS_CRUMB_WAYS; i++)
		sum ^= b.ways[i].check;
	sim_mix(s, sum);
	sim_coord_read(s, r->coord, r->id, r->cookie, came ? &b : NULL,
		       sizeof(b));
	free(r);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tenant.c - the domains of a node: each tenant's processes have a pool, a
 * ledger and a budget of their own, and what one does takes nothing from
 * another. The same trace may be in several: the fired trace is the node's, and
 * then alone a call for one domain may touch another (ADR 3).
 */
#include "agent/core_priv.h"
#include "tests/sim/sim.h"

/* Half of a pool at least is for traces, as the worker sees to. */
static uint32_t least_buffers(const struct sim_params *p, uint32_t domain)
{
	uint32_t units = 0, nr = 0;

	for (uint32_t i = 0; i < p->nr_procs; i++)
		nr += sim_domain_of(p, i) == domain;
	for (uint32_t c = 0, size = 1; c < p->nr_classes; c++) {
		units += sim_ring_words(p, c) * size * nr;
		size *= p->class_factor;
	}
	return units < 24 ? 48 : 2 * units;
}

/* The first is as the seed says; other tenants differ from it. */
void sim_domains_create(const struct sim *s, struct sim_node *n)
{
	static const uint32_t parts[] = {1, 2, 4, 8};
	static const uint32_t bytes[] = {256, 512, 1024};
	const struct sim_params *p = &s->p;
	struct hs_random r;
	uint64_t at = 0;

	hs_random_seed(&r, p->seed ^ 0x7e4a7ull);
	for (uint32_t d = 0; d < sim_nr_domains(p); d++) {
		struct hs_agent_domain_config *c = &n->domains[d];

		c->nr_buffers = p->nr_buffers;
		c->buffer_bytes = p->buffer_bytes;
		c->nr_classes = p->nr_classes;
		c->class_factor = p->class_factor;
		c->chunk_units = p->chunk_units;
		n->pool_at[d] = at;
		if (d && d < p->nr_domains) {
			c->nr_buffers = p->nr_buffers *
					parts[hs_random_below(&r, 4)] / 4;
			c->buffer_bytes = bytes[hs_random_below(&r, 3)];
			c->weight = (uint32_t)hs_random_below(&r, 4);
			if (c->nr_buffers < least_buffers(p, d))
				c->nr_buffers = least_buffers(p, d);
		}
		if (p->tight && d < p->nr_domains)
			c->nr_buffers = least_buffers(p, d) +
					(uint32_t)hs_random_below(&r, 64);
		at += sim_domain_bytes(n, d);
	}
	n->pool = sim_zalloc(1, at);
}

uint64_t sim_domain_bytes(const struct sim_node *n, uint32_t domain)
{
	return (uint64_t)n->domains[domain].nr_buffers *
	       n->domains[domain].buffer_bytes;
}

void sim_tenant_calls(const struct sim *s, struct sim_node *n, uint32_t domain)
{
	const struct hs_agent_core *c = n->core;
	struct sim_tenants *t = &n->tenants;

	judge_share_begin(n);
	t->calling = domain + 1;
	t->evicted = c->stats.traces_evicted;
	t->crumbs_lost = c->stats.crumbs_lost;
	for (uint32_t d = 0; d < sim_nr_domains(&s->p); d++) {
		t->was[d].traces = c->domains[d].nr_traces_live;
		t->was[d].stocked = c->domains[d].nr_stocked;
		t->was[d].held = c->domains[d].nr_held;
		t->was[d].pinned = c->domains[d].nr_pinned;
	}
}

void sim_tenant_died(struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;
	struct sim_tenants *t = &n->tenants;

	if (!t->calling)
		return;
	t->nr_evicted[t->calling - 1] += c->stats.traces_evicted - t->evicted;
	t->nr_crumbs_lost[t->calling - 1] +=
		c->stats.crumbs_lost - t->crumbs_lost;
	t->calling = 0;
}

void sim_tenant_called(struct sim *s, struct sim_node *n, bool fires)
{
	const struct hs_agent_core *c = n->core;
	struct sim_tenants *t = &n->tenants;
	uint32_t domain = t->calling - 1;
	/* What fires or is given up is so in all of the node's domains. */
	bool all = fires || c->stats.traces_abandoned != n->share.abandoned;

	judge_share_end(s, n, false);
	sim_tenant_died(n);
	for (uint32_t d = 0; d < sim_nr_domains(&s->p); d++) {
		const struct hs_domain *x = &c->domains[d];

		if (d == domain)
			continue;
		s->t.checks++;
		if (x->nr_traces_live == t->was[d].traces &&
		    x->nr_stocked == t->was[d].stocked &&
		    (all || (x->nr_held == t->was[d].held &&
			     x->nr_pinned == t->was[d].pinned)))
			continue;
		sim_fail(s,
			 "node%u: what domain %u does changes what domain %u "
			 "has",
			 n->number, domain, d);
	}
}

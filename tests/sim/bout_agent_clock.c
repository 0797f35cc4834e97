/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_clock.c - the moments at which an agent must do something: the
 * bout comes to them to the nanosecond, or is one early or late
 *
 * From numbers of its own, and only where sim_params say so: without it all
 * else is drawn as it was.
 */
#include <string.h>

#include "tests/sim/bout_agent.h"

#define PATIENCE_NS (5 * SIM_S)

struct moments {
	uint64_t now_ns, picked_ns;
	struct hs_random *r;
	uint32_t nr, name;
	enum bag_due due;
};

/* Each that is not far is as likely as every other one. */
static bool moment_for(struct moments *m, uint64_t at_ns, enum bag_due due)
{
	if (at_ns <= m->now_ns + 1 || at_ns - m->now_ns > 30 * SIM_S ||
	    hs_random_below(m->r, ++m->nr))
		return false;
	m->picked_ns = at_ns;
	m->due = due;
	return true;
}

static void moment(struct moments *m, uint64_t at_ns)
{
	moment_for(m, at_ns, BAG_DUE_ROUND);
}

static void of_traces(const struct bag *g, struct moments *m, uint32_t t)
{
	const struct bag_fired *f = &g->fired[t];

	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		const struct bag_trace *x = &g->domains[k].traces[t];

		if (x->there && f->live)
			moment(m, x->last_ns + g->config.remember_ns);
	}
	if (!f->live)
		return;
	moment(m, f->last_ns + g->config.remember_ns);
	moment(m, f->last_ns + g->patience_ns);
	moment(m, f->first_ns + g->config.open_ship_ns);
	if (f->update_key)
		moment(m, f->update_ns);
	if (f->told.state == HS_WIRE_STATE_OPEN)
		moment(m, f->open_ns + g->config.open_ship_ns / 2);
}

static void of_names(const struct bag *g, struct moments *m, uint32_t i)
{
	const struct hs_agent_trigger_policy *p = bag_policy_of(g, i);

	moment(m, g->name_even_ns[i]);
	moment(m, g->name_even_ns[i] + 50 * SIM_MS);
	if (!p || !p->rate_per_s || i > BAG_NR_NAMES)
		return;
	if (moment_for(m, g->even_ns[i] + SIM_S, BAG_DUE_TRIGGER) ||
	    moment_for(m, g->even_ns[i] + SIM_S / p->rate_per_s,
		       BAG_DUE_TRIGGER))
		m->name = i;
}

static void of_losses(const struct bag *g, struct moments *m,
		      const struct bag_domain *d)
{
	for (uint32_t i = 0; i < BAG_PROCS; i++)
		for (uint32_t k = 0; k < d->losses[i].nr; k++)
			moment_for(m,
				   d->losses[i].last_ns[k] + g->config.taint_ns,
				   BAG_DUE_LOSS);
}

enum bag_due bag_exact(struct bag *g)
{
	struct moments m = {.now_ns = g->now_ns, .r = &g->clock};

	if (!hs_random_chance(&g->clock, 0.3))
		return BAG_DUE_NOTHING;
	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		if (g->groups[i].live)
			moment(&m, g->groups[i].next_ns);
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		of_traces(g, &m, t);
	for (uint32_t i = 0; i < BAG_ALL_NAMES; i++)
		of_names(g, &m, i);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		of_losses(g, &m, &g->domains[k]);
	moment(&m, g->scan_ns + g->gap_ns);
	moment(&m, g->forget_ns + SIM_MS);
	moment(&m, g->swept_ns + PATIENCE_NS);
	moment(&m, g->bytes_even_ns);
	moment(&m, g->bytes_even_ns + 50 * SIM_MS);
	moment(&m, g->kept_since_ns + g->config.taint_ns);
	if (!m.nr)
		return BAG_DUE_NOTHING;
	g->now_ns = m.picked_ns - 1 + hs_random_below(&g->clock, 3);
	g->due_name = m.name;
	return hs_random_chance(&g->clock, 0.7) ? m.due : BAG_DUE_NOTHING;
}

/* ---- scans ----------------------------------------------------------------
 */

/* Scans take a fifth of the time at most, and none waits for long. */
static void scan_took(struct bag *g)
{
	static const uint64_t took_ns[] = {0,	  1249,	 1250,	1251,
					   24999, 25000, 25001, 1000000};
	uint64_t ns = took_ns[hs_random_below(&g->clock, 8)];

	hs_agent_core_scan_took(g->core, ns);
	g->gap_ns = 4 * ns;
	if (g->gap_ns < 5000)
		g->gap_ns = 5000;
	if (g->gap_ns > 100000)
		g->gap_ns = 100000;
}

/* When a coordinator hears something at the earliest: after a scan. */
static void says(struct bag *g)
{
	uint64_t is = hs_agent_core_says_ns(g->core), due_ns = UINT64_MAX;
	uint64_t scan_ns = g->scan_ns + g->gap_ns;

	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		if (g->groups[i].live && g->groups[i].next_ns < due_ns)
			due_ns = g->groups[i].next_ns;
	if (g->nr_pending)
		bag_differs(g, "when a question is answered", is, scan_ns);
	else if (due_ns < scan_ns)
		bag_differs(g, "when a trigger goes", is, scan_ns);
	else if (is > due_ns || is < scan_ns)
		sim_fail(g->s, BAG "a trigger goes at another time");
}

/* ---- coordinators ---------------------------------------------------------
 */

/* What one that is silent owes, or none has, goes at once, to the next. */
static void silent(struct bag *g)
{
	uint32_t number = 100 + (uint32_t)hs_random_below(&g->clock, 2);
	bool owes = false, is;

	is = hs_agent_core_coordinator_silent(g->core, number, g->now_ns);
	for (uint32_t i = 0; i < BAG_GROUPS; i++) {
		struct bag_group *x = &g->groups[i];

		if (!x->live || !x->attempt || (x->to && x->to != number))
			continue;
		x->next_ns = g->now_ns;
		owes = true;
	}
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		struct bag_fired *f = &g->fired[t];

		if (!f->live || !f->update_key ||
		    (f->update_to && f->update_to != number))
			continue;
		f->update_ns = g->now_ns;
		owes = true;
	}
	bag_differs(g, "whether a silent one owes anything", is, owes);
	g->want.coordinators_silent += owes;
}

/* It acknowledges what is behind the last that there may be. */
static void stored_behind(struct bag *g)
{
	struct hs_wire_stored m = {BAG_NODE, 1};

	m.key |= (uint64_t)g->config.nr_fired << 40 | 1ull << 63;
	hs_agent_core_message(g->core, 100ull << 32, HS_WIRE_STORED, &m,
			      sizeof(m), g->now_ns);
	m.key = (uint64_t)g->config.nr_groups << 40 | 1;
	hs_agent_core_message(g->core, 100ull << 32, HS_WIRE_STORED, &m,
			      sizeof(m), g->now_ns);
}

/* It is busy while it waits for nothing but its own turn. */
static void busy(struct bag *g)
{
	struct hs_agent_queue_stats q;
	bool is;

	hs_agent_core_queue_stats_get(g->core, &q);
	is = q.changed || g->nr_pending ||
	     g->core->nr_queued != g->core->nr_away;
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++)
		is |= g->seeks[k].nr != 0;
	bag_differs(g, "whether it is busy", hs_agent_core_busy(g->core), is);
}

/* Losses stand in the ledger as they were: a successor goes on with them. */
static void losses(struct bag *g, const struct bag_domain *d)
{
	const struct hs_domain *is = &g->core->domains[d->id];

	for (uint32_t i = 0; i < BAG_PROCS; i++) {
		const struct bag_loss *l = &d->losses[i];
		const struct hs_ledger_losses *at = is->losses;

		while (l->nr && at < is->losses + HS_LEDGER_PROCESSES &&
		       !(at->nr && at->process == l->process))
			at++;
		if (!l->nr || at == is->losses + HS_LEDGER_PROCESSES) {
			bag_differs(g, "losses that are not there", l->nr, 0);
			continue;
		}
		bag_differs(g, "losses of a process", at->nr, l->nr);
		for (uint32_t k = 0; k < at->nr && k < l->nr; k++) {
			bag_differs(g, "where a loss begins",
				    at->at[k].first_ns, l->first_ns[k]);
			bag_differs(g, "where it ends", at->at[k].last_ns,
				    l->last_ns[k]);
		}
	}
}

/* How many hold a trace, and how many are held by nobody. */
static void holds(struct bag *g)
{
	const struct hs_agent_core *c = g->core;
	uint32_t abandoned = 0;

	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		uint32_t f = hs_fired_find(c, g->ids[t].hi, g->ids[t].lo);
		uint32_t nr = 0;

		if (f == HS_NIL)
			continue;
		abandoned += hs_fired_abandoned(c, f);
		for (uint32_t i = c->fired_rt[f].hold_first; i != HS_NIL;
		     i = c->holds[i].next)
			nr++;
		bag_differs(g, "holds of a trace", c->fired_rt[f].nr_holds, nr);
	}
	bag_differs(g, "traces that nobody holds", c->nr_abandoned, abandoned);
}

void bag_moments(struct bag *g)
{
	says(g);
	busy(g);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		losses(g, &g->domains[k]);
	holds(g);
	if (hs_random_chance(&g->clock, 0.05))
		bag_renames(g,
			    &g->procs[hs_random_below(&g->clock, BAG_PROCS)]);
	if (hs_random_chance(&g->clock, 0.02))
		bag_loses(g, &g->procs[hs_random_below(&g->clock, BAG_PROCS)]);
	if (hs_random_chance(&g->clock, 0.05))
		scan_took(g);
	if (hs_random_chance(&g->clock, 0.01))
		silent(g);
	if (hs_random_chance(&g->clock, 0.005))
		stored_behind(g);
	if (hs_random_chance(&g->clock, 0.02))
		bag_links(g);
	/* His policy as it is, once more: nothing changes. */
	if (hs_random_chance(&g->clock, 0.03))
		hs_agent_core_policy_set(g->core, &g->config);
}

/* ---- for how long ---------------------------------------------------------
 */

static uint64_t part(uint64_t used, uint64_t all)
{
	uint64_t left = used < all ? 4 * 1024 * (all - used) / all : 0;

	return left < 1024 ? left : 1024;
}

/* The less the more of the table, or of a half of what domains have, is taken
 * by what has fired: from three quarters on, down to a second. */
void bag_patience(struct bag *g)
{
	uint64_t least, live = 0, of;

	for (uint32_t t = 0; t < BAG_TRACES; t++)
		live += g->fired[t].live;
	least = part(live, g->config.nr_fired);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		const struct bag_domain *d = &g->domains[k];
		uint64_t traces = 0, crumbs = 0;

		for (uint32_t t = 0; t < BAG_TRACES; t++) {
			if (!d->traces[t].there || !g->fired[t].live)
				continue;
			traces++;
			crumbs += d->traces[t].nr_crumbs;
		}
		of = part(traces, d->config.nr_traces / 2);
		least = of < least ? of : least;
		of = part(crumbs, d->config.nr_crumbs / 2);
		least = of < least ? of : least;
	}
	g->patience_ns = g->config.remember_ns / 1024 * least;
	if (g->patience_ns < SIM_S)
		g->patience_ns = SIM_S;
	g->forgets = live && g->now_ns - g->forget_ns >= SIM_MS;
}

/* Whether the time is over for which it is remembered. */
bool bag_over(const struct bag *g, uint32_t t)
{
	const struct bag_fired *f = &g->fired[t];
	uint64_t last = f->last_ns, patience = g->patience_ns;

	/* An open one is looked at, and so not old. */
	if (f->told.state == HS_WIRE_STATE_OPEN)
		patience = g->config.remember_ns;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		const struct bag_trace *x = &g->domains[k].traces[t];

		if (x->there && x->last_ns > last)
			last = x->last_ns;
	}
	return g->now_ns - last >= patience;
}

/* What a tick should have forgotten, and has not. */
void bag_due_forgotten(struct bag *g)
{
	for (uint32_t t = 0; g->forgets && t < BAG_TRACES; t++) {
		const struct bag_fired *f = &g->fired[t];
		uint32_t nr_buffers = 0, i;

		for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
			const struct bag_trace *x = &g->domains[k].traces[t];

			nr_buffers += x->there ? x->nr_buffers : 0;
		}
		if (!f->live || nr_buffers || f->nr_groups || f->update_key ||
		    !bag_over(g, t))
			continue;
		/* Or it has something to say first. */
		i = hs_fired_find(g->core, g->ids[t].hi, g->ids[t].lo);
		if (i < g->core->nr_again && g->core->fired_rt[i].adopted)
			continue;
		if (i != HS_NIL && !g->core->fired_rt[i].dirty)
			sim_fail(g->s, BAG "it is remembered for too long");
	}
}

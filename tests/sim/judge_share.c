/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_share.c - who gave way: that something was given up only where there
 * was too little of something, by an order that is the same on every node, as
 * a whole lateral group, and that it is said so
 *
 * The order is the oracle's own: the hash of the group's primary trace under
 * the cluster's key, and not what an agent believes it to be. So whatever two
 * agents give up and keep of a trigger, no two of them disagree on it.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/core_priv.h"
#include "base/hash.h"
#include "rdma/wire.h"
#include "tests/sim/sim.h"

static uint64_t order_of(const struct sim *s,
			 const struct hs_wire_trace_id *primary)
{
	return hs_hash_siphash(s->cluster_key, primary, sizeof(*primary));
}

static bool same_group(const struct hs_hold *a, const struct hs_hold *b)
{
	return a->trigger == b->trigger &&
	       hs_wire_trace_equal(&a->primary, &b->primary);
}

/* ---- before and after a call ------------------------------------------------
 */

/* Half of a domain is pinned, or the table of fired traces is nearly full. */
static bool pressed(const struct hs_agent_core *c)
{
	uint32_t nr = c->config.nr_fired;

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		const struct hs_domain *d = &c->domains[c->domain_order[k]];

		if (d->nr_pinned > d->nr_buffers / 2)
			return true;
	}
	return c->nr_fired - c->nr_abandoned > nr - nr / 8;
}

static uint64_t nr_groups_abandoned(const struct hs_agent_core *c)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < c->nr_triggers; i++)
		nr += c->triggers[i].groups_abandoned;
	return nr;
}

void judge_share_begin(struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;

	n->share = (struct sim_share){
		.abandoned = c->stats.traces_abandoned,
		.groups_abandoned = nr_groups_abandoned(c),
		.holds_refused = c->stats.holds_refused,
		.holds_free = c->nr_holds_free,
		.pressed = pressed(c),
	};
}

static struct ora_let *note_group(struct sim *s, const struct sim_node *n,
				  const char *name,
				  const struct hs_wire_trace_id *primary)
{
	struct ora_let *l;

	if (s->nr_lets == s->room_lets) {
		s->room_lets = s->room_lets ? 2 * s->room_lets : 64;
		s->lets = realloc(s->lets, s->room_lets * sizeof(*s->lets));
		if (!s->lets)
			abort();
	}
	l = &s->lets[s->nr_lets++];
	*l = (struct ora_let){
		.node = n->number - 1, .node_id = n->id, .order = s->order};
	l->primary = ora_trace_find(s, primary);
	memcpy(l->name, name, sizeof(l->name));
	return l;
}

/* Why there is a group in the agent's memory of them is judged as it gets
 * there. */
static bool is_let(const struct sim *s, const struct sim_node *n,
		   const struct hs_wire_trigger *trigger)
{
	struct hs_agent_core *c = n->core;

	for (uint32_t i = 0; i < c->nr_triggers; i++)
		if (!strcmp(c->triggers[i].name, trigger->name))
			return hs_let_known(c, i, &trigger->primary,
					    sim_node_now(s, n));
	return false;
}

/* The group that named it first had been given up there. */
static bool goes_with_group(const struct sim *s, const struct sim_node *n,
			    const struct hs_wire_trigger *trigger)
{
	uint32_t primary = ora_trace_find(s, &trigger->primary);

	for (uint32_t i = 0; i < s->nr_lets; i++)
		if (s->lets[i].node_id == n->id &&
		    s->lets[i].primary == primary &&
		    !strcmp(s->lets[i].name, trigger->name))
			return true;
	return false;
}

/* What it has given up since, for the end; and whether it had reason to. */
static void note(struct sim *s, struct sim_node *n, bool reason)
{
	const struct hs_agent_core *c = n->core;

	for (uint32_t i = 0; i < c->config.nr_fired; i++) {
		const struct hs_ledger_fired *f = &c->fired[i];
		struct ora_visit *v;
		uint32_t t;

		if (!f->live || !(f->flags & HS_WIRE_F_ABANDONED))
			continue;
		t = ora_trace_find(s, &f->trace);
		if (t == UINT32_MAX)
			continue;
		v = ora_visit_get(s, t, n->id);
		if (v->abandoned)
			continue;
		v->abandoned = s->order;
		s->t.abandoned++;
		s->t.checks++;
		sim_story(s, n->number - 1, "gives up trace %u", t);
		if (!reason && !goes_with_group(s, n, &f->trigger) &&
		    !is_let(s, n, &f->trigger))
			sim_fail(s,
				 "node%u gives up a trace, and lacks nothing",
				 n->number);
	}
}

void judge_share_died(struct sim *s, struct sim_node *n)
{
	note(s, n, true);
}

/* One of its traces went, and had been named by it first. */
static bool stands_in_ledger(const struct sim *s, const struct hs_agent_core *c,
			     const struct ora_let *l)
{
	for (uint32_t i = 0; i < c->config.nr_fired; i++) {
		const struct hs_ledger_fired *f = &c->fired[i];

		if (f->live && f->flags & HS_WIRE_F_ABANDONED &&
		    !strcmp(f->trigger.name, l->name) &&
		    ora_trace_find(s, &f->trigger.primary) == l->primary)
			return true;
	}
	return false;
}

/* A successor knows but the first group that named what was given up, and no
 * group of which everything was kept for another one. */
void judge_share_adopted(struct sim *s, struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;

	note(s, n, true);
	for (uint32_t i = 0; i < s->nr_lets; i++)
		if (s->lets[i].node_id == n->id &&
		    !stands_in_ledger(s, c, &s->lets[i]))
			s->lets[i].died = true;
	for (uint32_t i = 0; i < c->config.nr_fired; i++)
		if (c->fired[i].live && c->fired[i].flags & HS_WIRE_F_ABANDONED)
			note_group(s, n, c->fired[i].trigger.name,
				   &c->fired[i].trigger.primary)
				->by_successor = true;
}

/* ---- one group --------------------------------------------------------------
 */

/* What is kept in @domain, has settled and waits, and is lower than @a. */
static bool keeps_lower(const struct sim *s, const struct hs_agent_core *c,
			const struct hs_hold *a, uint32_t domain)
{
	uint64_t order = order_of(s, &a->primary);

	for (uint32_t i = 0; i < c->nr_holds; i++) {
		const struct hs_hold *b = &c->holds[i];

		if (b->in_use && b->queued && !b->young &&
		    b->domain == domain && b->trigger == a->trigger &&
		    order_of(s, &b->primary) < order)
			return true;
	}
	return false;
}

static bool keeps_a_part(const struct hs_agent_core *c, const struct hs_hold *a)
{
	for (uint32_t i = 0; i < c->nr_holds; i++)
		if (c->holds[i].in_use && same_group(a, &c->holds[i]))
			return true;
	return false;
}

/*
 * One that let go in this tick; its holds were @nr, the newest of the free
 * ones. It had to give way in one of its domains at least, and was the lowest
 * there; in the others it goes with it.
 */
static void let_go(struct sim *s, const struct sim_node *n, uint32_t x,
		   uint32_t nr)
{
	const struct hs_agent_core *c = n->core;
	const struct hs_hold *a = &c->holds[x];
	bool lowest = false, first = true, anywhere = false;

	for (uint32_t i = c->hold_free; nr; nr--, i = c->holds[i].next) {
		const struct hs_hold *b = &c->holds[i];

		if (!same_group(a, b))
			continue;
		/* Looked at with the first of them that is remembered. */
		if (c->fired[b->fired].live) {
			first &= anywhere || i == x;
			anywhere = true;
		}
		lowest |= b->domain == HS_HOLD_NOWHERE ||
			  !keeps_lower(s, c, a, b->domain);
	}
	if (!first)
		return;
	s->t.checks++;
	if (keeps_a_part(c, a))
		sim_fail(s, "node%u gives up a part of a lateral group",
			 n->number);
	if (!lowest)
		sim_fail(s,
			 "node%u gives up a group of trigger %s and keeps "
			 "what is lower for all nodes",
			 n->number, c->triggers[a->trigger].name);
	note_group(s, n, c->triggers[a->trigger].name, &a->primary);
}

/* The same of what let go in the midst of something, where holds ran out: it is
 * known by the group that named a trace first. */
static void ran_out(struct sim *s, const struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;

	if (nr_groups_abandoned(c) != n->share.groups_abandoned &&
	    c->stats.holds_refused == n->share.holds_refused)
		sim_fail(s, "node%u gives up a group, and lacks nothing",
			 n->number);
	for (uint32_t i = 0; i < c->config.nr_fired; i++) {
		const struct hs_ledger_fired *f = &c->fired[i];
		const struct hs_wire_trigger *why = &f->trigger;
		struct hs_hold a = {.primary = why->primary};

		if (!f->live || !(f->flags & HS_WIRE_F_ABANDONED) ||
		    goes_with_group(s, n, why))
			continue;
		while (strcmp(c->triggers[a.trigger].name, why->name))
			a.trigger++;
		s->t.checks++;
		if (keeps_a_part(c, &a))
			sim_fail(s, "node%u gives up a part of a lateral group",
				 n->number);
		if (is_let(s, n, why))
			note_group(s, n, why->name, &why->primary);
	}
}

void judge_share_end(struct sim *s, struct sim_node *n, bool tick)
{
	const struct hs_agent_core *c = n->core;
	uint32_t nr = c->nr_holds_free - n->share.holds_free, i = c->hold_free;

	if (!tick && c->stats.traces_abandoned != n->share.abandoned)
		ran_out(s, n);

	/* What was forgotten is none of it. */
	for (uint32_t k = 0; tick && (int32_t)nr > 0 && k < nr && !s->failed;
	     k++, i = c->holds[i].next)
		if (c->fired[c->holds[i].fired].live)
			let_go(s, n, i, nr);
	if (c->stats.traces_abandoned != n->share.abandoned)
		note(s, n,
		     c->stats.holds_refused != n->share.holds_refused ||
			     (tick && n->share.pressed));
}

/* ---- at the end -------------------------------------------------------------
 */

static bool is_group(const struct ora_group *g, const struct ora_let *l)
{
	return g->traces[0] == l->primary && !strcmp(g->name, l->name);
}

/* Somebody else has fired it, too: it may be kept for that one. */
static bool named_otherwise(const struct sim *s, uint32_t t,
			    const struct ora_let *l)
{
	if (s->traces[t].crashed || s->traces[t].touched)
		return true;
	for (uint32_t g = 0; g < s->nr_groups; g++)
		for (uint32_t i = 0; i < s->groups[g].nr; i++)
			if (s->groups[g].traces[i] == t &&
			    !is_group(&s->groups[g], l))
				return true;
	return false;
}

/* Something of it came from there since. */
static bool came_since(struct sim *s, uint32_t t, const struct ora_let *l)
{
	const struct hs_wire_trace_id *id = &s->traces[t].id;
	const struct sim_stored *st =
		sim_coll_find(&s->colls[sim_coll_owner(s, id)], id);

	for (const struct sim_record *r = st ? st->first : NULL; r; r = r->next)
		if (!r->is_union && r->head.node == l->node_id &&
		    r->order > l->order)
			return true;
	return false;
}

/*
 * Whatever else was in the group must be given up there, or was forgotten after
 * it had all arrived.
 */
static void whole_or_absent(struct sim *s, const struct ora_group *g,
			    const struct ora_let *l)
{
	for (uint32_t i = 0; i < g->nr; i++) {
		uint32_t t = g->traces[i];
		const struct ora_visit *v = ora_visit_find(s, t, l->node_id);

		s->t.checks++;
		if (v && !v->abandoned && came_since(s, t, l) &&
		    !named_otherwise(s, t, l))
			sim_fail(s,
				 "node%u gave up the group of trace %u, and "
				 "kept trace %u of it",
				 l->node + 1, l->primary, t);
	}
}

void judge_share_groups(struct sim *s)
{
	for (uint32_t k = 0; k < s->nr_lets; k++) {
		const struct ora_let *l = &s->lets[k];

		if (l->by_successor || l->died ||
		    s->nodes[l->node].id != l->node_id ||
		    s->nodes[l->node].gone)
			continue;
		for (uint32_t g = 0; g < s->nr_groups && !s->failed; g++)
			if (is_group(&s->groups[g], l))
				whole_or_absent(s, &s->groups[g], l);
	}
}

/* All had come before it was fired again, forgotten, and given up. */
static bool had_come(const struct ora_visit *v)
{
	uint32_t i = 0;

	while (i < v->nr_revs && v->revs[i].state == HS_WIRE_STATE_UNKNOWN)
		i++;
	return i + 1 < v->nr_revs &&
	       v->revs[v->nr_revs - 1].state == HS_WIRE_STATE_UNKNOWN;
}

/* Or it was forgotten since, and fired again: then it was here, and is gone. */
static bool says_so(const struct ora_visit *v, enum hs_assembly_why why)
{
	return why == HS_ASSEMBLY_WHY_ABANDONED ||
	       (v->nr_revs &&
		!(v->revs[v->nr_revs - 1].flags & HS_WIRE_F_ABANDONED) &&
		(why == HS_ASSEMBLY_WHY_EVICTED ||
		 why == HS_ASSEMBLY_WHY_UNKNOWN));
}

/*
 * The coordinator that was told has died since, and who led it there has lost
 * its memory, or has forgotten: of what the collector has nothing names that
 * node, and the mark names others instead (seed 1796300957).
 */
static bool nobody_leads_there(const struct sim *s, uint32_t t,
			       const struct sim_coll *k, uint64_t node,
			       uint32_t nr_causes)
{
	static struct hs_assembly_node nodes[JUDGE_NODES_MAX];
	uint32_t nr;

	if (!judge_coordinator_died(s) || !nr_causes)
		return false;
	nr = hs_assembly_nodes(k->assembly, &s->traces[t].id, nodes,
			       JUDGE_NODES_MAX);
	for (uint32_t i = 0; i < nr; i++)
		if (nodes[i].node == node)
			return false;
	return nr < JUDGE_NODES_MAX;
}

/* What a node gave up of the trace the mark names. */
void judge_share_said(struct sim *s, uint32_t t, const struct sim_coll *k,
		      const struct hs_assembly_cause *causes, uint32_t nr)
{
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next) {
		const struct sim_node *n =
			&s->nodes[(uint32_t)(v->node >> 32) - 1];
		uint32_t i = 0;

		/* Of what was never there nothing was given up. */
		if (!v->abandoned || !v->named || n->id != v->node || n->gone ||
		    had_come(v))
			continue;
		while (i < nr && (causes[i].node != v->node ||
				  !says_so(v, causes[i].why)))
			i++;
		s->t.checks++;
		if (i == nr && !nobody_leads_there(s, t, k, v->node, nr))
			sim_fail(s,
				 "trace %u was given up at node%u, and its "
				 "mark does not say so",
				 t, n->number);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_end.c - when everything is healed and quiet: what had to arrive, what
 * its marks may name, and what must be gone
 */
#include "agent/core_priv.h"
#include "tests/sim/ship.h"
#include "tests/sim/tally.h"

static bool node_quiet(const struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;

	if (n->gone)
		return true;
	if (!n->up || c->nr_groups_live || c->nr_in_flight || c->nr_dirty ||
	    hs_agent_core_busy(c))
		return false;
	for (uint32_t i = 0; i < c->config.nr_fired; i++)
		if (c->fired[i].live && c->fired_rt[i].update_key)
			return false;
	return true;
}

bool judge_quiet(struct sim *s)
{
	if (s->nr_live_visits)
		return false;
	for (uint32_t i = 0; i < s->p.nr_nodes; i++)
		if (!node_quiet(&s->nodes[i]))
			return false;
	for (uint32_t i = 0; i < s->p.nr_coords; i++) {
		struct hs_coord_stats st;

		hs_coord_core_stats_get(s->coords[i].core, &st);
		if (st.nr_seeking || st.nr_telling || st.nr_requests ||
		    st.nr_waiting)
			return false;
	}
	for (uint32_t i = 0; i < s->p.nr_colls; i++)
		if (s->colls[i].syncing)
			return false;
	return sim_ship_quiet(s) && sim_tally_quiet(s);
}

bool judge_forgotten(struct sim *s)
{
	for (uint32_t i = 0; i < s->p.nr_nodes; i++) {
		const struct hs_agent_core *c = s->nodes[i].core;

		if (s->nodes[i].gone)
			continue;
		if (c->nr_fired)
			return false;
		for (uint32_t k = 0; k < c->nr_domains; k++)
			if (c->domains[c->domain_order[k]].nr_pinned)
				return false;
	}
	return true;
}

static bool refused_something(const struct hs_agent_stats *st)
{
	return st->collects_refused || st->triggers_refused ||
	       st->lost_index_full;
}

bool judge_memory_lost(const struct sim *s, uint64_t node)
{
	uint32_t i = (uint32_t)(node >> 32) - 1;

	return i < s->p.nr_nodes &&
	       (s->nodes[i].lost_memory || s->nodes[i].gone);
}

bool judge_coordinator_died(const struct sim *s)
{
	for (uint32_t i = 0; i < s->p.nr_coords; i++)
		if (s->coords[i].restarts)
			return true;
	return false;
}

/*
 * Somebody was found by the question of a coordinator that died since. What it
 * had found it took with it, and the question of the next one need not find it
 * again: that knows only who has come to it by then (seed 5130). Nor need there
 * be one: others may have told the next one more (the same seed, reading ahead,
 * whose first manifest, which said that there had been a question, was lost).
 */
static bool found_by_a_dead_one(const struct sim *s, uint32_t t)
{
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next)
		for (uint32_t k = 0; k < s->p.nr_coords; k++)
			if (v->found_life[k] &&
			    s->coords[k].restarts >= v->found_life[k])
				return true;
	return false;
}

/* The same of one that an entry of a table led to, and no answer named by
 * then: the entry was made up, or of crumbs that are not there any more. */
static bool hinted_by_a_dead_one(const struct sim *s, uint32_t t)
{
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next)
		if (v->hint_died)
			return true;
	return false;
}

/* Said what it had, and later that it does not know the trace: its crumbs are
 * in the collector's union, where no coordinator looks (seed 9600). */
static bool somebody_forgot(const struct sim *s, uint32_t t)
{
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next)
		for (uint32_t i = 1; i < v->nr_revs; i++)
			if (v->revs[i].state == HS_WIRE_STATE_UNKNOWN &&
			    v->revs[i - 1].state == HS_WIRE_STATE_CLOSED)
				return true;
	return false;
}

/* The only crumbs to a node may have been where they are not any more. */
static bool trail_broken(const struct sim *s, uint32_t t, uint16_t sought,
			 const struct hs_assembly_cause *causes, uint32_t nr)
{
	if (found_by_a_dead_one(s, t) || hinted_by_a_dead_one(s, t))
		return true;
	if (sought && judge_coordinator_died(s) && somebody_forgot(s, t))
		return true;
	if (judge_coordinator_died(s))
		for (uint32_t i = 0; i < s->p.nr_nodes; i++)
			if (s->nodes[i].lost_memory)
				return true;
	for (uint32_t i = 0; i < nr; i++)
		if (judge_memory_lost(s, causes[i].node) ||
		    causes[i].why == HS_ASSEMBLY_WHY_UNREACHABLE ||
		    causes[i].why == HS_ASSEMBLY_WHY_EVICTED)
			return true;
	return false;
}

static bool is_cut(const struct hs_assembly_cause *causes, uint32_t nr,
		   uint64_t node)
{
	for (uint32_t i = 0; i < nr; i++)
		if (causes[i].node == node &&
		    causes[i].why == HS_ASSEMBLY_WHY_CUT)
			return true;
	return false;
}

/* The nodes that crumbs lead to from those that fired a trace; without what is
 * an address to a coordinator that was not sure of it, or also by that. */
static bool leads_to(const struct sim *s, uint32_t t,
		     const struct hs_assembly_cause *causes, uint32_t nr_causes,
		     uint64_t node, bool by_all)
{
	uint64_t seen[JUDGE_NODES_MAX];
	uint32_t nr = 0;

	for (uint32_t g = 0; g < s->nr_groups; g++)
		for (uint32_t i = 0; i < s->groups[g].nr; i++)
			if (s->groups[g].traces[i] == t && nr < JUDGE_NODES_MAX)
				seen[nr++] = s->groups[g].node_id;
	for (uint32_t at = 0; at < nr; at++) {
		const struct ora_visit *v = ora_visit_find(s, t, seen[at]);
		bool cut =
			v && v->doubted && is_cut(causes, nr_causes, v->node);

		if (seen[at] == node)
			return true;
		for (uint32_t k = 0; v && k < v->nr_crumbs; k++) {
			uint32_t x = 0;

			while (x < nr && seen[x] != v->crumbs[k].node)
				x++;
			if (x == nr && nr < JUDGE_NODES_MAX &&
			    (by_all || !cut || !v->crumbs[k].by_address))
				seen[nr++] = v->crumbs[k].node;
		}
	}
	return false;
}

/*
 * A coordinator died that had asked a node which only an address leads to, and
 * the next one was not sure whom that names (seed 1062): it says "cut" of the
 * node that named the address, and asks nobody behind it.
 */
static bool address_forgotten(const struct sim *s, uint32_t t,
			      const struct hs_assembly_cause *causes,
			      uint32_t nr, uint64_t node)
{
	const struct ora_visit *v = ora_visit_find(s, t, node);

	return v && v->known_died && leads_to(s, t, causes, nr, node, true) &&
	       !leads_to(s, t, causes, nr, node, false);
}

/* It happened in a domain that wrote to the trace there. */
static bool in_its_domains(const struct ora_visit *v,
			   const uint64_t nr[SIM_DOMAINS_MAX])
{
	for (uint32_t d = 0; v && d < SIM_DOMAINS_MAX; d++)
		if (v->domains >> d & 1 && nr[d])
			return true;
	return false;
}

/* Whether what really happened is reason enough for what the mark names. */
static bool justified(struct sim *s, uint32_t t,
		      const struct hs_assembly_cause *c)
{
	uint32_t i = (uint32_t)(c->node >> 32) - 1;
	const struct ora_visit *v = ora_visit_find(s, t, c->node);
	struct hs_agent_stats st;
	const struct sim_node *n;

	if (c->node == 0)
		return c->why == HS_ASSEMBLY_WHY_CUT && s->p.small_collector;
	if (i >= s->p.nr_nodes)
		return false;
	n = &s->nodes[i];
	if (judge_memory_lost(s, c->node))
		return true;
	st = sim_node_stats(n);
	switch (c->why) {
	case HS_ASSEMBLY_WHY_EVICTED:
		return in_its_domains(v, n->tenants.nr_evicted) ||
		       st.fired_forgotten_early;
	case HS_ASSEMBLY_WHY_LOST:
		/* Or it came after the rest had been shipped and forgotten. */
		if (v && v->nr_revs && in_its_domains(v, n->tenants.nr_evicted))
			return true;
		return (v && (v->first_lost || v->domains & n->forgot)) ||
		       st.slices_refused || st.lost_index_full;
	case HS_ASSEMBLY_WHY_ABANDONED:
		return v && v->abandoned;
	case HS_ASSEMBLY_WHY_CRASHED:
		return v && v->crashed;
	case HS_ASSEMBLY_WHY_CUT:
		if (v && v->doubted)
			return true;
		return in_its_domains(v, n->tenants.nr_crumbs_lost) ||
		       refused_something(&st) || s->p.trace_buffers_max < 1000;
	case HS_ASSEMBLY_WHY_UNKNOWN:
		return judge_forgettable(n, v) ||
		       in_its_domains(v, n->tenants.nr_evicted) ||
		       st.fired_forgotten_early || refused_something(&st);
	case HS_ASSEMBLY_WHY_UNREACHABLE:
		/* Nobody asks on for a coordinator that has said so and died.
		 */
		return judge_coordinator_died(s) || refused_something(&st);
	case HS_ASSEMBLY_WHY_GONE:
		return n->told_left && judge_coordinator_died(s);
	case HS_ASSEMBLY_WHY_MISSING:
		return st.slices_refused > 0;
	case HS_ASSEMBLY_WHY_MODIFIED:
		return n->modified;
	default:
		return false;
	}
}

static bool blamed(const struct hs_assembly_cause *causes, uint32_t nr,
		   uint64_t node)
{
	for (uint32_t i = 0; i < nr; i++)
		if (causes[i].node == node || causes[i].node == 0)
			return true;
	return false;
}

/*
 * Up to which event a node has heard of a trace: one that is short of room for
 * what has fired may forget it once it has said "closed", or that it knows
 * nothing of what was fired there from outside (seed 1796090258). What comes
 * then fires nothing, and its crumbs lead nobody on.
 */
static uint64_t heard_upto(const struct sim_node *n, const struct ora_visit *v)
{
	const struct ora_rev *last =
		v->nr_revs ? &v->revs[v->nr_revs - 1] : NULL;

	return last &&
			       (last->state == HS_WIRE_STATE_CLOSED ||
				last->state == HS_WIRE_STATE_UNKNOWN) &&
			       sim_node_stats(n).fired_forgotten_early
		       ? last->scan_order
		       : UINT64_MAX;
}

/* From a node that fired it, along crumbs, as far as nobody is blamed. */
static void closure(struct sim *s, uint32_t t, uint64_t origin,
		    const struct sim_stored *st,
		    const struct hs_assembly_cause *causes, uint32_t nr_causes)
{
	uint64_t seen[JUDGE_NODES_MAX] = {origin}, upto;
	uint32_t nr = 1;

	for (uint32_t at = 0; at < nr; at++) {
		const struct ora_visit *v = ora_visit_find(s, t, seen[at]);
		uint32_t i = (uint32_t)(seen[at] >> 32) - 1;

		if (!v || i >= s->p.nr_nodes || s->nodes[i].lost_memory ||
		    blamed(causes, nr_causes, seen[at]))
			continue;
		upto = heard_upto(&s->nodes[i], v);
		for (const struct ora_buffer *b = v->buffers; b; b = b->next)
			if (b->born && !b->lost &&
			    !judge_stored_whole(st, v->node, b)) {
				if (b->born > upto) {
					s->t.forgotten_early++;
					continue;
				}
				sim_fail(s,
					 "trace %u was triggered, but "
					 "process %u handle %u seq %u of "
					 "node%u never arrived",
					 t, b->process, b->handle, b->seq,
					 i + 1);
				return;
			}
		for (uint32_t k = 0; k < v->nr_crumbs && nr < JUDGE_NODES_MAX;
		     k++) {
			uint32_t x = 0;

			while (x < nr && seen[x] != v->crumbs[k].node)
				x++;
			if (x == nr && v->crumbs[k].born <= upto)
				seen[nr++] = v->crumbs[k].node;
		}
	}
}

/* It could not but be found by a question that everybody answered. */
static bool findable(const struct sim *s, uint32_t t, const struct ora_visit *v)
{
	uint32_t i = (uint32_t)(v->node >> 32) - 1;
	const struct sim_node *n = &s->nodes[i];
	uint64_t sought = s->traces[t].sought;

	return v->named && v->named < sought && n->heard && n->heard < sought &&
	       !judge_memory_lost(s, v->node) && !judge_forgettable(n, v);
}

/* With one coordinator, that never died, there was one question. */
static void found_ones(struct sim *s, uint32_t t, struct sim_coll *k,
		       const struct hs_assembly_view *view)
{
	static struct hs_assembly_node nodes[JUDGE_NODES_MAX];
	uint32_t nr;

	if (!view->sought || view->sought & HS_WIRE_SOUGHT_PART ||
	    s->p.nr_coords > 1 || s->coords[0].restarts)
		return;
	nr = hs_assembly_nodes(k->assembly, &s->traces[t].id, nodes,
			       JUDGE_NODES_MAX);
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next) {
		uint32_t i = 0;

		while (i < nr &&
		       (nodes[i].node != v->node || !nodes[i].answered))
			i++;
		/* Of one that had left, as they heard, nobody is asked. */
		if (i < nr || nr == JUDGE_NODES_MAX ||
		    s->nodes[(v->node >> 32) - 1].told_left)
			continue;
		if (v->found || findable(s, t, v))
			sim_fail(s,
				 "trace %u: everybody was asked, and node%u, "
				 "which knew it, is not in the manifest",
				 t, (uint32_t)(v->node >> 32));
	}
}

static void end_trace(struct sim *s, uint32_t t, uint64_t origin)
{
	struct sim_coll *k = &s->colls[sim_coll_owner(s, &s->traces[t].id)];
	struct sim_stored *st = sim_coll_find(k, &s->traces[t].id);
	struct hs_assembly_cause causes[64];
	struct hs_assembly_view view;
	uint32_t nr;

	if (!st || hs_assembly_view(k->assembly, &s->traces[t].id, &view)) {
		sim_fail(s,
			 "trace %u: its trigger was acknowledged, and no "
			 "collector knows it",
			 t);
		return;
	}
	nr = hs_assembly_causes(k->assembly, &s->traces[t].id, causes, 64);
	s->t.complete += view.mark == HS_ASSEMBLY_COMPLETE;
	s->t.partial += view.mark == HS_ASSEMBLY_PARTIAL;
	s->t.open += view.mark == HS_ASSEMBLY_OPEN;
	for (uint32_t i = 0; i < nr; i++)
		s->t.whys[causes[i].why]++;
	found_ones(s, t, k, &view);
	if (s->traces[t].touched)
		return;
	for (uint32_t i = 0; i < nr; i++)
		if (!justified(s, t, &causes[i]) &&
		    !(causes[i].why == HS_ASSEMBLY_WHY_NO_ANSWER &&
		      (trail_broken(s, t, view.sought, causes, nr) ||
		       address_forgotten(s, t, causes, nr, causes[i].node)))) {
			sim_fail(s,
				 "trace %u is %s because of node%u.%u: %s; "
				 "nothing of that kind happened there",
				 t, hs_assembly_mark_name(view.mark),
				 (uint32_t)(causes[i].node >> 32),
				 (uint32_t)causes[i].node,
				 hs_assembly_why_name(causes[i].why));
			return;
		}
	if (nr < 64)
		judge_share_said(s, t, k, causes, nr);
	if (nr < 64)
		closure(s, t, origin, st, causes, nr);
}

void judge_end(struct sim *s)
{
	judge_share_groups(s);
	sim_tally_judge(s);
	for (uint32_t g = 0; g < s->nr_groups && !s->failed; g++)
		for (uint32_t i = 0; i < s->groups[g].nr && !s->failed; i++)
			if (!s->groups[g].is_void)
				end_trace(s, s->groups[g].traces[i],
					  s->groups[g].node_id);
}

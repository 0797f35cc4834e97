/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_fires.c - triggers: what must come of one, and whether it does
 */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/bout_agent.h"

static uint32_t nr_live(const struct bag *g)
{
	uint32_t nr = 0;

	for (uint32_t t = 0; t < BAG_TRACES; t++)
		nr += g->fired[t].live;
	return nr;
}

/*
 * May it abandon something in what comes now? Holds may run out in the midst
 * of what names @nr traces: each takes one in every domain that knows it, and
 * another if it is sampled at its beginning.
 */
void bag_look(struct bag *g, uint32_t nr)
{
	const struct hs_agent_core *c = g->core;

	/* Where holds ran out in what came last. */
	bag_lets(g);
	if (c->stats.holds_refused < g->holds_refused)
		sim_fail(g->s, BAG "holds that found no room, counted back");
	g->holds_refused = c->stats.holds_refused;
	g->crowded =
		c->nr_holds_free < c->nr_holds / 2 + 2 * BAG_DOMAINS * nr ||
		nr_live(g) + 1 > g->config.nr_fired - g->config.nr_fired / 8;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		g->crowded |= c->domains[g->domains[k].id].nr_pinned >
			      g->domains[k].config.nr_buffers / 2;
}

/* ---- triggers -------------------------------------------------------------
 */

/* What must come of a trigger that fires now; the rate is used up by it. */
enum bag_fires bag_foresee(struct bag *g, uint32_t name, const uint32_t *traces,
			   uint32_t nr)
{
	const struct hs_agent_trigger_policy *p = bag_policy_of(g, name);
	uint32_t groups = 0, of_name = 0, left;

	for (uint32_t i = 0; i < nr; i++)
		if (traces[i] == BAG_NONE)
			return FIRES_BAD;
	if (!bag_kept(g, traces[0]))
		return FIRES_UNKEPT;
	if (nr == 1 && g->fired[traces[0]].live &&
	    g->fired[traces[0]].names >> name & 1)
		return FIRES_KNOWN;
	if (p && p->rate_per_s) {
		uint64_t step = SIM_S / p->rate_per_s;

		if (g->even_ns[name] + SIM_S >= g->now_ns &&
		    g->even_ns[name] + step > g->now_ns)
			return FIRES_LIMITED;
		if (g->even_ns[name] + SIM_S < g->now_ns)
			g->even_ns[name] = g->now_ns - SIM_S;
		g->even_ns[name] += step;
	}
	if (p && p->dry_run)
		return FIRES_DRY;
	for (uint32_t i = 0; i < BAG_GROUPS; i++) {
		groups += g->groups[i].live;
		of_name += g->groups[i].live && g->groups[i].name == name;
	}
	left = g->config.nr_groups - groups;
	if (!left || of_name > 8 * left || g->config.nr_fired - nr_live(g) < nr)
		return FIRES_REFUSED;
	return FIRES;
}

static const struct hs_ledger_group *new_group(struct bag *g, uint32_t name)
{
	const struct hs_agent_core *c = g->core;

	for (uint32_t i = 0; i < c->config.nr_groups; i++) {
		bool known = false;

		for (uint32_t k = 0; k < BAG_GROUPS; k++)
			known |= g->groups[k].live &&
				 g->groups[k].key == c->groups[i].trigger.key;
		if (c->groups[i].live && !known &&
		    !strcmp(c->groups[i].trigger.name, g->names[name].name))
			return &c->groups[i];
	}
	return NULL;
}

static void fires(struct bag *g, uint32_t name, const uint32_t *traces,
		  uint32_t nr)
{
	const struct hs_ledger_group *is = new_group(g, name);
	struct bag_group *x = g->groups;
	struct hs_wire_trace_id primary = g->ids[traces[0]];

	while (x->live)
		x++;
	if (!is || is->nr != nr ||
	    is->live != (1 | g->flags << HS_LEDGER_GROUP_FLAGS) ||
	    is->trigger.origin != BAG_NODE ||
	    strcmp(is->trigger.name, g->names[name].name) ||
	    memcmp(&is->trigger.primary, &primary, sizeof(primary)) ||
	    is->trigger.fired_ns != g->now_ns + 12345 ||
	    is->trigger.priority !=
		    hs_hash_siphash(g->config.cluster_key, &primary, 16)) {
		sim_fail(g->s, BAG "a trigger is not in the ledger as it was "
				   "fired");
		return;
	}
	*x = (struct bag_group){
		.live = true,
		.key = is->trigger.key,
		.next_ns = g->now_ns,
		.name = name,
		.scan = g->scan,
		.nr = nr,
		.flags = g->flags,
	};
	for (uint32_t i = 0; i < nr; i++) {
		x->traces[i] = traces[i];
		if (!bag_fire(g, traces[i], &is->trigger))
			sim_fail(g->s, BAG "a fired trace is not known");
		g->fired[traces[i]].nr_groups++;
	}
	g->fired[traces[0]].names |= 1ull << name;
	g->want.triggers_local++;
}

void bag_fired_as(struct bag *g, enum bag_fires what, uint32_t name,
		  const uint32_t *traces, uint32_t nr)
{
	bag_settle(g);
	g->want.triggers_limited += what == FIRES_LIMITED;
	g->want.triggers_refused += what == FIRES_REFUSED;
	g->counts[name].limited += what == FIRES_LIMITED;
	g->counts[name].refused += what == FIRES_REFUSED;
	g->counts[name].fired_local += what == FIRES;
	if (what == FIRES)
		fires(g, name, traces, nr);
	else if (what == FIRES_DRY)
		bag_dry(g, name, traces, nr);
	bag_settle(g);
}

uint32_t bag_some_traces(struct bag *g, uint32_t *out, uint32_t most)
{
	uint32_t nr = 1 + bout_below(&g->r, most);

	for (uint32_t i = 0; i < nr; i++)
		out[i] = hs_random_chance(&g->r, 0.02)
				 ? BAG_NONE
				 : bout_below(&g->r, BAG_TRACES);
	return nr;
}

struct hs_wire_trace_id bag_id_of(const struct bag *g, uint32_t t)
{
	struct hs_wire_trace_id none = {0, 0};

	return t == BAG_NONE ? none : g->ids[t];
}

/* Fires one trace, or is refused. */
void bag_operator_fires_as(struct bag *g, uint32_t name)
{
	static const int rcs[] = {0,	   0,	    -EBUSY,	      -ENOSPC,
				  -EINVAL, -ENOENT, HS_AGENT_FIRE_DRY};
	uint32_t t = (uint32_t)hs_random_below(&g->clock, BAG_TRACES);
	enum bag_fires what;

	what = bag_foresee(g, name, &t, 1);
	bag_differs(g, "what a trigger comes to",
		    (uint64_t)hs_agent_core_fire(g->core, g->names[name].name,
						 &g->ids[t], 1, g->now_ns),
		    (uint64_t)rcs[what]);
	bag_fired_as(g, what, name, &t, 1);
}

void bag_operator_fires(struct bag *g)
{
	static const int rcs[] = {0,	   0,	    -EBUSY,	      -ENOSPC,
				  -EINVAL, -ENOENT, HS_AGENT_FIRE_DRY};
	static const char *const bad[] = {"", "a b", "\x7f"};
	struct hs_wire_trace_id ids[HS_WIRE_TRACES_MAX + 1];
	uint32_t traces[HS_WIRE_TRACES_MAX + 1];
	uint32_t nr = bag_some_traces(g, traces, 3), name;
	enum bag_fires what;
	int rc;

	if (hs_random_chance(&g->r, 0.05))
		nr = bag_some_traces(g, traces, HS_WIRE_TRACES_MAX + 1);
	for (uint32_t i = 0; i < nr; i++)
		ids[i] = bag_id_of(g, traces[i]);
	name = bout_below(&g->r, BAG_NR_NAMES + 1);
	if (hs_random_chance(&g->r, 0.05)) {
		if (hs_agent_core_fire(g->core, bad[hs_random_below(&g->r, 3)],
				       ids, nr, g->now_ns) != -EINVAL ||
		    hs_agent_core_fire(g->core, "slow", ids, 0, g->now_ns) !=
			    -EINVAL)
			sim_fail(g->s, BAG "a bad name is taken");
		return;
	}
	what = nr > HS_WIRE_TRACES_MAX ? FIRES_BAD
				       : bag_foresee(g, name, traces, nr);
	/* Or what this node need not have seen. */
	if (g->s->p.bout_exact && hs_random_chance(&g->clock, 0.3))
		g->flags = HS_WIRE_GROUP_ELSEWHERE;
	rc = (g->flags ? hs_agent_core_fire_elsewhere : hs_agent_core_fire)(
		g->core, g->names[name].name, ids, nr, g->now_ns);
	if (rc != rcs[what])
		sim_fail(g->s, BAG "hs_agent_core_fire() returns %d, not %d",
			 rc, rcs[what]);
	bag_fired_as(g, what, name, traces, nr);
	g->flags = 0;
}

/* ---- groups that gave way ---------------------------------------------------
 */

/* Groups of primary traces that are not of the bout are one. */
#define OTHERS 63u

uint32_t bag_group_bit(const struct bag *g, const struct hs_wire_trigger *why)
{
	uint32_t primary = bag_trace_of(g, &why->primary);

	return primary == BAG_NONE
		       ? OTHERS
		       : bag_name_of(g, why->name) * BAG_TRACES + primary;
}

/* Of a trigger that gave up a group: which of those that it named may be it. */
void bag_lets(struct bag *g)
{
	const struct hs_agent_core *c = g->core;
	uint64_t named = 0;

	for (uint32_t t = 0; t < BAG_TRACES; t++)
		named |= g->fired[t].live ? g->fired[t].named_by : 0;
	for (uint32_t i = 0; i < c->nr_triggers; i++) {
		uint32_t name = bag_name_of(g, c->triggers[i].name);
		uint64_t of_name = ((1ull << BAG_TRACES) - 1)
				   << name * BAG_TRACES;

		if (name == BAG_ALL_NAMES ||
		    c->triggers[i].groups_abandoned == g->nr_lets[name])
			continue;
		g->nr_lets[name] = c->triggers[i].groups_abandoned;
		g->let_may |= named & (of_name | 1ull << OTHERS);
	}
}

/* Which of its groups gave way? All of them, if it was only one. */
void bag_let_go(struct bag *g, uint32_t t)
{
	uint64_t by = g->fired[t].named_by;

	if (g->gives_way && g->core->stats.holds_refused == g->holds_refused &&
	    by && !(by & (by - 1)) && !(by >> OTHERS))
		g->let_ns[__builtin_ctzll(by)] = g->now_ns;
	g->let_may |= by;
}

/* One more of a group that was given up is so, too. */
void bag_goes_with_group(struct bag *g, uint32_t t)
{
	uint64_t let_ns = g->let_ns[bag_group_bit(g, &g->fired[t].trigger)];
	uint32_t i = hs_fired_find(g->core, g->ids[t].hi, g->ids[t].lo);

	if (let_ns && g->now_ns - let_ns < g->config.remember_ns &&
	    !(g->core->fired[i].flags & HS_WIRE_F_ABANDONED))
		sim_fail(g->s, BAG "its group was given up, and it is held");
}

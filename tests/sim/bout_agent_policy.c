/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_policy.c - what an operator sets and changes while it runs: shares
 * of traces that are kept and sampled, dry runs, rates of bytes, weights; and
 * what is counted of each trigger
 */
#include <string.h>

#include "base/hash.h"
#include "tests/sim/bout_agent.h"

#define MILLION 1000000u

/* ---- shares ----------------------------------------------------------------
 */

/* Those of the highest priorities, so many parts of a million. */
static bool within(const struct bag *g, uint32_t t, uint32_t ppm)
{
	uint64_t hash = hs_hash_siphash(g->config.cluster_key, &g->ids[t],
					sizeof(g->ids[t]));

	return ppm >= MILLION ||
	       (double)(hash >> 32) >= ((double)MILLION - ppm) * 4294.967296;
}

static uint32_t kept_ppm(const struct bag *g)
{
	return g->config.kept_ppm ? g->config.kept_ppm : MILLION;
}

bool bag_kept(const struct bag *g, uint32_t t)
{
	return within(g, t, kept_ppm(g));
}

/* An application named the trace here for the first time. */
void bag_first(struct bag *g, struct bag_domain *d, uint32_t t)
{
	enum bag_fires what;

	/* What was not kept a moment ago may have begun then. */
	if (g->kept_before_ppm &&
	    g->now_ns - g->kept_since_ns < g->config.taint_ns &&
	    !within(g, t, g->kept_before_ppm))
		bag_flag(g, d, t, HS_WIRE_F_EVICTED);
	if (!g->config.head_ppm || g->fired[t].live ||
	    !within(g, t, g->config.head_ppm))
		return;
	what = bag_foresee(g, BAG_HEAD, &t, 1);
	bag_fired_as(g, what, BAG_HEAD, &t, 1);
}

static void keep(struct bag *g, uint32_t before_ppm)
{
	if (kept_ppm(g) > before_ppm) {
		g->kept_before_ppm = before_ppm;
		g->kept_since_ns = g->tick_ns;
	}
	if (kept_ppm(g) >= before_ppm)
		return;
	/* What comes of those from now on is not kept. */
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		for (uint32_t t = 0; t < BAG_TRACES; t++)
			if (g->domains[k].traces[t].there && !bag_kept(g, t))
				bag_flag(g, &g->domains[k], t,
					 HS_WIRE_F_EVICTED);
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (g->fired[t].live && !bag_kept(g, t))
			g->fired[t].unkept = 1; /* anew: it may have been kept
						   in between */
}

/* ---- rates of bytes --------------------------------------------------------
 */

const struct hs_agent_trigger_policy *bag_policy_of(const struct bag *g,
						    uint32_t name)
{
	for (uint32_t i = 0; i < g->config.nr_policies; i++)
		if (!strcmp(g->config.policies[i].name, g->names[name].name))
			return &g->config.policies[i];
	return NULL;
}

static uint64_t rate_of(const struct bag *g, uint32_t name)
{
	const struct hs_agent_trigger_policy *p = bag_policy_of(g, name);

	return p ? p->bytes_per_s : 0;
}

bool bag_may_send(const struct bag *g, uint32_t name)
{
	return (!g->config.bytes_per_s || g->bytes_even_ns <= g->now_ns) &&
	       (!rate_of(g, name) || g->name_even_ns[name] <= g->now_ns);
}

/* Whether all may: what is due to go can go, whoever holds it. */
bool bag_may_all_send(const struct bag *g)
{
	bool all = true;

	for (uint32_t i = 0; i < BAG_ALL_NAMES; i++)
		all &= bag_may_send(g, i);
	return all;
}

static void use(uint64_t *even, uint64_t per_s, uint32_t bytes, uint64_t now_ns)
{
	uint64_t burst_ns = 50 * SIM_MS;

	if (!per_s)
		return;
	if (*even + burst_ns < now_ns)
		*even = now_ns - burst_ns;
	*even += bytes * SIM_S / per_s;
}

uint32_t bag_name_of(const struct bag *g, const char *name)
{
	uint32_t i = 0;

	while (i < BAG_ALL_NAMES && strcmp(g->names[i].name, name))
		i++;
	return i;
}

/* Whose turn a slice is. */
static uint32_t sender(const struct bag *g, const struct hs_agent_slice *s)
{
	const struct hs_agent_core *c = g->core;
	struct hs_domain *d = &g->core->domains[s->domain];
	uint32_t hold = c->serving, trace;

	if (!g->ticking) {
		trace = hs_ix_find(d, s->head.trace.hi, s->head.trace.lo);
		hold = hs_ix_more(d, trace)->hold;
	}
	return bag_name_of(g, c->triggers[c->holds[hold].trigger].name);
}

void bag_may_ship(struct bag *g, const struct hs_agent_slice *s)
{
	uint32_t name = sender(g, s);

	if (name == BAG_ALL_NAMES)
		sim_fail(g->s, BAG "a slice for a trigger of no name");
	else if (!bag_may_send(g, name))
		sim_fail(g->s, BAG "a slice over the rate of its trigger");
}

void bag_shipped(struct bag *g, const struct hs_agent_slice *s)
{
	uint32_t name = sender(g, s), bytes = s->head.length_bytes;

	use(&g->bytes_even_ns, g->config.bytes_per_s, bytes, g->now_ns);
	use(&g->name_even_ns[name], rate_of(g, name), bytes, g->now_ns);
	g->counts[name].bytes_sent += bytes;
}

/* ---- dry runs --------------------------------------------------------------
 */

/* Where the core remembers that it has counted: a table of fingerprints. */
static uint64_t dry_place(const struct bag *g, uint32_t name, uint32_t t)
{
	const struct hs_agent_core *c = g->core;
	uint32_t i = 0;

	while (i < c->nr_triggers &&
	       strcmp(c->triggers[i].name, g->names[name].name))
		i++;
	return hs_hash_trace(g->config.index_seed, g->ids[t].hi, g->ids[t].lo,
			     HS_AGENT_DOMAINS_MAX + i) /
	       2 % HS_DRY_SEEN;
}

/* Counted, and what had that place before is not known any more. */
static void dry_remember(struct bag *g, uint32_t name, uint32_t t)
{
	uint64_t place = dry_place(g, name, t);

	for (uint32_t i = 0; i < BAG_ALL_NAMES; i++)
		for (uint32_t k = 0; k < BAG_TRACES; k++)
			if (g->dry_seen[i] >> k & 1 &&
			    dry_place(g, i, k) == place)
				g->dry_seen[i] &= ~(1u << k);
	g->dry_seen[name] |= 1u << t;
}

void bag_dry(struct bag *g, uint32_t name, const uint32_t *traces, uint32_t nr)
{
	struct hs_agent_trigger_stats *st = &g->counts[name];

	st->dry_fired++;
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t t = traces[i];

		if (g->dry_seen[name] >> t & 1)
			continue;
		dry_remember(g, name, t);
		st->dry_traces++;
		for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
			const struct bag_domain *d = &g->domains[k];
			const struct bag_trace *x = &d->traces[t];

			for (uint32_t b = 0; x->there && b < x->nr_buffers; b++)
				st->dry_bytes +=
					d->buffers[x->buffers[b]].committed;
		}
	}
}

void bag_dry_more(struct bag *g, uint32_t t, uint32_t bytes)
{
	for (uint32_t i = 0; i < BAG_ALL_NAMES; i++) {
		const struct hs_agent_trigger_policy *p = bag_policy_of(g, i);

		if (p && p->dry_run && g->dry_seen[i] >> t & 1)
			g->counts[i].dry_bytes += bytes;
	}
}

/* ---- settings --------------------------------------------------------------
 */

/* Mostly nothing but what there always was; now and then something awkward. */
void bag_draw_policy(struct hs_random *r, struct hs_agent_config *c)
{
	static const char *const names[] = {"slow", "error"};

	c->nr_policies = bout_below(r, 3);
	memset(c->policies, 0, sizeof(c->policies));
	for (uint32_t i = 0; i < 2; i++) {
		struct hs_agent_trigger_policy *p = &c->policies[i];

		strcpy(p->name, names[i]);
		p->weight = bout_below(r, 3);
		p->rate_per_s = bout_below(r, 4);
		p->dry_run = hs_random_chance(r, 0.15);
		if (hs_random_chance(r, 0.2))
			p->bytes_per_s = 200 + bout_below(r, 5000);
	}
	c->bytes_per_s = 0;
	if (hs_random_chance(r, 0.15))
		c->bytes_per_s = 500 + bout_below(r, 20000);
	c->nr_context_peers = bout_below(r, 2);
	c->context_peers[0] = (struct hs_agent_node_range){2, 4};
	c->crash_trigger = hs_random_chance(r, 0.5);
	c->window_bytes = 256 + bout_below(r, 2048);
	c->evict_percent = 50 + bout_below(r, 50);
	c->kept_ppm = c->head_ppm = 0;
	if (hs_random_chance(r, 0.25))
		c->kept_ppm = 300000 + bout_below(r, 800000);
	if (hs_random_chance(r, 0.25))
		c->head_ppm = 1 + bout_below(r, 400000);
}

void bag_sets_policy(struct bag *g)
{
	struct hs_agent_config c = g->config, *own = &g->config;
	uint32_t before = kept_ppm(g);

	bag_draw_policy(&g->r, &c);
	if (hs_random_chance(&g->r, 0.2))
		c.window_bytes = c.evict_percent = 0; /* as it is */
	own->nr_policies = c.nr_policies;
	memcpy(own->policies, c.policies, sizeof(c.policies));
	own->bytes_per_s = c.bytes_per_s;
	own->nr_context_peers = c.nr_context_peers;
	own->crash_trigger = c.crash_trigger;
	own->kept_ppm = c.kept_ppm;
	own->head_ppm = c.head_ppm;
	if (c.window_bytes)
		own->window_bytes = c.window_bytes;
	if (c.evict_percent)
		own->evict_percent = c.evict_percent;
	/* What it does not take over. */
	c.trace_buffers_max++;
	c.nr_groups++;
	c.taint_ns *= 2;
	hs_agent_core_policy_set(g->core, &c);
	keep(g, before);
}

/* ---- whether it counts as it should ----------------------------------------
 */

#define SAME(field) bag_differs(g, "of a trigger: " #field, is->field, field)

static void one(struct bag *g, const struct hs_agent_trigger_stats *is,
		uint32_t name)
{
	const struct hs_agent_trigger_stats *want = &g->counts[name];
	const struct hs_agent_trigger_policy *p = bag_policy_of(g, name);
	uint64_t weight = p && p->weight ? p->weight : 1;
	uint64_t rate_per_s = p ? p->rate_per_s : 0;
	uint64_t bytes_per_s = p ? p->bytes_per_s : 0;
	uint64_t dry_run = p && p->dry_run, waiting = 0;
	uint64_t fired_local = want->fired_local, limited = want->limited;
	uint64_t fired_remote = want->fired_remote, refused = want->refused;
	uint64_t dry_fired = want->dry_fired, dry_bytes = want->dry_bytes;
	uint64_t dry_traces = want->dry_traces, bytes_sent = want->bytes_sent;

	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		waiting += g->groups[i].live && g->groups[i].name == name;
	SAME(weight);
	SAME(rate_per_s);
	SAME(bytes_per_s);
	SAME(dry_run);
	SAME(waiting);
	SAME(fired_local);
	SAME(fired_remote);
	SAME(limited);
	SAME(refused);
	SAME(dry_fired);
	SAME(dry_traces);
	SAME(dry_bytes);
	SAME(bytes_sent);
}

void bag_check_triggers(struct bag *g)
{
	struct hs_agent_trigger_stats is[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr = hs_agent_core_trigger_stats_get(g->core, is,
						      HS_AGENT_TRIGGERS_MAX);

	for (uint32_t i = 0; i < nr && !g->s->failed; i++) {
		uint32_t name = bag_name_of(g, is[i].name);

		if (name == BAG_ALL_NAMES)
			sim_fail(g->s, BAG "a trigger of no name");
		else
			one(g, &is[i], name);
	}
}

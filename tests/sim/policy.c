/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - what the operator of the world allows: limits that are low enough
 * for things to be given up, and other ones while it runs
 *
 * A policy follows from the seed and its version, and is the same on every
 * node; a new version reaches the nodes one by one, also those whose worker is
 * down: it finds it in its settings.
 */
#include <string.h>

#include "tests/sim/sim.h"

#define NR_NAMES 5u

static const char *name_of(uint32_t i)
{
	return i < SIM_NR_NAMES	   ? sim_app_name(i)
	       : i == SIM_NR_NAMES ? "operator"
				   : "crash";
}

static uint32_t maybe(struct hs_random *r, double share, uint32_t lo,
		      uint32_t hi)
{
	uint32_t drawn = (uint32_t)sim_between(r, lo, hi);

	return hs_random_chance(r, share) ? drawn : 0;
}

static void draw_one(struct hs_random *r, struct hs_agent_trigger_policy *p,
		     uint32_t i)
{
	*p = (struct hs_agent_trigger_policy){0};
	strcpy(p->name, name_of(i));
	p->weight = maybe(r, 0.8, 1, 8);
	p->rate_per_s = maybe(r, 0.3, 2, 40);
	p->bytes_per_s = maybe(r, 0.4, 4000, 100000);
	p->dry_run = hs_random_chance(r, 0.08);
}

static void draw_limits(const struct sim_params *p, uint32_t version,
			struct hs_agent_config *c)
{
	struct hs_random r;

	hs_random_seed(&r, p->seed ^ 0x11417ull ^ (uint64_t)version << 32);
	c->nr_policies = 0;
	for (uint32_t i = 0; i < NR_NAMES; i++) {
		draw_one(&r, &c->policies[c->nr_policies], i);
		c->nr_policies += hs_random_chance(&r, 0.7);
	}
	c->bytes_per_s = maybe(&r, 0.9, 2000, 30000);
	c->evict_percent = maybe(&r, 0.5, 60, 95);
	c->window_bytes = (uint32_t)sim_between(&r, 2048, 65536);
	c->crash_trigger = hs_random_chance(&r, 0.5);
}

/* For a new ledger: what of it is not the operator's to change later. */
void sim_policy_tables(const struct sim *s, struct hs_agent_config *c)
{
	struct hs_random r;

	if (!s->p.tight)
		return;
	hs_random_seed(&r, s->p.seed ^ 0x7ab1e5ull);
	if (hs_random_chance(&r, 0.5))
		c->nr_fired = (uint32_t)sim_between(&r, 10, 50);
}

void sim_policy_begin(const struct sim *s, struct sim_node *n)
{
	if (s->p.tight)
		draw_limits(&s->p, n->policy, &n->config);
	sim_limits_begin(s, n);
}

void sim_policies_create(struct sim *s)
{
	struct hs_random r;
	uint32_t nr;

	if (!s->p.tight)
		return;
	hs_random_seed(&r, s->p.seed ^ 0x4e10adull);
	nr = (uint32_t)hs_random_below(&r, 4);
	for (uint32_t k = 1; k <= nr; k++) {
		uint64_t at = SIM_S + hs_random_below(&r, s->p.load_ns + SIM_S);

		for (uint32_t i = 0; i < s->p.nr_nodes; i++) {
			uint64_t later = hs_random_below(&r, 500 * SIM_MS);

			sim_push(s, at + later, SIM_EV_POLICY, i, k, 0, NULL);
		}
	}
}

void sim_policy_new(struct sim *s, uint32_t i, uint32_t version)
{
	struct sim_node *n = &s->nodes[i];

	n->policy = version;
	if (!n->up)
		return;
	sim_policy_begin(s, n);
	hs_agent_core_policy_set(n->core, &n->config);
	s->t.reloads++;
	sim_story(s, i, "reloads its policy, version %u", version);
	sim_node_wake(s, i, SIM_MS);
}

/* ---- whether limits hold ----------------------------------------------------
 */

/* Counting begins anew with each worker and each policy. */
void sim_limits_begin(const struct sim *s, struct sim_node *n)
{
	n->limits = (struct sim_limits){.since_ns = sim_node_now(s, n)};
}

static const struct hs_agent_trigger_policy *policy_of(const struct sim_node *n,
						       const char *name)
{
	for (uint32_t i = 0; i < n->config.nr_policies; i++)
		if (!strcmp(n->config.policies[i].name, name))
			return &n->config.policies[i];
	return NULL;
}

/* So much may have come since it began: what was saved up, and the rest. */
static uint64_t most(const struct sim *s, const struct sim_node *n,
		     uint64_t per_s, uint64_t burst_ns)
{
	double ns =
		(double)(sim_node_now(s, n) - n->limits.since_ns + burst_ns);

	return (uint64_t)((double)per_s * ns / 1e9) + 1;
}

void sim_limits_fired(struct sim *s, struct sim_node *n, uint32_t name)
{
	const struct hs_agent_trigger_policy *p =
		policy_of(n, sim_app_name(name));

	s->t.checks++;
	n->limits.fired[name]++;
	if (p && p->dry_run)
		sim_fail(s, "node%u: trigger %s fires in its dry run",
			 n->number, p->name);
	if (p && p->rate_per_s &&
	    n->limits.fired[name] > most(s, n, p->rate_per_s, SIM_S))
		sim_fail(s, "node%u: trigger %s fires above its rate",
			 n->number, p->name);
}

/* One slice may begin while there is room, and end beyond. */
void sim_limits_shipped(struct sim *s, struct sim_node *n, uint32_t bytes)
{
	uint64_t per_s = n->config.bytes_per_s;

	s->t.checks++;
	n->limits.bytes += bytes;
	if (n->limits.longest < bytes)
		n->limits.longest = bytes;
	if (per_s && n->limits.bytes >
			     most(s, n, per_s, 50 * SIM_MS) + n->limits.longest)
		sim_fail(s, "node%u ships more than its limit allows",
			 n->number);
}

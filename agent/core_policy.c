/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_policy.c - what the operator wants of triggers, and changes his mind
 *
 * Weights, rates, dry runs and whose contexts are believed take effect at once
 * and all together; what was fired or queued before stays so.
 *
 * A trigger in a dry run collects nothing: it counts the traces that it would
 * have taken, each once, what this node had of them at that moment, and what
 * comes after it. Which it has counted is kept in a table of fingerprints of a
 * fixed size: one that was overwritten by another is not followed any more, and
 * counts again when it fires again.
 */
#include "agent/core_priv.h"

#include <string.h>

void hs_policy_apply(struct hs_agent_core *c, uint32_t trigger)
{
	struct hs_trigger *t = &c->triggers[trigger];
	uint64_t bit = 1ull << trigger;

	t->weight = 1;
	t->fires.per_s = 0;
	t->bytes.per_s = 0;
	t->dry_run = false;
	c->dry_runs &= ~bit;
	for (uint32_t i = 0; i < c->config.nr_policies; i++) {
		const struct hs_agent_trigger_policy *p =
			&c->config.policies[i];

		if (strncmp(p->name, t->name, HS_WIRE_NAME_BYTES))
			continue;
		t->weight = p->weight ? p->weight : 1;
		t->fires.per_s = p->rate_per_s;
		t->bytes.per_s = p->bytes_per_s;
		t->dry_run = p->dry_run;
		if (p->dry_run)
			c->dry_runs |= bit;
	}
}

/* Also of names that nothing has fired yet: their counters show at once. */
void hs_policy_begin(struct hs_agent_core *c)
{
	c->bytes.per_s = c->config.bytes_per_s;
	for (uint32_t i = 0; i < c->config.nr_policies; i++)
		hs_trigger_get(c, c->config.policies[i].name);
}

void hs_agent_core_policy_set(struct hs_agent_core *core,
			      const struct hs_agent_config *config)
{
	struct hs_agent_config *own = &core->config;

	own->nr_policies = config->nr_policies;
	memcpy(own->policies, config->policies, sizeof(own->policies));
	own->crash_trigger = config->crash_trigger;
	own->bytes_per_s = config->bytes_per_s;
	own->nr_context_peers = config->nr_context_peers;
	memcpy(own->context_peers, config->context_peers,
	       sizeof(own->context_peers));
	if (config->evict_percent)
		own->evict_percent = config->evict_percent;
	if (config->window_bytes)
		own->window_bytes = config->window_bytes;
	hs_sample_set(core, config);
	hs_policy_begin(core);
	for (uint32_t i = 0; i < core->nr_triggers; i++)
		hs_policy_apply(core, i);
}

/* Where it stands, if it does, that this trigger counted this trace. */
static uint64_t *dry_place(struct hs_agent_core *c, uint32_t trigger,
			   uint64_t hi, uint64_t lo, uint64_t *print)
{
	*print = hs_hash_trace(c->config.index_seed, hi, lo,
			       HS_AGENT_DOMAINS_MAX + trigger) |
		 1;
	return &c->dry_seen[*print / 2 & (HS_DRY_SEEN - 1)];
}

void hs_policy_dry_more(struct hs_agent_core *c, uint64_t hi, uint64_t lo,
			uint32_t bytes)
{
	for (uint64_t m = c->dry_runs; m; m &= m - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(m);
		uint64_t print;

		if (*dry_place(c, i, hi, lo, &print) == print)
			c->triggers[i].dry_bytes += bytes;
	}
}

void hs_policy_dry(struct hs_agent_core *c, uint32_t trigger,
		   const struct hs_wire_trace_id *traces, uint32_t nr)
{
	struct hs_trigger *t = &c->triggers[trigger];

	t->dry_fired++;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t print, *place = dry_place(c, trigger, traces[i].hi,
						   traces[i].lo, &print);

		if (*place == print)
			continue;
		*place = print;
		t->dry_traces++;
		for (uint32_t k = 0; k < c->nr_domains; k++) {
			const struct hs_domain *d =
				&c->domains[c->domain_order[k]];
			uint32_t at = hs_ix_find(d, traces[i].hi, traces[i].lo);

			if (at != HS_NIL)
				t->dry_bytes += hs_ix_bytes(&d->traces[at]);
		}
	}
}

static bool believed(const struct hs_agent_core *c, uint64_t node)
{
	for (uint32_t i = 0; i < c->config.nr_context_peers; i++)
		if (node >> 32 >= c->config.context_peers[i].first &&
		    node >> 32 <= c->config.context_peers[i].last)
			return true;
	return false;
}

/*
 * A context came in that says its trace has fired. Where it came from a node
 * that is believed, the trace is the last to be forgotten until its
 * coordinator asks; it is not fired here, so that a forged context moves its
 * own trace in the order of eviction at most.
 */
void hs_policy_context(struct hs_agent_core *c, struct hs_domain *d,
		       uint32_t trace, uint64_t now_ns)
{
	c->stats.triggers_context++;
	if (trace == HS_NIL)
		return;
	for (uint32_t k = hs_ix_crumb_first(d, trace); k != HS_NIL;
	     k = d->crumb_next[k])
		if (d->crumbs[k].kind == HS_WIRE_CRUMB_BACK &&
		    believed(c, d->crumbs[k].node)) {
			hs_ix_touch(d, trace, now_ns);
			return;
		}
	c->stats.contexts_refused++;
}

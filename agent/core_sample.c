/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_sample.c - shares of all traces, chosen by a hash of their ids
 *
 * Which traces are kept at all (the paper's trace percentage, section 7: half
 * of them doubles the event horizon), and which are collected whatever happens
 * (head sampling, section 4). The hash is keyed with the cluster's secret, the
 * one that is a trace's priority: every node chooses the same traces without a
 * word, and what is chosen for head sampling is kept, too.
 */
#include "agent/core_priv.h"

#define MILLION HS_SAMPLE_ALL

bool hs_sample_within(const struct hs_agent_core *c, uint64_t hi, uint64_t lo,
		      uint32_t ppm)
{
	struct hs_wire_trace_id id = {hi, lo};
	uint64_t hash;

	if (ppm >= MILLION)
		return true;
	hash = hs_hash_siphash(c->config.cluster_key, &id, sizeof(id));
	return (hash >> 32) * MILLION >> 32 >= MILLION - ppm;
}

/* What comes of them from now on is not kept: whatever it is, it is missing. */
static void not_kept_on(struct hs_agent_core *c)
{
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];

		for (uint32_t i = 0; i < d->traces_used; i++) {
			const struct hs_ix_trace *t = &d->traces[i];

			if (!hs_sample_kept(c, t->hi, t->lo) &&
			    hs_ix_find(d, t->hi, t->lo) == i)
				hs_ix_flag(c, d, i, HS_WIRE_F_EVICTED);
		}
	}
	c->tainted = true; /* those that fired say so */
}

/*
 * The share changes: what was not kept before cannot be whole for a while, nor
 * what is known and is not kept any more.
 */
void hs_sample_set(struct hs_agent_core *c, const struct hs_agent_config *in)
{
	uint32_t kept = in->kept_ppm ? in->kept_ppm : MILLION;
	bool less = kept < c->config.kept_ppm;

	c->config.head_ppm = in->head_ppm;
	if (kept > c->config.kept_ppm) {
		c->kept_before_ppm = c->config.kept_ppm;
		c->kept_since_ns = c->now_ns;
	}
	c->config.kept_ppm = kept;
	if (less)
		not_kept_on(c);
}

/* An application named the trace here for the first time. */
void hs_sample_first(struct hs_agent_core *c, struct hs_domain *d,
		     uint32_t trace, uint64_t now_ns)
{
	const struct hs_ix_trace *t = &d->traces[trace];
	struct hs_wire_trace_id id = {t->hi, t->lo};

	if (c->kept_before_ppm &&
	    now_ns - c->kept_since_ns < c->config.taint_ns &&
	    !hs_sample_within(c, id.hi, id.lo, c->kept_before_ppm))
		hs_ix_flag(c, d, trace, HS_WIRE_F_EVICTED);
	if (c->config.head_ppm && t->fired == HS_NIL &&
	    hs_sample_within(c, id.hi, id.lo, c->config.head_ppm))
		hs_fired_group(c, HS_AGENT_HEAD_TRIGGER, false, &id, 1, now_ns);
}

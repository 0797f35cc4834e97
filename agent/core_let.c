/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_let.c - the lateral groups that were given up here, for as long as fired
 * traces are remembered
 *
 * A coordinator asks for the traces of a group as it finds out who has them,
 * and so for one of them after another. What comes after the others were given
 * up goes with them (ADR 64).
 *
 * A table of fingerprints of a fixed size: where a bucket is full the oldest is
 * forgotten, and the group that it stood for may be kept in part.
 */
#include "agent/core_priv.h"
#include "base/planted.h"

#define WAYS 4u

static struct hs_let *find(struct hs_agent_core *c, uint32_t trigger,
			   const struct hs_wire_trace_id *primary,
			   uint64_t *print)
{
	struct hs_let *bucket;

	*print = hs_hash_trace(c->config.index_seed, primary->hi, primary->lo,
			       trigger + 1) |
		 1;
	bucket = &c->lets[(*print >> 8) % (HS_LETS / WAYS) * WAYS];
	for (uint32_t i = 0; i < WAYS - 1; i++)
		if (bucket[i].print == *print || !bucket[i].print)
			return &bucket[i];
	return &bucket[WAYS - 1];
}

void hs_let_note(struct hs_agent_core *c, uint32_t trigger,
		 const struct hs_wire_trace_id *primary, uint64_t now_ns)
{
	uint64_t print;
	struct hs_let *at = find(c, trigger, primary, &print), *first = at;

	if (at->print && at->print != print) {
		/* The last way: the others are younger, or as old. */
		for (uint32_t i = 1; i < WAYS; i++)
			if (at[-(int)i].ns < first->ns)
				first = &at[-(int)i];
	}
	*first = (struct hs_let){print, now_ns};
}

bool hs_let_known(struct hs_agent_core *c, uint32_t trigger,
		  const struct hs_wire_trace_id *primary, uint64_t now_ns)
{
	uint64_t print;
	const struct hs_let *at = find(c, trigger, primary, &print);

	return at->print == print && !HS_PLANTED(33) &&
	       now_ns - at->ns < c->config.remember_ns;
}

/* A successor: what was given up was so with the first group that named it. */
void hs_let_adopt(struct hs_agent_core *c, uint64_t now_ns)
{
	for (uint32_t i = 0; i < c->fired_used; i++)
		if (c->fired[i].live && hs_fired_abandoned(c, i))
			hs_let_note(c,
				    hs_trigger_get(c, c->fired[i].trigger.name),
				    &c->fired[i].trigger.primary, now_ns);
}

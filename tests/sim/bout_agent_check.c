/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_check.c - whether an agent is as its model says; and what it says
 * to a shell that asks for what is not there
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/bout_agent.h"

void bag_differs(struct bag *g, const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		sim_fail(g->s, BAG "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

static void buffers(struct bag *g, struct bag_domain *d)
{
	const struct hs_domain *is = &g->core->domains[d->id];
	uint32_t nr[4] = {0}, pinned = 0;
	struct hs_agent_domain_stats st;

	for (uint32_t b = 0; b < d->config.nr_buffers; b++) {
		const struct bag_buffer *x = &d->buffers[b];
		uint64_t word = is->buffers[b].word;

		nr[x->state]++;
		pinned += x->state == HS_LEDGER_HELD && g->fired[x->trace].live;
		bag_differs(g, "the state of a buffer",
			    hs_ledger_word_state(word), x->state);
		bag_differs(g, "its generation",
			    hs_ledger_word_generation(word), x->generation);
		if (x->state == HS_LEDGER_FREE)
			continue;
		bag_differs(g, "its process", hs_ledger_word_process(word),
			    x->process);
		bag_differs(g, "what is acknowledged of it",
			    is->buffers[b].acked, x->acked);
		if (x->state == HS_LEDGER_HELD)
			bag_differs(g, "its flags", is->buffers[b].flags,
				    x->flags);
	}
	hs_agent_core_domain_stats_get(g->core, d->id, g->now_ns, &st);
	bag_differs(g, "free buffers", st.buffers_free, nr[HS_LEDGER_FREE]);
	bag_differs(g, "stocked buffers", st.buffers_stocked,
		    nr[HS_LEDGER_STOCKED]);
	bag_differs(g, "held buffers", st.buffers_held, nr[HS_LEDGER_HELD]);
	bag_differs(g, "pinned buffers", st.buffers_pinned, pinned);
	bag_differs(g, "indexed buffers", st.buffers_indexed, d->nr_indexed);
	bag_differs(g, "indexed bytes", st.bytes_indexed, d->bytes_indexed);
	bag_differs(g, "hs_agent_core_stocked()",
		    hs_agent_core_stocked(g->core, d->id),
		    nr[HS_LEDGER_STOCKED]);
}

static void one_trace(struct bag *g, struct bag_domain *d, uint32_t t,
		      uint32_t i)
{
	const struct hs_domain *dom = &g->core->domains[d->id];
	const struct hs_ix_trace *is = &dom->traces[i];
	const struct bag_trace *x = &d->traces[t];
	uint32_t n = 0, crumbs = 0;

	bag_differs(g, "when a trace was first seen", is->first_ns,
		    x->first_ns);
	bag_differs(g, "when it was last seen", is->last_ns, x->last_ns);
	bag_differs(g, "what is not whole of it", is->flags, x->flags);
	bag_differs(g, "whether it was visited", is->visited, x->visited);
	bag_differs(g, "whether by several", is->several, x->several);
	if (is->visited && !is->several)
		bag_differs(g, "by whom", is->process, x->process);
	bag_differs(g, "whether it fired", is->fired != HS_NIL,
		    g->fired[t].live);
	for (uint32_t b = is->buf_first; b != HS_NIL; b = dom->rt[b].next, n++)
		if (n >= x->nr_buffers || x->buffers[n] != b) {
			sim_fail(g->s, BAG "the buffers of a trace");
			return;
		}
	bag_differs(g, "how many buffers it has", n, x->nr_buffers);
	for (uint32_t k = is->has_more ? dom->more[i].crumb_first : HS_NIL;
	     k != HS_NIL; k = dom->crumb_next[k], crumbs++)
		if (dom->crumbs[k].trace_hi != is->hi ||
		    dom->crumbs[k].trace_lo != is->lo ||
		    !(dom->crumbs[k].live & 1))
			sim_fail(g->s, BAG "a crumb of another trace");
	bag_differs(g, "how many crumbs it has", crumbs, x->nr_crumbs);
}

static void traces(struct bag *g, struct bag_domain *d)
{
	struct hs_agent_seen seen[BAG_TRACES];
	const struct hs_domain *is = &g->core->domains[d->id];
	uint32_t nr = 0, known, crumbs = 0;

	known = hs_agent_core_seen(g->core, d->id, g->ids, BAG_TRACES, seen);
	for (uint32_t t = 0; t < BAG_TRACES && !g->s->failed; t++) {
		const struct bag_trace *x = &d->traces[t];
		uint32_t i = hs_ix_find(is, g->ids[t].hi, g->ids[t].lo);

		bag_differs(g, "whether a trace is there", i != HS_NIL,
			    x->there);
		bag_differs(g, "first seen, by hs_agent_core_seen()",
			    seen[t].first_ns, x->there ? x->first_ns : 0);
		bag_differs(g, "last seen, by hs_agent_core_seen()",
			    seen[t].last_ns, x->there ? x->last_ns : 0);
		if (!x->there || i == HS_NIL)
			continue;
		nr++;
		crumbs += x->nr_crumbs;
		one_trace(g, d, t, i);
	}
	bag_differs(g, "traces known", known, nr);
	bag_differs(g, "traces live", is->nr_traces_live, nr);
	bag_differs(g, "crumbs free", is->nr_crumbs_free,
		    d->config.nr_crumbs - crumbs);
	if (nr > d->config.nr_traces)
		sim_fail(g->s, BAG "more traces than there may be");
}

/* Newest first, as long as they are new enough, of that process. */
static void recent(struct bag *g, struct bag_domain *d)
{
	struct hs_wire_trace_id out[BAG_TRACES];
	uint64_t since = g->now_ns - hs_random_below(&g->r, 3 * SIM_S);
	uint32_t room = 1 + bout_below(&g->r, BAG_TRACES), want = 0, nr;
	uint32_t process = 0, last = BAG_NONE;

	if (hs_random_chance(&g->r, 0.5))
		process = g->procs[bout_below(&g->r, BAG_PROCS)].number;
	nr = hs_agent_core_recent(g->core, d->id, process, since, out, room);
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		const struct bag_trace *x = &d->traces[t];

		want += x->there && !g->fired[t].live && x->last_ns >= since &&
			(!process || x->several || x->process == process);
	}
	bag_differs(g, "recent traces", nr, want < room ? want : room);
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t t = bag_trace_of(g, &out[i]);

		if (t == BAG_NONE || !d->traces[t].there || g->fired[t].live ||
		    d->traces[t].last_ns < since ||
		    (last != BAG_NONE &&
		     d->traces[t].touched > d->traces[last].touched))
			sim_fail(g->s, BAG "a recent trace out of order");
		last = t;
	}
}

#define SAME(field) bag_differs(g, #field, is.field, g->want.field)

static void stats(struct bag *g)
{
	struct hs_agent_queue_stats q;
	struct hs_agent_stats is;
	uint32_t groups = 0, fired = 0;

	hs_agent_core_stats_get(g->core, &is);
	SAME(traces_seen);
	SAME(traces_evicted);
	SAME(gone_forgotten);
	SAME(entries_bad);
	SAME(lost_index_full);
	SAME(lost_taints);
	SAME(crumbs_lost);
	SAME(triggers_local);
	SAME(triggers_limited);
	SAME(triggers_refused);
	SAME(triggers_context);
	SAME(contexts_refused);
	SAME(triggers_stored);
	SAME(collects);
	SAME(collects_refused);
	SAME(updates);
	SAME(seeks);
	SAME(seeks_refused);
	SAME(seeks_found);
	SAME(slices_sent);
	SAME(slices_resent);
	SAME(coordinators_silent);
	SAME(slices_acked);
	SAME(slices_refused);
	SAME(bytes_sent);
	SAME(traces_abandoned);
	SAME(fired_forgotten_early);
	SAME(crashes);
	SAME(messages_bad);
	SAME(adopted_buffers);
	SAME(adopted_groups);
	SAME(adopted_fired);
	SAME(buffers_unkept);
	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		groups += g->groups[i].live;
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		fired += g->fired[t].live;
	hs_agent_core_queue_stats_get(g->core, &q);
	bag_differs(g, "the outbox", q.outbox, groups);
	bag_differs(g, "fired traces", q.fired, fired);
	bag_differs(g, "COLLECTs that wait", q.asked, g->nr_pending);
	if (fired > g->config.nr_fired)
		sim_fail(g->s, BAG "more fired traces than may be");
}

/* What the ledger says of who took part: a successor knows nothing else. */
static void who(struct bag *g)
{
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		const struct bag_fired *f = &g->fired[t];
		uint32_t i = hs_fired_find(g->core, g->ids[t].hi, g->ids[t].lo);
		uint32_t is;

		if (!f->live || i == HS_NIL)
			continue;
		is = g->core->fired[i].who;
		bag_differs(g, "where it was taken part in", is >> 16,
			    f->in_domains);
		bag_differs(g, "whether anybody took part", is & 1,
			    f->in_domains != 0);
		bag_differs(g, "whether several did", is >> 1 & 1, f->several);
		if (!f->several)
			bag_differs(g, "who did", is >> 2 & 0x3fff,
				    f->process & 0x3fff);
	}
}

void bag_check(struct bag *g)
{
	const char *why = "";

	for (uint32_t k = 0; k < BAG_DOMAINS && !g->s->failed; k++) {
		buffers(g, &g->domains[k]);
		traces(g, &g->domains[k]);
		recent(g, &g->domains[k]);
	}
	if (!g->s->failed)
		who(g);
	if (!g->s->failed)
		stats(g);
	if (!g->s->failed)
		bag_check_triggers(g);
	if (!g->s->failed && !hs_agent_core_check(g->core, &why))
		sim_fail(g->s, BAG "it does not add up: %s", why);
}

/* ---- what is not there ----------------------------------------------------
 */

static void no_domain(struct bag *g, uint32_t domain)
{
	struct hs_shm_entry e = {.trace_lo = 5, .type = HS_SHM_ENTRY_CRUMB};
	struct hs_shm_slot slot = {.use = 1, .trace_lo = 5};
	struct hs_agent_domain_stats st;
	struct hs_wire_trace_id id;
	struct hs_agent_seen seen;
	struct hs_agent_core *c = g->core;
	uint64_t now = g->now_ns;

	e.u.arg = 5ull << 32;
	bag_differs(g, "a buffer of no domain",
		    hs_agent_core_stock(c, domain, 1), 0);
	bag_differs(
		g, "entries of no domain",
		hs_agent_core_entries(c, domain, 1, &e, 1, g->names, 1, now),
		0);
	bag_differs(g, "stocks of no domain", hs_agent_core_stocked(c, domain),
		    0);
	bag_differs(g, "stocks in no domain",
		    hs_agent_core_stocked_by(c, domain, 1), 0);
	bag_differs(g, "owners in no domain",
		    hs_agent_core_owns(c, domain, 1, 1), 0);
	bag_differs(g, "recent ones of no domain",
		    hs_agent_core_recent(c, domain, 0, 0, &id, 1), 0);
	bag_differs(g, "traces of no domain",
		    hs_agent_core_seen(c, domain, g->ids, 1, &seen), 0);
	hs_agent_core_loss(c, domain, 1, now, now);
	hs_agent_core_slot(c, domain, 1, &slot, NULL, now);
	hs_agent_core_dead_slot(c, domain, 1, &slot, NULL, now);
	hs_agent_core_process_dead(c, domain, 99, now);
	hs_agent_core_domain_stats_get(c, domain, now, &st);
	bag_differs(g, "figures of no domain", st.buffers_total, 0);
}

static void no_config(struct bag *g, uint32_t nr_buffers, uint32_t bytes)
{
	struct hs_agent_domain_config config = {
		.nr_buffers = nr_buffers,
		.buffer_bytes = bytes,
		.nr_crumbs = 1,
		.nr_traces = 1,
	};
	static uint64_t none[64];

	if (hs_agent_core_domain_add(g->core, 9, none, none, &config,
				     g->now_ns) != -EINVAL)
		sim_fail(g->s, BAG "a domain of %u times %u is taken",
			 nr_buffers, bytes);
}

/* A shell that asks for domains that there are not, once. */
void bag_probe(struct bag *g)
{
	static uint64_t none[64];

	no_domain(g, 1);
	no_domain(g, HS_AGENT_DOMAINS_MAX - 1);
	no_domain(g, HS_AGENT_DOMAINS_MAX);
	no_domain(g, UINT32_MAX);
	no_config(g, 0, 256);
	no_config(g, 8, 128);
	no_config(g, 8, 300);
	no_config(g, (1u << HS_KEY_BUFFERS) + 1, 256);
	if (hs_agent_core_domain_add(g->core, HS_AGENT_DOMAINS_MAX, none, none,
				     &g->domains[0].config,
				     g->now_ns) != -ENOSPC ||
	    hs_agent_core_domain_add(g->core, g->domains[0].id, none, none,
				     &g->domains[0].config,
				     g->now_ns) != -ENOSPC)
		sim_fail(g->s, BAG "a domain where there is none, or one");
	bag_differs(g, "its node", hs_agent_core_node(g->core), BAG_NODE);
}

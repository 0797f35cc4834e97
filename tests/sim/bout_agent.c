/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent.c - a bout of an agent's core: its peers, its rounds, its
 * successors
 */
#include "tests/sim/bout_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define NR_STEPS 400u

/* ---- rounds ---------------------------------------------------------------
 */

static void scan_one(struct bag *g, const struct bag_process *p,
		     const struct bag_handle *h)
{
	struct bag_domain *d = &g->domains[p->domain];
	const struct bag_fired *f = &g->fired[h->trace];
	uint32_t b = h->word ? bag_buffer_of(d, h->word) : BAG_NONE;
	struct hs_shm_buffer header;
	struct hs_shm_slot slot;
	struct bag_trace *x;
	uint64_t sent = g->want.slices_sent;
	bool fits, due;

	bag_slot_of(g, h, p->number, &slot, &header);
	fits = !bag_spoil(g, &header) && h->word && h->first_record;
	due = f->live && fits && !bag_is_away(g, h->trace) &&
	      bag_kept(g, h->trace) && bag_may_all_send(g) &&
	      g->now_ns - f->first_ns >= g->config.open_ship_ns &&
	      !d->buffers[b].in_flight && h->committed > d->buffers[b].acked &&
	      g->core->in_flight_bytes < g->config.window_bytes;
	bag_look(g, 1);
	/* Before it ships, it makes the trace known. */
	hs_agent_core_slot(g->core, d->id, p->number, &slot,
			   h->word ? &header : NULL, g->now_ns);
	bag_seek_live(g, h->trace);
	bag_settle(g);
	if (!f->live || !bag_kept(g, h->trace))
		return;
	x = bag_get(g, d, h->trace);
	if (!x)
		return;
	x->open_scan = g->scan;
	g->fired[h->trace].open_ns = g->scan_ns;
	if (!x->visited) {
		bag_visit(g, d, h->trace, p->number);
	} else {
		x->several |= x->process != p->number;
		bag_took_part(g, d, h->trace, p->number);
	}
	bag_touch(g, x);
	bag_settle(g);
	if (!fits && g->want.slices_sent != sent)
		sim_fail(g->s, BAG "an open buffer goes with a header that "
				   "does not fit");
	if (due && !g->jammed && g->want.slices_sent == sent &&
	    !(f->flags & HS_WIRE_F_ABANDONED))
		sim_fail(g->s, BAG "an open buffer does not go");
}

static void scan(struct bag *g)
{
	bool wants = hs_agent_core_wants_scan(g->core, g->now_ns);
	bool asked_before = g->nr_pending > 0;
	struct hs_agent_queue_stats q;

	hs_agent_core_queue_stats_get(g->core, &q);
	asked_before |= q.changed != 0;
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++)
		asked_before |= g->seeks[k].nr != 0;

	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		asked_before |=
			g->groups[i].live && g->groups[i].next_ns <= g->now_ns;
	if (!wants && asked_before && g->now_ns - g->scan_ns >= g->gap_ns)
		sim_fail(g->s, BAG "somebody waits, and it wants no scan");
	if (wants && g->now_ns - g->scan_ns < g->gap_ns)
		sim_fail(g->s, BAG "it wants another scan at once");
	if (!wants && hs_random_chance(&g->r, 0.8))
		return;
	g->scan++;
	g->scan_ns = g->now_ns;
	hs_agent_core_begin_scan(g->core, g->now_ns);
	for (uint32_t p = 0; p < BAG_PROCS; p++)
		for (uint32_t i = 0; i < BAG_SLOTS && !g->s->failed; i++)
			if (g->procs[p].handles[i].live)
				scan_one(g, &g->procs[p],
					 &g->procs[p].handles[i]);
	hs_agent_core_end_scan(g->core);
	g->scanned = true;
}

/* What no answer came to for so long goes again. */
static void sweep(struct bag *g)
{
	if (g->now_ns - g->swept_ns <= 5 * SIM_S)
		return;
	g->swept_ns = g->now_ns;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		for (uint32_t b = 0; b < BAG_BUFFERS; b++) {
			struct bag_buffer *x = &g->domains[k].buffers[b];

			if (x->in_flight && x->waited)
				x->in_flight = false;
			else
				x->waited = x->in_flight;
		}
}

static void tick(struct bag *g)
{
	bool served = g->scanned;

	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		bool looks = served && g->now_ns - g->taint_ns > 10 * SIM_MS;

		g->fired[t].taint += looks && g->fired[t].taint;
		g->fired[t].unkept += looks && g->fired[t].unkept;
	}
	if (served)
		g->taint_ns = g->now_ns;
	sweep(g);
	bag_look(g, 0);
	memset(g->last_priority, 0xff, sizeof(g->last_priority));
	g->ticking = g->gives_way = true;
	g->gave_up = false;
	g->tick_ns = g->now_ns;
	bag_patience(g);
	hs_agent_core_tick(g->core, g->now_ns);
	bag_lets(g);
	g->ticking = false;
	g->scanned = false;
	bag_settle(g);
	g->gives_way = false;
	if (!g->s->failed)
		bag_due_forgotten(g);
	if (!g->s->failed)
		bag_due(g, served);
	if (g->forgets) {
		g->forget_ns = g->now_ns;
		g->served_ns = g->now_ns;
	}
	g->forgets = false;
}

/* ---- a life, and the next -------------------------------------------------
 */

static bool start(struct bag *g)
{
	g->memory = bout_alloc(hs_agent_core_size_bytes(&g->config), false);
	g->config.index_seed = hs_random_u64(&g->r);
	g->gap_ns = 100 * SIM_US;
	g->core = hs_agent_core_create(g->memory, g->ledger, &g->config,
				       &bag_ops, g, g->now_ns, 12345);
	if (!g->core) {
		sim_fail(g->s, BAG "its own ledger is refused");
		return false;
	}
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		d->memory = bout_alloc(hs_agent_domain_size_bytes(&d->config),
				       true);
		if (hs_agent_core_domain_add(g->core, d->id, d->memory,
					     d->ledger, &d->config, g->now_ns))
			sim_fail(g->s, BAG "its own domain is refused");
	}
	return true;
}

static void stop(struct bag *g)
{
	bout_free(g->memory, hs_agent_core_size_bytes(&g->config), false);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		bout_free(d->memory, hs_agent_domain_size_bytes(&d->config),
			  true);
	}
}

/* Ledgers of another shape or version are refused, and left alone. */
static void strangers(struct bag *g)
{
	struct hs_agent_config config = g->config;
	struct hs_ledger_node *l = g->ledger;
	uint32_t *version = &l->version;
	void *memory;

	config.nr_fired++;
	memory = sim_zalloc(1, hs_agent_core_size_bytes(&config));
	if (hs_agent_core_create(memory, g->ledger, &config, &bag_ops, g, 1, 0))
		sim_fail(g->s, BAG "a ledger of another shape is taken");
	config = g->config;
	config.nr_groups++;
	if (hs_agent_core_create(memory, g->ledger, &config, &bag_ops, g, 1, 0))
		sim_fail(g->s, BAG "a ledger of another shape is taken");
	++*version;
	if (hs_agent_core_create(memory, g->ledger, &g->config, &bag_ops, g, 1,
				 0))
		sim_fail(g->s, BAG "a ledger of another version is taken");
	--*version;
	free(memory);
}

static void strange_domains(struct bag *g)
{
	struct bag_domain *d = &g->domains[0];
	struct hs_ledger_domain *l = d->ledger;
	struct hs_agent_domain_config c = d->config;
	void *memory;

	c.nr_buffers++;
	memory = sim_zalloc(1, hs_agent_domain_size_bytes(&c));
	c = d->config;
	l->version++;
	if (hs_agent_core_domain_add(g->core, 9, memory, l, &c, 1) != -EPROTO)
		sim_fail(g->s, BAG "a domain of another version is taken");
	l->version--;
	l->nr_crumbs++;
	if (hs_agent_core_domain_add(g->core, 9, memory, l, &c, 1) != -EPROTO)
		sim_fail(g->s, BAG "a domain of another shape is taken");
	l->nr_crumbs--;
	l->total_bytes += 64;
	if (hs_agent_core_domain_add(g->core, 9, memory, l, &c, 1) != -EPROTO)
		sim_fail(g->s, BAG "a domain of another length is taken");
	l->total_bytes -= 64;
	free(memory);
}

static void restart(struct bag *g)
{
	stop(g);
	strangers(g);
	if (!start(g))
		return;
	strange_domains(g);
	g->holds_refused = 0;
	bag_look(g, 0);
	memset(g->seeks, 0, sizeof(g->seeks));
	g->crowded = true;
	g->holds_refused = 0;
	bag_restart(g);
	bag_settle(g);
	bag_probe(g);
}

static void draw(struct bag *g)
{
	struct hs_agent_config *c = &g->config;
	struct hs_random *r = &g->r;

	*c = (struct hs_agent_config){0};
	c->node_id = BAG_NODE;
	c->scratch = g->scratch;
	c->nr_groups = 1 + bout_below(r, BAG_GROUPS);
	c->nr_fired = 3 + bout_below(r, 10);
	c->nr_pending = 1 + bout_below(r, BAG_PENDING);
	c->remember_ns = 20 * SIM_S;
	c->resend_ns = SIM_S;
	c->open_ship_ns = 500 * SIM_MS;
	c->taint_ns = (1 + bout_below(r, 4)) * SIM_S;
	c->trace_buffers_max = 1 + bout_below(r, 6);
	c->trace_crumbs_max = 1 + bout_below(r, 5);
	hs_random_fill(r, c->cluster_key, sizeof(c->cluster_key));
	bag_draw_policy(r, c);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		d->id = k ? 3 : 0;
		d->config = (struct hs_agent_domain_config){0};
		d->config.nr_buffers = 6 + bout_below(r, BAG_BUFFERS - 5);
		d->config.buffer_bytes = BAG_UNIT;
		d->config.nr_crumbs = 2 + bout_below(r, 11);
		d->config.nr_traces = 3 + bout_below(r, BAG_TRACES - 2);
		d->config.weight = bout_below(r, 3);
		d->ledger = bout_alloc(hs_agent_domain_ledger_bytes(&d->config),
				       false);
	}
	g->ledger = bout_alloc(hs_agent_node_ledger_bytes(c), false);
}

static void of_process(struct bag *g, struct bag_process *p)
{
	uint64_t what = hs_random_below(&g->r, 100);
	uint32_t t = bout_below(&g->r, BAG_TRACES);

	if (what < 30)
		bag_stocks(g, p);
	else if (what < 55)
		bag_opens(g, p);
	else if (what < 73)
		bag_closes(g, p);
	else if (what < 83)
		bag_says_crumb(g, p, t);
	else if (what < 88)
		bag_says_trigger(g, p);
	else if (what < 93)
		bag_forges(g, p);
	else if (what < 96)
		bag_says_many(g, p);
	else if (what < 97)
		bag_loses(g, p);
	else if (what < 98)
		bag_dies(g, p);
}

static void of_others(struct bag *g)
{
	uint64_t what = hs_random_below(&g->r, 100);

	if (what < 30) {
		scan(g);
	} else if (what < 65) {
		bag_collectors(g);
		g->jammed = hs_random_chance(&g->r, 0.1);
		tick(g);
		g->jammed = false;
	} else if (what < 72) {
		bag_collect(g);
	} else if (what < 82) {
		bag_stored(g);
	} else if (what < 92) {
		bag_slice_ack(g);
	} else if (what < 94) {
		bag_operator_fires(g);
	} else if (what < 97) {
		bag_links(g);
	} else if (what < 98) {
		restart(g);
	} else if (what < 99) {
		bag_sets_policy(g);
	} else {
		bag_nonsense(g);
	}
}

static void pass_time(struct bag *g)
{
	static const uint64_t steps[] = {20 * SIM_US, 200 * SIM_US, 3 * SIM_MS,
					 30 * SIM_MS, 700 * SIM_MS};

	g->now_ns += hs_random_below(&g->r, steps[hs_random_below(&g->r, 5)]);
	if (hs_random_chance(&g->r, 0.01))
		g->now_ns += sim_between(&g->r, 1, 24) * SIM_S;
}

void bout_agent(struct sim *s, uint64_t seed)
{
	static const char *const names[] = {"slow", "error", "queue", "crash",
					    HS_AGENT_HEAD_TRIGGER};
	struct bag *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0xa6e47ull);
	hs_random_seed(&g->seek_r, seed ^ 0x5ee6ull);
	hs_random_seed(&g->colls, seed ^ 0xc0115ull);
	hs_random_seed(&g->clock, seed ^ 0xc10c4ull);
	g->scratch = s->scratch;
	g->now_ns = 100 * SIM_S;
	/* When what a ledger has of times begins anew. */
	if (s->p.bout_exact && seed % 4 == 1)
		g->now_ns = (1ull << (16 + HS_LEDGER_WHEN_SHIFT)) - 20 * SIM_S;
	g->scan = 1;
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		g->ids[t] = (struct hs_wire_trace_id){t % 3 ? 7 + t / 3 : 0,
						      t % 2   ? t
						      : t % 3 ? 0
							      : 90 + t};
	for (uint32_t i = 0; i < BAG_ALL_NAMES; i++)
		strcpy(g->names[i].name, names[i]);
	draw(g);
	start(g);
	if (s->p.bout_exact && seed % 4 == 2)
		((struct hs_ledger_node *)g->ledger)->next_process =
			UINT32_MAX - 4;
	bag_probe(g);
	for (uint32_t p = 0; p < BAG_PROCS; p++) {
		g->procs[p].domain = p % BAG_DOMAINS;
		g->procs[p].number = hs_agent_core_process_new(g->core);
		g->last_process = g->procs[p].number;
	}
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		pass_time(g);
		if (s->p.bout_exact) {
			bag_exact(g);
			bag_moments(g);
		}
		if (hs_random_chance(&g->r, 0.6))
			of_process(g, &g->procs[bout_below(&g->r, BAG_PROCS)]);
		else
			of_others(g);
		if (s->p.bout_seeks && hs_random_chance(&g->seek_r, 0.05))
			bag_seek(g);
		if (!s->failed)
			bag_check(g);
		sim_mix(s, g->want.slices_sent ^ g->want.traces_seen << 32);
	}
	stop(g);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		bout_free(g->domains[k].ledger,
			  hs_agent_domain_ledger_bytes(&g->domains[k].config),
			  false);
	bout_free(g->ledger, hs_agent_node_ledger_bytes(&g->config), false);
	free(g);
}

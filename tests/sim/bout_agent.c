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

	for (uint32_t t = 0; t < BAG_TRACES; t++)
		asked_before |= g->fired[t].live &&
				g->fired[t].told.state == HS_WIRE_STATE_OPEN &&
				g->now_ns - g->fired[t].open_ns >=
					g->config.open_ship_ns / 2;
	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		asked_before |=
			g->groups[i].live && g->groups[i].next_ns <= g->now_ns;
	if (!wants && asked_before && g->now_ns - g->scan_ns >= g->gap_ns)
		sim_fail(g->s, BAG "somebody waits, and it wants no scan");
	if (wants && g->now_ns - g->scan_ns < g->gap_ns)
		sim_fail(g->s, BAG "it wants another scan at once");
	if (!wants && hs_random_chance(&g->r, 0.8))
		return;
	if (++g->scan == 0)
		g->scan = 1;
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
	g->memory = bout_alloc(hs_agent_core_size_bytes(&g->config), 0);
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

		d->memory =
			bout_alloc(hs_agent_domain_size_bytes(&d->config), 1);
		if (hs_agent_core_domain_add(g->core, d->id, d->memory,
					     d->ledger, &d->config, g->now_ns))
			sim_fail(g->s, BAG "its own domain is refused");
	}
	return true;
}

static void stop(struct bag *g)
{
	bout_free(g->memory, hs_agent_core_size_bytes(&g->config), 0);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		bout_free(d->memory, hs_agent_domain_size_bytes(&d->config), 1);
	}
}

/* Ledgers of another shape or version are refused, and left alone. */
static void strangers(struct bag *g)
{
	struct hs_agent_config config = g->config;
	struct hs_ledger_node *l = g->ledger;
	uint32_t *const words[] = {&l->version, &l->nr_groups, &l->nr_fired};
	void *memory;

	config.nr_fired++;
	memory = sim_zalloc(1, hs_agent_core_size_bytes(&config));
	if (hs_agent_core_create(memory, g->ledger, &config, &bag_ops, g, 1, 0))
		sim_fail(g->s, BAG "a ledger of another shape is taken");
	config = g->config;
	config.nr_groups++;
	if (hs_agent_core_create(memory, g->ledger, &config, &bag_ops, g, 1, 0))
		sim_fail(g->s, BAG "a ledger of another shape is taken");
	for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		++*words[i];
		if (hs_agent_core_create(memory, g->ledger, &g->config,
					 &bag_ops, g, 1, 0))
			sim_fail(g->s, BAG "a ledger of another shape is "
					   "taken");
		--*words[i];
	}
	l->total_bytes += 64;
	if (hs_agent_core_create(memory, g->ledger, &g->config, &bag_ops, g, 1,
				 0))
		sim_fail(g->s, BAG "a ledger of another length is taken");
	l->total_bytes -= 64;
	free(memory);
}

static void strange_domains(struct bag *g)
{
	struct bag_domain *d = &g->domains[0];
	struct hs_ledger_domain *l = d->ledger;
	struct hs_agent_domain_config c = d->config;
	uint32_t *const words[] = {&l->version,	     &l->nr_buffers,
				   &l->buffer_bytes, &l->nr_crumbs,
				   &l->nr_classes,   &l->class_factor,
				   &l->chunk_units,  &l->nr_nodes};
	void *memory;

	c.nr_buffers++;
	memory = sim_zalloc(1, hs_agent_domain_size_bytes(&c));
	c = d->config;
	for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		++*words[i];
		if (hs_agent_core_domain_add(g->core, 9, memory, l, &c, 1) !=
		    -EPROTO)
			sim_fail(g->s, BAG "a domain of another shape is "
					   "taken");
		--*words[i];
	}
	l->total_bytes += 64;
	if (hs_agent_core_domain_add(g->core, 9, memory, l, &c, 1) != -EPROTO)
		sim_fail(g->s, BAG "a domain of another length is taken");
	l->total_bytes -= 64;
	free(memory);
}

/*
 * It was killed while it let a buffer go that a collector has: before that was
 * counted, or after. Either way it is counted once.
 */
static void killed_letting_go(struct bag *g)
{
	struct bag_domain *d = &g->domains[hs_random_below(&g->clock, 2)];
	struct hs_domain *is = &g->core->domains[d->id];
	uint32_t b = (uint32_t)hs_random_below(&g->clock, d->config.nr_buffers);
	struct bag_buffer *x = &d->buffers[b];
	struct hs_ledger_fired *f;
	uint32_t now;

	if (x->state != HS_LEDGER_HELD || !g->fired[x->trace].live)
		return;
	f = &g->core->fired[hs_fired_find(g->core, g->ids[x->trace].hi,
					  g->ids[x->trace].lo)];
	now = f->totals_select & 1;
	is->buffers[b].word =
		hs_ledger_word(HS_LEDGER_FREEING, x->generation, x->process);
	is->rt[b].sending = 0;
	if (hs_random_chance(&g->clock, 0.5)) {
		f->totals[!now] = (struct hs_ledger_totals){
			.buffers = f->totals[now].buffers + 1,
			.bytes = f->totals[now].bytes + x->committed,
			.last = hs_buffer_ship_key(is, b),
		};
		f->totals_select = !now;
	}
	g->fired[x->trace].gone_buffers++;
	g->fired[x->trace].gone_bytes += x->committed;
	bag_release(g, d, b);
}

/* Told to end as soon as it has begun: nothing is said at leisure. */
static void hurry(struct bag *g)
{
	const struct hs_agent_core *c = g->core;

	hs_agent_core_hurry(g->core);
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		uint32_t f = hs_fired_find(c, g->ids[t].hi, g->ids[t].lo);

		if (f != HS_NIL && c->fired_rt[f].adopted &&
		    !c->fired_rt[f].dirty)
			sim_fail(g->s, BAG "it ends, and does not say again "
					   "what it has to");
	}
	bag_differs(g, "what is said again at leisure", c->nr_again, 0);
}

static void restart(struct bag *g)
{
	if (g->s->p.bout_exact)
		killed_letting_go(g);
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
	if (g->s->p.seed % 4 == 1)
		hurry(g);
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
		d->ledger =
			bout_alloc(hs_agent_domain_ledger_bytes(&d->config), 0);
	}
	g->ledger = bout_alloc(hs_agent_node_ledger_bytes(c), 0);
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

static void comes_due(struct bag *g, enum bag_due due)
{
	if (due == BAG_DUE_TRIGGER) {
		bag_look(g, 1);
		bag_operator_fires_as(g, g->due_name);
		return;
	}
	if (due == BAG_DUE_LOSS) {
		struct bag_process *p =
			&g->procs[hs_random_below(&g->clock, BAG_PROCS)];

		bag_says_crumb(
			g, p, (uint32_t)hs_random_below(&g->clock, BAG_TRACES));
		return;
	}
	scan(g);
	bag_collectors(g);
	tick(g);
}

static void pass_time(struct bag *g)
{
	static const uint64_t steps[] = {20 * SIM_US, 200 * SIM_US, 3 * SIM_MS,
					 30 * SIM_MS, 700 * SIM_MS};

	g->now_ns += hs_random_below(&g->r, steps[hs_random_below(&g->r, 5)]);
	if (hs_random_chance(&g->r, 0.01))
		g->now_ns += sim_between(&g->r, 1, 24) * SIM_S;
}

/*
 * Numbers that come to their end: of processes, of scans. Or processes whose
 * numbers look like the state and generation of a buffer.
 */
static void begins_anew(struct bag *g, uint64_t seed)
{
	struct hs_ledger_node *l = g->ledger;

	if (!g->s->p.bout_exact)
		return;
	if (seed % 4 == 2)
		l->next_process = UINT32_MAX - 4;
	if (seed % 4 == 3) {
		l->next_process = hs_ledger_word(HS_LEDGER_FREE, 1, 0) - 1;
		g->core->scan = g->scan = UINT32_MAX - 10;
	}
}

void bout_agent(struct sim *s, uint64_t seed)
{
	static const char *const names[] = {"slow", "error", "queue", "crash",
					    HS_AGENT_HEAD_TRIGGER};
	struct bag *g = sim_zalloc(1, sizeof(*g));
	enum bag_due due;

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
	/* As long as a name may be. */
	if (s->p.bout_exact)
		memset(g->names[2].name, 'q', HS_WIRE_NAME_BYTES - 1);
	draw(g);
	start(g);
	begins_anew(g, seed);
	bag_probe(g);
	for (uint32_t p = 0; p < BAG_PROCS; p++) {
		g->procs[p].domain = p % BAG_DOMAINS;
		g->procs[p].number = hs_agent_core_process_new(g->core);
		g->last_process = g->procs[p].number;
	}
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		due = BAG_DUE_NOTHING;
		pass_time(g);
		if (s->p.bout_exact) {
			due = bag_exact(g);
			bag_moments(g);
		}
		if (due)
			comes_due(g, due);
		else if (hs_random_chance(&g->r, 0.6))
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
			  0);
	bout_free(g->ledger, hs_agent_node_ledger_bytes(&g->config), 0);
	free(g);
}

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

/* ---- peers ----------------------------------------------------------------
 */

static bool name_ok(const char *name)
{
	size_t n = 0;

	for (; n < HS_WIRE_NAME_BYTES && name[n]; n++)
		if (name[n] <= ' ' || name[n] > '~')
			return false;
	return n && n < HS_WIRE_NAME_BYTES;
}

static void message(struct bag *g, uint64_t from, uint16_t type, uint32_t bytes)
{
	bag_look(g);
	hs_agent_core_message(g->core, from, type, g->payload, bytes,
			      g->now_ns);
	bag_settle(g);
}

static uint32_t pending_room(const struct bag *g)
{
	uint32_t room = 1;

	while (room < g->config.nr_pending)
		room *= 2;
	return room;
}

static void asked(struct bag *g, uint64_t from, const struct hs_wire_group *m)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);
	struct bag_pending *p = &g->pending[g->nr_pending];

	g->want.collects++;
	if (g->nr_pending == pending_room(g)) {
		g->want.collects_refused++;
		return;
	}
	*p = (struct bag_pending){
		.from = from, .trigger = m->trigger, .scan = g->scan};
	for (uint32_t i = 0; i < m->nr; i++) {
		uint32_t t = bag_trace_of(g, &ids[i]);

		if (!(ids[i].hi | ids[i].lo))
			continue;
		if (bag_fire(g, t, &m->trigger))
			p->traces[p->nr++] = t;
		else
			g->want.collects_refused++;
	}
	g->nr_pending += p->nr != 0;
	bag_settle(g);
}

/* Whether a COLLECT is what the format says, and about traces of ours. */
static bool collect_ok(const struct bag *g, const struct hs_wire_group *m,
		       uint32_t bytes, bool *ours)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);

	*ours = true;
	if (bytes < sizeof(*m) || m->nr < 1 || m->nr > HS_WIRE_TRACES_MAX ||
	    bytes != sizeof(*m) + m->nr * 16 || !m->trigger.origin ||
	    !(m->trigger.primary.hi | m->trigger.primary.lo) ||
	    !name_ok(m->trigger.name))
		return false;
	for (uint32_t i = 0; i < m->nr; i++)
		*ours &= !(ids[i].hi | ids[i].lo) ||
			 bag_trace_of(g, &ids[i]) != BAG_NONE;
	for (uint32_t k = 0; k <= BAG_NR_NAMES; k++)
		if (!strcmp(g->names[k].name, m->trigger.name))
			return true;
	*ours = false;
	return true;
}

static void collect(struct bag *g)
{
	struct hs_wire_group *m = (void *)g->payload;
	struct hs_wire_trace_id *ids = (void *)(m + 1);
	uint64_t from = (uint64_t)(100 + bout_below(&g->r, 2)) << 32 | 1;
	uint32_t bytes, nr = 1 + bout_below(&g->r, 3);
	bool ok, ours;

	if (hs_random_chance(&g->r, 0.03))
		nr = 1 + bout_below(&g->r, HS_WIRE_TRACES_MAX + 1);
	memset(m, 0, sizeof(*m));
	m->trigger.origin = 9ull << 32 | 1;
	m->trigger.key = 1 + hs_random_below(&g->r, 1000);
	m->trigger.primary = g->ids[bout_below(&g->r, BAG_TRACES)];
	m->trigger.priority =
		hs_hash_siphash(g->config.cluster_key, &m->trigger.primary, 16);
	strcpy(m->trigger.name, g->names[bout_below(&g->r, BAG_NR_NAMES)].name);
	m->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		memset(&ids[i], 0, sizeof(ids[i]));
		if (hs_random_chance(&g->r, 0.97))
			ids[i] = g->ids[bout_below(&g->r, BAG_TRACES)];
	}
	bytes = (uint32_t)(sizeof(*m) + nr * sizeof(*ids));
	if (hs_random_chance(&g->r, 0.15))
		bytes = bout_mangle(&g->r, (uint8_t *)g->payload, bytes,
				    sizeof(g->payload));
	ok = collect_ok(g, m, bytes, &ours);
	if (ok && !ours)
		return;
	message(g, from, HS_WIRE_COLLECT, bytes);
	if (ok)
		asked(g, from, m);
	else
		g->want.messages_bad++;
}

static void stored_group(struct bag *g, struct bag_group *x)
{
	x->live = false;
	for (uint32_t i = 0; i < x->nr; i++)
		g->fired[x->traces[i]].nr_groups--;
	g->want.triggers_stored++;
}

static void stored(struct bag *g)
{
	struct hs_wire_stored *m = (void *)g->payload;
	struct bag_group *x = &g->groups[bout_below(&g->r, BAG_GROUPS)];
	struct bag_fired *f = &g->fired[bout_below(&g->r, BAG_TRACES)];
	uint32_t bytes = sizeof(*m);

	*m = (struct hs_wire_stored){BAG_NODE, f->update_key};
	if (hs_random_chance(&g->r, 0.6))
		m->key = x->key;
	if (hs_random_chance(&g->r, 0.1))
		m->origin++;
	if (hs_random_chance(&g->r, 0.1))
		m->key += 1ull << hs_random_below(&g->r, 64);
	if (hs_random_chance(&g->r, 0.05))
		bytes += hs_random_chance(&g->r, 0.5) ? 1 : -1u;
	message(g, 100ull << 32, HS_WIRE_STORED, bytes);
	if (bytes != sizeof(*m)) {
		g->want.messages_bad++;
		return;
	}
	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		if (g->groups[i].live && g->groups[i].key == m->key &&
		    m->origin == BAG_NODE)
			stored_group(g, &g->groups[i]);
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (g->fired[t].live && g->fired[t].update_key &&
		    g->fired[t].update_key == m->key)
			g->fired[t].update_key = g->fired[t].update_try = 0;
}

static void acked(struct bag *g, struct bag_domain *d, uint32_t b, bool refused)
{
	struct bag_buffer *x = &d->buffers[b];
	struct bag_fired *f;

	x->acked = x->upto;
	x->in_flight = false;
	g->want.slices_acked++;
	g->want.slices_refused += refused;
	if (refused)
		x->flags |= HS_WIRE_F_LOST;
	if (x->state != HS_LEDGER_HELD)
		return;
	if (refused)
		bag_flag(g, d, x->trace, HS_WIRE_F_LOST);
	if (!refused && !x->final_sent)
		return;
	f = &g->fired[x->trace];
	f->gone_buffers++;
	f->gone_bytes += x->committed;
	bag_release(g, d, b);
}

static void ack_keys(struct bag *g, const uint64_t *keys, uint32_t nr,
		     bool refused)
{
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < BAG_DOMAINS; k++)
			for (uint32_t b = 0; b < BAG_BUFFERS; b++) {
				struct bag_domain *d = &g->domains[k];

				if (d->buffers[b].in_flight &&
				    d->buffers[b].key == keys[i])
					acked(g, d, b, refused);
			}
}

static void slice_ack(struct bag *g)
{
	struct hs_wire_slice_ack *m = (void *)g->payload;
	uint64_t *keys = (void *)(m + 1);
	uint32_t nr = bout_below(&g->r, 6), bytes;

	if (hs_random_chance(&g->r, 0.02))
		nr = HS_WIRE_ACKS_MAX - 1 + bout_below(&g->r, 3);
	*m = (struct hs_wire_slice_ack){nr, hs_random_chance(&g->r, 0.15)};
	for (uint32_t i = 0; i < nr; i++) {
		struct bag_domain *d =
			&g->domains[bout_below(&g->r, BAG_DOMAINS)];
		uint32_t b = bout_below(&g->r, d->config.nr_buffers);

		for (uint32_t k = 0;
		     k < BAG_BUFFERS && !d->buffers[b].in_flight; k++)
			b = (b + 1) % d->config.nr_buffers;
		keys[i] = d->buffers[b].key;
		if (hs_random_chance(&g->r, 0.15))
			keys[i] += 1ull << hs_random_below(&g->r, 64);
	}
	bytes = (uint32_t)(sizeof(*m) + 8 * nr);
	if (hs_random_chance(&g->r, 0.05))
		bytes += hs_random_chance(&g->r, 0.5) ? 8 : -8u;
	message(g, 200ull << 32, HS_WIRE_SLICE_ACK, bytes);
	if (nr > HS_WIRE_ACKS_MAX || bytes != sizeof(*m) + 8 * nr)
		g->want.messages_bad++;
	else
		ack_keys(g, keys, nr, m->refused);
}

static void nonsense(struct bag *g)
{
	static const uint16_t types[] = {0,
					 HS_WIRE_HELLO,
					 HS_WIRE_TRIGGER,
					 HS_WIRE_CRUMBS,
					 HS_WIRE_MANIFEST,
					 99};

	memset(g->payload, 0, 64);
	message(g, 1, types[hs_random_below(&g->r, 6)], 64);
	g->want.messages_bad++;
}

static void again(struct bag *g, uint32_t number)
{
	for (uint32_t i = 0; i < BAG_GROUPS; i++) {
		struct bag_group *x = &g->groups[i];

		if (!x->live || x->to != number || !x->attempt)
			continue;
		x->attempt = 0;
		x->next_ns = g->now_ns;
	}
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		struct bag_fired *f = &g->fired[t];

		if (!f->live || !f->update_key || f->update_to != number)
			continue;
		f->update_try = 0;
		f->update_ns = g->now_ns;
	}
}

static void links(struct bag *g)
{
	uint32_t number = 100 + bout_below(&g->r, 2);

	switch (hs_random_below(&g->r, 3)) {
	case 0:
		hs_agent_core_coordinator_up(
			g->core, (uint64_t)number << 32 | 1, g->now_ns);
		again(g, 0);
		again(g, number);
		break;
	case 1:
		hs_agent_core_coordinator_down(
			g->core, (uint64_t)number << 32 | 1, g->now_ns);
		again(g, number);
		break;
	default:
		hs_agent_core_collector_up(g->core, g->now_ns);
		for (uint32_t k = 0; k < BAG_DOMAINS; k++)
			for (uint32_t b = 0; b < BAG_BUFFERS; b++)
				g->domains[k].buffers[b].in_flight = false;
	}
}

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
	due = f->live && fits &&
	      g->now_ns - f->first_ns >= g->config.open_ship_ns &&
	      !d->buffers[b].in_flight && h->committed > d->buffers[b].acked &&
	      g->core->in_flight_bytes < g->config.window_bytes;
	bag_look(g);
	/* Before it ships, it makes the trace known. */
	hs_agent_core_slot(g->core, d->id, p->number, &slot,
			   h->word ? &header : NULL, g->now_ns);
	bag_settle(g);
	if (!f->live)
		return;
	x = bag_get(g, d, h->trace);
	if (!x)
		return;
	x->open_scan = g->scan;
	g->fired[h->trace].open_ns = g->scan_ns;
	if (!x->visited)
		bag_visit(g, d, h->trace, p->number);
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

	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		asked_before |=
			g->groups[i].live && g->groups[i].next_ns <= g->now_ns;
	if (!wants && asked_before && g->now_ns - g->scan_ns >= 100 * SIM_US)
		sim_fail(g->s, BAG "somebody waits, and it wants no scan");
	if (wants && g->now_ns - g->scan_ns < 100 * SIM_US)
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

	for (uint32_t t = 0; t < BAG_TRACES; t++)
		g->fired[t].taint += served && g->fired[t].taint &&
				     g->now_ns - g->taint_ns > 10 * SIM_MS;
	if (served)
		g->taint_ns = g->now_ns;
	sweep(g);
	bag_look(g);
	memset(g->last_priority, 0xff, sizeof(g->last_priority));
	g->ticking = true;
	g->gave_up = false;
	hs_agent_core_tick(g->core, g->now_ns);
	g->ticking = false;
	g->scanned = false;
	bag_settle(g);
	if (!g->s->failed)
		bag_due(g, served);
	if (g->now_ns - g->forget_ns >= SIM_MS) {
		g->forget_ns = g->now_ns;
		g->served_ns = g->now_ns;
	}
}

/* ---- a life, and the next -------------------------------------------------
 */

static bool start(struct bag *g)
{
	g->memory = sim_zalloc(1, hs_agent_core_size_bytes(&g->config));
	g->config.index_seed = hs_random_u64(&g->r);
	g->core = hs_agent_core_create(g->memory, g->ledger, &g->config,
				       &bag_ops, g, g->now_ns, 12345);
	if (!g->core) {
		sim_fail(g->s, BAG "its own ledger is refused");
		return false;
	}
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		d->memory =
			sim_zalloc(1, hs_agent_domain_size_bytes(&d->config));
		if (hs_agent_core_domain_add(g->core, d->id, d->memory,
					     d->ledger, &d->config, g->now_ns))
			sim_fail(g->s, BAG "its own domain is refused");
	}
	return true;
}

static void stop(struct bag *g)
{
	free(g->memory);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		free(g->domains[k].memory);
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
	bag_look(g);
	g->crowded = true;
	bag_restart(g);
	bag_settle(g);
	bag_probe(g);
}

static void draw(struct bag *g)
{
	struct hs_agent_config *c = &g->config;
	struct hs_random *r = &g->r;

	*c = (struct hs_agent_config){
		.node_id = BAG_NODE,
		.scratch = g->scratch,
		.nr_groups = 1 + bout_below(r, BAG_GROUPS),
		.nr_fired = 3 + bout_below(r, 10),
		.nr_pending = 1 + bout_below(r, BAG_PENDING),
		.remember_ns = 20 * SIM_S,
		.resend_ns = SIM_S,
		.open_ship_ns = 500 * SIM_MS,
		.window_bytes = 256 + bout_below(r, 2048),
		.evict_percent = 50 + bout_below(r, 50),
		.taint_ns = (1 + bout_below(r, 4)) * SIM_S,
		.trace_buffers_max = 1 + bout_below(r, 6),
		.trace_crumbs_max = 1 + bout_below(r, 5),
		.crash_trigger = hs_random_chance(r, 0.5),
		.nr_policies = bout_below(r, 2),
	};
	hs_random_fill(r, c->cluster_key, sizeof(c->cluster_key));
	strcpy(c->policies[0].name, "slow");
	c->policies[0].weight = bout_below(r, 3);
	c->policies[0].rate_per_s = bout_below(r, 4);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		d->id = k ? 3 : 0;
		d->config = (struct hs_agent_domain_config){
			.nr_buffers = 6 + bout_below(r, BAG_BUFFERS - 5),
			.buffer_bytes = BAG_UNIT,
			.nr_crumbs = 2 + bout_below(r, 11),
			.nr_traces = 3 + bout_below(r, BAG_TRACES - 2),
			.weight = bout_below(r, 3),
		};
		d->ledger =
			sim_zalloc(1, hs_agent_domain_ledger_bytes(&d->config));
	}
	g->ledger = sim_zalloc(1, hs_agent_node_ledger_bytes(c));
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
		g->jammed = hs_random_chance(&g->r, 0.1);
		tick(g);
		g->jammed = false;
	} else if (what < 72) {
		collect(g);
	} else if (what < 82) {
		stored(g);
	} else if (what < 92) {
		slice_ack(g);
	} else if (what < 94) {
		bag_operator_fires(g);
	} else if (what < 97) {
		links(g);
	} else if (what < 98) {
		restart(g);
	} else {
		nonsense(g);
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
	static const char *const names[] = {"slow", "error", "queue", "crash"};
	struct bag *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0xa6e47ull);
	g->scratch = s->scratch;
	g->now_ns = 100 * SIM_S;
	g->scan = 1;
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		g->ids[t] = (struct hs_wire_trace_id){t % 3 ? 7 + t / 3 : 0,
						      t % 2   ? t
						      : t % 3 ? 0
							      : 90 + t};
	for (uint32_t i = 0; i <= BAG_NR_NAMES; i++)
		strcpy(g->names[i].name, names[i]);
	draw(g);
	start(g);
	bag_probe(g);
	for (uint32_t p = 0; p < BAG_PROCS; p++) {
		g->procs[p].domain = p % BAG_DOMAINS;
		g->procs[p].number = hs_agent_core_process_new(g->core);
		g->last_process = g->procs[p].number;
	}
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		pass_time(g);
		if (hs_random_chance(&g->r, 0.6))
			of_process(g, &g->procs[bout_below(&g->r, BAG_PROCS)]);
		else
			of_others(g);
		if (!s->failed)
			bag_check(g);
		sim_mix(s, g->want.slices_sent ^ g->want.traces_seen << 32);
	}
	stop(g);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		free(g->domains[k].ledger);
	free(g->ledger);
	free(g);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_fair.c - an agent that has more to send than it may: whose turn it is,
 * and who gives way
 *
 * Every trace lies in one domain and is named by one trigger, so that a model
 * can say exactly what start-time fair queueing serves next, between domains by
 * their weights and then between their triggers, what counts for whom and since
 * when, and which group a domain or the table of fired traces gives up.
 */
#include "tests/sim/bout_fair.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define NR_STEPS 260u

static void differs(struct fair *g, const char *what, uint64_t is,
		    uint64_t should)
{
	if (is != should)
		sim_fail(g->s, FAIR "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

/* ---- what it hears --------------------------------------------------------
 */

static void buffer_comes(struct fair *g, struct fair_trace *x)
{
	uint32_t id = fair_domain_ids[x->domain];
	uint64_t word = hs_agent_core_stock(g->core, id, g->process[x->domain]);
	struct hs_shm_entry e = {
		.trace_hi = x->id.hi,
		.trace_lo = x->id.lo,
		.type = HS_SHM_ENTRY_END,
		.handle = ++g->handle,
	};
	uint32_t b = hs_shm_stock_ref(word) * 256 / FAIR_UNIT;

	/* What nobody has named may have had to go. */
	if (!x->named &&
	    hs_ix_find(&g->core->domains[id], x->id.hi, x->id.lo) == HS_NIL)
		x->nr = 0;
	if (!word)
		return;
	e.u.buffer.ref = hs_shm_stock_ref(word);
	e.u.buffer.committed = 64 + bout_below(&g->r, FAIR_UNIT - 63);
	hs_agent_core_entries(g->core, id, g->process[x->domain], &e, 1, NULL,
			      0, g->now_ns);
	if (x->given_up)
		return;
	x->buffers[x->nr++] = (struct fair_buffer){
		.buffer = b, .bytes = e.u.buffer.committed};
	if (x->named)
		fair_enqueue(g, x);
}

/* A coordinator names it. */
static void named(struct fair *g, struct fair_trace *x)
{
	struct fair_group *of = &g->groups[x->group];
	struct hs_wire_group *m = (void *)g->payload;
	struct hs_wire_trace_id *id = (void *)(m + 1);
	uint32_t fired;

	memset(m, 0, sizeof(*m));
	m->trigger.origin = 9ull << 32 | 1;
	m->trigger.key = 1 + x->id.lo;
	m->trigger.primary = of->primary;
	m->trigger.priority = of->priority;
	strcpy(m->trigger.name, fair_names[of->trigger]);
	/* Where as many are known as there may be, the last one stands for all
	 * others. */
	if (g->first_name && of->trigger == FAIR_NAMES - 1 && x->id.lo & 1)
		strcpy(m->trigger.name, "unknown");
	m->nr = 1;
	*id = x->id;
	hs_agent_core_message(g->core, 100ull << 32 | 1, HS_WIRE_COLLECT, m,
			      sizeof(*m) + sizeof(*id), g->now_ns);
	fired = hs_fired_find(g->core, x->id.hi, x->id.lo);
	if (fired == HS_NIL) {
		if (g->nr_fired < g->config.nr_fired)
			sim_fail(g->s, FAIR "a fired trace finds no place, and "
					    "there is one");
		return;
	}
	x->named = true;
	g->nr_fired++;
	x->since_ns = g->now_ns;
	if (fair_let_known(g, x->group)) {
		fair_give_up(g, x);
	} else {
		x->slot = g->core->fired_rt[fired].hold_first;
		x->young = true;
		fair_young(g, x);
		fair_enqueue(g, x);
	}
	differs(g, "whether a trace goes with its group",
		hs_fired_abandoned(g->core, fired), x->given_up);
}

static void trace_comes(struct fair *g)
{
	struct fair_trace *x = g->traces;
	uint32_t before = bout_below(&g->r, 3), group;

	while (x < g->traces + FAIR_TRACES && (x->named || x->nr))
		x++;
	if (x == g->traces + FAIR_TRACES)
		return;
	group = bout_below(&g->r, FAIR_GROUPS);
	/* Another group takes the place of one that nobody is in. */
	if (hs_random_chance(&g->r, 0.5) && fair_group_empty(g, group))
		fair_group_new(g, group);
	*x = (struct fair_trace){.group = group};
	x->id.hi = 5 + bout_below(&g->r, 2);
	x->id.lo = ++g->last_id;
	x->domain = bout_below(&g->r, FAIR_DOMAINS);
	for (uint32_t i = 0; i < before; i++)
		buffer_comes(g, x);
	named(g, x);
	if (!x->named) /* one that nobody wants will make room */
		memset(x, 0, sizeof(*x));
}

static void more_comes(struct fair *g)
{
	struct fair_trace *x = &g->traces[bout_below(&g->r, FAIR_TRACES)];

	if (x->named && x->nr < FAIR_BUFFERS_OF_ONE)
		buffer_comes(g, x);
}

static void acknowledged(struct fair *g, struct fair_trace *x, uint32_t i)
{
	struct hs_wire_slice_ack *m = (void *)g->payload;
	uint64_t *key = (void *)(m + 1);

	*m = (struct hs_wire_slice_ack){.nr = 1};
	*key = x->buffers[i].key;
	hs_agent_core_message(g->core, 200ull << 32, HS_WIRE_SLICE_ACK, m,
			      sizeof(*m) + sizeof(*key), g->now_ns);
	g->in_flight_bytes -= x->buffers[i].bytes;
	x->nr--;
	memmove(&x->buffers[i], &x->buffers[i + 1],
		(x->nr - i) * sizeof(x->buffers[0]));
}

static void acks(struct fair *g)
{
	double share = (1 + bout_below(&g->r, 4)) * 0.25;

	for (uint32_t t = 0; t < FAIR_TRACES; t++) {
		struct fair_trace *x = &g->traces[t];

		for (uint32_t i = x->nr; i-- > 0;)
			if (x->buffers[i].in_flight &&
			    hs_random_chance(&g->r, share))
				acknowledged(g, x, i);
	}
}

/* What an UPDATE said is stored: its trace may be forgotten. */
static void stored(struct fair *g)
{
	struct hs_wire_stored *m = (void *)g->payload;

	while (g->nr_updates) {
		*m = (struct hs_wire_stored){FAIR_NODE,
					     g->updates[--g->nr_updates]};
		hs_agent_core_message(g->core, 100ull << 32, HS_WIRE_STORED, m,
				      sizeof(*m), g->now_ns);
	}
}

static void collectors(struct fair *g)
{
	if (!g->away) {
		g->away = 1 + bout_below(&g->r, 2);
		return;
	}
	g->away = 0;
	hs_agent_core_routes_changed(g->core);
	fair_back(g);
}

/* ---- what it says ---------------------------------------------------------
 */

static uint64_t op_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t bytes)
{
	const struct hs_wire_group *m = payload;
	struct fair *g = ctx;

	if (g->nr_updates < FAIR_TRACES)
		g->updates[g->nr_updates++] = m->trigger.key;
	return 100ull << 32 | 1;
}

static bool op_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t bytes)
{
	return true;
}

static enum hs_agent_shipped op_ship(void *ctx, const struct hs_agent_slice *s)
{
	struct fair *g = ctx;
	uint32_t b = (uint32_t)(s->pool_offset / FAIR_UNIT), i = 0;
	struct fair_trace *x = fair_trace_of(g, &s->head.trace);

	if (!x || !x->named || x->given_up || !g->ticking) {
		sim_fail(g->s, FAIR "a slice that nobody waits for");
		return HS_AGENT_SHIP_NOT;
	}
	while (i < x->nr && x->buffers[i].in_flight)
		i++;
	if (i == x->nr || x->buffers[i].buffer != b ||
	    s->domain != fair_domain_ids[x->domain] ||
	    s->head.length_bytes != x->buffers[i].bytes)
		sim_fail(g->s, FAIR "another buffer than the next one");
	if (g->in_flight_bytes >= g->config.window_bytes)
		sim_fail(g->s, FAIR "a slice beyond the window");
	if (x != g->serving)
		fair_turn(g, x);
	g->serving = x;
	if (g->s->failed)
		return HS_AGENT_SHIP_NOT;
	if (g->away >> (x->id.lo & 1) & 1) {
		fair_aside(g, x);
		g->serving = NULL;
		return HS_AGENT_SHIP_AWAY;
	}
	if (!g->room) {
		g->refused = true;
		return HS_AGENT_SHIP_NOT;
	}
	g->room--;
	g->in_flight_bytes += x->buffers[i].bytes;
	x->buffers[i].in_flight = true;
	x->buffers[i].waited = false;
	x->buffers[i].key = s->head.ship_key;
	fair_sent(g, x, x->buffers[i].bytes);
	return HS_AGENT_SHIP_COPIED;
}

static const struct hs_agent_ops ops = {op_coordinator, op_node, op_ship, NULL};

/* ---- rounds ---------------------------------------------------------------
 */

/* What no answer came to for so long goes again. */
static void sweep(struct fair *g)
{
	if (g->now_ns - g->swept_ns <= 5 * SIM_S)
		return;
	g->swept_ns = g->now_ns;
	fair_again(g, false);
}

static void forgotten(struct fair *g)
{
	for (uint32_t t = 0; t < FAIR_TRACES; t++) {
		struct fair_trace *x = &g->traces[t];
		uint32_t i = hs_fired_find(g->core, x->id.hi, x->id.lo);

		if (!x->named)
			continue;
		if (i != HS_NIL) {
			differs(g, "whether a trace is given up",
				hs_fired_abandoned(g->core, i), x->given_up);
			continue;
		}
		if (x->nr)
			sim_fail(g->s, FAIR "forgotten with buffers");
		g->nr_fired--;
		*x = (struct fair_trace){0};
	}
}

static void tick(struct fair *g)
{
	hs_agent_core_begin_scan(g->core, g->now_ns);
	hs_agent_core_end_scan(g->core);
	sweep(g);
	g->room = hs_random_chance(&g->r, 0.3) ? FAIR_TRACES * 8
					       : bout_below(&g->r, 5);
	g->ticking = true;
	g->refused = false;
	g->serving = NULL;
	hs_agent_core_tick(g->core, g->now_ns);
	g->ticking = false;
	if (g->s->failed)
		return;
	if (!g->refused && g->in_flight_bytes < g->config.window_bytes &&
	    fair_next(g))
		sim_fail(g->s, FAIR "a trace waits, with room to send it");
	fair_overload(g);
	forgotten(g);
}

/* In some bouts as many triggers as there may be, most of which never fire. */
static void policies(struct fair *g, struct hs_agent_config *c)
{
	c->nr_policies = g->first_name + FAIR_NAMES;
	memset(c->policies, 0, sizeof(c->policies));
	for (uint32_t i = 0; i < g->first_name; i++) {
		c->policies[i].name[0] = '!';
		c->policies[i].name[1] = (char)('0' + i);
	}
	for (uint32_t i = 0; i < FAIR_NAMES; i++) {
		struct hs_agent_trigger_policy *p =
			&c->policies[g->first_name + i];

		strcpy(p->name, fair_names[i]);
		p->weight = bout_below(&g->r, FAIR_WEIGHT_MAX + 1);
	}
}

/* What counts for whom: buffers, and which of them have not settled. */
static void check(struct fair *g)
{
	const char *why = "";

	for (uint32_t k = 0; k < FAIR_DOMAINS; k++) {
		const struct hs_domain *is =
			&g->core->domains[fair_domain_ids[k]];

		differs(g, "buffers pinned", is->nr_pinned,
			fair_pinned(g, k, FAIR_NAMES, true));
		differs(g, "of them settled", is->nr_pinned - is->nr_young,
			fair_pinned(g, k, FAIR_NAMES, false));
		for (uint32_t i = 0; i < FAIR_NAMES; i++) {
			const struct hs_queue *q =
				&is->queues[g->first_name + i];

			differs(g, "buffers of a trigger", q->nr_pinned,
				fair_pinned(g, k, i, true));
			differs(g, "of them settled",
				q->nr_pinned - q->nr_young,
				fair_pinned(g, k, i, false));
		}
	}
	differs(g, "bytes under way", g->core->in_flight_bytes,
		g->in_flight_bytes);
	differs(g, "groups given up by the second trigger",
		g->core->triggers[g->first_name + 1].groups_abandoned,
		g->nr_lets[1]);
	if (!g->s->failed && !hs_agent_core_check(g->core, &why))
		sim_fail(g->s, FAIR "it does not add up: %s", why);
}

static void step(struct fair *g)
{
	uint64_t what = hs_random_below(&g->r, 100);

	if (what < 32)
		trace_comes(g);
	else if (what < 55)
		more_comes(g);
	else if (what < 82)
		tick(g);
	else if (what < 92)
		acks(g);
	else if (what < 96)
		stored(g);
	else if (what < 98)
		collectors(g);
	else if (what < 99) {
		policies(g, &g->config);
		hs_agent_core_policy_set(g->core, &g->config);
	} else {
		hs_agent_core_collector_up(g->core, g->now_ns);
		fair_again(g, true);
	}
}

static void domain_add(struct fair *g, uint32_t id, struct fair_domain *d)
{
	d->ledger = sim_zalloc(1, hs_agent_domain_ledger_bytes(&d->config));
	d->memory = sim_zalloc(1, hs_agent_domain_size_bytes(&d->config));
	if (hs_agent_core_domain_add(g->core, id, d->memory, d->ledger,
				     &d->config, g->now_ns))
		sim_fail(g->s, FAIR "a domain is refused");
}

/* In some bouts as many domains as there may be, most of which are idle. */
static void others_add(struct fair *g)
{
	uint32_t k = 0, i = 0;

	for (uint32_t id = 0; id < HS_AGENT_DOMAINS_MAX; id++) {
		if (k < FAIR_DOMAINS && id == fair_domain_ids[k]) {
			k++;
			continue;
		}
		g->others[i].config = (struct hs_agent_domain_config){
			.nr_buffers = 1,
			.buffer_bytes = FAIR_UNIT,
			.nr_traces = 2,
		};
		domain_add(g, id, &g->others[i++]);
	}
}

static void start(struct fair *g)
{
	struct hs_agent_config *c = &g->config;

	c->node_id = FAIR_NODE;
	c->scratch = g->s->scratch;
	c->nr_groups = 4;
	c->nr_fired = 8 + bout_below(&g->r, 57);
	c->nr_pending = 128;
	c->remember_ns =
		hs_random_chance(&g->r, 0.5) ? 2 * SIM_S : 200 * SIM_MS;
	if (g->s->p.seed % 4 == 1) /* so that a bucket of groups runs over */
		c->remember_ns = 2 * SIM_S;
	c->resend_ns = SIM_S;
	c->taint_ns = SIM_S;
	c->trace_buffers_max = FAIR_BUFFERS_OF_ONE;
	c->window_bytes = hs_random_chance(&g->r, 0.3)
				  ? 256 + bout_below(&g->r, 1024)
				  : 1u << 20;
	c->evict_percent = 99;
	if (hs_random_chance(&g->r, 0.5))
		g->first_name = HS_AGENT_TRIGGERS_MAX - FAIR_NAMES;
	policies(g, c);
	g->ledger = sim_zalloc(1, hs_agent_node_ledger_bytes(c));
	g->memory = sim_zalloc(1, hs_agent_core_size_bytes(c));
	c->index_seed = hs_random_u64(&g->r);
	g->core = hs_agent_core_create(g->memory, g->ledger, c, &ops, g,
				       g->now_ns, 0);
	for (uint32_t k = 0; k < FAIR_DOMAINS; k++) {
		struct fair_domain *d = &g->domains[k];

		d->config.nr_buffers = 8 + bout_below(&g->r, 41);
		d->config.buffer_bytes = FAIR_UNIT;
		d->config.nr_crumbs = 2;
		d->config.nr_traces = 4 * FAIR_TRACES;
		d->config.weight = bout_below(&g->r, FAIR_WEIGHT_MAX + 1);
		domain_add(g, fair_domain_ids[k], d);
		g->process[k] = hs_agent_core_process_new(g->core);
	}
	if (hs_random_chance(&g->r, 0.5))
		others_add(g);
	for (uint32_t i = 0; i < FAIR_GROUPS; i++)
		fair_group_new(g, i);
}

void bout_fair(struct sim *s, uint64_t seed)
{
	struct fair *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	g->now_ns = 100 * SIM_S;
	hs_random_seed(&g->r, seed ^ 0xfa14ull);
	start(g);
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		/* So that what settles after 50 ms is looked at just then. */
		g->now_ns += bout_below(&g->r, 3) * 10 * SIM_MS;
		if (hs_random_chance(&g->r, 0.03))
			g->now_ns += bout_below(&g->r, 3000) * SIM_MS;
		step(g);
		if (!s->failed)
			check(g);
		sim_mix(s, g->in_flight_bytes);
	}
	for (uint32_t k = 0; k < FAIR_DOMAINS; k++) {
		free(g->domains[k].memory);
		free(g->domains[k].ledger);
	}
	for (uint32_t i = 0; i < FAIR_OTHERS; i++) {
		free(g->others[i].memory);
		free(g->others[i].ledger);
	}
	free(g->memory);
	free(g->ledger);
	free(g);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_budget.c - an agent's core alone, with more to tell than two
 * coordinators take
 *
 * They do the sums of their budgets and refuse what is over; nothing is lost on
 * the way. Once an agent has been refused it must know better: nothing more may
 * be over the budget, nothing of it may be left unused, and whose turn it is is
 * held against what start-time fair queueing promises: of two that wait all the
 * while neither gets ahead of the other by more than one turn of each, over
 * their weights. Of one trigger's UPDATEs go first, then the higher class of
 * priority, then who came first.
 */
#include "tests/sim/bout.h"

#include <stdlib.h>
#include <string.h>

#include "agent/core_priv.h"

#define NODE	 (7ull << 32 | 3)
#define BOUT	 "bout of budgets: "
#define COORDS	 2u
#define COORD(i) ((uint64_t)(100 + (i)) << 32 | 1)
#define DOMAINS	 3u /* the last: in none */
#define NAMES	 3u
#define REQUESTS 192u
#define STEPS	 500u
#define NR_MAX	 3u /* traces of a group */
#define COST_MAX (1.0 + NR_MAX)

static const uint32_t domain_ids[DOMAINS - 1] = {0, 5};
static const char *const names[NAMES] = {"slow", "error", "queue"};

enum say {
	SAY_NOTHING,
	SAY_DUE,   /* at the next tick */
	SAY_WAITS, /* for its turn */
	SAY_SAID,
};

/* A group, and the UPDATE of its primary trace. */
struct request {
	uint64_t lo, key, update_key;
	uint32_t name, domain, nr, coord;
	enum say trigger, update;
	uint32_t trigger_tick, update_tick; /* in which it began to wait */
};

struct coord {
	uint32_t per_s;
	uint64_t even_ns;
	bool told; /* the agent was */
	double domain_lead[DOMAINS][DOMAINS];
	double lead[DOMAINS][NAMES][NAMES];
};

struct rig {
	struct sim *s;
	struct hs_random r;
	struct hs_agent_config config;
	struct hs_agent_domain_config domain, other;
	struct hs_agent_core *core;
	struct bout_home home;
	void *memory, *ledger;
	uint32_t process, tick, weights[NAMES], domain_weights[DOMAINS];
	uint64_t now_ns, last_lo;
	struct request requests[REQUESTS];
	struct coord coords[COORDS];
	struct {
		uint32_t coord;
		struct hs_wire_refused m;
	} refused[2 * REQUESTS];
	uint32_t nr_refused;
};

static uint32_t class_of(const struct rig *g, const struct request *q)
{
	struct hs_wire_trace_id id = {0, q->lo};

	return (uint32_t)(hs_hash_siphash(g->config.cluster_key, &id,
					  sizeof(id)) >>
			  58);
}

static bool waits(const struct request *q)
{
	return q->trigger == SAY_WAITS || q->update == SAY_WAITS;
}

/* How many wait for a coordinator: of each row, and at [NAMES] of the domain.
 */
struct waiting {
	uint32_t nr[DOMAINS][NAMES + 1];
};

static struct waiting waiting_for(const struct rig *g, uint32_t coord)
{
	struct waiting w = {0};

	for (uint32_t i = 0; i < REQUESTS; i++) {
		const struct request *q = &g->requests[i];

		if (q->coord != coord || !waits(q))
			continue;
		w.nr[q->domain][q->name]++;
		w.nr[q->domain][NAMES]++;
	}
	return w;
}

/* ---- whose turn it is -----------------------------------------------------
 */

/* Another one's word of the same row that should have gone before. */
static void in_row(struct rig *g, const struct request *q, bool update)
{
	for (uint32_t i = 0; i < REQUESTS; i++) {
		const struct request *x = &g->requests[i];

		if (x->coord != q->coord || x->domain != q->domain ||
		    x->name != q->name)
			continue;
		if (x->update == SAY_WAITS &&
		    (!update || x->update_tick < q->update_tick))
			sim_fail(g->s, BOUT "an UPDATE is passed over");
		if (update || x->trigger != SAY_WAITS)
			continue;
		if (class_of(g, x) > class_of(g, q) ||
		    (class_of(g, x) == class_of(g, q) &&
		     x->trigger_tick < q->trigger_tick))
			sim_fail(g->s, BOUT "a TRIGGER is passed over");
	}
}

static void leads(struct rig *g, double *lead, double *back, double cost,
		  uint32_t mine, uint32_t others, const char *what)
{
	*lead += cost / mine;
	*back = -*lead;
	if (*lead > COST_MAX / mine + COST_MAX / others + 0.05)
		sim_fail(g->s, BOUT "%s gets ahead of another by %.2f", what,
			 *lead);
}

/* @q of those that wait is told for @cost. */
static void takes_turn(struct rig *g, struct coord *c, const struct request *q,
		       double cost)
{
	struct waiting w = waiting_for(g, q->coord);
	uint32_t d = q->domain, n = q->name;

	for (uint32_t k = 0; k < DOMAINS; k++)
		if (k != d && w.nr[k][NAMES])
			leads(g, &c->domain_lead[d][k], &c->domain_lead[k][d],
			      cost, g->domain_weights[d], g->domain_weights[k],
			      "a domain");
	for (uint32_t k = 0; k < NAMES; k++)
		if (k != n && w.nr[d][k])
			leads(g, &c->lead[d][n][k], &c->lead[d][k][n], cost,
			      g->weights[n], g->weights[k], "a trigger");
}

/* Who does not wait has no lead and is not behind. */
static void forget_leads(struct rig *g, uint32_t coord)
{
	struct waiting w = waiting_for(g, coord);
	struct coord *c = &g->coords[coord];

	for (uint32_t d = 0; d < DOMAINS; d++) {
		for (uint32_t k = 0; k < DOMAINS; k++)
			if (!w.nr[d][NAMES])
				c->domain_lead[d][k] = c->domain_lead[k][d] = 0;
		for (uint32_t n = 0; n < NAMES; n++)
			for (uint32_t k = 0; k < NAMES; k++)
				if (!w.nr[d][n])
					c->lead[d][n][k] = c->lead[d][k][n] = 0;
	}
}

/* ---- what is said ---------------------------------------------------------
 */

static bool pays(struct rig *g, struct coord *c, uint32_t cost)
{
	if (c->even_ns + SIM_S < g->now_ns)
		c->even_ns = g->now_ns - SIM_S;
	if (c->even_ns > g->now_ns)
		return false;
	c->even_ns += cost * (SIM_S / c->per_s);
	return true;
}

static struct request *request_of(struct rig *g, uint64_t lo)
{
	for (uint32_t i = 0; i < REQUESTS; i++)
		if (g->requests[i].lo == lo)
			return &g->requests[i];
	return NULL;
}

static uint64_t op_coordinator_of(void *ctx,
				  const struct hs_wire_trace_id *primary,
				  uint32_t attempt)
{
	(void)ctx;
	return COORD((primary->lo + attempt) % COORDS);
}

static uint64_t op_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t bytes)
{
	const struct hs_wire_group *m = payload;
	struct rig *g = ctx;
	struct request *q = request_of(g, primary->lo);
	bool update = type == HS_WIRE_UPDATE;
	uint32_t cost = update ? 1 : 1 + m->nr;
	enum say *say = update ? &q->update : &q->trigger;
	struct coord *c;

	if (!q || attempt) {
		sim_fail(g->s, BOUT "said again, or of nothing");
		return 0;
	}
	c = &g->coords[q->coord];
	if (*say != (c->told ? SAY_WAITS : SAY_DUE))
		sim_fail(g->s, BOUT "a message of type %u, state %u", type,
			 *say);
	if (c->told) {
		takes_turn(g, c, q, cost);
		*say = SAY_SAID;
		in_row(g, q, update);
		forget_leads(g, q->coord);
	}
	*say = SAY_SAID;
	*(update ? &q->update_key : &q->key) = m->trigger.key;
	if (pays(g, c, cost))
		return COORD(q->coord);
	if (c->told)
		sim_fail(g->s, BOUT "over a budget that it knows");
	g->refused[g->nr_refused].coord = q->coord;
	g->refused[g->nr_refused++].m = (struct hs_wire_refused){
		.origin = m->trigger.origin,
		.key = m->trigger.key,
		.wait_ns = c->even_ns - g->now_ns,
		.per_s = c->per_s,
	};
	*say = SAY_DUE;
	return COORD(q->coord);
}

static enum hs_agent_shipped op_ship(void *ctx,
				     const struct hs_agent_slice *slice)
{
	return HS_AGENT_SHIP_COPIED;
}

static const struct hs_agent_ops ops = {op_coordinator, bout_no_node, op_ship,
					op_coordinator_of};

static void tick(struct rig *g)
{
	g->tick++;
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request *q = &g->requests[i];

		if (!g->coords[q->coord].told)
			continue;
		if (q->trigger == SAY_DUE) {
			q->trigger = SAY_WAITS;
			q->trigger_tick = g->tick;
		}
		if (q->update == SAY_DUE) {
			q->update = SAY_WAITS;
			q->update_tick = g->tick;
		}
	}
	hs_agent_core_begin_scan(g->core, g->now_ns);
	hs_agent_core_end_scan(g->core);
	hs_agent_core_tick(g->core, g->now_ns);
	for (uint32_t i = 0; i < COORDS && !g->s->failed; i++) {
		const struct coord *c = &g->coords[i];
		struct waiting w = waiting_for(g, i);
		uint64_t due_ns = hs_agent_core_says_ns(g->core);
		uint32_t nr = 0;

		for (uint32_t d = 0; d < DOMAINS; d++)
			nr += w.nr[d][NAMES];
		if (!c->told || !nr)
			continue;
		if (c->even_ns <= g->now_ns)
			sim_fail(g->s, BOUT "somebody waits, with budget left");
		if (due_ns > c->even_ns &&
		    due_ns > g->now_ns + HS_SCAN_GAP_MAX_NS)
			sim_fail(g->s, BOUT "it does not come back in time");
	}
	for (uint32_t i = 0; i < g->nr_refused; i++) {
		g->coords[g->refused[i].coord].told = true;
		hs_agent_core_message(g->core, COORD(g->refused[i].coord),
				      HS_WIRE_REFUSED, &g->refused[i].m,
				      sizeof(g->refused[i].m), g->now_ns);
	}
	g->nr_refused = 0;
}

/* ---- what happens ---------------------------------------------------------
 */

static void entry(struct rig *g, const struct request *q, struct hs_shm_entry e)
{
	if (q->domain == DOMAINS - 1)
		return;
	e.trace_lo = q->lo;
	hs_agent_core_entries(g->core, domain_ids[q->domain], g->process, &e, 1,
			      NULL, 0, g->now_ns);
}

static void fires(struct rig *g)
{
	struct hs_wire_trace_id ids[NR_MAX] = {{0, 0}};
	struct request *q = request_of(g, 0);
	uint32_t i = bout_below(&g->r, 10);

	if (!q)
		return;
	*q = (struct request){
		.lo = g->last_lo + 1,
		/* The first one floods. */
		.name = i < 6	? 0
			: i < 9 ? 1
				: 2,
		.domain = bout_below(&g->r, DOMAINS),
		.nr = 1 + bout_below(&g->r, NR_MAX),
		.coord = (uint32_t)((g->last_lo + 1) % COORDS),
		.trigger = SAY_DUE,
	};
	g->last_lo += q->nr;
	for (i = 0; i < q->nr; i++)
		ids[i].lo = q->lo + i;
	entry(g, q,
	      (struct hs_shm_entry){.type = HS_SHM_ENTRY_END,
				    .u.buffer.ref = HS_SHM_NO_BUFFER});
	if (hs_agent_core_fire(g->core, names[q->name], ids, q->nr, g->now_ns))
		*q = (struct request){0};
}

/* A crumb more is news. */
static void has_news(struct rig *g)
{
	struct request *q = &g->requests[bout_below(&g->r, REQUESTS)];

	if (!q->lo || q->trigger != SAY_SAID || q->domain == DOMAINS - 1 ||
	    hs_fired_find(g->core, 0, q->lo) == HS_NIL)
		return;
	entry(g, q,
	      (struct hs_shm_entry){
		      .type = HS_SHM_ENTRY_CRUMB,
		      .u.arg =
			      (20 + g->last_lo * 7919 + bout_below(&g->r, 1000))
				      << 32 |
			      1});
	if (q->update != SAY_WAITS)
		q->update = SAY_DUE;
}

static void stored(struct rig *g, struct request *q)
{
	struct hs_wire_stored m = {NODE, q->key};

	if (q->trigger != SAY_SAID || q->update == SAY_DUE ||
	    q->update == SAY_WAITS)
		return;
	hs_agent_core_message(g->core, COORD(q->coord), HS_WIRE_STORED, &m,
			      sizeof(m), g->now_ns);
	m.key = q->update_key;
	if (q->update == SAY_SAID)
		hs_agent_core_message(g->core, COORD(q->coord), HS_WIRE_STORED,
				      &m, sizeof(m), g->now_ns);
	*q = (struct request){0};
}

/* It comes back as another one, which has taken nothing yet. */
static void restarts(struct rig *g, uint32_t coord)
{
	struct coord *c = &g->coords[coord];

	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request *q = &g->requests[i];

		if (!q->lo || q->coord != coord)
			continue;
		/* What it has said goes again otherwise. */
		if (q->trigger == SAY_SAID)
			stored(g, q);
		if (q->trigger != SAY_NOTHING)
			q->trigger = SAY_DUE;
		if (q->update != SAY_NOTHING)
			q->update = SAY_DUE;
	}
	*c = (struct coord){.per_s = 20 + bout_below(&g->r, 400)};
	hs_agent_core_coordinator_down(g->core, COORD(coord), g->now_ns);
	if (hs_random_chance(&g->r, 0.5))
		hs_agent_core_coordinator_up(g->core, COORD(coord), g->now_ns);
}

static void policies(struct rig *g, struct hs_agent_config *c)
{
	c->nr_policies = NAMES;
	for (uint32_t i = 0; i < NAMES; i++) {
		g->weights[i] = 1 + bout_below(&g->r, 4);
		c->policies[i] = (struct hs_agent_trigger_policy){
			.weight = g->weights[i]};
		strcpy(c->policies[i].name, names[i]);
	}
}

static void step(struct rig *g)
{
	uint32_t what = bout_below(&g->r, 100);

	if (what < 50) {
		for (uint32_t n = 1 + bout_below(&g->r, 4); n; n--)
			fires(g);
	} else if (what < 80) {
		g->now_ns += bout_below(&g->r, 30) * SIM_MS +
			     bout_below(&g->r, 1000);
		tick(g);
	} else if (what < 88) {
		has_news(g);
	} else if (what < 98) {
		for (uint32_t n = bout_below(&g->r, 8); n; n--)
			stored(g, &g->requests[bout_below(&g->r, REQUESTS)]);
	} else if (what < 99) {
		restarts(g, bout_below(&g->r, COORDS));
	} else {
		/* What was said by other weights is no measure for these. */
		policies(g, &g->config);
		hs_agent_core_policy_set(g->core, &g->config);
		for (uint32_t i = 0; i < COORDS; i++)
			restarts(g, i);
	}
}

static void start(struct rig *g)
{
	g->now_ns = 1000 * SIM_S;
	g->config = (struct hs_agent_config){
		.node_id = NODE,
		.index_seed = hs_random_u64(&g->r),
		.scratch = g->s->scratch,
		.nr_groups = REQUESTS,
		.nr_fired = 2048,
		.nr_pending = 8,
		.remember_ns = 1000 * SIM_S,
		.resend_ns = 1000 * SIM_S,
		.evict_percent = 100,
	};
	policies(g, &g->config);
	g->domain = (struct hs_agent_domain_config){
		.nr_buffers = 8,
		.buffer_bytes = 256,
		.nr_crumbs = 4096,
		.nr_traces = 4096,
		.weight = 1 + bout_below(&g->r, 3),
	};
	g->other = g->domain;
	g->other.weight = 1 + bout_below(&g->r, 3);
	g->domain_weights[0] = g->domain.weight;
	g->domain_weights[1] = g->other.weight;
	g->domain_weights[2] = 1;
	g->home = (struct bout_home){.config = &g->config,
				     .domain = &g->domain,
				     .id = domain_ids[0]};
	for (uint32_t i = 0; i < COORDS; i++)
		g->coords[i].per_s = 20 + bout_below(&g->r, 400);
	g->memory = bout_alloc(hs_agent_domain_size_bytes(&g->other), 0);
	g->ledger = bout_alloc(hs_agent_domain_ledger_bytes(&g->other), 0);
	if (!bout_core_begin(&g->home, &g->core, &ops, g, g->now_ns) ||
	    hs_agent_core_domain_add(g->core, domain_ids[1], g->memory,
				     g->ledger, &g->other, g->now_ns))
		sim_fail(g->s, BOUT "it does not begin");
	g->process = hs_agent_core_process_new(g->core);
}

static uint32_t nr_unsaid(const struct rig *g)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		const struct request *q = &g->requests[i];

		nr += waits(q) || q->trigger == SAY_DUE || q->update == SAY_DUE;
	}
	return nr;
}

/* What is left has its turn, too. */
static void finish(struct rig *g)
{
	for (uint32_t n = 0; n < 2000 && nr_unsaid(g) && !g->s->failed; n++) {
		g->now_ns += 50 * SIM_MS;
		tick(g);
	}
	if (!g->s->failed && (nr_unsaid(g) || g->core->nr_waiting))
		sim_fail(g->s, BOUT "%u wait for ever", nr_unsaid(g));
}

void bout_budget(struct sim *s, uint64_t seed)
{
	struct rig *g = sim_zalloc(1, sizeof(*g));
	const char *why = "";

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0xb0d6e7ull);
	start(g);
	for (uint32_t i = 0; i < STEPS && !s->failed; i++) {
		step(g);
		if (!s->failed && i % 32 == 0 &&
		    !hs_agent_core_check(g->core, &why))
			sim_fail(s, BOUT "it does not add up: %s", why);
		sim_mix(s, g->core->nr_waiting);
	}
	finish(g);
	bout_core_end(&g->home);
	bout_ledgers_free(&g->home);
	bout_free(g->memory, hs_agent_domain_size_bytes(&g->other), 0);
	bout_free(g->ledger, hs_agent_domain_ledger_bytes(&g->other), 0);
	free(g);
}

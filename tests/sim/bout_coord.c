/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_coord.c - a bout of a coordinator: agents that tell, lie, come and go, a
 * collector that is slow, and time that goes from deadline to deadline
 */
#include "tests/sim/bout_coord.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NR_STEPS 220u

/* ---- what agents say ------------------------------------------------------
 */

static uint64_t nr_refused(const struct bco *g)
{
	struct hs_coord_stats st;

	hs_coord_core_stats_get(g->core, &st);
	return st.triggers_refused + st.updates_refused + st.origin_refused;
}

static void let_go(struct bco *g, uint32_t t, uint64_t life)
{
	struct bco_trace *x = &g->traces[t];
	struct hs_wire_trace_id id = x->id;
	uint64_t past = x->version ? x->epoch : x->past_epoch;

	if (x->life && x->version && (x->acked != x->version || !x->settled))
		sim_fail(g->s, BCO "forgotten, and not stored");
	*x = (struct bco_trace){
		.id = id, .live = life != 0, .life = life, .past_epoch = past};
}

void bco_sync(struct bco *g)
{
	for (uint32_t t = 0; t < BCO_TRACES; t++) {
		uint32_t i = hs_coord_trace_find(g->core, &g->traces[t].id);
		uint64_t life = i ? hs_coord_trace(g->core, i)->epoch : 0;

		if (g->traces[t].life != life)
			let_go(g, t, life);
	}
	if (g->news && g->refused != nr_refused(g))
		g->news = NULL;
	else if (g->news)
		bco_take_news(g);
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		for (uint32_t n = 0; n < BCO_NODES; n++) {
			struct bco_trace *x = &g->traces[t];
			uint32_t i = hs_coord_trace_find(g->core, &x->id), v;

			v = i ? hs_coord_visit_find(g->core, i, bco_node_id(n))
			      : 0;
			if (!v)
				x->written &= ~(1u << n);
			if (!x->nodes[n].answered ||
			    (v && hs_coord_visit(g->core, v)->state ==
					  HS_COORD_VISIT_ANSWERED))
				continue;
			if (!g->small)
				sim_fail(g->s,
					 BCO
					 "an answer is lost: t%u n%u visit %d",
					 t, n,
					 v ? (int)hs_coord_visit(g->core, v)
							 ->state
					   : -1);
			x->nodes[n].answered = false;
		}
	bco_seek_sync(g);
}

static uint64_t a_node(struct bco *g)
{
	uint32_t n = bout_below(&g->r, BCO_NODES);

	return bco_node_id(g->one_life ? n / 2 * 2 : n);
}

static uint8_t *put_answer(struct bco *g, uint64_t from, uint8_t *p)
{
	struct hs_wire_answer *a = (void *)p;
	struct hs_wire_crumb *c = (void *)(a + 1);

	memset(a, 0, sizeof(*a));
	a->trace = g->traces[bout_below(&g->r, BCO_TRACES)].id;
	a->node = from;
	a->rev = 1 + bout_below(&g->r, 12);
	a->state = (uint16_t)(HS_WIRE_STATE_UNKNOWN + bout_below(&g->r, 3));
	a->flags = hs_random_chance(&g->r, 0.2) ? HS_WIRE_F_LOST : 0;
	a->nr_buffers = bout_below(&g->r, 3);
	a->nr_bytes = bout_below(&g->r, 3);
	a->nr_crumbs = bout_below(
		&g->r, hs_random_chance(&g->r, 0.1) ? BCO_CRUMBS + 1 : 4);
	for (uint32_t i = 0; i < a->nr_crumbs; i++) {
		memset(&c[i], 0, sizeof(c[i]));
		c[i].node = hs_random_chance(&g->r, 0.05) ? 0 : a_node(g);
		c[i].kind = bout_below(&g->r, 3);
		c[i].node = bco_address_name(g, c[i].node);
	}
	return (uint8_t *)(c + a->nr_crumbs);
}

/* Whether its budget lets a request through; it pays for it if so. */
static bool may_ask(struct bco *g, uint64_t from, const struct hs_wire_group *m)
{
	uint64_t *even = &g->pays_ns[(from >> 32) - 1];
	const uint8_t *p = (const uint8_t *)(m + 1);
	uint64_t cost = 1;

	if (g->small || !hs_coord_member_find(g->core, from))
		return true;
	for (uint32_t i = 0; i < m->nr; i++) {
		const struct hs_wire_answer *a = (const void *)p;

		cost += !hs_coord_trace_find(g->core, &a->trace);
		p += sizeof(*a) + a->nr_crumbs * 16ull;
	}
	if (*even + SIM_S < g->now_ns)
		*even = g->now_ns - SIM_S;
	if (*even > g->now_ns)
		return false;
	*even += cost * (SIM_S / g->config.origin_per_s);
	return true;
}

static void agent_says(struct bco *g)
{
	static const uint16_t types[] = {HS_WIRE_TRIGGER, HS_WIRE_UPDATE,
					 HS_WIRE_CRUMBS, HS_WIRE_CRUMBS};
	struct hs_wire_group *m = (void *)g->payload;
	uint16_t type = types[hs_random_below(&g->r, 4)];
	uint64_t from = a_node(g);
	uint8_t *p = (uint8_t *)(m + 1);
	uint32_t bytes;
	bool ok;
	int rc;

	memset(m, 0, sizeof(*m));
	m->trigger.origin = from;
	m->trigger.key = hs_random_chance(&g->r, 0.3) && g->next_key > 3
				 ? g->next_key - hs_random_below(&g->r, 3)
				 : ++g->next_key;
	m->trigger.primary = g->traces[0].id;
	strcpy(m->trigger.name,
	       hs_random_chance(&g->also, 0.3) ? "fast" : "slow");
	m->flags = hs_random_chance(&g->r, 0.2) ? HS_WIRE_GROUP_ELSEWHERE : 0;
	m->nr = 1 + bout_below(&g->r, 3);
	for (uint32_t i = 0; i < m->nr; i++)
		p = put_answer(g, from, p);
	bytes = (uint32_t)(p - (uint8_t *)g->payload);
	if (hs_random_chance(&g->r, 0.12))
		bytes = bout_mangle(&g->r, (uint8_t *)g->payload, bytes,
				    sizeof(g->payload));
	if (hs_random_chance(&g->r, 0.03))
		from = a_node(g);
	ok = bco_intact(from, type, g->payload, bytes);
	if (ok && !bco_ours(g, m))
		return;
	g->bad += !ok;
	g->news = ok ? m : NULL;
	g->news_type = type;
	g->refused = nr_refused(g);
	if (ok && type != HS_WIRE_CRUMBS)
		g->origin_refused += !may_ask(g, from, m);
	rc = hs_coord_core_message(g->core, g->now_ns, from, type, g->payload,
				   bytes);
	if (rc != (ok ? 0 : -EBADMSG))
		sim_fail(g->s, BCO "a %s that is %s comes to %d",
			 sim_type_name(type), ok ? "intact" : "not intact", rc);
	bco_sync(g);
}

static void collector_says(struct bco *g)
{
	struct hs_wire_manifest_ack *m = (void *)g->payload;
	struct bco_trace *x = &g->traces[bout_below(&g->r, BCO_TRACES)];
	uint32_t bytes = sizeof(*m);
	bool ok;

	memset(m, 0, sizeof(*m));
	m->trace = x->id;
	m->epoch = x->epoch;
	m->version = x->version;
	if (hs_random_chance(&g->r, 0.2))
		m->version += bout_below(&g->r, 3) - 1;
	if (hs_random_chance(&g->r, 0.05))
		m->epoch++;
	if (hs_random_chance(&g->r, 0.05))
		bytes += hs_random_chance(&g->r, 0.5) ? 1 : -1u;
	ok = bytes == sizeof(*m);
	g->bad += !ok;
	if (ok && x->live && m->epoch == x->epoch && m->version <= x->version &&
	    m->version > x->acked)
		x->acked = m->version;
	if (hs_coord_core_message(g->core, g->now_ns, 1ull << 60,
				  HS_WIRE_MANIFEST_ACK, g->payload,
				  bytes) != (ok ? 0 : -EBADMSG))
		sim_fail(g->s, BCO "an acknowledgement is taken otherwise");
	bco_sync(g);
}

/* Whether there is anybody to speak of: who was asked anew is not, until he
 * answers, nor who is left out while others are asked. */
static bool has_words(const struct bco *g, uint32_t trace)
{
	uint32_t v = hs_coord_trace(g->core, trace)->visits;

	for (; v; v = hs_coord_visit(g->core, v)->next)
		if (hs_coord_visit(g->core, v)->state != HS_COORD_VISIT_ASKED &&
		    !hs_coord_left_out(g->core, hs_coord_visit(g->core, v)))
			return true;
	return false;
}

/* What it has not said to be durable, it is told at once, unless the next
 * version is on its way, or there is nothing to say for now. */
static void collector_is_back(struct bco *g)
{
	uint32_t unsaid = 0;

	for (uint32_t t = 0; t < BCO_TRACES; t++) {
		struct bco_trace *x = &g->traces[t];
		uint32_t i = hs_coord_trace_find(g->core, &x->id);

		x->again = true;
		unsaid |= (uint32_t)(x->live && x->acked < x->version &&
				     !hs_coord_trace(g->core, i)->changed &&
				     has_words(g, i))
			  << t;
	}
	hs_coord_core_collector_up(g->core, g->now_ns);
	for (uint32_t t = 0; t < BCO_TRACES; t++) {
		struct bco_trace *x = &g->traces[t];

		if (unsaid >> t & 1 && x->again)
			sim_fail(g->s, BCO "a collector that is back is not "
					   "told what it did not say");
		x->tries = x->tries != 0;
	}
}

static void changes(struct bco *g, uint32_t number)
{
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		g->traces[t].nodes[2 * number].at_once = true;
}

static void links(struct bco *g)
{
	uint32_t number = bout_below(&g->r, BCO_NUMBERS);
	uint64_t id = bco_node_id(2 * number);

	if (hs_random_chance(&g->r, 0.1)) {
		collector_is_back(g);
	} else if (g->up[number] && hs_random_chance(&g->r, 0.5)) {
		id = g->up[number];
		bco_goes(g, number);
		changes(g, number);
		hs_coord_core_node_down(g->core, g->now_ns, id);
	} else {
		if (!g->one_life && hs_random_chance(&g->r, 0.5))
			id++;
		bco_comes(g, number, id);
		changes(g, number);
		/* What was open before it died may have gone on. */
		for (uint32_t t = 0; t < BCO_TRACES; t++) {
			struct bco_trace *x = &g->traces[t];

			if (id > bco_node_id(2 * number) &&
			    x->nodes[2 * number].answered &&
			    x->nodes[2 * number].said.state ==
				    HS_WIRE_STATE_OPEN)
				x->named |= 2u << 2 * number;
		}
		hs_coord_core_node_up(g->core, g->now_ns, id);
		bco_address_comes(g, number, id);
	}
	bco_sync(g);
}

/* ---- time -----------------------------------------------------------------
 */

/* What people are shown of the traces adds up to what is counted. */
static void shown(struct bco *g, const struct hs_coord_stats *st)
{
	struct hs_coord_view views[64];
	uint32_t nr = hs_coord_core_view(g->core, views, 64);
	uint32_t by[HS_COORD_NR_STATES] = {0}, waiting = 0, nodes = 0;

	for (uint32_t i = 0; i < nr; i++) {
		const struct hs_coord_view *v = &views[i];
		uint32_t t = bco_trace_of(g, &v->trace);

		if (t == BCO_TRACES || v->version != g->traces[t].version ||
		    v->acked > v->version || !v->name[0] ||
		    v->nr_waiting + v->nr_unreachable > v->nr_nodes)
			sim_fail(g->s, BCO "a trace is shown as it is not");
		by[v->state]++;
		waiting += v->nr_waiting;
		nodes += v->nr_nodes;
	}
	if (nr != st->nr_traces || by[HS_COORD_SEEKING] != st->nr_seeking ||
	    by[HS_COORD_TELLING] != st->nr_telling ||
	    by[HS_COORD_STORED] != st->nr_stored || waiting != st->nr_waiting ||
	    nodes != st->nr_visits)
		sim_fail(g->s, BCO "its counters are not what it shows");
}

static void settle(struct bco *g)
{
	struct hs_coord_stats st;
	const char *why = "";

	if (g->core->stalled && !g->stalled && !g->refuses)
		sim_fail(g->s, BCO "it waits for somebody who took all");
	if (g->refuses && !g->core->stalled)
		sim_fail(g->s, BCO "it does not wait for who took no more");
	g->stalled = g->core->stalled;
	g->refuses = 0;
	hs_coord_core_stats_get(g->core, &st);
	if (st.manifests_sent + st.manifests_again != g->manifests ||
	    st.collects_sent != g->collects || st.collects_asked != g->asked ||
	    st.origin_refused != g->told_refused || st.messages_bad != g->bad)
		sim_fail(g->s, BCO "its counters are not what it sent");
	if (!g->small && (st.triggers_refused || st.updates_refused ||
			  st.origin_refused != g->origin_refused))
		sim_fail(g->s, BCO "it refuses what it has room for");
	if (st.addresses != g->addresses ||
	    st.addresses_lost != g->addresses_lost)
		sim_fail(g->s, BCO "addresses lead elsewhere");
	if (!g->small && st.answers != g->answers)
		sim_fail(g->s, BCO "it counts %llu answers, not %llu",
			 (unsigned long long)st.answers,
			 (unsigned long long)g->answers);
	if (st.nr_traces > g->config.nr_traces ||
	    st.nr_visits > g->config.nr_visits ||
	    st.nr_nodes > g->config.nr_nodes ||
	    st.nr_requests > g->config.nr_requests)
		sim_fail(g->s, BCO "more than may be");
	shown(g, &st);
	if (!hs_coord_core_check(g->core, &why))
		sim_fail(g->s, BCO "it does not add up: %s", why);
	for (uint32_t n = 0; n < BCO_NUMBERS; n++)
		if (!hs_coord_member_find(g->core, bco_node_id(2 * n)))
			g->pays_ns[n] = 0;
	if (!g->s->failed)
		bco_seek_settle(g);
}

static void until(struct bco *g, uint64_t end_ns)
{
	uint32_t spins = 0;

	while (!g->s->failed && hs_coord_core_next_ns(g->core) <= end_ns) {
		uint64_t next = hs_coord_core_next_ns(g->core);

		if (next > g->now_ns)
			spins = 0;
		else if (++spins > 50)
			sim_fail(g->s, BCO "a deadline that stays");
		g->now_ns = next > g->now_ns ? next : g->now_ns;
		hs_coord_core_tick(g->core, g->now_ns);
		bco_sync(g);
		settle(g);
	}
	g->now_ns = end_ns > g->now_ns ? end_ns : g->now_ns;
}

static void draw(struct bco *g)
{
	struct hs_random *r = &g->r;
	bool small = hs_random_chance(r, 0.5);

	g->small = small;
	g->jams = hs_random_chance(r, 0.5);

	g->config = (struct hs_coord_config){0};
	g->config.node = 1ull << 60;
	g->config.epoch = 1000;
	g->config.seed = hs_random_u64(r);
	g->config.nr_traces = small ? 2 + bout_below(r, 4) : 64;
	g->config.nr_visits = small ? 6 + bout_below(r, 20) : 256;
	g->config.nr_crumbs = small ? 8 + bout_below(r, 40) : 1024;
	g->config.nr_nodes = small ? 3 + bout_below(r, 4) : 64;
	g->config.nr_requests = small ? 3 + bout_below(r, 10) : 60;
	g->config.nr_triggers = small ? 2 + bout_below(r, 10) : 256;
	g->config.trace_nodes = small ? 2 + bout_below(r, 6) : 64;
	g->config.window = hs_random_chance(r, 0.3) ? 1 + bout_below(r, 3) : 64;
	g->config.forget_after_ns = 20 * SIM_S;
	g->config.retry_ns = 200 * SIM_MS;
	g->config.retry_max_ns = SIM_S + bout_below(r, 4) * SIM_S;
	g->config.unreachable_after_ns = 2 * SIM_S;
	g->config.tell_unsettled_ns = 200 * SIM_MS;
	g->config.tell_settled_ns = 20 * SIM_MS;
	g->config.resend_ns = 500 * SIM_MS;
	g->config.resend_max_ns = 5 * SIM_S;
	g->config.origin_per_s = 1000000;
	g->config.origin_waiting = 1000;
	if (hs_random_chance(r, 0.2))
		g->config.origin_per_s = 1 + bout_below(r, 8);
	g->config.seek_never = hs_random_chance(r, 0.3);
	g->config.seek_nodes = 1 + bout_below(r, BCO_NUMBERS + 1);
	g->config.seek_per_s =
		hs_random_chance(r, 0.4) ? 1 + bout_below(r, 20) : 100000;
	g->config.seek_batch_ns = 10 * SIM_MS;
	g->config.seek_warm_ns = 5 * SIM_S;
	g->config.seek_after_ns = (300 + bout_below(r, 3000)) * SIM_MS;
	/* A window that others fill puts questions off. */
	g->one_life = !small && g->config.window == 64;
}

/* All answer, all is taken: in the end nobody waits. */
static void heal(struct bco *g)
{
	struct hs_coord_stats st;

	g->jammed = false;
	for (uint32_t i = 0; i < 40 && !g->s->failed; i++) {
		until(g, g->now_ns + 500 * SIM_MS);
		for (uint32_t t = 0; t < BCO_TRACES; t++) {
			struct bco_trace *x = &g->traces[t];
			struct hs_wire_manifest_ack ack = {.trace = x->id,
							   .epoch = x->epoch,
							   .version =
								   x->version};

			if (!x->live || !x->version)
				continue;
			x->acked = x->version;
			hs_coord_core_message(g->core, g->now_ns, 1ull << 60,
					      HS_WIRE_MANIFEST_ACK, &ack,
					      sizeof(ack));
			bco_sync(g);
			settle(g);
		}
	}
	hs_coord_core_stats_get(g->core, &st);
	if (st.nr_seeking || st.nr_telling || st.nr_requests || st.nr_waiting ||
	    st.nr_seeks)
		sim_fail(g->s, BCO "healed, and somebody waits");
}

void bout_coord(struct sim *s, uint64_t seed)
{
	struct bco *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0xc0a4dull);
	hs_random_seed(&g->also, seed ^ 0xa150ull);
	g->now_ns = g->created_ns = 100 * SIM_S;
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		g->traces[t].id = (struct hs_wire_trace_id){
			t % 3 ? 7 + t / 3 : 0, t % 2   ? t
					       : t % 3 ? 0
						       : 90 + t};
	draw(g);
	bco_address_draw(g, seed);
	g->memory = sim_zalloc(1, hs_coord_core_size_bytes(&g->config));
	g->core = hs_coord_core_create(g->memory, &g->config, &bco_ops, g,
				       g->now_ns);
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		uint64_t what = hs_random_below(&g->r, 100);

		g->jammed = g->jams && hs_random_chance(&g->r, 0.1);
		until(g, g->now_ns + hs_random_below(&g->r,
						     what < 3 ? 9 * SIM_S
							      : 300 * SIM_MS));
		if (s->failed)
			break;
		if (what < 45)
			agent_says(g);
		else if (what < 70)
			collector_says(g);
		else if (what < 80)
			bco_finds(g);
		else if (what < 85)
			bco_lists(g);
		else
			links(g);
		settle(g);
		sim_mix(s, g->manifests ^ g->asked << 32);
	}
	if (!s->failed)
		heal(g);
	free(g->memory);
	free(g);
}

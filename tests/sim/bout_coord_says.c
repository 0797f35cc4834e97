/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_coord_says.c - what a coordinator sends: whether it may say that, in
 * these words, and now
 */
#include <string.h>

#include "tests/sim/bout_coord.h"

uint32_t bco_trace_of(const struct bco *g, const struct hs_wire_trace_id *id)
{
	uint32_t t = 0;

	while (t < BCO_TRACES &&
	       (g->traces[t].id.hi != id->hi || g->traces[t].id.lo != id->lo))
		t++;
	return t;
}

/* Two incarnations of each number, from 1. */
uint64_t bco_node_id(uint32_t n)
{
	return (uint64_t)(n / 2 + 1) << 32 | (n % 2 + 1);
}

uint32_t bco_node_of(uint64_t id)
{
	uint32_t n = 0;

	while (n < BCO_NODES && bco_node_id(n) != id)
		n++;
	return n;
}

/* ---- questions ------------------------------------------------------------
 */

static bool named(const struct bco_trace *t, uint64_t id)
{
	return t->named >> bco_node_of(id) & 1;
}

static uint64_t doubled(uint64_t first, uint32_t times, uint64_t most)
{
	while (times-- && first < most)
		first *= 2;
	return first < most ? first : most;
}

static void asks(struct bco *g, uint32_t t, uint64_t to)
{
	struct bco_trace *x = &g->traces[t];
	uint32_t number = (uint32_t)(to >> 32) - 1, n = 2 * number;
	bool wanted = false;
	struct bco_node *node = &x->nodes[n];
	uint64_t due;

	/* It, or one of its number before it, is named and has not spoken. */
	for (uint32_t k = n; k <= n + 1; k++)
		wanted |= bco_node_id(k) <= to && !x->nodes[k].answered &&
			  (named(x, bco_node_id(k)) || x->found >> k & 1);
	/* What found no place, or was open before it died, may name it. */
	if (!wanted && g->one_life)
		sim_fail(g->s, BCO "a question that nobody has");
	if (!g->one_life)
		return;
	due = node->asked_ns + doubled(g->config.retry_ns, node->nr_asks - 1,
				       g->config.retry_max_ns);
	if (node->nr_asks && !node->at_once && g->now_ns < due)
		sim_fail(g->s, BCO "it asks again too early");
	if (node->nr_asks && !node->at_once && !g->jams &&
	    g->now_ns > due + 25 * SIM_MS)
		sim_fail(g->s, BCO "it asks again too late");
	node->at_once = false;
	node->asked_ns = g->now_ns;
	node->nr_asks++;
}

static bool collect(struct bco *g, uint64_t to, const struct hs_wire_group *m,
		    uint32_t bytes)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);

	if (to >> 32 > BCO_NUMBERS || !to || g->up[(to >> 32) - 1] != to) {
		sim_fail(g->s, BCO "a question to who is not there");
		return false;
	}
	if (!m->nr || m->nr > HS_WIRE_TRACES_MAX ||
	    bytes != sizeof(*m) + m->nr * 16 || !m->trigger.origin ||
	    m->nr > g->config.window)
		sim_fail(g->s, BCO "a malformed COLLECT");
	if (g->refuses >> ((to >> 32) - 1) & 1)
		sim_fail(g->s, BCO "asked again at once who took no more");
	if (g->jammed && hs_random_chance(&g->r, 0.5)) {
		g->refuses |= 1u << ((to >> 32) - 1);
		return false;
	}
	g->collects++;
	for (uint32_t i = 0; i < m->nr && !g->s->failed; i++) {
		uint32_t t = bco_trace_of(g, &ids[i]);

		g->asked++;
		if (t == BCO_TRACES)
			sim_fail(g->s, BCO "a question about nobody's trace");
		else
			asks(g, t, to);
	}
	return true;
}

static bool stored(struct bco *g, uint64_t to, const struct hs_wire_stored *m,
		   uint32_t bytes)
{
	for (uint32_t i = 0; i < BCO_REQUESTS; i++) {
		struct bco_request *q = &g->requests[i];

		if (!q->live || q->origin != m->origin || q->key != m->key)
			continue;
		if (to != m->origin || bytes != sizeof(*m))
			sim_fail(g->s, BCO "STORED to somebody else");
		for (uint32_t k = 0; k < q->nr; k++) {
			const struct bco_trace *x = &g->traces[q->traces[k]];

			if (x->life == q->lives[k] &&
			    (x->acked <= q->after[k] ||
			     x->settled_version <= q->after[k]))
				sim_fail(g->s,
					 BCO "STORED, and it is not: version "
					     "%u of %u, settled in %u, said "
					     "after %u",
					 x->acked, x->version,
					 x->settled_version, q->after[k]);
		}
		/* Said once; who does not hear it asks again. */
		q->live = false;
		g->stored++;
		return !g->jammed || hs_random_chance(&g->r, 0.5);
	}
	return !g->jammed;
}

/* To who asks just now, and what it would be told if it asked again. */
static bool refused(struct bco *g, uint64_t to, const struct hs_wire_refused *m,
		    uint32_t bytes)
{
	uint64_t even_ns = g->pays_ns[(to >> 32) - 1];

	g->told_refused++;
	if (!g->news || g->news_type == HS_WIRE_CRUMBS || bytes != sizeof(*m) ||
	    m->origin != g->news->trigger.origin ||
	    m->key != g->news->trigger.key || m->reserved ||
	    m->per_s != g->config.origin_per_s)
		sim_fail(g->s, BCO "REFUSED of something else");
	if (!g->small && m->wait_ns != even_ns - g->now_ns)
		sim_fail(g->s, BCO "REFUSED for %llu ns instead of %llu",
			 (unsigned long long)m->wait_ns,
			 (unsigned long long)(even_ns - g->now_ns));
	return !g->jammed;
}

/* Who was asked of the trace, or spoke of it, and did not fire that. */
static bool may_know(const struct bco *g, const struct bco_trace *x,
		     uint64_t to, uint64_t origin)
{
	uint32_t number = (uint32_t)(to >> 32) - 1;

	/* Who speaks just now of what it fired, too. */
	if (g->news && g->news->trigger.origin >> 32 == to >> 32 &&
	    to != origin)
		return true;
	for (uint32_t n = 2 * number; n <= 2 * number + 1; n++)
		if (bco_node_id(n) <= to && bco_node_id(n) != origin &&
		    (x->nodes[n].answered || x->nodes[n].nr_asks ||
		     !g->one_life))
			return true;
	return false;
}

static bool passes_on(struct bco *g, uint64_t to, const struct hs_wire_group *m,
		      uint32_t bytes)
{
	const struct hs_wire_trace_id *id = (const void *)(m + 1);
	uint32_t t = bco_trace_of(g, id);

	if (!hs_coord_trace_find(g->core, id) || m->nr != 1 ||
	    bytes != sizeof(*m) + sizeof(*id) || t == BCO_TRACES ||
	    g->up[(to >> 32) - 1] != to ||
	    !may_know(g, &g->traces[t], to, m->trigger.origin))
		sim_fail(g->s, BCO "a trigger is passed on to who has nothing "
				   "to do with it");
	return !g->jammed;
}

static bool op_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t bytes)
{
	struct bco *g = ctx;

	/* In the midst of a message it passes a trigger on to those who know
	 * the trace; a question comes from where messages are made. */
	if (type == HS_WIRE_COLLECT && payload != g->core->out)
		return passes_on(g, node, payload, bytes);
	if (type == HS_WIRE_REFUSED)
		return refused(g, node, payload, bytes);
	bco_sync(g);
	if (type == HS_WIRE_COLLECT)
		return collect(g, node, payload, bytes);
	if (type == HS_WIRE_STORED)
		return stored(g, node, payload, bytes);
	if (type == HS_WIRE_SEEK)
		return bco_seeks(g, node, payload, bytes);
	sim_fail(g->s, BCO "a message of type %u", type);
	return false;
}

/* ---- manifests ------------------------------------------------------------
 */

static void own_word(struct bco *g, const struct bco_trace *x, uint32_t n,
		     const struct hs_wire_answer *a, uint32_t nr_crumbs)
{
	bool later = n % 2 == 0 && x->nodes[n + 1].answered;

	if (x->nodes[n].answered)
		sim_fail(g->s, BCO "a word for one that spoke");
	if (a->state != (later ? HS_WIRE_STATE_GONE : bco_word(g, n)))
		sim_fail(g->s, BCO "state %u is said of it, not %u", a->state,
			 later ? HS_WIRE_STATE_GONE : bco_word(g, n));
	if (nr_crumbs || a->nr_buffers || a->nr_bytes ||
	    a->flags & ~HS_WIRE_F_CUT)
		sim_fail(g->s, BCO "its own word says too much");
}

/* Whom a question found stands behind the crumbs of the first answer. */
static uint32_t found_ones(struct bco *g, const struct bco_trace *x,
			   const struct hs_wire_crumb *crumbs, uint32_t nr)
{
	uint32_t i = hs_coord_trace_find(g->core, &x->id);
	uint32_t nr_found = 0, seen = 0;

	for (uint32_t n = 0; n < BCO_NODES; n++)
		nr_found += x->found >> n & 1 &&
			    hs_coord_visit_find(g->core, i, bco_node_id(n));

	if (nr < nr_found) {
		sim_fail(g->s, BCO "one that was found is not named");
		return 0;
	}
	for (i = nr - nr_found; i < nr; i++) {
		uint32_t n = bco_node_of(crumbs[i].node);

		if (n == BCO_NODES || crumbs[i].kind != HS_WIRE_CRUMB_SOUGHT ||
		    crumbs[i].reserved || !(x->found >> n & 1) ||
		    seen >> n & 1) {
			sim_fail(g->s, BCO "one is named that was not found");
			return 0;
		}
		seen |= 1u << n;
	}
	return nr_found;
}

static const uint8_t *one(struct bco *g, const struct bco_trace *x,
			  const uint8_t *p, uint32_t *seen, bool *cut)
{
	const struct hs_wire_answer *a = (const void *)p;
	const struct hs_wire_crumb *crumbs = (const void *)(a + 1);
	uint32_t n = bco_node_of(a->node);
	const struct bco_node *node = &x->nodes[n % BCO_NODES];
	bool is_cut = (a->flags & HS_WIRE_F_CUT) != 0;
	uint32_t nr = a->nr_crumbs;

	p = (const uint8_t *)(crumbs + a->nr_crumbs);
	*cut |= is_cut && !node->cut;
	if (n == BCO_NODES || *seen >> n & 1) {
		sim_fail(g->s, BCO "an answer of nobody, or a second one");
		return p;
	}
	if (!*seen)
		nr -= found_ones(g, x, crumbs, nr);
	*seen |= 1u << n;
	if (!a->rev) {
		own_word(g, x, n, a, nr);
		return p;
	}
	if (!node->answered || a->rev != node->said.rev ||
	    a->state != node->said.state ||
	    a->nr_buffers != node->said.nr_buffers ||
	    a->nr_bytes != node->said.nr_bytes ||
	    (a->flags | HS_WIRE_F_CUT) != (node->said.flags | HS_WIRE_F_CUT) ||
	    (node->said.flags & ~a->flags) || (node->cut && !is_cut) ||
	    nr > node->said.nr_crumbs ||
	    (nr < node->said.nr_crumbs && !is_cut) ||
	    memcmp(crumbs, node->crumbs, nr * sizeof(*crumbs)))
		sim_fail(g->s, BCO "node %u.%u did not say that",
			 (uint32_t)(a->node >> 32), (uint32_t)a->node);
	return p;
}

/*
 * One that fired what it need not know, and knows nothing, is left out until
 * it was told of once: while others are asked, and when one of them knows.
 */
static bool left_out(const struct bco *g, const struct bco_trace *x, uint32_t n,
		     bool settled)
{
	const struct bco_node *node = &x->nodes[n];
	uint32_t i = hs_coord_trace_find(g->core, &x->id);
	uint32_t v = i ? hs_coord_visit_find(g->core, i, bco_node_id(n)) : 0;
	bool anybody = false;

	for (uint32_t k = 0; k < BCO_NODES; k++)
		anybody |= x->nodes[k].answered &&
			   x->nodes[k].said.state != HS_WIRE_STATE_UNKNOWN;
	return (x->elsewhere & ~x->written) >> n & 1 && node->answered && v &&
	       !hs_coord_visit(g->core, v)->named &&
	       !hs_coord_visit(g->core, v)->cut && !node->said.flags &&
	       node->said.state == HS_WIRE_STATE_UNKNOWN &&
	       !x->elsewhere_told && (!settled || anybody);
}

/* Everybody who spoke is in it, and, once it is settled, who was named. */
static void whole(struct bco *g, const struct bco_trace *x, uint32_t seen,
		  bool settled, bool cut)
{
	for (uint32_t n = 0; n < BCO_NODES; n++) {
		bool is_in = seen >> n & 1;

		if (x->nodes[n].answered &&
		    is_in == left_out(g, x, n, settled) && (!cut || is_in))
			sim_fail(g->s, BCO "an answer is %s",
				 is_in ? "not left out" : "left out");
		if (left_out(g, x, n, settled) || cut)
			continue;
		if (settled &&
		    (named(x, bco_node_id(n)) || x->found >> n & 1) && !is_in)
			sim_fail(g->s, BCO "settled without a node that is "
					   "named");
	}
}

static void in_time(struct bco *g, const struct bco_trace *x,
		    const struct hs_wire_manifest *m)
{
	uint64_t since = g->now_ns - x->told_ns;

	if (m->version == x->version || x->failed) {
		if (!x->again && x->tries &&
		    since < doubled(g->config.resend_ns, x->tries - 1,
				    g->config.resend_max_ns))
			sim_fail(g->s, BCO "a manifest again too early");
		return;
	}
	if (m->version != x->version + 1)
		sim_fail(g->s, BCO "version %u after %u", m->version,
			 x->version);
	if (x->version && !x->again &&
	    since < (m->settled ? g->config.tell_settled_ns
				: g->config.tell_unsettled_ns))
		sim_fail(g->s, BCO "a manifest too early");
}

static bool op_collector(void *ctx, const struct hs_wire_trace_id *id,
			 uint16_t type, const void *payload, uint32_t bytes)
{
	const struct hs_wire_manifest *m = payload;
	const struct hs_wire_trigger *w = (const void *)(m + 1);
	const uint8_t *p = (const uint8_t *)(w + m->nr_triggers);
	struct bco *g = ctx;
	uint32_t t = bco_trace_of(g, id), seen = 0;
	struct bco_trace *x = &g->traces[t % BCO_TRACES];
	bool cut = false, told = false;

	bco_sync(g);
	if (type != HS_WIRE_MANIFEST || t == BCO_TRACES || !x->live ||
	    memcmp(&m->trace, id, sizeof(*id)) || !m->nr_answers) {
		sim_fail(g->s, BCO "a manifest of nothing");
		return false;
	}
	if (x->version && m->epoch != x->epoch)
		sim_fail(g->s, BCO "another epoch");
	/* The collector takes the later one for the newer. */
	if (!x->version && m->epoch <= x->past_epoch)
		sim_fail(g->s, BCO "a later life looks older than one before");
	in_time(g, x, m);
	for (uint32_t i = 0; i < m->nr_triggers; i++)
		for (uint32_t k = 0; k < i; k++)
			if (w[i].origin == w[k].origin && w[i].key == w[k].key)
				sim_fail(g->s, BCO "a trigger twice");
	if (m->sought != x->sought)
		sim_fail(g->s, BCO "sought %x instead of %x", m->sought,
			 x->sought);
	if (m->settled &&
	    (x->seek == HS_COORD_SEEK_QUEUED || x->seek == HS_COORD_SEEK_ASKED))
		sim_fail(g->s, BCO "settled, and a question is on its way");
	for (uint32_t i = 0; i < m->nr_answers && !g->s->failed; i++)
		p = one(g, x, p, &seen, &cut);
	if (p != (const uint8_t *)payload + bytes)
		sim_fail(g->s, BCO "a manifest of another length");
	whole(g, x, seen, m->settled, cut);
	for (uint32_t n = 0; n < BCO_NODES; n++)
		x->written |= (uint32_t)x->nodes[n].answered << n & seen;
	x->told_ns = g->now_ns;
	x->tries = m->version == x->version ? x->tries + 1 : 1;
	x->again = false;
	x->failed = g->jammed && hs_random_chance(&g->r, 0.5);
	if (x->failed)
		return false;
	for (uint32_t n = 0; n < BCO_NODES && m->version != x->version; n++)
		told |= x->elsewhere >> n & 1 && !left_out(g, x, n, m->settled);
	x->elsewhere_told |= told;
	if (m->version != x->version)
		x->settled = m->settled;
	if (m->settled && m->version != x->version)
		x->settled_version = m->version;
	x->version = m->version;
	x->epoch = m->epoch;
	g->manifests++;
	return true;
}

const struct hs_coord_ops bco_ops = {op_node, op_collector, NULL};

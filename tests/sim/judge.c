/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - whether the laws held: what is called complete, as it is said; and
 * when everything is healed and quiet, what had to arrive, and what must be
 * gone
 */
#include <string.h>

#include "agent/core_priv.h"
#include "rdma/wire.h"
#include "tests/sim/ship.h"

#define NODES_MAX 512u

/* ---- bytes -----------------------------------------------------------------
 */

static bool stored_whole(const struct sim_stored *st, uint64_t node,
			 const struct ora_buffer *b)
{
	/* As large as the largest buffer of any domain here. */
	uint8_t got[65536] = {0};
	bool final = false;

	for (const struct sim_record *r = st->first; r; r = r->next) {
		const struct hs_wire_slice *h = &r->head;

		if (r->is_union || h->node != node ||
		    h->process != b->process || h->handle != b->handle ||
		    h->seq != b->seq)
			continue;
		if (h->offset + h->length_bytes > sizeof(got))
			return false;
		memset(got + h->offset, 1, h->length_bytes);
		final |=
			h->final && h->offset + h->length_bytes == b->committed;
	}
	return final && b->committed <= sizeof(got) &&
	       !memchr(got, 0, b->committed);
}

/* ---- what is called complete ------------------------------------------------
 */

static const struct hs_assembly_node *
node_in(const struct hs_assembly_node *nodes, uint32_t nr, uint64_t id,
	bool any_incarnation)
{
	for (uint32_t i = 0; i < nr; i++)
		if (nodes[i].answered && nodes[i].rev &&
		    (nodes[i].node == id ||
		     (any_incarnation && nodes[i].node >> 32 == id >> 32 &&
		      nodes[i].node > id)))
			return &nodes[i];
	return NULL;
}

static void complete_crumbs(struct sim *s, uint32_t t,
			    const struct ora_visit *v, uint64_t upto,
			    const struct hs_assembly_node *nodes, uint32_t nr)
{
	for (uint32_t i = 0; i < v->nr_crumbs; i++) {
		uint64_t to = v->crumbs[i].node;
		const struct ora_visit *there = ora_visit_find(s, t, to);

		if (v->crumbs[i].born > upto || node_in(nodes, nr, to, false))
			continue;
		if (!node_in(nodes, nr, to, true))
			sim_fail(s,
				 "trace %u is called complete without "
				 "node%u.%u, which a crumb names",
				 t, (uint32_t)(to >> 32), (uint32_t)to);
		else if (there && there->named)
			sim_fail(s,
				 "trace %u is called complete; node%u.%u "
				 "lost what it had of it",
				 t, (uint32_t)(to >> 32), (uint32_t)to);
	}
}

static const struct ora_rev *rev_of(const struct ora_visit *v, uint32_t rev)
{
	for (uint32_t i = 0; v && i < v->nr_revs; i++)
		if (v->revs[i].rev == rev)
			return &v->revs[i];
	return NULL;
}

static void complete_node(struct sim *s, struct sim_stored *st,
			  const struct hs_assembly_node *n,
			  const struct hs_assembly_node *nodes, uint32_t nr)
{
	uint32_t t = st->trace, number = (uint32_t)(n->node >> 32);
	const struct ora_visit *v = ora_visit_find(s, t, n->node);
	const struct ora_rev *r = rev_of(v, n->rev);

	if (!n->answered || !n->rev) {
		if (v && v->named)
			sim_fail(s,
				 "trace %u is called complete; node%u.%u "
				 "wrote to it and never answered",
				 t, number, (uint32_t)n->node);
		return;
	}
	if (!r) {
		sim_fail(s, "trace %u: node%u never gave revision %u", t,
			 number, n->rev);
		return;
	}
	if (r->state != HS_WIRE_STATE_CLOSED || r->flags)
		sim_fail(s,
			 "trace %u is called complete; node%u said "
			 "state %u flags %x",
			 t, number, r->state, r->flags);
	if (ora_lost_by(v, r->scan_order))
		sim_fail(s,
			 "trace %u is called complete; node%u had lost "
			 "data of it before it answered",
			 t, number);
	for (const struct ora_buffer *b = v->buffers; b; b = b->next) {
		if (!b->born || b->born > r->scan_order || b->lost)
			continue;
		if (!stored_whole(st, n->node, b)) {
			sim_fail(s,
				 "trace %u is called complete without "
				 "process %u handle %u seq %u of node%u",
				 t, b->process, b->handle, b->seq, number);
			return;
		}
	}
	complete_crumbs(s, t, v, r->scan_order, nodes, nr);
}

void judge_complete(struct sim *s, struct sim_coll *k, struct sim_stored *st)
{
	static struct hs_assembly_node nodes[NODES_MAX];
	struct hs_assembly_view view;
	uint32_t nr;

	if (st->trace == UINT32_MAX || s->failed ||
	    hs_assembly_view(k->assembly, &st->id, &view) ||
	    view.mark != HS_ASSEMBLY_COMPLETE)
		return;
	s->t.checks++;
	nr = hs_assembly_nodes(k->assembly, &st->id, nodes, NODES_MAX);
	for (uint32_t i = 0; i < nr; i++)
		complete_node(s, st, &nodes[i], nodes, nr);
	sim_story(s, sim_ep_coll(s, (uint32_t)(k - s->colls)),
		  "calls trace %u complete", st->trace);
}

/* A visit that left nothing for the ledger is not known to a successor. */
static bool forgettable(const struct sim_node *n, const struct ora_visit *v)
{
	return !v || !v->named ||
	       (n->kills && !v->nr_published && !v->nr_crumbs);
}

/* ---- the question to many ---------------------------------------------------
 */

static const struct hs_seek *asked_in(const struct sim_node *n, uint64_t from,
				      uint64_t question)
{
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++)
		if (n->core->seeks.at[k].nr &&
		    n->core->seeks.at[k].from == from &&
		    n->core->seeks.at[k].question == question)
			return &n->core->seeks.at[k];
	return NULL;
}

static void found_by(const struct sim *s, struct ora_visit *v, uint64_t to)
{
	v->found = true;
	for (uint32_t k = 0; k < s->p.nr_coords; k++)
		if (sim_ep_id(s, sim_ep_coord(s, k)) == to && !v->found_life[k])
			v->found_life[k] = s->coords[k].restarts + 1;
}

/* Whoever wrote to a trace before the scan says so, if it can know. */
void judge_found(struct sim *s, const struct sim_node *n, uint64_t to,
		 const void *payload, uint32_t bytes)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, bytes);
	const struct hs_wire_trace_id *ids;
	const struct hs_wire_seek *found = hs_wire_take_seek(&r, &ids);
	const struct hs_seek *seek =
		found ? asked_in(n, to, found->question) : NULL;

	if (!seek || !hs_wire_done(&r)) {
		sim_fail(s, "node%u answers a question that nobody asked",
			 n->number);
		return;
	}
	for (uint32_t i = 0, k = 0; i < seek->nr; i++) {
		const struct hs_wire_trace_id *id = &seek->traces[i].id;
		uint32_t t = ora_trace_find(s, id);
		struct ora_visit *v =
			t == UINT32_MAX ? NULL : ora_visit_find(s, t, n->id);
		bool says = k < found->nr && hs_wire_trace_equal(&ids[k], id);

		k += says;
		s->t.checks++;
		if (says && !v && t != UINT32_MAX && !s->traces[t].touched)
			sim_fail(s, "node%u claims to know trace %u", n->number,
				 t);
		if (says && v)
			found_by(s, v, to);
		if (!says && v &&
		    ((v->named && v->named < n->scan_order &&
		      !forgettable(n, v)) ||
		     ora_live_at_scan(s, n, v)))
			sim_fail(s,
				 "node%u does not know trace %u any more, "
				 "which it took part in",
				 n->number, t);
	}
}

/* ---- reporting in order
 * ------------------------------------------------------ */

void judge_ship(struct sim *s, struct sim_node *n,
		const struct hs_wire_slice *head)
{
	uint32_t f = hs_fired_find(n->core, head->trace.hi, head->trace.lo);
	const struct hs_hold *hold = &n->core->holds[n->core->serving];
	uint64_t *last;

	if (f == HS_NIL) {
		sim_fail(s, "node%u ships a trace that did not fire",
			 n->number);
		return;
	}
	if (!n->in_tick)
		return;
	if (hold->fired != f || hold->priority != head->priority)
		sim_fail(s, "node%u ships a trace that is not the one served",
			 n->number);
	last = &n->ship_last_priority[hold->domain & 1][hold->trigger];
	if (head->priority > *last)
		sim_fail(s, "node%u ships a lower priority before a higher one",
			 n->number);
	*last = head->priority;
}

static bool same_group(const struct hs_hold *a, const struct hs_hold *b)
{
	return a->trigger == b->trigger && a->primary.hi == b->primary.hi &&
	       a->primary.lo == b->primary.lo;
}

/* One that let go in this tick: its fields stand until it is used again. */
static void let_go(struct sim *s, const struct sim_node *n, uint32_t x)
{
	const struct hs_agent_core *c = n->core;
	const struct hs_hold *a = &c->holds[x];

	for (uint32_t i = 0; i < c->nr_holds; i++) {
		const struct hs_hold *b = &c->holds[i];

		if (!b->in_use)
			continue;
		if (same_group(a, b))
			sim_fail(s, "node%u abandons a part of a lateral group",
				 n->number);
		if (b->queued && !b->young && b->domain == a->domain &&
		    b->trigger == a->trigger && b->priority < a->priority)
			sim_fail(s,
				 "node%u abandons a higher priority and keeps "
				 "a lower one",
				 n->number);
	}
}

/* Its group let go in another domain, too, and may have had to there. */
static bool in_both(const struct sim_node *n, uint32_t x, uint32_t nr)
{
	const struct hs_agent_core *c = n->core;
	uint32_t i = c->hold_free;

	for (; nr--; i = c->holds[i].next)
		if (same_group(&c->holds[i], &c->holds[x]) &&
		    c->holds[i].domain != c->holds[x].domain)
			return true;
	return false;
}

void judge_abandoned(struct sim *s, struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;
	uint32_t nr = c->nr_holds_free - n->holds_free, i = c->hold_free;

	/* What was forgotten is none of it. */
	for (uint32_t k = 0; k < nr && !s->failed; k++, i = c->holds[i].next)
		if (c->fired[c->holds[i].fired].live && !in_both(n, i, nr))
			let_go(s, n, i);
}

/* ---- at the end
 * --------------------------------------------------------------- */

static bool node_quiet(const struct sim_node *n)
{
	const struct hs_agent_core *c = n->core;

	if (n->gone)
		return true;
	if (!n->up || c->nr_groups_live || c->nr_in_flight || c->nr_dirty ||
	    hs_agent_core_busy(c))
		return false;
	for (uint32_t i = 0; i < c->config.nr_fired; i++)
		if (c->fired[i].live && c->fired_rt[i].update_key)
			return false;
	return true;
}

bool judge_quiet(struct sim *s)
{
	if (s->nr_live_visits)
		return false;
	for (uint32_t i = 0; i < s->p.nr_nodes; i++)
		if (!node_quiet(&s->nodes[i]))
			return false;
	for (uint32_t i = 0; i < s->p.nr_coords; i++) {
		struct hs_coord_stats st;

		hs_coord_core_stats_get(s->coords[i].core, &st);
		if (st.nr_seeking || st.nr_telling || st.nr_requests ||
		    st.nr_waiting)
			return false;
	}
	for (uint32_t i = 0; i < s->p.nr_colls; i++)
		if (s->colls[i].syncing)
			return false;
	return sim_ship_quiet(s);
}

bool judge_forgotten(struct sim *s)
{
	for (uint32_t i = 0; i < s->p.nr_nodes; i++) {
		const struct hs_agent_core *c = s->nodes[i].core;

		if (s->nodes[i].gone)
			continue;
		if (c->nr_fired)
			return false;
		for (uint32_t k = 0; k < c->nr_domains; k++)
			if (c->domains[c->domain_order[k]].nr_pinned)
				return false;
	}
	return true;
}

static bool refused_something(const struct hs_agent_stats *st)
{
	return st->collects_refused || st->triggers_refused ||
	       st->lost_index_full;
}

static bool lost_its_memory(const struct sim *s, uint64_t node)
{
	uint32_t i = (uint32_t)(node >> 32) - 1;

	return i < s->p.nr_nodes &&
	       (s->nodes[i].lost_memory || s->nodes[i].gone);
}

static bool coordinator_died(const struct sim *s)
{
	for (uint32_t i = 0; i < s->p.nr_coords; i++)
		if (s->coords[i].restarts)
			return true;
	return false;
}

/*
 * Somebody was found by the question of a coordinator that died since. What it
 * had found it took with it, and the question of the next one need not find it
 * again: that knows only who has come to it by then (seed 5130).
 */
static bool found_by_a_dead_one(const struct sim *s, uint32_t t)
{
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next)
		for (uint32_t k = 0; k < s->p.nr_coords; k++)
			if (v->found_life[k] &&
			    s->coords[k].restarts >= v->found_life[k])
				return true;
	return false;
}

/* Said what it had, and later that it does not know the trace: its crumbs are
 * in the collector's union, where no coordinator looks (seed 9600). */
static bool somebody_forgot(const struct sim *s, uint32_t t)
{
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next)
		for (uint32_t i = 1; i < v->nr_revs; i++)
			if (v->revs[i].state == HS_WIRE_STATE_UNKNOWN &&
			    v->revs[i - 1].state == HS_WIRE_STATE_CLOSED)
				return true;
	return false;
}

/* The only crumbs to a node may have been where they are not any more. */
static bool trail_broken(const struct sim *s, uint32_t t, uint16_t sought,
			 const struct hs_assembly_cause *causes, uint32_t nr)
{
	if (sought && (found_by_a_dead_one(s, t) ||
		       (coordinator_died(s) && somebody_forgot(s, t))))
		return true;
	if (coordinator_died(s))
		for (uint32_t i = 0; i < s->p.nr_nodes; i++)
			if (s->nodes[i].lost_memory)
				return true;
	for (uint32_t i = 0; i < nr; i++)
		if (lost_its_memory(s, causes[i].node) ||
		    causes[i].why == HS_ASSEMBLY_WHY_UNREACHABLE ||
		    causes[i].why == HS_ASSEMBLY_WHY_EVICTED)
			return true;
	return false;
}

/* Whether what really happened is reason enough for what the mark names. */
static bool justified(struct sim *s, uint32_t t,
		      const struct hs_assembly_cause *c)
{
	uint32_t i = (uint32_t)(c->node >> 32) - 1;
	const struct ora_visit *v = ora_visit_find(s, t, c->node);
	struct hs_agent_stats st;
	const struct sim_node *n;

	if (c->node == 0)
		return c->why == HS_ASSEMBLY_WHY_CUT && s->p.small_collector;
	if (i >= s->p.nr_nodes)
		return false;
	n = &s->nodes[i];
	if (lost_its_memory(s, c->node))
		return true;
	st = sim_node_stats(n);
	switch (c->why) {
	case HS_ASSEMBLY_WHY_EVICTED:
		return st.traces_evicted || st.fired_forgotten_early;
	case HS_ASSEMBLY_WHY_LOST:
		return (v && v->first_lost) || n->forgot || st.slices_refused ||
		       st.lost_index_full;
	case HS_ASSEMBLY_WHY_ABANDONED:
		return st.traces_abandoned > 0;
	case HS_ASSEMBLY_WHY_CRASHED:
		return v && v->crashed;
	case HS_ASSEMBLY_WHY_CUT:
		return st.crumbs_lost || refused_something(&st) ||
		       s->p.trace_buffers_max < 1000;
	case HS_ASSEMBLY_WHY_UNKNOWN:
		return forgettable(n, v) || st.traces_evicted ||
		       st.fired_forgotten_early || refused_something(&st);
	case HS_ASSEMBLY_WHY_UNREACHABLE:
		/* Nobody asks on for a coordinator that has said so and died.
		 */
		return coordinator_died(s) || refused_something(&st);
	case HS_ASSEMBLY_WHY_GONE:
		return n->told_left && coordinator_died(s);
	case HS_ASSEMBLY_WHY_MISSING:
		return st.slices_refused > 0;
	case HS_ASSEMBLY_WHY_MODIFIED:
		return n->modified;
	default:
		return false;
	}
}

static bool blamed(const struct hs_assembly_cause *causes, uint32_t nr,
		   uint64_t node)
{
	for (uint32_t i = 0; i < nr; i++)
		if (causes[i].node == node || causes[i].node == 0)
			return true;
	return false;
}

/* From a node that fired it, along crumbs, as far as nobody is blamed. */
static void closure(struct sim *s, uint32_t t, uint64_t origin,
		    const struct sim_stored *st,
		    const struct hs_assembly_cause *causes, uint32_t nr_causes)
{
	uint64_t seen[NODES_MAX] = {origin};
	uint32_t nr = 1;

	for (uint32_t at = 0; at < nr; at++) {
		const struct ora_visit *v = ora_visit_find(s, t, seen[at]);
		uint32_t i = (uint32_t)(seen[at] >> 32) - 1;

		if (!v || i >= s->p.nr_nodes || s->nodes[i].lost_memory ||
		    blamed(causes, nr_causes, seen[at]))
			continue;
		for (const struct ora_buffer *b = v->buffers; b; b = b->next)
			if (b->born && !b->lost &&
			    !stored_whole(st, v->node, b)) {
				sim_fail(s,
					 "trace %u was triggered, but "
					 "process %u handle %u seq %u of "
					 "node%u never arrived",
					 t, b->process, b->handle, b->seq,
					 i + 1);
				return;
			}
		for (uint32_t k = 0; k < v->nr_crumbs && nr < NODES_MAX; k++) {
			uint32_t x = 0;

			while (x < nr && seen[x] != v->crumbs[k].node)
				x++;
			if (x == nr)
				seen[nr++] = v->crumbs[k].node;
		}
	}
}

/* It could not but be found by a question that everybody answered. */
static bool findable(const struct sim *s, uint32_t t, const struct ora_visit *v)
{
	uint32_t i = (uint32_t)(v->node >> 32) - 1;
	const struct sim_node *n = &s->nodes[i];
	uint64_t sought = s->traces[t].sought;

	return v->named && v->named < sought && n->heard && n->heard < sought &&
	       !lost_its_memory(s, v->node) && !forgettable(n, v);
}

/* With one coordinator, that never died, there was one question. */
static void found_ones(struct sim *s, uint32_t t, struct sim_coll *k,
		       const struct hs_assembly_view *view)
{
	static struct hs_assembly_node nodes[NODES_MAX];
	uint32_t nr;

	if (!view->sought || view->sought & HS_WIRE_SOUGHT_PART ||
	    s->p.nr_coords > 1 || s->coords[0].restarts)
		return;
	nr = hs_assembly_nodes(k->assembly, &s->traces[t].id, nodes, NODES_MAX);
	for (const struct ora_visit *v = s->traces[t].visits; v; v = v->next) {
		uint32_t i = 0;

		while (i < nr &&
		       (nodes[i].node != v->node || !nodes[i].answered))
			i++;
		/* Of one that had left, as they heard, nobody is asked. */
		if (i < nr || nr == NODES_MAX ||
		    s->nodes[(v->node >> 32) - 1].told_left)
			continue;
		if (v->found || findable(s, t, v))
			sim_fail(s,
				 "trace %u: everybody was asked, and node%u, "
				 "which knew it, is not in the manifest",
				 t, (uint32_t)(v->node >> 32));
	}
}

static void end_trace(struct sim *s, uint32_t t, uint64_t origin)
{
	struct sim_coll *k = &s->colls[sim_coll_owner(s, &s->traces[t].id)];
	struct sim_stored *st = sim_coll_find(k, &s->traces[t].id);
	struct hs_assembly_cause causes[64];
	struct hs_assembly_view view;
	uint32_t nr;

	if (!st || hs_assembly_view(k->assembly, &s->traces[t].id, &view)) {
		sim_fail(s,
			 "trace %u: its trigger was acknowledged, and no "
			 "collector knows it",
			 t);
		return;
	}
	nr = hs_assembly_causes(k->assembly, &s->traces[t].id, causes, 64);
	s->t.complete += view.mark == HS_ASSEMBLY_COMPLETE;
	s->t.partial += view.mark == HS_ASSEMBLY_PARTIAL;
	s->t.open += view.mark == HS_ASSEMBLY_OPEN;
	for (uint32_t i = 0; i < nr; i++)
		s->t.whys[causes[i].why]++;
	found_ones(s, t, k, &view);
	if (s->traces[t].touched)
		return;
	for (uint32_t i = 0; i < nr; i++)
		if (!justified(s, t, &causes[i]) &&
		    !(causes[i].why == HS_ASSEMBLY_WHY_NO_ANSWER &&
		      trail_broken(s, t, view.sought, causes, nr))) {
			sim_fail(s,
				 "trace %u is %s because of node%u.%u: %s; "
				 "nothing of that kind happened there",
				 t, hs_assembly_mark_name(view.mark),
				 (uint32_t)(causes[i].node >> 32),
				 (uint32_t)causes[i].node,
				 hs_assembly_why_name(causes[i].why));
			return;
		}
	if (nr < 64)
		closure(s, t, origin, st, causes, nr);
}

void judge_end(struct sim *s)
{
	for (uint32_t g = 0; g < s->nr_groups && !s->failed; g++)
		for (uint32_t i = 0; i < s->groups[g].nr && !s->failed; i++)
			if (!s->groups[g].is_void)
				end_trace(s, s->groups[g].traces[i],
					  s->groups[g].node_id);
}

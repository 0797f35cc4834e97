/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - whether the laws held, as it goes: what is called complete, what is
 * answered to a question, what is shipped and what is given up
 */
#include <string.h>

#include "agent/core_priv.h"
#include "rdma/wire.h"
#include "tests/sim/ship.h"

/* ---- bytes -----------------------------------------------------------------
 */

bool judge_stored_whole(const struct sim_stored *st, uint64_t node,
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
	if (ora_lost_unheard(v, r->scan_order) && !s->traces[t].excused) {
		s->traces[t].excused = true;
		s->t.excused++;
	}
	if (ora_lost_by(v, r->scan_order))
		sim_fail(s,
			 "trace %u is called complete; node%u had lost "
			 "data of it before it answered",
			 t, number);
	for (const struct ora_buffer *b = v->buffers; b; b = b->next) {
		if (!b->born || b->born > r->scan_order || b->lost)
			continue;
		if (!judge_stored_whole(st, n->node, b)) {
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
	static struct hs_assembly_node nodes[JUDGE_NODES_MAX];
	struct hs_assembly_view view;
	uint32_t nr;

	if (st->trace == UINT32_MAX || s->failed ||
	    hs_assembly_view(k->assembly, &st->id, &view) ||
	    view.mark != HS_ASSEMBLY_COMPLETE)
		return;
	s->t.checks++;
	nr = hs_assembly_nodes(k->assembly, &st->id, nodes, JUDGE_NODES_MAX);
	for (uint32_t i = 0; i < nr; i++)
		complete_node(s, st, &nodes[i], nodes, nr);
	sim_story(s, sim_ep_coll(s, (uint32_t)(k - s->colls)),
		  "calls trace %u complete", st->trace);
}

bool judge_forgettable(const struct sim_node *n, const struct ora_visit *v)
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
		      !judge_forgettable(n, v)) ||
		     ora_live_at_scan(s, n, v)))
			sim_fail(s,
				 "node%u does not know trace %u any more, "
				 "which it took part in",
				 n->number, t);
	}
}

/* ---- reporting in order
 * ------------------------------------------------------ */

/* Its buffer is one that a process of that domain wrote. */
static void of_its_tenant(struct sim *s, const struct sim_node *n,
			  const struct hs_agent_slice *slice)
{
	const struct hs_wire_slice *head = &slice->head;
	uint32_t t = ora_trace_find(s, &head->trace);
	struct ora_visit *v =
		t == UINT32_MAX ? NULL : ora_visit_find(s, t, n->id);
	const struct ora_buffer *b = ora_buffer_of(v, head);

	s->t.checks++;
	if (b && b->domain != slice->domain)
		sim_fail(s,
			 "node%u ships a buffer of domain %u out of the memory "
			 "of domain %u",
			 n->number, b->domain, slice->domain);
}

void judge_ship(struct sim *s, struct sim_node *n,
		const struct hs_agent_slice *slice)
{
	const struct hs_wire_slice *head = &slice->head;
	uint32_t f = hs_fired_find(n->core, head->trace.hi, head->trace.lo);
	const struct hs_hold *hold = &n->core->holds[n->core->serving];
	uint64_t *last;

	of_its_tenant(s, n, slice);
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
	last = &n->ship_last_priority[hold->domain][hold->trigger];
	if (head->priority > *last)
		sim_fail(s, "node%u ships a lower priority before a higher one",
			 n->number);
	*last = head->priority;
}

/* ---- counters ---------------------------------------------------------------
 */

/* They begin at 0: one that ran backwards is beyond all that happens here. */
void judge_counts(struct sim *s, const char *of, const void *stats,
		  size_t bytes)
{
	const uint64_t *counts = stats;

	s->t.checks++;
	for (size_t i = 0; i < bytes / sizeof(*counts); i++)
		if (counts[i] >> 48)
			sim_fail(s, "%s: its counter %zu ran backwards", of, i);
}

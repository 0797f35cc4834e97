/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_ahead.c - reading ahead: whom tables of crumbs name (docs/adr/0035)
 *
 * While a node is asked, the entry of the trace is read from the table that it
 * exports, where it does; whom the entry names is asked at once, and read of in
 * turn, so that questions are on their way before the first answer is. All of
 * it is a guess. A node that only entries named is HINTED: nobody waits for it,
 * and nothing is said of it; but as it may have pinned what it has, and ships
 * it, its answer is asked for as persistently as any. As soon as an answer
 * names it, it is as if it had been asked then; where it says by itself that it
 * knows the trace, it counts as found. One that knows nothing, or says nothing,
 * was never there.
 *
 * Bounded by what bounds crumbs: the nodes that one node's crumbs name and that
 * have not answered; and hints take half of a trace's nodes and three quarters
 * of all places at most.
 */
#include <errno.h>

#include "coordinator/core_internal.h"
#include "rdma/crumbs.h"

int hs_coord_core_table(struct hs_coord_core *c, uint64_t now_ns, uint64_t node,
			const void *about, uint32_t about_bytes,
			uint64_t size_bytes)
{
	uint32_t m = hs_coord_member_find(c, node);
	struct hs_coord_member *member = hs_coord_member(c, m);

	hs_coord_now(c, now_ns);
	/* Without a place in the table of nodes it is heard, and not read. */
	if (!m || member->up != node)
		return 0;
	/* Nor where it has learned to write another kind of table. */
	if (hs_crumbs_version_other(about, about_bytes)) {
		member->has_table = false;
		return 0;
	}
	if (hs_crumbs_told(about, about_bytes, node, size_bytes,
			   &member->table)) {
		c->stats.messages_bad++;
		member->has_table = false;
		return -EBADMSG;
	}
	member->has_table = true;
	return 0;
}

void hs_coord_ahead_read(struct hs_coord_core *c, uint32_t v)
{
	const struct hs_coord_visit *visit = hs_coord_visit(c, v);
	const struct hs_coord_member *m = hs_coord_member(c, visit->member);
	const struct hs_wire_trace_id *id =
		&hs_coord_trace(c, visit->trace)->id;
	const uint32_t size = sizeof(struct hs_crumb_bucket);
	uint64_t at;

	if (!m->has_table || !c->ops->read_node)
		return;
	at = hs_crumbs_bucket(&m->table, id->hi, id->lo);
	if (c->ops->read_node(c->ctx, m->up, at * size, size, visit->trace))
		c->stats.reads_sent++;
	else
		c->stats.reads_refused++;
}

static bool has_place(const struct hs_coord_core *c, uint32_t t, uint32_t by)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);

	return hs_coord_member(c, by)->nr_blamed < c->config.origin_waiting &&
	       trace->nr_visits < c->config.trace_nodes / 2 &&
	       trace->bytes < HS_COORD_TRACE_BYTES / 2 &&
	       hs_coord_pool_left(&c->visits) > c->visits.nr / 4;
}

/* @node takes part in the trace, as the table of member @by says. */
static void hint(struct hs_coord_core *c, uint32_t t, uint64_t node,
		 uint32_t by)
{
	uint32_t m = hs_coord_member_find(c, node);
	uint32_t v;

	if (hs_coord_visit_find(c, t, node))
		return;
	/* An earlier incarnation's crumb says nothing that helps. */
	if (!m || hs_coord_member(c, m)->up != node || !has_place(c, t, by) ||
	    hs_coord_visit_later(c, t, node)) {
		c->stats.hints_refused++;
		return;
	}
	v = hs_coord_visit_new(c, t, node);
	if (!v) {
		c->stats.hints_refused++;
		return;
	}
	c->stats.hints++;
	hs_coord_visit(c, v)->hinted = true;
	/* Should it count as found, its name is a crumb more. */
	hs_coord_trace(c, t)->bytes += sizeof(struct hs_wire_crumb);
	hs_coord_blame(c, v, by);
	hs_coord_visit_step(c, v, HS_COORD_VISIT_HINT);
	hs_coord_ask(c, v);
}

void hs_coord_core_read(struct hs_coord_core *c, uint64_t now_ns, uint64_t node,
			uint64_t cookie, const void *bytes, uint32_t size_bytes)
{
	uint32_t m = hs_coord_member_find(c, node);
	const struct hs_coord_member *member = hs_coord_member(c, m);
	uint32_t t = (uint32_t)cookie;
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);
	struct hs_crumb_entry entry;
	enum hs_crumbs_found found;

	hs_coord_now(c, now_ns);
	if (!bytes || size_bytes != sizeof(struct hs_crumb_bucket) || !m ||
	    member->up != node || !member->has_table) {
		c->stats.reads_failed++;
		return;
	}
	/*
	 * Of no use unless that node is asked, and somebody is waited for. In
	 * the place of the trace that it was read for there may be another by
	 * now, of which this bucket may even know.
	 */
	if (trace->state != HS_COORD_SEEKING ||
	    !hs_coord_visit_find(c, t, node)) {
		c->stats.reads_other++;
		return;
	}
	found = hs_crumbs_look(&member->table, bytes, trace->id.hi,
			       trace->id.lo, &entry);
	if (found != HS_CRUMBS_HERE) {
		c->stats.reads_torn += found == HS_CRUMBS_TORN;
		c->stats.reads_other += found == HS_CRUMBS_OTHER;
		return;
	}
	c->stats.reads_hit++;
	for (uint32_t i = 0; i < entry.nr; i++)
		hint(c, t, entry.nodes[i], m);
	hs_coord_run(c);
}

void hs_coord_ahead_over(struct hs_coord_core *c, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);

	if (!visit->hinted)
		return;
	visit->hinted = false;
	hs_coord_trace(c, visit->trace)->bytes -= sizeof(struct hs_wire_crumb);
}

/* Asked by now, if it has not been or nobody answered; or it counts. */
static void count(struct hs_coord_core *c, uint32_t t, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	uint32_t later;

	if (visit->state != HS_COORD_VISIT_HINTED) {
		hs_coord_changed(c, t);
		return;
	}
	later = hs_coord_visit_later(c, t, visit->id);
	if (later && hs_coord_visit(c, later)->hinted) {
		hs_coord_ahead_over(c, later);
		hs_coord_visit(c, later)->named = true;
	}
	hs_coord_visit_begin(c, t, v, later);
}

void hs_coord_ahead_confirm(struct hs_coord_core *c, uint32_t t, uint32_t v,
			    uint32_t named_by)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	uint32_t by = hs_coord_visit(c, named_by)->member;

	if (visit->state == HS_COORD_VISIT_HINTED && !visit->blame) {
		if (hs_coord_member(c, by)->nr_blamed >=
		    c->config.origin_waiting) {
			hs_coord_named_too_many(c, named_by);
			visit->named = false;
			return;
		}
		hs_coord_blame(c, v, by);
	}
	c->stats.hints_confirmed++;
	hs_coord_ahead_over(c, v);
	count(c, t, v);
}

void hs_coord_ahead_found(struct hs_coord_core *c, uint32_t t, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);

	if (visit->state != HS_COORD_VISIT_HINTED)
		return; /* it has said what it knows, and says what changes */
	hs_coord_ahead_over(c, v);
	hs_coord_unblame(c, v);
	visit->sought = true;
	hs_coord_trace(c, t)->bytes += sizeof(struct hs_wire_crumb);
	c->stats.found++;
	count(c, t, v);
}

void hs_coord_ahead_inherit(struct hs_coord_core *c, uint32_t t, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	struct hs_coord_same same;
	bool any = false;
	uint32_t e;

	if (!v || !trace->again ||
	    HS_COORD_TRACE_BYTES - trace->bytes < sizeof(struct hs_wire_crumb))
		return;
	same = hs_coord_same(c, t, visit->id);
	while ((e = hs_coord_same_next(c, t, visit->id, &same))) {
		if (e == v)
			continue;
		if (!hs_coord_visit(c, e)->hinted)
			return;
		any = true;
	}
	visit->hinted = any;
	trace->bytes += any ? (uint32_t)sizeof(struct hs_wire_crumb) : 0;
}

void hs_coord_ahead_fired(struct hs_coord_core *c, uint32_t t, uint64_t node)
{
	uint32_t v = hs_coord_visit_find(c, t, node);

	if (!v || !hs_coord_visit(c, v)->hinted)
		return;
	if (hs_coord_ahead_idle(hs_coord_visit(c, v)))
		hs_coord_changed(c, t);
	hs_coord_ahead_over(c, v);
}

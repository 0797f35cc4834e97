/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_answer.c - what the node can honestly say about a fired trace (law 4)
 *
 * One answer for all domains of the node. CLOSED means that no live handle
 * writes to it, by a scan of the slots that was made before the lanes were
 * drained; every flag is a reason why the trace is not whole.
 */
#include "agent/core_priv.h"
#include "base/planted.h"

static void add_crumbs(const struct hs_domain *d, const struct hs_ix_more *more,
		       struct hs_wire_answer *answer,
		       struct hs_wire_crumb *crumbs)
{
	for (uint32_t k = more->crumb_first; k != HS_NIL;
	     k = d->crumb_next[k]) {
		if (answer->nr_crumbs >= HS_WIRE_CRUMBS_MAX) {
			answer->flags |= HS_WIRE_F_CUT;
			return;
		}
		if (crumbs)
			crumbs[answer->nr_crumbs] = (struct hs_wire_crumb){
				.node = d->crumbs[k].node,
				.kind = d->crumbs[k].kind,
			};
		answer->nr_crumbs++;
	}
}

void hs_answer_make(struct hs_agent_core *c, uint32_t fired,
		    struct hs_wire_answer *answer, struct hs_wire_crumb *crumbs)
{
	struct hs_ledger_fired *f = &c->fired[fired];
	const struct hs_ledger_totals *gone = &f->totals[f->totals_select & 1];
	bool open = false;

	*answer = (struct hs_wire_answer){
		.trace = f->trace,
		.node = c->ledger->node_id,
		.rev = f->rev,
		/* Asked by a node that keeps another share. */
		.flags = (uint16_t)(f->flags |
				    (hs_sample_kept(c, f->trace.hi, f->trace.lo)
					     ? 0
					     : HS_WIRE_F_EVICTED)),
		.nr_buffers = (uint32_t)gone->buffers,
		.nr_bytes = gone->bytes,
	};
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t i = hs_ix_find(d, f->trace.hi, f->trace.lo);
		const struct hs_ix_trace *t;

		if (hs_loss_hits_fired(c, d, fired))
			answer->flags |= HS_WIRE_F_LOST;
		if (i == HS_NIL) {
			answer->flags |=
				hs_ix_was_here(d, f->trace.hi, f->trace.lo);
			continue;
		}
		t = &d->traces[i];
		answer->flags |= t->flags;
		if (hs_loss_hits_trace(c, d, i))
			answer->flags |= HS_WIRE_F_LOST;
		answer->nr_buffers += t->nr_buffers;
		answer->nr_bytes += hs_ix_bytes(t);
		if (!t->has_more)
			continue;
		if (d->more[i].open_scan == c->scan && !HS_PLANTED(9))
			open = true;
		add_crumbs(d, &d->more[i], answer, crumbs);
	}
	f->flags = answer->flags;
	if (HS_PLANTED(5) && answer->nr_buffers > 1) {
		answer->nr_buffers--;
		answer->nr_bytes = 0;
	}
	if (open)
		answer->state = HS_WIRE_STATE_OPEN;
	else if (hs_fired_visited(c, fired))
		answer->state = HS_WIRE_STATE_CLOSED;
	else
		answer->state = HS_WIRE_STATE_UNKNOWN;
	if (open)
		hs_answer_look_again(c);
}

/* The first one that is open starts the clock; more do not put it off. */
void hs_answer_look_again(struct hs_agent_core *c)
{
	if (c->open_fired)
		return;
	c->open_fired = true;
	c->open_scan_ns = c->scan_ns + c->config.open_ship_ns / 2;
}

/* While it is open, growth alone is not worth a message; closing says it. */
bool hs_answer_is_news(const struct hs_wire_answer *told,
		       const struct hs_wire_answer *now)
{
	if (told->state != now->state || told->flags != now->flags ||
	    told->nr_crumbs != now->nr_crumbs)
		return true;
	return now->state == HS_WIRE_STATE_CLOSED &&
	       (told->nr_buffers != now->nr_buffers ||
		told->nr_bytes != now->nr_bytes);
}

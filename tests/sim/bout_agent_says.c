/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_says.c - what an agent sends: whether it may say that, in these
 * words, and now; and whether it has said all that it must
 */
#include <string.h>

#include "tests/sim/bout_agent.h"

static uint64_t backoff(const struct bag *g, uint32_t attempt)
{
	return g->config.resend_ns << (attempt < 5 ? attempt : 5);
}

static bool jammed(struct bag *g)
{
	return g->jammed && hs_random_chance(&g->r, 0.5);
}

/* ---- answers --------------------------------------------------------------
 */

static bool same_crumbs(const struct hs_wire_crumb *a,
			const struct hs_wire_crumb *b, uint32_t nr)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < nr; k++)
			found += a[i].node == b[k].node &&
				 a[i].kind == b[k].kind && !a[i].reserved;
	/* Two domains may name one node each. */
	return found >= nr;
}

static const uint8_t *answer(struct bag *g, const uint8_t *p, uint32_t t,
			     bool update)
{
	struct hs_wire_crumb want_crumbs[BAG_DOMAINS * BAG_CRUMBS];
	const struct hs_wire_crumb *crumbs;
	struct hs_wire_answer want, is;
	struct bag_fired *f = &g->fired[t];

	memcpy(&is, p, sizeof(is));
	crumbs = (const void *)(p + sizeof(is));
	if (!f->live) {
		want = (struct hs_wire_answer){
			.trace = g->ids[t],
			.node = BAG_NODE,
			.rev = 1,
			.state = HS_WIRE_STATE_UNKNOWN,
			.flags = HS_WIRE_F_CUT,
		};
		if (memcmp(&want, &is, sizeof(is)))
			sim_fail(g->s, BAG "an answer of what is not known");
		return (const uint8_t *)crumbs;
	}
	f->rev++;
	bag_answer(g, t, &want, want_crumbs);
	f->flags = want.flags;
	f->visited |= want.state == HS_WIRE_STATE_CLOSED;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		f->visited |= g->domains[k].traces[t].there &&
			      g->domains[k].traces[t].visited;
	if (memcmp(&want, &is, sizeof(is)))
		sim_fail(g->s,
			 BAG "an answer of trace %u: rev %u state %u flags %x "
			     "buffers %u bytes %u crumbs %u, instead of %u %u "
			     "%x %u %u %u",
			 t, is.rev, is.state, is.flags, is.nr_buffers,
			 (uint32_t)is.nr_bytes, is.nr_crumbs, want.rev,
			 want.state, want.flags, want.nr_buffers,
			 (uint32_t)want.nr_bytes, want.nr_crumbs);
	else if (!same_crumbs(crumbs, want_crumbs, is.nr_crumbs))
		sim_fail(g->s, BAG "an answer with other crumbs");
	if (update || !f->told_once)
		f->told = is;
	f->told_once = true;
	f->last_ns = g->now_ns;
	return (const uint8_t *)(crumbs + is.nr_crumbs);
}

static void answers(struct bag *g, const uint8_t *p, uint32_t bytes,
		    const uint32_t *traces, uint32_t nr, bool update)
{
	const uint8_t *end = p + bytes;

	p += sizeof(struct hs_wire_group);
	for (uint32_t i = 0; i < nr && !g->s->failed; i++)
		p = answer(g, p, traces[i], update);
	if (p != end && !g->s->failed)
		sim_fail(g->s, BAG "a message has another length");
}

/* ---- to coordinators ------------------------------------------------------
 */

static void says_trigger(struct bag *g, const struct hs_wire_group *m,
			 uint32_t bytes, uint32_t attempt, uint32_t to)
{
	struct bag_group *x = NULL;

	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		if (g->groups[i].live && g->groups[i].key == m->trigger.key)
			x = &g->groups[i];
	if (!x || m->trigger.origin != BAG_NODE || m->nr != x->nr ||
	    memcmp(&m->trigger.primary, &g->ids[x->traces[0]],
		   sizeof(m->trigger.primary)) ||
	    strcmp(m->trigger.name, g->names[x->name].name)) {
		sim_fail(g->s, BAG "a TRIGGER that is not in the outbox");
		return;
	}
	if (m->flags != x->flags)
		sim_fail(g->s, BAG "a TRIGGER with other flags");
	if (x->next_ns > g->now_ns || x->scan == g->scan)
		sim_fail(g->s, BAG "a TRIGGER too early");
	if (x->attempt != attempt)
		sim_fail(g->s, BAG "a TRIGGER to shard %u instead of %u",
			 attempt, x->attempt);
	answers(g, (const void *)m, bytes, x->traces, x->nr, false);
	x->next_ns = g->now_ns + backoff(g, attempt);
	x->attempt++;
	x->to = to;
}

static void says_update(struct bag *g, const struct hs_wire_group *m,
			uint32_t bytes, uint32_t attempt, uint32_t to)
{
	struct hs_wire_crumb crumbs[BAG_DOMAINS * BAG_CRUMBS];
	const struct hs_wire_answer *a = (const void *)(m + 1);
	uint32_t t = bag_trace_of(g, &a->trace);
	struct bag_fired *f = &g->fired[t == BAG_NONE ? 0 : t];
	struct hs_wire_answer now;
	bool news;

	if (t == BAG_NONE || !f->live || !f->told_once || m->nr != 1 ||
	    m->flags) {
		sim_fail(g->s, BAG "an UPDATE of what nobody asked");
		return;
	}
	bag_answer(g, t, &now, crumbs);
	news = bag_news(&f->told, &now);
	if (!news && !(f->update_key && f->update_ns <= g->now_ns))
		sim_fail(g->s, BAG "an UPDATE without news, or too early");
	if (news || !f->update_key) {
		if (m->trigger.key <= (g->last_key | 1ull << 63) &&
		    g->last_key >> 63)
			sim_fail(g->s, BAG "a key is used twice");
		f->update_key = m->trigger.key;
		f->update_try = 0;
	}
	if (m->trigger.key != f->update_key || !(m->trigger.key >> 63) ||
	    m->trigger.origin != BAG_NODE || attempt != f->update_try ||
	    memcmp(&m->trigger.primary, &f->trigger.primary, 16) ||
	    m->trigger.priority != f->trigger.priority)
		sim_fail(g->s, BAG "an UPDATE that is not its own");
	answers(g, (const void *)m, bytes, &t, 1, true);
	f->update_ns = g->now_ns + backoff(g, f->update_try);
	f->update_try++;
	f->update_to = to;
	g->want.updates++;
}

static uint64_t op_coordinator(void *ctx,
			       const struct hs_wire_trace_id *primary,
			       uint32_t attempt, uint16_t type,
			       const void *payload, uint32_t bytes)
{
	const struct hs_wire_group *m = payload;
	struct bag *g = ctx;
	uint32_t to = jammed(g) ? 0 : 100 + (primary->lo + attempt) % 2;

	if (memcmp(primary, &m->trigger.primary, sizeof(*primary)))
		sim_fail(g->s, BAG "to the shard of another trace");
	if (type == HS_WIRE_TRIGGER)
		says_trigger(g, m, bytes, attempt, to);
	else if (type == HS_WIRE_UPDATE)
		says_update(g, m, bytes, attempt, to);
	else
		sim_fail(g->s, BAG "a message of type %u", type);
	return (uint64_t)to << 32 | (to != 0);
}

static uint64_t op_coordinator_of(void *ctx,
				  const struct hs_wire_trace_id *primary,
				  uint32_t attempt)
{
	(void)ctx;
	return (100 + (primary->lo + attempt) % 2) << 32 | 1;
}

static bool op_node(void *ctx, uint64_t node, uint16_t type,
		    const void *payload, uint32_t bytes)
{
	const struct hs_wire_group *m = payload;
	struct bag *g = ctx;
	struct bag_pending *p = &g->pending[0];

	if (type == HS_WIRE_FOUND) {
		bag_seek_found(g, node, payload, bytes);
		return !jammed(g);
	}
	if (!g->nr_pending || type != HS_WIRE_CRUMBS || node != p->from ||
	    p->scan == g->scan || m->nr != p->nr || m->flags ||
	    memcmp(&m->trigger, &p->trigger, sizeof(m->trigger))) {
		sim_fail(g->s, BAG "CRUMBS that nobody asked for");
		return false;
	}
	answers(g, payload, bytes, p->traces, p->nr, false);
	g->nr_pending--;
	memmove(&g->pending[0], &g->pending[1],
		g->nr_pending * sizeof(g->pending[0]));
	return !jammed(g);
}

/* ---- to collectors --------------------------------------------------------
 */

static uint32_t in_flight(const struct bag *g, uint64_t *bytes)
{
	uint32_t nr = 0;

	*bytes = 0;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		for (uint32_t b = 0; b < BAG_BUFFERS; b++) {
			const struct bag_buffer *x = &g->domains[k].buffers[b];

			if (!x->in_flight)
				continue;
			*bytes += x->upto - x->acked;
			nr++;
		}
	return nr;
}

/* The handle whose open buffer this is. */
static const struct bag_handle *writer(const struct bag *g, uint32_t process,
				       uint64_t word)
{
	for (uint32_t p = 0; p < BAG_PROCS; p++)
		for (uint32_t i = 0; i < BAG_SLOTS; i++) {
			const struct bag_handle *h = &g->procs[p].handles[i];

			if (g->procs[p].number == process && h->live &&
			    h->word == word)
				return h;
		}
	return NULL;
}

static void check_slice(struct bag *g, const struct hs_agent_slice *s,
			struct bag_buffer *x, uint32_t t,
			const struct bag_handle *h)
{
	uint32_t upto = h ? h->committed : x->committed;
	uint32_t from = x->acked < upto ? x->acked : upto;

	if (!g->fired[t].live || g->fired[t].flags & HS_WIRE_F_ABANDONED)
		sim_fail(g->s, BAG "a slice of what nobody wants");
	if (x->in_flight)
		sim_fail(g->s, BAG "two slices of a buffer at a time");
	if (memcmp(&s->head.trace, &g->ids[t], 16) ||
	    s->head.node != BAG_NODE || s->head.process != x->process ||
	    s->head.handle != (h ? h->handle : x->handle) ||
	    s->head.seq != (h ? h->seq : x->seq))
		sim_fail(g->s, BAG "a slice with other names");
	if (s->head.offset != from || s->head.length_bytes != upto - from ||
	    s->head.final != !h || s->head.flags != (h ? 0 : x->flags))
		sim_fail(g->s,
			 BAG "a slice [%u, +%u) final %u flags %x instead of "
			     "[%u, +%u) %u %x",
			 s->head.offset, s->head.length_bytes, s->head.final,
			 s->head.flags, from, upto - from, !h, x->flags);
	if (s->head.ship_key == x->key)
		sim_fail(g->s, BAG "two sendings under one key");
}

/*
 * The buffer whose turn it is of a trace: of those of all domains, as they were
 * finished, the first that is not under way as a whole. NULL: there is none.
 */
static const struct bag_buffer *next_of(const struct bag *g, uint32_t t)
{
	const struct bag_buffer *best = NULL;

	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		const struct bag_domain *d = &g->domains[k];
		const struct bag_trace *x = &d->traces[t];
		uint32_t i = 0;

		while (i < x->nr_buffers &&
		       d->buffers[x->buffers[i]].in_flight &&
		       d->buffers[x->buffers[i]].final_sent)
			i++;
		if (i < x->nr_buffers &&
		    (!best ||
		     d->buffers[x->buffers[i]].seen_ns < best->seen_ns))
			best = &d->buffers[x->buffers[i]];
	}
	return best;
}

/* What a tick serves; what is open goes by its slot, whoever waits. */
static void in_order(struct bag *g, uint64_t priority)
{
	const struct hs_hold *hold = &g->core->holds[g->core->serving];
	uint64_t *last = &g->last_priority[hold->domain][hold->trigger];

	if (priority > *last)
		sim_fail(g->s, BAG "a higher priority after a lower one");
	*last = priority;
}

static enum hs_agent_shipped op_ship(void *ctx, const struct hs_agent_slice *s)
{
	struct bag *g = ctx;
	uint32_t k = bag_domain_of(g, s->domain);
	uint32_t b = (uint32_t)((s->pool_offset - s->head.offset) / BAG_UNIT);
	const struct bag_handle *h = NULL;
	struct bag_domain *d = &g->domains[k == BAG_NONE ? 0 : k];
	struct bag_buffer *x = &d->buffers[b % BAG_BUFFERS];
	uint64_t bytes;
	uint32_t t;

	if (k == BAG_NONE || b >= d->config.nr_buffers ||
	    (s->pool_offset - s->head.offset) % BAG_UNIT) {
		sim_fail(g->s, BAG "a slice from nowhere");
		return HS_AGENT_SHIP_NOT;
	}
	if (x->state == HS_LEDGER_STOCKED)
		h = writer(g, x->process,
			   hs_shm_stock_word(b, 0, 0, x->generation));
	if (x->state != HS_LEDGER_HELD && !h) {
		sim_fail(g->s, BAG "a slice of a buffer that is nobody's");
		return HS_AGENT_SHIP_NOT;
	}
	t = h ? h->trace : x->trace;
	check_slice(g, s, x, t, h);
	if (!h && x != next_of(g, t))
		sim_fail(g->s, BAG "a buffer before one that was finished "
				   "earlier");
	if (h && !s->head.length_bytes)
		sim_fail(g->s, BAG "an open buffer goes, with nothing new");
	bag_may_ship(g, s);
	in_flight(g, &bytes);
	if (bytes >= g->config.window_bytes)
		sim_fail(g->s, BAG "a slice beyond the window");
	if (g->ticking)
		in_order(g, s->head.priority);
	x->key = s->head.ship_key;
	/* One that came shorter than what had gone of it begins anew. */
	x->acked = s->head.offset;
	if (bag_is_away(g, t))
		return HS_AGENT_SHIP_AWAY;
	if (jammed(g))
		return HS_AGENT_SHIP_NOT;
	g->want.slices_resent += x->sent > s->head.offset;
	x->sent = s->head.offset + s->head.length_bytes;
	x->upto = s->head.offset + s->head.length_bytes;
	x->in_flight = true;
	x->waited = false;
	x->final_sent = s->head.final;
	x->trace = t;
	x->handle = s->head.handle;
	g->want.slices_sent++;
	g->want.bytes_sent += s->head.length_bytes;
	bag_shipped(g, s);
	return HS_AGENT_SHIP_COPIED;
}

const struct hs_agent_ops bag_ops = {op_coordinator, op_node, op_ship,
				     op_coordinator_of};

/* ---- what must have been said ---------------------------------------------
 */

static void due_slices(struct bag *g)
{
	uint64_t bytes;

	/* What was given up may have made the room. */
	if (g->gave_up || !bag_may_all_send(g) ||
	    (in_flight(g, &bytes) && bytes >= g->config.window_bytes))
		return;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		for (uint32_t b = 0; b < BAG_BUFFERS; b++) {
			const struct bag_buffer *x = &g->domains[k].buffers[b];

			/* Or it waits for the rest of an earlier one. */
			if (x->state == HS_LEDGER_HELD && !x->in_flight &&
			    g->fired[x->trace].live &&
			    !next_of(g, x->trace)->in_flight &&
			    !bag_is_away(g, x->trace))
				sim_fail(g->s,
					 BAG "a buffer of a fired trace stays, "
					     "with room to send it");
		}
}

static void due_answers(struct bag *g)
{
	struct hs_wire_crumb crumbs[BAG_DOMAINS * BAG_CRUMBS];
	struct hs_wire_answer now;

	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		struct bag_fired *f = &g->fired[t];

		if (!f->live || !f->told_once)
			continue;
		bag_answer(g, t, &now, crumbs);
		/* A taint is looked for now and then. */
		if (f->taint > 3 && !(f->told.flags & HS_WIRE_F_LOST))
			sim_fail(g->s, BAG "a taint is not told");
		now.flags &= (uint16_t)~HS_WIRE_F_LOST;
		now.flags |= f->told.flags & HS_WIRE_F_LOST;
		/* So is what is not kept any more. */
		if (f->told.flags & HS_WIRE_F_EVICTED)
			f->unkept = 0;
		if (f->unkept > 3 && now.flags & HS_WIRE_F_EVICTED)
			sim_fail(g->s, BAG "it is not told that a trace is not "
					   "kept any more");
		if (f->unkept)
			now.flags &= (uint16_t)~HS_WIRE_F_EVICTED;
		/* So is the end of what was open. */
		if (f->told.state == HS_WIRE_STATE_OPEN &&
		    g->scan_ns - f->open_ns < g->config.open_ship_ns / 2)
			continue;
		/* Given up after what was said in this tick. */
		if (!(f->told.flags & HS_WIRE_F_ABANDONED) &&
		    now.flags & HS_WIRE_F_ABANDONED)
			continue;
		if (bag_news(&f->told, &now))
			sim_fail(g->s, BAG "news of a trace are not told");
		if (f->update_key && f->update_ns <= g->served_ns)
			sim_fail(g->s, BAG "an UPDATE does not go again");
	}
}

void bag_due(struct bag *g, bool served)
{
	if (g->jammed)
		return;
	due_slices(g);
	if (!served)
		return;
	due_answers(g);
	bag_seek_due(g);
	if (g->nr_pending && g->pending[0].scan != g->scan)
		sim_fail(g->s, BAG "a COLLECT is not answered");
	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		if (g->groups[i].live && g->groups[i].next_ns <= g->now_ns &&
		    g->groups[i].scan != g->scan)
			sim_fail(g->s, BAG "a TRIGGER does not go (again)");
}

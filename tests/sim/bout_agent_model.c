/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_model.c - what must come of what an agent hears: see bout_agent.h
 */
#include <string.h>

#include "tests/sim/bout_agent.h"

uint32_t bag_trace_of(const struct bag *g, const struct hs_wire_trace_id *id)
{
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (g->ids[t].hi == id->hi && g->ids[t].lo == id->lo)
			return t;
	return BAG_NONE;
}

uint32_t bag_domain_of(const struct bag *g, uint32_t id)
{
	for (uint32_t i = 0; i < BAG_DOMAINS; i++)
		if (g->domains[i].id == id)
			return i;
	return BAG_NONE;
}

/* The buffer of a stock word, whoever has it now. */
uint32_t bag_buffer_of(const struct bag_domain *d, uint64_t word)
{
	uint32_t unit = hs_shm_stock_ref(word) * 256 / BAG_UNIT;

	return unit < d->config.nr_buffers ? unit : BAG_NONE;
}

void bag_touch(struct bag *g, struct bag_trace *x)
{
	x->last_ns = g->now_ns;
	x->touched = ++g->touch;
}

/* Who took part in what fired is for successors, too. */
static void took_part(struct bag *g, const struct bag_domain *d, uint32_t t,
		      uint32_t process, bool several, uint64_t first_ns,
		      uint64_t last_ns)
{
	struct bag_fired *f = &g->fired[t];

	if (!f->in_domains) {
		f->process = process;
		f->took_first_ns = first_ns;
		f->took_last_ns = last_ns;
	}
	f->several |= several || process != f->process;
	f->in_domains |= 1u << d->id;
	if (f->took_first_ns > first_ns)
		f->took_first_ns = first_ns;
	if (f->took_last_ns < last_ns)
		f->took_last_ns = last_ns;
}

void bag_took_part(struct bag *g, const struct bag_domain *d, uint32_t t,
		   uint32_t process)
{
	took_part(g, d, t, process, false, g->now_ns, g->now_ns);
}

static void pinned(struct bag *g, const struct bag_domain *d, uint32_t t)
{
	const struct bag_trace *x = &d->traces[t];
	struct bag_fired *f = &g->fired[t];

	f->flags |= d->traces[t].flags;
	f->visited |= x->visited;
	if (x->visited)
		took_part(g, d, t, x->process, x->several,
			  x->undated ? 0 : x->first_ns, x->last_ns);
}

/* Return: NULL when the core has no place for it (it was asked first). */
struct bag_trace *bag_get(struct bag *g, struct bag_domain *d, uint32_t t)
{
	struct bag_trace *x = &d->traces[t];
	uint16_t gone = x->gone;

	if (x->there)
		return x;
	if (hs_ix_find(&g->core->domains[d->id], g->ids[t].hi, g->ids[t].lo) ==
	    HS_NIL) {
		uint32_t there = 0, evictable = 0;

		for (uint32_t k = 0; k < BAG_TRACES; k++) {
			there += d->traces[k].there;
			evictable += d->traces[k].there && !g->fired[k].live;
		}
		if (there < d->config.nr_traces || evictable)
			sim_fail(g->s, BAG "a trace finds no place, and there "
					   "is one");
		return NULL;
	}
	*x = (struct bag_trace){
		.there = true,
		.first_ns = g->now_ns,
		.last_ns = g->now_ns,
		.touched = ++g->touch,
		.flags = gone,
		.gone = gone,
		.forgotten = x->forgotten,
	};
	g->want.traces_seen++;
	return x;
}

void bag_visit(struct bag *g, struct bag_domain *d, uint32_t t,
	       uint32_t process)
{
	struct bag_trace *x = &d->traces[t];
	bool first = !x->visited;

	if (first)
		x->process = process;
	else if (x->process != process)
		x->several = true;
	x->visited = true;
	bag_touch(g, x);
	if (g->fired[t].live) {
		g->fired[t].visited = true;
		bag_took_part(g, d, t, process);
	}
	if (first)
		bag_first(g, d, t);
}

void bag_flag(struct bag *g, struct bag_domain *d, uint32_t t, uint16_t flags)
{
	struct bag_trace *x = &d->traces[t];

	x->flags |= flags;
	if (g->fired[t].live)
		g->fired[t].flags |= flags;
	if (flags && x->nr_buffers)
		d->buffers[x->buffers[x->nr_buffers - 1]].flags |= flags;
	/* Only what is in no ledger otherwise is written down as gone. */
	if (flags && !g->fired[t].live && !x->nr_buffers && !x->nr_crumbs)
		x->gone |= flags;
}

uint32_t bag_crumbs_used(const struct bag_domain *d)
{
	uint32_t used = 0;

	for (uint32_t k = 0; k < BAG_TRACES; k++)
		used += d->traces[k].there ? d->traces[k].nr_crumbs : 0;
	return used;
}

/* Of as many traces as one crumb may cost some had one to give. */
static bool crumbs_to_gain(const struct bag *g, const struct bag_domain *d,
			   uint32_t t)
{
	uint32_t older[BAG_TRACES], nr = 0;

	for (uint32_t k = 0; k < BAG_TRACES; k++) {
		uint32_t i = nr;

		if (!d->traces[k].there || g->fired[k].live || k == t)
			continue;
		while (i > 0 &&
		       d->traces[older[i - 1]].touched > d->traces[k].touched) {
			older[i] = older[i - 1];
			i--;
		}
		older[i] = k;
		nr++;
	}
	for (uint32_t i = 0; i < nr && i < HS_EVICT_FOR_CRUMB; i++)
		if (d->traces[older[i]].nr_crumbs)
			return true;
	return false;
}

void bag_crumb(struct bag *g, struct bag_domain *d, uint32_t t, uint64_t node,
	       uint32_t kind)
{
	struct bag_trace *x = &d->traces[t];

	if (!node || node == BAG_NODE)
		return;
	for (uint32_t i = 0; i < x->nr_crumbs; i++)
		if (x->crumbs[i].node == node)
			return;
	if (bag_crumbs_used(d) == d->config.nr_crumbs ||
	    x->nr_crumbs == g->config.trace_crumbs_max) {
		if (x->nr_crumbs < g->config.trace_crumbs_max &&
		    crumbs_to_gain(g, d, t))
			sim_fail(g->s, BAG "a crumb is lost, and older traces "
					   "have some");
		bag_flag(g, d, t, HS_WIRE_F_CUT);
		g->want.crumbs_lost++;
		return;
	}
	memmove(&x->crumbs[1], &x->crumbs[0],
		x->nr_crumbs * sizeof(x->crumbs[0]));
	x->crumbs[0] = (struct hs_wire_crumb){node, kind, 0};
	x->nr_crumbs++;
}

void bag_release(struct bag *g, struct bag_domain *d, uint32_t b)
{
	struct bag_buffer *x = &d->buffers[b];

	if (x->state == HS_LEDGER_HELD) {
		struct bag_trace *t = &d->traces[x->trace];
		uint32_t i = 0;

		while (t->buffers[i] != b)
			i++;
		memmove(&t->buffers[i], &t->buffers[i + 1],
			(t->nr_buffers - i - 1) * sizeof(t->buffers[0]));
		t->nr_buffers--;
	}
	*x = (struct bag_buffer){.generation = x->generation};
}

void bag_publish(struct bag *g, struct bag_domain *d, uint32_t b, uint32_t t,
		 uint32_t process, const struct bag_handle *h, uint16_t flags)
{
	struct bag_buffer *x = &d->buffers[b];
	struct bag_trace *y;

	if (!bag_kept(g, t)) {
		g->want.buffers_unkept++;
		bag_release(g, d, b);
		return;
	}
	y = bag_get(g, d, t);
	if (!y) {
		g->want.lost_index_full++;
		bag_loss(g, d, process, g->now_ns, g->now_ns);
		bag_release(g, d, b);
		return;
	}
	bag_visit(g, d, t, process);
	bag_flag(g, d, t, flags);
	if (y->nr_buffers >= g->config.trace_buffers_max) {
		bag_flag(g, d, t, HS_WIRE_F_CUT);
		bag_release(g, d, b);
		return;
	}
	if (g->fired[t].live && g->fired[t].flags & HS_WIRE_F_ABANDONED) {
		bag_release(g, d, b);
		return;
	}
	/* What went of it went for a trace that is forgotten, or under another
	 * name. */
	x->in_flight &= g->fired[t].live;
	if ((x->acked || x->in_flight) &&
	    (x->trace != t || x->handle != h->handle)) {
		x->in_flight = false;
		x->acked = x->sent = 0;
		x->flags |= HS_WIRE_F_MODIFIED;
	}
	x->state = HS_LEDGER_HELD;
	x->trace = t;
	x->handle = h->handle;
	x->seq = h->seq;
	x->committed = h->committed;
	x->seen_ns = g->now_ns;
	x->flags |= y->flags;
	if (x->acked > x->committed)
		x->flags |= HS_WIRE_F_MODIFIED;
	bag_flag(g, d, t, x->flags);
	y->buffers[y->nr_buffers++] = b;
	d->nr_indexed++;
	d->bytes_indexed += h->committed;
	bag_dry_more(g, t, h->committed);
}

/* ---- losses ---------------------------------------------------------------
 */

static bool within(const struct bag *g, const struct bag_loss *l,
		   uint64_t first_ns, uint64_t last_ns)
{
	uint64_t around = g->config.taint_ns;

	for (uint32_t k = 0; k < l->nr; k++)
		if (l->first_ns[k] <= last_ns + around &&
		    first_ns <= l->last_ns[k] + around)
			return true;
	return false;
}

/* Whether it fired, and a predecessor died that knew who took part. */
bool bag_fired_lost(const struct bag *g, const struct bag_domain *d, uint32_t t,
		    const struct bag_loss *l)
{
	const struct bag_fired *f = &g->fired[t];

	return f->live && f->adopted && f->in_domains >> d->id & 1 &&
	       (f->several || f->process == l->process) &&
	       within(g, l, f->took_first_ns, f->took_last_ns);
}

bool bag_fired_lossy(const struct bag *g, const struct bag_domain *d,
		     uint32_t t)
{
	for (uint32_t i = 0; i < BAG_PROCS; i++)
		if (bag_fired_lost(g, d, t, &d->losses[i]))
			return true;
	return false;
}

void bag_loss(struct bag *g, struct bag_domain *d, uint32_t process,
	      uint64_t first_ns, uint64_t last_ns)
{
	struct bag_loss *l = NULL;

	for (uint32_t i = 0; i < BAG_PROCS; i++)
		if (d->losses[i].nr && d->losses[i].process == process)
			l = &d->losses[i];
	for (uint32_t i = 0; !l && i < BAG_PROCS; i++)
		if (!d->losses[i].nr)
			l = &d->losses[i];
	g->want.lost_taints++;
	l->process = process;
	if (l->nr && (l->nr == BAG_LOSSES ||
		      first_ns <= l->last_ns[l->nr - 1] + SIM_MS)) {
		if (l->last_ns[l->nr - 1] < last_ns)
			l->last_ns[l->nr - 1] = last_ns;
	} else {
		l->first_ns[l->nr] = first_ns;
		l->last_ns[l->nr++] = last_ns;
	}
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (g->fired[t].live && !g->fired[t].taint &&
		    ((d->traces[t].there && bag_lossy(g, d, t)) ||
		     bag_fired_lossy(g, d, t)))
			g->fired[t].taint = 1;
}

bool bag_lost(const struct bag *g, const struct bag_domain *d, uint32_t t,
	      const struct bag_loss *l)
{
	const struct bag_trace *x = &d->traces[t];

	return (x->several || l->process == x->process) &&
	       within(g, l, x->undated ? 0 : x->first_ns, x->last_ns);
}

bool bag_lossy(const struct bag *g, const struct bag_domain *d, uint32_t t)
{
	for (uint32_t i = 0; i < BAG_PROCS; i++)
		if (bag_lost(g, d, t, &d->losses[i]))
			return true;
	return false;
}

/* ---- what fired -----------------------------------------------------------
 */

bool bag_fire(struct bag *g, uint32_t t, const struct hs_wire_trigger *why)
{
	struct bag_fired *f = &g->fired[t];
	uint32_t live = 0;

	if (f->live) {
		f->last_ns = g->now_ns;
		f->named_by |= 1ull << bag_group_bit(g, why);
		return true;
	}
	if (hs_fired_find(g->core, g->ids[t].hi, g->ids[t].lo) == HS_NIL) {
		for (uint32_t k = 0; k < BAG_TRACES; k++)
			live += g->fired[k].live;
		if (live < g->config.nr_fired)
			sim_fail(g->s, BAG "a fired trace finds no place, and "
					   "there is one");
		return false;
	}
	*f = (struct bag_fired){
		.live = true,
		.rev = g->rev_floor,
		.first_ns = g->now_ns,
		.last_ns = g->now_ns,
		.trigger = *why,
		.named_by = 1ull << bag_group_bit(g, why),
	};
	bag_goes_with_group(g, t);
	if (why->origin != BAG_NODE)
		g->counts[bag_name_of(g, why->name)].fired_remote++;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		if (g->domains[k].traces[t].there)
			pinned(g, &g->domains[k], t);
	return true;
}

void bag_answer(const struct bag *g, uint32_t t, struct hs_wire_answer *out,
		struct hs_wire_crumb *crumbs)
{
	const struct bag_fired *f = &g->fired[t];
	bool open = false, visited = f->visited;

	memset(out, 0, sizeof(*out));
	out->trace = g->ids[t];
	out->node = BAG_NODE;
	out->rev = f->rev;
	out->flags = f->flags;
	if (!bag_kept(g, t))
		out->flags |= HS_WIRE_F_EVICTED;
	out->nr_buffers = f->gone_buffers;
	out->nr_bytes = f->gone_bytes;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		const struct bag_domain *d = &g->domains[k];
		const struct bag_trace *x = &d->traces[t];

		if (bag_fired_lossy(g, d, t))
			out->flags |= HS_WIRE_F_LOST;
		if (!x->there) {
			out->flags |= x->gone;
			continue;
		}
		visited |= x->visited;
		out->flags |= x->flags;
		if (bag_lossy(g, d, t))
			out->flags |= HS_WIRE_F_LOST;
		out->nr_buffers += x->nr_buffers;
		for (uint32_t i = 0; i < x->nr_buffers; i++)
			out->nr_bytes += d->buffers[x->buffers[i]].committed;
		open |= x->open_scan && x->open_scan == g->scan;
		for (uint32_t i = 0; i < x->nr_crumbs; i++)
			crumbs[out->nr_crumbs++] = x->crumbs[i];
	}
	out->state = open      ? HS_WIRE_STATE_OPEN
		     : visited ? HS_WIRE_STATE_CLOSED
			       : HS_WIRE_STATE_UNKNOWN;
}

bool bag_news(const struct hs_wire_answer *told,
	      const struct hs_wire_answer *now)
{
	if (told->state != now->state || told->flags != now->flags ||
	    told->nr_crumbs != now->nr_crumbs)
		return true;
	return now->state == HS_WIRE_STATE_CLOSED &&
	       (told->nr_buffers != now->nr_buffers ||
		told->nr_bytes != now->nr_bytes);
}

/* ---- what the core chose to let go ----------------------------------------
 */

static void evicted(struct bag *g, struct bag_domain *d, uint32_t t)
{
	struct bag_trace *x = &d->traces[t];

	for (uint32_t k = 0; k < BAG_TRACES; k++)
		if (d->traces[k].there && !g->fired[k].live &&
		    d->traces[k].touched < x->touched &&
		    hs_ix_find(&g->core->domains[d->id], g->ids[k].hi,
			       g->ids[k].lo) != HS_NIL)
			sim_fail(g->s, BAG "a trace is evicted before one that "
					   "was seen less recently");
	while (x->nr_buffers)
		bag_release(g, d, x->buffers[0]);
	/* Lost, to those who heard that the rest was closed. */
	x->gone |= HS_WIRE_F_EVICTED | (x->forgotten ? HS_WIRE_F_LOST : 0);
	x->there = false;
	g->want.traces_evicted++;
}

static void forgotten(struct bag *g, uint32_t t)
{
	struct bag_fired *f = &g->fired[t];

	if (!g->forgets || !bag_over(g, t))
		sim_fail(g->s, BAG "forgotten too early");
	if (f->nr_groups || f->update_key)
		sim_fail(g->s, BAG "forgotten, and not all is stored");
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_trace *x = &g->domains[k].traces[t];

		if (x->there && x->nr_buffers)
			sim_fail(g->s, BAG "forgotten with buffers");
		if (f->visited)
			x->gone |= HS_WIRE_F_EVICTED;
		x->forgotten |= f->visited;
		x->there = false;
	}
	if (g->now_ns - f->last_ns < g->config.remember_ns)
		g->want.fired_forgotten_early++;
	if (g->rev_floor < f->rev)
		g->rev_floor = f->rev;
	f->live = false;
}

static void abandoned(struct bag *g, uint32_t t)
{
	if (!(g->fired[t].named_by & g->let_may) &&
	    (!g->crowded || (!g->gives_way &&
			     g->core->stats.holds_refused == g->holds_refused)))
		sim_fail(g->s, BAG "abandoned, with room enough");
	bag_let_go(g, t);
	g->fired[t].flags |= HS_WIRE_F_ABANDONED;
	g->want.traces_abandoned++;
	g->gave_up = true;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		while (d->traces[t].there && d->traces[t].nr_buffers)
			bag_release(g, d, d->traces[t].buffers[0]);
	}
}

void bag_settle(struct bag *g)
{
	struct hs_agent_core *c = g->core;

	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		uint32_t f = hs_fired_find(c, g->ids[t].hi, g->ids[t].lo);

		if (g->fired[t].live && f == HS_NIL)
			forgotten(g, t);
		else if (g->fired[t].live && hs_fired_abandoned(c, f) &&
			 !(g->fired[t].flags & HS_WIRE_F_ABANDONED))
			abandoned(g, t);
	}
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		for (uint32_t t = 0; t < BAG_TRACES; t++) {
			struct bag_domain *d = &g->domains[k];

			if (!d->traces[t].there ||
			    hs_ix_find(&c->domains[d->id], g->ids[t].hi,
				       g->ids[t].lo) != HS_NIL)
				continue;
			if (g->fired[t].live)
				sim_fail(g->s, BAG "a fired trace is evicted");
			evicted(g, d, t);
		}
}

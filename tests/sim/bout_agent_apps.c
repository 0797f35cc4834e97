/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_apps.c - the processes around an agent: they write, publish, fire,
 * lose, lie and die
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/bout_agent.h"

/* ---- entries --------------------------------------------------------------
 */

static uint32_t feed(struct bag *g, const struct bag_process *p,
		     const struct hs_shm_entry *e, uint32_t nr)
{
	uint32_t id = g->domains[p->domain].id;

	bag_look(g, nr);
	return hs_agent_core_entries(g->core, id, p->number, e, nr, g->names,
				     BAG_NR_NAMES, g->now_ns);
}

static void used(struct bag *g, uint32_t is, uint32_t should)
{
	if (is != should)
		sim_fail(g->s, BAG "%u entries are used, not %u", is, should);
}

static struct hs_shm_entry entry_of(struct bag *g, uint32_t t, uint8_t type)
{
	struct hs_wire_trace_id id = bag_id_of(g, t);

	return (struct hs_shm_entry){
		.trace_hi = id.hi, .trace_lo = id.lo, .type = type};
}

static void word_gone(struct bag_process *p, uint64_t word)
{
	for (uint32_t i = 0; i < BAG_SLOTS; i++)
		if (p->handles[i].word == word)
			p->handles[i].word = 0;
	for (uint32_t i = 0; i < p->nr_words; i++)
		if (p->words[i] == word)
			p->words[i--] = p->words[--p->nr_words];
}

/* A buffer is published, honestly or not. */
static void says_buffer(struct bag *g, struct bag_process *p, uint32_t t,
			uint64_t word, struct bag_handle h, uint8_t type,
			bool lost)
{
	struct bag_domain *d = &g->domains[p->domain];
	struct hs_shm_entry e = entry_of(g, t, type);
	uint32_t b = bag_buffer_of(d, word);

	e.u.buffer.ref = hs_shm_stock_ref(word);
	e.u.buffer.committed = h.committed;
	e.handle = h.handle;
	e.seq = (uint16_t)h.seq;
	e.aux = lost;
	used(g, feed(g, p, &e, 1), 1);
	bag_settle(g);
	if (t == BAG_NONE || b == BAG_NONE ||
	    d->buffers[b].state != HS_LEDGER_STOCKED ||
	    d->buffers[b].process != p->number || h.committed < 64 ||
	    h.committed > BAG_UNIT) {
		g->want.entries_bad++;
		return;
	}
	word_gone(p, hs_shm_stock_word(b, 0, 0, d->buffers[b].generation));
	bag_publish(g, d, b, t, p->number, &h, lost ? HS_WIRE_F_LOST : 0);
	bag_settle(g);
}

static void says_end(struct bag *g, struct bag_process *p, uint32_t t,
		     bool lost)
{
	struct bag_domain *d = &g->domains[p->domain];
	struct hs_shm_entry e = entry_of(g, t, HS_SHM_ENTRY_END);

	e.u.buffer.ref = HS_SHM_NO_BUFFER;
	e.aux = lost;
	used(g, feed(g, p, &e, 1), 1);
	bag_settle(g);
	if (!bag_kept(g, t))
		return;
	if (!bag_get(g, d, t)) {
		bag_loss(g, d, p->number, g->now_ns, g->now_ns);
		return;
	}
	bag_flag(g, d, t, lost ? HS_WIRE_F_LOST : 0);
	bag_visit(g, d, t, p->number);
	bag_settle(g);
}

/* What fired has all crumbs: that others go makes no room for one more. */
static bool crumbs_all_fired(const struct bag *g, const struct bag_domain *d)
{
	uint32_t nr = 0;

	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (d->traces[t].there && g->fired[t].live)
			nr += d->traces[t].nr_crumbs;
	return nr == d->config.nr_crumbs;
}

static void none_evicted(struct bag *g, const struct bag_domain *d)
{
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (d->traces[t].there &&
		    hs_ix_find(&g->core->domains[d->id], g->ids[t].hi,
			       g->ids[t].lo) == HS_NIL)
			sim_fail(g->s, BAG "a trace goes for a crumb that "
					   "finds no room all the same");
}

void bag_says_crumb(struct bag *g, struct bag_process *p, uint32_t t)
{
	struct bag_domain *d = &g->domains[p->domain];
	struct hs_shm_entry e = entry_of(g, t, HS_SHM_ENTRY_CRUMB);
	bool in_vain;

	e.u.arg = hs_random_chance(&g->r, 0.1)
			  ? (hs_random_chance(&g->r, 0.5) ? 0 : BAG_NODE)
			  : (uint64_t)(1 + bout_below(&g->r, 6)) << 32 | 1;
	e.aux = (uint8_t)hs_random_below(&g->r, 5);
	/* It was seen just now, whoever goes for its crumb. */
	if (bag_kept(g, t) && d->traces[t].there &&
	    bag_crumbs_used(d) == d->config.nr_crumbs)
		bag_touch(g, &d->traces[t]);
	in_vain = d->traces[t].there && crumbs_all_fired(g, d);
	used(g, feed(g, p, &e, 1), 1);
	if (in_vain)
		none_evicted(g, d);
	bag_settle(g);
	if (!bag_kept(g, t))
		return;
	if (!bag_get(g, d, t)) {
		g->want.crumbs_lost++;
		bag_loss(g, d, p->number, g->now_ns, g->now_ns);
		return;
	}
	bag_crumb(g, d, t, e.u.arg,
		  e.aux <= HS_SHM_CRUMB_REPLY ? e.aux : HS_WIRE_CRUMB_BACK);
	bag_visit(g, d, t, p->number);
	bag_settle(g);
}

void bag_says_trigger(struct bag *g, struct bag_process *p)
{
	struct hs_shm_entry e[HS_WIRE_TRACES_MAX];
	uint32_t traces[HS_WIRE_TRACES_MAX];
	uint32_t nr = bag_some_traces(g, traces, 4), have = nr, bad = 0, name,
		 n;
	enum bag_fires what;

	name = bout_below(&g->r, BAG_NR_NAMES + 1);
	if (hs_random_chance(&g->r, 0.03))
		nr = have = bag_some_traces(g, traces, HS_WIRE_TRACES_MAX);
	if (traces[0] == BAG_NONE)
		traces[0] = 0;
	for (uint32_t i = 0; i < nr; i++) {
		e[i] = entry_of(g, traces[i],
				i ? HS_SHM_ENTRY_LATERAL
				  : HS_SHM_ENTRY_TRIGGER);
		if (i && !bad && hs_random_chance(&g->r, 0.03)) {
			e[i].type = 40;
			bad = i;
		}
	}
	e[0].u.arg = name;
	e[0].aux = (uint8_t)(nr - 1);
	if (hs_random_chance(&g->r, 0.03))
		e[0].aux = HS_WIRE_TRACES_MAX + bout_below(&g->r, 2);
	else if (nr > 1 && hs_random_chance(&g->r, 0.1))
		have = 1 + bout_below(&g->r, nr - 1);
	if (e[0].aux + 1u > HS_WIRE_TRACES_MAX || name >= BAG_NR_NAMES) {
		used(g, feed(g, p, e, 1), 1);
		g->want.entries_bad++;
		return;
	}
	if (have < nr) {
		used(g, feed(g, p, e, have), 0);
		/* Nor does it when it is not the first that was said. */
		memmove(&e[1], &e[0], have * sizeof(e[0]));
		e[0] = entry_of(g, BAG_NONE, HS_SHM_ENTRY_CRUMB);
		used(g, feed(g, p, e, have + 1), 1);
		g->want.entries_bad++;
		return;
	}
	if (bad) {
		/* What follows is looked at by itself: laterals of nobody. */
		used(g, feed(g, p, e, nr), nr);
		g->want.entries_bad += 1 + nr - bad;
		return;
	}
	what = bag_foresee(g, name, traces, nr);
	n = feed(g, p, e, nr);
	used(g, n, nr);
	g->want.entries_bad += what == FIRES_BAD;
	bag_fired_as(g, what, name, traces, nr);
}

/* Whether its flag came from a node whose word is taken. */
static bool believed(const struct bag *g, const struct bag_trace *x)
{
	for (uint32_t i = 0; i < x->nr_crumbs; i++)
		if (x->crumbs[i].kind == HS_WIRE_CRUMB_BACK &&
		    g->config.nr_context_peers &&
		    x->crumbs[i].node >> 32 >= 2 &&
		    x->crumbs[i].node >> 32 <= 4)
			return true;
	return false;
}

/* Many at once, none of which makes or takes anything. */
void bag_says_many(struct bag *g, struct bag_process *p)
{
	struct bag_domain *d = &g->domains[p->domain];
	struct hs_shm_entry e[80];
	uint32_t nr = 1 + bout_below(&g->r, 80);

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t t = bout_below(&g->r, BAG_TRACES);

		e[i] = entry_of(g, t, HS_SHM_ENTRY_CONTEXT_TRIGGER);
		if (hs_random_chance(&g->r, 0.1)) {
			e[i] = entry_of(g, BAG_NONE, HS_SHM_ENTRY_CRUMB);
			g->want.entries_bad++;
		} else if (hs_random_chance(&g->r, 0.1)) {
			e[i].type = hs_random_chance(&g->r, 0.5)
					    ? HS_SHM_ENTRY_LATERAL
					    : 40;
			g->want.entries_bad++;
		} else {
			g->want.triggers_context++;
			if (d->traces[t].there && believed(g, &d->traces[t]))
				bag_touch(g, &d->traces[t]);
			else if (d->traces[t].there)
				g->want.contexts_refused++;
		}
	}
	used(g, feed(g, p, e, nr), nr);
	bag_settle(g);
}

/* ---- processes ------------------------------------------------------------
 */

void bag_stocks(struct bag *g, struct bag_process *p)
{
	struct bag_domain *d = &g->domains[p->domain];
	uint32_t evictable = 0, free = 0, b;
	uint64_t word;

	if (p->nr_words == BAG_WORDS)
		return;
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		evictable += d->traces[t].there && !g->fired[t].live &&
			     d->traces[t].nr_buffers;
	for (b = 0; b < d->config.nr_buffers; b++)
		free += d->buffers[b].state == HS_LEDGER_FREE;
	word = hs_agent_core_stock(g->core, d->id, p->number);
	/* Below the threshold nobody has to go. */
	if (free * 100 >=
	    (101 - g->config.evict_percent) * d->config.nr_buffers)
		for (uint32_t t = 0; t < BAG_TRACES; t++)
			if (d->traces[t].there &&
			    hs_ix_find(&g->core->domains[d->id], g->ids[t].hi,
				       g->ids[t].lo) == HS_NIL)
				sim_fail(g->s, BAG "evicted with room enough");
	bag_settle(g);
	if (!word) {
		if (free || evictable)
			sim_fail(g->s, BAG "no buffer, and there is one");
		return;
	}
	b = bag_buffer_of(d, word);
	if (b == BAG_NONE || d->buffers[b].state != HS_LEDGER_FREE ||
	    hs_shm_stock_generation(word) != d->buffers[b].generation + 1) {
		sim_fail(g->s, BAG "a buffer that is not free is handed out");
		return;
	}
	d->buffers[b] = (struct bag_buffer){
		.state = HS_LEDGER_STOCKED,
		.process = p->number,
		.generation = hs_shm_stock_generation(word),
	};
	p->words[p->nr_words++] = word;
}

void bag_opens(struct bag *g, struct bag_process *p)
{
	struct bag_handle *h = &p->handles[bout_below(&g->r, BAG_SLOTS)];

	if (h->live) {
		h->lost += hs_random_chance(&g->r, 0.1);
		if (!h->word && p->nr_words) {
			h->word = p->words[--p->nr_words];
			h->committed = 64;
			h->first_record = 0;
		} else if (h->word && h->committed < BAG_UNIT) {
			h->committed +=
				1 + bout_below(&g->r, BAG_UNIT - h->committed);
			h->first_record = 64;
		}
		return;
	}
	*h = (struct bag_handle){
		.live = true,
		.handle = ++p->next_handle,
		.trace = bout_below(&g->r, BAG_TRACES),
	};
}

void bag_closes(struct bag *g, struct bag_process *p)
{
	struct bag_handle *h = &p->handles[bout_below(&g->r, BAG_SLOTS)];
	struct bag_handle was = *h;
	bool ends = hs_random_chance(&g->r, 0.5);

	if (!h->live)
		return;
	if (ends)
		h->live = false;
	if (was.word)
		says_buffer(g, p, was.trace, was.word, was,
			    ends ? HS_SHM_ENTRY_END : HS_SHM_ENTRY_BUFFER,
			    was.lost != 0);
	else if (ends)
		says_end(g, p, was.trace, was.lost != 0);
	h->word = 0;
	h->seq++;
}

/* A word of its own or of anybody, a length that may not be. */
void bag_forges(struct bag *g, struct bag_process *p)
{
	struct bag_handle h = {0};
	uint64_t word = hs_random_u64(&g->r);
	uint32_t t = bout_below(&g->r, BAG_TRACES);
	bool nobody = hs_random_chance(&g->r, 0.1);
	bool lost = hs_random_chance(&g->r, 0.2);

	h.handle = bout_below(&g->r, 4);
	h.seq = bout_below(&g->r, 4);
	h.committed = 60 + bout_below(&g->r, 200);
	if (hs_random_chance(&g->r, 0.3))
		h.committed = hs_random_chance(&g->r, 0.5) ? 64 : BAG_UNIT;
	if (p->nr_words && hs_random_chance(&g->r, 0.5))
		word = p->words[0];
	else if (hs_random_chance(&g->r, 0.5))
		word = bout_below(&g->r, BAG_BUFFERS + 2);
	says_buffer(g, p, nobody ? BAG_NONE : t, word, h, HS_SHM_ENTRY_BUFFER,
		    lost);
}

/* Of an open buffer a part has gone: it ends under other names, or shorter. */
void bag_renames(struct bag *g, struct bag_process *p)
{
	struct bag_domain *d = &g->domains[p->domain];

	for (uint32_t i = 0; i < BAG_SLOTS; i++) {
		struct bag_handle h = p->handles[i];
		uint32_t t = h.trace, b;

		b = h.live && h.word ? bag_buffer_of(d, h.word) : BAG_NONE;
		if (b == BAG_NONE ||
		    !(d->buffers[b].acked || d->buffers[b].in_flight))
			continue;
		switch (hs_random_below(&g->clock, 3)) {
		case 0:
			t = (uint32_t)hs_random_below(&g->clock, BAG_TRACES);
			break;
		case 1:
			h.handle++;
			break;
		default:
			h.committed = 64;
		}
		says_buffer(g, p, t, h.word, h, HS_SHM_ENTRY_BUFFER, false);
		return;
	}
}

void bag_loses(struct bag *g, struct bag_process *p)
{
	struct bag_domain *d = &g->domains[p->domain];
	uint64_t first = g->now_ns - hs_random_below(&g->r, 500 * SIM_MS);

	/* A millisecond after what it lost before, and it is the same loss. */
	for (uint32_t i = 0; i < BAG_PROCS; i++) {
		const struct bag_loss *l = &d->losses[i];
		uint64_t near_ns = SIM_MS;

		if (!g->s->p.bout_exact || !l->nr || l->process != p->number)
			continue;
		near_ns += l->last_ns[l->nr - 1] - 1;
		near_ns += hs_random_below(&g->clock, 3);
		if (near_ns <= g->now_ns && hs_random_chance(&g->clock, 0.5))
			first = near_ns;
	}

	hs_agent_core_loss(g->core, d->id, p->number, first, g->now_ns);
	bag_loss(g, d, p->number, first, g->now_ns);
}

void bag_slot_of(const struct bag *g, const struct bag_handle *h,
		 uint32_t process, struct hs_shm_slot *slot,
		 struct hs_shm_buffer *header)
{
	*slot = (struct hs_shm_slot){
		.use = 1,
		.handle = h->handle,
		.trace_hi = g->ids[h->trace].hi,
		.trace_lo = g->ids[h->trace].lo,
		.buffer = h->word,
		.seq = h->seq,
		.lost = h->lost,
	};
	*header = (struct hs_shm_buffer){
		.magic = HS_SHM_BUF_MAGIC,
		.version = 1,
		.header_bytes = 64,
		.stock_word = h->word,
		.trace_hi = g->ids[h->trace].hi,
		.trace_lo = g->ids[h->trace].lo,
		.process = process,
		.handle = h->handle,
		.seq = h->seq,
		.committed = h->committed,
		.first_record = h->first_record,
	};
}

/* A header that does not fit its slot. Return: whether it was changed. */
bool bag_spoil(struct bag *g, struct hs_shm_buffer *header)
{
	if (!hs_random_chance(&g->r, 0.15))
		return false;
	switch (hs_random_below(&g->r, 6)) {
	case 0:
		header->magic++;
		break;
	case 1:
		header->stock_word ^= 1ull << 50;
		break;
	case 2:
		header->trace_hi++;
		break;
	case 3:
		header->trace_lo++;
		break;
	case 4:
		header->handle++;
		break;
	default:
		header->committed = BAG_UNIT + 1;
	}
	return true;
}

static void dies_open(struct bag *g, struct bag_process *p,
		      const struct bag_handle *h)
{
	struct bag_domain *d = &g->domains[p->domain];
	uint16_t flags = HS_WIRE_F_CRASHED | (h->lost ? HS_WIRE_F_LOST : 0);
	struct hs_shm_buffer header;
	struct hs_shm_slot slot;
	uint32_t b = h->word ? bag_buffer_of(d, h->word) : BAG_NONE;
	bool whole;

	bag_slot_of(g, h, p->number, &slot, &header);
	whole = !bag_spoil(g, &header) && b != BAG_NONE;
	bag_look(g, 1);
	hs_agent_core_dead_slot(g->core, d->id, p->number, &slot,
				h->word ? &header : NULL, g->now_ns);
	bag_settle(g);
	if (whole)
		bag_publish(g, d, b, h->trace, p->number, h, flags);
	if (!bag_kept(g, h->trace) || !bag_get(g, d, h->trace))
		return;
	bag_flag(g, d, h->trace, flags);
	bag_visit(g, d, h->trace, p->number);
	g->died_open = true;
	if (g->config.crash_trigger)
		bag_fired_as(g, bag_foresee(g, BAG_OPERATOR, &h->trace, 1),
			     BAG_OPERATOR, &h->trace, 1);
	bag_settle(g);
}

void bag_dies(struct bag *g, struct bag_process *p)
{
	struct bag_domain *d = &g->domains[p->domain];

	g->died_open = false;
	for (uint32_t i = 0; i < BAG_SLOTS && !g->s->failed; i++)
		if (p->handles[i].live) {
			p->handles[i].live = false;
			dies_open(g, p, &p->handles[i]);
		}
	hs_agent_core_process_dead(g->core, d->id, p->number, g->now_ns);
	for (uint32_t i = 0; i < BAG_PROCS; i++) {
		if (!d->losses[i].nr || d->losses[i].process != p->number)
			continue;
		for (uint32_t t = 0; t < BAG_TRACES; t++)
			if (d->traces[t].there &&
			    bag_lost(g, d, t, &d->losses[i]))
				bag_flag(g, d, t, HS_WIRE_F_LOST);
		for (uint32_t t = 0; t < BAG_TRACES; t++)
			if (bag_fired_lost(g, d, t, &d->losses[i]))
				g->fired[t].flags |= HS_WIRE_F_LOST;
		d->losses[i].nr = 0;
	}
	for (uint32_t b = 0; b < d->config.nr_buffers; b++)
		if (d->buffers[b].state == HS_LEDGER_STOCKED &&
		    d->buffers[b].process == p->number)
			bag_release(g, d, b);
	g->want.crashes += g->died_open;
	memset(p->handles, 0, sizeof(p->handles));
	p->nr_words = 0;
	p->number = hs_agent_core_process_new(g->core);
	if (++g->last_process == 0)
		g->last_process = 1;
	if (p->number != g->last_process)
		sim_fail(g->s, BAG "a process gets a number twice");
}

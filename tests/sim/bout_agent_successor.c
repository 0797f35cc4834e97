/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_successor.c - what a successor must make of the ledgers of an
 * agent in the ring
 */
#include <string.h>

#include "tests/sim/bout_agent.h"

static bool published_before(const struct bag_domain *d, uint32_t a, uint32_t b)
{
	const struct bag_buffer *x = &d->buffers[a], *y = &d->buffers[b];

	return x->seen_ns != y->seen_ns ? x->seen_ns < y->seen_ns : a < b;
}

static void adopt_trace(struct bag *g, struct bag_domain *d, uint32_t t)
{
	struct bag_trace *x = &d->traces[t];
	const struct hs_domain *is = &g->core->domains[d->id];
	uint32_t i = hs_ix_find(is, g->ids[t].hi, g->ids[t].lo);

	x->several = true;
	x->visited = true;
	x->first_ns = x->last_ns = g->now_ns;
	x->open_scan = 0;
	x->there = x->nr_buffers || x->nr_crumbs;
	x->undated = !x->nr_buffers && !g->fired[t].live;
	if (!x->there)
		return;
	g->want.traces_seen++;
	for (uint32_t k = 1; k < x->nr_buffers; k++)
		for (uint32_t m = k;
		     m && published_before(d, x->buffers[m], x->buffers[m - 1]);
		     m--) {
			uint32_t was = x->buffers[m];

			x->buffers[m] = x->buffers[m - 1];
			x->buffers[m - 1] = was;
		}
	if (x->nr_buffers) {
		x->first_ns = d->buffers[x->buffers[0]].seen_ns;
		x->last_ns = d->buffers[x->buffers[x->nr_buffers - 1]].seen_ns;
	}
	/* What fired has its flags beside what is left of it here. */
	if (g->fired[t].live && i != HS_NIL) {
		if (is->traces[i].flags & ~(x->flags | g->fired[t].flags))
			sim_fail(g->s, BAG "flags that nobody set");
		x->flags = is->traces[i].flags;
	}
}

/*
 * A trace of several domains is given up by a successor that finds no hold for
 * it in the second one: what it had there is not taken over.
 */
static bool given_up(const struct bag *g, uint32_t t)
{
	uint32_t f = hs_fired_find(g->core, g->ids[t].hi, g->ids[t].lo);

	return f != HS_NIL && hs_fired_abandoned(g->core, f) &&
	       !(g->fired[t].flags & HS_WIRE_F_ABANDONED);
}

/* It was written down in units of 2^31 ns, of which there are 2^15. */
static void adopt_fired(const struct bag *g, struct bag_fired *f)
{
	uint64_t unit = 1ull << 31, most = 32767 * unit;

	f->adopted = true;
	f->took_first_ns -= f->took_first_ns % unit;
	f->took_last_ns += unit - 1;
	f->took_last_ns -= f->took_last_ns % unit;
	if (f->took_last_ns - f->took_first_ns > most)
		f->took_first_ns = f->took_last_ns - most;
	if (f->took_last_ns > g->now_ns)
		f->took_last_ns = g->now_ns;
}

/*
 * Who was seen less recently, to one part in 65,536 of the time between the
 * first and the last of those who have not fired: hs_ix_seats_adopt().
 */
static void adopt_order(struct bag *g, struct bag_domain *d, uint64_t base)
{
	uint64_t least_ns = UINT64_MAX, most_ns = 0, part[BAG_TRACES];
	uint32_t shift = 0;

	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		const struct bag_trace *x = &d->traces[t];

		if (!x->there || g->fired[t].live)
			continue;
		least_ns = x->last_ns < least_ns ? x->last_ns : least_ns;
		most_ns = x->last_ns > most_ns ? x->last_ns : most_ns;
	}
	while (least_ns < most_ns && (most_ns - least_ns) >> shift >> 16)
		shift++;
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		part[t] = d->traces[t].last_ns > least_ns
				  ? (d->traces[t].last_ns - least_ns) >> shift
				  : 0;
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		d->traces[t].touched = base;
		for (uint32_t o = 0; o < BAG_TRACES; o++)
			d->traces[t].touched += part[o] < part[t];
	}
}

/* It knows what the ledger says, and nothing else. */
void bag_restart(struct bag *g)
{
	uint64_t base = g->touch + 1;

	memset(&g->want, 0, sizeof(g->want));
	memset(g->even_ns, 0, sizeof(g->even_ns));
	memset(g->name_even_ns, 0, sizeof(g->name_even_ns));
	memset(g->dry_seen, 0, sizeof(g->dry_seen));
	memset(g->counts, 0, sizeof(g->counts));
	memset(g->let_ns, 0, sizeof(g->let_ns));
	memset(g->nr_lets, 0, sizeof(g->nr_lets));
	g->bytes_even_ns = g->tick_ns = g->kept_before_ppm = 0;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		struct bag_domain *d = &g->domains[k];

		d->nr_indexed = d->bytes_indexed = 0;
		for (uint32_t t = 0; t < BAG_TRACES; t++)
			if (d->traces[t].there)
				adopt_trace(g, d, t);
		adopt_order(g, d, base);
		for (uint32_t b = 0; b < d->config.nr_buffers; b++) {
			struct bag_buffer *x = &d->buffers[b];

			x->in_flight = x->final_sent = false;
			x->key = 0; /* connections are new, too */
			g->want.adopted_buffers +=
				x->state == HS_LEDGER_HELD &&
				!(k && given_up(g, x->trace));
		}
	}
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		struct bag_fired *f = &g->fired[t];

		if (!f->live)
			continue;
		f->told_once = f->rev > 0;
		adopt_fired(g, f);
		memset(&f->told, 0, sizeof(f->told));
		f->update_key = f->update_try = f->update_to = 0;
		f->names = 0;
		f->taint = f->unkept = 0;
		f->first_ns = f->last_ns = g->now_ns;
		g->want.adopted_fired++;
		/* The first group that named it is the one that gave way. */
		if (f->flags & HS_WIRE_F_ABANDONED)
			g->let_ns[bag_group_bit(g, &f->trigger)] = g->now_ns;
	}
	for (uint32_t i = 0; i < BAG_GROUPS; i++) {
		struct bag_group *x = &g->groups[i];

		if (!x->live)
			continue;
		x->attempt = x->to = 0;
		x->scan = 1;
		x->next_ns = g->now_ns;
		g->fired[x->traces[0]].names |= 1ull << x->name;
		g->want.adopted_groups++;
	}
	g->touch = base + BAG_TRACES;
	g->nr_pending = 0;
	g->scan = 1;
	g->scanned = false;
	g->swept_ns = g->served_ns = g->scan_ns = 0;
}

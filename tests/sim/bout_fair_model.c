/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_fair_model.c - start-time fair queueing, and weighted max-min shares, as
 * the books say: see bout_fair.h
 *
 * Goyal, Vin, Cheng, "Start-time Fair Queueing" (1996): what comes begins where
 * its flow's last one ended, or now, if that is later; now is where that begins
 * which was served last; the one that begins first is next.
 */
#include <string.h>

#include "base/hash.h"
#include "tests/sim/bout_fair.h"

#define SETTLE_NS   (50 * SIM_MS)
#define TOGETHER_NS (5 * SIM_MS) /* so much sooner with another */

const uint32_t fair_domain_ids[FAIR_DOMAINS] = {0, 6, 15};
const char *const fair_names[FAIR_NAMES] = {"slow", "error", "queue", "crash"};

struct fair_trace *fair_trace_of(struct fair *g,
				 const struct hs_wire_trace_id *id)
{
	for (uint32_t t = 0; t < FAIR_TRACES; t++)
		if (g->traces[t].id.hi == id->hi &&
		    g->traces[t].id.lo == id->lo)
			return &g->traces[t];
	return NULL;
}

bool fair_group_empty(const struct fair *g, uint32_t group)
{
	for (uint32_t t = 0; t < FAIR_TRACES; t++)
		if (g->traces[t].named && g->traces[t].group == group)
			return false;
	return true;
}

static uint32_t let_bucket(const struct fair *g, const struct fair_group *x)
{
	uint64_t hash =
		hs_hash_trace(g->config.index_seed, x->primary.hi,
			      x->primary.lo, g->first_name + x->trigger + 1);

	return (uint32_t)(hash >> 8) % FAIR_LETS;
}

static bool is_let(const struct fair_let *l, const struct fair_group *x)
{
	return l->ns && l->trigger == x->trigger &&
	       l->primary.hi == x->primary.hi && l->primary.lo == x->primary.lo;
}

/* Where there is no place, the one that was given up first is forgotten; of
 * those that were at once, the one that came to its place last. */
static void let_note(struct fair *g, const struct fair_group *x)
{
	struct fair_let *bucket = g->lets[let_bucket(g, x)], *at = NULL;

	for (uint32_t i = 0; i < FAIR_LET_WAYS && !at; i++)
		if (is_let(&bucket[i], x) || !bucket[i].ns)
			at = &bucket[i];
	for (uint32_t i = 0; i < FAIR_LET_WAYS && bucket[i].ns; i++)
		if (!at || (!is_let(at, x) && at->ns && bucket[i].ns <= at->ns))
			at = &bucket[i];
	*at = (struct fair_let){x->trigger, x->primary, g->now_ns};
}

bool fair_let_known(const struct fair *g, uint32_t group)
{
	const struct fair_group *x = &g->groups[group];
	const struct fair_let *bucket = g->lets[let_bucket(g, x)];

	for (uint32_t i = 0; i < FAIR_LET_WAYS; i++)
		if (is_let(&bucket[i], x))
			return g->now_ns - bucket[i].ns < g->config.remember_ns;
	return false;
}

void fair_group_new(struct fair *g, uint32_t group)
{
	struct fair_group *x = &g->groups[group];

	memset(x, 0, sizeof(*x));
	x->trigger = bout_below(&g->r, FAIR_NAMES);
	x->primary.hi = 8 + bout_below(&g->r, 2);
	x->primary.lo = ++g->last_id;
	/* In some bouts all of them have one bucket where it is written down
	 * that they were given up. */
	while (g->s->p.seed % 4 == 1 && let_bucket(g, x) != 7)
		x->primary.lo = g->last_id += 2;
	/* Now and then two alike: their primary traces decide. */
	x->priority = hs_random_chance(&g->r, 0.2) ? 77 : hs_random_u64(&g->r);
}

static uint64_t weight_of_domain(const struct fair *g, uint32_t domain)
{
	uint32_t weight = g->domains[domain].config.weight;

	return weight ? weight : 1;
}

static uint64_t weight_of(const struct fair *g, uint32_t trigger)
{
	uint32_t weight = g->config.policies[g->first_name + trigger].weight;

	return weight ? weight : 1;
}

static uint32_t trigger_of(const struct fair *g, const struct fair_trace *x)
{
	return g->groups[x->group].trigger;
}

/* ---- whose turn it is -----------------------------------------------------
 */

/* Traces that wait for somebody who is there; FAIR_NAMES: of any trigger. */
static uint32_t nr_ready(const struct fair *g, uint32_t domain,
			 uint32_t trigger)
{
	uint32_t nr = 0;

	for (uint32_t t = 0; t < FAIR_TRACES; t++) {
		const struct fair_trace *x = &g->traces[t];

		nr += x->queued && !x->away && x->domain == domain &&
		      (trigger == FAIR_NAMES || trigger_of(g, x) == trigger);
	}
	return nr;
}

static bool waits(const struct fair_trace *x)
{
	for (uint32_t i = 0; i < x->nr; i++)
		if (!x->buffers[i].in_flight)
			return true;
	return false;
}

void fair_enqueue(struct fair *g, struct fair_trace *x)
{
	struct fair_domain *d = &g->domains[x->domain];
	uint64_t *own = &d->queues[trigger_of(g, x)];

	if (x->queued || x->given_up || !waits(x))
		return;
	/* Who was idle begins now. */
	if (!nr_ready(g, x->domain, FAIR_NAMES) && d->virtual_ < g->served)
		d->virtual_ = g->served;
	if (!nr_ready(g, x->domain, trigger_of(g, x)) && *own < d->served)
		*own = d->served;
	x->queued = true;
	x->away = false;
}

void fair_aside(struct fair *g, struct fair_trace *x)
{
	(void)g;
	x->away = true;
}

static void anew(struct fair *g, struct fair_trace *x)
{
	x->queued = x->away = false;
	fair_enqueue(g, x);
}

/* In the order of their places: who comes first may be who was idle. */
void fair_back(struct fair *g)
{
	for (uint32_t i = 0; i < 2 * g->config.nr_fired; i++)
		for (uint32_t t = 0; t < FAIR_TRACES; t++) {
			struct fair_trace *x = &g->traces[t];

			if (x->named && !x->given_up && x->slot == i &&
			    x->queued && x->away)
				anew(g, x);
		}
}

static void again(struct fair *g, struct fair_trace *x, uint32_t i)
{
	x->buffers[i].in_flight = false;
	g->in_flight_bytes -= x->buffers[i].bytes;
	fair_enqueue(g, x);
}

/* A buffer that is under way goes again if it was at the last look, or @all. */
static void look(struct fair *g, struct fair_trace *x, uint32_t domain,
		 uint32_t buffer, bool all)
{
	for (uint32_t i = 0; i < x->nr; i++) {
		struct fair_buffer *b = &x->buffers[i];

		if (x->domain != domain || b->buffer != buffer || !b->in_flight)
			continue;
		if (b->waited || all)
			again(g, x, i);
		else
			b->waited = true;
	}
}

void fair_again(struct fair *g, bool all)
{
	for (uint32_t k = 0; k < FAIR_DOMAINS; k++)
		for (uint32_t b = 0; b < g->domains[k].config.nr_buffers; b++)
			for (uint32_t t = 0; t < FAIR_TRACES; t++)
				look(g, &g->traces[t], k, b, all);
	if (all)
		fair_back(g);
}

/* By what is the same on every node. */
static bool higher(const struct fair *g, const struct fair_trace *x,
		   const struct fair_trace *y)
{
	const struct fair_group *a = &g->groups[x->group];
	const struct fair_group *b = &g->groups[y->group];

	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->primary.hi != b->primary.hi)
		return a->primary.hi > b->primary.hi;
	if (a->primary.lo != b->primary.lo)
		return a->primary.lo > b->primary.lo;
	if (x->id.hi != y->id.hi)
		return x->id.hi > y->id.hi;
	return x->id.lo > y->id.lo;
}

/* Of those that are alike in all this the first is next. */
const struct fair_trace *fair_next(const struct fair *g)
{
	const struct fair_trace *best = NULL;

	for (uint32_t t = 0; t < FAIR_TRACES; t++) {
		const struct fair_trace *x = &g->traces[t];
		const struct fair_domain *d = &g->domains[x->domain], *e;
		uint32_t i = trigger_of(g, x), k;

		if (!x->queued || x->away)
			continue;
		e = best ? &g->domains[best->domain] : d;
		k = best ? trigger_of(g, best) : i;
		if (best && d != e
			    ? d->virtual_ < e->virtual_ ||
				      (d->virtual_ == e->virtual_ && d < e)
		    : best && i != k
			    ? d->queues[i] < d->queues[k] ||
				      (d->queues[i] == d->queues[k] && i < k)
			    : !best || higher(g, x, best))
			best = x;
	}
	return best;
}

void fair_turn(struct fair *g, const struct fair_trace *x)
{
	const struct fair_trace *next = fair_next(g);

	if (!next || next->domain != x->domain)
		sim_fail(g->s, FAIR "it is another domain's turn");
	else if (trigger_of(g, next) != trigger_of(g, x))
		sim_fail(g->s, FAIR "it is another trigger's turn");
	else if (next != x)
		sim_fail(g->s, FAIR "it is another trace's turn");
}

void fair_sent(struct fair *g, struct fair_trace *x, uint32_t bytes)
{
	struct fair_domain *d = &g->domains[x->domain];
	uint32_t i = trigger_of(g, x);
	/* In parts of a byte, so that weights count; nothing costs something.
	 */
	uint64_t cost = (uint64_t)bytes * 256 + 1;

	if (g->served < d->virtual_)
		g->served = d->virtual_;
	if (d->served < d->queues[i])
		d->served = d->queues[i];
	d->virtual_ += cost / weight_of_domain(g, x->domain);
	d->queues[i] += cost / weight_of(g, i);
	if (waits(x))
		return;
	x->queued = false;
	g->serving = NULL;
}

/* ---- who gives way --------------------------------------------------------
 */

static struct fair_trace *holder(struct fair *g, uint32_t slot)
{
	for (uint32_t t = 0; t < FAIR_TRACES; t++)
		if (g->traces[t].named && !g->traces[t].given_up &&
		    g->traces[t].slot == slot)
			return &g->traces[t];
	return NULL;
}

void fair_young(struct fair *g, const struct fair_trace *x)
{
	if (g->in_young[x->slot])
		return;
	g->young[g->nr_young++] = (struct hs_young){x->slot, x->since_ns};
	g->in_young[x->slot] = true;
}

/* When it is time for the first, those that follow soon go along. */
static void settle(struct fair *g)
{
	if (g->nr_young && g->now_ns - g->young[0].since_ns < SETTLE_NS)
		return;
	for (uint32_t n = g->nr_young; n; n--) {
		struct hs_young first = g->young[0];
		struct fair_trace *x = holder(g, first.hold);

		if (g->now_ns - first.since_ns < SETTLE_NS - TOGETHER_NS)
			return;
		memmove(&g->young[0], &g->young[1],
			--g->nr_young * sizeof(g->young[0]));
		g->in_young[first.hold] = false;
		/* Its place is another's: that one's time counts. */
		if (x && x->since_ns != first.since_ns)
			fair_young(g, x);
		if (!x || g->in_young[first.hold])
			continue;
		x->young = false;
		if (x->queued)
			anew(g, x);
	}
}

uint32_t fair_pinned(const struct fair *g, uint32_t domain, uint32_t trigger,
		     bool all)
{
	uint32_t nr = 0;

	for (uint32_t t = 0; t < FAIR_TRACES; t++) {
		const struct fair_trace *x = &g->traces[t];

		if (x->named && !x->given_up && x->domain == domain &&
		    (all || !x->young) &&
		    (trigger == FAIR_NAMES || trigger_of(g, x) == trigger))
			nr += x->nr;
	}
	return nr;
}

void fair_give_up(struct fair *g, struct fair_trace *x)
{
	for (uint32_t i = 0; i < x->nr; i++)
		if (x->buffers[i].in_flight)
			g->in_flight_bytes -= x->buffers[i].bytes;
	x->given_up = true;
	x->queued = x->away = x->young = false;
	x->nr = 0;
}

static void group_goes(struct fair *g, uint32_t group)
{
	let_note(g, &g->groups[group]);
	g->nr_lets[g->groups[group].trigger]++;
	for (uint32_t t = 0; t < FAIR_TRACES; t++)
		if (g->traces[t].named && !g->traces[t].given_up &&
		    g->traces[t].group == group)
			fair_give_up(g, &g->traces[t]);
}

/* Whose share of @room is exceeded most, for its weight; FAIR_NAMES: nobody's.
 * What is left is shared by those who want more, until all do. */
static uint32_t most_above(const struct fair *g, uint32_t domain, uint32_t room,
			   bool all)
{
	double has[FAIR_NAMES], left = room, weights = 0, most = 0;
	bool content[FAIR_NAMES] = {false}, changed = true;
	uint32_t best = FAIR_NAMES;

	for (uint32_t i = 0; i < FAIR_NAMES; i++) {
		uint32_t nr = fair_pinned(g, domain, i, all);

		has[i] = (double)nr / (double)weight_of(g, i);
		content[i] = nr == 0;
		weights += nr ? (double)weight_of(g, i) : 0;
	}
	while (changed) {
		changed = false;
		for (uint32_t i = 0; i < FAIR_NAMES; i++) {
			double weight = (double)weight_of(g, i);

			if (content[i] || has[i] * weights > left + 1e-6)
				continue;
			content[i] = changed = true;
			left -= has[i] * weight;
			weights -= weight;
		}
	}
	for (uint32_t i = 0; i < FAIR_NAMES; i++) {
		bool queued = false;

		for (uint32_t t = 0; t < FAIR_TRACES; t++)
			queued |= g->traces[t].queued &&
				  g->traces[t].domain == domain &&
				  trigger_of(g, &g->traces[t]) == i;
		if (content[i] || !queued || has[i] <= most + 1e-6)
			continue;
		most = has[i];
		best = i;
	}
	return best;
}

/* Of what waits, the group that is worth least; FAIR_GROUPS: there is none. */
static uint32_t lowest(const struct fair *g, uint32_t domain, uint32_t trigger,
		       bool all)
{
	const struct fair_trace *least = NULL;

	for (uint32_t t = 0; t < FAIR_TRACES; t++) {
		const struct fair_trace *x = &g->traces[t];

		if (x->queued && x->domain == domain && (all || !x->young) &&
		    trigger_of(g, x) == trigger &&
		    (!least || higher(g, least, x)))
			least = x;
	}
	return least ? least->group : FAIR_GROUPS;
}

static void domain_gives_way(struct fair *g, uint32_t k)
{
	uint32_t room = g->domains[k].config.nr_buffers;

	while (true) {
		bool all = fair_pinned(g, k, FAIR_NAMES, true) > room / 8 * 5;
		uint32_t i, group;

		if (!all && fair_pinned(g, k, FAIR_NAMES, false) <= room / 2)
			return;
		i = most_above(g, k, room / 2, all);
		if (i == FAIR_NAMES)
			return;
		group = lowest(g, k, i, all);
		if (group == FAIR_GROUPS)
			return;
		group_goes(g, group);
	}
}

/* The longest queue for its weight, of all domains: its lowest group goes. */
static bool table_gives_way(struct fair *g)
{
	uint32_t group = FAIR_GROUPS;
	double most = 0;

	for (uint32_t k = 0; k < FAIR_DOMAINS; k++)
		for (uint32_t i = 0; i < FAIR_NAMES; i++) {
			double nr = 0;

			for (uint32_t t = 0; t < FAIR_TRACES; t++)
				nr += g->traces[t].queued &&
				      g->traces[t].domain == k &&
				      trigger_of(g, &g->traces[t]) == i;
			nr /= (double)weight_of(g, i);
			if (nr <= most + 1e-6)
				continue;
			most = nr;
			group = lowest(g, k, i, true);
		}
	if (group == FAIR_GROUPS)
		return false;
	group_goes(g, group);
	return true;
}

static uint32_t nr_held(const struct fair *g)
{
	uint32_t nr = 0;

	for (uint32_t t = 0; t < FAIR_TRACES; t++)
		nr += g->traces[t].named && !g->traces[t].given_up;
	return nr;
}

void fair_overload(struct fair *g)
{
	uint32_t most = g->config.nr_fired - g->config.nr_fired / 8;

	settle(g);
	for (uint32_t k = 0; k < FAIR_DOMAINS; k++)
		domain_gives_way(g, k);
	while (nr_held(g) > most && table_gives_way(g))
		;
}

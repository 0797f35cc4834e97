/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_queue.c - whose turn it is to be reported, and who gives way
 *
 * A queue for each trigger in each domain. Start-time fair queueing (Goyal,
 * Vin, Cheng 1996) by bytes, between domains and then between a domain's
 * triggers: each has a virtual time that grows with what it sent over its
 * weight, the lowest is next, and who comes back from idling begins at the
 * present. Within a queue the highest priority goes first.
 *
 * Fired traces pin at most half of a domain. Over that the queue furthest
 * above its weighted max-min share gives up its lowest group, which nodes
 * decide alike, as the priority is a keyed hash of the group's primary trace.
 * The measure is buffers for one of weight: by it the furthest above its share
 * is also the largest, so a trigger within its share loses nothing to another.
 *
 * Rates are token buckets kept as the time at which the bucket is even.
 */
#include "agent/core_priv.h"
#include "base/planted.h"

#include <string.h>

#define BYTES_BURST_NS	  50000000ull
#define TRIGGERS_BURST_NS 1000000000ull
#define ABANDON_PER_TICK  256u
#define SETTLE_NS	  50000000ull
#define TOGETHER_NS	  5000000ull /* so much sooner with another */
#define LEVEL_SHIFT	  8u
#define FETCH_AT_ONCE	  16u

/* ---- rates ----------------------------------------------------------------
 */

bool hs_rate_may(const struct hs_rate *r, uint64_t now_ns)
{
	return !r->per_s || r->even_ns <= now_ns;
}

void hs_rate_use(struct hs_rate *r, uint64_t n, uint64_t burst_ns,
		 uint64_t now_ns)
{
	if (!r->per_s)
		return;
	if (r->even_ns + burst_ns < now_ns)
		r->even_ns = now_ns - burst_ns;
	r->even_ns += n * 1000000000ull / r->per_s;
}

/* ---- triggers ---------------------------------------------------------------
 */

uint32_t hs_trigger_get(struct hs_agent_core *c, const char *name)
{
	struct hs_trigger *t;
	uint32_t i;

	for (i = 0; i < c->nr_triggers; i++)
		if (!strncmp(c->triggers[i].name, name, HS_WIRE_NAME_BYTES))
			return i;
	/* The last one serves all names that found no place. */
	if (c->nr_triggers == HS_AGENT_TRIGGERS_MAX)
		return HS_AGENT_TRIGGERS_MAX - 1;
	i = c->nr_triggers++;
	t = &c->triggers[i];
	*t = (struct hs_trigger){0};
	memcpy(t->name, name, strnlen(name, HS_WIRE_NAME_BYTES - 1));
	hs_policy_apply(c, i);
	return i;
}

/* Counted when it is over its rate. */
bool hs_trigger_within_rate(struct hs_trigger *t, uint64_t now_ns)
{
	uint64_t step_ns;

	if (!t->fires.per_s)
		return true;
	step_ns = 1000000000ull / t->fires.per_s;
	if (t->fires.even_ns + TRIGGERS_BURST_NS >= now_ns &&
	    t->fires.even_ns + step_ns > now_ns) {
		t->limited++;
		return false;
	}
	hs_rate_use(&t->fires, 1, TRIGGERS_BURST_NS, now_ns);
	return true;
}

/* ---- whose turn it is -------------------------------------------------------
 */

static uint32_t *order_of(struct hs_queue *q, const struct hs_hold *h)
{
	return &q->root[(h->young ? HS_ORDER_YOUNG : 0) |
			(h->away ? HS_ORDER_AWAY : 0)];
}

/* Somebody is there for one more of @q: it takes its turns again. */
static void get_ready(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t trigger)
{
	struct hs_queue *q = &d->queues[trigger];

	/* No credit for having been idle. */
	if (!d->queues_ready && d->virtual_ < c->virtual_served)
		d->virtual_ = c->virtual_served;
	if (q->nr == q->nr_away && q->virtual_ < d->virtual_served)
		q->virtual_ = d->virtual_served;
	d->queues_ready |= 1ull << trigger;
}

void hs_queue_enter(struct hs_agent_core *c, uint32_t hold)
{
	struct hs_hold *h = &c->holds[hold];
	struct hs_domain *d = &c->domains[h->domain];
	struct hs_queue *q = &d->queues[h->trigger];

	if (h->queued)
		return;
	if (!h->away)
		get_ready(c, d, h->trigger);
	hs_order_insert(c, order_of(q, h), hold);
	h->queued = true;
	q->nr++;
	q->nr_away += h->away;
	c->nr_queued++;
	c->nr_away += h->away;
	d->queues_active |= 1ull << h->trigger;
}

void hs_queue_leave(struct hs_agent_core *c, uint32_t hold)
{
	struct hs_hold *h = &c->holds[hold];
	struct hs_domain *d;
	struct hs_queue *q;

	if (!h->queued)
		return;
	d = &c->domains[h->domain];
	q = &d->queues[h->trigger];
	hs_order_remove(c, order_of(q, h), hold);
	h->queued = false;
	c->nr_queued--;
	c->nr_away -= h->away;
	q->nr_away -= h->away;
	h->away = false;
	if (--q->nr == 0)
		d->queues_active &= ~(1ull << h->trigger);
	if (q->nr == q->nr_away)
		d->queues_ready &= ~(1ull << h->trigger);
}

/*
 * Its collector is not there: it loses its turn until routes change, and can be
 * given up as before.
 */
void hs_queue_aside(struct hs_agent_core *c, uint32_t hold)
{
	hs_queue_leave(c, hold);
	c->holds[hold].away = true;
	hs_queue_enter(c, hold);
}

/* All that were set aside take their turns again. */
void hs_queue_back(struct hs_agent_core *c)
{
	for (uint32_t i = 0; i < c->nr_holds && c->nr_away; i++) {
		if (!c->holds[i].away)
			continue;
		hs_queue_leave(c, i);
		hs_queue_enter(c, i);
	}
}

bool hs_queue_may(const struct hs_agent_core *c, uint32_t trigger,
		  uint64_t now_ns)
{
	return hs_rate_may(&c->bytes, now_ns) &&
	       hs_rate_may(&c->triggers[trigger].bytes, now_ns);
}

static struct hs_queue *next_of(const struct hs_agent_core *c,
				struct hs_domain *d, uint64_t now_ns)
{
	struct hs_queue *best = NULL;

	for (uint64_t m = d->queues_ready; m; m &= m - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(m);
		struct hs_queue *q = &d->queues[i];

		if (hs_rate_may(&c->triggers[i].bytes, now_ns) &&
		    (!best || q->virtual_ < best->virtual_))
			best = q;
	}
	return best;
}

/* The hold whose trace is reported next; HS_NIL: none, or none may now. */
uint32_t hs_queue_next(struct hs_agent_core *c, uint64_t now_ns)
{
	const struct hs_domain *best = NULL;
	const struct hs_queue *first = NULL;
	uint32_t settled, young;

	if (c->nr_queued == c->nr_away || !hs_rate_may(&c->bytes, now_ns))
		return HS_NIL;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		const struct hs_queue *q;

		if (best && d->virtual_ >= best->virtual_)
			continue;
		q = next_of(c, d, now_ns);
		if (!q)
			continue;
		best = d;
		first = q;
	}
	if (!first)
		return HS_NIL;
	settled = hs_order_first(c, first->root[0]);
	young = hs_order_first(c, first->root[HS_ORDER_YOUNG]);
	if (settled == HS_NIL || young == HS_NIL)
		return settled == HS_NIL ? young : settled;
	return hs_order_before(c, young, settled) ? young : settled;
}

/* So much of @trigger was sent from @d. */
void hs_queue_sent(struct hs_agent_core *c, struct hs_domain *d,
		   uint32_t trigger, uint32_t bytes, uint64_t now_ns)
{
	struct hs_trigger *t = &c->triggers[trigger];
	struct hs_queue *q = &d->queues[trigger];
	uint64_t cost = ((uint64_t)bytes << LEVEL_SHIFT) + 1;

	if (c->virtual_served < d->virtual_)
		c->virtual_served = d->virtual_;
	if (d->virtual_served < q->virtual_)
		d->virtual_served = q->virtual_;
	d->virtual_ += cost / d->weight;
	q->virtual_ += cost / t->weight;
	t->bytes_sent += bytes;
	hs_rate_use(&c->bytes, bytes, BYTES_BURST_NS, now_ns);
	hs_rate_use(&t->bytes, bytes, BYTES_BURST_NS, now_ns);
}

/* ---- who gives way ----------------------------------------------------------
 */

/* What counts of a queue: what has settled, or @now all of it. */
static uint64_t counted(const struct hs_queue *q, bool now)
{
	return (uint64_t)(now ? q->nr_pinned : q->nr_pinned - q->nr_young)
	       << LEVEL_SHIFT;
}

/*
 * The weighted max-min share of @room, for one of weight: who wants less gets
 * what it wants, the others share what is left by weight. At most as many
 * passes as there are queues, since each but the last satisfies one.
 */
static uint64_t share(const struct hs_agent_core *c, const struct hs_domain *d,
		      uint64_t room, bool now)
{
	uint64_t left = room << LEVEL_SHIFT, weights = 0, done = 0, level;
	bool changed = true;

	for (uint32_t i = 0; i < c->nr_triggers; i++)
		if (counted(&d->queues[i], now))
			weights += c->triggers[i].weight;
	level = weights ? left / weights : left;
	while (changed && weights) {
		changed = false;
		for (uint32_t i = 0; i < c->nr_triggers; i++) {
			uint64_t has = counted(&d->queues[i], now);

			if (!has || done >> i & 1 ||
			    has > level * c->triggers[i].weight)
				continue;
			done |= 1ull << i;
			left -= has;
			weights -= c->triggers[i].weight;
			changed = true;
		}
		if (weights)
			level = left / weights;
	}
	return level;
}

/* HS_NIL: all that is above its share is on its way already. */
static uint32_t furthest_above(const struct hs_agent_core *c,
			       const struct hs_domain *d, bool now)
{
	uint64_t most = share(c, d, d->nr_buffers / 2, now);
	uint32_t best = HS_NIL;

	for (uint64_t m = d->queues_active; m; m &= m - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(m);
		uint64_t has =
			counted(&d->queues[i], now) / c->triggers[i].weight;

		if (has <= most)
			continue;
		most = has;
		best = i;
	}
	return best;
}

/* Of all domains, the queue with most traces for its weight. */
static struct hs_queue *longest(struct hs_agent_core *c)
{
	struct hs_queue *best = NULL;
	uint64_t most = 0;

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];

		for (uint64_t m = d->queues_active; m; m &= m - 1) {
			uint32_t i = (uint32_t)__builtin_ctzll(m);
			uint64_t has =
				((uint64_t)d->queues[i].nr << LEVEL_SHIFT) /
				c->triggers[i].weight;

			if (has <= most)
				continue;
			most = has;
			best = &d->queues[i];
		}
	}
	return best;
}

static uint32_t last_of(const struct hs_agent_core *c, const struct hs_queue *q,
			uint32_t young)
{
	uint32_t here = hs_order_last(c, q->root[young]);
	uint32_t away = hs_order_last(c, q->root[young | HS_ORDER_AWAY]);

	if (here == HS_NIL || away == HS_NIL)
		return here == HS_NIL ? away : here;
	return hs_order_before(c, here, away) ? away : here;
}

/*
 * What was named just now neither counts nor is given up yet: another trigger's
 * word of the same trace may be on its way. Until it has settled, or @now that
 * five eighths are pinned, it stands in an order of its own.
 */
static uint32_t lowest(const struct hs_agent_core *c, const struct hs_queue *q,
		       bool now)
{
	uint32_t settled = last_of(c, q, 0), young;

	if (HS_PLANTED(31) && c->ledger->node_id >> 32 & 1 &&
	    q->root[0] != HS_NIL)
		settled = hs_order_first(c, q->root[0]);
	if (!now)
		return settled;
	young = last_of(c, q, HS_ORDER_YOUNG);
	if (settled == HS_NIL || young == HS_NIL)
		return settled == HS_NIL ? young : settled;
	return hs_order_before(c, settled, young) ? young : settled;
}

/* Bounded: a hold stands there once, whatever becomes of it meanwhile. */
static void young_push(struct hs_agent_core *c, uint32_t hold)
{
	c->young[(c->young_first + c->nr_young++) % c->nr_holds] =
		(struct hs_young){hold, c->holds[hold].since_ns};
	c->holds[hold].in_young = true;
}

void hs_queue_named(struct hs_agent_core *c, uint32_t hold)
{
	c->holds[hold].young = true;
	if (!c->holds[hold].in_young)
		young_push(c, hold);
}

/* Of those that settle next as many as are fetched at once. */
static uint32_t settling(const struct hs_agent_core *c, uint64_t now_ns,
			 uint32_t holds[FETCH_AT_ONCE])
{
	uint32_t nr = 0;

	while (nr < c->nr_young && nr < FETCH_AT_ONCE) {
		const struct hs_young *y =
			&c->young[(c->young_first + nr) % c->nr_holds];

		if (now_ns - y->since_ns < SETTLE_NS - TOGETHER_NS)
			break;
		__builtin_prefetch(&c->holds[y->hold], 1);
		holds[nr++] = y->hold;
	}
	return nr;
}

/* What their turn reads: their traces, and their places among those that had
 * settled before. */
static void fetch_places(const struct hs_agent_core *c, uint64_t now_ns)
{
	uint32_t holds[FETCH_AT_ONCE], at[FETCH_AT_ONCE], nr = 0;
	uint32_t nr_settling = settling(c, now_ns, holds);

	for (uint32_t n = 0; n < nr_settling; n++) {
		const struct hs_hold *h = &c->holds[holds[n]];

		hs_hold_grown_prefetch(c, holds[n]);
		if (!h->queued || h->away)
			continue;
		holds[nr] = holds[n];
		at[nr++] = c->domains[h->domain].queues[h->trigger].root[0];
	}
	if (nr > 1)
		hs_order_fetch(c, holds, at, nr);
}

/*
 * When it is time for one, those that follow soon go along: one after the
 * other each would wait for its lines alone.
 */
static void grow_up(struct hs_agent_core *c, uint64_t now_ns)
{
	uint32_t fetched = 0;

	if (c->nr_young &&
	    now_ns - c->young[c->young_first].since_ns < SETTLE_NS)
		return;
	for (uint32_t n = c->nr_young; n; n--) {
		struct hs_young y = c->young[c->young_first];
		struct hs_hold *h = &c->holds[y.hold];
		bool queued;

		if (now_ns - y.since_ns < SETTLE_NS - TOGETHER_NS)
			return;
		if (fetched++ % FETCH_AT_ONCE == 0)
			fetch_places(c, now_ns);
		queued = h->queued;
		c->young_first = (c->young_first + 1) % c->nr_holds;
		c->nr_young--;
		h->in_young = false;
		if (h->in_use && h->since_ns != y.since_ns)
			young_push(c, y.hold);
		if (!h->in_use || h->in_young)
			continue;
		if (queued)
			hs_queue_leave(c, y.hold);
		hs_hold_grown(c, y.hold);
		if (queued)
			hs_queue_enter(c, y.hold);
	}
}

void hs_queue_overload(struct hs_agent_core *c, uint64_t now_ns)
{
	uint32_t n = ABANDON_PER_TICK, nr_fired = c->config.nr_fired;
	struct hs_queue *q;

	grow_up(c, now_ns);
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];

		while (n) {
			bool now = d->nr_pinned > d->nr_buffers / 8 * 5;
			uint32_t i, hold;

			if (!now &&
			    d->nr_pinned - d->nr_young <= d->nr_buffers / 2)
				break;
			i = furthest_above(c, d, now);
			hold = i == HS_NIL ? HS_NIL
					   : lowest(c, &d->queues[i], now);
			if (hold == HS_NIL)
				break;
			hs_hold_abandon_group(c, hold);
			n--;
		}
	}
	/* Or the table of fired traces is what there is too little of. */
	while (c->nr_fired - c->nr_abandoned > nr_fired - nr_fired / 8 && n--) {
		q = longest(c);
		if (!q)
			break;
		hs_hold_abandon_group(c, lowest(c, q, true));
	}
}

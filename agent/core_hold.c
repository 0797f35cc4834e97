/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_hold.c - which triggers hold which traces, and when they let go
 *
 * A trace that was named by several triggers, or in several lateral groups, has
 * a hold from each, in every domain that knows it; it is given up only when all
 * of them have let go. Holds of one trigger and one primary trace are a lateral
 * group: found together by a hash, let go together. The buffers of a trace
 * count for the first of its holds in their domain, so that what queues have
 * adds up to what is pinned.
 *
 * The holds are a fixed pool, twice as large as the table of fired traces; each
 * of those can always have one, more where there is room, all counted.
 */
#include "agent/core_priv.h"

#include "base/check.h"
#include "base/planted.h"

#define HOLDS_OF_ONE 16u /* that a trace has at most */

static uint32_t *hash_head(struct hs_agent_core *c, uint32_t trigger,
			   const struct hs_wire_trace_id *primary)
{
	return &c->hold_hash[hs_hash_trace(c->config.index_seed, primary->hi,
					   primary->lo, trigger + 1) &
			     (c->nr_fired_hash - 1)];
}

void hs_hold_prefetch(const struct hs_agent_core *c, uint32_t trigger,
		      const struct hs_wire_trace_id *primary)
{
	uint32_t i = c->hold_free != HS_NIL ? c->hold_free : c->holds_used;

	__builtin_prefetch(
		hash_head((struct hs_agent_core *)c, trigger, primary), 1);
	__builtin_prefetch(&c->holds[i], 1);
}

void hs_hold_init(struct hs_agent_core *c)
{
	for (uint32_t i = 0; i < c->nr_fired_hash; i++)
		c->hold_hash[i] = HS_NIL;
	c->hold_free = HS_NIL;
	c->nr_holds_free = c->nr_holds;
}

/* There is one: nr_holds_free. */
static uint32_t place_take(struct hs_agent_core *c)
{
	uint32_t i = c->hold_free;

	if (i != HS_NIL)
		c->hold_free = c->holds[i].next;
	else
		i = c->holds_used++;
	c->nr_holds_free--;
	return i;
}

static bool same_group(const struct hs_hold *h, uint32_t trigger,
		       const struct hs_wire_trace_id *primary)
{
	return h->trigger == trigger && h->primary.hi == primary->hi &&
	       h->primary.lo == primary->lo;
}

static uint32_t find(const struct hs_agent_core *c, uint32_t fired,
		     uint32_t trigger, const struct hs_wire_trace_id *primary,
		     uint32_t domain)
{
	uint32_t i = c->fired_rt[fired].hold_first;

	while (i != HS_NIL &&
	       !(same_group(&c->holds[i], trigger, primary) &&
		 (domain == HS_NIL || c->holds[i].domain == domain)))
		i = c->holds[i].next;
	return i;
}

/* Return: HS_NIL: no room, counted. */
static uint32_t add(struct hs_agent_core *c, uint32_t fired, uint32_t trigger,
		    uint64_t priority, const struct hs_wire_trace_id *primary,
		    uint64_t since_ns)
{
	struct hs_fired_rt *rt = &c->fired_rt[fired];
	uint32_t i, *head = hash_head(c, trigger, primary);

	/* One is put by for each trace that may still fire, also in the place
	 * of one that was given up, which has none. */
	if (rt->hold_first != HS_NIL &&
	    (rt->nr_holds >= HOLDS_OF_ONE ||
	     c->nr_holds_free <=
		     c->config.nr_fired - c->nr_fired + c->nr_abandoned)) {
		c->stats.holds_refused++;
		return HS_NIL;
	}
	i = place_take(c);
	c->holds[i] = (struct hs_hold){
		.in_use = true,
		.in_young = c->holds[i].in_young,
		.fired = fired,
		.next = rt->hold_first,
		.hash_next = *head,
		.domain = HS_HOLD_NOWHERE,
		.trigger = (uint8_t)trigger,
		.trace = HS_NIL,
		.priority = priority,
		.since_ns = since_ns,
		.primary = *primary,
	};
	rt->hold_first = i;
	rt->nr_holds++;
	*head = i;
	hs_queue_named(c, i);
	return i;
}

static void charge(struct hs_agent_core *c, struct hs_domain *d, uint32_t hold,
		   uint32_t nr_units)
{
	struct hs_queue *q;

	if (hold == HS_NIL)
		return;
	q = &d->queues[c->holds[hold].trigger];
	q->nr_pinned += nr_units;
	if (!c->holds[hold].young)
		return;
	q->nr_young += nr_units;
	d->nr_young += nr_units;
}

/* The trace's buffers count for @hold from now on. */
static void charge_to(struct hs_agent_core *c, struct hs_domain *d,
		      uint32_t trace, uint32_t hold)
{
	struct hs_ix_more *more = hs_ix_more(d, trace);

	charge(c, d, more->hold, 0u - more->nr_units);
	more->hold = hold;
	if (hold != HS_NIL)
		c->holds[hold].trace = trace;
	charge(c, d, hold, more->nr_units);
}

void hs_hold_pinned(struct hs_agent_core *c, struct hs_domain *d,
		    uint32_t trace, int change)
{
	d->nr_pinned += (uint32_t)change;
	d->more[trace].nr_units += (uint32_t)change;
	charge(c, d, d->more[trace].hold, (uint32_t)change);
}

/* It has settled: so have the buffers that count for it. */
void hs_hold_grown(struct hs_agent_core *c, uint32_t hold)
{
	struct hs_hold *h = &c->holds[hold];
	uint32_t trace = h->trace;
	struct hs_domain *d;

	if (trace != HS_NIL) {
		d = &c->domains[h->domain];
		/* Else that place is another trace's by now. */
		if (d->traces[trace].fired == h->fired &&
		    d->traces[trace].has_more && d->more[trace].hold == hold) {
			charge_to(c, d, trace, HS_NIL);
			h->young = false;
			charge_to(c, d, trace, hold);
		}
	}
	h->young = false;
}

void hs_hold_grown_prefetch(const struct hs_agent_core *c, uint32_t hold)
{
	const struct hs_hold *h = &c->holds[hold];
	const struct hs_domain *d;

	if (!h->in_use || h->trace == HS_NIL)
		return;
	d = &c->domains[h->domain];
	__builtin_prefetch(&d->traces[h->trace]);
	__builtin_prefetch(&d->more[h->trace], 1);
}

static void drop(struct hs_agent_core *c, uint32_t hold)
{
	struct hs_hold *h = &c->holds[hold];
	struct hs_fired_rt *rt = &c->fired_rt[h->fired];
	const struct hs_wire_trace_id *id = &c->fired[h->fired].trace;
	struct hs_domain *d =
		h->domain == HS_HOLD_NOWHERE ? NULL : &c->domains[h->domain];
	uint32_t *link = hash_head(c, h->trigger, &h->primary), trace, next;

	hs_queue_leave(c, hold);
	while (*link != hold)
		link = &c->holds[*link].hash_next;
	*link = h->hash_next;
	for (link = &rt->hold_first; *link != hold;)
		link = &c->holds[*link].next;
	*link = h->next;
	rt->nr_holds--;
	trace = d ? hs_ix_find(d, id->hi, id->lo) : HS_NIL;
	if (trace != HS_NIL && hs_ix_more(d, trace)->hold == hold) {
		next = rt->hold_first;
		while (next != HS_NIL && c->holds[next].domain != h->domain)
			next = c->holds[next].next;
		charge_to(c, d, trace, next);
	}
	h->in_use = false;
	h->next = c->hold_free;
	c->hold_free = hold;
	c->nr_holds_free++;
}

void hs_hold_drop_all(struct hs_agent_core *c, uint32_t fired)
{
	while (c->fired_rt[fired].hold_first != HS_NIL)
		drop(c, c->fired_rt[fired].hold_first);
}

/* Nobody holds it any more: what is here of it goes. */
static void abandon(struct hs_agent_core *c, uint32_t fired)
{
	struct hs_ledger_fired *f = &c->fired[fired];

	hs_hold_drop_all(c, fired);
	f->flags |= HS_WIRE_F_ABANDONED;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t i = hs_ix_find(d, f->trace.hi, f->trace.lo);

		while (i != HS_NIL && d->traces[i].buf_first != HS_NIL)
			hs_buffer_free(c, d, d->traces[i].buf_first);
	}
	hs_fired_dirty(c, fired);
	c->nr_abandoned++;
	c->stats.traces_abandoned++;
}

/*
 * The hold that let go was the only one in @domain, for want of room when the
 * trace became known there; another one of its trace takes the place that is
 * free now. Those of the same group are about to go.
 */
static void hold_instead(struct hs_agent_core *c, uint32_t domain,
			 uint32_t fired, uint32_t trigger,
			 const struct hs_wire_trace_id *primary)
{
	struct hs_domain *d =
		domain == HS_HOLD_NOWHERE ? NULL : &c->domains[domain];
	const struct hs_wire_trace_id *id = &c->fired[fired].trace;
	uint32_t trace = d ? hs_ix_find(d, id->hi, id->lo) : HS_NIL;
	uint32_t other = c->fired_rt[fired].hold_first, i;

	if (trace == HS_NIL || hs_ix_more(d, trace)->hold != HS_NIL)
		return;
	while (other != HS_NIL &&
	       same_group(&c->holds[other], trigger, primary))
		other = c->holds[other].next;
	if (other == HS_NIL)
		return;
	i = add(c, fired, c->holds[other].trigger, c->holds[other].priority,
		&c->holds[other].primary, c->holds[other].since_ns);
	hs_check(i != HS_NIL, "one has just been given back");
	c->holds[i].domain = (uint8_t)domain;
	charge_to(c, d, trace, i);
	hs_report_enqueue(c, d, trace);
}

/* Every hold that belongs together with @hold lets go. */
void hs_hold_abandon_group(struct hs_agent_core *c, uint32_t hold)
{
	struct hs_wire_trace_id primary = c->holds[hold].primary;
	uint32_t trigger = c->holds[hold].trigger;
	uint32_t i = *hash_head(c, trigger, &primary), next;

	c->triggers[trigger].groups_abandoned++;
	hs_let_note(c, trigger, &primary, c->now_ns);
	for (; i != HS_NIL; i = next) {
		uint32_t fired = c->holds[i].fired;
		uint32_t domain = c->holds[i].domain;

		next = c->holds[i].hash_next;
		if (!same_group(&c->holds[i], trigger, &primary))
			continue;
		drop(c, i);
		if (c->fired_rt[fired].hold_first != HS_NIL) {
			hold_instead(c, domain, fired, trigger, &primary);
			continue;
		}
		abandon(c, fired);
		c->triggers[trigger].traces_abandoned++;
		if (HS_PLANTED(32))
			return;
	}
}

/* Each of its triggers that finds room holds it in @d. */
static void place(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace)
{
	struct hs_ix_more *more = hs_ix_more(d, trace);
	uint32_t fired = d->traces[trace].fired, i, next;

	for (i = c->fired_rt[fired].hold_first; i != HS_NIL; i = next) {
		struct hs_hold *h = &c->holds[i];
		uint32_t here = i;

		next = h->next;
		if (h->domain == HS_HOLD_NOWHERE)
			h->domain = (uint8_t)d->id;
		else if (h->domain != d->id)
			here = find(c, fired, h->trigger, &h->primary, d->id);
		if (here == HS_NIL) {
			here = add(c, fired, h->trigger, h->priority,
				   &h->primary, h->since_ns);
			if (here == HS_NIL)
				continue;
			c->holds[here].domain = (uint8_t)d->id;
		}
		if (more->hold == HS_NIL)
			charge_to(c, d, trace, here);
	}
}

/*
 * A trace that has fired is known in @d. What nobody can hold there cannot wait
 * to be sent: where holds have run out its groups let go, the one that was
 * named last first, until one of those that are left finds room, or none is
 * left.
 */
void hs_hold_place(struct hs_agent_core *c, struct hs_domain *d, uint32_t trace)
{
	const struct hs_ix_more *more = hs_ix_more(d, trace);
	uint32_t fired = d->traces[trace].fired;

	place(c, d, trace);
	while (more->hold == HS_NIL && !hs_fired_abandoned(c, fired)) {
		hs_hold_abandon_group(c, c->fired_rt[fired].hold_first);
		place(c, d, trace);
	}
}

void hs_hold_name(struct hs_agent_core *c, uint32_t fired,
		  const struct hs_wire_trigger *trigger, uint64_t now_ns)
{
	const struct hs_wire_trace_id *id = &c->fired[fired].trace;
	uint32_t name = hs_trigger_get(c, trigger->name);

	if (hs_fired_abandoned(c, fired) ||
	    find(c, fired, name, &trigger->primary, HS_NIL) != HS_NIL)
		return;
	/* The rest of its group was given up: so is this, unless others hold
	 * it. */
	if (hs_let_known(c, name, &trigger->primary, now_ns)) {
		if (c->fired_rt[fired].hold_first != HS_NIL)
			return;
		abandon(c, fired);
		c->triggers[name].traces_abandoned++;
		return;
	}
	if (add(c, fired, name, trigger->priority, &trigger->primary, now_ns) ==
	    HS_NIL)
		return;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t trace = hs_ix_find(d, id->hi, id->lo);

		if (trace == HS_NIL || d->traces[trace].fired != fired)
			continue;
		hs_hold_place(c, d, trace);
		hs_report_enqueue(c, d, trace);
	}
}

static bool check_one(const struct hs_agent_core *c, uint32_t i)
{
	const struct hs_hold *h = &c->holds[i];
	uint32_t at =
		*hash_head((struct hs_agent_core *)c, h->trigger, &h->primary);

	if (!c->fired[h->fired].live)
		return false;
	while (at != HS_NIL && at != i)
		at = c->holds[at].hash_next;
	if (at != i)
		return false;
	for (at = c->fired_rt[h->fired].hold_first; at != HS_NIL && at != i;)
		at = c->holds[at].next;
	return at == i;
}

static bool check_queue(const struct hs_agent_core *c,
			const struct hs_domain *d, uint32_t trigger)
{
	const struct hs_queue *q = &d->queues[trigger];
	uint32_t nr[2] = {0};

	for (uint32_t k = 0; k < HS_ORDERS; k++)
		nr[!!(k & HS_ORDER_AWAY)] += hs_order_check(c, q->root[k]);
	return nr[0] + nr[1] == q->nr && nr[1] == q->nr_away &&
	       (q->nr > 0) == (d->queues_active >> trigger & 1) &&
	       (nr[0] > 0) == (d->queues_ready >> trigger & 1);
}

/* Every hold stands where its links say, and queues have what is pinned. */
bool hs_hold_check(const struct hs_agent_core *c, const char **why)
{
	uint32_t nr = 0, nr_queued = 0, nr_ordered = 0, nr_away = 0;

	*why = "a hold is not where its trace and its group look for it";
	for (uint32_t i = 0; i < c->nr_holds; i++) {
		if (!c->holds[i].in_use)
			continue;
		if (!check_one(c, i))
			return false;
		nr++;
		nr_queued += c->holds[i].queued;
	}
	*why = "holds do not add up";
	if (nr + c->nr_holds_free != c->nr_holds)
		return false;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		const struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t pinned = 0, young = 0;

		for (uint32_t i = 0; i < HS_AGENT_TRIGGERS_MAX; i++) {
			const struct hs_queue *q = &d->queues[i];

			*why = "a queue is out of order";
			if (!check_queue(c, d, i))
				return false;
			nr_ordered += q->nr;
			nr_away += q->nr_away;
			pinned += q->nr_pinned;
			young += q->nr_young;
		}
		*why = "what queues hold does not add up to what is pinned";
		if (pinned != d->nr_pinned || young != d->nr_young)
			return false;
	}
	*why = "queued holds do not add up";
	return nr_ordered == nr_queued && nr_queued == c->nr_queued &&
	       nr_away == c->nr_away;
}

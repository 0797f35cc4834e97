/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_fired.c - traces that a trigger named, and what they owe to whom
 *
 * A fired trace is pinned in every domain of the node that knows it, or will
 * come to know it: late data goes after what was sent before. It is forgotten
 * some minutes after the last thing that happened to it.
 *
 * Acknowledged means written to the ledger: a local trigger is a group there
 * before its caller is told, and leaves it only when a coordinator says that
 * the manifests of all its traces are stored.
 */
#include "agent/core_priv.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "rdma/wire.h"
#include "base/planted.h"

#define KEY_UPDATE	(1ull << 63)
#define FORGET_AT_ONCE	256u
#define FORGET_PAUSE_NS 1000000ull
#define OUTBOX_SHARE	8u
#define PATIENCE_MIN_NS 1000000000ull
#define TAINT_PAUSE_NS	10000000ull /* between walks over all that fired */
/*
 * The sweep that forgets passes most places by, and three lines of each of them
 * are cold. So of each there is a word in a row of its own: in units of 17 ms
 * since when at the latest nothing has happened to its trace, or one of these.
 */
#define SEEN_SHIFT  24u
#define SEEN_NOBODY 0u /* the place is free */
#define SEEN_LOOK   1u /* whatever its age: it may have to speak again */
#define SEEN_FIRST  2u

static uint32_t *hash_head(struct hs_agent_core *c, uint64_t hi, uint64_t lo)
{
	return &c->fired_hash[hs_hash_trace(c->config.index_seed, hi, lo, 0) &
			      (c->nr_fired_hash - 1)];
}

/* The table is large and mostly empty: what was never used is not touched. */
void hs_fired_init(struct hs_agent_core *c)
{
	for (uint32_t i = 0; i < c->nr_fired_hash; i++)
		c->fired_hash[i] = HS_NIL;
	c->fired_free = HS_NIL;
	c->dirty_first = c->dirty_last = HS_NIL;
}

/* Return: HS_NIL: there is none. */
static uint32_t place_take(struct hs_agent_core *c)
{
	uint32_t i = c->fired_free;

	if (i != HS_NIL)
		c->fired_free = c->fired_rt[i].hash_next;
	else if (c->fired_used < c->config.nr_fired)
		i = c->fired_used++;
	return i;
}

uint32_t hs_fired_look(const struct hs_agent_core *c, uint64_t hi, uint64_t lo)
{
	uint32_t i = *hash_head((struct hs_agent_core *)c, hi, lo);

	while (i != HS_NIL &&
	       (c->fired[i].trace.hi != hi || c->fired[i].trace.lo != lo))
		i = c->fired_rt[i].hash_next;
	return i;
}

/* Every new trace looks whether it has fired: ask for the line ahead. */
void hs_fired_prefetch(const struct hs_agent_core *c, uint64_t hi, uint64_t lo)
{
	if (c->nr_fired)
		__builtin_prefetch(
			hash_head((struct hs_agent_core *)c, hi, lo));
}

/* Unique over the life of the ledger; says where to look when it returns. */
uint64_t hs_fired_key(struct hs_agent_core *c, bool update, uint32_t slot)
{
	uint64_t seq = c->ledger->next_key + 1;

	hs_ledger_set64(&c->ledger->next_key, seq);
	return (update ? KEY_UPDATE : 0) | (uint64_t)(slot & 0x7fffffu) << 40 |
	       (seq & 0xffffffffffull);
}

void hs_fired_dirty(struct hs_agent_core *c, uint32_t fired)
{
	struct hs_fired_rt *rt = &c->fired_rt[fired];

	if (rt->dirty)
		return;
	rt->dirty = true;
	rt->dirty_next = HS_NIL;
	if (c->dirty_last != HS_NIL)
		c->fired_rt[c->dirty_last].dirty_next = fired;
	else
		c->dirty_first = fired;
	c->dirty_last = fired;
	c->nr_dirty++;
}

/*
 * Nothing of them is warm: what was recorded minutes ago is looked for, and
 * where it is entered nothing was for as long. Asked for side by side, the
 * lines are waited for once.
 */
void hs_fired_fetch(struct hs_agent_core *c,
		    const struct hs_wire_trace_id *traces, uint32_t nr,
		    const struct hs_wire_trigger *trigger)
{
	uint32_t place =
		c->fired_free != HS_NIL ? c->fired_free : c->fired_used;

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t hi = traces[i].hi, lo = traces[i].lo;

		__builtin_prefetch(hash_head(c, hi, lo), 1);
		for (uint32_t k = 0; k < c->nr_domains; k++) {
			struct hs_domain *d = &c->domains[c->domain_order[k]];

			__builtin_prefetch(&d->buckets[hs_ix_hash(d, hi, lo) &
						       d->bucket_mask]);
		}
	}
	hs_hold_prefetch(c, hs_trigger_get(c, trigger->name),
			 &trigger->primary);
	if (place == c->config.nr_fired)
		return;
	for (size_t at = 0; at < sizeof(*c->fired); at += 64)
		__builtin_prefetch((uint8_t *)&c->fired[place] + at, 1);
	for (size_t at = 0; at < sizeof(*c->fired_rt); at += 64)
		__builtin_prefetch((uint8_t *)&c->fired_rt[place] + at, 1);
}

/* Pin what the node knows of it already. */
static void pin_everywhere(struct hs_agent_core *c, uint32_t fired)
{
	struct hs_ledger_fired *f = &c->fired[fired];

	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t i = hs_ix_find(d, f->trace.hi, f->trace.lo);

		if (i == HS_NIL)
			continue;
		hs_ix_pin(c, d, i, fired);
		f->flags |= d->traces[i].flags;
		hs_report_enqueue(c, d, i);
	}
}

/* Differences of these are right whenever the clock comes by the words that
 * mean something else. */
static uint32_t seen_at(uint64_t ns)
{
	uint32_t seen = (uint32_t)(ns >> SEEN_SHIFT);

	return seen < SEEN_FIRST ? SEEN_FIRST : seen;
}

void hs_fired_owes(struct hs_agent_core *c, uint32_t fired)
{
	c->fired_seen[fired] = SEEN_LOOK;
}

/* Take a slot of the table in: the ledger's record is written already. */
static void enter(struct hs_agent_core *c, uint32_t i, uint64_t now_ns)
{
	struct hs_ledger_fired *f = &c->fired[i];
	uint32_t *head = hash_head(c, f->trace.hi, f->trace.lo);

	c->fired_rt[i] = (struct hs_fired_rt){
		.hash_next = *head,
		.dirty_next = HS_NIL,
		.hold_first = HS_NIL,
		.first_ns = now_ns,
		.last_ns = now_ns,
	};
	*head = i;
	c->fired_seen[i] = seen_at(now_ns);
	c->nr_fired++;
	c->nr_abandoned += hs_fired_abandoned(c, i);
	hs_hold_name(c, i, &f->trigger, now_ns);
}

uint32_t hs_fired_get(struct hs_agent_core *c,
		      const struct hs_wire_trace_id *id,
		      const struct hs_wire_trigger *trigger, uint64_t now_ns)
{
	uint32_t i = hs_fired_find(c, id->hi, id->lo);
	struct hs_ledger_fired *f;

	if (i != HS_NIL) {
		c->fired_rt[i].last_ns = now_ns;
		hs_hold_name(c, i, trigger, now_ns);
		return i;
	}
	i = place_take(c);
	if (i == HS_NIL)
		return HS_NIL;
	f = &c->fired[i];
	if (HS_PLANTED(109))
		f->live = 1;
	f->rev = c->ledger->rev_floor; /* higher than in a former life */
	f->trace = *id;
	f->trigger = *trigger;
	f->flags = 0;
	f->who = 0;
	f->when = 0;
	f->totals_select = 0;
	memset(f->totals, 0, sizeof(f->totals));
	hs_ledger_set32(&f->live, 1);
	enter(c, i, now_ns);
	if (trigger->origin != c->ledger->node_id)
		c->triggers[hs_trigger_get(c, trigger->name)].fired_remote++;
	pin_everywhere(c, i);
	return i;
}

static uint64_t priority_of(const struct hs_agent_core *c,
			    const struct hs_wire_trace_id *primary)
{
	return hs_hash_siphash(c->config.cluster_key, primary,
			       sizeof(*primary)) ^
	       (HS_PLANTED(3) ? c->ledger->node_id : 0);
}

/*
 * One trigger may have eight times as many groups in the outbox as there is
 * room left for others (dynamic thresholds: Choudhury, Hahne 1998), so that it
 * never fills it, alone or with another.
 */
static bool room_for(const struct hs_agent_core *c, uint32_t trigger,
		     uint32_t nr)
{
	uint32_t left = c->config.nr_groups - c->nr_groups_live;

	return left && c->triggers[trigger].nr_groups <= OUTBOX_SHARE * left &&
	       c->config.nr_fired - c->nr_fired >= nr;
}

/* A local trigger. It is acknowledged once its group is live. */
int hs_fired_group(struct hs_agent_core *c, const char *name, bool elsewhere,
		   const struct hs_wire_trace_id *traces, uint32_t nr,
		   uint64_t now_ns)
{
	struct hs_ledger_group *g;
	uint32_t queue, known, slot;

	if (!hs_wire_name_ok(name) || nr == 0 || nr > HS_WIRE_TRACES_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < nr; i++)
		if (!(traces[i].hi | traces[i].lo))
			return -EINVAL;
	if (!hs_sample_kept(c, traces[0].hi, traces[0].lo))
		return -ENOENT;
	queue = hs_trigger_get(c, name);
	known = hs_fired_find(c, traces[0].hi, traces[0].lo);
	if (nr == 1 && known != HS_NIL &&
	    (c->fired_rt[known].names >> queue & 1))
		return 0; /* said before; whatever is new goes by itself */
	if (!hs_trigger_within_rate(&c->triggers[queue], now_ns)) {
		c->stats.triggers_limited++;
		return -EBUSY;
	}
	if (c->triggers[queue].dry_run) {
		hs_policy_dry(c, queue, traces, nr);
		return HS_AGENT_FIRE_DRY;
	}
	if (!room_for(c, queue, nr)) {
		c->triggers[queue].refused++;
		c->stats.triggers_refused++;
		return -ENOSPC;
	}
	slot = c->group_at;
	while (c->groups[slot].live)
		slot = (slot + 1) % c->config.nr_groups;
	c->group_at = (slot + 1) % c->config.nr_groups;
	g = &c->groups[slot];
	g->nr = nr;
	g->trigger = (struct hs_wire_trigger){
		.origin = c->ledger->node_id,
		.key = hs_fired_key(c, false, slot),
		.fired_ns = now_ns + (uint64_t)c->wall_offset_ns,
		.priority = priority_of(c, &traces[0]),
		.primary = traces[0],
	};
	memcpy(g->trigger.name, name, strnlen(name, HS_WIRE_NAME_BYTES - 1));
	memcpy(g->traces, traces, nr * sizeof(*traces));
	hs_ledger_set32(&g->live, 1 | (elsewhere ? HS_WIRE_GROUP_ELSEWHERE : 0)
						  << HS_LEDGER_GROUP_FLAGS);
	hs_outbox_add(c, slot, now_ns);
	known = hs_fired_find(c, traces[0].hi, traces[0].lo);
	if (known != HS_NIL)
		c->fired_rt[known].names |= 1ull << queue;
	c->triggers[queue].fired_local++;
	c->stats.triggers_local++;
	return 0;
}

int hs_agent_core_fire(struct hs_agent_core *core, const char *name,
		       const struct hs_wire_trace_id *traces, uint32_t nr,
		       uint64_t now_ns)
{
	return hs_fired_group(core, name, false, traces, nr, now_ns);
}

int hs_agent_core_fire_elsewhere(struct hs_agent_core *core, const char *name,
				 const struct hs_wire_trace_id *traces,
				 uint32_t nr, uint64_t now_ns)
{
	return hs_fired_group(core, name, true, traces, nr, now_ns);
}

void hs_fired_collect(struct hs_agent_core *c, uint64_t from_node,
		      const struct hs_wire_group *group,
		      const struct hs_wire_trace_id *traces, uint64_t now_ns)
{
	struct hs_pending *p;

	c->stats.collects++;
	if (c->pending_head - c->pending_tail == c->config.nr_pending) {
		c->stats.collects_refused++;
		return;
	}
	p = &c->pending[c->pending_head & (c->config.nr_pending - 1)];
	p->from = from_node;
	p->scan = c->scan;
	p->trigger = group->trigger;
	p->nr = 0;
	hs_fired_fetch(c, traces, group->nr, &group->trigger);
	/* Pinned now, answered after the next scan: pinned first. */
	for (uint32_t i = 0; i < group->nr; i++) {
		if (!(traces[i].hi | traces[i].lo))
			continue;
		if (hs_fired_get(c, &traces[i], &group->trigger, now_ns) ==
		    HS_NIL) {
			c->stats.collects_refused++;
			continue;
		}
		p->traces[p->nr++] = traces[i];
	}
	if (p->nr)
		c->pending_head++;
}

/* In 1/1024 of a quarter of @all: how much is left above @used. */
static uint64_t left_of(uint64_t used, uint64_t all)
{
	uint64_t left = used < all ? (all - used) * 4096 / all : 0;

	return left < 1024 ? left : 1024;
}

/*
 * How long fired traces are remembered: less and less when more than three
 * quarters are taken of their table, or of the half of a domain's index and
 * crumbs that is theirs, so that what is over makes room for what comes.
 */
static uint64_t patience_ns(const struct hs_agent_core *c)
{
	uint64_t left = left_of(c->nr_fired, c->config.nr_fired), ns;

	if (c->config.remember_ns <= PATIENCE_MIN_NS)
		return c->config.remember_ns;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		const struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint64_t traces = left_of(d->nr_traces_fired, d->nr_traces / 2),
			 crumbs = left_of(d->nr_crumbs_fired, d->nr_crumbs / 2);

		left = traces < left ? traces : left;
		left = crumbs < left ? crumbs : left;
	}
	ns = c->config.remember_ns / 1024 * left;
	return ns > PATIENCE_MIN_NS ? ns : PATIENCE_MIN_NS;
}

static bool may_forget(struct hs_agent_core *c, uint32_t i, uint64_t patience,
		       uint64_t now_ns)
{
	const struct hs_fired_rt *rt = &c->fired_rt[i];
	const struct hs_wire_trace_id *id = &c->fired[i].trace;
	uint64_t remember_ns = rt->told.state == HS_WIRE_STATE_OPEN
				       ? c->config.remember_ns
				       : patience;

	/* An open one is looked at, and so not old. */
	if (rt->nr_groups || rt->update_key || rt->dirty || rt->waits.row ||
	    (rt->adopted && i < c->nr_again) ||
	    now_ns - rt->last_ns < remember_ns)
		return false;
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t t = hs_ix_find(d, id->hi, id->lo);

		if (t != HS_NIL &&
		    (d->traces[t].nr_buffers ||
		     now_ns - d->traces[t].last_ns < remember_ns))
			return false;
	}
	return true;
}

/*
 * What comes after that is not the whole, and must not look older than what
 * was said before.
 */
static void forget(struct hs_agent_core *c, uint32_t i)
{
	const struct hs_wire_trace_id *id = &c->fired[i].trace;
	uint32_t *link = hash_head(c, id->hi, id->lo);

	if (c->ledger->rev_floor < c->fired[i].rev)
		hs_ledger_set32(&c->ledger->rev_floor, c->fired[i].rev);

	hs_hold_drop_all(c, i);
	c->nr_abandoned -= hs_fired_abandoned(c, i);
	for (uint32_t k = 0; k < c->nr_domains; k++) {
		struct hs_domain *d = &c->domains[c->domain_order[k]];
		uint32_t t = hs_ix_find(d, id->hi, id->lo);

		if (hs_fired_visited(c, i))
			hs_ix_forgotten(c, d, id->hi, id->lo);
		if (t != HS_NIL)
			hs_ix_remove(c, d, t);
	}
	while (*link != i)
		link = &c->fired_rt[*link].hash_next;
	*link = c->fired_rt[i].hash_next;
	hs_ledger_set32(&c->fired[i].live, 0);
	c->fired_seen[i] = SEEN_NOBODY;
	c->fired_rt[i].hash_next = c->fired_free;
	c->fired_free = i;
	c->nr_fired--;
}

/* A loss may have hit any of them: say so where it has. */
void hs_fired_tainted(struct hs_agent_core *c, uint64_t now_ns)
{
	if (!c->tainted || now_ns - c->taint_ns < TAINT_PAUSE_NS)
		return;
	c->tainted = false;
	c->taint_ns = now_ns;
	for (uint32_t f = 0; f < c->fired_used; f++)
		if (c->fired[f].live)
			hs_fired_dirty(c, f);
}

/* One that may be old, or owes something: what is to become of it. */
static void look_at(struct hs_agent_core *c, uint32_t i, uint64_t patience,
		    uint64_t now_ns)
{
	const struct hs_fired_rt *rt = &c->fired_rt[i];

	if (rt->update_key && now_ns >= rt->update_ns) {
		hs_fired_dirty(c, i);
		return;
	}
	if (may_forget(c, i, patience, now_ns)) {
		c->stats.fired_forgotten_early +=
			now_ns - rt->last_ns < c->config.remember_ns;
		forget(c, i);
		return;
	}
	c->fired_seen[i] = rt->update_key ? SEEN_LOOK : seen_at(rt->last_ns);
}

/*
 * A part of the table now and then, so that a worker that spins does not walk
 * it all day: the whole of a full-sized one takes a quarter of a second.
 */
void hs_fired_forget(struct hs_agent_core *c, uint64_t now_ns)
{
	uint32_t n = c->config.nr_fired < FORGET_AT_ONCE ? c->config.nr_fired
							 : FORGET_AT_ONCE;
	uint32_t now = seen_at(now_ns), young;
	uint64_t patience;

	if (!c->nr_fired || now_ns - c->forget_ns < FORGET_PAUSE_NS)
		return;
	c->forget_ns = now_ns;
	patience = patience_ns(c);
	young = (uint32_t)(patience >> SEEN_SHIFT);
	while (n--) {
		uint32_t i = c->forget_at, seen = c->fired_seen[i];

		if (++c->forget_at == c->config.nr_fired)
			c->forget_at = 0;
		if (seen == SEEN_NOBODY ||
		    (seen != SEEN_LOOK && now - seen < young))
			continue;
		look_at(c, i, patience, now_ns);
	}
}

/* Take over what a predecessor had remembered; all of it is said again. */
void hs_fired_adopt(struct hs_agent_core *c, uint64_t now_ns)
{
	uint32_t known;

	for (uint32_t i = c->config.nr_fired; i-- > 0;) {
		if (!hs_ledger_get32(&c->fired[i].live)) {
			/* Above the last that is live it is as never used. */
			if (c->fired_used) {
				c->fired_rt[i].hash_next = c->fired_free;
				c->fired_free = i;
			}
			continue;
		}
		if (!c->fired_used)
			c->fired_used = i + 1;
		enter(c, i, now_ns);
		hs_loss_adopt_fired(c, i, now_ns);
		c->fired_rt[i].told_once = c->fired[i].rev > 0;
		c->stats.adopted_fired++;
	}
	c->nr_again = c->fired_used;
	hs_let_adopt(c, now_ns);
	for (uint32_t g = 0; g < c->config.nr_groups; g++) {
		if (!hs_ledger_get32(&c->groups[g].live))
			continue;
		hs_outbox_add(c, g, now_ns);
		c->stats.adopted_groups++;
		known = hs_fired_find(c, c->groups[g].traces[0].hi,
				      c->groups[g].traces[0].lo);
		if (known != HS_NIL) /* its entry may be read once more */
			c->fired_rt[known].names |=
				1ull
				<< hs_trigger_get(c, c->groups[g].trigger.name);
	}
}

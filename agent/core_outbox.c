/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_outbox.c - what the node says to coordinators, until it is stored
 *
 * Three things are said: the answer to a COLLECT (once; whoever asked asks
 * again), a TRIGGER (until STORED), and an UPDATE when the answer about a fired
 * trace has changed (until STORED, or overtaken by the next).
 */
#include "agent/core_priv.h"

#include "rdma/wire.h"
#include "base/planted.h"
#include "base/reached.h"

#define BACKOFF_MAX 5u
/* A storm of triggers shares its scans, so that they take a fifth of a core at
 * most; with a limit to how long a hop may wait for the next. */
#define SCAN_SHARE	4u
#define SCAN_GAP_MIN_NS 5000ull
/* Changed answers that are said after one scan: so many, or such a part. */
#define DIRTY_AT_ONCE 32u
#define DIRTY_PARTS   256u
/* Places of the table whose traces a successor says again, and how often. */
#define AGAIN_AT_ONCE  32u
#define AGAIN_PAUSE_NS 1000000ull

/* Whatever is said of the most traces, with the most crumbs, finds room. */
_Static_assert(sizeof(struct hs_wire_group) +
			       HS_WIRE_TRACES_MAX *
				       (sizeof(struct hs_wire_answer) +
					HS_WIRE_CRUMBS_MAX *
						sizeof(struct hs_wire_crumb)) <=
		       HS_ANSWERS_BYTES,
	       "a message has room for all of its answers");

static uint64_t backoff_ns(const struct hs_agent_core *c, uint32_t attempt)
{
	return c->config.resend_ns
	       << (attempt < BACKOFF_MAX ? attempt : BACKOFF_MAX);
}

/* A live group of the ledger: pin its traces and send it when it is settled. */
void hs_outbox_add(struct hs_agent_core *c, uint32_t group, uint64_t now_ns)
{
	struct hs_ledger_group *g = &c->groups[group];

	hs_fired_fetch(c, g->traces, g->nr, &g->trigger);
	for (uint32_t i = 0; i < g->nr; i++) {
		uint32_t f =
			hs_fired_get(c, &g->traces[i], &g->trigger, now_ns);

		if (f != HS_NIL)
			c->fired_rt[f].nr_groups++;
	}
	c->groups_rt[group] = (struct hs_group_rt){
		.scan = c->scan,
		.trigger = hs_trigger_get(c, g->trigger.name),
		.next_ns = now_ns,
	};
	c->triggers[c->groups_rt[group].trigger].nr_groups++;
	c->groups_active[c->nr_groups_live++] = group;
	c->groups_due_ns = 0;
}

static void outbox_drop(struct hs_agent_core *c, uint32_t group)
{
	struct hs_ledger_group *g = &c->groups[group];

	for (uint32_t i = 0; i < g->nr; i++) {
		uint32_t f = hs_fired_find(c, g->traces[i].hi, g->traces[i].lo);

		if (f != HS_NIL && c->fired_rt[f].nr_groups)
			c->fired_rt[f].nr_groups--;
	}
	hs_budget_leave(c, group);
	hs_ledger_set32(&g->live, 0);
	c->triggers[c->groups_rt[group].trigger].nr_groups--;
	for (uint32_t i = 0; i < c->nr_groups_live; i++)
		if (c->groups_active[i] == group) {
			c->groups_active[i] =
				c->groups_active[--c->nr_groups_live];
			break;
		}
}

void hs_fired_stored(struct hs_agent_core *c,
		     const struct hs_wire_stored *stored)
{
	uint32_t slot = (uint32_t)(stored->key >> 40) & 0x7fffffu;

	if (stored->key >> 63) {
		if (slot < c->config.nr_fired && c->fired[slot].live &&
		    c->fired_rt[slot].update_key == stored->key) {
			c->fired_rt[slot].update_key = 0;
			c->fired_rt[slot].update_try = 0;
		}
		return;
	}
	if (slot < c->config.nr_groups && c->groups[slot].live &&
	    c->groups[slot].trigger.key == stored->key &&
	    c->groups[slot].trigger.origin == stored->origin) {
		outbox_drop(c, slot);
		c->stats.triggers_stored++;
	}
}

/*
 * Append the present answer about one trace. It is remembered as told when it
 * is the first, or an UPDATE's: a TRIGGER that goes again is acknowledged
 * together with its earlier copies, and CRUMBS not at all, so news in them may
 * get lost unheard.
 */
static void put_answer(struct hs_agent_core *c, struct hs_wire_writer *w,
		       const struct hs_wire_trace_id *id, bool update,
		       uint64_t now_ns)
{
	static const struct hs_wire_answer nothing;
	uint32_t f = hs_fired_find(c, id->hi, id->lo);
	struct hs_wire_answer answer = nothing;
	struct hs_wire_crumb *crumbs =
		(void *)(w->data + w->used_bytes + sizeof(answer));

	if (f == HS_NIL) {
		/* The table was full: honest, but forgotten at once. */
		answer.trace = *id;
		answer.node = c->ledger->node_id;
		answer.rev = 1;
		answer.state = HS_WIRE_STATE_UNKNOWN;
		answer.flags = HS_WIRE_F_CUT;
		hs_wire_put(w, &answer, sizeof(answer));
		return;
	}
	hs_ledger_set32(&c->fired[f].rev, c->fired[f].rev + 1);
	hs_answer_make(c, f, &answer, crumbs);
	hs_wire_put(w, &answer, sizeof(answer));
	w->used_bytes += answer.nr_crumbs * sizeof(*crumbs);
	if (update || !c->fired_rt[f].told_once) {
		HS_REACHED(HS_MACHINE_TOLD, c->fired_rt[f].told.state,
			   answer.state);
		c->fired_rt[f].told = answer;
	} else if (hs_answer_is_news(&c->fired_rt[f].told, &answer))
		hs_fired_dirty(c, f);
	c->fired_rt[f].told_once = true;
	c->fired_rt[f].last_ns = now_ns;
}

static struct hs_wire_writer begin(struct hs_agent_core *c,
				   const struct hs_wire_trigger *trigger,
				   uint32_t nr, uint32_t flags)
{
	struct hs_wire_writer w = hs_wire_writer_make(c->out, HS_ANSWERS_BYTES);
	struct hs_wire_group head = {
		.trigger = *trigger, .nr = nr, .flags = flags};

	hs_wire_put(&w, &head, sizeof(head));
	return w;
}

/* Send a TRIGGER. It goes again, to the next shard, unless it is stored. */
static void send_group(struct hs_agent_core *c, uint32_t group, uint64_t now_ns)
{
	struct hs_ledger_group *g = &c->groups[group];
	struct hs_group_rt *rt = &c->groups_rt[group];
	struct hs_wire_writer w =
		begin(c, &g->trigger, g->nr, g->live >> HS_LEDGER_GROUP_FLAGS);

	for (uint32_t i = 0; i < g->nr; i++)
		put_answer(c, &w, &g->traces[i], false, now_ns);
	rt->to = (uint32_t)(c->ops->send_coordinator(
				    c->ctx, &g->trigger.primary, rt->attempt,
				    HS_WIRE_TRIGGER, c->out,
				    (uint32_t)w.used_bytes) >>
			    32);
	rt->next_ns = now_ns + (HS_PLANTED(8) ? UINT64_MAX / 2
					      : backoff_ns(c, rt->attempt));
	rt->attempt++;
}

/* As soon as its coordinator takes it. */
static void group_due(struct hs_agent_core *c, uint32_t group, uint64_t now_ns)
{
	if (!hs_budget_waits(c, group, &c->groups[group].trigger.primary,
			     c->groups_rt[group].attempt))
		send_group(c, group, now_ns);
}

/*
 * What fired since the last scan waits for the next: that scan passed the slots
 * of traces by that had not fired, so their live handles are not known.
 */
static void run_groups(struct hs_agent_core *c, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;

	if (now_ns < c->groups_due_ns)
		return;
	for (uint32_t i = 0; i < c->nr_groups_live; i++) {
		struct hs_group_rt *rt = &c->groups_rt[c->groups_active[i]];

		if (rt->next_ns <= now_ns && rt->scan != c->scan &&
		    !rt->waits.row)
			group_due(c, c->groups_active[i], now_ns);
		if (rt->next_ns < due_ns && !rt->waits.row)
			due_ns = rt->next_ns;
	}
	c->groups_due_ns = due_ns;
}

void hs_agent_core_scan_took(struct hs_agent_core *core, uint64_t took_ns)
{
	uint64_t gap_ns = SCAN_SHARE * took_ns;

	if (gap_ns < SCAN_GAP_MIN_NS)
		gap_ns = SCAN_GAP_MIN_NS;
	core->scan_gap_ns =
		gap_ns < HS_SCAN_GAP_MAX_NS ? gap_ns : HS_SCAN_GAP_MAX_NS;
}

uint64_t hs_agent_core_says_ns(const struct hs_agent_core *core)
{
	uint64_t scan_ns = core->scan_ns + core->scan_gap_ns;
	uint64_t due_ns = hs_budgets_due_ns(core);

	if (core->groups_due_ns < due_ns)
		due_ns = core->groups_due_ns;
	if (core->pending_head != core->pending_tail || due_ns < scan_ns)
		return scan_ns;
	return due_ns;
}

static void run_pending(struct hs_agent_core *c, uint64_t now_ns)
{
	while (c->pending_tail != c->pending_head) {
		struct hs_pending *p = &c->pending[c->pending_tail &
						   (c->config.nr_pending - 1)];
		struct hs_wire_writer w;

		if (p->scan == c->scan)
			break;
		w = begin(c, &p->trigger, p->nr, 0);
		for (uint32_t i = 0; i < p->nr; i++)
			put_answer(c, &w, &p->traces[i], false, now_ns);
		/* Not sent, or lost: the coordinator asks again. */
		c->ops->send_node(c->ctx, p->from, HS_WIRE_CRUMBS, c->out,
				  (uint32_t)w.used_bytes);
		c->pending_tail++;
	}
	/* From the first place again: it is warm, a whole ring never is. */
	if (c->pending_tail == c->pending_head)
		c->pending_tail = c->pending_head = 0;
}

/* Whether it is to be said how it stands with a fired trace: it is @news, or
 * was not stored. */
static bool wants_update(struct hs_agent_core *c, uint32_t fired,
			 uint64_t now_ns, bool *news)
{
	const struct hs_fired_rt *rt = &c->fired_rt[fired];
	struct hs_wire_answer answer;

	if (!rt->told_once)
		return false; /* its TRIGGER or CRUMBS will say it */
	hs_answer_make(c, fired, &answer, NULL);
	*news = hs_answer_is_news(&rt->told, &answer);
	return *news || (rt->update_key && now_ns >= rt->update_ns);
}

static void send_update(struct hs_agent_core *c, uint32_t fired, bool news,
			uint64_t now_ns)
{
	struct hs_fired_rt *rt = &c->fired_rt[fired];
	struct hs_wire_trigger trigger = c->fired[fired].trigger;
	struct hs_wire_writer w;

	if (news || !rt->update_key) {
		rt->update_key = hs_fired_key(c, true, fired);
		rt->update_try = 0;
		hs_fired_owes(c, fired);
	}
	trigger.origin = c->ledger->node_id;
	trigger.key = rt->update_key;
	w = begin(c, &trigger, 1, 0);
	put_answer(c, &w, &c->fired[fired].trace, true, now_ns);
	rt->update_to = (uint32_t)(c->ops->send_coordinator(
					   c->ctx, &trigger.primary,
					   rt->update_try, HS_WIRE_UPDATE,
					   c->out, (uint32_t)w.used_bytes) >>
				   32);
	rt->update_ns = now_ns + backoff_ns(c, rt->update_try);
	rt->update_try++;
	c->stats.updates++;
}

void hs_outbox_update(struct hs_agent_core *c, uint32_t fired, uint64_t now_ns)
{
	struct hs_fired_rt *rt = &c->fired_rt[fired];
	bool news;

	if (rt->waits.row || !wants_update(c, fired, now_ns, &news))
		return;
	/* What is new goes to the first shard. */
	if (hs_budget_waits(c, c->config.nr_groups + fired,
			    &c->fired[fired].trigger.primary,
			    news ? 0 : rt->update_try))
		return;
	send_update(c, fired, news, now_ns);
}

bool hs_outbox_say(struct hs_agent_core *c, uint32_t item, uint32_t number,
		   uint64_t now_ns)
{
	uint32_t fired = item - c->config.nr_groups;
	const struct hs_wire_trace_id *primary;
	uint32_t attempt;
	bool news = false;

	if (item < c->config.nr_groups) {
		primary = &c->groups[item].trigger.primary;
		attempt = c->groups_rt[item].attempt;
	} else if (wants_update(c, fired, now_ns, &news)) {
		primary = &c->fired[fired].trigger.primary;
		attempt = news ? 0 : c->fired_rt[fired].update_try;
	} else {
		return false;
	}
	if (c->ops->coordinator_of(c->ctx, primary, attempt) >> 32 != number &&
	    hs_budget_waits(c, item, primary, attempt))
		return false;
	if (item < c->config.nr_groups) {
		send_group(c, item, now_ns);
		return c->groups_rt[item].to == number;
	}
	send_update(c, fired, news, now_ns);
	return c->fired_rt[fired].update_to == number;
}

void hs_outbox_look_again(struct hs_agent_core *c, uint32_t item,
			  uint64_t now_ns)
{
	if (item < c->config.nr_groups) {
		c->groups_rt[item].next_ns = now_ns;
		c->groups_due_ns = 0;
		return;
	}
	hs_fired_dirty(c, item - c->config.nr_groups);
}

/* Nothing of it was kept, so it was not said: to the same one, in its turn. */
void hs_outbox_refused(struct hs_agent_core *c, uint64_t from_node,
		       const struct hs_wire_refused *refused, uint64_t now_ns)
{
	uint32_t number = (uint32_t)(from_node >> 32);
	uint32_t slot = (uint32_t)(refused->key >> 40) & 0x7fffffu;

	c->stats.requests_refused++;
	if (!hs_budget_learn(c, number, refused, now_ns) ||
	    refused->origin != c->ledger->node_id)
		return;
	if (refused->key >> 63) {
		struct hs_fired_rt *rt = &c->fired_rt[slot];

		if (slot >= c->config.nr_fired || !c->fired[slot].live ||
		    rt->update_key != refused->key || rt->update_to != number ||
		    !rt->update_try || rt->waits.row)
			return;
		rt->update_try--;
		rt->update_ns = now_ns;
		hs_outbox_look_again(c, c->config.nr_groups + slot, now_ns);
	} else if (slot < c->config.nr_groups && c->groups[slot].live &&
		   c->groups[slot].trigger.key == refused->key) {
		struct hs_group_rt *rt = &c->groups_rt[slot];

		if (rt->to != number || !rt->attempt || rt->waits.row)
			return;
		rt->attempt--;
		hs_outbox_look_again(c, slot, now_ns);
	}
}

/*
 * Thousands at once are what a coordinator's end or a loss brings, one of a
 * predecessor's too: then a part after each scan, so that lanes are looked at
 * and others get a processor meanwhile. Where as many come all the while, each
 * waits for DIRTY_PARTS scans.
 */
static void run_dirty(struct hs_agent_core *c, uint64_t now_ns)
{
	uint32_t n = c->nr_dirty / DIRTY_PARTS;

	n = n < DIRTY_AT_ONCE ? DIRTY_AT_ONCE : n;
	while (n-- && c->dirty_first != HS_NIL) {
		uint32_t f = c->dirty_first;

		c->dirty_first = c->fired_rt[f].dirty_next;
		if (c->dirty_first == HS_NIL)
			c->dirty_last = HS_NIL;
		c->fired_rt[f].dirty = false;
		c->nr_dirty--;
		if (c->fired[f].live)
			hs_outbox_update(c, f, now_ns);
	}
}

bool hs_outbox_repeats(const struct hs_agent_core *c, uint64_t now_ns)
{
	return c->nr_again && now_ns - c->again_ns >= AGAIN_PAUSE_NS;
}

/*
 * What a predecessor said may not have arrived, so all of it is said again;
 * most has, so there is no hurry. 17,000 at once took this node's worker and
 * whoever they are said to 60 ms, just when applications are back. What changes
 * meanwhile is said at once.
 */
static void again(struct hs_agent_core *c, uint32_t nr_places)
{
	for (; nr_places && c->nr_again; nr_places--) {
		uint32_t f = --c->nr_again;

		if (c->fired[f].live && c->fired_rt[f].adopted)
			hs_fired_dirty(c, f);
	}
}

static void run_again(struct hs_agent_core *c, uint64_t now_ns)
{
	if (!hs_outbox_repeats(c, now_ns))
		return;
	c->again_ns = now_ns;
	again(c, AGAIN_AT_ONCE);
}

/* At 32 places in a millisecond a full table takes longer than it has left. */
void hs_agent_core_hurry(struct hs_agent_core *core)
{
	again(core, core->nr_again);
}

/* After a scan and after the lanes: what is open is known exactly. */
void hs_outbox_run(struct hs_agent_core *c, uint64_t now_ns)
{
	run_groups(c, now_ns);
	run_pending(c, now_ns);
	run_again(c, now_ns);
	run_dirty(c, now_ns);
	hs_budgets_run(c, now_ns);
	hs_seek_run(c);
}

/* What a coordinator had that is not there any more, or may have forgotten it,
 * goes at once, and as if for the first time: to the first one that is left. */
void hs_outbox_again(struct hs_agent_core *c, uint32_t number, uint64_t now_ns)
{
	for (uint32_t i = 0; i < c->nr_groups_live; i++) {
		struct hs_group_rt *rt = &c->groups_rt[c->groups_active[i]];

		if (rt->to != number || !rt->attempt)
			continue;
		rt->attempt = 0;
		rt->next_ns = now_ns;
		c->groups_due_ns = 0;
	}
	for (uint32_t f = 0; f < c->fired_used; f++) {
		struct hs_fired_rt *rt = &c->fired_rt[f];

		if (!c->fired[f].live || !rt->update_key ||
		    rt->update_to != number)
			continue;
		rt->update_try = 0;
		rt->update_ns = now_ns;
		hs_fired_dirty(c, f);
	}
}

bool hs_agent_core_coordinator_silent(struct hs_agent_core *core,
				      uint32_t number, uint64_t now_ns)
{
	struct hs_agent_core *c = core;
	bool owes = false;

	for (uint32_t i = 0; i < c->nr_groups_live; i++) {
		struct hs_group_rt *rt = &c->groups_rt[c->groups_active[i]];

		/* Or it found no room on the way there. */
		if (!rt->attempt || (rt->to != number && rt->to))
			continue;
		rt->next_ns = now_ns;
		c->groups_due_ns = 0;
		owes = true;
	}
	for (uint32_t f = 0; f < c->fired_used; f++) {
		struct hs_fired_rt *rt = &c->fired_rt[f];

		if (!c->fired[f].live || !rt->update_key ||
		    (rt->update_to != number && rt->update_to))
			continue;
		rt->update_ns = now_ns;
		hs_fired_dirty(c, f);
		owes = true;
	}
	c->stats.coordinators_silent += owes;
	return owes;
}

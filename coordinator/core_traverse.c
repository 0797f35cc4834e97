/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_traverse.c - who is asked, and what was answered
 *
 * Every node that a crumb names is a visit. A node has one connection at most,
 * that of its present incarnation, and an earlier one's visit is resolved by
 * what the present one says (docs/adr/0010).
 */
#include <string.h>

#include "base/check.h"
#include "coordinator/core_internal.h"
#include "rdma/wire.h"
#include "base/planted.h"

#define OF_MEMBER HS_COORD_LINK(&c->visits, struct hs_coord_visit, of_member)
#define ASK	  HS_COORD_LINK(&c->visits, struct hs_coord_visit, ask)
#define READY	  HS_COORD_LINK(&c->members, struct hs_coord_member, ready)

#define BACKOFF_MAX 16u

void hs_coord_changed(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	if (!trace->changed) {
		trace->changed = true;
		trace->changed_ns = c->now_ns;
	}
	hs_coord_step(c, t, HS_COORD_CHANGED);
}

static void cut_visit(struct hs_coord_core *c, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);

	c->stats.answers_cut++;
	if (visit->cut)
		return;
	visit->cut = HS_WIRE_F_CUT;
	hs_coord_changed(c, visit->trace);
}

/* More nodes that have not answered than it may name. */
void hs_coord_named_too_many(struct hs_coord_core *c, uint32_t v)
{
	c->stats.origin_cut++;
	cut_visit(c, v);
}

/* Something about the trace found no place, and no better one to say so. */
void hs_coord_cut(struct hs_coord_core *c, uint32_t t)
{
	cut_visit(c, hs_coord_trace(c, t)->visits);
}

uint32_t hs_coord_visit_new(struct hs_coord_core *c, uint32_t t, uint64_t node)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	struct hs_coord_visit *visit;
	uint32_t m;
	uint32_t v;

	if (trace->nr_visits >= c->config.trace_nodes ||
	    HS_COORD_TRACE_BYTES - trace->bytes <
		    sizeof(struct hs_wire_answer) ||
	    !hs_coord_pool_left(&c->visits))
		return 0;
	m = hs_coord_member_get(c, node);
	if (!m)
		return 0;
	v = hs_coord_pool_take(&c->visits);
	visit = hs_coord_visit(c, v);
	visit->id = node;
	visit->trace = t;
	visit->member = m;
	visit->since_ns = c->now_ns;
	hs_coord_list_push(&hs_coord_member(c, m)->visits, OF_MEMBER, v);
	if (trace->visits)
		hs_coord_visit(c, trace->visits_tail)->next = v;
	else
		trace->visits = v;
	trace->visits_tail = v;
	hs_coord_visit_listed(c, t, v);
	trace->bytes += sizeof(struct hs_wire_answer);
	return v;
}

void hs_coord_place(struct hs_coord_core *c, uint32_t t, uint64_t node)
{
	hs_check(hs_coord_visit_new(c, t, node), "room was made before");
}

static void crumbs_free(struct hs_coord_core *c, struct hs_coord_visit *visit)
{
	if (visit->state != HS_COORD_VISIT_ANSWERED)
		return;
	while (visit->crumbs) {
		uint32_t b = visit->crumbs;

		visit->crumbs = hs_coord_block(c, b)->next;
		hs_coord_pool_give(&c->blocks, b);
	}
	hs_coord_trace(c, visit->trace)->bytes -=
		visit->nr_crumbs * (uint32_t)sizeof(struct hs_wire_crumb);
	visit->nr_crumbs = 0;
}

void hs_coord_visits_free(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	/* Before any of them lets go of the node that it blames. */
	for (uint32_t v = trace->visits; v; v = hs_coord_visit(c, v)->next)
		hs_coord_unblame(c, v);
	hs_coord_visits_unlisted(c, t);
	while (trace->visits) {
		uint32_t v = trace->visits;
		struct hs_coord_visit *visit = hs_coord_visit(c, v);
		struct hs_coord_member *m = hs_coord_member(c, visit->member);
		uint32_t member = visit->member;

		trace->visits = visit->next;
		if (visit->queued)
			hs_coord_list_drop(&m->asks, ASK, v);
		if (visit->in_flight)
			m->in_flight--;
		hs_coord_list_drop(&m->visits, OF_MEMBER, v);
		crumbs_free(c, visit);
		hs_coord_pool_give(&c->visits, v);
		hs_coord_member_put(c, member);
	}
}

static uint64_t backoff_ns(const struct hs_coord_core *c, uint32_t nr_asks)
{
	uint32_t doubling = nr_asks < BACKOFF_MAX ? nr_asks : BACKOFF_MAX;
	uint64_t wait = c->config.retry_ns << doubling;

	return wait < c->config.retry_max_ns ? wait : c->config.retry_max_ns;
}

/* One that left is not waited for. */
static uint64_t give_up_ns(const struct hs_coord_core *c,
			   const struct hs_coord_visit *visit)
{
	if (hs_coord_member(c, visit->member)->left)
		return c->now_ns;
	return visit->since_ns + c->config.unreachable_after_ns;
}

/* A time after which it is given up, or a hint no more. */
static bool has_time(const struct hs_coord_visit *visit)
{
	return visit->state == HS_COORD_VISIT_ASKED ||
	       (visit->state == HS_COORD_VISIT_HINTED && visit->blame);
}

/* Queue the question if there is a connection that can answer it, else look
 * again when it is time to give up: node_up() comes by itself. */
void hs_coord_ask(struct hs_coord_core *c, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_member *m = hs_coord_member(c, visit->member);

	if (visit->queued)
		return;
	if (visit->in_flight) {
		visit->in_flight = false;
		m->in_flight--;
	}
	if (m->up < visit->id) {
		visit->next_ns = UINT64_MAX;
		if (has_time(visit))
			hs_coord_deadline_by(c, visit->trace,
					     give_up_ns(c, visit));
		return;
	}
	visit->queued = true;
	visit->next_ns = UINT64_MAX;
	hs_coord_list_push(&m->asks, ASK, v);
	if (!m->is_ready) {
		m->is_ready = true;
		hs_coord_list_push(&c->ready, READY, visit->member);
	}
}

uint32_t hs_coord_visit_later(const struct hs_coord_core *c, uint32_t t,
			      uint64_t node)
{
	struct hs_coord_same same = hs_coord_same(c, t, node);
	uint32_t best = 0, v;

	while ((v = hs_coord_same_next(c, t, node, &same))) {
		const struct hs_coord_visit *at = hs_coord_visit(c, v);

		if (at->id <= node || at->state != HS_COORD_VISIT_ANSWERED)
			continue;
		if (!best || at->id > hs_coord_visit(c, best)->id)
			best = v;
	}
	return best;
}

/* It has to be asked, unless @later settles it. */
void hs_coord_visit_begin(struct hs_coord_core *c, uint32_t t, uint32_t v,
			  uint32_t later)
{
	if (later) {
		c->stats.gone++;
		hs_coord_visit_step(c, v, HS_COORD_VISIT_LATER);
		hs_coord_changed(c, t);
		return;
	}
	hs_coord_visit_step(c, v, HS_COORD_VISIT_NAMED);
	hs_coord_step(c, t, HS_COORD_ASKED);
	/* The question that a hint asked is this one, too. */
	if (hs_coord_visit(c, v)->in_flight) {
		hs_coord_deadline_by(c, t, hs_coord_visit(c, v)->next_ns);
		hs_coord_deadline_by(c, t, give_up_ns(c, hs_coord_visit(c, v)));
		return;
	}
	hs_coord_ask(c, v);
}

/* Return: whether it has a place already. */
static bool named(struct hs_coord_core *c, uint32_t t, uint64_t node,
		  uint32_t named_by)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	struct hs_coord_visit *visit;
	uint32_t near, v;

	if (!(trace->seen & hs_coord_seen_bit(node)))
		return false;
	near = hs_coord_near(trace, node);
	if (near < HS_COORD_NEAR_VISITS && trace->plain >> near & 1)
		return true;
	v = near < HS_COORD_NEAR_VISITS ? trace->near[near]
					: hs_coord_visit_find(c, t, node);
	if (!v)
		return false;
	visit = hs_coord_visit(c, v);
	if (!visit->named) {
		visit->named = true;
		if (visit->elsewhere)
			hs_coord_changed(c, t);
	}
	if (visit->hinted)
		hs_coord_ahead_confirm(c, t, v, named_by);
	/* Crumbs that name it again say nothing new. */
	if (visit->named && !visit->hinted && near < HS_COORD_NEAR_VISITS)
		trace->plain |= (uint16_t)(1u << near);
	return true;
}

void hs_coord_want(struct hs_coord_core *c, uint32_t t, uint64_t node,
		   uint32_t named_by)
{
	uint32_t v, later, blame;

	if (!node || named(c, t, node, named_by))
		return;
	later = hs_coord_visit_later(c, t, node);
	blame = hs_coord_visit(c, named_by)->member;
	if (!later &&
	    hs_coord_member(c, blame)->nr_blamed >= c->config.origin_waiting) {
		hs_coord_named_too_many(c, named_by);
		return;
	}
	v = hs_coord_visit_new(c, t, node);
	if (!v) {
		/* The answer that names it cannot count as followed up. */
		cut_visit(c, named_by);
		return;
	}
	hs_coord_visit(c, v)->named = true;
	if (!later)
		hs_coord_blame(c, v, blame);
	hs_coord_visit_begin(c, t, v, later);
}

void hs_coord_want_found(struct hs_coord_core *c, uint32_t t, uint64_t node)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t v = 0;

	/* Its name in the manifest is a crumb more. */
	if (HS_COORD_TRACE_BYTES - trace->bytes >=
	    sizeof(struct hs_wire_answer) + sizeof(struct hs_wire_crumb))
		v = hs_coord_visit_new(c, t, node);
	if (!v) {
		hs_coord_cut(c, t);
		return;
	}
	c->stats.found++;
	hs_coord_visit(c, v)->sought = true;
	trace->bytes += sizeof(struct hs_wire_crumb);
	hs_coord_visit_begin(c, t, v, hs_coord_visit_later(c, t, node));
}

/* What incarnation @v said settles what is asked of the ones before it. */
static void resolve_earlier(struct hs_coord_core *c, uint32_t t, uint32_t v)
{
	const struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_same same = hs_coord_same(c, t, visit->id);
	uint32_t e;

	if (!hs_coord_trace(c, t)->again)
		return;
	while ((e = hs_coord_same_next(c, t, visit->id, &same))) {
		struct hs_coord_visit *at = hs_coord_visit(c, e);
		uint8_t was = at->state;

		if (at->id >= visit->id || at->state == HS_COORD_VISIT_HINTED)
			continue;
		hs_coord_visit_step(c, e, HS_COORD_VISIT_LATER);
		if (at->state == was)
			continue;
		c->stats.gone += at->state == HS_COORD_VISIT_GONE;
		hs_coord_changed(c, t);
	}
}

static bool same_crumb(const struct hs_wire_crumb *a,
		       const struct hs_wire_crumb *b)
{
	return a->node == b->node && a->kind == b->kind;
}

static bool same_content(const struct hs_coord_core *c,
			 const struct hs_coord_visit *visit,
			 const struct hs_wire_answer *answer,
			 const struct hs_wire_crumb *crumbs)
{
	uint32_t i = 0;

	if (visit->state != HS_COORD_VISIT_ANSWERED ||
	    visit->told != answer->state || visit->flags != answer->flags ||
	    visit->nr_buffers != answer->nr_buffers ||
	    visit->nr_bytes != answer->nr_bytes ||
	    visit->nr_crumbs != answer->nr_crumbs)
		return false;
	for (; i < visit->nr_crumbs && i < HS_COORD_NEAR_CRUMBS; i++)
		if (!same_crumb(&visit->near[i], &crumbs[i]))
			return false;
	for (uint32_t b = visit->crumbs; b; b = hs_coord_block(c, b)->next) {
		const struct hs_coord_block *block = hs_coord_block(c, b);

		for (uint32_t k = 0; k < block->nr; k++, i++)
			if (!same_crumb(&block->crumbs[k], &crumbs[i]))
				return false;
	}
	return true;
}

/* Return: how many found a place behind the near ones. */
static uint32_t put_far(struct hs_coord_core *c, struct hs_coord_visit *visit,
			const struct hs_wire_crumb *crumbs, uint32_t nr)
{
	struct hs_coord_block *block = NULL;
	uint32_t *at = &visit->crumbs;

	for (uint32_t i = 0; i < nr; i++) {
		if (!block || block->nr == HS_COORD_BLOCK_CRUMBS) {
			uint32_t b = hs_coord_pool_take(&c->blocks);

			if (!b)
				return i;
			*at = b;
			block = hs_coord_block(c, b);
			at = &block->next;
		}
		block->crumbs[block->nr++] = crumbs[i];
	}
	return nr;
}

static void put_crumbs(struct hs_coord_core *c, uint32_t v,
		       const struct hs_wire_crumb *crumbs, uint32_t nr)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_trace *trace = hs_coord_trace(c, visit->trace);
	uint32_t room = (uint32_t)((HS_COORD_TRACE_BYTES - trace->bytes) /
				   sizeof(*crumbs));
	uint32_t fit = nr < room ? nr : room;
	uint32_t put = 0;

	for (; put < fit && put < HS_COORD_NEAR_CRUMBS; put++)
		visit->near[put] = crumbs[put];
	if (put < fit)
		put += put_far(c, visit, crumbs + put, fit - put);
	if (put < nr)
		cut_visit(c, v);
	visit->nr_crumbs = put;
	trace->bytes += put * (uint32_t)sizeof(*crumbs);
}

static bool knows(const struct hs_coord_visit *visit)
{
	return visit->told == HS_WIRE_STATE_OPEN ||
	       visit->told == HS_WIRE_STATE_CLOSED;
}

void hs_coord_answer(struct hs_coord_core *c, uint32_t t,
		     const struct hs_wire_answer *said,
		     const struct hs_wire_crumb *crumbs)
{
	struct hs_wire_answer with_ids = *said, *answer = &with_ids;
	struct hs_coord_visit *visit;
	bool same, cut = false;
	uint32_t v;

	crumbs = hs_coord_addresses(c, answer, crumbs, &cut);
	v = hs_coord_visit_find(c, t, answer->node);
	hs_coord_fetch(hs_coord_visit(c, v), 2);
	if (!v) {
		v = hs_coord_visit_new(c, t, answer->node);
		hs_coord_ahead_inherit(c, t, v);
	}
	if (!v) {
		hs_coord_cut(c, t);
		return;
	}
	visit = hs_coord_visit(c, v);
	if (visit->state == HS_COORD_VISIT_ANSWERED &&
	    (answer->rev <= visit->rev ||
	     (hs_wire_answer_forgot(answer) && knows(visit)))) {
		/* One that has forgotten does not take back what it knew. */
		c->stats.answers_stale++;
		return;
	}
	same = same_content(c, visit, answer, crumbs);
	if (cut)
		cut_visit(c, v);
	hs_coord_visit_step(c, v, HS_COORD_VISIT_ANSWER);
	visit->rev = answer->rev;
	if (same)
		return;
	c->stats.answers++;
	visit->told = answer->state;
	visit->flags = answer->flags;
	visit->nr_buffers = answer->nr_buffers;
	visit->nr_bytes = answer->nr_bytes;
	crumbs_free(c, visit);
	put_crumbs(c, v, crumbs, answer->nr_crumbs);
	if (!hs_coord_ahead_idle(visit))
		hs_coord_changed(c, t);
	resolve_earlier(c, t, v);
	for (uint32_t i = HS_PLANTED(14); i < answer->nr_crumbs; i++)
		hs_coord_want(c, t, crumbs[i].node, v);
}

uint64_t hs_coord_visits_due(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint64_t next = UINT64_MAX;

	for (uint32_t v = trace->waiting.head; v;
	     v = hs_coord_visit(c, v)->wait.next) {
		struct hs_coord_visit *visit = hs_coord_visit(c, v);
		uint64_t give_up = give_up_ns(c, visit);

		if (visit->next_ns <= c->now_ns)
			hs_coord_ask(c, v);
		if (visit->next_ns < next)
			next = visit->next_ns;
		/* Behind others in a node's queue is not unreachable. */
		if (!has_time(visit) || (visit->queued && !visit->nr_asks))
			continue;
		if (give_up <= c->now_ns &&
		    visit->state == HS_COORD_VISIT_HINTED) {
			c->stats.hints_vain++;
			hs_coord_unblame(c, v);
		} else if (give_up <= c->now_ns) {
			c->stats.unreachable++;
			hs_coord_visit_step(c, v, HS_COORD_VISIT_TIMEOUT);
			hs_coord_changed(c, t);
		} else if (give_up < next) {
			next = give_up;
		}
	}
	return next;
}

static void asked(struct hs_coord_core *c, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_member *m = hs_coord_member(c, visit->member);

	hs_coord_list_drop(&m->asks, ASK, v);
	visit->queued = false;
	visit->in_flight = true;
	m->in_flight++;
	if (visit->nr_asks == 0) {
		visit->since_ns = c->now_ns;
		hs_coord_ahead_read(c, v);
	} else {
		c->stats.collects_again++;
	}
	c->stats.collects_asked++;
	visit->next_ns = HS_PLANTED(17)
				 ? UINT64_MAX
				 : c->now_ns + backoff_ns(c, visit->nr_asks);
	visit->nr_asks++;
	hs_coord_deadline_by(c, visit->trace, visit->next_ns);
	if (has_time(visit))
		hs_coord_deadline_by(c, visit->trace,
				     visit->since_ns +
					     c->config.unreachable_after_ns);
}

/* A trace that several triggers name is asked for by the first; the others are
 * told beside it, once, so that agents hold it for each of them (ADR 15). */
static void also_one(struct hs_coord_core *c,
		     const struct hs_coord_visit *visit,
		     const struct hs_wire_trigger *trigger)
{
	const struct hs_coord_member *m = hs_coord_member(c, visit->member);
	struct {
		struct hs_wire_group group;
		struct hs_wire_trace_id id;
	} message = {
		.group = {.trigger = *trigger, .nr = 1},
		.id = hs_coord_trace(c, visit->trace)->id,
	};

	if (m->up < visit->id || visit->id == trigger->origin)
		return;
	if (c->ops->send_node(c->ctx, m->up, HS_WIRE_COLLECT, &message,
			      sizeof(message)))
		c->stats.collects_also++;
}

/* The triggers of its trace but @known, which @visit's node has. */
static void also_others(struct hs_coord_core *c,
			const struct hs_coord_visit *visit,
			const struct hs_wire_trigger *known)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, visit->trace);

	if (trace->why_alone && hs_coord_same_hold(&trace->why, known))
		return;
	for (uint32_t n = trace->triggers; n; n = hs_coord_name(c, n)->next) {
		const struct hs_wire_trigger *name =
			&hs_coord_name(c, n)->trigger;

		if (!hs_coord_same_hold(name, known))
			also_one(c, visit, name);
	}
}

/* For whoever was asked, or spoke, before; where it fired, the earlier ones. */
void hs_coord_also(struct hs_coord_core *c, uint32_t t,
		   const struct hs_wire_trigger *trigger)
{
	for (uint32_t v = hs_coord_trace(c, t)->visits; v;
	     v = hs_coord_visit(c, v)->next) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (visit->id == trigger->origin && !visit->nr_asks)
			also_others(c, visit, trigger);
		else if (visit->nr_asks ||
			 visit->state == HS_COORD_VISIT_ANSWERED)
			also_one(c, visit, trigger);
	}
}

/* One COLLECT: the first question and those behind it of the same group.
 * Return: false when the node takes no more now. */
static bool send_collect(struct hs_coord_core *c, struct hs_coord_member *m)
{
	struct hs_wire_group *group = (struct hs_wire_group *)c->out;
	struct hs_wire_trace_id *ids = (struct hs_wire_trace_id *)(group + 1);
	uint32_t v = m->asks.head;
	const struct hs_wire_trigger *why =
		&hs_coord_trace(c, hs_coord_visit(c, v)->trace)->why;
	uint32_t batch[HS_WIRE_TRACES_MAX];
	uint32_t room = c->config.window - m->in_flight;
	uint32_t nr = 0;

	while (v && nr < HS_WIRE_TRACES_MAX && nr < room) {
		const struct hs_coord_trace *trace =
			hs_coord_trace(c, hs_coord_visit(c, v)->trace);

		if (trace->why.origin != why->origin ||
		    trace->why.key != why->key)
			break;
		ids[nr] = trace->id;
		batch[nr++] = v;
		v = hs_coord_visit(c, v)->ask.next;
	}
	group->trigger = *why;
	group->nr = nr;
	group->flags = 0;
	if (!c->ops->send_node(c->ctx, m->up, HS_WIRE_COLLECT, group,
			       (uint32_t)(sizeof(*group) + nr * sizeof(*ids))))
		return false;
	c->stats.collects_sent++;
	for (uint32_t i = 0; i < nr; i++) {
		asked(c, batch[i]);
		if (hs_coord_visit(c, batch[i])->nr_asks == 1)
			also_others(c, hs_coord_visit(c, batch[i]), why);
	}
	return true;
}

void hs_coord_send_asks(struct hs_coord_core *c)
{
	uint32_t next;

	c->stalled = false;
	for (uint32_t i = c->ready.head; i; i = next) {
		struct hs_coord_member *m = hs_coord_member(c, i);

		next = m->ready.next;
		while (m->asks.head && m->in_flight < c->config.window)
			if (!send_collect(c, m)) {
				c->stalled = true;
				break;
			}
		if (!m->asks.head) {
			hs_coord_list_drop(&c->ready, READY, i);
			m->is_ready = false;
		}
	}
}

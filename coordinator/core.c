/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core.c - create, messages in, time: see core.h
 */
#include "coordinator/core.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/core_internal.h"
#include "rdma/wire.h"

#define MS 1000000ULL
/* After a node took no more, unless its shell says before that it does. */
#define STALL_NS (20 * MS)

static struct hs_coord_config with_defaults(const struct hs_coord_config *in)
{
	struct hs_coord_config c = *in;

#define OR(field, value) (c.field = c.field ? c.field : (value))
	OR(nr_traces, 16384);
	OR(nr_visits, 131072);
	OR(nr_crumbs, 262144);
	OR(nr_nodes, 16384);
	OR(nr_requests, 16384);
	OR(nr_triggers, 32768);
	OR(trace_nodes, HS_WIRE_ANSWERS_MAX);
	OR(window, 1024);
	OR(retry_ns, 200 * MS);
	OR(retry_max_ns, 5000 * MS);
	OR(unreachable_after_ns, 2000 * MS);
	OR(tell_unsettled_ns, 200 * MS);
	OR(tell_settled_ns, 20 * MS);
	OR(resend_ns, 500 * MS);
	OR(resend_max_ns, 5000 * MS);
	OR(forget_after_ns, 300000 * MS);
	OR(origin_per_s, 10000);
	OR(origin_waiting, c.nr_visits / 8);
	OR(address_doubt_ns, 600000 * MS);
	OR(seek_nodes, 500);
	OR(seek_per_s, 20000);
	OR(seek_batch_ns, 10 * MS);
	OR(seek_warm_ns, 5000 * MS);
	OR(seek_after_ns, 1000 * MS);
#undef OR
	if (c.trace_nodes > HS_WIRE_ANSWERS_MAX)
		c.trace_nodes = HS_WIRE_ANSWERS_MAX;
	return c;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t slots_for(uint32_t nr)
{
	uint32_t slots = 16;

	while (slots < nr && slots < 1u << 30)
		slots *= 2;
	return slots;
}

/* The one place that knows what lies where: measures with memory NULL. */
static void *carve(uint8_t *memory, size_t *used, size_t size)
{
	void *at = memory ? memory + *used : NULL;

	*used += (size + 63) / 64 * 64;
	return at;
}

static void pool_carve(struct hs_coord_pool *p, uint8_t *memory, size_t *used,
		       uint32_t stride, uint32_t nr)
{
	p->stride_bytes = stride;
	p->nr = nr;
	p->base = carve(memory, used, (size_t)stride * ((size_t)nr + 1));
}

static size_t lay_out(struct hs_coord_core *c, uint8_t *memory)
{
	const struct hs_coord_config *f = &c->config;
	uint32_t nr_contents = f->nr_requests > UINT32_MAX / 4
				       ? UINT32_MAX - 1
				       : f->nr_requests * 4;
	size_t used = 0;

	carve(memory, &used, sizeof(*c));
	pool_carve(&c->traces, memory, &used, sizeof(struct hs_coord_trace),
		   f->nr_traces);
	pool_carve(&c->visits, memory, &used, sizeof(struct hs_coord_visit),
		   f->nr_visits);
	/* A visit with a block has four crumbs or more, and no two blocks that
	 * are not full: that many are enough for as many crumbs. */
	pool_carve(&c->blocks, memory, &used, sizeof(struct hs_coord_block),
		   f->nr_crumbs / 4);
	pool_carve(&c->members, memory, &used, sizeof(struct hs_coord_member),
		   f->nr_nodes);
	pool_carve(&c->names, memory, &used, sizeof(struct hs_coord_name),
		   f->nr_triggers);
	pool_carve(&c->requests, memory, &used, sizeof(struct hs_coord_request),
		   f->nr_requests);
	pool_carve(&c->contents, memory, &used, sizeof(struct hs_coord_content),
		   nr_contents);
	/* Four places for each: what is not there is mostly told by the place
	 * alone, without a look at somebody else's. */
	c->trace_mask = slots_for(least(f->nr_traces, 1u << 28) * 4) - 1;
	c->visit_mask = slots_for(f->nr_visits) - 1;
	c->member_mask = slots_for(f->nr_nodes) - 1;
	c->request_mask = slots_for(f->nr_requests) - 1;
	c->trace_table = carve(memory, &used, ((size_t)c->trace_mask + 1) * 4);
	c->visit_table = carve(memory, &used, ((size_t)c->visit_mask + 1) * 4);
	c->member_table =
		carve(memory, &used, ((size_t)c->member_mask + 1) * 4);
	c->at_table = carve(memory, &used, ((size_t)c->member_mask + 1) * 4);
	c->resolved =
		carve(memory, &used, HS_WIRE_CRUMBS_MAX * sizeof(*c->resolved));
	c->request_table =
		carve(memory, &used, ((size_t)c->request_mask + 1) * 4);
	c->heap = carve(memory, &used,
			((size_t)f->nr_traces + 1) * sizeof(*c->heap));
	c->heap_at = carve(memory, &used, ((size_t)f->nr_traces + 1) * 4);
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		c->questions[i].silent = carve(
			memory, &used, ((size_t)f->nr_nodes / 64 + 1) * 8);
	c->out = carve(memory, &used, HS_WIRE_PAYLOAD_MAX_BYTES);
	return used;
}

size_t hs_coord_core_size_bytes(const struct hs_coord_config *config)
{
	struct hs_coord_core c = {.config = with_defaults(config)};

	return lay_out(&c, NULL);
}

struct hs_coord_core *hs_coord_core_create(void *memory,
					   const struct hs_coord_config *config,
					   const struct hs_coord_ops *ops,
					   void *ctx, uint64_t now_ns)
{
	struct hs_coord_core *c = memory;

	hs_check(config->node && ((uintptr_t)memory & 7) == 0);
	c->config = with_defaults(config);
	c->ops = ops;
	c->ctx = ctx;
	c->now_ns = now_ns;
	c->created_ns = now_ns;
	/* An answer to an earlier life's question is none to ours. */
	c->next_question = config->epoch;
	lay_out(c, memory);
	return c;
}

void hs_coord_now(struct hs_coord_core *c, uint64_t now_ns)
{
	if (now_ns > c->now_ns)
		c->now_ns = now_ns;
}

void hs_coord_review(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	if (!trace->nr_waiting && trace->changed)
		hs_coord_visits_fetch(c, t);
	if (!trace->nr_waiting && hs_coord_seek_wanted(c, t))
		hs_coord_seek_begin(c, t);
	if (trace->state == HS_COORD_SEEKING && !trace->nr_waiting &&
	    !hs_coord_seeks(trace)) {
		hs_coord_step(c, t, HS_COORD_SETTLED);
		if (!trace->settled_told || trace->contents)
			hs_coord_changed(c, t);
	}
	if (trace->state == HS_COORD_TELLING && !trace->changed &&
	    trace->version && trace->acked == trace->version)
		hs_coord_step(c, t, HS_COORD_ACKED);
	hs_coord_deadline_by(c, t, hs_coord_tell_ns(c, t));
}

/* Who is forgotten after this one, and the one after that. */
static void fetch_next(const struct hs_coord_core *c, uint32_t t)
{
	const struct hs_coord_trace *next = hs_coord_trace(c, t);

	if (!t)
		return;
	hs_coord_visits_fetch(c, t);
	hs_coord_fetch(hs_coord_name(c, next->triggers), 2);
	hs_coord_fetch(hs_coord_trace(c, next->lru.next), 4);
}

static void forget(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	fetch_next(c, trace->lru.next);
	hs_check(!trace->contents && trace->acked == trace->version &&
		 !trace->is_due);
	while (trace->triggers) {
		uint32_t n = trace->triggers;

		trace->triggers = hs_coord_name(c, n)->next;
		hs_coord_pool_give(&c->names, n);
	}
	hs_coord_visits_free(c, t);
	hs_coord_step(c, t, HS_COORD_FORGOTTEN);
	hs_coord_trace_free(c, t);
}

static void run_due(struct hs_coord_core *c)
{
	uint32_t t;

	while ((t = hs_coord_deadline_next(c))) {
		uint64_t next = UINT64_MAX;

		/* Where nobody is waited for no time has passed. */
		if (hs_coord_trace(c, t)->waiting.head) {
			next = hs_coord_visits_due(c, t);
			hs_coord_review(c, t);
		}
		if (hs_coord_tell_ns(c, t) <= c->now_ns)
			hs_coord_tell(c, t);
		hs_coord_deadline_met(c, t);
		hs_coord_deadline_by(c, t, next);
		hs_coord_deadline_by(c, t, hs_coord_tell_ns(c, t));
	}
}

void hs_coord_run(struct hs_coord_core *c)
{
	if (!hs_coord_seek_idle(c))
		hs_coord_seek_run(c);
	run_due(c);
	hs_coord_send_asks(c);
}

/* Messages of agents: what they are made of, judged before any of it counts. */
struct group {
	const struct hs_wire_group *head;
	struct hs_wire_reader answers;
	uint32_t nr_crumbs;
};

static bool parse(uint64_t from, uint16_t type, const void *payload,
		  uint32_t payload_bytes, struct group *g)
{
	struct hs_wire_reader r = hs_wire_reader_make(payload, payload_bytes);

	g->head = hs_wire_take_group(&r);
	g->answers = r;
	g->nr_crumbs = 0;
	if (!g->head)
		return false;
	/* CRUMBS repeats the COLLECT's trigger, which may be anybody's. */
	if (type != HS_WIRE_CRUMBS &&
	    g->head->trigger.origin >> 32 != from >> 32)
		return false;
	for (uint32_t i = 0; i < g->head->nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);

		/* Nobody speaks for others, or with our own words. */
		if (!a || a->node >> 32 != from >> 32 || !a->rev ||
		    a->state < HS_WIRE_STATE_UNKNOWN)
			return false;
		g->nr_crumbs += a->nr_crumbs;
	}
	return hs_wire_done(&r);
}

/* The oldest stored traces give way to new ones; never one that is not. */
static void make_room(struct hs_coord_core *c, const struct group *g)
{
	uint32_t nr = g->head->nr;
	uint32_t visits = least(nr + g->nr_crumbs, c->visits.nr / 2);
	uint32_t blocks = least(g->nr_crumbs / 4, c->blocks.nr / 2);

	while (c->stored.head && (hs_coord_pool_left(&c->traces) < nr ||
				  hs_coord_pool_left(&c->names) < nr ||
				  hs_coord_pool_left(&c->visits) < visits ||
				  hs_coord_pool_left(&c->blocks) < blocks ||
				  hs_coord_pool_left(&c->members) < nr)) {
		c->stats.evicted++;
		forget(c, c->stored.head);
	}
}

static uint32_t count_new(const struct hs_coord_core *c, const struct group *g)
{
	struct hs_wire_reader r = g->answers;
	uint32_t nr_new = 0;

	for (uint32_t i = 0; i < g->head->nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);

		nr_new += !hs_coord_trace_find(c, &a->trace);
	}
	return nr_new;
}

static bool has_room(const struct hs_coord_core *c, const struct group *g,
		     uint32_t nr_new)
{
	return hs_coord_pool_left(&c->traces) >= nr_new &&
	       hs_coord_pool_left(&c->visits) >= nr_new &&
	       hs_coord_pool_left(&c->members) >= (nr_new != 0) &&
	       hs_coord_pool_left(&c->requests) >= 1 &&
	       hs_coord_pool_left(&c->contents) >= g->head->nr;
}

static uint32_t trace_begin(struct hs_coord_core *c,
			    const struct hs_wire_trace_id *id,
			    const struct hs_wire_trigger *why, bool update)
{
	uint32_t t = hs_coord_trace_new(c, id);
	struct hs_coord_trace *trace = hs_coord_trace(c, t);

	hs_check(t, "room was made before");
	/* A forgotten trace that comes back is another traversal: its version
	 * 1 must not look older than what the collector has. */
	trace->epoch = c->config.epoch + (c->now_ns - c->created_ns);
	trace->why = *why;
	trace->why_is_update = update;
	hs_coord_step(c, t, HS_COORD_NAMED);
	return t;
}

/* What there is room for is taken first: crumbs may take all that is left. */
static void places(struct hs_coord_core *c, const struct group *g, bool update)
{
	struct hs_wire_reader r = g->answers;

	for (uint32_t i = 0; i < g->head->nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);

		if (!hs_coord_trace_find(c, &a->trace))
			hs_coord_place(c,
				       trace_begin(c, &a->trace,
						   &g->head->trigger, update),
				       a->node);
	}
}

/* Lost, or to one that does not know it: it is asked again later, as before. */
static void say_refused(struct hs_coord_core *c, uint64_t from,
			const struct hs_wire_trigger *trigger)
{
	struct hs_wire_refused refused = {
		.origin = trigger->origin,
		.key = trigger->key,
		.wait_ns = hs_coord_member_wait_ns(c, from),
		.per_s = c->config.origin_per_s,
	};

	c->stats.origin_refused++;
	c->ops->send_node(c->ctx, from, HS_WIRE_REFUSED, &refused,
			  sizeof(refused));
}

static void on_request(struct hs_coord_core *c, uint64_t from,
		       const struct group *g, bool update)
{
	const struct hs_wire_trigger *trigger = &g->head->trigger;
	struct hs_wire_reader reader = g->answers;
	uint32_t r = hs_coord_request_find(c, trigger->origin, trigger->key);
	bool repeated = r != 0;

	if (!hs_coord_member_pays(c, from, 1 + count_new(c, g))) {
		say_refused(c, from, trigger);
		return;
	}
	make_room(c, g);
	if (!has_room(c, g, count_new(c, g))) {
		if (update)
			c->stats.updates_refused++;
		else
			c->stats.triggers_refused++;
		return;
	}
	if (!r)
		r = hs_coord_request_new(c, trigger->origin, trigger->key);
	places(c, g, update);
	for (uint32_t i = 0; i < g->head->nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&reader, &crumbs);
		uint32_t t = hs_coord_trace_find(c, &a->trace);

		hs_coord_answer(c, t, a, crumbs);
		if (!update)
			hs_coord_ahead_fired(c, t, a->node);
		if (g->head->flags & HS_WIRE_GROUP_ELSEWHERE)
			hs_coord_fired_elsewhere(c, t, a->node);
		if (!update) {
			if (hs_coord_name_add(c, t, trigger))
				hs_coord_also(c, t, trigger);
			if (hs_coord_trace(c, t)->why_is_update)
				hs_coord_trace(c, t)->why = *trigger;
			hs_coord_trace(c, t)->why_is_update = false;
		}
		if (!repeated)
			hs_coord_content_add(c, t, r);
		hs_coord_review(c, t);
	}
	if (!repeated && !hs_coord_request(c, r)->nr_left)
		hs_coord_request_done(c, r);
	if (update)
		c->stats.updates++;
	else if (repeated)
		c->stats.triggers_repeated++;
	else
		c->stats.triggers++;
}

static void on_crumbs(struct hs_coord_core *c, const struct group *g)
{
	struct hs_wire_reader r = g->answers;

	make_room(c, g);
	for (uint32_t i = 0; i < g->head->nr; i++) {
		const struct hs_wire_crumb *crumbs;
		const struct hs_wire_answer *a =
			hs_wire_take_answer(&r, &crumbs);
		uint32_t t = hs_coord_trace_find(c, &a->trace);

		if (!t) {
			c->stats.answers_strange++;
			continue;
		}
		hs_coord_answer(c, t, a, crumbs);
		hs_coord_review(c, t);
	}
}

int hs_coord_core_message(struct hs_coord_core *c, uint64_t now_ns,
			  uint64_t from, uint16_t type, const void *payload,
			  uint32_t payload_bytes)
{
	struct group g;
	int rc = 0;

	hs_coord_now(c, now_ns);
	switch (type) {
	case HS_WIRE_TRIGGER:
	case HS_WIRE_UPDATE:
	case HS_WIRE_CRUMBS:
		if (!parse(from, type, payload, payload_bytes, &g))
			rc = -EBADMSG;
		else if (type == HS_WIRE_CRUMBS)
			on_crumbs(c, &g);
		else
			on_request(c, from, &g, type == HS_WIRE_UPDATE);
		break;
	case HS_WIRE_FOUND:
		rc = hs_coord_seek_found(c, from, payload, payload_bytes);
		break;
	case HS_WIRE_MANIFEST_ACK:
		rc = hs_coord_ack(c, payload, payload_bytes);
		break;
	default:
		rc = -EBADMSG;
	}
	if (rc)
		c->stats.messages_bad++;
	hs_coord_run(c);
	return rc;
}

void hs_coord_core_collector_up(struct hs_coord_core *c, uint64_t now_ns)
{
	hs_coord_now(c, now_ns);
	for (uint32_t t = 1; t <= c->traces.fresh; t++) {
		struct hs_coord_trace *trace = hs_coord_trace(c, t);

		if (trace->state == HS_COORD_FREE || !trace->nr_tries)
			continue;
		/* As if the last attempt were long ago. */
		trace->told_ns = 0;
		trace->failed = false;
		trace->nr_tries = 1;
		hs_coord_deadline_by(c, t, c->now_ns);
	}
	hs_coord_run(c);
}

void hs_coord_core_tick(struct hs_coord_core *c, uint64_t now_ns)
{
	hs_coord_now(c, now_ns);
	while (c->stored.head && hs_coord_trace(c, c->stored.head)->stored_ns +
						 c->config.forget_after_ns <=
					 c->now_ns) {
		c->stats.forgotten++;
		forget(c, c->stored.head);
	}
	hs_coord_run(c);
}

uint64_t hs_coord_core_next_ns(const struct hs_coord_core *c)
{
	uint64_t next = UINT64_MAX;

	if (c->nr_heap)
		next = c->heap[1].when_ns;
	if (c->stored.head) {
		uint64_t at = hs_coord_trace(c, c->stored.head)->stored_ns +
			      c->config.forget_after_ns;

		next = at < next ? at : next;
	}
	if (hs_coord_seek_next_ns(c) < next)
		next = hs_coord_seek_next_ns(c);
	if (c->stalled && c->now_ns + STALL_NS < next)
		next = c->now_ns + STALL_NS;
	return next;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_manifest.c - what the collector is told, and whom STORED goes to
 *
 * A version is what was told at one time; it is sent again until the collector
 * says that it is durable, or overtaken by the next. A request (TRIGGER,
 * UPDATE) is stored when every trace of it has an acknowledged version that
 * contains it and is settled.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/core_internal.h"
#include "rdma/wire.h"
#include "base/planted.h"

#define BACKOFF_MAX 16u

static uint64_t resend_ns(const struct hs_coord_core *c, uint32_t nr_tries)
{
	uint32_t doubling = nr_tries ? nr_tries - 1 : 0;
	uint64_t wait = c->config.resend_ns
			<< (doubling < BACKOFF_MAX ? doubling : BACKOFF_MAX);

	if (HS_PLANTED(18))
		return 1ull << 60;
	return wait < c->config.resend_max_ns ? wait : c->config.resend_max_ns;
}

static bool anybody_knows(const struct hs_coord_core *c, uint32_t t)
{
	for (uint32_t v = hs_coord_trace(c, t)->visits; v;
	     v = hs_coord_visit(c, v)->next) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (visit->state == HS_COORD_VISIT_ANSWERED &&
		    visit->told != HS_WIRE_STATE_UNKNOWN)
			return true;
	}
	return false;
}

bool hs_coord_left_out(const struct hs_coord_core *c,
		       const struct hs_coord_visit *visit)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, visit->trace);

	if (hs_coord_ahead_idle(visit) && !HS_PLANTED(35))
		return true;
	return visit->elsewhere && !visit->written && !visit->named &&
	       !visit->flags && !visit->cut &&
	       visit->state == HS_COORD_VISIT_ANSWERED &&
	       visit->told == HS_WIRE_STATE_UNKNOWN && !trace->elsewhere_told &&
	       (trace->state == HS_COORD_SEEKING ||
		anybody_knows(c, visit->trace));
}

/* Until somebody is found, or nobody was, there may be nothing to say. */
static bool has_words(const struct hs_coord_core *c, uint32_t t)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);

	if (!trace->elsewhere)
		return true;
	for (uint32_t v = trace->visits; v; v = hs_coord_visit(c, v)->next)
		if (hs_coord_visit(c, v)->state != HS_COORD_VISIT_ASKED &&
		    !hs_coord_left_out(c, hs_coord_visit(c, v)))
			return true;
	return false;
}

uint64_t hs_coord_tell_ns(const struct hs_coord_core *c, uint32_t t)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);
	bool unsettled = trace->state == HS_COORD_SEEKING;
	uint64_t from = trace->told_ns;

	if (!has_words(c, t))
		return UINT64_MAX;

	if (trace->failed || (!trace->changed && trace->acked < trace->version))
		return trace->told_ns + resend_ns(c, trace->nr_tries);
	if (!trace->changed)
		return UINT64_MAX;
	if (unsettled) {
		if (from < trace->changed_ns)
			from = trace->changed_ns;
		return from + c->config.tell_unsettled_ns;
	}
	return trace->version ? from + c->config.tell_settled_ns : c->now_ns;
}

/* Whom a question found, or a table that was read, and no crumb names: as
 * crumbs of whoever is written first. */
static uint32_t put_sought(struct hs_coord_core *c, struct hs_wire_writer *w,
			   uint32_t t, uint32_t room)
{
	uint32_t nr = 0;

	for (uint32_t v = hs_coord_trace(c, t)->visits; v && nr < room;
	     v = hs_coord_visit(c, v)->next) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);
		struct hs_wire_crumb crumb = {visit->id, HS_WIRE_CRUMB_SOUGHT,
					      0};

		if (!visit->sought &&
		    (!visit->hinted || hs_coord_left_out(c, visit)))
			continue;
		hs_wire_put(w, &crumb, sizeof(crumb));
		nr++;
	}
	return nr;
}

static void put_answer(struct hs_coord_core *c, struct hs_wire_writer *w,
		       const struct hs_coord_visit *visit, bool first)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, visit->trace);
	struct hs_wire_answer answer = {.trace = trace->id, .node = visit->id};
	size_t at = w->used_bytes;

	if (visit->state == HS_COORD_VISIT_ANSWERED) {
		answer.rev = visit->rev;
		answer.state = visit->told;
		answer.flags = visit->flags | visit->cut;
		answer.nr_buffers = visit->nr_buffers;
		answer.nr_bytes = visit->nr_bytes;
		answer.nr_crumbs = visit->nr_crumbs;
	} else {
		answer.state = visit->state == HS_COORD_VISIT_GONE
				       ? HS_WIRE_STATE_GONE
				       : hs_coord_member_word(c, visit->member);
		answer.flags = visit->cut;
	}
	hs_wire_put(w, &answer, sizeof(answer));
	hs_wire_put(w, visit->near,
		    (answer.nr_crumbs < HS_COORD_NEAR_CRUMBS
			     ? answer.nr_crumbs
			     : HS_COORD_NEAR_CRUMBS) *
			    sizeof(struct hs_wire_crumb));
	for (uint32_t b = answer.nr_crumbs ? visit->crumbs : 0; b;
	     b = hs_coord_block(c, b)->next)
		hs_wire_put(w, hs_coord_block(c, b)->crumbs,
			    hs_coord_block(c, b)->nr *
				    sizeof(struct hs_wire_crumb));
	if (!first)
		return;
	answer.nr_crumbs += put_sought(c, w, visit->trace,
				       HS_WIRE_CRUMBS_MAX - answer.nr_crumbs);
	memcpy(w->data + at, &answer, sizeof(answer));
}

static uint32_t write_manifest(struct hs_coord_core *c, uint32_t t)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);
	struct hs_wire_writer w =
		hs_wire_writer_make(c->out, HS_WIRE_PAYLOAD_MAX_BYTES);
	struct hs_wire_manifest head = {
		.trace = trace->id,
		.epoch = trace->epoch,
		.version = trace->version + trace->changed,
		.settled = trace->state != HS_COORD_SEEKING,
		.sought = trace->sought,
		.nr_triggers = trace->nr_triggers,
	};

	hs_wire_put(&w, &head, sizeof(head));
	for (uint32_t n = trace->triggers; n; n = hs_coord_name(c, n)->next)
		hs_wire_put(&w, &hs_coord_name(c, n)->trigger,
			    sizeof(struct hs_wire_trigger));
	for (uint32_t v = trace->visits; v; v = hs_coord_visit(c, v)->next) {
		struct hs_coord_visit *visit = hs_coord_visit(c, v);

		if (visit->state == HS_COORD_VISIT_ASKED ||
		    hs_coord_left_out(c, visit))
			continue;
		put_answer(c, &w, visit, head.nr_answers == 0);
		visit->written |= visit->state == HS_COORD_VISIT_ANSWERED;
		head.nr_answers++;
	}
	memcpy(c->out, &head, sizeof(head));
	hs_check(!w.failed && head.nr_answers, "nr_visits=%u bytes=%u",
		 trace->nr_visits, trace->bytes);
	return (uint32_t)w.used_bytes;
}

void hs_coord_tell(struct hs_coord_core *c, uint32_t t)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t size = write_manifest(c, t);

	trace->told_ns = c->now_ns;
	trace->nr_tries++;
	trace->failed = !c->ops->send_collector(c->ctx, &trace->id,
						HS_WIRE_MANIFEST, c->out, size);
	if (trace->failed) {
		c->stats.manifests_failed++;
		return;
	}
	if (!trace->changed) {
		c->stats.manifests_again++;
		return;
	}
	c->stats.manifests_sent++;
	trace->version++;
	/* What the collector has heard, it has to hear on. */
	for (uint32_t v = trace->elsewhere ? trace->visits : 0; v;
	     v = hs_coord_visit(c, v)->next)
		trace->elsewhere_told |=
			hs_coord_visit(c, v)->elsewhere &&
			!hs_coord_left_out(c, hs_coord_visit(c, v));
	trace->nr_tries = 1;
	trace->changed = false;
	trace->settled_told = trace->state != HS_COORD_SEEKING;
	/* Until it is settled its TRIGGER is the only memory that somebody has
	 * still to be asked, should this coordinator die. */
	if (!trace->settled_told && !HS_PLANTED(15))
		return;
	for (uint32_t i = trace->contents; i; i = hs_coord_content(c, i)->next)
		if (!hs_coord_content(c, i)->version)
			hs_coord_content(c, i)->version = trace->version;
}

/* Return: whether agents would hold the trace for it beside the others. */
bool hs_coord_name_add(struct hs_coord_core *c, uint32_t t,
		       const struct hs_wire_trigger *trigger)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	bool other = true;
	uint32_t n;

	for (n = trace->triggers; n; n = hs_coord_name(c, n)->next) {
		const struct hs_wire_trigger *known =
			&hs_coord_name(c, n)->trigger;

		if (known->origin == trigger->origin &&
		    known->key == trigger->key)
			return false;
		other &= !hs_coord_same_hold(known, trigger);
	}
	n = trace->nr_triggers < HS_WIRE_TRIGGERS_MAX
		    ? hs_coord_pool_take(&c->names)
		    : 0;
	if (!n) {
		c->stats.triggers_cut++;
		return false;
	}
	hs_coord_name(c, n)->trigger = *trigger;
	if (trace->triggers)
		hs_coord_name(c, trace->triggers_tail)->next = n;
	else
		trace->triggers = n;
	trace->triggers_tail = n;
	trace->nr_triggers++;
	trace->why_alone = trace->nr_triggers == 1 &&
			   hs_coord_same_hold(trigger, &trace->why);
	hs_coord_changed(c, t);
	return other;
}

void hs_coord_content_add(struct hs_coord_core *c, uint32_t t, uint32_t r)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t i;

	if (!trace->changed && trace->settled_told &&
	    trace->state != HS_COORD_SEEKING && trace->version &&
	    trace->acked == trace->version)
		return; /* it is on the disk already */
	i = hs_coord_pool_take(&c->contents);
	hs_check(i, "room was made before");
	*hs_coord_content(c, i) = (struct hs_coord_content){
		.next = trace->contents,
		.request = r,
		.version = trace->changed || !trace->settled_told ||
					   trace->state == HS_COORD_SEEKING
				   ? 0
				   : trace->version,
	};
	trace->contents = i;
	hs_coord_request(c, r)->nr_left++;
}

void hs_coord_request_done(struct hs_coord_core *c, uint32_t r)
{
	const struct hs_coord_request *request = hs_coord_request(c, r);
	struct hs_wire_stored stored = {request->origin, request->key};

	/* Lost, or no connection now: the agent sends its request again, and
	 * is told at once. */
	if (c->ops->send_node(c->ctx, request->origin, HS_WIRE_STORED, &stored,
			      sizeof(stored)))
		c->stats.stored_sent++;
	hs_coord_request_free(c, r);
}

int hs_coord_ack(struct hs_coord_core *c, const void *payload,
		 uint32_t payload_bytes)
{
	const struct hs_wire_manifest_ack *ack = payload;
	struct hs_coord_trace *trace;
	uint32_t *at;
	uint32_t t;

	if (payload_bytes != sizeof(*ack))
		return -EBADMSG;
	t = hs_coord_trace_find(c, &ack->trace);
	trace = hs_coord_trace(c, t);
	if (!t || trace->epoch != ack->epoch || ack->version > trace->version ||
	    ack->version <= trace->acked) {
		c->stats.acks_strange++;
		return 0;
	}
	c->stats.acks++;
	trace->acked = HS_PLANTED(16) ? trace->version : ack->version;
	if (trace->acked == trace->version && !trace->failed)
		trace->nr_tries = 0;
	for (at = &trace->contents; *at;) {
		uint32_t i = *at;
		struct hs_coord_content *content = hs_coord_content(c, i);
		uint32_t r = content->request;

		if (!content->version || content->version > trace->acked) {
			at = &content->next;
			continue;
		}
		*at = content->next;
		hs_coord_pool_give(&c->contents, i);
		if (--hs_coord_request(c, r)->nr_left == 0)
			hs_coord_request_done(c, r);
	}
	hs_coord_review(c, t);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_view.c - what people and tests are shown
 */
#include <string.h>

#include "coordinator/core_internal.h"

void hs_coord_core_stats_get(const struct hs_coord_core *c,
			     struct hs_coord_stats *out)
{
	*out = c->stats;
	out->nr_traces = c->traces.used;
	out->nr_visits = c->visits.used;
	out->nr_nodes = c->members.used;
	out->nr_requests = c->requests.used;
	out->nr_nodes_up = 0;
	for (uint32_t s = 0; s <= c->member_mask; s++)
		for (uint32_t m = c->member_table[s]; m;
		     m = hs_coord_member(c, m)->next_hash)
			out->nr_nodes_up += hs_coord_member(c, m)->up != 0;
}

static void view_one(const struct hs_coord_core *c,
		     const struct hs_coord_trace *trace,
		     struct hs_coord_view *out)
{
	*out = (struct hs_coord_view){
		.trace = trace->id,
		.state = trace->state,
		.nr_nodes = trace->nr_visits,
		.nr_waiting = trace->nr_waiting,
		.nr_triggers = trace->nr_triggers,
		.version = trace->version,
		.acked = trace->acked,
	};
	memcpy(out->name, trace->why.name, sizeof(out->name));
	for (uint32_t v = trace->waiting.head; v;
	     v = hs_coord_visit(c, v)->wait.next)
		out->nr_unreachable += hs_coord_visit(c, v)->state ==
				       HS_COORD_VISIT_UNREACHABLE;
}

uint32_t hs_coord_core_view(const struct hs_coord_core *c,
			    struct hs_coord_view *out, uint32_t max)
{
	uint32_t nr = 0;

	for (uint32_t s = 0; s <= c->trace_mask; s++)
		for (uint32_t t = c->trace_table[s]; t && nr < max;
		     t = hs_coord_trace(c, t)->next_hash)
			view_one(c, hs_coord_trace(c, t), &out[nr++]);
	return nr;
}

struct sums {
	uint32_t nr_traces, nr_visits, nr_waiting, nr_crumb_blocks, nr_names;
	uint32_t nr_contents, nr_in_flight, nr_blamed;
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static const char *check_trace(const struct hs_coord_core *c, uint32_t t,
			       struct sums *all)
{
	const struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint32_t visits = 0, waiting = 0, bytes = 0, listed = 0;

	for (uint32_t v = trace->visits; v; v = hs_coord_visit(c, v)->next) {
		const struct hs_coord_visit *visit = hs_coord_visit(c, v);
		bool answered = visit->state == HS_COORD_VISIT_ANSWERED;
		uint32_t crumbs =
			answered ? least(visit->nr_crumbs, HS_COORD_NEAR_CRUMBS)
				 : 0;

		visits++;
		waiting += visit->state == HS_COORD_VISIT_ASKED;
		listed -= hs_coord_visit_waits(visit->state);
		all->nr_in_flight += visit->in_flight;
		all->nr_blamed += visit->blame != 0;
		for (uint32_t b = answered ? visit->crumbs : 0; b;
		     b = hs_coord_block(c, b)->next) {
			crumbs += hs_coord_block(c, b)->nr;
			all->nr_crumb_blocks++;
		}
		if (answered && crumbs != visit->nr_crumbs)
			return "crumbs of a visit";
		bytes += sizeof(struct hs_wire_answer) +
			 (crumbs + visit->sought + visit->hinted) *
				 sizeof(struct hs_wire_crumb);
		if (hs_coord_visit_find(c, t, visit->id) != v)
			return "a node is twice in a trace";
		if (visit->hinted && (visit->named || visit->sought))
			return "a node is named, and hinted yet";
		if (visit->state == HS_COORD_VISIT_HINTED && !visit->hinted)
			return "a hint that counts, and nobody waits for";
		if (visit->state == HS_COORD_VISIT_ASKED && !visit->queued &&
		    !visit->in_flight && !c->heap_at[t])
			return "nobody will ask again";
	}
	for (uint32_t v = trace->waiting.head; v;
	     v = hs_coord_visit(c, v)->wait.next)
		listed++;
	for (uint32_t n = trace->triggers; n; n = hs_coord_name(c, n)->next)
		all->nr_names++;
	for (uint32_t i = trace->contents; i; i = hs_coord_content(c, i)->next)
		all->nr_contents++;
	all->nr_traces++;
	all->nr_visits += visits;
	all->nr_waiting += waiting;
	if (visits != trace->nr_visits || bytes != trace->bytes || listed ||
	    waiting != trace->nr_waiting)
		return "visits of a trace";
	if (bytes > HS_COORD_TRACE_BYTES)
		return "a manifest that fits no message";
	if (waiting || hs_coord_seeks(trace) ? trace->state != HS_COORD_SEEKING
					     : trace->state == HS_COORD_SEEKING)
		return "seeking is to wait for somebody";
	if (trace->state == HS_COORD_STORED &&
	    (trace->changed || trace->acked != trace->version ||
	     trace->contents))
		return "stored, and yet something to tell";
	if (trace->state == HS_COORD_TELLING && !c->heap_at[t])
		return "nobody will tell";
	return NULL;
}

bool hs_coord_core_check(const struct hs_coord_core *c, const char **why)
{
	struct sums all = {0};
	uint32_t in_flight = 0, blamed = 0, questions = 0;

	*why = NULL;
	for (uint32_t s = 0; s <= c->trace_mask && !*why; s++)
		for (uint32_t t = c->trace_table[s]; t && !*why;
		     t = hs_coord_trace(c, t)->next_hash)
			*why = check_trace(c, t, &all);
	if (*why)
		return false;
	for (uint32_t s = 0; s <= c->member_mask; s++)
		for (uint32_t m = c->member_table[s]; m;
		     m = hs_coord_member(c, m)->next_hash) {
			const struct hs_coord_member *at =
				hs_coord_member(c, m);

			in_flight += at->in_flight;
			blamed += at->nr_blamed;
			if (!at->up && !at->visits.head && !at->known &&
			    !at->left)
				*why = "a node that nobody knows";
			if (at->asks.head && !at->is_ready)
				*why = "questions that nobody sends";
		}
	if (in_flight != all.nr_in_flight)
		*why = "questions in flight";
	if (blamed != all.nr_blamed)
		*why = "visits that wait for a node's crumbs";
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		questions += c->questions[i].id != 0;
	if (questions != c->nr_questions)
		*why = "questions to many";
	if (all.nr_traces != c->traces.used ||
	    all.nr_visits != c->visits.used ||
	    all.nr_crumb_blocks != c->blocks.used ||
	    all.nr_names != c->names.used ||
	    all.nr_contents != c->contents.used ||
	    all.nr_waiting != c->stats.nr_waiting)
		*why = "pools";
	return !*why;
}

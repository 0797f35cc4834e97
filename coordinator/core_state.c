/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_state.c - the two tables of transitions, and who alone writes states
 */
#include "base/check.h"
#include "base/reached.h"
#include "coordinator/core_internal.h"

#define NEVER HS_COORD_NEVER

const uint8_t hs_coord_transitions[HS_COORD_NR_STATES][HS_COORD_NR_EVENTS] = {
	[HS_COORD_FREE] =
		{
			[HS_COORD_NAMED] = HS_COORD_TELLING,
			[HS_COORD_ASKED] = NEVER,
			[HS_COORD_SETTLED] = NEVER,
			[HS_COORD_CHANGED] = NEVER,
			[HS_COORD_ACKED] = NEVER,
			[HS_COORD_FORGOTTEN] = NEVER,
		},
	[HS_COORD_SEEKING] =
		{
			[HS_COORD_NAMED] = NEVER,
			[HS_COORD_ASKED] = HS_COORD_SEEKING,
			[HS_COORD_SETTLED] = HS_COORD_TELLING,
			[HS_COORD_CHANGED] = HS_COORD_SEEKING,
			/* Of a manifest that said "not settled". */
			[HS_COORD_ACKED] = HS_COORD_SEEKING,
			[HS_COORD_FORGOTTEN] = NEVER,
		},
	[HS_COORD_TELLING] =
		{
			[HS_COORD_NAMED] = NEVER,
			[HS_COORD_ASKED] = HS_COORD_SEEKING,
			[HS_COORD_SETTLED] = NEVER,
			[HS_COORD_CHANGED] = HS_COORD_TELLING,
			[HS_COORD_ACKED] = HS_COORD_STORED,
			[HS_COORD_FORGOTTEN] = NEVER,
		},
	[HS_COORD_STORED] =
		{
			[HS_COORD_NAMED] = NEVER,
			[HS_COORD_ASKED] = HS_COORD_SEEKING,
			[HS_COORD_SETTLED] = NEVER,
			[HS_COORD_CHANGED] = HS_COORD_TELLING,
			[HS_COORD_ACKED] = HS_COORD_STORED,
			[HS_COORD_FORGOTTEN] = HS_COORD_FREE,
		},
};

const uint8_t hs_coord_visit_transitions
	[HS_COORD_NR_VISIT_STATES][HS_COORD_NR_VISIT_EVENTS] = {
		[HS_COORD_VISIT_FREE] =
			{
				[HS_COORD_VISIT_NAMED] = HS_COORD_VISIT_ASKED,
				[HS_COORD_VISIT_ANSWER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_TIMEOUT] = NEVER,
				/* No need to remember it: the later one stands.
				 */
				[HS_COORD_VISIT_LATER] = HS_COORD_VISIT_GONE,
				[HS_COORD_VISIT_HINT] = HS_COORD_VISIT_HINTED,
			},
		[HS_COORD_VISIT_ASKED] =
			{
				[HS_COORD_VISIT_NAMED] = NEVER,
				[HS_COORD_VISIT_ANSWER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_TIMEOUT] =
					HS_COORD_VISIT_UNREACHABLE,
				[HS_COORD_VISIT_LATER] = HS_COORD_VISIT_GONE,
				[HS_COORD_VISIT_HINT] = NEVER,
			},
		[HS_COORD_VISIT_UNREACHABLE] =
			{
				[HS_COORD_VISIT_NAMED] = NEVER,
				[HS_COORD_VISIT_ANSWER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_TIMEOUT] = NEVER,
				[HS_COORD_VISIT_LATER] = HS_COORD_VISIT_GONE,
				[HS_COORD_VISIT_HINT] = NEVER,
			},
		[HS_COORD_VISIT_ANSWERED] =
			{
				[HS_COORD_VISIT_NAMED] = NEVER,
				[HS_COORD_VISIT_ANSWER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_TIMEOUT] = NEVER,
				[HS_COORD_VISIT_LATER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_HINT] = NEVER,
			},
		[HS_COORD_VISIT_GONE] =
			{
				[HS_COORD_VISIT_NAMED] = NEVER,
				[HS_COORD_VISIT_ANSWER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_TIMEOUT] = NEVER,
				[HS_COORD_VISIT_LATER] = HS_COORD_VISIT_GONE,
				[HS_COORD_VISIT_HINT] = NEVER,
			},
		[HS_COORD_VISIT_HINTED] =
			{
				[HS_COORD_VISIT_NAMED] = HS_COORD_VISIT_ASKED,
				[HS_COORD_VISIT_ANSWER] =
					HS_COORD_VISIT_ANSWERED,
				[HS_COORD_VISIT_TIMEOUT] = NEVER,
				[HS_COORD_VISIT_LATER] = HS_COORD_VISIT_GONE,
				[HS_COORD_VISIT_HINT] = NEVER,
			},
};

const char *hs_coord_state_name(enum hs_coord_state state)
{
	static const char *const names[HS_COORD_NR_STATES] = {
		[HS_COORD_FREE] = "free",
		[HS_COORD_SEEKING] = "seeking",
		[HS_COORD_TELLING] = "telling",
		[HS_COORD_STORED] = "stored",
	};

	return (unsigned int)state < HS_COORD_NR_STATES ? names[state] : "?";
}

static void count(struct hs_coord_core *c, enum hs_coord_state state, int by)
{
	if (state == HS_COORD_SEEKING)
		c->stats.nr_seeking += (uint32_t)by;
	else if (state == HS_COORD_TELLING)
		c->stats.nr_telling += (uint32_t)by;
	else if (state == HS_COORD_STORED)
		c->stats.nr_stored += (uint32_t)by;
}

void hs_coord_step(struct hs_coord_core *c, uint32_t t,
		   enum hs_coord_event event)
{
	struct hs_coord_trace *trace = hs_coord_trace(c, t);
	uint8_t to = hs_coord_transitions[trace->state][event];

	hs_check(to != NEVER, "state=%d event=%d", trace->state, event);
	if (to == trace->state)
		return;
	count(c, trace->state, -1);
	count(c, to, 1);
	if (trace->state == HS_COORD_STORED)
		hs_coord_list_drop(
			&c->stored,
			HS_COORD_LINK(&c->traces, struct hs_coord_trace, lru),
			t);
	HS_REACHED(HS_MACHINE_TRACE, trace->state, to);
	trace->state = to;
	if (to == HS_COORD_STORED) {
		trace->stored_ns = c->now_ns;
		hs_coord_list_push(
			&c->stored,
			HS_COORD_LINK(&c->traces, struct hs_coord_trace, lru),
			t);
	}
}

static void stop_waiting(struct hs_coord_core *c, uint32_t v)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_member *m = hs_coord_member(c, visit->member);

	hs_coord_list_drop(
		&hs_coord_trace(c, visit->trace)->waiting,
		HS_COORD_LINK(&c->visits, struct hs_coord_visit, wait), v);
	if (visit->queued)
		hs_coord_list_drop(
			&m->asks,
			HS_COORD_LINK(&c->visits, struct hs_coord_visit, ask),
			v);
	if (visit->in_flight)
		m->in_flight--;
	visit->queued = false;
	visit->in_flight = false;
}

static void answer_begin(struct hs_coord_visit *visit)
{
	visit->rev = 0;
	visit->told = 0;
	visit->flags = 0;
	visit->nr_buffers = 0;
	visit->nr_crumbs = 0;
	visit->nr_bytes = 0;
	visit->crumbs = 0;
}

void hs_coord_visit_step(struct hs_coord_core *c, uint32_t v,
			 enum hs_coord_visit_event event)
{
	struct hs_coord_visit *visit = hs_coord_visit(c, v);
	struct hs_coord_trace *trace = hs_coord_trace(c, visit->trace);
	uint8_t to = hs_coord_visit_transitions[visit->state][event];

	hs_check(to != NEVER, "visit state=%d event=%d", visit->state, event);
	if (to == visit->state)
		return;
	if (visit->state == HS_COORD_VISIT_ASKED) {
		trace->nr_waiting--;
		c->stats.nr_waiting--;
	}
	if (to == HS_COORD_VISIT_ASKED) {
		trace->nr_waiting++;
		c->stats.nr_waiting++;
	}
	if (hs_coord_visit_waits(visit->state) && !hs_coord_visit_waits(to)) {
		hs_coord_unblame(c, v);
		stop_waiting(c, v);
	}
	if (!hs_coord_visit_waits(to))
		answer_begin(visit);
	if (!hs_coord_visit_waits(visit->state) && hs_coord_visit_waits(to))
		hs_coord_list_push(
			&trace->waiting,
			HS_COORD_LINK(&c->visits, struct hs_coord_visit, wait),
			v);
	HS_REACHED(HS_MACHINE_VISIT, visit->state, to);
	visit->state = to;
}

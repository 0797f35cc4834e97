/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_coord_seek.c - the question to many, as a plain model has it: who wants
 * one, when it may go and to whom, when it is over, and what the manifest then
 * says of it; and members that are listed, and that leave
 */
#include "tests/sim/bout_coord.h"

#include <errno.h>

#define CRUMBS_GONE                                                            \
	(HS_WIRE_F_EVICTED | HS_WIRE_F_LOST | HS_WIRE_F_CRASHED | HS_WIRE_F_CUT)

static const struct hs_coord_trace *inside(const struct bco *g, uint32_t t)
{
	uint32_t i = hs_coord_trace_find(g->core, &g->traces[t].id);

	return i ? hs_coord_trace(g->core, i) : NULL;
}

static uint32_t nr_of(uint32_t bits)
{
	return (uint32_t)__builtin_popcount(bits);
}

/* In a small table a node that comes may find no place, and is nobody then. */
static uint32_t up_now(const struct bco *g)
{
	uint32_t bits = 0;

	for (uint32_t n = 0; n < BCO_NUMBERS; n++) {
		uint32_t m = hs_coord_member_find(g->core, bco_node_id(2 * n));

		if (g->up[n] &&
		    (!g->small || (m && hs_coord_member(g->core, m)->up)))
			bits |= 1u << n;
	}
	return bits;
}

static uint32_t known_now(const struct bco *g)
{
	uint32_t bits = 0;

	for (uint32_t n = 0; g->small && n < BCO_NUMBERS; n++) {
		uint32_t m = hs_coord_member_find(g->core, bco_node_id(2 * n));

		bits |= (uint32_t)(m && hs_coord_member(g->core, m)->known)
			<< n;
	}
	return g->small ? bits : g->known;
}

bool bco_has_left(const struct bco *g, uint32_t n)
{
	uint32_t m = hs_coord_member_find(g->core, bco_node_id(n));

	if (g->small)
		return m && hs_coord_member(g->core, m)->left;
	return g->left >> n / 2 & 1;
}

/* What is said of one that does not answer. */
uint16_t bco_word(const struct bco *g, uint32_t n)
{
	if (bco_has_left(g, n))
		return HS_WIRE_STATE_GONE;
	return g->all_listed && !(known_now(g) >> n / 2 & 1)
		       ? HS_WIRE_STATE_UNKNOWN
		       : HS_WIRE_STATE_UNREACHABLE;
}

/* ---- who wants one ---------------------------------------------------------
 */

static bool knows(const struct bco_node *n)
{
	return n->answered && (n->said.state == HS_WIRE_STATE_OPEN ||
			       n->said.state == HS_WIRE_STATE_CLOSED);
}

/* Crumbs led nowhere, or somebody who had some cannot say them. */
static bool missing(const struct bco *g, uint32_t t, bool *waits)
{
	const struct hs_coord_trace *is = inside(g, t);
	const struct bco_trace *x = &g->traces[t];
	bool anybody = false, some = false;

	*waits = false;
	for (uint32_t v = is->visits; v; v = hs_coord_visit(g->core, v)->next) {
		const struct hs_coord_visit *visit = hs_coord_visit(g->core, v);
		uint32_t n = bco_node_of(visit->id);
		const struct bco_node *node = &x->nodes[n];

		*waits |= visit->state == HS_COORD_VISIT_ASKED;
		anybody |= knows(node);
		if (x->elsewhere >> n & 1 && !visit->named)
			continue;
		some |= !knows(node) || node->said.flags & CRUMBS_GONE ||
			visit->cut;
	}
	return some || !anybody;
}

static void wants(struct bco *g, uint32_t t)
{
	const struct hs_coord_trace *is = inside(g, t);
	struct bco_trace *x = &g->traces[t];
	bool waits, some = missing(g, t, &waits);

	if (is->seek == HS_COORD_SEEK_NONE) {
		if (some && !waits && !g->config.seek_never)
			sim_fail(g->s, BCO "crumbs are missing, and nobody is "
					   "asked");
		return;
	}
	if (x->seek != HS_COORD_SEEK_NONE)
		return;
	/* What a message says of it in two places is seen as a whole. */
	if ((!some && !x->twice) || g->config.seek_never)
		sim_fail(g->s, BCO "everybody is asked about what misses no "
				   "crumbs");
	x->seek = HS_COORD_SEEK_QUEUED;
	x->queued_ns = g->now_ns;
}

/* ---- questions -------------------------------------------------------------
 */

static bool affordable(const struct bco *g)
{
	uint64_t burst = SIM_S / g->config.seek_per_s * g->config.seek_nodes;
	uint64_t even = g->even_ns;

	if (even + burst < g->now_ns)
		even = g->now_ns - burst;
	return even <= g->now_ns;
}

static void pays(struct bco *g, bool first)
{
	uint64_t burst = SIM_S / g->config.seek_per_s * g->config.seek_nodes;

	if (first && g->even_ns + burst < g->now_ns)
		g->even_ns = g->now_ns - burst;
	g->even_ns += SIM_S / g->config.seek_per_s;
}

static uint32_t nr_questions(const struct bco *g)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		nr += g->questions[i].id != 0;
	return nr;
}

static void done(struct bco *g, uint32_t t, uint32_t nr, bool part)
{
	const struct hs_coord_trace *is = inside(g, t);

	if (!is || is->seek != HS_COORD_SEEK_DONE)
		sim_fail(g->s, BCO "a question does not end");
	g->traces[t].seek = HS_COORD_SEEK_DONE;
	g->traces[t].sought = (uint16_t)(nr | (part ? HS_WIRE_SOUGHT_PART : 0));
	g->parts += part;
}

static void over(struct bco *g, struct bco_question *q)
{
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		if (q->traces >> t & 1)
			done(g, t, nr_of(q->asked), q->part || q->silent);
	q->id = 0;
}

static bool not_everybody(const struct bco *g)
{
	return nr_of(known_now(g)) != nr_of(up_now(g)) ||
	       (!g->all_listed &&
		g->now_ns - g->created_ns < g->config.seek_warm_ns);
}

/* Of the first message of it; the others come in the same event. */
static struct bco_question *begins(struct bco *g, uint64_t id, uint32_t traces)
{
	struct bco_question *q = g->questions;
	bool old = false;

	while (q->id && q < &g->questions[HS_COORD_QUESTIONS_MAX - 1])
		q++;
	if (q->id || id <= g->last_question || id <= g->config.epoch)
		sim_fail(g->s, BCO "a question too many, or a number twice");
	for (uint32_t t = 0; t < BCO_TRACES; t++) {
		struct bco_trace *x = &g->traces[t];
		const struct hs_coord_trace *is = inside(g, t);

		if (is && is->seek == HS_COORD_SEEK_QUEUED)
			sim_fail(g->s, BCO "a trace is left behind");
		if (!(traces >> t & 1))
			continue;
		if (x->seek != HS_COORD_SEEK_QUEUED)
			sim_fail(g->s, BCO "a second question in one life");
		old |= x->queued_ns + g->config.seek_batch_ns <= g->now_ns;
		x->seek = HS_COORD_SEEK_ASKED;
	}
	if (!old)
		sim_fail(g->s, BCO "a question that waits for nobody else");
	if (!affordable(g))
		sim_fail(g->s, BCO "a question over the budget");
	*q = (struct bco_question){
		.id = id,
		.traces = traces,
		.deadline_ns = g->now_ns + g->config.seek_after_ns,
		.next_ns = g->now_ns + g->config.retry_ns,
		.event = g->event,
		.part = not_everybody(g),
		.first = true,
	};
	g->last_question = id;
	g->nr_questions++;
	return q;
}

static void goes_to(struct bco *g, struct bco_question *q, uint32_t bit)
{
	if (q->event == g->event && q->first) {
		if (q->asked & bit)
			sim_fail(g->s, BCO "one is asked twice at once");
		pays(g, !q->asked);
		q->asked |= bit;
		q->silent |= bit;
		return;
	}
	if (!(q->silent & bit))
		sim_fail(g->s, BCO "one that answered is asked again");
	if (q->event != g->event && q->next_ns > g->now_ns)
		sim_fail(g->s, BCO "the silent are asked again too early");
	if (q->event != g->event) {
		q->event = g->event;
		q->again = 0;
		q->next_ns = g->now_ns + (g->config.retry_ns << ++q->nr_tries);
	}
	pays(g, false);
	q->again |= bit;
}

bool bco_seeks(struct bco *g, uint64_t to, const struct hs_wire_seek *m,
	       uint32_t bytes)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);
	uint32_t number = (uint32_t)(to >> 32) - 1, traces = 0;
	struct bco_question *q = NULL;

	if (number >= BCO_NUMBERS || g->up[number] != to || !m->nr ||
	    m->nr > BCO_TRACES || m->reserved ||
	    bytes != sizeof(*m) + m->nr * sizeof(*ids)) {
		sim_fail(g->s, BCO "a malformed SEEK, or to nobody");
		return false;
	}
	for (uint32_t i = 0; i < m->nr; i++) {
		uint32_t t = bco_trace_of(g, &ids[i]);

		if (t == BCO_TRACES || traces >> t & 1 || !inside(g, t)) {
			sim_fail(g->s, BCO "a question about what is not here");
			return false;
		}
		traces |= 1u << t;
	}
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		if (g->questions[i].id && g->questions[i].id == m->question)
			q = &g->questions[i];
	if (!q)
		q = begins(g, m->question, traces);
	if (q->traces != traces)
		sim_fail(g->s, BCO "a question changes");
	goes_to(g, q, 1u << number);
	if (g->jammed && hs_random_chance(&g->r, 0.5))
		return false;
	g->seeks++;
	g->seeks_asked += m->nr;
	return true;
}

/* The event in which it was asked is over: were these all? */
static void was_asked(struct bco *g, struct bco_question *q)
{
	uint32_t ups = up_now(g), nr = nr_of(ups);
	uint32_t most = g->config.seek_nodes;
	/* Up now and then, and left out the last time. */
	uint32_t first = g->unasked & ups;

	q->first = false;
	if (nr_of(q->asked) != (nr < most ? nr : most))
		sim_fail(g->s, BCO "%u of %u nodes are asked", nr_of(q->asked),
			 nr);
	if (!(ups & ~g->ups_last) && nr_of(first) <= most && first & ~q->asked)
		sim_fail(g->s, BCO "one is left out each time");
	q->part |= nr > most;
	g->unasked = ups & ~q->asked;
	g->ups_last = ups;
}

/* Queued before, and done now: nobody was there, or there was no time. */
static void not_asked(struct bco *g, uint32_t t)
{
	struct bco_trace *x = &g->traces[t];
	uint64_t waited = g->now_ns - x->queued_ns;

	if (waited >= g->config.seek_after_ns &&
	    (!affordable(g) || nr_questions(g) == HS_COORD_QUESTIONS_MAX)) {
		g->refused_seeks++;
		done(g, t, 0, true);
		return;
	}
	/* It may have gone with one that waited longer. */
	for (uint32_t k = 0; k < BCO_TRACES; k++) {
		const struct hs_coord_trace *is = inside(g, k);

		if (is && is->seek == HS_COORD_SEEK_DONE &&
		    g->traces[k].seek == HS_COORD_SEEK_QUEUED &&
		    g->now_ns - g->traces[k].queued_ns > waited)
			waited = g->now_ns - g->traces[k].queued_ns;
	}
	if (up_now(g) || (!g->to_nobody && waited < g->config.seek_batch_ns))
		sim_fail(g->s, BCO "nobody is asked, and there is somebody");
	done(g, t, 0, not_everybody(g));
	g->to_nobody |= 1u << t;
}

/* Before anything is looked at: what has ended by now has ended. */
void bco_seek_sync(struct bco *g)
{
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++) {
		struct bco_question *q = &g->questions[i];

		if (q->id && q->first && q->event != g->event)
			was_asked(g, q);
		if (q->id && !q->first &&
		    (!q->silent || q->deadline_ns <= g->now_ns))
			over(g, q);
	}
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		if (g->traces[t].live && inside(g, t) && !g->s->failed) {
			wants(g, t);
			if (g->traces[t].seek == HS_COORD_SEEK_QUEUED &&
			    inside(g, t)->seek == HS_COORD_SEEK_DONE)
				not_asked(g, t);
		}
}

static void in_time(struct bco *g)
{
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++) {
		const struct bco_question *q = &g->questions[i];

		if (q->id && q->next_ns < g->now_ns && q->silent & up_now(g))
			sim_fail(g->s, BCO "the silent are not asked again");
		if (q->id && q->event == g->event && q->nr_tries &&
		    q->again != (q->silent & up_now(g)))
			sim_fail(g->s, BCO "not all of the silent are asked "
					   "again");
	}
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		if (g->traces[t].live &&
		    g->traces[t].seek == HS_COORD_SEEK_QUEUED &&
		    g->traces[t].queued_ns + g->config.seek_batch_ns <
			    g->now_ns &&
		    affordable(g) && nr_questions(g) < HS_COORD_QUESTIONS_MAX)
			sim_fail(g->s, BCO "a question does not go");
}

/* An event is over. */
void bco_seek_settle(struct bco *g)
{
	struct hs_coord_stats st;
	uint32_t nr = 0, nobody;

	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		if (g->questions[i].id && g->questions[i].first)
			was_asked(g, &g->questions[i]);
	bco_seek_sync(g);
	if (g->s->failed)
		return;
	in_time(g);
	g->event++;
	nobody = g->to_nobody;
	g->to_nobody = 0;
	for (uint32_t t = 0; t < BCO_TRACES; t++) {
		g->traces[t].twice = false;
		nr += g->traces[t].live &&
		      (g->traces[t].seek == HS_COORD_SEEK_QUEUED ||
		       g->traces[t].seek == HS_COORD_SEEK_ASKED);
	}
	hs_coord_core_stats_get(g->core, &st);
	/* One question, or several, to nobody. */
	if (nobody && st.questions > g->nr_questions)
		g->nr_questions = st.questions;
	if (st.seeks_sent != g->seeks || st.seeks_asked != g->seeks_asked ||
	    st.questions != g->nr_questions || st.seeks_part != g->parts ||
	    st.seeks_refused != g->refused_seeks || st.nr_seeks != nr ||
	    (g->config.seek_per_s > 10000 && st.seeks_deferred))
		sim_fail(g->s, BCO "its counters of questions are not what it "
				   "asked");
	if (!g->small && st.nr_nodes_up != nr_of(up_now(g)))
		sim_fail(g->s, BCO "%u nodes are up, it says, and not %u",
			 st.nr_nodes_up, nr_of(up_now(g)));
}

/* ---- what comes back -------------------------------------------------------
 */

static bool found_ok(const struct hs_wire_seek *m, uint32_t bytes)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);

	if (bytes < sizeof(*m) || m->nr > HS_WIRE_SEEK_MAX ||
	    bytes != sizeof(*m) + m->nr * sizeof(*ids))
		return false;
	for (uint32_t i = 0; i < m->nr; i++)
		if (!(ids[i].hi | ids[i].lo))
			return false;
	return true;
}

static void is_found(struct bco *g, uint64_t from, const struct hs_wire_seek *m)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);
	uint32_t n = bco_node_of(from), number = n / 2;

	for (uint32_t i = 0; i < m->nr; i++) {
		uint32_t t = bco_trace_of(g, &ids[i]);
		uint32_t is = hs_coord_trace_find(g->core, &ids[i]);

		if (t == BCO_TRACES || !is ||
		    g->traces[t].seek < HS_COORD_SEEK_ASKED ||
		    hs_coord_visit_find(g->core, is, from) ||
		    g->traces[t].found >> n & 1)
			continue;
		g->traces[t].found |= 1u << n;
		g->expected |= 1u << t;
	}
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++)
		if (g->questions[i].id && g->questions[i].id == m->question)
			g->questions[i].silent &= ~(1u << number);
}

/* Who said so has a place there now. */
static void has_places(struct bco *g, uint64_t from)
{
	uint32_t n = bco_node_of(from);

	for (uint32_t t = 0; t < BCO_TRACES; t++) {
		uint32_t i = hs_coord_trace_find(g->core, &g->traces[t].id);
		uint32_t v = i ? hs_coord_visit_find(g->core, i, from) : 0;

		if (!(g->expected >> t & 1))
			continue;
		g->nr_found += v != 0;
		if (v)
			continue;
		g->traces[t].found &= ~(1u << n);
		if (!g->small)
			sim_fail(g->s, BCO "one that was found has no place");
	}
	g->expected = 0;
}

void bco_finds(struct bco *g)
{
	struct hs_wire_seek *m = (void *)g->payload;
	struct hs_wire_trace_id *ids = (void *)(m + 1);
	struct bco_question *q =
		&g->questions[bout_below(&g->r, HS_COORD_QUESTIONS_MAX)];
	uint32_t number = bout_below(&g->r, BCO_NUMBERS), bytes;
	uint64_t from = g->up[number] ? g->up[number] : bco_node_id(2 * number);
	struct hs_coord_stats st;
	bool ok;
	int rc;

	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX && !q->id; i++)
		q = &g->questions[i];
	*m = (struct hs_wire_seek){.question =
					   q->id ? q->id : g->last_question};
	if (hs_random_chance(&g->r, 0.05))
		m->question++;
	m->nr = bout_below(&g->r, 4);
	for (uint32_t i = 0; i < m->nr; i++)
		ids[i] = g->traces[bout_below(&g->r, BCO_TRACES)].id;
	bytes = (uint32_t)(sizeof(*m) + m->nr * sizeof(*ids));
	if (hs_random_chance(&g->r, 0.1))
		bytes = bout_mangle(&g->r, (uint8_t *)g->payload, bytes,
				    sizeof(g->payload));
	ok = found_ok(m, bytes);
	g->bad += !ok;
	if (ok)
		is_found(g, from, m);
	rc = hs_coord_core_message(g->core, g->now_ns, from, HS_WIRE_FOUND,
				   g->payload, bytes);
	if (rc != (ok ? 0 : -EBADMSG))
		sim_fail(g->s, BCO "a FOUND comes to %d", rc);
	has_places(g, from);
	hs_coord_core_stats_get(g->core, &st);
	if (st.found != g->nr_found)
		sim_fail(g->s, BCO "%llu were found, it says, and not %llu",
			 (unsigned long long)st.found,
			 (unsigned long long)g->nr_found);
	bco_sync(g);
}

/* ---- members ---------------------------------------------------------------
 */

/* A connection ends: before the core hears of it. */
void bco_goes(struct bco *g, uint32_t number)
{
	bco_address_goes(g, number);
	g->up[number] = 0;
	for (uint32_t i = 0; i < HS_COORD_QUESTIONS_MAX; i++) {
		struct bco_question *q = &g->questions[i];

		if (!q->id || !(q->silent >> number & 1))
			continue;
		q->silent &= ~(1u << number);
		q->part = true;
	}
}

void bco_comes(struct bco *g, uint32_t number, uint64_t id)
{
	g->up[number] = id;
	g->known |= 1u << number;
	g->left &= ~(1u << number);
}

void bco_lists(struct bco *g)
{
	uint32_t number = bout_below(&g->r, BCO_NUMBERS);

	if (hs_random_chance(&g->r, 0.2)) {
		g->all_listed = !g->all_listed;
		hs_coord_core_listing(g->core, g->all_listed);
		return;
	}
	if (hs_random_chance(&g->r, 0.5)) {
		g->known |= 1u << number;
		g->left &= ~(1u << number);
		hs_coord_core_node_listed(g->core, g->now_ns, number + 1);
		return;
	}
	if (g->up[number])
		bco_goes(g, number);
	g->known &= ~(1u << number);
	g->left |= 1u << number;
	bco_address_left(g, number);
	for (uint32_t t = 0; t < BCO_TRACES; t++)
		g->traces[t].nodes[2 * number].at_once = true;
	hs_coord_core_node_left(g->core, g->now_ns, number + 1);
	bco_sync(g);
}

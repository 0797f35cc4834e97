/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_seek.c - coordinators ask an agent which traces it knows: several
 * of them at a time, the same question twice, more than it has room for, and
 * what is no question
 *
 * From numbers of its own: what else happens in a bout stays as it was, but for
 * the scans that a question wants.
 */
#include <string.h>

#include "tests/sim/bout_agent.h"

struct question {
	struct hs_wire_seek head;
	struct hs_wire_trace_id ids[HS_WIRE_SEEK_MAX + 1];
};

static bool is_question(const struct question *m, uint32_t bytes)
{
	if (bytes < sizeof(m->head) || m->head.nr > HS_WIRE_SEEK_MAX ||
	    bytes != sizeof(m->head) + m->head.nr * sizeof(m->ids[0]))
		return false;
	for (uint32_t i = 0; i < m->head.nr; i++)
		if (!(m->ids[i].hi | m->ids[i].lo))
			return false;
	return true;
}

static void asked(struct bag *g, uint64_t from, const struct question *m)
{
	struct bag_seek *place = NULL;

	g->want.seeks++;
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++) {
		struct bag_seek *x = &g->seeks[k];

		if (x->nr && x->from == from && x->question == m->head.question)
			return;
		if (!x->nr)
			place = x;
	}
	if (!place || !m->head.nr) {
		g->want.seeks_refused++;
		return;
	}
	*place = (struct bag_seek){
		.from = from,
		.question = m->head.question,
		.nr = m->head.nr,
		.scan = g->scan,
	};
	memcpy(place->ids, m->ids, m->head.nr * sizeof(m->ids[0]));
}

void bag_seek(struct bag *g)
{
	struct question *m = (void *)g->payload;
	uint64_t from = (uint64_t)(100 + bout_below(&g->seek_r, 2)) << 32 | 1;
	uint32_t nr = bout_below(&g->seek_r, 9), bytes;
	bool ok;

	if (hs_random_chance(&g->seek_r, 0.05))
		nr = HS_WIRE_SEEK_MAX - 1 + bout_below(&g->seek_r, 3);
	m->head = (struct hs_wire_seek){
		.question = 1 + bout_below(&g->seek_r, 6), .nr = nr};
	for (uint32_t i = 0; i < nr; i++) {
		m->ids[i] = g->ids[bout_below(&g->seek_r, BAG_TRACES)];
		if (hs_random_chance(&g->seek_r, 0.1))
			m->ids[i].lo ^= 1ull << bout_below(&g->seek_r, 64);
	}
	bytes = (uint32_t)(sizeof(m->head) + nr * sizeof(m->ids[0]));
	if (hs_random_chance(&g->seek_r, 0.1))
		bytes = bout_mangle(&g->seek_r, (uint8_t *)m, bytes,
				    sizeof(*m));
	ok = is_question(m, bytes);
	bag_message(g, from, HS_WIRE_SEEK, bytes, 0);
	if (ok)
		asked(g, from, m);
	else
		g->want.messages_bad++;
}

/* A scan found a live handle of it. */
void bag_seek_live(struct bag *g, uint32_t t)
{
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++)
		for (uint32_t i = 0; i < g->seeks[k].nr; i++)
			if (!memcmp(&g->seeks[k].ids[i], &g->ids[t],
				    sizeof(g->ids[t])))
				g->seeks[k].live[i] = true;
}

static bool known(const struct bag *g, const struct hs_wire_trace_id *id)
{
	uint32_t t = bag_trace_of(g, id);

	if (t == BAG_NONE)
		return false;
	if (g->fired[t].live && g->fired[t].visited)
		return true;
	for (uint32_t k = 0; k < BAG_DOMAINS; k++) {
		const struct bag_trace *x = &g->domains[k].traces[t];

		if (x->there ? x->visited : x->gone != 0)
			return true;
	}
	return false;
}

/* It answers @from: to all of one question that it knew since the scan. */
void bag_seek_found(struct bag *g, uint64_t from, const void *payload,
		    uint32_t bytes)
{
	const struct question *m = payload;
	struct bag_seek *x = g->seeks;
	uint32_t at = 0;

	while (x < g->seeks + HS_SEEKS_MAX &&
	       !(x->nr && x->from == from && x->question == m->head.question))
		x++;
	if (x == g->seeks + HS_SEEKS_MAX || x->scan == g->scan ||
	    !is_question(m, bytes)) {
		sim_fail(g->s, BAG "an answer to no question");
		return;
	}
	for (uint32_t i = 0; i < x->nr; i++) {
		bool says = at < m->head.nr &&
			    !memcmp(&m->ids[at], &x->ids[i], sizeof(x->ids[i]));
		bool should = x->live[i] || known(g, &x->ids[i]);

		at += should && says;
		if (should && !says)
			sim_fail(g->s, BAG "it does not know a trace that it "
					   "has");
	}
	if (at != m->head.nr)
		sim_fail(g->s, BAG "it knows a trace that was never there");
	g->want.seeks_found += m->head.nr;
	x->nr = 0;
}

void bag_seek_due(struct bag *g)
{
	for (uint32_t k = 0; k < HS_SEEKS_MAX; k++)
		if (g->seeks[k].nr && g->seeks[k].scan != g->scan)
			sim_fail(g->s, BAG "a SEEK is not answered");
}

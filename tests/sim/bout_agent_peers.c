/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_agent_peers.c - the peers of an agent: they ask, acknowledge, forge,
 * come and go
 */
#include <string.h>

#include "base/hash.h"
#include "tests/sim/bout_agent.h"

/* ---- peers ----------------------------------------------------------------
 */

static bool name_ok(const char *name)
{
	size_t n = 0;

	for (; n < HS_WIRE_NAME_BYTES && name[n]; n++)
		if (name[n] <= ' ' || name[n] > '~')
			return false;
	return n && n < HS_WIRE_NAME_BYTES;
}

void bag_message(struct bag *g, uint64_t from, uint16_t type, uint32_t bytes,
		 uint32_t nr)
{
	bag_look(g, nr);
	hs_agent_core_message(g->core, from, type, g->payload, bytes,
			      g->now_ns);
	bag_settle(g);
}

static uint32_t pending_room(const struct bag *g)
{
	uint32_t room = 1;

	while (room < g->config.nr_pending)
		room *= 2;
	return room;
}

static void asked(struct bag *g, uint64_t from, const struct hs_wire_group *m)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);
	struct bag_pending *p = &g->pending[g->nr_pending];

	g->want.collects++;
	if (g->nr_pending == pending_room(g)) {
		g->want.collects_refused++;
		return;
	}
	*p = (struct bag_pending){
		.from = from, .trigger = m->trigger, .scan = g->scan};
	for (uint32_t i = 0; i < m->nr; i++) {
		uint32_t t = bag_trace_of(g, &ids[i]);

		if (!(ids[i].hi | ids[i].lo))
			continue;
		if (bag_fire(g, t, &m->trigger))
			p->traces[p->nr++] = t;
		else
			g->want.collects_refused++;
	}
	g->nr_pending += p->nr != 0;
	bag_settle(g);
}

/* Whether a COLLECT is what the format says, and about traces of ours. */
static bool collect_ok(const struct bag *g, const struct hs_wire_group *m,
		       uint32_t bytes, bool *ours)
{
	const struct hs_wire_trace_id *ids = (const void *)(m + 1);

	*ours = true;
	if (bytes < sizeof(*m) || m->nr < 1 || m->nr > HS_WIRE_TRACES_MAX ||
	    bytes != sizeof(*m) + m->nr * 16 || !m->trigger.origin ||
	    !(m->trigger.primary.hi | m->trigger.primary.lo) ||
	    !name_ok(m->trigger.name))
		return false;
	for (uint32_t i = 0; i < m->nr; i++)
		*ours &= !(ids[i].hi | ids[i].lo) ||
			 bag_trace_of(g, &ids[i]) != BAG_NONE;
	for (uint32_t k = 0; k <= BAG_NR_NAMES; k++)
		if (!strcmp(g->names[k].name, m->trigger.name))
			return true;
	*ours = false;
	return true;
}

void bag_collect(struct bag *g)
{
	struct hs_wire_group *m = (void *)g->payload;
	struct hs_wire_trace_id *ids = (void *)(m + 1);
	uint64_t from = (uint64_t)(100 + bout_below(&g->r, 2)) << 32 | 1;
	uint32_t bytes, nr = 1 + bout_below(&g->r, 3);
	bool ok, ours;

	if (hs_random_chance(&g->r, 0.03))
		nr = 1 + bout_below(&g->r, HS_WIRE_TRACES_MAX + 1);
	memset(m, 0, sizeof(*m));
	m->trigger.origin = 9ull << 32 | 1;
	m->trigger.key = 1 + hs_random_below(&g->r, 1000);
	m->trigger.primary = g->ids[bout_below(&g->r, BAG_TRACES)];
	m->trigger.priority =
		hs_hash_siphash(g->config.cluster_key, &m->trigger.primary, 16);
	strcpy(m->trigger.name, g->names[bout_below(&g->r, BAG_NR_NAMES)].name);
	m->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		memset(&ids[i], 0, sizeof(ids[i]));
		if (hs_random_chance(&g->r, 0.97))
			ids[i] = g->ids[bout_below(&g->r, BAG_TRACES)];
	}
	bytes = (uint32_t)(sizeof(*m) + nr * sizeof(*ids));
	if (hs_random_chance(&g->r, 0.15))
		bytes = bout_mangle(&g->r, (uint8_t *)g->payload, bytes,
				    sizeof(g->payload));
	ok = collect_ok(g, m, bytes, &ours);
	if (ok && !ours)
		return;
	bag_message(g, from, HS_WIRE_COLLECT, bytes, ok ? m->nr : 0);
	if (ok)
		asked(g, from, m);
	else
		g->want.messages_bad++;
}

static void stored_group(struct bag *g, struct bag_group *x)
{
	x->live = false;
	for (uint32_t i = 0; i < x->nr; i++)
		g->fired[x->traces[i]].nr_groups--;
	g->want.triggers_stored++;
}

void bag_stored(struct bag *g)
{
	struct hs_wire_stored *m = (void *)g->payload;
	struct bag_group *x = &g->groups[bout_below(&g->r, BAG_GROUPS)];
	struct bag_fired *f = &g->fired[bout_below(&g->r, BAG_TRACES)];
	uint32_t bytes = sizeof(*m);

	*m = (struct hs_wire_stored){BAG_NODE, f->update_key};
	if (hs_random_chance(&g->r, 0.6))
		m->key = x->key;
	if (hs_random_chance(&g->r, 0.1))
		m->origin++;
	if (hs_random_chance(&g->r, 0.1))
		m->key += 1ull << hs_random_below(&g->r, 64);
	if (hs_random_chance(&g->r, 0.05))
		bytes += hs_random_chance(&g->r, 0.5) ? 1 : -1u;
	bag_message(g, 100ull << 32, HS_WIRE_STORED, bytes, 0);
	if (bytes != sizeof(*m)) {
		g->want.messages_bad++;
		return;
	}
	for (uint32_t i = 0; i < BAG_GROUPS; i++)
		if (g->groups[i].live && g->groups[i].key == m->key &&
		    m->origin == BAG_NODE)
			stored_group(g, &g->groups[i]);
	for (uint32_t t = 0; t < BAG_TRACES; t++)
		if (g->fired[t].live && g->fired[t].update_key &&
		    g->fired[t].update_key == m->key)
			g->fired[t].update_key = g->fired[t].update_try = 0;
}

static void acked(struct bag *g, struct bag_domain *d, uint32_t b, bool refused)
{
	struct bag_buffer *x = &d->buffers[b];
	struct bag_fired *f;

	x->acked = x->upto;
	x->in_flight = false;
	g->want.slices_acked++;
	g->want.slices_refused += refused;
	if (refused)
		x->flags |= HS_WIRE_F_LOST;
	if (x->state != HS_LEDGER_HELD)
		return;
	if (refused)
		bag_flag(g, d, x->trace, HS_WIRE_F_LOST);
	if (!refused && !x->final_sent)
		return;
	f = &g->fired[x->trace];
	f->gone_buffers++;
	f->gone_bytes += x->committed;
	bag_release(g, d, b);
}

static void ack_keys(struct bag *g, const uint64_t *keys, uint32_t nr,
		     bool refused)
{
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < BAG_DOMAINS; k++)
			for (uint32_t b = 0; b < BAG_BUFFERS; b++) {
				struct bag_domain *d = &g->domains[k];

				if (d->buffers[b].in_flight &&
				    d->buffers[b].key == keys[i])
					acked(g, d, b, refused);
			}
}

void bag_slice_ack(struct bag *g)
{
	struct hs_wire_slice_ack *m = (void *)g->payload;
	uint64_t *keys = (void *)(m + 1);
	uint32_t nr = bout_below(&g->r, 6), bytes;

	if (hs_random_chance(&g->r, 0.02))
		nr = HS_WIRE_ACKS_MAX - 1 + bout_below(&g->r, 3);
	*m = (struct hs_wire_slice_ack){nr, hs_random_chance(&g->r, 0.15)};
	for (uint32_t i = 0; i < nr; i++) {
		struct bag_domain *d =
			&g->domains[bout_below(&g->r, BAG_DOMAINS)];
		uint32_t b = bout_below(&g->r, d->config.nr_buffers);

		for (uint32_t k = 0;
		     k < BAG_BUFFERS && !d->buffers[b].in_flight; k++)
			b = (b + 1) % d->config.nr_buffers;
		keys[i] = d->buffers[b].key;
		if (hs_random_chance(&g->r, 0.15))
			keys[i] += 1ull << hs_random_below(&g->r, 64);
	}
	bytes = (uint32_t)(sizeof(*m) + 8 * nr);
	if (hs_random_chance(&g->r, 0.05))
		bytes += hs_random_chance(&g->r, 0.5) ? 8 : -8u;
	bag_message(g, 200ull << 32, HS_WIRE_SLICE_ACK, bytes, 0);
	if (nr > HS_WIRE_ACKS_MAX || bytes != sizeof(*m) + 8 * nr)
		g->want.messages_bad++;
	else
		ack_keys(g, keys, nr, m->refused);
}

void bag_nonsense(struct bag *g)
{
	static const uint16_t types[] = {0,
					 HS_WIRE_HELLO,
					 HS_WIRE_TRIGGER,
					 HS_WIRE_CRUMBS,
					 HS_WIRE_MANIFEST,
					 99};

	memset(g->payload, 0, 64);
	bag_message(g, 1, types[hs_random_below(&g->r, 6)], 64, 0);
	g->want.messages_bad++;
}

static void again(struct bag *g, uint32_t number)
{
	for (uint32_t i = 0; i < BAG_GROUPS; i++) {
		struct bag_group *x = &g->groups[i];

		if (!x->live || x->to != number || !x->attempt)
			continue;
		x->attempt = 0;
		x->next_ns = g->now_ns;
	}
	for (uint32_t t = 0; t < BAG_TRACES; t++) {
		struct bag_fired *f = &g->fired[t];

		if (!f->live || !f->update_key || f->update_to != number)
			continue;
		f->update_try = 0;
		f->update_ns = g->now_ns;
	}
}

static void collector_up(struct bag *g)
{
	hs_agent_core_collector_up(g->core, g->now_ns);
	for (uint32_t k = 0; k < BAG_DOMAINS; k++)
		for (uint32_t b = 0; b < BAG_BUFFERS; b++)
			g->domains[k].buffers[b].in_flight = false;
}

/*
 * In a third of all seeds one of two goes, and comes back or hands over what it
 * had: what it may have lost goes again, or what waited for it goes at last.
 */
void bag_collectors(struct bag *g)
{
	if (g->s->p.seed % 3 || !hs_random_chance(&g->colls, 0.05))
		return;
	if (!g->colls_away) {
		g->colls_away = 1u << hs_random_below(&g->colls, 2);
	} else if (hs_random_chance(&g->colls, 0.3)) {
		g->colls_away = 0;
		hs_agent_core_routes_changed(g->core);
	} else if (hs_random_chance(&g->colls, 0.3)) {
		g->colls_away = 0;
		collector_up(g);
	}
}

void bag_links(struct bag *g)
{
	uint32_t number = 100 + bout_below(&g->r, 2);

	switch (hs_random_below(&g->r, 3)) {
	case 0:
		hs_agent_core_coordinator_up(
			g->core, (uint64_t)number << 32 | 1, g->now_ns);
		again(g, 0);
		again(g, number);
		break;
	case 1:
		hs_agent_core_coordinator_down(
			g->core, (uint64_t)number << 32 | 1, g->now_ns);
		again(g, number);
		break;
	default:
		collector_up(g);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_stock_ship.c - what goes of a pool's buffers to collectors, and what a
 * carrier reads where it lies: see bout_stock.c
 */
#include "tests/sim/bout_stock.h"

void stk_differs(struct stk *g, const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		sim_fail(g->s, STK "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

void stk_fires(struct stk *g)
{
	uint32_t t = bout_below(&g->r, STK_PUBLISHED), units = 0, nr = 0;

	for (uint32_t i = 0; i < g->traces[t].buffers.nr; i++)
		units += stk_units_of(g, g->traces[t].buffers.at[i]);
	for (uint32_t i = 0; i < STK_TRACES; i++)
		nr += g->traces[i].fired;
	if (g->traces[t].fired || nr == 8 ||
	    2 * (stk_nr_pinned(g) + units) >= g->domain.nr_buffers)
		return;
	stk_differs(g, "a trigger",
		    (uint64_t)hs_agent_core_fire(
			    g->core, "slow", &g->traces[t].id, 1, g->now_ns),
		    0);
	g->traces[t].fired = true;
}

static enum hs_agent_shipped op_ship(void *ctx, const struct hs_agent_slice *s)
{
	struct stk *g = ctx;
	uint64_t unit = s->pool_offset / g->domain.buffer_bytes;
	uint32_t b =
		(uint32_t)unit + s->pool_node * g->node_chunks * g->chunk_units;
	struct stk_buffer *x;
	uint32_t upto;
	bool lends;

	b -= s->head.offset / g->domain.buffer_bytes;
	if (!g->ticking || b >= g->domain.nr_buffers ||
	    g->buffers[b].state != HS_LEDGER_HELD || g->buffers[b].in_flight) {
		sim_fail(g->s, STK "a slice of a buffer that waits for none");
		return HS_AGENT_SHIP_NOT;
	}
	x = &g->buffers[b];
	upto = x->committed - x->acked > g->slice_bytes
		       ? x->acked + g->slice_bytes
		       : x->committed;
	stk_differs(g, "the domain of a slice", s->domain, g->id);
	stk_differs(g, "its offset", s->head.offset, x->acked);
	stk_differs(g, "its place", s->pool_offset % g->domain.buffer_bytes,
		    x->acked % g->domain.buffer_bytes);
	stk_differs(g, "its length", s->head.length_bytes, upto - x->acked);
	stk_differs(g, "what is committed of it", s->committed, x->committed);
	stk_differs(g, "whether it is the last", s->head.final,
		    upto == x->committed);
	stk_differs(g, "its process", s->head.process, x->process);
	stk_differs(g, "the buffer in its key",
		    hs_ship_key_buffer(s->head.ship_key), b);
	stk_differs(g, "the domain in its key",
		    hs_ship_key_domain(s->head.ship_key), g->id);
	if (g->in_flight_bytes >= g->config.window_bytes ||
	    g->lent_bytes >= g->config.window_bytes)
		sim_fail(g->s, STK "a slice beyond the window");
	g->jammed = g->jams && hs_random_chance(&g->r, 0.2);
	if (g->jammed || g->nr_lent == STK_LENT)
		return HS_AGENT_SHIP_NOT;
	lends = hs_random_chance(&g->r, 0.5);
	g->resent += x->sent > x->acked;
	x->sent = upto;
	x->key = s->head.ship_key;
	x->upto = upto;
	x->in_flight = true;
	x->final_sent = s->head.final;
	g->in_flight_bytes += upto - x->acked;
	if (!lends)
		return HS_AGENT_SHIP_COPIED;
	g->lent[g->nr_lent++] = (struct stk_lent){x->key, b, upto - x->acked};
	g->lent_bytes += upto - x->acked;
	x->lent++;
	return HS_AGENT_SHIP_LENT;
}

void stk_tick(struct stk *g)
{
	g->jams = hs_random_chance(&g->r, 0.3);
	g->jammed = false;
	g->ticking = true;
	hs_agent_core_tick(g->core, g->now_ns);
	g->ticking = false;
	if (g->jams || g->in_flight_bytes >= g->config.window_bytes ||
	    g->lent_bytes >= g->config.window_bytes)
		return;
	for (uint32_t t = 0; t < STK_TRACES; t++) {
		const struct stk_row *row = &g->traces[t].buffers;
		uint32_t i = 0;

		while (i < row->nr && g->buffers[row->at[i]].final_sent)
			i++;
		if (g->traces[t].fired && i < row->nr &&
		    !g->buffers[row->at[i]].in_flight)
			sim_fail(g->s, STK "a buffer stays, with room to send "
					   "it");
	}
}

void stk_acked(struct stk *g)
{
	struct hs_wire_slice_ack *m = (void *)g->payload;
	uint32_t b = bout_below(&g->r, g->domain.nr_buffers);
	uint64_t *key = (void *)(m + 1);
	struct stk_buffer *x;

	for (uint32_t i = 0; i < STK_BUFFERS && !g->buffers[b].in_flight; i++)
		b = (b + 1) % g->domain.nr_buffers;
	x = &g->buffers[b];
	*m = (struct hs_wire_slice_ack){.nr = 1};
	*key = x->key;
	hs_agent_core_message(g->core, 200ull << 32, HS_WIRE_SLICE_ACK, m,
			      sizeof(*m) + sizeof(*key), g->now_ns);
	if (!x->in_flight)
		return;
	if (x->final_sent) {
		stk_release(g, b);
		return;
	}
	stk_flight_end(g, b);
	x->acked = x->upto;
}

/* The carrier has read it; or it says so of what it never had. */
void stk_gives_back(struct stk *g)
{
	uint32_t i = g->nr_lent ? bout_below(&g->r, g->nr_lent) : 0;
	struct stk_lent l = g->lent[i];
	struct stk_buffer *x = &g->buffers[l.buffer];

	if (hs_random_chance(&g->r, 0.1)) {
		uint64_t key =
			(uint64_t)g->id << 60 |
			(uint64_t)(g->domain.nr_buffers + bout_below(&g->r, 2))
				<< HS_KEY_GENERATIONS;

		hs_agent_core_returned(g->core, key, 100);
		hs_agent_core_returned(g->core, key ^ 1ull << 60, 100);
	}
	if (!g->nr_lent)
		return;
	hs_agent_core_returned(g->core, l.key, l.bytes);
	g->lent_bytes -= l.bytes;
	g->lent[i] = g->lent[--g->nr_lent];
	if (--x->lent == 0 && x->state == HS_LEDGER_FREE)
		stk_unpark(g, l.buffer);
}

/* A collector came back: what it may have lost goes again. */
void stk_again(struct stk *g)
{
	hs_agent_core_collector_up(g->core, g->now_ns);
	for (uint32_t b = 0; b < g->domain.nr_buffers; b++)
		stk_flight_end(g, b);
}

const struct hs_agent_ops stk_ops = {bout_no_coordinator, bout_no_node, op_ship,
				     NULL};

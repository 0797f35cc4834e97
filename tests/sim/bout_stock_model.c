/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_stock_model.c - which buffer a class gets, and who has to go for it: see
 * bout_stock.h
 *
 * A class takes from the chunk that it carves, then an empty chunk, then from
 * carved ones that have room again, all of the node that was asked for; then of
 * the other nodes; then traces go, the least recently seen first. A chunk whose
 * buffers are all free is of no class.
 */
#include <string.h>

#include "tests/sim/bout_stock.h"

/* Traces that go for one buffer, at most. */
#define EVICTED_MAX 32u
/* Buffers that room is made for together, at most. */
#define AT_A_TIME 16u
/* A class that finds nothing has others evicted until so much more of the pool
 * is free than crowding keeps free. */
#define STARVED_PERCENT 14u

void stk_row_add(struct stk_row *row, uint32_t value)
{
	row->at[row->nr++] = value;
}

void stk_row_remove(struct stk_row *row, uint32_t value)
{
	uint32_t i = 0;

	while (i < row->nr && row->at[i] != value)
		i++;
	if (i == row->nr)
		return;
	row->nr--;
	memmove(&row->at[i], &row->at[i + 1],
		(row->nr - i) * sizeof(row->at[0]));
}

static uint32_t chunk_of(const struct stk *g, uint32_t buffer)
{
	return buffer / g->chunk_units;
}

static uint32_t node_of_chunk(const struct stk *g, uint32_t chunk)
{
	return chunk / g->node_chunks;
}

uint32_t stk_node_of(const struct stk *g, uint32_t buffer)
{
	return node_of_chunk(g, chunk_of(g, buffer));
}

uint32_t stk_units_of(const struct stk *g, uint32_t buffer)
{
	return g->units[g->chunks[chunk_of(g, buffer)].size_class];
}

uint32_t stk_bytes_of(const struct stk *g, uint32_t buffer)
{
	return stk_units_of(g, buffer) * g->domain.buffer_bytes;
}

static uint32_t units_of_chunk(const struct stk *g, uint32_t chunk)
{
	uint32_t left = g->domain.nr_buffers - chunk * g->chunk_units;

	return left < g->chunk_units ? left : g->chunk_units;
}

/* Buffers of its class that a chunk holds. */
static uint32_t room_of(const struct stk *g, uint32_t chunk)
{
	return units_of_chunk(g, chunk) / g->units[g->chunks[chunk].size_class];
}

uint32_t stk_nr(const struct stk *g, enum hs_ledger_state state)
{
	uint32_t nr = 0;

	for (uint32_t b = 0; b < g->domain.nr_buffers; b++)
		if (g->buffers[b].state == state)
			nr += stk_units_of(g, b);
	return nr;
}

uint32_t stk_nr_parked(const struct stk *g)
{
	uint32_t nr = 0;

	for (uint32_t b = 0; b < g->domain.nr_buffers; b++)
		if (g->buffers[b].state == HS_LEDGER_FREE && g->buffers[b].lent)
			nr += stk_units_of(g, b);
	return nr;
}

static uint32_t nr_used(const struct stk *g)
{
	uint32_t nr = 0;

	for (uint32_t b = 0; b < g->domain.nr_buffers; b++)
		if (g->buffers[b].state != HS_LEDGER_FREE || g->buffers[b].lent)
			nr += stk_units_of(g, b);
	return nr;
}

uint32_t stk_nr_free(const struct stk *g)
{
	return g->domain.nr_buffers - nr_used(g);
}

uint32_t stk_nr_pinned(const struct stk *g)
{
	uint32_t nr = 0;

	for (uint32_t b = 0; b < g->domain.nr_buffers; b++)
		if (g->buffers[b].state == HS_LEDGER_HELD &&
		    g->traces[g->buffers[b].trace].fired)
			nr += stk_units_of(g, b);
	return nr;
}

/* ---- chunks ---------------------------------------------------------------
 */

static void emptied(struct stk *g, uint32_t chunk)
{
	struct stk_chunk *k = &g->chunks[chunk];
	uint32_t node = node_of_chunk(g, chunk);

	if (k->size_class != STK_NONE) {
		if (g->open[node][k->size_class] == chunk)
			g->open[node][k->size_class] = STK_NONE;
		stk_row_remove(&g->roomy[node][k->size_class], chunk);
	}
	memset(k, 0, sizeof(*k));
	k->size_class = STK_NONE;
	stk_row_add(&g->empty[node], chunk);
}

void stk_begin(struct stk *g)
{
	memset(g->empty, 0, sizeof(g->empty));
	memset(g->roomy, 0, sizeof(g->roomy));
	memset(g->open, 0xff, sizeof(g->open));
	for (uint32_t k = 0; k < g->nr_chunks; k++) {
		g->chunks[k].size_class = STK_NONE;
		emptied(g, k);
	}
}

/* One of its buffers is free (again). */
static void comes_home(struct stk *g, uint32_t buffer)
{
	uint32_t chunk = chunk_of(g, buffer);
	struct stk_chunk *k = &g->chunks[chunk];

	if (!k->free.nr && k->carved == room_of(g, chunk))
		stk_row_add(&g->roomy[node_of_chunk(g, chunk)][k->size_class],
			    chunk);
	stk_row_add(&k->free, buffer);
	if (--k->out == 0)
		emptied(g, chunk);
}

/* The first one that is large enough for a buffer of the class. */
static uint32_t empty_one(const struct stk *g, uint32_t node,
			  uint32_t size_class)
{
	const struct stk_row *row = &g->empty[node];

	for (uint32_t i = 0; i < row->nr; i++)
		if (units_of_chunk(g, row->at[i]) >= g->units[size_class])
			return row->at[i];
	return STK_NONE;
}

static uint32_t take(struct stk *g, uint32_t node, uint32_t size_class)
{
	uint32_t *open = &g->open[node][size_class], chunk = *open, buffer;
	struct stk_row *roomy = &g->roomy[node][size_class];
	struct stk_chunk *k;

	if (chunk == STK_NONE) {
		chunk = *open = empty_one(g, node, size_class);
		if (chunk != STK_NONE) {
			stk_row_remove(&g->empty[node], chunk);
			g->chunks[chunk].size_class = size_class;
		}
	}
	if (chunk != STK_NONE) {
		k = &g->chunks[chunk];
		buffer = chunk * g->chunk_units +
			 k->carved++ * g->units[size_class];
		if (k->carved == room_of(g, chunk)) {
			*open = STK_NONE;
			if (k->free.nr)
				stk_row_add(roomy, chunk);
		}
	} else {
		if (!roomy->nr)
			return STK_NONE;
		k = &g->chunks[roomy->at[0]];
		buffer = k->free.at[0];
		stk_row_remove(&k->free, buffer);
		if (!k->free.nr)
			stk_row_remove(roomy, roomy->at[0]);
	}
	k->out++;
	return buffer;
}

/* ---- buffers --------------------------------------------------------------
 */

void stk_flight_end(struct stk *g, uint32_t buffer)
{
	struct stk_buffer *x = &g->buffers[buffer];

	if (x->in_flight)
		g->in_flight_bytes -= x->upto - x->acked;
	x->in_flight = x->final_sent = false;
}

void stk_release(struct stk *g, uint32_t buffer)
{
	struct stk_buffer *x = &g->buffers[buffer];

	stk_flight_end(g, buffer);
	if (x->state == HS_LEDGER_HELD)
		stk_row_remove(&g->traces[x->trace].buffers, buffer);
	x->state = HS_LEDGER_FREE;
	x->process = 0;
	if (!x->lent)
		comes_home(g, buffer);
}

void stk_unpark(struct stk *g, uint32_t buffer)
{
	comes_home(g, buffer);
}

static bool evict(struct stk *g)
{
	struct stk_trace *oldest = NULL;

	for (uint32_t t = 0; t < STK_TRACES; t++) {
		struct stk_trace *x = &g->traces[t];

		if (x->there && !x->fired &&
		    (!oldest || x->seen < oldest->seen))
			oldest = x;
	}
	if (!oldest)
		return false;
	while (oldest->buffers.nr)
		stk_release(g, oldest->buffers.at[0]);
	oldest->there = oldest->has_crumbs = false;
	g->evicted++;
	return true;
}

/* The share in use comes to the threshold with @more units, by full percent. */
static bool crowded(const struct stk *g, uint32_t more)
{
	return 100 * (nr_used(g) + more) >
	       (g->config.evict_percent - 1) * g->domain.nr_buffers;
}

/* Less of the pool is free than a class may have made free for it. */
static bool may_evict(const struct stk *g)
{
	return 100 * stk_nr_free(g) <
	       (101 - g->config.evict_percent + STARVED_PERCENT) *
		       g->domain.nr_buffers;
}

uint32_t stk_at_a_time(const struct stk *g, uint32_t size_class, uint32_t nr)
{
	uint32_t free = (101 - g->config.evict_percent) * g->domain.nr_buffers;
	uint32_t least = (free + 99) / 100;

	while (nr > 1 &&
	       (nr > AT_A_TIME || 8 * nr * g->units[size_class] > least))
		nr--;
	return nr;
}

uint32_t stk_make_room(struct stk *g, uint32_t size_class, uint32_t nr)
{
	uint32_t units = g->units[size_class], gone = 0;
	uint32_t goal = stk_nr_free(g) + 2 * nr * units;

	while (gone < nr * EVICTED_MAX && crowded(g, (nr - 1) * units) &&
	       stk_nr_free(g) < goal && evict(g))
		gone++;
	return gone / nr;
}

uint32_t stk_stock(struct stk *g, uint32_t node, bool here, uint32_t size_class,
		   uint32_t gone)
{
	uint32_t buffer;

	buffer = take(g, node, size_class);
	while (buffer == STK_NONE) {
		for (uint32_t n = 0; !here && n < g->nr_nodes; n++) {
			if (n == node)
				continue;
			buffer = take(g, n, size_class);
			if (buffer == STK_NONE)
				continue;
			g->remote++;
			return buffer;
		}
		if (gone++ >= EVICTED_MAX || !may_evict(g) || !evict(g)) {
			g->denied++;
			return STK_NONE;
		}
		buffer = take(g, node, size_class);
	}
	return buffer;
}

/* ---- a successor ----------------------------------------------------------
 */

/* As they were published; those of one moment as they lie. */
static void into_order(struct stk *g, struct stk_row *row)
{
	for (uint32_t i = 1; i < row->nr; i++)
		for (uint32_t k = i; k; k--) {
			uint32_t a = row->at[k - 1], b = row->at[k];

			if (g->buffers[a].seen < g->buffers[b].seen ||
			    (g->buffers[a].seen == g->buffers[b].seen && a < b))
				break;
			row->at[k - 1] = b;
			row->at[k] = a;
		}
}

static void adopt_traces(struct stk *g)
{
	for (uint32_t t = 0; t < STK_TRACES; t++) {
		struct stk_trace *x = &g->traces[t];

		into_order(g, &x->buffers);
		x->there = x->buffers.nr || x->has_crumbs;
		x->seen = g->now_ns;
		if (x->buffers.nr)
			x->seen = g->buffers[x->buffers.at[x->buffers.nr - 1]]
					  .seen;
	}
}

/* What is in use stays where it is; the rest is free, as it lies. */
void stk_adopt(struct stk *g)
{
	uint32_t was[STK_CHUNKS] = {0};

	for (uint32_t k = 0; k < g->nr_chunks; k++)
		was[k] = g->chunks[k].size_class;
	memset(g->chunks, 0, sizeof(g->chunks));
	stk_begin(g);
	for (uint32_t k = 0; k < g->nr_chunks; k++) {
		struct stk_chunk *chunk = &g->chunks[k];

		if (was[k] == STK_NONE)
			continue;
		stk_row_remove(&g->empty[node_of_chunk(g, k)], k);
		chunk->size_class = was[k];
		chunk->carved = room_of(g, k);
		chunk->out = chunk->carved + 1;
	}
	for (uint32_t k = 0; k < g->nr_chunks; k++) {
		uint32_t nr = was[k] == STK_NONE ? 0 : room_of(g, k);

		for (uint32_t i = 0; i < nr; i++) {
			uint32_t b = k * g->chunk_units + i * g->units[was[k]];

			g->buffers[b].in_flight = false;
			g->buffers[b].final_sent = false;
			g->buffers[b].lent = 0;
			if (g->buffers[b].state == HS_LEDGER_FREE)
				comes_home(g, b);
		}
		if (nr && --g->chunks[k].out == 0)
			emptied(g, k);
	}
	adopt_traces(g);
	g->in_flight_bytes = g->lent_bytes = g->nr_lent = 0;
	g->returned = g->denied = g->remote = g->evicted = g->bad = 0;
	g->resent = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_receiver_read.c - slices out of the frames of a connection, and whose
 * turn it is when their taker does not take all: see bout_receiver.h
 */
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/bout_receiver.h"

static enum hs_ship_verdict verdict(struct receiving *g, uint32_t bytes)
{
	if (hs_random_chance(&g->verdicts, g->busy) || bytes > g->room_bytes)
		return HS_SHIP_BUSY;
	if (hs_random_chance(&g->verdicts, g->refuses))
		return HS_SHIP_REFUSED;
	if (g->room_bytes != UINT64_MAX)
		g->room_bytes -= bytes;
	return HS_SHIP_TAKEN;
}

/* What its sender wrote into under way comes anew, and only that. */
static void anew(struct receiving *g, struct recv_conn *c)
{
	c->epoch++;
	c->bad = c->slice;
	c->bad_first = c->begin;
	c->bad_last = c->read;
	for (uint64_t nr = c->begin; nr <= c->read; nr++)
		receiving_leaves(g, receiving_slot(c, nr));
	c->read = c->begin;
	c->part = c->nth = c->offset = 0;
	c->begun = c->whole = false;
	g->stats.slices_anew++;
	receiving_due(g, receiving_place(g, c));
}

static enum receive_result give(struct receiving *g, struct recv_conn *c)
{
	enum hs_ship_verdict v;

	if (!c->whole && c->crc != c->head.crc) {
		anew(g, c);
		return RECEIVE_ANEW;
	}
	c->whole = true;
	if (c->slice == c->settled + g->config.nr_slices)
		return RECEIVE_BAD;
	v = verdict(g, c->head.length_bytes);
	receiving_will(g, (struct recv_event){.kind = RECV_GIVES,
					      .place = receiving_place(g, c),
					      .verdict = v,
					      .head = c->head,
					      .crc = c->crc});
	if (v == HS_SHIP_BUSY) {
		g->stats.busy++;
		return RECEIVE_STOP;
	}
	g->stats.slices++;
	g->stats.slice_bytes += c->head.length_bytes;
	g->stats.slices_refused += v == HS_SHIP_REFUSED;
	c->settles[c->slice % RECEIVING_SLICES] = (struct recv_settle){
		c->head.ship_key,
		v == HS_SHIP_REFUSED ? SETTLE_REFUSED : SETTLE_WAITING};
	c->slice++;
	c->offset = 0;
	c->begun = c->whole = false;
	if (v == HS_SHIP_REFUSED)
		receiving_settled(g, c);
	if (!c->waits)
		return RECEIVE_ON;
	c->turn_bytes += c->head.length_bytes;
	g->turns_bytes += c->head.length_bytes;
	return c->turn_bytes >= RECEIVING_TURN ? RECEIVE_TURN : RECEIVE_ON;
}

/* Where a part's bytes, or the head of the slice that it begins, stand. */
static const uint8_t *bytes_of(const struct recv_frame *f, uint32_t part)
{
	const uint8_t *at = f->view.bytes;

	for (uint32_t i = 0; i < part; i++) {
		struct hs_ship_part p;

		hs_ship_view_part(&f->view, i, &p);
		at += p.bytes;
	}
	return at;
}

static enum receive_result part(struct receiving *g, struct recv_conn *c,
				const struct recv_frame *f)
{
	struct hs_ship_part p;
	uint32_t at = c->part++, nth = c->nth;

	hs_ship_view_part(&f->view, at, &p);
	c->nth += !p.offset;
	if (p.slice < c->slice)
		return RECEIVE_ON; /* read before, when one behind was bad */
	if (p.slice != c->slice || p.offset != c->offset)
		return RECEIVE_BAD;
	if (p.offset == 0) {
		if (c->begun)
			return RECEIVE_BAD;
		hs_ship_view_head(&f->view, nth, &c->head);
		if (c->head.length_bytes > c->slice_bytes)
			return RECEIVE_BAD;
		c->begun = true;
		c->begin = c->read;
		c->crc = 0;
	}
	if (c->offset + p.bytes > c->head.length_bytes)
		return RECEIVE_BAD;
	c->crc = hs_crc32c(c->crc, bytes_of(f, at), p.bytes);
	c->offset += p.bytes;
	return c->offset < c->head.length_bytes ? RECEIVE_ON : give(g, c);
}

static enum receive_result reads(struct receiving *g, struct recv_conn *c)
{
	enum receive_result result = RECEIVE_ON;
	const struct recv_frame *f;

	if (c->whole)
		result = give(g, c);
	while (result == RECEIVE_ON) {
		f = c->read < c->top ? *receiving_slot(c, c->read) : NULL;
		if (!f)
			break;
		if (c->part < f->view.u.data.nr_parts) {
			result = part(g, c, f);
		} else {
			c->read++;
			c->part = c->nth = 0;
		}
	}
	receiving_returns(g, c, c->begun ? c->begin : c->read);
	return result;
}

/* ---- turns ----------------------------------------------------------------
 */

void receiving_leave_line(struct receiving *g, uint32_t place)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < g->nr_line; i++)
		if (g->line[i] != place)
			g->line[kept++] = g->line[i];
	g->nr_line = kept;
	g->conns[place].waits = false;
	g->conns[place].turn_bytes = 0;
}

static void join(struct receiving *g, struct recv_conn *c)
{
	c->waits = true;
	c->joined_bytes = g->turns_bytes;
	g->line[g->nr_line++] = receiving_place(g, c);
}

void receiving_offer(struct receiving *g, struct recv_conn *c)
{
	enum receive_result result = RECEIVE_ON;

	if (c->waits)
		return;
	if (!g->nr_line)
		result = reads(g, c);
	if (g->nr_line || result == RECEIVE_STOP)
		join(g, c);
	else if (result == RECEIVE_BAD)
		receiving_misbehaved(g, c);
}

/* What it took beyond its turn it takes less in those that come. */
static void turn_over(struct receiving *g, struct recv_conn *c)
{
	uint64_t beyond = c->turn_bytes - RECEIVING_TURN;

	receiving_leave_line(g, receiving_place(g, c));
	join(g, c);
	c->turn_bytes = beyond > HS_WIRE_SLICE_MAX_BYTES
				? HS_WIRE_SLICE_MAX_BYTES
				: beyond;
}

static bool read_on(struct receiving *g, struct recv_conn *c, bool *refused)
{
	uint64_t before = c->slice;
	enum receive_result result = reads(g, c);
	bool took = c->slice > before;

	if (took)
		receiving_due(g, receiving_place(g, c));
	*refused |= result == RECEIVE_STOP;
	if (result == RECEIVE_BAD)
		receiving_misbehaved(g, c);
	else if (result == RECEIVE_TURN)
		turn_over(g, c);
	else if (result != RECEIVE_STOP && c->turn_bytes < RECEIVING_TURN)
		receiving_leave_line(g, receiving_place(g, c));
	return took;
}

/* All that wait, once. Return: whether anything came of it. */
static bool turns(struct receiving *g)
{
	uint32_t line[RECEIVING_PLACES], nr = g->nr_line;
	bool refused = false, again = false;

	memcpy(line, g->line, sizeof(line));
	for (uint32_t i = 0; i < nr; i++) {
		struct recv_conn *c = &g->conns[line[i]];

		if (c->turn_bytes < RECEIVING_TURN) {
			again |= read_on(g, c, &refused);
		} else if (!refused || g->turns_bytes - c->joined_bytes >=
					       g->nr_line * RECEIVING_TURN) {
			turn_over(g, c);
			again = true;
		}
	}
	if (again)
		return true;
	nr = g->nr_line;
	memcpy(line, g->line, sizeof(line));
	for (uint32_t i = 0; i < nr && !again; i++) {
		struct recv_conn *c = &g->conns[line[i]];

		again = c->turn_bytes >= RECEIVING_TURN &&
			read_on(g, c, &refused);
	}
	return again;
}

void receiving_turns(struct receiving *g)
{
	while (g->nr_line && turns(g))
		;
}

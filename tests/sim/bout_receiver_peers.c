/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_receiver_peers.c - agents that cut slices into frames in some way and
 * send these in any order, and others who send what they should not: see
 * bout_receiver.h
 */
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/bout_receiver.h"

#define NR_CUTS	  (2 * RECEIVING_WINDOW)
#define NR_SLICES 512u

static uint8_t byte_of(const struct hs_wire_slice *h, uint32_t at)
{
	return (uint8_t)(h->seq * 29 + h->node * 7 + at * 3 + (at >> 8));
}

static void bytes_of(const struct hs_wire_slice *h, uint32_t from, uint32_t nr,
		     uint8_t *out)
{
	for (uint32_t i = 0; i < nr; i++)
		out[i] = byte_of(h, from + i);
}

/* Its own, or that of somebody else if it never came. */
static struct recv_conn *conn_of(struct receiving *g, uint32_t agent)
{
	struct recv_conn *c = NULL;

	for (uint32_t i = 0; i < g->config.nr_connections; i++)
		if (g->conns[i].state != CONNECTION_FREE &&
		    g->conns[i].agent == agent &&
		    g->conns[i].peer == g->agents[agent].peer &&
		    (!c || g->conns[i].nonce == g->agents[agent].nonce))
			c = &g->conns[i];
	return c;
}

static void comes(struct receiving *g, uint32_t agent, uint8_t type,
		  uint64_t to, uint64_t from, const void *body, uint32_t bytes)
{
	uint8_t frame[sizeof(struct hs_ship_header) + 128];

	bytes = hs_ship_frame_small(&g->config.auth, frame, type, to, from,
				    body, bytes);
	receiving_comes(g, agent, frame, bytes);
}

void receiving_opens(struct receiving *g)
{
	uint32_t agent = bout_below(&g->r, g->nr_agents);
	struct recv_agent *a = &g->agents[agent];
	struct hs_ship_open open = {
		.node = a->node,
		.version_min = HS_SHIP_VERSION,
		.version_max = HS_SHIP_VERSION,
		.frame_bytes = HS_SHIP_FRAME_MIN_BYTES,
	};
	const struct recv_conn *c;

	/* Whoever is up begins anew now and then. */
	c = conn_of(g, agent);
	if (c && c->state == CONNECTION_UP && !hs_random_chance(&g->r, 0.15))
		return;
	if (!a->nonce || hs_random_chance(&g->r, 0.3))
		a->nonce = hs_random_u64(&g->r) | 1;
	if (!a->peer || hs_random_chance(&g->r, 0.3))
		a->peer = hs_random_u64(&g->r) | 1;
	open.nonce = a->nonce;
	if (hs_random_chance(&g->r, 0.7))
		open.frame_bytes =
			g->config.frame_bytes - 8 + bout_below(&g->r, 20);
	if (open.frame_bytes < HS_SHIP_FRAME_MIN_BYTES &&
	    hs_random_chance(&g->r, 0.7))
		open.frame_bytes = HS_SHIP_FRAME_MIN_BYTES;
	switch (hs_random_below(&g->r, 16)) {
	case 0:
		open.version_min--;
		break;
	case 1:
		open.version_max++;
		break;
	case 2:
		open.version_min++;
		open.version_max++;
		break;
	case 3:
		open.version_min--;
		open.version_max--;
		break;
	case 4:
		open.frame_bytes = HS_SHIP_FRAME_MIN_BYTES - 1;
		break;
	default:
		break;
	}
	comes(g, agent, HS_SHIP_OPEN, 0, a->peer, &open, sizeof(open));
}

/* ---- slices in frames -----------------------------------------------------
 */

static struct hs_wire_slice *slice_of(struct recv_agent *a, uint64_t nr)
{
	return &a->slices[nr % NR_SLICES];
}

static uint32_t length(struct receiving *g, const struct recv_conn *c)
{
	uint32_t most =
		c->slice_bytes < g->slice_most ? c->slice_bytes : g->slice_most;

	switch (hs_random_below(&g->r, 8)) {
	case 0:
		return 0;
	case 1: /* up to two turns, exactly */
		if (most > 2 * RECEIVING_TURN)
			return 2 * RECEIVING_TURN;
		return c->slice_bytes < 2 * g->slice_most ? c->slice_bytes
							  : most;
	case 2:
	case 3:
		return bout_below(&g->r, most + 1);
	default:
		return bout_below(&g->r, most / 8 + 1);
	}
}

static void slice_new(struct receiving *g, struct recv_agent *a,
		      const struct recv_conn *c)
{
	struct hs_wire_slice *h = slice_of(a, a->cut_slice);
	uint32_t some;

	*h = (struct hs_wire_slice){
		.trace = {7, a->cut_slice},
		.node = a->node,
		.ship_key = hs_random_below(&g->r, 3),
		.seq = (uint32_t)a->cut_slice,
		.length_bytes = length(g, c),
		.final = 1,
	};
	for (uint32_t at = 0; at < h->length_bytes; at += some) {
		some = h->length_bytes - at;
		some = some < sizeof(g->frame) ? some : sizeof(g->frame);
		bytes_of(h, at, some, g->frame);
		h->crc = hs_crc32c(h->crc, g->frame, some);
	}
}

/* The next frame: some parts, as much as fits or less. */
static void cut(struct receiving *g, struct recv_agent *a,
		const struct recv_conn *c)
{
	struct recv_cut *f = &a->cuts[a->nr_cuts++ % NR_CUTS];
	uint32_t room = c->frame_bytes - 88, begun = 0;
	uint32_t parts = 1 + bout_below(&g->r, g->parts_max);

	f->nr_parts = f->bytes = 0;
	while (f->nr_parts < parts && begun < 3) {
		uint32_t rows = 16 + (a->cut_offset ? 0 : 72), left, part;

		if (room <= rows)
			break;
		if (!a->cut_offset) {
			slice_new(g, a, c);
			begun++;
		}
		room -= rows;
		left = slice_of(a, a->cut_slice)->length_bytes - a->cut_offset;
		part = left < room ? left : room;
		/* None of no bytes but of a slice of none. */
		if (part && parts > 4)
			part = 1 + bout_below(&g->r, part < 8 ? part : 8);
		else if (part && hs_random_chance(&g->r, 0.1))
			part = 1 + bout_below(&g->r, part);
		f->parts[f->nr_parts++] = (struct hs_ship_part){
			a->cut_slice, a->cut_offset, part};
		f->bytes += part;
		room -= part;
		a->cut_offset += part;
		if (part == left) {
			a->cut_slice++;
			a->cut_offset = 0;
		}
	}
}

/* What no sender of ours makes, and is a frame nevertheless. */
static void spoil(struct receiving *g, struct recv_cut *f, uint32_t *longer)
{
	struct hs_ship_part *p =
		&f->parts[bout_below(&g->r, f->nr_parts ? f->nr_parts : 1)];

	switch (hs_random_below(&g->r, 5)) {
	case 0:
		p->slice++;
		break;
	case 1:
		p->slice--;
		break;
	case 2:
		p->offset += p->offset ? 1 : 0;
		break;
	case 3:
		p->offset -= p->offset > 1 ? 1 : 0;
		break;
	default:
		*longer = 1 + bout_below(&g->r, 2);
		break;
	}
}

/* Parts, then the heads of slices that begin, then bytes. */
static uint32_t compose(struct receiving *g, struct recv_agent *a,
			const struct recv_cut *f, uint32_t longer,
			uint32_t slice_bytes, uint8_t *out, uint32_t *head)
{
	uint32_t at = 48 + sizeof(struct hs_ship_data);

	memcpy(out + at, f->parts, f->nr_parts * sizeof(f->parts[0]));
	at += f->nr_parts * (uint32_t)sizeof(f->parts[0]);
	for (uint32_t i = 0; i < f->nr_parts; i++)
		if (!f->parts[i].offset) {
			struct hs_wire_slice h =
				*slice_of(a, f->parts[i].slice);

			/* Too long, or too short for what comes of it. */
			if (longer == 1)
				h.length_bytes = slice_bytes + 1;
			else if (longer == 2 &&
				 h.length_bytes > f->parts[i].bytes)
				h.length_bytes = f->parts[i].bytes + 1;
			memcpy(out + at, &h, sizeof(h));
			at += (uint32_t)sizeof(h);
		}
	*head = at;
	for (uint32_t i = 0; i < f->nr_parts; i++) {
		bytes_of(slice_of(a, f->parts[i].slice), f->parts[i].offset,
			 f->parts[i].bytes, out + at);
		at += f->parts[i].bytes;
	}
	if (f->bytes && hs_random_chance(&g->r, g->modify))
		out[*head + bout_below(&g->r, f->bytes)] ^= 1;
	return at;
}

/* Mostly the oldest that is missing; or any other. */
static uint64_t which(struct receiving *g, struct recv_conn *c)
{
	uint64_t nr = c->first;
	uint32_t kind = bout_below(&g->r, 100);

	if (kind < 4)
		return c->credit + bout_below(&g->r, 2);
	if (kind < 8)
		return nr ? nr - 1 : 0;
	if (kind < 30)
		return nr + hs_random_below(&g->r, c->credit - nr);
	while (nr < c->credit - 1 && *receiving_slot(c, nr))
		nr++;
	return nr;
}

static struct hs_ship_data data_of(struct receiving *g, struct recv_agent *a,
				   const struct recv_conn *c, uint64_t nr)
{
	struct hs_ship_data d = {
		.frame = nr,
		.tx = ++a->tx,
		.sent_ns = g->now_ns - bout_below(&g->r, 1000000),
		.settled = c->settled,
		.epoch = c->epoch,
	};

	if (hs_random_chance(&g->r, 0.1))
		d.tx -= bout_below(&g->r, 3);
	if (!hs_random_chance(&g->r, g->knows))
		d.settled = c->settled_seen;
	else if (hs_random_chance(&g->r, 0.1))
		d.settled -= hs_random_below(&g->r, c->settled + 1);
	else if (hs_random_chance(&g->r, 0.03))
		d.settled++;
	if (hs_random_chance(&g->r, 0.1))
		d.epoch -= d.epoch > 0;
	else if (hs_random_chance(&g->r, 0.03))
		d.epoch++;
	return d;
}

void receiving_data(struct receiving *g)
{
	uint32_t agent = bout_below(&g->r, g->nr_agents), bytes, head;
	struct recv_agent *a = &g->agents[agent];
	struct recv_conn *c = conn_of(g, agent);
	struct hs_ship_header h = {.type = HS_SHIP_DATA};
	uint8_t *out = g->frame;
	struct recv_cut f = {0};
	struct hs_ship_data d;
	struct hs_ship_span rest;
	struct hs_ship_view view;
	const char *why = "";
	uint32_t longer = 0;
	bool spoiled = false;

	if (!c)
		return;
	if (a->id != c->id) {
		a->id = c->id;
		a->nr_cuts = a->cut_slice = a->cut_offset = 0;
		a->tx = 0;
	}
	d = data_of(g, a, c, which(g, c));
	if (!hs_random_chance(&g->r, 0.05)) {
		while (a->nr_cuts <= d.frame)
			cut(g, a, c);
		if (a->nr_cuts > d.frame + NR_CUTS)
			return;
		f = a->cuts[d.frame % NR_CUTS];
		/* No more than may wait; now and then more. */
		if (f.nr_parts &&
		    f.parts[f.nr_parts - 1].slice - c->settled >=
			    g->config.nr_slices &&
		    !hs_random_chance(&g->r, 0.03))
			return;
		spoiled = hs_random_chance(&g->r, g->spoils);
		if (spoiled)
			spoil(g, &f, &longer);
	}
	d.nr_parts = (uint16_t)f.nr_parts;
	h.to = c->id;
	h.from = c->peer;
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), &d, sizeof(d));
	bytes = compose(g, a, &f, longer, c->slice_bytes, out, &head);
	rest = (struct hs_ship_span){out + head, bytes - head};
	hs_ship_frame_seal(&g->config.auth, out, head, &rest, 1);
	/* What was spoiled may be no frame any more. */
	if (spoiled && hs_ship_frame_parse(&view, out, bytes, &why))
		return;
	receiving_comes(g, agent, out, bytes);
}

/* ---- others ---------------------------------------------------------------
 */

void receiving_stranger(struct receiving *g)
{
	const struct hs_ship_close bye = {.reason = bout_below(&g->r, 7)};
	const struct hs_ship_data ask = {.tx = 1};
	const struct hs_ship_ack ack = {.ack = 1};
	uint32_t agent = bout_below(&g->r, g->nr_agents);
	const struct recv_conn *c = conn_of(g, agent);
	uint64_t to = c ? c->id : 0, from = g->agents[agent].peer;

	switch (hs_random_below(&g->r, 8)) {
	case 0:
		to += 1u << 16;
		break;
	case 1:
		from++;
		break;
	case 2:
		agent = bout_below(&g->r, g->nr_agents);
		break;
	case 3: /* places that are not there, or are another's */
		to = (to & ~0xffffull) | g->config.nr_connections;
		break;
	case 4:
		to = (to & ~0xffffull) |
		     bout_below(&g->r, g->config.nr_connections);
		break;
	default:
		break;
	}
	switch (hs_random_below(&g->r, 3)) {
	case 0:
		comes(g, agent, HS_SHIP_CLOSE, to, from, &bye, sizeof(bye));
		break;
	case 1:
		comes(g, agent, HS_SHIP_DATA, to, from, &ask, sizeof(ask));
		break;
	default:
		comes(g, agent, HS_SHIP_ACK, to, from, &ack, sizeof(ack));
		break;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_sender.c - a sender of slices alone: what goes, when, and what is left
 * after each answer; see bout_sender.h
 */
#include "tests/sim/bout_sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NR_STEPS 400u

/* ---- what it sends --------------------------------------------------------
 */

/* As much as fits of what comes next; a slice's end may begin another. */
static void cut(const struct sending *g, struct sent_frame *f)
{
	uint64_t nr = g->cut_slice;
	uint32_t offset = g->cut_offset;

	*f = (struct sent_frame){.slice = nr, .offset = offset, .bytes = 88};
	while (nr < g->next_slice && f->nr_parts < g->config.nr_pieces) {
		uint32_t left = sending_slice(g, nr)->length - offset;
		uint32_t room = g->frame_bytes;
		/* A part's row; and where a slice begins its own. */
		uint32_t rows = sizeof(struct hs_ship_part) +
				(offset ? 0 : sizeof(struct hs_wire_slice));

		if (f->bytes + rows > room)
			break;
		room -= f->bytes + rows;
		/* Less than 64 bytes of a longer one are not worth it. */
		if (room < left && room < 64)
			break;
		if (left > room)
			left = room;
		f->parts[f->nr_parts++] =
			(struct hs_ship_part){nr, offset, left};
		f->bytes += rows + left;
		offset += left;
		if (offset < sending_slice(g, nr)->length)
			break;
		nr++;
		offset = 0;
	}
	f->next_slice = nr;
	f->next_offset = offset;
}

static void data_goes(struct sending *g, const struct hs_ship_view *v,
		      const struct hs_ship_piece *pieces, uint32_t nr_pieces)
{
	const struct hs_ship_data *d = &v->u.data;
	struct sent_frame *f = sending_frame(g, d->frame), now;
	uint32_t piece = 0;

	if (d->tx != g->tx + 1 || d->sent_ns != g->now_ns ||
	    d->settled != g->settled || d->epoch != g->epoch)
		sim_fail(g->s, SENDING "a frame with other counts");
	if (!d->nr_parts) {
		if (!g->asks || d->frame != g->next)
			sim_fail(g->s, SENDING "a question that nobody has");
		return;
	}
	if (g->again != SENDING_NONE) {
		now = *f;
		if (d->frame != g->again)
			sim_fail(g->s, SENDING "not the frame that waits");
	} else if (g->nr_lost) {
		now = *f;
		for (uint64_t nr = g->first; nr < d->frame; nr++)
			if (sending_frame(g, nr)->state == SENT_LOST)
				sim_fail(g->s, SENDING "one that was lost is "
						       "left out");
		if (f->state != SENT_LOST)
			sim_fail(g->s, SENDING "a frame goes again for "
					       "nothing");
	} else {
		cut(g, &now);
		if (d->frame != g->next || g->next >= g->credit ||
		    g->next - g->first >= g->config.nr_frames)
			sim_fail(g->s, SENDING "a frame that may not go yet");
	}
	if (d->nr_parts != now.nr_parts ||
	    memcmp(v->rows, now.parts, now.nr_parts * sizeof(now.parts[0])) ||
	    v->header.bytes != now.bytes)
		sim_fail(g->s, SENDING "a frame with other parts");
	for (uint32_t i = 0; i < now.nr_parts && !g->s->failed; i++) {
		const struct hs_ship_part *p = &now.parts[i];

		if (!p->bytes)
			continue;
		if (piece >= nr_pieces ||
		    pieces[piece].slice->where != p->slice ||
		    pieces[piece].offset != p->offset ||
		    pieces[piece].bytes != p->bytes)
			sim_fail(g->s, SENDING "a frame with other bytes");
		piece++;
	}
	if (piece != nr_pieces)
		sim_fail(g->s, SENDING "a frame with more bytes");
	g->will = now;
}

static void data_went(struct sending *g, const struct hs_ship_data *d)
{
	struct sent_frame *f = sending_frame(g, d->frame);

	g->tx++;
	g->stats.frames_sent++;
	g->stats.frame_bytes_sent += d->nr_parts ? g->will.bytes : 88;
	if (!d->nr_parts)
		return;
	if (d->frame == g->next) {
		g->next++;
		g->cut_slice = g->will.next_slice;
		g->cut_offset = g->will.next_offset;
	} else {
		g->nr_lost--;
		g->again = SENDING_NONE;
		g->stats.frames_resent++;
	}
	*f = g->will;
	f->state = SENT_FLYING;
	f->tx = g->tx;
	f->sent_ns = g->now_ns;
}

static bool op_send_frame(void *ctx, const void *head, uint32_t head_bytes,
			  const struct hs_ship_piece *pieces,
			  uint32_t nr_pieces)
{
	struct sending *g = ctx;
	uint8_t frame[HS_SHIP_FRAME_MAX_BYTES] = {0};
	uint32_t bytes = head_bytes;
	struct hs_ship_view v;
	const char *why = "";

	memcpy(frame, head, head_bytes);
	for (uint32_t i = 0; i < nr_pieces; i++)
		bytes += pieces[i].bytes;
	if (bytes > sizeof(frame) ||
	    hs_ship_frame_parse(&v, frame, bytes, &why)) {
		sim_fail(g->s, SENDING "a frame is not one: %s", why);
		return false;
	}
	if (g->state == SENDING_UP && v.header.type == HS_SHIP_DATA &&
	    v.header.to == g->peer && v.header.from == g->core->connection) {
		data_goes(g, &v, pieces, nr_pieces);
		if (hs_random_chance(&g->r, 0.02)) {
			g->stats.port_full++;
			g->port_full = true;
			/* What a timer sends has had its turn. */
			g->again = SENDING_NONE;
			return false;
		}
		data_went(g, &v.u.data);
		return true;
	}
	if (g->state == SENDING_OPENS && v.header.type == HS_SHIP_OPEN) {
		g->nr_opens++;
		if (v.u.open.node != SENDING_NODE ||
		    v.u.open.frame_bytes != g->config.frame_bytes ||
		    (g->nonce && g->nonce != v.u.open.nonce))
			sim_fail(g->s, SENDING "another OPEN");
		g->nonce = v.u.open.nonce;
		return true;
	}
	if (g->closes && v.header.type == HS_SHIP_CLOSE)
		g->closes = false;
	else
		sim_fail(g->s, SENDING "a frame that is not due");
	return true;
}

static const void *op_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	return ctx;
}

static bool op_copy(void *ctx, struct hs_ship_slice *slice)
{
	struct sending *g = ctx;
	struct sent_slice *x = sending_slice(g, slice->where);

	/* The one that asks now is counted when it is over. */
	if (x->anew + 1 < 3 || x->copied)
		sim_fail(g->s, SENDING "a copy that is not asked for");
	if (hs_random_chance(&g->r, 0.3))
		return false;
	x->copied = true;
	slice->copy = g;
	return true;
}

static void op_settled(void *ctx, const struct hs_ship_slice *slice,
		       bool refused)
{
	struct sending *g = ctx;

	if (slice->where != g->settled || g->settled >= g->settles ||
	    refused != (g->settled % 3 == 0 && g->refuses))
		sim_fail(g->s, SENDING "a slice is settled that is not");
	g->settled++;
	g->stats.slices_settled++;
	g->stats.slices_refused += refused;
}

static void op_up(void *ctx, uint64_t collector)
{
	struct sending *g = ctx;

	if (collector != SENDING_COLLECTOR)
		sim_fail(g->s, SENDING "up with somebody else");
	g->nr_ups++;
}

static void op_down(void *ctx, const char *why)
{
	struct sending *g = ctx;

	g->nr_downs++;
}

static const struct hs_ship_sender_ops ops = {op_send_frame, op_bytes, op_copy,
					      op_settled,    op_up,    op_down};

/* ---- what comes to it -----------------------------------------------------
 */

static void adds(struct sending *g)
{
	struct hs_ship_slice slice = {.where = g->next_slice};
	uint32_t length = bout_below(&g->r, 3)
				  ? bout_below(&g->r, g->slice_bytes + 1)
				  : g->slice_bytes + bout_below(&g->r, 2);
	int rc, want = 0;

	slice.head.length_bytes = length;
	if (g->state != SENDING_UP)
		want = -ENOTCONN;
	else if (length > g->slice_bytes)
		want = -EMSGSIZE;
	else if (g->next_slice - g->settled == g->slices_max)
		want = -EAGAIN;
	rc = hs_ship_sender_add(g->core, &slice);
	if (rc != want)
		sim_fail(g->s, SENDING "a slice of %u comes to %d, not %d",
			 length, rc, want);
	if (want)
		return;
	*sending_slice(g, g->next_slice) =
		(struct sent_slice){.length = length};
	g->next_slice++;
	g->stats.slices_added++;
	g->stats.bytes_added += length;
}

static void comes(struct sending *g, uint8_t type, uint64_t to, uint64_t from,
		  const void *body, uint32_t bytes)
{
	uint8_t frame[HS_SHIP_FRAME_MAX_BYTES];
	uint32_t all;

	all = hs_ship_frame_small(NULL, frame, type, to, from, body, bytes);
	if (hs_random_chance(&g->r, 0.02)) {
		/* Anywhere but in the tag, which nobody looks at here. */
		frame[hs_random_chance(&g->r, 0.5)
			      ? bout_below(&g->r, 32)
			      : 48 + bout_below(&g->r, all - 48)] ^= 1;
		g->bent = true;
	}
	hs_ship_sender_frame(g->core, frame, all, g->now_ns);
}

static void accept_comes(struct sending *g)
{
	struct hs_ship_accept a = {
		.node = SENDING_COLLECTOR,
		.nonce = g->nonce,
		.version = HS_SHIP_VERSION,
	};
	uint64_t to = g->core->connection, peer;
	bool good = g->state == SENDING_OPENS && g->nr_opens;

	a.frame_bytes = HS_SHIP_FRAME_MIN_BYTES + bout_below(&g->r, 900);
	a.slice_bytes = 1 + bout_below(&g->r, 3000);
	a.slices = 1 + bout_below(&g->r, 20);
	a.credit = bout_below(&g->r, 8);
	peer = hs_random_u64(&g->r) | 1;
	if (!g->nr_opens)
		return;
	switch (hs_random_below(&g->r, 12)) {
	case 0:
		a.nonce++;
		good = false;
		break;
	case 1:
		a.version++;
		good = false;
		break;
	case 2:
		a.frame_bytes = HS_SHIP_FRAME_MIN_BYTES - 1;
		good = false;
		break;
	case 3:
		a.frame_bytes = HS_SHIP_FRAME_MIN_BYTES;
		a.slices = a.slice_bytes = 1;
		break;
	case 4:
		a.slices = 0;
		good = false;
		break;
	case 5:
		a.slice_bytes = 0;
		good = false;
		break;
	case 6:
		to++;
		good = false;
		break;
	default:
		break;
	}
	g->bent = false;
	comes(g, HS_SHIP_ACCEPT, to, peer, &a, sizeof(a));
	if (!good || g->bent) {
		g->stats.frames_bad++;
		return;
	}
	sending_up(g, &a, peer);
}

/* What a collector says; or, now and then, what none would. */
static void ack_comes(struct sending *g)
{
	uint8_t body[sizeof(struct hs_ship_ack) + 2 + 8 * 16] = {0};
	struct hs_ship_ack *a = (void *)body;
	uint64_t tx = g->tx ? 1 + hs_random_below(&g->r, g->tx) : 0;
	bool sane;

	if (g->state != SENDING_UP)
		return;
	a->ack = g->ack_seen + (hs_random_chance(&g->r, 0.9) ? 1 : 0);
	a->first = g->first + hs_random_below(&g->r, g->next - g->first + 1);
	a->credit = hs_random_chance(&g->r, 0.5)
			    ? g->credit
			    : a->first + hs_random_below(&g->r, 8);
	a->tx = tx;
	a->echo_ns = g->now_ns - hs_random_below(&g->r, 20 * SIM_MS);
	a->held_ns = bout_below(&g->r, 10 * 1000000);
	a->settled = g->settled +
		     hs_random_below(&g->r, g->next_slice - g->settled + 1);
	a->epoch = g->epoch;
	a->nr_sack_bytes = 2;
	body[sizeof(*a)] = (uint8_t)hs_random_u64(&g->r);
	body[sizeof(*a) + 1] = (uint8_t)hs_random_u64(&g->r);
	if (g->settled < g->cut_slice && hs_random_chance(&g->r, 0.1)) {
		a->epoch++;
		a->bad = g->settled +
			 hs_random_below(&g->r, g->cut_slice - g->settled + 1);
	}
	switch (hs_random_below(&g->r, 30)) {
	case 0:
		a->first = g->next + 1;
		break;
	case 1:
		a->first = g->first - 1;
		break;
	case 2:
		a->tx = g->tx + 1;
		break;
	case 3:
		a->settled = g->next_slice + 1;
		break;
	case 4:
		a->epoch += 2;
		break;
	case 5:
		a->echo_ns = g->now_ns + 1;
		break;
	default:
		break;
	}
	sane = a->first >= g->first && a->first <= g->next && a->tx <= g->tx &&
	       a->settled <= g->next_slice &&
	       (a->epoch <= g->epoch ||
		(a->epoch == g->epoch + 1 && a->bad >= g->settled &&
		 a->bad < g->cut_slice));
	g->refuses = hs_random_chance(&g->r, 0.3);
	for (uint64_t nr = g->settled; g->refuses && nr < g->next_slice; nr++)
		if (nr % 3 == 0 && a->nr_refused < 16)
			memcpy(body + sizeof(*a) + 2 + 8 * a->nr_refused++, &nr,
			       8);
	g->bent = false;
	sending_before_ack(g, a);
	comes(g, HS_SHIP_ACK, g->core->connection,
	      hs_random_chance(&g->r, 0.5) ? g->peer : 0, body,
	      (uint32_t)sizeof(*a) + 2 + 8u * a->nr_refused);
	if (!g->bent && a->ack <= g->ack_seen)
		g->stats.acks_old++;
	else if (g->bent || !sane)
		g->stats.frames_bad++;
	else
		sending_acked(g, a, body + sizeof(*a));
}

static void stranger_comes(struct sending *g)
{
	const struct hs_ship_close bye = {.reason = HS_SHIP_BYE};
	struct hs_ship_ack a = {.ack = g->ack_seen + 1};
	uint64_t to = g->core->connection, from = g->peer;

	if (hs_random_chance(&g->r, 0.5))
		to++;
	else if (g->state == SENDING_UP)
		from++;
	else if (to)
		return; /* whoever does not know us may say so */
	if (hs_random_chance(&g->r, 0.5))
		comes(g, HS_SHIP_CLOSE, to, from, &bye, sizeof(bye));
	else
		comes(g, HS_SHIP_ACK, to, from, &a, sizeof(a));
	g->stats.frames_bad++;
}

static void close_comes(struct sending *g)
{
	const struct hs_ship_close bye = {.reason = HS_SHIP_BYE};

	g->bent = false;
	if (!g->core->connection)
		return;
	comes(g, HS_SHIP_CLOSE, g->core->connection, 0, &bye, sizeof(bye));
	if (g->bent)
		g->stats.frames_bad++;
	else
		sending_down(g);
}

/* ---- a bout ---------------------------------------------------------------
 */

static bool start(struct sending *g)
{
	static const uint32_t sizes[] = {2, 4, 8, 16};
	struct hs_ship_sender_config c = {.node = SENDING_NODE};

	c.frame_bytes = HS_SHIP_FRAME_MIN_BYTES + bout_below(&g->r, 1000);
	c.nr_frames = sizes[hs_random_below(&g->r, 4)];
	c.nr_slices = sizes[hs_random_below(&g->r, 4)];
	c.nr_pieces = 1 + bout_below(&g->r, 6);
	if (hs_random_chance(&g->r, 0.5))
		c.dead_ns = SIM_S;
	if (hs_random_chance(&g->r, 0.5))
		c.reopen_min_ns = 15 * SIM_MS;
	if (hs_random_chance(&g->r, 0.2))
		c.frame_bytes = HS_SHIP_FRAME_MIN_BYTES;
	if (hs_random_chance(&g->r, 0.5))
		c.reopen_max_ns = 100 * SIM_MS;
	g->memory = sim_zalloc(1, hs_ship_sender_size(&c));
	g->core = hs_ship_sender_create(g->memory, &c, &ops, g,
					hs_random_u64(&g->r), g->now_ns);
	if (!g->core)
		return false;
	c.dead_ns = c.dead_ns ? c.dead_ns : 3 * SIM_S;
	c.reopen_min_ns = c.reopen_min_ns ? c.reopen_min_ns : 20 * SIM_MS;
	c.reopen_max_ns = c.reopen_max_ns ? c.reopen_max_ns : 2 * SIM_S;
	g->config = c;
	g->due_ns = g->now_ns;
	g->reopen_ns = c.reopen_min_ns;
	g->again = SENDING_NONE;
	return true;
}

static void shapes(struct sending *g)
{
	struct hs_ship_sender_config c = g->config, d = c, e = c, f = c;

	c.frame_bytes = HS_SHIP_FRAME_MIN_BYTES - 1;
	d.frame_bytes = HS_SHIP_FRAME_MAX_BYTES + 1;
	e.nr_frames = 3;
	f.nr_slices = 12;
	if (hs_ship_sender_create(g->memory, &c, &ops, g, 1, 1) ||
	    hs_ship_sender_create(g->memory, &d, &ops, g, 1, 1) ||
	    hs_ship_sender_create(g->memory, &e, &ops, g, 1, 1) ||
	    hs_ship_sender_create(g->memory, &f, &ops, g, 1, 1))
		sim_fail(g->s, SENDING "a shape is taken that is none");
}

static void time_passes(struct sending *g)
{
	static const uint64_t steps[] = {1, 100 * SIM_US, 2 * SIM_MS,
					 60 * SIM_MS, 900 * SIM_MS};
	uint64_t until = g->wakes_ns;

	/* Often just when it wants to be looked at. */
	if (until > g->now_ns && until - g->now_ns < 4 * SIM_S &&
	    hs_random_chance(&g->r, 0.3))
		g->now_ns = until;
	else
		g->now_ns += hs_random_below(&g->r,
					     steps[hs_random_below(&g->r, 5)]);
}

static void step(struct sending *g)
{
	uint64_t what = hs_random_below(&g->r, 100);

	if (what < 25)
		adds(g);
	else if (what < 60)
		sending_run(g);
	else if (what < 85)
		ack_comes(g);
	else if (what < 95)
		accept_comes(g);
	else if (what < 98)
		stranger_comes(g);
	else if (what < 99)
		close_comes(g);
}

void bout_sender(struct sim *s, uint64_t seed)
{
	struct sending *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0x5e4dull);
	g->now_ns = 100 * SIM_S;
	if (!start(g))
		sim_fail(s, SENDING "its config is refused");
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		time_passes(g);
		step(g);
		sending_check(g);
	}
	if (!s->failed) {
		g->closes = g->state == SENDING_UP;
		hs_ship_sender_close(g->core);
		if (g->closes)
			sim_fail(s, SENDING "it ends without a word");
		if (hs_ship_sender_run(g->core, g->now_ns) != UINT64_MAX)
			sim_fail(s, SENDING "it goes on when it has ended");
		shapes(g);
	}
	sim_mix(s, g->stats.frames_sent ^ g->tx << 32);
	free(g->memory);
	free(g);
}

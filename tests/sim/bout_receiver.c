/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_receiver.c - a receiver of slices alone: what it gives, to whom, and
 * what it answers, call by call; see bout_receiver.h
 */
#include "tests/sim/bout_receiver.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/ship/lossy_tag.h"

#define NR_STEPS 400u

/* ---- what it does, and should ---------------------------------------------
 */

static const struct recv_event *next(struct receiving *g, enum recv_kind kind)
{
	const struct recv_event *e = &g->events[g->at_event];

	if (g->at_event == g->nr_events || e->kind != kind) {
		sim_fail(g->s, RECEIVING "it does what it should not (%d)",
			 (int)kind);
		return NULL;
	}
	g->at_event++;
	return e;
}

static void op_send_frame(void *ctx, const struct hs_ship_address *to,
			  const void *frame, uint32_t frame_bytes)
{
	struct receiving *g = ctx;
	const struct recv_event *e = next(g, RECV_SENDS);

	if (e && (to->bytes[3] != e->agent ||
		  frame_bytes != g->frame_bytes[e->frame] ||
		  memcmp(frame, g->frames[e->frame], frame_bytes)))
		sim_fail(g->s, RECEIVING "a frame that says something else");
}

static enum hs_ship_verdict op_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct receiving *g = ctx;
	const struct recv_event *e = next(g, RECV_GIVES);
	uint32_t crc = 0, bytes = 0;

	for (uint32_t i = 0; i < nr_spans; i++) {
		crc = hs_crc32c(crc, spans[i].data, spans[i].bytes);
		bytes += spans[i].bytes;
	}
	if (!e)
		return HS_SHIP_BUSY;
	if (connection != e->place || bytes != e->head.length_bytes ||
	    crc != e->crc || memcmp(head, &e->head, sizeof(*head)))
		sim_fail(g->s, RECEIVING "another slice");
	return e->verdict;
}

static void op_release(void *ctx, void *handle)
{
	struct receiving *g = ctx;
	struct recv_frame *f = handle;

	if (f->state != RECV_LEAVES)
		sim_fail(g->s, RECEIVING "a frame is let go that is needed");
	f->state = RECV_LEFT;
	memset(f->data, 0xdd, f->bytes);
}

static void op_up(void *ctx, uint32_t connection, uint64_t node)
{
	struct receiving *g = ctx;
	const struct recv_event *e = next(g, RECV_UP);

	if (e && (e->place != connection || e->node != node))
		sim_fail(g->s, RECEIVING "somebody else is up");
}

static void op_down(void *ctx, uint32_t connection, const char *why)
{
	struct receiving *g = ctx;
	const struct recv_event *e = next(g, RECV_DOWN);

	if (e && (e->place != connection || !why || strcmp(why, e->why) != 0))
		sim_fail(g->s, RECEIVING "down, for \"%s\" instead of \"%s\"",
			 why, e->why);
}

static const struct hs_ship_receiver_ops ops = {op_send_frame, op_slice,
						op_release, op_up, op_down};

/* All that it should have done it has done. */
static void done(struct receiving *g)
{
	struct recv_frame **link = &g->came;

	if (g->at_event != g->nr_events)
		sim_fail(g->s, RECEIVING "it leaves out what it should do (%d)",
			 (int)g->events[g->at_event].kind);
	g->nr_events = g->at_event = g->nr_frames = 0;
	while (*link) {
		struct recv_frame *f = *link;

		if (f->state == RECV_LEAVES)
			sim_fail(g->s, RECEIVING "a frame is not let go");
		if (f->state == RECV_HERE) {
			link = &f->next;
			continue;
		}
		*link = f->next;
		free(f);
	}
	if (!g->s->failed)
		receiving_check(g);
}

/* ---- what comes to it -----------------------------------------------------
 */

/* By the way: one bit, or the end, or more than was. Return: its length. */
static uint32_t bend(struct receiving *g, uint8_t *frame, uint32_t bytes,
		     uint32_t head_bytes)
{
	switch (hs_random_below(&g->r, 8)) {
	case 0:
		return bout_below(&g->r, 49);
	case 1:
		return bytes - 1;
	case 2:
		frame[bytes] = 0;
		return bytes + 1;
	case 3:
		return HS_SHIP_FRAME_MAX_BYTES + 1;
	case 4:
		/* Behind the tag, where there is something. */
		if (head_bytes > 48) {
			frame[48 + bout_below(&g->r, head_bytes - 48)] ^=
				(uint8_t)(1u << bout_below(&g->r, 8));
			return bytes;
		}
		/* fall through */
	default:
		frame[bout_below(&g->r, 32)] ^=
			(uint8_t)(1u << bout_below(&g->r, 8));
		return bytes;
	}
}

void receiving_comes(struct receiving *g, uint32_t agent, void *frame,
		     uint32_t bytes)
{
	struct hs_ship_address from = {{1, 2, 3, (uint8_t)agent}};
	struct recv_frame *f =
		sim_zalloc(1, sizeof(*f) + HS_SHIP_FRAME_MAX_BYTES + 1);
	uint32_t head_bytes = ((struct hs_ship_header *)frame)->head_bytes;
	const char *why = "";

	memcpy(f->data, frame, bytes);
	f->next = g->came;
	g->came = f;
	f->state = RECV_LEAVES;
	g->stats.frames++;
	if (hs_random_chance(&g->r, 0.02)) {
		bytes = bend(g, f->data, bytes, head_bytes);
		g->stats.frames_bad++;
	} else if (g->config.auth.tag && hs_random_chance(&g->r, 0.02)) {
		f->data[32 + bout_below(&g->r, 16)] ^= 1;
		g->stats.frames_forged++;
	} else if (hs_ship_frame_parse(&f->view, f->data, bytes, &why)) {
		sim_fail(g->s, RECEIVING "a frame is taken for none: %s", why);
	} else {
		receiving_frame(g, agent, f);
	}
	f->bytes = bytes;
	hs_ship_receiver_frame(g->core, &from, f, f->data, bytes, g->now_ns);
	done(g);
}

static void settles(struct receiving *g)
{
	/* Places that are not there, too. */
	uint32_t place = bout_below(&g->r, g->config.nr_connections + 1);
	uint64_t key = hs_random_below(&g->r, 4);
	bool refused = hs_random_chance(&g->r, g->refuses);

	if (place < g->config.nr_connections)
		receiving_settle(g, place, key, refused);
	hs_ship_receiver_settle(g->core, place, key, refused);
	done(g);
}

static void runs(struct receiving *g)
{
	uint64_t at, should = receiving_run(g);

	at = hs_ship_receiver_run(g->core, g->now_ns);
	if (at != should)
		sim_fail(g->s, RECEIVING "it wants to be called %lld ns later",
			 (long long)(at - should));
	done(g);
}

/* How the taker is from here on. */
static void taker(struct receiving *g)
{
	g->busy = hs_random_chance(&g->r, 0.3) ? hs_random_f64(&g->r) : 0;
	g->refuses = hs_random_chance(&g->r, 0.5)
			     ? hs_random_f64(&g->r) * hs_random_f64(&g->r)
			     : 0;
	g->room_bytes = hs_random_chance(&g->r, 0.5)
				? hs_random_below(&g->r, 3 * RECEIVING_TURN)
				: UINT64_MAX;
}

/* ---- a bout ---------------------------------------------------------------
 */

static void draw(struct receiving *g)
{
	static const uint32_t sizes[] = {2, 4, 8, 16, 64};
	struct hs_ship_receiver_config *c = &g->config;
	/* Slices of three turns need frames that are large, and many. */
	bool large = hs_random_chance(&g->r, 0.12);

	c->node = RECEIVING_NODE;
	c->frame_bytes = HS_SHIP_FRAME_MIN_BYTES + bout_below(&g->r, 900);
	if (large)
		c->frame_bytes = HS_SHIP_FRAME_MAX_BYTES;
	else if (hs_random_chance(&g->r, 0.2))
		c->frame_bytes = HS_SHIP_FRAME_MIN_BYTES;
	c->nr_connections = 1 + bout_below(&g->r, RECEIVING_PLACES);
	c->nr_window = large ? 32 : sizes[bout_below(&g->r, 5)];
	c->nr_least =
		large ? 16 + bout_below(&g->r, 8) : 2 + bout_below(&g->r, 4);
	if (c->nr_least > c->nr_window)
		c->nr_least = c->nr_window;
	c->nr_slices = sizes[bout_below(&g->r, 5)] / 2;
	if (hs_random_chance(&g->r, 0.3))
		c->nr_slices = RECEIVING_SLICES;
	c->nr_frames =
		c->nr_least * (1 + bout_below(&g->r, c->nr_connections + 2)) +
		bout_below(&g->r, 40);
	/* All that those in all places have too much is the least of one. */
	if (hs_random_chance(&g->r, 0.25))
		c->nr_frames = c->nr_least * (c->nr_connections + 1);
	c->idle_ns = hs_random_chance(&g->r, 0.8)
			     ? (50 + hs_random_below(&g->r, 900)) * SIM_MS
			     : 0;
	if (hs_random_chance(&g->r, 0.3))
		c->auth.tag = lossy_tag;
	g->parts_max = hs_random_chance(&g->r, 0.2) ? HS_SHIP_PARTS_MAX : 4;
	g->slice_most = large ? 3 * RECEIVING_TURN : 3000;
	g->nr_steps = large ? 3 * NR_STEPS : NR_STEPS;
	g->modify = hs_random_chance(&g->r, 0.5) ? 0.03 : 0;
	g->spoils = hs_random_chance(&g->r, 0.5) ? 0.02 : 0;
	g->knows = hs_random_chance(&g->r, 0.7) ? 0.9 : 0.05;
	g->nr_agents = 1 + bout_below(&g->r, large ? 3 : RECEIVING_AGENTS);
	for (uint32_t i = 0; i < g->nr_agents; i++)
		/* One node may run twice, for a moment. */
		g->agents[i].node = 1 + bout_below(&g->r, RECEIVING_AGENTS);
}

static bool start(struct receiving *g)
{
	size_t bytes;

	draw(g);
	bytes = hs_ship_receiver_size(&g->config);
	g->memory = sim_zalloc(1, bytes);
	g->random = hs_random_u64(&g->r);
	g->core = hs_ship_receiver_create(g->memory, &g->config, &ops, g,
					  g->random, g->now_ns);
	if (!g->core)
		return false;
	g->config.idle_ns = g->config.idle_ns ? g->config.idle_ns : 10 * SIM_S;
	receiving_create(g);
	taker(g);
	return true;
}

static void time_passes(struct receiving *g)
{
	static const uint64_t steps[] = {1, 100 * SIM_US, 2 * SIM_MS,
					 30 * SIM_MS, 200 * SIM_MS};
	const struct recv_conn *c =
		&g->conns[bout_below(&g->r, g->config.nr_connections)];
	uint64_t at = g->wakes_ns;

	/* Often just when something is due, or by a nanosecond not yet. */
	if (hs_random_chance(&g->r, 0.2) && c->state != CONNECTION_FREE)
		at = c->heard_ns + g->config.idle_ns + 1;
	at -= bout_below(&g->r, 2);
	if (at >= g->now_ns && at < g->now_ns + SIM_S &&
	    hs_random_chance(&g->r, 0.2))
		g->now_ns = at;
	else
		g->now_ns += hs_random_below(
			&g->r,
			steps[bout_below(
				&g->r, hs_random_chance(&g->r, 0.3) ? 5 : 3)]);
}

static void step(struct receiving *g)
{
	uint64_t what = hs_random_below(&g->r, 100);

	/* Now and then most are idle, and others come. */
	if (what < (g->quiet ? 2 : 55))
		receiving_data(g);
	else if (what < 70)
		runs(g);
	else if (what < 88)
		settles(g);
	else if (what < 94)
		receiving_opens(g);
	else if (what < 96)
		receiving_stranger(g);
	else
		taker(g);
}

static void bout_end(struct receiving *g)
{
	while (g->came) {
		struct recv_frame *f = g->came;

		g->came = f->next;
		free(f);
	}
	free(g->memory);
	free(g->events);
	free(g);
}

void bout_receiver(struct sim *s, uint64_t seed)
{
	struct receiving *g = sim_zalloc(1, sizeof(*g));

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0x2ece17ull);
	hs_random_seed(&g->verdicts, seed ^ 0x7a4e2ull);
	g->now_ns = 100 * SIM_S;
	if (!start(g))
		sim_fail(s, RECEIVING "its config is refused");
	for (uint32_t i = 0; i < g->nr_steps && !s->failed; i++) {
		if (i % 40 == 0)
			g->quiet = hs_random_chance(&g->r, 0.2);
		time_passes(g);
		step(g);
	}
	if (!s->failed) {
		receiving_close(g);
		hs_ship_receiver_close(g->core);
		done(g);
		if (g->came)
			sim_fail(s, RECEIVING "it keeps frames when it ends");
	}
	if (seed % 16 == 1 && !s->failed)
		receiving_limits(s);
	sim_mix(s, g->stats.slices ^ g->stats.acks << 32);
	bout_end(g);
}

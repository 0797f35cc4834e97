/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_sender_model.c - what must come of answers and of time at a sender: see
 * bout_sender.h
 */
#include <string.h>

#include "tests/sim/bout_sender.h"

static void differs(struct sending *g, const char *what, uint64_t is,
		    uint64_t should)
{
	if (is != should)
		sim_fail(g->s, SENDING "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

/* ---- its connection -------------------------------------------------------
 */

void sending_up(struct sending *g, const struct hs_ship_accept *a,
		uint64_t peer)
{
	g->state = SENDING_UP;
	g->peer = peer;
	g->frame_bytes = a->frame_bytes < g->config.frame_bytes
				 ? a->frame_bytes
				 : g->config.frame_bytes;
	g->slice_bytes = a->slice_bytes;
	g->slices_max = a->slices < g->config.nr_slices ? a->slices
							: g->config.nr_slices;
	g->credit = a->credit;
	g->epoch = g->timeouts = 0;
	g->tx = g->tx_seen = g->tx_seen_ns = g->ack_seen = 0;
	g->heard_ns = g->now_ns;
	g->owed = false;
	g->timer_ns = g->now_ns + 2 * SIM_S;
	g->reopen_ns = g->config.reopen_min_ns;
	differs(g, "connections that came up", g->nr_ups, 1);
	g->nr_ups = 0;
}

void sending_down(struct sending *g)
{
	bool was_up = g->state == SENDING_UP;

	g->state = SENDING_OPENS;
	g->due_ns = g->now_ns + g->reopen_ns;
	g->nonce = g->nr_opens = 0;
	differs(g, "connections that went down", g->nr_downs, was_up);
	g->nr_downs = 0;
	if (!was_up)
		return;
	g->stats.downs++;
	g->settled = g->cut_slice = g->next_slice = g->first = g->next = 0;
	g->cut_offset = g->nr_lost = 0;
	memset(g->frames, 0, sizeof(g->frames));
}

/* ---- an answer ------------------------------------------------------------
 */

static bool here(const struct hs_ship_ack *a, const uint8_t *sack, uint64_t nr)
{
	if (nr < a->first)
		return true;
	nr -= a->first;
	return nr < 16 && sack[nr / 8] >> nr % 8 & 1;
}

static void lose(struct sending *g, struct sent_frame *f)
{
	g->stats.frames_lost += f->state == SENT_FLYING;
	g->nr_lost += f->state != SENT_LOST;
	f->state = SENT_LOST;
}

/* A slice is settled when no frame of it, or of one before, may go again. */
void sending_before_ack(struct sending *g, const struct hs_ship_ack *a)
{
	uint64_t held = g->cut_slice;

	if (a->first < g->next)
		held = sending_frame(g, a->first)->slice;
	g->settles = a->settled < held ? a->settled : held;
}

void sending_acked(struct sending *g, const struct hs_ship_ack *a,
		   const uint8_t *sack)
{
	const struct hs_ship_pace *p = &g->core->pace;
	uint64_t slack = p->rtt_least_ns / 4;
	uint64_t patience = p->rtt_smooth_ns + slack;
	uint32_t flying = 0;

	g->ack_seen = a->ack;
	g->stats.acks++;
	g->heard_ns = g->now_ns;
	g->timeouts = 0;
	if (a->tx > g->tx_seen && a->echo_ns <= g->now_ns) {
		g->tx_seen = a->tx;
		g->tx_seen_ns = a->echo_ns;
	}
	for (uint64_t nr = g->first; nr < g->next; nr++) {
		struct sent_frame *f = sending_frame(g, nr);

		if (!here(a, sack, nr))
			continue;
		g->nr_lost -= f->state == SENT_LOST;
		f->state = SENT_HERE;
	}
	g->first = a->first;
	if (a->credit > g->credit)
		g->credit = a->credit;
	if (a->epoch > g->epoch) {
		struct sent_slice *x = sending_slice(g, a->bad);

		g->epoch++;
		g->stats.slices_anew++;
		x->anew++;
		g->stats.slices_modified += x->copied && !x->counted;
		x->counted = x->copied;
		for (uint64_t nr = g->first; nr < g->next; nr++) {
			struct sent_frame *f = sending_frame(g, nr);

			if (a->bad >= f->slice &&
			    a->bad <= f->parts[f->nr_parts - 1].slice)
				lose(g, f);
		}
	}
	for (uint64_t nr = g->first; nr < g->next; nr++) {
		struct sent_frame *f = sending_frame(g, nr);

		/* What went before what has come, by time and by number. */
		if (f->state == SENT_FLYING && f->tx + 3 < g->tx_seen &&
		    (f->sent_ns + slack < g->tx_seen_ns ||
		     f->sent_ns + patience <= g->now_ns))
			lose(g, f);
		flying += f->state == SENT_FLYING;
	}
	differs(g, "slices settled", g->settled,
		g->settles > g->settled ? g->settles : g->settled);
	g->owed = flying > 0;
	g->timer_ns = g->now_ns + hs_ship_pace_timeout(p);
}

/* ---- time -----------------------------------------------------------------
 */

static void owe(struct sending *g, uint64_t patience_ns)
{
	if (g->owed)
		return;
	g->owed = true;
	g->heard_ns = g->now_ns;
	g->timer_ns = g->now_ns + patience_ns;
}

/* Before it runs: what a silence makes of it, and what goes for that. */
static void silence(struct sending *g, uint64_t patience_ns)
{
	uint64_t nr = g->first;

	g->timer_of_ns = patience_ns << g->timeouts;
	g->timed = true;
	g->stats.timeouts += g->owed;
	g->timeouts += g->owed && g->timeouts < 8;
	while (nr < g->next && sending_frame(g, nr)->state != SENT_FLYING)
		nr++;
	if (nr < g->next) {
		lose(g, sending_frame(g, nr));
		g->again = nr;
		return;
	}
	g->asks = true;
	if (g->settled < g->next_slice && g->timer_of_ns < 200 * SIM_MS)
		g->timer_of_ns = 200 * SIM_MS;
}

static void opens(struct sending *g)
{
	bool due = g->now_ns >= g->due_ns;
	uint64_t opens = g->nr_opens, at;

	at = hs_ship_sender_run(g->core, g->now_ns);
	differs(g, "OPENs", g->nr_opens - opens, due);
	if (due) {
		g->due_ns = g->now_ns + g->reopen_ns;
		g->reopen_ns *= 2;
		if (g->reopen_ns > g->config.reopen_max_ns)
			g->reopen_ns = g->config.reopen_max_ns;
	}
	differs(g, "when it opens again", at, g->due_ns);
	g->wakes_ns = at;
}

static bool has_new(const struct sending *g)
{
	return g->cut_slice < g->next_slice;
}

void sending_run(struct sending *g)
{
	const struct hs_ship_pace *p = &g->core->pace;
	uint64_t sent = g->stats.frames_sent, at, want, patience_ns;
	bool may_go;

	if (g->state == SENDING_UP && g->owed &&
	    g->now_ns > g->heard_ns + g->config.dead_ns) {
		g->state = SENDING_OPENS;
		g->nr_opens = 0;
		g->nonce = 0;
		at = hs_ship_sender_run(g->core, g->now_ns);
		g->state = SENDING_UP;
		differs(g, "OPENs at once", g->nr_opens, 0);
		sending_down(g);
		differs(g, "when it opens again", at, g->due_ns);
		g->wakes_ns = at;
		return;
	}
	if (g->state == SENDING_OPENS) {
		opens(g);
		return;
	}
	patience_ns = hs_ship_pace_timeout(p);
	g->port_full = g->timed = g->asks = false;
	g->again = SENDING_NONE;
	if (g->now_ns >= g->timer_ns)
		silence(g, patience_ns);
	at = hs_ship_sender_run(g->core, g->now_ns);
	g->asks = false;
	g->again = SENDING_NONE;
	if (g->timed) {
		owe(g, patience_ns);
		g->timer_ns = g->now_ns + (g->timer_of_ns < 500 * SIM_MS
						   ? g->timer_of_ns
						   : 500 * SIM_MS);
	}
	if (g->stats.frames_sent != sent)
		owe(g, patience_ns);
	may_go = g->nr_lost || (has_new(g) && g->next < g->credit &&
				g->next < g->first + g->config.nr_frames);
	if (!g->port_full && may_go && hs_ship_pace_may(p, g->now_ns))
		sim_fail(g->s, SENDING "something waits that may go");
	if (!g->owed)
		g->timer_ns =
			g->heard_ns + (g->settled < g->next_slice || has_new(g)
					       ? 200 * SIM_MS
					       : 2 * SIM_S);
	want = g->timer_ns;
	if (may_go && hs_ship_pace_next(p) < want)
		want = hs_ship_pace_next(p);
	differs(g, "when it wants to be looked at", at, want);
	g->wakes_ns = at;
}

/* ---- whether it is so -----------------------------------------------------
 */

#define SAME(field)  differs(g, #field, is->field, g->field)
#define COUNT(field) differs(g, #field, st.field, g->stats.field)

static void counts(struct sending *g)
{
	struct hs_ship_sender_stats st;

	hs_ship_sender_stats_get(g->core, &st);
	COUNT(slices_added);
	COUNT(slices_settled);
	COUNT(slices_refused);
	COUNT(bytes_added);
	COUNT(frames_sent);
	COUNT(frames_resent);
	COUNT(frames_lost);
	COUNT(frame_bytes_sent);
	COUNT(acks);
	COUNT(acks_old);
	COUNT(frames_bad);
	COUNT(slices_anew);
	COUNT(slices_modified);
	COUNT(timeouts);
	COUNT(downs);
	COUNT(port_full);
	differs(g, "unsettled", st.unsettled, g->next_slice - g->settled);
	differs(g, "whether it is up", st.up, g->state == SENDING_UP);
}

void sending_check(struct sending *g)
{
	const struct hs_ship_sender *is = g->core;
	uint64_t flying = 0;
	const char *why = "";

	counts(g);
	differs(g, "connections that came up unasked", g->nr_ups, 0);
	if (g->state == SENDING_OPENS) {
		SAME(due_ns);
		SAME(reopen_ns);
		return;
	}
	SAME(settled);
	SAME(next_slice);
	SAME(cut_slice);
	SAME(cut_offset);
	SAME(first);
	SAME(next);
	SAME(credit);
	SAME(nr_lost);
	SAME(epoch);
	SAME(tx);
	SAME(tx_seen);
	SAME(ack_seen);
	SAME(heard_ns);
	SAME(owed);
	SAME(timer_ns);
	SAME(timeouts);
	SAME(slices_max);
	for (uint64_t nr = g->first; nr < g->next; nr++) {
		const struct sent_frame *f = sending_frame(g, nr);

		flying += f->state == SENT_FLYING ? f->bytes : 0;
		differs(g, "what became of a frame",
			sender_frame(g->core, nr)->state, f->state);
	}
	differs(g, "bytes under way", is->pace.in_flight_bytes, flying);
	if (!hs_ship_sender_check(is, &why))
		sim_fail(g->s, SENDING "it does not add up: %s", why);
}

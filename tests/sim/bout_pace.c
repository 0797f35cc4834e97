/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_pace.c - a sender's pacer alone: acknowledgements, losses and round
 * trips of every kind, and after each what the window, the time of the next
 * frame and the patience with it must be
 *
 * The model is told the same and keeps its own sums, by the rules of BBR
 * (Cardwell et al. 2016) as docs/adr says that shipping bends them: the best of
 * two half windows of rounds, gains by mode, yielding to loss and to round
 * trips that rise.
 */
#include <stdlib.h>
#include <string.h>

#include "ship/proto_pace.h"
#include "tests/sim/bout.h"

#define NR_STEPS 1500u
#define NR_SENT	 128u
#define BOUT	 "bout of pacing: "

struct sent {
	struct hs_ship_stamp stamp;
	uint64_t delivered, delivered_ns;
	uint32_t bytes;
	bool idle;
};

enum mode { STARTUP, DRAIN, PROBE };

struct pacer {
	struct sim *s;
	struct hs_random r;
	struct hs_ship_pace core;
	uint64_t now_ns, limit_per_s;
	uint32_t frame_bytes;
	/* what the model believes */
	enum mode mode;
	bool yields, idle;
	uint32_t flat;
	uint64_t round, round_end;
	uint64_t sent_bytes, lost_bytes; /* since loss was judged last */
	uint64_t in_flight, delivered, delivered_ns, next_ns;
	uint64_t half[2]; /* the best rate of this half, and the one before */
	uint64_t full;
	uint64_t smooth_ns, var_ns, least_ns, least_at_ns;
	struct sent sent[NR_SENT];
	uint32_t nr_sent;
};

static uint64_t best(const struct pacer *g)
{
	return g->half[0] < g->half[1] ? g->half[1] : g->half[0];
}

static uint64_t rate(const struct pacer *g)
{
	/* 2.885, 0.344 and 0.7 of it; then a quarter more and less in turn */
	uint64_t gain = 256, rate = best(g);

	if (g->yields)
		gain = 179;
	else if (g->mode == STARTUP)
		gain = 739;
	else if (g->mode == DRAIN)
		gain = 88;
	else if (g->round % 8 == 0)
		gain = 320;
	else if (g->round % 8 == 1)
		gain = 192;
	if (rate > 0)
		rate = rate / 256 * gain + g->frame_bytes;
	if (g->limit_per_s && (rate == 0 || rate > g->limit_per_s))
		return g->limit_per_s;
	return rate;
}

/* Two round trips of the rate and a millisecond, 32 frames at least. */
static uint64_t window(const struct pacer *g)
{
	uint64_t bytes = 0;

	if (best(g) && g->least_ns)
		bytes = (uint64_t)((unsigned __int128)best(g) *
				   (g->least_ns + g->least_ns + SIM_MS) /
				   SIM_S);
	if (g->mode == STARTUP)
		bytes += bytes / 2;
	return bytes + 32 * (uint64_t)g->frame_bytes;
}

static void differs(struct pacer *g, const char *what, uint64_t is,
		    uint64_t should)
{
	if (is != should)
		sim_fail(g->s, BOUT "%s: %llu instead of %llu", what,
			 (unsigned long long)is, (unsigned long long)should);
}

static void check(struct pacer *g)
{
	bool full = g->in_flight >= window(g);
	uint64_t burst = 200 * SIM_US, next = UINT64_MAX, patience;

	if (!full)
		next = g->next_ns > burst ? g->next_ns - burst : 0;
	patience = g->smooth_ns + 4 * g->var_ns + 2 * SIM_MS;
	if (patience < 5 * SIM_MS)
		patience = 5 * SIM_MS;
	differs(g, "the window", g->core.window_bytes, window(g));
	differs(g, "when a frame may go", hs_ship_pace_next(&g->core), next);
	differs(g, "whether one may now", hs_ship_pace_may(&g->core, g->now_ns),
		!full && g->now_ns + burst >= g->next_ns);
	if (next != UINT64_MAX && next)
		differs(g, "whether one may a little early",
			hs_ship_pace_may(&g->core, next - 1), false);
	differs(g, "the patience", hs_ship_pace_timeout(&g->core), patience);
	differs(g, "bytes under way", g->core.in_flight_bytes, g->in_flight);
}

static void sends(struct pacer *g)
{
	struct sent *f = &g->sent[g->nr_sent];
	uint64_t per_s = rate(g);

	if (g->nr_sent == NR_SENT)
		return;
	g->nr_sent++;
	f->bytes = 1 + bout_below(&g->r, g->frame_bytes);
	hs_ship_pace_sent(&g->core, f->bytes, &f->stamp, g->now_ns);
	if (g->in_flight == 0)
		g->delivered_ns = g->now_ns;
	g->in_flight += f->bytes;
	g->sent_bytes += f->bytes;
	if (g->next_ns < g->now_ns)
		g->next_ns = g->now_ns;
	if (per_s)
		g->next_ns += f->bytes * SIM_S / per_s;
	f->delivered = g->delivered;
	f->delivered_ns = g->delivered_ns;
	f->idle = g->idle;
	g->idle = false;
}

static void take(struct pacer *g, uint32_t i, struct sent *out)
{
	*out = g->sent[i];
	memmove(&g->sent[i], &g->sent[i + 1],
		(--g->nr_sent - i) * sizeof(g->sent[0]));
}

static void round_ends(struct pacer *g)
{
	g->round++;
	g->round_end = g->delivered;
	g->yields = g->least_ns &&
		    g->smooth_ns > g->least_ns + g->least_ns + 2 * SIM_MS;
	/* One in five was lost, of 128 frames at least. */
	if (g->sent_bytes / g->frame_bytes >= 128) {
		if (5 * g->lost_bytes > g->sent_bytes) {
			g->yields = true;
			g->half[0] = best(g) / 10 * 7;
			g->half[1] = 0;
		}
		g->lost_bytes = g->sent_bytes = 0;
	}
	if (g->mode == STARTUP && best(g) >= g->full + g->full / 4) {
		g->full = best(g);
		g->flat = 0;
	} else if (g->mode == STARTUP) {
		g->flat++;
		if (g->flat == 3 || g->yields)
			g->mode = DRAIN;
	}
	if (g->round % 5 == 0 && !g->yields) {
		g->half[1] = g->half[0];
		g->half[0] = 0;
	}
}

/* Some arrived; what the last of them says of the rate counts. */
static void arrives(struct pacer *g)
{
	uint32_t nr = 1 + bout_below(&g->r, 3);
	struct sent f = {.bytes = 0};
	uint64_t bytes, ns;

	while (nr-- && g->nr_sent) {
		take(g,
		     hs_random_chance(&g->r, 0.8)
			     ? 0
			     : bout_below(&g->r, g->nr_sent),
		     &f);
		hs_ship_pace_acked(&g->core, f.bytes);
		g->in_flight -= f.bytes;
		g->delivered += f.bytes;
	}
	if (!f.bytes)
		return;
	hs_ship_pace_sample(&g->core, &f.stamp, g->now_ns);
	bytes = g->delivered - f.delivered;
	ns = g->now_ns - f.delivered_ns;
	g->delivered_ns = g->now_ns;
	if (ns) {
		uint64_t rate =
			(uint64_t)((unsigned __int128)bytes * SIM_S / ns);

		/* What had little to send says only that it can be faster. */
		if (rate > g->half[0] && !(f.idle && rate <= best(g)))
			g->half[0] = rate;
	}
	if (f.delivered >= g->round_end)
		round_ends(g);
	if (g->mode == DRAIN && 2 * g->in_flight <= window(g))
		g->mode = PROBE;
}

static void loses(struct pacer *g)
{
	struct sent f;

	if (!g->nr_sent)
		return;
	take(g, bout_below(&g->r, g->nr_sent), &f);
	hs_ship_pace_lost(&g->core, f.bytes);
	g->in_flight -= f.bytes;
	g->lost_bytes += f.bytes;
}

static void round_trip(struct pacer *g)
{
	static const uint64_t around[] = {0, 50 * SIM_US, SIM_MS, 4 * SIM_MS,
					  100 * SIM_MS};
	uint64_t ns = around[hs_random_below(&g->r, 5)], off;

	if (ns && hs_random_chance(&g->r, 0.7))
		ns += hs_random_below(&g->r, ns);
	hs_ship_pace_rtt(&g->core, ns, g->now_ns);
	if (!g->least_ns) {
		g->smooth_ns = ns;
		g->var_ns = ns / 2;
	}
	off = ns > g->smooth_ns ? ns - g->smooth_ns : g->smooth_ns - ns;
	g->var_ns = (g->var_ns * 3 + off) / 4;
	g->smooth_ns = (g->smooth_ns * 7 + ns) / 8;
	if (g->least_ns && ns > g->least_ns &&
	    g->now_ns - g->least_at_ns <= 10 * SIM_S)
		return;
	g->least_ns = ns ? ns : 1;
	g->least_at_ns = g->now_ns;
}

static void time_passes(struct pacer *g)
{
	static const uint64_t steps[] = {1, 10 * SIM_US, 300 * SIM_US, SIM_MS,
					 20 * SIM_MS};

	g->now_ns += hs_random_below(&g->r, steps[hs_random_below(&g->r, 5)]);
	if (hs_random_chance(&g->r, 0.01))
		g->now_ns += 4 * SIM_S;
	/* Just when the least round trip is as old as it may be. */
	if (hs_random_chance(&g->r, 0.01) &&
	    g->now_ns < g->least_at_ns + 10 * SIM_S)
		g->now_ns = g->least_at_ns + 10 * SIM_S;
	/* Just when the next frame may go. */
	if (hs_random_chance(&g->r, 0.2) &&
	    g->now_ns + 200 * SIM_US < g->next_ns)
		g->now_ns = g->next_ns - 200 * SIM_US;
}

void bout_pace(struct sim *s, uint64_t seed)
{
	struct pacer *g = sim_zalloc(1, sizeof(*g));
	uint64_t arrives_below;

	g->s = s;
	hs_random_seed(&g->r, seed ^ 0x9acedull);
	g->now_ns = hs_random_chance(&g->r, 0.5) ? 1 : 100 * SIM_S;
	g->frame_bytes = 576 + bout_below(&g->r, 9000);
	if (hs_random_chance(&g->r, 0.3))
		g->limit_per_s = 10000 + bout_below(&g->r, 10000000);
	/* A tenth of what is sent is lost, or more than half. */
	arrives_below = hs_random_chance(&g->r, 0.3) ? 60 : 80;
	hs_ship_pace_init(&g->core, g->limit_per_s, g->frame_bytes, g->now_ns);
	g->delivered_ns = g->next_ns = g->now_ns;
	g->smooth_ns = 10 * SIM_MS;
	g->var_ns = 5 * SIM_MS;
	for (uint32_t i = 0; i < NR_STEPS && !s->failed; i++) {
		uint64_t what = hs_random_below(&g->r, 100);

		time_passes(g);
		if (what < 45)
			sends(g);
		else if (what < arrives_below)
			arrives(g);
		else if (what < 85)
			loses(g);
		else if (what < 95)
			round_trip(g);
		else {
			hs_ship_pace_idle(&g->core);
			g->idle = true;
		}
		check(g);
	}
	sim_mix(s, g->delivered ^ g->next_ns);
	free(g);
}

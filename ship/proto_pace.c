/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see proto_pace.h. */
#include "ship/proto_pace.h"

#include <string.h>

#define NS_PER_S       1000000000ull
#define RTT_FIRST_NS   (10ull * 1000 * 1000)
#define RTT_KEEP_NS    (10ull * NS_PER_S)
#define RTT_TIMER_NS   (2ull * 1000 * 1000) /* the other end's own delays */
#define TIMEOUT_MIN_NS (5ull * 1000 * 1000)
#define WINDOW_FRAMES  32u /* never less: acknowledgements come in bursts */
#define HALF_ROUNDS    5u
#define FLAT_ROUNDS    3u
#define LOSS_PERCENT   20u
/* Of fewer, a fifth is lost by chance where a tenth is for good. */
#define LOSS_FRAMES 128u
/* A poll that comes late may catch up this much. */
#define BURST_NS (200ull * 1000)
/* Both ends are processes that are not always running: the least round trip
 * knows nothing of that, so the window has this much more of the rate. */
#define STALL_NS (1000ull * 1000)

/* In 1/256: of the rate, by mode and by round. */
#define GAIN_STARTUP 739u
#define GAIN_DRAIN   88u
#define GAIN_YIELD   179u
static const uint16_t gain_cycle[] = {320, 192, 256, 256, 256, 256, 256, 256};

static uint64_t rate_best(const struct hs_ship_pace *p)
{
	return p->rate_now > p->rate_before ? p->rate_now : p->rate_before;
}

/* From what it depends on; each frame only looks at it. */
static void window_make(struct hs_ship_pace *p)
{
	uint64_t least = (uint64_t)WINDOW_FRAMES * p->frame_bytes;
	uint64_t r = rate_best(p), bytes = 0;

	/* Rates are under 2^40, round trips under 2^34 ns. */
	if (p->rtt_least_ns)
		bytes = (uint64_t)((unsigned __int128)r *
				   (2 * p->rtt_least_ns + STALL_NS) / NS_PER_S);
	if (p->mode == HS_SHIP_PACE_STARTUP)
		bytes += bytes / 2;
	p->window_bytes = bytes + least;
}

void hs_ship_pace_init(struct hs_ship_pace *p, uint64_t limit_per_s,
		       uint32_t frame_bytes, uint64_t now_ns)
{
	memset(p, 0, sizeof(*p));
	p->limit_per_s = limit_per_s;
	p->frame_bytes = frame_bytes;
	p->delivered_ns = now_ns;
	p->next_ns = now_ns;
	p->rtt_smooth_ns = RTT_FIRST_NS;
	p->rtt_var_ns = RTT_FIRST_NS / 2;
	window_make(p);
}

static uint32_t gain(const struct hs_ship_pace *p)
{
	if (p->yielding)
		return GAIN_YIELD;
	if (p->mode == HS_SHIP_PACE_STARTUP)
		return GAIN_STARTUP;
	if (p->mode == HS_SHIP_PACE_DRAIN)
		return GAIN_DRAIN;
	return gain_cycle[p->round %
			  (sizeof(gain_cycle) / sizeof(*gain_cycle))];
}

/* Bytes per second; 0: as fast as the window lets it. */
static uint64_t rate(const struct hs_ship_pace *p)
{
	uint64_t r = rate_best(p);

	if (r)
		r = r / 256 * gain(p) + p->frame_bytes;
	if (p->limit_per_s && (!r || r > p->limit_per_s))
		r = p->limit_per_s;
	return r;
}

bool hs_ship_pace_may(const struct hs_ship_pace *p, uint64_t now_ns)
{
	if (p->in_flight_bytes >= p->window_bytes)
		return false;
	return now_ns + BURST_NS >= p->next_ns;
}

uint64_t hs_ship_pace_next(const struct hs_ship_pace *p)
{
	if (p->in_flight_bytes >= p->window_bytes)
		return UINT64_MAX;
	return p->next_ns > BURST_NS ? p->next_ns - BURST_NS : 0;
}

void hs_ship_pace_sent(struct hs_ship_pace *p, uint32_t bytes,
		       struct hs_ship_stamp *stamp, uint64_t now_ns)
{
	uint64_t r = rate(p);

	if (!p->in_flight_bytes) /* the time since counts for nobody */
		p->delivered_ns = now_ns;
	p->in_flight_bytes += bytes;
	p->sent += bytes;
	if (p->next_ns < now_ns)
		p->next_ns = now_ns;
	if (r)
		p->next_ns += bytes * NS_PER_S / r;
	*stamp = (struct hs_ship_stamp){p->delivered, p->delivered_ns, p->idle};
	p->idle = false;
}

void hs_ship_pace_idle(struct hs_ship_pace *p)
{
	p->idle = true;
}

void hs_ship_pace_acked(struct hs_ship_pace *p, uint32_t bytes)
{
	p->in_flight_bytes -= bytes;
	p->delivered += bytes;
}

void hs_ship_pace_lost(struct hs_ship_pace *p, uint32_t bytes)
{
	p->in_flight_bytes -= bytes;
	p->lost += bytes;
}

static void startup_round(struct hs_ship_pace *p)
{
	uint64_t best = rate_best(p);

	if (best >= p->rate_full + p->rate_full / 4) {
		p->rate_full = best;
		p->rounds_flat = 0;
		return;
	}
	if (++p->rounds_flat >= FLAT_ROUNDS || p->yielding)
		p->mode = HS_SHIP_PACE_DRAIN;
}

/* A round may be a frame or two; what they lost says little, and each time that
 * it said too much would make the next rounds smaller. */
static void judge_loss(struct hs_ship_pace *p)
{
	if (p->sent < (uint64_t)LOSS_FRAMES * p->frame_bytes)
		return;
	if (p->lost * 100 > p->sent * LOSS_PERCENT) {
		p->yielding = true;
		p->rate_now = rate_best(p) / 10 * 7;
		p->rate_before = 0;
	}
	p->lost = 0;
	p->sent = 0;
}

static void next_round(struct hs_ship_pace *p)
{
	uint64_t rising = p->rtt_least_ns * 2 + RTT_TIMER_NS;

	p->round++;
	p->round_end = p->delivered;
	p->yielding = p->rtt_least_ns && p->rtt_smooth_ns > rising;
	judge_loss(p);
	if (p->mode == HS_SHIP_PACE_STARTUP)
		startup_round(p);
	if (p->round % HALF_ROUNDS == 0 && !p->yielding) {
		p->rate_before = p->rate_now;
		p->rate_now = 0;
	}
}

void hs_ship_pace_sample(struct hs_ship_pace *p,
			 const struct hs_ship_stamp *stamp, uint64_t now_ns)
{
	uint64_t ns = now_ns - stamp->delivered_ns;
	uint64_t bytes = p->delivered - stamp->delivered, sample;

	p->delivered_ns = now_ns;
	if (now_ns > stamp->delivered_ns && bytes) {
		sample = (uint64_t)((unsigned __int128)bytes * NS_PER_S / ns);
		if (sample > p->rate_now &&
		    (!stamp->idle || sample > rate_best(p)))
			p->rate_now = sample;
	}
	if (stamp->delivered >= p->round_end)
		next_round(p);
	window_make(p);
	if (p->mode == HS_SHIP_PACE_DRAIN &&
	    p->in_flight_bytes * 2 <= p->window_bytes)
		p->mode = HS_SHIP_PACE_PROBE;
}

void hs_ship_pace_rtt(struct hs_ship_pace *p, uint64_t rtt_ns, uint64_t now_ns)
{
	uint64_t off;

	if (!p->rtt_least_ns) {
		p->rtt_smooth_ns = rtt_ns;
		p->rtt_var_ns = rtt_ns / 2;
	}
	off = rtt_ns > p->rtt_smooth_ns ? rtt_ns - p->rtt_smooth_ns
					: p->rtt_smooth_ns - rtt_ns;
	p->rtt_var_ns = (3 * p->rtt_var_ns + off) / 4;
	p->rtt_smooth_ns = (7 * p->rtt_smooth_ns + rtt_ns) / 8;
	if (!p->rtt_least_ns || rtt_ns <= p->rtt_least_ns ||
	    now_ns - p->rtt_least_at_ns > RTT_KEEP_NS) {
		p->rtt_least_ns = rtt_ns ? rtt_ns : 1;
		p->rtt_least_at_ns = now_ns;
		window_make(p);
	}
}

uint64_t hs_ship_pace_timeout(const struct hs_ship_pace *p)
{
	uint64_t ns = p->rtt_smooth_ns + 4 * p->rtt_var_ns + RTT_TIMER_NS;

	return ns > TIMEOUT_MIN_NS ? ns : TIMEOUT_MIN_NS;
}

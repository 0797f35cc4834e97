/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see calibrate.h. */
#include "agent/calibrate.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* Parts in a million by which tick and raw clock may run apart for good. */
#define UNEVEN_PPM  1000
#define MISFITS_MAX 8u
/* Samples taken slower than that much over the best one are no use. */
#define SPREAD_TIMES 4u
/* The rate is measured over at least so long, once there is so much. */
#define RATE_NS 1000000000ull

static uint64_t mult_of(uint64_t ns, uint64_t ticks)
{
	__extension__ typedef unsigned __int128 wide;

	return ticks ? (uint64_t)(((wide)ns << 32) / ticks) : 0;
}

static int64_t error_ns(const struct hs_calibrate *c,
			const struct hs_calibrate_sample *s)
{
	return (int64_t)(hs_calibration_ns(&c->now, s->ticks) - s->real_ns);
}

static void epoch_begin(struct hs_calibrate *c,
			const struct hs_calibrate_sample *s, uint64_t mult)
{
	/* Buffers carry 16 bits of it; 0 says none. */
	if (++c->epochs > 0xffff)
		c->epochs = 1;
	c->now = (struct hs_calibration){
		.number = c->epochs,
		.tsc_base = s->ticks,
		.ns_base = s->real_ns,
		.mult = mult,
	};
	c->anchor = *s;
}

/* Against the raw clock, which nobody steers. */
static bool runs_evenly(const struct hs_calibrate *c,
			const struct hs_calibrate_sample *s)
{
	uint64_t raw = s->raw_ns - c->anchor.raw_ns;
	uint64_t ticks = s->ticks - c->anchor.ticks;
	__extension__ typedef unsigned __int128 wide;
	uint64_t by_ticks = (uint64_t)((wide)ticks * c->now.mult >> 32);
	uint64_t off = by_ticks > raw ? by_ticks - raw : raw - by_ticks;

	return off <= raw / (1000000 / UNEVEN_PPM) + HS_CALIBRATE_ERROR_NS;
}

static bool give_up(struct hs_calibrate *c)
{
	c->given_up = true;
	c->now = (struct hs_calibration){0};
	return true;
}

static bool usable(struct hs_calibrate *c, const struct hs_calibrate_sample *s)
{
	if (c->best_spread == 0 || s->spread < c->best_spread)
		c->best_spread = s->spread ? s->spread : 1;
	return s->spread <= c->best_spread * SPREAD_TIMES;
}

bool hs_calibrate_sample(struct hs_calibrate *c,
			 const struct hs_calibrate_sample *s)
{
	const struct hs_calibrate_sample *from = &c->first;
	int64_t error;
	uint64_t mult;

	if (c->given_up || !usable(c, s))
		return false;
	if (!c->has_first) {
		c->has_first = true;
		c->first = *s;
		return false;
	}
	if (!c->now.number) {
		if (s->raw_ns - c->first.raw_ns < HS_CALIBRATE_FIRST_NS)
			return false;
		epoch_begin(c, s,
			    mult_of(s->raw_ns - c->first.raw_ns,
				    s->ticks - c->first.ticks));
		return true;
	}
	if (!runs_evenly(c, s))
		return ++c->misfits >= MISFITS_MAX && give_up(c);
	c->misfits = 0;
	error = error_ns(c, s);
	if (error <= (int64_t)HS_CALIBRATE_ERROR_NS &&
	    error >= -(int64_t)HS_CALIBRATE_ERROR_NS)
		return false;
	/*
	 * By the raw clock's rate since the beginning: exact soon, and what
	 * steers the wall clock stays within the error for seconds.
	 */
	mult = mult_of(s->raw_ns - from->raw_ns, s->ticks - from->ticks);
	if (s->raw_ns - c->anchor.raw_ns >= RATE_NS &&
	    s->real_ns > c->anchor.real_ns) {
		uint64_t steered = mult_of(s->real_ns - c->anchor.real_ns,
					   s->ticks - c->anchor.ticks);
		uint64_t off = steered > mult ? steered - mult : mult - steered;

		/* Steered, not set. */
		if (off <= mult / (1000000 / UNEVEN_PPM))
			mult = steered;
	}
	epoch_begin(c, s, mult);
	return true;
}

bool hs_calibrate_again(struct hs_calibrate *c,
			const struct hs_calibrate_sample *s)
{
	if (c->given_up || !c->now.number || !usable(c, s) ||
	    !runs_evenly(c, s))
		return false;
	epoch_begin(c, s,
		    mult_of(s->raw_ns - c->first.raw_ns,
			    s->ticks - c->first.ticks));
	return true;
}

bool hs_calibrate_counter_invariant(void)
{
#if defined(__x86_64__)
	unsigned int a, b, c, d;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d))
		return false;
	return d & (1u << 8);
#elif defined(__aarch64__)
	return true;
#else
	return false;
#endif
}

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts = {0};

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void hs_calibrate_read(struct hs_calibrate_sample *out)
{
	/* The narrowest of a few, so that no interrupt lies within. */
	for (int i = 0; i < 3; i++) {
		uint64_t before = hs_ticks();
		uint64_t real_ns = read_clock(CLOCK_REALTIME);
		uint64_t middle = hs_ticks();
		uint64_t raw_ns = read_clock(CLOCK_MONOTONIC_RAW);
		uint64_t spread = hs_ticks() - before;

		if (i && spread >= out->spread)
			continue;
		*out = (struct hs_calibrate_sample){
			.ticks = before + (middle - before) / 2,
			.real_ns = real_ns,
			.raw_ns = raw_ns,
			.spread = spread,
		};
	}
}

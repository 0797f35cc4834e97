/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which values lie above a percentile of the latest ones. Values are
 * counted in buckets by the leading bits of their floating-point form, over
 * two epochs that take turns; a threshold walks so that the buckets above it
 * hold the wanted share. What is paid for each sample does not depend on the
 * percentile.
 *
 * Guarantees: pure; no allocation after create; bounds in hs/autotrigger.h.
 */
#ifndef HS_DATAPLANE_AUTO_PERCENTILE_H
#define HS_DATAPLANE_AUTO_PERCENTILE_H

#include <stdbool.h>
#include <stdint.h>

#define HS_AUTO_SUB_BITS   6u
#define HS_AUTO_EXPONENTS  48u
#define HS_AUTO_NR_BUCKETS (HS_AUTO_EXPONENTS << HS_AUTO_SUB_BITS)
#define HS_AUTO_WINDOW_MIN 16u
#define HS_AUTO_WINDOW_MAX (1u << 30)

struct hs_auto_percentile {
	uint64_t tail;	  /* 1 - percentile / 100, << 32 */
	uint64_t allowed; /* tail * samples of both epochs */
	uint64_t wanted;  /* to lie above the threshold, << 32 */
	uint64_t above;	  /* samples in buckets above the threshold, << 32 */
	int64_t owed;	  /* symptoms that the share still has, << 32 */
	uint32_t threshold;
	uint32_t nr;	 /* of the present epoch */
	uint32_t window; /* of an epoch */
	uint32_t warm;	 /* samples still to come before a symptom */
	uint32_t present;
	uint64_t used[HS_AUTO_NR_BUCKETS / 64]; /* bitmap: not empty */
	uint32_t counts[HS_AUTO_NR_BUCKETS][2]; /* of both epochs */
};

/* Return: false for a percentile or window outside the limits. */
bool hs_auto_percentile_init(struct hs_auto_percentile *p, double percentile,
			     uint32_t window);

/* The epoch is over: the one before it is forgotten. */
void hs_auto_percentile_turn(struct hs_auto_percentile *p);
/* Move the threshold until the share above it is right again. */
void hs_auto_percentile_walk(struct hs_auto_percentile *p);

static inline uint32_t hs_auto_bucket(uint64_t value)
{
	const uint64_t max = (1ull << HS_AUTO_EXPONENTS) - 1;
	double d;
	uint64_t bits;

	if (value > max)
		value = max;
	/* 0 has no exponent: it shares the bucket of 1. */
	d = (double)(int64_t)(value | (value == 0));
	__builtin_memcpy(&bits, &d, sizeof(bits));
	return (uint32_t)(bits >> (52 - HS_AUTO_SUB_BITS)) -
	       (1023u << HS_AUTO_SUB_BITS);
}

#define HS_AUTO_ONE (1ull << 32)
/* What is owed is remembered to so many symptoms, either way. */
#define HS_AUTO_OWED_MAX (4ll << 32)
/* How hard what is owed pulls. Both by real durations: test_auto_shared.c. */
#define HS_AUTO_HASTE 4
/* Samples after which what is wanted is worked out anew. */
#define HS_AUTO_LAZY 8u

/*
 * How much is to lie above the threshold: the share, and what is owed, at most
 * three quarters more or less. So a series that drifts keeps its share, too.
 */
static inline uint64_t
hs_auto_percentile_wanted(const struct hs_auto_percentile *p)
{
	int64_t most = (int64_t)(p->allowed - p->allowed / 4);
	int64_t bias = p->owed * HS_AUTO_HASTE;

	if (bias > most)
		bias = most;
	if (bias < -most)
		bias = -most;
	return p->allowed + (uint64_t)bias;
}

static inline bool hs_auto_percentile_sample(struct hs_auto_percentile *p,
					     uint64_t value)
{
	uint32_t bucket = hs_auto_bucket(value);
	uint32_t *count = p->counts[bucket];
	uint64_t level;
	bool symptom;

	if (p->nr++ == p->window)
		hs_auto_percentile_turn(p);
	count[p->present]++;
	p->used[bucket / 64] |= 1ull << (bucket % 64);
	p->allowed += p->tail;
	if (bucket > p->threshold)
		p->above += HS_AUTO_ONE;
	count = p->counts[p->threshold];
	level = (uint64_t)count[0] + count[1];
	/* It grows by far less than a sample each time. */
	if (p->nr % HS_AUTO_LAZY == 0)
		p->wanted = hs_auto_percentile_wanted(p);
	if (p->above > p->wanted || p->above + (level << 32) <= p->wanted)
		hs_auto_percentile_walk(p);
	if (p->warm) {
		p->warm--;
		return false;
	}
	if (p->owed < HS_AUTO_OWED_MAX)
		p->owed += (int64_t)p->tail;
	symptom = bucket > p->threshold ||
		  (bucket == p->threshold && p->owed >= (int64_t)HS_AUTO_ONE);
	if (symptom && p->owed > -HS_AUTO_OWED_MAX)
		p->owed -= (int64_t)HS_AUTO_ONE;
	return symptom;
}

#endif

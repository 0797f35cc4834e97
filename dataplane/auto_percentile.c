/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see auto_percentile.h: the rare parts. */
#include "dataplane/auto_percentile.h"

#include <string.h>

#define WINDOW_SYMPTOMS 2u
#define WINDOW_DEFAULT	4096u
#define ONE		(1ull << 32)
/* What is owed is remembered to so many symptoms, either way. */
#define OWED_MAX (4ll << 32)
/* How hard what is owed pulls. Both by real durations: test_auto_shared.c. */
#define HASTE 4
/* Samples after which what is wanted is worked out anew. */
#define LAZY 8u
/* Samples for which it is worked out what need not be looked at: about as many
 * as one symptom is owed for. */
#define AHEAD_MIN 32u
#define AHEAD_MAX 128u

bool hs_auto_percentile_init(struct hs_auto_percentile *p, double percentile,
			     uint32_t window)
{
	double tail = 1 - percentile / 100;
	double wanted;

	if (!(percentile >= 50 && percentile <= 99.9999) ||
	    (window &&
	     (window < HS_AUTO_WINDOW_MIN || window > HS_AUTO_WINDOW_MAX)))
		return false;
	wanted = WINDOW_SYMPTOMS / tail;
	memset(p, 0, sizeof(*p));
	p->tail = (uint64_t)(tail * (double)ONE);
	p->warm = (uint32_t)(1 / tail);
	p->ahead = p->warm < AHEAD_MIN	 ? AHEAD_MIN
		   : p->warm > AHEAD_MAX ? AHEAD_MAX
					 : p->warm;
	p->left = p->unsettled = 1;
	p->window = window;
	if (!window)
		p->window = wanted > WINDOW_DEFAULT ? (uint32_t)wanted
						    : WINDOW_DEFAULT;
	return true;
}

static uint64_t level(const struct hs_auto_percentile *p, uint32_t bucket)
{
	return ((uint64_t)p->epochs[0].counts[bucket] +
		p->epochs[1].counts[bucket])
	       << 32;
}

static bool is_used(const struct hs_auto_percentile *p, uint32_t group)
{
	return p->epochs[0].groups[group] | p->epochs[1].groups[group];
}

#define GROUP (1u << HS_AUTO_GROUP_BITS)

/* The next bucket that is not empty; the last one when there is none. */
static uint32_t next_up(const struct hs_auto_percentile *p, uint32_t bucket)
{
	while (++bucket < HS_AUTO_NR_BUCKETS) {
		if (!is_used(p, bucket / GROUP))
			bucket |= GROUP - 1;
		else if (level(p, bucket))
			return bucket;
	}
	return HS_AUTO_NR_BUCKETS - 1;
}

/* The one before that is not empty; 0 when there is none. */
static uint32_t next_down(const struct hs_auto_percentile *p, uint32_t bucket)
{
	while (bucket-- > 0) {
		if (!is_used(p, bucket / GROUP))
			bucket &= ~(GROUP - 1);
		else if (level(p, bucket))
			return bucket;
	}
	return 0;
}

/* Between which buckets is the line: */
struct line {
	uint32_t threshold;
	uint64_t above; /* << 32 */
};

/* Move it until the share above is right again. */
static struct line walk(const struct hs_auto_percentile *p, struct line l,
			uint64_t wanted)
{
	while (l.above > wanted && l.threshold < HS_AUTO_NR_BUCKETS - 1) {
		l.threshold = next_up(p, l.threshold);
		l.above -= level(p, l.threshold);
	}
	while (l.threshold > 0 && l.above + level(p, l.threshold) <= wanted) {
		l.above += level(p, l.threshold);
		l.threshold = next_down(p, l.threshold);
	}
	return l;
}

/*
 * How much is to lie above the threshold: the share, and what is owed, at most
 * three quarters more or less. So a series that drifts keeps its share, too.
 */
static uint64_t wanted_of(uint64_t allowed, int64_t owed)
{
	int64_t most = (int64_t)(allowed - allowed / 4);
	int64_t bias = owed * HASTE;

	if (bias > most)
		bias = most;
	if (bias < -most)
		bias = -most;
	return allowed + (uint64_t)bias;
}

static void walk_now(struct hs_auto_percentile *p)
{
	struct line l = {p->threshold, p->above};

	if (l.above <= p->wanted && l.above + level(p, l.threshold) > p->wanted)
		return;
	l = walk(p, l, p->wanted);
	p->threshold = l.threshold;
	p->above = l.above;
}

/*
 * Below which bucket nothing matters for a while. More is allowed and owed
 * then, and a symptom in between only raises the threshold: so it sinks no
 * further.
 */
static void look_ahead(struct hs_auto_percentile *p)
{
	uint32_t n = p->window - p->nr;

	/* To begin with, where it is now. */
	p->wanted = wanted_of(p->allowed, p->owed);
	walk_now(p);
	if (n > p->ahead)
		n = p->ahead;
	p->left = n;
	p->near = 0;
	if (!p->warm)
		p->near = walk(p, (struct line){p->threshold, p->above},
			       wanted_of(p->allowed + p->tail * n,
					 p->owed + (int64_t)(p->tail * n)))
				  .threshold;
}

/* The epoch is over: the one before it is forgotten. */
static void turn(struct hs_auto_percentile *p)
{
	const struct hs_auto_epoch *last = &p->epochs[p->present];
	struct hs_auto_epoch *old = &p->epochs[p->present ^= 1];

	p->above = 0;
	for (uint32_t i = 0; i < HS_AUTO_NR_GROUPS; i++) {
		if (old->groups[i])
			memset(&old->counts[i * GROUP], 0,
			       GROUP * sizeof(*old->counts));
		old->groups[i] = 0;
		if (!last->groups[i])
			continue;
		for (uint32_t k = i * GROUP; k < (i + 1) * GROUP; k++)
			p->above +=
				k > p->threshold ? last->counts[k] * ONE : 0;
	}
	p->allowed = p->tail * p->window;
	p->nr = 0;
}

/* What so many samples are owed. */
static void owe(struct hs_auto_percentile *p, uint32_t n)
{
	p->owed += (int64_t)(p->tail * n);
	if (p->owed > OWED_MAX)
		p->owed = OWED_MAX;
}

static bool is_symptom(struct hs_auto_percentile *p, uint32_t bucket)
{
	bool is;

	if (p->warm) {
		p->warm--;
		return false;
	}
	owe(p, 1);
	is = bucket > p->threshold ||
	     (bucket == p->threshold && p->owed >= (int64_t)ONE);
	if (is && p->owed > -OWED_MAX)
		p->owed -= (int64_t)ONE;
	return is;
}

bool hs_auto_percentile_settle(struct hs_auto_percentile *p, uint32_t bucket)
{
	uint32_t nr = p->unsettled - p->left;
	uint32_t before = p->nr;
	bool is;

	/* Those before it: none while it warms up, when near is 0. */
	owe(p, nr - 1);
	p->allowed += p->tail * nr;
	p->nr += nr;
	if (bucket > p->threshold)
		p->above += ONE;
	/* It grows by far less than a sample each time. */
	if (p->nr / LAZY != before / LAZY)
		p->wanted = wanted_of(p->allowed, p->owed);
	walk_now(p);
	is = is_symptom(p, bucket);
	if (!p->left) {
		if (p->nr == p->window)
			turn(p);
		look_ahead(p);
	}
	p->unsettled = p->left;
	return is;
}

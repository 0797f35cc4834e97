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
 * as so many symptoms are owed for. */
#define AHEAD_SYMPTOMS 4u
#define AHEAD_MIN      32u
#define AHEAD_MAX      512u

static struct hs_auto_epoch *present_set(struct hs_auto_percentile *p,
					 uint32_t which)
{
	p->present = which;
	p->present_at = (uint32_t)((uint8_t *)&p->epochs[which] - (uint8_t *)p);
	return &p->epochs[which];
}

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
	p->ahead = AHEAD_SYMPTOMS * p->warm;
	if (p->ahead < AHEAD_MIN)
		p->ahead = AHEAD_MIN;
	if (p->ahead > AHEAD_MAX)
		p->ahead = AHEAD_MAX;
	p->left = p->unsettled = 1;
	present_set(p, 0);
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
	uint32_t fresh; /* of above, those of the present epoch */
	uint64_t above; /* << 32 */
};

/* Move it until the share above is right again. */
static struct line walk(const struct hs_auto_percentile *p, struct line l,
			uint64_t wanted)
{
	const uint32_t *present = p->epochs[p->present].counts;

	while (l.above > wanted && l.threshold < HS_AUTO_NR_BUCKETS - 1) {
		l.threshold = next_up(p, l.threshold);
		l.above -= level(p, l.threshold);
		l.fresh -= present[l.threshold];
	}
	while (l.threshold > 0 && l.above + level(p, l.threshold) <= wanted) {
		l.above += level(p, l.threshold);
		l.fresh += present[l.threshold];
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

static struct line line_of(const struct hs_auto_percentile *p)
{
	return (struct line){p->threshold, p->fresh, p->above};
}

static void walk_now(struct hs_auto_percentile *p)
{
	struct line l = line_of(p);

	if (l.above <= p->wanted && l.above + level(p, l.threshold) > p->wanted)
		return;
	l = walk(p, l, p->wanted);
	p->threshold = l.threshold;
	p->fresh = l.fresh;
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
		p->near = walk(p, line_of(p),
			       wanted_of(p->allowed + p->tail * n,
					 p->owed + (int64_t)(p->tail * n)))
				  .threshold;
}

/* All between the first and the last group in use at once: they lie close to
 * each other, and a look at each costs more. */
static void clear(struct hs_auto_epoch *e)
{
	uint32_t first = 0, end = HS_AUTO_NR_GROUPS;

	while (first < end && !e->groups[first])
		first++;
	while (end > first && !e->groups[end - 1])
		end--;
	memset(&e->counts[first * GROUP], 0,
	       (end - first) * GROUP * sizeof(*e->counts));
	memset(e->groups, 0, sizeof(e->groups));
}

uint32_t hs_auto_percentile_parts(const struct hs_auto_percentile *p,
				  uint32_t parts)
{
	uint64_t in_it = level(p, p->threshold) >> 32;
	uint64_t more = p->allowed > p->above ? p->allowed - p->above : 0;
	uint64_t part;

	if (!in_it)
		return 0;
	part = (more / in_it * parts) >> 32;
	return part < parts ? (uint32_t)part : parts - 1;
}

/* The epoch is over: the one before it is forgotten. */
static void turn(struct hs_auto_percentile *p)
{
	clear(present_set(p, p->present ^ 1));
	p->above = p->fresh * ONE;
	p->fresh = 0;
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
	if (bucket > p->threshold) {
		p->above += ONE;
		p->fresh++;
	}
	/* One that is owed, or nearly, leaves the threshold where it is for
	 * now. */
	if (bucket <= p->threshold || p->owed < -(int64_t)ONE) {
		/* It grows by far less than a sample each time. */
		if (p->nr / LAZY != before / LAZY)
			p->wanted = wanted_of(p->allowed, p->owed);
		walk_now(p);
	}
	is = is_symptom(p, bucket);
	if (!p->left) {
		if (p->nr == p->window)
			turn(p);
		look_ahead(p);
	}
	p->unsettled = p->left;
	return is;
}

bool hs_auto_percentile_sample_any(struct hs_auto_percentile *p, uint64_t value)
{
	return hs_auto_percentile_count(p, hs_auto_bucket(value));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see auto_percentile.h: the rare parts. */
#include "dataplane/auto_percentile.h"

#include <string.h>

#define WINDOW_SYMPTOMS 2u
#define WINDOW_DEFAULT	4096u

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
	p->tail = (uint64_t)(tail * (double)HS_AUTO_ONE);
	p->warm = (uint32_t)(1 / tail);
	p->window = window;
	if (!window)
		p->window = wanted > WINDOW_DEFAULT ? (uint32_t)wanted
						    : WINDOW_DEFAULT;
	return true;
}

static uint64_t level(const struct hs_auto_percentile *p, uint32_t bucket)
{
	return ((uint64_t)p->counts[bucket][0] + p->counts[bucket][1]) << 32;
}

/* The next bucket that is not empty; the last one when there is none. */
static uint32_t next_up(const struct hs_auto_percentile *p, uint32_t bucket)
{
	uint32_t word = (bucket + 1) / 64;
	uint64_t bits;

	if (bucket + 1 >= HS_AUTO_NR_BUCKETS)
		return HS_AUTO_NR_BUCKETS - 1;
	bits = p->used[word] & ~0ull << ((bucket + 1) % 64);
	while (!bits && ++word < HS_AUTO_NR_BUCKETS / 64)
		bits = p->used[word];
	return bits ? word * 64 + (uint32_t)__builtin_ctzll(bits)
		    : HS_AUTO_NR_BUCKETS - 1;
}

/* The one before that is not empty; 0 when there is none. */
static uint32_t next_down(const struct hs_auto_percentile *p, uint32_t bucket)
{
	uint32_t word = bucket / 64;
	uint64_t bits = p->used[word] & ((1ull << (bucket % 64)) - 1);

	while (!bits && word-- > 0)
		bits = p->used[word];
	return bits ? word * 64 + 63 - (uint32_t)__builtin_clzll(bits) : 0;
}

void hs_auto_percentile_walk(struct hs_auto_percentile *p)
{
	while (p->above > p->wanted && p->threshold < HS_AUTO_NR_BUCKETS - 1) {
		p->threshold = next_up(p, p->threshold);
		p->above -= level(p, p->threshold);
	}
	while (p->threshold > 0 &&
	       p->above + level(p, p->threshold) <= p->wanted) {
		p->above += level(p, p->threshold);
		p->threshold = next_down(p, p->threshold);
	}
}

void hs_auto_percentile_turn(struct hs_auto_percentile *p)
{
	uint32_t old = p->present ^ 1;

	memset(p->used, 0, sizeof(p->used));
	p->above = 0;
	for (uint32_t i = 0; i < HS_AUTO_NR_BUCKETS; i++) {
		p->counts[i][old] = 0;
		if (!p->counts[i][p->present])
			continue;
		p->used[i / 64] |= 1ull << (i % 64);
		if (i > p->threshold)
			p->above += level(p, i);
	}
	p->allowed = p->tail * p->window;
	p->present = old;
	p->nr = 1; /* the sample that is about to be counted */
	p->wanted = hs_auto_percentile_wanted(p);
	hs_auto_percentile_walk(p);
}

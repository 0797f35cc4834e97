/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one of many by its share, in constant time and as exactly as a word
 * can say: Vose's form of Walker's alias method (IEEE Transactions on Software
 * Engineering 17(9), 1991). A table of 65,536 places that each name one made
 * whoever begins two requests of a thousand some parts of a thousand too many,
 * and whoever begins less than one of 131,072 never begin.
 *
 * Pure: memory and random words are the caller's.
 */
#ifndef HS_BENCH_SERVICES_DRAW_H
#define HS_BENCH_SERVICES_DRAW_H

#include <stdint.h>

/* Of those who come here so many of 2^32 stay; the others go to another. */
struct hs_svc_draw {
	uint32_t keep;
	uint32_t other;
};

/**
 * hs_svc_draw_fill() - a table of @nr places
 * @shares: @nr of them, none below 0, their sum 1; left changed
 * @scratch: @nr words
 */
void hs_svc_draw_fill(struct hs_svc_draw *table, double *shares, uint32_t nr,
		      uint32_t *scratch);

/** hs_svc_draw() - which, by 64 random bits */
static inline uint32_t hs_svc_draw(const struct hs_svc_draw *table, uint32_t nr,
				   uint64_t random)
{
	uint32_t at = (uint32_t)(((random >> 32) * nr) >> 32);

	return (uint32_t)random < table[at].keep ? at : table[at].other;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see draw.h. */
#include "bench/services/draw.h"

/*
 * @scratch has the places that are not full from its beginning on and those
 * that are more than full from its end on: each of the first is filled up out
 * of one of the second, which may thereby become one of the first.
 */
void hs_svc_draw_fill(struct hs_svc_draw *table, double *shares, uint32_t nr,
		      uint32_t *scratch)
{
	uint32_t poor = 0, rich = nr;

	for (uint32_t i = 0; i < nr; i++) {
		table[i] = (struct hs_svc_draw){.other = i};
		shares[i] *= nr;
		scratch[shares[i] < 1 ? poor++ : --rich] = i;
	}
	while (poor && rich < nr) {
		uint32_t from = scratch[rich], to = scratch[--poor];

		table[to].keep = (uint32_t)(shares[to] * 0x1p32);
		table[to].other = from;
		shares[from] -= 1 - shares[to];
		if (shares[from] < 1) {
			rich++;
			scratch[poor++] = from;
		}
	}
	/* Who is left is full but for what was rounded, and names itself. */
}

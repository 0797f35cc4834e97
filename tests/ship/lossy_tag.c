/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see lossy_tag.h. */
#include "tests/ship/lossy_tag.h"

#include <string.h>

#include "base/hash.h"

/* SipHash twice stands for a real tag: what matters is that it is checked. */
void lossy_tag(void *ctx, const struct hs_ship_span *spans, uint32_t nr,
	       uint8_t out[HS_SHIP_TAG_BYTES])
{
	uint8_t all[HS_SHIP_FRAME_MAX_BYTES], key[16] = {7};
	uint64_t word;
	uint32_t used = 0;

	(void)ctx;
	for (uint32_t i = 0; i < nr; i++) {
		memcpy(all + used, spans[i].data, spans[i].bytes);
		used += spans[i].bytes;
	}
	for (uint32_t half = 0; half < 2; half++) {
		key[15] = (uint8_t)half;
		word = hs_hash_siphash(key, all, used);
		memcpy(out + 8 * half, &word, 8);
	}
}

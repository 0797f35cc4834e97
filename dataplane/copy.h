/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: copies into trace buffers: short ones without a call. Long ones are
 * memcpy()'s, which knows the processor: streaming stores were slower (ADR 40).
 *
 * Guarantees: no byte beyond the destination's is written.
 */
#ifndef HS_DATAPLANE_COPY_H
#define HS_DATAPLANE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Two copies that overlap serve every length between their sizes. */
static inline void hs_copy_short(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;
	uint64_t a, b;
	uint32_t c, d;

	if (n > 16) {
		if (n > 32) {
			memcpy(t, f, n);
			return;
		}
		memcpy(t, f, 16);
		memcpy(t + n - 16, f + n - 16, 16);
	} else if (n >= 8) {
		memcpy(&a, f, 8);
		memcpy(&b, f + n - 8, 8);
		memcpy(t, &a, 8);
		memcpy(t + n - 8, &b, 8);
	} else if (n >= 4) {
		memcpy(&c, f, 4);
		memcpy(&d, f + n - 4, 4);
		memcpy(t, &c, 4);
		memcpy(t + n - 4, &d, 4);
	} else if (n) {
		t[0] = f[0];
		t[n / 2] = f[n / 2];
		t[n - 1] = f[n - 1];
	}
}

#endif

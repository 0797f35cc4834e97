/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: copies into trace buffers, and comparing: short ones without a call.
 * Long ones by the way that this processor's maker has been measured to be
 * fastest with: asking for the lines that come next, a store a line, or past
 * the caches (copy.c, ADR 40).
 *
 * Guarantees: no byte beyond the destination's is written.
 */
#ifndef HS_DATAPLANE_COPY_H
#define HS_DATAPLANE_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Without a call. */
#define HS_COPY_SHORT_BYTES 32u

/* Two copies that overlap serve every length between their sizes. */
static inline void hs_copy_short(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;
	uint64_t a, b;
	uint32_t c, d;

	if (n > 16) {
		if (n > HS_COPY_SHORT_BYTES) {
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

/*
 * Two words that are read one by one or both at once, as a trace id's are, by
 * one store: a load of both would wait until two stores have left the core.
 */
static inline void hs_store_pair(void *to, uint64_t a, uint64_t b)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	pair both = {a, b};

	memcpy(to, &both, sizeof(both));
}

/* From here on a copy is long, to some processors. */
#define HS_COPY_LONG_BYTES 256u

/**
 * hs_copy_long() - into a buffer that was last written a pool's length ago
 * @n: HS_COPY_LONG_BYTES and more
 * @whole: bytes of what this is a part of, which may run on into other buffers:
 * all of its parts are copied one way
 * @begin: of the buffer; NULL: asked for long before
 * @end: of the buffer: what lies behind it is somebody else's, and not asked
 * for
 *
 * Context: wait-free.
 */
void hs_copy_long(uint8_t *to, const uint8_t *from, size_t n, size_t whole,
		  const uint8_t *begin, const uint8_t *end);

static inline bool hs_same_8(const char *a, const char *b)
{
	uint64_t x, y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return x == y;
}

static inline bool hs_same_4(const char *a, const char *b)
{
	uint32_t x, y;

	memcpy(&x, a, 4);
	memcpy(&y, b, 4);
	return x == y;
}

static inline bool hs_same_2(const char *a, const char *b)
{
	uint16_t x, y;

	memcpy(&x, a, 2);
	memcpy(&y, b, 2);
	return x == y;
}

/* The last bytes are compared twice rather than one by one. */
static inline bool hs_same_bytes(const char *a, const char *b, size_t n)
{
	size_t i;

	if (n >= 8) {
		for (i = 0; i + 8 < n; i += 8) {
			if (!hs_same_8(a + i, b + i))
				return false;
		}
		return hs_same_8(a + n - 8, b + n - 8);
	}
	if (n >= 4)
		return hs_same_4(a, b) && hs_same_4(a + n - 4, b + n - 4);
	return !n ||
	       (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

#endif

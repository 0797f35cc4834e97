/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: find the two bytes that stand for a key (model/record_known.h).
 *
 * Guarantees: a hash, a compare, no call; what is not known costs the hash and
 * a look into a table of 2 KiB.
 */
#ifndef HS_DATAPLANE_KNOWN_H
#define HS_DATAPLANE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/copy.h"
#include "model/record_known.h"

#define HS_KNOWN_PLACES	   1024u
#define HS_KNOWN_MIN_BYTES 4u /* shorter ones gain nothing */
#define HS_KNOWN_MAX_BYTES 40u

/* A line each. */
struct hs_known {
	char text[60];
	uint16_t word; /* what is written for it */
	uint8_t bytes;
	uint8_t reserved;
} __attribute__((aligned(64)));

struct hs_known_table {
	uint16_t places[HS_KNOWN_PLACES]; /* of names; 0: free */
	struct hs_known names[HS_RECORD_KNOWN_NR];
};
extern struct hs_known_table hs_known_table
	__attribute__((visibility("hidden")));

static inline uint32_t hs_known_hash(const char *key, size_t n)
{
	uint32_t first, last;

	memcpy(&first, key, 4);
	memcpy(&last, key + n - 4, 4);
	return (uint32_t)((((uint64_t)first << 32 | last) + n) *
				  0x9e3779b97f4a7c15ull >>
			  54);
}

static inline bool hs_known_is(const struct hs_known *k, const char *key,
			       size_t n)
{
	if (k->bytes != n)
		return false;
	if (n < 8)
		return hs_same_4(k->text, key) &&
		       hs_same_4(k->text + n - 4, key + n - 4);
	if (!hs_same_8(k->text, key) ||
	    !hs_same_8(k->text + n - 8, key + n - 8))
		return false;
	for (size_t i = 8; i + 8 < n; i += 8) {
		if (!hs_same_8(k->text + i, key + i))
			return false;
	}
	return true;
}

/* What is written for @key, sought from place @i on; 0: it is not known. */
uint32_t hs_known_seek(const char *key, size_t n, uint32_t i);

static inline bool hs_known_fits(size_t n)
{
	/* One compare for both ends. */
	return n - HS_KNOWN_MIN_BYTES <=
	       HS_KNOWN_MAX_BYTES - HS_KNOWN_MIN_BYTES;
}

static inline uint32_t hs_known_find(const char *key, size_t n)
{
	return hs_known_fits(n) ? hs_known_seek(key, n, hs_known_hash(key, n))
				: 0;
}

/**
 * hs_known_glance() - one look: most keys are where they should be
 * @word: out: what is written for the key; 0: it is not known
 *
 * Return: false when it takes more than a look.
 */
static inline __attribute__((always_inline)) bool
hs_known_glance(const char *key, size_t n, uint32_t *word)
{
	uint32_t at;

	*word = 0;
	if (!hs_known_fits(n))
		return true;
	at = hs_known_table.places[hs_known_hash(key, n)];
	if (!at)
		return true;
	*word = hs_known_table.names[at].word;
	return hs_known_is(&hs_known_table.names[at], key, n);
}

#endif

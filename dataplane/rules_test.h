/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one test of a rule against one value of an attribute: the long way,
 * and what a table keeps so that most are a few compares.
 *
 * Guarantees: pure.
 */
#ifndef HS_DATAPLANE_RULES_TEST_H
#define HS_DATAPLANE_RULES_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hs/hindsight.h"
#include "hs/inline.h"
#include "hs/shm_watch.h"

/* A value by its type: bits of a number, or length and place of a text. */
struct hs_rules_value {
	uint32_t type; /* enum hs_value_type */
	uint64_t bits;
	const void *data;
};

/* A test as far as it can be answered in a few compares. */
struct hs_rules_quick {
	uint64_t key_first; /* hs_rules_ends() */
	uint64_t key_last;
	uint64_t mark; /* of a literal that is this key; 0: there is none */
	uint64_t low;  /* an integer v holds if v - low, wrapping, <= width */
	uint64_t width;
	uint8_t has_range;
	uint8_t bools; /* what false (bit 0) and true (bit 1) come to */
	uint8_t key_bytes;
	uint8_t text_bytes;
	uint8_t next; /* test of the same key bit */
	uint8_t reserved[3];
};

/* The only test of a key bit, of a key that may be a literal: all that is asked
 * of a number, without a look at the test itself. */
struct hs_rules_one {
	uint64_t mark;	   /* of the key; 0: it takes more than this */
	uint64_t mark_i64; /* the same, of integers */
	uint64_t low;	   /* as of struct hs_rules_quick */
	uint64_t width;
	uint64_t keep;	   /* the other tests' bits */
	uint64_t holds;	   /* its own */
	uint64_t bools[2]; /* its own where false and true hold, or none */
};

/* @text_bytes: of the test's text. */
bool hs_rules_test_holds(const struct hs_shm_test *test, uint32_t text_bytes,
			 const struct hs_rules_value *a);

/* Fill in what is tested; @q->text_bytes is. */
void hs_rules_test_make(const struct hs_shm_test *test,
			struct hs_rules_quick *q);

/* Both ends of a key, by which those of up to 16 bytes are told apart. */
static inline void hs_rules_ends(const char *key, size_t n, uint64_t *first,
				 uint64_t *last)
{
	uint32_t a = 0, b = 0;

	if (n >= 8) {
		memcpy(first, key, 8);
		memcpy(last, key + n - 8, 8);
		return;
	}
	if (n >= 4) {
		memcpy(&a, key, 4);
		memcpy(&b, key + n - 4, 4);
	} else {
		for (size_t i = 0; i < n; i++)
			a |= (uint32_t)(uint8_t)key[i] << (8 * i);
	}
	*first = a;
	*last = b;
}

#endif

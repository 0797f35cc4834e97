/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the attribute keys that are literals of the application, found by
 * the mark that its compiler made of them (hs/inline.h, ADR 78): one compare,
 * and what else is wanted of a key stands beside it.
 *
 * Guarantees: keys are added, never taken away, without a lock, an allocation
 * or a fault; there is room for HS_KEY_PLACES. A mark is believed only of what
 * a compiler said, so that no text that comes from outside is taken for a
 * literal.
 */
#ifndef HS_DATAPLANE_KEY_H
#define HS_DATAPLANE_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "hs/inline.h"

#define HS_KEY_PLACE_BITS 10u
#define HS_KEY_PLACES	  (1u << HS_KEY_PLACE_BITS)
#define HS_KEY_PROBES	  8u
/* A place is bits of the mark as they are: its bytes into the table. */
#define HS_KEY_LINE_BITS 6u

enum hs_key_state {
	HS_KEY_STATE_FREE = 0,
	HS_KEY_STATE_MADE = 1, /* somebody is at it */
	HS_KEY_STATE_READY = 2,
};

/* What is asked of a key before anything is written: most have none of it. */
enum hs_key_how {
	HS_KEY_OWN = 1,	  /* the format has no number for it */
	HS_KEY_ASKED = 2, /* rules ask of its bit */
	HS_KEY_SHORT = 4, /* too short to be said again */
};

/* A line each. */
struct hs_key {
	uint64_t mark;	   /* 0: not ready */
	uint32_t state;	   /* enum hs_key_state */
	uint16_t word;	   /* what is written for it; 0: it is not known */
	uint8_t bytes;	   /* of text */
	uint8_t rules_bit; /* hs_rules_key_bit() */
	uint16_t number;   /* of its place, and so its own */
	uint16_t again_at; /* bytes into a handle: where it looks (again.h) */
	uint8_t how;	   /* bits of enum hs_key_how */
	uint8_t reserved;
	uint16_t rules_at; /* bytes into a table of rules: what asks of it */
	uint32_t spare[2];
	char text[HS_INLINE_MARK_MAX];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct hs_key) == 1u << HS_KEY_LINE_BITS, "a line");

extern struct hs_key hs_keys[HS_KEY_PLACES]
	__attribute__((visibility("hidden")));

/* Have the table's pages before anything is traced. Context: open. */
void hs_keys_make(void);

/**
 * hs_key_seek() - the long way: enter it if it is new
 * @key: a literal of 1 to HS_INLINE_MARK_MAX bytes
 *
 * Return: NULL when there is no place for it, or not yet.
 */
const struct hs_key *hs_key_seek(const char *key, size_t n, uint64_t mark);

/**
 * hs_keys_ask() - the rules that are in force ask of these
 * @bits: of hs_rules_key_bit()
 *
 * Context: one thread at a time.
 */
void hs_keys_ask(uint64_t bits);

/* Where a mark is sought first. */
static inline uint32_t hs_key_place(uint64_t mark)
{
	return (uint32_t)(mark >> HS_KEY_LINE_BITS) % HS_KEY_PLACES;
}

static inline uint8_t hs_key_how(const struct hs_key *k)
{
	/* key.C4 relaxed: a hint; the table is looked at again. */
	return __atomic_load_n(&k->how, __ATOMIC_RELAXED);
}

/* One look: most keys are where they should be. NULL: it takes more. */
static inline const struct hs_key *hs_key_glance(uint64_t mark)
{
	const struct hs_key *k = &hs_keys[hs_key_place(mark)];

	/* Kept, rather than made again of the mark wherever it is used. */
	__asm__("" : "+r"(k));
	if (!k)
		__builtin_unreachable();

	/* key.R1 acquire, pairs key.W1: what the mark stands for. */
	return __atomic_load_n(&k->mark, __ATOMIC_ACQUIRE) == mark ? k : NULL;
}

#endif

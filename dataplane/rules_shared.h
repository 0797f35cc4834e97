/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how a table of rules goes from the agent to a client: written
 * behind an odd seq, read whole between two looks at it.
 *
 * Guarantees: wait-free on both sides; a reader who meets a change gets
 * nothing rather than a mixture. One writer.
 */
#ifndef HS_DATAPLANE_RULES_SHARED_H
#define HS_DATAPLANE_RULES_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/shm_watch.h"

#define HS_RULES_WORDS (sizeof(struct hs_shm_rules) / sizeof(uint64_t))

static inline uint64_t hs_rules_shared_seq(const struct hs_shm_rules *from)
{
	/* rules.R1 acquire, pairs rules.W1: the words before their seq. */
	return __atomic_load_n(&from->seq, __ATOMIC_ACQUIRE);
}

/**
 * hs_rules_shared_read() - a copy of a whole table
 *
 * Return: false when it is just being written: ask again later.
 */
static inline bool hs_rules_shared_read(const struct hs_shm_rules *from,
					struct hs_shm_rules *out)
{
	const uint64_t *words = (const uint64_t *)from;
	uint64_t *to = (uint64_t *)out;
	uint64_t seq = hs_rules_shared_seq(from);

	if (seq & 1)
		return false;
	to[0] = seq;
	for (uint32_t i = 1; i < HS_RULES_WORDS; i++)
		/* rules.R2 acquire, pairs rules.W2: who reads a newer word
		 * finds seq changed. */
		to[i] = __atomic_load_n(&words[i], __ATOMIC_ACQUIRE);
	/* rules.C1 relaxed: ordered by the acquires before it. */
	return __atomic_load_n(&from->seq, __ATOMIC_RELAXED) == seq;
}

/* @seq: even, higher than the one before. @from's own is not looked at. */
static inline void hs_rules_shared_write(struct hs_shm_rules *to,
					 const struct hs_shm_rules *from,
					 uint64_t seq)
{
	const uint64_t *words = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)to;

	/* rules.C2 relaxed: before the words by rules.W2. */
	__atomic_store_n(&to->seq, seq - 1, __ATOMIC_RELAXED);
	for (uint32_t i = 1; i < HS_RULES_WORDS; i++)
		/* rules.W2 release, pairs rules.R2: seq is odd before a word
		 * changes. */
		__atomic_store_n(&out[i], words[i], __ATOMIC_RELEASE);
	/* rules.W1 release, pairs rules.R1: the words before their seq. */
	__atomic_store_n(&to->seq, seq, __ATOMIC_RELEASE);
}

#endif

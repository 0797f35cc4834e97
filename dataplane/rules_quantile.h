/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the durations of an operation for a rule that asks for a
 * percentile: a pool of them, each taken by one operation and rule.
 *
 * Guarantees: no lock that is waited for, no allocation but by the helper, no
 * fault. Who finds one in use judges by where the line was last, and does not
 * count: of threads that meet, each one's durations are a part of what the line
 * is drawn by, and all of them are judged.
 */
#ifndef HS_DATAPLANE_RULES_QUANTILE_H
#define HS_DATAPLANE_RULES_QUANTILE_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/shm_watch.h"

#define HS_RULES_QUANTILES 64u /* of an operation and a rule */
#define HS_RULES_PPM	   1000000u

/* Memory of their own, with its pages, before a span end needs it. Context:
 * the helper. */
void hs_rules_quantiles_make(void);
/* Context: nobody is inside. */
void hs_rules_quantiles_drop(void);

/**
 * hs_rules_quantile_of() - one for a rule of an operation
 * @generation: of the table that needs it
 *
 * Return: its number, from 1; 0: there is none free.
 */
uint8_t hs_rules_quantile_of(uint64_t generation, const struct hs_shm_rule *r,
			     uint32_t operation);

/* Above the percentile of its operation; counted there, unless another thread
 * is at it. @number: or none's. */
bool hs_rules_quantile_above(uint32_t number, uint64_t duration_ns);

/* A word that says that somebody is at work on something. */
static inline bool hs_rules_take(uint32_t *busy)
{
	/* rules.R5 acquire, pairs rules.W5: what the former holder left. */
	return !__atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE);
}

static inline void hs_rules_leave(uint32_t *busy)
{
	/* rules.W5 release, pairs rules.R5: all that was done. */
	__atomic_store_n(busy, 0, __ATOMIC_RELEASE);
}

#endif

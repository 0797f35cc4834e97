/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a tick of the processor's counter is worth: how the agent
 * tells it (struct hs_shm_status), and how it is read.
 *
 * Guarantees: wait-free on both sides; a reader who meets a change gets
 * nothing rather than a mixture. One writer.
 */
#ifndef HS_DATAPLANE_CALIBRATION_H
#define HS_DATAPLANE_CALIBRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/shm_format.h"
#include "model/record.h"

struct hs_calibration {
	uint64_t number; /* of the epoch; 0: none, use another clock */
	uint64_t tsc_base;
	uint64_t ns_base;
	uint64_t mult; /* ns of a tick, << 32 */
};

/* The counter that is the same on all cores; see ADR 40. */
static inline uint64_t hs_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

/* The same as two words, where they are stored apart. */
static inline void hs_ticks_halves(uint32_t *low, uint32_t *high)
{
#if defined(__x86_64__)
	__asm__ volatile("rdtsc" : "=a"(*low), "=d"(*high));
#else
	uint64_t ticks = hs_ticks();

	*low = (uint32_t)ticks;
	*high = (uint32_t)(ticks >> 32);
#endif
}

static inline uint64_t hs_calibration_ns(const struct hs_calibration *c,
					 uint64_t ticks)
{
	return hs_record_ticks_ns(c->ns_base, c->tsc_base, c->mult, ticks);
}

static inline void hs_calibration_write(struct hs_shm_status *to,
					const struct hs_calibration *c)
{
	/* status.C2 relaxed: before the words by status.W2. */
	__atomic_store_n(&to->calibration, 0, __ATOMIC_RELAXED);
	/* status.W2 release, pairs status.R2: the number is gone before a word
	 * changes. */
	__atomic_store_n(&to->tsc_base, c->tsc_base, __ATOMIC_RELEASE);
	/* status.W3 release, pairs status.R3: as status.W2. */
	__atomic_store_n(&to->ns_base, c->ns_base, __ATOMIC_RELEASE);
	/* status.W4 release, pairs status.R4: as status.W2. */
	__atomic_store_n(&to->ticks_to_ns_mult, c->mult, __ATOMIC_RELEASE);
	/* status.W1 release, pairs status.R1: the words before their number. */
	__atomic_store_n(&to->calibration, c->number, __ATOMIC_RELEASE);
}

/* Return: false when there is none now, or it was just changing. */
static inline bool hs_calibration_read(const struct hs_shm_status *from,
				       struct hs_calibration *out)
{
	/* status.R1 acquire, pairs status.W1: the words before their number. */
	out->number = __atomic_load_n(&from->calibration, __ATOMIC_ACQUIRE);
	/* status.R2 acquire, pairs status.W2: who reads a newer word finds the
	 * number changed. */
	out->tsc_base = __atomic_load_n(&from->tsc_base, __ATOMIC_ACQUIRE);
	/* status.R3 acquire, pairs status.W3: as status.R2. */
	out->ns_base = __atomic_load_n(&from->ns_base, __ATOMIC_ACQUIRE);
	/* status.R4 acquire, pairs status.W4: as status.R2. */
	out->mult = __atomic_load_n(&from->ticks_to_ns_mult, __ATOMIC_ACQUIRE);
	/* status.C3 relaxed: ordered by the acquires before it. */
	return out->number && out->mult &&
	       out->number ==
		       __atomic_load_n(&from->calibration, __ATOMIC_RELAXED);
}

#endif

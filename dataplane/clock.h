/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the clocks of the write path. They are answered by the vDSO without
 * entering the kernel where there is one, and need no allocation.
 */
#ifndef HS_DATAPLANE_CLOCK_H
#define HS_DATAPLANE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds since the epoch: what records are stamped with. */
static inline uint64_t hs_clock_real_ns(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The same as of the last tick of the kernel's, some ms ago; far cheaper. */
static inline uint64_t hs_clock_coarse_ns(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Never steps: for rate limits and back-off. */
static inline uint64_t hs_clock_steady_ns(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the two clocks, in nanoseconds. Protocol logic does not read them;
 * its drivers do, and pass the time in.
 */
#ifndef HS_CLOCK_H
#define HS_CLOCK_H

#include <stdint.h>

#define HS_NS_PER_US  1000ULL
#define HS_NS_PER_MS  1000000ULL
#define HS_NS_PER_SEC 1000000000ULL

/**
 * hs_clock_mono_ns() - time that never goes back, for intervals and waits
 *
 * Context: any thread; async-signal-safe (vDSO).
 * Return: ns since some moment of this boot.
 */
uint64_t hs_clock_mono_ns(void);

/**
 * hs_clock_real_ns() - wall-clock time, for what people read
 *
 * Context: any thread; async-signal-safe (vDSO).
 * Return: ns since the epoch.
 */
uint64_t hs_clock_real_ns(void);

/**
 * hs_clock_thread_ns() - processor time that this thread has used
 *
 * Context: any; a system call.
 */
uint64_t hs_clock_thread_ns(void);

#endif

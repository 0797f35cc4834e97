/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.h - how long a thread keeps its core while others wait for one
 *
 * A thread that has work for milliseconds keeps everybody on its core waiting
 * for the scheduler's slice, 1.4 ms and more, where what they would do takes
 * some 10 us. Linux from 6.12 on lets a thread have shorter slices
 * (sched_attr's sched_runtime): its share of the core stays what it was, in
 * more pieces.
 */
#ifndef HS_BASE_TURNS_H
#define HS_BASE_TURNS_H

#include <stdint.h>

/* What Linux takes as the shortest. */
#define HS_TURNS_SHORT_NS 100000u

/**
 * hs_turns_short() - the calling thread has slices of HS_TURNS_SHORT_NS
 *
 * So have those that it starts from then on. Nothing where its policy has no
 * slices of this kind (real-time, idle), or the kernel has none (it takes the
 * wish and forgets it).
 *
 * Context: any thread.
 * Return: 0; -errno: all is as it was.
 */
int hs_turns_short(void);

#endif

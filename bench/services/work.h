/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what services do while they execute: turn in a loop, touch memory
 * in another order than it lies, or sleep (the engine's timers do that). Spins
 * and touches are counted, not timed, by a calibration at the start, so that
 * who is preempted does not get away with less work.
 */
#ifndef HS_BENCH_SERVICES_WORK_H
#define HS_BENCH_SERVICES_WORK_H

#include <stdint.h>

enum hs_svc_work {
	HS_SVC_WORK_SPIN,
	HS_SVC_WORK_SLEEP,
	HS_SVC_WORK_MEMORY,
};

struct hs_svc_worker {
	enum hs_svc_work kind;
	double rounds_per_ns; /* spin: multiplications; memory: lines */
	uint64_t state;
	uint64_t *lines; /* memory: a ring of lines in random order */
	uint64_t nr_lines;
};

/**
 * hs_svc_work_calibrate() - what a round takes on this core; some 20 ms
 *
 * The median of several tries, so that a preemption does not count.
 * Own: hs_svc_work_free(). Return: 0, -ENOMEM.
 */
int hs_svc_work_calibrate(struct hs_svc_worker *w, enum hs_svc_work kind,
			  uint64_t working_set_bytes);
void hs_svc_work_free(struct hs_svc_worker *w);
/** hs_svc_work_do() - for @ns of this core's time; nothing when sleeping */
void hs_svc_work_do(struct hs_svc_worker *w, double ns);

#endif

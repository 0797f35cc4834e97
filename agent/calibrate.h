/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a tick of the processor's counter is worth in wall-clock time,
 * in epochs: a new one whenever the present one has drifted, or the wall clock
 * was set.
 *
 * Guarantees: pure. A counter that does not run evenly against the kernel's
 * raw clock is given up for good: then there is no epoch, and applications use
 * the portable clock.
 */
#ifndef HS_CALIBRATE_H
#define HS_CALIBRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/calibration.h"

/* Counter and clocks, read as nearly at one moment as may be. */
struct hs_calibrate_sample {
	uint64_t ticks;
	uint64_t real_ns;
	uint64_t raw_ns;
	uint64_t spread; /* ticks between the first and the last reading */
};

struct hs_calibrate {
	struct hs_calibration now;	   /* number 0: none */
	struct hs_calibrate_sample first;  /* long ago: for the rate */
	struct hs_calibrate_sample anchor; /* where the epoch began */
	uint64_t epochs;
	uint64_t best_spread;
	uint32_t misfits; /* in a row */
	bool given_up;
	bool has_first;
};

/* A first epoch wants samples this far apart. */
#define HS_CALIBRATE_FIRST_NS 20000000u
/* An epoch that is off by more is replaced. */
#define HS_CALIBRATE_ERROR_NS 2000u

/**
 * hs_calibrate_sample() - take a sample in
 *
 * Return: whether there is a new epoch, or none any more.
 */
bool hs_calibrate_sample(struct hs_calibrate *c,
			 const struct hs_calibrate_sample *sample);

/**
 * hs_calibrate_again() - an epoch from here, when none was taken for long
 *
 * By the rate since the first sample.
 *
 * Return: false: counter and raw clock ran apart meanwhile, as when a machine
 * sleeps, or the sample is no use: nothing changes.
 */
bool hs_calibrate_again(struct hs_calibrate *c,
			const struct hs_calibrate_sample *sample);

/* Context: x86: a counter that the processor calls invariant; I/O-free. */
bool hs_calibrate_counter_invariant(void);
/* Context: the shell; reads the clocks. */
void hs_calibrate_read(struct hs_calibrate_sample *out);

#endif

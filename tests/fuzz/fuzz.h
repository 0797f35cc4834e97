/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a fuzz target gives to whoever drives it: libFuzzer, or the
 * seeded driver in fuzz_main.c that every build has.
 */
#ifndef HS_FUZZ_H
#define HS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input. Anything but a return of 0 or a normal refusal is a defect. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

struct hs_fuzz_seed {
	const void *data;
	size_t len_bytes;
};

/* Good inputs that the seeded driver begins from; ended by a NULL @data. */
extern const struct hs_fuzz_seed hs_fuzz_seeds[];

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the feeder before a power cut and the check behind it agree on:
 * what every trace's slices are, byte for byte, by the trace's number alone.
 */
#ifndef HS_TESTS_VM_CUT_H
#define HS_TESTS_VM_CUT_H

#include "base/hash.h"
#include "bench/slices.h"

#define CUT_NODES	    2u
#define CUT_TRACES_MAX	    (1u << 20)
#define CUT_SLICE_MAX_BYTES 28000u
#define CUT_START_NS	    1700000000000000000ull

static inline struct hs_bench_slices cut_slices(uint64_t trace)
{
	uint64_t spread = CUT_SLICE_MAX_BYTES - HS_BENCH_SLICE_MIN_BYTES;

	return (struct hs_bench_slices){
		.slice_bytes = HS_BENCH_SLICE_MIN_BYTES +
			       (uint32_t)(hs_hash_mix64(trace) % spread),
		.nr_nodes = CUT_NODES,
		.start_ns = CUT_START_NS};
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: slices as agents ship them, of one size, with real spans in them
 * that differ from trace to trace as spans of one service do.
 */
#ifndef HS_BENCH_SLICES_H
#define HS_BENCH_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_BENCH_SLICE_MIN_BYTES 1024u

struct hs_bench_slices {
	uint32_t slice_bytes;
	uint32_t nr_nodes; /* of each trace; a slice and a span tree each */
	uint64_t start_ns;
	uint64_t step_ns; /* from one trace's start to the next; 0: 1 us */
	/*
	 * Services, triggers and durations that differ: one K or longer than
	 * 2^K ms has one trace in 2^(K + 1), so that some have nearly all and
	 * some a few. One trace in 1,024 has failed.
	 */
	bool varied;
};

/**
 * hs_bench_slice_make() - the slice of @trace's node @node, from 0
 * @out: sizeof(struct hs_wire_slice) + slice_bytes of room
 * Return: bytes of the message.
 */
uint32_t hs_bench_slice_make(const struct hs_bench_slices *s, uint64_t trace,
			     uint32_t node, void *out);
/** hs_bench_slice_name() - hs_bench_slice_rename() without its checksum, which
 * whoever ships it makes */
void hs_bench_slice_name(const struct hs_bench_slices *s, uint64_t trace,
			 uint32_t node, void *message);
/** hs_bench_slice_rename() - a slice made before becomes another trace's */
void hs_bench_slice_rename(const struct hs_bench_slices *s, uint64_t trace,
			   uint32_t node, void *message, uint32_t bytes);
/**
 * hs_bench_manifest_make() - of @trace: all nodes closed, a slice each
 * @slice_bytes: of each node's slice, without its head
 * @out: 4096 bytes of room
 * Return: bytes of the message.
 */
uint32_t hs_bench_manifest_make(const struct hs_bench_slices *s, uint64_t trace,
				const uint32_t *slice_bytes, void *out);
struct hs_wire_trace_id hs_bench_slice_trace(uint64_t trace);

#endif

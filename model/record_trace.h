/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: turn everything that was collected of one trace, buffers of many
 * handles, processes and nodes in any order, into one canonical trace.
 *
 * Guarantees: every byte is untrusted. What is damaged, belongs to another
 * trace or goes over the trace's limits is left out and counted; what is left
 * stays decodable. The result does not depend on the order of the slices.
 */
#ifndef HS_RECORD_TRACE_H
#define HS_RECORD_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "model/record_read.h"
#include "model/trace.h"

struct hs_record_slice {
	uint64_t node;
	uint32_t process;
	uint32_t handle;
	uint32_t seq;
	const void *data; /* one buffer, its header first */
	size_t size_bytes;
};

struct hs_record_trace_stats {
	struct hs_record_stats records;
	uint64_t handles;
	uint64_t spans;
	uint64_t unfinished;  /* spans that did not end */
	uint64_t orphans;     /* records of spans whose start is not there */
	uint64_t over_limits; /* left out by the trace's limits */
	uint64_t foreign;     /* buffers that name another trace */
};

/**
 * hs_record_trace_build() - decode slices into @trace
 * @slices: in any order; sorted by the call
 * @nr_slices: how many
 * @trace: with its id set; spans are added to what it holds
 * @stats: out, may be NULL
 *
 * A span's parent is what its start said; its references are its links, in
 * order. A span that did not end has no duration and the warning
 * HS_RECORD_UNFINISHED. Tracepoints become events of a span of their own, one
 * for each handle, named HS_RECORD_TRACEPOINTS, with the bytes in "data".
 *
 * Context: allocates (scratch, and in @trace).
 * Return:  0, -ENOMEM.
 */
int hs_record_trace_build(struct hs_record_slice *slices, size_t nr_slices,
			  struct hs_model_trace *trace,
			  struct hs_record_trace_stats *stats);

#define HS_RECORD_UNFINISHED  "span did not end"
#define HS_RECORD_TEXT_CUT    "a text of this span was cut"
#define HS_RECORD_TRACEPOINTS "tracepoints"

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the records of a trace as its slices carry them, each as a number
 * that depends on all that it says but its time.
 */
#ifndef HS_TEST_KILL_RECORDS_H
#define HS_TEST_KILL_RECORDS_H

#include "model/record_read.h"
#include "node.h"

#define RECORDS_MAX 4096u

struct records {
	uint32_t nr;
	uint64_t hash[RECORDS_MAX];
	struct hs_record_stats stats;
	uint64_t bytes; /* of the buffers read */
};

/** records_read() - of one trace, as they were sent, handle by handle */
void records_read(const struct node *n, struct hs_wire_trace_id id,
		  struct records *out);

/** records_point() - what a tracepoint with this data comes to */
uint64_t records_point(const void *data, size_t size_bytes);

#endif

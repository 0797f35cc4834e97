/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.h - from a trace's stored slices to the canonical trace
 */
#ifndef HS_COLLECTOR_DECODE_H
#define HS_COLLECTOR_DECODE_H

#include "collector/store.h"
#include "model/record_trace.h"
#include "model/trace.h"

/* More stored bytes of one trace than this are not decoded at once. */
#define HS_DECODE_TRACE_MAX_BYTES (512ull << 20)

struct hs_decode_stats {
	struct hs_record_trace_stats records;
	uint64_t damaged;    /* slices that could not be read back */
	uint64_t over_limit; /* slices left out by the limit above */
	uint64_t holes;	     /* buffers with bytes missing inside */
};

/* hs_store_read() of a store, or hs_store_view_read() of a view. */
struct hs_decode_source {
	struct hs_store *store;	    /* either */
	struct hs_store_view *view; /* or */
};

/**
 * hs_decode_trace() - read and decode everything stored of a trace
 * @out: the trace; without spans where nothing is stored
 *
 * Own:    hs_model_trace_free().
 * Return: 0; -ENOMEM; the store's negative errno.
 */
int hs_decode_trace(struct hs_decode_source from,
		    const struct hs_wire_trace_id *id,
		    struct hs_model_trace **out, struct hs_decode_stats *stats);

#endif

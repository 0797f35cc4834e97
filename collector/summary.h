/* SPDX-License-Identifier: Apache-2.0 */
/*
 * summary.h - a trace's row in the index: its mark, and what its spans say
 */
#ifndef HS_COLLECTOR_SUMMARY_H
#define HS_COLLECTOR_SUMMARY_H

#include <jansson.h>

#include "collector/assembly.h"
#include "collector/store.h"

/* Of a trace with more, the row shows the first. */
#define HS_SUMMARY_CAUSES_MAX	64u
#define HS_SUMMARY_NODES_MAX	64u
#define HS_SUMMARY_SERVICES_MAX 64u
/* Takes that many causes, and that many nodes, as JSON. */
#define HS_SUMMARY_TEXT_BYTES 6144u

/**
 * hs_summary_mark() - mark, version, causes and nodes, as they are now
 * @view: out; OPEN and version 0 where only damaged records are left
 *
 * It goes to the store, behind the records that it speaks of.
 * Return: 0; -EAGAIN: no room now; negative errno.
 */
int hs_summary_mark(struct hs_store *store, struct hs_assembly *assembly,
		    const struct hs_wire_trace_id *trace,
		    struct hs_assembly_view *view);

/**
 * hs_summary_make() - decode the slices: service, duration, error
 *
 * The row is no more stale after that.
 * Context: the store's thread, in its options.idle.
 * Return: 0; 1: done, and some slices could not be read; negative errno.
 */
int hs_summary_make(struct hs_store_view *view, struct hs_index *index,
		    const struct hs_wire_trace_id *trace);

/* [{"node": "...", "cause": "..."}]; NULL without memory. */
json_t *hs_summary_causes(struct hs_assembly *assembly,
			  const struct hs_wire_trace_id *trace, uint32_t max);

#endif

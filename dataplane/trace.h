/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the files of the write path share about live traces.
 */
#ifndef HS_DATAPLANE_TRACE_H
#define HS_DATAPLANE_TRACE_H

#include "dataplane/handle.h"

/**
 * hs_trace_enter() - enter a call on a trace
 * @trace: in: as the caller gave it, NULL for the thread's own; out: live
 *
 * Return: NULL when the call must do nothing; else to be left with
 *	   hs_client_leave().
 */
static inline struct hs_tls *hs_trace_enter(struct hs_trace **trace)
{
	uint64_t epoch;
	struct hs_tls *tls;

	if (*trace == HS_HANDLE_NONE)
		return NULL;
	epoch = hs_client_epoch();
	tls = hs_client_enter_epoch(epoch);
	if (!tls)
		return NULL;
	if (!*trace)
		*trace = tls->current;
	if (*trace && hs_handle_live_in(*trace, epoch))
		return tls;
	hs_client_leave(tls);
	return NULL;
}

/* Deposit crumbs and, with @trigger, that the context came in triggered. */
void hs_trace_deposit(struct hs_tls *tls, struct hs_trace *trace, uint8_t kind,
		      const hs_node_id *nodes, uint32_t nr,
		      const uint32_t *trigger);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the index read by another thread than the worker's: which flavour of
 * userspace RCU, or none, is the build's choice (readers_urcu.c,
 * readers_none.c).
 */
#ifndef HS_AGENT_READERS_H
#define HS_AGENT_READERS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core.h"

/** hs_readers_apart() - whether other threads may look */
bool hs_readers_apart(void);
/**
 * hs_readers_grace() - for hs_agent_config.grace; NULL where nobody else reads
 *
 * Context: what it returns is called by the worker's thread, which is no
 *	reader: it waits for lookups that were under way, never for a thread
 *	that does something else.
 */
void (*hs_readers_grace(void))(void *ctx);
/**
 * hs_readers_seen() - hs_agent_core_seen() within a read-side section
 *
 * Context: any thread where hs_readers_apart(), else the worker's; at most 256
 *	ids at a time, so that nobody waits for long.
 */
uint32_t hs_readers_seen(const struct hs_agent_core *core, uint32_t domain,
			 const struct hs_wire_trace_id *ids, uint32_t nr,
			 struct hs_agent_seen *out);

#endif

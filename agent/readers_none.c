/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see readers.h: without liburcu the worker's thread alone looks, and
 * entries go round without a grace period.
 */
#include "agent/readers.h"

#include <stddef.h>

bool hs_readers_apart(void)
{
	return false;
}

void (*hs_readers_grace(void))(void *ctx)
{
	return NULL;
}

uint32_t hs_readers_seen(const struct hs_agent_core *core, uint32_t domain,
			 const struct hs_wire_trace_id *ids, uint32_t nr,
			 struct hs_agent_seen *out)
{
	return hs_agent_core_seen(core, domain, ids, nr, out);
}

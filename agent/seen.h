/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: GET /v1/seen?ids=ID,ID,...: which of up to 256 traces this node
 * knows, in which domains, and since when.
 *
 *   {"traces": [{"trace_id", "domains": [{"domain", "first_ago_ns",
 *                                         "last_ago_ns"}]}]}
 */
#ifndef HS_AGENT_SEEN_H
#define HS_AGENT_SEEN_H

#include "agent/core.h"
#include "base/httpd.h"

/** hs_seen_serve() - Context: as hs_readers_seen() */
void hs_seen_serve(const struct hs_agent_core *core,
		   const struct hs_httpd_request *request,
		   struct hs_httpd_response *response);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the table of crumbs that coordinators read before this node answers
 * (docs/adr/0035), where the carrier can let them.
 */
#ifndef HS_AGENT_SHOWN_H
#define HS_AGENT_SHOWN_H

#include "agent/worker.h"

/**
 * hs_shown_make() - an empty table for the core, if the carrier may have use
 *	for it; without memory there is none, and that is logged
 * @config: of the core that is going to be made
 */
void hs_shown_make(struct hs_worker *w, struct hs_agent_config *config);
/** hs_shown_tell() - let coordinators read it; before anybody is dialled */
void hs_shown_tell(struct hs_worker *w);
/** hs_shown_free() - after the transport is gone */
void hs_shown_free(struct hs_worker *w);

#endif

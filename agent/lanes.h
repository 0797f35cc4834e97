/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what guests wrote, read into the core; and free buffers, handed to
 * guests: one round of the worker for all of them.
 *
 * Guarantees: bounded work for each lane and each ring in a round, so that one
 * guest does not starve others. A guest that says something impossible is cut
 * off and counted. What a dead guest had published is read to its end before
 * its memory goes.
 */
#ifndef HS_AGENT_LANES_H
#define HS_AGENT_LANES_H

#include "agent/guest.h"

/** hs_lanes_scan() - show every live slot to the core, if it wants to see */
void hs_lanes_scan(struct hs_worker *w);
/** hs_lanes_round() - drain, count losses, stock, and see how crowded it was */
void hs_lanes_round(struct hs_worker *w);
/** hs_lanes_bury() - a dead guest: all it left, then its memory */
void hs_lanes_bury(struct hs_worker *w, struct hs_guest *guest);
/** hs_lanes_quiet() - no live slot, every lane empty */
bool hs_lanes_quiet(const struct hs_guest *guest);

#endif

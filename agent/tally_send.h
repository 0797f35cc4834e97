/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the worker's part of the counts: read them from guests' memory,
 * send them, hear of acknowledgements, keep what the dead left.
 *
 * Guarantees: a guest is read once a second, and a last time when it is
 * buried; what could not yet be sent then waits in a bounded heap of its own,
 * over which it is dropped and counted. A worker that is killed costs no
 * counts of the living.
 */
#ifndef HS_AGENT_TALLY_SEND_H
#define HS_AGENT_TALLY_SEND_H

#include "agent/guest.h"
#include "agent/worker.h"

#define HS_TALLY_DEAD_MAX 256u /* messages of dead processes */

/* Context: each round; looks at the clock. */
void hs_tally_round(struct hs_worker *w, struct hs_guest *guest);
/* Its last counts. Context: its memory is still mapped. */
void hs_tally_bury(struct hs_worker *w, struct hs_guest *guest);
/* Send what the dead left. Context: each round. */
void hs_tally_dead_round(struct hs_worker *w);
/* A TALLY_ACK came. */
void hs_tally_ack(struct hs_worker *w, const void *payload,
		  uint32_t payload_bytes);
void hs_tally_free(struct hs_worker *w);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the data plane's tests share: a client attached to a fake
 * agent without a thread of its own, and records kept as lines of text.
 */
#ifndef HS_TEST_HARNESS_H
#define HS_TEST_HARNESS_H

#include "fake_agent.h"
#include "hs/hindsight.h"

#define TEXT_MAX (4u << 20)

/* Open a client that the test polls, and have @a take it in. */
void harness_attach(struct fake_agent *a, const struct fake_config *config,
		    const struct hs_client_options *options);
/* Poll and serve until attached. */
void harness_settle(struct fake_agent *a);
void harness_detach(struct fake_agent *a);

/* Drain, then print a trace's records, one line each. Own: the harness's. */
const char *harness_text(struct fake_agent *a, struct hs_trace_id id,
			 uint32_t handle, struct hs_record_stats *stats);

#endif

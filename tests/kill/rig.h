/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the kill harnesses begin from: a node, a bystander (another
 * process with libhindsight whose traces must come to no harm), and this
 * process as an attached client that can be copied.
 */
#ifndef HS_TEST_KILL_RIG_H
#define HS_TEST_KILL_RIG_H

#include "node.h"
#include "records.h"
#include "step.h"

#define RIG_MAX_TRACES 16u

struct rig {
	struct node n;
	pid_t bystander;
	struct hs_guest *client;    /* this process */
	struct step_memory clients; /* what only the client writes */
	struct step_memory agents;  /* what only the agent writes */
};

extern const struct hs_wire_trace_id rig_ended; /* the bystander's */
extern const struct hs_wire_trace_id rig_open;

void rig_make(struct rig *r);
/** rig_make_node() - the same, but this process is no client */
void rig_make_node(struct rig *r);
/** rig_client_open() - this process as a client, without a thread */
void rig_client_open(const char *socket, const char *service);
/** rig_shared() - memory that copies share */
void *rig_shared(size_t bytes);
void rig_free(struct rig *r);
/** rig_bystander_check() - its traces are whole and as they were written */
void rig_bystander_check(struct node *n, bool buried);
/** rig_fill() - the data of the @i-th tracepoint of a trace */
void rig_fill(void *data, size_t size_bytes, uint64_t seed);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the core's messages and slices on a transport: who is up, whom a
 * message goes to, and which messages may come from whom.
 */
#ifndef HS_AGENT_CARRIER_H
#define HS_AGENT_CARRIER_H

#include "agent/worker.h"

struct epoll_event;

extern const struct hs_agent_ops hs_carrier_ops; /* ctx: struct hs_worker */

/** hs_carrier_make() - begin to dial everybody. Return: 0 or -errno */
int hs_carrier_make(struct hs_worker *w);
void hs_carrier_free(struct hs_worker *w);
/** hs_carrier_leave() - tell coordinators that nothing of us will be left */
void hs_carrier_leave(struct hs_worker *w);
/** hs_carrier_relist() - coordinators or collectors are listed otherwise */
void hs_carrier_relist(struct hs_worker *w);
/** hs_carrier_poll() - take in and send what can be */
void hs_carrier_poll(struct hs_worker *w);
/** hs_carrier_turn() - the same, with what the worker's epoll had of it */
void hs_carrier_turn(struct hs_worker *w, const struct epoll_event *events,
		     int nr_events);
/** hs_carrier_listen() - tell others what quiet coordinators owe, and
 * collectors that are there again what waited for them */
void hs_carrier_listen(struct hs_worker *w);
/** hs_carrier_flush() - send what was said since, and no more */
void hs_carrier_flush(struct hs_worker *w);

/**
 * hs_carrier_collect() - to the collector that a trace, or whatever has such
 *	an id, belongs to
 * Return: false when it is not connected, or the carrier has no room.
 */
bool hs_carrier_collect(struct hs_worker *w, const struct hs_wire_trace_id *id,
			uint16_t type, const void *payload,
			uint32_t payload_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: slices over the shipping protocol (ship/) instead of the transport.
 *
 * A slice is copied once, into memory of the worker's own, so that its buffer
 * may be abandoned and used again while the copy is still under way. The copies
 * of one collector form a ring, as they are settled in order.
 */
#ifndef HS_AGENT_SHIPPER_H
#define HS_AGENT_SHIPPER_H

#include "agent/worker.h"

struct hs_shipper;

/** hs_shipper_make() - w->shipper. Return: 0 or -errno, logged */
int hs_shipper_make(struct hs_worker *w);
void hs_shipper_free(struct hs_worker *w);
/** hs_shipper_ship() - Return: false: no room, or nobody to take it */
bool hs_shipper_ship(struct hs_shipper *s, const struct hs_agent_slice *slice,
		     const void *bytes);
/** hs_shipper_run() - take and send what there is */
void hs_shipper_run(struct hs_shipper *s);
/** hs_shipper_wake() - its port has something */
void hs_shipper_wake(struct hs_shipper *s);
/** hs_shipper_due_ns() - when it wants to run again */
uint64_t hs_shipper_due_ns(const struct hs_shipper *s);
/** hs_shipper_json() - for the control door */
struct json_t *hs_shipper_json(const struct hs_shipper *s);

#endif

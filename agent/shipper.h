/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: slices over the shipping protocol (ship/) instead of the transport.
 *
 * A slice is sent from where it lies in the pool. Its memory is the port's
 * until it is settled, or its connection is down, and the port has no frame of
 * it any more: then the core is told, which keeps it from everybody else until
 * then.
 *
 * Copied into memory of the worker's own are what is rewritten (redaction), and
 * the beginning of a buffer that is still written, whose header changes. The
 * copies of one collector form a ring, as they are settled in order.
 */
#ifndef HS_AGENT_SHIPPER_H
#define HS_AGENT_SHIPPER_H

#include "agent/domain.h"
#include "agent/worker.h"

struct hs_shipper;

/** hs_shipper_make() - w->shipper. Return: 0 or -errno, logged */
int hs_shipper_make(struct hs_worker *w);
void hs_shipper_free(struct hs_worker *w);
/** hs_shipper_lend() - a domain's pools are there: slices will lie in them */
void hs_shipper_lend(struct hs_shipper *s, const struct hs_tenant *tenant);
/**
 * hs_shipper_ship() - one slice more
 * @number: of the collector that its trace belongs to, which its manifest goes
 *	to as well: hs_members_collector()
 * @bytes: in a pool; or else (!@stays) gone after the call
 *
 * NOT: no room, or datagrams do not reach that collector now.
 */
enum hs_agent_shipped hs_shipper_ship(struct hs_shipper *s, uint32_t number,
				      const struct hs_agent_slice *slice,
				      const void *bytes, bool stays);
/** hs_shipper_run() - take and send what there is */
void hs_shipper_run(struct hs_shipper *s);
/** hs_shipper_wake() - its port has something */
void hs_shipper_wake(struct hs_shipper *s);
/** hs_shipper_due_ns() - when it wants to run again */
uint64_t hs_shipper_due_ns(const struct hs_shipper *s);
/* Of the slices' bytes that went out. */
struct hs_shipper_copies {
	uint64_t lent;	 /* from where they lay */
	uint64_t copied; /* by us */
	uint64_t kernel; /* by the kernel, for us */
	uint64_t lender; /* by who lends us a port, once more */
};
void hs_shipper_copies(const struct hs_shipper *s,
		       struct hs_shipper_copies *out);
/** hs_shipper_json() - for the control door */
struct json_t *hs_shipper_json(const struct hs_shipper *s);

#endif

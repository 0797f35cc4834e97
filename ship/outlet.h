/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outlet.h - slices out of a process, to several collectors, through one port
 *
 * Puts together the protocol's sender (proto_send.h), one for each collector,
 * and a port. Private copies of slices whose producers would not stop are made
 * and freed here.
 *
 * Context: one thread owns it and the port.
 */
#ifndef HS_SHIP_OUTLET_H
#define HS_SHIP_OUTLET_H

#include "ship/port.h"
#include "ship/proto_send.h"

#define HS_SHIP_OUTLET_COLLECTORS_MAX 64u

struct hs_ship_outlet;

struct hs_ship_outlet_ops {
	/** bytes() - where a slice lies; valid until it is settled */
	const void *(*bytes)(void *ctx, const struct hs_ship_slice *slice);
	/** settled() - durable at its collector, or refused for good */
	void (*settled)(void *ctx, const struct hs_ship_slice *slice,
			bool refused);
	/** up() - collector @nr (as hs_ship_outlet_dial() numbered it) */
	void (*up)(void *ctx, uint32_t nr, uint64_t node);
	/** down() - what was not settled there is the owner's again */
	void (*down)(void *ctx, uint32_t nr, const char *why);
};

struct hs_ship_outlet_config {
	/* node, limit_per_s, auth and the sizes; frame_bytes 0: what the way
	 * to the collector takes. */
	struct hs_ship_sender_config sender;
};

/** hs_ship_outlet_create() - takes @port over; NULL: no memory */
struct hs_ship_outlet *
hs_ship_outlet_create(struct hs_ship_port *port,
		      const struct hs_ship_outlet_config *config,
		      const struct hs_ship_outlet_ops *ops, void *ctx);
/**
 * hs_ship_outlet_dial() - keep a connection to a collector
 * Return: its number; -errno with *why set.
 */
int hs_ship_outlet_dial(struct hs_ship_outlet *o, const char *address,
			uint64_t now_ns, const char **why);
/** hs_ship_outlet_add() - see hs_ship_sender_add() */
int hs_ship_outlet_add(struct hs_ship_outlet *o, uint32_t nr,
		       const struct hs_ship_slice *slice);
/**
 * hs_ship_outlet_run() - take what has come, send what may go
 * Return: when to call again at the latest, if the port's fd stays quiet.
 */
uint64_t hs_ship_outlet_run(struct hs_ship_outlet *o, uint64_t now_ns);
int hs_ship_outlet_fd(const struct hs_ship_outlet *o);
void hs_ship_outlet_stats(const struct hs_ship_outlet *o, uint32_t nr,
			  struct hs_ship_sender_stats *sender,
			  struct hs_ship_port_stats *port);
/** hs_ship_outlet_destroy() - says goodbye; nothing more is settled */
void hs_ship_outlet_destroy(struct hs_ship_outlet *o);

#endif

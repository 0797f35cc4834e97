/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inlet.h - slices into a collector: the protocol's receiver over a port
 *
 * Context: one thread owns it and the port.
 */
#ifndef HS_SHIP_INLET_H
#define HS_SHIP_INLET_H

#include "ship/port.h"
#include "ship/proto_receive.h"

struct hs_ship_inlet;

struct hs_ship_inlet_ops {
	/** slice() - see struct hs_ship_receiver_ops */
	enum hs_ship_verdict (*slice)(void *ctx, uint32_t connection,
				      const struct hs_wire_slice *head,
				      const struct hs_ship_span *spans,
				      uint32_t nr_spans);
	void (*up)(void *ctx, uint32_t connection, uint64_t node);
	void (*down)(void *ctx, uint32_t connection, const char *why);
};

/**
 * hs_ship_inlet_create() - takes @port over
 * @config: nr_frames has to be what the port can hand out at once
 * Return: NULL with errno set; the port is then the caller's still.
 */
struct hs_ship_inlet *hs_ship_inlet_create(
	struct hs_ship_port *port, const struct hs_ship_receiver_config *config,
	const struct hs_ship_inlet_ops *ops, void *ctx, uint64_t now_ns);
void hs_ship_inlet_settle(struct hs_ship_inlet *i, uint32_t connection,
			  uint64_t ship_key, bool refused);
/**
 * hs_ship_inlet_run() - take what has come, answer
 * @upto_frames: then return, though there may be more
 * @nr_frames: how many came
 * Return: when to call again at the latest, if the port's fd stays quiet.
 */
uint64_t hs_ship_inlet_run(struct hs_ship_inlet *i, uint32_t upto_frames,
			   uint32_t *nr_frames, uint64_t now_ns);
/** hs_ship_inlet_answer() - the same, but take nothing: what was settled since
 * is said */
uint64_t hs_ship_inlet_answer(struct hs_ship_inlet *i, uint64_t now_ns);
/** hs_ship_inlet_bytes() - of frames that have come so far */
uint64_t hs_ship_inlet_bytes(const struct hs_ship_inlet *i);
int hs_ship_inlet_fd(const struct hs_ship_inlet *i);
void hs_ship_inlet_stats(const struct hs_ship_inlet *i,
			 struct hs_ship_receiver_stats *receiver,
			 struct hs_ship_port_stats *port);
void hs_ship_inlet_destroy(struct hs_ship_inlet *i);

#endif

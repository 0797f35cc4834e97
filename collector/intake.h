/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.h - slices that come by the shipping protocol
 *
 * Makes them what the collector knows already: SLICE messages of peers whose
 * numbers no transport gives. A collector that cannot keep one now, because its
 * disk refuses, stops the reading, so that credit runs out and agents keep what
 * they have.
 *
 * Context: the collector's network thread, under its lock.
 */
#ifndef HS_COLLECTOR_INTAKE_H
#define HS_COLLECTOR_INTAKE_H

#include <jansson.h>

#include "collector/collector.h"
#include "rdma/transport_create.h"
#include "ship/settings.h"

struct hs_intake;

/* Peers below are the transport's. */
#define HS_INTAKE_PEER 0x80000000u

/**
 * hs_intake_make() - NULL in *out where slices come by the transport
 * @transport: its key, without which frames carry no tag, and certificates
 * Return: 0 or -errno, logged.
 */
int hs_intake_make(struct hs_intake **out,
		   const struct hs_ship_settings *settings,
		   const struct hs_transport_settings *transport, uint64_t node,
		   struct hs_collector *collector);
void hs_intake_free(struct hs_intake *intake);
int hs_intake_fd(const struct hs_intake *intake);
/** hs_intake_bytes() - of frames that have come so far */
uint64_t hs_intake_bytes(const struct hs_intake *intake);
/** hs_intake_run() - Return: ns until it wants to run again */
uint64_t hs_intake_run(struct hs_intake *intake, uint64_t now_ns);
/** hs_intake_answer() - say what hs_intake_ack() was told since; returns
 * likewise
 */
uint64_t hs_intake_answer(struct hs_intake *intake, uint64_t now_ns);
/** hs_intake_ack() - a SLICE_ACK for one of its peers. 0; -ENOTCONN: gone */
int hs_intake_ack(struct hs_intake *intake, uint32_t peer,
		  const struct iovec *iov, int nr_iov);
json_t *hs_intake_json(const struct hs_intake *intake);

#endif

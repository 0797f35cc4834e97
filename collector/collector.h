/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collector.h - assembly, store and acknowledgements put together
 *
 * The shell around the pure assembly: it stores what that says, syncs in
 * batches, tells it what is durable, sends the acknowledgements and keeps each
 * trace's row in the index up to date. It owns no sockets: messages come in by
 * hs_collector_message(), and go out by the send function.
 *
 * Context: one thread at a time; whoever has two takes hs_collector_lock().
 */
#ifndef HS_COLLECTOR_COLLECTOR_H
#define HS_COLLECTOR_COLLECTOR_H

#include <stdint.h>
#include <sys/uio.h>

#include "collector/assembly.h"
#include "collector/decode.h"
#include "collector/store.h"
#include "collector/tally.h"

struct hs_collector;

struct hs_collector_options {
	struct hs_store_options store;
	struct hs_assembly_limits limits;
	uint64_t sync_interval_ns; /* a batch waits at most so long */
	uint64_t retain_bytes;	   /* of segments; 0: all */
	uint64_t retain_ns;	   /* after its last record; 0: for ever */
	/* As hs_transport_send(); an acknowledgement that does not go out is
	 * counted: its slice comes again and is answered then. */
	int (*send)(void *ctx, uint32_t peer, uint16_t type,
		    const struct iovec *iov, int nr_iov);
	void *ctx;
};

struct hs_collector_stats {
	struct hs_assembly_stats assembly;
	struct hs_store_stats store;
	struct hs_index_counts counts;
	struct hs_tally_stats tally;
	uint64_t acks_sent;
	uint64_t acks_dropped;
	uint64_t messages_failed; /* the disk did not take them */
};

int hs_collector_open(struct hs_collector **out,
		      const struct hs_collector_options *options, char *error,
		      size_t error_bytes);
/** hs_collector_close() - sync, acknowledge, close; NULL is fine */
void hs_collector_close(struct hs_collector *c);

void hs_collector_lock(struct hs_collector *c);
void hs_collector_unlock(struct hs_collector *c);

/** hs_collector_node_up() - an agent is connected, with that incarnation */
void hs_collector_node_up(struct hs_collector *c, uint64_t node,
			  uint64_t now_ns);
/**
 * hs_collector_offer() - a SLICE, MANIFEST or TALLY; others are ignored
 *
 * Return: 0; HS_ASSEMBLY_REFUSED, which it has answered; HS_ASSEMBLY_BUSY or
 *	negative errno: not kept, so it has to come again; -EAGAIN and BUSY pass
 *	when something has become durable.
 */
int hs_collector_offer(struct hs_collector *c, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes,
		       uint64_t now_mono_ns);
/** hs_collector_message() - the same, and wait for room where there is none */
int hs_collector_message(struct hs_collector *c, uint32_t peer, uint16_t type,
			 const void *payload, uint32_t payload_bytes,
			 uint64_t now_mono_ns);

/**
 * hs_collector_step() - acknowledge what is durable, hand over what is not
 *
 * Return: ns until it wants to be called again, if hs_collector_fd() stays
 *	quiet.
 */
uint64_t hs_collector_step(struct hs_collector *c, uint64_t now_mono_ns);
/** hs_collector_fd() - readable when there is something for step() */
int hs_collector_fd(const struct hs_collector *c);

/** hs_collector_sync() - now, and wait for it. Return: 0, negative errno */
int hs_collector_sync(struct hs_collector *c);

/** hs_collector_damaged() - reading @trace found unreadable records */
void hs_collector_damaged(struct hs_collector *c,
			  const struct hs_wire_trace_id *trace);

struct hs_assembly *hs_collector_assembly(struct hs_collector *c);
struct hs_store *hs_collector_store(struct hs_collector *c);
struct hs_tally *hs_collector_tally(struct hs_collector *c);
void hs_collector_stats(struct hs_collector *c, struct hs_collector_stats *out);

#endif

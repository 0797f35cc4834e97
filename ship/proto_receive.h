/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_receive.h - a collector's end of all shipping connections
 *
 * Takes frames in any order and gives whole slices in the order in which their
 * agent sent them, each once, its checksum verified. Frames are kept where the
 * carrier put them until all slices in them are whole; how many may be kept,
 * over all connections, is granted to the senders as credit, a fair share to
 * each that is active, and never granted twice. A taker that is busy (a full
 * disk) stops the reading, so credit runs out and the agents keep their
 * buffers.
 *
 * Context: one thread; pure: no I/O, no clock, no allocation.
 */
#ifndef HS_SHIP_PROTO_RECEIVE_H
#define HS_SHIP_PROTO_RECEIVE_H

#include "ship/proto.h"

struct hs_ship_receiver;

#define HS_SHIP_CONNECTIONS_MAX 65536u

enum hs_ship_verdict {
	HS_SHIP_TAKEN = 0,   /* hs_ship_receiver_settle() will follow */
	HS_SHIP_BUSY = 1,    /* not now; it will be offered again */
	HS_SHIP_REFUSED = 2, /* not ever: settled by that */
};

struct hs_ship_receiver_ops {
	/** send_frame() - to the carrier; what finds no room is lost */
	void (*send_frame)(void *ctx, const struct hs_ship_address *to,
			   const void *frame, uint32_t frame_bytes);
	/** slice() - a whole one; @spans are its bytes, for the call only */
	enum hs_ship_verdict (*slice)(void *ctx, uint32_t connection,
				      const struct hs_wire_slice *head,
				      const struct hs_ship_span *spans,
				      uint32_t nr_spans);
	/** release() - a frame that was handed in is the carrier's again */
	void (*release)(void *ctx, void *handle);
	void (*up)(void *ctx, uint32_t connection, uint64_t node);
	/** down() - what of it is not settled will never be asked for */
	void (*down)(void *ctx, uint32_t connection, const char *why);
};

struct hs_ship_receiver_config {
	uint64_t node;
	uint32_t frame_bytes; /* largest that the carrier takes */
	uint32_t nr_connections;
	uint32_t nr_frames; /* that the carrier can spare, for all of them */
	uint32_t nr_window; /* frames of one at most, power of two; 0: 1024 */
	uint32_t nr_least;  /* frames of each at least; 0: 64 */
	uint32_t nr_slices; /* unsettled of one, power of two; 0: 8192 */
	uint64_t idle_ns;   /* silence after which one is gone; 0: 10 s */
	struct hs_ship_auth auth;
};

struct hs_ship_receiver_stats {
	uint64_t frames, frames_bad, frames_forged, frames_again;
	uint64_t frames_stale;	 /* of before a slice was asked anew */
	uint64_t frames_beyond;	 /* over the credit */
	uint64_t frames_strange; /* of no connection that we know */
	uint64_t slices, slice_bytes, slices_refused, slices_anew, busy;
	uint64_t acks;
	uint64_t opened, full, cut_off, expired;
	uint32_t nr_connections;
	uint32_t nr_held;    /* frames kept now */
	uint32_t nr_granted; /* frames that may come or are kept */
};

size_t hs_ship_receiver_size(const struct hs_ship_receiver_config *config);
/** hs_ship_receiver_create() - see hs_ship_sender_create() */
struct hs_ship_receiver *
hs_ship_receiver_create(void *memory,
			const struct hs_ship_receiver_config *config,
			const struct hs_ship_receiver_ops *ops, void *ctx,
			uint64_t random, uint64_t now_ns);
/**
 * hs_ship_receiver_frame() - a frame came
 * @handle: what release() is told; may be called before this returns
 */
void hs_ship_receiver_frame(struct hs_ship_receiver *r,
			    const struct hs_ship_address *from, void *handle,
			    const void *frame, uint32_t frame_bytes,
			    uint64_t now_ns);
/** hs_ship_receiver_settle() - the oldest slice of that key; none: nothing */
void hs_ship_receiver_settle(struct hs_ship_receiver *r, uint32_t connection,
			     uint64_t ship_key, bool refused);
/**
 * hs_ship_receiver_run() - after a burst of frames, and when it is time
 * Return: when to call again at the latest.
 */
uint64_t hs_ship_receiver_run(struct hs_ship_receiver *r, uint64_t now_ns);
/** hs_ship_receiver_close() - say so to all, release all */
void hs_ship_receiver_close(struct hs_ship_receiver *r);
void hs_ship_receiver_stats_get(const struct hs_ship_receiver *r,
				struct hs_ship_receiver_stats *out);
bool hs_ship_receiver_check(const struct hs_ship_receiver *r, const char **why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_send.h - an agent's end of one shipping connection
 *
 * Takes slices in order, cuts them into frames, sends these as fast as credit
 * and pacing allow, and again where they were lost, until the collector says
 * that the slices are settled: durable, or refused for good. The bytes stay
 * where they are in the pool; a frame names them, and the carrier reads them
 * when it sends. Their producer may change them meanwhile: the collector finds
 * that by the checksum and asks anew, and after the third time a private copy
 * goes, marked as modified.
 *
 * Guarantees: a slice that was taken is settled exactly once, or the
 * connection goes down and all that were not settled are the owner's again.
 *
 * Context: one thread; pure: no I/O, no clock, no allocation.
 */
#ifndef HS_SHIP_PROTO_SEND_H
#define HS_SHIP_PROTO_SEND_H

#include "ship/proto.h"

struct hs_ship_sender;

/* One slice. Its head's crc is filled in here. */
struct hs_ship_slice {
	struct hs_wire_slice head;
	uint32_t domain;
	uint64_t where;	 /* the owner's: of its first byte */
	void *copy;	 /* set by ops->copy; the owner's to free once settled
			    or when the connection goes down */
	uint32_t *users; /* the owner's: see struct hs_ship_port_span */
};

/* Bytes of a slice that go in a frame, in order. */
struct hs_ship_piece {
	const struct hs_ship_slice *slice;
	uint32_t offset; /* in the slice */
	uint32_t bytes;
};

struct hs_ship_sender_ops {
	/**
	 * send_frame() - put a frame on its way
	 * @head: everything but the bytes; gone after the call
	 * @pieces: the bytes behind it, in order
	 * Return: false: no room now, it will be asked again.
	 */
	bool (*send_frame)(void *ctx, const void *head, uint32_t head_bytes,
			   const struct hs_ship_piece *pieces,
			   uint32_t nr_pieces);
	/** bytes() - where a slice is, its copy if it has one */
	const void *(*bytes)(void *ctx, const struct hs_ship_slice *slice);
	/** copy() - give the slice a private copy; false: no memory, later */
	bool (*copy)(void *ctx, struct hs_ship_slice *slice);
	/** settled() - durable, or refused: the slice is the owner's again */
	void (*settled)(void *ctx, const struct hs_ship_slice *slice,
			bool refused);
	/** up() - slices may be added */
	void (*up)(void *ctx, uint64_t collector);
	/** down() - all unsettled slices are the owner's again; will reopen */
	void (*down)(void *ctx, const char *why);
};

struct hs_ship_sender_config {
	uint64_t node;
	uint32_t frame_bytes;	/* largest that the carrier takes */
	uint32_t nr_frames;	/* under way, power of two; 0: 4096 */
	uint32_t nr_slices;	/* unsettled, power of two; 0: 8192 */
	uint32_t nr_pieces;	/* of one frame; 0: HS_SHIP_PARTS_MAX */
	uint64_t limit_per_s;	/* bytes; 0: none */
	uint64_t dead_ns;	/* without an answer: down; 0: 3 s */
	uint64_t reopen_min_ns; /* 0: 20 ms */
	uint64_t reopen_max_ns; /* 0: 2 s */
	struct hs_ship_auth auth;
};

struct hs_ship_sender_stats {
	uint64_t slices_added, slices_settled, slices_refused;
	uint64_t bytes_added;
	uint64_t frames_sent, frames_resent, frames_lost;
	uint64_t frame_bytes_sent; /* heads included */
	uint64_t acks, acks_old, frames_bad;
	uint64_t slices_anew;	  /* were not what their checksum said */
	uint64_t slices_modified; /* changed by their producers under way */
	uint64_t timeouts, downs;
	uint64_t port_full, out_of_credit;
	uint64_t rtt_ns, rate_per_s, window_bytes, in_flight_bytes;
	uint32_t unsettled;
	uint32_t slice_bytes; /* the longest that its receiver takes */
	bool up;
};

size_t hs_ship_sender_size(const struct hs_ship_sender_config *config);
/**
 * hs_ship_sender_create() - in @memory, hs_ship_sender_size() zeroed bytes
 * @random: 64 bits that nobody can foretell; others are drawn from them
 * Return: NULL for a config out of its ranges.
 */
struct hs_ship_sender *
hs_ship_sender_create(void *memory, const struct hs_ship_sender_config *config,
		      const struct hs_ship_sender_ops *ops, void *ctx,
		      uint64_t random, uint64_t now_ns);
/**
 * hs_ship_sender_add() - one more slice
 * Return: 0; -ENOTCONN: not up; -EAGAIN: too many are unsettled; -EMSGSIZE:
 *	longer than this collector takes.
 */
int hs_ship_sender_add(struct hs_ship_sender *s,
		       const struct hs_ship_slice *slice);
/** hs_ship_sender_frame() - a frame came */
void hs_ship_sender_frame(struct hs_ship_sender *s, const void *frame,
			  uint32_t frame_bytes, uint64_t now_ns);
/**
 * hs_ship_sender_run() - send what may go now
 * Return: when to call again at the latest if nothing comes before.
 */
uint64_t hs_ship_sender_run(struct hs_ship_sender *s, uint64_t now_ns);
/** hs_ship_sender_close() - say so to the collector; down() is not called */
void hs_ship_sender_close(struct hs_ship_sender *s);
void hs_ship_sender_stats_get(const struct hs_ship_sender *s,
			      struct hs_ship_sender_stats *out);
/** hs_ship_sender_check() - every sum adds up; for tests and the simulator */
bool hs_ship_sender_check(const struct hs_ship_sender *s, const char **why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what proto_send.c (the connection) and proto_send_frame.c (cutting
 * and sending frames) share. */
#ifndef HS_SHIP_PROTO_SEND_PRIV_H
#define HS_SHIP_PROTO_SEND_PRIV_H

#include "ship/proto_pace.h"
#include "ship/proto_send.h"

enum sender_state {
	SENDER_OPENING = 0, /* OPEN goes, again and again, at due_ns */
	SENDER_UP = 1,
	SENDER_CLOSED = 2, /* by its owner, for good */
};

enum frame_state {
	FRAME_NONE = 0,
	FRAME_FLYING = 1,
	FRAME_LOST = 2, /* to go again */
	FRAME_HERE = 3, /* at the collector, which may still ask it anew */
};

/* A frame under way; which bytes are in it never changes. */
struct sender_frame {
	uint64_t slice; /* of the first part */
	uint32_t offset;
	uint16_t nr_parts;
	uint8_t state; /* enum frame_state */
	uint8_t again; /* times it was sent, up to 255 */
	uint32_t payload_bytes;
	uint32_t sent_bytes; /* all of it, as it went */
	uint64_t tx;
	uint64_t sent_ns;
	struct hs_ship_stamp stamp;
};

struct sender_slice {
	struct hs_ship_slice slice;
	uint32_t anew; /* times it was not what its checksum said */
	bool summed;
};

struct hs_ship_sender {
	struct hs_ship_sender_config config;
	const struct hs_ship_sender_ops *ops;
	void *ctx;
	struct hs_ship_pace pace;
	struct hs_ship_sender_stats stats;
	struct sender_frame *frames;
	struct sender_slice *slices;
	enum sender_state state;
	uint64_t random; /* splitmix state */
	uint64_t connection, peer, nonce;
	uint64_t due_ns;    /* OPENING: of the next OPEN */
	uint64_t reopen_ns; /* how long until the one after it */
	uint32_t frame_bytes, slice_bytes, slices_max; /* as accepted */
	/* Slices settled .. next_slice are unsettled; the first byte that no
	 * frame has yet is cut_offset of cut_slice. */
	uint64_t settled, next_slice, cut_slice;
	uint32_t cut_offset;
	uint64_t first, next; /* frames first .. next - 1 are under way */
	uint64_t credit;
	uint32_t nr_lost;
	uint32_t epoch;
	uint64_t tx, tx_seen, ack_seen;
	uint64_t tx_seen_sent_ns; /* when tx_seen went */
	uint64_t heard_ns; /* the last ACK, or the first thing owed one */
	bool owed;	   /* an answer, since heard_ns */
	uint64_t timer_ns; /* when to stop waiting for an answer */
	uint32_t timeouts; /* in a row */
};

static inline struct sender_frame *sender_frame(struct hs_ship_sender *s,
						uint64_t nr)
{
	return &s->frames[nr & (s->config.nr_frames - 1)];
}

static inline struct sender_slice *sender_slice(struct hs_ship_sender *s,
						uint64_t nr)
{
	return &s->slices[nr & (s->config.nr_slices - 1)];
}

/** hs_ship_send_sum() - the checksum of a slice's bytes, as they are now */
void hs_ship_send_sum(struct hs_ship_sender *s, struct sender_slice *slice);
/** hs_ship_send_again() - a frame that was lost; false: the port is full */
bool hs_ship_send_again(struct hs_ship_sender *s, uint64_t nr, uint64_t now_ns);
/** hs_ship_send_next() - the next frame; false: nothing to send, or full */
bool hs_ship_send_next(struct hs_ship_sender *s, uint64_t now_ns);
/** hs_ship_send_ask() - a DATA without parts, for which an ACK will come */
void hs_ship_send_ask(struct hs_ship_sender *s, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto.h - what both ends of a shipping connection have in common
 *
 * The protocol is two state machines, proto_send.h at the agent and
 * proto_receive.h at the collector. Neither does I/O, reads a clock or
 * allocates: frames, time and memory come in, frames and verdicts go out
 * through ops. What carries the frames (UDP, DPDK, the simulator) may lose,
 * repeat, delay and reorder them; it should not change them, and what is
 * changed nevertheless is found out by checksums.
 */
#ifndef HS_SHIP_PROTO_H
#define HS_SHIP_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/ship_format.h"

/* One end of a carrier's way: opaque here, compared byte for byte. */
struct hs_ship_address {
	uint8_t bytes[32];
};

/* Scattered bytes of a frame, as they come or go. */
struct hs_ship_span {
	const void *data;
	uint32_t bytes;
};

/*
 * Who may speak: a tag over the frame under the cluster's key. The header
 * holds connection numbers drawn at random by both ends, so that a frame of
 * another connection is none of this one; repeats within one are told by tx
 * and ack numbers. NULL members: frames carry no tag and none is asked for.
 */
struct hs_ship_auth {
	void *ctx;
	void (*tag)(void *ctx, const struct hs_ship_span *spans,
		    uint32_t nr_spans, uint8_t tag[HS_SHIP_TAG_BYTES]);
	/* By the other key that is accepted, while keys change; may be NULL. */
	void (*tag_also)(void *ctx, const struct hs_ship_span *spans,
			 uint32_t nr_spans, uint8_t tag[HS_SHIP_TAG_BYTES]);
};

/* A frame that was found to be well-formed. */
struct hs_ship_view {
	struct hs_ship_header header;
	union {
		struct hs_ship_open open;
		struct hs_ship_accept accept;
		struct hs_ship_data data;
		struct hs_ship_ack ack;
		struct hs_ship_close close;
	} u;
	const uint8_t *rows;  /* parts and heads of a DATA, bitmap of an ACK */
	const uint8_t *bytes; /* of the parts */
	uint32_t nr_bytes;
};

/**
 * hs_ship_frame_parse() - look at a frame from outside
 * @view: filled in; points into @frame
 *
 * Checks lengths, counts and the head's checksum; of DATA also that each part
 * lies within its slice and that the bytes are all there. Neither the tag nor
 * the sequence is looked at.
 * Return: 0; -EBADMSG with *why set.
 */
int hs_ship_frame_parse(struct hs_ship_view *view, const void *frame,
			uint32_t frame_bytes, const char **why);
/** hs_ship_frame_authentic() - whether the tag of a parsed frame is right */
bool hs_ship_frame_authentic(const struct hs_ship_auth *auth, const void *frame,
			     uint32_t frame_bytes);
/** hs_ship_view_part() - part @i of a DATA; @head: of its slice, if it starts
 */
void hs_ship_view_part(const struct hs_ship_view *view, uint32_t i,
		       struct hs_ship_part *part);
void hs_ship_view_head(const struct hs_ship_view *view, uint32_t nth,
		       struct hs_wire_slice *head);

/**
 * hs_ship_frame_seal() - lengths, checksum and tag of a frame about to go
 * @head: the header and what follows it up to the bytes; header.type, to and
 *	from are set
 * @spans: the bytes behind it
 */
void hs_ship_frame_seal(const struct hs_ship_auth *auth, void *head,
			uint32_t head_bytes, const struct hs_ship_span *spans,
			uint32_t nr_spans);
/** hs_ship_frame_small() - make a whole frame of a header and one structure */
uint32_t hs_ship_frame_small(const struct hs_ship_auth *auth, void *out,
			     uint8_t type, uint64_t to, uint64_t from,
			     const void *body, uint32_t body_bytes);
const char *hs_ship_reason_text(uint32_t reason);

#endif

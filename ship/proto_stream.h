/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_stream.h - frames one behind the other in a stream of bytes
 *
 * A frame's header says how long it is, so a stream needs nothing besides. What
 * came is given piece by piece as it came, and frames are had back, each in one
 * piece: where it lies, or put together here if it came in several.
 *
 * Context: one thread; pure: no I/O, no clock, no allocation.
 */
#ifndef HS_SHIP_PROTO_STREAM_H
#define HS_SHIP_PROTO_STREAM_H

#include "ship/proto.h"

struct hs_ship_stream {
	uint32_t kept;	/* bytes of a frame that is not whole */
	uint32_t bytes; /* of all of it; 0: not known yet */
	uint8_t part[HS_SHIP_FRAME_MAX_BYTES];
};

/**
 * hs_ship_stream_next() - the next whole frame
 * @at, @left: what came; moved on behind what was taken
 * @frame: valid until the next call, while what came is there
 *
 * Return: 1; 0: all was taken, more has to come; -EBADMSG, for good, with *why
 *	set: what comes next is no frame.
 */
int hs_ship_stream_next(struct hs_ship_stream *s, const uint8_t **at,
			size_t *left, const void **frame, uint32_t *frame_bytes,
			const char **why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship_format.h - datagrams that bring slices from an agent to a collector
 *
 *   agent -> collector   OPEN    who I am; asked again until ACCEPT comes
 *   collector -> agent   ACCEPT  your connection, its limits, first credit
 *   agent -> collector   DATA    parts of slices, or none: a question
 *   collector -> agent   ACK     what came, what is durable, how far to go on
 *   either               CLOSE   no such connection, or the end of one
 *
 * A connection carries a sequence of slices, numbered from 0, cut into frames,
 * numbered from 0. The parts of a frame, their slices' heads and their bytes
 * stand in three rows, so that a sender can hand the bytes to a device where
 * they lie. A frame that goes again has the same number, the same parts and a
 * new transmission number; its bytes may differ when its epoch does: the
 * collector found that a slice was not what its checksum said, and asked for
 * it anew.
 *
 * Structures are little-endian and lie one behind the other without padding;
 * a receiver copies them out before it looks. A frame fits one datagram.
 * A wall of the house: it changes by ADR, with HS_SHIP_VERSION.
 */
#ifndef HS_SHIP_FORMAT_H
#define HS_SHIP_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_SHIP_MAGIC	0x50495348u /* "HSIP" */
#define HS_SHIP_VERSION 1u

#define HS_SHIP_FRAME_MIN_BYTES 576u  /* what a frame must be able to hold */
#define HS_SHIP_FRAME_MAX_BYTES 9216u /* all of a frame */
#define HS_SHIP_PARTS_MAX	32u
#define HS_SHIP_SACK_BYTES	128u /* frames behind the first missing one */
#define HS_SHIP_REFUSED_MAX	32u
#define HS_SHIP_TAG_BYTES	16u

enum hs_ship_type {
	HS_SHIP_OPEN = 1,
	HS_SHIP_ACCEPT = 2,
	HS_SHIP_DATA = 3,
	HS_SHIP_ACK = 4,
	HS_SHIP_CLOSE = 5,
};

struct hs_ship_header {
	uint32_t magic;
	uint8_t version; /* HS_SHIP_VERSION; OPEN and ACCEPT: 1 for ever */
	uint8_t type;	 /* enum hs_ship_type */
	uint16_t bytes;	 /* of the whole frame */
	uint64_t to;	 /* connection, as its receiver numbers it; OPEN: 0 */
	uint64_t from;	 /* connection, as its sender numbers it */
	uint32_t head_bytes; /* of everything but the slices' bytes */
	uint32_t crc;	     /* CRC32C of those, with tag and crc taken as 0 */
	uint8_t tag[HS_SHIP_TAG_BYTES]; /* over all of the frame; 0: none */
};
HS_WIRE_ASSERT(sizeof(struct hs_ship_header) == 48);

struct hs_ship_open {
	uint64_t node;
	uint16_t version_min;
	uint16_t version_max;
	uint32_t frame_bytes; /* largest that the agent's way to us takes */
	uint64_t nonce;
};
HS_WIRE_ASSERT(sizeof(struct hs_ship_open) == 24);

struct hs_ship_accept {
	uint64_t node;	/* of the collector */
	uint64_t nonce; /* of the OPEN */
	uint16_t version;
	uint16_t reserved;
	uint32_t frame_bytes; /* largest that may be sent */
	uint32_t slice_bytes; /* longest slice that the credit can carry */
	uint32_t slices;      /* that may wait to become durable */
	uint64_t credit;      /* frames below this number may be sent */
};
HS_WIRE_ASSERT(sizeof(struct hs_ship_accept) == 40);

/* Then nr_parts parts, then a struct hs_wire_slice for each of them that
 * starts a slice (offset 0), then the parts' bytes. */
struct hs_ship_data {
	uint64_t frame;	  /* its number; nr_parts 0: the next one to come */
	uint64_t tx;	  /* counts all frames sent on this connection */
	uint64_t sent_ns; /* the sender's clock; comes back in an ACK */
	uint64_t settled; /* slices below this are known to be settled */
	uint32_t epoch;	  /* of the bytes: how many slices were asked anew */
	uint16_t nr_parts;
	uint16_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_ship_data) == 40);

struct hs_ship_part {
	uint64_t slice;	 /* its number */
	uint32_t offset; /* of the part in the slice */
	uint32_t bytes;
};
HS_WIRE_ASSERT(sizeof(struct hs_ship_part) == 16);

/* Then nr_sack_bytes of a bitmap: bit i says that frame first + i is here;
 * then nr_refused numbers of slices, u64. */
struct hs_ship_ack {
	uint64_t first;	  /* all frames below are received and done with */
	uint64_t credit;  /* frames below this number may be sent */
	uint64_t settled; /* slices below this are durable or refused */
	uint64_t tx;	  /* of the latest DATA received, by tx */
	uint64_t echo_ns; /* its sent_ns */
	uint64_t ack;	  /* counts the ACKs of this connection */
	uint64_t bad;	  /* slice that was not what its checksum said */
	uint32_t epoch; /* how many such slices so far; 0: bad means nothing */
	uint32_t held_ns; /* how long ago that DATA came */
	uint16_t nr_sack_bytes;
	uint16_t nr_refused;
	uint32_t reserved;
};
HS_WIRE_ASSERT(sizeof(struct hs_ship_ack) == 72);

enum hs_ship_reason {
	HS_SHIP_BYE = 0,	   /* the sender of it ends */
	HS_SHIP_NO_CONNECTION = 1, /* never heard of it, or forgotten */
	HS_SHIP_NO_VERSION = 2,	   /* none in common */
	HS_SHIP_FULL = 3,	   /* no place for a connection; later */
	HS_SHIP_MISBEHAVED = 4,	   /* frames that no sender of ours makes */
};
struct hs_ship_close {
	uint32_t reason; /* enum hs_ship_reason */
	uint32_t reserved;
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - whole messages out of a stream of bytes
 *
 * The pure half of a byte-stream carrier: the caller reads bytes into the room
 * that hs_stream_room() offers, says how many came, and takes messages out
 * until none is left. Headers are judged before their payload is waited for,
 * so a peer that speaks something else is found out by its first bytes.
 *
 * Over one connection `from` stays what the first message said, and `seq`
 * counts from 1 without a gap; with these, the magic, the version, the type,
 * the length and the checksum no byte of a header can change unnoticed. Where
 * a cluster key is, a tag over both takes the checksum's place after HELLO.
 *
 * Guarantees: no I/O, no allocation, no clock; never reads beyond what came;
 * a failure sticks.
 */
#ifndef HS_RDMA_STREAM_H
#define HS_RDMA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_STREAM_MESSAGE_BYTES                                                \
	(sizeof(struct hs_wire_header) + HS_WIRE_PAYLOAD_MAX_BYTES +           \
	 HS_WIRE_TAG_BYTES)
/* One message of the largest kind, and a read's worth behind it. */
#define HS_STREAM_READ_BYTES   ((size_t)64 << 10)
#define HS_STREAM_BUFFER_BYTES (HS_STREAM_MESSAGE_BYTES + HS_STREAM_READ_BYTES)

enum hs_stream_result {
	HS_STREAM_MORE = 0,    /* no whole message is there */
	HS_STREAM_MESSAGE = 1, /* one was taken out */
};

struct hs_stream {
	uint8_t *buffer;	  /* HS_STREAM_BUFFER_BYTES, 8-aligned */
	size_t start;		  /* first byte not taken out */
	size_t end;		  /* first byte not come yet */
	uint64_t seq;		  /* of the last message taken out */
	uint64_t from;		  /* 0 until the first message */
	uint32_t payload_limit;	  /* lower than the format's before HELLO */
	int error;		  /* sticks */
	const char *error_reason; /* what was wrong, for the log */
	/* Judges a tag; NULL: there are none. Set between messages. */
	bool (*authentic)(void *ctx, const struct hs_wire_header *header,
			  const void *payload,
			  const uint8_t tag[HS_WIRE_TAG_BYTES]);
	void *authentic_ctx;
};

/**
 * hs_stream_init() - start at the first byte of a connection
 * @s: the parser
 * @buffer: HS_STREAM_BUFFER_BYTES, 8-aligned; the caller's, outlives @s
 * @payload_limit: longest payload taken, changeable in @s between messages
 */
void hs_stream_init(struct hs_stream *s, void *buffer, uint32_t payload_limit);

/**
 * hs_stream_room() - where the next bytes go
 * @s: the parser
 * @room: set to the place
 *
 * May move what is in the buffer: payloads handed out before are gone.
 *
 * Return: how many bytes fit, at least 1 once no whole message is left in it.
 */
size_t hs_stream_room(struct hs_stream *s, uint8_t **room);

/** hs_stream_came() - @size_bytes bytes were put into the room */
void hs_stream_came(struct hs_stream *s, size_t size_bytes);

/**
 * hs_stream_next() - take the next whole message out
 * @s: the parser
 * @header: set to its header
 * @payload: set to its payload, 8-aligned, valid until the next call
 *
 * Return: enum hs_stream_result, or -EPROTO (not a message of ours),
 *	-EMSGSIZE (over the limit), -EBADMSG (checksum), -EALREADY (one that
 *	came already), -EKEYREJECTED (a tag that does not fit).
 */
int hs_stream_next(struct hs_stream *s, struct hs_wire_header *header,
		   const void **payload);

/* What the sender puts before a payload. */
struct hs_wire_header hs_stream_header(uint16_t type, uint64_t from,
				       uint64_t seq, uint32_t payload_bytes,
				       uint32_t payload_crc);

#endif

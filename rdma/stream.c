/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - whole messages out of a stream of bytes: see stream.h
 */
#include "rdma/stream.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"

#define TLS_HANDSHAKE 0x16u /* the first byte of a TLS connection */

void hs_stream_init(struct hs_stream *s, void *buffer, uint32_t payload_limit)
{
	*s = (struct hs_stream){
		.buffer = buffer,
		.payload_limit = payload_limit,
	};
}

size_t hs_stream_room(struct hs_stream *s, uint8_t **room)
{
	size_t have = s->end - s->start;
	size_t left;

	if (have == 0) {
		s->start = 0;
		s->end = 0;
	} else if (HS_STREAM_BUFFER_BYTES - s->end < HS_STREAM_READ_BYTES ||
		   HS_STREAM_BUFFER_BYTES - s->start <
			   HS_STREAM_MESSAGE_BYTES) {
		memmove(s->buffer, s->buffer + s->start, have);
		s->start = 0;
		s->end = have;
	}
	*room = s->buffer + s->end;
	left = HS_STREAM_BUFFER_BYTES - s->end;
	/* A quiet connection touches the first pages of its buffer only. */
	if (have < sizeof(struct hs_wire_header) && left > HS_STREAM_READ_BYTES)
		left = HS_STREAM_READ_BYTES;
	return left;
}

void hs_stream_came(struct hs_stream *s, size_t size_bytes)
{
	s->end += size_bytes;
}

static int refuse(struct hs_stream *s, int error, const char *reason)
{
	s->error = error;
	s->error_reason = reason;
	return error;
}

static int check_header(struct hs_stream *s, const struct hs_wire_header *h)
{
	if (h->version != HS_WIRE_VERSION)
		return refuse(s, -EPROTO, "version is not ours");
	if (h->type < HS_WIRE_HELLO || h->type > HS_WIRE_TYPE_LAST)
		return refuse(s, -EPROTO, "no such message type");
	if (s->seq == 0 && h->type != HS_WIRE_HELLO)
		return refuse(s, -EPROTO, "first message is not HELLO");
	if (h->from == 0 || (s->from && h->from != s->from))
		return refuse(s, -EPROTO, "node id is zero or changed");
	if (h->seq <= s->seq)
		return refuse(s, -EALREADY, "a message again: replayed");
	if (h->seq != s->seq + 1)
		return refuse(s, -EPROTO, "sequence has a gap");
	if (h->payload_bytes > s->payload_limit)
		return refuse(s, -EMSGSIZE, "payload over the limit");
	return 0;
}

/* Even a cut header tells by its first bytes that it is not ours. */
static int check_magic(struct hs_stream *s, size_t have)
{
	const uint8_t magic[4] = {
		HS_WIRE_MAGIC & 0xff,
		HS_WIRE_MAGIC >> 8 & 0xff,
		HS_WIRE_MAGIC >> 16 & 0xff,
		HS_WIRE_MAGIC >> 24 & 0xff,
	};

	if (s->seq == 0 && s->buffer[s->start] == TLS_HANDSHAKE)
		return refuse(s, -EPROTO,
			      "it speaks TLS, and there is none here: set "
			      "transport.tls_cert");
	if (memcmp(s->buffer + s->start, magic, have < 4 ? have : 4) != 0)
		return refuse(s, -EPROTO, "magic is not ours");
	return 0;
}

static int check_payload(struct hs_stream *s, const struct hs_wire_header *h,
			 const uint8_t *payload)
{
	if (!s->authentic) {
		if (hs_crc32c(0, payload, h->payload_bytes) == h->payload_crc)
			return 0;
		return refuse(s, -EBADMSG, "checksum is wrong");
	}
	if (s->authentic(s->authentic_ctx, h, payload,
			 payload + h->payload_bytes))
		return 0;
	return refuse(s, -EKEYREJECTED,
		      "a tag does not fit: changed on its way, or recorded");
}

int hs_stream_next(struct hs_stream *s, struct hs_wire_header *header,
		   const void **payload)
{
	size_t have = s->end - s->start;
	size_t size;
	uint8_t *p;
	int rc;

	if (s->error)
		return s->error;
	if (have == 0)
		return HS_STREAM_MORE;
	rc = check_magic(s, have);
	if (rc)
		return rc;
	if (have < sizeof(*header))
		return HS_STREAM_MORE;
	memcpy(header, s->buffer + s->start, sizeof(*header));
	rc = check_header(s, header);
	if (rc)
		return rc;
	size = sizeof(*header) + header->payload_bytes +
	       (s->authentic ? HS_WIRE_TAG_BYTES : 0);
	if (have < size)
		return HS_STREAM_MORE;
	p = s->buffer + s->start + sizeof(*header);
	rc = check_payload(s, header, p);
	if (rc)
		return rc;
	s->start += size;
	/* Lengths are odd now and then: move back over the header, which has
	 * been read, onto the alignment that structures need. */
	if ((uintptr_t)p & 7) {
		uint8_t *aligned = p - ((uintptr_t)p & 7);

		memmove(aligned, p, header->payload_bytes);
		p = aligned;
	}
	s->seq = header->seq;
	s->from = header->from;
	*payload = p;
	return HS_STREAM_MESSAGE;
}

struct hs_wire_header hs_stream_header(uint16_t type, uint64_t from,
				       uint64_t seq, uint32_t payload_bytes,
				       uint32_t payload_crc)
{
	return (struct hs_wire_header){
		.magic = HS_WIRE_MAGIC,
		.version = HS_WIRE_VERSION,
		.type = type,
		.payload_bytes = payload_bytes,
		.payload_crc = payload_crc,
		.from = from,
		.seq = seq,
	};
}

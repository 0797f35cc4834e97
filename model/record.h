/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the record format that trace buffers carry: what libhindsight
 * writes and record_decode.c decodes. docs/FORMATS.md, "Records", says it in
 * words; this header holds the numbers and the primitive encodings, once.
 *
 * Guarantees: every function here is pure, bounded and async-signal-safe.
 */
#ifndef HS_RECORD_H
#define HS_RECORD_H

#include <stddef.h>
#include <stdint.h>

/* A record: a little-endian word, type | payload length << 8; the payload. */
#define HS_RECORD_HEADER_BYTES 4u
/* From version 2 of the buffer's header on, with bit 4 of the type: two bytes,
 * type and payload length. */
#define HS_RECORD_F_SHORT	     0x10u
#define HS_RECORD_SHORT_HEADER_BYTES 2u
#define HS_RECORD_SHORT_MAX_BYTES    255u
/* A writer keeps to it; a reader takes more for garbage. */
#define HS_RECORD_MAX_BYTES (1u << 20)
/* What a reader needs to put together a record that spans buffers. */
#define HS_RECORD_SCRATCH_BYTES (HS_RECORD_HEADER_BYTES + HS_RECORD_MAX_BYTES)

/* Bit 7 of the type: a name, text or list in this record was cut. */
#define HS_RECORD_F_CUT 0x80u
/* Bit 6: the record's time is in ticks of the buffer's clock. */
#define HS_RECORD_F_TICKS 0x40u
/* Bit 5: its keys may be numbers of known ones (record_known.h) and, from
 * version 2 on, what stands earlier in the same buffer; SPAN_START's name, too,
 * is written as a key then. */
#define HS_RECORD_F_KNOWN	0x20u
#define HS_RECORD_TYPE_MASK	0x0fu
#define HS_RECORD_TYPE_MASK_OLD 0x1fu /* version 1 */

/*
 * In place of a key: a whole attribute, or a key, as it stands earlier in this
 * buffer. Two bytes follow, little-endian: its offset from the buffer's start,
 * and what an agent did to this one (model/redact.h). What is said again never
 * says another again, and its record does not run on.
 */
#define HS_RECORD_AGAIN	       1u
#define HS_RECORD_AGAIN_KEY    3u
#define HS_RECORD_AGAIN_BYTES  2u
#define HS_RECORD_AGAIN_REACH  0x2000u
#define HS_RECORD_AGAIN_HASHED 0x2000u
#define HS_RECORD_AGAIN_MASKED 0x4000u
#define HS_RECORD_AGAIN_GONE   0x8000u

enum hs_record_type {
	HS_RECORD_RESOURCE = 1,
	HS_RECORD_SPAN_START = 2,
	HS_RECORD_SPAN_END = 3,
	HS_RECORD_ATTR = 4,
	HS_RECORD_EVENT = 5,
	HS_RECORD_LINK = 6,
	HS_RECORD_STATUS = 7,
	HS_RECORD_TEXT = 8,
	HS_RECORD_FLAGS = 9,
	HS_RECORD_TRACEPOINT = 10,
	HS_RECORD_CLOCK = 11, /* first in a buffer whose clock is the TSC */
	HS_RECORD_POINT = 12, /* a tracepoint without a time of its own */
	HS_RECORD_TYPE_END    /* one past the last */
};

/* The byte before an attribute's value: enum hs_value_type, and this flag. */
#define HS_RECORD_ATTR_CUT 0x80u
/* What an agent did to it before it left its node (model/redact.h): nobody is
 * to see it; its value is blank; its value is a hash of what it was. */
#define HS_RECORD_ATTR_GONE	 0x40u
#define HS_RECORD_ATTR_MASKED	 0x20u
#define HS_RECORD_ATTR_HASHED	 0x10u
#define HS_RECORD_ATTR_TYPE_MASK 0x0fu
/* Flag bytes of RESOURCE and EVENT. */
#define HS_RECORD_HAS_SERVICE 0x01u
#define HS_RECORD_HAS_NAME    0x01u

#define HS_RECORD_VARINT_MAX_BYTES 10u

/* Ticks in a record: the lower six bytes of the counter. */
#define HS_RECORD_TICKS_BYTES 6u
#define HS_RECORD_TICKS_BITS  48u
/* CLOCK's payload: ns at the buffer's time_base, ns of a tick << 32. */
#define HS_RECORD_CLOCK_BYTES 16u

/**
 * hs_record_ticks_ns() - the time of a tick
 * @base_ns: at @base_ticks
 * @mult: ns of a tick, << 32
 */
static inline uint64_t hs_record_ticks_ns(uint64_t base_ns, uint64_t base_ticks,
					  uint64_t mult, uint64_t ticks)
{
	__extension__ typedef __int128 wide;
	wide delta = (int64_t)(ticks - base_ticks);

	return base_ns + (uint64_t)(delta * (int64_t)(mult & INT64_MAX) >> 32);
}

/* The counter whose lower bits are @low, nearest to @base_ticks. */
static inline uint64_t hs_record_ticks_near(uint64_t base_ticks, uint64_t low)
{
	uint32_t shift = 64 - HS_RECORD_TICKS_BITS;
	int64_t delta = (int64_t)((low - base_ticks) << shift) >> shift;

	return base_ticks + (uint64_t)delta;
}

static inline uint32_t hs_record_header(uint32_t type, uint32_t payload_bytes)
{
	return (type & 0xffu) | payload_bytes << 8;
}

/* A record's header as it was read. */
struct hs_record_head {
	uint8_t type; /* with its flags */
	uint8_t bytes;
	uint32_t payload_bytes;
};

/* How many of the header's first bytes tell how long it is. */
static inline uint32_t hs_record_head_min(uint32_t version)
{
	return version > 1 ? HS_RECORD_SHORT_HEADER_BYTES
			   : HS_RECORD_HEADER_BYTES;
}

/**
 * hs_record_head_get() - a record's header
 * @version: of the buffer in which it starts
 *
 * Return: 0, or how many bytes it lacks, at least.
 */
static inline uint32_t hs_record_head_get(const uint8_t *p, size_t len_bytes,
					  uint32_t version,
					  struct hs_record_head *out)
{
	uint32_t least = hs_record_head_min(version);

	if (len_bytes < least)
		return least - (uint32_t)len_bytes;
	out->type = p[0];
	if (version > 1 && p[0] & HS_RECORD_F_SHORT) {
		out->bytes = HS_RECORD_SHORT_HEADER_BYTES;
		out->payload_bytes = p[1];
		return 0;
	}
	if (len_bytes < HS_RECORD_HEADER_BYTES)
		return HS_RECORD_HEADER_BYTES - (uint32_t)len_bytes;
	out->bytes = HS_RECORD_HEADER_BYTES;
	out->payload_bytes = p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16;
	return 0;
}

/* Its enum hs_record_type; one that @version does not know is of the future. */
static inline uint32_t hs_record_type_of(uint8_t type, uint32_t version)
{
	return type &
	       (version > 1 ? HS_RECORD_TYPE_MASK : HS_RECORD_TYPE_MASK_OLD);
}

static inline uint64_t hs_record_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t hs_record_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* How many bytes hs_record_varint_put() will write: 1 to 10. */
static inline uint32_t hs_record_varint_size(uint64_t v)
{
	return (70u - (uint32_t)__builtin_clzll(v | 1)) / 7u;
}

/**
 * hs_record_varint_put() - LEB128
 * @out: room for HS_RECORD_VARINT_MAX_BYTES
 *
 * Return: bytes written.
 */
static inline uint32_t hs_record_varint_put(uint8_t *out, uint64_t v)
{
	uint32_t n = 0;

	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return n;
}

/**
 * hs_record_varint_get() - LEB128
 *
 * Return: bytes read; 0 when cut short or of more than 64 bits.
 */
static inline uint32_t hs_record_varint_get(const uint8_t *p, size_t len_bytes,
					    uint64_t *out)
{
	uint64_t v = 0;
	uint32_t n;

	for (n = 0; n < len_bytes && n < HS_RECORD_VARINT_MAX_BYTES; n++) {
		if (n == 9 && p[n] > 1)
			return 0;
		v |= (uint64_t)(p[n] & 0x7f) << (7 * n);
		if (!(p[n] & 0x80)) {
			*out = v;
			return n + 1;
		}
	}
	return 0;
}

#endif

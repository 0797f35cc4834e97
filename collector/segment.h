/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - the append-only files in which a collector keeps what it got
 *
 * A segment starts with two copies of its head, then come records, each
 * aligned to 8 bytes: a header of its own, then a payload, compressed with
 * zstd where that is shorter. Every checksum covers the segment's random salt
 * and the record's offset too, so that bytes which a sender chose never pass
 * for a record, wherever they end up and whatever else is damaged.
 *
 * Reading believes nothing: a record is handed out when its header's and its
 * payload's CRC32C hold; otherwise the reader looks for the next one that
 * does, and counts what lay between.
 */
#ifndef HS_COLLECTOR_SEGMENT_H
#define HS_COLLECTOR_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "hs/wire_format.h"

#define HS_SEGMENT_MAGIC	0x31474553534848ffull
#define HS_SEGMENT_VERSION	1u
#define HS_SEGMENT_RECORD_MAGIC 0x43455248u /* "HREC" */
#define HS_SEGMENT_START_BYTES	128u	    /* two heads */
#define HS_SEGMENT_ALIGN_BYTES	8u
/* Of a payload before compression: a slice, or a union at its limits. */
#define HS_SEGMENT_RAW_MAX_BYTES (2u << 20)

struct hs_segment_head {
	uint64_t magic;
	uint32_t version;
	uint32_t number;
	uint64_t created_ns;
	uint64_t salt;
	uint64_t reserved[3];
	uint32_t reserved2;
	uint32_t crc; /* CRC32C of everything before */
};
HS_WIRE_ASSERT(sizeof(struct hs_segment_head) == 64);

enum hs_segment_type {
	HS_SEGMENT_SLICE = 1,	/* struct hs_wire_slice and its bytes */
	HS_SEGMENT_UNION = 2,	/* an assembly's union of manifests */
	HS_SEGMENT_EXPIRED = 3, /* what stands before this is no more; empty */
};

#define HS_SEGMENT_F_ZSTD 1u

struct hs_segment_record {
	uint32_t magic;
	uint32_t header_crc;  /* salt, offset, what follows here */
	uint32_t payload_crc; /* salt, offset, payload as stored */
	uint16_t type;	      /* enum hs_segment_type */
	uint16_t flags;	      /* HS_SEGMENT_F_* */
	uint32_t stored_bytes;
	uint32_t raw_bytes;
	uint64_t trace_hi;
	uint64_t trace_lo;
};
HS_WIRE_ASSERT(sizeof(struct hs_segment_record) == 40);

/* The room that a record may take at most, padding included. */
#define HS_SEGMENT_RECORD_MAX_BYTES                                            \
	(sizeof(struct hs_segment_record) + HS_SEGMENT_RAW_MAX_BYTES +         \
	 HS_SEGMENT_ALIGN_BYTES)

/** hs_segment_head_make() - fill HS_SEGMENT_START_BYTES */
void hs_segment_head_make(void *start, uint32_t number, uint64_t created_ns,
			  uint64_t salt);
/** hs_segment_head_read() - Return: 0; -EBADMSG: neither copy is sound */
int hs_segment_head_read(const void *start, size_t start_bytes,
			 struct hs_segment_head *out);

/* Compression wants memory; made once, used by one thread. */
struct hs_segment_codec;
/* @zstd_level: as zstd has it; 0: not at all */
struct hs_segment_codec *hs_segment_codec_new(int zstd_level);
/** hs_segment_codec_reader() - one that decodes only */
struct hs_segment_codec *hs_segment_codec_reader(void);
/** hs_segment_codec_level() - from now on */
void hs_segment_codec_level(struct hs_segment_codec *codec, int zstd_level);
void hs_segment_codec_free(struct hs_segment_codec *codec);

/**
 * hs_segment_pack() - lay out one record, wherever it will stand
 * @raw: the payload
 * @out: room for it as it is, its header and padding
 *
 * Return: bytes to append, a multiple of 8; 0: the payload is over the limit.
 */
size_t hs_segment_pack(struct hs_segment_codec *codec,
		       enum hs_segment_type type,
		       const struct hs_wire_trace_id *trace, const void *raw,
		       size_t raw_bytes, uint8_t *out);
/** hs_segment_seal() - what pack() laid out stands at @offset: its checksums */
void hs_segment_seal(uint8_t *record, uint64_t salt, uint64_t offset);
/** hs_segment_encode() - both: lay out one record for @offset */
size_t hs_segment_encode(struct hs_segment_codec *codec, uint64_t salt,
			 uint64_t offset, enum hs_segment_type type,
			 const struct hs_wire_trace_id *trace, const void *raw,
			 size_t raw_bytes, uint8_t *out);

/**
 * hs_segment_check() - is there a sound record at @data?
 * @data: what the file has at @offset, @size_bytes of it
 * @out: its header, copied
 *
 * Return: bytes that it takes with padding; 0: none; -EAGAIN: a sound header,
 *	but more bytes are needed to tell: out->stored_bytes says how many.
 */
int64_t hs_segment_check(const uint8_t *data, size_t size_bytes, uint64_t salt,
			 uint64_t offset, struct hs_segment_record *out);

/**
 * hs_segment_decode() - the payload of a checked record
 * @data: the record, header first
 * @raw: HS_SEGMENT_RAW_MAX_BYTES of room
 *
 * Return: its length, or -EBADMSG.
 */
int64_t hs_segment_decode(struct hs_segment_codec *codec, const uint8_t *data,
			  const struct hs_segment_record *record, uint8_t *raw);

/* Takes apart a SLICE payload. Return: 0, -EBADMSG. */
int hs_segment_slice(const uint8_t *raw, size_t raw_bytes,
		     const struct hs_segment_record *record,
		     struct hs_wire_slice *slice, const uint8_t **bytes);

/* @raw is 8-byte aligned. Nonzero ends the scan and is passed on. */
typedef int (*hs_segment_visit)(void *ctx, uint64_t offset,
				const struct hs_segment_record *record,
				const uint8_t *raw, size_t raw_bytes);

struct hs_segment_scan {
	uint64_t nr_records;
	uint64_t damaged_bytes; /* between sound records, or at the end */
	uint64_t end;		/* just behind the last sound record */
};

/**
 * hs_segment_scan() - walk over every sound record of a file
 * @from: where to start: a record's offset, or HS_SEGMENT_START_BYTES
 *
 * Return: 0; negative errno of reading, -ENOMEM, or what @visit said.
 */
int hs_segment_scan(struct hs_segment_codec *codec, int fd, uint64_t salt,
		    uint64_t from, hs_segment_visit visit, void *ctx,
		    struct hs_segment_scan *out);

#endif

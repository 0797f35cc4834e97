/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: decode the buffers of one trace handle back into records.
 *
 * Guarantees: pure; allocates nothing; every byte of the input is untrusted
 * and read within bounds. Damage costs the records it touches: after a missing
 * or bad buffer reading goes on at the next buffer's first record, and
 * everything that was skipped is counted.
 *
 * Views in a record point into the buffers or the scratch area and are good
 * until the visitor returns.
 */
#ifndef HS_RECORD_READ_H
#define HS_RECORD_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/hindsight.h"
#include "model/record.h"

struct hs_record_buffer {
	const void *data;  /* struct hs_shm_buffer, then records */
	size_t size_bytes; /* to read; the header's own word is not believed */
	uint32_t seq;	   /* place in the handle's stream, from 0 */
};

struct hs_record_str {
	const char *ptr; /* not NUL-terminated */
	size_t len;
};

/* What keys may stand for. */
struct hs_record_dict {
	bool known;	  /* of a record with HS_RECORD_F_KNOWN */
	uint32_t version; /* of the buffer's header */
	/* The buffer up to the record, header included; NULL: nothing is said
	 * again. */
	const uint8_t *buffer;
	size_t size_bytes;
};

/* An attribute list, checked before the visitor sees it. */
struct hs_record_attrs {
	const uint8_t *ptr;
	size_t len;
	uint32_t nr;
	struct hs_record_dict dict;
};

struct hs_record_attr {
	struct hs_record_str key;
	enum hs_value_type type;
	bool cut;
	bool gone;		 /* dropped by the agent: no visitor sees it */
	bool masked;		 /* by the agent; its value reads "***" */
	bool hashed;		 /* by the agent */
	uint64_t original_bytes; /* with cut: the value's own length */
	union {
		int64_t i64;
		double f64;
		bool b;
		struct hs_record_str bytes; /* string, bytes, JSON */
	} value;
};

struct hs_record {
	enum hs_record_type type;
	bool cut;	  /* a name, text or list in it was cut */
	uint64_t ref;	  /* of the span; not in RESOURCE, TRACEPOINT */
	uint64_t time_ns; /* SPAN_START, SPAN_END, EVENT, TRACEPOINT */
	union {
		struct {
			uint64_t local_id;
			bool has_service;
			struct hs_record_str service;
			struct hs_record_attrs attrs;
		} resource;
		struct {
			uint64_t id;
			uint64_t parent_id;
			uint64_t resource; /* a RESOURCE's local_id */
			uint8_t kind;
			struct hs_record_str name;
		} start;
		struct hs_record_attr attr;
		struct {
			bool has_name;
			struct hs_record_str name;
			struct hs_record_attrs attrs;
		} event;
		struct {
			uint8_t kind;
			struct hs_trace_id trace_id;
			uint64_t span_id;
			struct hs_record_str trace_state;
			struct hs_record_attrs attrs;
		} link;
		struct {
			uint8_t status;
			struct hs_record_str message;
		} status;
		struct {
			uint8_t which;
			struct hs_record_str text;
		} text;
		uint32_t flags;
		struct {
			const uint8_t *data;
			size_t size_bytes;
			uint64_t original_bytes; /* more than size: cut */
		} tracepoint; /* a POINT has the time of the record before */
		struct {
			uint64_t ns;
			uint64_t mult;
		} clock; /* the reader's own: no visitor sees it */
	} u;
};

/* What the times of a buffer's records count from. */
struct hs_record_clock {
	uint64_t ns;
	uint64_t ticks;
	uint64_t mult;	  /* 0: the buffer has no ticks */
	bool unknown;	  /* a clock of ticks, and no CLOCK record yet */
	uint64_t last_ns; /* of the latest timed record */
};

struct hs_record_visitor {
	void *context;
	/* Nonzero ends the reading and is passed on. */
	int (*record)(void *context, const struct hs_record *record);
};

struct hs_record_stats {
	uint64_t records;	/* handed to the visitor */
	uint64_t gaps;		/* buffers missing before one that is there */
	uint64_t cut;		/* records whose end is not there */
	uint64_t garbage;	/* records that do not decode */
	uint64_t unknown;	/* records of a type from the future */
	uint64_t dropped;	/* ATTR records that the agent took out */
	uint64_t bad_buffers;	/* no header of ours, or of another version */
	uint64_t duplicates;	/* buffers with a seq already read */
	uint64_t skipped_bytes; /* between what could be read */
};

/**
 * hs_record_read() - decode all buffers of one handle
 * @buffers: in ascending order of seq, gaps allowed
 * @nr_buffers: how many
 * @scratch: where records that span buffers are put together
 * @scratch_bytes: HS_RECORD_SCRATCH_BYTES; with less, longer records are
 *	counted as cut
 * @visitor: takes the records
 * @stats: out, added to what it holds; NULL if not wanted
 *
 * Context: any thread.
 * Return:  0, or what the visitor returned.
 */
int hs_record_read(const struct hs_record_buffer *buffers, size_t nr_buffers,
		   void *scratch, size_t scratch_bytes,
		   const struct hs_record_visitor *visitor,
		   struct hs_record_stats *stats);

struct hs_shm_buffer;
/**
 * hs_record_header_get() - a buffer's header, copied and checked
 * @size_bytes: of the buffer
 *
 * Return: whether its records may be read: then first_record is 0, or lies
 *	behind the header and within @size_bytes.
 */
bool hs_record_header_get(const void *data, size_t size_bytes,
			  struct hs_shm_buffer *out);

/**
 * hs_record_decode() - one record's payload
 * @type: the type byte as it stands in the record's header
 * @version: of the buffer in which the record starts
 * @buffer: that buffer, NULL for a record that runs on
 * @at: where in it the record starts
 * @clock: of that buffer
 *
 * Return: 0; -EBADMSG when it does not decode; 1 for an unknown type.
 */
int hs_record_decode(uint8_t type, uint32_t version, const uint8_t *buffer,
		     size_t at, const void *payload, size_t payload_bytes,
		     const struct hs_record_clock *clock,
		     struct hs_record *out);

/**
 * hs_record_attr_at() - the attribute that a record says again
 * @buffer: from its header on
 * @size_bytes: of it, up to that record
 * @word: where, and what was done to it
 *
 * Return: false when there is none.
 */
bool hs_record_attr_at(const uint8_t *buffer, size_t size_bytes, uint32_t word,
		       struct hs_record_attr *out);

/* The same of a key alone; @type: the byte behind it, of its own attribute. */
bool hs_record_key_at(const uint8_t *buffer, size_t size_bytes, uint32_t word,
		      struct hs_record_str *key, uint8_t *type);

/**
 * hs_record_attr_next() - walk an attribute list
 * @attrs: a copy of the record's, advanced by the call
 *
 * Return: false at its end.
 */
bool hs_record_attr_next(struct hs_record_attrs *attrs,
			 struct hs_record_attr *out);

#endif

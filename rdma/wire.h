/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - walking through the payloads of wire_format.h
 *
 * Decoders check every count and length before they hand anything out; what
 * they return points into the payload and lives as long as it does. They do no
 * I/O and allocate nothing. Encoders write into the caller's bounded buffer.
 */
#ifndef HS_RDMA_WIRE_H
#define HS_RDMA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "hs/wire_format.h"

/* A bounded reader: failed sticks, and everything after it returns NULL. */
struct hs_wire_reader {
	const uint8_t *data;
	size_t left_bytes;
	bool failed;
};

struct hs_wire_writer {
	uint8_t *data;
	size_t used_bytes;
	size_t room_bytes;
	bool failed; /* something did not fit; used_bytes is then meaningless */
};

static inline struct hs_wire_reader hs_wire_reader_make(const void *data,
							size_t size_bytes)
{
	return (struct hs_wire_reader){(const uint8_t *)data, size_bytes,
				       false};
}
static inline struct hs_wire_writer hs_wire_writer_make(void *data,
							size_t size_bytes)
{
	return (struct hs_wire_writer){(uint8_t *)data, 0, size_bytes, false};
}

/** hs_wire_type_name() - "TRIGGER"; "?" for what is not known */
const char *hs_wire_type_name(uint16_t type);

/** hs_wire_take() - the next @size_bytes bytes, NULL when there are fewer */
const void *hs_wire_take(struct hs_wire_reader *r, size_t size_bytes);
/** hs_wire_put() - copy @size_bytes bytes of @data behind what is there */
void hs_wire_put(struct hs_wire_writer *w, const void *data, size_t size_bytes);

/** hs_wire_take_answer() - an answer and its crumbs, limits checked */
const struct hs_wire_answer *
hs_wire_take_answer(struct hs_wire_reader *r,
		    const struct hs_wire_crumb **crumbs);
void hs_wire_put_answer(struct hs_wire_writer *w,
			const struct hs_wire_answer *answer,
			const struct hs_wire_crumb *crumbs);

/** hs_wire_take_group() - TRIGGER, CRUMBS, UPDATE, COLLECT: limits checked */
const struct hs_wire_group *hs_wire_take_group(struct hs_wire_reader *r);
/** hs_wire_take_manifest() - head and triggers; answers follow */
const struct hs_wire_manifest *
hs_wire_take_manifest(struct hs_wire_reader *r,
		      const struct hs_wire_trigger **triggers);
/** hs_wire_take_slice() - head and bytes; NULL too when the CRC is wrong */
const struct hs_wire_slice *hs_wire_take_slice(struct hs_wire_reader *r,
					       const uint8_t **bytes);
/** hs_wire_take_seek() - SEEK, FOUND: head and trace ids, limits checked */
const struct hs_wire_seek *
hs_wire_take_seek(struct hs_wire_reader *r,
		  const struct hs_wire_trace_id **traces);
/** hs_wire_done() - everything was read and nothing failed */
bool hs_wire_done(const struct hs_wire_reader *r);

/** hs_wire_name_ok() - a NUL-terminated, printable, non-empty name */
bool hs_wire_name_ok(const char name[HS_WIRE_NAME_BYTES]);

/** hs_wire_sought_rank() - of two questions the higher one says more: that all
 * who were asked answered, then how many they were */
static inline uint32_t hs_wire_sought_rank(uint16_t sought)
{
	if (!sought)
		return 0;
	return sought & HS_WIRE_SOUGHT_PART ? 1u + (sought & HS_WIRE_SOUGHT_MAX)
					    : 1u + HS_WIRE_SOUGHT_PART + sought;
}

/** hs_wire_role_name() - "agent", "coordinator", "collector" */
const char *hs_wire_role_name(enum hs_wire_role role);

static inline bool hs_wire_trace_equal(const struct hs_wire_trace_id *a,
				       const struct hs_wire_trace_id *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}

/**
 * hs_wire_forgot() - whether an answer says no more than that its node knew
 *
 * It had a part, shipped it and forgot it, which takes nothing back of what it
 * said when it knew. With HS_WIRE_F_LOST something came of the trace afterwards
 * and is lost (ADR 59): that counts.
 */
static inline bool hs_wire_forgot(uint32_t rev, uint16_t state, uint16_t flags)
{
	return rev && state == HS_WIRE_STATE_UNKNOWN &&
	       !(flags & HS_WIRE_F_LOST);
}

static inline bool hs_wire_answer_forgot(const struct hs_wire_answer *answer)
{
	return hs_wire_forgot(answer->rev, answer->state, answer->flags);
}

/** hs_wire_trace_key() - by which hs_hash_rendezvous() ranks a trace's owners:
 * coordinators by the primary trace, collectors by the trace itself */
static inline uint64_t hs_wire_trace_key(const struct hs_wire_trace_id *trace)
{
	return hs_hash_mix64(trace->hi) ^ trace->lo;
}

#endif

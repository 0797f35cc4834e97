/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the binary forms of a context. One layout serves both:
 *
 *   0       version 1 in the upper half, number of crumbs in the lower
 *   1       flags, HS_CONTEXT_F_*
 *   2..17   trace id, in the order of its hex form
 *   18..25  span id, little-endian, as all that follows
 *   26..    crumbs, 8 bytes each, nearest first
 *   ..      trigger, 4 bytes, only with HS_CONTEXT_F_TRIGGERED
 *
 * Guarantees: pure; every byte of the input is untrusted. Bytes after the
 * context are ignored, so that it may travel in a field of a fixed size.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/endian.h"
#include "dataplane/copy.h"
#include "hs/hindsight.h"

#define VERSION	    1u
#define HEAD_BYTES  26u
#define CRUMB_BYTES 8u
#define FLAGS_KNOWN                                                            \
	(HS_CONTEXT_F_SAMPLED | HS_CONTEXT_F_RANDOM | HS_CONTEXT_F_TRIGGERED)
#define COMPACT_CRUMBS 1u
#define FULL_CRUMBS    4u

_Static_assert(HEAD_BYTES + COMPACT_CRUMBS * CRUMB_BYTES + 4 <=
		       HS_CONTEXT_COMPACT_BYTES,
	       "the compact form fits");
_Static_assert(HEAD_BYTES + FULL_CRUMBS * CRUMB_BYTES + 4 <=
		       HS_CONTEXT_FULL_BYTES,
	       "the full form fits");

static inline __attribute__((always_inline)) size_t
encode(const struct hs_context *c, uint32_t crumbs_max, uint8_t *out)
{
	uint32_t nr = c->nr_crumbs < crumbs_max ? c->nr_crumbs : crumbs_max;
	uint32_t flags = c->flags & FLAGS_KNOWN;
	uint8_t *p = out + HEAD_BYTES;

	if (!(c->trace_id.hi | c->trace_id.lo))
		return 0;
	hs_le16_store(out, (uint16_t)(VERSION << 4 | nr | flags << 8));
	hs_le64_store(out + 2, htobe64(le64toh(c->trace_id.hi)));
	hs_le64_store(out + 10, htobe64(le64toh(c->trace_id.lo)));
	hs_le64_store(out + 18, c->span_id);
	for (uint32_t i = 0; i < nr; i++, p += CRUMB_BYTES)
		hs_le64_store(p, c->crumbs[i]);
	if (__builtin_expect(flags & HS_CONTEXT_F_TRIGGERED, 0)) {
		hs_le32_store(p, c->trigger);
		p += 4;
	}
	return (size_t)(p - out);
}

size_t hs_context_encode_compact(const struct hs_context *context, uint8_t *out)
{
	return context && out ? encode(context, COMPACT_CRUMBS, out) : 0;
}

size_t hs_context_encode_full(const struct hs_context *context, uint8_t *out)
{
	return context && out ? encode(context, FULL_CRUMBS, out) : 0;
}

static int decode_bad(struct hs_context *out)
{
	if (out)
		memset(out, 0, sizeof(*out));
	return -EBADMSG;
}

/* What all have: ids and flags. Each field to its place: a struct that is put
 * together and copied is loaded in pieces wider than it was stored in, which
 * waits until all stores before it have left the core. Return: false: no id. */
static inline __attribute__((always_inline)) bool
decode_head(const uint8_t *data, uint32_t head, struct hs_context *out)
{
	uint64_t hi = be64toh(htole64(hs_le64_load(data + 2)));
	uint64_t lo = be64toh(htole64(hs_le64_load(data + 10)));

	if (!(hi | lo))
		return false;
	memset(out, 0, sizeof(*out));
	hs_store_pair(&out->trace_id, hi, lo);
	out->span_id = hs_le64_load(data + 18);
	out->flags = (uint8_t)(head >> 8 & FLAGS_KNOWN);
	return true;
}

/* Of up to four crumbs, or triggered. */
static __attribute__((noinline)) int
decode_any(const uint8_t *data, size_t size_bytes, struct hs_context *out)
{
	uint32_t head = hs_le16_load(data), nr = head & 15u;
	size_t need = HEAD_BYTES + nr * CRUMB_BYTES;

	if ((head >> 4 & 15u) != VERSION || nr > FULL_CRUMBS)
		return decode_bad(out);
	if (head >> 8 & HS_CONTEXT_F_TRIGGERED)
		need += 4;
	if (size_bytes < need || !decode_head(data, head, out))
		return decode_bad(out);
	for (uint32_t i = 0; i < nr; i++) {
		hs_node_id node =
			hs_le64_load(data + HEAD_BYTES + i * CRUMB_BYTES);

		if (node)
			out->crumbs[out->nr_crumbs++] = node;
	}
	if (out->flags & HS_CONTEXT_F_TRIGGERED)
		out->trigger = hs_le32_load(data + need - 4);
	return 0;
}

/* Version, one crumb or none, and not triggered, in one compare. */
#define HEAD_MOST      (VERSION << 4)
#define HEAD_MOST_MASK (0xfeu | HS_CONTEXT_F_TRIGGERED << 8)
int hs_context_decode(const uint8_t *data, size_t size_bytes,
		      struct hs_context *out)
{
	hs_node_id node = 0;
	uint32_t head;

	if (!out || !data || size_bytes < HEAD_BYTES)
		return decode_bad(out);
	head = hs_le16_load(data);
	if ((head & HEAD_MOST_MASK) != HEAD_MOST)
		return decode_any(data, size_bytes, out);
	if (head & 1) {
		if (size_bytes < HEAD_BYTES + CRUMB_BYTES)
			return decode_bad(out);
		node = hs_le64_load(data + HEAD_BYTES);
	}
	if (!decode_head(data, head, out))
		return decode_bad(out);
	out->crumbs[0] = node;
	out->nr_crumbs = node != 0;
	return 0;
}

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
#include <string.h>

#include "base/endian.h"
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

static size_t encode(const struct hs_context *c, uint32_t crumbs_max,
		     uint8_t *out)
{
	uint32_t nr = c->nr_crumbs;
	uint8_t flags = c->flags & FLAGS_KNOWN;
	uint8_t *p = out + HEAD_BYTES;

	if (!c->trace_id.hi && !c->trace_id.lo)
		return 0;
	if (nr > crumbs_max)
		nr = crumbs_max;
	out[0] = (uint8_t)(VERSION << 4 | nr);
	out[1] = flags;
	hs_le64_store(out + 2, htobe64(le64toh(c->trace_id.hi)));
	hs_le64_store(out + 10, htobe64(le64toh(c->trace_id.lo)));
	hs_le64_store(out + 18, c->span_id);
	for (uint32_t i = 0; i < nr; i++, p += CRUMB_BYTES)
		hs_le64_store(p, c->crumbs[i]);
	if (flags & HS_CONTEXT_F_TRIGGERED) {
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

int hs_context_decode(const uint8_t *data, size_t size_bytes,
		      struct hs_context *out)
{
	size_t need = HEAD_BYTES;
	uint64_t hi, lo;
	uint8_t flags;
	uint32_t nr;

	if (!out)
		return -EBADMSG;
	memset(out, 0, sizeof(*out));
	if (!data || size_bytes < HEAD_BYTES || data[0] >> 4 != VERSION)
		return -EBADMSG;
	nr = data[0] & 15u;
	flags = data[1] & FLAGS_KNOWN;
	need += nr * CRUMB_BYTES;
	if (flags & HS_CONTEXT_F_TRIGGERED)
		need += 4;
	if (nr > FULL_CRUMBS || size_bytes < need)
		return -EBADMSG;
	hi = be64toh(htole64(hs_le64_load(data + 2)));
	lo = be64toh(htole64(hs_le64_load(data + 10)));
	if (!hi && !lo)
		return -EBADMSG;
	/* Each field to its place: a struct that is put together and copied is
	 * loaded in pieces wider than it was stored in, which waits until all
	 * stores before it have left the core. */
	out->trace_id = (struct hs_trace_id){hi, lo};
	out->span_id = hs_le64_load(data + 18);
	out->flags = flags;
	for (uint32_t i = 0; i < nr; i++) {
		hs_node_id node =
			hs_le64_load(data + HEAD_BYTES + i * CRUMB_BYTES);

		if (node)
			out->crumbs[out->nr_crumbs++] = node;
	}
	if (flags & HS_CONTEXT_F_TRIGGERED)
		out->trigger = hs_le32_load(data + need - 4);
	return 0;
}

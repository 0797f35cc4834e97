/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see proto_stream.h. */
#include "ship/proto_stream.h"

#include <errno.h>
#include <string.h>

/* Of a header, up to where it says how long the frame is. */
#define BEGINNING offsetof(struct hs_ship_header, to)

/* Its length. 0: no frame begins so. */
static uint32_t length(const uint8_t *at, const char **why)
{
	struct hs_ship_header h;

	memcpy(&h, at, BEGINNING);
	*why = "no frame of the shipping protocol begins there";
	if (h.magic != HS_SHIP_MAGIC)
		return 0;
	*why = "a frame is shorter than its header, or longer than 9216 bytes";
	if (h.bytes < sizeof(h) || h.bytes > HS_SHIP_FRAME_MAX_BYTES)
		return 0;
	return h.bytes;
}

/* Until there are @upto bytes of it. Whether there are. */
static bool keep(struct hs_ship_stream *s, const uint8_t **at, size_t *left,
		 uint32_t upto)
{
	uint32_t n = upto - s->kept;

	if (n > *left)
		n = (uint32_t)*left;
	memcpy(s->part + s->kept, *at, n);
	s->kept += n;
	*at += n;
	*left -= n;
	return s->kept == upto;
}

int hs_ship_stream_next(struct hs_ship_stream *s, const uint8_t **at,
			size_t *left, const void **frame, uint32_t *frame_bytes,
			const char **why)
{
	if (!s->kept && *left >= BEGINNING) {
		uint32_t bytes = length(*at, why);

		if (!bytes)
			return -EBADMSG;
		if (bytes <= *left) {
			*frame = *at;
			*frame_bytes = bytes;
			*at += bytes;
			*left -= bytes;
			return 1;
		}
	}
	if (s->kept < BEGINNING && !keep(s, at, left, BEGINNING))
		return 0;
	if (!s->bytes)
		s->bytes = length(s->part, why);
	if (!s->bytes)
		return -EBADMSG;
	if (!keep(s, at, left, s->bytes))
		return 0;
	*frame = s->part;
	*frame_bytes = s->bytes;
	s->kept = s->bytes = 0;
	return 1;
}

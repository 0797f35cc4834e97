/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_frame.c - making frames, and looking at those of others
 *
 * Nothing of a frame is used before its length, its head's checksum and every
 * count in it have been checked; structures are copied out, since a datagram
 * lies wherever it came to lie.
 */
#include "ship/proto.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"

#define HEAD_MAX_BYTES                                                         \
	(sizeof(struct hs_ship_header) + sizeof(struct hs_ship_data) +         \
	 HS_SHIP_PARTS_MAX *                                                   \
		 (sizeof(struct hs_ship_part) + sizeof(struct hs_wire_slice)))
HS_WIRE_ASSERT(HEAD_MAX_BYTES < HS_SHIP_FRAME_MAX_BYTES);

static const uint16_t body_bytes[] = {
	[HS_SHIP_OPEN] = sizeof(struct hs_ship_open),
	[HS_SHIP_ACCEPT] = sizeof(struct hs_ship_accept),
	[HS_SHIP_DATA] = sizeof(struct hs_ship_data),
	[HS_SHIP_ACK] = sizeof(struct hs_ship_ack),
	[HS_SHIP_CLOSE] = sizeof(struct hs_ship_close),
};

/* With crc and tag as 0, whatever they are. */
static uint32_t head_crc(const void *head, uint32_t head_bytes)
{
	struct hs_ship_header bare;
	uint32_t crc;

	memcpy(&bare, head, sizeof(bare));
	bare.crc = 0;
	memset(bare.tag, 0, sizeof(bare.tag));
	crc = hs_crc32c(0, &bare, sizeof(bare));
	return hs_crc32c(crc, (const uint8_t *)head + sizeof(bare),
			 head_bytes - sizeof(bare));
}

void hs_ship_view_part(const struct hs_ship_view *view, uint32_t i,
		       struct hs_ship_part *part)
{
	memcpy(part, view->rows + i * sizeof(*part), sizeof(*part));
}

void hs_ship_view_head(const struct hs_ship_view *view, uint32_t nth,
		       struct hs_wire_slice *head)
{
	memcpy(head,
	       view->rows +
		       view->u.data.nr_parts * sizeof(struct hs_ship_part) +
		       nth * sizeof(*head),
	       sizeof(*head));
}

/* Parts, heads and bytes say the same, and each part lies in its slice. */
static int check_data(struct hs_ship_view *view, uint32_t rows_bytes,
		      const char **why)
{
	uint32_t nr = view->u.data.nr_parts, nr_heads = 0, left, sum = 0;

	*why = "more parts than a frame may have";
	if (nr > HS_SHIP_PARTS_MAX ||
	    rows_bytes < nr * sizeof(struct hs_ship_part))
		return -EBADMSG;
	left = rows_bytes - nr * (uint32_t)sizeof(struct hs_ship_part);
	*why = "a slice's head is cut off, or one too many";
	if (left % sizeof(struct hs_wire_slice))
		return -EBADMSG;
	for (uint32_t i = 0; i < nr; i++) {
		struct hs_ship_part part;
		struct hs_wire_slice head;

		hs_ship_view_part(view, i, &part);
		*why = "a part reaches out of the frame";
		if (part.bytes > view->nr_bytes - sum)
			return -EBADMSG;
		sum += part.bytes;
		if (part.offset)
			continue;
		*why = "a slice's head is cut off, or one too many";
		if (left < sizeof(head))
			return -EBADMSG;
		left -= (uint32_t)sizeof(head);
		hs_ship_view_head(view, nr_heads++, &head);
		*why = "a part reaches out of its slice";
		if (head.length_bytes > HS_WIRE_SLICE_MAX_BYTES ||
		    part.bytes > head.length_bytes)
			return -EBADMSG;
	}
	*why = "bytes or heads that no part names";
	return left || sum != view->nr_bytes ? -EBADMSG : 0;
}

static int check_ack(const struct hs_ship_view *view, uint32_t rows_bytes,
		     const char **why)
{
	const struct hs_ship_ack *ack = &view->u.ack;

	*why = "an ACK's rows are too long or cut off";
	if (ack->nr_sack_bytes > HS_SHIP_SACK_BYTES ||
	    ack->nr_refused > HS_SHIP_REFUSED_MAX ||
	    rows_bytes !=
		    ack->nr_sack_bytes + ack->nr_refused * sizeof(uint64_t))
		return -EBADMSG;
	return 0;
}

int hs_ship_frame_parse(struct hs_ship_view *view, const void *frame,
			uint32_t frame_bytes, const char **why)
{
	struct hs_ship_header *h = &view->header;
	const uint8_t *p = frame;
	uint32_t body, rows;

	*why = "shorter than a header, or longer than a frame may be";
	if (frame_bytes < sizeof(*h) || frame_bytes > HS_SHIP_FRAME_MAX_BYTES)
		return -EBADMSG;
	memcpy(h, p, sizeof(*h));
	*why = "not a frame of this protocol";
	if (h->magic != HS_SHIP_MAGIC || h->version != HS_SHIP_VERSION ||
	    h->type < HS_SHIP_OPEN || h->type > HS_SHIP_CLOSE)
		return -EBADMSG;
	body = body_bytes[h->type];
	*why = "its length is not what its header says";
	if (h->bytes != frame_bytes || h->head_bytes > frame_bytes ||
	    h->head_bytes < sizeof(*h) + body)
		return -EBADMSG;
	*why = "the checksum of its head is wrong";
	if (head_crc(p, h->head_bytes) != h->crc)
		return -EBADMSG;
	memcpy(&view->u, p + sizeof(*h), body);
	view->rows = p + sizeof(*h) + body;
	view->bytes = p + h->head_bytes;
	view->nr_bytes = frame_bytes - h->head_bytes;
	rows = h->head_bytes - (uint32_t)sizeof(*h) - body;
	if (h->type == HS_SHIP_DATA)
		return check_data(view, rows, why);
	*why = "bytes behind a frame that has none";
	if (view->nr_bytes)
		return -EBADMSG;
	if (h->type == HS_SHIP_ACK)
		return check_ack(view, rows, why);
	return rows ? -EBADMSG : 0;
}

/* All of it, always: how long this takes tells nothing of the tag. */
static bool same_tag(const uint8_t a[HS_SHIP_TAG_BYTES],
		     const uint8_t b[HS_SHIP_TAG_BYTES])
{
	uint8_t differ = 0;

	for (uint32_t i = 0; i < HS_SHIP_TAG_BYTES; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

bool hs_ship_frame_authentic(const struct hs_ship_auth *auth, const void *frame,
			     uint32_t frame_bytes)
{
	struct hs_ship_header bare;
	uint8_t tag[HS_SHIP_TAG_BYTES], got[HS_SHIP_TAG_BYTES];
	const struct hs_ship_span spans[] = {
		{&bare, sizeof(bare)},
		{(const uint8_t *)frame + sizeof(bare),
		 frame_bytes - (uint32_t)sizeof(bare)},
	};

	if (!auth || !auth->tag)
		return true;
	memcpy(&bare, frame, sizeof(bare));
	memcpy(got, bare.tag, sizeof(got));
	memset(bare.tag, 0, sizeof(bare.tag));
	auth->tag(auth->ctx, spans, 2, tag);
	if (same_tag(tag, got))
		return true;
	if (!auth->tag_also)
		return false;
	auth->tag_also(auth->ctx, spans, 2, tag);
	return same_tag(tag, got);
}

void hs_ship_frame_seal(const struct hs_ship_auth *auth, void *head,
			uint32_t head_bytes, const struct hs_ship_span *spans,
			uint32_t nr_spans)
{
	struct hs_ship_span all[1 + HS_SHIP_PARTS_MAX];
	struct hs_ship_header h;
	uint32_t bytes = head_bytes;

	memcpy(&h, head, sizeof(h));
	all[0] = (struct hs_ship_span){head, head_bytes};
	for (uint32_t i = 0; i < nr_spans; i++) {
		all[1 + i] = spans[i];
		bytes += spans[i].bytes;
	}
	h.magic = HS_SHIP_MAGIC;
	h.version = HS_SHIP_VERSION;
	h.bytes = (uint16_t)bytes;
	h.head_bytes = head_bytes;
	h.crc = 0;
	memset(h.tag, 0, sizeof(h.tag));
	memcpy(head, &h, sizeof(h));
	h.crc = head_crc(head, head_bytes);
	memcpy(head, &h, sizeof(h));
	if (!auth || !auth->tag)
		return;
	auth->tag(auth->ctx, all, 1 + nr_spans, h.tag);
	memcpy(head, &h, sizeof(h));
}

uint32_t hs_ship_frame_small(const struct hs_ship_auth *auth, void *out,
			     uint8_t type, uint64_t to, uint64_t from,
			     const void *body, uint32_t bytes)
{
	struct hs_ship_header h = {.type = type, .to = to, .from = from};

	memcpy(out, &h, sizeof(h));
	memcpy((uint8_t *)out + sizeof(h), body, bytes);
	hs_ship_frame_seal(auth, out, (uint32_t)sizeof(h) + bytes, NULL, 0);
	return (uint32_t)sizeof(h) + bytes;
}

const char *hs_ship_reason_text(uint32_t reason)
{
	static const char *const text[] = {
		[HS_SHIP_BYE] = "the peer ends",
		[HS_SHIP_NO_CONNECTION] = "the peer knows no such connection",
		[HS_SHIP_NO_VERSION] = "no protocol version in common",
		[HS_SHIP_FULL] = "the collector has no place for more agents",
		[HS_SHIP_MISBEHAVED] = "frames that no sender of ours makes",
	};

	return reason < sizeof(text) / sizeof(*text) ? text[reason]
						     : "no reason known";
}

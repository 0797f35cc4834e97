/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_send_frame.c - cutting slices into frames and sending them
 *
 * What a frame contains follows from where it begins, how many parts it has
 * and how many bytes, so that is all that is kept of it; one that goes again is
 * made again.
 */
#include "ship/proto_send_priv.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/reached.h"

/* A slice is not begun for less than this at the end of a frame. */
#define CRUMB_BYTES 64u

struct cut {
	uint32_t nr_parts, nr_heads, nr_pieces, payload_bytes;
	struct hs_ship_part parts[HS_SHIP_PARTS_MAX];
	struct hs_ship_piece pieces[HS_SHIP_PARTS_MAX];
};

/* The rows are a kilobyte that most frames use a few words of. */
static void cut_clear(struct cut *cut)
{
	cut->nr_parts = cut->nr_heads = 0;
	cut->nr_pieces = cut->payload_bytes = 0;
}

static uint32_t used_bytes(const struct cut *cut)
{
	return (uint32_t)(sizeof(struct hs_ship_header) +
			  sizeof(struct hs_ship_data) +
			  cut->nr_parts * sizeof(struct hs_ship_part) +
			  cut->nr_heads * sizeof(struct hs_wire_slice)) +
	       cut->payload_bytes;
}

static void part_add(struct cut *cut, const struct hs_ship_slice *slice,
		     uint64_t nr, uint32_t offset, uint32_t bytes)
{
	cut->parts[cut->nr_parts++] = (struct hs_ship_part){nr, offset, bytes};
	cut->nr_heads += offset == 0;
	cut->payload_bytes += bytes;
	if (bytes)
		cut->pieces[cut->nr_pieces++] =
			(struct hs_ship_piece){slice, offset, bytes};
}

/* As much as fits, from where cutting stopped. */
static void cut_new(struct hs_ship_sender *s, struct cut *cut)
{
	uint64_t nr = s->cut_slice;
	uint32_t offset = s->cut_offset;

	cut_clear(cut);
	while (nr < s->next_slice && cut->nr_parts < s->config.nr_pieces) {
		const struct hs_ship_slice *slice = &sender_slice(s, nr)->slice;
		uint32_t left = slice->head.length_bytes - offset, room, take;
		uint32_t need = (uint32_t)sizeof(struct hs_ship_part);

		if (!offset)
			need += (uint32_t)sizeof(struct hs_wire_slice);
		if (used_bytes(cut) + need > s->frame_bytes)
			break;
		room = s->frame_bytes - used_bytes(cut) - need;
		if (room < left && room < CRUMB_BYTES)
			break;
		take = left < room ? left : room;
		part_add(cut, slice, nr, offset, take);
		offset += take;
		if (offset < slice->head.length_bytes)
			break;
		nr++;
		offset = 0;
	}
}

/* What a frame had when it went first. */
static void cut_again(struct hs_ship_sender *s, const struct sender_frame *f,
		      struct cut *cut)
{
	uint64_t nr = f->slice;
	uint32_t offset = f->offset;

	cut_clear(cut);
	while (cut->nr_parts < f->nr_parts) {
		const struct hs_ship_slice *slice = &sender_slice(s, nr)->slice;
		uint32_t left = slice->head.length_bytes - offset;
		uint32_t room = f->payload_bytes - cut->payload_bytes;

		part_add(cut, slice, nr, offset, left < room ? left : room);
		nr++;
		offset = 0;
	}
}

void hs_ship_send_sum(struct hs_ship_sender *s, struct sender_slice *slice)
{
	slice->slice.head.crc =
		hs_crc32c(0, s->ops->bytes(s->ctx, &slice->slice),
			  slice->slice.head.length_bytes);
	slice->summed = true;
}

/* Of a slice that begins in a frame: no sooner, so that the carrier, which
 * reads the same bytes next, finds them in the cache. */
static const struct hs_wire_slice *head_of(struct hs_ship_sender *s,
					   uint64_t nr)
{
	struct sender_slice *slice = sender_slice(s, nr);

	if (!slice->summed)
		hs_ship_send_sum(s, slice);
	return &slice->slice.head;
}

/* The three rows; returns the bytes of the first two and the header. */
static uint32_t head_make(struct hs_ship_sender *s, const struct cut *cut,
			  uint64_t frame, uint64_t now_ns, uint8_t *out)
{
	const struct hs_ship_header h = {
		.type = HS_SHIP_DATA, .to = s->peer, .from = s->connection};
	const struct hs_ship_data d = {
		.frame = frame,
		.tx = ++s->tx,
		.sent_ns = now_ns,
		.settled = s->settled,
		.epoch = s->epoch,
		.nr_parts = (uint16_t)cut->nr_parts,
	};
	uint8_t *p = out;

	memcpy(p, &h, sizeof(h));
	p += sizeof(h);
	memcpy(p, &d, sizeof(d));
	p += sizeof(d);
	memcpy(p, cut->parts, cut->nr_parts * sizeof(*cut->parts));
	p += cut->nr_parts * sizeof(*cut->parts);
	for (uint32_t i = 0; i < cut->nr_parts; i++) {
		if (cut->parts[i].offset)
			continue;
		memcpy(p, head_of(s, cut->parts[i].slice),
		       sizeof(struct hs_wire_slice));
		p += sizeof(struct hs_wire_slice);
	}
	return (uint32_t)(p - out);
}

static bool emit(struct hs_ship_sender *s, const struct cut *cut,
		 uint64_t frame, uint64_t now_ns)
{
	struct hs_ship_span spans[HS_SHIP_PARTS_MAX];
	uint8_t head[HS_SHIP_FRAME_MAX_BYTES];
	uint32_t head_bytes = head_make(s, cut, frame, now_ns, head);

	for (uint32_t i = 0; i < cut->nr_pieces; i++) {
		const struct hs_ship_piece *p = &cut->pieces[i];
		const uint8_t *bytes = s->config.auth.tag
					       ? s->ops->bytes(s->ctx, p->slice)
					       : NULL;

		spans[i].bytes = p->bytes;
		spans[i].data = bytes ? bytes + p->offset : NULL;
	}
	hs_ship_frame_seal(&s->config.auth, head, head_bytes, spans,
			   cut->nr_pieces);
	if (s->ops->send_frame(s->ctx, head, head_bytes, cut->pieces,
			       cut->nr_pieces)) {
		s->stats.frames_sent++;
		s->stats.frame_bytes_sent += used_bytes(cut);
		return true;
	}
	s->tx--;
	s->stats.port_full++;
	return false;
}

static void flying(struct hs_ship_sender *s, struct sender_frame *f,
		   const struct cut *cut, uint64_t now_ns)
{
	HS_REACHED(HS_MACHINE_FRAME, f->state, FRAME_FLYING);
	f->state = FRAME_FLYING;
	f->sent_bytes = used_bytes(cut);
	f->tx = s->tx;
	f->sent_ns = now_ns;
	if (f->again < UINT8_MAX)
		f->again++;
	hs_ship_pace_sent(&s->pace, f->sent_bytes, &f->stamp, now_ns);
}

bool hs_ship_send_again(struct hs_ship_sender *s, uint64_t nr, uint64_t now_ns)
{
	struct sender_frame *f = sender_frame(s, nr);
	struct cut cut;

	cut_again(s, f, &cut);
	if (!emit(s, &cut, nr, now_ns))
		return false;
	s->nr_lost--;
	s->stats.frames_resent++;
	flying(s, f, &cut, now_ns);
	return true;
}

bool hs_ship_send_next(struct hs_ship_sender *s, uint64_t now_ns)
{
	struct sender_frame *f = sender_frame(s, s->next);
	struct cut cut;
	const struct hs_ship_part *last;

	cut_new(s, &cut);
	if (!cut.nr_parts || !emit(s, &cut, s->next, now_ns))
		return false;
	*f = (struct sender_frame){
		.slice = s->cut_slice,
		.offset = s->cut_offset,
		.nr_parts = (uint16_t)cut.nr_parts,
		.payload_bytes = cut.payload_bytes,
	};
	flying(s, f, &cut, now_ns);
	last = &cut.parts[cut.nr_parts - 1];
	s->cut_slice = last->slice;
	s->cut_offset = last->offset + last->bytes;
	if (s->cut_offset ==
	    sender_slice(s, last->slice)->slice.head.length_bytes) {
		s->cut_slice++;
		s->cut_offset = 0;
	}
	s->next++;
	return true;
}

void hs_ship_send_ask(struct hs_ship_sender *s, uint64_t now_ns)
{
	struct cut none;

	cut_clear(&none);
	emit(s, &none, s->next, now_ns);
}

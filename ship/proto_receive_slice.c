/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_receive_slice.c - slices out of the frames of one connection
 *
 * Frames are read in order. One is done with when every slice in it is whole;
 * a slice that is not what its checksum says sends the reading back to where it
 * began, its frames are dropped, and only newer ones are taken in their place.
 */
#include "ship/proto_receive_priv.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/planted.h"
#include "base/reached.h"

void hs_ship_receive_slot_free(struct hs_ship_receiver *r,
			       struct receiver_slot *slot)
{
	if (!slot->here)
		return;
	slot->here = false;
	r->stats.nr_held--;
	r->ops->release(r->ctx, slot->handle);
}

static void part_get(const struct receiver_slot *slot, uint32_t i,
		     struct hs_ship_part *part)
{
	memcpy(part, slot->rows + i * sizeof(*part), sizeof(*part));
}

/* The spans of the slice just read, from its first frame to the present part:
 * what stands behind that under its number is none of it. */
static uint32_t gather(struct hs_ship_receiver *r,
		       const struct receiver_connection *c)
{
	uint32_t nr = 0;

	for (uint64_t frame = c->begin; frame <= c->read; frame++) {
		const struct receiver_slot *slot = receiver_slot(r, c, frame);
		uint32_t nr_parts = frame < c->read ? slot->nr_parts : c->part;
		uint32_t at = 0;

		for (uint32_t i = 0; i < nr_parts; i++) {
			struct hs_ship_part part;

			part_get(slot, i, &part);
			if (part.slice == c->slice && part.bytes) {
				if (nr == RECEIVER_SPANS_MAX)
					return RECEIVER_NONE;
				r->spans[nr++] = (struct hs_ship_span){
					slot->bytes + at, part.bytes};
			}
			at += part.bytes;
		}
	}
	return nr;
}

/* Its producer wrote into it under way: back to its beginning. */
static void ask_anew(struct hs_ship_receiver *r, struct receiver_connection *c)
{
	c->epoch++;
	c->bad = c->slice;
	c->bad_first = c->begin;
	c->bad_last = c->read;
	for (uint64_t frame = c->begin; frame <= c->read; frame++)
		hs_ship_receive_slot_free(r, receiver_slot(r, c, frame));
	c->read = c->begin;
	c->part = c->nth_head = c->at = 0;
	c->offset = 0;
	c->begun = c->whole = false;
	r->stats.slices_anew++;
	hs_ship_receive_due(r, c);
}

void hs_ship_receive_settled(struct hs_ship_receiver *r,
			     struct receiver_connection *c)
{
	uint64_t before = c->settled;

	while (c->settled < c->slice) {
		uint8_t state = receiver_settle(r, c, c->settled)->state;

		if (state == SETTLE_WAITING)
			break;
		if (state == SETTLE_REFUSED) {
			if (c->nr_refused == HS_SHIP_REFUSED_MAX)
				break;
			c->refused[c->nr_refused++] = c->settled;
		}
		c->settled++;
	}
	if (c->settled != before)
		hs_ship_receive_due(r, c);
}

static void slice_done(struct hs_ship_receiver *r,
		       struct receiver_connection *c, enum settle_state state)
{
	HS_REACHED(HS_MACHINE_SETTLE, SETTLE_WAITING, state);
	*receiver_settle(r, c, c->slice) = (struct receiver_settle){
		.key = c->head.ship_key, .state = (uint8_t)state};
	r->stats.slices++;
	r->stats.slice_bytes += c->head.length_bytes;
	r->stats.slices_refused += state == SETTLE_REFUSED;
	c->slice++;
	c->offset = 0;
	c->begun = c->whole = false;
}

/* A slice is whole: is it what it should be, and does somebody take it? */
static enum receive_result deliver(struct hs_ship_receiver *r,
				   struct receiver_connection *c)
{
	uint32_t nr = gather(r, c), crc = 0;
	enum hs_ship_verdict verdict;

	if (nr == RECEIVER_NONE)
		return RECEIVE_BAD;
	for (uint32_t i = 0; !c->whole && i < nr; i++)
		crc = hs_crc32c(crc, r->spans[i].data, r->spans[i].bytes);
	if (!c->whole && crc != c->head.crc && !HS_PLANTED(46)) {
		ask_anew(r, c);
		return RECEIVE_ANEW;
	}
	c->whole = true;
	if (c->slice - c->settled >= r->config.nr_slices)
		return RECEIVE_BAD;
	verdict = r->ops->slice(r->ctx, connection_nr(r, c), &c->head, r->spans,
				nr);
	if (verdict == HS_SHIP_BUSY && !HS_PLANTED(48)) {
		r->stats.busy++;
		return RECEIVE_STOP;
	}
	slice_done(r, c,
		   verdict == HS_SHIP_REFUSED ? SETTLE_REFUSED
		   : HS_PLANTED(45)	      ? SETTLE_DURABLE
					      : SETTLE_WAITING);
	if (verdict == HS_SHIP_REFUSED)
		hs_ship_receive_settled(r, c);
	if (!c->waits)
		return RECEIVE_ON;
	c->turn_bytes += c->head.length_bytes;
	r->turns_bytes += c->head.length_bytes;
	return c->turn_bytes < RECEIVER_TURN_BYTES ? RECEIVE_ON : RECEIVE_TURN;
}

static enum receive_result read_part(struct hs_ship_receiver *r,
				     struct receiver_connection *c,
				     const struct receiver_slot *slot)
{
	struct hs_ship_part part;
	uint32_t nth = c->nth_head;

	part_get(slot, c->part, &part);
	c->nth_head += part.offset == 0;
	c->part++;
	c->at += part.bytes;
	/* Read before a slice behind it sent us back. */
	if (part.slice < c->slice)
		return RECEIVE_ON;
	if (part.slice > c->slice || part.offset != c->offset ||
	    (c->begun && !part.offset))
		return RECEIVE_BAD;
	if (!part.offset) {
		memcpy(&c->head,
		       slot->rows + slot->nr_parts * sizeof(part) +
			       nth * sizeof(c->head),
		       sizeof(c->head));
		if (c->head.length_bytes >
		    receiver_slice_max(r, c->frame_bytes))
			return RECEIVE_BAD;
		c->begun = true;
		c->begin = c->read;
	}
	if (part.bytes > c->head.length_bytes - c->offset)
		return RECEIVE_BAD;
	c->offset += part.bytes;
	return c->offset == c->head.length_bytes ? deliver(r, c) : RECEIVE_ON;
}

/* Frames whose slices are all whole are the carrier's again. */
static void let_go(struct hs_ship_receiver *r, struct receiver_connection *c)
{
	uint64_t upto = c->begun ? c->begin : c->read;

	if (c->first != upto)
		hs_ship_receive_return(r, c, upto);
}

enum receive_result hs_ship_receive_read(struct hs_ship_receiver *r,
					 struct receiver_connection *c)
{
	enum receive_result result = RECEIVE_ON;

	if (c->whole)
		result = deliver(r, c);
	while (result == RECEIVE_ON && c->read < c->top) {
		const struct receiver_slot *slot = receiver_slot(r, c, c->read);

		if (!slot->here)
			break;
		while (result == RECEIVE_ON && c->part < slot->nr_parts)
			result = read_part(r, c, slot);
		if (result != RECEIVE_ON)
			break;
		c->read++;
		c->part = c->nth_head = c->at = 0;
	}
	let_go(r, c);
	return result;
}

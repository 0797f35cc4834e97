/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lend_ring.h - one end of a ring of frames between an agent and the
 * application that lends it a port, and the two messages ahead of it
 *
 * The same code at both ends; see hs/lend_format.h for the memory. What the
 * other end writes is input: its counter is read once, and a ring whose other
 * end says what cannot be is broken for good, a frame longer than its slot is
 * skipped and counted.
 *
 * Guarantees: pure. A place that is handed out lies within the memory that the
 * ring was made over, whatever stands there. Bytes of a frame that came may
 * change until hs_lend_ring_publish(): copy, then look.
 *
 * Context: one thread for each end.
 */
#ifndef HS_SHIP_LEND_RING_H
#define HS_SHIP_LEND_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hs/lend_format.h"
#include "ship/place.h"

struct hs_lend_ring {
	uint32_t *mine;		/* this end's counter, which only it writes */
	const uint32_t *theirs; /* the other's */
	uint8_t *slots;
	uint32_t nr, slot_bytes, head_bytes, frame_bytes;
	uint32_t at;	/* frames put, or taken */
	uint32_t limit; /* up to where this end may go, as last seen */
	uint32_t said;	/* of at, in *mine */
	bool producer;
	bool broken;
	uint64_t skipped; /* frames that were too long */
};

struct hs_lend_frame {
	struct hs_ship_place place;
	const void *data;
	uint32_t bytes;
};

/** hs_lend_slot_bytes() - for frames of that size */
uint32_t hs_lend_slot_bytes(uint32_t frame_bytes, bool ip6);
/** hs_lend_memory_bytes() - of one memory: the words and a ring */
size_t hs_lend_memory_bytes(uint32_t nr_slots, uint32_t frame_bytes, bool ip6);

/**
 * hs_lend_ring_make() - an end
 * @memory: that the slots are in, hs_lend_memory_bytes() of it; a consumer only
 *	reads it
 * @nr: of slots, a power of two
 * @frame_bytes: longer ones are none
 * @ip6: places are of IPv6, else of IPv4
 */
void hs_lend_ring_make(struct hs_lend_ring *r, bool producer, uint32_t *mine,
		       const uint32_t *theirs, void *memory, uint32_t nr,
		       uint32_t frame_bytes, bool ip6);

/**
 * hs_lend_ring_room() - where the next frame goes
 * Return: frame_bytes of room; NULL: full, or broken.
 */
void *hs_lend_ring_room(struct hs_lend_ring *r);
/** hs_lend_ring_put() - the frame is there; only after room() */
void hs_lend_ring_put(struct hs_lend_ring *r, const struct hs_ship_place *place,
		      uint32_t bytes);
/**
 * hs_lend_ring_next() - the next frame, at its place
 * Return: false: none now, or broken.
 */
bool hs_lend_ring_next(struct hs_lend_ring *r, struct hs_lend_frame *out);
/** hs_lend_ring_taken() - done with it; only after next() */
void hs_lend_ring_taken(struct hs_lend_ring *r);
/**
 * hs_lend_ring_publish() - tell the other end of what was put, or taken
 *
 * Order: lend.W1, pairs lend.R1.
 */
void hs_lend_ring_publish(struct hs_lend_ring *r);
/** hs_lend_ring_waiting() - frames put that were not taken, or not put yet */
uint32_t hs_lend_ring_waiting(struct hs_lend_ring *r);

/**
 * hs_lend_hello_check() - what an application says of itself
 * @bytes: that came, of either version
 * @frame_bytes: the agent's over IPv4; its frames have to fit
 * @own: where its frames go out from; hs_ship_ip_is_v4() of it says which
 *	version this is
 *
 * The name is made printable in place.
 */
enum hs_lend_refusal hs_lend_hello_check(struct hs_lend_hello6 *hello,
					 size_t bytes, uint32_t frame_bytes,
					 struct hs_ship_place *own);
/**
 * hs_lend_welcome_check() - what an agent answers
 * @frame_bytes: the largest that we take
 * @memory_bytes: of each of the two memories that came with it; 0: none
 * @ip6: what was asked for
 * Return: 0; > 0: enum hs_lend_refusal; -EBADMSG.
 */
int hs_lend_welcome_check(const struct hs_lend_welcome *welcome, size_t bytes,
			  uint32_t frame_bytes, const size_t memory_bytes[2],
			  bool ip6);
const char *hs_lend_refusal_text(int refusal);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_sender.h - what a plain model believes of a sender of slices
 *
 * The model follows every frame and slice, and says what may be in the next
 * frame, what an ACK makes of those under way, and when the sender wants to be
 * looked at again. What the pacer allows it takes from the pacer, which has a
 * bout of its own.
 */
#ifndef HS_TESTS_SIM_BOUT_SENDER_H
#define HS_TESTS_SIM_BOUT_SENDER_H

#include "ship/proto_send_priv.h"
#include "tests/sim/bout.h"

#define SENDING		  "bout of a sender: "
#define SENDING_NODE	  77ull
#define SENDING_COLLECTOR 88ull
#define SENDING_NONE	  UINT64_MAX

enum sending_state { SENDING_OPENS, SENDING_UP };
enum sent_state { SENT_NOT, SENT_FLYING, SENT_LOST, SENT_HERE };

struct sent_frame {
	enum sent_state state;
	uint64_t slice, next_slice; /* where it begins, and the next one */
	uint32_t offset, next_offset;
	uint32_t nr_parts, bytes;
	struct hs_ship_part parts[8];
	uint64_t tx, sent_ns;
};

struct sent_slice {
	uint32_t length, anew;
	bool copied, counted; /* as modified */
};

struct sending {
	struct sim *s;
	struct hs_random r;
	struct hs_ship_sender_config config; /* with its defaults */
	struct hs_ship_sender *core;
	void *memory;
	uint64_t now_ns, wakes_ns;
	enum sending_state state;
	uint64_t due_ns, reopen_ns, nonce, peer, nr_opens, nr_ups, nr_downs;
	uint32_t frame_bytes, slice_bytes, slices_max;
	uint64_t settled, settles, cut_slice, next_slice, first, next, credit;
	uint32_t cut_offset, nr_lost, epoch, timeouts;
	uint64_t tx, tx_seen, tx_seen_ns, ack_seen, heard_ns, timer_ns;
	bool owed, asks, port_full, refuses, bent, closes, timed;
	uint64_t timer_of_ns; /* how long after a silence */
	uint64_t again; /* the frame that a timer sends; NONE: it has none */
	struct sent_frame frames[16], will;
	struct sent_slice slices[16];
	struct hs_ship_sender_stats stats;
};

static inline struct sent_frame *sending_frame(struct sending *g, uint64_t nr)
{
	return &g->frames[nr % 16];
}

static inline struct sent_slice *sending_slice(const struct sending *g,
					       uint64_t nr)
{
	return (struct sent_slice *)&g->slices[nr % 16];
}

/* bout_sender_model.c */
void sending_up(struct sending *g, const struct hs_ship_accept *a,
		uint64_t peer);
void sending_down(struct sending *g);
/* What an ACK may settle is known before its slices are. */
void sending_before_ack(struct sending *g, const struct hs_ship_ack *a);
void sending_acked(struct sending *g, const struct hs_ship_ack *a,
		   const uint8_t *sack);
void sending_run(struct sending *g);
void sending_check(struct sending *g);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bout_receiver.h - what a plain model believes of a receiver of slices
 *
 * The model is told first what the receiver is told next, and writes down what
 * it will do: each frame that it sends, byte for byte, each slice that it
 * gives, whom it says to be up or down, and which frames it lets go. The
 * receiver has to do exactly that, in that order.
 */
#ifndef HS_TESTS_SIM_BOUT_RECEIVER_H
#define HS_TESTS_SIM_BOUT_RECEIVER_H

#include "ship/proto_receive_priv.h"
#include "tests/sim/bout.h"

#define RECEIVING	  "bout of a receiver: "
#define RECEIVING_NODE	  99ull
#define RECEIVING_PLACES  6u
#define RECEIVING_AGENTS  8u
#define RECEIVING_WINDOW  64u
#define RECEIVING_SLICES  64u
#define RECEIVING_SCAN_NS (100 * SIM_MS)
#define RECEIVING_BUSY_NS (5 * SIM_MS)
#define RECEIVING_TURN	  65536u
#define RECEIVING_NOBODY  UINT32_MAX

/* A frame that came. */
struct recv_frame {
	struct recv_frame *next; /* of all that came */
	enum { RECV_HERE, RECV_LEAVES, RECV_LEFT } state;
	struct hs_ship_view view;
	uint32_t bytes;
	uint8_t data[];
};

enum recv_kind { RECV_SENDS, RECV_GIVES, RECV_UP, RECV_DOWN };

/* What it will do. */
struct recv_event {
	enum recv_kind kind;
	uint32_t place, agent;
	uint64_t node;
	const char *why;
	enum hs_ship_verdict verdict;
	struct hs_wire_slice head;
	uint32_t bytes, crc; /* of the slice; of the frame in frames */
	uint32_t frame;
};

struct recv_settle {
	uint64_t key;
	enum settle_state state;
};

struct recv_conn {
	enum connection_state state;
	uint64_t id, peer, node, nonce;
	uint32_t agent, frame_bytes, slice_bytes;
	uint64_t heard_ns;
	bool active;
	uint64_t first, read, top, credit;
	struct recv_frame *frames[RECEIVING_WINDOW];
	uint32_t part, nth; /* in the frame that is read */
	/* The slice that is being read, and what came of it so far. */
	uint64_t slice, begin;
	struct hs_wire_slice head;
	uint32_t offset, crc;
	bool begun, whole, waits;
	uint64_t turn_bytes, joined_bytes;
	uint64_t settled, settled_seen;
	struct recv_settle settles[RECEIVING_SLICES];
	uint64_t refused[HS_SHIP_REFUSED_MAX];
	uint32_t nr_refused, epoch;
	uint64_t bad, bad_first, bad_last;
	uint64_t tx, echo_ns, echo_at_ns, acks;
};

/* A frame as an agent cuts its slices. */
struct recv_cut {
	uint32_t nr_parts, bytes;
	struct hs_ship_part parts[HS_SHIP_PARTS_MAX];
};

struct recv_agent {
	uint64_t node, peer, nonce, id; /* id: where it was accepted; 0 */
	uint32_t place;
	uint64_t tx, cut_slice, nr_cuts;
	uint32_t cut_offset;
	struct hs_wire_slice slices[512];
	struct recv_cut cuts[2 * RECEIVING_WINDOW];
};

struct receiving {
	struct sim *s;
	struct hs_random r, verdicts;
	struct hs_ship_receiver_config config;
	struct hs_ship_receiver *core;
	void *memory;
	uint64_t now_ns, random;
	/* what the model believes */
	struct recv_conn conns[RECEIVING_PLACES];
	struct hs_ship_receiver_stats stats;
	uint32_t share;
	uint64_t scan_ns, wakes_ns, turns_bytes;
	uint32_t line[RECEIVING_PLACES], nr_line; /* for their turn */
	uint32_t due[RECEIVING_PLACES], nr_due;	  /* the last is first */
	bool is_due[RECEIVING_PLACES];
	/* what it will do in this call */
	struct recv_event *events;
	uint32_t nr_events, room_events, at_event, nr_frames;
	uint8_t frames[32][512];
	uint32_t frame_bytes[32];
	/* the taker */
	double busy, refuses;
	uint64_t room_bytes; /* that it takes; UINT64_MAX: any */
	/* those who send */
	struct recv_agent agents[RECEIVING_AGENTS];
	uint32_t nr_agents, parts_max, slice_most, nr_steps;
	bool quiet;
	struct recv_frame *came;
	uint8_t frame[HS_SHIP_FRAME_MAX_BYTES];
	/* Chances: that bytes are not what was summed, that a frame is what
	 * nobody makes, and that they know what is settled. */
	double modify, spoils, knows;
};

/* bout_receiver_model.c: what must come of a call */
void receiving_create(struct receiving *g);
void receiving_frame(struct receiving *g, uint32_t agent, struct recv_frame *f);
void receiving_settle(struct receiving *g, uint32_t place, uint64_t key,
		      bool refused);
uint64_t receiving_run(struct receiving *g);
void receiving_close(struct receiving *g);
void receiving_check(struct receiving *g);
uint32_t receiving_slice_bytes(const struct hs_ship_receiver_config *c,
			       uint32_t frame_bytes);
/* bout_receiver_read.c: slices out of frames, and whose turn it is */
void receiving_offer(struct receiving *g, struct recv_conn *c);
void receiving_turns(struct receiving *g);
/* What these need of the model. */
void receiving_will(struct receiving *g, struct recv_event e);
void receiving_due(struct receiving *g, uint32_t place);
void receiving_leaves(struct receiving *g, struct recv_frame **frame);
void receiving_returns(struct receiving *g, struct recv_conn *c, uint64_t upto);
void receiving_settled(struct receiving *g, struct recv_conn *c);
void receiving_misbehaved(struct receiving *g, struct recv_conn *c);
void receiving_leave_line(struct receiving *g, uint32_t place);
/* bout_receiver_peers.c: what agents send, and those who are none */
void receiving_opens(struct receiving *g);
void receiving_data(struct receiving *g);
void receiving_stranger(struct receiving *g);
/* bout_receiver.c: the model is told, then the receiver */
void receiving_comes(struct receiving *g, uint32_t agent, void *frame,
		     uint32_t bytes);

/* bout_receiver_limits.c */
void receiving_limits(struct sim *s);

static inline uint32_t receiving_place(const struct receiving *g,
				       const struct recv_conn *c)
{
	return (uint32_t)(c - g->conns);
}

static inline struct recv_frame **receiving_slot(struct recv_conn *c,
						 uint64_t nr)
{
	return &c->frames[nr % RECEIVING_WINDOW];
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what proto_receive.c (connections, ACKs), proto_receive_credit.c,
 * proto_receive_slice.c (slices out of frames) and proto_receive_turn.c (whose
 * slices are next) share. */
#ifndef HS_SHIP_PROTO_RECEIVE_PRIV_H
#define HS_SHIP_PROTO_RECEIVE_PRIV_H

#include "ship/proto_receive.h"

#define RECEIVER_NONE UINT32_MAX
/* Pieces of one slice; more are made by nobody of ours. */
#define RECEIVER_SPANS_MAX 2048u
/* Of slices, in one turn with a taker that others wait for, too. */
#define RECEIVER_TURN_BYTES (64u << 10)

enum connection_state {
	CONNECTION_FREE = 0,
	CONNECTION_EMBRYO = 1, /* asked for; no DATA yet */
	CONNECTION_UP = 2,
};

/* A frame that is kept. */
struct receiver_slot {
	void *handle;
	const uint8_t *rows;
	const uint8_t *bytes;
	uint16_t nr_parts;
	bool here;
};

enum settle_state {
	SETTLE_WAITING = 0,
	SETTLE_DURABLE = 1,
	SETTLE_REFUSED = 2,
};

struct receiver_settle {
	uint64_t key;
	uint8_t state; /* enum settle_state */
};

struct receiver_connection {
	enum connection_state state;
	uint64_t id, peer, node, nonce;
	struct hs_ship_address address;
	uint32_t frame_bytes;
	uint64_t heard_ns;
	bool active; /* DATA with parts came since shares were last made */
	/* Frames below first are done with; the next byte to read is in frame
	 * read: its part-th part, nth_head-th head, at bytes into its bytes. */
	uint64_t first, read, top, credit;
	uint32_t part, nth_head, at;
	/* The slice that is being read; it begins in frame begin. */
	uint64_t slice, begin;
	uint32_t offset;
	bool begun;
	bool whole; /* checked; its taker was busy */
	struct hs_wire_slice head;
	/* In the queue of those that wait for their turn with the taker. */
	bool waits;
	uint32_t before, behind; /* there */
	uint32_t turn_bytes;	 /* taken in its turn, or beyond it */
	uint64_t joined_bytes;	 /* turns_bytes when it came to the end */
	/* Slices settled .. slice - 1 wait to be settled. */
	uint64_t settled, settled_seen;
	uint64_t refused[HS_SHIP_REFUSED_MAX];
	uint32_t nr_refused;
	/* The last slice that had to be asked anew, and its frames. */
	uint32_t epoch;
	uint64_t bad, bad_first, bad_last;
	uint64_t tx, echo_ns, echo_at_ns, acks;
	bool due; /* an ACK; in the list of those */
	uint32_t next_due;
};

struct hs_ship_receiver {
	struct hs_ship_receiver_config config;
	const struct hs_ship_receiver_ops *ops;
	void *ctx;
	struct hs_ship_receiver_stats stats;
	struct receiver_connection *connections;
	struct receiver_slot *slots;	 /* nr_window of each */
	struct receiver_settle *settles; /* nr_slices of each */
	uint64_t random;
	uint32_t due;			/* list, RECEIVER_NONE ends it */
	uint32_t share;			/* frames of one active connection */
	uint64_t scan_ns;		/* when idle ones are looked for next */
	uint32_t turn_first, turn_last; /* of those that wait */
	uint32_t nr_waiting;
	uint64_t turns_bytes; /* taken of any in its turn */
	struct hs_ship_span spans[RECEIVER_SPANS_MAX];
};

static inline uint32_t connection_nr(const struct hs_ship_receiver *r,
				     const struct receiver_connection *c)
{
	return (uint32_t)(c - r->connections);
}

static inline struct receiver_slot *
receiver_slot(const struct hs_ship_receiver *r,
	      const struct receiver_connection *c, uint64_t frame)
{
	return &r->slots[(uint64_t)connection_nr(r, c) * r->config.nr_window +
			 (frame & (r->config.nr_window - 1))];
}

static inline struct receiver_settle *
receiver_settle(const struct hs_ship_receiver *r,
		const struct receiver_connection *c, uint64_t slice)
{
	return &r->settles[(uint64_t)connection_nr(r, c) * r->config.nr_slices +
			   (slice & (r->config.nr_slices - 1))];
}

static inline uint32_t receiver_slice_max(const struct hs_ship_receiver *r,
					  uint32_t frame_bytes)
{
	uint32_t row =
		frame_bytes - (uint32_t)(sizeof(struct hs_ship_header) +
					 sizeof(struct hs_ship_data) +
					 2 * sizeof(struct hs_ship_part) +
					 2 * sizeof(struct hs_wire_slice));
	uint64_t bytes = (uint64_t)row * (r->config.nr_least - 1);

	return bytes < HS_WIRE_SLICE_MAX_BYTES ? (uint32_t)bytes
					       : HS_WIRE_SLICE_MAX_BYTES;
}

/** hs_ship_receive_slot_free() - let a kept frame go */
void hs_ship_receive_slot_free(struct hs_ship_receiver *r,
			       struct receiver_slot *slot);
/** hs_ship_receive_due() - an ACK is to go to it */
void hs_ship_receive_due(struct hs_ship_receiver *r,
			 struct receiver_connection *c);
enum receive_result {
	RECEIVE_ON = 0,	  /* nothing more can be read by now */
	RECEIVE_STOP = 1, /* the taker is busy */
	RECEIVE_TURN = 2, /* it has had its turn */
	RECEIVE_ANEW = 3, /* back at the beginning of a slice */
	RECEIVE_BAD = 4,  /* its sender sent what no sender of ours makes */
};

/** hs_ship_receive_read() - whatever can be read in order by now; of one that
 * waits as much as a turn is */
enum receive_result hs_ship_receive_read(struct hs_ship_receiver *r,
					 struct receiver_connection *c);
/** hs_ship_receive_drop() - end a connection; @why is told where it was up */
void hs_ship_receive_drop(struct hs_ship_receiver *r,
			  struct receiver_connection *c, const char *why);
/** hs_ship_receive_drop_embryo() - the oldest; return: its place, or NULL */
struct receiver_connection *
hs_ship_receive_drop_embryo(struct hs_ship_receiver *r);
void hs_ship_receive_say_close(struct hs_ship_receiver *r,
			       const struct hs_ship_address *to, uint64_t peer,
			       uint64_t id, uint32_t reason);
/** hs_ship_receive_settled() - move on over what is settled by now */
void hs_ship_receive_settled(struct hs_ship_receiver *r,
			     struct receiver_connection *c);
/** hs_ship_receive_misbehaved() - end a connection for what came on it */
void hs_ship_receive_misbehaved(struct hs_ship_receiver *r,
				struct receiver_connection *c);

/* proto_receive_turn.c */
/** hs_ship_receive_offer() - a frame of it is kept: read on, or wait */
void hs_ship_receive_offer(struct hs_ship_receiver *r,
			   struct receiver_connection *c);
/** hs_ship_receive_turns() - offer what waits, in turns */
void hs_ship_receive_turns(struct hs_ship_receiver *r);
/** hs_ship_receive_leave() - it waits no more, if it did */
void hs_ship_receive_leave(struct hs_ship_receiver *r,
			   struct receiver_connection *c);
/** hs_ship_receive_turns_check() - whether the queue adds up */
bool hs_ship_receive_turns_check(const struct hs_ship_receiver *r);

/* proto_receive_credit.c */
/** hs_ship_receive_grant() - up to its share, of what is promised to nobody */
void hs_ship_receive_grant(struct hs_ship_receiver *r,
			   struct receiver_connection *c);
/** hs_ship_receive_return() - frames first .. @upto - 1 are the carrier's */
void hs_ship_receive_return(struct hs_ship_receiver *r,
			    struct receiver_connection *c, uint64_t upto);
/** hs_ship_receive_share() - what each of @nr_active may have granted */
void hs_ship_receive_share(struct hs_ship_receiver *r, uint32_t nr_active);
/** hs_ship_receive_newcomer() - whether there are frames for one more */
bool hs_ship_receive_newcomer(struct hs_ship_receiver *r);

#endif

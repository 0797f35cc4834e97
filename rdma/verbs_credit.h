/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_credit.h - who may send how many frames into a shared receive queue
 *
 * One credit is one receive buffer. Counters are cumulative and wrap at 2^32;
 * every frame carries the sender's view, so that a frame more or less makes no
 * difference:
 *
 *	granted    data frames the speaker ever allowed the hearer to send
 *	returned   of the hearer's grants, what the speaker gave back unused
 *	control    control frames that the speaker ever received
 *
 * A data frame takes a credit. A control frame carries only these counters
 * and takes one of two buffers set aside for it: at most two are unanswered
 * (not in the other side's `control`), at most one of them without a grant in
 * it. Then nobody waits for ever: whoever has no credit left used up what the
 * last grant gave, and the frame that did so answered it.
 *
 * A peer owns HS_VERBS_SHARE buffers of the queue when idle, which are never
 * denied to as many peers as the pool is made for; more are granted to one that
 *has more to say, and given back by it when it falls silent. The sum over all
 *peers never exceeds the queue.
 *
 * Pure: no I/O, no clock, no allocation.
 */
#ifndef HS_RDMA_VERBS_CREDIT_H
#define HS_RDMA_VERBS_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

#define HS_VERBS_CONTROLS     2u
#define HS_VERBS_SHARE	      (1u + HS_VERBS_CONTROLS) /* of an idle peer */
#define HS_VERBS_CREDITS_MAX  64u /* of one peer at a time */
#define HS_VERBS_CREDITS_OPEN 8u  /* at first, where there are enough */

enum hs_verbs_frame_kind {
	HS_VERBS_FRAME_DATA = 1,
	HS_VERBS_FRAME_CONTROL = 2,
};
#define HS_VERBS_FRAME_F_WANT 0x01u /* there is more than the credits allow */

/* Before the bytes of every frame; little-endian. */
struct hs_verbs_frame {
	uint16_t kind; /* enum hs_verbs_frame_kind */
	uint16_t flags;
	uint32_t granted;
	uint32_t returned;
	uint32_t control;
};
_Static_assert(sizeof(struct hs_verbs_frame) == 16, "frame");

/* One shared receive queue. */
struct hs_verbs_pool {
	uint32_t depth;
	uint32_t peers_max; /* an idle peer's share is kept for so many */
	uint32_t nr_peers;
	uint32_t reserved;
	uint32_t reserved_max;
};

struct hs_verbs_credit {
	struct hs_verbs_pool *pool; /* NULL: not open */
	/* what the peer may send us */
	uint32_t granted;
	uint32_t received;
	uint32_t peer_returned;
	uint32_t control_received;
	uint32_t target; /* grant up to so many at once */
	/* what we may send it */
	uint32_t limit; /* its granted */
	uint32_t sent;
	uint32_t returned;
	uint32_t control_sent;
	uint32_t control_answered;
	/* what our last frame said */
	uint32_t told_granted;
	uint32_t told_returned;
	uint32_t told_control;
};

/** hs_verbs_credit_open() - reserve for a new peer; false: no room for it */
bool hs_verbs_credit_open(struct hs_verbs_credit *c,
			  struct hs_verbs_pool *pool);
/** hs_verbs_credit_close() - its buffers are all back in the queue */
void hs_verbs_credit_close(struct hs_verbs_credit *c);

/** hs_verbs_credit_left() - data frames that may be sent now */
uint32_t hs_verbs_credit_left(const struct hs_verbs_credit *c);

/**
 * hs_verbs_credit_control_due() - should a control frame be sent?
 *
 * Only when no data frame is going to carry the news anyway.
 */
bool hs_verbs_credit_control_due(const struct hs_verbs_credit *c);

/** hs_verbs_credit_control_may() - any control frame, due or not, in bounds */
bool hs_verbs_credit_control_may(const struct hs_verbs_credit *c);

/**
 * hs_verbs_credit_put() - account for a frame that is being sent
 * @kind: data only if hs_verbs_credit_left(), control only if may
 * @want: more data waits
 *
 * Return: its header, with whatever can be granted now.
 */
struct hs_verbs_frame hs_verbs_credit_put(struct hs_verbs_credit *c,
					  enum hs_verbs_frame_kind kind,
					  bool want);

/**
 * hs_verbs_credit_take() - account for a frame that came
 *
 * Return: NULL, or what is wrong with it: the peer breaks the rules.
 */
const char *hs_verbs_credit_take(struct hs_verbs_credit *c,
				 const struct hs_verbs_frame *f);

/**
 * hs_verbs_credit_idle() - give back all but one
 *
 * It is told once our last control frame is answered: at the latest with the
 * next PING.
 *
 * Return: true if there is something to tell.
 */
bool hs_verbs_credit_idle(struct hs_verbs_credit *c);

#endif

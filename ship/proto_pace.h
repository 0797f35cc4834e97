/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_pace.h - how fast a sender may go
 *
 * After BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM
 * Queue 2016): the way's bandwidth is the best delivery rate of the last
 * rounds, its delay the least round trip of the last seconds; what is under way
 * stays at twice their product. Loss as such is no sign of congestion (a way
 * may lose a tenth of everything and still carry the rest), but loss beyond a
 * fifth is, of as many frames as say so, and so is a round trip that keeps
 * rising; both make it yield. A rate set by the operator is never exceeded.
 *
 * Context: a part of a sender, one thread; pure.
 */
#ifndef HS_SHIP_PROTO_PACE_H
#define HS_SHIP_PROTO_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum hs_ship_pace_mode {
	HS_SHIP_PACE_STARTUP = 0, /* twice as fast every round */
	HS_SHIP_PACE_DRAIN = 1,	  /* until what startup queued is gone */
	HS_SHIP_PACE_PROBE = 2,	  /* at the rate found, looking for more */
};

/* What a frame remembers of the time when it was sent. */
struct hs_ship_stamp {
	uint64_t delivered;
	uint64_t delivered_ns;
	bool idle; /* we had too little to send to learn from it */
};

struct hs_ship_pace {
	uint64_t limit_per_s; /* bytes; 0: none */
	uint32_t frame_bytes;
	enum hs_ship_pace_mode mode;
	uint64_t rate_now, rate_before; /* best of two half-windows */
	uint64_t rate_full;		/* startup: what it was */
	uint32_t rounds_flat;		/* startup: rounds without growth */
	uint64_t round_end;		/* delivered at which the round ends */
	uint64_t round;
	uint64_t lost, sent; /* bytes, of the rounds not judged yet */
	uint64_t delivered, delivered_ns;
	uint64_t in_flight_bytes;
	uint64_t window_bytes; /* that may be */
	uint64_t rtt_least_ns, rtt_smooth_ns, rtt_var_ns;
	uint64_t rtt_least_at_ns;
	uint64_t next_ns; /* when the next frame may go */
	bool idle;
	bool yielding; /* too much was lost, or this round's delay rose */
};

void hs_ship_pace_init(struct hs_ship_pace *p, uint64_t limit_per_s,
		       uint32_t frame_bytes, uint64_t now_ns);
/** hs_ship_pace_may() - whether a frame may go now */
bool hs_ship_pace_may(const struct hs_ship_pace *p, uint64_t now_ns);
/** hs_ship_pace_next() - when to ask again; UINT64_MAX: after an ACK */
uint64_t hs_ship_pace_next(const struct hs_ship_pace *p);
void hs_ship_pace_sent(struct hs_ship_pace *p, uint32_t bytes,
		       struct hs_ship_stamp *stamp, uint64_t now_ns);
/** hs_ship_pace_gone() - a frame is no longer under way */
void hs_ship_pace_acked(struct hs_ship_pace *p, uint32_t bytes);
void hs_ship_pace_lost(struct hs_ship_pace *p, uint32_t bytes);
/** hs_ship_pace_sample() - after an ACK: of the latest frame that it named */
void hs_ship_pace_sample(struct hs_ship_pace *p,
			 const struct hs_ship_stamp *stamp, uint64_t now_ns);
void hs_ship_pace_rtt(struct hs_ship_pace *p, uint64_t rtt_ns, uint64_t now_ns);
/** hs_ship_pace_idle() - all that there was has gone: rates say little */
void hs_ship_pace_idle(struct hs_ship_pace *p);
/** hs_ship_pace_timeout() - how long a frame's answer may take */
uint64_t hs_ship_pace_timeout(const struct hs_ship_pace *p);

#endif

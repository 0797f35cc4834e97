/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see ending.h. */
#include "dataplane/ending.h"

#include "base/planted.h"

static void slot_close(struct hs_trace *trace)
{
	/* slot.W7 release, pairs slot.R1: the END entry, or the loss of one,
	 * before an even use. */
	__atomic_store_n(&trace->slot->use, trace->slot_use + 1,
			 __ATOMIC_RELEASE);
}

static inline __attribute__((always_inline)) bool
try_publish(struct hs_lane *lane, struct hs_trace *trace)
{
	struct hs_shm_entry entry = {
		.trace_hi = trace->id.hi,
		.trace_lo = trace->id.lo,
		.u.buffer.ref = trace->w.base ? hs_shm_stock_ref(trace->word)
					      : HS_SHM_NO_BUFFER,
		.handle = trace->number,
		.seq = trace->seq < 0xffff ? (uint16_t)trace->seq : 0xffff,
		.type = HS_SHM_ENTRY_END,
		.aux = trace->lost != 0,
	};

	if (trace->w.base)
		entry.u.buffer.committed =
			trace->w.pos | hs_shm_stock_node(trace->word) << 28;
	if (HS_PLANTED(103))
		slot_close(trace);
	if (!hs_lane_offer_one(lane, &entry, false))
		return false;
	slot_close(trace);
	return true;
}

static void over(struct hs_lane *lane, struct hs_trace *trace)
{
	trace->at = NULL;
	trace->slot = NULL;
	trace->w.base = NULL;
	hs_handle_give(lane, trace);
}

/* ---- handles that wait: stacks that are taken whole ---------------------- */

static void stack_push(struct hs_trace **top, struct hs_trace *trace)
{
	struct hs_trace *first;

	/* ending.C1 relaxed: confirmed by the exchange. */
	first = __atomic_load_n(top, __ATOMIC_RELAXED);
	do
		trace->ended_next = first;
	/* ending.W1 release, pairs ending.R1: the handle as its owner left
	 * it. */
	while (!__atomic_compare_exchange_n(
		top, &first, trace, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static struct hs_trace *stack_take(struct hs_trace **top)
{
	/* ending.R1 acquire, pairs ending.W1 ending.W2: handles as they were
	 * left. */
	return __atomic_exchange_n(top, NULL, __ATOMIC_ACQUIRE);
}

/* The rest of what was taken; mostly nobody pushed meanwhile. */
static void stack_put_back(struct hs_trace **top, struct hs_trace *rest)
{
	while (rest) {
		struct hs_trace *next = rest->ended_next, *none = NULL;

		/* ending.W2 release, pairs ending.R1: as ending.W1. */
		if (__atomic_compare_exchange_n(top, &none, rest, false,
						__ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return;
		stack_push(top, rest);
		rest = next;
	}
}

/* ------------------------------------------------------------------------- */

void hs_ending_return(struct hs_attachment *at, struct hs_lane *lane)
{
	hs_handle_flush(lane);
	hs_attachment_lane_return(at, lane);
}

static inline __attribute__((always_inline)) void
publish(struct hs_lane *lane, struct hs_trace *trace)
{
	if (hs_ending_flush(lane) && try_publish(lane, trace))
		over(lane, trace);
	else
		stack_push(&lane->ended, trace);
}

/* By a thread that has no lane. */
static __attribute__((noinline)) void publish_borrowed(struct hs_trace *trace)
{
	struct hs_attachment *at = trace->at;
	struct hs_lane *borrowed = hs_attachment_lane_borrow(at);

	if (borrowed) {
		publish(borrowed, trace);
		hs_ending_return(at, borrowed);
	} else if (at->layout.nr_lanes > 1) {
		/* Another thread has that lane: the helper publishes it. */
		stack_push(&at->homeless, trace);
	} else {
		hs_attachment_lost_unpinned(at);
		slot_close(trace);
		over(NULL, trace);
	}
}

void hs_ending_publish(struct hs_lane *lane, struct hs_trace *trace)
{
	if (__builtin_expect(lane != NULL, 1))
		publish(lane, trace);
	else
		publish_borrowed(trace);
}

bool hs_ending_offer(struct hs_tls *tls, struct hs_attachment *at,
		     const struct hs_shm_entry *entries, uint32_t nr)
{
	struct hs_lane *lane = hs_client_lane(tls, at);
	struct hs_lane *borrowed = lane ? NULL : hs_attachment_lane_borrow(at);
	bool taken;

	if (borrowed)
		lane = borrowed;
	taken = lane && hs_ending_flush(lane) &&
		hs_lane_offer(lane, entries, nr);
	if (borrowed)
		hs_ending_return(at, borrowed);
	return taken;
}

/* What waits at @top goes by @lane, as far as there is room. */
static bool publish_waiting(struct hs_trace **top, struct hs_lane *lane)
{
	struct hs_trace *trace, *next;

	if (!hs_lane_room(lane, 1))
		return false;
	for (trace = stack_take(top); trace; trace = next) {
		next = trace->ended_next;
		if (!try_publish(lane, trace)) {
			stack_put_back(top, trace);
			return false;
		}
		over(lane, trace);
	}
	return true;
}

bool hs_ending_flush_slow(struct hs_lane *lane)
{
	return publish_waiting(&lane->ended, lane);
}

static void drop(struct hs_trace **top)
{
	struct hs_trace *trace, *next;

	for (trace = stack_take(top); trace; trace = next) {
		next = trace->ended_next;
		over(NULL, trace);
	}
}

void hs_ending_drop(struct hs_lane *lane)
{
	drop(&lane->ended);
}

void hs_ending_abandon(struct hs_attachment *at)
{
	drop(&at->homeless);
	for (uint32_t i = 0; i < at->layout.nr_lanes; i++) {
		drop(&at->lanes[i].ended);
		if (hs_attachment_lane_take_index(at, i))
			hs_ending_return(at, &at->lanes[i]);
	}
}

static bool waits(struct hs_trace *const *top)
{
	/* ending.C2 relaxed: a hint; looked at again when it is taken. */
	return __atomic_load_n(top, __ATOMIC_RELAXED);
}

/* By the lane that is borrowed; where there is none or no room, next time. */
static void sweep_elsewhere(struct hs_attachment *at, struct hs_trace **top)
{
	struct hs_lane *lane = hs_attachment_lane_borrow(at);

	if (!lane)
		return;
	if (hs_ending_flush(lane))
		(void)publish_waiting(top, lane);
	hs_ending_return(at, lane);
}

void hs_ending_sweep(struct hs_attachment *at)
{
	if (waits(&at->homeless))
		sweep_elsewhere(at, &at->homeless);
	for (uint32_t i = 0; i < at->layout.nr_lanes; i++) {
		struct hs_lane *lane = &at->lanes[i];

		if (!waits(&lane->ended))
			continue;
		if (hs_attachment_lane_take_index(at, i)) {
			(void)hs_ending_flush(lane);
			hs_ending_return(at, lane);
		} else {
			/* Its thread may not come by for long. */
			sweep_elsewhere(at, &lane->ended);
		}
	}
}

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

static bool try_publish(struct hs_lane *lane, struct hs_trace *trace)
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
	if (!hs_lane_offer(lane, &entry, 1))
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

static void wait_for_room(struct hs_lane *lane, struct hs_trace *trace)
{
	trace->ended_next = lane->ended;
	/* lane.C3 relaxed: the helper only looks whether there is one. */
	__atomic_store_n(&lane->ended, trace, __ATOMIC_RELAXED);
}

void hs_ending_return(struct hs_attachment *at, struct hs_lane *lane)
{
	hs_handle_flush(lane);
	hs_attachment_lane_return(at, lane);
}

static void publish(struct hs_lane *lane, struct hs_trace *trace)
{
	if (hs_ending_flush(lane) && try_publish(lane, trace))
		over(lane, trace);
	else
		wait_for_room(lane, trace);
}

/* Another thread has the lane that is borrowed: the helper publishes it. */
static void leave_behind(struct hs_attachment *at, struct hs_trace *trace)
{
	struct hs_trace *first;

	/* ending.C1 relaxed: confirmed by the exchange. */
	first = __atomic_load_n(&at->homeless, __ATOMIC_RELAXED);
	do
		trace->ended_next = first;
	/* ending.W1 release, pairs ending.R1: the handle as its owner left
	 * it. */
	while (!__atomic_compare_exchange_n(&at->homeless, &first, trace, true,
					    __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}

void hs_ending_publish(struct hs_lane *lane, struct hs_trace *trace)
{
	struct hs_attachment *at = trace->at;
	struct hs_lane *borrowed = lane ? NULL : hs_attachment_lane_borrow(at);

	if (lane) {
		publish(lane, trace);
	} else if (borrowed) {
		publish(borrowed, trace);
		hs_ending_return(at, borrowed);
	} else if (at->layout.nr_lanes > 1) {
		leave_behind(at, trace);
	} else {
		hs_attachment_lost_unpinned(at);
		slot_close(trace);
		over(NULL, trace);
	}
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

bool hs_ending_flush_slow(struct hs_lane *lane)
{
	while (lane->ended) {
		struct hs_trace *trace = lane->ended;

		if (!try_publish(lane, trace))
			return false;
		/* lane.C4 relaxed: as lane.C3. */
		__atomic_store_n(&lane->ended, trace->ended_next,
				 __ATOMIC_RELAXED);
		over(lane, trace);
	}
	return true;
}

void hs_ending_drop(struct hs_lane *lane)
{
	while (lane->ended) {
		struct hs_trace *trace = lane->ended;

		/* lane.C5 relaxed: as lane.C3. */
		__atomic_store_n(&lane->ended, trace->ended_next,
				 __ATOMIC_RELAXED);
		over(NULL, trace);
	}
}

/* Context: the helper alone takes them, and all at once. */
static struct hs_trace *homeless_take(struct hs_attachment *at)
{
	/* ending.R1 acquire, pairs ending.W1: handles as they were left. */
	return __atomic_exchange_n(&at->homeless, NULL, __ATOMIC_ACQUIRE);
}

static void sweep_homeless(struct hs_attachment *at)
{
	struct hs_trace *trace, *next;
	struct hs_lane *lane;

	/* ending.C2 relaxed: a hint; looked at again when it is taken. */
	if (!__atomic_load_n(&at->homeless, __ATOMIC_RELAXED))
		return;
	lane = hs_attachment_lane_borrow(at);
	if (!lane)
		return; /* the next time */
	for (trace = homeless_take(at); trace; trace = next) {
		next = trace->ended_next;
		publish(lane, trace);
	}
	hs_ending_return(at, lane);
}

void hs_ending_abandon(struct hs_attachment *at)
{
	struct hs_trace *trace, *next;

	for (trace = homeless_take(at); trace; trace = next) {
		next = trace->ended_next;
		over(NULL, trace);
	}
	for (uint32_t i = 0; i < at->layout.nr_lanes; i++)
		if (hs_attachment_lane_take_index(at, i)) {
			hs_ending_drop(&at->lanes[i]);
			hs_ending_return(at, &at->lanes[i]);
		}
}

void hs_ending_sweep(struct hs_attachment *at)
{
	sweep_homeless(at);
	for (uint32_t i = 0; i < at->layout.nr_lanes; i++) {
		struct hs_lane *lane = &at->lanes[i];

		/* lane.C6 relaxed: a hint; looked at again once taken. */
		if (!__atomic_load_n(&lane->ended, __ATOMIC_RELAXED) ||
		    !hs_attachment_lane_take_index(at, i))
			continue;
		(void)hs_ending_flush(lane);
		hs_ending_return(at, lane);
	}
}

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

void hs_ending_publish(struct hs_lane *lane, struct hs_trace *trace)
{
	if (!lane) {
		hs_attachment_lost_unpinned(trace->at);
		slot_close(trace);
	} else if (!hs_ending_flush(lane) || !try_publish(lane, trace)) {
		wait_for_room(lane, trace);
		return;
	}
	over(lane, trace);
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

void hs_ending_sweep(struct hs_attachment *at)
{
	for (uint32_t i = 0; i < at->layout.nr_lanes; i++) {
		struct hs_lane *lane = &at->lanes[i];

		/* lane.C6 relaxed: a hint; looked at again once taken. */
		if (!__atomic_load_n(&lane->ended, __ATOMIC_RELAXED) ||
		    !hs_attachment_lane_take_index(at, i))
			continue;
		(void)hs_ending_flush(lane);
		hs_handle_flush(lane);
		hs_attachment_lane_return(at, lane);
	}
}

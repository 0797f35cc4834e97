/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see lane.h. The interval of a loss is written before the count
 * that announces it.
 */
#include "dataplane/lane.h"

#include "dataplane/clock.h"

bool hs_lane_room_again(struct hs_lane *lane, uint32_t nr)
{
	/* lane.R2 acquire, pairs lane.W2: the agent has read an entry before
	 * its place is written again. */
	lane->seen_tail = __atomic_load_n(&lane->tail->tail, __ATOMIC_ACQUIRE);
	/* A tail beyond the head wraps to a huge number: full. */
	return lane->head - lane->seen_tail <= lane->nr_entries - nr;
}

static void lane_lost(struct hs_lane *lane, uint32_t nr)
{
	struct hs_shm_lane *shared = lane->shared;
	uint64_t now = hs_clock_real_ns();

	if (!lane->dropping) {
		/* lane.C1 relaxed: announced by lane.W3. */
		__atomic_store_n(&shared->lost_first_ns, now, __ATOMIC_RELAXED);
		lane->dropping = true;
	}
	/* lane.C2 relaxed: announced by lane.W3. */
	__atomic_store_n(&shared->lost_last_ns, now, __ATOMIC_RELAXED);
	lane->lost += nr;
	/* lane.W3 release, pairs lane.R3: the interval before its count. */
	__atomic_store_n(&shared->lost, lane->lost, __ATOMIC_RELEASE);
}

bool hs_lane_push(struct hs_lane *lane, const struct hs_shm_entry *entries,
		  uint32_t nr)
{
	if (nr == 0 || nr > HS_LANE_PUSH_MAX)
		return false;
	if (hs_lane_offer(lane, entries, nr))
		return true;
	lane_lost(lane, nr);
	return false;
}

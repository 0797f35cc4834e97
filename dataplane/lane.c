/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see lane.h. The interval of a loss is written before the count
 * that announces it.
 */
#include "dataplane/lane.h"

#include "base/planted.h"
#include "dataplane/clock.h"

bool hs_lane_room(struct hs_lane *lane, uint32_t nr)
{
	uint64_t used = lane->head - lane->seen_tail;

	if (used <= lane->nr_entries - nr)
		return true;
	/* lane.R2 acquire, pairs lane.W2: the agent has read an entry before
	 * its place is written again. */
	lane->seen_tail = __atomic_load_n(&lane->tail->tail, __ATOMIC_ACQUIRE);
	used = lane->head - lane->seen_tail;
	/* A tail beyond the head wraps to a huge number: full. */
	return used <= lane->nr_entries - nr;
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

bool hs_lane_offer(struct hs_lane *lane, const struct hs_shm_entry *entries,
		   uint32_t nr)
{
	if (nr == 0 || nr > HS_LANE_PUSH_MAX || !hs_lane_room(lane, nr))
		return false;
	lane->dropping = false;
	if (HS_PLANTED(104))
		lane->shared->head = lane->head + nr;
	for (uint32_t i = 0; i < nr; i++)
		lane->entries[(lane->head + i) & (lane->nr_entries - 1)] =
			entries[i];
	lane->head += nr;
	/* lane.W1 release, pairs lane.R1: entries, and the bytes of the
	 * buffers they name, before head. */
	__atomic_store_n(&lane->shared->head, lane->head, __ATOMIC_RELEASE);
	return true;
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

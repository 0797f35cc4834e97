/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how long the worker may look away from its guests' memory.
 *
 * Nothing wakes it when an entry is written, and a round that finds one entry
 * costs about what one that finds forty does. So it naps for as long as the
 * lanes and the stocks have room for many times what came since it looked last,
 * and for HS_NAP_MAX_NS at most, which is how long a trigger waits to be seen.
 * Where none has come for HS_NAP_CALM_NS, and nothing else is owed to anybody,
 * a process that takes many buffers, by lanes that are long, is looked at every
 * HS_NAP_CALM_MAX_NS: to wake up is most of what a request costs an agent
 * otherwise (ADR 86).
 *
 * Guarantees: at a steady load no lane is fuller, and no stock emptier, than
 * about HS_NAP_ROOM of HS_NAP_WHOLE when it is looked at; a load that grows
 * sevenfold from one nap to the next is not lost, and over HS_NAP_MAX_NS a
 * stock that is taken from, and a lane that is used, last for a nap at
 * HS_NAP_BURST_NS a buffer. Over HS_NAP_FULL there is no nap: how much more
 * would have come is not known.
 *
 * Triggers seldom come alone, and a traversal waits for the one who hears of
 * them: for a while after one has come, naps are short.
 */
#ifndef HS_AGENT_NAP_H
#define HS_AGENT_NAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Crowding is said in parts of this. */
#define HS_NAP_WHOLE 1024u
#define HS_NAP_ROOM  (HS_NAP_WHOLE / 8)
#define HS_NAP_FULL  (HS_NAP_WHOLE / 2)

/* Waking up takes some of these more where others want the processor. */
#define HS_NAP_MIN_NS (100 * HS_NS_PER_US)
#define HS_NAP_MAX_NS HS_NS_PER_MS
/* Where no trigger has come for so long. */
#define HS_NAP_CALM_NS	   HS_NS_PER_SEC
#define HS_NAP_CALM_MAX_NS (4 * HS_NS_PER_MS)
/* As fast as a process may begin to take what it was not seen taking. */
#define HS_NAP_BURST_NS HS_NS_PER_US
/* While a trigger has come within the last so many. */
#define HS_NAP_EXPECT_NS  (10 * HS_NS_PER_MS)
#define HS_NAP_TRIGGER_NS (200 * HS_NS_PER_US)

/** hs_nap_crowding() - @used of @room, in parts of HS_NAP_WHOLE */
static inline uint32_t hs_nap_crowding(uint64_t used, uint64_t room)
{
	return used >= room ? HS_NAP_WHOLE
			    : (uint32_t)(used * HS_NAP_WHOLE / room);
}

/**
 * hs_nap_bound() - how long a nap may be, whatever room there is
 * @calm: the last trigger, of any node, is HS_NAP_CALM_NS ago, and nobody waits
 * @words: of the least stock that was taken from since the last look, or as
 *	many buffers as the shortest lane that was used has room to say; 0: none
 */
static inline uint64_t hs_nap_bound(bool calm, uint32_t words)
{
	uint64_t lasts_ns = words * HS_NAP_BURST_NS;

	if (!calm || lasts_ns < HS_NAP_MAX_NS)
		return HS_NAP_MAX_NS;
	return lasts_ns < HS_NAP_CALM_MAX_NS ? lasts_ns : HS_NAP_CALM_MAX_NS;
}

/**
 * hs_nap_next() - the nap after this round
 * @nap_ns: the one before it
 * @since_ns: since the round before this one looked
 * @crowding: how full the fullest lane was, or how much was taken of a stock
 * @bound_ns: as hs_nap_bound() has it
 *
 * Return: 0: go on at once; or HS_NAP_MIN_NS to @bound_ns.
 */
static inline uint64_t hs_nap_next(uint64_t nap_ns, uint64_t since_ns,
				   uint32_t crowding, uint64_t bound_ns)
{
	uint64_t most_ns = 2 * nap_ns, room_ns;

	if (crowding > HS_NAP_FULL)
		return 0;
	if (most_ns < HS_NAP_MIN_NS)
		most_ns = HS_NAP_MIN_NS;
	if (most_ns > bound_ns)
		most_ns = bound_ns;
	/* Longer intervals say nothing that a second does not. */
	if (since_ns > HS_NS_PER_SEC)
		since_ns = HS_NS_PER_SEC;
	room_ns = crowding ? since_ns * HS_NAP_ROOM / crowding : UINT64_MAX;
	if (room_ns > most_ns)
		return most_ns;
	return room_ns < HS_NAP_MIN_NS ? 0 : room_ns;
}

/** hs_nap_expect() - @nap_ns, or less: the last trigger came @ago_ns ago */
static inline uint64_t hs_nap_expect(uint64_t nap_ns, uint64_t ago_ns)
{
	return ago_ns < HS_NAP_EXPECT_NS && nap_ns > HS_NAP_TRIGGER_NS
		       ? HS_NAP_TRIGGER_NS
		       : nap_ns;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: how long the collector may look away from its connections.
 *
 * What it takes waits for the disk anyway, some milliseconds, so nobody is
 * served by its waking up for each message; and waking up costs more than a
 * message does. While they come one after the other it looks at all that came
 * since, a few hundred microseconds later.
 *
 * Guarantees: whoever comes alone finds it awake: without one message a
 * millisecond there is no nap. Nor is there one where as much comes as would
 * fill a connection through shared memory, or datagrams' credit, meanwhile.
 */
#ifndef HS_COLLECTOR_NAP_H
#define HS_COLLECTOR_NAP_H

#include <stdint.h>

#include "base/clock.h"

#define HS_COLLECTOR_NAP_MIN_NS (100 * HS_NS_PER_US)
#define HS_COLLECTOR_NAP_MAX_NS (500 * HS_NS_PER_US)
/* May come in a nap, of all together: an eighth of one ring (ring_format.h). */
#define HS_COLLECTOR_NAP_BYTES 8192u

/**
 * hs_collector_nap() - the nap after this look
 * @since_ns: since the look before it
 * @bytes: that came in it
 *
 * Return: 0: wait for what comes; or the least to the longest nap.
 */
static inline uint64_t hs_collector_nap(uint64_t since_ns, uint64_t bytes)
{
	uint64_t ns;

	if (!bytes || since_ns > 2 * HS_COLLECTOR_NAP_MAX_NS)
		return 0;
	ns = since_ns * HS_COLLECTOR_NAP_BYTES / bytes;
	if (ns > HS_COLLECTOR_NAP_MAX_NS)
		return HS_COLLECTOR_NAP_MAX_NS;
	return ns < HS_COLLECTOR_NAP_MIN_NS ? 0 : ns;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the two lcores of the example share: requests as they travel,
 * and what is counted.
 */
#ifndef HS_EXAMPLE_BYPASS_SERVER_H
#define HS_EXAMPLE_BYPASS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#define BURST		32u
#define PHASES_MAX	64u
#define CONTEXT_BYTES	40u
#define HISTOGRAM_STEPS 16u /* buckets to a doubling */
#define HISTOGRAM_SIZE	(64u * HISTOGRAM_STEPS)

/* A request, and its reply: the payload of a packet. */
struct request {
	uint64_t intended; /* when it should have been sent, in ticks */
	uint32_t number;
	uint8_t phase;
	uint8_t traced;
	uint8_t context_bytes;
	uint8_t reserved;
	uint8_t context[CONTEXT_BYTES]; /* compact, of the caller */
};

struct phase {
	bool traced;
	uint64_t nr_sent, nr_answered;
	uint64_t faults;      /* of the server's thread */
	uint64_t shootdowns;  /* TLB shootdowns that its core was asked for */
	uint64_t most_flying; /* requests in flight */
	uint64_t histogram[HISTOGRAM_SIZE]; /* of latency beyond the hold, ns */
};

struct example {
	uint16_t server_port, client_port;
	uint64_t hold_ticks;   /* what a request waits for its backend */
	uint64_t period_ticks; /* between two requests */
	uint64_t phase_ticks;
	uint32_t nr_phases;
	uint32_t nr_flights; /* a power of two */
	volatile uint32_t phase_now;
	volatile bool over, ready;
	uint64_t polls;
	struct phase phases[PHASES_MAX];
};

/** server_run() - the server's lcore; @example: struct example */
int server_run(void *example);

static inline uint32_t histogram_bucket(uint64_t ns)
{
	uint32_t octave;

	if (ns < HISTOGRAM_STEPS)
		return (uint32_t)ns;
	octave = 63u - (uint32_t)__builtin_clzll(ns);
	return (octave - 3) * HISTOGRAM_STEPS +
	       (uint32_t)(ns >> (octave - 4) & (HISTOGRAM_STEPS - 1));
}

static inline uint64_t histogram_value(uint32_t bucket)
{
	uint32_t octave = bucket / HISTOGRAM_STEPS + 3;

	if (bucket < HISTOGRAM_STEPS)
		return bucket;
	return (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS)
	       << (octave - 4);
}

#endif

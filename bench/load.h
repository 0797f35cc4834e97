/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: requests through a fleet of agents, and the triggers that name some
 * of them; shares with their intervals.
 *
 * Requests come at random (Poisson), visit every agent, and leave there a
 * payload of exponential size, drawn anew at each.
 */
#ifndef HS_BENCH_LOAD_H
#define HS_BENCH_LOAD_H

#include "base/random.h"
#include "bench/bench.h"
#include "bench/fleet.h"

#define HS_LOAD_AGENTS	     3u
#define HS_LOAD_PAYLOAD_MEAN 1200.0
#define HS_LOAD_PAYLOAD_MIN  100u
#define HS_LOAD_PAYLOAD_MAX  8000u
#define HS_LOAD_WARM_MS	     1000u

struct hs_load_request {
	uint8_t fired;		      /* bits of names */
	uint8_t shipped;	      /* bits of agents, in part */
	uint8_t shipped_early;	      /* while there was load */
	uint8_t early_whole;	      /* all of it, while there was load */
	uint8_t left[HS_LOAD_AGENTS]; /* buffers not shipped yet */
	bool cold;		      /* of the first HS_LOAD_WARM_MS */
	uint16_t after_ms;	      /* its trigger fired */
};

/* A trigger that is to fire in some round. */
struct hs_load_fire {
	uint32_t next; /* of that round */
	uint32_t request;
	uint16_t agent, name;
};

struct hs_load {
	struct hs_random random;
	struct hs_fleet *fleet;
	double per_ns; /* requests */
	double next_ns;
	struct hs_load_request *requests;
	uint32_t nr, room;
	struct hs_load_fire *fires;
	uint32_t nr_fires, room_fires;
	uint32_t *due; /* first fire of each round, from 1 */
	uint32_t nr_rounds, at_round;
	uint64_t payload_bytes;
	bool over;
};

/* Own: the fleet is the load's until hs_load_end(). */
void hs_load_begin(struct hs_load *l, struct hs_fleet *fleet, double per_s,
		   uint32_t nr_rounds, uint64_t seed);
void hs_load_end(struct hs_load *l);
struct hs_wire_trace_id hs_load_id(uint32_t request);
/** hs_load_arrives() - another request comes in this round */
bool hs_load_arrives(struct hs_load *l);
/** hs_load_write() - so much of a request at one agent */
void hs_load_write(struct hs_load *l, uint32_t agent, uint32_t request,
		   uint32_t bytes, uint32_t crumbs);
/** hs_load_arrive() - through all agents. Return: its number */
uint32_t hs_load_arrive(struct hs_load *l);
/** hs_load_fire_later() - at an agent by chance, while there is load */
void hs_load_fire_later(struct hs_load *l, uint32_t request, uint32_t name,
			uint32_t after_ms);
/** hs_load_round() - what is to fire fires, 1 ms passes */
void hs_load_round(struct hs_load *l);
/** hs_load_drain() - until all is quiet; aborts when it does not get so */
void hs_load_drain(struct hs_load *l);
bool hs_load_complete(const struct hs_load *l, uint32_t request);

/** hs_load_share() - @hits of @n, with Wilson's interval of 95 % */
void hs_load_share(struct hs_bench_result *r, uint64_t hits, uint64_t n);
/** hs_load_result() - the same as a result, with the share of null buffers */
struct hs_bench_result *hs_load_result(struct hs_bench_report *report,
				       const char *name, uint64_t hits,
				       uint64_t n, const struct hs_fleet *f);

#endif

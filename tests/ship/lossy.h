/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lossy.h - agents and one collector over a network that is bad by choice
 *
 * The two state machines of ship/ under virtual time: frames are lost,
 * repeated, late, overtaken and bent; producers write into what is under way;
 * the collector's disk is busy; connections end at any moment. Everything
 * follows from one seed.
 */
#ifndef HS_TESTS_SHIP_LOSSY_H
#define HS_TESTS_SHIP_LOSSY_H

#include <stdbool.h>
#include <stdint.h>

#define LOSSY_AGENTS_MAX 16u

struct lossy_plan {
	uint64_t seed;
	uint32_t nr_agents;
	uint32_t nr_slices; /* of each agent; 0: as many as duration lets it */
	uint32_t slice_min_bytes, slice_max_bytes;
	uint32_t slice_odd_bytes; /* of agents 1, 3, ...; 0: as of the others */
	uint32_t frame_bytes;
	double loss, repeat, bend; /* of each frame, both ways */
	uint64_t delay_ns, jitter_ns;
	uint64_t link_bytes_per_s; /* of the collector's link; 0: no limit */
	uint32_t link_queue_bytes; /* before it drops */
	uint64_t offered_per_s;	   /* bytes an agent wants to ship; 0: all */
	double modify; /* chance a slice that its producer writes to it */
	double busy;   /* chance that the collector cannot take a slice */
	uint64_t takes_per_s; /* bytes, by the collector; 0: no limit */
	double refuse;
	double cut;	      /* chance a millisecond that an end restarts */
	uint64_t settle_ns;   /* until a slice is durable */
	uint64_t duration_ns; /* virtual; 0: until all is settled */
	uint64_t idle_ns;     /* virtual; goes on so long after that */
	uint32_t nr_frames;   /* of the collector; 0: 4096 */
	bool tags;
};

struct lossy_result {
	bool done; /* all slices settled, everything checked */
	const char *why;
	uint64_t now_ns;
	uint64_t delivered_bytes; /* of slices, taken by the collector */
	uint64_t agent_bytes[LOSSY_AGENTS_MAX];
	uint64_t lost; /* frames, on the way */
	uint64_t link_drops, frames, frames_resent, modified, anew, downs;
	uint64_t twice;	      /* slices that came again after a reconnection */
	uint64_t held_most;   /* frames kept at once */
	uint64_t frames_idle; /* sent in idle_ns, by all agents */
};

/** lossy_run() - false in result->done comes with result->why */
void lossy_run(const struct lossy_plan *plan, struct lossy_result *result);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: some agents, a coordinator and a collector in one process, under
 * virtual time: the production logic of all three, with links that lose
 * nothing and answer in the next round. For measures of the logic's own
 * choices (hs-perf fairness); faults are hs-sim's.
 *
 * Requests are over when they are written: no handle is ever open.
 */
#ifndef HS_BENCH_FLEET_H
#define HS_BENCH_FLEET_H

#include "agent/core.h"
#include "collector/assembly.h"
#include "coordinator/core.h"

#define HS_FLEET_AGENTS_MAX 4u
#define HS_FLEET_NAMES_MAX  4u
#define HS_FLEET_ROUND_NS   1000000ull

struct hs_fleet_config {
	uint32_t nr_agents;
	uint64_t pool_bytes[HS_FLEET_AGENTS_MAX];
	uint64_t bytes_per_s[HS_FLEET_AGENTS_MAX]; /* reported; 0: no limit */
	uint32_t buffer_bytes;
	uint32_t kept_ppm, head_ppm;
	uint32_t nr_fired;    /* remembered by an agent; 0: its default */
	uint32_t nr_traces;   /* that may fire */
	bool has_coordinator; /* else nothing is told to anybody */
	uint32_t nr_names;
	char names[HS_FLEET_NAMES_MAX][HS_WIRE_NAME_BYTES];
};

struct hs_fleet_message {
	uint64_t due_ns;
	struct hs_fleet_message *next;
	uint32_t to;   /* agent; HS_FLEET_COORDINATOR, HS_FLEET_COLLECTOR */
	uint64_t from; /* id */
	uint16_t type;
	uint32_t bytes;
	uint8_t payload[] __attribute__((aligned(8)));
};
#define HS_FLEET_COORDINATOR 100u
#define HS_FLEET_COLLECTOR   101u

struct hs_fleet;
struct hs_fleet_agent {
	struct hs_fleet *fleet;
	uint32_t number;
	uint64_t id;
	struct hs_agent_core *core;
	void *memory[4];
	size_t size_bytes[4];
	uint32_t process;
	uint64_t nr_nulls; /* buffers that it did not get */
	uint64_t nr_buffers;
	uint64_t bytes_shipped;
};

struct hs_fleet {
	struct hs_fleet_config config;
	struct hs_fleet_agent agents[HS_FLEET_AGENTS_MAX];
	struct hs_coord_core *coordinator;
	struct hs_assembly *collector;
	void *memory[2];
	size_t size_bytes[2];
	struct hs_shm_trigger names[HS_FLEET_NAMES_MAX];
	uint64_t now_ns;
	struct hs_fleet_message *first, **last;
	/* Every slice that is sent; NULL: nobody looks. */
	void (*on_ship)(void *ctx, uint32_t agent,
			const struct hs_wire_slice *slice);
	void *on_ship_ctx;
};

/** hs_fleet_make() - Own: hs_fleet_drop(). Context: aborts without memory */
struct hs_fleet *hs_fleet_make(const struct hs_fleet_config *config);
void hs_fleet_drop(struct hs_fleet *fleet);
/**
 * hs_fleet_write() - @payload_bytes of a trace at one agent, in buffers
 * @crumbs: bits of the agents that are named there
 */
void hs_fleet_write(struct hs_fleet *fleet, uint32_t agent,
		    struct hs_wire_trace_id id, uint32_t payload_bytes,
		    uint32_t crumbs);
/** hs_fleet_fire() - @name is an index into the fleet's. */
void hs_fleet_fire(struct hs_fleet *fleet, uint32_t agent, uint32_t name,
		   struct hs_wire_trace_id id);
/** hs_fleet_collect() - as a coordinator would ask, for a trigger elsewhere */
void hs_fleet_collect(struct hs_fleet *fleet, uint32_t agent, uint32_t name,
		      struct hs_wire_trace_id id);
/** hs_fleet_round() - 1 ms passes for everybody */
void hs_fleet_round(struct hs_fleet *fleet);
/** hs_fleet_busy() - something is queued or on its way */
bool hs_fleet_busy(const struct hs_fleet *fleet);
/** hs_fleet_check() - aborts when a core does not add up */
void hs_fleet_check(const struct hs_fleet *fleet);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.h - the counts of operations over all requests: at the processes, on
 * their way (agent/tally.c, rdma/wire_tally.c), and on the collectors' disks
 */
#ifndef HS_TESTS_SIM_TALLY_H
#define HS_TESTS_SIM_TALLY_H

#include "agent/tally.h"
#include "rdma/wire_tally.h"
#include "tests/sim/sim.h"

void sim_tally_create(struct sim *s);
void sim_tally_destroy(struct sim *s);

/* tally.c: at the nodes */
void sim_tally_attach(struct sim *s, uint32_t node, uint32_t process);
/* A handle that ended counts. */
void sim_tally_count(struct sim *s, const struct sim_handle *h);
/* A worker reads a process's counts; for the last time; what the dead left. */
void sim_tally_round(struct sim *s, uint32_t node, uint32_t process);
void sim_tally_bury(struct sim *s, uint32_t node, uint32_t process);
void sim_tally_dead_round(struct sim *s, uint32_t node);
void sim_tally_acked(struct sim *s, uint32_t node, const struct sim_message *m);
/* What only the worker, or only this machine's memory, knew is lost. */
void sim_tally_worker_died(struct sim *s, uint32_t node);
void sim_tally_reboot(struct sim *s, uint32_t node);

/* tally_store.c: at the collectors */
void sim_tally_take(struct sim *s, uint32_t coll, const struct sim_message *m);
/* All of it is on the disk, and acknowledged; or none of it. */
void sim_tally_commit(struct sim *s, uint32_t coll, bool lost);

bool sim_tally_quiet(const struct sim *s);
void sim_tally_judge(struct sim *s);

/* ---- for tally.c and tally_store.c ---------------------------------------
 */

#define SIM_OPERATIONS	   4u
#define SIM_TALLY_BUCKETS  6u
#define SIM_TALLY_ACKS_MAX 256u

struct sim_counts {
	uint64_t errors, buckets[SIM_TALLY_BUCKETS];
};

/* A process that ever was, and what it really counted. */
struct sim_counted {
	struct sim_counted *next;
	uint64_t node;
	uint32_t process;
	bool lacks; /* the last that it counted may be lost: with its worker */
	struct sim_counts counts[SIM_OPERATIONS];
};

/* What a collector has of one operation of a process. */
struct sim_tally_row {
	uint64_t node;
	uint32_t process, operation;
	struct hs_tally_counts now, durable;
	bool fresh; /* it changed since the last commit */
};

struct sim_tally_disk {
	struct sim_tally_row *rows;
	uint32_t nr, room;
	struct hs_tally_counts sums[SIM_OPERATIONS];
	struct hs_tally_counts durable_sums[SIM_OPERATIONS];
	struct {
		uint32_t to;
		struct hs_wire_tally_ack ack;
	} acks[SIM_TALLY_ACKS_MAX];
	uint32_t nr_acks;
};

struct sim_tally_dead {
	struct sim_tally_dead *next;
	struct sim_counted *of;
	uint64_t seq, next_ns;
	uint32_t bytes;
	uint8_t data[];
};

struct sim_tally_process {
	struct hs_tally_source source;
	struct sim_counted *counted;
	uint64_t next_ns;
	bool told; /* nothing was counted since all was acknowledged */
};

struct sim_tally_node {
	struct sim_tally_process procs[SIM_PROCS_MAX];
	struct sim_tally_dead *dead;
};

struct sim_tallies {
	struct sim_counted *counted;
	struct sim_tally_node *nodes;
	struct sim_tally_disk disks[SIM_SERVERS_MAX];
	uint64_t seq;
};

/* Which of the buckets of the wire one of ours is. */
static inline uint32_t sim_tally_bucket(uint32_t bucket)
{
	return bucket * 50;
}

#endif

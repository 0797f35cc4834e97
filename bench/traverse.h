/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hs-perf traverse: what its parts share. A plan says of every trace
 * by its number which nodes it visited and which crumbs it left there, so that
 * the processes that write traces and the one that measures need not tell each
 * other.
 */
#ifndef HS_BENCH_TRAVERSE_H
#define HS_BENCH_TRAVERSE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "bench/bench.h"
#include "hs/hindsight.h"

#define HS_TRAVERSE_NODES_MAX 64u
#define HS_TRAVERSE_TRIGGER   "traverse"

/* ---- plan: traverse_plan.c ---------------------------------------------- */

enum hs_traverse_shape {
	HS_TRAVERSE_CHAIN,  /* each names the one before it and the next */
	HS_TRAVERSE_FAN,    /* one calls all the others */
	HS_TRAVERSE_GRAPHS, /* drawn from a file of tests/sim/graphs.py */
};

struct hs_traverse_graphs;

struct hs_traverse_plan {
	enum hs_traverse_shape shape;
	uint32_t nr_nodes;   /* of the fabric */
	uint32_t nr_visits;  /* of a chain or fan-out */
	uint32_t nr_origins; /* nodes where triggers fire, from 0 */
	uint64_t seed;
	struct hs_traverse_graphs *graphs;
};

/* One trace; nodes are bits. */
struct hs_traverse_trace {
	struct hs_trace_id id;
	uint32_t origin; /* where its trigger fires */
	uint64_t visited;
	uint64_t back[HS_TRAVERSE_NODES_MAX];
	uint64_t forward[HS_TRAVERSE_NODES_MAX];
};

/** hs_traverse_plan_make() - @shape: "chain", "fan" or a file of graphs.
 * Return: 0 or -errno, with a line on stderr */
int hs_traverse_plan_make(struct hs_traverse_plan *plan, const char *shape);
void hs_traverse_plan_free(struct hs_traverse_plan *plan);
void hs_traverse_plan_trace(const struct hs_traverse_plan *plan, uint64_t i,
			    struct hs_traverse_trace *out);

/* When the k-th of a rate's triggers is due, after the first: by Poisson. */
struct hs_traverse_clock {
	uint64_t state;
	double at_ns, gap_ns;
};
void hs_traverse_clock_begin(struct hs_traverse_clock *c, uint64_t seed,
			     double per_s);
uint64_t hs_traverse_clock_next(struct hs_traverse_clock *c);
/** hs_traverse_wait_until() - sleep; not at all where it is past. On the
 * monotonic clock */
void hs_traverse_wait_until(uint64_t due_ns);

/* ---- processes: traverse_proc.c ------------------------------------------ */

/* What a daemon has used up since it began. */
struct hs_traverse_cost {
	uint64_t cpu_ns; /* of all its threads and children */
	uint64_t messages_sent, messages_received;
	uint64_t system_calls; /* of the transport */
	uint64_t waits;	       /* of the loop around it */
	uint64_t bytes_sent;
	uint64_t reads, reads_hit; /* of crumbs ahead of answers */
};

/** hs_traverse_cost() - of the daemon @pid that answers at @door; false: it
 * does not answer */
bool hs_traverse_cost(pid_t pid, const char *door, const char *key,
		      struct hs_traverse_cost *out);
/** hs_traverse_number() - stats.@key of a daemon's status, 0 if there is none
 */
uint64_t hs_traverse_number(const char *door, const char *group,
			    const char *key);
void hs_traverse_cost_add(struct hs_traverse_cost *to,
			  const struct hs_traverse_cost *more, int sign);

/* ---- the ends of the wire: traverse_tap.c ---------------------------------
 */

struct hs_traverse_tap;

/**
 * hs_traverse_tap_start() - a relay between coordinators and the collector
 * @listen: where coordinators connect to what they take for the collector
 * @collector: the real one's address
 * @settled_ns: for each trace, when its first settled manifest came by; 0: not
 * @nr_answers: for each trace, of the latest manifest of it
 *
 * A thread of its own: @nr_answers is read when it is over. NULL: with a line
 * on stderr.
 */
struct hs_traverse_tap *
hs_traverse_tap_start(const char *carrier, const char *listen,
		      const char *collector, uint64_t *settled_ns,
		      uint16_t *nr_answers, uint64_t nr_traces);
/* "host:port" that coordinators can dial. */
const char *hs_traverse_tap_address(const struct hs_traverse_tap *tap);
/** hs_traverse_tap_stored() - manifests that the collector acknowledged */
uint64_t hs_traverse_tap_stored(const struct hs_traverse_tap *tap);
void hs_traverse_tap_stop(struct hs_traverse_tap *tap);

/* ---- the whole: traverse_fabric.c ------------------------------------------
 */

#define HS_TRAVERSE_COORDINATORS_MAX 4u

struct hs_traverse_options {
	const char *carrier;
	const char *listen; /* a host of this machine, without a port */
	const char *hosts;  /* a file, or NULL */
	const char *shape;  /* as given */
	uint32_t nr_coordinators;
	uint64_t nr_traces;  /* all that there will be */
	uint64_t slice_rate; /* of an agent; 0: no limit */
	uint64_t pool_bytes;
	bool realtime; /* agents and coordinators run by SCHED_RR */
	struct hs_traverse_plan plan;
};

/* A node: hs-perf traverse-node, here or on a host, which has an hs-agent. */
struct hs_traverse_node {
	pid_t pid;
	FILE *to, *from;
	char prefix[256]; /* what runs a command on its host; "": none */
	uint64_t id;
};

struct hs_traverse_fabric {
	const struct hs_traverse_options *options;
	char dir[64];
	pid_t coordinators[HS_TRAVERSE_COORDINATORS_MAX];
	char doors[HS_TRAVERSE_COORDINATORS_MAX][96];
	char addresses[HS_TRAVERSE_COORDINATORS_MAX][128];
	pid_t collector;
	char collector_address[128], collector_door[96];
	struct hs_traverse_tap *tap;
	struct hs_traverse_node nodes[HS_TRAVERSE_NODES_MAX];
	uint64_t *settled_ns;
	uint16_t *nr_answers;
};

/** hs_traverse_fabric_start() - Return: 0 or -errno, with a line on stderr.
 * Own: hs_traverse_fabric_stop(), after a failure, too */
int hs_traverse_fabric_start(struct hs_traverse_fabric *f,
			     const struct hs_traverse_options *options);
void hs_traverse_fabric_stop(struct hs_traverse_fabric *f);
/** hs_traverse_say() - a command to one node; Return: 0 or -errno */
int hs_traverse_say(struct hs_traverse_node *n, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/** hs_traverse_hear() - its answer, which begins with @word; NULL: another */
const char *hs_traverse_hear(struct hs_traverse_node *n, const char *word,
			     char *line, size_t line_bytes);

/* ---- one rate: traverse_point.c -------------------------------------------
 */

/* Sleeps until times that are due, and how late it wakes: what this machine
 * does to anybody, at the same time. */
struct hs_traverse_control {
	double p50_us, p99_us, max_us;
	uint64_t n;
};

/* ---- what waking up in turn takes: traverse_chain.c -----------------------
 */

#define HS_TRAVERSE_CHAIN_MAX (2 * HS_TRAVERSE_NODES_MAX + 2)

struct hs_traverse_chain;

/**
 * hs_traverse_chain_begin() - a message through sleepers, a hundred times a
 * second
 * @nr_wakes: how many are woken up one after the other
 *
 * NULL: no memory, threads or descriptors. Own: hs_traverse_chain_end().
 */
struct hs_traverse_chain *hs_traverse_chain_begin(uint32_t nr_wakes);
void hs_traverse_chain_end(struct hs_traverse_chain *c,
			   struct hs_traverse_control *out);
/** hs_traverse_wakes() - messages of a trigger of @plan, one after the other */
uint32_t hs_traverse_wakes(const struct hs_traverse_plan *plan);

struct hs_traverse_point {
	double per_s;
	uint64_t first, nr; /* traces */
	uint64_t seed, at_ns;
	uint64_t nr_refused, nr_settled;
	uint64_t spread_ns; /* from the first due to the last settled */
	double *us;	    /* of each that was settled, ascending */
	struct hs_traverse_control control, chain;
	struct hs_traverse_cost coordinators, agents, collector;
	double agents_cpu_max_us; /* a trigger, of the busiest agent */
};

/** hs_traverse_write() - the next @nr traces at all nodes; false: some lost */
bool hs_traverse_write(struct hs_traverse_fabric *f, uint64_t first,
		       uint64_t nr);
/**
 * hs_traverse_point_run() - fire @p->nr triggers and wait until they are told
 * @during: called once while they fire, after half of them are due; may be NULL
 *
 * Own: hs_traverse_point_free(). Return: 0 or -errno.
 */
int hs_traverse_point_run(struct hs_traverse_fabric *f,
			  struct hs_traverse_point *p,
			  void (*during)(struct hs_traverse_fabric *f));
void hs_traverse_point_free(struct hs_traverse_point *p);
/* When the trigger of @p's k-th trace was due. Own: free(); aborts without
 * memory. */
uint64_t *hs_traverse_point_due(const struct hs_traverse_point *p);

#endif

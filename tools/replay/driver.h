/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of a replay: forks the nodes' application processes, lets the
 * plan's traces arrive when the source says (divided by the speed), and waits
 * until everything has been done. Open loop: an arrival does not wait for what
 * came before, but for a bound on what is under way.
 *
 * Context: one thread; forks, so call it before there are others.
 */
#ifndef HS_REPLAY_DRIVER_H
#define HS_REPLAY_DRIVER_H

#include <signal.h>
#include <sys/types.h>

#include "tools/replay/conn.h"
#include "tools/replay/node.h"
#include "tools/replay/plan.h"

/* Fragments under way at most; more arrivals wait, and cost speed. */
#define HS_REPLAY_IN_FLIGHT_MAX 20000u

struct hs_replay_driver {
	const struct hs_replay_plan *plan;
	double speed;
	bool progress; /* draw a line on stderr */
	/* Set from outside to give up (SIGINT). */
	const volatile sig_atomic_t *cancelled;

	uint32_t nr_nodes;
	pid_t pids[HS_REPLAY_NODES_MAX];
	struct hs_replay_conn *conns;
	struct hs_replay_node_state states[HS_REPLAY_NODES_MAX];
	bool gone[HS_REPLAY_NODES_MAX]; /* its socket has ended */
	uint64_t nr_asked;		/* fragments of traces that arrived */
	uint64_t drawn_ns;
};

/**
 * hs_replay_driver_start() - fork the nodes and wait until all are attached
 * @driver: zeroed, with plan, speed, progress and cancelled filled in
 * @sockets: of the nodes' agents
 *
 * Return: 0, or negative errno, said on stderr.
 */
int hs_replay_driver_start(struct hs_replay_driver *driver,
			   const char *const *sockets);

/** hs_replay_driver_due_ns() - when a trace arrives, since the first one */
uint64_t hs_replay_driver_due_ns(const struct hs_replay_driver *driver,
				 uint32_t trace);

/* Let every trace arrive and be done. Return: 0, -ECANCELED, -EPIPE a node
 * died, -ETIMEDOUT no progress. */
int hs_replay_driver_run(struct hs_replay_driver *driver);

/* Detach the nodes and wait for their end; also after errors. */
int hs_replay_driver_stop(struct hs_replay_driver *driver);

/* Source's time between first and last arrival over ours; 0: no time. */
double hs_replay_driver_speed(const struct hs_replay_driver *driver);

#endif

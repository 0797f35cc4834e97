/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fabric of hs-replay's own: a directory with the configurations, sockets
 * and logs of N agents, one coordinator and one collector, started as children
 * and ended with everything they made. It touches no process but its own
 * children.
 */
#ifndef HS_REPLAY_HOUSE_H
#define HS_REPLAY_HOUSE_H

#include <stdbool.h>
#include <sys/types.h>

#include "tools/fabric.h"

#define HS_REPLAY_DAEMONS_MAX (HS_FABRIC_NODES_MAX + 2u)

struct hs_replay_daemon {
	char name[32];	  /* "agent-0", also of its files */
	char program[32]; /* "hs-agent" */
	char control[HS_FABRIC_PATH_BYTES];
	pid_t pid;
};

struct hs_replay_house {
	char dir[256];
	uint64_t pool_bytes; /* of each agent's domain */
	/* NULL: over TCP; else addresses of RDMA devices by commas, of the
	 * coordinator, the collector, then the agents, and around again */
	const char *ship; /* carrier of slices; NULL: the transport */
	const char *verbs_hosts;
	const char *limits; /* lines of YAML for all agents' limits, or NULL */
	const char *yaml;   /* the same, at the end; NULL: none */
	/* Of single nodes instead; 0: pool_bytes */
	uint64_t pool_bytes_of[HS_FABRIC_NODES_MAX];
	bool keep; /* leave it running, unless it did not start */
	bool running;
	struct hs_fabric fabric;
	uint32_t nr_daemons;
	struct hs_replay_daemon daemons[HS_REPLAY_DAEMONS_MAX];
	uint16_t coordinator_port, collector_port;
};

/**
 * hs_replay_house_start() - start it all and wait until everybody answers
 * @house: zeroed, with pool_bytes and keep filled in
 * @dir: where; made when missing; NULL for a temporary directory
 *
 * Return: 0, or negative errno, said on stderr with the end of the log of the
 *	daemon that failed; hs_replay_house_stop() is wanted in every case.
 */
int hs_replay_house_start(struct hs_replay_house *house, uint32_t nr_nodes,
			  const char *dir);

/* Ends and purges the daemons, and removes the directory; unless it is to be
 * kept. */
void hs_replay_house_stop(struct hs_replay_house *house);

/* Name of the first daemon that has ended by itself, or NULL. */
const char *hs_replay_house_dead(struct hs_replay_house *house);

/* The daemons' configurations; house_config.c. 0 or negative errno. */
int hs_replay_house_configure(struct hs_replay_house *house);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell.h - the core with a transport, a clock and a control door around it
 *
 * Context: one thread runs the shell; the door's thread looks in under the
 * lock, which the shell lets go of while it waits.
 */
#ifndef HS_COORDINATOR_SHELL_H
#define HS_COORDINATOR_SHELL_H

#include <pthread.h>

#include "base/httpd.h"
#include "coordinator/settings.h"
#include "rdma/members.h"
#include "rdma/source.h"

struct hs_coordinator {
	const struct hs_coordinator_settings *settings;
	pthread_mutex_t lock;
	struct hs_transport *transport;
	char transport_why[HS_TRANSPORT_WHY_BYTES];
	struct hs_coord_core *core;
	void *memory;
	size_t memory_bytes;
	struct hs_members *members;
	struct hs_sources *sources;
	uint64_t members_version; /* that the core has heard of */
	char announced_as[HS_MEMBER_ADDRESS_BYTES + 16];
	struct hs_httpd *httpd;
	uint64_t node;
	uint64_t epoch;
	uint64_t started_ns;
	uint64_t now_ns; /* of this turn */
	uint64_t waits;	 /* system calls of the loop that waits for events */
	uint64_t messages_misplaced; /* of a role that does not say that */
	int port;
	int epoll_fd; /* the loop's, and the transport's where it can */
	int stop_fd;  /* an eventfd: the door asks for the end */
};

/** hs_coordinator_open() - listen, dial, open the door; logs what fails.
 * Return: 0; -errno */
int hs_coordinator_open(struct hs_coordinator *c,
			const struct hs_coordinator_settings *settings);
/** hs_coordinator_run() - until @signal_fd or the door says so */
int hs_coordinator_run(struct hs_coordinator *c, int signal_fd);
void hs_coordinator_close(struct hs_coordinator *c);

/** hs_control_open() - control.c: the door. Return: 0; -errno */
int hs_control_open(struct hs_coordinator *c);

#endif

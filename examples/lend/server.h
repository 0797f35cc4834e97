/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what main.c sets up for the server's lcore (server.c). */
#ifndef HS_EXAMPLE_LEND_SERVER_H
#define HS_EXAMPLE_LEND_SERVER_H

#include <signal.h>
#include <stdint.h>

#include <hs/hindsight.h>
#include <hs/lend.h>

struct server {
	uint16_t port;	   /* of DPDK */
	uint32_t ip;	   /* ours, in network order */
	uint16_t udp_port; /* the same, where requests come */
	struct hs_lend *lend;
	struct hs_trigger *asked;
	uint64_t requests, others;
	volatile sig_atomic_t over;
};

/** server_run() - until over is set */
void server_run(struct server *s);

#endif

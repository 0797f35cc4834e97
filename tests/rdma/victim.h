/* SPDX-License-Identifier: Apache-2.0 */
/*
 * victim.h - a transport that listens, for who does not play by the rules
 */
#ifndef HS_TESTS_VICTIM_H
#define HS_TESTS_VICTIM_H

#include "rdma/transport.h"
#include "tests/rdma/until.h"

/* A coordinator, node 77, that listens at 127.0.0.1:port. */
extern struct hs_transport *t;
extern int port;
extern uint32_t nr_up, nr_down, nr_messages, last_up;
extern const struct hs_transport_events events; /* which count these */

/** victim_open() - one of that carrier; @key_file and @limits may be NULL */
void victim_open(struct hs_transport *(*create)(
			 const struct hs_transport_self *self,
			 const struct hs_transport_limits *limits,
			 const struct hs_transport_events *events, void *ctx),
		 const char *key_file,
		 const struct hs_transport_limits *limits);
int teardown(void **state);
void turn(void);
struct hs_transport_stats stats(void);
uint64_t cut(enum hs_transport_cause cause);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_other.h - a transport over shared memory, and the other side by hand
 *
 * Its socket and its memory are in the test's hands, to say with them what no
 * peer of ours would.
 */
#ifndef HS_TESTS_SHM_OTHER_H
#define HS_TESTS_SHM_OTHER_H

#include "base/memfd.h"
#include "hs/ring_format.h"
#include "rdma/shm_ring.h"
#include "tests/rdma/victim.h"

int setup(void **state);
/** another() - that does not listen */
struct hs_transport *another(uint64_t node, uint64_t idle_ns, void *ctx,
			     const struct hs_transport_events *e);

struct other {
	int fd;
	struct hs_memfd ours, theirs;
	struct hs_shm_ring ring;
	uint64_t seq;
};

void dial(struct other *o);
void hang_up(struct other *o);
struct hs_ring_hello good_hello(void);
void say_hello(struct other *o, const struct hs_ring_hello *h, int fd);
void hear_hello(struct other *o);
/** take_hello() - the same in a process of its own: the transport is another's
 */
void take_hello(struct other *o);
void ring(struct other *o);
void say(struct other *o, uint16_t type, const void *payload, uint32_t size);
/** connect_with() - until it is up; its HELLO has these */
void connect_with(struct other *o, enum hs_wire_role role, uint32_t flags);
void connect_as_peer(struct other *o); /* an agent */
/** memory() - one that nobody filled, with these seals */
int memory(size_t bytes, int seals);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what calls travel over. Rings in shared memory lie in the world;
 * TCP is a connection for each caller and whom it calls, over loopback, made by
 * the launcher before it forks, so that nobody has to be found; each process
 * keeps its own ends. Over DPDK such a connection is a port at each end, made
 * by the threads themselves, since DPDK does not outlive a fork.
 */
#ifndef HS_BENCH_SERVICES_OVER_H
#define HS_BENCH_SERVICES_OVER_H

#include "bench/services/world.h"

/* The rings of a pair, as one side has them. */
struct hs_svc_way {
	struct hs_svc_ring *calls, *replies;
};

/** hs_svc_over_connect() - what has to be there before processes are. Own:
 * hs_svc_over_free(). Return: 0, or -errno with a line on stderr */
int hs_svc_over_connect(struct hs_svc_world *world, bool generator_inline);
void hs_svc_over_free(struct hs_svc_world *world);
/** hs_svc_over_leave() - the launcher, once it has forked: who ends is to be
 * missed by those it is connected to */
void hs_svc_over_leave(struct hs_svc_world *world);
/** hs_svc_over_keep() - in @process: the ends of others are closed, and DPDK is
 * started. Return: 0 or -errno */
int hs_svc_over_keep(struct hs_svc_world *world, uint32_t process,
		     bool generator_inline);
/** hs_svc_over_links() - of a loop or the generator, none yet. Own:
 * hs_svc_links_close(). Return: 0, -ENOMEM */
int hs_svc_over_links(struct hs_svc_world *world, struct hs_svc_links *links);
/**
 * hs_svc_over_way() - one side of @pair
 * @who: the loop at the other end
 * Return: 0 or -errno
 */
int hs_svc_over_way(struct hs_svc_world *world, struct hs_svc_links *links,
		    uint32_t pair, bool caller, uint16_t who,
		    struct hs_svc_way *out);
/**
 * hs_svc_over_wait() - until whoever a thread's links connect to is there
 * @loop: its loop's, or NULL
 * @generator: or NULL; at the other end of one there may be the other
 * Return: 0, -ETIMEDOUT
 */
int hs_svc_over_wait(struct hs_svc_world *world, struct hs_svc_links *loop,
		     struct hs_svc_links *generator);
/** hs_svc_over_part() - @nr threads of all processes poll no more: nobody is in
 * memory that goes with a connection. Or some have waited for two seconds */
void hs_svc_over_part(struct hs_svc_world *world, uint32_t nr);
/** hs_svc_over_gone() - a connection that ended without being asked to ends the
 * process, with a line that names who was at its other end */
void hs_svc_over_gone(struct hs_svc_world *world, uint32_t loop,
		      const struct hs_svc_links *links);

#endif

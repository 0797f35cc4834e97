/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what the kernel dropped in the network namespaces of a run, which
 * are new for it, so that what is counted there is its own. */
#ifndef HS_BENCH_SHARE_DROPS_H
#define HS_BENCH_SHARE_DROPS_H

#include <stdint.h>
#include <sys/types.h>

struct hs_bench_drops {
	uint64_t socket;  /* UDP: no room in a socket's buffer */
	uint64_t udp;	  /* other datagrams that came and went to nobody */
	uint64_t devices; /* of the veth's ends, both ways */
};

/** hs_bench_drops_read() - of two processes that live there. 0 or -errno */
int hs_bench_drops_read(struct hs_bench_drops *out, pid_t from, pid_t to);
uint64_t hs_bench_drops_sum(const struct hs_bench_drops *drops);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: two network namespaces joined by a veth pair, for one run. */
#ifndef HS_BENCH_SHIP_LINK_H
#define HS_BENCH_SHIP_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct hs_bench_link {
	char names[2][32]; /* of the namespaces: from, to */
};

/** hs_bench_link_make() - needs root and ip(8). 0, or -errno with a line */
int hs_bench_link_make(struct hs_bench_link *link, uint32_t mtu);
/** hs_bench_link_join() - this process lives at one end now. 0 or -errno */
int hs_bench_link_join(const struct hs_bench_link *link, bool from);
void hs_bench_link_drop(const struct hs_bench_link *link);

#endif

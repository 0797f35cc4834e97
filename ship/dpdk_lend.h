/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk_lend.h - memory that is not DPDK's, in its frames
 *
 * An mbuf of a pool without data room is attached where the bytes lie. Only in
 * memory that was registered: a device behind an IOMMU reaches no other.
 *
 * Bytes are given back when their mbuf is freed. Some drivers free one only
 * when they need its place in the ring again, and have no call to ask for it
 * (e1000e); these are asked for the state of the descriptor instead, and bytes
 * are given back when the device is done with them. Each segment takes one
 * descriptor there, since nothing is offloaded.
 *
 * Context: the port's thread.
 */
#ifndef HS_SHIP_DPDK_LEND_H
#define HS_SHIP_DPDK_LEND_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "ship/port.h"

#define HS_DPDK_DESCRIPTORS 1024u
#define HS_DPDK_REGIONS	    256u

/* Stands behind an mbuf, for as long as it is attached. */
struct hs_dpdk_foreign {
	struct rte_mbuf_ext_shared_info shared;
	uint32_t *users; /* NULL: given back already */
	uint32_t serial; /* of what it is attached to */
};

/* A segment on its way through the device. */
struct hs_dpdk_posted {
	struct hs_dpdk_foreign *foreign;
	uint32_t serial;
	uint64_t end; /* descriptors up to its packet's last one */
};

struct hs_dpdk_lend {
	struct rte_mempool *pool;
	uint16_t port;
	bool asks; /* by descriptors */
	struct {
		uintptr_t base;
		uint64_t bytes;
	} regions[HS_DPDK_REGIONS];
	uint32_t nr_regions, last_region;
	uint32_t serial;
	struct hs_dpdk_posted posted[HS_DPDK_DESCRIPTORS];
	uint64_t first, next; /* of posted */
	uint64_t descriptors; /* used ever */
	uint64_t bytes;	      /* lent ever */
};

/** hs_dpdk_lend_make() - 0 or -errno */
int hs_dpdk_lend_make(struct hs_dpdk_lend *l, uint16_t port);
void hs_dpdk_lend_free(struct hs_dpdk_lend *l);
/** hs_dpdk_lend_add() - memory that may be lent; -ENOSPC: too many pieces */
int hs_dpdk_lend_add(struct hs_dpdk_lend *l, const void *base, uint64_t bytes);
bool hs_dpdk_lend_has(struct hs_dpdk_lend *l, const void *data, uint32_t bytes);
/** hs_dpdk_lend_borrow() - an mbuf over the span; NULL: none to be had now */
struct rte_mbuf *hs_dpdk_lend_borrow(struct hs_dpdk_lend *l,
				     const struct hs_ship_port_span *span);
/** hs_dpdk_lend_burst() - as rte_eth_tx_burst() */
uint16_t hs_dpdk_lend_burst(struct hs_dpdk_lend *l, struct rte_mbuf **packets,
			    uint16_t nr);
/** hs_dpdk_lend_reap() - give back what the device is done with */
void hs_dpdk_lend_reap(struct hs_dpdk_lend *l);

#endif

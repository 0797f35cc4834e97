/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see dpdk_lend.h. */
#include "ship/dpdk_lend.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

#define FOREIGN	     16384u
#define COMPLETED_AT 256u /* descriptors that may wait to be looked at */

int hs_dpdk_lend_make(struct hs_dpdk_lend *l, uint16_t port)
{
	l->port = port;
	l->pool = rte_pktmbuf_pool_create("foreign", FOREIGN, 256,
					  sizeof(struct hs_dpdk_foreign), 0,
					  SOCKET_ID_ANY);
	return l->pool ? 0 : -rte_errno;
}

void hs_dpdk_lend_free(struct hs_dpdk_lend *l)
{
	rte_mempool_free(l->pool);
}

int hs_dpdk_lend_add(struct hs_dpdk_lend *l, const void *base, uint64_t bytes)
{
	if (l->nr_regions == HS_DPDK_REGIONS)
		return -ENOSPC;
	l->regions[l->nr_regions].base = (uintptr_t)base;
	l->regions[l->nr_regions++].bytes = bytes;
	return 0;
}

static bool within(const struct hs_dpdk_lend *l, uint32_t region, uintptr_t at,
		   uint32_t bytes)
{
	uint64_t offset = at - l->regions[region].base;

	return at >= l->regions[region].base &&
	       offset <= l->regions[region].bytes &&
	       bytes <= l->regions[region].bytes - offset;
}

bool hs_dpdk_lend_has(struct hs_dpdk_lend *l, const void *data, uint32_t bytes)
{
	uintptr_t at = (uintptr_t)data;

	if (l->nr_regions && within(l, l->last_region, at, bytes))
		return true;
	for (uint32_t i = 0; i < l->nr_regions; i++) {
		if (!within(l, i, at, bytes))
			continue;
		l->last_region = i;
		return true;
	}
	return false;
}

static void give_back(struct hs_dpdk_foreign *f)
{
	if (f->users)
		--*f->users;
	f->users = NULL;
}

static void freed(void *addr, void *opaque)
{
	(void)addr;
	give_back(opaque);
}

struct rte_mbuf *hs_dpdk_lend_borrow(struct hs_dpdk_lend *l,
				     const struct hs_ship_port_span *span)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);
	struct hs_dpdk_foreign *f;

	if (!m)
		return NULL;
	f = rte_mbuf_to_priv(m);
	f->users = span->users;
	f->serial = ++l->serial;
	f->shared.free_cb = freed;
	f->shared.fcb_opaque = f;
	rte_mbuf_ext_refcnt_set(&f->shared, 1);
	rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)span->data,
				  (rte_iova_t)(uintptr_t)span->data,
				  (uint16_t)span->bytes, &f->shared);
	m->data_off = 0;
	m->data_len = (uint16_t)span->bytes;
	m->pkt_len = span->bytes;
	++*span->users;
	l->bytes += span->bytes;
	return m;
}

/* Before it goes: afterwards its segments may be anything. */
static void post(struct hs_dpdk_lend *l, const struct rte_mbuf *packet)
{
	l->descriptors += packet->nb_segs;
	for (const struct rte_mbuf *m = packet; m; m = m->next) {
		struct hs_dpdk_foreign *f;

		if (m->pool != l->pool)
			continue;
		f = rte_mbuf_to_priv((struct rte_mbuf *)(uintptr_t)m);
		/* No more than there are descriptors: the oldest is over. */
		if (l->next - l->first == HS_DPDK_DESCRIPTORS)
			l->first++;
		l->posted[l->next++ % HS_DPDK_DESCRIPTORS] =
			(struct hs_dpdk_posted){f, f->serial, l->descriptors};
	}
}

uint16_t hs_dpdk_lend_burst(struct hs_dpdk_lend *l, struct rte_mbuf **packets,
			    uint16_t nr)
{
	uint64_t next = l->next, descriptors = l->descriptors;

	if (!l->asks)
		return rte_eth_tx_burst(l->port, 0, packets, nr);
	/* One by one, so that what was not taken can be struck out. */
	post(l, packets[0]);
	if (rte_eth_tx_burst(l->port, 0, packets, 1))
		return 1;
	l->next = next > l->first ? next : l->first;
	l->descriptors = descriptors;
	return 0;
}

/* The state of the @behind-th descriptor behind the next one to be used. */
static bool is_done(const struct hs_dpdk_lend *l, uint64_t behind)
{
	if (behind >= HS_DPDK_DESCRIPTORS)
		return true;
	return rte_eth_tx_descriptor_status(
		       l->port, 0,
		       (uint16_t)(HS_DPDK_DESCRIPTORS - 1 - behind)) ==
	       RTE_ETH_TX_DESC_DONE;
}

void hs_dpdk_lend_reap(struct hs_dpdk_lend *l)
{
	uint64_t done = UINT64_MAX;

	if (!l->asks) {
		(void)rte_eth_tx_done_cleanup(l->port, 0, COMPLETED_AT);
		return;
	}
	for (; l->first != l->next; l->first++) {
		const struct hs_dpdk_posted *p =
			&l->posted[l->first % HS_DPDK_DESCRIPTORS];

		if (p->end != done && !is_done(l, l->descriptors - p->end))
			return;
		done = p->end;
		/* The driver may have freed it, and it been used again. */
		if (p->foreign->serial == p->serial)
			give_back(p->foreign);
	}
}

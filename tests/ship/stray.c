/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see stray.h. */
#include "tests/ship/stray.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#define ETHER_TYPE   0x88b5 /* of local experiments */
#define PATIENCE     500u   /* of 10 ms */
#define KLOG_BYTES   (1u << 20)
#define KLOG_READ    3 /* SYSLOG_ACTION_READ_ALL */
#define PAGE_BYTES   4096u
#define STRAY_MAPPED 'm'
#define STRAY_NOT    'u'

/* What stands behind the Ethernet header, in DPDK's own memory. */
struct stray_head {
	struct rte_ether_hdr ether;
	uint8_t kind; /* STRAY_* */
	uint8_t seed; /* of the bytes */
};

static void fill(uint8_t *bytes, uint8_t seed)
{
	for (uint32_t i = 0; i < STRAY_BYTES; i++)
		bytes[i] = (uint8_t)(seed + i * 7);
}

/* ---- the receiver's -------------------------------------------------------
 */

static void count(struct stray_seen *seen, const struct rte_mbuf *m)
{
	const struct stray_head *head =
		rte_pktmbuf_mtod(m, const struct stray_head *);
	uint8_t expect[STRAY_BYTES];

	if (m->data_len < sizeof(*head) + STRAY_BYTES ||
	    head->ether.ether_type != rte_cpu_to_be_16(ETHER_TYPE))
		return;
	fill(expect, head->seed);
	if (memcmp(head + 1, expect, STRAY_BYTES) != 0)
		__atomic_add_fetch(&seen->other, 1, __ATOMIC_RELAXED);
	else if (head->kind == STRAY_MAPPED)
		__atomic_add_fetch(&seen->mapped, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&seen->unmapped, 1, __ATOMIC_RELAXED);
}

static uint16_t look(uint16_t port, uint16_t queue, struct rte_mbuf *packets[],
		     uint16_t nr, uint16_t max, void *seen)
{
	(void)port;
	(void)queue;
	(void)max;
	for (uint16_t i = 0; i < nr; i++)
		count(seen, packets[i]);
	return nr;
}

bool stray_watch(struct stray_seen *seen)
{
	return rte_eth_add_rx_callback(0, 0, look, seen) != NULL;
}

/* ---- the sender's ---------------------------------------------------------
 */

static void freed(void *addr, void *opaque)
{
	(void)addr;
	(void)opaque;
}

static bool send_one(struct rte_mempool *pool, const uint8_t *bytes,
		     uint8_t kind, uint8_t seed)
{
	static struct rte_mbuf_ext_shared_info shared[2];
	struct rte_mbuf_ext_shared_info *info = &shared[kind == STRAY_NOT];
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool);
	struct rte_mbuf *second = rte_pktmbuf_alloc(pool);
	struct stray_head *head;

	if (!first || !second)
		return false;
	head = (void *)rte_pktmbuf_append(first, sizeof(*head));
	memset(&head->ether.dst_addr, 0xff, sizeof(head->ether.dst_addr));
	if (rte_eth_macaddr_get(0, &head->ether.src_addr))
		return false;
	head->ether.ether_type = rte_cpu_to_be_16(ETHER_TYPE);
	head->kind = kind;
	head->seed = seed;
	info->free_cb = freed;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(second, (void *)(uintptr_t)bytes,
				  (rte_iova_t)(uintptr_t)bytes, STRAY_BYTES,
				  info);
	second->data_off = 0;
	second->data_len = STRAY_BYTES;
	second->pkt_len = STRAY_BYTES;
	if (rte_pktmbuf_chain(first, second))
		return false;
	return rte_eth_tx_burst(0, 0, &first, 1) == 1;
}

/* The kernel's line names the page that the device asked for. */
static bool kernel_refused(const uint8_t *at)
{
	static char log[KLOG_BYTES];
	char want[64];
	bool found = false;

	snprintf(want, sizeof(want), "fault addr 0x%" PRIxPTR,
		 (uintptr_t)at & ~(uintptr_t)(PAGE_BYTES - 1));
	for (uint32_t i = 0; !found && i < PATIENCE; i++) {
		int n = klogctl(KLOG_READ, log, KLOG_BYTES - 1);

		if (n < 0)
			return false;
		log[n] = 0;
		found = strstr(log, want) != NULL;
		usleep(10000);
	}
	return found;
}

static bool came(const uint32_t *seen)
{
	for (uint32_t i = 0; i < PATIENCE; i++) {
		if (__atomic_load_n(seen, __ATOMIC_RELAXED))
			return true;
		usleep(10000);
	}
	return false;
}

static bool both(struct rte_mempool *pool, uint8_t *mapped, uint8_t *unmapped,
		 const struct stray_seen *seen, const char **why)
{
	fill(mapped, 1);
	fill(unmapped, 2);
	*why = "the port did not take two packets";
	if (!send_one(pool, unmapped, STRAY_NOT, 2) ||
	    !send_one(pool, mapped, STRAY_MAPPED, 1))
		return false;
	*why = "what lies in mapped memory did not come";
	if (!came(&seen->mapped))
		return false;
	*why = "the device read what was not mapped for it";
	if (__atomic_load_n(&seen->unmapped, __ATOMIC_RELAXED))
		return false;
	*why = "the kernel reports no fault at that address";
	return kernel_refused(unmapped);
}

bool stray_send(uint8_t *mapped, const struct stray_seen *seen,
		const char **why)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"strays", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	uint8_t *unmapped =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	*why = "no memory";
	if (!pool || unmapped == MAP_FAILED)
		return false;
	*why = "DPDK does not register the page";
	if (rte_extmem_register(unmapped, PAGE_BYTES, NULL, 0, PAGE_BYTES))
		return false;
	/* The pool stays: the driver frees what it sent when it likes. */
	return both(pool, mapped, unmapped, seen, why);
}

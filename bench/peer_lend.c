/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: the application of hs-perf lend and ship, in a module: see lend.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "bench/lend.h"
#include "hs/lend.h"

#define PACKETS	    2047u
#define CACHE	    256u
#define ROOM_BYTES  9300u
#define ROUNDS_MAX  100000u
#define DESCRIPTORS 512u
#define RENEWALS    10u /* a second */

static struct rte_mempool *pool;
static struct hs_lend *lend;
static uint16_t port;
static int core_of_eal;

static int start(int cpu)
{
	core_of_eal = cpu;
	return 0;
}

static int dpdk_start(const char *device)
{
	char core[16], vdev[256];
	char *argv[] = {"hs-perf",     "--no-huge",   "-m",
			"128",	       "--no-pci",    "--no-telemetry",
			"--no-shconf", "--log-level", "*:error",
			"-l",	       core,	      vdev,
			NULL};
	struct rte_eth_conf conf = {0};

	snprintf(core, sizeof(core), "%d", core_of_eal);
	snprintf(vdev, sizeof(vdev), "--vdev=%s", device);
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0 ||
	    !rte_eth_dev_count_avail())
		return -ENODEV;
	port = (uint16_t)rte_eth_find_next(0);
	pool = rte_pktmbuf_pool_create("packets", PACKETS, CACHE, 0,
				       RTE_PKTMBUF_HEADROOM + ROOM_BYTES,
				       SOCKET_ID_ANY);
	return !pool || rte_eth_dev_configure(port, 1, 1, &conf) ||
			       rte_eth_rx_queue_setup(port, 0, DESCRIPTORS,
						      SOCKET_ID_ANY, NULL,
						      pool) ||
			       rte_eth_tx_queue_setup(port, 0, DESCRIPTORS,
						      SOCKET_ID_ANY, NULL) ||
			       rte_eth_dev_start(port)
		       ? -EIO
		       : 0;
}

static int open_lend(const struct hs_bench_lend_port *at)
{
	struct hs_lend_options options = {
		.size_bytes = sizeof(options),
		.socket_path = at->socket,
		.name = "hs-perf",
		.rx_queue = 0,
		.address = at->address,
		.mtu = at->mtu,
		.answers_arp = true,
	};
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct in_addr ip;
	int rc = pool ? 0 : dpdk_start(at->vdev);

	options.port = port;
	options.mempool = pool;
	if (!rc)
		rc = hs_lend_open(&options, &lend);
	if (!rc && at->neighbour)
		rc = inet_pton(AF_INET, at->neighbour, &ip) == 1
			     ? hs_lend_neighbour(lend, ip.s_addr, mac)
			     : -EINVAL;
	return rc;
}

static bool lent(void)
{
	return hs_lend_renew(lend) == HS_LEND_LENT;
}

static bool send_frames(uint32_t n)
{
	uint32_t sent = 0;

	for (uint32_t i = 0; sent < n && i < ROUNDS_MAX; i++)
		sent += hs_lend_poll(lend);
	return sent == n;
}

static void idle(uint32_t n)
{
	while (n--)
		hs_lend_poll(lend);
}

static void serve(bool (*over)(const void *context), const void *context)
{
	uint64_t next = 0;

	while (!over(context)) {
		uint64_t now = rte_rdtsc();

		hs_lend_poll(lend);
		if (now < next)
			continue;
		next = now + rte_get_tsc_hz() / RENEWALS;
		hs_lend_renew(lend);
	}
}

static void own(uint32_t n, const uint8_t *from, uint32_t step, uint32_t bytes)
{
	static const uint8_t headers[sizeof(struct rte_ether_hdr) +
				     sizeof(struct rte_ipv4_hdr) +
				     sizeof(struct rte_udp_hdr)];
	struct rte_mbuf *burst[HS_LEND_BURST];

	while (n) {
		uint16_t nr = n < HS_LEND_BURST ? (uint16_t)n : HS_LEND_BURST;
		uint16_t sent = 0;

		for (uint16_t i = 0; i < nr; i++, from += step) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
			uint8_t *at;

			if (!m)
				return;
			at = rte_pktmbuf_mtod(m, uint8_t *);
			memcpy(at, headers, sizeof(headers));
			memcpy(at + sizeof(headers), from, bytes);
			m->data_len = (uint16_t)(sizeof(headers) + bytes);
			m->pkt_len = m->data_len;
			burst[i] = m;
		}
		while (sent < nr)
			sent += rte_eth_tx_burst(port, 0, burst + sent,
						 nr - sent);
		n -= nr;
	}
}

static void close_lend(void)
{
	hs_lend_close(lend);
	lend = NULL;
}

extern const struct hs_bench_lend hs_bench_peer;
__attribute__((visibility("default")))
const struct hs_bench_lend hs_bench_peer = {
	.peer = {.name = "lend", .start = start},
	.open = open_lend,
	.lent = lent,
	.send = send_frames,
	.idle = idle,
	.serve = serve,
	.own = own,
	.close = close_lend,
};

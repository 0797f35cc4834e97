/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see services/dpdk.h.
 *
 * A message is copied into an mbuf, by the driver into memory that both ends
 * have, by the other driver into an mbuf, and into its ring: what an RPC stack
 * on such a port does, too.
 */
#include "bench/services/dpdk.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#define MESSAGE_BYTES sizeof(struct hs_svc_message)
#define HEAD_BYTES    sizeof(struct rte_ether_hdr)
/* Within memif's own buffers of 2,048 bytes: a frame in several is none. */
#define PER_FRAME   31u
#define FRAMES	    32u /* of a burst */
#define DESCRIPTORS 1024u
#define PACKETS	    8191u
#define CACHE	    256u
#define ETHER_TYPE  0x88b5u /* for experiments */
/* Rounds that find nothing before the link is asked for. */
#define LOOK_AT 4096u
/* Looks for a server before it is asked anew. */
#define ANEW_AT 100u

struct end {
	char name[24];
	uint16_t id;
	bool serves, started;
	uint32_t looks, idle;
};

static struct rte_mempool *pool;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* Who starts DPDK is pinned by it, and so would be all threads made after. */
static int start(int cpu)
{
	char core[16];
	char *argv[] = {"hs-perf",     "--no-huge",
			"-m",	       "64",
			"--no-pci",    "--no-telemetry",
			"--no-shconf", "--log-level=*:2",
			"-l",	       core,
			NULL};
	cpu_set_t cpus;
	int rc;

	snprintf(core, sizeof(core), "%d", cpu);
	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return -errno;
	rc = rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) || rc < 0)
		return -ENODEV;
	pool = rte_pktmbuf_pool_create("calls", PACKETS, CACHE, 0,
				       RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	return pool ? 0 : -ENOMEM;
}

/* ---- messages ---------------------------------------------------------- */

static void take(struct hs_svc_links *ls, struct hs_svc_link *k,
		 struct rte_mbuf *m)
{
	uint32_t bytes = rte_pktmbuf_data_len(m), nr;
	const uint8_t *from = rte_pktmbuf_mtod(m, const uint8_t *);

	if (bytes < HEAD_BYTES || m->nb_segs != 1)
		bytes = 0;
	else
		bytes -= (uint32_t)HEAD_BYTES;
	nr = bytes / MESSAGE_BYTES;
	if (!nr || nr > PER_FRAME || bytes % MESSAGE_BYTES) {
		hs_svc_links_broken(ls, k, -EBADMSG);
		return;
	}
	for (uint32_t i = 0; i < nr; i++)
		memcpy(hs_svc_ring_put(&k->in),
		       from + HEAD_BYTES + i * MESSAGE_BYTES, MESSAGE_BYTES);
}

/* Nothing comes where nobody is any more, either. */
static void look(struct hs_svc_links *ls, struct hs_svc_link *k, struct end *e)
{
	struct rte_eth_link link;

	if (++e->idle < LOOK_AT)
		return;
	e->idle = 0;
	if (rte_eth_link_get_nowait(e->id, &link) ||
	    link.link_status != RTE_ETH_LINK_UP)
		hs_svc_links_broken(ls, k, -ECONNRESET);
}

static void receive(struct hs_svc_links *ls, struct hs_svc_link *k)
{
	uint32_t room = hs_svc_ring_room(&k->in), most = room / PER_FRAME;
	struct rte_mbuf *frames[FRAMES];
	struct end *e = k->end;
	uint16_t n;

	if (HS_SVC_RING_MESSAGES - room >= HS_SVC_LINK_LOW)
		return;
	ls->traffic.reads++;
	n = rte_eth_rx_burst(e->id, 0, frames,
			     (uint16_t)(most < FRAMES ? most : FRAMES));
	if (!n) {
		ls->traffic.empty++;
		look(ls, k, e);
		return;
	}
	e->idle = 0;
	for (uint16_t i = 0; i < n; i++)
		take(ls, k, frames[i]);
	rte_pktmbuf_free_bulk(frames, n);
	hs_svc_ring_flush(&k->in);
}

static void fill(struct rte_mbuf *m, const struct hs_svc_end *from, uint64_t at,
		 uint32_t nr)
{
	uint8_t *to = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ether_hdr head = {.ether_type = RTE_BE16(ETHER_TYPE)};

	memcpy(to, &head, sizeof(head));
	for (uint32_t i = 0; i < nr; i++)
		memcpy(to + HEAD_BYTES + i * MESSAGE_BYTES,
		       &from->ring->messages[(at + i) % HS_SVC_RING_MESSAGES],
		       MESSAGE_BYTES);
	m->data_len = (uint16_t)(HEAD_BYTES + nr * MESSAGE_BYTES);
	m->pkt_len = m->data_len;
}

static uint32_t send_all(struct hs_svc_links *ls, struct hs_svc_link *k)
{
	uint32_t nr = hs_svc_ring_count(&k->out), packed = 0, gone = 0;
	struct rte_mbuf *frames[FRAMES];
	struct end *e = k->end;
	uint16_t n = 0, sent;

	while (packed < nr && n < FRAMES) {
		uint32_t some = nr - packed;

		frames[n] = rte_pktmbuf_alloc(pool);
		if (!frames[n])
			break;
		some = some < PER_FRAME ? some : PER_FRAME;
		fill(frames[n++], &k->out, k->out.at + packed, some);
		packed += some;
	}
	if (!nr)
		return 0;
	ls->traffic.writes++;
	sent = rte_eth_tx_burst(e->id, 0, frames, n);
	if (sent < n) {
		ls->traffic.full++;
		rte_pktmbuf_free_bulk(frames + sent, n - sent);
	}
	/* All but the last one are full. */
	gone = sent < n ? sent * PER_FRAME : packed;
	k->out.at += gone;
	if (gone)
		hs_svc_ring_release(&k->out);
	return gone;
}

/* ---- ports ------------------------------------------------------------- */

static void close_end(struct hs_svc_link *k)
{
	struct end *e = k->end;

	pthread_mutex_lock(&making);
	rte_vdev_uninit(e->name);
	pthread_mutex_unlock(&making);
	free(e);
}

static int make(struct end *e, const char *args)
{
	struct rte_eth_conf conf = {0};
	int rc = rte_vdev_init(e->name, args);

	if (rc)
		return rc;
	rc = rte_eth_dev_get_port_by_name(e->name, &e->id);
	if (!rc)
		rc = rte_eth_dev_configure(e->id, 1, 1, &conf);
	if (!rc)
		rc = rte_eth_rx_queue_setup(e->id, 0, DESCRIPTORS,
					    SOCKET_ID_ANY, NULL, pool);
	if (!rc)
		rc = rte_eth_tx_queue_setup(e->id, 0, DESCRIPTORS,
					    SOCKET_ID_ANY, NULL);
	if (!rc && e->serves)
		rc = rte_eth_dev_start(e->id);
	e->started = !rc && e->serves;
	if (rc)
		rte_vdev_uninit(e->name);
	return rc;
}

static int open_end(struct hs_svc_link *k, const char *name, bool serves)
{
	static const struct hs_svc_link_ops ops = {
		.receive = receive, .send = send_all, .close = close_end};
	static uint32_t nr;
	struct end *e = calloc(1, sizeof(*e));
	char args[160];
	int rc;

	if (!e)
		return -ENOMEM;
	e->serves = serves;
	/* A cache of mbufs for this thread; without one it is only slower. */
	if (rte_lcore_id() == LCORE_ID_ANY)
		(void)rte_thread_register();
	snprintf(args, sizeof(args),
		 "role=%s,socket=%s,socket-abstract=yes,rsize=10",
		 serves ? "server" : "client", name);
	pthread_mutex_lock(&making);
	snprintf(e->name, sizeof(e->name), "net_memif%u", nr++);
	rc = make(e, args);
	pthread_mutex_unlock(&making);
	if (rc) {
		free(e);
		return rc;
	}
	k->ops = &ops;
	k->end = e;
	return 0;
}

/* A server that is not started yet turns away who comes; so does none. */
static bool is_up(struct hs_svc_link *k)
{
	struct end *e = k->end;
	struct rte_eth_link link;

	if (e->started && !rte_eth_link_get_nowait(e->id, &link) &&
	    link.link_status == RTE_ETH_LINK_UP)
		return true;
	if (e->serves || e->looks++ % ANEW_AT)
		return false;
	pthread_mutex_lock(&making);
	if (e->started)
		(void)rte_eth_dev_stop(e->id);
	e->started = !rte_eth_dev_start(e->id);
	pthread_mutex_unlock(&making);
	return false;
}

__attribute__((visibility("default")))
const struct hs_svc_dpdk hs_bench_peer = {
	.peer = {.name = "DPDK", .start = start},
	.open = open_end,
	.is_up = is_up,
};

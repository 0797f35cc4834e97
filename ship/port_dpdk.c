/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dpdk.c - frames through a DPDK port
 *
 * A frame is a chain of mbufs: one with the headers and the frame's head, and
 * one for each span that is attached where the bytes lie, if the port can send
 * foreign memory and the span says who may not touch it meanwhile; else the
 * bytes are copied, and counted. What comes is handed out in the mbuf that the
 * port put it in.
 *
 * A module of its own: hs-agent and hs-collector load it when they are
 * configured for it, and need no DPDK otherwise.
 */
#include "ship/dpdk.h"
#include "ship/dpdk_lend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>

#define QUEUE	   512u /* packets waiting for the port */
#define BURST	   32u
#define HEADS	   8192u
#define FRAMES_FEW 2048u
/* af_packet wants room for a whole frame of its ring, whose sizes are powers of
 * two when they shall hold 9,000 bytes. */
#define ROOM_BYTES     16384u
#define LINK_LOOKS_A_S 100u
#define ASK_ANEW_S     10u
/* Of a frame of that ring, at most: tpacket2_hdr, sockaddr_ll, Ethernet. */
#define AF_PACKET_HEAD_BYTES 128u

struct dpdk {
	struct hs_ship_port port;
	struct hs_ship_port_stats stats;
	struct hs_dpdk_net net;
	struct rte_mempool *frames;
	struct hs_dpdk_lend lend;
	uint16_t id;
	uint16_t mtu;
	bool borrow; /* the port sends memory that is not DPDK's */
	struct rte_mbuf *queue[QUEUE];
	uint32_t nr_queue;
	uint64_t ask_tsc;      /* between two questions for one address */
	uint64_t ask_anew_tsc; /* for who is known */
	uint64_t link_tsc, link_every_tsc;
	bool link_up;
};

static struct dpdk *dpdk_of(struct hs_ship_port *p)
{
	return (struct dpdk *)p;
}

/* ---- out ------------------------------------------------------------------
 */

static void link_on(struct rte_mbuf *first, struct rte_mbuf **last,
		    struct rte_mbuf *m)
{
	(*last)->next = m;
	*last = m;
	first->nb_segs++;
	first->pkt_len += m->pkt_len;
}

/* To the last mbuf of the chain, which has the room for a whole frame. */
static void copy(struct dpdk *d, struct rte_mbuf *first, struct rte_mbuf *last,
		 const struct hs_ship_port_span *span)
{
	memcpy(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len),
	       span->data, span->bytes);
	last->data_len = (uint16_t)(last->data_len + span->bytes);
	first->pkt_len += span->bytes;
	d->stats.bytes_copied += span->bytes;
}

static bool attach(struct dpdk *d, struct rte_mbuf *first,
		   const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct rte_mbuf *last = first;

	for (uint32_t i = 0; i < nr_spans; i++) {
		bool lent = d->borrow && spans[i].users &&
			    hs_dpdk_lend_has(&d->lend, spans[i].data,
					     spans[i].bytes);
		struct rte_mbuf *m = NULL;

		if (lent)
			m = hs_dpdk_lend_borrow(&d->lend, &spans[i]);
		else if (last->pool != d->frames)
			m = rte_pktmbuf_alloc(d->frames);
		if (m)
			link_on(first, &last, m);
		else if (lent || last->pool != d->frames)
			return false;
		if (!lent)
			copy(d, first, last, &spans[i]);
	}
	return true;
}

/* Packets that the port did not take wait; it says nothing of why. */
static void push(struct dpdk *d)
{
	uint32_t sent = 0;

	while (sent < d->nr_queue) {
		uint32_t left = d->nr_queue - sent;
		uint16_t n = hs_dpdk_lend_burst(
			&d->lend, d->queue + sent,
			(uint16_t)(left < BURST ? left : BURST));

		if (!n)
			break;
		sent += n;
	}
	d->nr_queue -= sent;
	memmove(d->queue, d->queue + sent, d->nr_queue * sizeof(*d->queue));
}

static bool enqueue(struct dpdk *d, struct rte_mbuf *m)
{
	if (d->nr_queue == QUEUE)
		push(d);
	if (d->nr_queue == QUEUE)
		return false;
	d->queue[d->nr_queue++] = m;
	return true;
}

/* Also now and then who is known: it may be another device by now. */
static void ask(struct dpdk *d, struct hs_dpdk_neighbour *n)
{
	uint64_t now = rte_get_tsc_cycles();
	struct rte_mbuf *m;

	if (n->asked_tsc &&
	    now - n->asked_tsc < (n->known ? d->ask_anew_tsc : d->ask_tsc))
		return;
	n->asked_tsc = now;
	m = rte_pktmbuf_alloc(d->frames);
	if (!m)
		return;
	hs_dpdk_ask(&d->net, m, &n->ip);
	if (!enqueue(d, m))
		rte_pktmbuf_free(m);
}

/* A link that is down takes frames and loses them; they wait instead. */
static bool link_is_up(struct dpdk *d)
{
	uint64_t now = rte_get_tsc_cycles();
	struct rte_eth_link link;

	if (d->link_tsc && now - d->link_tsc < d->link_every_tsc)
		return d->link_up;
	d->link_tsc = now;
	if (!rte_eth_link_get_nowait(d->id, &link))
		d->link_up = link.link_status == RTE_ETH_LINK_UP;
	return d->link_up;
}

static int dpdk_send(struct hs_ship_port *p, const struct hs_ship_address *to,
		     const void *head, uint32_t head_bytes,
		     const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct dpdk *d = dpdk_of(p);
	struct hs_dpdk_neighbour *n;
	struct hs_dpdk_place place;
	uint32_t headers, bytes = head_bytes;
	struct rte_mbuf *m;

	if (!link_is_up(d)) {
		d->stats.no_link++;
		return -EAGAIN;
	}
	memcpy(&place, to, sizeof(place));
	n = hs_dpdk_neighbour(&d->net, &place.ip);
	if (n && !n->fixed)
		ask(d, n);
	if (!n || !n->known) {
		d->stats.no_neighbour++;
		return -EAGAIN;
	}
	for (uint32_t i = 0; i < nr_spans; i++)
		bytes += spans[i].bytes;
	if (d->nr_queue == QUEUE)
		push(d);
	if (d->nr_queue == QUEUE) {
		d->stats.full++;
		return -EAGAIN;
	}
	m = rte_pktmbuf_alloc(d->frames);
	if (!m) {
		d->stats.no_memory++;
		return -EAGAIN;
	}
	hs_dpdk_headers(&d->net, rte_pktmbuf_mtod(m, void *), n, place.port,
			bytes);
	headers = hs_dpdk_headers_bytes(&d->net);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, headers), head,
	       head_bytes);
	m->data_len = (uint16_t)(headers + head_bytes);
	m->pkt_len = m->data_len;
	if (!attach(d, m, spans, nr_spans)) {
		rte_pktmbuf_free(m);
		d->stats.no_memory++;
		return -EAGAIN;
	}
	hs_dpdk_sum(&d->net, m);
	d->queue[d->nr_queue++] = m;
	d->stats.frames_sent++;
	d->stats.bytes_sent += bytes;
	return 0;
}

static void dpdk_flush(struct hs_ship_port *p)
{
	struct dpdk *d = dpdk_of(p);

	push(d);
	hs_dpdk_lend_reap(&d->lend);
}

/* ---- in -------------------------------------------------------------------
 */

/* One piece, in memory that is ours; a chain is joined, which is a copy. */
static struct rte_mbuf *joined(struct dpdk *d, struct rte_mbuf *m)
{
	struct rte_mbuf *one;
	const void *from;

	if (m->nb_segs == 1)
		return m;
	one = m->pkt_len <= ROOM_BYTES ? rte_pktmbuf_alloc(d->frames) : NULL;
	if (one) {
		uint8_t *to = rte_pktmbuf_mtod(one, uint8_t *);

		from = rte_pktmbuf_read(m, 0, m->pkt_len, to);
		if (from && from != to)
			memcpy(to, from, m->pkt_len);
		one->data_len = (uint16_t)m->pkt_len;
		one->pkt_len = m->pkt_len;
		d->stats.bytes_copied_in += m->pkt_len;
	}
	rte_pktmbuf_free(m);
	return one;
}

static bool take(struct dpdk *d, struct rte_mbuf *m,
		 struct hs_ship_port_frame *frame)
{
	uint32_t offset;

	m = joined(d, m);
	if (!m) {
		d->stats.dropped++;
		return false;
	}
	offset = hs_dpdk_payload(&d->net, m, &frame->bytes, &frame->from);
	if (offset) {
		frame->handle = m;
		frame->data = rte_pktmbuf_mtod_offset(m, void *, offset);
		d->stats.frames_received++;
		d->stats.bytes_received += frame->bytes;
		return true;
	}
	if (!hs_dpdk_take(&d->net, m) || !enqueue(d, m))
		rte_pktmbuf_free(m);
	return false;
}

static uint32_t dpdk_receive(struct hs_ship_port *p,
			     struct hs_ship_port_frame *frames, uint32_t nr)
{
	struct dpdk *d = dpdk_of(p);
	struct rte_mbuf *burst[BURST];
	uint32_t got = 0;
	uint16_t n;

	/* Whole bursts only: what has come must be handed out. */
	while (nr - got >= BURST) {
		n = rte_eth_rx_burst(d->id, 0, burst, BURST);
		for (uint16_t i = 0; i < n; i++)
			got += take(d, burst[i], &frames[got]);
		if (n < BURST)
			break;
	}
	return got;
}

static void dpdk_release(struct hs_ship_port *p, void *handle)
{
	(void)p;
	rte_pktmbuf_free(handle);
}

/* ---- the rest -------------------------------------------------------------
 */

static int dpdk_fd(const struct hs_ship_port *p)
{
	(void)p;
	return -1;
}

static int dpdk_resolve(struct hs_ship_port *p, const char *text,
			struct hs_ship_address *out, uint32_t *frame_bytes,
			const char **why)
{
	struct dpdk *d = dpdk_of(p);
	struct hs_dpdk_place place = {0};

	*why = "should be an address and a port, as 192.0.2.1:7430 or "
	       "[2001:db8::1]:7430";
	if (!hs_dpdk_address(text, &place))
		return -EINVAL;
	*why = "should be an address of the family that ship.bind has";
	if (hs_dpdk_is_v4(&place.ip) != hs_dpdk_is_v4(&d->net.own.ip))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	memcpy(out, &place, sizeof(place));
	*frame_bytes = d->mtu + (uint32_t)sizeof(struct rte_ether_hdr) -
		       hs_dpdk_headers_bytes(&d->net);
	if (*frame_bytes > HS_SHIP_FRAME_MAX_BYTES)
		*frame_bytes = HS_SHIP_FRAME_MAX_BYTES;
	return 0;
}

static int dpdk_memory(struct hs_ship_port *p, void *base, uint64_t bytes,
		       uint64_t page_bytes)
{
	struct dpdk *d = dpdk_of(p);
	struct rte_eth_dev_info info;

	if (!d->borrow)
		return 0;
	if (rte_extmem_register(base, bytes, NULL, 0, page_bytes))
		return -rte_errno;
	if (rte_eth_dev_info_get(d->id, &info) || !info.device)
		return -ENODEV;
	/* A device behind no IOMMU has nothing to map. */
	if (rte_dev_dma_map(info.device, base, (rte_iova_t)(uintptr_t)base,
			    bytes) &&
	    rte_errno != ENOTSUP)
		return rte_errno ? -rte_errno : -EIO;
	return hs_dpdk_lend_add(&d->lend, base, bytes);
}

static void dpdk_stats(const struct hs_ship_port *p,
		       struct hs_ship_port_stats *out)
{
	const struct dpdk *d = (const struct dpdk *)p;

	*out = d->stats;
	out->bytes_borrowed = d->lend.bytes;
	out->link_down = !d->link_up;
}

static void dpdk_destroy(struct hs_ship_port *p)
{
	struct dpdk *d = dpdk_of(p);

	push(d);
	rte_pktmbuf_free_bulk(d->queue, d->nr_queue);
	(void)rte_eth_dev_stop(d->id);
	(void)rte_eth_dev_close(d->id);
	rte_mempool_free(d->frames);
	hs_dpdk_lend_free(&d->lend);
	free(d);
}

static const struct hs_ship_port_ops dpdk_ops = {
	.name = "dpdk",
	.send = dpdk_send,
	.flush = dpdk_flush,
	.receive = dpdk_receive,
	.release = dpdk_release,
	.fd = dpdk_fd,
	.resolve = dpdk_resolve,
	.memory = dpdk_memory,
	.stats = dpdk_stats,
	.destroy = dpdk_destroy,
};

/* ---- making it ------------------------------------------------------------
 */

static int pools_make(struct dpdk *d, uint32_t nr_frames)
{
	d->frames = rte_pktmbuf_pool_create(
		"frames", nr_frames + FRAMES_FEW + 2 * HS_DPDK_DESCRIPTORS, 256,
		0, RTE_PKTMBUF_HEADROOM + ROOM_BYTES, SOCKET_ID_ANY);
	return d->frames ? hs_dpdk_lend_make(&d->lend, d->id) : -rte_errno;
}

/* af_packet sends what its device takes and its ring's frames hold. */
static bool af_packet_takes(const struct rte_eth_dev_info *info,
			    const char *vdev, uint16_t want)
{
	const char *size = vdev ? strstr(vdev, "framesz=") : NULL;
	unsigned long frame_bytes = size ? strtoul(size + 8, NULL, 10) : 2048;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {0};
	bool takes;

	takes = fd >= 0 && if_indextoname(info->if_index, req.ifr_name) &&
		!ioctl(fd, SIOCGIFMTU, &req) && req.ifr_mtu >= want &&
		frame_bytes >= want + AF_PACKET_HEAD_BYTES;
	if (fd >= 0)
		close(fd);
	return takes;
}

/*
 * The driver may refuse a length that it cannot set; then its own holds. memif
 * and af_packet claim 1518 whatever their buffers are.
 */
static int mtu_set(struct dpdk *d, const struct rte_eth_dev_info *info,
		   const char *vdev, uint16_t want)
{
	if (!strcmp(info->driver_name, "net_memif") ||
	    (!strcmp(info->driver_name, "net_af_packet") &&
	     af_packet_takes(info, vdev, want))) {
		d->mtu = want;
		return 0;
	}
	(void)rte_eth_dev_set_mtu(d->id, want);
	return rte_eth_dev_get_mtu(d->id, &d->mtu);
}

/* How it says which of its packets are done: see dpdk_lend.h. */
static bool asks_descriptors(const struct rte_eth_dev_info *info)
{
	return !strcmp(info->driver_name, "net_e1000_em");
}

/*
 * UDP's checksum over IPv6. A device reads the bytes once and sums what it
 * sends; where we sum, or a driver does, a producer may change them in between,
 * and a frame that never fits would hold up all that stand behind it. So these
 * go as copies.
 */
static void sums_choose(struct dpdk *d,
			const struct hs_ship_dpdk_config *config,
			const struct rte_eth_dev_info *info,
			struct rte_eth_conf *conf)
{
	if (hs_dpdk_is_v4(&d->net.own.ip))
		return;
	/* What is asked for descriptors counts one a segment. */
	d->net.device_sums =
		config->pci && !asks_descriptors(info) &&
		(info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	if (!d->net.device_sums) {
		d->borrow = false;
		return;
	}
	conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	conf->rxmode.offloads |=
		info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
}

/* Where freed mbufs cannot be asked for, each packet's descriptor says when it
 * is done: it has to be written back for each. */
static int tx_setup(struct dpdk *d, const struct rte_eth_dev_info *info)
{
	struct rte_eth_txconf conf = info->default_txconf;

	d->lend.asks = asks_descriptors(info);
	if (d->lend.asks)
		conf.tx_rs_thresh = 1;
	return rte_eth_tx_queue_setup(d->id, 0, HS_DPDK_DESCRIPTORS,
				      SOCKET_ID_ANY, &conf);
}

/* What others ask who we are goes to a group of few. */
static int group_join(struct dpdk *d, const char **why)
{
	struct rte_ether_addr group;
	int rc;

	*why = "IPv6 needs an MTU of 1280 at least";
	if (d->mtu < RTE_IPV6_MIN_MTU)
		return -EMSGSIZE;
	*why = "the port takes no packets of the group that IPv6 asks in";
	hs_dpdk_ip6_group(&d->net, &group);
	rc = rte_eth_dev_set_mc_addr_list(d->id, &group, 1);
	if (rc)
		rc = rte_eth_allmulticast_enable(d->id);
	if (rc)
		rc = rte_eth_promiscuous_enable(d->id);
	/* Who has nothing to set has no filter: memif. */
	return rc == -ENOTSUP ? 0 : rc;
}

static int start(struct dpdk *d, const struct hs_ship_dpdk_config *config,
		 const char **why)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int rc;

	*why = "the port does not say what it can";
	rc = rte_eth_dev_info_get(d->id, &info);
	if (rc)
		return rc;
	conf.txmode.offloads =
		info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (info.max_mtu >= config->mtu &&
	    info.max_rx_pktlen >= config->mtu + sizeof(struct rte_ether_hdr))
		conf.rxmode.mtu = config->mtu;
	sums_choose(d, config, &info, &conf);
	*why = "the port takes no such configuration";
	rc = rte_eth_dev_configure(d->id, 1, 1, &conf);
	if (!rc)
		rc = rte_eth_rx_queue_setup(d->id, 0, HS_DPDK_DESCRIPTORS,
					    SOCKET_ID_ANY, NULL, d->frames);
	if (!rc)
		rc = tx_setup(d, &info);
	if (!rc)
		rc = mtu_set(d, &info, config->vdev, config->mtu);
	if (!rc)
		rc = rte_eth_dev_start(d->id);
	if (!rc)
		rc = rte_eth_macaddr_get(d->id, &d->net.mac);
	return rc || hs_dpdk_is_v4(&d->net.own.ip) ? rc : group_join(d, why);
}

/* "IP=MAC", once a word. */
static bool neighbour_add(struct dpdk *d, const char *text)
{
	struct hs_dpdk_neighbour *to;
	char ip[INET6_ADDRSTRLEN];
	const char *equals = strchr(text, '=');
	struct hs_dpdk_ip at;

	if (!equals || (size_t)(equals - text) >= sizeof(ip))
		return false;
	memcpy(ip, text, (size_t)(equals - text));
	ip[equals - text] = 0;
	if (!hs_dpdk_ip(ip, &at) ||
	    hs_dpdk_is_v4(&at) != hs_dpdk_is_v4(&d->net.own.ip))
		return false;
	to = hs_dpdk_neighbour(&d->net, &at);
	if (!to || rte_ether_unformat_addr(equals + 1, &to->mac))
		return false;
	to->known = to->fixed = true;
	return true;
}

static int neighbours_add(struct dpdk *d, const char *list, const char **why)
{
	char text[80];

	*why = "neighbours should be IP=MAC, separated by blanks, all of the "
	       "family that ship.bind has";
	while (list && *list) {
		size_t n = strcspn(list, " ");

		if (n >= sizeof(text))
			return -EINVAL;
		memcpy(text, list, n);
		text[n] = 0;
		if (n && !neighbour_add(d, text))
			return -EINVAL;
		list += n + (list[n] == ' ');
	}
	return 0;
}

static int make(struct dpdk *d, const struct hs_ship_dpdk_config *config,
		const char **why)
{
	int rc;

	*why = "bind should be an address and a port, as 192.0.2.1:7430 or "
	       "[2001:db8::1]:7430";
	if (!hs_dpdk_address(config->bind, &d->net.own))
		return -EINVAL;
	d->net.dscp = config->dscp;
	rc = hs_dpdk_eal_start(config, why);
	if (rc)
		return rc;
	*why = "DPDK found no port of that description";
	if (!rte_eth_dev_count_avail())
		return -ENODEV;
	d->id = rte_eth_find_next(0);
	d->borrow = config->borrow;
	d->ask_tsc = rte_get_tsc_hz() / 10;
	d->ask_anew_tsc = rte_get_tsc_hz() * ASK_ANEW_S;
	d->link_every_tsc = rte_get_tsc_hz() / LINK_LOOKS_A_S;
	*why = "no memory for mbufs";
	rc = pools_make(d, config->nr_frames);
	if (!rc)
		rc = neighbours_add(d, config->neighbours, why);
	return rc ? rc : start(d, config, why);
}

__attribute__((visibility("default"))) struct hs_ship_port *
hs_ship_dpdk_create(const struct hs_ship_dpdk_config *config, const char **why)
{
	struct dpdk *d = calloc(1, sizeof(*d));
	int rc = -ENOMEM;

	*why = "no memory";
	if (d)
		rc = make(d, config, why);
	if (!rc) {
		d->port.ops = &dpdk_ops;
		return &d->port;
	}
	if (d) {
		rte_mempool_free(d->frames);
		hs_dpdk_lend_free(&d->lend);
		free(d);
	}
	errno = -rc;
	return NULL;
}

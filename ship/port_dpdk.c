/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dpdk.c - frames through a DPDK port
 *
 * A frame is a chain of mbufs: one with the headers and the frame's head, and
 * one for each span that is attached where the bytes lie, if the port can send
 * foreign memory and the span says who may not touch it meanwhile; else the
 * bytes are copied, and counted. What comes is handed out in the mbuf that the
 * port put it in. How a port is made is in dpdk_start.c.
 *
 * A module of its own: hs-agent and hs-collector load it when they are
 * configured for it, and need no DPDK otherwise.
 */
#include "ship/dpdk_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_random.h>

#define BURST 32u

static struct hs_dpdk_port *dpdk_of(struct hs_ship_port *p)
{
	return (struct hs_dpdk_port *)p;
}

static bool of_ip6(const struct hs_dpdk_port *d)
{
	return !hs_ship_ip_is_v4(&d->net.own.ip);
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
static void copy(struct hs_dpdk_port *d, struct rte_mbuf *first,
		 struct rte_mbuf *last, const struct hs_ship_port_span *span)
{
	memcpy(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len),
	       span->data, span->bytes);
	last->data_len = (uint16_t)(last->data_len + span->bytes);
	first->pkt_len += span->bytes;
	d->stats.bytes_copied += span->bytes;
}

static bool attach(struct hs_dpdk_port *d, struct rte_mbuf *first,
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
static void push(struct hs_dpdk_port *d)
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

static bool enqueue(struct hs_dpdk_port *d, struct rte_mbuf *m)
{
	if (d->nr_queue == HS_DPDK_QUEUE)
		push(d);
	if (d->nr_queue == HS_DPDK_QUEUE)
		return false;
	d->queue[d->nr_queue++] = m;
	return true;
}

/* Also now and then who is known: it may be another device by now. Without
 * memory or room for it now it stays due. */
static void ask(struct hs_dpdk_port *d, struct hs_dpdk_neighbour *n,
		uint64_t now)
{
	struct rte_mbuf *m;

	if (n->asked_tsc &&
	    now - n->asked_tsc < (n->known ? d->ask_anew_tsc : d->ask_tsc))
		return;
	m = rte_pktmbuf_alloc(d->frames);
	if (!m)
		return;
	hs_dpdk_ask(&d->net, m, &n->ip);
	if (enqueue(d, m))
		n->asked_tsc = now;
	else
		rte_pktmbuf_free(m);
}

/* A link that is down takes frames and loses them; they wait instead. */
static bool link_is_up(struct hs_dpdk_port *d, uint64_t now)
{
	struct rte_eth_link link;
	bool was_up = d->link_up;

	if (d->link_tsc && now - d->link_tsc < d->link_every_tsc)
		return d->link_up;
	d->link_tsc = now;
	if (!rte_eth_link_get_nowait(d->id, &link))
		d->link_up = link.link_status == RTE_ETH_LINK_UP;
	if (d->link_up && !was_up)
		hs_dpdk_mld_up(&d->mld, now);
	return d->link_up;
}

static int dpdk_send(struct hs_ship_port *p, const struct hs_ship_address *to,
		     const void *head, uint32_t head_bytes,
		     const struct hs_ship_port_span *spans, uint32_t nr_spans)
{
	struct hs_dpdk_port *d = dpdk_of(p);
	struct hs_dpdk_neighbour *n;
	struct hs_ship_place place;
	const uint64_t now = rte_get_tsc_cycles();
	uint32_t headers, bytes = head_bytes;
	struct rte_mbuf *m;

	if (!link_is_up(d, now)) {
		d->stats.no_link++;
		return -EAGAIN;
	}
	memcpy(&place, to, sizeof(place));
	n = hs_dpdk_neighbour(&d->net, &place.ip);
	if (n && !n->fixed)
		ask(d, n, now);
	if (!n || !n->known) {
		d->stats.no_neighbour++;
		return -EAGAIN;
	}
	for (uint32_t i = 0; i < nr_spans; i++)
		bytes += spans[i].bytes;
	if (d->nr_queue == HS_DPDK_QUEUE)
		push(d);
	if (d->nr_queue == HS_DPDK_QUEUE) {
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
	/* While its bytes are in the cache, and not all at the next flush. */
	if (d->nr_queue % BURST == 0)
		push(d);
	d->stats.frames_sent++;
	d->stats.bytes_sent += bytes;
	return 0;
}

static void dpdk_flush(struct hs_ship_port *p)
{
	struct hs_dpdk_port *d = dpdk_of(p);

	push(d);
	hs_dpdk_lend_reap(&d->lend);
}

/* ---- in -------------------------------------------------------------------
 */

/* One piece, in memory that is ours; a chain is joined, which is a copy. */
static struct rte_mbuf *joined(struct hs_dpdk_port *d, struct rte_mbuf *m)
{
	struct rte_mbuf *one;
	const void *from;

	if (m->nb_segs == 1)
		return m;
	one = m->pkt_len <= HS_DPDK_ROOM_BYTES ? rte_pktmbuf_alloc(d->frames)
					       : NULL;
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

static bool take(struct hs_dpdk_port *d, struct rte_mbuf *m,
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
	if (of_ip6(d) && hs_dpdk_mld_take(&d->mld, &d->net, m,
					  rte_get_tsc_cycles(), rte_rand()))
		rte_pktmbuf_free(m);
	else if (!hs_dpdk_take(&d->net, m) || !enqueue(d, m))
		rte_pktmbuf_free(m);
	return false;
}

/* To switches: that we listen to the group in which others ask for us. Without
 * memory or room for it now it stays due. */
static void report(struct hs_dpdk_port *d)
{
	const uint64_t now = rte_get_tsc_cycles();
	enum hs_dpdk_mld_kind kind;
	struct rte_mbuf *m;

	if (!link_is_up(d, now))
		return;
	kind = hs_dpdk_mld_due(&d->mld, now);
	m = kind ? rte_pktmbuf_alloc(d->frames) : NULL;
	if (!m)
		return;
	hs_dpdk_mld_report(&d->net, m, kind);
	if (!enqueue(d, m)) {
		rte_pktmbuf_free(m);
		return;
	}
	hs_dpdk_mld_said(&d->mld, kind, now, rte_rand());
	push(d);
}

static uint32_t dpdk_receive(struct hs_ship_port *p,
			     struct hs_ship_port_frame *frames, uint32_t nr)
{
	struct hs_dpdk_port *d = dpdk_of(p);
	struct rte_mbuf *burst[BURST];
	uint32_t got = 0;
	uint16_t n;

	if (of_ip6(d))
		report(d);
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
	struct hs_dpdk_port *d = dpdk_of(p);
	struct hs_ship_place place = {0};

	*why = "should be an address and a port, as 192.0.2.1:7430 or "
	       "[2001:db8::1]:7430";
	if (!hs_ship_place_parse(text, &place))
		return -EINVAL;
	*why = "should be an address of the family that ship.bind has";
	if (hs_ship_ip_is_v4(&place.ip) != hs_ship_ip_is_v4(&d->net.own.ip))
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
	struct hs_dpdk_port *d = dpdk_of(p);
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
	const struct hs_dpdk_port *d = (const struct hs_dpdk_port *)p;

	*out = d->stats;
	out->bytes_borrowed = d->lend.bytes;
	out->link_down = !d->link_up;
}

static void dpdk_destroy(struct hs_ship_port *p)
{
	struct hs_dpdk_port *d = dpdk_of(p);

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

__attribute__((visibility("default"))) struct hs_ship_port *
hs_ship_dpdk_create(const struct hs_ship_dpdk_config *config, const char **why)
{
	struct hs_dpdk_port *d = calloc(1, sizeof(*d));
	int rc = -ENOMEM;

	*why = "no memory";
	if (d)
		rc = hs_dpdk_port_start(d, config, why);
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lend_poll.c - frames between an agent's memory and a port of the application
 *
 * On the application's lcore: no system call of ours, nothing allocated but
 * mbufs of its pool. What the agent wrote is copied before it is sent, so that
 * no mbuf that the driver keeps lies in memory that ends with a loan.
 */
#include "ship/lend_priv.h"

#include <string.h>

#include <rte_arp.h>
#include <rte_cycles.h>

/* ---- out ------------------------------------------------------------------
 */

/* What is left waits; whether none is. */
static bool push(struct hs_lend *l)
{
	uint32_t sent = 0;

	while (sent < l->nr_queue) {
		uint16_t n =
			rte_eth_tx_burst(l->port, l->tx_queue, l->queue + sent,
					 (uint16_t)(l->nr_queue - sent));

		if (!n)
			break;
		sent += n;
	}
	l->nr_queue -= sent;
	memmove(l->queue, l->queue + sent, l->nr_queue * sizeof(*l->queue));
	return !l->nr_queue;
}

/*
 * Each neighbour once an interval. As many as have an entry need no more than
 * that; an agent that names ever others has none that was asked already.
 */
static bool may_ask(struct hs_lend *l, const struct hs_dpdk_neighbour *n,
		    uint64_t now)
{
	if (n->asked_tsc && now - n->asked_tsc < l->ask_tsc)
		return false;
	if (now - l->asks_tsc >= l->ask_tsc) {
		l->asks_tsc = now;
		l->nr_asks = 0;
	}
	return l->nr_asks < HS_DPDK_NEIGHBOURS_MAX;
}

/* Without memory for it now it stays due. */
static void ask(struct hs_lend *l, struct hs_dpdk_neighbour *n)
{
	uint64_t now = rte_get_tsc_cycles();
	struct rte_mbuf *m;

	if (!may_ask(l, n, now))
		return;
	m = rte_pktmbuf_alloc(l->mempool);
	if (!m)
		return;
	n->asked_tsc = now;
	l->nr_asks++;
	hs_dpdk_ask(&l->net, m, &n->ip);
	l->queue[l->nr_queue++] = m;
}

/* A packet around the frame. false: no mbuf for it now. */
static bool wrap(struct hs_lend *l, const struct hs_lend_frame *frame)
{
	const uint32_t headers = hs_dpdk_headers_bytes(&l->net);
	struct hs_dpdk_neighbour *n;
	struct rte_mbuf *m;

	n = hs_dpdk_neighbour(&l->net, &frame->place.ip);
	if (!n || !n->known) {
		if (n)
			ask(l, n);
		/* Others behind it need not wait for the answer; it goes again,
		 * as on any way that loses. */
		l->stats.no_neighbour++;
		return true;
	}
	m = rte_pktmbuf_alloc(l->mempool);
	if (!m) {
		l->stats.no_memory++;
		return false;
	}
	hs_dpdk_headers(&l->net, rte_pktmbuf_mtod(m, void *), n,
			frame->place.port, frame->bytes);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, headers), frame->data,
	       frame->bytes);
	m->data_len = (uint16_t)(headers + frame->bytes);
	m->pkt_len = m->data_len;
	/* Of what was copied: the agent may go on writing where it was. */
	hs_dpdk_sum(&l->net, m);
	l->queue[l->nr_queue++] = m;
	l->stats.sent++;
	l->stats.sent_bytes += frame->bytes;
	return true;
}

static uint32_t out(struct hs_lend *l)
{
	struct hs_lend_frame frame;
	uint32_t nr = 0;

	if (!push(l)) {
		l->stats.stuck++;
		return 0;
	}
	while (l->lent && l->nr_queue < HS_LEND_BURST && nr < HS_LEND_BURST &&
	       hs_lend_ring_next(&l->out, &frame) && wrap(l, &frame)) {
		hs_lend_ring_taken(&l->out);
		nr++;
	}
	/* Also what was skipped is given back. */
	if (l->lent)
		hs_lend_ring_publish(&l->out);
	if (nr)
		push(l);
	return nr;
}

/* ---- in -------------------------------------------------------------------
 */

static void hand_over(struct hs_lend *l, struct rte_mbuf *m, uint32_t offset,
		      uint32_t bytes, const struct hs_ship_address *from)
{
	struct hs_ship_place sender;
	uint8_t *to = NULL;
	const void *at;

	if (l->lent && bytes <= l->frame_bytes)
		to = hs_lend_ring_room(&l->in);
	if (!to) {
		l->stats.dropped++;
		return;
	}
	at = rte_pktmbuf_read(m, offset, bytes, to);
	if (!at) {
		l->stats.dropped++;
		return;
	}
	if (at != to)
		memcpy(to, at, bytes);
	memcpy(&sender, from, sizeof(sender));
	hs_lend_ring_put(&l->in, &sender, bytes);
	l->stats.received++;
	l->stats.received_bytes += bytes;
}

static bool take(struct hs_lend *l, struct rte_mbuf *m)
{
	struct hs_ship_address from;
	uint32_t bytes, offset = hs_dpdk_payload(&l->net, m, &bytes, &from);

	if (offset) {
		hand_over(l, m, offset, bytes, &from);
		rte_pktmbuf_free(m);
		return true;
	}
	if (!l->answers_arp) {
		hs_dpdk_learn(&l->net, m);
		return false;
	}
	if (l->nr_queue == HS_LEND_BURST || !hs_dpdk_take(&l->net, m))
		return false;
	l->queue[l->nr_queue++] = m;
	return true;
}

HS_LEND_PUBLIC bool hs_lend_take(struct hs_lend *l, struct rte_mbuf *m)
{
	return take(l, m);
}

static uint32_t in(struct hs_lend *l)
{
	struct rte_mbuf *burst[HS_LEND_BURST];
	uint32_t ours = 0;
	uint16_t n =
		rte_eth_rx_burst(l->port, l->rx_queue, burst, HS_LEND_BURST);

	for (uint16_t i = 0; i < n; i++) {
		if (take(l, burst[i])) {
			ours++;
			continue;
		}
		l->stats.other++;
		if (l->other)
			l->other(l->ctx, burst[i]);
		else
			rte_pktmbuf_free(burst[i]);
	}
	return ours;
}

void hs_lend_tell(struct hs_lend *l)
{
	const struct hs_lend_stats *s = &l->stats;
	const struct {
		uint64_t *word, value;
	} told[] = {
		{&l->up->sent, s->sent},
		{&l->up->sent_bytes, s->sent_bytes},
		{&l->up->no_neighbour, s->no_neighbour},
		{&l->up->no_memory, s->no_memory},
		{&l->up->stuck, s->stuck},
		{&l->up->dropped, s->dropped},
	};

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		/* lend.C4 relaxed: a counter. */
		__atomic_store_n(told[i].word, told[i].value, __ATOMIC_RELAXED);
}

HS_LEND_PUBLIC uint32_t hs_lend_poll(struct hs_lend *l)
{
	uint32_t nr = 0;

	if (l->rx_queue != HS_LEND_NO_QUEUE)
		nr += in(l);
	nr += out(l);
	/* Also of what hs_lend_take() has put. */
	if (l->lent)
		hs_lend_ring_publish(&l->in);
	return nr;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lend_open.c - the connection of an application that lends its port
 *
 * Whatever goes wrong between it and the agent ends the loan, and the next
 * hs_lend_renew() begins anew. Nothing here waits.
 */
#include "ship/lend_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "base/fdpass.h"

#define ANSWER_S     2u
#define IP_UDP_BYTES 28u
#define IP6_MTU_MIN  1280u
#define MEMORY_MAX   (64u << 20)

/* ---- a loan's beginning and end -------------------------------------------
 */

static void away(struct hs_lend *l, enum hs_lend_state state, const char *why,
		 uint64_t wait_s)
{
	l->lent = false;
	for (int i = 0; i < 2; i++)
		hs_memfd_close(&l->memory[i]);
	l->up = NULL;
	if (l->sock >= 0)
		close(l->sock);
	l->sock = -1;
	l->stats.state = state;
	l->stats.why = why;
	l->due_tsc = rte_get_tsc_cycles() + wait_s * rte_get_tsc_hz();
}

static void ask(struct hs_lend *l)
{
	if (rte_get_tsc_cycles() < l->due_tsc)
		return;
	l->sock = hs_unix_connect(l->path, SOCK_SEQPACKET | SOCK_NONBLOCK);
	if (l->sock < 0 ||
	    hs_fdpass_send(l->sock, &l->hello,
			   l->ip6 ? sizeof(l->hello) : sizeof(l->hello.base),
			   NULL, 0)) {
		away(l, HS_LEND_AWAY, NULL, 0);
		return;
	}
	l->stats.state = HS_LEND_ASKED;
	l->stats.why = NULL;
	l->due_tsc = rte_get_tsc_cycles() + ANSWER_S * rte_get_tsc_hz();
}

/* Own: both descriptors are the memories', or closed. */
static int attach(struct hs_lend *l, const int fds[2])
{
	static const unsigned int flags[2] = {
		HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE, HS_MEMFD_POPULATE};
	int rc = 0;

	for (int i = 0; i < 2; i++) {
		int one = rc ? rc
			     : hs_memfd_attach(&l->memory[i], fds[i],
					       MEMORY_MAX, flags[i]);

		if (one)
			close(fds[i]);
		rc = one;
	}
	return rc;
}

static void begin(struct hs_lend *l, const struct hs_lend_welcome *w)
{
	const struct hs_lend_down *down = l->memory[0].base;

	l->up = l->memory[1].base;
	hs_lend_ring_make(&l->out, false, &l->up->tail, &down->head,
			  l->memory[0].base, w->nr_slots, w->frame_bytes,
			  l->ip6);
	hs_lend_ring_make(&l->in, true, &l->up->head, &down->tail,
			  l->memory[1].base, w->nr_slots, w->frame_bytes,
			  l->ip6);
	l->frame_bytes = w->frame_bytes;
	l->lent = true;
	l->stats.state = HS_LEND_LENT;
	l->stats.loans++;
}

static void hear_answer(struct hs_lend *l)
{
	struct hs_lend_welcome w;
	size_t nr_fds, bytes[2] = {0, 0};
	int fds[2], rc = 0;
	ssize_t n = hs_fdpass_recv(l->sock, &w, sizeof(w), fds, 2, &nr_fds);

	/* Turned away before HELLO was read: why comes behind that. */
	if (n == -ECONNRESET)
		n = hs_fdpass_recv(l->sock, &w, sizeof(w), fds, 2, &nr_fds);
	if (n == -EAGAIN && rte_get_tsc_cycles() < l->due_tsc)
		return;
	if (n <= 0) {
		away(l, HS_LEND_AWAY, NULL, 0);
		return;
	}
	if (nr_fds == 2)
		rc = attach(l, fds);
	else if (nr_fds == 1)
		close(fds[0]);
	for (int i = 0; i < 2; i++)
		bytes[i] = l->memory[i].size_bytes;
	if (!rc)
		rc = hs_lend_welcome_check(&w, (size_t)n,
					   l->hello.base.frame_bytes, bytes,
					   l->ip6);
	if (rc)
		away(l, HS_LEND_REFUSED, hs_lend_refusal_text(rc), 1);
	else
		begin(l, &w);
}

/* It says nothing more; whatever comes is its end. */
static bool ended(const struct hs_lend *l)
{
	char byte;

	return recv(l->sock, &byte, 1, MSG_DONTWAIT) >= 0 ||
	       (errno != EAGAIN && errno != EINTR);
}

HS_LEND_PUBLIC enum hs_lend_state hs_lend_renew(struct hs_lend *l)
{
	if (l->lent && (l->out.broken || l->in.broken)) {
		l->stats.broken++;
		away(l, HS_LEND_AWAY, "its memory made no sense", 1);
	} else if (l->lent && ended(l)) {
		away(l, HS_LEND_AWAY, NULL, 0);
	}
	if (!l->lent && l->sock >= 0)
		hear_answer(l);
	else if (!l->lent)
		ask(l);
	if (l->lent)
		hs_lend_tell(l);
	return l->stats.state;
}

/* ---- the lend -------------------------------------------------------------
 */

/* Payload of the largest frame, of pool and network. */
static int frame_bytes(const struct hs_lend *l, const struct hs_lend_options *o,
		       uint32_t *out)
{
	const uint32_t headers = hs_dpdk_headers_bytes(&l->net);
	const uint32_t ip_udp_bytes =
		IP_UDP_BYTES + (l->ip6 ? HS_LEND_IP6_MORE_BYTES : 0);
	uint16_t mtu = o->mtu;
	uint32_t room = rte_pktmbuf_data_room_size(o->mempool);

	if (!mtu && rte_eth_dev_get_mtu(o->port, &mtu))
		return -ENODEV;
	if (room < RTE_PKTMBUF_HEADROOM + headers + HS_LEND_FRAME_MIN ||
	    mtu < (l->ip6 ? IP6_MTU_MIN : IP_UDP_BYTES + HS_LEND_FRAME_MIN))
		return -EMSGSIZE;
	room -= RTE_PKTMBUF_HEADROOM + headers;
	*out = mtu - ip_udp_bytes < room ? mtu - ip_udp_bytes : room;
	return 0;
}

static int queues_check(const struct hs_lend_options *o)
{
	struct rte_eth_dev_info info;

	if (!rte_eth_dev_is_valid_port(o->port) ||
	    rte_eth_dev_info_get(o->port, &info) ||
	    o->tx_queue >= info.nb_tx_queues ||
	    (o->rx_queue != HS_LEND_NO_QUEUE &&
	     o->rx_queue >= info.nb_rx_queues))
		return -ENODEV;
	return 0;
}

static int fill(struct hs_lend *l, const struct hs_lend_options *o)
{
	struct hs_lend_hello *h = &l->hello.base;
	int rc;

	if (!hs_ship_place_parse(o->address, &l->net.own) || o->dscp > 63)
		return -EINVAL;
	l->ip6 = !hs_ship_ip_is_v4(&l->net.own.ip);
	rc = queues_check(o);
	if (!rc)
		rc = frame_bytes(l, o, &h->frame_bytes);
	if (!rc && rte_eth_macaddr_get(o->port, &l->net.mac))
		rc = -ENODEV;
	if (rc)
		return rc;
	h->magic = HS_LEND_MAGIC;
	h->version_min = h->version_max =
		l->ip6 ? HS_LEND_VERSION_IP6 : HS_LEND_VERSION_IP4;
	if (l->ip6)
		memcpy(l->hello.ip, &l->net.own.ip, sizeof(l->hello.ip));
	else
		h->ip = hs_ship_ip_to_v4(&l->net.own.ip);
	h->port = l->net.own.port;
	if (o->name)
		memcpy(h->name, o->name, strnlen(o->name, sizeof(h->name) - 1));
	l->net.dscp = o->dscp;
	l->port = o->port;
	l->tx_queue = o->tx_queue;
	l->rx_queue = o->rx_queue;
	l->mempool = o->mempool;
	l->answers_arp = o->answers_arp;
	l->other = o->other;
	l->ctx = o->ctx;
	l->ask_tsc = rte_get_tsc_hz() / 10;
	return 0;
}

HS_LEND_PUBLIC int hs_lend_open(const struct hs_lend_options *o,
				struct hs_lend **out)
{
	struct hs_lend *l;
	int rc;

	*out = NULL;
	if (o->size_bytes < sizeof(*o) || !o->socket_path || !o->mempool ||
	    !o->address)
		return -EINVAL;
	if (strlen(o->socket_path) >=
	    sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ENAMETOOLONG;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->sock = l->memory[0].fd = l->memory[1].fd = -1;
	l->path = strdup(o->socket_path);
	rc = l->path ? fill(l, o) : -ENOMEM;
	if (rc) {
		free(l->path);
		free(l);
		return rc;
	}
	ask(l);
	*out = l;
	return 0;
}

static int neighbour_fix(struct hs_lend *l, const struct hs_ship_ip *ip,
			 const uint8_t mac[6])
{
	struct hs_dpdk_neighbour *n = hs_dpdk_neighbour(&l->net, ip);

	if (!n)
		return -ENOSPC;
	memcpy(&n->mac, mac, sizeof(n->mac));
	n->known = n->fixed = true;
	return 0;
}

HS_LEND_PUBLIC int hs_lend_neighbour(struct hs_lend *l, uint32_t ip,
				     const uint8_t mac[6])
{
	const struct hs_ship_ip at = hs_ship_ip_v4(ip);

	return l->ip6 ? -EINVAL : neighbour_fix(l, &at, mac);
}

HS_LEND_PUBLIC int hs_lend_neighbour6(struct hs_lend *l, const uint8_t ip[16],
				      const uint8_t mac[6])
{
	struct hs_ship_ip at;

	memcpy(&at, ip, sizeof(at));
	return !l->ip6 || hs_ship_ip_is_v4(&at) ? -EINVAL
						: neighbour_fix(l, &at, mac);
}

HS_LEND_PUBLIC void hs_lend_stats_get(const struct hs_lend *l,
				      struct hs_lend_stats *out)
{
	struct hs_lend_stats all = l->stats;
	size_t bytes =
		out->size_bytes < sizeof(all) ? out->size_bytes : sizeof(all);

	all.size_bytes = out->size_bytes;
	memcpy(out, &all, bytes);
}

HS_LEND_PUBLIC void hs_lend_close(struct hs_lend *l)
{
	if (!l)
		return;
	away(l, HS_LEND_AWAY, NULL, 0);
	rte_pktmbuf_free_bulk(l->queue, l->nr_queue);
	free(l->path);
	free(l);
}

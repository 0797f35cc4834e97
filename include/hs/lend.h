/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lend.h - lend a queue of a DPDK port to this node's agent
 *
 * An application that owns its NIC through DPDK leaves the agent no port of its
 * own to ship slices through. With libhindsight-dpdk it lends one queue of it
 * and a little of an lcore's time: the lcore calls hs_lend_poll() on its round,
 * which sends what the agent has put into memory shared with it, and hands it
 * the answers of its collectors. Another library than libhindsight, with which
 * it has nothing in common: only this one needs DPDK.
 *
 *	struct hs_lend_options options = {
 *		.size_bytes = sizeof(options),
 *		.socket_path = "/run/hindsight/lend.sock",
 *		.name = "kv-server",
 *		.port = port, .tx_queue = 3, .rx_queue = HS_LEND_NO_QUEUE,
 *		.mempool = pool, .address = "192.0.2.7:7431"};
 *	struct hs_lend *lend;
 *
 *	rc = hs_lend_open(&options, &lend);
 *	for (;;) {
 *		n = rte_eth_rx_burst(port, 0, packets, 32);
 *		for (i = 0; i < n; i++)
 *			if (!hs_lend_take(lend, packets[i]))
 *				serve(packets[i]);
 *		hs_lend_poll(lend);
 *		if (ten times a second)
 *			hs_lend_renew(lend);
 *	}
 *
 * Guarantees: nothing here starts a thread, aborts, prints or raises a signal.
 * hs_lend_poll() and hs_lend_take() make no system call of their own, allocate
 * nothing but mbufs of the pool given, wait for nobody, and move at most
 * HS_LEND_BURST frames each way. An agent that is gone, stopped or hostile
 * costs the application its traces: what it writes is checked before it is
 * used, and it can have nothing sent but UDP from the address and port given
 * here. Who lends sees the node's slices, encrypted or not:
 * ship.lenders of the agent says who may.
 *
 * Context: one lend is one thread's at a time, the one on whose lcore it runs;
 * several of them may be open, on different sockets. EAL has to be running, and
 * the port started, before hs_lend_open(). While a lend is open nobody else may
 * send on tx_queue or receive on rx_queue, unless it is the same thread.
 */
#ifndef HS_LEND_H
#define HS_LEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rte_mbuf;
struct rte_mempool;
struct hs_lend;

#define HS_LEND_NO_QUEUE UINT16_MAX
#define HS_LEND_BURST	 32u

struct hs_lend_options {
	size_t size_bytes; /* sizeof(struct hs_lend_options) */
	/* Where the agent listens: its ship.socket. */
	const char *socket_path;
	/* What `hs status` calls us; up to 31 printable characters. NULL: "".
	 */
	const char *name;
	uint16_t port; /* of DPDK */
	uint16_t tx_queue;
	/* A receive queue of our own, to which a flow rule or RSS steers the
	 * answers; HS_LEND_NO_QUEUE: they come by hs_lend_take(). */
	uint16_t rx_queue;
	/* Of mbufs with room for headers and a whole frame in one piece. Frames
	 * to be sent are copied into them, at most HS_LEND_BURST and what the
	 * queue keeps are in use. Stays the caller's, longer than the lend. */
	struct rte_mempool *mempool;
	/* "a.b.c.d:port" or "[v6]:port": an address of the port, and a UDP port
	 * that nobody else uses on it. Collectors have to be of its family.
	 * With IPv6 the port has to take what comes for the group in which
	 * others ask for the address: 33:33:ff and its last three bytes. Where
	 * a switch snoops, the application reports (MLD) that it listens. */
	const char *address;
	/* Of the port's network, in bytes; 0: what the port says. Some drivers
	 * (af_packet, memif) say 1,500 whatever they take. */
	uint16_t mtu;
	uint8_t dscp; /* 0 to 63, of frames sent; 8 is bulk */
	/* Answer who asks for that address, by ARP or by a neighbour
	 * solicitation. Where the application does so itself, or the address is
	 * its own as well: false. */
	bool answers_arp;
	/* What comes through rx_queue and is none of ours, which it then owns;
	 * NULL: freed. Called within hs_lend_poll(). */
	void (*other)(void *ctx, struct rte_mbuf *mbuf);
	void *ctx;
};

enum hs_lend_state {
	HS_LEND_AWAY = 0,  /* no agent is there; looked for again */
	HS_LEND_ASKED = 1, /* it has not answered yet */
	HS_LEND_LENT = 2,
	HS_LEND_REFUSED = 3, /* see why; asked again after a second */
};

struct hs_lend_stats {
	size_t size_bytes; /* set by the caller, sizeof(struct hs_lend_stats) */
	enum hs_lend_state state;
	const char *why;	   /* refused, in words; NULL. Static. */
	uint64_t loans;		   /* times that an agent took the port */
	uint64_t sent, sent_bytes; /* frames given to the port, payload */
	uint64_t received, received_bytes; /* frames given to the agent */
	uint64_t other;	       /* frames of rx_queue that were none of ours */
	uint64_t no_neighbour; /* frames dropped: who it is does not answer */
	uint64_t no_memory;    /* times that the mempool was empty */
	uint64_t stuck;	       /* times that the queue took nothing */
	uint64_t dropped;      /* frames for an agent that was away, or slow */
	uint64_t broken;       /* loans ended since memory made no sense */
};

/**
 * hs_lend_open() - begin to lend
 * @options: read during the call; its pointers but mempool, other and ctx are
 *	not kept
 * @out: the lend
 *
 * An agent need not be there yet: hs_lend_renew() finds it when it is.
 *
 * Context: allocates; makes one try to reach the agent.
 * Own: the lend is the caller's until hs_lend_close().
 * Return: 0; -EINVAL: an option is out of its range; -ENODEV: no such port,
 * or no such queue of it; -EMSGSIZE: an mbuf of the pool, or a packet of the
 * network, does not hold a frame of 576 bytes, or with IPv6 a packet of 1280;
 * -ENAMETOOLONG: the path; -ENOMEM.
 */
int hs_lend_open(const struct hs_lend_options *options, struct hs_lend **out);

/**
 * hs_lend_poll() - send what the agent wants sent, take what has come
 *
 * Frames that the queue does not take wait, up to HS_LEND_BURST of them, then
 * the agent does: nothing is dropped for a queue that is full.
 *
 * Context: see above; no system call, wait-free but for the port's driver.
 * Return: how many frames moved, both ways together; 0: it was for nothing.
 */
uint32_t hs_lend_poll(struct hs_lend *lend);

/**
 * hs_lend_take() - offer a packet that came through any queue of the port
 *
 * Ours is UDP, not in fragments, to the address and port of the options. A
 * packet of ARP or of neighbour discovery that asks for that address, or
 * answers it, tells who its sender is, and is ours only if it was answered
 * (answers_arp).
 *
 * Context: as hs_lend_poll().
 * Own: on true the mbuf is ours; on false it stays the caller's, untouched.
 * Return: whether it was ours.
 */
bool hs_lend_take(struct hs_lend *lend, struct rte_mbuf *mbuf);

/**
 * hs_lend_neighbour() - who is to get what is sent to an address
 * @ip: in network order, of a collector
 * @mac: six bytes; of a router, where it is behind one
 *
 * Fixed from then on; an address that was not told is asked for.
 *
 * Return: 0; -ENOSPC: 256 are known; -EINVAL: what is lent is of IPv6.
 */
int hs_lend_neighbour(struct hs_lend *lend, uint32_t ip, const uint8_t mac[6]);

/** hs_lend_neighbour6() - the same where what is lent is of IPv6; else -EINVAL
 */
int hs_lend_neighbour6(struct hs_lend *lend, const uint8_t ip[16],
		       const uint8_t mac[6]);

/**
 * hs_lend_renew() - see whether the agent is there
 *
 * Between loans it tries to connect; during one it notices its end. To be
 * called some ten times a second, by the lend's own thread. A few system calls
 * that do not wait; at the beginning of a loan memory is mapped, some
 * milliseconds for jumbo frames.
 *
 * Return: the state after it.
 */
enum hs_lend_state hs_lend_renew(struct hs_lend *lend);

/** hs_lend_stats_get() - fills in no more than size_bytes says */
void hs_lend_stats_get(const struct hs_lend *lend, struct hs_lend_stats *out);

/**
 * hs_lend_close() - the port is the application's own again
 *
 * Frames that the queue has not taken are dropped, those that it has are its
 * own: nothing of the lend's memory is in them. NULL is fine.
 */
void hs_lend_close(struct hs_lend *lend);

#ifdef __cplusplus
}
#endif

#endif

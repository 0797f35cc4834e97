/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the server's lcore: run to completion, thousands of requests in
 * flight, each with a handle of its own and none of them with a thread. This is
 * the file to read for how it is done.
 *
 * A request comes in with a compact context and waits for its backend (here: a
 * fixed time) in a queue of flights; then its reply goes out. Between the two
 * the lcore serves others. libhindsight makes no system call on this way; what
 * it has to say to its agent hs_client_poll() says ten times a second.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <hs/hindsight.h>

#define POLLS_PER_S 10u

struct flight {
	struct rte_mbuf *packet;
	struct hs_trace *trace; /* NULL: not traced */
	uint64_t due;
};

struct server {
	struct example *example;
	struct flight *flights; /* all wait equally long: a queue */
	uint32_t head, tail;
	uint32_t phase;
	uint64_t faults, shootdowns;
	uint64_t poll_at;
};

static uint64_t faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

/* "TLB:  1  2  TLB shootdowns": a column a core. */
static uint64_t shootdowns(unsigned int cpu)
{
	char line[4096], *at;
	uint64_t n = 0;
	FILE *f = fopen("/proc/interrupts", "re");

	while (f && fgets(line, sizeof(line), f)) {
		at = strstr(line, "TLB:");
		if (!at)
			continue;
		at += strlen("TLB:");
		for (unsigned int i = 0; i <= cpu; i++)
			n = strtoull(at, &at, 10);
	}
	if (f)
		fclose(f);
	return n;
}

/* Between two phases: what happened in the one before is its. */
static void phase_turn(struct server *s, uint32_t next)
{
	unsigned int cpu = (unsigned int)rte_lcore_to_cpu_id(-1);
	struct phase *p = &s->example->phases[s->phase];
	uint64_t shot = shootdowns(cpu);

	p->faults += faults() - s->faults;
	p->shootdowns += shot - s->shootdowns;
	s->phase = next;
	s->shootdowns = shootdowns(cpu);
	s->faults = faults();
}

static void take(struct server *s, struct rte_mbuf *packet, uint64_t now)
{
	const struct request *r = rte_pktmbuf_mtod(packet, struct request *);
	struct example *e = s->example;
	struct flight *f = &s->flights[s->head & (e->nr_flights - 1)];
	struct hs_context from;

	if (s->head - s->tail == e->nr_flights) {
		rte_pktmbuf_free(packet);
		return;
	}
	*f = (struct flight){.packet = packet, .due = now + e->hold_ticks};
	if (r->traced &&
	    hs_context_decode(r->context, r->context_bytes, &from) == 0) {
		f->trace = hs_trace_begin(NULL, &from);
		hs_tracepoint(f->trace, r, 32);
	}
	s->head++;
	if (s->head - s->tail > e->phases[s->phase].most_flying)
		e->phases[s->phase].most_flying = s->head - s->tail;
}

/* The reply carries this node's crumb back. */
static void answer(struct flight *f)
{
	struct request *r = rte_pktmbuf_mtod(f->packet, struct request *);
	struct hs_context reply;

	if (!f->trace)
		return;
	hs_tracepoint(f->trace, r, 32);
	hs_context_reply_inject(f->trace, &reply);
	r->context_bytes =
		(uint8_t)hs_context_encode_compact(&reply, r->context);
	hs_trace_end(f->trace);
}

static void answer_due(struct server *s, uint64_t now)
{
	struct rte_mbuf *packets[BURST];
	uint16_t nr = 0, sent;

	while (nr < BURST && s->tail != s->head) {
		struct flight *f =
			&s->flights[s->tail & (s->example->nr_flights - 1)];

		if (f->due > now)
			break;
		answer(f);
		packets[nr++] = f->packet;
		s->tail++;
	}
	sent = rte_eth_tx_burst(s->example->server_port, 0, packets, nr);
	while (sent < nr)
		rte_pktmbuf_free(packets[sent++]);
}

int server_run(void *example)
{
	struct server s = {.example = example};
	struct example *e = example;
	struct rte_mbuf *packets[BURST];

	s.flights = calloc(e->nr_flights, sizeof(*s.flights));
	if (!s.flights)
		return -1;
	/* Ours to touch before anybody waits. */
	memset(s.flights, 1, e->nr_flights * sizeof(*s.flights));
	s.shootdowns = shootdowns((unsigned int)rte_lcore_to_cpu_id(-1));
	s.faults = faults();
	e->ready = true;
	while (!e->over) {
		uint64_t now = rte_rdtsc();
		uint16_t nr =
			rte_eth_rx_burst(e->server_port, 0, packets, BURST);

		for (uint16_t i = 0; i < nr; i++)
			take(&s, packets[i], now);
		answer_due(&s, now);
		if (now >= s.poll_at) {
			s.poll_at = now + rte_get_tsc_hz() / POLLS_PER_S;
			hs_client_poll();
			e->polls++;
		}
		if (e->phase_now != s.phase)
			phase_turn(&s, e->phase_now);
	}
	free(s.flights);
	return 0;
}

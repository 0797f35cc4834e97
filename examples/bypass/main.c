/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: an example of a kernel-bypass server that is traced, and what that
 * costs it: a server lcore (server.c) and a client lcore that sends open-loop,
 * over DPDK ports made of rings, with tracing switched on and off in turns
 * (A B B A) within one run. docs/BYPASS.md tells how to read it.
 */
#include "server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <hs/hindsight.h>

#define RING_SIZE      32768u
#define NR_PACKETS     65535u
#define NS	       1000000000ull
#define INVALID_PERMIL 1.0

struct options {
	const char *socket;
	const char *cores;
	uint32_t in_flight, rate, turns;
	double seconds;
};

static struct example example;
static struct rte_mempool *pool;

static void die(const char *what)
{
	fprintf(stderr, "bypass: %s\n", what);
	exit(1);
}

/* ---- setting up ---------------------------------------------------------- */

static void eal_start(const struct options *o)
{
	char *argv[] = {"bypass",
			"--no-huge",
			"-m",
			"128",
			"--no-pci",
			"--no-telemetry",
			"--file-prefix",
			"hs-bypass",
			"--no-shconf",
			"--log-level",
			"*:error",
			"-l",
			(char *)(uintptr_t)o->cores,
			NULL};

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		die("DPDK does not start");
	if (rte_lcore_count() < 2)
		die("two lcores are needed: --cores 0,1");
}

static void port_start(uint16_t port)
{
	struct rte_eth_conf conf = {0};

	if (rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, RING_SIZE, 0, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, RING_SIZE, 0, NULL) ||
	    rte_eth_dev_start(port))
		die("a port does not start");
}

static void ports_make(void)
{
	unsigned int flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
	struct rte_ring *to = rte_ring_create("to", RING_SIZE, 0, flags);
	struct rte_ring *back = rte_ring_create("back", RING_SIZE, 0, flags);
	int server, client;

	pool = rte_pktmbuf_pool_create("packets", NR_PACKETS, 256, 0,
				       RTE_PKTMBUF_HEADROOM + 256, 0);
	if (!to || !back || !pool)
		die("no memory for rings and packets");
	server = rte_eth_from_rings("server", &to, 1, &back, 1, 0);
	client = rte_eth_from_rings("client", &back, 1, &to, 1, 0);
	if (server < 0 || client < 0)
		die("no ports of rings");
	example.server_port = (uint16_t)server;
	example.client_port = (uint16_t)client;
	port_start(example.server_port);
	port_start(example.client_port);
}

static void client_open(const struct options *o)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = o->socket,
		.service = "bypass",
		.max_traces = 2 * o->in_flight,
		.no_thread = true,
	};

	if (hs_client_open(&options))
		die("libhindsight does not open");
	for (int i = 0; hs_client_poll(); i++) {
		if (i == 5000)
			die("no agent: give its socket by --socket");
		usleep(1000);
	}
	/* The first stock comes with the agent's next rounds. */
	usleep(100000);
	hs_client_poll();
}

/* ---- the client's lcore -------------------------------------------------- */

static void send_one(uint32_t number, uint32_t phase, uint64_t intended)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
	struct phase *p = &example.phases[phase];
	struct hs_context context = {
		.trace_id = {0xb19a55, number + 1ull},
		.span_id = number + 1ull,
		.nr_crumbs = 1,
		.crumbs = {0x0000000900000001ull},
	};
	struct request *r;

	if (!packet)
		return;
	r = (struct request *)rte_pktmbuf_append(packet, sizeof(*r));
	r->intended = intended;
	r->number = number;
	r->phase = (uint8_t)phase;
	r->traced = p->traced;
	r->context_bytes =
		(uint8_t)hs_context_encode_compact(&context, r->context);
	p->nr_sent++;
	if (!rte_eth_tx_burst(example.client_port, 0, &packet, 1))
		rte_pktmbuf_free(packet);
}

static void receive(void)
{
	struct rte_mbuf *packets[BURST];
	uint16_t nr = rte_eth_rx_burst(example.client_port, 0, packets, BURST);
	uint64_t now = rte_rdtsc();

	for (uint16_t i = 0; i < nr; i++) {
		const struct request *r =
			rte_pktmbuf_mtod(packets[i], struct request *);
		struct phase *p = &example.phases[r->phase];
		uint64_t took = now - r->intended;

		took -= took < example.hold_ticks ? took : example.hold_ticks;
		p->histogram[histogram_bucket(
			(uint64_t)((double)took * NS /
				   (double)rte_get_tsc_hz()))]++;
		p->nr_answered++;
		rte_pktmbuf_free(packets[i]);
	}
}

/* Sends when it is time, whether or not anything was answered. */
static void client_run(void)
{
	uint64_t begin = rte_rdtsc(), next = begin, now;
	uint64_t end = begin + example.nr_phases * example.phase_ticks;
	uint32_t number = 0;

	while ((now = rte_rdtsc()) < end + 2 * example.hold_ticks) {
		uint32_t phase =
			(uint32_t)((now - begin) / example.phase_ticks);

		if (phase < example.nr_phases)
			example.phase_now = phase;
		for (uint32_t i = 0; i < BURST && next <= now && next < end;
		     i++) {
			send_one(number++,
				 (uint32_t)((next - begin) /
					    example.phase_ticks),
				 next);
			next += example.period_ticks;
		}
		receive();
	}
}

/* ---- what came of it ----------------------------------------------------- */

static double quantile_us(const struct phase *p, double q)
{
	uint64_t want = (uint64_t)((double)p->nr_answered * q), seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += p->histogram[i];
		if (seen > want)
			return (double)histogram_value(i) / 1e3;
	}
	return (double)histogram_value(HISTOGRAM_SIZE - 1) / 1e3;
}

static void line(const char *name, const struct phase *p)
{
	printf("%-9s %9llu %8.1f %8.1f %8.1f %9.1f %8llu %7llu %9llu %7llu\n",
	       name, (unsigned long long)p->nr_answered, quantile_us(p, 0.5),
	       quantile_us(p, 0.99), quantile_us(p, 0.999),
	       quantile_us(p, 0.9999), (unsigned long long)p->most_flying,
	       (unsigned long long)p->faults, (unsigned long long)p->shootdowns,
	       (unsigned long long)(p->nr_sent - p->nr_answered));
}

static void add(struct phase *sum, const struct phase *p)
{
	sum->nr_sent += p->nr_sent;
	sum->nr_answered += p->nr_answered;
	sum->faults += p->faults;
	sum->shootdowns += p->shootdowns;
	if (sum->most_flying < p->most_flying)
		sum->most_flying = p->most_flying;
	for (uint32_t i = 0; i < HISTOGRAM_SIZE; i++)
		sum->histogram[i] += p->histogram[i];
}

/* Return: exit status. */
static int report(void)
{
	static struct phase sums[2];
	struct hs_client_stats stats;
	double lost, permil;
	bool valid;

	printf("%-9s %9s %8s %8s %8s %9s %8s %7s %9s %7s\n", "tracing",
	       "answered", "p50 us", "p99", "p99.9", "p99.99", "flying",
	       "faults", "TLB shot", "lost");
	/* The first touches rings and packets, which nobody else did. */
	line("  warm-up", &example.phases[0]);
	for (uint32_t i = 1; i < example.nr_phases; i++) {
		line(example.phases[i].traced ? "  on" : "  off",
		     &example.phases[i]);
		add(&sums[example.phases[i].traced], &example.phases[i]);
	}
	line("off", &sums[0]);
	line("on", &sums[1]);
	hs_client_stats_get(&stats);
	lost = (double)(stats.buffers_null + stats.handles_lost +
			stats.entries_lost);
	permil = sums[1].nr_answered
			 ? 1000.0 * lost / (double)sums[1].nr_answered
			 : 0;
	valid = permil <= INVALID_PERMIL && sums[1].nr_answered;
	printf("p99.9 on/off %.3f; null buffers %llu, handles lost %llu, "
	       "entries lost %llu: %.4f %% of %llu traced requests%s\n"
	       "hs_client_poll() %llu times, on the server's lcore\n",
	       quantile_us(&sums[1], 0.999) / quantile_us(&sums[0], 0.999),
	       (unsigned long long)stats.buffers_null,
	       (unsigned long long)stats.handles_lost,
	       (unsigned long long)stats.entries_lost, permil / 10,
	       (unsigned long long)sums[1].nr_answered,
	       valid ? "" : ": INVALID, over 0.1 %",
	       (unsigned long long)example.polls);
	return valid ? 0 : 3;
}

static struct options options_read(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", 1, NULL, 's'},    {"cores", 1, NULL, 'c'},
		{"in-flight", 1, NULL, 'f'}, {"rate", 1, NULL, 'r'},
		{"turns", 1, NULL, 't'},     {"seconds", 1, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {NULL, "0,1", 10000, 100000, 2, 2};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			o.socket = optarg;
			break;
		case 'c':
			o.cores = optarg;
			break;
		case 'f':
			o.in_flight = (uint32_t)atoi(optarg);
			break;
		case 'r':
			o.rate = (uint32_t)atoi(optarg);
			break;
		case 't':
			o.turns = (uint32_t)atoi(optarg);
			break;
		case 'n':
			o.seconds = atof(optarg);
			break;
		default:
			die("--socket PATH --cores LIST --in-flight N "
			    "--rate REQUESTS_PER_S --turns N --seconds N");
		}
	}
	if (!o.rate || !o.in_flight || o.in_flight > 16384 || !o.turns ||
	    o.turns * 4 >= PHASES_MAX || o.seconds <= 0)
		die("--in-flight 1 to 16384, --rate from 1, --turns 1 to 15");
	return o;
}

int main(int argc, char **argv)
{
	static const bool abba[] = {true, false, false, true};
	struct options o = options_read(argc, argv);
	double hz;

	eal_start(&o);
	hz = (double)rte_get_tsc_hz();
	ports_make();
	client_open(&o);
	example.nr_phases = 1 + o.turns * 4;
	example.nr_flights = 32768;
	example.period_ticks = (uint64_t)(hz / o.rate);
	example.hold_ticks = (uint64_t)(hz * o.in_flight / o.rate);
	example.phase_ticks = (uint64_t)(hz * o.seconds);
	for (uint32_t i = 1; i < example.nr_phases; i++)
		example.phases[i].traced = abba[(i - 1) % 4];
	rte_eal_remote_launch(server_run, &example,
			      rte_get_next_lcore(-1, 1, 0));
	while (!example.ready)
		rte_pause();
	client_run();
	example.over = true;
	rte_eal_mp_wait_lcore();
	return report();
}

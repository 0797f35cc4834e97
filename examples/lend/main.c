/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: an example of a server that owns its NIC through DPDK, so that the
 * agent of its node has none: it lends one queue and some of its lcore's time.
 * Here is the setting up; the lcore is in server.c. docs/BYPASS.md tells how to
 * run it.
 */
#include "server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define NR_PACKETS  4095u
#define ROOM_BYTES  16384u /* of a frame of af_packet's ring */
#define DESCRIPTORS 512u

struct options {
	const char *agent, *lend, *vdev, *address, *lent_address, *core;
	uint16_t mtu;
};

static struct server server;

static void die(const char *what)
{
	fprintf(stderr, "lend: %s\n", what);
	exit(1);
}

static void on_end(int number)
{
	(void)number;
	server.over = 1;
}

static void eal_start(const struct options *o)
{
	char vdev[256];
	char *argv[] = {"lend",
			"--no-huge",
			"-m",
			"256",
			"--no-pci",
			"--no-telemetry",
			"--no-shconf",
			"--log-level",
			"*:error",
			"-l",
			(char *)(uintptr_t)o->core,
			vdev,
			NULL};

	snprintf(vdev, sizeof(vdev), "--vdev=%s", o->vdev);
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		die("DPDK does not start");
	if (!rte_eth_dev_count_avail())
		die("no port of that description");
	server.port = (uint16_t)rte_eth_find_next(0);
}

static struct rte_mempool *port_start(void)
{
	struct rte_eth_conf conf = {0};
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"packets", NR_PACKETS, 256, 0,
		RTE_PKTMBUF_HEADROOM + ROOM_BYTES, SOCKET_ID_ANY);

	if (!pool || rte_eth_dev_configure(server.port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(server.port, 0, DESCRIPTORS, SOCKET_ID_ANY,
				   NULL, pool) ||
	    rte_eth_tx_queue_setup(server.port, 0, DESCRIPTORS, SOCKET_ID_ANY,
				   NULL) ||
	    rte_eth_dev_start(server.port))
		die("the port does not start");
	return pool;
}

/* One thread sends on the one queue, so lending it is as good as one more. */
static void lend(const struct options *o, struct rte_mempool *pool)
{
	struct hs_lend_options options = {
		.size_bytes = sizeof(options),
		.socket_path = o->lend,
		.name = "lend",
		.port = server.port,
		.tx_queue = 0,
		.rx_queue = HS_LEND_NO_QUEUE,
		.mempool = pool,
		.address = o->lent_address,
		.mtu = o->mtu,
		.dscp = 8,
		.answers_arp = true,
	};
	int rc = hs_lend_open(&options, &server.lend);

	if (rc)
		die(strerror(-rc));
}

static void client_open(const struct options *o)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = o->agent,
		.service = "lend",
		.no_thread = true,
	};

	if (hs_client_open(&options))
		die("libhindsight does not open");
	server.asked = hs_trigger_define("asked");
}

static void address_read(const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	struct in_addr in;
	int port = colon ? atoi(colon + 1) : 0;

	if (!colon || (size_t)(colon - text) >= sizeof(host) || port < 1 ||
	    port > 65535)
		die("--address should be IPv4:PORT");
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	if (inet_pton(AF_INET, host, &in) != 1)
		die("--address should be IPv4:PORT");
	server.ip = in.s_addr;
	server.udp_port = htons((uint16_t)port);
}

static struct options options_read(int argc, char **argv)
{
	static const struct option names[] = {
		{"agent", 1, NULL, 'a'},	{"lend", 1, NULL, 'l'},
		{"vdev", 1, NULL, 'v'},		{"address", 1, NULL, 'i'},
		{"lent-address", 1, NULL, 'p'}, {"mtu", 1, NULL, 'm'},
		{"core", 1, NULL, 'c'},		{NULL, 0, NULL, 0},
	};
	struct options o = {.core = "0"};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'a':
			o.agent = optarg;
			break;
		case 'l':
			o.lend = optarg;
			break;
		case 'v':
			o.vdev = optarg;
			break;
		case 'i':
			o.address = optarg;
			break;
		case 'p':
			o.lent_address = optarg;
			break;
		case 'm':
			o.mtu = (uint16_t)atoi(optarg);
			break;
		case 'c':
			o.core = optarg;
			break;
		default:
			die("unknown option");
		}
	}
	if (!o.agent || !o.lend || !o.vdev || !o.address || !o.lent_address)
		die("--agent SOCKET --lend SOCKET --vdev DESCRIPTION "
		    "--address IPv4:PORT --lent-address IP:PORT [--mtu N] "
		    "[--core N]");
	return o;
}

static void report(void)
{
	struct hs_lend_stats s = {.size_bytes = sizeof(s)};

	hs_lend_stats_get(server.lend, &s);
	printf("requests=%llu others=%llu loans=%llu sent=%llu received=%llu "
	       "no_neighbour=%llu no_memory=%llu stuck=%llu dropped=%llu "
	       "broken=%llu\n",
	       (unsigned long long)server.requests,
	       (unsigned long long)server.others, (unsigned long long)s.loans,
	       (unsigned long long)s.sent, (unsigned long long)s.received,
	       (unsigned long long)s.no_neighbour,
	       (unsigned long long)s.no_memory, (unsigned long long)s.stuck,
	       (unsigned long long)s.dropped, (unsigned long long)s.broken);
}

int main(int argc, char **argv)
{
	struct options o = options_read(argc, argv);

	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	address_read(o.address);
	eal_start(&o);
	client_open(&o);
	lend(&o, port_start());
	puts("serving");
	fflush(stdout);
	server_run(&server);
	report();
	hs_lend_close(server.lend);
	hs_client_close();
	rte_eth_dev_stop(server.port);
	rte_eal_cleanup();
	return 0;
}

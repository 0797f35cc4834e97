/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verbs_near.c - which device and port a dial goes from
 *
 * The choice itself on machines that are made up, and what the carrier does
 * with it on devices made of memory, of which all but one can be looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "numa/numa.h"
#include "rdma/verbs.h"
#include "rdma/verbs_ipoib.h"
#include "tests/rdma/fake_verbs.h"

static struct hs_verbs_port ports[HS_VERBS_PORTS_MAX];
static uint32_t nr_ports;

static void resolve(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	out->ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(out->ss_family, text,
				   strchr(text, ':') ? (void *)&v6->sin6_addr
						     : (void *)&v4->sin_addr),
			 1);
}

static struct hs_verbs_port *add(const char *device, uint32_t number,
				 uint64_t nodes, const char *address,
				 uint32_t bits)
{
	struct hs_verbs_port *p = &ports[nr_ports++];

	memset(p, 0, sizeof(*p));
	snprintf(p->device, sizeof(p->device), "%s", device);
	p->number = number;
	p->active = true;
	p->nodes = nodes;
	if (address) {
		resolve(address, &p->addresses[0].at);
		p->addresses[0].network_bits = bits;
		p->nr_addresses = 1;
	}
	return p;
}

/* In the order that they have then. */
static void check_order(const char *machine, uint64_t here, uint32_t nr_active,
			const char *expected)
{
	struct hs_numa *numa = NULL;
	char text[256];

	if (machine)
		assert_int_equal(hs_numa_open_as(&numa, machine), 0);
	assert_int_equal(hs_verbs_near_order(numa, here, ports, nr_ports),
			 nr_active);
	hs_verbs_near_text(ports, nr_ports, text, sizeof(text));
	assert_string_equal(text, expected);
	hs_numa_close(numa);
}

static void check_from(const char *to, const char *expected)
{
	const struct hs_verbs_address *from;
	struct sockaddr_storage at, wanted;

	resolve(to, &at);
	from = hs_verbs_near_from(ports, nr_ports, (struct sockaddr *)&at);
	if (!expected) {
		assert_null(from);
		return;
	}
	resolve(expected, &wanted);
	assert_non_null(from);
	assert_memory_equal(&from->at, &wanted, sizeof(wanted));
}

static int none(void **state)
{
	nr_ports = 0;
	return 0;
}

static void the_nearest_first(void **state)
{
	const char *machine = "node:2 core:4 pu:1";

	add("mlx5_0", 1, 1, NULL, 0);
	add("mlx5_1", 1, 2, NULL, 0);
	check_order(machine, 1, 2,
		    "nearest: mlx5_0 port 1 (distance 10), mlx5_1 port 1 (20)");
	check_order(machine, 2, 2,
		    "nearest: mlx5_1 port 1 (distance 10), mlx5_0 port 1 (20)");
	/* We may run anywhere, so each is as near: by name. */
	check_order(machine, 3, 2,
		    "nearest: mlx5_0 port 1 (distance 15), mlx5_1 port 1 (15)");
	check_order(machine, 0, 2,
		    "nearest: mlx5_0 port 1 (distance 15), mlx5_1 port 1 (15)");
	/* One that is nowhere in particular is between. */
	add("siw0", 1, 0, NULL, 0);
	check_order(machine, 2, 3,
		    "nearest: mlx5_1 port 1 (distance 10), siw0 port 1 (15), "
		    "mlx5_0 port 1 (20)");
	check_order(NULL, 0, 3,
		    "nearest: mlx5_0 port 1 (distance 10), mlx5_1 port 1 (10), "
		    "siw0 port 1 (10)");
}

static void equals_by_name_and_number(void **state)
{
	add("mlx5_10", 1, 1, NULL, 0);
	add("mlx5_2", 2, 1, NULL, 0);
	add("mlx5_2", 1, 1, NULL, 0);
	check_order("node:2 core:2 pu:1", 1, 3,
		    "nearest: mlx5_2 port 1 (distance 10), mlx5_2 port 2 (10), "
		    "mlx5_10 port 1 (10)");
}

static void not_active_is_last(void **state)
{
	add("mlx5_0", 1, 1, "192.0.2.1", 24)->active = false;
	add("mlx5_1", 1, 2, "192.0.2.2", 24);
	check_order("node:2 core:2 pu:1", 1, 1,
		    "nearest: mlx5_1 port 1 (distance 20), mlx5_0 port 1 (not "
		    "active)");
	nr_ports = 1; /* as many as are active */
	check_from("192.0.2.77", "192.0.2.2");
}

static void a_network_that_leads_there(void **state)
{
	add("mlx5_0", 1, 1, "192.0.2.1", 25);
	add("mlx5_1", 1, 1, "192.0.2.129", 25);
	add("mlx5_2", 1, 1, "2001:db8:1::1", 64);
	add("mlx5_3", 1, 1, "2001:db8:2::1", 65);
	check_from("192.0.2.126", "192.0.2.1");
	check_from("192.0.2.130", "192.0.2.129");
	check_from("2001:db8:1:0:8000::2", "2001:db8:1::1");
	check_from("2001:db8:2:0:7fff::2", "2001:db8:2::1");
	/* Behind a router: the nearest of that family. */
	check_from("198.51.100.1", "192.0.2.1");
	check_from("2001:db8:2:0:8000::2", "2001:db8:1::1");
	/* Our own: by the device that has it, as the route has it. */
	check_from("192.0.2.129", NULL);
	nr_ports = 2;
	check_from("2001:db8:1::2", NULL);
	/* Networks that nobody knows of. */
	nr_ports = 0;
	add("mlx5_0", 1, 1, "192.0.2.1", 0);
	add("mlx5_1", 1, 1, "192.0.2.2", 77);
	check_from("192.0.2.3", "192.0.2.1");
	nr_ports = 0;
	check_from("192.0.2.3", NULL);
}

static void a_short_text(void **state)
{
	char text[24];

	add("mlx5_0", 1, 1, NULL, 0);
	add("mlx5_1", 1, 1, NULL, 0);
	hs_verbs_near_text(ports, nr_ports, text, sizeof(text));
	assert_string_equal(text, "nearest: mlx5_0 port 1 ");
	hs_verbs_near_text(ports, 0, text, sizeof(text));
	assert_string_equal(text, "");
}

/* -- the carrier --------------------------------------------------------- */

static uint32_t nr_up;

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	nr_up++;
}

static void on_down(void *ctx, uint32_t peer)
{
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
}

static struct hs_transport *
open_one(uint64_t node, const struct hs_transport_verbs_options *options)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	const struct hs_transport_limits limits = {
		.nr_peers = 4,
		.reconnect_min_ns = HS_NS_PER_MS,
		.reconnect_max_ns = 2 * HS_NS_PER_MS,
	};
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT, .node = node, .name = "near"};

	return hs_transport_verbs_create_with(&fake_verbs_api, &self, &limits,
					      options, &events, NULL);
}

static const char *by(struct hs_transport *t, struct hs_transport_stats *s)
{
	hs_transport_stats(t, s);
	return s->by;
}

/* What a first dial to a peer beyond all networks goes from. */
static uint32_t from(const struct hs_transport_verbs_options *options)
{
	struct hs_transport *t = open_one(1, options);

	assert_non_null(t);
	fake.from = 1;
	assert_int_equal(hs_transport_dial(t, "127.0.0.9:1"), 0);
	hs_transport_destroy(t);
	assert_int_equal(fake.nr_objects, 0);
	return fake.from;
}

#define LO(n) (0x7f000000u + (n))

static void several_devices(void **state)
{
	struct hs_transport_verbs_options options = {.port = 0};

	fake_reset();
	/* One: the route decides, as there is nothing to choose. */
	assert_int_equal(from(NULL), 0);
	fake.nr_devices = 3;
	assert_int_equal(from(NULL), LO(1));
	fake.ports_down = 1;
	assert_int_equal(from(NULL), LO(2));
	fake.ports_down = 3;
	assert_int_equal(from(NULL), LO(3));
	/* All are down: one may come up before the dial is done. */
	fake.ports_down = 7;
	assert_int_equal(from(NULL), LO(1));
	/* As configured, whatever its state and place. */
	fake.ports_down = 2;
	snprintf(options.device, sizeof(options.device), "fake1");
	assert_int_equal(from(&options), LO(2));
	/* Also where another port of it is up. */
	fake.second_ports = true;
	assert_int_equal(from(&options), LO(2));
	options.gid = 2;
	assert_int_equal(from(&options), LO(2));
	fake.second_ports = false;
	options = (struct hs_transport_verbs_options){.source = "127.0.0.3"};
	assert_int_equal(from(&options), LO(3));
	/* None has such a port. */
	options = (struct hs_transport_verbs_options){.port = 2};
	assert_int_equal(from(&options), 0);
	fake_reset();
}

/* A port with a LID is dialled from by its interface's address: the loopback
 * one's here, 127.0.0.1. What its GIDs look like says nothing. */
static void infiniband(void **state)
{
	static const uint8_t usual[8] = {0xfe, 0x80};
	static const uint8_t looks_global[8] = {0x20, 0x01, 0x0d, 0xb8};
	struct hs_transport_verbs_options options = {.gid = 1};
	struct hs_transport_stats s;
	struct hs_transport *t;

	for (int i = 0; i < 2; i++) {
		fake_reset();
		fake.infiniband = true;
		memcpy(fake.subnet, i ? looks_global : usual, 8);
		/* Without an interface it is the route's to decide. */
		fake.nr_devices = 2;
		fake.ipoib = -1;
		assert_int_equal(from(NULL), 0);
		fake.ipoib = 1;
		assert_int_equal(from(NULL), LO(1));
		fake.ports_down = 1;
		t = open_one(1, NULL);
		assert_string_equal(by(t, &s), "nearest: fake1 port 1 "
					       "(distance 10), fake0 port 1 "
					       "(not active)");
		hs_transport_destroy(t);
		assert_int_equal(from(NULL), LO(1));
		/* One that is down is not dialled from by its address. */
		fake.ports_down = 2;
		assert_int_equal(from(NULL), 0);
		fake.ports_down = 0;
		snprintf(options.device, sizeof(options.device), "fake1");
		options.gid = 0;
		assert_int_equal(from(&options), LO(1));
		options.gid = 1;
		assert_null(open_one(1, &options));
	}
	fake_reset();
}

static void put(const char *root, const char *interface, const char *file,
		const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/mlx5_0/device/net/%s", root,
		 interface);
	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	strcat(path, "/");
	strcat(path, file);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* As the kernel lists them; what else is there is no such interface. */
static void interfaces_of_a_port(void **state)
{
	static const char *const folders[] = {"mlx5_0", "mlx5_0/device",
					      "mlx5_0/device/net"};
	char root[] = "/tmp/hs-ipoib-XXXXXX", path[256], command[64];
	char names[3][IFNAMSIZ];

	assert_non_null(mkdtemp(root));
	assert_int_equal(hs_verbs_ipoib_names(root, "mlx5_0", 1, names, 3), 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	put(root, "ib2", "type", "32\n");
	put(root, "ib2", "dev_port", "0\n");
	put(root, "ib0", "type", "32\n");
	put(root, "ib0", "dev_port", "0\n");
	put(root, "ib1", "type", "32\n");
	put(root, "ib1", "dev_port", "1\n");
	put(root, "eth0", "type", "1\n");
	put(root, "eth0", "dev_port", "0\n");
	put(root, "ib3", "type", "32\n"); /* of no port */
	put(root, "ib4", "type", "32\n");
	put(root, "ib4", "dev_port", "none\n");
	assert_int_equal(hs_verbs_ipoib_names(root, "mlx5_0", 1, names, 3), 2);
	assert_string_equal(names[0], "ib0");
	assert_string_equal(names[1], "ib2");
	assert_int_equal(hs_verbs_ipoib_names(root, "mlx5_0", 1, names, 1), 1);
	assert_int_equal(hs_verbs_ipoib_names(root, "mlx5_0", 2, names, 3), 1);
	assert_string_equal(names[0], "ib1");
	assert_int_equal(hs_verbs_ipoib_names(root, "mlx5_0", 3, names, 3), 0);
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	assert_int_equal(system(command), 0);
}

/* The nearest may not lead there: every other attempt goes by the route. */
static void by_the_route_in_between(void **state)
{
	struct hs_transport *t;
	uint32_t seen[2] = {0, 0};

	fake_reset();
	fake.nr_devices = 2;
	t = open_one(1, NULL);
	assert_int_equal(hs_transport_dial(t, "127.0.0.9:1"), 0);
	for (int i = 0; i < 2000 && (seen[0] < 3 || seen[1] < 3); i++) {
		seen[fake.from != 0]++;
		assert_true(!fake.from || fake.from == LO(1));
		assert_int_equal(hs_transport_poll(t, 1), 0);
	}
	assert_true(seen[0] >= 3 && seen[1] >= 3);
	hs_transport_destroy(t);
}

static void it_is_said_and_looked_at_again(void **state)
{
	struct hs_transport *listener, *dialler;
	struct hs_transport_stats s;
	char address[32];
	int port;

	fake_reset();
	fake.nr_devices = 2;
	fake.ports_down = 2;
	listener = open_one(1, NULL);
	dialler = open_one(2, NULL);
	assert_string_equal(by(dialler, &s), "nearest: fake0 port 1 (distance "
					     "10), fake1 port 1 (not active)");
	port = hs_transport_listen(listener, "127.0.0.1:0");
	assert_true(port > 0);
	snprintf(address, sizeof(address), "127.0.0.9:%d", port);
	nr_up = 0;
	assert_int_equal(hs_transport_dial(dialler, address), 0);
	for (int i = 0; i < 1000 && nr_up < 2; i++) {
		assert_int_equal(hs_transport_poll(listener, 1), 0);
		assert_int_equal(hs_transport_poll(dialler, 1), 0);
	}
	assert_int_equal(nr_up, 2);
	assert_string_equal(
		by(dialler, &s),
		"nearest: fake0 port 1 (distance 10), fake1 port 1 (not "
		"active); fake0 port 1 GID 1 127.0.0.1 (the "
		"nearest)");
	/* Its device tells of the change; a dial that fails looks. */
	fake.ports_down = 1;
	assert_int_equal(hs_transport_dial(dialler, "127.0.0.9:1"), 0);
	fake_async(IBV_EVENT_PORT_ERR);
	for (int i = 0; i < 1000 && fake.from != LO(2); i++)
		assert_int_equal(hs_transport_poll(dialler, 1), 0);
	assert_int_equal(fake.from, LO(2));
	assert_string_equal(
		by(dialler, &s),
		"nearest: fake1 port 1 (distance 10), fake0 port 1 (not "
		"active); fake0 port 1 GID 1 127.0.0.1 (the "
		"nearest)");
	hs_transport_destroy(dialler);
	hs_transport_destroy(listener);
	assert_null(fake.wrong);
	assert_int_equal(fake.nr_objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_nearest_first, none),
		cmocka_unit_test_setup(equals_by_name_and_number, none),
		cmocka_unit_test_setup(not_active_is_last, none),
		cmocka_unit_test_setup(a_network_that_leads_there, none),
		cmocka_unit_test_setup(a_short_text, none),
		cmocka_unit_test(several_devices),
		cmocka_unit_test(infiniband),
		cmocka_unit_test(interfaces_of_a_port),
		cmocka_unit_test(by_the_route_in_between),
		cmocka_unit_test(it_is_said_and_looked_at_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

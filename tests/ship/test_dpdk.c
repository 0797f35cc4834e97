/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_dpdk.c - slices through two DPDK ports, from process to process
 *
 *	test_dpdk [--v6] [PCI PCI]
 *
 * memif, which needs neither a device nor huge pages; or two PCI devices that
 * are wired to each other and bound to vfio-pci, the sender's first. The
 * sender's bytes are borrowed where they lie, in a memfd: not one is copied by
 * it, and each is let go by the port again; what the driver is given is looked
 * at, mbuf by mbuf. Over IPv6, where UDP has a checksum, they are copied unless
 * a device makes that. Both find each other by ARP, or by neighbour discovery.
 * Devices are behind an IOMMU,
 * which has to keep them from all other memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_ethdev.h>

#include "base/clock.h"
#include "base/random.h"
#include "ship/inlet.h"
#include "ship/outlet.h"
#include "tests/ship/stray.h"

#define POOL_BYTES (4u << 20)
#define SLICES	   2000u
#define FRAMES	   2048u
#define SKIPPED	   77
#define MBUFS_MAX  16384u

/* Between the processes. */
struct shared {
	bool listens, done, quiet;
	uint32_t taken, wrong;
	struct stray_seen strays;
	char why[160];
};

static struct shared *shared;
static uint8_t *pool;
static char socket_path[64];
static const char *pci_from, *pci_to; /* NULL: memif */
static const char *from = "192.0.2.1:7431", *to = "192.0.2.2:7430";
static bool v6;
static uint32_t users, settled;
static bool up;

static bool said(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void say(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

static uint32_t length_of(uint64_t key)
{
	return (uint32_t)(key * 7919 % 30000);
}

/* Anywhere, within one half. */
static uint64_t place_of(uint64_t key)
{
	return key % 2 * (POOL_BYTES / 2) +
	       key * 104729 % (POOL_BYTES / 2 - 30000);
}

static struct hs_ship_port *port_make(const char *role, const char *pci,
				      const char *bind, const char **why)
{
	hs_ship_dpdk_create_fn create = hs_ship_dpdk_load(why);
	char vdev[192];
	struct hs_ship_dpdk_config config = {
		.vdev = pci ? NULL : vdev,
		.pci = pci,
		.bind = bind,
		.nr_frames = FRAMES,
		.mtu = 9000,
		.dscp = 8,
		.borrow = true,
	};

	snprintf(vdev, sizeof(vdev),
		 "net_memif0,role=%s,id=0,socket=%s,socket-abstract=no,"
		 "bsize=10240",
		 role, socket_path);
	return create ? create(&config, why) : NULL;
}

/* ---- the collector's process ----------------------------------------------
 */

struct receiver {
	struct hs_ship_inlet *inlet;
	uint64_t keys[SLICES];
	uint32_t nr_keys, connection;
};

static enum hs_ship_verdict on_slice(void *ctx, uint32_t connection,
				     const struct hs_wire_slice *head,
				     const struct hs_ship_span *spans,
				     uint32_t nr_spans)
{
	struct receiver *r = ctx;
	const uint8_t *expect = pool + place_of(head->ship_key);
	uint32_t sum = 0;

	shared->wrong += head->ship_key != shared->taken;
	for (uint32_t i = 0; i < nr_spans; i++) {
		shared->wrong += memcmp(spans[i].data, expect + sum,
					spans[i].bytes) != 0;
		sum += spans[i].bytes;
	}
	shared->wrong += sum != length_of(head->ship_key);
	shared->taken++;
	r->connection = connection;
	r->keys[r->nr_keys++] = head->ship_key;
	return HS_SHIP_TAKEN;
}

static void on_up(void *ctx, uint32_t connection, uint64_t node)
{
	(void)ctx;
}

static void on_down(void *ctx, uint32_t connection, const char *why)
{
	(void)ctx;
}

static const struct hs_ship_inlet_ops inlet_ops = {on_slice, on_up, on_down};

static void receiver_main(void)
{
	const struct hs_ship_receiver_config config = {.node = 9,
						       .frame_bytes = 8972,
						       .nr_connections = 4,
						       .nr_frames = FRAMES};
	static struct receiver r;
	const char *why = "";
	struct hs_ship_port *port = port_make("server", pci_to, to, &why);
	uint32_t nr;

	if (!port) {
		snprintf(shared->why, sizeof(shared->why), "%s", why);
		_exit(1);
	}
	r.inlet = hs_ship_inlet_create(port, &config, &inlet_ops, &r,
				       hs_clock_mono_ns());
	if (pci_to && !stray_watch(&shared->strays))
		_exit(1);
	say(&shared->listens);
	while (!said(&shared->done)) {
		hs_ship_inlet_run(r.inlet, 512, &nr, hs_clock_mono_ns());
		for (uint32_t i = 0; i < r.nr_keys; i++)
			hs_ship_inlet_settle(r.inlet, r.connection, r.keys[i],
					     false);
		r.nr_keys = 0;
		if (!nr)
			usleep(50);
	}
	say(&shared->quiet);
	/* The driver would poll on while its peer goes. */
	_exit(0);
}

/* ---- the agent's process ---------------------------------------------------
 */

static uint64_t bytes_in_pool, segments_elsewhere, reports, questions;

/* To the routers that know version 2 of MLD. */
static bool is_report(const struct rte_mbuf *m)
{
	static const uint8_t routers[6] = {0x33, 0x33, 0, 0, 0, 0x16};

	return !memcmp(rte_pktmbuf_mtod(m, const void *), routers,
		       sizeof(routers));
}

/* Who has an address: to all, or to those of IPv6 whose end is its end. */
static bool is_question(const struct rte_mbuf *m)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t group[3] = {0x33, 0x33, 0xff};
	const void *at = rte_pktmbuf_mtod(m, const void *);

	return !memcmp(at, all, sizeof(all)) ||
	       !memcmp(at, group, sizeof(group));
}

/* Behind the first segment, which has the heads, everything lies in the pool.
 */
static uint16_t look(uint16_t port, uint16_t queue, struct rte_mbuf *packets[],
		     uint16_t nr, void *ctx)
{
	(void)port;
	(void)queue;
	(void)ctx;
	for (uint16_t i = 0; i < nr; i++) {
		reports += is_report(packets[i]);
		questions += is_question(packets[i]);
		for (const struct rte_mbuf *m = packets[i]->next; m;
		     m = m->next) {
			const uint8_t *at =
				rte_pktmbuf_mtod(m, const uint8_t *);

			if (at >= pool && at + m->data_len <= pool + POOL_BYTES)
				bytes_in_pool += m->data_len;
			else
				segments_elsewhere++;
		}
	}
	return nr;
}

static const void *out_bytes(void *ctx, const struct hs_ship_slice *slice)
{
	(void)ctx;
	return pool + slice->where;
}

static void out_settled(void *ctx, const struct hs_ship_slice *slice,
			bool refused)
{
	(void)ctx;
	assert_false(refused);
	assert_int_equal(slice->head.ship_key, settled);
	settled++;
}

static void out_up(void *ctx, uint32_t nr, uint64_t node)
{
	(void)ctx;
	assert_int_equal(node, 9);
	up = true;
}

static void out_down(void *ctx, uint32_t nr, const char *why)
{
	fail_msg("the connection went down: %s, %u taken", why, shared->taken);
}

static const struct hs_ship_outlet_ops outlet_ops = {out_bytes, out_settled,
						     out_up, out_down};

static void send_all(struct hs_ship_outlet *o)
{
	uint32_t next = 0;

	while (settled < SLICES) {
		while (up && next < SLICES) {
			struct hs_ship_slice slice = {
				.head = {.ship_key = next,
					 .length_bytes = length_of(next)},
				.where = place_of(next),
				.users = &users};

			if (hs_ship_outlet_add(o, 0, &slice))
				break;
			next++;
		}
		hs_ship_outlet_run(o, hs_clock_mono_ns());
		usleep(50);
	}
}

static void receive(struct hs_ship_port *port)
{
	struct hs_ship_port_frame frames[64];
	uint32_t nr = port->ops->receive(port, frames, 64);

	for (uint32_t i = 0; i < nr; i++)
		port->ops->release(port, frames[i].handle);
}

/* To somebody of whom it is not known where. */
static void send_nothing(struct hs_ship_port *port)
{
	struct hs_ship_address at;
	uint32_t frame_bytes;
	const char *why;

	assert_int_equal(port->ops->resolve(port, to, &at, &frame_bytes, &why),
			 0);
	assert_int_equal(port->ops->send(port, &at, "", 1, NULL, 0), -EAGAIN);
	port->ops->flush(port);
}

static void wait_link(struct hs_ship_port *port)
{
	struct hs_ship_port_stats stats = {.link_down = true};

	while (stats.link_down) {
		receive(port);
		send_nothing(port);
		port->ops->stats(port, &stats);
	}
}

/* That we listen, and who is where, is said and asked when there is memory for
 * it, if there is none when it is time. */
static void say_late(struct hs_ship_port *port)
{
	static struct rte_mbuf *all[MBUFS_MAX];
	struct rte_mempool *frames = rte_mempool_lookup("frames");
	uint32_t nr = 0;

	assert_non_null(frames);
	while (nr < MBUFS_MAX && (all[nr] = rte_pktmbuf_alloc(frames)))
		nr++;
	assert_true(nr < MBUFS_MAX);
	wait_link(port);
	assert_int_equal(reports + questions, 0);
	rte_pktmbuf_free_bulk(all, nr);
	receive(port);
	send_nothing(port);
	assert_int_equal(reports, v6);
	assert_int_equal(questions, 1);
}

static void test_borrowed(void **state)
{
	const struct hs_ship_outlet_config config = {.sender = {.node = 5}};
	struct hs_ship_sender_stats sender;
	struct hs_ship_port_stats stats;
	const char *why = "";
	struct hs_ship_port *port;
	/* It is never let go, since that would be polling a driver whose peer
	 * may be gone; a leak is what nothing leads to any more. */
	static struct hs_ship_outlet *o;

	(void)state;
	port = port_make("client", pci_from, from, &why);
	if (!port)
		fail_msg("%s", why);
	assert_int_equal(
		port->ops->memory(port, pool, POOL_BYTES,
				  pci_from ? POOL_BYTES / 2
					   : (uint64_t)sysconf(_SC_PAGESIZE)),
		0);
	assert_non_null(rte_eth_add_tx_callback(0, 0, look, NULL));
	say_late(port);
	o = hs_ship_outlet_create(port, &config, &outlet_ops, NULL);
	assert_non_null(o);
	assert_int_equal(hs_ship_outlet_dial(o, to, hs_clock_mono_ns(), &why),
			 0);
	send_all(o);
	assert_int_equal(shared->taken, SLICES);
	assert_int_equal(shared->wrong, 0);
	hs_ship_outlet_stats(o, 0, &sender, &stats);
	if (v6) {
		assert_true(stats.bytes_copied >= sender.bytes_added);
		assert_int_equal(stats.bytes_borrowed + bytes_in_pool, 0);
	} else {
		assert_int_equal(stats.bytes_copied, 0);
		assert_true(stats.bytes_borrowed >= sender.bytes_added);
		/* More often where a short burst was offered again. */
		assert_true(bytes_in_pool >= sender.bytes_added);
		assert_int_equal(segments_elsewhere, 0);
	}
	/* All of it was given back: nobody uses the pool any more. */
	for (uint32_t i = 0; users && i < 1000; i++)
		hs_ship_outlet_run(o, hs_clock_mono_ns());
	assert_int_equal(users, 0);
	print_message("%llu frames, %llu again, copies a byte %d\n",
		      (unsigned long long)sender.frames_sent,
		      (unsigned long long)sender.frames_resent, v6);
	if (pci_from && !stray_send(pool, &shared->strays, &why))
		fail_msg("%s", why);
	say(&shared->done);
	while (!said(&shared->quiet))
		usleep(1000);
}

static void test_addresses(void **state)
{
	struct hs_ship_dpdk_config config = {.bind = "here"};
	hs_ship_dpdk_create_fn create;
	const char *why = NULL;

	(void)state;
	create = hs_ship_dpdk_load(&why);
	assert_non_null(create);
	assert_null(create(&config, &why));
	assert_non_null(strstr(why, "bind should be an address and a port"));
}

/*
 * As an agent's is; every page of it is there when it is registered. For a
 * device of huge pages: QEMU's e1000e drops a packet of which one piece is not
 * one piece of memory behind the IOMMU, where a real one reads on.
 */
static uint8_t *pool_make(void)
{
	int fd = memfd_create("pool", pci_from ? MFD_CLOEXEC | MFD_HUGETLB
					       : MFD_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, POOL_BYTES))
		p = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, fd, 0);
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_borrowed),
	};
	struct hs_random random;
	const char *why = "";
	pid_t pid;
	int rc;

	if (!hs_ship_dpdk_load(&why)) {
		printf("skipped: %s\n", why);
		return SKIPPED;
	}
	snprintf(socket_path, sizeof(socket_path), "/tmp/hsf-dpdk-%d.sock",
		 (int)getpid());
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc > 1 && !strcmp(argv[1], "--v6")) {
		v6 = true;
		from = "[2001:db8::1]:7431";
		to = "[2001:db8::2]:7430";
		argc--;
		argv++;
	}
	if (argc == 3) {
		pci_from = argv[1];
		pci_to = argv[2];
	}
	pool = pool_make();
	if (shared == MAP_FAILED || !pool)
		return 1;
	hs_random_seed(&random, 1);
	hs_random_fill(&random, pool, POOL_BYTES);
	/* Before DPDK starts here: it runs once in a process. */
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		receiver_main();
	}
	while (!said(&shared->listens) && !shared->why[0])
		usleep(1000);
	if (shared->why[0]) {
		fprintf(stderr, "receiver: %s\n", shared->why);
		return 1;
	}
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(socket_path);
	return rc;
}

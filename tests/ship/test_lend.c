/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lend.c - libhindsight-dpdk between an agent's end and a DPDK port
 *
 * The port is a ring whose output is its input (net_ring): what the agent sends
 * to the port's own address comes back to it through everything. Then agents
 * that lie, and none at all; and that a round makes no system call. Over IPv4,
 * or with --v6 over IPv6.
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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/memfd.h"
#include "hs/lend.h"
#include "ship/lend_priv.h"
#include "ship/lend_ring.h"
#include "ship/port_lent.h"

#define FRAME	   (v6 ? FRAME6 : FRAME4)
#define FRAME4	   1472u
#define FRAME6	   1452u
#define RING	   64u
#define FRAMES	   3000u
#define ADDRESS	   (v6 ? "[2001:db8::7]:7431" : "192.0.2.7:7431")
#define PATIENCE_S 30u

static char dir[] = "/tmp/hs-lend-XXXXXX";
static char path[64];
static struct rte_mempool *pool;
static uint16_t port;
static uint32_t nr_others;
static bool v6;

#define UNTIL(step, what)                                                      \
	do {                                                                   \
		uint64_t end =                                                 \
			hs_clock_mono_ns() + PATIENCE_S * HS_NS_PER_SEC;       \
		while (!(what)) {                                              \
			step;                                                  \
			if (hs_clock_mono_ns() > end)                          \
				fail_msg("not in time: %s", #what);            \
		}                                                              \
	} while (0)

static void on_other(void *ctx, struct rte_mbuf *m)
{
	(void)ctx;
	nr_others++;
	rte_pktmbuf_free(m);
}

static struct hs_lend_options options(uint16_t rx_queue)
{
	return (struct hs_lend_options){
		.size_bytes = sizeof(struct hs_lend_options),
		.socket_path = path,
		.name = "test",
		.port = port,
		.rx_queue = rx_queue,
		.mempool = pool,
		.address = ADDRESS,
		.mtu = 1500,
		.answers_arp = true,
		.other = on_other,
	};
}

static struct hs_lend *lend_open(uint16_t rx_queue)
{
	const struct hs_lend_options o = options(rx_queue);
	struct hs_lend *l;

	assert_int_equal(hs_lend_open(&o, &l), 0);
	return l;
}

static struct hs_lend_stats stats(const struct hs_lend *l)
{
	struct hs_lend_stats s = {.size_bytes = sizeof(s)};

	hs_lend_stats_get(l, &s);
	return s;
}

static struct hs_ship_port *agent_make(void)
{
	const struct hs_ship_lent_config config = {
		.socket = path, .mode = 0600, .frame_bytes = FRAME4};
	const char *why = "";
	struct hs_ship_port *p = hs_ship_lent_create(&config, &why);

	if (!p)
		fail_msg("%s: %s", why, strerror(errno));
	return p;
}

static uint32_t length_of(uint32_t number)
{
	return number * 7919 % (FRAME - 4) + 4;
}

/* To the port's own address. */
static bool agent_send(struct hs_ship_port *p, uint32_t number)
{
	static uint8_t body[FRAME4];
	const struct hs_ship_port_span span = {body, length_of(number) - 4,
					       NULL};
	struct hs_ship_address to;
	const char *why;
	uint32_t frame_bytes;

	assert_int_equal(p->ops->resolve(p, ADDRESS, &to, &frame_bytes, &why),
			 0);
	memset(body, (int)number, sizeof(body));
	return !p->ops->send(p, &to, &number, sizeof(number), &span, 1);
}

/* Frames in order, each as it was sent; up to 64 of them. */
static uint32_t agent_take(struct hs_ship_port *p, uint32_t next)
{
	struct hs_ship_port_frame frames[64];
	uint32_t nr = p->ops->receive(p, frames, 64);

	for (uint32_t i = 0; i < nr; i++, next++) {
		const uint8_t *at = frames[i].data;
		uint32_t number;

		assert_int_equal(frames[i].bytes, length_of(next));
		memcpy(&number, at, sizeof(number));
		assert_int_equal(number, next);
		for (uint32_t k = 4; k < frames[i].bytes; k++)
			assert_int_equal(at[k], (uint8_t)number);
		p->ops->release(p, frames[i].handle);
	}
	return nr;
}

static bool agent_down(struct hs_ship_port *p)
{
	struct hs_ship_port_stats s;

	p->ops->receive(p, NULL, 0);
	p->ops->stats(p, &s);
	return s.link_down;
}

static void lent(struct hs_ship_port *p, struct hs_lend *l)
{
	UNTIL(agent_down(p), hs_lend_renew(l) == HS_LEND_LENT);
}

/* Its own neighbour, whom it finds by ARP or by a solicitation. */
static void find_itself(struct hs_ship_port *p, struct hs_lend *l)
{
	uint32_t taken = 0;

	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	UNTIL(hs_lend_poll(l), stats(l).no_neighbour == 1);
	while (!taken) {
		agent_send(p, 0);
		p->ops->flush(p);
		hs_lend_poll(l);
		taken = agent_take(p, 0);
	}
	/* What was sent twice meanwhile. */
	UNTIL(hs_lend_poll(l), stats(l).sent == stats(l).received);
	while (agent_take(p, 0))
		;
}

static void test_through(void **state)
{
	struct hs_ship_port *p = agent_make();
	struct hs_lend *l = lend_open(0);
	uint32_t sent = 0, taken = 0;
	uint64_t before;

	(void)state;
	lent(p, l);
	find_itself(p, l);
	before = stats(l).sent;
	while (taken < FRAMES) {
		while (sent < FRAMES && agent_send(p, sent))
			sent++;
		p->ops->flush(p);
		hs_lend_poll(l);
		taken += agent_take(p, taken);
	}
	assert_int_equal(stats(l).sent - before, FRAMES);
	assert_int_equal(stats(l).dropped, 0);
	/* The answer to its own question, which came to itself. */
	assert_true(nr_others > 0);
	assert_int_equal(stats(l).other, nr_others);
	hs_lend_close(l);
	UNTIL((void)0, agent_down(p));
	p->ops->destroy(p);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static int neighbour(struct hs_lend *l, bool of_v6, const uint8_t mac[6])
{
	static const uint8_t ip6[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
	static const uint8_t ip[4] = {192, 0, 2, 7};
	uint32_t word;

	memcpy(&word, ip, sizeof(word));
	return of_v6 ? hs_lend_neighbour6(l, ip6, mac)
		     : hs_lend_neighbour(l, word, mac);
}

/* Other packets are the application's; a full queue waits, and loses none. */
static void test_take_and_stuck(void **state)
{
	struct hs_ship_port *p = agent_make();
	struct hs_lend *l = lend_open(HS_LEND_NO_QUEUE);
	struct rte_ether_addr mac;
	struct rte_mbuf *m, *burst[32];
	uint32_t taken = 0, nr = 0;

	(void)state;
	rte_eth_macaddr_get(port, &mac);
	assert_int_equal(neighbour(l, v6, mac.addr_bytes), 0);
	assert_int_equal(neighbour(l, !v6, mac.addr_bytes), -EINVAL);
	lent(p, l);
	while (nr < 3 * RING && agent_send(p, nr))
		nr++;
	p->ops->flush(p);
	UNTIL(hs_lend_poll(l), stats(l).stuck > 3);
	assert_true(stats(l).sent < nr);
	m = rte_pktmbuf_alloc(pool);
	assert_non_null(rte_pktmbuf_append(m, 60));
	memset(rte_pktmbuf_mtod(m, void *), 0, 60);
	assert_false(hs_lend_take(l, m));
	rte_pktmbuf_free(m);
	while (taken < nr) {
		uint16_t n = rte_eth_rx_burst(port, 0, burst, 32);

		for (uint16_t i = 0; i < n; i++)
			assert_true(hs_lend_take(l, burst[i]));
		hs_lend_poll(l);
		taken += agent_take(p, taken);
	}
	assert_int_equal(stats(l).no_neighbour, 0);
	assert_int_equal(stats(l).received, nr);
	/* Nobody there: ours still, and dropped. */
	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	hs_lend_poll(l);
	p->ops->destroy(p);
	UNTIL((void)0, hs_lend_renew(l) == HS_LEND_AWAY);
	assert_int_equal(rte_eth_rx_burst(port, 0, burst, 32), 1);
	assert_true(hs_lend_take(l, burst[0]));
	assert_int_equal(stats(l).dropped, 1);
	assert_int_equal(hs_lend_poll(l), 0);
	hs_lend_close(l);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

/* Where the application answers for its address itself, its packets tell who is
 * where all the same, and stay its own. */
static void test_somebody_else_answers(void **state)
{
	struct hs_lend_options o = options(HS_LEND_NO_QUEUE);
	struct hs_ship_port *p = agent_make();
	struct hs_lend *l;
	struct rte_mbuf *burst[32];
	uint16_t n = 0;

	(void)state;
	o.answers_arp = false;
	assert_int_equal(hs_lend_open(&o, &l), 0);
	lent(p, l);
	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	hs_lend_poll(l);
	assert_int_equal(stats(l).no_neighbour, 1);
	/* Its own question, which tells it where it is. */
	while (!n)
		n = rte_eth_rx_burst(port, 0, burst, 32);
	assert_int_equal(n, 1);
	assert_false(hs_lend_take(l, burst[0]));
	rte_pktmbuf_free(burst[0]);
	assert_int_equal(hs_lend_poll(l), 0);
	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	UNTIL(hs_lend_poll(l), stats(l).sent == 1);
	assert_int_equal(rte_eth_rx_burst(port, 0, burst, 32), 1);
	assert_true(hs_lend_take(l, burst[0]));
	hs_lend_poll(l);
	UNTIL((void)0, agent_take(p, 0) == 1);
	hs_lend_close(l);
	p->ops->destroy(p);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

/* Questions among what went out, each of which is given back. */
static uint32_t drain(void)
{
	struct rte_mbuf *burst[32];
	uint32_t nr = 0;
	uint16_t n;

	while ((n = rte_eth_rx_burst(port, 0, burst, 32))) {
		rte_pktmbuf_free_bulk(burst, n);
		nr += n;
	}
	return nr;
}

/* An agent that sends to ever other addresses, of which nobody answers, is no
 * reason to ask all of the network without end. */
static void test_ever_other_addresses(void **state)
{
	struct hs_ship_port *p = agent_make();
	struct hs_lend *l = lend_open(HS_LEND_NO_QUEUE);
	const uint8_t head[4] = {0};
	uint32_t asked = 0;

	(void)state;
	lent(p, l);
	/* No interval is over as long as this goes on. */
	l->ask_tsc = UINT64_MAX;
	for (uint32_t i = 0; i < FRAMES; i++) {
		struct hs_ship_address to;
		uint32_t frame_bytes;
		const char *why;
		char text[64];

		snprintf(text, sizeof(text),
			 v6 ? "[2001:db8::1:%x]:7431" : "192.0.%u.%u:7431",
			 v6 ? i : i / 256, i % 256);
		assert_int_equal(
			p->ops->resolve(p, text, &to, &frame_bytes, &why), 0);
		assert_int_equal(
			p->ops->send(p, &to, head, sizeof(head), NULL, 0), 0);
		p->ops->flush(p);
		hs_lend_poll(l);
		asked += drain();
	}
	assert_int_equal(stats(l).no_neighbour, FRAMES);
	/* As many as one that is honest has collectors. */
	assert_int_equal(asked, HS_DPDK_NEIGHBOURS_MAX);
	/* The next interval has its own. */
	l->ask_tsc = 0;
	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	hs_lend_poll(l);
	assert_int_equal(drain(), 1);
	hs_lend_close(l);
	p->ops->destroy(p);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

/* A question for which there is no memory is due as before. */
static void test_no_memory_to_ask(void **state)
{
	struct hs_ship_port *p = agent_make();
	struct hs_lend *l = lend_open(HS_LEND_NO_QUEUE);
	struct rte_mbuf *all[1023];
	uint32_t nr = 0;

	(void)state;
	lent(p, l);
	l->ask_tsc = UINT64_MAX;
	while (nr < 1023 && (all[nr] = rte_pktmbuf_alloc(pool)))
		nr++;
	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	hs_lend_poll(l);
	assert_int_equal(stats(l).no_neighbour, 1);
	assert_int_equal(drain(), 0);
	rte_pktmbuf_free_bulk(all, nr);
	assert_true(agent_send(p, 0));
	p->ops->flush(p);
	hs_lend_poll(l);
	assert_int_equal(drain(), 1);
	hs_lend_close(l);
	p->ops->destroy(p);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

/* From now on any other system call is this process's end. */
static int only_exit(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]),
					   code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void polite(void)
{
	struct hs_lend *l = lend_open(0);
	uint64_t want;

	while (hs_lend_renew(l) != HS_LEND_LENT)
		usleep(1000);
	if (only_exit())
		_exit(2);
	/* The first ones ask for themselves. */
	while (!stats(l).received)
		hs_lend_poll(l);
	want = stats(l).received + FRAMES;
	while (stats(l).received < want)
		hs_lend_poll(l);
	syscall(SYS_exit, 0);
}

static void test_no_system_call(void **state)
{
	struct hs_ship_port *p = agent_make();
	int status = -1;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		polite();
		_exit(1);
	}
	UNTIL(
		{
			struct hs_ship_port_frame frames[64];
			uint32_t nr = p->ops->receive(p, frames, 64);

			for (uint32_t i = 0; i < nr; i++)
				p->ops->release(p, frames[i].handle);
			(void)agent_send(p, 0);
			p->ops->flush(p);
		},
		waitpid(child, &status, WNOHANG) == child);
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	p->ops->destroy(p);
}

/* ---- agents that lie ------------------------------------------------------
 */

struct liar {
	int listener, sock;
	struct hs_memfd memory[2];
};

static void liar_make(struct liar *a, size_t down_bytes, size_t up_bytes)
{
	a->sock = -1;
	a->listener = hs_unix_listen(path, SOCK_SEQPACKET, 0600, 4);
	assert_true(a->listener >= 0);
	assert_int_equal(hs_memfd_create(&a->memory[0], "down", down_bytes, 0),
			 0);
	assert_int_equal(hs_memfd_create(&a->memory[1], "up", up_bytes, 0), 0);
}

static void liar_end(struct liar *a)
{
	for (int i = 0; i < 2; i++)
		hs_memfd_close(&a->memory[i]);
	close(a->sock);
	close(a->listener);
	unlink(path);
}

static struct hs_lend_welcome welcome(uint32_t nr_slots)
{
	return (struct hs_lend_welcome){
		.magic = HS_LEND_MAGIC,
		.version = v6 ? HS_LEND_VERSION_IP6 : HS_LEND_VERSION_IP4,
		.frame_bytes = FRAME,
		.slot_bytes = hs_lend_slot_bytes(FRAME, v6),
		.nr_slots = nr_slots,
	};
}

static enum hs_lend_state answered(struct liar *a, struct hs_lend *l,
				   const struct hs_lend_welcome *w, int nr_fds)
{
	const int fds[2] = {a->memory[0].fd, a->memory[1].fd};

	UNTIL(hs_lend_renew(l),
	      (a->sock = accept(a->listener, NULL, NULL)) >= 0);
	assert_int_equal(
		hs_fdpass_send(a->sock, w, sizeof(*w), fds, (size_t)nr_fds), 0);
	UNTIL((void)0, hs_lend_renew(l) != HS_LEND_ASKED);
	return stats(l).state;
}

static void test_answers_that_cannot_be(void **state)
{
	const struct hs_lend_welcome good = welcome(16), large = welcome(32);
	struct hs_lend_welcome busy = {.magic = HS_LEND_MAGIC,
				       .refused = HS_LEND_REFUSED_BUSY};
	const size_t bytes = hs_lend_memory_bytes(16, FRAME, v6);
	const struct {
		const struct hs_lend_welcome *w;
		int nr_fds;
		const char *why;
	} cases[] = {
		{&busy, 0, "another application"},
		{&good, 1, "makes no sense"},
		{&good, 0, "makes no sense"},
		{&large, 2, "makes no sense"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hs_lend *l;
		struct liar a;

		liar_make(&a, bytes, bytes);
		l = lend_open(HS_LEND_NO_QUEUE);
		assert_int_equal(answered(&a, l, cases[i].w, cases[i].nr_fds),
				 HS_LEND_REFUSED);
		assert_non_null(strstr(stats(l).why, cases[i].why));
		assert_int_equal(hs_lend_poll(l), 0);
		hs_lend_close(l);
		liar_end(&a);
	}
}

static void test_memory_that_cannot_be(void **state)
{
	const struct hs_lend_welcome w = welcome(16);
	const size_t bytes = hs_lend_memory_bytes(16, FRAME, v6);
	struct hs_lend_down *down;
	struct hs_lend_slot *slot;
	struct hs_lend *l;
	struct liar a;
	/* What a former test's process had when it ended is nobody's. */
	unsigned int in_use = rte_mempool_in_use_count(pool);

	(void)state;
	liar_make(&a, bytes, bytes);
	l = lend_open(HS_LEND_NO_QUEUE);
	assert_int_equal(answered(&a, l, &w, 2), HS_LEND_LENT);
	down = a.memory[0].base;
	/* Frames to nowhere, of any length. */
	for (uint32_t i = 0; i < 16; i++) {
		slot = (struct hs_lend_slot *)((uint8_t *)down +
					       HS_LEND_WORDS_BYTES +
					       i * w.slot_bytes);
		slot->word = (uint64_t)(FRAME + 1 + i * 4000) << 48 | i;
	}
	down->head = 16;
	assert_int_equal(hs_lend_poll(l), 0);
	assert_int_equal(stats(l).sent, 0);
	assert_int_equal(hs_lend_renew(l), HS_LEND_LENT);
	/* Skipped, and their slots given back. */
	assert_int_equal(((struct hs_lend_up *)a.memory[1].base)->tail, 16);
	/* More than there are. */
	down->head = 16 + 16 + 1;
	assert_int_equal(hs_lend_poll(l), 0);
	assert_int_equal(hs_lend_renew(l), HS_LEND_AWAY);
	assert_int_equal(stats(l).broken, 1);
	hs_lend_close(l);
	liar_end(&a);
	assert_int_equal(rte_mempool_in_use_count(pool), in_use);
}

static void test_options(void **state)
{
	struct hs_lend_options o = options(0);
	struct hs_lend *l;
	char longest[200];

	(void)state;
	o.size_bytes--;
	assert_int_equal(hs_lend_open(&o, &l), -EINVAL);
	o = options(1);
	assert_int_equal(hs_lend_open(&o, &l), -ENODEV);
	o = options(0);
	o.port = 77;
	assert_int_equal(hs_lend_open(&o, &l), -ENODEV);
	o = options(0);
	o.address = "192.0.2.7";
	assert_int_equal(hs_lend_open(&o, &l), -EINVAL);
	o = options(0);
	o.dscp = 64;
	assert_int_equal(hs_lend_open(&o, &l), -EINVAL);
	o = options(0);
	o.mtu = v6 ? 1279 : 600;
	assert_int_equal(hs_lend_open(&o, &l), -EMSGSIZE);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	o = options(0);
	o.socket_path = longest;
	assert_int_equal(hs_lend_open(&o, &l), -ENAMETOOLONG);
	assert_null(l);
	hs_lend_close(NULL);
}

static int dpdk_start(void)
{
	char *argv[] = {"test_lend",   "--no-huge",   "-m",
			"64",	       "--no-pci",    "--no-telemetry",
			"--no-shconf", "--log-level", "*:error",
			"-l",	       "0",	      NULL};
	struct rte_eth_conf conf = {0};
	struct rte_ring *ring;
	int made;

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		return -1;
	ring = rte_ring_create("loop", RING, SOCKET_ID_ANY,
			       RING_F_SP_ENQ | RING_F_SC_DEQ);
	pool = rte_pktmbuf_pool_create("packets", 1023, 0, 0,
				       RTE_PKTMBUF_HEADROOM + 2048,
				       SOCKET_ID_ANY);
	made = ring && pool ? rte_eth_from_rings("loop", &ring, 1, &ring, 1, 0)
			    : -1;
	if (made < 0)
		return -1;
	port = (uint16_t)made;
	return rte_eth_dev_configure(port, 1, 1, &conf) ||
			       rte_eth_rx_queue_setup(port, 0, RING,
						      SOCKET_ID_ANY, NULL,
						      pool) ||
			       rte_eth_tx_queue_setup(port, 0, RING,
						      SOCKET_ID_ANY, NULL) ||
			       rte_eth_dev_start(port)
		       ? -1
		       : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_through),
		cmocka_unit_test(test_take_and_stuck),
		cmocka_unit_test(test_somebody_else_answers),
		cmocka_unit_test(test_ever_other_addresses),
		cmocka_unit_test(test_no_memory_to_ask),
		cmocka_unit_test(test_no_system_call),
		cmocka_unit_test(test_answers_that_cannot_be),
		cmocka_unit_test(test_memory_that_cannot_be),
		cmocka_unit_test(test_options),
	};
	int rc;

	v6 = argc > 1 && !strcmp(argv[1], "--v6");
	if (dpdk_start() || !mkdtemp(dir)) {
		fprintf(stderr, "DPDK does not start, or no folder\n");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/lend.sock", dir);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return rc;
}

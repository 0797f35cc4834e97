/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shm.c - the shared-memory carrier against processes that do not play by
 * the rules, that die, and that sleep whenever they may
 *
 * The other side's socket and memory are in our hands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/fdpass.h"
#include "base/memfd.h"
#include "rdma/shm_ring.h"
#include "rdma/stream.h"
#include "rdma/transport.h"
#include "tests/rdma/shm_other.h"

/* The carrier's own, so that something can happen right before it looks at what
 * its socket has; in the thread that wants it. */
static __thread void (*before_recv)(void);

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	void (*happen)(void) = before_recv;

	before_recv = NULL;
	if (happen)
		happen();
	return syscall(SYS_recvmsg, fd, message, flags);
}

static void a_peer(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	say(&o, HS_WIRE_LEAVE, "12345678", 8);
	until(nr_messages == 1);
	hang_up(&o);
	until(nr_down == 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 0);
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static void refused(const struct hs_ring_hello *h, int fd)
{
	uint64_t before = cut(HS_TRANSPORT_CUT_GARBAGE);
	struct other o;
	struct hs_transport_stats st;

	dial(&o);
	say_hello(&o, h, fd);
	until(cut(HS_TRANSPORT_CUT_GARBAGE) == before + 1);
	until((hs_transport_stats(t, &st), st.nr_peers == 0));
	hang_up(&o);
	if (fd >= 0)
		close(fd);
}

static void hellos(void **state)
{
	struct hs_ring_hello h = good_hello();
	int pipes[2];

	(void)state;
	h.magic++;
	refused(&h, memory(HS_RING_MEMORY_BYTES, SEALS));
	h = good_hello();
	h.version++;
	refused(&h, memory(HS_RING_MEMORY_BYTES, SEALS));
	h = good_hello();
	h.ring_bytes *= 2;
	refused(&h, memory(HS_RING_MEMORY_BYTES + HS_RING_BYTES, SEALS));
	h = good_hello();
	refused(&h, -1);
	refused(&h, memory(HS_RING_MEMORY_BYTES, F_SEAL_GROW));
	refused(&h, memory(HS_RING_MEMORY_BYTES, F_SEAL_SHRINK));
	refused(&h, memory(HS_RING_MEMORY_BYTES - 4096, SEALS));
	refused(&h, memory(HS_RING_MEMORY_BYTES + 4096, SEALS));
	refused(&h, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	refused(&h, pipes[0]);
	close(pipes[1]);
}

/* A hello cut, one without an end, and one with more than one memory. */
static void odd_hellos(void **state)
{
	struct hs_ring_hello h = good_hello();
	struct hs_transport_stats st;
	int fds[2] = {memory(HS_RING_MEMORY_BYTES, SEALS),
		      memory(HS_RING_MEMORY_BYTES, SEALS)};
	struct other o;

	(void)state;
	dial(&o);
	assert_int_equal(send(o.fd, &h, 7, 0), 7);
	until(cut(HS_TRANSPORT_CUT_GARBAGE) == 1);
	hang_up(&o);
	dial(&o);
	assert_int_equal(hs_fdpass_send(o.fd, &h, sizeof(h), fds, 2), 0);
	until(cut(HS_TRANSPORT_CUT_GARBAGE) == 2);
	hang_up(&o);
	dial(&o);
	close(o.fd);
	until((hs_transport_stats(t, &st), st.nr_peers == 0));
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(nr_up + nr_down, 0);
}

static struct hs_ring_words *words(struct other *o)
{
	return o->ours.base;
}

static void cut_for_garbage(struct other *o)
{
	until(nr_down == 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 1);
	hang_up(o);
}

static void head_that_lies(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	words(&o)->head += HS_RING_BYTES + 1;
	ring(&o);
	cut_for_garbage(&o);
}

static void head_goes_back(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	words(&o)->head--;
	ring(&o);
	cut_for_garbage(&o);
}

/* Ours has to say what there is no room for. */
static void is_told_too_much(void)
{
	static uint8_t big[2 * HS_RING_BYTES];
	struct iovec iov = {big, sizeof(big)};

	assert_int_equal(hs_transport_send(t, last_up, HS_WIRE_SLICE, &iov, 1),
			 0);
}

static void tail_that_lies(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	words(&o)->tail = 1u << 30;
	is_told_too_much();
	cut_for_garbage(&o);
}

/* All its memory reads as zeros from one moment to the next. */
static void holes(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	assert_int_equal(fallocate(o.ours.fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, HS_RING_MEMORY_BYTES),
			 0);
	ring(&o);
	cut_for_garbage(&o);
}

/* It writes into our memory, too: what it says of itself is all it changes. */
static void writes_into_ours(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	memset(o.theirs.base, 0xff, HS_RING_MEMORY_BYTES);
	say(&o, HS_WIRE_LEAVE, "12345678", 8);
	say(&o, HS_WIRE_LEAVE, "12345678", 8);
	until(nr_messages == 2);
	hang_up(&o);
	until(nr_down == 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 0);
}

static void says_no_ring(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	(void)send(o.fd, "x", 1, MSG_NOSIGNAL);
	/* Looked at when there were reasons for as many as are held. */
	for (int i = 0; i < 200 && !nr_down; i++) {
		say(&o, HS_WIRE_LEAVE, "12345678", 8);
		ring(&o);
		turn();
	}
	cut_for_garbage(&o);
}

static struct other *late;

static void say_late(void)
{
	say(late, HS_WIRE_LEAVE, "12345678", 8);
}

/* Whatever is said, and rung for, while rings are read is heard all the same.
 */
static void rung_while_it_listens(void **state)
{
	struct other o;
	uint32_t nr = 0;

	(void)state;
	connect_as_peer(&o);
	late = &o;
	for (int i = 0; i < 20; i++) {
		before_recv = say_late;
		while (before_recv) {
			say(&o, HS_WIRE_LEAVE, "12345678", 8);
			nr++;
			until(nr_messages >= nr);
		}
		nr++;
		until(nr_messages == nr);
	}
	hang_up(&o);
}

static void cut_for_ringing(struct other *o)
{
	for (int i = 0; i < 100000 && !nr_down; i++) {
		ring(o);
		assert_int_equal(hs_transport_poll(t, 0), 0);
	}
	assert_int_equal(nr_down, 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_FLOOD), 1);
	hang_up(o);
}

static void rings_without_end(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	cut_for_ringing(&o);
}

/* The same, with as much to say to it as it takes no more of. */
static void rings_and_reads_nothing(void **state)
{
	struct other o;

	(void)state;
	connect_as_peer(&o);
	is_told_too_much();
	cut_for_ringing(&o);
}

/* It changes `naps` to be rung each time, and never hears it. */
static void deaf(void **state)
{
	struct iovec iov = {(void *)(uintptr_t) "12345678", 8};
	struct other o;

	(void)state;
	connect_as_peer(&o);
	for (int i = 0; i < 100000 && !nr_down; i++) {
		words(&o)->naps++;
		/* Queued, and read by nobody: the counter says otherwise. */
		words(&o)->tail = ((struct hs_ring_words *)o.theirs.base)->head;
		(void)hs_transport_send(t, last_up, HS_WIRE_LEAVE, &iov, 1);
		assert_int_equal(hs_transport_poll(t, 0), 0);
	}
	cut_for_garbage(&o);
}

/* Says so much that it takes several turns, and is gone: all of it is heard. */
static void last_words(void **state)
{
	static const uint8_t words_[1000];
	struct other o;
	uint32_t nr = 0;

	(void)state;
	connect_as_peer(&o);
	for (; nr < 60; nr++)
		say(&o, HS_WIRE_LEAVE, words_, sizeof(words_));
	hang_up(&o);
	until(nr_down == 1);
	assert_int_equal(nr_messages, nr);
}

static void other_machine(void **state)
{
	(void)state;
	assert_int_equal(hs_transport_listen(t, "192.0.2.1:7000"),
			 -EADDRNOTAVAIL);
	/* It may be ours some day. */
	assert_int_equal(hs_transport_dial(t, "192.0.2.1:7000"), 0);
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(nr_up, 0);
}

static void any_address(void **state)
{
	struct hs_transport *all = another(5, 0, NULL, &events);
	char address[64];

	(void)state;
	port = hs_transport_listen(all, "0.0.0.0:0");
	assert_true(port > 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_int_equal(hs_transport_listen(t, address), port);
	snprintf(address, sizeof(address), "0.0.0.0:%d", port);
	assert_int_equal(hs_transport_listen(t, address), -EADDRINUSE);
	snprintf(address, sizeof(address), "127.0.0.2:%d", port);
	assert_int_equal(hs_transport_dial(t, address), 0);
	while (nr_up < 2) {
		assert_int_equal(hs_transport_poll(t, 1), 0);
		assert_int_equal(hs_transport_poll(all, 1), 0);
	}
	hs_transport_destroy(all);
}

/* Killed where it stands: we hear of it, and of what it had said. */
static void killed(void **state)
{
	char address[64];
	int status;
	pid_t pid;

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	pid = fork();
	if (pid == 0) {
		struct hs_transport *a = another(6, 0, NULL, &events);
		struct iovec iov = {address, sizeof(address)};

		nr_up = 0;
		hs_transport_dial(a, address);
		while (!nr_up)
			hs_transport_poll(a, 10);
		hs_transport_send(a, last_up, HS_WIRE_LEAVE, &iov, 1);
		hs_transport_poll(a, 0);
		hs_transport_send(a, last_up, HS_WIRE_LEAVE, &iov, 1);
		kill(getpid(), SIGKILL);
	}
	until(nr_down == 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(nr_up, 1);
	assert_int_equal(nr_messages, 1);
}

#define ROUNDS 30500 /* not where one is large */

struct player {
	struct hs_transport *t;
	uint32_t peer, nr;
	bool up;
};

static void player_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct player *p = ctx;

	p->peer = peer->peer;
	p->up = true;
}

static void player_down(void *ctx, uint32_t peer)
{
	(void)ctx, (void)peer;
}

static void hit(struct player *p)
{
	struct iovec iov = {&p->nr, sizeof(p->nr)};

	/* Now and then more than a ring holds. */
	static uint8_t big[3 * HS_RING_BYTES];

	if (p->nr % 1000 == 0)
		iov = (struct iovec){big, sizeof(big)};
	assert_int_equal(
		hs_transport_send(p->t, p->peer, HS_WIRE_LEAVE, &iov, 1), 0);
}

static void player_message(void *ctx, uint32_t peer, uint16_t type,
			   const void *payload, uint32_t payload_bytes)
{
	struct player *p = ctx;

	(void)peer, (void)type, (void)payload, (void)payload_bytes;
	p->nr++;
	hit(p);
}

static const struct hs_transport_events playing = {player_up, player_down,
						   player_message, NULL};

static void *play(void *arg)
{
	struct player *p = arg;

	while (p->nr < ROUNDS)
		hs_transport_poll(p->t, -1);
	return NULL;
}

/* Both sleep until rung, and nothing else wakes them up: PING comes in an hour.
 * One missed ring, and this never ends. */
static void nobody_sleeps_for_ever(void **state)
{
	struct player a = {.t = another(5, 3600 * HS_NS_PER_SEC, &a, &playing)};
	struct player b = {.t = another(6, 3600 * HS_NS_PER_SEC, &b, &playing)};
	char address[64];
	pthread_t thread;

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%d",
		 hs_transport_listen(a.t, "127.0.0.1:0"));
	assert_int_equal(hs_transport_dial(b.t, address), 0);
	while (!a.up || !b.up) {
		hs_transport_poll(a.t, 1);
		hs_transport_poll(b.t, 1);
	}
	for (int i = 0; i < 3; i++)
		hit(&a);
	assert_int_equal(pthread_create(&thread, NULL, play, &a), 0);
	play(&b);
	/* The last ones to reach the other. */
	pthread_join(thread, NULL);
	assert_true(a.nr >= ROUNDS && b.nr >= ROUNDS);
	hs_transport_destroy(a.t);
	hs_transport_destroy(b.t);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(a_peer),
		each(hellos),
		each(odd_hellos),
		each(head_that_lies),
		each(head_goes_back),
		each(tail_that_lies),
		each(holes),
		each(writes_into_ours),
		each(says_no_ring),
		each(rung_while_it_listens),
		each(rings_without_end),
		each(rings_and_reads_nothing),
		each(deaf),
		each(last_words),
		each(other_machine),
		each(any_address),
		each(killed),
		each(nobody_sleeps_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

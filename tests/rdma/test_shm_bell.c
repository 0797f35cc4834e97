/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shm_bell.c - the shared-memory carrier: by what its sides wake each
 * other up, and what they say through the socket that is no such thing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/fdpass.h"
#include "rdma/stream.h"
#include "tests/rdma/shm_other.h"

static const struct hs_wire_hello hears_bells = {
	.role = HS_WIRE_ROLE_AGENT,
	.version_min = HS_WIRE_VERSION,
	.version_max = HS_WIRE_VERSION,
	.flags = HS_WIRE_HELLO_F_BELLS,
	.node = 5,
	.name = "other",
};

static int nr_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

static void hand_over_bell(struct other *o, const int *fd, size_t nr)
{
	const uint8_t word = HS_RING_EVENTFD;

	assert_int_equal(hs_fdpass_send(o->fd, &word, 1, fd, nr), 0);
}

/* The one that it hands over, once it is up. */
static int bell_of(struct other *o)
{
	uint8_t words[64];
	size_t nr = 0;
	int fd = -1;

	while (nr == 0)
		assert_true(hs_fdpass_recv(o->fd, words, sizeof(words), &fd, 1,
					   &nr) > 0);
	assert_true(memchr(words, HS_RING_EVENTFD, sizeof(words)));
	return fd;
}

/* Through the ring, and rung by that bell alone. */
static void says_by_bell(struct other *o, int bell)
{
	struct hs_wire_header h = hs_stream_header(
		HS_WIRE_LEAVE, 5, ++o->seq, 8, hs_crc32c(0, "12345678", 8));
	struct iovec iov[2] = {{&h, sizeof(h)},
			       {(void *)(uintptr_t) "12345678", 8}};
	const uint64_t one = 1;

	assert_int_equal(hs_shm_ring_put(&o->ring, iov, 2), sizeof(h) + 8);
	if (hs_shm_ring_publish(&o->ring))
		assert_int_equal(write(bell, &one, sizeof(one)), sizeof(one));
}

static void is_told(struct other *o)
{
	uint8_t all[4096];
	struct iovec iov = {all, 8};

	while (hs_shm_ring_get(&o->ring, all, sizeof(all)))
		;
	assert_true(hs_shm_ring_sleep(&o->ring));
	assert_int_equal(hs_transport_send(t, last_up, HS_WIRE_SLICE, &iov, 1),
			 0);
	turn();
}

/* Neither side says a byte through the socket from then on. */
static void rung_by_an_eventfd(void **state)
{
	int ours = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), theirs;
	const uint64_t one = 1;
	struct other o;
	uint64_t nr;

	(void)state;
	connect_with(&o, HS_WIRE_ROLE_AGENT, HS_WIRE_HELLO_F_BELLS);
	theirs = bell_of(&o);
	hand_over_bell(&o, &ours, 1);
	for (uint32_t i = 1; i <= 200; i++) {
		says_by_bell(&o, ours);
		until(nr_messages == i);
		is_told(&o);
		assert_int_equal(read(theirs, &nr, sizeof(nr)), sizeof(nr));
	}
	assert_int_equal(recv(o.fd, &nr, sizeof(nr), MSG_DONTWAIT), -1);
	hang_up(&o);
	until(nr_down == 1);
	/* It may still be rung, and nobody hears. */
	assert_int_equal(write(ours, &one, sizeof(one)), sizeof(one));
	turn();
	close(ours);
	close(theirs);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 0);
}

/* Who sleeps before it is up hears nothing but the socket. */
static void rung_before_it_is_up(void **state)
{
	struct hs_ring_hello h = good_hello();
	uint8_t words[2] = {0};
	struct other o;
	size_t nr;
	int fd;

	(void)state;
	dial(&o);
	assert_int_equal(
		hs_memfd_create(&o.ours, "test", HS_RING_MEMORY_BYTES, 0), 0);
	hear_hello(&o);
	assert_true(hs_shm_ring_sleep(&o.ring));
	say_hello(&o, &h, o.ours.fd);
	say(&o, HS_WIRE_HELLO, &hears_bells, sizeof(hears_bells));
	until(nr_up == 1);
	assert_int_equal(hs_fdpass_recv(o.fd, words, 2, &fd, 1, &nr), 2);
	assert_int_equal(nr, 1);
	assert_int_equal(words[0], HS_RING_BELL);
	assert_int_equal(words[1], HS_RING_EVENTFD);
	close(fd);
	hang_up(&o);
	until(nr_down == 1);
}

/* Handed over, and heard, before either side is up: it rings from then on. */
static void a_bell_before_it_is_up(void **state)
{
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const uint8_t ring = HS_RING_BELL;
	struct hs_ring_hello h = good_hello();
	int nr_fds = nr_open_fds();
	struct other o;

	(void)state;
	dial(&o);
	assert_int_equal(
		hs_memfd_create(&o.ours, "test", HS_RING_MEMORY_BYTES, 0), 0);
	hear_hello(&o);
	say_hello(&o, &h, o.ours.fd);
	turn();
	hand_over_bell(&o, &bell, 1);
	/* The socket is read when so many rings may have come. */
	for (int i = 0; i < 40; i++) {
		assert_int_equal(send(o.fd, &ring, 1, 0), 1);
		turn();
	}
	assert_int_equal(nr_up, 0);
	assert_int_equal(recv(o.fd, &(uint8_t){0}, 1, MSG_DONTWAIT), -1);
	say(&o, HS_WIRE_HELLO, &hears_bells, sizeof(hears_bells));
	until(nr_up == 1);
	close(bell_of(&o));
	for (uint32_t i = 1; i <= 10; i++) {
		says_by_bell(&o, bell);
		until(nr_messages == i);
	}
	hang_up(&o);
	until(nr_down == 1);
	turn();
	assert_int_equal(nr_open_fds(), nr_fds);
	close(bell);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 0);
}

/* No bell with its word, one that cannot be watched, and two. */
static void strange_bells(void **state)
{
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int file = memory(4096, 0);
	struct other o;

	(void)state;
	connect_with(&o, HS_WIRE_ROLE_AGENT, HS_WIRE_HELLO_F_BELLS);
	hand_over_bell(&o, NULL, 0);
	until(nr_down == 1);
	hang_up(&o);
	connect_with(&o, HS_WIRE_ROLE_AGENT, HS_WIRE_HELLO_F_BELLS);
	hand_over_bell(&o, &file, 1);
	until(nr_down == 2);
	hang_up(&o);
	connect_with(&o, HS_WIRE_ROLE_AGENT, HS_WIRE_HELLO_F_BELLS);
	hand_over_bell(&o, &bell, 1);
	hand_over_bell(&o, &bell, 1);
	until(nr_down == 3);
	hang_up(&o);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 3);
	close(bell);
	close(file);
}

/* Bells, memories and nonsense at once: whatever was handed over is closed. */
static void words_beside_bells(void **state)
{
	static const struct {
		uint8_t words[4];
		uint8_t nr, nr_fds;
		bool good;
	} says[] = {
		{{HS_RING_BELL, HS_RING_EVENTFD, HS_RING_BELL}, 3, 1, true},
		{{HS_RING_EVENTFD, HS_RING_MEMORY}, 2, 1, false},
		{{HS_RING_EVENTFD, HS_RING_EVENTFD}, 2, 1, false},
		{{HS_RING_EVENTFD, HS_RING_EVENTFD}, 2, 2, false},
		{{HS_RING_EVENTFD}, 1, 2, false},
		{{HS_RING_EVENTFD, HS_RING_EVENTFD + 1}, 2, 1, false},
		{{HS_RING_BELL}, 1, 1, false},
		{{HS_RING_MEMORY}, 1, 1, false},
		{{0}, 1, 1, false},
	};
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const int fds[2] = {bell, bell};
	int nr_before = nr_open_fds();
	uint64_t nr_cut = 0;

	(void)state;
	for (uint32_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		struct other o;

		connect_with(&o, HS_WIRE_ROLE_AGENT, HS_WIRE_HELLO_F_BELLS);
		assert_int_equal(hs_fdpass_send(o.fd, says[i].words, says[i].nr,
						fds, says[i].nr_fds),
				 0);
		if (says[i].good) {
			say(&o, HS_WIRE_LEAVE, "12345678", 8);
			until(nr_messages == 1);
			hang_up(&o);
			until(nr_down == i + 1);
		} else {
			until(nr_down == i + 1);
			hang_up(&o);
			nr_cut++;
		}
		assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), nr_cut);
		assert_int_equal(nr_open_fds(), nr_before);
	}
	close(bell);
}

/* Another user's, who may speak: it hears no bell, and its own is none. */
static void a_strangers_bell(void **state)
{
	const uint32_t stranger = 65534;
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_COORDINATOR,
		.node = 77,
		.name = "victim",
		.trust = {.users = &stranger, .nr_users = 1}};
	int status, go[2];
	pid_t pid;
	char word = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	hs_transport_destroy(t);
	t = hs_transport_shm_create(&self, NULL, &events, NULL);
	assert_non_null(t);
	port = hs_transport_listen(t, "127.0.0.1:0");
	assert_int_equal(pipe(go), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct hs_ring_hello h = good_hello();
		int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		struct other o;

		if (setresuid(stranger, stranger, stranger))
			_exit(1);
		dial(&o);
		if (hs_memfd_create(&o.ours, "test", HS_RING_MEMORY_BYTES, 0))
			_exit(1);
		take_hello(&o);
		say_hello(&o, &h, o.ours.fd);
		say(&o, HS_WIRE_HELLO, &hears_bells, sizeof(hears_bells));
		/* Once it is up: what a side that ends has said is heard
		 * first. */
		if (read(go[0], &word, 1) != 1)
			_exit(1);
		hand_over_bell(&o, &bell, 1);
		_exit(0);
	}
	until(nr_up == 1);
	assert_int_equal(write(go[1], &word, 1), 1);
	until(nr_down == 1);
	close(go[0]);
	close(go[1]);
	assert_int_equal(cut(HS_TRANSPORT_CUT_GARBAGE), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(rung_by_an_eventfd),     each(rung_before_it_is_up),
		each(a_bell_before_it_is_up), each(strange_bells),
		each(words_beside_bells),     each(a_strangers_bell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

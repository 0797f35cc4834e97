/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tcp.c - the TCP carrier against peers that do not play by the rules
 *
 * Raw sockets on one side: what they send is cut at any byte, changed, too
 * long, or never comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "rdma/stream.h"
#include "rdma/transport.h"
#include "tests/rdma/victim.h"

#define HELLO_BYTES                                                            \
	(sizeof(struct hs_wire_header) + sizeof(struct hs_wire_hello))

static int setup(void **state)
{
	(void)state;
	victim_open(hs_transport_tcp_create, NULL, NULL);
	return 0;
}

static int raw(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static struct hs_wire_hello good_hello(void)
{
	struct hs_wire_hello h = {
		.role = HS_WIRE_ROLE_AGENT,
		.version_min = HS_WIRE_VERSION,
		.version_max = HS_WIRE_VERSION,
		.node = 5,
		.name = "raw",
	};

	return h;
}

static size_t pack(uint8_t *out, uint16_t type, uint64_t seq,
		   const void *payload, uint32_t size)
{
	struct hs_wire_header h = hs_stream_header(type, 5, seq, size,
						   hs_crc32c(0, payload, size));

	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), payload, size);
	return sizeof(h) + size;
}

static void say_hello(int fd, const struct hs_wire_hello *hello)
{
	uint8_t m[HELLO_BYTES];

	say(fd, m, pack(m, HS_WIRE_HELLO, 1, hello, sizeof(*hello)));
}

static void garbage_at_every_byte(void **state)
{
	struct hs_wire_hello hello = good_hello();
	uint8_t m[HELLO_BYTES];
	uint64_t cut = 0;

	(void)state;
	pack(m, HS_WIRE_HELLO, 1, &hello, sizeof(hello));
	for (size_t i = 0; i < HELLO_BYTES; i++) {
		int fd = raw();

		m[i] ^= 0xff;
		say(fd, m, sizeof(m));
		m[i] ^= 0xff;
		until(stats().peers_cut_off == cut + 1);
		cut++;
		close(fd);
	}
	assert_int_equal(nr_up, 0);
	assert_int_equal(nr_down, 0);
	until(stats().nr_peers == 0);
}

static void cut_at_every_byte(void **state)
{
	struct hs_wire_hello hello = good_hello();
	uint8_t m[HELLO_BYTES + sizeof(struct hs_wire_header) + 16];
	size_t size = pack(m, HS_WIRE_HELLO, 1, &hello, sizeof(hello));

	(void)state;
	size += pack(m + size, HS_WIRE_SLICE, 2, "0123456789abcdef", 16);
	for (size_t n = 0; n < size; n++) {
		uint64_t got = stats().bytes_received;
		int fd = raw();

		say(fd, m, n);
		until(stats().bytes_received == got + n);
		close(fd);
		until(stats().nr_peers == 0);
		assert_int_equal(nr_messages, 0);
	}
	assert_int_equal(nr_up, nr_down);
	assert_int_equal(nr_up, size - HELLO_BYTES);
	assert_int_equal(stats().peers_cut_off, 0);
}

static void refused_hellos(void **state)
{
	struct hs_wire_hello bad[8];
	uint32_t nr = 0;

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		bad[i] = good_hello();
	bad[nr++].role = 0;
	bad[nr++].role = 4;
	bad[nr++].version_min = HS_WIRE_VERSION + 1;
	bad[nr++].version_max = HS_WIRE_VERSION - 1;
	bad[nr++].node = 6; /* the header says 5 */
	bad[nr++].name[0] = '\0';
	memset(bad[nr++].name, 'x', HS_WIRE_NAME_BYTES);
	bad[nr++].name[1] = '\n';
	for (uint32_t i = 0; i < nr; i++) {
		int fd = raw();

		say_hello(fd, &bad[i]);
		until(stats().peers_cut_off == i + 1);
		close(fd);
	}
	assert_int_equal(nr_up, 0);
}

/* An older peer, which would hang up on it, one of ours, and a later one. */
static void types_that_a_peer_does_not_know(void **state)
{
	const uint32_t knows[] = {0, HS_WIRE_WINDOW, HS_WIRE_REFUSED,
				  UINT32_MAX};

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct hs_wire_hello hello = good_hello();
		int fd = raw();

		hello.type_last = knows[i];
		say_hello(fd, &hello);
		until(nr_up == i + 1);
		assert_int_equal(
			hs_transport_send(t, last_up, HS_WIRE_STORED, NULL, 0),
			0);
		assert_int_equal(
			hs_transport_send(t, last_up, HS_WIRE_REFUSED, NULL, 0),
			i < 2 ? -EOPNOTSUPP : 0);
		close(fd);
		until(nr_down == i + 1);
	}
}

static void wrong_after_hello(void **state)
{
	static uint8_t m[sizeof(struct hs_wire_header) + 100];
	struct hs_wire_hello hello = good_hello();
	struct hs_wire_header oversize = hs_stream_header(
		HS_WIRE_SLICE, 5, 2, HS_WIRE_PAYLOAD_MAX_BYTES + 1, 0);

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		int fd = raw();
		size_t size = sizeof(oversize);

		say_hello(fd, &hello);
		until(nr_up == i + 1);
		if (i == 0) /* HELLO twice */
			size = pack(m, HS_WIRE_HELLO, 2, &hello, sizeof(hello));
		else if (i == 1)
			memcpy(m, &oversize, size);
		else if (i == 2) /* PING of another size */
			size = pack(m, HS_WIRE_PING, 2, "12345678", 8);
		else if (i == 3) /* a gap */
			size = pack(m, HS_WIRE_SLICE, 3, "12345678", 8);
		else /* no such type */
			size = pack(m, HS_WIRE_TYPE_LAST + 1, 2, "1", 1);
		say(fd, m, size);
		until(nr_down == i + 1);
		assert_int_equal(stats().peers_cut_off, i + 1);
		close(fd);
	}
	assert_int_equal(nr_messages, 0);
}

static void half_a_hello_and_silence(void **state)
{
	struct hs_transport_limits limits = {.idle_timeout_ns =
						     20 * HS_NS_PER_MS};
	struct hs_wire_hello hello = good_hello();
	uint8_t m[HELLO_BYTES];
	int fd;

	(void)state;
	hs_transport_destroy(t);
	victim_open(hs_transport_tcp_create, NULL, &limits);
	pack(m, HS_WIRE_HELLO, 1, &hello, sizeof(hello));
	fd = raw();
	say(fd, m, 40);
	until(stats().peers_cut_off == 1);
	until(stats().nr_peers == 0);
	close(fd);
}

static void too_many_peers(void **state)
{
	struct hs_transport_limits limits = {.nr_peers = 2};
	struct hs_wire_hello hello = good_hello();
	int fd[3];
	uint8_t byte[HELLO_BYTES];
	ssize_t n;

	(void)state;
	hs_transport_destroy(t);
	victim_open(hs_transport_tcp_create, NULL, &limits);
	for (int i = 0; i < 3; i++)
		fd[i] = raw();
	say_hello(fd[0], &hello);
	say_hello(fd[1], &hello);
	until(nr_up == 2 && stats().peers_cut_off == 1);
	n = recv(fd[2], byte, sizeof(byte), 0);
	assert_true(n <= 0);
	close(fd[0]);
	until(nr_down == 1 && stats().nr_peers == 1);
	close(fd[2]);
	fd[2] = raw();
	say_hello(fd[2], &hello);
	until(nr_up == 3);
	close(fd[1]);
	close(fd[2]);
}

static void no_descriptors(void **state)
{
	struct hs_wire_hello hello = good_hello();
	struct rlimit was, now;
	int fd = raw();
	int probe;

	(void)state;
	say_hello(fd, &hello);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	probe = dup(fd);
	close(probe);
	now = was;
	now.rlim_cur = (rlim_t)probe; /* the next one would be it */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(hs_transport_poll(t, 1), 0);
	assert_int_equal(nr_up, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	until(nr_up == 1);
	close(fd);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(garbage_at_every_byte),
		each(cut_at_every_byte),
		each(refused_hellos),
		each(wrong_after_hello),
		each(types_that_a_peer_does_not_know),
		each(half_a_hello_and_silence),
		each(too_many_peers),
		each(no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

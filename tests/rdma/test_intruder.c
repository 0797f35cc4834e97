/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_intruder.c - who forges, replays and floods is cut off, and counted
 *
 * A member of the cluster whose socket is in our hands: it knows the key, and
 * what it sends is changed, repeated, recorded and played again later, or
 * comes without end.
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
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "rdma/auth.h"
#include "rdma/stream.h"
#include "rdma/transport.h"
#include "tests/rdma/victim.h"

/* A quarter of a second, and more: rdma/link.c. */
#define UNPROVEN_US 300000
#define KEY	    "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char key_file[] = "/tmp/hs-intruder-XXXXXX";
static struct hs_mac *mac;

static int setup(void **state)
{
	(void)state;
	victim_open(hs_transport_tcp_create, key_file, NULL);
	return 0;
}

/* All that the member ever sent, to be played again. */
struct member {
	int fd;
	struct hs_auth auth;
	uint64_t seq;
	uint8_t tape[4096];
	size_t taped;
};

static void dial(struct member *m)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr = {htonl(INADDR_LOOPBACK)}};

	memset(m, 0, sizeof(*m));
	m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(m->fd >= 0);
	assert_int_equal(connect(m->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
}

static void say(struct member *m, const void *bytes, size_t size)
{
	assert_true(size <= sizeof(m->tape) - m->taped);
	memcpy(m->tape + m->taped, bytes, size);
	m->taped += size;
	assert_int_equal(send(m->fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* A message as the member makes it, with or without its tag. */
static size_t pack(struct member *m, uint8_t *out, uint16_t type,
		   const void *payload, uint32_t size)
{
	bool tags = hs_auth_tags(&m->auth);
	struct hs_wire_header h =
		hs_stream_header(type, 5, ++m->seq, size,
				 tags ? 0 : hs_crc32c(0, payload, size));
	const struct iovec pieces[2] = {{&h, sizeof(h)},
					{(void *)(uintptr_t)payload, size}};

	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), payload, size);
	if (!tags)
		return sizeof(h) + size;
	hs_auth_seal(&m->auth, mac, pieces, 2, out + sizeof(h) + size);
	return sizeof(h) + size + HS_WIRE_TAG_BYTES;
}

static void hear(struct member *m, void *out, size_t size)
{
	size_t used = 0;

	for (int turns = 0; used < size; turns++) {
		ssize_t n = recv(m->fd, (uint8_t *)out + used, size - used,
				 MSG_DONTWAIT);

		assert_true(n != 0 && turns < TURNS_MAX);
		used += n > 0 ? (size_t)n : 0;
		assert_int_equal(hs_transport_poll(t, 1), 0);
	}
}

static void say_hello(struct member *m, const char *keys, uint8_t nonce)
{
	const struct hs_wire_hello hello = {
		.role = HS_WIRE_ROLE_AGENT,
		.version_min = HS_WIRE_VERSION,
		.version_max = HS_WIRE_VERSION,
		.node = 5,
		.name = "member",
	};
	struct {
		struct hs_wire_header head;
		struct hs_auth_hello hello;
	} theirs;
	char error[HS_KEYRING_ERROR_BYTES];
	uint8_t nonces[HS_WIRE_NONCE_BYTES], out[256];
	struct hs_keyring ring = {0};
	uint32_t size;

	memset(nonces, nonce, sizeof(nonces));
	if (keys)
		assert_int_equal(
			hs_keyring_parse(keys, strlen(keys), &ring, error), 0);
	size = hs_auth_begin(&m->auth, &ring, true, &hello, nonces);
	hear(m, &theirs, sizeof(theirs.head) + size);
	assert_int_equal(theirs.head.payload_bytes, size);
	say(m, out, pack(m, out, HS_WIRE_HELLO, &m->auth.ours, size));
	assert_int_equal(hs_auth_hello(&m->auth, &theirs.hello, size), 0);
}

static void say_ping(struct member *m)
{
	const struct hs_wire_ping ping = {.sent_ns = 1};
	uint8_t out[256];

	say(m, out, pack(m, out, HS_WIRE_PING, &ping, sizeof(ping)));
}

static void come_up(struct member *m, uint8_t nonce)
{
	uint32_t before = nr_up;

	dial(m);
	say_hello(m, KEY, nonce);
	for (int i = 0; i < 20; i++)
		assert_int_equal(hs_transport_poll(t, 0), 0);
	/* HELLO alone shows nothing: it might be a recording. */
	assert_int_equal(nr_up, before);
	say_ping(m);
	until(nr_up == before + 1);
}

static void member(void **state)
{
	struct member m;
	uint8_t out[256];

	(void)state;
	come_up(&m, 1);
	say(&m, out, pack(&m, out, HS_WIRE_LEAVE, "12345678", 8));
	until(nr_messages == 1);
	assert_int_equal(stats().peers_cut_off, 0);
	close(m.fd);
	until(nr_down == 1);
}

/* Each bit of a message with its tag; in what the header says of lengths the
 * connection may end for another reason, but it ends. */
static void every_bit(void **state)
{
	const size_t size =
		sizeof(struct hs_wire_header) + 8 + HS_WIRE_TAG_BYTES;
	uint32_t nr = 0;

	(void)state;
	for (size_t bit = 0; bit < 8 * size; bit += 5) {
		struct member m;
		uint8_t out[256];

		come_up(&m, 1);
		assert_int_equal(pack(&m, out, HS_WIRE_LEAVE, "12345678", 8),
				 size);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		say(&m, out, size);
		/* What a longer length waits for. */
		memset(out, 0, sizeof(out));
		(void)send(m.fd, out, sizeof(out), MSG_NOSIGNAL);
		shutdown(m.fd, SHUT_WR);
		nr++;
		until(nr_down == nr);
		close(m.fd);
	}
	assert_int_equal(nr_messages, 0);
	/* Payload, tag, node and the checksum that is none: no other cause. */
	assert_true(cut(HS_TRANSPORT_CUT_FORGED) >= (8 + 16) * 8 / 5);
}

static void replayed(void **state)
{
	struct member m;
	size_t from;
	uint8_t out[256];

	(void)state;
	come_up(&m, 1);
	from = m.taped;
	say(&m, out, pack(&m, out, HS_WIRE_LEAVE, "12345678", 8));
	until(nr_messages == 1);
	say(&m, m.tape + from, m.taped - from);
	until(nr_down == 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_REPLAY), 1);
	assert_int_equal(nr_messages, 1);
	close(m.fd);
}

/* The whole of an earlier conversation, word for word. */
static void recorded(void **state)
{
	struct member m, again;
	uint8_t out[256];

	(void)state;
	come_up(&m, 1);
	say(&m, out, pack(&m, out, HS_WIRE_LEAVE, "12345678", 8));
	until(nr_messages == 1);
	close(m.fd);
	until(nr_down == 1);
	dial(&again);
	say(&again, m.tape, m.taped);
	until(cut(HS_TRANSPORT_CUT_FORGED) == 1);
	assert_int_equal(nr_up, 1);
	assert_int_equal(nr_messages, 1);
	close(again.fd);
}

/* As if the key had been talked out of a HELLO on its way. */
static void without_tags(void **state)
{
	struct member m;
	uint8_t out[256];

	(void)state;
	dial(&m);
	say_hello(&m, KEY, 1);
	m.auth.state = HS_AUTH_OFF;
	say_ping(&m);
	say(&m, out, pack(&m, out, HS_WIRE_LEAVE, "12345678", 8));
	until(cut(HS_TRANSPORT_CUT_FORGED) == 1);
	assert_int_equal(nr_up, 0);
	assert_int_equal(nr_messages, 0);
	close(m.fd);
}

static void ping_flood(void **state)
{
	struct member m;

	(void)state;
	come_up(&m, 1);
	for (int i = 0; i < 20000 && !nr_down; i++) {
		uint8_t out[256], heard[4096];
		const struct hs_wire_ping ping = {.sent_ns = 1};
		size_t size = pack(&m, out, HS_WIRE_PING, &ping, sizeof(ping));

		(void)send(m.fd, out, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (recv(m.fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
			;
		assert_int_equal(hs_transport_poll(t, 0), 0);
	}
	assert_int_equal(nr_down, 1);
	assert_int_equal(cut(HS_TRANSPORT_CUT_FLOOD), 1);
	close(m.fd);
}

/* Strangers that say nothing hold half of the places, not all of them. */
static void strangers(void **state)
{
	const struct hs_transport_limits limits = {.nr_peers = 64};
	struct member crowd[100], m;
	uint64_t flood;

	(void)state;
	hs_transport_destroy(t);
	victim_open(hs_transport_tcp_create, key_file, &limits);
	for (int i = 0; i < 100; i++)
		dial(&crowd[i]);
	/* Refused, or let in for one that has been waited for long enough. */
	until(cut(HS_TRANSPORT_CUT_FULL) + cut(HS_TRANSPORT_CUT_FLOOD) >=
	      100 - 32);
	flood = cut(HS_TRANSPORT_CUT_FLOOD);
	assert_int_equal(cut(HS_TRANSPORT_CUT_FULL) + flood, 100 - 32);
	/* Until the first of them has been waited for long enough. */
	usleep(UNPROVEN_US);
	come_up(&m, 1);
	assert_true(cut(HS_TRANSPORT_CUT_FLOOD) > flood);
	for (int i = 0; i < 100; i++)
		close(crowd[i].fd);
	close(m.fd);
}

#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(member),	 each(every_bit),    each(replayed),
		each(recorded),	 each(without_tags), each(ping_flood),
		each(strangers),
	};
	int fd = mkstemp(key_file);
	int rc;

	mac = hs_mac_create();
	if (!mac || fd < 0 || write(fd, KEY "\n", 65) != 65)
		return 1;
	close(fd);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	hs_mac_destroy(mac);
	unlink(key_file);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_transport.c - what every carrier of transport.h must do
 *
 * Written against the interface alone: it is linked with one carrier (see
 * carrier.h), and two or three of its transports talk to each other within
 * this process. All of it runs without and with a cluster key. Those with odd
 * numbers wait in an epoll of their own, where the carrier lets them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "rdma/transport.h"
#include "tests/rdma/carrier.h"
#include "tests/rdma/until.h"

#define SIDES_MAX 4
/* Patience, not a measure: 30 s of polls of 1 ms. */

struct side {
	struct hs_transport *t;
	uint32_t peers[16]; /* that came up, in order */
	struct hs_transport_peer last;
	char address[80]; /* of the last one up */
	uint32_t nr_up;
	uint32_t nr_down;
	uint32_t down; /* number of the last one down */
	uint32_t nr_messages;
	uint32_t next; /* number expected in the next message */
	uint64_t nr_bytes;
	uint32_t nr_writable;
	bool echo;
	bool cut_off; /* cut the sender of any message */
	int epoll_fd; /* lent to its transport; 0: it has none */
};

static struct side sides[SIDES_MAX];
/* Each side's; "": it has none. */
static char key_files[SIDES_MAX][64];
static uint8_t big[HS_WIRE_PAYLOAD_MAX_BYTES];

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	s->peers[s->nr_up++ % 16] = peer->peer;
	s->last = *peer;
	snprintf(s->address, sizeof(s->address), "%s", peer->address);
}

static void on_down(void *ctx, uint32_t peer)
{
	struct side *s = ctx;

	s->nr_down++;
	s->down = peer;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	struct side *s = ctx;
	uint32_t number;

	assert_int_equal((uintptr_t)payload & 7, 0);
	assert_int_equal(type, HS_WIRE_SLICE);
	assert_true(payload_bytes >= sizeof(number));
	memcpy(&number, payload, sizeof(number));
	assert_int_equal(number, s->next);
	assert_memory_equal((const uint8_t *)payload + 4, big + 4,
			    payload_bytes - 4);
	s->next++;
	s->nr_messages++;
	s->nr_bytes += payload_bytes;
	if (s->cut_off)
		assert_int_equal(hs_transport_cut(s->t, peer), 0);
	if (s->echo) {
		struct iovec iov = {(void *)(uintptr_t)payload, payload_bytes};

		assert_int_equal(hs_transport_send(s->t, peer, type, &iov, 1),
				 0);
	}
}

static void on_writable(void *ctx, uint32_t peer)
{
	struct side *s = ctx;

	(void)peer;
	s->nr_writable++;
}

static struct side *open_side(int i, enum hs_wire_role role,
			      const struct hs_transport_limits *limits)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   on_writable};
	struct hs_transport_limits own = {0};
	struct hs_transport_self self = {.role = role,
					 .node = (uint64_t)(i + 1) << 32 | 5};

	snprintf(self.name, sizeof(self.name), "side-%d", i);
	if (key_files[i][0])
		self.trust.key_file = key_files[i];
	memset(&sides[i], 0, sizeof(sides[i]));
	if (limits)
		own = *limits;
	if (i & 1) {
		sides[i].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		assert_true(sides[i].epoll_fd > 0);
	}
	own.epoll_fd = sides[i].epoll_fd;
	sides[i].t = carrier.create(i, &self, &own, &events, &sides[i]);
	assert_non_null(sides[i].t);
	return &sides[i];
}

static void close_side(struct side *s)
{
	hs_transport_destroy(s->t);
	s->t = NULL;
	if (s->epoll_fd)
		close(s->epoll_fd);
}

static void turn_of(struct side *s)
{
	struct epoll_event events[8];
	int nr;

	if (hs_transport_fd(s->t) != s->epoll_fd) {
		assert_int_equal(hs_transport_poll(s->t, 1), 0);
		return;
	}
	nr = epoll_wait(s->epoll_fd, events, 8, 1);
	assert_true(nr >= 0);
	for (int i = 0; i < nr; i++)
		assert_true(events[i].data.u64 & HS_TRANSPORT_EVENT);
	hs_transport_turn(s->t, events, nr);
}

static void turn(void)
{
	for (int i = 0; i < SIDES_MAX; i++)
		if (sides[i].t)
			turn_of(&sides[i]);
}

static void write_keys(int side, const char *text)
{
	char *path = key_files[side];
	int fd;

	if (!path[0]) {
		snprintf(path, sizeof(key_files[side]),
			 "/tmp/hs-transport-%d-XXXXXX", side);
		fd = mkstemp(path);
	} else {
		fd = open(path, O_WRONLY | O_TRUNC);
	}
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

#define KEY_A "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "bb112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static int setup(void **state)
{
	memset(sides, 0, sizeof(sides));
	if (*state)
		for (int i = 0; i < SIDES_MAX; i++)
			write_keys(i, KEY_A "\n");
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 13 + (i >> 10));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < SIDES_MAX; i++)
		close_side(&sides[i]);
	for (int i = 0; i < SIDES_MAX; i++) {
		if (key_files[i][0])
			unlink(key_files[i]);
		key_files[i][0] = '\0';
	}
	if (carrier.check()) {
		print_error("%s\n", carrier.check());
		return -1;
	}
	return 0;
}

static void address_of(const struct side *s, int port, char address[80])
{
	char host[64];

	carrier.host((int)(s - sides), host, sizeof(host));
	snprintf(address, 80, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
		 port);
}

static int listen_on(struct side *s, int port)
{
	char address[80];

	address_of(s, port, address);
	port = hs_transport_listen(s->t, address);
	assert_true(port > 0);
	return port;
}

static void dial(struct side *s, const struct side *to, int port)
{
	char address[80];

	address_of(to, port, address);
	assert_int_equal(hs_transport_dial(s->t, address), 0);
}

/* Two sides, connected; the first one listens. */
static int connect_two(const struct hs_transport_limits *limits)
{
	struct side *a = open_side(0, HS_WIRE_ROLE_COORDINATOR, limits);
	struct side *b = open_side(1, HS_WIRE_ROLE_AGENT, limits);
	int port = listen_on(a, 0);

	dial(b, a, port);
	until(a->nr_up == 1 && b->nr_up == 1);
	return port;
}

static int send_number(struct side *s, uint32_t number, uint32_t size)
{
	struct iovec iov[3] = {{&number, 4}, {big + 4, 0}, {big + 4, size - 4}};

	return hs_transport_send(s->t, s->peers[(s->nr_up - 1) % 16],
				 HS_WIRE_SLICE, iov, 3);
}

static void hello(void **state)
{
	(void)state;
	connect_two(NULL);
	assert_int_equal(sides[0].last.role, HS_WIRE_ROLE_AGENT);
	assert_int_equal(sides[0].last.node, 2ULL << 32 | 5);
	assert_string_equal(sides[0].last.name, "side-1");
	assert_int_equal(sides[1].last.role, HS_WIRE_ROLE_COORDINATOR);
	assert_int_equal(sides[1].last.node, 1ULL << 32 | 5);
	assert_string_equal(sides[1].last.name, "side-0");
	for (int i = 0; i < 2 && carrier.at; i++)
		assert_true(sides[i].last.at == carrier.at);
	assert_true(hs_transport_fd(sides[0].t) >= 0);
}

static void clocks(void **state)
{
	struct hs_transport_clock k = {0};

	(void)state;
	connect_two(NULL);
	until(hs_transport_clock(sides[0].t, sides[0].peers[0], &k) == 0 &&
	      k.nr_pongs > 0);
	/* One clock: the offset is within what the round trip leaves open. */
	assert_true((uint64_t)llabs(k.offset_ns) <= k.rtt_ns);
	assert_int_equal(hs_transport_clock(sides[0].t, 999, &k), -ENOTCONN);
}

static void order_and_sizes(void **state)
{
	uint32_t size = 4;
	uint32_t number = 0;

	(void)state;
	connect_two(NULL);
	sides[1].next = 0;
	while (number < 3000) {
		if (send_number(&sides[0], number, size) == 0) {
			number++;
			size = 4 + (size * 7 + 3) % 2777;
		} else {
			turn();
		}
	}
	until(sides[1].nr_messages == number);
	assert_int_equal(sides[0].nr_messages, 0);
}

static void big_messages_both_ways(void **state)
{
	(void)state;
	connect_two(NULL);
	sides[1].echo = true;
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t size = HS_WIRE_PAYLOAD_MAX_BYTES - i;

		assert_int_equal(send_number(&sides[0], i, size), 0);
		until(sides[0].nr_messages == i + 1);
	}
	assert_int_equal(send_number(&sides[0], 0, HS_WIRE_PAYLOAD_MAX_BYTES),
			 0);
	struct iovec iov[2] = {{big, HS_WIRE_PAYLOAD_MAX_BYTES}, {big, 1}};
	assert_int_equal(hs_transport_send(sides[0].t, sides[0].peers[0],
					   HS_WIRE_SLICE, iov, 2),
			 -EMSGSIZE);
}

/* Nothing is sent that has no type. */
static void assert_counted_by_type(uint64_t slices, uint64_t slice_bytes)
{
	struct hs_transport_stats st;
	uint64_t sum = 0;

	hs_transport_stats(sides[0].t, &st);
	for (int i = 0; i <= HS_WIRE_TYPE_LAST; i++)
		sum += st.sent[i].messages;
	assert_int_equal(sum, st.messages_sent);
	assert_int_equal(st.sent[HS_WIRE_HELLO].messages, 1);
	assert_int_equal(st.sent[HS_WIRE_SLICE].messages, slices);
	assert_int_equal(st.sent[HS_WIRE_SLICE].bytes - slice_bytes,
			 slices * (sizeof(struct hs_wire_header) +
				   (st.nr_keys ? HS_WIRE_TAG_BYTES : 0)));
}

static void back_pressure(void **state)
{
	struct hs_transport_limits limits = {.send_queue_bytes = 64 << 10};
	uint32_t number = 0;

	(void)state;
	connect_two(&limits);
	/* The receiver is not polled: the queue has to fill at some time. */
	while (send_number(&sides[0], number, 20000) == 0) {
		number++;
		assert_int_equal(hs_transport_poll(sides[0].t, 0), 0);
		assert_true(number < 100000);
	}
	assert_int_equal(sides[0].nr_writable, 0);
	until(sides[1].nr_messages == number);
	until(sides[0].nr_writable == 1);
	assert_int_equal(send_number(&sides[0], number, 20000), 0);
	until(sides[1].nr_messages == number + 1);
	/* Larger than the queue: passes alone, none may wait for ever. */
	assert_int_equal(send_number(&sides[0], number + 1, 500000), 0);
	assert_int_equal(send_number(&sides[0], number + 2, 500000), -EAGAIN);
	until(sides[1].nr_messages == number + 2);
	assert_counted_by_type(number + 2, (number + 1) * 20000ull + 500000);
}

static void peer_goes_and_returns(void **state)
{
	struct hs_transport_stats st;
	uint32_t first;
	int port;

	(void)state;
	port = connect_two(NULL);
	first = sides[1].peers[0];
	close_side(&sides[0]);
	until(sides[1].nr_down == 1);
	assert_int_equal(sides[1].down, first);
	assert_int_equal(send_number(&sides[1], 0, 8), -ENOTCONN);
	for (int i = 0; i < 50; i++)
		turn();
	assert_int_equal(sides[1].nr_up, 1);
	open_side(0, HS_WIRE_ROLE_COORDINATOR, NULL);
	listen_on(&sides[0], port);
	until(sides[1].nr_up == 2 && sides[0].nr_up == 1);
	assert_int_not_equal(sides[1].peers[1], first);
	assert_int_equal(send_number(&sides[1], 0, 8), 0);
	until(sides[0].nr_messages == 1);
	hs_transport_stats(sides[1].t, &st);
	assert_int_equal(st.reconnects, 1);
	assert_int_equal(st.peers_cut_off, 0);
}

static void dial_before_listen(void **state)
{
	int port;

	(void)state;
	open_side(0, HS_WIRE_ROLE_COLLECTOR, NULL);
	port = listen_on(&sides[0], 0);
	close_side(&sides[0]);
	open_side(1, HS_WIRE_ROLE_AGENT, NULL);
	dial(&sides[1], &sides[0], port);
	dial(&sides[1], &sides[0], port); /* the same: kept up already */
	for (int i = 0; i < 50; i++)
		turn();
	assert_int_equal(sides[1].nr_up, 0);
	open_side(0, HS_WIRE_ROLE_COLLECTOR, NULL);
	listen_on(&sides[0], port);
	until(sides[1].nr_up == 1 && sides[0].nr_up == 1);
}

static void two_dials(void **state)
{
	struct side *a = open_side(0, HS_WIRE_ROLE_COLLECTOR, NULL);
	struct side *b = open_side(1, HS_WIRE_ROLE_COLLECTOR, NULL);
	struct side *c = open_side(2, HS_WIRE_ROLE_AGENT, NULL);
	uint32_t to_b;

	(void)state;
	dial(c, a, listen_on(a, 0));
	until(c->nr_up == 1);
	dial(c, b, listen_on(b, 0));
	until(c->nr_up == 2 && a->nr_up == 1 && b->nr_up == 1);
	to_b = c->peers[1];
	assert_int_not_equal(c->peers[0], to_b);
	assert_int_equal(send_number(c, 0, 100), 0);
	until(b->nr_messages == 1);
	assert_int_equal(a->nr_messages, 0);
	close_side(a);
	until(c->nr_down == 1);
	assert_int_equal(c->down, c->peers[0]);
	assert_int_equal(send_number(c, 1, 100), 0);
	until(b->nr_messages == 2);
}

static void undialled(void **state)
{
	char address[80];
	int port;

	(void)state;
	port = connect_two(NULL);
	address_of(&sides[0], port, address);
	assert_string_equal(sides[1].address, address);
	assert_string_equal(sides[0].address, "");
	assert_int_equal(hs_transport_undial(sides[1].t, address), 0);
	assert_int_equal(hs_transport_undial(sides[1].t, address), -ENOENT);
	until(sides[0].nr_down == 1 && sides[1].nr_down == 1);
	/* Nobody dials it again, until somebody is asked to. */
	assert_int_equal(hs_transport_dial(sides[1].t, address), 0);
	until(sides[0].nr_up == 2 && sides[1].nr_up == 2);
}

static void last_words_arrive(void **state)
{
	(void)state;
	connect_two(NULL);
	assert_int_equal(send_number(&sides[0], 0, 5000), 0);
	close_side(&sides[0]);
	until(sides[1].nr_down == 1);
	assert_int_equal(sides[1].nr_messages, 1);
}

static void cut_by_the_owner(void **state)
{
	struct hs_transport_stats st;

	(void)state;
	connect_two(NULL);
	sides[0].cut_off = true;
	assert_int_equal(send_number(&sides[1], 0, 8), 0);
	assert_int_equal(send_number(&sides[1], 1, 8), 0);
	until(sides[0].nr_down == 1 && sides[1].nr_down == 1);
	/* What came behind the message in question is not heard any more. */
	assert_int_equal(sides[0].nr_messages, 1);
	hs_transport_stats(sides[0].t, &st);
	assert_int_equal(st.peers_cut_off, 1);
	assert_int_equal(hs_transport_cut(sides[0].t, 999), -ENOTCONN);
	until(sides[0].nr_up == 2); /* dialled again */
}

static void silence_is_cut(void **state)
{
	struct hs_transport_limits limits = {.idle_timeout_ns =
						     carrier.idle_ns};
	struct hs_transport_stats st;
	uint64_t before;

	(void)state;
	connect_two(&limits);
	/* Both polled: pings keep a silent connection up. */
	do {
		turn();
		hs_transport_stats(sides[0].t, &st);
	} while (st.messages_sent < 12);
	assert_int_equal(sides[0].nr_down, 0);
	before = st.peers_cut_off; /* while it came up, on a busy machine */
	/* The other one hangs. */
	while (sides[0].nr_down == 0)
		assert_int_equal(hs_transport_poll(sides[0].t, 1), 0);
	hs_transport_stats(sides[0].t, &st);
	assert_int_equal(st.peers_cut_off, before + 1);
}

static void wrong_addresses(void **state)
{
	const char *wrong[] = {
		"",	     "localhost",     "127.0.0.1:", ":1",
		"1.2.3.4:x", "1.2.3.4:65536", "::1:80",	    "[::1:80",
		"[]:80",     "1.2.3.4:-1"};

	(void)state;
	open_side(0, HS_WIRE_ROLE_AGENT, NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(hs_transport_dial(sides[0].t, wrong[i]),
				 -EINVAL);
		assert_int_equal(hs_transport_listen(sides[0].t, wrong[i]),
				 -EINVAL);
	}
}

static uint64_t cut(int side, enum hs_transport_cause cause)
{
	struct hs_transport_stats st;
	uint64_t sum = 0;

	hs_transport_stats(sides[side].t, &st);
	for (int i = 0; i < HS_TRANSPORT_CUT_CAUSES; i++)
		sum += st.cut[i];
	assert_true(sum == st.peers_cut_off);
	return st.cut[cause];
}

/* They dial, and never hear of each other; both know why. */
static void never_meet(void)
{
	struct side *a = open_side(0, HS_WIRE_ROLE_COORDINATOR, NULL);
	struct side *b = open_side(1, HS_WIRE_ROLE_AGENT, NULL);

	dial(b, a, listen_on(a, 0));
	until(cut(0, HS_TRANSPORT_CUT_KEY) >= 2 &&
	      cut(1, HS_TRANSPORT_CUT_KEY) >= 2);
	assert_int_equal(a->nr_up + b->nr_up, 0);
	assert_int_equal(a->nr_down + b->nr_down, 0);
}

static void key_and_none(void **state)
{
	(void)state;
	write_keys(0, KEY_A "\n");
	never_meet();
}

static void none_and_key(void **state)
{
	(void)state;
	write_keys(1, KEY_A "\n");
	never_meet();
}

static void other_keys(void **state)
{
	(void)state;
	write_keys(0, KEY_A "\n");
	write_keys(1, KEY_B "\n");
	never_meet();
}

/* Each step reaches the sides one after the other, and new connections come
 * up at every moment; nobody who is connected is disturbed. */
static void keys_change(void **state)
{
	static const char *const steps[] = {KEY_A "\n" KEY_B "\n",
					    KEY_B "\n" KEY_A "\n", KEY_B "\n"};
	struct hs_transport_stats st;
	char address[80];
	int port;

	(void)state;
	write_keys(0, KEY_A "\n");
	write_keys(1, KEY_A "\n");
	write_keys(2, KEY_A "\n");
	port = connect_two(NULL);
	open_side(2, HS_WIRE_ROLE_AGENT, NULL);
	address_of(&sides[0], port, address);
	for (int i = 0; i < 6; i++) {
		uint32_t nr_up = sides[0].nr_up;
		uint64_t soon = hs_clock_mono_ns() + 600 * HS_NS_PER_MS;

		write_keys(i % 2 ? 2 : 0, steps[i / 2]);
		while (hs_clock_mono_ns() < soon) /* it looks now and then */
			turn();
		assert_int_equal(hs_transport_dial(sides[2].t, address), 0);
		until(sides[0].nr_up == nr_up + 1 &&
		      sides[2].nr_up == (uint32_t)i + 1);
		assert_int_equal(hs_transport_undial(sides[2].t, address), 0);
		until(sides[2].nr_down == (uint32_t)i + 1);
	}
	assert_int_equal(sides[1].nr_down, 0);
	assert_int_equal(send_number(&sides[1], 0, 100), 0);
	until(sides[0].nr_messages == 1);
	hs_transport_stats(sides[2].t, &st);
	assert_int_equal(st.nr_keys, 1);
	assert_int_equal(st.peers_cut_off, 0);
}

static void key_file_is_open_to_others(void **state)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   on_writable};
	char error[HS_TRANSPORT_ERROR_BYTES];
	struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT,
		.node = 5,
		.name = "side",
		.trust = {.key_file = key_files[0], .error = error}};

	(void)state;
	write_keys(0, KEY_A "\n");
	assert_int_equal(chmod(key_files[0], 0644), 0);
	assert_null(carrier.create(0, &self, NULL, &events, NULL));
	assert_int_equal(errno, EACCES);
	assert_non_null(strstr(error, key_files[0]));
	assert_non_null(strstr(error, "should have mode 0600"));
}

#define each(f)                                                                \
	cmocka_unit_test_setup_teardown(f, setup, teardown),                   \
	{                                                                      \
#f " with a key", f, setup, teardown, &with_key                \
	}
#define once(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static bool with_key = true;
	const struct CMUnitTest tests[] = {
		each(hello),
		each(clocks),
		each(order_and_sizes),
		each(big_messages_both_ways),
		each(back_pressure),
		each(peer_goes_and_returns),
		each(dial_before_listen),
		each(two_dials),
		each(undialled),
		each(last_words_arrive),
		each(cut_by_the_owner),
		each(silence_is_cut),
		each(wrong_addresses),
		once(key_and_none),
		once(none_and_key),
		once(other_keys),
		once(keys_change),
		once(key_file_is_open_to_others),
	};

	int rc = carrier.open();

	if (rc)
		return rc;
	return cmocka_run_group_tests_name(carrier.name, tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_window.c - memory that peers read, over whatever carrier is linked
 *
 * A carrier without windows says so, and an agent and a coordinator talk as
 * before. Where there are some: what is read is what is there, by that role
 * alone, and no longer than the connection lasts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memfd.h"
#include "tests/rdma/carrier.h"
#include "tests/rdma/until.h"

#define DATA_BYTES 65536u
#define ABOUT	   "what it is about"

struct side {
	struct hs_transport *t;
	uint32_t peer; /* that is up; 0: none */
	uint32_t nr_up, nr_down, nr_messages;
	/* reading */
	uint32_t nr_told, nr_done, nr_failed;
	uint64_t size_bytes;
	char about[HS_WIRE_WINDOW_ABOUT_MAX];
	uint8_t got[HS_TRANSPORT_READ_MAX_BYTES];
	uint64_t cookie;
	bool cookies_are_offsets;
	uint32_t got_bytes;
	int verdict;
};

static struct side agent, reader, other;
static uint8_t *data;
static struct hs_memfd memory; /* that it lies in */
static bool has_windows;

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	s->peer = peer->peer;
	s->nr_up++;
}

static void on_down(void *ctx, uint32_t peer)
{
	struct side *s = ctx;

	s->peer = 0;
	s->nr_down++;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	((struct side *)ctx)->nr_messages++;
}

static int readable(void *ctx, uint32_t peer, const void *about,
		    uint32_t about_bytes, uint64_t size_bytes)
{
	struct side *s = ctx;

	assert_int_equal(peer, s->peer);
	assert_true(about_bytes < sizeof(s->about));
	memcpy(s->about, about, about_bytes);
	s->about[about_bytes] = 0;
	s->size_bytes = size_bytes;
	s->nr_told++;
	return s->verdict;
}

static void read_done(void *ctx, uint32_t peer, uint64_t cookie,
		      const void *bytes, uint32_t size_bytes)
{
	struct side *s = ctx;

	s->cookie = cookie;
	s->got_bytes = size_bytes;
	if (bytes)
		memcpy(s->got, bytes, size_bytes);
	if (bytes && s->cookies_are_offsets)
		assert_memory_equal(bytes, data + cookie, size_bytes);
	s->nr_failed += !bytes;
	s->nr_done++;
}

static void open_side(struct side *s, int i, enum hs_wire_role role)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	const struct hs_transport_limits limits = {
		.nr_peers = 8,
		.reconnect_min_ns = HS_NS_PER_MS,
		.reconnect_max_ns = 8 * HS_NS_PER_MS,
	};
	struct hs_transport_self self = {.role = role,
					 .node = (uint64_t)(i + 1) << 32 | 5};

	snprintf(self.name, sizeof(self.name), "side-%d", i);
	memset(s, 0, sizeof(*s));
	s->t = carrier.create(i, &self, &limits, &events, s);
	assert_non_null(s->t);
}

static int let_read(struct side *s)
{
	const struct hs_transport_windows w = {
		.data = data,
		.memory = &memory,
		.size_bytes = DATA_BYTES,
		.reader = HS_WIRE_ROLE_COORDINATOR,
		.about = ABOUT,
		.about_bytes = sizeof(ABOUT) - 1,
	};

	return hs_transport_windows(s->t, &w);
}

static int wants_to_read(struct side *s)
{
	const struct hs_transport_windows w = {.readable = readable,
					       .read_done = read_done};

	return hs_transport_windows(s->t, &w);
}

static void turn(void)
{
	struct side *all[] = {&agent, &reader, &other};

	for (int i = 0; i < 3; i++)
		if (all[i]->t)
			assert_int_equal(hs_transport_poll(all[i]->t, 1), 0);
}

static void connect_to(struct side *from, struct side *to, int i)
{
	char address[96], host[80];
	int port;

	carrier.host(i, host, sizeof(host));
	snprintf(address, sizeof(address),
		 strchr(host, ':') ? "[%s]:0" : "%s:0", host);
	port = hs_transport_listen(to->t, address);
	assert_true(port > 0);
	snprintf(address, sizeof(address),
		 strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
	assert_int_equal(hs_transport_dial(from->t, address), 0);
}

static int setup(void **state)
{
	(void)state;
	if (hs_memfd_create(&memory, "window", DATA_BYTES, HS_MEMFD_OURS))
		return -1;
	data = memory.base;
	for (uint32_t i = 0; i < DATA_BYTES; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	open_side(&agent, 0, HS_WIRE_ROLE_AGENT);
	open_side(&reader, 1, HS_WIRE_ROLE_COORDINATOR);
	has_windows = let_read(&agent) == 0;
	return (wants_to_read(&reader) == 0) == has_windows ? 0 : -1;
}

static int teardown(void **state)
{
	struct side *all[] = {&other, &reader, &agent};
	const char *wrong;

	(void)state;
	for (int i = 0; i < 3; i++) {
		hs_transport_destroy(all[i]->t);
		all[i]->t = NULL;
	}
	hs_memfd_close(&memory);
	wrong = carrier.check();
	if (wrong)
		print_error("%s\n", wrong);
	return wrong ? -1 : 0;
}

static void say(struct side *s)
{
	uint32_t number = 1;
	struct iovec iov = {&number, sizeof(number)};

	assert_int_equal(
		hs_transport_send(s->t, s->peer, HS_WIRE_COLLECT, &iov, 1), 0);
}

static void read_at(uint64_t offset, uint32_t size)
{
	uint32_t before = reader.nr_done;

	assert_int_equal(
		hs_transport_read(reader.t, reader.peer, offset, size, ~offset),
		0);
	until(reader.nr_done == before + 1);
	assert_int_equal(reader.nr_failed, 0);
	assert_int_equal(reader.cookie, ~offset);
	assert_int_equal(reader.got_bytes, size);
	assert_memory_equal(reader.got, data + offset, size);
}

/* Without windows all else is as before; where there are some, too. */
static void they_talk(void **state)
{
	(void)state;
	connect_to(&agent, &reader, 1);
	until(agent.peer && reader.peer);
	say(&agent);
	say(&reader);
	until(agent.nr_messages && reader.nr_messages);
	if (!has_windows)
		assert_int_equal(
			hs_transport_read(reader.t, reader.peer, 0, 8, 0),
			-EOPNOTSUPP);
}

static void what_is_there_is_read(void **state)
{
	(void)state;
	if (!has_windows)
		skip();
	connect_to(&agent, &reader, 1);
	until(reader.nr_told);
	assert_string_equal(reader.about, ABOUT);
	assert_int_equal(reader.size_bytes, DATA_BYTES);
	read_at(0, 128);
	read_at(DATA_BYTES - 128, 128);
	read_at(1000, 8);
	read_at(4096 - 64, HS_TRANSPORT_READ_MAX_BYTES);
	memset(data + 1000, 0x5a, 8);
	read_at(1000, 8);
	/* Beside messages. */
	say(&agent);
	say(&reader);
	read_at(2000, 128);
	until(agent.nr_messages && reader.nr_messages);
	assert_int_equal(agent.nr_down + reader.nr_down, 0);
}

static void beyond_is_refused(void **state)
{
	struct hs_transport_stats st;

	(void)state;
	if (!has_windows)
		skip();
	connect_to(&agent, &reader, 1);
	until(reader.nr_told);
#define READ(at, n) hs_transport_read(reader.t, reader.peer, at, n, 0)
	assert_int_equal(READ(DATA_BYTES, 8), -EINVAL);
	assert_int_equal(READ(DATA_BYTES - 7, 8), -EINVAL);
	assert_int_equal(READ(UINT64_MAX, 8), -EINVAL);
	assert_int_equal(READ(0, 0), -EINVAL);
	assert_int_equal(READ(0, HS_TRANSPORT_READ_MAX_BYTES + 1), -EINVAL);
#undef READ
	assert_int_equal(hs_transport_read(reader.t, reader.peer + 77, 0, 8, 0),
			 -ENOTCONN);
	hs_transport_stats(reader.t, &st);
	assert_int_equal(st.reads_refused, 5); /* the sixth was nobody's */
	/* Whoever lets itself be read reads nobody. */
	assert_int_equal(hs_transport_read(agent.t, agent.peer, 0, 8, 0),
			 -EOPNOTSUPP);
	hs_transport_stats(agent.t, &st);
	assert_int_equal(st.reads_refused, 1);
	read_at(0, 128);
}

/* More than may be under way: refused, and all others come. */
static void many_at_a_time(void **state)
{
	uint32_t asked = 0, refused = 0;

	(void)state;
	if (!has_windows)
		skip();
	connect_to(&agent, &reader, 1);
	until(reader.nr_told);
	reader.cookies_are_offsets = true;
	for (uint32_t round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < 40; i++) {
			int rc = hs_transport_read(reader.t, reader.peer,
						   i * 128ull, 128, i * 128ull);

			assert_true(rc == 0 || rc == -EAGAIN);
			asked += rc == 0;
			refused += rc != 0;
		}
		turn();
	}
	assert_true(asked > 200 && refused > 0);
	until(reader.nr_done == asked);
	assert_int_equal(reader.nr_failed, 0);
	reader.cookies_are_offsets = false;
	read_at(0, 128);
}

/* Its window ends with the connection; the next one has another. */
static void a_new_connection_has_a_new_window(void **state)
{
	struct hs_transport_stats s;

	(void)state;
	if (!has_windows)
		skip();
	connect_to(&agent, &reader, 1);
	until(reader.nr_told);
	for (uint32_t i = 1; i < 4; i++) {
		uint32_t peer = reader.peer;

		/* With one under way. */
		assert_int_equal(hs_transport_read(reader.t, peer, 0, 128, 0),
				 0);
		assert_int_equal(hs_transport_cut(agent.t, agent.peer), 0);
		until(reader.nr_down == i);
		assert_int_equal(hs_transport_read(reader.t, peer, 0, 128, 0),
				 -ENOTCONN);
		until(reader.nr_told == i + 1);
		reader.nr_failed = 0; /* the one under way may have */
		read_at(256, 128);
	}
	/* The others are buried by and by. */
	until((hs_transport_stats(reader.t, &s), s.nr_windows == 1));
	hs_transport_destroy(agent.t);
	agent.t = NULL;
	until(reader.nr_down == 4);
}

/* No other role, and nobody who does not say that it reads. */
static void for_its_reader_alone(void **state)
{
	struct hs_transport_stats s;

	(void)state;
	if (!has_windows)
		skip();
	open_side(&other, 2, HS_WIRE_ROLE_COLLECTOR);
	assert_int_equal(wants_to_read(&other), 0);
	connect_to(&agent, &other, 2);
	until(other.peer);
	say(&other);
	until(agent.nr_messages == 1);
	hs_transport_destroy(other.t);
	open_side(&other, 2, HS_WIRE_ROLE_COORDINATOR);
	connect_to(&agent, &other, 2);
	until(other.peer);
	say(&other);
	until(agent.nr_messages == 2);
	assert_int_equal(other.nr_told, 0);
	hs_transport_stats(agent.t, &s);
	assert_int_equal(s.nr_windows, 0);
}

/* What its owner does not take for his is cut off. */
static void not_what_was_expected(void **state)
{
	struct hs_transport_stats s;

	(void)state;
	if (!has_windows)
		skip();
	reader.verdict = -EBADMSG;
	connect_to(&agent, &reader, 1);
	until(reader.nr_down);
	hs_transport_stats(reader.t, &s);
	assert_true(s.cut[HS_TRANSPORT_CUT_GARBAGE] >= 1);
}

/* WINDOWs that nobody of ours says end the connection, whatever the carrier. */
static void windows_of_liars(void **state)
{
	struct {
		struct hs_wire_window w;
		uint8_t about[72];
	} m = {.w = {4096, 4096, 7, 16}};
	const struct {
		uint64_t address, size;
		uint32_t about_bytes, bytes;
	} wrong[] = {
		{4096, 4096, 16, sizeof(m.w) + 15},
		{4096, 4096, 16, sizeof(m.w) + 24},
		{4096, 4096, 72, sizeof(m.w) + 72},
		{4096, 4096, UINT32_MAX, sizeof(m.w) + 8},
		{4096, 0, 16, sizeof(m.w) + 16},
		{UINT64_MAX - 4095, 4097, 16, sizeof(m.w) + 16},
		{0, 0, 0, 8},
	};

	(void)state;
	open_side(&other, 2, HS_WIRE_ROLE_AGENT); /* without one of its own */
	connect_to(&other, &reader, 1);
	for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct iovec iov = {&m, wrong[i].bytes};

		until(other.peer && reader.peer);
		m.w.address = wrong[i].address;
		m.w.size_bytes = wrong[i].size;
		m.w.about_bytes = wrong[i].about_bytes;
		assert_int_equal(hs_transport_send(other.t, other.peer,
						   HS_WIRE_WINDOW, &iov, 1),
				 0);
		until(reader.nr_down == i + 1 && other.nr_down == i + 1);
	}
	assert_int_equal(reader.nr_told, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(they_talk),
		T(what_is_there_is_read),
		T(beyond_is_refused),
		T(many_at_a_time),
		T(a_new_connection_has_a_new_window),
		T(for_its_reader_alone),
		T(not_what_was_expected),
		T(windows_of_liars),
	};
#undef T
	int rc = carrier.open();

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}

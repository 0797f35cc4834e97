/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_window_refused.c - windows that a device does not give, and reads that
 * fail, on devices that do so on demand
 *
 * Whatever fails, messages pass as if there had never been a window. And what
 * status says of the device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rdma/verbs.h"
#include "tests/rdma/fake_verbs.h"
#include "tests/rdma/until.h"

#define CALLS_AROUND 10 /* of a connection's, before it has a window */

struct side {
	struct hs_transport *t;
	uint32_t peer;
	uint32_t nr_up, nr_down, nr_messages, nr_told, nr_done, nr_failed;
};

static struct side agent, reader;
static uint64_t data[512];

static void on_up(void *ctx, const struct hs_transport_peer *peer)
{
	struct side *s = ctx;

	s->nr_up++;
	s->peer = peer->peer;
}

static void on_down(void *ctx, uint32_t peer)
{
	struct side *s = ctx;

	s->nr_down++;
	s->peer = 0;
}

static void on_message(void *ctx, uint32_t peer, uint16_t type,
		       const void *payload, uint32_t payload_bytes)
{
	((struct side *)ctx)->nr_messages++;
}

static int readable(void *ctx, uint32_t peer, const void *about,
		    uint32_t about_bytes, uint64_t size_bytes)
{
	((struct side *)ctx)->nr_told++;
	return 0;
}

static void read_done(void *ctx, uint32_t peer, uint64_t cookie,
		      const void *bytes, uint32_t size_bytes)
{
	struct side *s = ctx;

	s->nr_done++;
	s->nr_failed += !bytes;
}

static int open_side(struct side *s, enum hs_wire_role role,
		     const struct hs_transport_verbs_options *options)
{
	const struct hs_transport_events events = {on_up, on_down, on_message,
						   NULL};
	const struct hs_transport_limits limits = {
		.nr_peers = 8,
		.reconnect_min_ns = HS_NS_PER_MS,
		.reconnect_max_ns = 4 * HS_NS_PER_MS,
	};
	const struct hs_transport_self self = {
		.role = role, .node = (uint64_t)role << 32, .name = "side"};
	const struct hs_transport_windows lets = {
		.data = data,
		.size_bytes = sizeof(data),
		.reader = HS_WIRE_ROLE_COORDINATOR};
	const struct hs_transport_windows reads = {.readable = readable,
						   .read_done = read_done};

	*s = (struct side){
		.t = hs_transport_verbs_create_with(
			&fake_verbs_api, &self, &limits, options, &events, s)};
	return s->t ? hs_transport_windows(
			      s->t, role == HS_WIRE_ROLE_AGENT ? &lets : &reads)
		    : -errno;
}

static void turn(void)
{
	if (agent.t)
		assert_int_equal(hs_transport_poll(agent.t, 1), 0);
	if (reader.t)
		assert_int_equal(hs_transport_poll(reader.t, 1), 0);
}

static int setup(void **state)
{
	fake_reset();
	hs_log_level_set(HS_LOG_ERROR);
	return 0;
}

static void close_both(void)
{
	hs_transport_destroy(reader.t);
	hs_transport_destroy(agent.t);
	reader.t = agent.t = NULL;
}

static int teardown(void **state)
{
	close_both();
	if (!fake.wrong && fake.nr_objects)
		fake.wrong = "an object was not freed";
	if (fake.wrong)
		print_error("%s\n", fake.wrong);
	return fake.wrong ? -1 : 0;
}

static int connect_with(const struct hs_transport_verbs_options *options)
{
	char address[32];
	int port;

	if (open_side(&agent, HS_WIRE_ROLE_AGENT, options) ||
	    open_side(&reader, HS_WIRE_ROLE_COORDINATOR, options))
		return -1;
	port = hs_transport_listen(reader.t, "127.0.0.1:0");
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	return port > 0 ? hs_transport_dial(agent.t, address) : -1;
}

static int connect_both(void)
{
	return connect_with(NULL);
}

/* Whatever ends a connection takes what is under way: said until it is heard.
 */
static void say(struct side *from, struct side *to, uint16_t type)
{
	uint32_t heard = to->nr_messages;
	uint64_t word = 1;
	struct iovec iov = {&word, sizeof(word)};

	for (int i = 0; to->nr_messages == heard; i++) {
		if (i == TURNS_MAX)
			fail_msg("it is never heard");
		if (from->peer && i % 100 == 0)
			hs_transport_send(from->t, from->peer, type, &iov, 1);
		turn();
	}
}

static void they_talk(void)
{
	say(&reader, &agent, HS_WIRE_COLLECT);
	say(&agent, &reader, HS_WIRE_CRUMBS);
}

static struct hs_transport_stats stats_of(struct side *s)
{
	struct hs_transport_stats st;

	hs_transport_stats(s->t, &st);
	return st;
}

static void none_then(void)
{
	assert_int_equal(connect_both(), 0);
	they_talk();
	they_talk();
	assert_int_equal(reader.nr_told, 0);
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0),
			 -EOPNOTSUPP);
	assert_int_equal(stats_of(&agent).windows_refused, 1);
	assert_int_equal(stats_of(&agent).nr_windows, 0);
}

static void a_device_without_windows(void **state)
{
	fake.no_windows = true;
	none_then();
	assert_int_equal(agent.nr_down, 0);
}

static void no_window_is_given(void **state)
{
	fake.windows_fail = true;
	none_then();
	assert_int_equal(agent.nr_down, 0);
}

static void rights_cannot_be_taken_back(void **state)
{
	fake.flags_fail = true;
	none_then();
	assert_int_equal(agent.nr_down, 0);
}

/* The request that fails takes the connection with it, once. */
static void a_window_is_not_bound(void **state)
{
	fake.binds_fail = true;
	assert_int_equal(connect_both(), 0);
	until(agent.nr_down == 1 && agent.peer && reader.peer);
	they_talk();
	assert_int_equal(agent.nr_down, 1);
	until(stats_of(&agent).nr_windows == 0);
	/* Told of before it was known to have failed: gone with it. */
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0),
			 -EOPNOTSUPP);
}

/* One read that fails is one connection; that peer is let alone then. */
static void a_read_fails(void **state)
{
	assert_int_equal(connect_both(), 0);
	until(reader.nr_told == 1);
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0), 0);
	until(reader.nr_done == 1);
	assert_int_equal(reader.nr_failed, 0);
	fake.status = IBV_WC_REM_ACCESS_ERR;
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0), 0);
	until(reader.nr_done == 2);
	assert_int_equal(reader.nr_failed, 1);
	until(reader.nr_down == 1);
	until(reader.nr_told == 2);
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0),
			 -EOPNOTSUPP);
	they_talk();
	assert_int_equal(reader.nr_down, 1);
	assert_int_equal(stats_of(&reader).reads, 1);
	assert_int_equal(stats_of(&reader).reads_failed, 1);
}

/* Of a peer that says it lets us read what it does not. */
static void a_key_that_is_none(void **state)
{
	struct hs_verbs *v;

	assert_int_equal(connect_both(), 0);
	until(reader.nr_told == 1);
	v = (struct hs_verbs *)reader.t;
	for (uint32_t i = 0; i < v->hub.limits.nr_peers; i++)
		if (v->hub.links[i])
			((struct hs_verbs_conn *)v->hub.links[i])
				->chan->window.rkey ^= 0x100;
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0), 0);
	until(reader.nr_done == 1);
	assert_int_equal(reader.nr_failed, 1);
	until(reader.nr_told == 2);
	they_talk();
}

/* Every call that can fail does, once each, from when they know each other: the
 * ones before have a test of their own (test_verbs_fake.c). */
static void every_call_fails_once(void **state)
{
	uint64_t first, nr;

	assert_int_equal(connect_both(), 0);
	until(agent.peer);
	first = fake.nr_calls - CALLS_AROUND;
	until(reader.nr_told == 1);
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0), 0);
	until(reader.nr_done == 1);
	nr = fake.nr_calls;
	close_both();
	for (uint64_t at = first; at <= nr + 4; at++) {
		fake.nr_calls = 0;
		fake.fail_at = at;
		if (connect_both() == 0) {
			they_talk();
			if (hs_transport_read(reader.t, reader.peer, 0, 8, 0) ==
			    0)
				until(reader.nr_done || reader.nr_down);
			they_talk();
		}
		close_both();
		assert_int_equal(fake.nr_objects, 0);
	}
}

/* With a window open and reads under way; both find each other again. */
static void the_device_goes(void **state)
{
	assert_int_equal(connect_both(), 0);
	until(reader.nr_told == 1);
	fake.hold_sends = true;
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0), 0);
	turn();
	fake_remove_device();
	until(reader.nr_down && agent.nr_down);
	fake.hold_sends = false;
	until(reader.nr_told == 2);
	assert_int_equal(hs_transport_read(reader.t, reader.peer, 0, 8, 0), 0);
	until(reader.nr_done);
	assert_int_equal(reader.nr_failed, 0);
	they_talk();
	until(stats_of(&agent).nr_windows == 1);
	assert_int_equal(stats_of(&reader).nr_windows, 1);
}

static void it_is_named(void **state)
{
	struct hs_transport_verbs_options options = {.gid = 2};

	assert_int_equal(connect_both(), 0);
	assert_string_equal(stats_of(&agent).by, "");
	they_talk();
	assert_string_equal(stats_of(&agent).by,
			    "fake0 port 1 GID 1 127.0.0.1 (the only one)");
	/* Once, however many connections there are. */
	assert_int_equal(hs_transport_cut(agent.t, agent.peer), 0);
	until(agent.nr_down == 1);
	they_talk();
	assert_string_equal(stats_of(&agent).by,
			    "fake0 port 1 GID 1 127.0.0.1 (the only one)");
	close_both();
	snprintf(options.device, sizeof(options.device), "fake0");
	assert_int_equal(connect_with(&options), 0);
	they_talk();
	assert_string_equal(stats_of(&agent).by,
			    "fake0 port 1 GID 1 127.0.0.1 (transport.device)");
}

/* Neither sends nor reads are completed for a while: reads wait or are refused,
 * and all comes in the end. */
static void completions_are_late(void **state)
{
	uint32_t asked = 0;

	assert_int_equal(connect_both(), 0);
	until(reader.nr_told == 1);
	fake.hold_sends = true;
	for (uint32_t i = 0; i < 8; i++) {
		asked += hs_transport_read(reader.t, reader.peer, 8 * i, 8,
					   0) == 0;
		turn();
	}
	assert_int_equal(asked, 4); /* as many as the device takes */
	assert_int_equal(reader.nr_done, 0);
	fake.hold_sends = false;
	until(reader.nr_done == asked);
	they_talk();
	assert_int_equal(reader.nr_down + agent.nr_down, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_device_without_windows),
		T(no_window_is_given),
		T(rights_cannot_be_taken_back),
		T(a_window_is_not_bound),
		T(a_read_fails),
		T(a_key_that_is_none),
		T(every_call_fails_once),
		T(the_device_goes),
		T(it_is_named),
		T(completions_are_late),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}

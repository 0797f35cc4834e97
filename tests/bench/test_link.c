/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: calls over TCP, without a loop: order and wholeness of messages
 * that a socket takes in pieces, what is full on the way, and a peer that ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/services/link.h"

#define MESSAGES 20000u

struct side {
	struct hs_svc_links links;
	struct hs_svc_end put, get;
	uint32_t nr_put, nr_got;
};

static void set_up(struct side s[2], int buffer_bytes)
{
	int ends[2];

	assert_int_equal(hs_svc_link_pair(ends), 0);
	for (uint16_t i = 0; i < 2; i++) {
		struct hs_svc_link *k;

		s[i] = (struct side){0};
		/* The least that there is; a small window would have waits. */
		if (buffer_bytes)
			setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF,
				   &buffer_bytes, sizeof(buffer_bytes));
		assert_int_equal(hs_svc_links_open(&s[i].links, 1), 0);
		k = hs_svc_links_add_socket(&s[i].links, ends[i],
					    (uint16_t)(7 + i));
		assert_non_null(k);
		s[i].put.ring = k->out.ring;
		s[i].get.ring = k->in.ring;
	}
}

static void tear_down(struct side s[2])
{
	hs_svc_links_close(&s[0].links);
	hs_svc_links_close(&s[1].links);
}

/* As many as there is room for, at most @nr. Return: how many. */
static uint32_t put(struct side *s, uint32_t nr)
{
	uint32_t done = 0;
	struct hs_svc_message *m;

	while (done < nr && (m = hs_svc_ring_put(&s->put))) {
		*m = (struct hs_svc_message){
			.slot = s->nr_put,
			.word = ~(uint64_t)s->nr_put * 0x9e3779b97f4a7c15ull,
			.api = (uint16_t)s->nr_put,
			.context_bytes = HS_SVC_CONTEXT_BYTES};
		memset(m->context, (int)(s->nr_put % 251), sizeof(m->context));
		s->nr_put++;
		done++;
	}
	hs_svc_ring_flush(&s->put);
	return done;
}

/* All that is there, each held against what was put. */
static uint32_t get(struct side *s)
{
	uint32_t n = hs_svc_ring_count(&s->get);

	for (uint32_t i = 0; i < n; i++) {
		const struct hs_svc_message *m = hs_svc_ring_get(&s->get);
		uint32_t k = s->nr_got++;

		assert_int_equal(m->slot, k);
		assert_true(m->word == ~(uint64_t)k * 0x9e3779b97f4a7c15ull);
		assert_int_equal(m->context[0], k % 251);
		assert_int_equal(m->context[HS_SVC_CONTEXT_BYTES - 1], k % 251);
	}
	if (n)
		hs_svc_ring_release(&s->get);
	return n;
}

/* Both ways at once; a message is 64 bytes, of which such buffers take no
 * round number. */
static void both_ways(int buffer_bytes)
{
	struct side s[2];

	set_up(s, buffer_bytes);
	while (s[0].nr_got < MESSAGES || s[1].nr_got < MESSAGES)
		for (int i = 0; i < 2; i++) {
			put(&s[i], MESSAGES - s[i].nr_put < 700
					   ? MESSAGES - s[i].nr_put
					   : 700);
			hs_svc_links_send(&s[i].links);
			hs_svc_links_receive(&s[i].links);
			get(&s[i]);
			assert_int_equal(s[i].links.rc, 0);
		}
	assert_int_equal(s[0].nr_got, s[1].nr_put);
	assert_int_equal(s[1].nr_got, s[0].nr_put);
	/* In batches: far fewer system calls than messages. */
	assert_true(s[0].links.traffic.writes < MESSAGES / 4);
	if (buffer_bytes)
		assert_true(s[0].links.traffic.full > 0);
	tear_down(s);
}

static void test_both_ways(void **state)
{
	both_ways(0);
}

static void test_in_pieces(void **state)
{
	both_ways(1);
}

/* Nobody reads: the socket fills, then the ring, and its producer is told. */
static void test_full(void **state)
{
	struct side s[2];
	uint32_t sent = 0;

	set_up(s, 1);
	for (int i = 0; i < 10000 && put(&s[0], 1000); i++)
		sent += hs_svc_links_send(&s[0].links);
	assert_null(hs_svc_ring_put(&s[0].put));
	assert_true(s[0].links.traffic.full > 0);
	assert_int_equal(s[0].links.rc, 0);
	assert_int_equal(s[0].nr_put - sent, HS_SVC_RING_MESSAGES);
	/* What waits is asked about once a round, and lost to nobody. */
	assert_int_equal(hs_svc_links_send(&s[0].links), 0);
	while (s[1].nr_got < s[0].nr_put) {
		hs_svc_links_receive(&s[1].links);
		get(&s[1]);
		hs_svc_links_send(&s[0].links);
	}
	hs_svc_links_receive(&s[1].links);
	assert_int_equal(get(&s[1]), 0);
	tear_down(s);
}

/* Who does not take what came gets no more than its ring has room for. */
static void test_slow_reader(void **state)
{
	struct side s[2];

	set_up(s, 0);
	for (int i = 0; i < 4; i++) {
		put(&s[0], HS_SVC_RING_MESSAGES);
		hs_svc_links_send(&s[0].links);
	}
	for (int i = 0; i < 8; i++)
		hs_svc_links_receive(&s[1].links);
	assert_true(hs_svc_ring_count(&s[1].get) >= HS_SVC_LINK_LOW);
	assert_true(hs_svc_ring_count(&s[1].get) <= HS_SVC_RING_MESSAGES);
	while (s[1].nr_got < s[0].nr_put) {
		get(&s[1]);
		hs_svc_links_send(&s[0].links);
		hs_svc_links_receive(&s[1].links);
	}
	tear_down(s);
}

/* What it sent before it ended still comes; then it is missed, by name. */
static void test_ended(void **state)
{
	struct side s[2];

	set_up(s, 0);
	put(&s[0], 3);
	hs_svc_links_send(&s[0].links);
	hs_svc_links_close(&s[0].links);
	hs_svc_links_receive(&s[1].links);
	assert_int_equal(get(&s[1]), 3);
	assert_int_equal(s[1].links.rc, 0);
	hs_svc_links_receive(&s[1].links);
	assert_int_equal(s[1].links.rc, -ECONNRESET);
	assert_int_equal(s[1].links.gone, 8);
	/* To write there is no signal, and the first reason stays. */
	for (int i = 0; i < 3; i++) {
		put(&s[1], 1);
		hs_svc_links_send(&s[1].links);
	}
	assert_int_equal(s[1].links.rc, -ECONNRESET);
	tear_down(s);
}

static void test_no_delay(void **state)
{
	struct side s[2];
	int on = 0;
	socklen_t bytes = sizeof(on);

	set_up(s, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(getsockopt(s[i].links.links[0].fd, IPPROTO_TCP,
					    TCP_NODELAY, &on, &bytes),
				 0);
		assert_true(on);
	}
	tear_down(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_no_delay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lend_ring.c - the ring between an agent and who lends it a port, and the
 * messages before it: what goes through, what is refused
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "ship/lend_ring.h"

#define SLOTS 16u
#define FRAME 600u

struct world {
	bool ip6;
	uint8_t *memory;
	uint32_t head, tail;
	struct hs_lend_ring put, take;
};

static void begin_of(struct world *w, uint32_t from, bool ip6)
{
	memset(w, 0, sizeof(*w));
	w->ip6 = ip6;
	/* Of its own size, so that the sanitizers see each byte over it. */
	w->memory = calloc(1, hs_lend_memory_bytes(SLOTS, FRAME, ip6));
	assert_non_null(w->memory);
	hs_lend_ring_make(&w->put, true, &w->head, &w->tail, w->memory, SLOTS,
			  FRAME, ip6);
	hs_lend_ring_make(&w->take, false, &w->tail, &w->head, w->memory, SLOTS,
			  FRAME, ip6);
	/* As if so many had gone through. */
	w->head = w->tail = from;
	w->put.at = w->put.said = from;
	w->put.limit = from + SLOTS;
	w->take.at = w->take.limit = w->take.said = from;
}

static void begin(struct world *w, uint32_t from)
{
	begin_of(w, from, false);
}

static struct hs_ship_place place(const struct world *w, uint32_t number)
{
	struct hs_ship_place p = {.port = (uint16_t)number};

	if (!w->ip6)
		p.ip = hs_ship_ip_v4(number);
	else
		for (uint32_t i = 0; i < 4; i++)
			memcpy(p.ip.bytes + 4 * i, &number, sizeof(number));
	return p;
}

static bool put(struct world *w, uint32_t number, uint32_t bytes)
{
	const struct hs_ship_place p = place(w, number);
	uint8_t *at = hs_lend_ring_room(&w->put);

	if (!at)
		return false;
	memset(at, (int)number, bytes);
	hs_lend_ring_put(&w->put, &p, bytes);
	return true;
}

static bool take(struct world *w, uint32_t number, uint32_t bytes)
{
	const struct hs_ship_place p = place(w, number);
	struct hs_lend_frame f;

	if (!hs_lend_ring_next(&w->take, &f))
		return false;
	assert_memory_equal(&f.place, &p, sizeof(p));
	assert_int_equal(f.bytes, bytes);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(((const uint8_t *)f.data)[i], (uint8_t)number);
	hs_lend_ring_taken(&w->take);
	return true;
}

static void through(uint32_t from, bool ip6)
{
	struct world w;
	uint32_t in = 0, out = 0;

	begin_of(&w, from, ip6);
	while (out < 1000) {
		/* Unevenly, so that it is full, empty and between. */
		for (uint32_t i = 0; i < in % 23 + 1; i++)
			in += put(&w, in, in % (FRAME + 1));
		hs_lend_ring_publish(&w.put);
		for (uint32_t i = 0; i < out % 19 + 1; i++)
			out += take(&w, out, out % (FRAME + 1));
		assert_int_equal(hs_lend_ring_waiting(&w.take), in - out);
		hs_lend_ring_publish(&w.take);
		assert_int_equal(hs_lend_ring_waiting(&w.put), in - out);
	}
	assert_false(w.put.broken || w.take.broken);
	assert_int_equal(w.take.skipped, 0);
	free(w.memory);
}

static void test_through(void **state)
{
	(void)state;
	through(0, false);
	through(0, true);
}

static void test_counters_wrap(void **state)
{
	(void)state;
	through(UINT32_MAX - 500, false);
	through(UINT32_MAX - 500, true);
}

static void test_full_and_unpublished(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_true(put(&w, i, 10));
	assert_false(put(&w, SLOTS, 10));
	/* Nobody was told yet. */
	assert_false(take(&w, 0, 10));
	hs_lend_ring_publish(&w.put);
	assert_true(take(&w, 0, 10));
	assert_false(put(&w, SLOTS, 10));
	hs_lend_ring_publish(&w.take);
	assert_true(put(&w, SLOTS, 10));
	assert_false(put(&w, SLOTS + 1, 10));
	free(w.memory);
}

static void test_counters_that_cannot_be(void **state)
{
	static const uint32_t lies[] = {SLOTS + 5 + 1, 4, UINT32_MAX, 1u << 31};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		begin(&w, 5);
		w.head = lies[i];
		assert_false(take(&w, 0, 0));
		assert_true(w.take.broken);
		/* For good: what it says later is not believed. */
		w.head = 6;
		assert_false(take(&w, 0, 0));
		assert_int_equal(hs_lend_ring_waiting(&w.take), 0);
		free(w.memory);
	}
	begin(&w, 5);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_true(put(&w, i, 1));
	w.tail = 5 + SLOTS + 1; /* more than there ever were */
	assert_false(put(&w, 0, 1));
	assert_true(w.put.broken);
	free(w.memory);
}

static void test_lengths_that_cannot_be(void **state)
{
	struct world w;
	struct hs_lend_slot *slots[3];

	(void)state;
	begin(&w, 0);
	for (uint32_t i = 0; i < 3; i++) {
		slots[i] = (struct hs_lend_slot *)hs_lend_ring_room(&w.put) - 1;
		assert_true(put(&w, i, 20));
	}
	hs_lend_ring_publish(&w.put);
	/* One more than fits, and all that the word can say. */
	slots[0]->word = (uint64_t)(FRAME + 1) << 48;
	slots[1]->word = UINT64_MAX;
	assert_true(take(&w, 2, 20));
	assert_int_equal(w.take.skipped, 2);
	assert_false(w.take.broken);
	free(w.memory);
}

#define MANY 200000u

static void *put_many(void *arg)
{
	struct world *w = arg;

	for (uint32_t i = 0; i < MANY;) {
		if (put(w, i, i % 64 + 1)) {
			i++;
			if (i % 3 && i < MANY)
				continue;
		}
		hs_lend_ring_publish(&w->put);
	}
	return NULL;
}

/* Each end on a thread of its own; for ThreadSanitizer as well. */
static void test_two_threads(void **state)
{
	pthread_t thread;
	struct world w;

	(void)state;
	begin(&w, UINT32_MAX - MANY / 2);
	assert_int_equal(pthread_create(&thread, NULL, put_many, &w), 0);
	for (uint32_t i = 0; i < MANY;) {
		if (take(&w, i, i % 64 + 1)) {
			i++;
			if (i % 5 && i < MANY)
				continue;
		}
		assert_false(w.take.broken);
		hs_lend_ring_publish(&w.take);
	}
	pthread_join(thread, NULL);
	assert_false(w.put.broken);
	free(w.memory);
}

static struct hs_lend_hello6 hello(void)
{
	return (struct hs_lend_hello6){
		.base = {.magic = HS_LEND_MAGIC,
			 .version_min = 1,
			 .version_max = 1,
			 .ip = 7,
			 .port = 9,
			 .frame_bytes = 1472,
			 .name = "kv"},
	};
}

static struct hs_lend_hello6 hello6(void)
{
	struct hs_lend_hello6 h = hello();

	h.base.version_min = h.base.version_max = 2;
	h.base.ip = 0;
	h.base.frame_bytes = 1452;
	memcpy(h.ip, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7", 16);
	return h;
}

#define CHECK(h, bytes, most) hs_lend_hello_check(&(h), bytes, most, &own)

static void test_hello(void **state)
{
	struct hs_lend_hello6 h = hello();
	struct hs_ship_place own;

	(void)state;
	assert_int_equal(CHECK(h, sizeof(h.base), 1472), 0);
	assert_int_equal(CHECK(h, sizeof(h.base), 1473), HS_LEND_REFUSED_FRAME);
	assert_int_equal(CHECK(h, sizeof(h.base) - 1, 1472),
			 HS_LEND_REFUSED_HELLO);
	h.base.version_max = 9;
	assert_int_equal(CHECK(h, sizeof(h.base), 1472), 0);
	h.base.version_min = 2;
	assert_int_equal(CHECK(h, sizeof(h.base), 1472),
			 HS_LEND_REFUSED_VERSION);
	h = hello();
	memset(h.base.name, 'a', sizeof(h.base.name));
	assert_int_equal(CHECK(h, sizeof(h.base), 1472), HS_LEND_REFUSED_HELLO);
	h = hello();
	memcpy(h.base.name, "a\"\x80\n", 5);
	assert_int_equal(CHECK(h, sizeof(h.base), 1472), 0);
	assert_string_equal(h.base.name, "a???");
	h = hello();
	h.base.port = 0;
	assert_int_equal(CHECK(h, sizeof(h.base), 1472), HS_LEND_REFUSED_HELLO);
}

static void test_hello_of_ip6(void **state)
{
	struct hs_lend_hello6 h = hello6();
	struct hs_ship_place own;
	static const char *const bad[] = {"::", "::1", "ff02::1",
					  "::ffff:192.0.2.1"};

	(void)state;
	assert_int_equal(CHECK(h, sizeof(h), 1472), 0);
	assert_memory_equal(&own.ip, h.ip, sizeof(own.ip));
	assert_int_equal(own.port, 9);
	assert_int_equal(CHECK(h, sizeof(h), 1473), HS_LEND_REFUSED_FRAME);
	/* Of which version it is says its length. */
	assert_int_equal(CHECK(h, sizeof(h.base), 1472), HS_LEND_REFUSED_HELLO);
	assert_int_equal(CHECK(h, sizeof(h) - 1, 1472), HS_LEND_REFUSED_HELLO);
	h.base.version_min = 3;
	h.base.version_max = 4;
	assert_int_equal(CHECK(h, sizeof(h), 1472), HS_LEND_REFUSED_VERSION);
	h.base.version_min = h.base.version_max = 1;
	assert_int_equal(CHECK(h, sizeof(h), 1472), HS_LEND_REFUSED_VERSION);
	h = hello6();
	h.base.ip = 1;
	assert_int_equal(CHECK(h, sizeof(h), 1472), HS_LEND_REFUSED_HELLO);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		h = hello6();
		assert_int_equal(inet_pton(AF_INET6, bad[i], h.ip), 1);
		assert_int_equal(CHECK(h, sizeof(h), 1472),
				 HS_LEND_REFUSED_HELLO);
	}
}

static void welcome_of(bool ip6)
{
	const struct hs_lend_welcome good = {
		.magic = HS_LEND_MAGIC,
		.version = ip6 ? 2 : 1,
		.frame_bytes = 1472,
		.slot_bytes = hs_lend_slot_bytes(1472, ip6),
		.nr_slots = 512,
	};
	const size_t bytes = hs_lend_memory_bytes(512, 1472, ip6);
	struct hs_lend_welcome w = good;

#define TOLD(n, most, a, b)                                                    \
	hs_lend_welcome_check(&w, n, most, (const size_t[]){a, b}, ip6)
	assert_int_equal(TOLD(sizeof(w), 1472, bytes, bytes), 0);
	assert_int_equal(TOLD(sizeof(w), 8972, bytes, bytes), 0);
	assert_int_equal(TOLD(sizeof(w), 1471, bytes, bytes), -EBADMSG);
	assert_int_equal(TOLD(sizeof(w) - 1, 1472, bytes, bytes), -EBADMSG);
	assert_int_equal(TOLD(sizeof(w), 1472, bytes - 1, bytes), -EBADMSG);
	assert_int_equal(TOLD(sizeof(w), 1472, bytes, 0), -EBADMSG);
	w.nr_slots = 500;
	assert_int_equal(TOLD(sizeof(w), 1472, bytes, bytes), -EBADMSG);
	w = good;
	w.slot_bytes += 64;
	assert_int_equal(TOLD(sizeof(w), 1472, 2 * bytes, 2 * bytes), -EBADMSG);
	w = good;
	w.version = ip6 ? 1 : 2;
	assert_int_equal(TOLD(sizeof(w), 1472, 2 * bytes, 2 * bytes),
			 HS_LEND_REFUSED_VERSION);
	w = good;
	w.refused = HS_LEND_REFUSED_BUSY;
	assert_int_equal(TOLD(sizeof(w), 1472, 0, 0), HS_LEND_REFUSED_BUSY);
	assert_string_equal(hs_lend_refusal_text(4711),
			    hs_lend_refusal_text(-EBADMSG));
#undef TOLD
}

static void test_welcome(void **state)
{
	(void)state;
	welcome_of(false);
	welcome_of(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_through),
		cmocka_unit_test(test_counters_wrap),
		cmocka_unit_test(test_full_and_unpublished),
		cmocka_unit_test(test_counters_that_cannot_be),
		cmocka_unit_test(test_lengths_that_cannot_be),
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_of_ip6),
		cmocka_unit_test(test_welcome),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

#include "ship/lend_ring.h"

#define SLOTS 16u
#define FRAME 600u

struct world {
	uint8_t *memory;
	uint32_t head, tail;
	struct hs_lend_ring put, take;
};

static void begin(struct world *w, uint32_t from)
{
	memset(w, 0, sizeof(*w));
	/* Of its own size, so that the sanitizers see each byte over it. */
	w->memory = calloc(1, hs_lend_memory_bytes(SLOTS, FRAME));
	assert_non_null(w->memory);
	hs_lend_ring_make(&w->put, true, &w->head, &w->tail, w->memory, SLOTS,
			  FRAME);
	hs_lend_ring_make(&w->take, false, &w->tail, &w->head, w->memory, SLOTS,
			  FRAME);
	/* As if so many had gone through. */
	w->head = w->tail = from;
	w->put.at = w->put.said = from;
	w->put.limit = from + SLOTS;
	w->take.at = w->take.limit = w->take.said = from;
}

static bool put(struct world *w, uint32_t number, uint32_t bytes)
{
	uint8_t *at = hs_lend_ring_room(&w->put);

	if (!at)
		return false;
	memset(at, (int)number, bytes);
	hs_lend_ring_put(&w->put,
			 (struct hs_lend_place){number, (uint16_t)number, 0},
			 bytes);
	return true;
}

static bool take(struct world *w, uint32_t number, uint32_t bytes)
{
	struct hs_lend_frame f;

	if (!hs_lend_ring_next(&w->take, &f))
		return false;
	assert_int_equal(f.place.ip, number);
	assert_int_equal(f.place.port, (uint16_t)number);
	assert_int_equal(f.bytes, bytes);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(((const uint8_t *)f.data)[i], (uint8_t)number);
	hs_lend_ring_taken(&w->take);
	return true;
}

static void through(uint32_t from)
{
	struct world w;
	uint32_t in = 0, out = 0;

	begin(&w, from);
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
	through(0);
}

static void test_counters_wrap(void **state)
{
	(void)state;
	through(UINT32_MAX - 500);
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

static struct hs_lend_hello hello(void)
{
	return (struct hs_lend_hello){
		.magic = HS_LEND_MAGIC,
		.version_min = 1,
		.version_max = 1,
		.ip = 7,
		.port = 9,
		.frame_bytes = 1472,
		.name = "kv",
	};
}

static void test_hello(void **state)
{
	struct hs_lend_hello h = hello();

	(void)state;
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1472), 0);
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1473),
			 HS_LEND_REFUSED_FRAME);
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h) - 1, 1472),
			 HS_LEND_REFUSED_HELLO);
	h.version_max = 9;
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1472), 0);
	h.version_min = 2;
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1472),
			 HS_LEND_REFUSED_VERSION);
	h = hello();
	memset(h.name, 'a', sizeof(h.name));
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1472),
			 HS_LEND_REFUSED_HELLO);
	h = hello();
	memcpy(h.name, "a\"\x80\n", 5);
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1472), 0);
	assert_string_equal(h.name, "a???");
	h = hello();
	h.port = 0;
	assert_int_equal(hs_lend_hello_check(&h, sizeof(h), 1472),
			 HS_LEND_REFUSED_HELLO);
}

static void test_welcome(void **state)
{
	const struct hs_lend_welcome good = {
		.magic = HS_LEND_MAGIC,
		.version = 1,
		.frame_bytes = 1472,
		.slot_bytes = hs_lend_slot_bytes(1472),
		.nr_slots = 512,
	};
	const size_t bytes = hs_lend_memory_bytes(512, 1472);
	struct hs_lend_welcome w = good;

	(void)state;
#define TOLD(n, most, a, b)                                                    \
	hs_lend_welcome_check(&w, n, most, (const size_t[]){a, b})
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
	w.refused = HS_LEND_REFUSED_BUSY;
	assert_int_equal(TOLD(sizeof(w), 1472, 0, 0), HS_LEND_REFUSED_BUSY);
	assert_string_equal(hs_lend_refusal_text(4711),
			    hs_lend_refusal_text(-EBADMSG));
#undef TOLD
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
		cmocka_unit_test(test_welcome),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what is put into the ring comes out as it was, in order, however
 * the ends of the memory fall, and is found by its trace for as long as it
 * waits and no longer. Held against a plain list.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/random.h"

#define SIZE_BYTES  65536u
#define WAITING_MAX 4096u

struct waiting {
	uint64_t trace;
	uint32_t bytes[2];
	uint64_t behind; /* position */
};

static struct {
	struct hs_ring ring;
	struct hs_random random;
	struct waiting list[WAITING_MAX]; /* oldest first */
	uint32_t nr;
	uint64_t nr_put, nr_refused, nr_pads;
} w;

static uint32_t any(uint32_t below)
{
	return (uint32_t)hs_random_below(&w.random, below);
}

static uint8_t byte_of(uint64_t trace, uint32_t part, uint32_t i)
{
	return (uint8_t)(trace * 31 + part * 7 + i);
}

static void put_one(void)
{
	static uint8_t parts[2][SIZE_BYTES];
	const void *const pointers[2] = {parts[0], parts[1]};
	uint64_t head = w.ring.head;
	struct waiting one = {.trace = any(40)};
	struct hs_ring_entry like = {
		.type = HS_RING_SLICE, .trace = {7, one.trace}, .now_ns = 1};

	/* Now and then as long as the memory itself. */
	one.bytes[0] = any(20) ? any(300) : any(SIZE_BYTES / 2);
	one.bytes[1] = any(20) ? any(3000) : any(SIZE_BYTES / 2 - 64);
	for (uint32_t p = 0; p < 2; p++) {
		like.part_bytes[p] = one.bytes[p];
		for (uint32_t i = 0; i < one.bytes[p]; i++)
			parts[p][i] = byte_of(one.trace, p, i);
	}
	if (w.nr == WAITING_MAX || !hs_ring_put(&w.ring, &like, pointers)) {
		/* Refused with nothing waiting would be refused for ever. */
		assert_true(w.nr > 0);
		assert_int_equal(w.ring.head, head);
		w.nr_refused++;
		return;
	}
	one.behind = w.ring.head;
	w.nr_pads +=
		one.behind - head > hs_ring_bytes(one.bytes[0], one.bytes[1]);
	w.list[w.nr++] = one;
	w.nr_put++;
}

static void look_at_all(void)
{
	uint64_t at = w.ring.tail;
	const struct hs_ring_entry *e;
	uint32_t nr = 0;

	while ((e = hs_ring_at(&w.ring, &at, w.ring.head))) {
		const struct waiting *want = &w.list[nr++];
		const uint8_t *payload = hs_ring_payload(e);

		assert_true(nr <= w.nr);
		assert_int_equal(e->trace.lo, want->trace);
		assert_int_equal(at, want->behind);
		for (uint32_t p = 0; p < 2; p++) {
			assert_int_equal(e->part_bytes[p], want->bytes[p]);
			for (uint32_t i = 0; i < want->bytes[p]; i++)
				assert_int_equal(
					payload[(p ? want->bytes[0] : 0) + i],
					byte_of(want->trace, p, i));
		}
	}
	assert_int_equal(nr, w.nr);
	assert_int_equal(w.ring.nr_entries, w.nr);
}

static void look_for_each(void)
{
	for (uint64_t t = 0; t < 40; t++) {
		const struct hs_wire_trace_id id = {7, t};
		bool want = false;

		for (uint32_t i = 0; i < w.nr; i++)
			want = want || w.list[i].trace == t;
		assert_int_equal(hs_ring_has(&w.ring, &id), want);
	}
}

static void test_against_a_list(void **state)
{
	hs_random_seed(&w.random, 20);
	assert_int_equal(hs_ring_init(&w.ring, SIZE_BYTES, 20), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		put_one();
		if (any(3) == 0 && w.nr) {
			uint32_t n = any(4) ? 1 + any(w.nr) : w.nr;

			hs_ring_let_go(&w.ring, w.list[n - 1].behind);
			memmove(w.list, w.list + n,
				(w.nr - n) * sizeof(w.list[0]));
			w.nr -= n;
		}
		if (i % 16 == 0)
			look_at_all();
		look_for_each();
	}
	assert_true(w.nr_put > 1000 && w.nr_refused > 100 && w.nr_pads > 100);
	hs_ring_destroy(&w.ring);
}

/* Ids that a mixing of both halves without a seed takes for the same. */
static void test_chosen_ids(void **state)
{
	static struct hs_ring ring;
	const void *const parts[2] = {"", ""};
	uint32_t chains = 0;

	assert_int_equal(hs_ring_init(&ring, SIZE_BYTES, 20), 0);
	for (uint64_t t = 1; t <= 20; t++) {
		const struct hs_ring_entry like = {
			.type = HS_RING_SLICE, .trace = {hs_hash_mix64(t), t}};

		assert_true(hs_ring_put(&ring, &like, parts));
	}
	for (uint32_t i = 0; i < HS_RING_NR_CHAINS; i++)
		chains += ring.chains[i] != 0;
	assert_true(chains > 10);
	hs_ring_destroy(&ring);
}

/* Whoever does not know the seed does not know which ids meet. */
static void test_another_seed(void **state)
{
	static struct hs_ring rings[2];
	const struct hs_ring_entry like = {.type = HS_RING_SLICE,
					   .trace = {1, 1}};
	const void *const parts[2] = {"", ""};

	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(hs_ring_init(&rings[i], SIZE_BYTES, i), 0);
		assert_true(hs_ring_put(&rings[i], &like, parts));
	}
	assert_memory_not_equal(rings[0].chains, rings[1].chains,
				sizeof(rings[0].chains));
	for (uint32_t i = 0; i < 2; i++)
		hs_ring_destroy(&rings[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_list),
		cmocka_unit_test(test_chosen_ids),
		cmocka_unit_test(test_another_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

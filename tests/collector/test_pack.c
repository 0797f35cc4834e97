/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: whatever number of threads packs, lots come in the order in which
 * they were added, each record once and as it was; what is too long for a lot,
 * or not to be packed, is left to who takes it; and there is an end to how many
 * wait.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collector/pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "collector/segment.h"

#define RING_BYTES (48u << 20)
#define SALT	   0x5a17ull
#define OFFSET	   4096u

static struct {
	struct hs_ring ring;
	struct hs_random random;
	struct hs_pack *pack;
	struct hs_segment_codec *codec;
	uint64_t ahead;	  /* position: added up to here */
	uint64_t trace;	  /* of the entry put last */
	uint64_t checked; /* of the one that came last */
	uint8_t raw[HS_SEGMENT_RAW_MAX_BYTES];
	uint8_t sealed[2 * HS_PACK_LOT_BYTES];
} w;

static void begin(uint32_t nr_threads, int level)
{
	memset(&w, 0, sizeof(w));
	hs_random_seed(&w.random, 11);
	assert_int_equal(hs_ring_init(&w.ring, RING_BYTES, 1), 0);
	w.codec = hs_segment_codec_reader();
	w.pack = hs_pack_new();
	assert_non_null(w.pack);
	assert_int_equal(hs_pack_start(w.pack, nr_threads), 0);
	hs_pack_level(w.pack, level);
}

static void end(void)
{
	hs_pack_free(w.pack);
	hs_segment_codec_free(w.codec);
	hs_ring_destroy(&w.ring);
}

static void fill(uint8_t *out, uint32_t bytes, uint64_t trace)
{
	for (uint32_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(trace % 2 ? trace : trace * i * i >> 3);
}

static bool put(uint32_t type, uint32_t bytes)
{
	static uint8_t data[HS_SEGMENT_RAW_MAX_BYTES];
	const void *const parts[2] = {data, data + bytes / 3};
	const struct hs_ring_entry like = {
		.type = type,
		.trace = {3, w.trace + 1},
		.part_bytes = {bytes / 3, bytes - bytes / 3}};

	fill(data, bytes, w.trace + 1);
	if (!hs_ring_put(&w.ring, &like, parts))
		return false;
	w.trace++;
	return true;
}

static bool put_any(void)
{
	static const uint32_t types[] = {HS_RING_SLICE, HS_RING_SLICE,
					 HS_RING_UNION, HS_RING_MARK};
	uint32_t what = (uint32_t)hs_random_below(&w.random, 40);
	uint32_t bytes = (uint32_t)hs_random_below(&w.random, 20000);

	if (what == 0)
		bytes = HS_PACK_LOT_BYTES + 1 + bytes;
	else if (what < 10)
		bytes = bytes % 100;
	return put(types[what % 4], bytes);
}

/* As who writes it would have it in a file, and reads it from there. */
static void check_packed(const struct hs_pack_record *r)
{
	const struct hs_ring_entry *e = r->entry;
	uint32_t bytes = e->part_bytes[0] + e->part_bytes[1];
	struct hs_segment_record record;

	assert_true(r->bytes <= sizeof(w.sealed));
	memcpy(w.sealed, r->data, r->bytes);
	hs_segment_seal(w.sealed, SALT, OFFSET);
	assert_int_equal(
		hs_segment_check(w.sealed, r->bytes, SALT, OFFSET, &record),
		r->bytes);
	assert_int_equal(record.trace_lo, e->trace.lo);
	assert_int_equal(record.type, e->type == HS_RING_SLICE
					      ? HS_SEGMENT_SLICE
					      : HS_SEGMENT_UNION);
	assert_int_equal(hs_segment_decode(w.codec, w.sealed, &record, w.raw),
			 bytes);
	assert_memory_equal(w.raw, hs_ring_payload(e), bytes);
}

static void check_lot(const struct hs_pack_lot *lot, bool packs)
{
	for (uint32_t i = 0; i < lot->nr_records; i++) {
		const struct hs_pack_record *r = &lot->records[i];
		const struct hs_ring_entry *e = r->entry;
		bool packed = packs && e->type != HS_RING_MARK &&
			      e->part_bytes[0] + e->part_bytes[1] <=
				      HS_PACK_LOT_BYTES;

		assert_int_equal(e->trace.lo, w.checked + 1);
		w.checked++;
		assert_int_equal(r->bytes != 0, packed);
		if (packed)
			check_packed(r);
	}
}

static void everything_comes(uint32_t nr_threads, int level)
{
	const struct hs_pack_lot *lot;

	begin(nr_threads, level);
	for (int round = 0; round < 4; round++) {
		while (put_any())
			;
		do {
			while (hs_pack_add(w.pack, &w.ring, &w.ahead,
					   w.ring.head))
				;
			lot = hs_pack_take(w.pack);
			if (lot)
				check_lot(lot, level != 0);
		} while (lot);
		assert_int_equal(w.checked, w.trace);
		assert_int_equal(w.ahead, w.ring.head);
		hs_ring_let_go(&w.ring, w.ring.head);
		/* An empty ring goes on where it likes. */
		assert_true(put_any());
		w.ahead = w.ring.tail;
	}
	end();
}

static void test_everything_comes(void **state)
{
	for (uint32_t threads = 0; threads <= 5; threads += threads + 1) {
		everything_comes(threads, 1);
		everything_comes(threads, 0);
	}
}

/* A lot that was taken is its taker's until the next one. */
static void test_so_many_wait(void **state)
{
	const struct hs_pack_lot *first;
	uint32_t nr = 0;

	begin(3, 1);
	while (put(HS_RING_SLICE, HS_PACK_LOT_BYTES - 10))
		;
	while (hs_pack_add(w.pack, &w.ring, &w.ahead, w.ring.head))
		nr++;
	assert_int_equal(nr, HS_PACK_LOTS);
	first = hs_pack_take(w.pack);
	assert_false(hs_pack_add(w.pack, &w.ring, &w.ahead, w.ring.head));
	check_lot(first, true);
	check_lot(hs_pack_take(w.pack), true);
	assert_true(hs_pack_add(w.pack, &w.ring, &w.ahead, w.ring.head));
	end();
}

/* Again from the start: what was packed before is not what comes. */
static void test_dropped(void **state)
{
	begin(3, 1);
	while (put_any())
		;
	for (int round = 0; round < 50; round++) {
		w.ahead = w.ring.tail;
		w.checked = 0;
		while (hs_pack_add(w.pack, &w.ring, &w.ahead, w.ring.head))
			;
		for (int i = 0; i < round % 7; i++)
			check_lot(hs_pack_take(w.pack), true);
		hs_pack_drop(w.pack);
		assert_null(hs_pack_take(w.pack));
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_comes),
		cmocka_unit_test(test_so_many_wait),
		cmocka_unit_test(test_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_crumbs.c - a table of crumbs: what is put in is found, what is torn or
 * not a table is told from it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "rdma/crumbs.h"

#define NODE (7ull << 32 | 3)

static const uint8_t key[16] = "a key of its own";
static struct hs_crumb_table table;
static struct hs_crumb_bucket
	buckets[(1u << HS_CRUMB_BITS_MIN) / HS_CRUMB_WAYS];

static int setup(void **state)
{
	(void)state;
	table = hs_crumbs_table_make(NODE, 1, key);
	memset(buckets, 0, sizeof(buckets));
	assert_int_equal(hs_crumbs_bytes(&table), sizeof(buckets));
	return 0;
}

static enum hs_crumbs_found look(uint64_t hi, uint64_t lo,
				 struct hs_crumb_entry *out)
{
	return hs_crumbs_look(&table,
			      &buckets[hs_crumbs_bucket(&table, hi, lo)], hi,
			      lo, out);
}

/* The first entry of an empty table's bucket. */
static struct hs_crumb_entry *first(void)
{
	return &buckets[hs_crumbs_bucket(&table, 1, 2)].ways[0];
}

static void what_is_put_in_is_found(void **state)
{
	struct hs_crumb_entry e;

	(void)state;
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_OTHER);
	assert_false(hs_crumbs_add(&table, buckets, 1, 2, 100));
	assert_false(hs_crumbs_add(&table, buckets, 1, 2, 200));
	assert_false(hs_crumbs_add(&table, buckets, 1, 2, 100));
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_HERE);
	assert_int_equal(e.hi, 1);
	assert_int_equal(e.lo, 2);
	assert_int_equal(e.nr, 2);
	assert_int_equal(e.nr_more, 0);
	assert_int_equal(e.nodes[0], 100);
	assert_int_equal(e.nodes[1], 200);
}

static void more_than_fit_are_counted(void **state)
{
	struct hs_crumb_entry e;

	(void)state;
	for (uint64_t n = 1; n <= HS_CRUMB_NODES_MAX + 3; n++)
		hs_crumbs_add(&table, buckets, 1, 2, n);
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_HERE);
	assert_int_equal(e.nr, HS_CRUMB_NODES_MAX);
	assert_int_equal(e.nr_more, 3);
	first()->nr_more = UINT16_MAX;
	hs_crumbs_add(&table, buckets, 1, 2, 1000);
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_HERE);
	assert_int_equal(e.nr_more, UINT16_MAX);
}

/* The @nr-th trace of the bucket that trace 1, 2 is in. */
static uint64_t lo_beside(uint32_t nr)
{
	uint32_t bucket = hs_crumbs_bucket(&table, 1, 2);
	uint64_t lo = 2;

	while (nr)
		nr -= hs_crumbs_bucket(&table, 1, ++lo) == bucket;
	return lo;
}

/* A bucket has room for some; then the oldest gives way, and nothing of it
 * stays, whichever way it was in and however often that has been. */
static void the_oldest_gives_way(void **state)
{
	struct hs_crumb_entry e;

	(void)state;
	hs_crumbs_add(&table, buckets, 1, 2, 101);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(hs_crumbs_add(&table, buckets, 1, lo_beside(i),
					       200 + i),
				 i >= HS_CRUMB_WAYS);
		/* One more node does not make it any younger. */
		hs_crumbs_add(&table, buckets, 1, lo_beside(i < 3 ? 0 : i - 3),
			      300);
		for (uint32_t k = 0; k <= i; k++) {
			uint64_t lo = lo_beside(k);

			if (k + HS_CRUMB_WAYS <= i) {
				assert_int_equal(look(1, lo, &e),
						 HS_CRUMBS_OTHER);
				continue;
			}
			assert_int_equal(look(1, lo, &e), HS_CRUMBS_HERE);
			assert_int_equal(e.lo, lo);
			assert_int_equal(e.nodes[k == 0], 200 + k);
		}
	}
}

/* All of them are used, and none behind them. */
static void every_bucket(void **state)
{
	const uint32_t nr = sizeof(buckets) / sizeof(buckets[0]);
	uint32_t seen = 0;

	(void)state;
	for (uint64_t lo = 0; lo < 1000; lo++) {
		uint32_t at = hs_crumbs_bucket(&table, 1, lo);

		assert_true(at < nr);
		seen |= 1u << at;
	}
	assert_int_equal(seen, (1u << nr) - 1);
}

/* Turns go round, and what is before their end is older than what is behind. */
static void turns_go_round(void **state)
{
	struct hs_crumb_entry e;

	(void)state;
	for (uint32_t i = 0; i < HS_CRUMB_WAYS; i++)
		hs_crumbs_add(&table, buckets, 1, lo_beside(i), 100);
	for (uint32_t i = 0; i < HS_CRUMB_WAYS; i++)
		first()[i].turn += UINT32_MAX - 2;
	hs_crumbs_add(&table, buckets, 1, lo_beside(HS_CRUMB_WAYS), 100);
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_OTHER);
	assert_int_equal(look(1, lo_beside(HS_CRUMB_WAYS), &e), HS_CRUMBS_HERE);
	hs_crumbs_add(&table, buckets, 1, lo_beside(HS_CRUMB_WAYS + 1), 100);
	assert_int_equal(look(1, lo_beside(1), &e), HS_CRUMBS_OTHER);
	assert_int_equal(look(1, lo_beside(HS_CRUMB_WAYS), &e), HS_CRUMBS_HERE);
}

/* Any mixture of an entry before and after a change is one or the other, or is
 * told: cut at every byte, both ways. */
static void torn_is_told(void **state)
{
	struct hs_crumb_entry before, after, mixed, e;
	struct hs_crumb_bucket mixture = {0};
	uint32_t nr_torn = 0;

	(void)state;
	hs_crumbs_add(&table, buckets, 1, 2, 100);
	before = *first();
	hs_crumbs_add(&table, buckets, 1, 2, 0x0102030405060708ull);
	after = *first();
	for (size_t at = 1; at < sizeof(mixed); at++)
		for (int first = 0; first < 2; first++) {
			enum hs_crumbs_found found;

			memcpy(&mixed, first ? &before : &after, sizeof(mixed));
			memcpy((uint8_t *)&mixed + at,
			       (uint8_t *)(first ? &after : &before) + at,
			       sizeof(mixed) - at);
			mixture.ways[1] = mixed;
			found = hs_crumbs_look(&table, &mixture, 1, 2, &e);
			nr_torn += found == HS_CRUMBS_TORN;
			if (found == HS_CRUMBS_HERE)
				assert_true(
					!memcmp(&e.hi, &before.hi, 24 + 8) ||
					!memcmp(&e.hi, &after.hi, 24 + 16));
		}
	assert_true(nr_torn > 40);
}

/* Another table's entry, or one of an earlier life, has another key. */
static void another_key_is_garbage(void **state)
{
	struct hs_crumb_table other = hs_crumbs_table_make(
		NODE, 1, (const uint8_t *)"another key now!");
	struct hs_crumb_entry e;

	(void)state;
	hs_crumbs_add(&table, buckets, 1, 2, 100);
	assert_int_equal(hs_crumbs_look(&other, first(), 1, 2, &e),
			 HS_CRUMBS_TORN);
}

static void what_is_no_entry_is_told(void **state)
{
	struct hs_crumb_entry *e = first();
	struct hs_crumb_entry got, good;

	(void)state;
	hs_crumbs_add(&table, buckets, 1, 2, 100);
	good = *e;
	for (size_t bit = 0; bit < 8 * 40; bit++) {
		*e = good;
		((uint8_t *)e)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		/* nr_more and the turn are told by the check, too. */
		assert_int_equal(look(1, 2, &got), bit >= 64 && bit < 192
							   ? HS_CRUMBS_OTHER
							   : HS_CRUMBS_TORN);
	}
	*e = good;
	e->nr = HS_CRUMB_NODES_MAX + 1;
	assert_int_equal(look(1, 2, &got), HS_CRUMBS_TORN);
	e->nr = UINT16_MAX;
	assert_int_equal(look(1, 2, &got), HS_CRUMBS_TORN);
}

static const char *told(const struct hs_crumb_table *t, size_t bytes)
{
	struct hs_crumb_table out;

	return hs_crumbs_told(t, bytes, NODE, sizeof(buckets), &out);
}

static void tables_are_judged(void **state)
{
	struct hs_crumb_table t = table, out;

	(void)state;
	assert_null(hs_crumbs_told(&t, sizeof(t), NODE, sizeof(buckets), &out));
	assert_memory_equal(&out, &t, sizeof(t));
	assert_non_null(told(&t, sizeof(t) - 1));
	assert_non_null(
		hs_crumbs_told(&t, sizeof(t), NODE + 1, sizeof(buckets), &out));
	assert_non_null(hs_crumbs_told(&t, sizeof(t), NODE,
				       sizeof(buckets) - 128, &out));
	assert_false(hs_crumbs_version_other(&t, sizeof(t)));
	t.version++;
	assert_non_null(told(&t, sizeof(t)));
	assert_true(hs_crumbs_version_other(&t, sizeof(t)));
	assert_true(hs_crumbs_version_other(&t, 6));
	assert_false(hs_crumbs_version_other(&t, 5));
	t = table;
	t.entry_bits = HS_CRUMB_BITS_MAX + 1;
	assert_non_null(told(&t, sizeof(t)));
	t.entry_bits = 5;
	assert_non_null(hs_crumbs_told(&t, sizeof(t), NODE, 32 * 128, &out));
	t = table;
	t.magic = 0;
	assert_non_null(told(&t, sizeof(t)));
	t.version++;
	assert_false(hs_crumbs_version_other(&t, sizeof(t)));
}

static void sizes_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(hs_crumbs_table_make(1, 0, key).entry_bits,
			 HS_CRUMB_BITS_MIN);
	assert_int_equal(hs_crumbs_table_make(1, 65, key).entry_bits, 7);
	assert_int_equal(hs_crumbs_table_make(1, UINT64_MAX, key).entry_bits,
			 HS_CRUMB_BITS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_put_in_is_found, setup),
		cmocka_unit_test_setup(more_than_fit_are_counted, setup),
		cmocka_unit_test_setup(the_oldest_gives_way, setup),
		cmocka_unit_test_setup(every_bucket, setup),
		cmocka_unit_test_setup(turns_go_round, setup),
		cmocka_unit_test_setup(torn_is_told, setup),
		cmocka_unit_test_setup(another_key_is_garbage, setup),
		cmocka_unit_test_setup(what_is_no_entry_is_told, setup),
		cmocka_unit_test_setup(tables_are_judged, setup),
		cmocka_unit_test_setup(sizes_are_bounded, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
static struct hs_crumb_entry entries[1u << HS_CRUMB_BITS_MIN];

static int setup(void **state)
{
	(void)state;
	table = hs_crumbs_table_make(NODE, 1, key);
	memset(entries, 0, sizeof(entries));
	assert_int_equal(hs_crumbs_bytes(&table), sizeof(entries));
	return 0;
}

static enum hs_crumbs_found look(uint64_t hi, uint64_t lo,
				 struct hs_crumb_entry *out)
{
	return hs_crumbs_look(&table, &entries[hs_crumbs_slot(&table, hi, lo)],
			      out);
}

static void what_is_put_in_is_found(void **state)
{
	struct hs_crumb_entry e;

	(void)state;
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_EMPTY);
	assert_false(hs_crumbs_add(&table, entries, 1, 2, 100));
	assert_false(hs_crumbs_add(&table, entries, 1, 2, 200));
	assert_false(hs_crumbs_add(&table, entries, 1, 2, 100));
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
		hs_crumbs_add(&table, entries, 1, 2, n);
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_HERE);
	assert_int_equal(e.nr, HS_CRUMB_NODES_MAX);
	assert_int_equal(e.nr_more, 3);
}

/* One that falls on another takes its place, and nothing of it stays. */
static void the_later_trace_stays(void **state)
{
	uint32_t slot = hs_crumbs_slot(&table, 1, 2);
	struct hs_crumb_entry e;
	uint64_t lo = 3;

	(void)state;
	while (hs_crumbs_slot(&table, 1, lo) != slot)
		lo++;
	hs_crumbs_add(&table, entries, 1, 2, 100);
	hs_crumbs_add(&table, entries, 1, 2, 101);
	assert_true(hs_crumbs_add(&table, entries, 1, lo, 200));
	assert_int_equal(look(1, 2, &e), HS_CRUMBS_HERE);
	assert_int_equal(e.lo, lo);
	assert_int_equal(e.nr, 1);
	assert_int_equal(e.nodes[0], 200);
}

/* Any mixture of an entry before and after a change is one or the other, or is
 * told: cut at every byte, both ways. */
static void torn_is_told(void **state)
{
	struct hs_crumb_entry before, after, mixed, e;
	uint32_t slot = hs_crumbs_slot(&table, 1, 2);
	uint32_t nr_torn = 0;

	(void)state;
	hs_crumbs_add(&table, entries, 1, 2, 100);
	before = entries[slot];
	hs_crumbs_add(&table, entries, 1, 2, 0x0102030405060708ull);
	after = entries[slot];
	for (size_t at = 1; at < sizeof(mixed); at++)
		for (int first = 0; first < 2; first++) {
			enum hs_crumbs_found found;

			memcpy(&mixed, first ? &before : &after, sizeof(mixed));
			memcpy((uint8_t *)&mixed + at,
			       (uint8_t *)(first ? &after : &before) + at,
			       sizeof(mixed) - at);
			found = hs_crumbs_look(&table, &mixed, &e);
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
	hs_crumbs_add(&table, entries, 1, 2, 100);
	assert_int_equal(hs_crumbs_look(&other,
					&entries[hs_crumbs_slot(&table, 1, 2)],
					&e),
			 HS_CRUMBS_TORN);
}

static void what_is_no_entry_is_told(void **state)
{
	struct hs_crumb_entry *e = &entries[hs_crumbs_slot(&table, 1, 2)];
	struct hs_crumb_entry got, good;

	(void)state;
	hs_crumbs_add(&table, entries, 1, 2, 100);
	good = *e;
	for (size_t bit = 0; bit < 8 * 40; bit++) {
		*e = good;
		((uint8_t *)e)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		/* nr_more, and nodes beyond nr, are told by the check, too. */
		assert_int_equal(look(1, 2, &got), HS_CRUMBS_TORN);
	}
	*e = good;
	e->nr = HS_CRUMB_NODES_MAX + 1;
	assert_int_equal(look(1, 2, &got), HS_CRUMBS_TORN);
	e->nr = UINT32_MAX;
	assert_int_equal(look(1, 2, &got), HS_CRUMBS_TORN);
}

static const char *told(const struct hs_crumb_table *t, size_t bytes)
{
	struct hs_crumb_table out;

	return hs_crumbs_told(t, bytes, NODE, sizeof(entries), &out);
}

static void tables_are_judged(void **state)
{
	struct hs_crumb_table t = table, out;

	(void)state;
	assert_null(hs_crumbs_told(&t, sizeof(t), NODE, sizeof(entries), &out));
	assert_memory_equal(&out, &t, sizeof(t));
	assert_non_null(told(&t, sizeof(t) - 1));
	assert_non_null(
		hs_crumbs_told(&t, sizeof(t), NODE + 1, sizeof(entries), &out));
	assert_non_null(hs_crumbs_told(&t, sizeof(t), NODE,
				       sizeof(entries) - 128, &out));
	t.version++;
	assert_non_null(told(&t, sizeof(t)));
	t = table;
	t.slot_bits = HS_CRUMB_BITS_MAX + 1;
	assert_non_null(told(&t, sizeof(t)));
	t.slot_bits = 5;
	assert_non_null(hs_crumbs_told(&t, sizeof(t), NODE, 32 * 128, &out));
	t = table;
	t.magic = 0;
	assert_non_null(told(&t, sizeof(t)));
}

static void sizes_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(hs_crumbs_table_make(1, 0, key).slot_bits,
			 HS_CRUMB_BITS_MIN);
	assert_int_equal(hs_crumbs_table_make(1, 65, key).slot_bits, 7);
	assert_int_equal(hs_crumbs_table_make(1, UINT64_MAX, key).slot_bits,
			 HS_CRUMB_BITS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_put_in_is_found, setup),
		cmocka_unit_test_setup(more_than_fit_are_counted, setup),
		cmocka_unit_test_setup(the_later_trace_stays, setup),
		cmocka_unit_test_setup(torn_is_told, setup),
		cmocka_unit_test_setup(another_key_is_garbage, setup),
		cmocka_unit_test_setup(what_is_no_entry_is_told, setup),
		cmocka_unit_test_setup(tables_are_judged, setup),
		cmocka_unit_test_setup(sizes_are_bounded, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

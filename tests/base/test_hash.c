/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: known answers and spread of the hashes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"

static void test_siphash_paper_vector(void **state)
{
	/* Appendix A of the paper: key 00..0f, input 00..0e */
	uint8_t key[16];
	uint8_t data[64];

	for (int i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	for (int i = 0; i < 64; i++)
		data[i] = (uint8_t)i;
	assert_true(hs_hash_siphash(key, data, 15) == 0xa129ca6149be45e5ULL);
	/* the reference implementation's vectors for 0, 1 and 8 bytes */
	assert_true(hs_hash_siphash(key, data, 0) == 0x726fdb47dd0e0e31ULL);
	assert_true(hs_hash_siphash(key, data, 1) == 0x74f839c593dc67fdULL);
	assert_true(hs_hash_siphash(key, data, 8) == 0x93f5f5799a932462ULL);
	key[0] = 1;
	assert_true(hs_hash_siphash(key, data, 15) != 0xa129ca6149be45e5ULL);
}

static void test_trace_depends_on_all(void **state)
{
	uint64_t h = hs_hash_trace(1, 2, 3, 4);

	assert_true(h == hs_hash_trace(1, 2, 3, 4));
	assert_true(h != hs_hash_trace(2, 2, 3, 4));
	assert_true(h != hs_hash_trace(1, 3, 3, 4));
	assert_true(h != hs_hash_trace(1, 2, 4, 4));
	assert_true(h != hs_hash_trace(1, 2, 3, 5));
}

/* Consecutive ids must fill 256 buckets evenly, by low and by high bits. */
static void test_trace_spread(void **state)
{
	uint32_t low[256] = {0};
	uint32_t high[256] = {0};

	for (uint64_t i = 0; i < 256 * 1024; i++) {
		uint64_t h = hs_hash_trace(0x1234567, 0, i, 0);

		low[h & 255]++;
		high[h >> 56]++;
	}
	for (int i = 0; i < 256; i++) {
		/* mean 1024, deviation 32: six of them */
		assert_in_range(low[i], 1024 - 192, 1024 + 192);
		assert_in_range(high[i], 1024 - 192, 1024 + 192);
	}
}

static void test_rendezvous(void **state)
{
	uint64_t nodes[5] = {1, 2, 3, 4, 5};
	uint64_t fewer[4] = {1, 2, 4, 5};
	uint32_t nr_owned[5] = {0};

	/* Part of what nodes agree on: must never change */
	assert_true(hs_hash_rendezvous(1, 2) == 0x70e120d927458bc3ULL);
	assert_true(hs_hash_rendezvous(UINT64_MAX, 0) == 0xeb40ad97320d6eaeULL);
	for (uint64_t key = 0; key < 10000; key++) {
		size_t owner = hs_hash_rendezvous_pick(key, nodes, 5);
		size_t after = hs_hash_rendezvous_pick(key, fewer, 4);

		nr_owned[owner]++;
		/* the loss of node 3 moves only what node 3 owned */
		if (nodes[owner] != 3)
			assert_true(fewer[after] == nodes[owner]);
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(nr_owned[i], 1760, 2240);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_paper_vector),
		cmocka_unit_test(test_trace_depends_on_all),
		cmocka_unit_test(test_trace_spread),
		cmocka_unit_test(test_rendezvous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

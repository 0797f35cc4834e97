/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: CRC-32C known answers; instruction and table agree.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/crc32c.h"
#include "base/random.h"

#include <string.h>

typedef uint32_t (*crc_fn)(uint32_t, const void *, size_t);

static void check_known(crc_fn crc)
{
	uint8_t buf[32];

	assert_int_equal(crc(0, "", 0), 0);
	assert_int_equal(crc(0, "123456789", 9), 0xe3069283);
	/* RFC 3720 B.4 */
	memset(buf, 0, sizeof(buf));
	assert_int_equal(crc(0, buf, 32), 0x8a9136aa);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(crc(0, buf, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8_t)i;
	assert_int_equal(crc(0, buf, 32), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8_t)(31 - i);
	assert_int_equal(crc(0, buf, 32), 0x113fdb5c);
}

static void test_known_answers(void **state)
{
	check_known(hs_crc32c);
	check_known(hs_crc32c_by_table);
}

static void test_hw_known_answers(void **state)
{
	if (!hs_crc32c_hw_present())
		skip();
	check_known(hs_crc32c_by_hw);
}

static void test_wide_known_answers(void **state)
{
	if (!hs_crc32c_wide_present())
		skip();
	check_known(hs_crc32c_by_wide);
}

static void test_pieces_and_ways_agree(void **state)
{
	static uint8_t buf[9001]; /* several of the blocks that are joined */
	struct hs_random r;

	hs_random_seed(&r, 7);
	hs_random_fill(&r, buf, sizeof(buf));
	for (size_t cut = 0; cut <= sizeof(buf); cut += 1 + cut / 97) {
		uint32_t crc = hs_crc32c(0, buf, cut);

		assert_int_equal(crc, hs_crc32c_by_table(0, buf, cut));
		crc = hs_crc32c(crc, buf + cut, sizeof(buf) - cut);
		assert_int_equal(crc, hs_crc32c_by_table(0, buf, sizeof(buf)));
		crc = hs_crc32c_by_table(3, buf + cut, sizeof(buf) - cut);
		if (hs_crc32c_hw_present())
			assert_int_equal(crc,
					 hs_crc32c_by_hw(3, buf + cut,
							 sizeof(buf) - cut));
		if (hs_crc32c_wide_present())
			assert_int_equal(crc,
					 hs_crc32c_by_wide(3, buf + cut,
							   sizeof(buf) - cut));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_hw_known_answers),
		cmocka_unit_test(test_wide_known_answers),
		cmocka_unit_test(test_pieces_and_ways_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: hexadecimal ids: round trips and what is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/hex.h"

#include <errno.h>
#include <string.h>

static void test_round_trip(void **state)
{
	const uint8_t bytes[4] = {0x00, 0x0f, 0xa5, 0xff};
	uint8_t back[4];
	char text[9];

	hs_hex_encode(text, bytes, 4);
	assert_string_equal(text, "000fa5ff");
	assert_int_equal(hs_hex_decode(back, 4, text, 8), 0);
	assert_memory_equal(back, bytes, 4);
	assert_int_equal(hs_hex_decode(back, 4, "000FA5FF", 8), 0);
	assert_int_equal(hs_hex_decode_lower(back, 4, text, 8), 0);
	assert_int_equal(hs_hex_decode_lower(back, 4, "000FA5FF", 8), -EINVAL);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"000fa5f",  "000fa5ff0", "000fa5fg", "0x0fa5ff",
		" 00fa5ff", "000fa5f ",	 "-00fa5ff", "",
	};
	uint8_t back[4];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hs_hex_decode(back, 4, bad[i], strlen(bad[i])),
				 -EINVAL);
}

static void test_numbers(void **state)
{
	char text[33];
	uint64_t hi;
	uint64_t lo = 5;

	hs_hex_u64_encode(text, 0x1a2bULL);
	assert_string_equal(text, "0000000000001a2b");
	hs_hex_u128_encode(text, 1, UINT64_MAX);
	assert_string_equal(text, "0000000000000001ffffffffffffffff");
	assert_int_equal(hs_hex_u64_parse("1A2b", 4, &lo), 0);
	assert_true(lo == 0x1a2b);
	assert_int_equal(hs_hex_u64_parse("12345678123456781", 17, &lo),
			 -EINVAL);
	assert_int_equal(hs_hex_u64_parse("", 0, &lo), -EINVAL);
	assert_int_equal(hs_hex_u64_parse("+1", 2, &lo), -EINVAL);
	assert_true(lo == 0x1a2b);
	assert_int_equal(hs_hex_u128_parse("1ffffffffffffffff", 17, &hi, &lo),
			 0);
	assert_true(hi == 1 && lo == UINT64_MAX);
	assert_int_equal(hs_hex_u128_parse("abc", 3, &hi, &lo), 0);
	assert_true(hi == 0 && lo == 0xabc);
	assert_int_equal(hs_hex_u128_parse("000000000000000000000000000000001",
					   33, &hi, &lo),
			 -EINVAL);
	assert_int_equal(hs_hex_u128_parse("", 0, &hi, &lo), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

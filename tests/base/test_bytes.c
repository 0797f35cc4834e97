/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the cursors stay within bounds and failure sticks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/bytes.h"

static void test_round_trip(void **state)
{
	uint8_t buf[32];
	struct hs_bytes_writer w = hs_bytes_writer_make(buf, sizeof(buf));
	struct hs_bytes_reader r;

	hs_bytes_put_u8(&w, 0xab);
	hs_bytes_put_u16(&w, 0x1234);
	hs_bytes_put_u32(&w, 0xdeadbeef);
	hs_bytes_put_u64(&w, 0x0123456789abcdefULL);
	hs_bytes_put_blob(&w, "abc", 3);
	assert_false(w.failed);
	assert_int_equal(w.used, 18);
	assert_int_equal(w.left, 14);
	assert_int_equal(buf[1], 0x34); /* little-endian on the wire */
	assert_int_equal(buf[2], 0x12);

	r = hs_bytes_reader_make(buf, w.used);
	assert_int_equal(hs_bytes_get_u8(&r), 0xab);
	assert_int_equal(hs_bytes_get_u16(&r), 0x1234);
	assert_int_equal(hs_bytes_get_u32(&r), 0xdeadbeef);
	assert_true(hs_bytes_get_u64(&r) == 0x0123456789abcdefULL);
	assert_false(hs_bytes_reader_done(&r));
	assert_memory_equal(hs_bytes_get_blob(&r, 3), "abc", 3);
	assert_true(hs_bytes_reader_done(&r));
}

static void test_failure_sticks(void **state)
{
	uint8_t buf[3] = {1, 2, 3};
	uint8_t copy[4] = {9, 9, 9, 9};
	struct hs_bytes_reader r = hs_bytes_reader_make(buf, sizeof(buf));
	struct hs_bytes_writer w = hs_bytes_writer_make(buf, sizeof(buf));

	assert_int_equal(hs_bytes_get_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(r.left, 3);
	assert_int_equal(hs_bytes_get_u8(&r), 0); /* would fit, still fails */
	assert_null(hs_bytes_get_blob(&r, 0));
	assert_false(hs_bytes_reader_done(&r));
	hs_bytes_get_copy(&r, copy, 4);
	assert_int_equal(copy[0] | copy[3], 0);

	hs_bytes_put_u32(&w, 7);
	assert_true(w.failed);
	hs_bytes_put_u8(&w, 7);
	assert_int_equal(w.used, 0);
	assert_int_equal(buf[0], 1);
}

static void test_huge_length(void **state)
{
	uint8_t buf[8] = {0};
	struct hs_bytes_reader r = hs_bytes_reader_make(buf, sizeof(buf));

	hs_bytes_get_u8(&r);
	assert_null(hs_bytes_get_blob(&r, SIZE_MAX));
	assert_true(r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_failure_sticks),
		cmocka_unit_test(test_huge_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

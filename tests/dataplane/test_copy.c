/* SPDX-License-Identifier: Apache-2.0 */
/* Long copies: every byte, and no other, wherever they begin and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/copy.h"

#define ROOM_BYTES 32768u
#define GUARD	   0xa5

/* Memory that ends where a page begins that nobody may touch. */
static uint8_t *fenced(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, ROOM_BYTES + page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + ROOM_BYTES, page, PROT_NONE), 0);
	return p;
}

static void one(uint8_t *room, uint8_t *to, const uint8_t *from, size_t n,
		size_t whole, const uint8_t *begin)
{
	const uint8_t *end = room + ROOM_BYTES;

	memset(room, GUARD, ROOM_BYTES);
	hs_copy_long(to, from, n, whole, begin, end);
	assert_memory_equal(to, from, n);
	for (const uint8_t *p = room; p < to; p++)
		assert_int_equal(*p, GUARD);
	for (const uint8_t *p = to + n; p < end; p++)
		assert_int_equal(*p, GUARD);
}

static void test_all(void **state)
{
	static const size_t sizes[] = {HS_COPY_LONG_BYTES,
				       HS_COPY_LONG_BYTES + 1,
				       320,
				       511,
				       512,
				       575,
				       576,
				       577,
				       2048,
				       4095,
				       4096,
				       4097,
				       16384};
	uint8_t *room = fenced(), *source = fenced();

	for (size_t i = 0; i < ROOM_BYTES; i++)
		source[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
		for (size_t k = 0; k < 64; k += 3) {
			size_t n = sizes[s];
			const uint8_t *from = source + ROOM_BYTES - n - k % 5;

			one(room, room + k, from, n, n, room);
			one(room, room + 9000 + k, from, n, n, room);
			one(room, room + 9000 + k, from, n, n, NULL);
			/* A part of something long. */
			one(room, room + k, from, n, 65536, room);
			/* To the last byte of the buffer. */
			one(room, room + ROOM_BYTES - n - k, from, n, n, room);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

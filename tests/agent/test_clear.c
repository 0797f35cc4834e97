/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another core goes ahead of who touches memory: it changes nothing there, and
 * goes no further than it was told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <sys/mman.h>

#include "agent/clear.h"

#define PAGE	    4096u
#define BYTES	    ((size_t)32 << 20)
#define ASKED_BYTES ((size_t)16 << 20)

static uint8_t *map(void)
{
	uint8_t *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	/* Whole pages as they are asked for, and no more. */
	madvise(p, BYTES, MADV_NOHUGEPAGE);
	return p;
}

static bool is_there(void *page)
{
	unsigned char in = 0;

	assert_int_equal(mincore(page, PAGE, &in), 0);
	return in & 1;
}

static void it_goes_ahead(void **state)
{
	uint8_t *p = map();
	struct hs_clear c;

	(void)state;
	p[0] = 1;
	p[4 << 20] = 2;
	hs_clear_begin(&c, p, ASKED_BYTES);
	if (!c.running) {
		munmap(p, BYTES);
		skip();
	}
	while (!is_there(p + (12 << 20)))
		sched_yield();
	hs_clear_end(&c);
	assert_false(c.running);
	assert_in_range(c.cleared_bytes, 1, c.bytes);
	for (size_t at = 0; at < c.cleared_bytes; at += PAGE)
		assert_true(is_there(c.memory + at));
	for (size_t at = ASKED_BYTES; at < BYTES; at += PAGE)
		assert_false(is_there(p + at));
	assert_int_equal(p[0], 1);
	assert_int_equal(p[4 << 20], 2);
	assert_int_equal(p[12 << 20], 0);
	munmap(p, BYTES);
}

/* What is cleared in a millisecond is nobody else's affair. */
static void a_little_is_left_alone(void **state)
{
	uint8_t *p = map();
	struct hs_clear c;

	(void)state;
	hs_clear_begin(&c, p, (size_t)1 << 20);
	assert_false(c.running);
	assert_int_equal(hs_clear_end(&c), 0);
	assert_false(is_there(p));
	munmap(p, BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_ahead),
		cmocka_unit_test(a_little_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

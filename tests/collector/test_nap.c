/* SPDX-License-Identifier: Apache-2.0 */
/* How long the collector looks away: at steady rates, and at who is alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "collector/nap.h"
#include "hs/ring_format.h"

#define LOOK_NS	 (20 * HS_NS_PER_US)
#define WAKE_NS	 (50 * HS_NS_PER_US)
#define MANIFEST 850u
#define MANY_NS	 HS_NS_PER_SEC
#define LATE_LEAD                                                              \
	2u /* naps are that much too long where others want the core */

/* Bytes at @per_s of each message of @bytes. Return: looks in a second. */
static uint64_t looks(double per_s, uint64_t bytes, uint64_t *most)
{
	uint64_t now_ns = 0, since_ns = 2 * HS_COLLECTOR_NAP_MAX_NS, nr = 0;
	double due = 0;

	for (*most = 0; now_ns < MANY_NS; nr++) {
		uint64_t came = (uint64_t)due, nap_ns;

		due -= (double)came;
		*most = came * bytes > *most ? came * bytes : *most;
		nap_ns = hs_collector_nap(since_ns, came * bytes);
		since_ns = LOOK_NS + LATE_LEAD * nap_ns;
		/* Without one it wakes up when the next has come. */
		if (!nap_ns && due + per_s * (double)since_ns / 1e9 < 1)
			since_ns =
				(uint64_t)((1 - due) / per_s * 1e9) + WAKE_NS;
		due += per_s * (double)since_ns / 1e9;
		now_ns += since_ns;
	}
	return nr;
}

static void test_a_ring_has_room(void **state)
{
	for (double per_s = 1; per_s <= 1e6; per_s *= 1.5) {
		uint64_t most;

		looks(per_s, MANIFEST, &most);
		/* In a look of 20 us without a nap a million make 17 kB. */
		assert_true(most < HS_RING_BYTES / 2);
	}
}

static void test_many_are_looked_at_together(void **state)
{
	uint64_t most;

	assert_in_range(looks(10000, MANIFEST, &most), 500, 2500);
	assert_in_range(looks(3000, MANIFEST, &most), 500, 2500);
}

static void test_who_is_alone_finds_it_awake(void **state)
{
	assert_int_equal(hs_collector_nap(2 * HS_COLLECTOR_NAP_MAX_NS + 1, 100),
			 0);
	assert_int_equal(hs_collector_nap(100 * HS_NS_PER_US, 0), 0);
	assert_int_equal(hs_collector_nap(100 * HS_NS_PER_US, 1u << 20), 0);
	assert_int_equal(hs_collector_nap(100 * HS_NS_PER_US, 100),
			 HS_COLLECTOR_NAP_MAX_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ring_has_room),
		cmocka_unit_test(test_many_are_looked_at_together),
		cmocka_unit_test(test_who_is_alone_finds_it_awake),
	};

	return cmocka_run_group_tests_name("collector nap", tests, NULL, NULL);
}

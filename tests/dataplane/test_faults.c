/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write path enters the kernel for nothing, not for a page either. Left out
 * where a sanitizer is: it has pages of its own for each of ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "harness.h"

static const struct hs_trace_id ID = {0x1122334455667788, 0x99aabbccddeeff00};
static struct fake_agent agent;
static uint8_t data[32];

static int setup(void **state)
{
	harness_attach(&agent, NULL, NULL);
	fake_agent_stock_all(&agent, 1, 32);
	fake_agent_calibrate(&agent, 3, 0, 1000000000000000000ull);
	hs_client_poll();
	return 0;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

/* The write path, long enough for every page of the pool in use. */
static void test_no_faults(void **state)
{
	struct rusage before, after;
	struct hs_client_stats counts;

	/* Once for the thread's lane and the library's own pages. */
	hs_trace_end(hs_trace_begin(&ID, NULL));
	getrusage(RUSAGE_THREAD, &before);
	for (int i = 0; i < 30; i++) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);
		struct hs_span s;

		hs_span_start(t, &s, "n", 0);
		for (int k = 0; k < 50; k++)
			hs_tracepoint(t, data, 32);
		hs_span_end(&s);
		hs_trace_end(t);
	}
	getrusage(RUSAGE_THREAD, &after);
	hs_client_stats_get(&counts);
	assert_int_equal(counts.buffers_null, 0);
	/* The first touch of the library's own code and data, at most. */
	assert_in_range(after.ru_minflt - before.ru_minflt, 0, 8);
	assert_int_equal(after.ru_majflt, before.ru_majflt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_faults, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

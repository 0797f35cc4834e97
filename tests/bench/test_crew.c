/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: threads that are timed as one: each does its own share of a round,
 * none is left behind, asleep or awake, and who is not asked for rests. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <unistd.h>

#include "bench/crew.h"

#define THREADS	 3u
#define ROUNDS	 300u
#define SLEEP_US 2000u /* longer than who has nothing to do stays awake */

static void count(void *context, uint32_t n)
{
	*(uint64_t *)context += n;
}

/* Plain counters: that the caller may read them is the crew's to say. */
static void test_rounds(void **state)
{
	static uint64_t done[THREADS];
	void *contexts[] = {&done[0], &done[1], &done[2]};
	struct hs_bench_crew_work all = {
		.crew = hs_bench_crew_start(THREADS),
		.run = count,
		.contexts = contexts,
		.threads = THREADS,
	};
	struct hs_bench_crew_work one = all, two = all;
	uint64_t expect[THREADS] = {0};

	assert_non_null(all.crew);
	one.threads = 1;
	two.threads = 2;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct hs_bench_crew_work *works[] = {&all, &one, &two};
		struct hs_bench_crew_work *w = works[i % 3];

		if (i % 20 == 0)
			usleep(SLEEP_US);
		if (i % 7 == 0)
			hs_bench_crew_wake(w);
		if (i % 70 == 0)
			usleep(SLEEP_US);
		hs_bench_crew_run(w, i);
		for (uint32_t k = 0; k < THREADS; k++) {
			expect[k] += k < w->threads ? i : 0;
			assert_int_equal(done[k], expect[k]);
		}
	}
	hs_bench_crew_end(all.crew);
}

static void test_alone(void **state)
{
	uint64_t done = 0;
	void *contexts[] = {&done};
	struct hs_bench_crew_work work = {
		.crew = hs_bench_crew_start(1),
		.run = count,
		.contexts = contexts,
		.threads = 1,
	};

	assert_non_null(work.crew);
	hs_bench_crew_wake(&work);
	hs_bench_crew_run(&work, 5);
	assert_int_equal(done, 5);
	hs_bench_crew_end(work.crew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

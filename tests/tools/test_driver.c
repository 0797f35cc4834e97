/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When hs-replay's traces arrive, and what it says of how fast that was.
 * Whether a machine keeps up is no matter of a test: a replay of one is held to
 * what came, and these to when it would have been asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tools/replay/driver.h"

#define TRACES 4u

/* Of 0, 1, 30 and 600 seconds, not in that order. */
struct world {
	struct hs_model_set set;
	struct hs_replay_trace traces[TRACES];
	uint32_t arrivals[TRACES];
	struct hs_replay_plan plan;
	struct hs_replay_driver driver;
};

static void begin(struct world *w, double speed)
{
	*w = (struct world){
		.set = {.nr_traces = TRACES},
		.traces = {{.arrival_ns = 600 * HS_NS_PER_SEC},
			   {.arrival_ns = 0},
			   {.arrival_ns = 30 * HS_NS_PER_SEC},
			   {.arrival_ns = HS_NS_PER_SEC}},
		.arrivals = {1, 3, 2, 0},
		.driver = {.speed = speed, .nr_nodes = 3},
	};
	w->plan.set = &w->set;
	w->plan.traces = w->traces;
	w->plan.arrivals = w->arrivals;
	w->driver.plan = &w->plan;
}

static void test_due(void **state)
{
	static const struct {
		double speed;
		uint64_t ns[TRACES]; /* in the order of arrival */
	} cases[] = {
		{1, {0, 1000000000, 30000000000, 600000000000}},
		{50, {0, 20000000, 600000000, 12000000000}},
		{0.5, {0, 2000000000, 60000000000, 1200000000000}},
	};
	struct world w;

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(&w, cases[i].speed);
		for (uint32_t k = 0; k < TRACES; k++)
			assert_int_equal(hs_replay_driver_due_ns(&w.driver,
								 w.arrivals[k]),
					 cases[i].ns[k]);
	}
}

static void begun(struct world *w, uint32_t node, uint64_t roots,
		  uint64_t first_ns, uint64_t last_ns)
{
	w->driver.states[node].nr_roots = roots;
	w->driver.states[node].first_begin_ns = first_ns;
	w->driver.states[node].last_begin_ns = last_ns;
}

/* From the first root to the last, whichever nodes they were on. */
static void test_speed(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 50);
	assert_true(hs_replay_driver_speed(&w.driver) == 0);
	begun(&w, 0, 1, 5 * HS_NS_PER_SEC, 5 * HS_NS_PER_SEC);
	begun(&w, 2, 3, 3 * HS_NS_PER_SEC, 4 * HS_NS_PER_SEC);
	assert_true(hs_replay_driver_speed(&w.driver) == 300);
	begun(&w, 0, 1, 15 * HS_NS_PER_SEC, 15 * HS_NS_PER_SEC);
	assert_true(hs_replay_driver_speed(&w.driver) == 50);
	/* All at once in the source: there is no speed. */
	w.traces[0].arrival_ns = 0;
	assert_true(hs_replay_driver_speed(&w.driver) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

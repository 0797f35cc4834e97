/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_honest.c - law 4 at one node: what a kill, an eviction or an
 * oblivion took away is never told as closed without loss
 */
#include "tests/agent/core_world.h"

static void clean_exit_is_no_crash(void **state)
{
	struct world *w = make();
	struct hs_shm_slot slot = {.use = 1, .handle = 1, .trace_lo = 1};
	struct hs_agent_stats stats;

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	hs_agent_core_process_dead(w->core, 0, 1, w->now_ns);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.crashes, 0);
	hs_agent_core_dead_slot(w->core, 0, 2, &slot, NULL, w->now_ns);
	hs_agent_core_process_dead(w->core, 0, 2, w->now_ns);
	hs_agent_core_process_dead(w->core, 0, 3, w->now_ns);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.crashes, 1);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_exit_is_no_crash),
	};

	return cmocka_run_group_tests_name("core_honest", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core.c - the agent's logic under a virtual clock, checked after each
 * step
 */
#include "tests/agent/core_world.h"

static void trigger_after_data(void **state)
{
	struct world *w = make();
	const struct hs_wire_crumb *crumbs;
	const struct hs_wire_answer *a;
	const struct sent *s;
	struct hs_agent_domain_stats stats;

	(void)state;
	crumb(w, 10, 0x900000001ull);
	crumb(w, 10, 0x900000001ull);
	write_buffer(w, 10, HS_SHM_ENTRY_BUFFER, 1024);
	write_buffer(w, 10, HS_SHM_ENTRY_END, 200);
	write_buffer(w, 11, HS_SHM_ENTRY_END, 300);
	trigger(w, 10, 0);
	round_(w);
	s = last(w, HS_WIRE_TRIGGER);
	assert_non_null(s);
	a = answer_of(s, &crumbs);
	assert_non_null(a);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	assert_int_equal(a->flags, 0);
	assert_int_equal(a->nr_buffers, 2);
	assert_int_equal(a->nr_bytes, 1224);
	assert_int_equal(a->nr_crumbs, 1);
	assert_int_equal(crumbs[0].node, 0x900000001ull);
	assert_int_equal(w->nr_slices, 2);
	assert_int_equal(w->slices[0].head.trace.lo, 10);
	ack(w, w->slices[0].head.ship_key);
	ack(w, w->slices[0].head.ship_key); /* twice: once */
	ack(w, w->slices[1].head.ship_key);
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &stats);
	assert_int_equal(stats.buffers_held, 1); /* the other trace */
	stored(w, s);
	for (int i = 0; i < 5000; i++)
		round_(w);
	/* Nothing is said again once it is stored. */
	assert_ptr_equal(last(w, HS_WIRE_TRIGGER), s);
	assert_null(last(w, HS_WIRE_UPDATE));
	destroy(w);
}

static void trigger_before_data(void **state)
{
	struct world *w = make();
	const struct hs_wire_answer *a;
	const struct sent *s;

	(void)state;
	trigger(w, 10, 0);
	round_(w);
	a = answer_of(last(w, HS_WIRE_TRIGGER), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_UNKNOWN);
	w->slots[3] = (struct hs_shm_slot){.use = 1, .trace_lo = 10};
	write_buffer(w, 10, HS_SHM_ENTRY_BUFFER, 500);
	round_(w);
	a = answer_of(last(w, HS_WIRE_UPDATE), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_OPEN);
	write_buffer(w, 10, HS_SHM_ENTRY_END, 100);
	w->slots[3].use = 2;
	round_(w);
	s = last(w, HS_WIRE_UPDATE);
	a = answer_of(s, NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	assert_int_equal(a->nr_buffers, 2);
	assert_int_equal(w->nr_slices, 2);
	/* An update is said until it is stored. */
	uint32_t before = w->nr_out;
	for (int i = 0; i < 3000; i++)
		round_(w);
	assert_true(w->nr_out > before);
	stored(w, last(w, HS_WIRE_UPDATE));
	stored(w, last(w, HS_WIRE_TRIGGER));
	before = w->nr_out;
	for (int i = 0; i < 100000; i++)
		round_(w);
	assert_int_equal(w->nr_out, before);
	destroy(w);
}

static void collect_unknown_then_late(void **state)
{
	struct world *w = make();
	const struct hs_wire_answer *a;

	(void)state;
	collect(w, 77, 1);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(last(w, HS_WIRE_CRUMBS)->to, 99);
	assert_int_equal(a->state, HS_WIRE_STATE_UNKNOWN);
	assert_int_equal(a->rev, 1);
	write_buffer(w, 77, HS_SHM_ENTRY_END, 100);
	round_(w);
	a = answer_of(last(w, HS_WIRE_UPDATE), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	assert_true(a->rev > 1);
	assert_int_equal(w->nr_slices, 1);
	destroy(w);
}

static void eviction_is_whole_and_remembered(void **state)
{
	struct world *w = make();
	struct hs_agent_stats stats;
	const struct hs_wire_answer *a;

	(void)state;
	for (uint64_t t = 1; t <= 100; t++) {
		write_buffer(w, t, HS_SHM_ENTRY_BUFFER, 1024);
		write_buffer(w, t, HS_SHM_ENTRY_END, 100);
		check(w);
	}
	hs_agent_core_stats_get(w->core, &stats);
	assert_true(stats.traces_evicted >= 100 - NR_BUFFERS / 2);
	collect(w, 1, 1);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_UNKNOWN);
	assert_int_equal(a->flags, HS_WIRE_F_EVICTED);
	/* Its second half comes late: it is not whole for that. */
	write_buffer(w, 1, HS_SHM_ENTRY_END, 100);
	round_(w);
	a = answer_of(last(w, HS_WIRE_UPDATE), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	assert_int_equal(a->flags, HS_WIRE_F_EVICTED);
	/* A trigger on the newest still finds it whole. */
	collect(w, 100, 2);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->flags, 0);
	assert_int_equal(a->nr_buffers, 2);
	destroy(w);
}

static void losses_taint(void **state)
{
	struct world *w = make();
	const struct hs_wire_answer *a;

	(void)state;
	write_buffer(w, 5, HS_SHM_ENTRY_END, 100);
	w->now_ns += 6000000000;
	write_buffer(w, 6, HS_SHM_ENTRY_END, 100);
	hs_agent_core_loss(w->core, 0, 1, w->now_ns - 10, w->now_ns);
	collect(w, 6, 1);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->flags, HS_WIRE_F_LOST);
	collect(w, 5, 2);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->flags, 0);
	destroy(w);
}

static void dead_process(void **state)
{
	struct world *w = make();
	uint64_t word = hs_agent_core_stock(w->core, 0, 1);
	uint64_t other = hs_agent_core_stock(w->core, 0, 1);
	struct hs_shm_slot slot = {
		.use = 3, .handle = 9, .trace_lo = 44, .buffer = word};
	struct hs_shm_buffer header = {.magic = HS_SHM_BUF_MAGIC,
				       .stock_word = word,
				       .trace_lo = 44,
				       .handle = 9,
				       .committed = 333,
				       .first_record = sizeof(header)};
	const struct hs_wire_answer *a;
	struct hs_agent_domain_stats stats;

	(void)state;
	assert_true(other != 0);
	trigger(w, 44, 0);
	hs_agent_core_dead_slot(w->core, 0, 1, &slot, &header, w->now_ns);
	hs_agent_core_process_dead(w->core, 0, 1, w->now_ns);
	round_(w);
	a = answer_of(last(w, HS_WIRE_TRIGGER), NULL);
	assert_int_equal(a->flags, HS_WIRE_F_CRASHED);
	assert_int_equal(a->nr_bytes, 333);
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &stats);
	assert_int_equal(stats.buffers_stocked, 0);
	destroy(w);
}

static void a_lane_can_claim_only_what_it_has(void **state)
{
	struct world *w = make();
	uint64_t word = hs_agent_core_stock(w->core, 0, 2);
	struct hs_agent_stats stats;
	struct hs_shm_entry bad[] = {
		{.trace_lo = 1,
		 .u.buffer = {hs_shm_stock_ref(word), 100},
		 .type = HS_SHM_ENTRY_END}, /* another process's */
		{.trace_lo = 1,
		 .u.buffer = {0x7fffff00, 100},
		 .type = HS_SHM_ENTRY_END},
		{.trace_lo = 1,
		 .u.buffer = {3, 100},
		 .type = HS_SHM_ENTRY_END}, /* not at a buffer's start */
		{.trace_lo = 0, .type = HS_SHM_ENTRY_END},
		{.trace_lo = 1, .type = 77},
		{.trace_lo = 1, .type = HS_SHM_ENTRY_TRIGGER, .u.arg = 2},
		{.trace_lo = 1, .type = HS_SHM_ENTRY_TRIGGER, .aux = 200},
		{.trace_lo = 1, .type = HS_SHM_ENTRY_LATERAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(push(w, &bad[i], 1), 1);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.entries_bad, sizeof(bad) / sizeof(*bad));
	assert_int_equal(stats.buffers_indexed, 0);
	check(w);
	destroy(w);
}

static void lateral_group_waits_for_its_entries(void **state)
{
	struct world *w = make();
	struct hs_shm_entry e[3] = {
		{.trace_lo = 1, .type = HS_SHM_ENTRY_TRIGGER, .aux = 2},
		{.trace_lo = 2, .type = HS_SHM_ENTRY_LATERAL},
		{.trace_lo = 3, .type = HS_SHM_ENTRY_LATERAL},
	};
	const struct sent *s;

	(void)state;
	assert_int_equal(push(w, e, 2), 0);
	assert_int_equal(push(w, e, 3), 3);
	round_(w);
	s = last(w, HS_WIRE_TRIGGER);
	assert_int_equal(((const struct hs_wire_group *)s->payload)->nr, 3);
	destroy(w);
}

static void successor_goes_on(void **state)
{
	struct world *w = make();
	const struct hs_wire_answer *a;
	struct hs_agent_stats stats;
	uint64_t key;

	(void)state;
	crumb(w, 10, 0x900000001ull);
	write_buffer(w, 10, HS_SHM_ENTRY_BUFFER, 1024);
	write_buffer(w, 10, HS_SHM_ENTRY_END, 200);
	write_buffer(w, 12, HS_SHM_ENTRY_END, 300);
	trigger(w, 10, 1);
	round_(w);
	key = trigger_of(last(w, HS_WIRE_TRIGGER))->key;
	ack(w, w->slices[0].head.ship_key); /* one of two */
	w->nr_out = w->nr_slices = 0;
	restart(w);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.adopted_groups, 1);
	assert_int_equal(stats.adopted_buffers, 2);
	round_(w);
	assert_int_equal(trigger_of(last(w, HS_WIRE_TRIGGER))->key, key);
	assert_string_equal(trigger_of(last(w, HS_WIRE_TRIGGER))->name,
			    "error");
	a = answer_of(last(w, HS_WIRE_TRIGGER), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	assert_int_equal(a->nr_buffers, 2);
	assert_int_equal(a->nr_bytes, 1224);
	assert_int_equal(a->nr_crumbs, 1);
	assert_int_equal(w->nr_slices, 1); /* the other one */
	destroy(w);
}

static void overload_abandons_the_lowest(void **state)
{
	struct world *w = make();
	struct hs_agent_stats stats;

	(void)state;
	w->full = true;
	for (uint64_t t = 1; t <= 20; t++) {
		for (int i = 0; i < 3; i++)
			write_buffer(w, t, HS_SHM_ENTRY_END, 1000);
		collect(w, t, t); /* priority t */
		round_(w);
	}
	for (int i = 0; i < 20; i++)
		round_(w);
	hs_agent_core_stats_get(w->core, &stats);
	assert_true(stats.traces_abandoned > 0);
	w->full = false;
	for (int i = 0; i < 20; i++) {
		round_(w);
		for (uint32_t k = 0; k < w->nr_slices; k++)
			ack(w, w->slices[k].head.ship_key);
	}
	/* What was shipped is what had the highest priority. */
	for (uint32_t k = 0; k < w->nr_slices; k++)
		assert_true(w->slices[k].head.trace.lo >
			    stats.traces_abandoned);
	assert_true(w->nr_slices >= 3);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trigger_after_data),
		cmocka_unit_test(trigger_before_data),
		cmocka_unit_test(collect_unknown_then_late),
		cmocka_unit_test(eviction_is_whole_and_remembered),
		cmocka_unit_test(losses_taint),
		cmocka_unit_test(dead_process),
		cmocka_unit_test(a_lane_can_claim_only_what_it_has),
		cmocka_unit_test(lateral_group_waits_for_its_entries),
		cmocka_unit_test(successor_goes_on),
		cmocka_unit_test(overload_abandons_the_lowest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

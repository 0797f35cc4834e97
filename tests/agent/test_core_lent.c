/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_lent.c - memory that a port reads is nobody else's until it says
 * that it is done: answered, abandoned, its process dead, or not
 */
#include "tests/agent/core_world.h"

static struct hs_agent_domain_stats figures(struct world *w)
{
	struct hs_agent_domain_stats s;

	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	return s;
}

static struct world *make_lending(void)
{
	struct world *w = make();

	w->lend = true;
	return w;
}

/* A triggered trace of one buffer, which the port has. */
static const struct hs_wire_slice *lend_one(struct world *w, uint64_t lo,
					    uint32_t bytes)
{
	uint32_t nr = w->nr_slices;

	write_buffer(w, lo, HS_SHM_ENTRY_END, bytes);
	trigger(w, lo, 0);
	round_(w);
	assert_int_equal(w->nr_slices, nr + 1);
	return &w->slices[nr].head;
}

/* Take all that can be had; how often it was the place of @slice. */
static uint32_t taken(struct world *w, const struct hs_agent_slice *slice,
		      uint32_t *nr)
{
	uint32_t same = 0;
	uint64_t word;

	*nr = 0;
	while ((word = hs_agent_core_stock(w->core, 0, 2))) {
		same += hs_shm_stock_ref(word) * HS_SHM_REF_UNIT_BYTES ==
			slice->pool_offset;
		++*nr;
	}
	check(w);
	return same;
}

static void answered_and_still_read(void **state)
{
	struct world *w = make_lending();
	const struct hs_wire_slice *head = lend_one(w, 1, 200);
	uint32_t nr;

	(void)state;
	ack(w, head->ship_key);
	assert_int_equal(figures(w).buffers_held, 0);
	assert_int_equal(figures(w).buffers_parked, 1);
	assert_int_equal(figures(w).buffers_free, NR_BUFFERS - 1);
	assert_int_equal(taken(w, &w->slices[0], &nr), 0);
	assert_int_equal(nr, NR_BUFFERS - 1);
	hs_agent_core_returned(w->core, head->ship_key, head->length_bytes);
	check(w);
	assert_int_equal(figures(w).buffers_parked, 0);
	assert_int_equal(taken(w, &w->slices[0], &nr), 1);
	assert_int_equal(nr, 1);
	destroy(w);
}

static void returned_and_not_answered(void **state)
{
	struct world *w = make_lending();
	const struct hs_wire_slice *head = lend_one(w, 1, 200);

	(void)state;
	hs_agent_core_returned(w->core, head->ship_key, head->length_bytes);
	check(w);
	assert_int_equal(figures(w).buffers_held, 1);
	ack(w, head->ship_key);
	assert_int_equal(figures(w).buffers_free, NR_BUFFERS);
	/* What was never lent, or nowhere. */
	hs_agent_core_returned(w->core, head->ship_key, head->length_bytes);
	hs_agent_core_returned(w->core, UINT64_MAX, 1);
	check(w);
	destroy(w);
}

/* It goes again, and the port still has the first one. */
static void lent_twice(void **state)
{
	struct world *w = make_lending();
	const struct hs_wire_slice *first = lend_one(w, 1, 200), *second;

	(void)state;
	hs_agent_core_collector_up(w->core, w->now_ns);
	round_(w);
	assert_int_equal(w->nr_slices, 2);
	second = &w->slices[1].head;
	ack(w, second->ship_key);
	hs_agent_core_returned(w->core, second->ship_key, second->length_bytes);
	check(w);
	assert_int_equal(figures(w).buffers_parked, 1);
	hs_agent_core_returned(w->core, first->ship_key, first->length_bytes);
	check(w);
	assert_int_equal(figures(w).buffers_free, NR_BUFFERS);
	destroy(w);
}

/* More is pinned than may be: what is half sent goes, but for the port. */
static void abandoned_under_way(void **state)
{
	struct world *w = make_lending();
	struct hs_agent_stats stats;
	uint32_t nr, lent;

	(void)state;
	for (uint32_t i = 0; i < 16; i++)
		write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, BUFFER_BYTES);
	collect(w, 1, 1);
	round_(w);
	lent = w->nr_slices;
	assert_int_equal(lent, 8); /* window_bytes, see make() */
	for (uint64_t lo = 2; lo <= NR_BUFFERS / 2; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, 100);
		collect(w, lo, lo);
		round_(w);
	}
	hs_agent_core_stats_get(w->core, &stats);
	assert_true(stats.traces_abandoned > 0);
	assert_int_equal(figures(w).buffers_parked, lent);
	for (uint32_t i = 0; i < lent; i++)
		assert_int_equal(taken(w, &w->slices[i], &nr), 0);
	for (uint32_t i = 0; i < lent; i++)
		hs_agent_core_returned(w->core, w->slices[i].head.ship_key,
				       w->slices[i].head.length_bytes);
	check(w);
	assert_int_equal(figures(w).buffers_parked, 0);
	taken(w, &w->slices[0], &nr);
	assert_int_equal(nr, lent);
	destroy(w);
}

/* What is lent counts for the window, also when nobody waits for it. */
static void window_of_what_is_lent(void **state)
{
	struct world *w = make_lending();
	struct hs_agent_queue_stats q;
	uint32_t nr;

	(void)state;
	for (uint64_t lo = 1; lo <= 10; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, BUFFER_BYTES);
		trigger(w, lo, 0);
		round_(w);
		ack(w, w->slices[w->nr_slices - 1].head.ship_key);
	}
	nr = w->nr_slices;
	assert_int_equal(nr, 8); /* window_bytes, see make() */
	hs_agent_core_queue_stats_get(w->core, &q);
	assert_int_equal(q.lent_bytes, nr * BUFFER_BYTES);
	assert_int_equal(q.slices, 0);
	hs_agent_core_returned(w->core, w->slices[0].head.ship_key,
			       w->slices[0].head.length_bytes);
	round_(w);
	assert_int_equal(w->nr_slices, nr + 1);
	destroy(w);
}

/* A process dies that has an open buffer, part of which is under way. */
static void owner_dies(void **state)
{
	struct world *w = make_lending();
	struct open_buffer open = open_buffer(w, 1, 300);
	uint32_t nr;

	(void)state;
	trigger(w, 1, 0);
	round_(w);
	scan_open(w, &open);
	assert_int_equal(w->nr_slices, 1);
	/* No slot of it is found: the buffer was never published. */
	hs_agent_core_process_dead(w->core, 0, 1, w->now_ns);
	check(w);
	assert_int_equal(figures(w).buffers_parked, 1);
	assert_int_equal(taken(w, &w->slices[0], &nr), 0);
	hs_agent_core_returned(w->core, w->slices[0].head.ship_key,
			       w->slices[0].head.length_bytes);
	assert_int_equal(taken(w, &w->slices[0], &nr), 1);
	destroy(w);
}

/* The port ended with the worker: its successor finds free memory. */
static void successor_knows_no_port(void **state)
{
	struct world *w = make_lending();
	const struct hs_wire_slice *head = lend_one(w, 1, 200);

	(void)state;
	ack(w, head->ship_key);
	assert_int_equal(figures(w).buffers_parked, 1);
	restart(w);
	assert_int_equal(figures(w).buffers_parked, 0);
	assert_int_equal(figures(w).buffers_free, NR_BUFFERS);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answered_and_still_read),
		cmocka_unit_test(returned_and_not_answered),
		cmocka_unit_test(lent_twice),
		cmocka_unit_test(abandoned_under_way),
		cmocka_unit_test(window_of_what_is_lent),
		cmocka_unit_test(owner_dies),
		cmocka_unit_test(successor_knows_no_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's core: chunks of the pool that change their class, buffers of
 * several sizes through publishing, eviction, return, death and adoption.
 */
#include "core_world.h"

#define UNIT	  512u
#define CHUNK	  16u
#define NR_CHUNKS 8u

static struct world *make_nodes(uint32_t nr_nodes)
{
	struct world *w = make();

	free(w->memory);
	free(w->domain_memory);
	free(w->domain_ledger);
	memset(w->ledger, 0, hs_agent_node_ledger_bytes(&w->config));
	w->domain = (struct hs_agent_domain_config){
		.nr_buffers = NR_CHUNKS * CHUNK,
		.buffer_bytes = UNIT,
		.nr_classes = 3,
		.class_factor = 2,
		.chunk_units = CHUNK,
		.nr_nodes = nr_nodes,
	};
	w->domain_ledger = calloc(1, hs_agent_domain_ledger_bytes(&w->domain));
	start(w);
	return w;
}

static struct world *make_classes(void)
{
	return make_nodes(1);
}

static struct hs_agent_domain_stats stats(struct world *w)
{
	struct hs_agent_domain_stats s;

	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	return s;
}

static uint64_t take(struct world *w, uint32_t process, uint32_t size_class)
{
	return hs_agent_core_stock_class(w->core, 0, process, size_class, 0);
}

static void publish(struct world *w, uint64_t lo, uint64_t word, uint32_t bytes)
{
	struct hs_shm_entry e = {
		.trace_lo = lo,
		.u.buffer = {hs_shm_stock_ref(word), bytes},
		.handle = 1,
		.type = HS_SHM_ENTRY_BUFFER,
	};

	assert_int_equal(push(w, &e, 1), 1);
}

static void give_back(struct world *w, uint64_t word)
{
	struct hs_shm_entry e = {
		.u.buffer = {hs_shm_stock_ref(word), 0},
		.type = HS_SHM_ENTRY_RETURN,
	};

	assert_int_equal(push(w, &e, 1), 1);
}

static void test_chunks_follow_demand(void **state)
{
	struct world *w = make_classes();
	uint64_t words[CHUNK * 2];

	assert_int_equal(stats(w).classes[0].chunks, 0);
	for (uint32_t i = 0; i < CHUNK + 1; i++)
		words[i] = take(w, 1, 0);
	assert_int_equal(stats(w).classes[0].chunks, 2);
	assert_int_equal(hs_shm_stock_class(take(w, 1, 2)), 2);
	assert_int_equal(stats(w).classes[2].chunks, 1);
	assert_int_equal(stats(w).buffers_stocked, CHUNK + 1 + 4);
	check(w);
	/* All of them home: the chunks are anybody's again. */
	for (uint32_t i = 0; i < CHUNK + 1; i++)
		give_back(w, words[i]);
	check(w);
	assert_int_equal(stats(w).classes[0].chunks, 0);
	assert_int_equal(stats(w).buffers_free, (NR_CHUNKS - 1) * CHUNK + 12);
	for (uint32_t i = 0; i < (NR_CHUNKS - 1) * CHUNK / 4; i++)
		assert_true(take(w, 1, 2) != 0);
	assert_int_equal(stats(w).classes[2].chunks, NR_CHUNKS);
	check(w);
	destroy(w);
}

static void test_lengths_are_of_the_class(void **state)
{
	struct world *w = make_classes();
	uint64_t small = take(w, 1, 0), large = take(w, 1, 2);
	struct hs_agent_stats before, after;

	hs_agent_core_stats_get(w->core, &before);
	publish(w, 5, small, UNIT + 1);
	publish(w, 5, large, 4 * UNIT + 1);
	/* In the midst of a buffer there is none. */
	publish(w, 5, large + 2, 100);
	hs_agent_core_stats_get(w->core, &after);
	assert_int_equal(after.entries_bad - before.entries_bad, 3);
	publish(w, 5, small, UNIT);
	publish(w, 5, large, 4 * UNIT);
	check(w);
	assert_int_equal(stats(w).buffers_held, 5);
	assert_int_equal(stats(w).bytes_indexed, 5 * UNIT);
	destroy(w);
}

/* Nothing but small buffers of old traces: they make room for a large one. */
static void test_eviction_makes_a_chunk(void **state)
{
	struct world *w = make_classes();
	uint64_t word = 0;

	for (uint32_t i = 0; i < NR_CHUNKS * CHUNK; i++)
		publish(w, i + 1, take(w, 1, 0), 100);
	check(w);
	for (uint32_t i = 0; i < CHUNK && !word; i++)
		word = take(w, 1, 2);
	check(w);
	assert_true(word != 0);
	assert_int_equal(hs_shm_stock_class(word), 2);
	/* The youngest are still there. */
	assert_true(stats(w).traces > NR_CHUNKS * CHUNK / 2);
	destroy(w);
}

/* Pins in every chunk: asking does not empty the pool. */
static void test_pins_do_not_cost_the_horizon(void **state)
{
	struct world *w = make_classes();
	uint32_t before;

	for (uint32_t i = 0; i < 6 * CHUNK; i++) {
		publish(w, i + 1, take(w, 1, 0), 100);
		if (i % CHUNK == 0)
			trigger(w, i + 1, 0);
	}
	/* The other two chunks are gone, too. */
	assert_true(take(w, 1, 1) != 0);
	for (uint32_t i = 0; i < CHUNK / 4; i++)
		take(w, 1, 2);
	check(w);
	before = (uint32_t)stats(w).traces;
	for (uint32_t i = 0; i < 100; i++)
		take(w, 1, 2);
	check(w);
	assert_true(stats(w).buffers_free * 100 <
		    (101 - 80 + 14 + 10) * stats(w).buffers_total);
	assert_true(stats(w).traces > before / 2);
	destroy(w);
}

static void test_a_successor_finds_the_classes(void **state)
{
	struct world *w = make_classes();
	uint64_t kept = take(w, 1, 1), lost = take(w, 1, 2);
	struct hs_agent_domain_stats was;

	publish(w, 9, take(w, 1, 2), 3 * UNIT);
	publish(w, 9, take(w, 1, 0), 100);
	give_back(w, take(w, 1, 0));
	give_back(w, lost);
	was = stats(w);
	restart(w);
	assert_int_equal(stats(w).buffers_held, was.buffers_held);
	assert_int_equal(stats(w).buffers_stocked, was.buffers_stocked);
	assert_int_equal(stats(w).classes[1].chunks, 1);
	assert_int_equal(stats(w).classes[2].chunks, 1);
	assert_true(hs_agent_core_owns(w->core, 0, 1, kept));
	assert_false(hs_agent_core_owns(w->core, 0, 1, lost));
	assert_int_equal(hs_agent_core_stocked_by(w->core, 0, 1), 2);
	hs_agent_core_process_dead(w->core, 0, 1, w->now_ns);
	check(w);
	assert_int_equal(stats(w).buffers_stocked, 0);
	assert_int_equal(stats(w).classes[1].chunks, 0);
	destroy(w);
}

static void test_returning_what_is_not_yours(void **state)
{
	struct world *w = make_classes();
	uint64_t mine = take(w, 1, 0), other = take(w, 2, 0);
	struct hs_agent_stats s;

	give_back(w, mine);
	give_back(w, mine);
	give_back(w, other);
	hs_agent_core_stats_get(w->core, &s);
	assert_int_equal(s.stock_returned, 1);
	assert_int_equal(s.entries_bad, 2);
	assert_true(hs_agent_core_owns(w->core, 0, 2, other));
	check(w);
	destroy(w);
}

/* A node's own buffers, the other's when it is full, or none at all. */
static void test_a_full_node(void **state)
{
	struct world *w = make_nodes(2);
	uint32_t of_node = NR_CHUNKS * CHUNK / 2;
	struct hs_agent_stats s;
	uint64_t word = 0;

	for (uint32_t i = 0; i < of_node; i++) {
		word = hs_agent_core_stock_class(w->core, 0, 1, 0, 1);
		assert_int_equal(hs_shm_stock_node(word), 1);
	}
	assert_int_equal(hs_agent_core_stock_class(w->core, 0, 1, 0,
						   1 | HS_AGENT_STOCK_HERE),
			 0);
	hs_agent_core_stats_get(w->core, &s);
	assert_int_equal(s.stock_remote, 0);
	word = hs_agent_core_stock_class(w->core, 0, 1, 0, 1);
	assert_true(word != 0);
	assert_int_equal(hs_shm_stock_node(word), 0);
	hs_agent_core_stats_get(w->core, &s);
	assert_int_equal(s.stock_remote, 1);
	/* The same place of the other node is another buffer. */
	publish(w, 3, word, 100);
	check(w);
	assert_int_equal(stats(w).buffers_stocked, of_node);
	restart(w);
	assert_int_equal(stats(w).buffers_stocked, of_node);
	assert_int_equal(stats(w).buffers_held, 1);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunks_follow_demand),
		cmocka_unit_test(test_lengths_are_of_the_class),
		cmocka_unit_test(test_eviction_makes_a_chunk),
		cmocka_unit_test(test_pins_do_not_cost_the_horizon),
		cmocka_unit_test(test_a_successor_finds_the_classes),
		cmocka_unit_test(test_returning_what_is_not_yours),
		cmocka_unit_test(test_a_full_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

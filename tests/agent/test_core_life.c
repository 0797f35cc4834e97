/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_life.c - the agent's logic under anything in any order
 */
#include "tests/agent/core_world.h"

/* A thread fills a buffer of the stock and hands it over, or ends with it. */
static void use_stock(struct world *w, struct hs_random *r, uint64_t lo)
{
	uint64_t word = hs_agent_core_stock(w->core, 0, 1);
	struct hs_shm_entry e = {
		.trace_lo = lo,
		.u.buffer = {hs_shm_stock_ref(word),
			     64 + hs_random_u64(r) % 960},
		.type = (uint8_t)(1 + hs_random_u64(r) % 2),
	};

	if (word)
		push(w, &e, 1);
}

/* Anything in any order: every sum holds after every step. */
static void random_life(uint64_t seed)
{
	struct world *w = make();
	struct hs_random r;

	hs_random_seed(&r, seed);
	for (int i = 0; i < 3000; i++) {
		uint64_t lo = 1 + hs_random_u64(&r) % 24;

		switch (hs_random_u64(&r) % 12) {
		case 0:
		case 1:
		case 2:
			use_stock(w, &r, lo);
			break;
		case 3:
			crumb(w, lo, (hs_random_u64(&r) % 9) << 32 | 1);
			break;
		case 4:
			trigger(w, lo, hs_random_u64(&r) % 2);
			break;
		case 5:
			collect(w, lo, i);
			break;
		case 6:
			for (int k = 0; k < 4 && w->nr_slices; k++)
				ack(w, w->slices[hs_random_u64(&r) %
						 (w->nr_slices < 1024
							  ? w->nr_slices
							  : 1024)]
					       .head.ship_key);
			break;
		case 7:
			w->slots[lo % 16] = (struct hs_shm_slot){
				.use = (uint32_t)hs_random_u64(&r) & 1,
				.trace_lo = lo};
			break;
		case 8:
			if (last(w, HS_WIRE_TRIGGER))
				stored(w, last(w, HS_WIRE_TRIGGER));
			if (last(w, HS_WIRE_UPDATE))
				stored(w, last(w, HS_WIRE_UPDATE));
			break;
		case 9:
			w->full = hs_random_u64(&r) & 1;
			if (hs_random_u64(&r) % 8 == 0)
				hs_agent_core_collector_up(w->core, w->now_ns);
			break;
		case 10:
			if (hs_random_u64(&r) % 16 == 0)
				restart(w);
			if (hs_random_u64(&r) % 16 == 0)
				hs_agent_core_process_dead(w->core, 0, 1,
							   w->now_ns);
			if (hs_random_u64(&r) % 16 == 0)
				w->now_ns += 400000000000ull;
			break;
		default:
			round_(w);
		}
		check(w);
	}
	destroy(w);
}

static void random_lives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		random_life(seed);
}

/*
 * What a successor keeps is the most recent past as well: memory is reused in
 * rounds, so that its order is not that of the traces in it.
 */
static void successor_evicts_the_oldest(void **state)
{
	struct world *w = make();
	struct hs_wire_trace_id recent[NR_BUFFERS];
	uint64_t last = NR_BUFFERS + NR_BUFFERS / 2;
	uint64_t horizon_ns;
	struct hs_agent_domain_stats s;
	uint32_t nr;

	for (uint64_t lo = 1; lo <= last; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
		round_(w);
	}
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	horizon_ns = s.horizon_ns;
	restart(w);
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	assert_int_equal(s.horizon_ns, horizon_ns);
	for (uint64_t lo = last + 1; lo <= last + 8; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
		round_(w);
	}
	nr = hs_agent_core_recent(w->core, 0, 0, 0, recent, NR_BUFFERS);
	assert_true(nr > NR_BUFFERS / 2);
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(recent[i].lo, last + 8 - i);
	destroy(w);
}

static uint32_t nr_fired(struct world *w)
{
	struct hs_agent_queue_stats queues;

	hs_agent_core_queue_stats_get(w->core, &queues);
	return (uint32_t)queues.fired;
}

/* Places that were given back, and those never taken, are a successor's. */
static void places_of_fired_traces_are_adopted(void **state)
{
	struct world *w = make();
	uint64_t lo = 1;

	(void)state;
	for (; lo <= 10; lo++) {
		collect(w, lo, lo);
		round_(w);
	}
	w->now_ns += 200000000000ull;
	for (; lo <= 20; lo++) {
		collect(w, lo, lo);
		round_(w);
	}
	assert_int_equal(nr_fired(w), 20);
	w->now_ns += 150000000000ull;
	for (int i = 0; i < 4; i++)
		round_(w);
	assert_int_equal(nr_fired(w), 10);
	restart(w);
	assert_int_equal(nr_fired(w), 10);
	for (; lo <= 42; lo++) {
		collect(w, lo, lo);
		round_(w);
	}
	assert_int_equal(nr_fired(w), 32);
	collect(w, lo, lo);
	round_(w);
	assert_int_equal(nr_fired(w), 32);
	destroy(w);
}

/* One that finds @nr fired traces, of room for @nr_fired, all of them told. */
static struct world *make_successor(uint32_t nr_fired, uint64_t nr)
{
	struct world *w = make();

	free(w->memory);
	free(w->domain_memory);
	free(w->ledger);
	w->config.nr_fired = nr_fired;
	w->config.nr_pending = 256;
	w->ledger = calloc(1, hs_agent_node_ledger_bytes(&w->config));
	start(w);
	for (uint64_t lo = 1; lo <= nr; lo++) {
		collect(w, lo, lo);
		if (lo % 200 == 0)
			round_(w);
	}
	restart(w);
	w->nr_out = 0;
	return w;
}

/* All that a predecessor had told is told again, but not all at once. */
static void a_successor_speaks_in_parts(void **state)
{
	struct world *w = make_successor(256, 200);
	uint32_t nr_rounds = 0;

	(void)state;
	while (w->nr_out < 200 && nr_rounds < 1000) {
		uint32_t before = w->nr_out;

		round_(w);
		nr_rounds++;
		assert_in_range(w->nr_out - before, 1, 32);
	}
	assert_int_equal(w->nr_out, 200);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(w->out[i].type, HS_WIRE_UPDATE);
	destroy(w);
}

/* However many they are: applications are back, and want the processor. */
static void say_all(struct world *w, uint32_t nr)
{
	while (w->nr_out < nr) {
		uint32_t before = w->nr_out;

		round_(w);
		assert_in_range(w->nr_out - before, 1, 32);
		assert_int_equal(hs_agent_core_busy(w->core), w->nr_out < nr);
	}
	round_(w);
	assert_int_equal(w->nr_out, nr);
}

static void scan_now(struct world *w)
{
	hs_agent_core_begin_scan(w->core, w->now_ns);
	hs_agent_core_end_scan(w->core);
	hs_agent_core_tick(w->core, w->now_ns);
}

/* Between two parts of them others get a processor, and what is new goes. */
static void a_successor_is_in_no_hurry(void **state)
{
	struct world *w = make_successor(256, 200);
	uint32_t before;

	(void)state;
	round_(w);
	before = w->nr_out;
	w->now_ns += 100000;
	assert_false(hs_agent_core_wants_scan(w->core, w->now_ns));
	scan_now(w);
	assert_int_equal(w->nr_out, before);
	w->now_ns += 1000000;
	assert_true(hs_agent_core_wants_scan(w->core, w->now_ns));
	scan_now(w);
	assert_int_equal(w->nr_out, before + 32);
	destroy(w);
}

/*
 * A table as full as it gets of the size that an agent has. At leisure it takes
 * longer than a worker has that is told to end; told so, it is done in a
 * quarter of that, however late after the scan before it looks again.
 */
static void all_is_said_before_the_end(void **state)
{
	const uint32_t nr = 65400, late_ns = 200000;
	struct world *w = make_successor(65536, nr);
	uint64_t from_ns;

	(void)state;
	round_(w);
	assert_in_range(w->nr_out, 1, 32);
	assert_true(hs_agent_core_busy(w->core));
	hs_agent_core_hurry(w->core);
	from_ns = w->now_ns;
	while (hs_agent_core_busy(w->core)) {
		w->now_ns += late_ns;
		if (hs_agent_core_wants_scan(w->core, w->now_ns)) {
			hs_agent_core_begin_scan(w->core, w->now_ns);
			hs_agent_core_end_scan(w->core);
		}
		hs_agent_core_tick(w->core, w->now_ns);
	}
	assert_int_equal(w->nr_out, nr);
	assert_true(w->now_ns - from_ns < HS_AGENT_FINISH_NS / 4);
	destroy(w);
}

/* However short it is remembered: what it has to say it says before that. */
static void what_has_to_be_said_is_not_forgotten(void **state)
{
	struct world *w = make_successor(256, 200);

	(void)state;
	w->config.remember_ns = 1000000;
	restart(w);
	say_all(w, 200);
	destroy(w);
}

/* Where very many have changed the parts are larger: a share of what is left.
 */
static void very_many_go_in_larger_parts(void **state)
{
	const uint32_t nr = 12000;
	struct world *w = make_successor(16384, nr);

	(void)state;
	say_all(w, nr);
	hs_agent_core_coordinator_down(w->core, 1ull << 32, w->now_ns);
	w->nr_out = 0;
	for (uint32_t left = nr, n; left; left -= n) {
		uint32_t before = w->nr_out;

		n = left / 256 > 32 ? left / 256 : 32;
		n = n < left ? n : left;
		round_(w);
		assert_int_equal(w->nr_out - before, n);
	}
	round_(w);
	assert_int_equal(w->nr_out, nr);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(successor_evicts_the_oldest),
		cmocka_unit_test(random_lives),
		cmocka_unit_test(places_of_fired_traces_are_adopted),
		cmocka_unit_test(a_successor_speaks_in_parts),
		cmocka_unit_test(a_successor_is_in_no_hurry),
		cmocka_unit_test(all_is_said_before_the_end),
		cmocka_unit_test(what_has_to_be_said_is_not_forgotten),
		cmocka_unit_test(very_many_go_in_larger_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

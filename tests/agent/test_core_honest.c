/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_honest.c - law 4 at one node: what a kill, an eviction or an
 * oblivion took away is never told as closed without loss
 */
#include "agent/ledger.h"
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

static uint16_t flags_now(struct world *w, uint64_t lo)
{
	trigger(w, lo, 0);
	round_(w);
	return answer_of(last(w, HS_WIRE_TRIGGER), NULL)->flags;
}

/* First half evicted, worker killed, second half: a successor must know. */
static void eviction_outlives_the_worker(void **state)
{
	struct world *w = make();

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	for (uint64_t lo = 100; lo < 100 + NR_BUFFERS; lo++)
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
	restart(w);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	assert_true(flags_now(w, 1) & HS_WIRE_F_EVICTED);
	destroy(w);
}

/*
 * As a worker leaves a trace of two buffers, or of two and a crumb, that is
 * killed before the last of the stores that free them, of a version that flags
 * none: there is its mark alone.
 */
static void half_evicted(struct world *w, uint32_t parts_say, bool crumbs)
{
	struct hs_ledger_domain *l = w->domain_ledger;
	size_t bytes = hs_agent_domain_ledger_bytes(&w->domain);
	uint8_t *before = malloc(bytes);
	struct hs_ledger_buffer *b;

	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	if (crumbs)
		crumb(w, 1, NODE + 1);
	memcpy(before, l, bytes);
	for (uint64_t lo = 100; lo < 100 + NR_BUFFERS; lo++)
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
	memcpy(l, before, l->evicted_offset);
	memcpy((uint8_t *)l + l->chunks_offset, before + l->chunks_offset,
	       bytes - l->chunks_offset);
	free(before);
	b = (void *)((uint8_t *)l + l->buffers_offset);
	for (uint32_t left = crumbs ? 2 : 1; left; b++)
		if (hs_ledger_word_state(b->word) == HS_LEDGER_HELD) {
			b->word = hs_ledger_word(HS_LEDGER_FREE, 1, 0);
			left--;
		}
	l->parts_say = parts_say;
	restart(w);
}

/* Whose worker flagged what goes in parts is not asked for marks. Who looked
 * one up says it in the ledger: its own successor does not look. */
static void half_of_an_eviction_says_so(void **state)
{
	struct world *w;

	(void)state;
	for (int crumbs = 0; crumbs < 2; crumbs++) {
		w = make();
		half_evicted(w, 0, crumbs);
		assert_int_equal(((struct hs_ledger_domain *)w->domain_ledger)
					 ->parts_say,
				 1);
		restart(w);
		assert_true(flags_now(w, 1) & HS_WIRE_F_EVICTED);
		destroy(w);
		w = make();
		half_evicted(w, 1, crumbs);
		assert_int_equal(flags_now(w, 1), 0);
		destroy(w);
	}
}

/* A buffer of one, a crumb of another: neither looks whole when more comes. */
static void what_a_smaller_index_lets_go_is_marked(void **state)
{
	struct world *w = make();

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	write_buffer(w, 2, HS_SHM_ENTRY_END, 200);
	write_buffer(w, 3, HS_SHM_ENTRY_BUFFER, 200);
	crumb(w, 4, NODE + 1);
	w->domain.nr_traces = 2;
	restart(w);
	for (uint64_t lo = 3; lo <= 4; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
		assert_true(flags_now(w, lo) & HS_WIRE_F_EVICTED);
	}
	destroy(w);
}

/* As many evictions in between as fit into the domain's ledger. */
static void eviction_is_remembered_for_long(void **state)
{
	struct world *w = make();

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	for (uint64_t lo = 100; lo < 20000; lo++)
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	assert_true(flags_now(w, 1) & HS_WIRE_F_EVICTED);
	destroy(w);
}

/* Died with a trace open whose present buffer was empty; then a new worker. */
static void crash_outlives_the_worker(void **state)
{
	struct world *w = make();
	struct hs_shm_slot slot = {.use = 1, .handle = 1, .trace_lo = 1};

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	hs_agent_core_dead_slot(w->core, 0, 1, &slot, NULL, w->now_ns);
	hs_agent_core_process_dead(w->core, 0, 1, w->now_ns);
	restart(w);
	assert_true(flags_now(w, 1) & HS_WIRE_F_CRASHED);
	destroy(w);
}

/* All that is left of a trace is a crumb, and its handle dropped the rest. */
static void loss_without_a_buffer_outlives_the_worker(void **state)
{
	struct world *w = make();
	struct hs_shm_entry end = {
		.trace_lo = 1,
		.u.buffer = {HS_SHM_NO_BUFFER, 0},
		.handle = 1,
		.type = HS_SHM_ENTRY_END,
		.aux = 1,
	};

	(void)state;
	crumb(w, 1, 0x900000001ull);
	assert_int_equal(push(w, &end, 1), 1);
	restart(w);
	assert_int_not_equal(flags_now(w, 1), 0);
	destroy(w);
}

/* The entry of an acknowledged trigger may be read by the successor again. */
static void trigger_read_twice_is_one(void **state)
{
	struct world *w = make();
	struct hs_agent_stats stats;

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	trigger(w, 1, 0);
	restart(w);
	trigger(w, 1, 0);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.triggers_local, 0);
	assert_int_equal(stats.adopted_groups, 1);
	destroy(w);
}

static void forget_all(struct world *w)
{
	for (uint32_t i = 0; i < w->nr_slices; i++)
		ack(w, w->slices[i].head.ship_key);
	stored(w, last(w, HS_WIRE_TRIGGER));
	for (int i = 0; i < 4; i++) {
		w->now_ns += 100000000000ull;
		round_(w);
		if (last(w, HS_WIRE_UPDATE))
			stored(w, last(w, HS_WIRE_UPDATE));
	}
}

/* What comes after a fired trace was forgotten is its rest, not a whole. */
static void rest_of_a_forgotten_trace(void **state)
{
	struct world *w = make();
	struct hs_agent_domain_stats s;
	uint32_t rev;

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	trigger(w, 1, 0);
	round_(w);
	rev = answer_of(last(w, HS_WIRE_TRIGGER), NULL)->rev;
	forget_all(w);
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	assert_int_equal(s.traces, 0);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	assert_true(flags_now(w, 1) & HS_WIRE_F_EVICTED);
	assert_true(answer_of(last(w, HS_WIRE_TRIGGER), NULL)->rev > rev);
	destroy(w);
}

/* Those who heard "closed" before are told that its rest went unshipped. */
static void rest_of_a_forgotten_trace_goes(void **state)
{
	const uint16_t both = HS_WIRE_F_EVICTED | HS_WIRE_F_LOST;
	struct world *w = make();

	(void)state;
	for (uint64_t lo = 1; lo <= 2; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
		trigger(w, lo, 0);
		round_(w);
		forget_all(w);
	}
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	for (uint64_t lo = 100; lo < 100 + NR_BUFFERS; lo++)
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
	restart(w);
	assert_int_equal(flags_now(w, 1) & both, both);
	assert_int_equal(flags_now(w, 2) & both, HS_WIRE_F_EVICTED);
	destroy(w);
}

/* A request of many minutes stays fired as long as its handle lives. */
static void open_trace_is_not_forgotten(void **state)
{
	struct world *w = make();
	struct hs_agent_domain_stats s;

	(void)state;
	w->slots[0] =
		(struct hs_shm_slot){.use = 1, .handle = 1, .trace_lo = 1};
	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	trigger(w, 1, 0);
	round_(w);
	forget_all(w);
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	assert_int_equal(s.traces_fired, 1);
	w->slots[0].use = 2;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	w->now_ns += 1000000000ull;
	round_(w);
	assert_int_equal(answer_of(last(w, HS_WIRE_UPDATE), NULL)->state,
			 HS_WIRE_STATE_CLOSED);
	assert_int_equal(answer_of(last(w, HS_WIRE_UPDATE), NULL)->flags, 0);
	assert_int_equal(answer_of(last(w, HS_WIRE_UPDATE), NULL)->nr_buffers,
			 2);
	destroy(w);
}

/* Fired and open; its one buffer has left this node; then its worker dies. */
static struct world *open_and_shipped(void)
{
	struct world *w = make();

	w->now_ns += 20000000000ull;
	w->slots[0] =
		(struct hs_shm_slot){.use = 1, .handle = 1, .trace_lo = 1};
	write_buffer(w, 1, HS_SHM_ENTRY_BUFFER, 200);
	trigger(w, 1, 0);
	round_(w);
	assert_int_equal(w->nr_slices, 1);
	ack(w, w->slices[0].head.ship_key);
	assert_int_equal(answer_of(last(w, HS_WIRE_TRIGGER), NULL)->state,
			 HS_WIRE_STATE_OPEN);
	return w;
}

/* What a new worker says of it when its handle has ended without a word. */
static const struct hs_wire_answer *closed_after_restart(struct world *w)
{
	const struct hs_wire_answer *a;

	w->slots[0].use = 2;
	round_(w);
	a = answer_of(last(w, HS_WIRE_TRIGGER), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	return a;
}

static void loss_after_the_worker_hits_what_was_open(void **state)
{
	struct world *w = open_and_shipped();

	(void)state;
	w->now_ns += 100000000;
	restart(w);
	hs_agent_core_loss(w->core, 0, 1, w->now_ns - 50000000, w->now_ns);
	assert_int_equal(closed_after_restart(w)->flags, HS_WIRE_F_LOST);
	destroy(w);
}

/* The process is buried by the successor, and its losses with it. */
static void loss_of_a_buried_process_hits_what_was_open(void **state)
{
	struct world *w = open_and_shipped();

	(void)state;
	restart(w);
	hs_agent_core_loss(w->core, 0, 1, w->now_ns, w->now_ns);
	hs_agent_core_process_dead(w->core, 0, 1, w->now_ns);
	restart(w);
	assert_int_equal(closed_after_restart(w)->flags, HS_WIRE_F_LOST);
	destroy(w);
}

static void loss_of_another_process_does_not(void **state)
{
	struct world *w = open_and_shipped();

	(void)state;
	restart(w);
	hs_agent_core_loss(w->core, 0, 2, w->now_ns, w->now_ns);
	assert_int_equal(closed_after_restart(w)->flags, 0);
	destroy(w);
}

/* A worker that dies often must not make old losses hit what came later. */
static void loss_long_before_or_after_does_not(void **state)
{
	struct world *w = open_and_shipped();

	(void)state;
	hs_agent_core_loss(w->core, 0, 1, 0, w->now_ns - 10000000000ull);
	for (int i = 0; i < 3; i++)
		restart(w);
	assert_int_equal(closed_after_restart(w)->flags, 0);
	w->now_ns += 10000000000ull;
	restart(w);
	hs_agent_core_loss(w->core, 0, 1, w->now_ns, w->now_ns);
	assert_int_equal(closed_after_restart(w)->flags, 0);
	destroy(w);
}

/* Of another process the agent has seen a slot, and never an entry. */
static void loss_of_one_that_was_seen_by_its_slot(void **state)
{
	struct world *w = make();
	struct hs_shm_slot slot = {.use = 1, .handle = 1, .trace_lo = 1};

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	trigger(w, 1, 0);
	w->now_ns += 1000000;
	hs_agent_core_begin_scan(w->core, w->now_ns);
	hs_agent_core_slot(w->core, 0, 2, &slot, NULL, w->now_ns);
	hs_agent_core_end_scan(w->core);
	hs_agent_core_tick(w->core, w->now_ns);
	hs_agent_core_loss(w->core, 0, 2, w->now_ns, w->now_ns);
	for (int i = 0; i < 20; i++)
		round_(w);
	assert_int_equal(answer_of(last(w, HS_WIRE_UPDATE), NULL)->flags,
			 HS_WIRE_F_LOST);
	destroy(w);
}

/* A ledger of before: it says that somebody took part, and nothing else. */
static void ledger_that_does_not_say_who(void **state)
{
	struct world *w = open_and_shipped();
	struct hs_ledger_node *l = w->ledger;
	struct hs_ledger_fired *f = (void *)((uint8_t *)l + l->fired_offset);

	(void)state;
	while (!f->live)
		f++;
	f->who = HS_LEDGER_WHO_VISITED;
	f->when = 0;
	restart(w);
	restart(w);
	hs_agent_core_loss(w->core, 0, 77, w->now_ns, w->now_ns);
	assert_int_equal(closed_after_restart(w)->flags, HS_WIRE_F_LOST);
	destroy(w);
}

/* Of a trace of crumbs alone nobody knows any more when it began. */
static void loss_long_before_hits_what_has_no_date(void **state)
{
	struct world *w = make();

	(void)state;
	w->now_ns += 20000000000ull;
	crumb(w, 1, 0x900000001ull);
	hs_agent_core_loss(w->core, 0, 1, w->now_ns, w->now_ns);
	w->now_ns += 20000000000ull;
	restart(w);
	assert_int_equal(flags_now(w, 1), HS_WIRE_F_LOST);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_exit_is_no_crash),
		cmocka_unit_test(eviction_outlives_the_worker),
		cmocka_unit_test(half_of_an_eviction_says_so),
		cmocka_unit_test(what_a_smaller_index_lets_go_is_marked),
		cmocka_unit_test(eviction_is_remembered_for_long),
		cmocka_unit_test(crash_outlives_the_worker),
		cmocka_unit_test(loss_without_a_buffer_outlives_the_worker),
		cmocka_unit_test(trigger_read_twice_is_one),
		cmocka_unit_test(rest_of_a_forgotten_trace),
		cmocka_unit_test(rest_of_a_forgotten_trace_goes),
		cmocka_unit_test(open_trace_is_not_forgotten),
		cmocka_unit_test(loss_after_the_worker_hits_what_was_open),
		cmocka_unit_test(loss_of_a_buried_process_hits_what_was_open),
		cmocka_unit_test(loss_of_another_process_does_not),
		cmocka_unit_test(loss_long_before_or_after_does_not),
		cmocka_unit_test(loss_of_one_that_was_seen_by_its_slot),
		cmocka_unit_test(ledger_that_does_not_say_who),
		cmocka_unit_test(loss_long_before_hits_what_has_no_date),
	};

	return cmocka_run_group_tests_name("core_honest", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_acks.c - a buffer is let go when all of it is durable, and not
 * before: answers that are lost, late, doubled or refusals
 */
#include "tests/agent/core_world.h"

#define PATIENCE_NS 5000000000ull

static void pass(struct world *w, uint64_t ns)
{
	w->now_ns += ns;
	round_(w);
}

static uint64_t held(struct world *w)
{
	struct hs_agent_domain_stats s;

	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &s);
	return s.buffers_held;
}

static void one_stuck_slice_goes_again(void **state)
{
	struct world *w = make();
	uint64_t stuck;

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	trigger(w, 1, 0);
	round_(w);
	assert_int_equal(w->nr_slices, 1);
	stuck = w->slices[0].head.ship_key;
	/* Answers to everything else keep coming. */
	for (uint64_t lo = 2; lo < 12; lo++) {
		write_buffer(w, lo, HS_SHM_ENTRY_END, 200);
		trigger(w, lo, 0);
		pass(w, PATIENCE_NS / 4);
		for (uint32_t i = 1; i < w->nr_slices; i++)
			if (w->slices[i].head.trace.lo == lo)
				ack(w, w->slices[i].head.ship_key);
	}
	for (uint32_t i = 1; i < w->nr_slices; i++)
		if (w->slices[i].head.trace.lo == 1) {
			assert_int_not_equal(w->slices[i].head.ship_key, stuck);
			ack(w, w->slices[i].head.ship_key);
			assert_int_equal(held(w), 0);
			destroy(w);
			return;
		}
	fail_msg("the slice without an answer never went again");
}

/* The first part of an open buffer is answered after the whole was sent. */
static void late_answer_is_not_for_the_whole(void **state)
{
	struct world *w = make();
	struct open_buffer open = open_buffer(w, 1, 300);
	uint64_t first, second;

	(void)state;
	trigger(w, 1, 0);
	round_(w);
	scan_open(w, &open);
	assert_int_equal(w->nr_slices, 1);
	assert_int_equal(w->slices[0].head.length_bytes, 300);
	first = w->slices[0].head.ship_key;
	/* A collector appears: all again, now to its end. */
	hs_agent_core_collector_up(w->core, w->now_ns);
	publish_open(w, &open, 900);
	round_(w);
	assert_int_equal(w->nr_slices, 2);
	second = w->slices[1].head.ship_key;
	assert_int_equal(w->slices[1].head.length_bytes, 900);
	ack(w, first);
	assert_int_equal(held(w), 1);
	ack(w, second);
	assert_int_equal(held(w), 0);
	destroy(w);
}

static void doubled_answer_counts_once(void **state)
{
	struct world *w = make();
	struct hs_agent_stats stats;

	(void)state;
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	trigger(w, 1, 0);
	round_(w);
	pass(w, PATIENCE_NS + 1);
	pass(w, PATIENCE_NS + 1);
	pass(w, PATIENCE_NS + 1);
	assert_true(w->nr_slices >= 2);
	ack(w, w->slices[0].head.ship_key);
	assert_int_equal(held(w), 1);
	ack(w, w->slices[w->nr_slices - 1].head.ship_key);
	ack(w, w->slices[w->nr_slices - 1].head.ship_key);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.slices_acked, 1);
	assert_true(stats.slices_resent >= 1);
	assert_int_equal(held(w), 0);
	destroy(w);
}

/* What a collector refused of an open buffer is missed when it is closed. */
static void refusal_of_an_open_part_is_told(void **state)
{
	struct world *w = make();
	struct open_buffer open = open_buffer(w, 1, 300);
	struct {
		struct hs_wire_slice_ack head;
		uint64_t key;
	} refusal = {.head = {.nr = 1, .refused = 1}};

	(void)state;
	trigger(w, 1, 0);
	round_(w);
	stored(w, last(w, HS_WIRE_TRIGGER));
	scan_open(w, &open);
	assert_int_equal(w->nr_slices, 1);
	refusal.key = w->slices[0].head.ship_key;
	hs_agent_core_message(w->core, 98, HS_WIRE_SLICE_ACK, &refusal,
			      sizeof(refusal), w->now_ns);
	publish_open(w, &open, 900);
	round_(w);
	round_(w);
	assert_non_null(last(w, HS_WIRE_UPDATE));
	assert_true(answer_of(last(w, HS_WIRE_UPDATE), NULL)->flags &
		    HS_WIRE_F_LOST);
	destroy(w);
}

/* A way that takes no longer ones: the parts go one after the other. */
static void longer_than_the_carrier_takes(void **state)
{
	struct world *w = make();
	const uint32_t upto[] = {90, 180, 200};
	uint32_t from = 0;

	(void)state;
	hs_agent_core_slice_limit(w->core, 90);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 200);
	trigger(w, 1, 0);
	round_(w);
	for (uint32_t i = 0; i < 3; i++) {
		const struct hs_agent_slice *slice = &w->slices[i];

		assert_int_equal(w->nr_slices, i + 1);
		assert_int_equal(slice->head.offset, from);
		assert_int_equal(slice->head.length_bytes, upto[i] - from);
		assert_int_equal(slice->head.final, i == 2);
		assert_int_equal(slice->committed, 200);
		assert_int_equal(held(w), 1);
		from = upto[i];
		ack(w, slice->head.ship_key);
		round_(w);
	}
	assert_int_equal(w->nr_slices, 3);
	assert_int_equal(held(w), 0);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_stuck_slice_goes_again),
		cmocka_unit_test(late_answer_is_not_for_the_whole),
		cmocka_unit_test(doubled_answer_counts_once),
		cmocka_unit_test(refusal_of_an_open_part_is_told),
		cmocka_unit_test(longer_than_the_carrier_takes),
	};

	return cmocka_run_group_tests_name("core_acks", tests, NULL, NULL);
}

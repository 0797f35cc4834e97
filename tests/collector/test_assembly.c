/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: law 4's mark, cause by cause; the union of manifests; what arrives
 * twice, late and in any order.
 */
#include "tests/collector/assembly_rig.h"

static void test_two_nodes_complete(void **state)
{
	struct rig *r = *state;

	slice(r,
	      (struct slice_args){.node = A, .length_bytes = 100, .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_true(has_cause(r, 0, HS_ASSEMBLY_WHY_NO_MANIFEST));
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 100, {B}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_true(has_cause(r, B, HS_ASSEMBLY_WHY_NO_ANSWER));
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 100, {B}},
			 {B, 1, HS_WIRE_STATE_CLOSED, 0, 2, 50, {A}}));
	assert_true(has_cause(r, B, HS_ASSEMBLY_WHY_MISSING));
	slice(r,
	      (struct slice_args){.node = B, .length_bytes = 30, .final = 1});
	slice(r, (struct slice_args){.node = B, .seq = 1, .length_bytes = 20});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	slice(r, (struct slice_args){
			 .node = B, .seq = 1, .offset = 20, .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	assert_int_equal(view(r, 1).nr_bytes, 150);
}

static void test_every_cause_of_partial(void **state)
{
	static const struct {
		uint32_t rev;
		uint16_t wire_state, flags;
		enum hs_assembly_why why;
	} cases[] = {
		{0, HS_WIRE_STATE_UNREACHABLE, 0, HS_ASSEMBLY_WHY_UNREACHABLE},
		{0, HS_WIRE_STATE_GONE, 0, HS_ASSEMBLY_WHY_GONE},
		{1, HS_WIRE_STATE_UNKNOWN, 0, HS_ASSEMBLY_WHY_UNKNOWN},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_EVICTED,
		 HS_ASSEMBLY_WHY_EVICTED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_LOST, HS_ASSEMBLY_WHY_LOST},
		{1, HS_WIRE_STATE_OPEN, HS_WIRE_F_ABANDONED,
		 HS_ASSEMBLY_WHY_ABANDONED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_CRASHED,
		 HS_ASSEMBLY_WHY_CRASHED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_MODIFIED,
		 HS_ASSEMBLY_WHY_MODIFIED},
		{1, HS_WIRE_STATE_CLOSED, HS_WIRE_F_CUT, HS_ASSEMBLY_WHY_CUT},
		{1, HS_WIRE_STATE_CLOSED, 0x4000, HS_ASSEMBLY_WHY_LOST},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig *r = *state;

		forget(r);
		start(r);
		manifest(r, (struct manifest_args){.settled = 1},
			 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {B}},
				 {B,
				  cases[i].rev,
				  cases[i].wire_state,
				  cases[i].flags,
				  0,
				  0,
				  {0}}));
		assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
		assert_true(has_cause(r, B, cases[i].why));
		assert_true(view(r, 1).settled);
	}
}

static void test_open_answer_then_closed(void **state)
{
	struct rig *r = *state;
	uint64_t v;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 3, HS_WIRE_STATE_OPEN, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_OPEN));
	v = view(r, 1).version;
	/* An older word of the same node changes nothing. */
	manifest(r, (struct manifest_args){.epoch = 2},
		 ANSWERS({A, 2, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_int_equal(view(r, 1).version, v);
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A, 4, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	assert_true(view(r, 1).version > v);
}

/* "Unknown" takes nothing back. */
static void known_then_forgotten(struct rig *r)
{
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A,
			  2,
			  HS_WIRE_STATE_UNKNOWN,
			  HS_WIRE_F_EVICTED,
			  0,
			  0,
			  {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
}

/* Unless something was lost since. */
static void test_forgotten_and_lost_since(void **state)
{
	struct rig *r = *state;

	known_then_forgotten(r);
	manifest(r, (struct manifest_args){.version = 3},
		 ANSWERS({A,
			  3,
			  HS_WIRE_STATE_UNKNOWN,
			  HS_WIRE_F_EVICTED | HS_WIRE_F_LOST,
			  0,
			  0,
			  {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_LOST));
	/* What another coordinator heard before that does not mend it. */
	manifest(r, (struct manifest_args){.epoch = 2},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
}

/* Nor does it hide what is said afterwards. */
static void test_oblivion_takes_nothing_back(void **state)
{
	struct rig *r = *state;

	known_then_forgotten(r);
	manifest(r, (struct manifest_args){.version = 3},
		 ANSWERS({A,
			  3,
			  HS_WIRE_STATE_CLOSED,
			  HS_WIRE_F_EVICTED,
			  0,
			  0,
			  {0}}));
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_EVICTED));
}

static void test_slice_flags_make_partial(void **state)
{
	struct rig *r = *state;

	slice(r, (struct slice_args){.node = A,
				     .length_bytes = 10,
				     .final = 1,
				     .flags = HS_WIRE_F_CRASHED});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_CRASHED));
}

static void test_late_data_raises_version(void **state)
{
	struct rig *r = *state;
	uint64_t v;

	slice(r,
	      (struct slice_args){.node = A, .length_bytes = 10, .final = 1});
	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	v = view(r, 1).version;
	slice(r, (struct slice_args){.node = A, .seq = 1, .length_bytes = 10});
	assert_int_equal(view(r, 1).version, v + 1);
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({A, 2, HS_WIRE_STATE_CLOSED, 0, 2, 30, {0}}));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	assert_int_equal(view(r, 1).version, v + 2);
	/* Overlapping the ten bytes that are there. */
	slice(r, (struct slice_args){.node = A,
				     .seq = 1,
				     .offset = 5,
				     .length_bytes = 15,
				     .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	assert_int_equal(view(r, 1).nr_bytes, 30);
}

static void test_duplicates_are_stored_once(void **state)
{
	struct rig *r = *state;
	struct slice_args s = {
		.node = A, .length_bytes = 10, .final = 1, .ship_key = 77};
	uint64_t v;

	slice(r, s);
	v = view(r, 1).version;
	slice(r, s);
	slice(r,
	      (struct slice_args){.node = A, .offset = 2, .length_bytes = 3});
	assert_int_equal(view(r, 1).version, v);
	assert_int_equal(r->nr_stored, 1);
	/* The copy is no more durable than the original. */
	assert_int_equal(r->nr_slice_acks, 0);
	sync_all(r);
	assert_int_equal(r->nr_slice_acks, 3);
	slice(r, s);
	assert_int_equal(r->nr_slice_acks, 4);
	assert_int_equal(r->last_ship_key, 77);
}

static void test_holes_and_many_ranges(void **state)
{
	struct rig *r = *state;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 40, {0}}));
	slice(r,
	      (struct slice_args){
		      .node = A, .offset = 30, .length_bytes = 10, .final = 1});
	slice(r,
	      (struct slice_args){.node = A, .offset = 10, .length_bytes = 5});
	slice(r,
	      (struct slice_args){.node = A, .offset = 0, .length_bytes = 5});
	assert_int_equal(view(r, 1).nr_bytes, 20);
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_MISSING));
	slice(r,
	      (struct slice_args){.node = A, .offset = 4, .length_bytes = 26});
	assert_int_equal(view(r, 1).nr_bytes, 40);
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
	/* Five islands are more than a buffer remembers: it says so. */
	for (uint32_t i = 0; i < 5; i++)
		slice(r, (struct slice_args){.node = A,
					     .seq = 1,
					     .offset = 10 * i,
					     .length_bytes = 5});
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_CUT));
}

static void test_triggers_are_named_once(void **state)
{
	struct rig *r = *state;
	struct hs_wire_trace_id id = make_trace(1);
	struct hs_wire_trigger t[4];
	const struct answer_args *answers =
		ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}});

	manifest(r,
		 (struct manifest_args){
			 .trigger_key = 5, .origin = A, .trigger = "error"},
		 answers);
	manifest(r,
		 (struct manifest_args){.trigger_key = 5,
					.origin = A,
					.trigger = "error",
					.epoch = 9},
		 answers);
	manifest(r,
		 (struct manifest_args){
			 .trigger_key = 5, .origin = B, .trigger = "slow"},
		 answers);
	assert_int_equal(hs_assembly_triggers(r->a, &id, t, 4), 2);
	assert_string_equal(t[0].name, "error");
	assert_string_equal(t[1].name, "slow");
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
}

static void test_later_incarnation_answers(void **state)
{
	struct rig *r = *state;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {NODE(2, 5)}},
			 {NODE(2, 4), 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	/* An earlier one does not speak for it. */
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_NO_ANSWER));
	manifest(r, (struct manifest_args){.version = 2},
		 ANSWERS({NODE(2, 5), 0, HS_WIRE_STATE_GONE, 0, 0, 0, {0}}));
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_GONE));
	manifest(r, (struct manifest_args){.version = 3},
		 ANSWERS({NODE(2, 6), 1, HS_WIRE_STATE_CLOSED, 0, 0, 0, {0}}));
	/* A later one began without its memory, and cannot make up for it. */
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_GONE));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
}

/* What an agent owed is not on its way once a later one of it is there. */
static void test_later_incarnation_is_connected(void **state)
{
	struct rig *r = *state;
	uint64_t version;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({NODE(2, 5), 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	hs_assembly_node_up(r->a, NODE(2, 5));
	hs_assembly_node_up(r->a, NODE(3, 9));
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_MISSING));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_OPEN);
	version = view(r, 1).version;
	hs_assembly_node_up(r->a, NODE(2, 6));
	assert_true(has_cause(r, NODE(2, 5), HS_ASSEMBLY_WHY_GONE));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	assert_true(view(r, 1).version > version);
	/* It had been on its way all the same. */
	slice(r, (struct slice_args){
			 .node = NODE(2, 5), .length_bytes = 10, .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
}

/* All that the node knows of has arrived, and a handle's first is not there. */
static void test_gap_in_a_handle(void **state)
{
	struct rig *r = *state;

	manifest(r, (struct manifest_args){0},
		 ANSWERS({A, 1, HS_WIRE_STATE_CLOSED, 0, 1, 10, {0}}));
	slice(r, (struct slice_args){
			 .node = A, .seq = 1, .length_bytes = 10, .final = 1});
	assert_true(has_cause(r, A, HS_ASSEMBLY_WHY_LOST));
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_PARTIAL);
	slice(r, (struct slice_args){
			 .node = A, .seq = 0, .length_bytes = 10, .final = 1});
	assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
}

#define NR_EVENTS 6

static void event(struct rig *r, int which)
{
	switch (which) {
	case 0:
		slice(r, (struct slice_args){.node = A, .length_bytes = 20});
		break;
	case 1:
		slice(r, (struct slice_args){.node = A,
					     .offset = 10,
					     .length_bytes = 20,
					     .final = 1});
		break;
	case 2:
		slice(r, (struct slice_args){
				 .node = B, .length_bytes = 5, .final = 1});
		break;
	case 3:
		manifest(r,
			 (struct manifest_args){.epoch = 1,
						.origin = A,
						.trigger_key = 1,
						.trigger = "one"},
			 ANSWERS({A, 1, HS_WIRE_STATE_OPEN, 0, 1, 20, {B}},
				 {B,
				  0,
				  HS_WIRE_STATE_UNREACHABLE,
				  0,
				  0,
				  0,
				  {0}}));
		break;
	case 4:
		manifest(r,
			 (struct manifest_args){.epoch = 2,
						.origin = B,
						.trigger_key = 1,
						.trigger = "two"},
			 ANSWERS({B, 3, HS_WIRE_STATE_CLOSED, 0, 1, 5, {A}}));
		break;
	default:
		manifest(r,
			 (struct manifest_args){
				 .epoch = 1, .version = 2, .settled = 1},
			 ANSWERS({A, 2, HS_WIRE_STATE_CLOSED, 0, 1, 30, {B}}));
		break;
	}
}

/* Heap's algorithm, one step at a time. */
static bool next_order(int *order, int *count, int *at)
{
	while (*at < NR_EVENTS) {
		if (count[*at] < *at) {
			int j = *at % 2 ? count[*at] : 0;
			int swap = order[*at];

			order[*at] = order[j];
			order[j] = swap;
			count[*at]++;
			*at = 0;
			return true;
		}
		count[(*at)++] = 0;
	}
	return false;
}

static void test_any_order_leads_to_the_same(void **state)
{
	struct rig *r = *state;
	int order[NR_EVENTS] = {0, 1, 2, 3, 4, 5};
	int count[NR_EVENTS] = {0};
	int at = 0;
	int nr = 0;

	do {
		struct hs_assembly_view v;

		forget(r);
		start(r);
		for (int i = 0; i < NR_EVENTS; i++) {
			event(r, order[i]);
			if (nr % 3 == 0)
				event(r, order[nr % (i + 1)]);
			if (nr % 2)
				sync_all(r);
			/* Only 3 says nothing that others do not say. */
			if (i < NR_EVENTS - 2 ||
			    (i == NR_EVENTS - 2 && order[i + 1] != 3))
				assert_int_not_equal(view(r, 1).mark,
						     HS_ASSEMBLY_COMPLETE);
		}
		v = view(r, 1);
		assert_int_equal(v.mark, HS_ASSEMBLY_COMPLETE);
		assert_int_equal(v.nr_bytes, 35);
		assert_int_equal(v.nr_triggers, 2);
		assert_int_equal(v.nr_nodes, 2);
		sync_all(r);
		start(r);
		assert_int_equal(view(r, 1).mark, HS_ASSEMBLY_COMPLETE);
		assert_int_equal(view(r, 1).version, v.version);
		nr++;
	} while (next_order(order, count, &at));
	assert_int_equal(nr, 720);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_two_nodes_complete),
		T(test_every_cause_of_partial),
		T(test_open_answer_then_closed),
		T(test_forgotten_and_lost_since),
		T(test_slice_flags_make_partial),
		T(test_late_data_raises_version),
		T(test_duplicates_are_stored_once),
		T(test_holes_and_many_ranges),
		T(test_triggers_are_named_once),
		T(test_later_incarnation_answers),
		T(test_later_incarnation_is_connected),
		T(test_gap_in_a_handle),
		T(test_oblivion_takes_nothing_back),
		T(test_any_order_leads_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

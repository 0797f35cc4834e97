/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_budget.c - who is told first where a coordinator limits how much
 * may be said to it: rare triggers, domains, weights, what was begun before
 */
#include "tests/agent/core_world.h"

#include <stdio.h>

#include "agent/core_priv.h"

#define MS	    1000000ull
#define COORDINATOR (1ull << 32)

static struct world *w;
static uint64_t next_lo;
static void *domain_memory, *domain_ledger; /* of the second one */

static int setup(void **state)
{
	(void)state;
	w = make();
	free(w->ledger);
	w->config.nr_groups = 128;
	w->config.nr_fired = 256;
	w->domain.nr_buffers = 512;
	free(w->domain_ledger);
	w->ledger = calloc(1, hs_agent_node_ledger_bytes(&w->config));
	w->domain_ledger = calloc(1, hs_agent_domain_ledger_bytes(&w->domain));
	restart(w);
	next_lo = 1;
	domain_memory = domain_ledger = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	destroy(w);
	free(domain_memory);
	free(domain_ledger);
	return 0;
}

static void says_refused(uint64_t origin, uint64_t key, uint32_t per_s,
			 uint64_t wait_ns)
{
	struct hs_wire_refused m = {.origin = origin,
				    .key = key,
				    .wait_ns = wait_ns,
				    .per_s = per_s};

	hs_agent_core_message(w->core, COORDINATOR, HS_WIRE_REFUSED, &m,
			      sizeof(m), w->now_ns);
	check(w);
}

/* It has refused something that is not to be said any more. */
static void limit(uint32_t per_s, uint64_t wait_ns)
{
	says_refused(NODE, 77, per_s, wait_ns);
}

static void refuse(const struct sent *s, uint32_t per_s, uint64_t wait_ns)
{
	says_refused(trigger_of(s)->origin, trigger_of(s)->key, per_s, wait_ns);
}

/* Traces that have a buffer here. */
static void fire(const char *name, uint32_t nr)
{
	while (nr--) {
		struct hs_wire_trace_id id = {0, next_lo++};

		write_buffer(w, id.lo, HS_SHM_ENTRY_END, 1000);
		assert_int_equal(
			hs_agent_core_fire(w->core, name, &id, 1, w->now_ns),
			0);
	}
}

static void rounds(uint32_t nr)
{
	while (nr--)
		round_(w);
}

/* How many TRIGGERs of that name were said, of the first @of messages. */
static uint32_t said(const char *name, uint32_t of)
{
	uint32_t nr = 0;

	assert_true(w->nr_out <= OUT_MAX);
	for (uint32_t i = 0; i < w->nr_out && i < of; i++)
		nr += w->out[i].type == HS_WIRE_TRIGGER &&
		      !strcmp(trigger_of(&w->out[i])->name, name);
	return nr;
}

static uint64_t limited(void)
{
	struct hs_agent_queue_stats q;

	hs_agent_core_queue_stats_get(w->core, &q);
	return q.limited;
}

/* Of 100 a second each trigger of a new trace costs two. */
static void a_flood_does_not_hold_up_a_rare_one(void **state)
{
	(void)state;
	limit(100, 10 * MS);
	fire("flood", 60);
	rounds(5);
	fire("rare", 2);
	rounds(4);
	assert_int_equal(w->nr_out, 0);
	assert_int_equal(limited(), 62);
	rounds(100);
	assert_int_equal(said("rare", 4), 2);
	/* The flood has what is left, to the last of it. */
	assert_in_range(said("flood", OUT_MAX), 3, 4);
	rounds(900);
	assert_in_range(said("flood", OUT_MAX), 48, 49);
}

/* All of it is said in the end, the highest priority first. */
static void all_is_said_and_by_priority(void **state)
{
	uint64_t last_class = 63;

	(void)state;
	limit(1000, 10 * MS);
	fire("flood", 60);
	rounds(200);
	assert_int_equal(said("flood", OUT_MAX), 60);
	assert_int_equal(limited(), 0);
	for (uint32_t i = 0; i < 60; i++) {
		uint64_t class = trigger_of(&w->out[i])->priority >> 58;

		assert_true(class <= last_class);
		last_class = class;
	}
}

static void floods_share_by_weight(void **state)
{
	struct hs_agent_config config = w->config;

	(void)state;
	config.nr_policies = 1;
	config.policies[0] =
		(struct hs_agent_trigger_policy){.name = "heavy", .weight = 3};
	hs_agent_core_policy_set(w->core, &config);
	limit(1000, 10 * MS);
	fire("heavy", 50);
	fire("flood", 50);
	rounds(90);
	assert_in_range(w->nr_out, 40, 41);
	assert_in_range(said("heavy", 40), 29, 31);
	assert_in_range(said("flood", 40), 9, 11);
}

/* A trace of @domain with a buffer there, which fires. */
static void fire_in(uint32_t domain)
{
	static const struct hs_shm_trigger names[2] = {{"slow"}, {"error"}};
	struct hs_shm_entry e[2] = {
		{.trace_lo = next_lo, .handle = 1, .type = HS_SHM_ENTRY_END},
		{.trace_lo = next_lo,
		 .u.arg = next_lo % 2,
		 .type = HS_SHM_ENTRY_TRIGGER}};

	next_lo++;
	e[0].u.buffer.ref =
		hs_shm_stock_ref(hs_agent_core_stock(w->core, domain, 1));
	e[0].u.buffer.committed = 1000;
	assert_int_equal(hs_agent_core_entries(w->core, domain, 1, e, 2, names,
					       2, w->now_ns),
			 2);
}

/* One with two triggers that flood beside one with one. */
static void domains_share_whatever_their_triggers(void **state)
{
	uint32_t nr = 0;

	(void)state;
	domain_memory = calloc(1, hs_agent_domain_size_bytes(&w->domain));
	domain_ledger = calloc(1, hs_agent_domain_ledger_bytes(&w->domain));
	assert_int_equal(hs_agent_core_domain_add(w->core, 1, domain_memory,
						  domain_ledger, &w->domain,
						  w->now_ns),
			 0);
	limit(1000, 10 * MS);
	for (int i = 0; i < 60; i++)
		fire_in(0);
	for (int i = 0; i < 30; i++) {
		next_lo |= 1;
		fire_in(1);
	}
	rounds(90);
	assert_in_range(w->nr_out, 40, 41);
	for (uint32_t i = 0; i < 40; i++)
		nr += trigger_of(&w->out[i])->primary.lo <= 60;
	assert_in_range(nr, 19, 21);
	/* Of the first one's both have as much. */
	assert_in_range(said("slow", 40), 9, 11);
}

/* What was begun is over before something is begun anew. */
static void updates_go_first(void **state)
{
	(void)state;
	fire("slow", 1);
	rounds(2);
	assert_int_equal(w->nr_out, 1);
	stored(w, &w->out[0]);
	limit(10, 100 * MS);
	fire("slow", 20);
	rounds(2);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 900);
	rounds(105);
	assert_int_equal(w->nr_out, 2);
	assert_int_equal(w->out[1].type, HS_WIRE_UPDATE);
	/* It costs half of what a trigger does. */
	rounds(95);
	assert_int_equal(w->nr_out, 3);
	assert_int_equal(w->out[2].type, HS_WIRE_TRIGGER);
	rounds(190);
	assert_int_equal(w->nr_out, 3);
	rounds(20);
	assert_int_equal(w->nr_out, 4);
}

/* What a trace that both name has to say is the rare one's. */
static void a_trace_of_both_is_the_rare_ones(void **state)
{
	(void)state;
	fire("rare", 1);
	next_lo = 1;
	fire("flood", 41);
	rounds(2);
	for (uint32_t i = 0; i < 42; i++)
		stored(w, &w->out[i]);
	w->nr_out = 0;
	limit(100, 50 * MS);
	for (uint64_t lo = 2; lo <= 41; lo++)
		write_buffer(w, lo, HS_SHM_ENTRY_END, 900);
	rounds(2);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 900);
	rounds(60);
	assert_int_equal(w->nr_out, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(w->out[i].type, HS_WIRE_UPDATE);
	assert_true(answer_of(&w->out[0], NULL)->trace.lo == 1 ||
		    answer_of(&w->out[1], NULL)->trace.lo == 1);
}

/* It goes again to the same one when that takes it, and no later. */
static void what_is_refused_is_said_in_its_turn(void **state)
{
	struct hs_agent_stats st;

	(void)state;
	fire("flood", 3);
	rounds(1);
	assert_int_equal(w->nr_out, 3);
	refuse(&w->out[1], 1000, 20 * MS);
	refuse(&w->out[1], 1000, 20 * MS);
	rounds(18);
	assert_int_equal(w->nr_out, 3);
	rounds(4);
	assert_int_equal(w->nr_out, 4);
	assert_int_equal(w->out[3].attempt, 0);
	assert_int_equal(trigger_of(&w->out[3])->key,
			 trigger_of(&w->out[1])->key);
	/* Those that were not are still said again after a second. */
	rounds(990);
	assert_int_equal(w->nr_out, 6);
	assert_int_equal(w->out[4].attempt, 1);
	hs_agent_core_stats_get(w->core, &st);
	assert_int_equal(st.requests_refused, 2);
	/* An UPDATE likewise. */
	for (uint32_t i = 0; i < 3; i++)
		stored(w, &w->out[i]);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 900);
	rounds(5);
	assert_int_equal(last(w, HS_WIRE_UPDATE), &w->out[6]);
	refuse(&w->out[6], 1000, 20 * MS);
	rounds(18);
	assert_int_equal(w->nr_out, 7);
	rounds(4);
	assert_int_equal(w->nr_out, 8);
	assert_int_equal(w->out[7].attempt, 0);
	assert_int_equal(trigger_of(&w->out[7])->key,
			 trigger_of(&w->out[6])->key);
}

/* A second's worth is saved up, as the coordinator does. */
static void what_is_left_over_is_saved(void **state)
{
	(void)state;
	limit(20, 10 * MS);
	rounds(5000);
	fire("flood", 40);
	rounds(3);
	assert_in_range(w->nr_out, 10, 11);
}

static void another_life_has_no_budget(void **state)
{
	(void)state;
	limit(1, 1000 * MS);
	fire("flood", 10);
	rounds(5);
	assert_int_equal(w->nr_out, 0);
	assert_int_equal(limited(), 10);
	hs_agent_core_coordinator_down(w->core, COORDINATOR, w->now_ns);
	check(w);
	assert_int_equal(limited(), 0);
	rounds(2);
	assert_int_equal(w->nr_out, 10);
	limit(1, 1000 * MS);
	fire("flood", 10);
	rounds(5);
	hs_agent_core_coordinator_up(w->core, COORDINATOR + 1, w->now_ns);
	rounds(2);
	assert_int_equal(said("flood", OUT_MAX), 30);
}

/* Said before, not stored yet, and due again: it is stored meanwhile. */
static void who_is_stored_waits_no_more(void **state)
{
	(void)state;
	fire("flood", 1);
	rounds(1);
	limit(1, 2000 * MS);
	rounds(1100);
	assert_int_equal(limited(), 1);
	stored(w, &w->out[0]);
	check(w);
	assert_int_equal(limited(), 0);
	rounds(3000);
	assert_int_equal(w->nr_out, 1);
}

/* More coordinators, triggers and requests than there are places for. */
static void there_are_limits(void **state)
{
	struct hs_wire_refused m = {.origin = NODE, .key = 77, .per_s = 10};
	char name[16];

	(void)state;
	for (uint64_t i = 100; i < 200; i++)
		hs_agent_core_message(w->core, i << 32, HS_WIRE_REFUSED, &m,
				      sizeof(m), w->now_ns);
	limit(1, 100 * MS);
	fire("flood", 3);
	rounds(2);
	/* No account of it: it goes on as if it had said nothing. */
	assert_int_equal(w->nr_out, 3);
	for (uint64_t i = 100; i < 200; i++)
		hs_agent_core_coordinator_down(w->core, i << 32, w->now_ns);
	limit(1000, 10 * MS);
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		fire(name, 1);
	}
	rounds(240);
	assert_int_equal(w->nr_out, 103);
	/* What cannot be is no budget. */
	limit(0, 10 * MS);
	m.wait_ns = UINT64_MAX;
	hs_agent_core_message(w->core, COORDINATOR, HS_WIRE_REFUSED, &m,
			      sizeof(m) - 1, w->now_ns);
	fire("flood", 1);
	rounds(3);
	assert_int_equal(w->nr_out, 104);
	hs_agent_core_message(w->core, COORDINATOR, HS_WIRE_REFUSED, &m,
			      sizeof(m), w->now_ns);
	fire("flood", 1);
	w->now_ns += 61000 * MS;
	rounds(2);
	assert_true(w->nr_out > 104);
}

int main(void)
{
#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		each(a_flood_does_not_hold_up_a_rare_one),
		each(all_is_said_and_by_priority),
		each(floods_share_by_weight),
		each(domains_share_whatever_their_triggers),
		each(updates_go_first),
		each(a_trace_of_both_is_the_rare_ones),
		each(what_is_refused_is_said_in_its_turn),
		each(what_is_left_over_is_saved),
		each(another_life_has_no_budget),
		each(who_is_stored_waits_no_more),
		each(there_are_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

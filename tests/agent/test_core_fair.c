/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_fair.c - who is reported when, and who gives way: weights, rates,
 * shares of what may be pinned, groups, holds of several triggers
 */
#include "tests/agent/core_world.h"

#include <errno.h>

#include "agent/core_priv.h"

static uint64_t next_key = 1000;

/* A COLLECT by another node's trigger, for up to four traces. */
static void named(struct world *w, const char *name, uint64_t priority,
		  uint32_t nr, const uint64_t *los)
{
	struct {
		struct hs_wire_group g;
		struct hs_wire_trace_id ids[4];
	} m = {.g = {.trigger = {.origin = 5,
				 .key = next_key++,
				 .priority = priority,
				 .primary = {0, los[0]}},
		     .nr = nr}};

	strcpy(m.g.trigger.name, name);
	for (uint32_t i = 0; i < nr; i++)
		m.ids[i].lo = los[i];
	hs_agent_core_message(w->core, 99, HS_WIRE_COLLECT, &m,
			      (uint32_t)(sizeof(m.g) + nr * sizeof(m.ids[0])),
			      w->now_ns);
	round_(w);
}

static void named_one(struct world *w, const char *name, uint64_t priority,
		      uint64_t lo)
{
	named(w, name, priority, 1, &lo);
}

static void write_trace(struct world *w, uint64_t lo, uint32_t nr_buffers)
{
	while (nr_buffers--)
		write_buffer(w, lo, HS_SHM_ENTRY_END, 1000);
}

static struct hs_agent_trigger_stats of(struct world *w, const char *name)
{
	struct hs_agent_trigger_stats s[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr = hs_agent_core_trigger_stats_get(w->core, s,
						      HS_AGENT_TRIGGERS_MAX);

	for (uint32_t i = 0; i < nr; i++)
		if (!strcmp(s[i].name, name))
			return s[i];
	return (struct hs_agent_trigger_stats){.name = ""};
}

static bool abandoned(struct world *w, uint64_t lo)
{
	uint32_t f = hs_fired_find(w->core, 0, lo);

	assert_true(f != HS_NIL);
	return hs_fired_abandoned(w->core, f);
}

static struct world *make_with(const struct hs_agent_trigger_policy *policies,
			       uint32_t nr, uint64_t bytes_per_s)
{
	struct world *w = make();

	w->config.nr_policies = nr;
	memcpy(w->config.policies, policies, nr * sizeof(*policies));
	w->config.bytes_per_s = bytes_per_s;
	w->config.window_bytes = 1 << 20;
	restart(w);
	return w;
}

/* What was named just now is not given up before that. */
static void settle(struct world *w)
{
	for (int i = 0; i < 52; i++)
		round_(w);
}

/* Half of 64 buffers may be pinned; the flood takes what the other leaves. */
static void a_flood_spares_who_is_within_its_share(void **state)
{
	struct world *w = make();

	(void)state;
	w->full = true;
	for (uint64_t lo = 1; lo <= 8; lo++) {
		write_trace(w, lo, 1);
		named_one(w, "rare", 1, lo); /* lower than all of the flood */
	}
	for (uint64_t lo = 100; lo < 150; lo++) {
		write_trace(w, lo, 2);
		if (hs_fired_find(w->core, 0, lo) == HS_NIL)
			named_one(w, "flood", lo, lo);
		for (int i = 0; i < 3; i++)
			round_(w);
	}
	settle(w);
	assert_int_equal(of(w, "rare").traces_abandoned, 0);
	assert_int_equal(of(w, "rare").buffers_pinned, 8);
	assert_true(of(w, "flood").traces_abandoned > 0);
	assert_true(of(w, "flood").buffers_pinned >= 22);
	assert_true(of(w, "flood").buffers_pinned <= 24);
	destroy(w);
}

static void ack_all(struct world *w)
{
	for (uint32_t k = 0; k < w->nr_slices; k++)
		ack(w, w->slices[k].head.ship_key);
	w->nr_slices = 0;
}

static uint32_t nr_sent(const struct world *w, uint64_t odd)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < w->nr_slices; i++)
		nr += (w->slices[i].head.trace.lo & 1) == odd;
	return nr;
}

static void who_has_no_collector_holds_nobody_up(void **state)
{
	struct world *w = make();

	(void)state;
	w->away = 2;
	for (uint64_t lo = 1; lo <= 12; lo++) {
		write_trace(w, lo, 1);
		named_one(w, "odd", lo & 1 ? 100 + lo : lo, lo);
	}
	round_(w);
	assert_int_equal(nr_sent(w, 0), 6);
	assert_int_equal(nr_sent(w, 1), 0);
	assert_false(hs_agent_core_busy(w->core));
	check(w);
	/* It belongs to another one now. */
	w->away = 0;
	round_(w);
	assert_int_equal(nr_sent(w, 1), 0);
	ack_all(w);
	hs_agent_core_routes_changed(w->core);
	round_(w);
	check(w);
	assert_int_equal(nr_sent(w, 1), 6);
	/* The highest went first. */
	assert_int_equal(w->slices[0].head.trace.lo, 11);
	assert_int_equal(w->slices[5].head.trace.lo, 1);
	destroy(w);
}

/* Pinned memory is what gives way, wherever it would go. */
static void who_has_no_collector_gives_way_like_others(void **state)
{
	struct world *w = make();
	uint32_t nr = 0;

	(void)state;
	w->away = 2;
	for (uint64_t lo = 1; lo <= 39; lo += 2) {
		write_trace(w, lo, 2);
		named_one(w, "away", lo, lo);
	}
	settle(w);
	check(w);
	assert_int_equal(of(w, "away").buffers_pinned, 32);
	assert_int_equal(of(w, "away").traces_abandoned, 4);
	assert_true(abandoned(w, 1));
	assert_true(abandoned(w, 7));
	assert_false(abandoned(w, 9));
	w->away = 0;
	hs_agent_core_collector_up(w->core, w->now_ns);
	for (int i = 0; i < 13; i++) {
		round_(w);
		nr += nr_sent(w, 1);
		ack_all(w);
	}
	assert_int_equal(nr, 32);
	destroy(w);
}

static void weights_share_what_may_be_pinned(void **state)
{
	const struct hs_agent_trigger_policy p[] = {
		{.name = "heavy", .weight = 3}, {.name = "light", .weight = 1}};
	struct world *w = make_with(p, 2, 0);

	(void)state;
	w->full = true;
	for (uint64_t lo = 1; lo <= 12; lo++) {
		write_trace(w, lo, 3);
		named_one(w, "light", lo, lo);
		write_trace(w, lo + 100, 3);
		named_one(w, "heavy", lo, lo + 100);
	}
	settle(w);
	assert_in_range(of(w, "heavy").buffers_pinned, 22, 26);
	assert_in_range(of(w, "light").buffers_pinned, 6, 10);
	assert_false(abandoned(w, 12));
	assert_true(abandoned(w, 1));
	destroy(w);
}

static void only_when_all_let_go(void **state)
{
	struct world *w = make();

	(void)state;
	w->full = true;
	write_trace(w, 1, 2);
	named_one(w, "flood", 1, 1);
	named_one(w, "rare", 1, 1);
	for (uint64_t lo = 100; lo < 125; lo++) {
		write_trace(w, lo, 2);
		named_one(w, "flood", lo, lo);
	}
	settle(w);
	/* The lowest of the flood let go of it; the other holds it. */
	assert_true(of(w, "flood").groups_abandoned > 0);
	assert_false(abandoned(w, 1));
	assert_int_equal(of(w, "rare").buffers_pinned, 2);
	w->full = false;
	w->nr_slices = 0;
	round_(w);
	for (uint32_t k = 0; k < w->nr_slices; k++)
		if (w->slices[k].head.trace.lo == 1) {
			destroy(w);
			return;
		}
	fail_msg("what was held was not sent");
}

static void a_group_goes_as_one(void **state)
{
	struct world *w = make();
	const uint64_t group[3] = {1, 2, 3};

	(void)state;
	w->full = true;
	for (int i = 0; i < 3; i++)
		write_trace(w, group[i], 1);
	named(w, "flood", 1, 3, group);
	named_one(w, "rare", 7, 2);
	for (uint64_t lo = 100; lo < 120; lo++) {
		write_trace(w, lo, 2);
		named_one(w, "flood", lo, lo);
	}
	settle(w);
	assert_true(abandoned(w, 1));
	assert_true(abandoned(w, 3));
	assert_false(abandoned(w, 2)); /* the other trigger's */
	destroy(w);
}

/* A second trigger's word comes a little later than the first's. */
static void what_fired_just_now_is_waited_for(void **state)
{
	struct world *w = make();

	(void)state;
	w->full = true;
	for (uint64_t lo = 100; lo < 116; lo++) {
		write_trace(w, lo, 2);
		named_one(w, "flood", lo, lo);
	}
	settle(w);
	write_trace(w, 1, 2);
	named_one(w, "flood", 1, 1);
	for (int i = 0; i < 40; i++)
		round_(w);
	assert_int_equal(of(w, "flood").traces_abandoned, 0);
	named_one(w, "rare", 1, 1);
	write_trace(w, 2, 2);
	named_one(w, "flood", 2, 2);
	settle(w);
	assert_false(abandoned(w, 1));
	assert_true(abandoned(w, 2));
	assert_false(abandoned(w, 101));
	destroy(w);
}

static uint64_t sent(struct world *w, const char *name)
{
	return of(w, name).bytes_sent;
}

static void bytes_go_by_weight(void **state)
{
	const struct hs_agent_trigger_policy p[] = {
		{.name = "heavy", .weight = 3}, {.name = "light", .weight = 1}};
	/* 1 kB each millisecond, which is a round */
	struct world *w = make_with(p, 2, 1000000);

	(void)state;
	w->full = true;
	for (uint64_t lo = 1; lo <= 12; lo++) {
		write_trace(w, lo, 1);
		named_one(w, "light", lo, lo);
		write_trace(w, lo + 100, 1);
		named_one(w, "heavy", lo, lo + 100);
	}
	/* The burst is used up on something else. */
	hs_rate_use(&w->core->bytes, 50000, 50000000, w->now_ns);
	w->full = false;
	for (int i = 0; i < 13; i++) {
		round_(w);
		ack_all(w);
	}
	assert_in_range(sent(w, "heavy") + sent(w, "light"), 12000, 14000);
	assert_in_range(sent(w, "heavy"), 9000, 10000);
	destroy(w);
}

static void one_has_a_rate_of_its_own(void **state)
{
	const struct hs_agent_trigger_policy p[] = {
		{.name = "slow", .bytes_per_s = 100000}};
	struct world *w = make_with(p, 1, 0);

	(void)state;
	w->full = true;
	for (uint64_t lo = 1; lo <= 12; lo++) {
		write_trace(w, lo, 1);
		named_one(w, "slow", lo, lo);
		write_trace(w, lo + 100, 1);
		named_one(w, "other", lo, lo + 100);
	}
	w->full = false;
	round_(w);
	assert_int_equal(sent(w, "other"), 12000);
	/* 5 kB at once is its burst, then one in ten rounds. */
	assert_in_range(sent(w, "slow"), 5000, 6000);
	for (int i = 0; i < 30; i++) {
		round_(w);
		ack_all(w);
	}
	assert_in_range(sent(w, "slow"), 8000, 9000);
	destroy(w);
}

/* Two domains: the one with more waiting does not keep the other waiting. */
static void domains_take_turns(void **state)
{
	struct world *w = make_with(NULL, 0, 1000000);
	void *memory = calloc(1, hs_agent_domain_size_bytes(&w->domain));
	void *ledger = calloc(1, hs_agent_domain_ledger_bytes(&w->domain));
	static const struct hs_shm_trigger names[1] = {{"slow"}};
	uint32_t of_domain[2] = {0, 0};

	(void)state;
	w->domain.weight = 1;
	assert_int_equal(hs_agent_core_domain_add(w->core, 1, memory, ledger,
						  &w->domain, w->now_ns),
			 0);
	w->full = true;
	for (uint64_t lo = 1; lo <= 24; lo++) {
		uint32_t domain = lo % 4 == 0;
		struct hs_shm_entry e = {
			.trace_lo = lo, .handle = 1, .type = HS_SHM_ENTRY_END};

		e.u.buffer.ref = hs_shm_stock_ref(
			hs_agent_core_stock(w->core, domain, 1));
		e.u.buffer.committed = 1000;
		assert_int_equal(hs_agent_core_entries(w->core, domain, 1, &e,
						       1, names, 1, w->now_ns),
				 1);
		named_one(w, "slow", lo, lo);
	}
	hs_rate_use(&w->core->bytes, 50000, 50000000, w->now_ns);
	w->full = false;
	for (int i = 0; i < 9; i++)
		round_(w);
	for (uint32_t k = 0; k < w->nr_slices; k++)
		of_domain[w->slices[k].domain]++;
	assert_in_range(of_domain[0], 4, 5);
	assert_in_range(of_domain[1], 4, 5);
	destroy(w);
	free(memory);
	free(ledger);
}

static void one_trigger_cannot_fill_the_outbox(void **state)
{
	struct world *w = make();
	uint64_t lo = 1;

	(void)state;
	while (of(w, "slow").refused == 0)
		trigger(w, lo++, 0);
	assert_in_range(of(w, "slow").waiting, 14, 15); /* of 16 */
	trigger(w, 99, 1);
	assert_int_equal(of(w, "error").refused, 0);
	assert_int_equal(of(w, "error").waiting, 1);
	destroy(w);
}

static void the_table_of_the_fired_makes_room(void **state)
{
	struct world *w = make();
	struct hs_agent_stats stats;

	(void)state;
	for (uint64_t lo = 1; lo <= 200; lo++) {
		write_trace(w, lo, 1);
		named_one(w, "slow", lo, lo);
		ack_all(w);
		/* What an UPDATE said is stored. */
		if (last(w, HS_WIRE_UPDATE))
			stored(w, last(w, HS_WIRE_UPDATE));
		w->now_ns += 200000000ull;
		round_(w);
		round_(w);
	}
	hs_agent_core_stats_get(w->core, &stats);
	assert_true(stats.fired_forgotten_early > 100);
	assert_int_equal(stats.collects_refused, 0);
	destroy(w);
}

/* ---- shares of all traces ---------------------------------------------------
 */

/* Return: how many of @nr traces are in the index, a buffer each. */
static uint64_t kept_of(struct world *w, uint64_t from, uint64_t nr)
{
	struct hs_agent_stats before, after;

	hs_agent_core_stats_get(w->core, &before);
	for (uint64_t lo = from; lo < from + nr; lo++) {
		crumb(w, lo, 0x900000001ull);
		write_trace(w, lo, 1);
		check(w);
	}
	hs_agent_core_stats_get(w->core, &after);
	assert_int_equal(after.traces_seen - before.traces_seen +
				 after.buffers_unkept - before.buffers_unkept,
			 nr);
	return after.traces_seen - before.traces_seen;
}

static bool kept(struct world *w, uint64_t lo)
{
	return hs_sample_kept(w->core, 0, lo);
}

static void a_share_is_kept(void **state)
{
	struct world *w = make();
	struct hs_agent_config config;
	uint64_t lo = 5000, other = 5000;
	const struct hs_wire_answer *a;

	(void)state;
	assert_int_equal(kept_of(w, 1, 100), 100);
	config = w->config;
	config.kept_ppm = 250000;
	hs_agent_core_policy_set(w->core, &config);
	assert_in_range(kept_of(w, 1000, 1000), 200, 300);
	while (kept(w, lo))
		lo++;
	while (!kept(w, other))
		other++;
	assert_int_equal(hs_agent_core_fire(w->core, "slow",
					    &(struct hs_wire_trace_id){0, lo},
					    1, w->now_ns),
			 -ENOENT);
	/* A node that keeps more asks for it. */
	collect(w, lo, 1);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->flags, HS_WIRE_F_EVICTED);
	assert_true(kept(w, other));
	destroy(w);
}

static void what_was_not_kept_is_not_whole(void **state)
{
	struct world *w = make();
	struct hs_agent_config config = w->config;
	const struct hs_wire_answer *a;
	uint64_t lo = 1;

	(void)state;
	config.kept_ppm = 250000;
	hs_agent_core_policy_set(w->core, &config);
	while (kept(w, lo))
		lo++;
	write_trace(w, lo, 1);
	round_(w);
	config.kept_ppm = 1000000;
	hs_agent_core_policy_set(w->core, &config);
	write_trace(w, lo, 1);
	collect(w, lo, 1);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->flags, HS_WIRE_F_EVICTED);
	destroy(w);
}

static void heads_are_collected(void **state)
{
	struct world *w = make();

	(void)state;
	w->config.head_ppm = 200000;
	restart(w);
	for (uint64_t lo = 1; lo <= 20; lo++)
		write_trace(w, lo, 1);
	round_(w);
	assert_in_range(of(w, "head").fired_local, 1, 9);
	assert_int_equal(w->nr_slices, of(w, "head").fired_local);
	/* What comes later of them does not fire again. */
	for (uint64_t lo = 1; lo <= 20; lo++)
		write_trace(w, lo, 1);
	ack_all(w);
	round_(w);
	assert_int_equal(w->nr_slices, of(w, "head").fired_local);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_spares_who_is_within_its_share),
		cmocka_unit_test(who_has_no_collector_holds_nobody_up),
		cmocka_unit_test(who_has_no_collector_gives_way_like_others),
		cmocka_unit_test(weights_share_what_may_be_pinned),
		cmocka_unit_test(only_when_all_let_go),
		cmocka_unit_test(a_group_goes_as_one),
		cmocka_unit_test(what_fired_just_now_is_waited_for),
		cmocka_unit_test(bytes_go_by_weight),
		cmocka_unit_test(one_has_a_rate_of_its_own),
		cmocka_unit_test(domains_take_turns),
		cmocka_unit_test(one_trigger_cannot_fill_the_outbox),
		cmocka_unit_test(the_table_of_the_fired_makes_room),
		cmocka_unit_test(a_share_is_kept),
		cmocka_unit_test(what_was_not_kept_is_not_whole),
		cmocka_unit_test(heads_are_collected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

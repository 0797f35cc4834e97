/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_policy.c - dry runs, a policy that changes, contexts from whom,
 * and how many fired traces are remembered
 */
#include "tests/agent/core_world.h"

#include <errno.h>

static struct hs_agent_trigger_stats stats_of(struct world *w, const char *name)
{
	struct hs_agent_trigger_stats all[HS_AGENT_TRIGGERS_MAX];
	uint32_t nr = hs_agent_core_trigger_stats_get(w->core, all,
						      HS_AGENT_TRIGGERS_MAX);

	for (uint32_t i = 0; i < nr; i++)
		if (!strcmp(all[i].name, name))
			return all[i];
	fail_msg("no trigger %s", name);
	return all[0];
}

static void policy(struct world *w, const struct hs_agent_trigger_policy *p,
		   uint32_t nr)
{
	w->config.nr_policies = nr;
	memcpy(w->config.policies, p, nr * sizeof(*p));
	hs_agent_core_policy_set(w->core, &w->config);
}

static void dry_run_counts_and_takes_nothing(void **state)
{
	static const struct hs_agent_trigger_policy dry[] = {
		{.name = "slow", .dry_run = true}};
	struct world *w = make();
	struct hs_agent_trigger_stats s;
	struct hs_agent_domain_stats d;

	policy(w, dry, 1);
	write_buffer(w, 10, HS_SHM_ENTRY_BUFFER, 1000);
	write_buffer(w, 10, HS_SHM_ENTRY_END, 200);
	write_buffer(w, 11, HS_SHM_ENTRY_END, 300);
	trigger(w, 10, 0);
	trigger(w, 10, 0); /* counts once as a trace */
	trigger(w, 11, 0);
	trigger(w, 12, 0); /* of which nothing is here */
	round_(w);
	assert_null(last(w, HS_WIRE_TRIGGER));
	assert_int_equal(w->nr_slices, 0);
	s = stats_of(w, "slow");
	assert_true(s.dry_run);
	assert_int_equal(s.fired_local, 0);
	assert_int_equal(s.dry_fired, 4);
	assert_int_equal(s.dry_traces, 3);
	assert_int_equal(s.dry_bytes, 1500);
	hs_agent_core_domain_stats_get(w->core, 0, w->now_ns, &d);
	assert_int_equal(d.buffers_pinned, 0);
	/* What comes later counts, too; what is not its own does not. */
	write_buffer(w, 12, HS_SHM_ENTRY_END, 100);
	write_buffer(w, 13, HS_SHM_ENTRY_END, 100);
	assert_int_equal(stats_of(w, "slow").dry_bytes, 1600);
	/* Another trigger of the same trace is not held back by it. */
	trigger(w, 10, 1);
	round_(w);
	assert_non_null(last(w, HS_WIRE_TRIGGER));
	assert_string_equal(trigger_of(last(w, HS_WIRE_TRIGGER))->name,
			    "error");
	destroy(w);
}

/* Somebody else's dry run is not ours: who asks for the trace gets it. */
static void dry_run_answers_others(void **state)
{
	static const struct hs_agent_trigger_policy dry[] = {
		{.name = "slow", .dry_run = true}};
	struct world *w = make();

	policy(w, dry, 1);
	write_buffer(w, 10, HS_SHM_ENTRY_END, 200);
	collect(w, 10, 1);
	round_(w);
	assert_non_null(last(w, HS_WIRE_CRUMBS));
	assert_int_equal(w->nr_slices, 1);
	destroy(w);
}

static void policy_changes_at_once(void **state)
{
	static const struct hs_agent_trigger_policy first[] = {
		{.name = "slow", .weight = 3, .rate_per_s = 1}};
	static const struct hs_agent_trigger_policy second[] = {
		{.name = "error", .weight = 5, .bytes_per_s = 7}};
	const struct hs_wire_trace_id ids[] = {{0, 1}, {0, 2}, {0, 3}};
	struct world *w = make();

	policy(w, first, 1);
	assert_int_equal(stats_of(w, "slow").weight, 3);
	assert_int_equal(
		hs_agent_core_fire(w->core, "slow", &ids[0], 1, w->now_ns), 0);
	assert_int_equal(
		hs_agent_core_fire(w->core, "slow", &ids[1], 1, w->now_ns),
		-EBUSY);
	policy(w, second, 1);
	/* Its limit went with its entry; its counters did not. */
	assert_int_equal(
		hs_agent_core_fire(w->core, "slow", &ids[1], 1, w->now_ns), 0);
	assert_int_equal(stats_of(w, "slow").weight, 1);
	assert_int_equal(stats_of(w, "slow").fired_local, 2);
	assert_int_equal(stats_of(w, "slow").limited, 1);
	assert_int_equal(stats_of(w, "error").weight, 5);
	assert_int_equal(stats_of(w, "error").bytes_per_s, 7);
	/* What fired under the old one stays fired. */
	round_(w);
	assert_non_null(last(w, HS_WIRE_TRIGGER));
	destroy(w);
}

static void flagged(struct world *w, uint64_t lo, uint64_t from)
{
	struct hs_shm_entry e = {.trace_lo = lo,
				 .type = HS_SHM_ENTRY_CONTEXT_TRIGGER};

	crumb(w, lo, from);
	assert_int_equal(push(w, &e, 1), 1);
}

static void contexts_from_peers_only(void **state)
{
	struct world *w = make();
	struct hs_agent_stats s;

	w->config.nr_context_peers = 1;
	w->config.context_peers[0] = (struct hs_agent_node_range){8, 9};
	hs_agent_core_policy_set(w->core, &w->config);
	for (uint64_t t = 1; t <= 3; t++) {
		w->now_ns += 1000;
		write_buffer(w, t, HS_SHM_ENTRY_END, 100);
	}
	w->now_ns += 1000;
	flagged(w, 1, 7ull << 32 | 1); /* nobody we know */
	hs_agent_core_stats_get(w->core, &s);
	assert_int_equal(s.contexts_refused, 1);
	flagged(w, 2, 9ull << 32 | 1);
	hs_agent_core_stats_get(w->core, &s);
	assert_int_equal(s.triggers_context, 2);
	assert_int_equal(s.contexts_refused, 1);
	/* Neither fires anything: whoever fired it is to be asked. */
	round_(w);
	assert_null(last(w, HS_WIRE_TRIGGER));
	/* A trace that is not here, nor its crumb: nothing to keep. */
	assert_int_equal(push(w,
			      &(struct hs_shm_entry){
				      .trace_lo = 99,
				      .type = HS_SHM_ENTRY_CONTEXT_TRIGGER},
			      1),
			 1);
	check(w);
	destroy(w);
}

/* What a believed context keeps outlives what others name. */
static void context_keeps_from_eviction(void **state)
{
	struct world *w = make();
	const struct hs_wire_answer *a;

	w->config.nr_context_peers = 1;
	w->config.context_peers[0] = (struct hs_agent_node_range){9, 9};
	hs_agent_core_policy_set(w->core, &w->config);
	write_buffer(w, 1, HS_SHM_ENTRY_END, 100);
	write_buffer(w, 2, HS_SHM_ENTRY_END, 100);
	crumb(w, 1, 8ull << 32 | 1);
	crumb(w, 2, 9ull << 32 | 1);
	for (uint64_t t = 3; t <= 3 + NR_BUFFERS; t++) {
		struct hs_shm_entry e = {.type = HS_SHM_ENTRY_CONTEXT_TRIGGER};

		w->now_ns += 1000000000;
		write_buffer(w, t, HS_SHM_ENTRY_END, 100);
		e.trace_lo = 1 + t % 2;
		push(w, &e, 1);
	}
	collect(w, 1, 1);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_UNKNOWN);
	collect(w, 2, 2);
	round_(w);
	a = answer_of(last(w, HS_WIRE_CRUMBS), NULL);
	assert_int_equal(a->state, HS_WIRE_STATE_CLOSED);
	assert_int_equal(a->flags, 0);
	destroy(w);
}

/* The table of fired traces is capped; over it a trigger is refused, counted,
 * and heard again once there is room. */
static void fired_is_capped(void **state)
{
	struct world *w = make();
	struct hs_wire_trace_id id = {0, 0};
	struct hs_agent_stats s;
	int rc = 0;

	for (id.lo = 1; id.lo < 100 && rc == 0; id.lo++) {
		rc = hs_agent_core_fire(w->core, "slow", &id, 1, w->now_ns);
		round_(w);
	}
	assert_int_equal(rc, -ENOSPC);
	hs_agent_core_stats_get(w->core, &s);
	assert_int_equal(s.triggers_refused, 1);
	assert_true(s.triggers_local < 32);
	stored(w, last(w, HS_WIRE_TRIGGER));
	assert_int_equal(hs_agent_core_fire(w->core, "slow", &id, 1, w->now_ns),
			 0);
	destroy(w);
}

static void late_and_repeated(void **state)
{
	struct world *w = make();
	const struct hs_wire_crumb *crumbs;
	const struct hs_wire_answer *a;
	const struct sent *s;
	struct hs_agent_stats stats;

	write_buffer(w, 10, HS_SHM_ENTRY_END, 200);
	trigger(w, 10, 0);
	round_(w);
	s = last(w, HS_WIRE_TRIGGER);
	assert_non_null(s);
	ack(w, w->slices[0].head.ship_key);
	stored(w, s);
	/* Said again by the same trigger: once is enough. */
	trigger(w, 10, 0);
	round_(w);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.triggers_local, 1);
	/* By another one: that is news, and the coordinator hears its name. */
	trigger(w, 10, 1);
	round_(w);
	hs_agent_core_stats_get(w->core, &stats);
	assert_int_equal(stats.triggers_local, 2);
	assert_string_equal(trigger_of(last(w, HS_WIRE_TRIGGER))->name,
			    "error");
	stored(w, last(w, HS_WIRE_TRIGGER));
	/* A late crumb and late data go after it. */
	crumb(w, 10, 0x900000001ull);
	round_(w);
	s = last(w, HS_WIRE_UPDATE);
	assert_non_null(s);
	a = answer_of(s, &crumbs);
	assert_int_equal(a->nr_crumbs, 1);
	assert_int_equal(crumbs[0].node, 0x900000001ull);
	write_buffer(w, 10, HS_SHM_ENTRY_END, 300);
	round_(w);
	assert_int_equal(w->nr_slices, 2);
	assert_int_equal(w->slices[1].head.length_bytes, 300);
	a = answer_of(last(w, HS_WIRE_UPDATE), NULL);
	assert_int_equal(a->nr_buffers, 2);
	assert_int_equal(a->nr_bytes, 500);
	destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dry_run_counts_and_takes_nothing),
		cmocka_unit_test(dry_run_answers_others),
		cmocka_unit_test(policy_changes_at_once),
		cmocka_unit_test(contexts_from_peers_only),
		cmocka_unit_test(context_keeps_from_eviction),
		cmocka_unit_test(fired_is_capped),
		cmocka_unit_test(late_and_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: table 2 of "The Benefit of Hindsight" (NSDI'23), row by row: what
 * the paper says that each autotrigger does, as far as the agent sees it, which
 * is the triggers and laterals that come out of a lane. Each row fires for what
 * it names and for nothing else. The queue's, which the paper makes of two of
 * them for its UC3, comes last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "hs/autotrigger.h"

#define SAMPLES 20000u

static struct fake_agent agent;
static struct hs_trigger *trigger;

static int setup(void **state)
{
	const struct hs_client_options options = {
		.service = "svc", .trigger_rate_per_s = 1u << 30};

	harness_attach(&agent, NULL, &options);
	trigger = hs_trigger_define("table-2");
	return trigger ? 0 : -1;
}

static int teardown(void **state)
{
	harness_detach(&agent);
	return 0;
}

static struct hs_trace_id id_of(uint64_t n)
{
	return (struct hs_trace_id){7, n + 1};
}

/* What the lanes have said since this was asked last. */
static uint32_t triggers_now(void)
{
	agent.nr_entries = 0;
	fake_agent_drain(&agent);
	return fake_agent_count(&agent, HS_SHM_ENTRY_TRIGGER);
}

/* The trigger that was drained names trace @n, and @nr before it: @first on. */
static void assert_names(uint64_t n, uint32_t nr, uint64_t first)
{
	const struct hs_shm_entry *e =
		fake_agent_entry(&agent, HS_SHM_ENTRY_TRIGGER, 0);

	assert_non_null(e);
	assert_int_equal(e->trace_hi, 7);
	assert_int_equal(e->trace_lo, n + 1);
	assert_int_equal(e->aux, nr);
	assert_int_equal(fake_agent_count(&agent, HS_SHM_ENTRY_LATERAL), nr);
	/* Each once, in whichever order. */
	for (uint64_t want = first; want < first + nr; want++) {
		uint32_t times = 0;

		for (uint32_t i = 0; i < nr; i++)
			times += fake_agent_entry(&agent, HS_SHM_ENTRY_LATERAL,
						  i)
					 ->trace_lo == want + 1;
		assert_int_equal(times, 1);
	}
}

/*
 * PercentileTrigger(p): "fires for measurements > percentile p". A thousand
 * values in an order that is no order, again and again; 1 % lie far above the
 * others.
 */
static void test_percentile_trigger(void **state)
{
	struct hs_auto_percentile *p = hs_auto_percentile_create(99, 0);
	uint32_t above = 0, fired = 0;

	assert_non_null(p);
	for (uint32_t i = 0; i < SAMPLES; i++) {
		bool high = i % 100 == 37, said;
		uint64_t value = 1000 + (uint64_t)i * 7919 % 1000;
		struct hs_trace_id id = id_of(i);

		said = hs_auto_percentile_add(p, high ? 1000 * value : value);
		if (said)
			hs_trigger_fire(trigger, &id, NULL, 0);
		/* Once it knows the values: exactly the high ones. */
		if (i >= SAMPLES / 2)
			assert_int_equal(said, high);
		if (said) {
			assert_int_equal(triggers_now(), 1);
			assert_names(i, 0, 0);
		}
		above += high;
		fired += said;
	}
	assert_in_range(fired, above / 2, above + above / 10);
	hs_auto_percentile_destroy(p);
}

/*
 * CategoryTrigger(f): "categorical data that is less frequent than threshold
 * f". Two labels at a half each, nearly, and one at one and a half f, at six
 * tenths of f and at a tenth of f.
 */
static void test_category_trigger(void **state)
{
	struct hs_auto_category *c = hs_auto_category_create(0.01, 0);
	uint32_t under = 0, tenth = 0;

	assert_non_null(c);
	for (uint32_t i = 0; i < 10 * SAMPLES; i++) {
		uint32_t k = (uint32_t)((uint64_t)i * 7919 % 1000);
		const char *label = k < 1    ? "tenth of f"
				    : k < 7  ? "under f"
				    : k < 22 ? "over f"
				    : k % 2  ? "GET"
					     : "POST";
		bool rare = k < 7, said;
		struct hs_trace_id id = id_of(i);

		said = hs_auto_category_add_text(c, label);
		if (i < SAMPLES)
			continue;
		assert_int_equal(said, rare);
		if (!said)
			continue;
		hs_trigger_fire(trigger, &id, NULL, 0);
		assert_int_equal(triggers_now(), 1);
		assert_names(i, 0, 0);
		under += k >= 1;
		tenth += k < 1;
	}
	assert_int_equal(under, 9 * SAMPLES / 1000 * 6);
	assert_int_equal(tenth, 9 * SAMPLES / 1000);
	hs_auto_category_destroy(c);
}

/* ExceptionTrigger: "on an exception or error code"; on each, and on no other.
 */
static void test_exception_trigger(void **state)
{
	for (uint32_t i = 0; i < 1000; i++) {
		bool failed = i % 7 == 3;
		struct hs_trace_id id = id_of(i);

		assert_int_equal(hs_auto_exception(trigger, &id, failed),
				 failed);
		assert_int_equal(triggers_now(), failed);
		if (failed)
			assert_names(i, 0, 0);
	}
}

/*
 * TriggerSet(T, N): "tracks the most recent N traceIds and includes as lateral
 * traceIds when T fires". T is any of the above: here an exception. Fewer are
 * there before N came; adding fires nothing.
 */
static void test_trigger_set(void **state)
{
	for (uint32_t n = 1; n <= HS_LATERAL_MAX; n *= 2) {
		struct hs_auto_set *set = hs_auto_set_create(n);
		uint32_t nr = 0;

		assert_non_null(set);
		for (uint32_t i = 0; i < 4 * n; i++) {
			bool failed = i % 3 == 2;
			struct hs_trace_id id = id_of(i);

			if (failed)
				assert_true(
					hs_auto_set_fire(set, trigger, &id));
			assert_int_equal(triggers_now(), failed);
			if (failed)
				assert_names(i, nr, i - nr);
			hs_auto_set_add(set, &id);
			nr += nr < n;
		}
		hs_auto_set_destroy(set);
	}
}

/*
 * The queueTrigger of UC3, a TriggerSet over a PercentileTrigger of waiting
 * times: who waited longest, with the N that left before it.
 */
static void test_queue_trigger(void **state)
{
	struct hs_auto_queue *q = hs_auto_queue_create(99, 0, 10);

	assert_non_null(q);
	for (uint32_t i = 0; i < SAMPLES; i++) {
		bool late = i % 100 == 37, said;
		uint64_t ns = 1000 + (uint64_t)i * 7919 % 1000;
		struct hs_trace_id id = id_of(i);

		said = hs_auto_queue_leave(q, trigger, &id,
					   late ? 1000 * ns : ns);
		if (i >= SAMPLES / 2)
			assert_int_equal(said, late);
		assert_int_equal(triggers_now(), said);
		if (said)
			assert_names(i, 10, i - 10);
	}
	hs_auto_queue_destroy(q);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_percentile_trigger), T(test_category_trigger),
		T(test_exception_trigger),  T(test_trigger_set),
		T(test_queue_trigger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

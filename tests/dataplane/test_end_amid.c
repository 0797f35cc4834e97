/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal comes amid the end of a span, at each instruction of it in turn, and
 * its handler ends the trace: the application goes on, and the trace has ended
 * once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"
#include "single_step.h"

static struct fake_agent agent;
static struct hs_trace *trace;

static void end_trace(void)
{
	hs_trace_end(trace);
}

static uint64_t nested(void)
{
	struct hs_client_stats stats;

	hs_client_stats_get(&stats);
	return stats.calls_nested;
}

/* Return: of the handler's ends, those that were dropped; -1: none came. */
static int ends(uint32_t at)
{
	uint64_t before;
	struct hs_span s;
	bool reached;

	fake_agent_drain(&agent);
	fake_agent_stock_all(&agent, 0, 1);
	trace = hs_trace_begin(NULL, NULL);
	/* The second finds all that the first had to find out. */
	hs_span_start(trace, &s, "operation", 0);
	hs_span_end(&s);
	hs_span_start(trace, &s, "operation", 0);
	before = nested();
	single_step_begin(at, end_trace);
	hs_span_end(&s);
	reached = single_step_end();
	before = nested() - before;
	if (!reached || before)
		hs_trace_end(trace);
	for (uint32_t i = 0; i < agent.layout.nr_slots; i++)
		assert_false(fake_agent_slot(&agent, i)->use & 1);
	return reached ? (int)before : -1;
}

static void each_instruction(bool ticks, uint32_t at_most)
{
	struct fake_config config = fake_config_default();
	int rc, taken = 0, dropped = 0;
	uint32_t at = 1;

	config.class_bytes[0] = 1024;
	config.class_bytes[1] = 0;
	config.nr_rings = 1;
	harness_attach(&agent, &config, NULL);
	if (ticks)
		fake_agent_calibrate(&agent, 1, 0, 0);
	hs_client_poll();
	fake_agent_stock_all(&agent, 0, 16);
	for (; (rc = ends(at)) >= 0; at++) {
		dropped += rc;
		taken += !rc;
	}
	/* It was the way that was meant. */
	assert_true(at < at_most);
	/* Amid the record, and else. */
	assert_true(dropped > 5);
	assert_true(taken > 20);
	harness_detach(&agent);
}

static void test_shortest(void **state)
{
	each_instruction(true, 120);
}

static void test_without_a_clock(void **state)
{
	each_instruction(false, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shortest),
		cmocka_unit_test(test_without_a_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

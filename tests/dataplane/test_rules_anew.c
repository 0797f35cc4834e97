/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread sleeps in an attribute's call, at each instruction of it in turn,
 * while the rules change so often that its copy of the table is made anew: what
 * it finds is not held against rules of which it was not asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/rules.h"
#include "dataplane/rules_shared.h"
#include "harness.h"
#include "single_step.h"

#define VALUE 600

static struct fake_agent agent;
static uint64_t seq;

static void rules_ask(double at_least)
{
	struct hs_shm_rules table = {
		.version = HS_SHM_RULES_VERSION,
		.nr_rules = 1,
		.nr_tests = 1,
		.rules = {{.trigger = "code", .statuses = 7, .tests = 1}},
		.tests = {{.key = "our.code",
			   .numeric = 1,
			   .op = HS_SHM_TEST_AT_LEAST,
			   .number = at_least}},
	};

	seq += 2;
	hs_rules_shared_write(fake_agent_rules(&agent), &table, seq);
	hs_client_poll();
}

static void ask_anew(void)
{
	for (uint32_t i = 0; i < HS_RULES_TABLES; i++)
		rules_ask(VALUE + 1);
}

static const char *hidden(const char *text)
{
	__asm__ volatile("" : "+r"(text));
	return text;
}

/* A literal that its buffer has already goes the shortest way. */
enum key { LITERAL, LITERAL_AGAIN, ANY_OTHER };

/* Whether it slept: the call had so many instructions. */
static bool sleeps(enum key key, uint32_t at)
{
	struct hs_trace *t;
	struct hs_span s;
	bool slept;

	fake_agent_drain(&agent);
	fake_agent_stock_all(&agent, 0, 1);
	rules_ask(VALUE);
	t = hs_trace_begin(NULL, NULL);
	hs_span_start(t, &s, "op", 0);
	if (key == LITERAL_AGAIN)
		hs_span_attr_i64(&s, "our.code", VALUE - 1);
	single_step_begin(at, ask_anew);
	if (key == ANY_OTHER)
		hs_span_attr_i64(&s, hidden("our.code"), VALUE);
	else
		hs_span_attr_i64(&s, "our.code", VALUE);
	slept = single_step_end();
	hs_span_end(&s);
	hs_trace_end(t);
	return slept;
}

static void each_instruction(enum key key)
{
	struct fake_config config = fake_config_default();
	const struct hs_shm_watch *w;
	uint32_t at = 1;

	config.class_bytes[0] = 1024;
	config.class_bytes[1] = 0;
	config.nr_rings = 1;
	harness_attach(&agent, &config, NULL);
	fake_agent_calibrate(&agent, 1, 0, 0);
	fake_agent_stock_all(&agent, 0, 16);
	w = fake_agent_watch(&agent);
	for (; sleeps(key, at); at++)
		if (w->fired[0])
			fail_msg("at instruction %u", at);
	/* It was the call, and it is asked of: undisturbed, it fires. */
	assert_true(at > 50);
	assert_int_equal(w->fired[0], 1);
	harness_detach(&agent);
}

static void test_literal(void **state)
{
	each_instruction(LITERAL);
}

static void test_literal_again(void **state)
{
	each_instruction(LITERAL_AGAIN);
}

static void test_any_other(void **state)
{
	each_instruction(ANY_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literal),
		cmocka_unit_test(test_literal_again),
		cmocka_unit_test(test_any_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

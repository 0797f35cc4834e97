/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_step.c - what the other harnesses stand on: copies that are stepped
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "step.h"

static void on_signal(int number)
{
	step_board->word[1] += (uint64_t)number;
}

static void count_to_ten(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 10; i++)
		step_board->word[0]++;
	step_board->done = 1;
}

static struct step begin(void)
{
	step_board->word[0] = step_board->word[1] = 0;
	return step_begin(count_to_ten, NULL, false);
}

/* Who steps for longer than there is something to step is not held up. */
static void steps_end_with_the_function(void **state)
{
	struct step s = begin();
	uint64_t nr;

	(void)state;
	while (step_one(&s))
		;
	assert_int_equal(step_board->word[0], 10);
	assert_int_equal(step_board->done, 1);
	assert_false(s.over);
	nr = s.nr;
	assert_false(step_one(&s));
	assert_int_equal(s.nr, nr);
	assert_false(step_gone(s.pid));
	step_kill(&s);
	assert_true(step_gone(s.pid));
}

static void it_goes_on_to_its_end(void **state)
{
	struct step s = begin();

	(void)state;
	while (step_board->word[0] < 3 && step_one(&s))
		;
	assert_int_equal(step_board->word[0], 3);
	step_go_on(&s, SIGUSR1);
	assert_int_equal(step_board->word[0], 10);
	assert_int_equal(step_board->word[1], SIGUSR1);
	assert_false(step_one(&s));
	step_kill(&s);
	assert_true(step_gone(s.pid));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_end_with_the_function),
		cmocka_unit_test(it_goes_on_to_its_end),
	};

	signal(SIGUSR1, on_signal);
	step_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

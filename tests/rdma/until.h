/* SPDX-License-Identifier: Apache-2.0 */
/*
 * until.h - wait for what the sides of a connection do in one thread
 *
 * Whoever includes it says what a turn is: turn() lets each side do what it
 * can. Turns are counted, not timed: a slow machine fails nothing.
 */
#ifndef HS_TESTS_UNTIL_H
#define HS_TESTS_UNTIL_H

#define TURNS_MAX 30000

#define until(cond)                                                            \
	do {                                                                   \
		int turns_ = 0;                                                \
		while (!(cond)) {                                              \
			if (turns_++ == TURNS_MAX)                             \
				fail_msg("never came true: %s", #cond);        \
			turn();                                                \
		}                                                              \
	} while (0)

#endif

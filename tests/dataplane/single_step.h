/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a signal that comes amid a call, before any one of its
 * instructions, by the processor's flag. x86-64 only.
 */
#ifndef HS_TEST_SINGLE_STEP_H
#define HS_TEST_SINGLE_STEP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From here on instructions are counted; before number @at, from 1, a signal's
 * handler calls @then, and nothing is counted any more.
 */
void single_step_begin(uint32_t at, void (*then)(void));
/* Return: whether there were as many. */
bool single_step_end(void);

#endif

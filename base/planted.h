/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: bugs put in on purpose, so that the simulator and the kill harness
 * can be shown to find them. Only a build with -Dplanted_bugs=true and the test
 * that compiles its own copy (tests/kill) have any; elsewhere HS_PLANTED() is
 * the constant false and its branch is compiled away.
 */
#ifndef HS_PLANTED_H
#define HS_PLANTED_H

#include <stdbool.h>
#include <stdint.h>

/* The last number of the simulator's, which are numbered from 1 with gaps;
 * how many the kill harness has, from HS_PLANTED_KILL. */
#define HS_NR_PLANTED	   48u
#define HS_PLANTED_KILL	   101u
#define HS_NR_PLANTED_KILL 11u

#ifdef HS_PLANTED_BUGS
extern uint32_t hs_planted;
#define HS_PLANTED(n) (hs_planted == (n))
#else
#define HS_PLANTED(n) false
#endif

/**
 * hs_planted_choose() - which of them is there from now on
 * @n: 0: none
 *
 * Context: before anything else runs.
 * Return: false: this build has none, or not that one.
 */
bool hs_planted_choose(uint32_t n);

#endif

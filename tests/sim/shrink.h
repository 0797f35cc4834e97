/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shrink.h - what the command line says otherwise than the seed; and a failing
 * run made smaller while it still fails
 */
#ifndef HS_TESTS_SIM_SHRINK_H
#define HS_TESTS_SIM_SHRINK_H

#include "tests/sim/sim.h"

/* Give a parameter, by its name, another value. Return: false: no such one. */
bool sim_param_set(struct sim_params *p, const char *name, const char *value);
/* What is different from what the seed draws, as options of hs-sim. */
void sim_params_print(const struct sim_params *p, FILE *f);
/* Writes STORY.txt and STORY.json and prints how to run it again. */
void sim_shrink(const struct sim_params *p, const char *story);

#endif

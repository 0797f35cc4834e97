/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reached.c - which states the production's machines took, bouts included, and
 * that none stepped where it must not (-Dtransitions=true)
 */
#include <inttypes.h>

#include "base/reached.h"
#include "tests/sim/sim.h"

#ifdef HS_TRANSITIONS

#define TO(n) (1u << (n))

/* Where each state may lead to: written down here once more on purpose. */
static const struct machine {
	const char *name;
	const char *states[HS_MACHINE_STATES];
	uint8_t legal[HS_MACHINE_STATES];
} machines[HS_NR_MACHINES] = {
	[HS_MACHINE_BUFFER] = {"buffer",
			       {"free", "stocked", "held", "freeing"},
			       {TO(1), TO(0) | TO(2), TO(0) | TO(3), TO(0)}},
	[HS_MACHINE_TOLD] = {"answer",
			     {"none", NULL, "unknown", "open", "closed"},
			     {TO(2) | TO(3) | TO(4), 0, TO(3) | TO(4), TO(4),
			      TO(3)}},
	[HS_MACHINE_TRACE] = {"trace",
			      {"free", "seeking", "telling", "stored"},
			      {TO(2), TO(2), TO(1) | TO(3),
			       TO(0) | TO(1) | TO(2)}},
	[HS_MACHINE_VISIT] = {"visit",
			      {"free", "asked", "unreachable", "answered",
			       "gone", "hinted"},
			      {TO(1) | TO(3) | TO(4) | TO(5),
			       TO(2) | TO(3) | TO(4), TO(3) | TO(4), 0, TO(3),
			       TO(1) | TO(3) | TO(4)}},
	[HS_MACHINE_SEEK] = {"question",
			     {"none", "queued", "asked", "done"},
			     {TO(1), TO(2) | TO(3), TO(3), 0}},
	[HS_MACHINE_MARK] = {"mark",
			     {"open", "complete", "partial"},
			     {TO(1) | TO(2), TO(0) | TO(2), TO(0) | TO(1)}},
	[HS_MACHINE_SENDER] = {"sender",
			       {"opening", "up", "closed"},
			       {TO(1) | TO(2), TO(0) | TO(2), 0}},
	[HS_MACHINE_FRAME] = {"frame",
			      {"none", "flying", "lost", "here"},
			      {TO(1), TO(2) | TO(3), TO(1) | TO(3), TO(2)}},
	[HS_MACHINE_CONNECTION] = {"connection",
				   {"free", "embryo", "up"},
				   {TO(1), TO(0) | TO(2), TO(0)}},
	[HS_MACHINE_SETTLE] = {"slice",
			       {"waiting", "durable", "refused"},
			       {TO(1) | TO(2), 0, 0}},
};

static const char *state_name(const struct machine *m, uint32_t state)
{
	return m->states[state] ? m->states[state] : "?";
}

void sim_reached_check(struct sim *s)
{
	for (uint32_t i = 0; i < HS_NR_MACHINES; i++)
		for (uint32_t k = 0; k < HS_MACHINE_STATES * HS_MACHINE_STATES;
		     k++) {
			const struct machine *m = &machines[i];
			uint32_t from = k / HS_MACHINE_STATES;
			uint32_t to = k % HS_MACHINE_STATES;

			if (from != to && hs_reached[i][from][to] &&
			    !(m->legal[from] & TO(to))) {
				sim_fail(s, "a %s steps from %s to %s", m->name,
					 state_name(m, from),
					 state_name(m, to));
				hs_reached[i][from][to] = 0; /* told */
				return;
			}
		}
}

/* Return: how many of its legal transitions were never taken. */
static uint32_t print_machine(uint32_t i)
{
	const struct machine *m = &machines[i];
	uint32_t never = 0;

	for (uint32_t from = 0; from < HS_MACHINE_STATES; from++)
		for (uint32_t to = 0; to < HS_MACHINE_STATES; to++) {
			uint64_t nr = hs_reached[i][from][to];

			if (!(m->legal[from] & TO(to)))
				continue;
			printf("step %-10s %-11s -> %-11s %12" PRIu64 "%s\n",
			       m->name, m->states[from], m->states[to], nr,
			       nr ? "" : " NEVER");
			never += !nr;
		}
	return never;
}

void sim_reached_print(void)
{
	uint32_t never = 0, nr = 0;

	for (uint32_t i = 0; i < HS_NR_MACHINES; i++) {
		never += print_machine(i);
		for (uint32_t k = 0; k < HS_MACHINE_STATES; k++)
			nr += (uint32_t)__builtin_popcount(
				machines[i].legal[k]);
	}
	printf("steps of %u machines reached: %u of %u\n",
	       (uint32_t)HS_NR_MACHINES, nr - never, nr);
}

#else

void sim_reached_check(struct sim *s)
{
}

void sim_reached_print(void)
{
}

#endif

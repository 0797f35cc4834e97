/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which states the machines of the pure files step from and to, for
 * the simulator's report of what it reached. Only a build with
 * -Dtransitions=true counts; elsewhere HS_REACHED() is nothing.
 */
#ifndef HS_REACHED_H
#define HS_REACHED_H

#include <stdint.h>

enum hs_machine {
	HS_MACHINE_BUFFER = 0,	   /* enum hs_ledger_state */
	HS_MACHINE_TOLD = 1,	   /* what an agent says of a trace that fired:
				      enum hs_wire_state; 0: nothing yet */
	HS_MACHINE_TRACE = 2,	   /* enum hs_coord_state */
	HS_MACHINE_VISIT = 3,	   /* enum hs_coord_visit_state */
	HS_MACHINE_SEEK = 4,	   /* enum hs_coord_seek */
	HS_MACHINE_MARK = 5,	   /* enum hs_assembly_mark */
	HS_MACHINE_SENDER = 6,	   /* enum sender_state */
	HS_MACHINE_FRAME = 7,	   /* enum frame_state */
	HS_MACHINE_CONNECTION = 8, /* enum connection_state */
	HS_MACHINE_SETTLE = 9,	   /* enum settle_state */
	HS_NR_MACHINES
};

#define HS_MACHINE_STATES 8u

#ifdef HS_TRANSITIONS
extern uint64_t hs_reached[HS_NR_MACHINES][HS_MACHINE_STATES]
			  [HS_MACHINE_STATES];
#define HS_REACHED(machine, from, to)                                          \
	((void)hs_reached[machine][(from) % HS_MACHINE_STATES]                 \
			 [(to) % HS_MACHINE_STATES]++)
#else
#define HS_REACHED(machine, from, to) ((void)0)
#endif

#endif

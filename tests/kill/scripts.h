/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a client is doing when it is killed: short scripts of calls,
 * and what each of them promises.
 *
 * Calls count from 1; "after call 0" is before the first. What stands before
 * the first is done by prepare().
 */
#ifndef HS_TEST_KILL_SCRIPTS_H
#define HS_TEST_KILL_SCRIPTS_H

#include "records.h"

#define SCRIPT_CALLS_MAX 7u
#define SCRIPT_LATERALS	 2u
#define SCRIPT_NEVER	 99u

struct script {
	const char *name;
	void (*prepare)(void);
	void (*call)(uint32_t number);
	uint32_t nr_calls;
	/* of the victim's trace, that are committed after each call */
	uint32_t records[SCRIPT_CALLS_MAX + 1];
	uint32_t begun;	  /* after this call the trace exists; 0: before */
	uint32_t ended;	  /* and after this it has ended */
	uint32_t lateral; /* this call fires with SCRIPT_LATERALS laterals */
	uint16_t flags;	  /* HS_WIRE_F_* that may stand beside CRASHED */
	bool waits;	  /* the END may wait in the client: either is true */
	bool threaded;	  /* run by a thread, whose exit is the last call */
	bool undrained;	  /* the agent has not seen what prepare() did */
};

extern const struct script scripts[]; /* ended by one without a name */
extern const struct hs_wire_trace_id script_trace; /* the victim's */

/** script_run() - all calls, each announced on the board; @script: of it */
void script_run(void *script);
/** script_handle() - of the victim's trace */
struct hs_trace *script_handle(void);
/** script_point() - a tracepoint's number among the records: is it what was
 * written? True for records that are none. */
bool script_point(const struct script *s, uint32_t record, uint64_t hash);

#endif

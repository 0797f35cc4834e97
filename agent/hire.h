/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a worker's process: forked, with a line to its keeper, and this
 * program anew.
 */
#ifndef HS_AGENT_HIRE_H
#define HS_AGENT_HIRE_H

#include <stdbool.h>
#include <sys/types.h>

struct hs_hired {
	pid_t pid; /* 0: none */
	int sock;  /* the keeper's end, which does not wait to be read; -1 */
};

/**
 * hs_hire() - start one
 * @config: the file that it reads when it is told to reload
 * @idle: begin at idle priority
 *
 * It ends with the process that called this. The program is the one that
 * runs, whatever lies under its name by now.
 *
 * Context: single thread. Return: 0; or -errno, and there is none.
 */
int hs_hire(const char *config, bool idle, struct hs_hired *out);

#endif

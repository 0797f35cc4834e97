/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the process that outlives workers: holds their memory by name,
 * starts them, and starts them again.
 *
 * Guarantees: it maps nothing of what it holds and reads nothing that an
 * application wrote, so that nothing an application does can end it. One
 * keeper a run directory, by a lock that ends with its holder. What a worker
 * managed to send before it died is kept. A keeper that is killed takes its
 * worker along; a start after that needs no cleaning up.
 */
#ifndef HS_AGENT_KEEPER_H
#define HS_AGENT_KEEPER_H

#include <stddef.h>

#include "agent/settings.h"

#define HS_AGENT_LOCK_FILE   "agent.lock"
#define HS_AGENT_KEEPER_FILE "keeper.sock"
/* Exit status of a worker that cannot begin: another one could not either. */
#define HS_AGENT_EXIT_SETUP 2

/**
 * hs_keeper_run() - until told to end
 * @text: the configuration as it was read, for the workers
 *
 * On SIGTERM the caller's process returns as soon as the worker has finished;
 * a child of it keeps the memory for settings->linger_ns.
 *
 * Context: single thread; changes signal mask and resource limits.
 * Return: the program's exit status.
 */
int hs_keeper_run(const struct hs_agent_settings *settings, const void *text,
		  size_t text_bytes);

/** hs_keeper_purge() - have a lingering keeper let go. Return: exit status */
int hs_keeper_purge(const struct hs_agent_settings *settings);

#endif

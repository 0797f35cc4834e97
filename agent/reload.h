/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: another configuration while the agent runs.
 *
 * Guarantees: all of it or nothing. A file that is refused, or that differs in
 * what cannot change while running, leaves everything as it was and is answered
 * with what is wrong, and where. A worker's successor begins with what was
 * taken last.
 */
#ifndef HS_AGENT_RELOAD_H
#define HS_AGENT_RELOAD_H

#include "agent/worker.h"

/* What came of it, or would have. */
struct hs_reload {
	struct hs_config_error error; /* after a refusal */
	char changed[512];	      /* keys, "a, b" */
	char pinned[512];	      /* keys that would need a restart */
};

/**
 * hs_reload() - judge a configuration, and take it
 * @text: NULL for the file that the agent was started with
 * @check: only say what would be
 *
 * Return: 0; -EINVAL refused; -EBUSY pinned keys differ; -errno.
 */
int hs_reload(struct hs_worker *w, const char *text, size_t text_bytes,
	      bool check, struct hs_reload *out);

/** hs_reload_file() - the same for a signal: the log hears of it */
void hs_reload_file(struct hs_worker *w);

#endif

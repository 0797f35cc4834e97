/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a configuration would do to the agent that runs, asked before
 * it is given to it; and what the dry runs have counted so far.
 */
#ifndef HS_AGENT_CHECK_H
#define HS_AGENT_CHECK_H

#include "agent/settings.h"

/**
 * hs_agent_check() - for `hs-agent --check`; prints to stdout
 * @settings: good ones, of @text
 *
 * Return: exit status: 0, also where no agent runs; 2: it would refuse.
 */
int hs_agent_check(const struct hs_agent_settings *settings, const char *text,
		   size_t text_bytes);

#endif

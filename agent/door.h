/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what those who knock at the agent's control door must know of it.
 */
#ifndef HS_AGENT_DOOR_H
#define HS_AGENT_DOOR_H

/* Traces that one trigger by time may name on a node. */
#define HS_AGENT_RECENT_MAX 4096u

#endif

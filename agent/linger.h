/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: memory between two agents: a keeper without a worker waits for a
 * successor and hands everything over, or lets go when its time is up.
 */
#ifndef HS_AGENT_LINGER_H
#define HS_AGENT_LINGER_H

#include <stdint.h>

#include "agent/held.h"

/**
 * hs_linger_serve() - wait at most @linger_ns for a successor
 * @listener: SOCK_SEQPACKET, listening, non-blocking; stays the caller's
 * @held: stays the caller's
 *
 * Context: waits; ends early on SIGTERM, which it takes from a signalfd.
 */
void hs_linger_serve(const struct hs_held *held, int listener,
		     uint64_t linger_ns);

/**
 * hs_linger_take() - everything that a lingering keeper at @path holds
 * Return: 0: taken; 1: nobody lingers there; -errno.
 */
int hs_linger_take(struct hs_held *held, const char *path);

/** hs_linger_purge() - have it let go. Return: 0; 1: nobody there; -errno */
int hs_linger_purge(const char *path);

#endif

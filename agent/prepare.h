/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what a worker does before it has anything to work on: most of the
 * time of a start, and none of a successor's that stood by.
 */
#ifndef HS_AGENT_PREPARE_H
#define HS_AGENT_PREPARE_H

#include "agent/worker.h"

/**
 * hs_prepare() - all that does not depend on configuration or memory
 * Return: 0 or -errno.
 */
int hs_prepare(struct hs_worker *w);

/**
 * hs_prepare_wait() - say so, and wait to be needed
 *
 * What it finds then may be days later: clocks are looked at again.
 *
 * Return: 0; 1: the keeper is gone or has no use for us; -errno
 */
int hs_prepare_wait(struct hs_worker *w);

/**
 * hs_prepare_clock() - applications that attach from now on should find a
 * calibration at once
 *
 * Context: sleeps up to 20 ms where there was no time for it. What is adopted
 * before takes most of that.
 */
void hs_prepare_clock(struct hs_worker *w);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a predecessor's memory that this worker cannot adopt (of another
 * format, shape or node): the keeper goes on holding it under another name for
 * as long as memory lingers, for `hs salvage`, while fresh memory serves.
 *
 * Guarantees: bounded in time and number; ledgers and pools only, since what
 * processes had of their own says nothing without an agent. A successor of
 * this worker begins the time anew.
 */
#ifndef HS_AGENT_LEFT_H
#define HS_AGENT_LEFT_H

#include "agent/worker.h"

/** hs_left_is() - whether a held name is one of left memory */
bool hs_left_is(const char *held_name);
/**
 * hs_left_name() - what memory held under @name is called once it is left
 * Return: false where it is of no use to anybody.
 */
bool hs_left_name(const char *name, char out[HS_HELD_NAME_BYTES]);
/** hs_left_begin() - take note of what a predecessor left. Context: w->held */
void hs_left_begin(struct hs_worker *w);
/**
 * hs_left_put() - leave what is held under @name, or drop it where that is of
 * no use to anybody. Context: w->held
 */
void hs_left_put(struct hs_worker *w, const char *name);
/** hs_left_round() - let go of it when its time is up */
void hs_left_round(struct hs_worker *w);

#endif

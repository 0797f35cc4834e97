/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a worker that stands by: started, linked and prepared while there
 * is time, so that a successor has nothing to do but to take over.
 *
 * Guarantees: it holds no memory of ours, reads no configuration before it
 * takes over, and waits without using a processor. It is prepared some time
 * after the worker was ready, at idle priority for as long as that is of any
 * use. One that dies is counted and replaced, later and later when they die in
 * a row.
 */
#ifndef HS_AGENT_STANDBY_H
#define HS_AGENT_STANDBY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/hire.h"

struct hs_standby {
	struct hs_hired hired;
	bool is_prepared;
	bool is_idle;		/* its priority, while it is prepared */
	bool never_idle;	/* that could not be left again */
	uint64_t due_ns;	/* to start it, or to have it hurry */
	uint64_t not_before_ns; /* after a death */
	uint64_t prepared_ns;
	uint32_t deaths;
	uint32_t deaths_in_a_row;
};

void hs_standby_init(struct hs_standby *s);
/** hs_standby_want() - a worker is ready: prepare its successor, not at once */
void hs_standby_want(struct hs_standby *s, uint64_t now_ns);
/** hs_standby_due_ns() - when hs_standby_run() is due; UINT64_MAX: it is not */
uint64_t hs_standby_due_ns(const struct hs_standby *s);
/**
 * hs_standby_run() - start one, or have one hurry that finds no idle processor
 * @config: see hs_hire()
 *
 * Nothing before hs_standby_due_ns(). A failure is tried again later.
 */
void hs_standby_run(struct hs_standby *s, const char *config, uint64_t now_ns);
/**
 * hs_standby_hear() - what it has to say
 * Return: true once, when it is prepared.
 */
bool hs_standby_hear(struct hs_standby *s, uint64_t now_ns);
/** hs_standby_reap() - Return: whether it was found dead */
bool hs_standby_reap(struct hs_standby *s, uint64_t now_ns);
/**
 * hs_standby_take() - have it take over
 * Own: @out is the caller's. Return: false: there is none that is prepared.
 */
bool hs_standby_take(struct hs_standby *s, struct hs_hired *out);
/** hs_standby_end() - Context: waits until it is gone. */
void hs_standby_end(struct hs_standby *s);

#endif

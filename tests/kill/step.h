/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: copies of this process that are stepped one instruction at a time,
 * and the memory that they share with it, put back as it was.
 *
 * A copy is made by a bare clone(2), so that no fork handler runs in it: with
 * libhindsight's mappings kept for it (step_keep_client()) it is the attached
 * client that this process is, at the same instruction.
 */
#ifndef HS_TEST_KILL_STEP_H
#define HS_TEST_KILL_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STEP_REGIONS_MAX 16u

/* What the stepped copy says of itself; shared by all copies. */
struct step_board {
	volatile uint32_t done; /* calls that have returned */
	volatile pid_t tid;	/* that is stepped */
	volatile uint32_t ready;
	volatile uint32_t returned; /* what an unthreaded copy was to run */
	volatile uint64_t word[8];  /* the scenario's own */
};
extern struct step_board *step_board;

struct step_memory {
	struct {
		uint8_t *base;
		size_t bytes;
		uint8_t *saved;
	} region[STEP_REGIONS_MAX];
	uint32_t nr;
};

void step_init(void);
/** step_keep_client() - let copies have what the client has mapped */
void step_keep_client(uint32_t max_traces);
/** step_clone() - as fork(), without handlers; ends with its parent */
pid_t step_clone(void);
/** step_wait() - Return: exit status; 128 + signal */
int step_wait(pid_t pid);

/** step_gone() - whether a process has ended, reaped or not */
bool step_gone(pid_t pid);

struct step {
	pid_t pid;
	pid_t tid;
	uint64_t nr; /* instructions so far */
	bool over;   /* it has ended */
};
/**
 * step_begin() - a copy that is about to run @fn
 * @threaded: @fn is run by a second thread, which is the one stepped
 */
struct step step_begin(void (*fn)(void *), void *arg, bool threaded);
/**
 * step_one() - one instruction; @number: a signal to deliver with it, or 0
 * Return: false when it had ended, or what it was to run has returned: behind
 *	   that it waits for good, and so would who steps it.
 */
bool step_one_signal(struct step *s, int number);
static inline bool step_one(struct step *s)
{
	return step_one_signal(s, 0);
}
/**
 * step_go_on() - let an unthreaded copy run until @fn has returned
 * @number: a signal to deliver where it stands, or 0
 */
void step_go_on(struct step *s, int number);
/** step_kill() - SIGKILL, and wait until it is gone */
void step_kill(struct step *s);

void step_add(struct step_memory *m, void *base, size_t bytes);
void step_save(struct step_memory *m);
/** step_changed() - since it was saved; saves what changed */
bool step_changed(struct step_memory *m);
void step_restore(const struct step_memory *m);

#endif

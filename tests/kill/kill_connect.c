/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client killed on its way in: while it opens, says hello, maps what it is
 * given, takes its first lane, loses its connection and resumes it, and goes on
 * writing. It is stepped one instruction at a time, and killed at each
 * instruction that enters the kernel and behind it, and at every N-th of the
 * others. Sockets and descriptors cannot be put back, so each kill is a run of
 * its own, from a copy of the agent that has never seen the victim.
 *
 * After each kill, and a few rounds of the agent: the process is buried if it
 * ever came in, every buffer is accounted for, what it had committed is
 * readable, and another client's traces are whole.
 *
 *	kill_connect [N [PLANTED]]
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <unistd.h>

#include "agent/attach.h"
#include "agent/guest.h"
#include "base/log.h"
#include "base/planted.h"
#include "dataplane/client.h"
#include "rig.h"

#define SERVE_EVERY	 400u /* instructions */
#define ENTRIES_MAX	 1024u
#define POINT_BYTES	 40u
#define AFTER_ROUNDS	 3u
#define INSTRUCTIONS_MAX 4000000u

enum {
	OPENED = 1,
	ATTACHED,
	WRITTEN, /* one tracepoint, in a lane of its own */
	RESUMED,
	WRITTEN_MORE,
	ENDED,
};

static struct rig rig;
static const struct hs_wire_trace_id victims = {0xc0, 1};

/* ---- the victim ---------------------------------------------------------- */

static void point(struct hs_trace *t, uint64_t seed)
{
	uint8_t data[POINT_BYTES];

	rig_fill(data, sizeof(data), seed);
	hs_tracepoint(t, data, sizeof(data));
}

/* What its agent hands out comes with the agent's rounds. */
static void poll_until(bool (*there)(void))
{
	while (!there())
		hs_client_poll();
}

static bool attached(void)
{
	return hs_client_attachment() && !hs_client_poll();
}

static bool cut_off(void)
{
	return hs_client_poll() != 0;
}

static void connect_run(void *arg)
{
	struct hs_trace_id id = {victims.hi, victims.lo};
	struct hs_trace *t;

	rig_client_open(arg, "victim");
	step_board->done = OPENED;
	poll_until(attached);
	step_board->done = ATTACHED;
	/* The first stock comes with the agent's next round. */
	while (!step_board->word[0])
		;
	t = hs_trace_begin(&id, NULL);
	point(t, 1);
	step_board->done = WRITTEN;
	while (!step_board->word[1])
		;
	poll_until(cut_off);
	poll_until(attached);
	step_board->done = RESUMED;
	point(t, 2);
	step_board->done = WRITTEN_MORE;
	hs_trace_end(t);
	step_board->done = ENDED;
}

/* ---- stepping it --------------------------------------------------------- */

static bool enters_kernel(const struct step *s)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, s->tid, 0, &regs))
		node_die("no registers");
	return (ptrace(PTRACE_PEEKTEXT, s->tid, (void *)regs.rip, 0) &
		0xffff) == 0x050f;
}

/* What the agent does meanwhile, by how far the victim is. */
static void serve(const struct step *s)
{
	struct hs_guest *g;

	node_serve(&rig.n);
	g = node_guest(&rig.n, s->pid);
	if (step_board->done >= ATTACHED && !step_board->word[0]) {
		node_round(&rig.n);
		step_board->word[0] = 1;
	}
	if (step_board->done >= WRITTEN && !step_board->word[1]) {
		if (!g)
			node_die("who has written is not attached");
		hs_guest_hang_up(g);
		step_board->word[1] = 1;
	}
}

static bool step_on(struct step *s)
{
	uint32_t done = step_board->done;

	if (s->nr > INSTRUCTIONS_MAX)
		node_die("it does not get on");
	if (!step_one(s))
		return false;
	if (s->nr % SERVE_EVERY == 0 || step_board->done != done)
		serve(s);
	return step_board->done != ENDED;
}

static struct step begin(void)
{
	memset((void *)step_board->word, 0, sizeof(step_board->word));
	return step_begin(connect_run,
			  (void *)(uintptr_t)node_socket(&rig.n, 0), false);
}

/* ---- after it ------------------------------------------------------------ */

static void victims_check(struct node *n, uint32_t done)
{
	static struct records got;
	uint32_t least = done >= WRITTEN_MORE ? 2 : 1;

	node_fire(n, &victims, 1);
	records_read(n, victims, &got);
	if (got.nr < least || got.nr > 2)
		node_die("%u records of the victim are readable, not %u",
			 got.nr, least);
	for (uint32_t i = 0; i < got.nr; i++) {
		uint8_t data[POINT_BYTES];

		rig_fill(data, sizeof(data), i + 1);
		if (got.hash[i] != records_point(data, sizeof(data)))
			node_die("record %u is not what was written", i);
	}
}

static void aftermath(pid_t victim, uint32_t done, uint32_t guests)
{
	struct hs_guest *g;

	/* What it had sent is still to be read, and nobody is there. */
	node_serve(&rig.n);
	g = node_guest(&rig.n, victim);
	if (g)
		node_dead(&rig.n, g);
	else if (done >= ATTACHED)
		node_die("the victim is not attached");
	for (uint32_t i = 0; i < AFTER_ROUNDS; i++) {
		node_serve(&rig.n);
		node_round(&rig.n);
	}
	if (node_guest(&rig.n, victim) || rig.n.w.nr_guests != guests)
		node_die("the victim was not buried");
	if (done >= WRITTEN)
		victims_check(&rig.n, done);
	rig_bystander_check(&rig.n, false);
	node_gone(&rig.n);
	rig_bystander_check(&rig.n, true);
}

/* In a process of its own. */
static void kill_at(uint64_t at)
{
	uint32_t guests = rig.n.w.nr_guests, done;
	struct step s = begin();

	while (s.nr < at && step_on(&s))
		;
	done = step_board->done;
	step_kill(&s);
	aftermath(s.pid, done, guests);
}

/* ---- all of it ----------------------------------------------------------- */

/* Where it enters the kernel. How long it waits differs from run to run, so
 * places are taken from the run that is killed at each. */
struct plan {
	uint64_t entries[ENTRIES_MAX];
	uint32_t nr;
	uint64_t instructions;
	uint32_t done;
};

static void learn(struct plan *plan)
{
	struct step s = begin();

	do {
		if (plan->nr < ENTRIES_MAX && enters_kernel(&s))
			plan->entries[plan->nr++] = s.nr;
	} while (step_on(&s));
	plan->instructions = s.nr;
	plan->done = step_board->done;
	step_kill(&s);
}

static void in_copy(void (*fn)(uint64_t), uint64_t at)
{
	pid_t pid;

	snprintf(node_where, sizeof(node_where),
		 "on its way in, instruction %llu", (unsigned long long)at);
	step_save(&rig.agents);
	pid = step_clone();
	if (pid == 0) {
		fn(at);
		_exit(0);
	}
	if (step_wait(pid))
		exit(1);
	step_restore(&rig.agents);
}

static struct plan *plan;

static void learn_once(uint64_t unused)
{
	learn(plan);
}

int main(int argc, char **argv)
{
	uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1009;
	uint32_t planted = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	uint32_t kills = 0;

	if (stride == 0 || !hs_planted_choose(planted))
		return 2;
	hs_log_level_set(HS_LOG_ERROR);
	rig_make_node(&rig);
	plan = rig_shared(sizeof(*plan));
	in_copy(learn_once, 0);
	if (plan->done != ENDED)
		node_die("it ended at %u", plan->done);
	for (uint32_t i = 0; i < plan->nr; i++, kills += 2) {
		in_copy(kill_at, plan->entries[i]);
		in_copy(kill_at, plan->entries[i] + 1);
	}
	for (uint64_t at = 1; at < plan->instructions; at += stride, kills++)
		in_copy(kill_at, at);
	printf("connect %llu instructions, %u system calls, %u kills\n",
	       (unsigned long long)plan->instructions, plan->nr, kills);
	rig_free(&rig);
	return 0;
}

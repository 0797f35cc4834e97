/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: kill a client at every instruction of the write path.
 *
 * Each scenario is a few calls of libhindsight. A copy of the attached process
 * is stepped through them; what a kill leaves behind is the shared memory as
 * it then stands, so wherever an instruction has changed that, a copy of the
 * agent is made, told of the death, and asked for everything:
 *
 *	every buffer is accounted for,
 *	what had been committed is readable, in order, and nothing else is,
 *	the trace says "an application died in mid-trace" unless its end had
 *	been published, and then it says nothing of the kind,
 *	a trigger is there with all its laterals or not at all,
 *	the bystander's traces are what it wrote.
 *
 * Then the same with real kills, at every STRIDE-th instruction, half of them
 * with an agent that looks on while the call is under way:
 *
 *	kill_client [STRIDE]	default 97; 1: at every instruction
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/planted.h"
#include "scripts.h"

static struct rig rig;
static const struct script *script;

struct tally {
	uint64_t instructions;
	uint32_t states; /* of the shared memory, each examined */
	uint32_t kills;
};

/* ---- what has to be there ------------------------------------------------ */

static struct records *expected; /* shared with the copies */

static void flags_check(const struct node_answer *a, uint32_t done)
{
	bool exists = done + 1 >= script->begun;
	bool must = done >= script->begun && done + 1 < script->ended;

	if (a->flags & ~(HS_WIRE_F_CRASHED | script->flags))
		node_die("flags %#x", a->flags);
	if (!exists && a->state != HS_WIRE_STATE_UNKNOWN)
		node_die("a trace that was never begun has state %u", a->state);
	if (must && !(a->flags & HS_WIRE_F_CRASHED))
		node_die("the writer died, and nobody says so");
	if (done >= script->ended && !script->waits && a->flags)
		node_die("the trace had ended, and flags are %#x", a->flags);
}

static void records_check(const struct node *n, uint32_t done)
{
	static struct records got;
	uint32_t next = done < script->nr_calls ? done + 1 : done;
	uint32_t least = script->records[done], most = script->records[next];

	records_read(n, script_trace, &got);
	if (got.nr < least || got.nr > most)
		node_die("%u records are readable, not %u to %u", got.nr, least,
			 most);
	for (uint32_t i = 0; i < got.nr; i++)
		if (got.hash[i] != expected->hash[i])
			node_die("record %u is not what was written", i);
	if (got.stats.garbage || got.stats.bad_buffers || got.stats.unknown ||
	    got.stats.duplicates || got.stats.gaps || got.stats.cut > 1)
		node_die("records do not decode");
}

/* The process is gone; the agent finds out. */
static void aftermath(struct node *n, struct hs_guest *victim, uint32_t done)
{
	struct hs_agent_stats stats;
	uint32_t begun = n->w.nr_guests;

	if (!victim)
		node_die("the victim is not attached");
	node_dead(n, victim);
	node_round(n);
	if (n->w.nr_guests >= begun)
		node_die("the victim was not buried");
	hs_agent_core_stats_get(n->w.core, &stats);
	if (stats.entries_bad)
		node_die("%llu entries said what cannot be",
			 (unsigned long long)stats.entries_bad);
	node_fire(n, &script_trace, 1);
	flags_check(node_answer(n, script_trace), done);
	records_check(n, done);
	if (script->lateral) {
		if (n->group_nr != 0 && n->group_nr != SCRIPT_LATERALS + 1)
			node_die("half a trigger: %u traces", n->group_nr);
		if (done >= script->lateral && n->group_nr == 0)
			node_die("the trigger is lost");
		if (done + 1 < script->lateral && n->group_nr != 0)
			node_die("a trigger out of nothing");
	}
	rig_bystander_check(n, false);
	node_gone(n);
	rig_bystander_check(n, true);
}

/* ---- without a kill: every state that one could leave -------------------- */

static void examine(uint32_t done, uint64_t nr)
{
	pid_t pid;

	snprintf(node_where, sizeof(node_where),
		 "%s, call %u, instruction %llu", script->name, done + 1,
		 (unsigned long long)nr);
	step_save(&rig.agents);
	pid = step_clone();
	if (pid == 0) {
		aftermath(&rig.n, rig.client, done);
		_exit(0);
	}
	if (step_wait(pid))
		_exit(1);
	step_restore(&rig.agents);
}

static bool at_end(const struct step *s)
{
	return s->over || step_board->done == script->nr_calls;
}

/* What is there when nothing ends too early. */
static void learn(const struct step_memory *prepared)
{
	struct step s;
	pid_t pid;

	snprintf(node_where, sizeof(node_where), "%s, to its end",
		 script->name);
	s = step_begin(script_run, (void *)(uintptr_t)script, script->threaded);
	while (!at_end(&s) && step_one(&s))
		;
	step_kill(&s);
	pid = step_clone();
	if (pid == 0) {
		node_dead(&rig.n, rig.client);
		node_fire(&rig.n, &script_trace, 1);
		records_read(&rig.n, script_trace, expected);
		for (uint32_t i = 0; i < expected->nr; i++)
			if (!script_point(script, i, expected->hash[i]))
				node_die("record %u is not what was written",
					 i);
		_exit(0);
	}
	if (step_wait(pid))
		_exit(1);
	step_restore(prepared);
	step_restore(&rig.agents);
}

static void walk(struct tally *tally, const struct step_memory *prepared)
{
	struct step s;
	uint32_t done = 0;
	bool first = true;

	step_save(&rig.clients);
	s = step_begin(script_run, (void *)(uintptr_t)script, script->threaded);
	do {
		/* A call that has returned may have changed nothing more, and
		 * promises more all the same. */
		if (step_changed(&rig.clients) || first ||
		    step_board->done != done) {
			done = step_board->done;
			examine(done, s.nr);
			tally->states++;
		}
		first = false;
	} while (!at_end(&s) && step_one(&s));
	tally->instructions += s.nr;
	step_kill(&s);
	if (script->threaded)
		examine(script->nr_calls, s.nr);
	step_restore(prepared);
	step_restore(&rig.agents);
}

/* ---- with kills ---------------------------------------------------------- */

/* In a process of its own. Return: whether there was an @at-th instruction. */
static bool kill_one(uint64_t at, bool watched)
{
	struct step s;
	uint32_t done;
	bool there;

	if (watched)
		hs_agent_core_fire(rig.n.w.core, "seen", &script_trace, 1,
				   rig.n.w.now_ns);
	s = step_begin(script_run, (void *)(uintptr_t)script, script->threaded);
	while (!at_end(&s) && s.nr < at && step_one(&s))
		if (watched && s.nr % (at / 3 + 1) == 0)
			node_round(&rig.n);
	there = s.nr == at && !at_end(&s);
	done = step_board->done;
	step_kill(&s);
	if (there)
		aftermath(&rig.n, rig.client, done);
	return there;
}

static void kills(struct tally *tally, const struct step_memory *prepared,
		  uint64_t stride)
{
	bool there = true;

	for (uint64_t at = stride > 1 ? stride / 2 : 0; there; at += stride) {
		bool watched = tally->kills & 1;
		pid_t pid;

		snprintf(node_where, sizeof(node_where),
			 "%s, killed at instruction %llu%s", script->name,
			 (unsigned long long)at, watched ? ", watched" : "");
		pid = step_clone();
		if (pid == 0)
			_exit(kill_one(at, watched) ? 0 : 2);
		switch (step_wait(pid)) {
		case 0:
			tally->kills++;
			break;
		case 2:
			there = false;
			break;
		default:
			_exit(1);
		}
		step_restore(prepared);
		step_restore(&rig.agents);
	}
}

/* ---- all of them --------------------------------------------------------- */

static void one(const struct script *s, uint64_t stride)
{
	struct step_memory prepared = {0};
	struct tally tally = {0};

	script = s;
	snprintf(node_where, sizeof(node_where), "%s, preparing", s->name);
	s->prepare();
	if (!s->undrained)
		node_round(&rig.n);
	for (uint32_t i = 0; i < rig.clients.nr; i++)
		step_add(&prepared, rig.clients.region[i].base,
			 rig.clients.region[i].bytes);
	step_save(&rig.agents);
	learn(&prepared);
	walk(&tally, &prepared);
	kills(&tally, &prepared, stride);
	printf("%-10s %6llu instructions, %4u states examined, %4u kills\n",
	       s->name, (unsigned long long)tally.instructions, tally.states,
	       tally.kills);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 97;
	uint32_t planted = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	struct step_memory clean = {0};

	if (stride == 0 || !hs_planted_choose(planted))
		return 2;
	hs_log_level_set(HS_LOG_ERROR);
	rig_make(&rig);
	expected = mmap(NULL, sizeof(*expected), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (expected == MAP_FAILED)
		return 2;
	for (uint32_t i = 0; i < rig.clients.nr; i++)
		step_add(&clean, rig.clients.region[i].base,
			 rig.clients.region[i].bytes);
	for (const struct script *s = scripts; s->name; s++) {
		pid_t pid;

		step_save(&rig.agents);
		pid = step_clone();
		if (pid == 0) {
			one(s, stride);
			_exit(0);
		}
		if (step_wait(pid))
			return 1;
		step_restore(&clean);
		step_restore(&rig.agents);
	}
	rig_free(&rig);
	return 0;
}

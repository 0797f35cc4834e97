/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a signal amid the write path. A copy of the client is stepped to an
 * instruction, a signal is delivered there whose handler makes a tracepoint on
 * the same trace, and the script goes on to its end. The handler's record is in
 * the trace or counted as dropped, and all others are there as without it.
 *
 *	kill_signal [TIMES]	instructions of each script, spread evenly;
 *				default 24
 */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "scripts.h"

#define NESTED_BYTES 24u

enum word { WORD_ATTEMPTS, WORD_NESTED };

static struct rig rig;
static struct records *expected; /* shared with the copies */
static uint8_t nested[NESTED_BYTES];

static void on_signal(int number)
{
	(void)number;
	step_board->word[WORD_ATTEMPTS]++;
	/* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): its promise */
	hs_tracepoint(script_handle(), nested, sizeof(nested));
}

static void run(void *script)
{
	struct hs_client_stats stats;

	script_run(script);
	hs_client_stats_get(&stats);
	step_board->word[WORD_NESTED] = stats.calls_nested;
}

static void clear(void)
{
	for (uint32_t i = 0; i < 8; i++)
		step_board->word[i] = 0;
}

/* What is in the trace once the script is over: read by a copy. */
static void look(void (*fn)(const struct records *))
{
	static struct records got;
	pid_t pid = step_clone();

	if (pid == 0) {
		node_dead(&rig.n, rig.client);
		node_fire(&rig.n, &script_trace, 1);
		records_read(&rig.n, script_trace, &got);
		fn(&got);
		_exit(0);
	}
	if (step_wait(pid))
		_exit(1);
}

static void learn(const struct records *got)
{
	*expected = *got;
}

static void compare(const struct records *got)
{
	uint64_t own = records_point(nested, sizeof(nested));
	uint32_t nr = 0, mine = 0;

	for (uint32_t i = 0; i < got->nr; i++) {
		if (got->hash[i] == own)
			mine++;
		else if (nr == expected->nr ||
			 got->hash[i] != expected->hash[nr++])
			node_die("record %u is not what was written", i);
	}
	if (nr != expected->nr)
		node_die("%u of %u records", nr, expected->nr);
	if (got->stats.garbage || got->stats.cut || got->stats.gaps)
		node_die("records do not decode");
	if (mine + step_board->word[WORD_NESTED] !=
	    step_board->word[WORD_ATTEMPTS])
		node_die("%llu calls by the handler, %u in the trace, %llu "
			 "counted as dropped",
			 (unsigned long long)step_board->word[WORD_ATTEMPTS],
			 mine,
			 (unsigned long long)step_board->word[WORD_NESTED]);
}

static uint64_t count(const struct script *s)
{
	struct step step;

	clear();
	step = step_begin(run, (void *)(uintptr_t)s, false);
	while (step_board->done < s->nr_calls && step_one(&step))
		;
	step_kill(&step);
	return step.nr;
}

/*
 * Return: false: the script was over before that instruction; *nr says by how
 * many it was. One that reads a clock while that is set reads it once more, so
 * it may have been counted too long where little is stepped at a time.
 */
static bool one_signal(const struct script *s, uint64_t at, uint64_t *nr)
{
	struct step step;
	bool amid;

	clear();
	step = step_begin(run, (void *)(uintptr_t)s, false);
	while (step.nr < at && step_board->done < s->nr_calls &&
	       step_one(&step))
		;
	amid = step_board->done < s->nr_calls;
	if (amid)
		step_go_on(&step, SIGUSR1);
	else
		*nr = step.nr;
	step_kill(&step);
	if (amid && step_board->word[WORD_ATTEMPTS] != 1)
		node_die("the signal did not come");
	return amid;
}

static void all_signals(const struct script *s, uint64_t times)
{
	struct step_memory prepared = {0};
	uint64_t nr, own = 0;

	snprintf(node_where, sizeof(node_where), "%s, preparing", s->name);
	s->prepare();
	node_round(&rig.n);
	for (uint32_t i = 0; i < rig.clients.nr; i++)
		step_add(&prepared, rig.clients.region[i].base,
			 rig.clients.region[i].bytes);
	step_save(&rig.agents);
	nr = count(s);
	look(learn);
	for (uint64_t i = 0; i < times; i++) {
		uint64_t at;

		do {
			at = nr * (2 * i + 1) / (2 * times);
			step_restore(&prepared);
			step_restore(&rig.agents);
			snprintf(node_where, sizeof(node_where),
				 "%s, signal at instruction %llu", s->name,
				 (unsigned long long)at);
		} while (!one_signal(s, at, &nr));
		look(compare);
		own += 1 - step_board->word[WORD_NESTED];
	}
	printf("%-10s %6llu instructions, %3llu signals, %3llu of their "
	       "records written, the others counted\n",
	       s->name, (unsigned long long)nr, (unsigned long long)times,
	       (unsigned long long)own);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t times = argc > 1 ? strtoull(argv[1], NULL, 10) : 24;
	struct step_memory clean = {0};

	hs_log_level_set(HS_LOG_ERROR);
	memset(nested, 'n', sizeof(nested));
	signal(SIGUSR1, on_signal);
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

		/* Those whose trace is live from beginning to end. */
		if (s->begun || s->ended != SCRIPT_NEVER || s->undrained)
			continue;
		step_save(&rig.agents);
		pid = step_clone();
		if (pid == 0) {
			all_signals(s, times);
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

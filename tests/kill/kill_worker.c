/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: kill the agent's worker at every instruction.
 *
 * A copy of the worker is stepped through each of the things that it does to
 * ledgers and stock: consuming, topping up, evicting, pinning and shipping,
 * letting go, burying, taking a process in, adopting. Wherever an instruction
 * has changed what a successor would find, a successor is made of that, and:
 *
 *	every buffer is accounted for,
 *	every trace is whole or marked, and what the node says of it adds up to
 *	what a collector has,
 *	a trigger that the worker had acknowledged is there,
 *	attached processes go on with what they have mapped,
 *	once all of them are gone the keeper holds nothing of theirs.
 *
 *	kill_worker [KILLS]	so many real kills of each, spread evenly;
 *				default 3; 0: one wherever something changes
 */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "base/log.h"
#include "base/planted.h"

#define POINTS	    3u
#define POINT_BYTES 200u
#define TRACES	    3u
#define CROWD	    60u
#define CHANGES_MAX 4096u
#define OTHER_NODE  0x0000000900000001ull
#define HI	    0x77u
#define OPEN_LO	    100u
#define LATER_LO    200u

struct job {
	const char *name;
	void (*prepare)(void);
	void (*work)(void);
	uint32_t nr_traces; /* that were written, from HI:1 */
	uint32_t first;	    /* those before may have been evicted */
	uint32_t nr_open;   /* of one point, from HI:OPEN_LO */
	bool fired;	    /* "lateral" must be there, with all three */
	bool dies;	    /* the bystander */
	bool evicts;
	bool makes; /* memory, which is put back as well */
};

static struct rig rig;
static const struct job *job;
static struct hs_trace *handles[RIG_MAX_TRACES];

/* ---- what the client does ------------------------------------------------ */

static struct hs_wire_trace_id wire(uint64_t lo)
{
	return (struct hs_wire_trace_id){HI, lo};
}

static void points(struct hs_trace *t, uint64_t lo, uint32_t nr)
{
	uint8_t data[POINT_BYTES];

	for (uint32_t i = 0; i < nr; i++) {
		rig_fill(data, sizeof(data), lo << 8 | i);
		hs_tracepoint(t, data, sizeof(data));
	}
}

static void trace_write_on(uint64_t lo, uint32_t nr_nodes)
{
	struct hs_trace_id id = {HI, lo};
	struct hs_trace *t = hs_trace_begin(&id, NULL);

	for (uint32_t i = 0; i < nr_nodes; i++)
		hs_context_forward(t, OTHER_NODE + i);
	points(t, lo, POINTS);
	hs_trace_end(t);
}

static void trace_write(uint64_t lo)
{
	trace_write_on(lo, 0);
}

static void traces_write(void)
{
	for (uint64_t i = 1; i <= TRACES; i++)
		trace_write(i);
}

static void open_write(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct hs_trace_id id = {HI, OPEN_LO + i};

		handles[i] = hs_trace_begin(&id, NULL);
		points(handles[i], id.lo, 1);
	}
}

/* ---- what has to be there ------------------------------------------------ */

static void points_check(struct node *n, uint64_t lo, uint32_t nr)
{
	static struct records got;
	const struct node_answer *a = node_answer(n, wire(lo));
	uint8_t data[POINT_BYTES];

	records_read(n, wire(lo), &got);
	if (got.nr != nr)
		node_die("trace %llu has %u of %u records",
			 (unsigned long long)lo, got.nr, nr);
	for (uint32_t i = 0; i < nr; i++) {
		rig_fill(data, sizeof(data), lo << 8 | i);
		if (got.hash[i] != records_point(data, sizeof(data)))
			node_die("trace %llu: record %u is not what was "
				 "written",
				 (unsigned long long)lo, i);
	}
	if (a->nr_bytes != got.bytes)
		node_die("trace %llu: the node says %llu bytes, and there "
			 "are %llu",
			 (unsigned long long)lo,
			 (unsigned long long)a->nr_bytes,
			 (unsigned long long)got.bytes);
}

/* Whole, or where that may be evicted and saying so. */
static void trace_check(struct node *n, uint64_t lo, uint32_t nr,
			uint16_t flags, bool may_be_gone)
{
	struct hs_wire_trace_id id = wire(lo);
	const struct node_answer *a = node_answer(n, id);

	if (may_be_gone &&
	    (a->state == HS_WIRE_STATE_UNKNOWN || a->flags & HS_WIRE_F_EVICTED))
		return;
	if (a->state != HS_WIRE_STATE_CLOSED || a->flags != flags)
		node_die("trace %llu: state %u, flags %#x",
			 (unsigned long long)lo, a->state, a->flags);
	points_check(n, lo, nr);
}

static void traces_check(struct node *n)
{
	struct hs_wire_trace_id ids[CROWD + TRACES];

	for (uint32_t i = 0; i < job->nr_traces; i++)
		ids[i] = wire(i + 1);
	node_fire(n, ids, job->nr_traces);
	for (uint32_t i = 1; i <= job->nr_traces; i++)
		trace_check(n, i, POINTS, 0, i < job->first);
	if (job->fired && n->group_nr != TRACES)
		node_die("the trigger has %u of %u traces", n->group_nr,
			 TRACES);
}

/* It goes on with what it has: every word of its stock is good. */
static void client_goes_on(struct node *n)
{
	struct hs_wire_trace_id ids[4];
	struct hs_agent_stats before, after;

	node_round(n);
	hs_agent_core_stats_get(n->w.core, &before);
	for (uint64_t i = 0; i < 4; i++) {
		ids[i] = wire(LATER_LO + i);
		trace_write(LATER_LO + i);
	}
	node_fire(n, ids, 4);
	for (uint64_t i = 0; i < 4; i++)
		trace_check(n, LATER_LO + i, POINTS, 0, false);
	hs_agent_core_stats_get(n->w.core, &after);
	if (after.entries_bad != before.entries_bad)
		node_die("the client was given what the agent disowns");
}

static void kept_check(const struct node *n)
{
	uint32_t nr = 1;

	for (uint32_t d = 0; d < NODE_DOMAINS; d++)
		nr += n->w.tenants[d] ? 2 : 0;
	if (n->kept.nr_items != nr)
		node_die("the keeper holds %u things, not %u", n->kept.nr_items,
			 nr);
}

static void successor(void)
{
	static struct node next;
	struct hs_wire_trace_id ids[RIG_MAX_TRACES];

	node_adopt(&next, &rig.n);
	node_check(&next);
	if (!node_guest(&next, rig.client->pid))
		node_die("the client was not adopted");
	if (!job->dies && !node_guest(&next, rig.bystander))
		node_die("the bystander was not adopted");
	traces_check(&next);
	client_goes_on(&next);
	rig_bystander_check(&next, false);
	node_gone(&next);
	rig_bystander_check(&next, true);
	for (uint32_t i = 0; i < job->nr_open; i++)
		ids[i] = wire(OPEN_LO + i);
	node_fire(&next, ids, job->nr_open);
	for (uint32_t i = 0; i < job->nr_open; i++)
		trace_check(&next, OPEN_LO + i, 1, HS_WIRE_F_CRASHED, false);
	kept_check(&next);
}

/* ---- the jobs ------------------------------------------------------------ */

static void nothing(void)
{
}

/* What the lanes then hold nobody has looked at. */
static void lateral_write(void)
{
	struct hs_trace_id first = {HI, 1};
	struct hs_trace_id laterals[TRACES - 1] = {{HI, 2}, {HI, 3}};
	struct hs_trace *t;

	t = hs_trace_begin(&first, NULL);
	hs_context_forward(t, OTHER_NODE);
	hs_trace_end(t);
	hs_trigger_fire(hs_trigger_define("lateral"), &first, laterals,
			TRACES - 1);
	open_write(1);
}

static void round_work(void)
{
	node_work(&rig.n);
	node_work(&rig.n);
}

static void consume_prepare(void)
{
	traces_write();
	lateral_write();
}

static void topup_prepare(void)
{
	open_write(5);
}

static void evict_prepare(void)
{
	/* Pinned: it is the victim's own traces that have to go. */
	node_fire(&rig.n, &rig_ended, 1);
	if (hs_agent_core_fire(rig.n.w.core, "seen", &rig_open, 1,
			       rig.n.w.now_ns))
		node_die("no room for a trigger");
	/* Half of them go with crumbs, of which one has to go last. */
	for (uint64_t i = 1; i <= CROWD; i++) {
		trace_write_on(i, i % 2 ? 2 : 0);
		node_round(&rig.n);
	}
	traces_write();
	for (uint64_t i = CROWD - 3; i <= CROWD; i++)
		trace_write(CROWD + i);
}

static void ship_prepare(void)
{
	traces_write();
	node_round(&rig.n);
}

static void fire(uint64_t lo)
{
	struct hs_wire_trace_id id = wire(lo);

	if (hs_agent_core_fire(rig.n.w.core, "seen", &id, 1, rig.n.w.now_ns))
		node_die("no room for a trigger");
}

static void ship_work(void)
{
	for (uint64_t i = 1; i <= TRACES; i++)
		fire(i);
	round_work();
}

static void ack_prepare(void)
{
	ship_prepare();
	rig.n.silent = true;
	for (uint64_t i = 1; i <= TRACES; i++)
		fire(i);
	node_round(&rig.n);
	node_round(&rig.n);
}

static void ack_work(void)
{
	node_ack(&rig.n);
	node_stored(&rig.n);
	node_work(&rig.n);
}

static void bury_prepare(void)
{
	/* For good: a successor asks the kernel whether it lives. */
	kill(rig.bystander, SIGKILL);
	while (!step_gone(rig.bystander))
		usleep(1000);
	node_dead(&rig.n, node_guest(&rig.n, rig.bystander));
}

static void attach_work(void)
{
	uint64_t ticks = 0;
	int fd = hs_process_pidfd(rig.bystander);
	const struct hs_shm_hello hello = {
		.version_max = HS_SHM_VERSION,
		.service = "third",
	};

	hs_process_start_ticks(rig.bystander, &ticks);
	hs_guest_make(&rig.n.w, rig.n.w.tenants[0], rig.bystander, ticks, fd,
		      &hello);
	node_work(&rig.n);
}

static void adopt_prepare(void)
{
	ack_prepare();
	rig.n.nr_acked++; /* the first is on its way yet */
	node_ack(&rig.n);
	lateral_write();
}

static void adopt_work(void)
{
	static struct node next;

	node_adopt(&next, &rig.n);
	node_work(&next);
}

static const struct job jobs[] = {
	{.name = "consume",
	 .prepare = consume_prepare,
	 .work = round_work,
	 .nr_traces = TRACES,
	 .nr_open = 1,
	 .fired = true},
	{.name = "top up",
	 .prepare = topup_prepare,
	 .work = round_work,
	 .nr_open = 5},
	{.name = "evict",
	 .prepare = evict_prepare,
	 .work = round_work,
	 .nr_traces = CROWD,
	 .first = CROWD,
	 .evicts = true},
	{.name = "ship",
	 .prepare = ship_prepare,
	 .work = ship_work,
	 .nr_traces = TRACES},
	{.name = "let go",
	 .prepare = ack_prepare,
	 .work = ack_work,
	 .nr_traces = TRACES},
	{.name = "adopt",
	 .prepare = adopt_prepare,
	 .work = adopt_work,
	 .nr_traces = TRACES,
	 .nr_open = 1,
	 .fired = true},
	{.name = "take in",
	 .prepare = nothing,
	 .work = attach_work,
	 .makes = true},
	{.name = "bury",
	 .prepare = bury_prepare,
	 .work = round_work,
	 .dies = true},
	{.name = NULL},
};

/* ---- stepping ------------------------------------------------------------ */

struct tally {
	uint64_t instructions;
	uint64_t changes[CHANGES_MAX]; /* where something changed */
	uint32_t nr_changes;
	uint32_t kills;
};

static void work(void *arg)
{
	struct hs_agent_stats before, after;

	(void)arg;
	hs_agent_core_stats_get(rig.n.w.core, &before);
	job->work();
	hs_agent_core_stats_get(rig.n.w.core, &after);
	step_board->word[0] = after.traces_evicted - before.traces_evicted;
	step_board->done = 1;
}

static bool at_end(const struct step *s)
{
	return s->over || step_board->done;
}

/* What the worker's last words to its keeper were is part of it. */
static bool changed(void)
{
	uint32_t nr = rig.n.kept.nr_items;

	node_keep(&rig.n);
	return step_changed(&rig.agents) | (nr != rig.n.kept.nr_items);
}

/* What the keeper has been given since it held @before things. */
static void made_add(struct step_memory *made, uint32_t before)
{
	for (uint32_t i = before + made->nr; i < rig.n.kept.nr_items; i++) {
		int fd = rig.n.kept.items[i].fd;
		struct stat st;
		void *p;

		if (fstat(fd, &st) || st.st_size <= 0)
			node_die("the keeper was given no memory");
		p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			node_die("no memory");
		step_add(made, p, (size_t)st.st_size);
	}
}

static void examine(uint64_t nr, bool killed)
{
	pid_t pid;

	snprintf(node_where, sizeof(node_where), "%s, %s instruction %llu",
		 job->name, killed ? "killed at" : "after",
		 (unsigned long long)nr);
	pid = step_clone();
	if (pid == 0) {
		successor();
		_exit(0);
	}
	if (step_wait(pid))
		_exit(1);
}

static void walk(uint64_t unused, struct tally *tally)
{
	uint32_t before = rig.n.kept.nr_items;
	struct step_memory made = {0};
	struct step s;

	(void)unused;
	s = step_begin(work, NULL, false);
	do {
		if (!(changed() | step_changed(&made)) && s.nr)
			continue;
		if (tally->nr_changes < CHANGES_MAX)
			tally->changes[tally->nr_changes++] = s.nr;
		if (job->makes)
			made_add(&made, before);
		examine(s.nr, false);
		step_restore(&made);
		step_restore(&rig.clients);
		step_restore(&rig.agents);
	} while (!at_end(&s) && step_one(&s));
	tally->instructions = s.nr;
	step_kill(&s);
	if (job->evicts && !step_board->word[0])
		node_die("nothing was evicted, so nothing was shown");
	if (job->makes && !made.nr)
		node_die("nothing was made, so nothing was shown");
}

/* Each in a copy: what the keeper is told there it is not told here. */
static void apart(void (*fn)(uint64_t, struct tally *), uint64_t at,
		  struct tally *tally)
{
	pid_t pid = step_clone();

	if (pid == 0) {
		fn(at, tally);
		_exit(0);
	}
	if (step_wait(pid))
		_exit(1);
	step_restore(&rig.clients);
	step_restore(&rig.agents);
}

static void kill_at(uint64_t at, struct tally *tally)
{
	struct step s = step_begin(work, NULL, false);

	while (!at_end(&s) && s.nr < at && step_one(&s))
		;
	step_kill(&s);
	node_keep(&rig.n);
	examine(at, true);
	tally->kills++;
}

static void one(const struct job *j, uint32_t nr_kills)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (tally == MAP_FAILED)
		node_die("no memory");
	job = j;
	snprintf(node_where, sizeof(node_where), "%s, preparing", j->name);
	j->prepare();
	step_save(&rig.clients);
	step_save(&rig.agents);
	apart(walk, 0, tally);
	for (uint32_t i = 0; !nr_kills && i < tally->nr_changes; i++)
		apart(kill_at, tally->changes[i], tally);
	for (uint64_t i = 0; i < nr_kills; i++)
		apart(kill_at,
		      tally->instructions * (2 * i + 1) / (2 * nr_kills),
		      tally);
	printf("%-10s %6llu instructions, %4u states, %4u kills\n", j->name,
	       (unsigned long long)tally->instructions, tally->nr_changes,
	       tally->kills);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint32_t nr_kills = argc > 1 ? (uint32_t)atoi(argv[1]) : 3;
	uint32_t planted = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	struct step_memory clean = {0};

	if (!hs_planted_choose(planted))
		return 2;
	hs_log_level_set(HS_LOG_ERROR);
	rig_make(&rig);
	for (uint32_t i = 0; i < rig.clients.nr; i++)
		step_add(&clean, rig.clients.region[i].base,
			 rig.clients.region[i].bytes);
	for (const struct job *j = jobs; j->name; j++) {
		pid_t pid;

		step_save(&rig.agents);
		pid = step_clone();
		if (pid == 0) {
			one(j, nr_kills);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see process.h. */
#include "bench/services/process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/services/generator.h"
#include "bench/services/loop.h"
#include "bench/services/over.h"
#include "bench/services/tracer.h"

/* Rounds without work before a loop lets others have the core. */
#define SPINS	 64u
#define NAPS	 256u
#define NAP_US	 50u
#define PAUSE_US 500u
/* A round of a batch that took longer was not this loop's doing, where its
 * services do no work. */
#define STALL_TICKS_NS 200000.0

struct thread {
	pthread_t thread;
	struct hs_svc_world *world;
	uint32_t loop;	     /* nr_loops: the generator alone */
	uint32_t nr_threads; /* of all processes */
	bool with_generator;
	int rc;
	pthread_barrier_t *set_up;
};

static void rest(const struct hs_svc_settings *s, uint32_t idle_rounds)
{
	if (s->idle == HS_SVC_IDLE_SPIN || idle_rounds < SPINS)
		return;
	/* A yield gives away the rest of a slice, which is milliseconds where
	 * others wait for the core; who sleeps is let in again at once. */
	if (s->idle == HS_SVC_IDLE_YIELD)
		sched_yield();
	else if (idle_rounds >= NAPS)
		usleep(NAP_US);
}

static void ready(struct hs_svc_world *w, uint32_t process, uint32_t word)
{
	/* svc_world.W3 release, pairs svc_world.R3: all is set up. */
	atomic_store_explicit(&w->processes[process].ready, word,
			      memory_order_release);
}

static bool going(struct hs_svc_world *w)
{
	/* svc_world.R4 relaxed: the time to begin, nothing more. */
	return atomic_load_explicit(&w->go, memory_order_relaxed);
}

struct account {
	uint64_t cpu_ns;
	bool measuring;
	struct hs_svc_traffic traffic;
	double stall_ticks;
	const struct hs_svc_loop_stats *first; /* of this process */
};

/* What the span cost this loop: its processor time, and its busy rounds. */
static void account(struct account *a, struct hs_svc_loop *l,
		    enum hs_svc_phase phase, uint64_t ticks)
{
	bool measuring = phase == HS_SVC_PHASE_MEASURED;

	if (measuring != a->measuring) {
		uint64_t now = hs_clock_thread_ns();

		if (measuring)
			l->stats->calls_before = l->stats->calls;
		if (measuring && l->stats == a->first)
			hs_svc_tracer_span(l->world, l->process);

		if (!measuring) {
			l->stats->cpu_ns = now - a->cpu_ns;
			l->stats->traffic = hs_svc_traffic_since(
				&l->links.traffic, &a->traffic);
		}
		a->traffic = l->links.traffic;
		a->cpu_ns = now;
		a->measuring = measuring;
	}
	if (!measuring || !ticks)
		return;
	if ((double)ticks > a->stall_ticks)
		l->stats->stalls++;
	else
		l->stats->busy_ticks += ticks;
}

/* The loop that looks at what belongs to all of its process. */
static const struct hs_svc_loop_stats *first_loop(struct hs_svc_world *w,
						  const struct hs_svc_loop *l)
{
	uint32_t i = 0;

	if (!l)
		return NULL;
	while (w->plan.process_of_loop[i] != l->process)
		i++;
	return &w->loops[i];
}

static void run(struct thread *t, struct hs_svc_loop *l,
		struct hs_svc_generator *g)
{
	struct hs_svc_world *w = t->world;
	struct account a = {
		.first = first_loop(w, l),
		.stall_ticks =
			w->topology.exec_ms * w->settings.time_scale > 0
				? 1e18
				: STALL_TICKS_NS / hs_bench_ns_per_tick(),
	};
	uint32_t idle = 0;
	bool started = false;

	while (!hs_svc_stopping(w)) {
		enum hs_svc_phase phase = hs_svc_phase_get(w);
		uint64_t before = hs_bench_ticks();
		uint32_t did = l ? hs_svc_loop_poll(l) : 0;
		uint32_t sent = 0;

		if (g && started)
			sent = hs_svc_generator_poll(g);
		else if (g && going(w)) {
			hs_svc_generator_start(g);
			started = true;
		}
		if (l)
			hs_svc_over_gone(w, t->loop, &l->links);
		if (g)
			hs_svc_over_gone(w, w->plan.nr_loops, &g->links);
		if (l)
			account(&a, l, phase,
				did + sent ? hs_bench_ticks() - before : 0);
		idle = did + sent ? 0 : idle + 1;
		/* Nothing is measured while others set up, or are asked. */
		if (idle > SPINS && (phase == HS_SVC_PHASE_DRAINED ||
				     phase == HS_SVC_PHASE_STARTING))
			usleep(PAUSE_US);
		else if (idle)
			rest(&w->settings, idle);
	}
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct hs_svc_world *w = t->world;
	uint32_t nr = w->plan.nr_loops;
	struct hs_svc_loop *l = NULL;
	struct hs_svc_generator g;
	int rc = 0;

	if (w->settings.cpus)
		hs_bench_pin((int)(t->loop % w->settings.cpus));
	if (t->loop < nr) {
		l = calloc(1, sizeof(*l));
		rc = l ? hs_svc_loop_open(l, w, t->loop) : -ENOMEM;
		if (!rc)
			rc = hs_svc_tracer_loop(l);
	}
	if (!rc && t->with_generator)
		rc = hs_svc_generator_open(&g, w);
	if (!rc)
		rc = hs_svc_over_wait(w, l ? &l->links : NULL,
				      t->with_generator ? &g.links : NULL);
	t->rc = rc;
	pthread_barrier_wait(t->set_up);
	if (!rc) {
		run(t, l, t->with_generator ? &g : NULL);
		hs_svc_over_part(w, t->nr_threads);
		if (t->with_generator)
			hs_svc_generator_close(&g);
		if (l)
			hs_svc_tracer_loop_end(l);
	}
	if (l)
		hs_svc_loop_close(l);
	free(l);
	return NULL;
}

static int child_main(struct hs_svc_world *w, uint32_t number, bool inline_)
{
	static struct thread threads[HS_SVC_LOOPS_MAX + 1];
	const struct hs_svc_plan *p = &w->plan;
	bool alone = number == p->nr_processes;
	pthread_barrier_t set_up;
	uint32_t nr = 0;
	int rc;

	rc = hs_svc_over_keep(w, number, inline_);
	if (!rc && !alone)
		rc = hs_svc_tracer_open(w, number);
	for (uint32_t i = 0; i <= p->nr_loops && !rc; i++) {
		if (i == p->nr_loops ? !alone
				     : alone || p->process_of_loop[i] != number)
			continue;
		threads[nr++] = (struct thread){
			.world = w,
			.loop = i,
			.set_up = &set_up,
			.nr_threads = p->nr_loops + !inline_,
			.with_generator = alone || (inline_ && i == 0)};
	}
	if (!rc)
		rc = -pthread_barrier_init(&set_up, NULL, nr + 1);
	/* Without a thread the others would wait for it for ever. */
	for (uint32_t i = 0; i < nr && !rc; i++)
		if (pthread_create(&threads[i].thread, NULL, thread_main,
				   &threads[i]))
			_exit(1);
	if (!rc)
		pthread_barrier_wait(&set_up);
	for (uint32_t i = 0; i < nr; i++)
		rc = rc ? rc : threads[i].rc;
	ready(w, number, rc ? 2 : 1);
	if (rc) {
		fprintf(stderr, "hs-perf services: process %u: %s\n", number,
			strerror(-rc));
		_exit(1);
	}
	for (uint32_t i = 0; i < nr; i++)
		pthread_join(threads[i].thread, NULL);
	if (!alone)
		hs_svc_tracer_close(w, number);
	return 0;
}

pid_t hs_svc_process_start(struct hs_svc_world *w, uint32_t number,
			   bool generator_inline)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid)
		return pid;
	/* ^C is for the one that measures; when it is killed, so are these. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	_exit(child_main(w, number, generator_inline));
}

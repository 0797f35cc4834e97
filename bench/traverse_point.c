/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see traverse.h: one rate of triggers, open loop: each is due at a
 * time that no answer changes, and its time runs from then.
 */
#include "bench/traverse.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define CONTROL_PER_S 1000.0
#define CONTROL_MAX   100000u
#define AHEAD_NS      (50 * HS_NS_PER_MS)
#define QUIET_NS      (5 * HS_NS_PER_SEC) /* and it is given up */

struct control {
	double us[CONTROL_MAX];
	uint64_t n;
	bool over;
	pthread_t thread;
};

void hs_traverse_wait_until(uint64_t due_ns)
{
	struct timespec at = {.tv_sec = (time_t)(due_ns / HS_NS_PER_SEC),
			      .tv_nsec = (long)(due_ns % HS_NS_PER_SEC)};

	while (hs_clock_mono_ns() < due_ns)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void *control_run(void *arg)
{
	struct control *c = arg;
	struct hs_traverse_clock clock;
	uint64_t at_ns = hs_clock_mono_ns();

	prctl(PR_SET_TIMERSLACK, 1);
	hs_traverse_clock_begin(&clock, 7, CONTROL_PER_S);
	/* traverse.C1 relaxed: a flag, polled; it publishes nothing. */
	while (!__atomic_load_n(&c->over, __ATOMIC_RELAXED) &&
	       c->n < CONTROL_MAX) {
		uint64_t due = at_ns + hs_traverse_clock_next(&clock);

		hs_traverse_wait_until(due);
		c->us[c->n++] = (double)(hs_clock_mono_ns() - due) / 1000;
	}
	return NULL;
}

static struct control *control_begin(void)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c && pthread_create(&c->thread, NULL, control_run, c)) {
		free(c);
		c = NULL;
	}
	return c;
}

static void control_end(struct control *c, struct hs_traverse_control *out)
{
	struct hs_bench_result r = {0};

	/* traverse.C2 relaxed: as traverse.C1; joining orders the rest. */
	__atomic_store_n(&c->over, true, __ATOMIC_RELAXED);
	pthread_join(c->thread, NULL);
	hs_bench_summarize(&r, c->us, c->n);
	*out = (struct hs_traverse_control){r.median, r.p99,
					    c->n ? c->us[c->n - 1] : 0, c->n};
	free(c);
}

bool hs_traverse_write(struct hs_traverse_fabric *f, uint64_t first,
		       uint64_t nr)
{
	uint32_t nr_nodes = f->options->plan.nr_nodes;
	bool good = true;

	for (uint32_t i = 0; i < nr_nodes; i++)
		if (hs_traverse_say(&f->nodes[i], "write %" PRIu64 " %" PRIu64,
				    first, nr))
			return false;
	for (uint32_t i = 0; i < nr_nodes; i++) {
		char line[128];
		const char *words = hs_traverse_hear(&f->nodes[i], "written ",
						     line, sizeof(line));
		uint64_t written, lost = 1;

		if (!words ||
		    sscanf(words, "%" SCNu64 " %" SCNu64, &written, &lost) != 2)
			return false;
		if (lost)
			fprintf(stderr,
				"hs-perf: node %u lost %" PRIu64
				" of what it wrote\n",
				i, lost);
		good &= lost == 0;
	}
	return good;
}

static bool cost_of_node(struct hs_traverse_node *n, struct hs_traverse_cost *c)
{
	char line[256];
	const char *words;

	if (hs_traverse_say(n, "cost"))
		return false;
	words = hs_traverse_hear(n, "cost ", line, sizeof(line));
	return words &&
	       sscanf(words,
		      "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		      " %" SCNu64,
		      &c->cpu_ns, &c->messages_sent, &c->messages_received,
		      &c->system_calls, &c->waits, &c->bytes_sent) == 6;
}

/* Add what all have used up, or take it off. A dead coordinator has none. */
static bool costs(struct hs_traverse_fabric *f, struct hs_traverse_point *p,
		  int sign, uint64_t agents_ns[HS_TRAVERSE_NODES_MAX])
{
	struct hs_traverse_cost c;

	for (uint32_t i = 0; i < f->options->nr_coordinators; i++)
		if (hs_traverse_cost(f->coordinators[i], f->doors[i],
				     "transport", &c))
			hs_traverse_cost_add(&p->coordinators, &c, sign);
	for (uint32_t i = 0; i < f->options->plan.nr_nodes; i++) {
		if (!cost_of_node(&f->nodes[i], &c))
			return false;
		hs_traverse_cost_add(&p->agents, &c, sign);
		agents_ns[i] += (uint64_t)(int64_t)sign * c.cpu_ns;
	}
	if (hs_traverse_cost(f->collector, f->collector_door, "transport", &c))
		hs_traverse_cost_add(&p->collector, &c, sign);
	return true;
}

uint64_t *hs_traverse_point_due(const struct hs_traverse_point *p)
{
	uint64_t *due = calloc(p->nr, sizeof(*due));
	struct hs_traverse_clock clock;

	if (!due)
		abort();
	hs_traverse_clock_begin(&clock, p->seed, p->per_s);
	for (uint64_t k = 0; k < p->nr; k++)
		due[k] = p->at_ns + hs_traverse_clock_next(&clock);
	return due;
}

/* Two a hop, and the first and the last; all of a fan-out but the one that
 * calls are asked at the same time. */
uint32_t hs_traverse_wakes(const struct hs_traverse_plan *plan)
{
	uint32_t nr_hops = plan->shape == HS_TRAVERSE_FAN && plan->nr_visits > 2
				   ? 2
				   : plan->nr_visits;

	return 2 * nr_hops + 2;
}

static uint64_t settled(const struct hs_traverse_fabric *f,
			const struct hs_traverse_point *p)
{
	uint64_t nr = 0;

	/* traverse.C3 relaxed: a time, polled; it publishes nothing. */
	for (uint64_t k = 0; k < p->nr; k++)
		nr += __atomic_load_n(&f->settled_ns[p->first + k],
				      __ATOMIC_RELAXED) != 0;
	return nr;
}

/* Until all are told, or nothing more comes. */
static void drain(const struct hs_traverse_fabric *f,
		  const struct hs_traverse_point *p)
{
	uint64_t last = 0, since_ns = hs_clock_mono_ns();

	for (;;) {
		uint64_t nr = settled(f, p), now_ns = hs_clock_mono_ns();

		if (nr != last)
			since_ns = now_ns;
		last = nr;
		if (nr == p->nr || now_ns - since_ns > QUIET_NS)
			return;
		usleep(20000);
	}
}

static int fire(struct hs_traverse_fabric *f, struct hs_traverse_point *p,
		void (*during)(struct hs_traverse_fabric *f))
{
	uint32_t nr_origins = f->options->plan.nr_origins;
	char line[128];

	p->at_ns = hs_clock_mono_ns() + AHEAD_NS;
	for (uint32_t i = 0; i < nr_origins; i++)
		if (hs_traverse_say(&f->nodes[i],
				    "fire %" PRIu64 " %" PRIu64 " %" PRIu64
				    " %.9g %" PRIu64,
				    p->first, p->nr, p->at_ns, p->per_s,
				    p->seed))
			return -EPIPE;
	if (during) {
		usleep((useconds_t)((double)p->nr / p->per_s * 5e5) + 50000);
		during(f);
	}
	for (uint32_t i = 0; i < nr_origins; i++) {
		const char *words = hs_traverse_hear(&f->nodes[i], "fired ",
						     line, sizeof(line));
		uint64_t nr, refused;

		if (!words ||
		    sscanf(words, "%" SCNu64 " %" SCNu64, &nr, &refused) != 2)
			return -EPROTO;
		p->nr_refused += refused;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void gather(const struct hs_traverse_fabric *f,
		   struct hs_traverse_point *p)
{
	uint64_t *due = hs_traverse_point_due(p);

	p->us = calloc(p->nr + 1, sizeof(*p->us));
	if (!p->us)
		abort();
	for (uint64_t k = 0; k < p->nr; k++) {
		/* traverse.C4 relaxed: as traverse.C3. */
		uint64_t at = __atomic_load_n(&f->settled_ns[p->first + k],
					      __ATOMIC_RELAXED);

		if (!at)
			continue;
		p->us[p->nr_settled++] = (double)(int64_t)(at - due[k]) / 1000;
		if (at - p->at_ns > p->spread_ns)
			p->spread_ns = at - p->at_ns;
	}
	qsort(p->us, p->nr_settled, sizeof(*p->us), by_value);
	free(due);
}

int hs_traverse_point_run(struct hs_traverse_fabric *f,
			  struct hs_traverse_point *p,
			  void (*during)(struct hs_traverse_fabric *f))
{
	uint64_t agents_ns[HS_TRAVERSE_NODES_MAX] = {0}, most = 0;
	struct hs_traverse_chain *chain;
	struct control *control;
	int rc;

	if (!costs(f, p, -1, agents_ns))
		return -EPROTO;
	chain = hs_traverse_chain_begin(hs_traverse_wakes(&f->options->plan));
	if (!chain)
		return -ENOMEM;
	control = control_begin();
	if (!control) {
		hs_traverse_chain_end(chain, &p->chain);
		return -ENOMEM;
	}
	rc = fire(f, p, during);
	control_end(control, &p->control);
	hs_traverse_chain_end(chain, &p->chain);
	if (rc)
		return rc;
	drain(f, p);
	if (!costs(f, p, 1, agents_ns))
		return -EPROTO;
	for (uint32_t i = 0; i < f->options->plan.nr_nodes; i++)
		if (agents_ns[i] > most)
			most = agents_ns[i];
	p->agents_cpu_max_us = (double)most / 1000 / (double)p->nr;
	gather(f, p);
	return 0;
}

void hs_traverse_point_free(struct hs_traverse_point *p)
{
	free(p->us);
	p->us = NULL;
}

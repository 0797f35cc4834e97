/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see traverse.h: a message that goes from one sleeper to the next, as
 * often as one of a traversal does, and does nothing else. What it takes, of a
 * traversal's time the machine takes.
 *
 * Each link is a thread that reads a number from a pipe and writes it into the
 * next. Seldom, so that nobody is kept from what is measured beside it.
 */
#include "bench/traverse.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"

#define PER_S	    100.0
#define SAMPLES_MAX 100000u
#define STACK_BYTES ((size_t)64 << 10)

struct link {
	int in, out;
	pthread_t thread;
	bool runs;
};

struct hs_traverse_chain {
	struct link first, last; /* who sends when it is due, who takes */
	struct link links[HS_TRAVERSE_CHAIN_MAX];
	uint32_t nr_links;
	bool over;
	double us[SAMPLES_MAX];
	uint64_t n;
};

static void *pass_on(void *arg)
{
	const struct link *l = arg;
	uint64_t due;

	while (read(l->in, &due, sizeof(due)) == sizeof(due))
		if (write(l->out, &due, sizeof(due)) != sizeof(due))
			break;
	close(l->out); /* whoever reads there ends likewise */
	return NULL;
}

static void *send_due(void *arg)
{
	struct hs_traverse_chain *c = arg;
	struct hs_traverse_clock clock;
	uint64_t at_ns = hs_clock_mono_ns();

	prctl(PR_SET_TIMERSLACK, 1);
	hs_traverse_clock_begin(&clock, 11, PER_S);
	/* traverse.C5 relaxed: a flag, polled; it publishes nothing. */
	while (!__atomic_load_n(&c->over, __ATOMIC_RELAXED)) {
		uint64_t due = at_ns + hs_traverse_clock_next(&clock);

		hs_traverse_wait_until(due);
		if (write(c->first.out, &due, sizeof(due)) != sizeof(due))
			break;
	}
	close(c->first.out);
	return NULL;
}

static void *take(void *arg)
{
	struct hs_traverse_chain *c = arg;
	uint64_t due;

	while (read(c->last.in, &due, sizeof(due)) == sizeof(due))
		if (c->n < SAMPLES_MAX)
			c->us[c->n++] =
				(double)(hs_clock_mono_ns() - due) / 1000;
	return NULL;
}

static bool run(struct link *l, void *(*what)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	l->runs = pthread_create(&l->thread, &attr, what, arg) == 0;
	pthread_attr_destroy(&attr);
	return l->runs;
}

static bool join_up(struct link *from, struct link *to)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return false;
	from->out = fds[1];
	to->in = fds[0];
	return true;
}

static void end(struct link *l)
{
	if (l->runs)
		pthread_join(l->thread, NULL);
	else if (l->out >= 0)
		close(l->out);
	if (l->in >= 0)
		close(l->in);
}

/* In order: each ends when the one before it has. */
static void drop(struct hs_traverse_chain *c)
{
	/* traverse.C6 relaxed: as traverse.C5; joining orders the rest. */
	__atomic_store_n(&c->over, true, __ATOMIC_RELAXED);
	end(&c->first);
	for (uint32_t i = 0; i < c->nr_links; i++)
		end(&c->links[i]);
	end(&c->last);
}

struct hs_traverse_chain *hs_traverse_chain_begin(uint32_t nr_wakes)
{
	struct hs_traverse_chain *c = calloc(1, sizeof(*c));
	struct link *from;
	bool good = true;

	if (!c)
		return NULL;
	c->nr_links = nr_wakes < 2			 ? 0
		      : nr_wakes > HS_TRAVERSE_CHAIN_MAX ? HS_TRAVERSE_CHAIN_MAX
							 : nr_wakes - 1;
	c->first.in = c->first.out = c->last.in = c->last.out = -1;
	for (uint32_t i = 0; i < c->nr_links; i++)
		c->links[i].in = c->links[i].out = -1;
	from = &c->first;
	for (uint32_t i = 0; i < c->nr_links && good; i++) {
		good = join_up(from, &c->links[i]);
		from = &c->links[i];
	}
	good = good && join_up(from, &c->last) && run(&c->last, take, c);
	for (uint32_t i = c->nr_links; i-- > 0 && good;)
		good = run(&c->links[i], pass_on, &c->links[i]);
	good = good && run(&c->first, send_due, c);
	if (good)
		return c;
	drop(c);
	free(c);
	return NULL;
}

void hs_traverse_chain_end(struct hs_traverse_chain *c,
			   struct hs_traverse_control *out)
{
	struct hs_bench_result r = {0};

	drop(c);
	hs_bench_summarize(&r, c->us, c->n);
	*out = (struct hs_traverse_control){r.median, r.p99,
					    c->n ? c->us[c->n - 1] : 0, c->n};
	free(c);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see crew.h. */
#include "bench/crew.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

/* Who has had nothing to do for so long sleeps: fewer of a crew are timed with
 * the others' cores at rest. */
#define SPIN_NS (500 * HS_NS_PER_US)

/* A line of its own each, so that one's end is not the others' miss. */
struct mate {
	pthread_t thread;
	struct hs_bench_crew *crew;
	uint32_t number;
	bool called;	/* stays awake; by the first thread */
	uint64_t round; /* to be done; by the first thread */
	uint64_t done;	/* by the mate */
	uint64_t ticks; /* of its last round; by the mate, before @done */
} __attribute__((aligned(128)));

struct hs_bench_crew {
	uint32_t threads;
	/* Written by the first thread before it changes a mate's round. */
	const struct hs_bench_crew_work *work; /* NULL: the end */
	uint32_t n;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct mate *mates;
};

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static bool wanted(const struct mate *m)
{
	/* crew.R0 relaxed: a hint to stay awake; whoever would sleep on it
	 * asks again under the lock that the caller takes after it. */
	if (__atomic_load_n(&m->called, __ATOMIC_RELAXED))
		return true;
	/* crew.R1 acquire, pairs crew.W1: the work after its round. */
	return __atomic_load_n(&m->round, __ATOMIC_ACQUIRE) != m->done;
}

static void await_round(struct mate *m)
{
	struct hs_bench_crew *crew = m->crew;
	uint64_t end = hs_clock_mono_ns() + SPIN_NS;

	/* crew.R2 acquire, pairs crew.W1: the work after its round. */
	while (__atomic_load_n(&m->round, __ATOMIC_ACQUIRE) == m->done) {
		relax();
		if (wanted(m) || hs_clock_mono_ns() < end)
			continue;
		pthread_mutex_lock(&crew->lock);
		while (!wanted(m))
			pthread_cond_wait(&crew->wake, &crew->lock);
		pthread_mutex_unlock(&crew->lock);
	}
}

static void work_do(const struct hs_bench_crew_work *work, struct mate *m)
{
	uint64_t start = hs_bench_ticks();

	work->run(work->contexts[m->number], m->crew->n);
	m->ticks = hs_bench_ticks() - start;
}

static void *mate_main(void *arg)
{
	struct mate *m = arg;

	hs_bench_pin((int)m->number);
	for (;;) {
		const struct hs_bench_crew_work *work;

		await_round(m);
		work = m->crew->work;
		if (!work)
			return NULL;
		work_do(work, m);
		/* crew.W2 release, pairs crew.R3: what was done before it. */
		__atomic_store_n(&m->done, m->done + 1, __ATOMIC_RELEASE);
	}
}

static void call(struct hs_bench_crew *crew, uint32_t threads)
{
	for (uint32_t i = 1; i < threads; i++)
		/* crew.W0 relaxed: read under the lock below, or a hint. */
		__atomic_store_n(&crew->mates[i].called, true,
				 __ATOMIC_RELAXED);
	/* Who saw nothing under the lock is waiting by now, and hears this. */
	pthread_mutex_lock(&crew->lock);
	pthread_cond_broadcast(&crew->wake);
	pthread_mutex_unlock(&crew->lock);
}

static void begin(struct hs_bench_crew *crew, uint32_t threads)
{
	for (uint32_t i = 1; i < threads; i++)
		/* crew.W1 release, pairs crew.R1, crew.R2: the work that is
		 * to be done before its round. */
		__atomic_store_n(&crew->mates[i].round,
				 crew->mates[i].round + 1, __ATOMIC_RELEASE);
}

void hs_bench_crew_wake(void *context)
{
	const struct hs_bench_crew_work *work = context;

	call(work->crew, work->threads);
}

void hs_bench_crew_run(void *context, uint32_t n)
{
	const struct hs_bench_crew_work *work = context;
	struct hs_bench_crew *crew = work->crew;

	call(crew, work->threads);
	crew->work = work;
	crew->n = n;
	begin(crew, work->threads);
	work_do(work, &crew->mates[0]);
	for (uint32_t i = 1; i < work->threads; i++) {
		struct mate *m = &crew->mates[i];

		/* crew.R3 acquire, pairs crew.W2: what was done. */
		while (__atomic_load_n(&m->done, __ATOMIC_ACQUIRE) != m->round)
			relax();
		/* crew.W3 relaxed: who is not called any more may sleep. */
		__atomic_store_n(&m->called, false, __ATOMIC_RELAXED);
	}
}

uint64_t hs_bench_crew_took(const void *context)
{
	const struct hs_bench_crew_work *work = context;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < work->threads; i++)
		sum += work->crew->mates[i].ticks;
	return sum / work->threads;
}

void hs_bench_crew_end(struct hs_bench_crew *crew)
{
	crew->work = NULL;
	call(crew, crew->threads);
	begin(crew, crew->threads);
	for (uint32_t i = 1; i < crew->threads; i++)
		pthread_join(crew->mates[i].thread, NULL);
	pthread_cond_destroy(&crew->wake);
	pthread_mutex_destroy(&crew->lock);
	free(crew->mates);
	free(crew);
}

struct hs_bench_crew *hs_bench_crew_start(uint32_t threads)
{
	struct hs_bench_crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		abort();
	crew->mates = aligned_alloc(_Alignof(struct mate),
				    threads * sizeof(*crew->mates));
	if (!crew->mates)
		abort();
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->wake, NULL);
	hs_bench_pin(0);
	crew->mates[0] = (struct mate){.crew = crew};
	for (crew->threads = 1; crew->threads < threads; crew->threads++) {
		struct mate *m = &crew->mates[crew->threads];

		*m = (struct mate){.crew = crew, .number = crew->threads};
		if (pthread_create(&m->thread, NULL, mate_main, m)) {
			hs_bench_crew_end(crew);
			return NULL;
		}
	}
	return crew;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see clear.h. */
#include "agent/clear.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/clock.h"

#define STEP_BYTES ((size_t)2 << 20) /* a large page, where there are any */
/* Of less, a thread is no help: it is cleared in a millisecond. */
#define WORTH_BYTES ((size_t)8 << 20)

static void *clear(void *arg)
{
	struct hs_clear *c = arg;
	size_t at = 0, n;

	/* clear.C1 relaxed: nothing is published by it. */
	while (at < c->bytes && !__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		n = c->bytes - at < STEP_BYTES ? c->bytes - at : STEP_BYTES;
		/* Linux 5.14; before it pages come as they are touched. */
		if (madvise(c->memory + at, n, MADV_POPULATE_WRITE))
			break;
		at += n;
	}
	c->cleared_bytes = at;
	c->cpu_ns = hs_clock_thread_ns();
	return NULL;
}

/* Where we alone are allowed, it would only take our time. */
static bool several_cores(void)
{
	cpu_set_t set;

	return !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1;
}

void hs_clear_begin(struct hs_clear *c, void *memory, size_t bytes)
{
	uintptr_t first = ((uintptr_t)memory + STEP_BYTES - 1) &
			  ~(uintptr_t)(STEP_BYTES - 1);
	size_t skipped = first - (uintptr_t)memory;
	sigset_t all, before;

	*c = (struct hs_clear){.memory = (uint8_t *)memory + skipped};
	if (bytes < skipped + WORTH_BYTES || !several_cores())
		return;
	c->bytes = bytes - skipped;
	/* Signals are for whoever began this. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	c->running = !pthread_create(&c->thread, NULL, clear, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uint64_t hs_clear_end(struct hs_clear *c)
{
	if (!c->running)
		return 0;
	/* clear.C2 relaxed: a page more or less. */
	__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	pthread_join(c->thread, NULL);
	c->running = false;
	return c->cpu_ns;
}

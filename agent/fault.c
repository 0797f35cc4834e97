/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see fault.h. The table is changed by the thread that reads the
 * memory, and read by the handler in that thread: a base is written last and
 * cleared first.
 */
#include "agent/fault.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define RANGES_MAX 4096u

struct range {
	uintptr_t base; /* 0: unused */
	size_t size_bytes;
	size_t page_bytes;
};

static struct range ranges[RANGES_MAX];
static uint32_t nr_ranges;
static uint64_t nr_faults;

static void give_up(void)
{
	signal(SIGBUS, SIG_DFL);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved = errno;

	for (uint32_t i = 0; i < nr_ranges; i++) {
		const struct range *r = &ranges[i];
		uintptr_t page;

		if (!r->base || at < r->base || at - r->base >= r->size_bytes)
			continue;
		page = at & ~(uintptr_t)(r->page_bytes - 1);
		if (mmap((void *)page, r->page_bytes, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) == MAP_FAILED)
			break;
		/* fault.C1 relaxed: a counter. */
		__atomic_fetch_add(&nr_faults, 1, __ATOMIC_RELAXED);
		errno = saved;
		return;
	}
	/* The instruction runs again, and ends the process. */
	give_up();
}

int hs_fault_install(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};

	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

int hs_fault_watch(const void *base, size_t size_bytes, bool huge)
{
	uint32_t i = 0;

	while (i < nr_ranges && ranges[i].base)
		i++;
	if (i == RANGES_MAX)
		return -ENOSPC;
	ranges[i].size_bytes = size_bytes;
	ranges[i].page_bytes = huge ? (size_t)2 << 20 : 4096;
	/* fault.C2 relaxed: read by this thread's handler only. */
	__atomic_store_n(&ranges[i].base, (uintptr_t)base, __ATOMIC_RELAXED);
	if (i == nr_ranges)
		nr_ranges++;
	return 0;
}

void hs_fault_forget(const void *base)
{
	for (uint32_t i = 0; base && i < nr_ranges; i++)
		if (ranges[i].base == (uintptr_t)base)
			/* fault.C3 relaxed: as fault.C2. */
			__atomic_store_n(&ranges[i].base, 0, __ATOMIC_RELAXED);
}

uint64_t hs_fault_count(void)
{
	/* fault.C4 relaxed: a counter. */
	return __atomic_load_n(&nr_faults, __ATOMIC_RELAXED);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.c - see turns.h
 */
#include "base/turns.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct sched_attr of sched_setattr(2), which has no header of libc's. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

int hs_turns_short(void)
{
	struct attr attr = {0};

	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
		return -errno;
	if (attr.policy != SCHED_OTHER && attr.policy != SCHED_BATCH)
		return 0;
	attr.size = sizeof(attr);
	attr.runtime_ns = HS_TURNS_SHORT_NS;
	return syscall(SYS_sched_setattr, 0, &attr, 0) ? -errno : 0;
}

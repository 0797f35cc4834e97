/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: sched_getattr(2) and its struct, which no header of libc's has. */
#ifndef HS_TESTS_SCHED_ATTR_H
#define HS_TESTS_SCHED_ATTR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <unistd.h>

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Of a thread; 0: of this one. Return: 0, or the kernel has no such. */
static inline int attr_of(pid_t thread, struct attr *out)
{
	*out = (struct attr){0};
	return (int)syscall(SYS_sched_getattr, thread, out, sizeof(*out), 0);
}

/* Before Linux 6.12 a wish for slices is forgotten. */
static inline bool has_slices(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return uname(&name) == 0 &&
	       sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 12));
}

#endif

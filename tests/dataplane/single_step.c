/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see single_step.h. */
#include "single_step.h"

#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100

static uint32_t steps, call_at;
static void (*call)(void);
static volatile sig_atomic_t stepping;

static void on_trap(int number, siginfo_t *info, void *context)
{
	greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];

	if (info->si_code == TRAP_TRACE && ++steps == call_at) {
		stepping = 0;
		call();
	}
	*flags = stepping ? *flags | TRAP_FLAG : *flags & ~TRAP_FLAG;
}

static void trap(int on)
{
	stepping = on;
	__asm__ volatile("int3" : : : "memory");
}

void single_step_begin(uint32_t at, void (*then)(void))
{
	struct sigaction action = {.sa_sigaction = on_trap,
				   .sa_flags = SA_SIGINFO};

	if (sigaction(SIGTRAP, &action, NULL))
		abort();
	steps = 0;
	call_at = at;
	call = then;
	trap(1);
}

bool single_step_end(void)
{
	trap(0);
	return steps >= call_at;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: law 1, shown: on the write path libhindsight makes no system call,
 * allocates nothing and takes no page fault after open, whether its agent
 * works, is stopped, is dead, or writes garbage over all that they share.
 *
 * The agent is another process. System calls are counted by the kernel's
 * dispatch to user space, which also keeps them from happening; allocations by
 * this program's own malloc(); faults by getrusage(). Pages that nobody may
 * touch lie around what is shared, where there is room for them.
 *
 *	polite [CALLS]	of each kind in each of the four; default 1000000
 */
#include "node.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "dataplane/client.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON	     1
#endif
#define DISPATCH_ALLOW 0
#define DISPATCH_BLOCK 1

#define EXIT_SKIP   77
#define MAX_TRACES  16u
#define TRIES	    20000u
#define GUARD_BYTES 4096u
#define SCRIBBLES   4096u

/* ---- what is counted ----------------------------------------------------- */

static volatile char dispatch = DISPATCH_ALLOW;
static volatile bool watching;
static volatile uint64_t nr_calls_made, nr_allocations;
static volatile long first_call;

void *__libc_malloc(size_t size_bytes);
void *__libc_calloc(size_t nr, size_t size_bytes);
void *__libc_realloc(void *p, size_t size_bytes);
void __libc_free(void *p);

__attribute__((visibility("default"))) void *malloc(size_t size_bytes)
{
	nr_allocations += watching;
	return __libc_malloc(size_bytes);
}

__attribute__((visibility("default"))) void *calloc(size_t nr,
						    size_t size_bytes)
{
	nr_allocations += watching;
	return __libc_calloc(nr, size_bytes);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size_bytes)
{
	nr_allocations += watching;
	return __libc_realloc(p, size_bytes);
}

__attribute__((visibility("default"))) void free(void *p)
{
	nr_allocations += watching && p;
	__libc_free(p);
}

/* Its own return is a system call: from here on they are let through. */
static void on_call(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void)number;
	dispatch = DISPATCH_ALLOW;
	if (!nr_calls_made++)
		first_call = info->si_syscall;
	u->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
}

static uint64_t faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

/* ---- the agent ----------------------------------------------------------- */

struct board {
	volatile uint32_t attached;
	volatile uint32_t hostile;
};
static struct board *board;

static void scribble(struct hs_random *dice, uint8_t *base, size_t bytes)
{
	for (uint32_t i = 0; i < SCRIBBLES; i++) {
		uint64_t word =
			hs_random_u64(dice) >> hs_random_below(dice, 64);

		memcpy(base + (hs_random_below(dice, bytes / 8) * 8), &word, 8);
	}
}

static uint8_t *writable(const struct hs_memfd *m)
{
	void *p = mmap(NULL, m->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		       m->fd, 0);

	if (p == MAP_FAILED)
		node_die("mmap: %s", strerror(errno));
	return p;
}

static void be_hostile(struct hs_guest *g)
{
	struct hs_random dice;
	uint8_t *up = writable(&g->up), *pool = writable(&g->tenant->pools[0]);

	hs_random_seed(&dice, 1);
	for (;;) {
		scribble(&dice, g->down.base, g->down.size_bytes);
		scribble(&dice, up, g->up.size_bytes);
		scribble(&dice, pool, g->tenant->pools[0].size_bytes);
	}
}

static void agent(struct node *n, pid_t client)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		node_serve(n);
		node_work(n);
		node_keep(n);
		node_forget(n);
		board->attached = node_guest(n, client) != NULL;
		if (board->hostile && board->attached)
			be_hostile(node_guest(n, client));
		sched_yield();
	}
}

/* ---- the application ----------------------------------------------------- */

static struct hs_trigger *trigger;

/* Return: whether there was a trace to write to. */
static bool once(uint64_t i)
{
	static const uint8_t data[900];
	volatile size_t length = 24;
	struct hs_trace_id id = {0x90117e, i + 1};
	struct hs_trace *t = hs_trace_begin(i & 1 ? &id : NULL, NULL);
	struct hs_context context;
	struct hs_span span;
	bool begun;

	begun = hs_trace_id_get(t).lo != 0;
	hs_tracepoint(t, data, 32);
	hs_tracepoint_plain(t, data, 32);
	hs_tracepoint(t, data, length);
	if (i % 16 == 0)
		hs_tracepoint(t, data, sizeof(data));
	hs_span_start(t, &span, "GET", 3);
	hs_span_attr_i64(&span, "status", 200);
	hs_span_attr_str(&span, "path", "/item");
	hs_span_event(&span, "flushed", NULL, 0);
	hs_span_end(&span);
	hs_context_forward(t, 0x0000000900000001ull);
	hs_context_inject(t, 1, &context);
	hs_trace_detach(t);
	hs_trace_attach(t);
	if (i % 64 == 0)
		hs_trigger_fire(trigger, &id, NULL, 0);
	hs_trace_end(t);
	return begun;
}

static bool good = true;

static void phase(const char *name, uint64_t nr, uint64_t nr_begun, bool must)
{
	struct hs_client_stats stats;
	uint64_t before = faults(), after, begun = 0, i;

	nr_calls_made = nr_allocations = 0;
	watching = true;
	dispatch = DISPATCH_BLOCK;
	for (i = 0; i < nr || begun < nr_begun; i++)
		begun += once(i);
	dispatch = DISPATCH_ALLOW;
	watching = false;
	after = faults();
	hs_client_stats_get(&stats);
	printf("%-8s %8llu requests, %7llu with a handle: %llu system calls, "
	       "%llu allocations, %llu page faults; null buffers so far %llu\n",
	       name, (unsigned long long)i, (unsigned long long)begun,
	       (unsigned long long)nr_calls_made,
	       (unsigned long long)nr_allocations,
	       (unsigned long long)(after - before),
	       (unsigned long long)stats.buffers_null);
	if (nr_calls_made)
		printf("  the first was number %ld\n", first_call);
	if (must && (nr_calls_made || nr_allocations || after != before))
		good = false;
	fflush(stdout);
}

/* What is counted can be counted. */
static void control(void)
{
	uint64_t before = faults(), after;
	volatile char *p;

	nr_calls_made = nr_allocations = 0;
	watching = true;
	p = malloc(8);
	dispatch = DISPATCH_BLOCK;
	(void)getppid();
	dispatch = DISPATCH_ALLOW;
	watching = false;
	free((void *)(uintptr_t)p);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*p = 1;
	after = faults();
	if (nr_calls_made != 1 || nr_allocations != 1 || after == before)
		node_die("the counters do not count: %llu calls, %llu "
			 "allocations, %llu faults",
			 (unsigned long long)nr_calls_made,
			 (unsigned long long)nr_allocations,
			 (unsigned long long)(after - before));
}

static void guard(const uint8_t *base, size_t bytes)
{
	const uintptr_t at[] = {(uintptr_t)base - GUARD_BYTES,
				((uintptr_t)base + bytes + GUARD_BYTES - 1) &
					~(uintptr_t)(GUARD_BYTES - 1)};

	/* Where something else lies already, that is the guard. */
	for (uint32_t i = 0; i < 2; i++)
		(void)mmap((void *)at[i], GUARD_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			   -1, 0);
}

static void client_open(const struct node *n)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = node_socket(n, 0),
		.service = "polite",
		.max_traces = MAX_TRACES,
		.no_thread = true,
	};
	struct hs_attachment *at;

	if (hs_client_open(&options))
		node_die("the client does not open");
	for (uint32_t i = 0; hs_client_poll() || !board->attached; i++) {
		if (i == TRIES)
			node_die("the client does not attach");
		usleep(100);
	}
	usleep(20000); /* the first stock, and what a tick is worth */
	hs_client_poll();
	trigger = hs_trigger_define("polite");
	at = hs_client_attachment();
	guard(at->down, at->down_bytes);
	guard(at->up, at->up_bytes);
	guard(at->pools[0], at->pool_bytes);
}

int main(int argc, char **argv)
{
	uint64_t nr = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	struct sigaction action = {.sa_sigaction = on_call,
				   .sa_flags = SA_SIGINFO};
	static struct node n;
	pid_t client = getpid(), pid;

	hs_log_level_set(HS_LOG_ERROR);
	sigaction(SIGSYS, &action, NULL);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
		  &dispatch)) {
		printf("polite: skipped, this kernel does not dispatch system "
		       "calls\n");
		return EXIT_SKIP;
	}
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 1;
	node_make(&n);
	pid = fork();
	if (pid == 0)
		agent(&n, client);
	control();
	client_open(&n);
	/* Code is read from its file when it is first run, by whoever runs. */
	phase("first", 1, 0, false);
	phase("served", nr, nr / 20, true);
	kill(pid, SIGSTOP);
	phase("stopped", nr, 0, true);
	board->hostile = 1;
	kill(pid, SIGCONT);
	phase("hostile", nr, 0, true);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	phase("dead", nr, 0, true);
	node_free(&n);
	return good ? 0 : 1;
}

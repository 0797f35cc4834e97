/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see step.h. */
#include "step.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "dataplane/handle.h"
#include "node.h"

#ifndef MADV_KEEPONFORK
#define MADV_KEEPONFORK 19
#endif

struct step_board *step_board;

void step_init(void)
{
	cpu_set_t set;

	step_board = mmap(NULL, sizeof(*step_board), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (step_board == MAP_FAILED)
		node_die("no memory");
	/* A step is a switch to the other process and back: half as dear on
	 * one core as on two. */
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void keep(void *base, size_t bytes, int advice)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)base & ~(page - 1);
	uintptr_t to = ((uintptr_t)base + bytes + page - 1) & ~(page - 1);

	if (madvise((void *)from, to - from, advice))
		node_die("madvise %d: %s", advice, strerror(errno));
}

void step_keep_client(uint32_t max_traces)
{
	struct hs_attachment *at = hs_client.attachment;
	struct hs_trace *t = hs_handle_take(NULL);

	keep(at->down, at->down_bytes, MADV_DOFORK);
	keep(at->up, at->up_bytes, MADV_DOFORK);
	keep(at->pools[0], at->pool_bytes, MADV_DOFORK);
	keep(hs_client.page, 1, MADV_KEEPONFORK);
	/* The first of them begins their mapping. */
	keep(t - t->index, max_traces * sizeof(*t), MADV_KEEPONFORK);
	hs_handle_give(NULL, t);
}

pid_t step_clone(void)
{
	pid_t parent = getpid();
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid < 0)
		node_die("clone: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

int step_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			node_die("waitpid: %s", strerror(errno));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

bool step_gone(pid_t pid)
{
	int fd = hs_process_pidfd(pid);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool gone = fd < 0 || poll(&p, 1, 0) == 1;

	if (fd >= 0)
		close(fd);
	return gone;
}

struct job {
	void (*fn)(void *);
	void *arg;
};

static void *traced(void *arg)
{
	struct job *job = arg;
	pid_t tid = (pid_t)syscall(SYS_gettid);

	ptrace(PTRACE_TRACEME, 0, 0, 0);
	step_board->tid = tid;
	syscall(SYS_tgkill, getpid(), tid, SIGSTOP);
	job->fn(job->arg);
	return NULL;
}

static void run(struct job *job, bool threaded)
{
	pthread_t thread;

	if (!threaded) {
		traced(job);
		step_board->returned = 1;
		/* For who let it go on: ptrace tells of it. */
		syscall(SYS_tgkill, getpid(), step_board->tid, SIGSTOP);
	} else if (pthread_create(&thread, NULL, traced, job) == 0) {
		pthread_join(thread, NULL);
	}
	/* It goes on living: what ends is what was to be seen. */
	for (;;)
		pause();
}

struct step step_begin(void (*fn)(void *), void *arg, bool threaded)
{
	struct job job = {fn, arg};
	struct step s = {0};
	int status;

	step_board->done = 0;
	step_board->tid = 0;
	step_board->returned = 0;
	s.pid = step_clone();
	if (s.pid == 0)
		run(&job, threaded);
	while (!step_board->tid)
		sched_yield();
	s.tid = step_board->tid;
	if (waitpid(s.tid, &status, __WALL) != s.tid || !WIFSTOPPED(status))
		node_die("the copy did not stop");
	return s;
}

bool step_one_signal(struct step *s, int number)
{
	int status;

	if (s->over || step_board->returned)
		return false;
	if (ptrace(PTRACE_SINGLESTEP, s->tid, 0, (void *)(intptr_t)number))
		node_die("step: %s", strerror(errno));
	if (waitpid(s->tid, &status, __WALL) != s->tid)
		node_die("step: %s", strerror(errno));
	if (!WIFSTOPPED(status)) {
		s->over = true;
		return false;
	}
	if (WSTOPSIG(status) != SIGTRAP)
		node_die("signal %d after %llu instructions", WSTOPSIG(status),
			 (unsigned long long)s->nr);
	s->nr++;
	return true;
}

void step_go_on(struct step *s, int number)
{
	int status;

	if (ptrace(PTRACE_CONT, s->tid, 0, (void *)(intptr_t)number))
		node_die("go on: %s", strerror(errno));
	if (waitpid(s->tid, &status, __WALL) != s->tid)
		node_die("go on: %s", strerror(errno));
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP ||
	    !step_board->returned)
		node_die("it does not come to its end: status %#x", status);
}

void step_kill(struct step *s)
{
	kill(s->pid, SIGKILL);
	if (!s->over && s->tid != s->pid)
		step_wait(s->tid);
	step_wait(s->pid);
	s->over = true;
}

void step_add(struct step_memory *m, void *base, size_t bytes)
{
	if (m->nr == STEP_REGIONS_MAX)
		node_die("more than %u regions", STEP_REGIONS_MAX);
	m->region[m->nr].base = base;
	m->region[m->nr].bytes = bytes;
	m->region[m->nr].saved = malloc(bytes);
	if (!m->region[m->nr].saved)
		node_die("no memory");
	memcpy(m->region[m->nr++].saved, base, bytes);
}

void step_save(struct step_memory *m)
{
	for (uint32_t i = 0; i < m->nr; i++)
		memcpy(m->region[i].saved, m->region[i].base,
		       m->region[i].bytes);
}

bool step_changed(struct step_memory *m)
{
	bool changed = false;

	for (uint32_t i = 0; i < m->nr; i++) {
		if (!memcmp(m->region[i].saved, m->region[i].base,
			    m->region[i].bytes))
			continue;
		memcpy(m->region[i].saved, m->region[i].base,
		       m->region[i].bytes);
		changed = true;
	}
	return changed;
}

void step_restore(const struct step_memory *m)
{
	for (uint32_t i = 0; i < m->nr; i++)
		memcpy(m->region[i].base, m->region[i].saved,
		       m->region[i].bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see hire.h. */
#include "agent/hire.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_FD 3

static _Noreturn void become_worker(int sock, pid_t keeper, const char *config,
				    bool idle)
{
	const struct sched_param param = {0};
	sigset_t none;
	char fd[16];

	/* It must not outlive us: nobody would hold what it makes. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (sock == LINE_FD ? fcntl(sock, F_SETFD, 0)
			    : dup2(sock, LINE_FD) != LINE_FD)
		_exit(1);
	/*
	 * At once: starved between fork and exec it would hold open what is
	 * the keeper's, its lock among it, when that has ended.
	 */
	if (!close_range(LINE_FD + 1, ~0u, 0) && idle)
		sched_setscheduler(0, SCHED_IDLE, &param);
	snprintf(fd, sizeof(fd), "%d", LINE_FD);
	execl("/proc/self/exe", "hs-agent-worker", "--worker-fd", fd,
	      "--config", config, NULL);
	_exit(127);
}

int hs_hire(const char *config, bool idle, struct hs_hired *out)
{
	pid_t self = getpid();
	int pair[2];

	*out = (struct hs_hired){.sock = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	out->pid = fork();
	if (out->pid == 0)
		become_worker(pair[1], self, config, idle);
	close(pair[1]);
	if (out->pid < 0) {
		int rc = -errno;

		out->pid = 0;
		close(pair[0]);
		return rc;
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	out->sock = pair[0];
	return 0;
}

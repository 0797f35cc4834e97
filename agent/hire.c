/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see hire.h. */
#include "agent/hire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static _Noreturn void become_worker(int sock, pid_t keeper, const char *config)
{
	sigset_t none;
	char fd[16];
	int copy;

	/* It must not outlive us: nobody would hold what it makes. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	copy = fcntl(sock, F_DUPFD, 3);
	if (copy < 0)
		_exit(1);
	snprintf(fd, sizeof(fd), "%d", copy);
	execl("/proc/self/exe", "hs-agent-worker", "--worker-fd", fd,
	      "--config", config, NULL);
	_exit(127);
}

int hs_hire(const char *config, struct hs_hired *out)
{
	pid_t self = getpid();
	int pair[2];

	*out = (struct hs_hired){.sock = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	out->pid = fork();
	if (out->pid == 0)
		become_worker(pair[1], self, config);
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

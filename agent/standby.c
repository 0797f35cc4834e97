/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see standby.h. */
#include "agent/standby.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/held.h"
#include "base/clock.h"
#include "base/log.h"

/* By then a successor has sent what it owes, and applications are back. */
#define PAUSE_NS (200 * HS_NS_PER_MS)
/* A machine that is idle at times has been by then. */
#define PATIENCE_NS    HS_NS_PER_SEC
#define BACKOFF_NS     HS_NS_PER_SEC
#define DOUBLINGS_MAX  6u
#define LONG_ENOUGH_NS (60 * HS_NS_PER_SEC)

void hs_standby_init(struct hs_standby *s)
{
	*s = (struct hs_standby){.hired.sock = -1, .due_ns = UINT64_MAX};
}

/* It is dead, or somebody else's. */
static void none(struct hs_standby *s)
{
	s->hired = (struct hs_hired){.sock = -1};
	s->is_prepared = s->is_idle = false;
}

void hs_standby_want(struct hs_standby *s, uint64_t now_ns)
{
	if (s->hired.pid)
		return;
	s->due_ns = now_ns + PAUSE_NS;
	if (s->due_ns < s->not_before_ns)
		s->due_ns = s->not_before_ns;
}

uint64_t hs_standby_due_ns(const struct hs_standby *s)
{
	return !s->hired.pid || s->is_idle ? s->due_ns : UINT64_MAX;
}

static void later(struct hs_standby *s, uint64_t now_ns)
{
	uint32_t doublings = s->deaths_in_a_row < DOUBLINGS_MAX
				     ? s->deaths_in_a_row
				     : DOUBLINGS_MAX;

	s->not_before_ns = now_ns + (BACKOFF_NS << doublings);
	s->due_ns = s->not_before_ns;
}

/* As we are: whoever started us at another priority meant it. */
static int raise_priority(pid_t pid)
{
	struct sched_param param;
	int policy = sched_getscheduler(0);

	if (policy < 0 || sched_getparam(0, &param))
		return -errno;
	return sched_setscheduler(pid, policy, &param) ? -errno : 0;
}

/*
 * At idle priority it may not run for a minute where others want the cores, not
 * even to die: it is killed at ours. Where that may not be, nobody waits for
 * it: it holds nothing that is not its own, and is reaped once the keeper ends.
 */
void hs_standby_end(struct hs_standby *s)
{
	bool waits;

	if (!s->hired.pid)
		return;
	waits = !s->is_idle || !raise_priority(s->hired.pid);
	kill(s->hired.pid, SIGKILL);
	waitpid(s->hired.pid, NULL, waits ? 0 : WNOHANG);
	close(s->hired.sock);
	none(s);
	s->due_ns = UINT64_MAX;
}

/* Return: false: it could not, and is given up. */
static bool leave_idle(struct hs_standby *s, uint64_t now_ns)
{
	int rc = s->is_idle ? raise_priority(s->hired.pid) : 0;

	if (!rc) {
		s->is_idle = false;
		return true;
	}
	/* Without the privilege, or RLIMIT_NICE, it would stay there. */
	hs_log_info("keeper",
		    "no way back from idle priority, standbys are prepared "
		    "at ours error=%s",
		    strerror(-rc));
	s->never_idle = true;
	hs_standby_end(s);
	hs_standby_want(s, now_ns);
	return false;
}

static void start(struct hs_standby *s, const char *config, uint64_t now_ns)
{
	int rc = hs_hire(config, !s->never_idle, &s->hired);

	if (rc) {
		later(s, now_ns);
		s->deaths_in_a_row++;
		hs_log_warn("keeper", "cannot prepare a standby error=%s",
			    strerror(-rc));
		return;
	}
	s->is_prepared = false;
	s->is_idle = !s->never_idle;
	s->due_ns = now_ns + PATIENCE_NS;
}

void hs_standby_run(struct hs_standby *s, const char *config, uint64_t now_ns)
{
	if (now_ns < hs_standby_due_ns(s))
		return;
	if (s->hired.pid)
		leave_idle(s, now_ns);
	else
		start(s, config, now_ns);
}

bool hs_standby_hear(struct hs_standby *s, uint64_t now_ns)
{
	struct hs_held_message message;
	int fd;

	if (!s->hired.pid || hs_held_receive(s->hired.sock, &message, &fd) <= 0)
		return false;
	if (fd >= 0)
		close(fd);
	if (message.type != HS_HELD_PREPARED || s->is_prepared ||
	    !leave_idle(s, now_ns))
		return false;
	s->is_prepared = true;
	s->prepared_ns = now_ns;
	return true;
}

bool hs_standby_reap(struct hs_standby *s, uint64_t now_ns)
{
	int status;

	if (!s->hired.pid ||
	    waitpid(s->hired.pid, &status, WNOHANG) != s->hired.pid)
		return false;
	if (s->is_prepared && now_ns - s->prepared_ns >= LONG_ENOUGH_NS)
		s->deaths_in_a_row = 0;
	later(s, now_ns);
	s->deaths++;
	s->deaths_in_a_row++;
	close(s->hired.sock);
	none(s);
	hs_log_warn("keeper",
		    "standby ended, another one follows status=%d signal=%d "
		    "in_ms=%llu",
		    WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		    WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		    (unsigned long long)((s->due_ns - now_ns) / HS_NS_PER_MS));
	return true;
}

bool hs_standby_take(struct hs_standby *s, struct hs_hired *out)
{
	/* One that has died meanwhile is found by hs_standby_reap(). */
	if (!s->is_prepared ||
	    hs_held_send(s->hired.sock, HS_HELD_GO, 1, NULL, -1))
		return false;
	*out = s->hired;
	none(s);
	s->deaths_in_a_row = 0;
	s->due_ns = UINT64_MAX;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see keeper.h. */
#include "agent/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/held.h"
#include "agent/hire.h"
#include "agent/left.h"
#include "agent/linger.h"
#include "agent/standby.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"

#define QUICK_NS       (1 * HS_NS_PER_SEC)
#define BACKOFF_MAX_NS (2 * HS_NS_PER_SEC)
/* Deaths in a row, by its own hand, after which the memory is given up. */
#define CRASHES_MAX 10u
#define FINISH_NS   (5 * HS_NS_PER_SEC)

struct keeper {
	const struct hs_agent_settings *settings;
	struct hs_held held;
	int lock_fd;
	int signal_fd;
	struct hs_hired worker;
	struct hs_standby standby; /* its successor, most of the time */
	uint64_t ready_ns;	   /* when this worker was */
	uint64_t start_at_ns;	   /* when worker is 0 */
	uint64_t kill_at_ns;	   /* while stopping */
	uint32_t quick_deaths;
	uint32_t crashes;
	bool was_ready;	 /* some worker */
	bool is_ready;	 /* this worker */
	bool reload_due; /* asked for while no worker could hear */
	bool stopping;
	bool purging;
	int status; /* to exit with */
};

static int make_directory(const char *path)
{
	char partial[512];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(partial, path, i);
		partial[i] = '\0';
		if (mkdir(partial, 0755) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* The lock may be unlinked by its last holder while we wait to open it. */
static int take_lock(const char *path)
{
	struct stat ours, there;
	int fd;

	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			return -EBUSY;
		}
		if (!fstat(fd, &ours) && !stat(path, &there) &&
		    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
			return fd;
		close(fd);
	}
}

static int lock(struct keeper *k)
{
	char path[512], pid[32] = "";
	int rc = hs_agent_path(k->settings, HS_AGENT_LOCK_FILE, path,
			       sizeof(path));
	int fd, n;

	if (rc)
		return rc;
	fd = take_lock(path);
	if (fd == -EBUSY) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, pid, sizeof(pid) - 1) > 0)
			pid[strcspn(pid, "\n")] = '\0';
		if (fd >= 0)
			close(fd);
		hs_log_error("keeper",
			     "another hs-agent runs in this run_dir: stop it, "
			     "or give this one a run_dir of its own run_dir=%s "
			     "pid=%s",
			     k->settings->run_dir, pid);
		return -EBUSY;
	}
	if (fd < 0) {
		hs_log_error("keeper", "cannot lock file=%s error=%s", path,
			     strerror(-fd));
		return fd;
	}
	k->lock_fd = fd;
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n)
		return -EIO;
	return 0;
}

static void unlock(struct keeper *k)
{
	if (k->lock_fd < 0)
		return;
	flock(k->lock_fd, LOCK_UN);
	close(k->lock_fd);
	k->lock_fd = -1;
}

static void unlink_file(const struct hs_agent_settings *s, const char *file)
{
	char path[512];

	if (!hs_agent_path(s, file, path, sizeof(path)))
		unlink(path);
}

/* Sockets that a worker of ours has listened on. */
static void unlink_sockets(const struct keeper *k)
{
	if (!k->was_ready)
		return;
	for (size_t i = 0; i < k->settings->domains.nr_items; i++)
		unlink(hs_agent_listener_get(k->settings, i)->socket);
	unlink(k->settings->door.socket);
}

static int hold_text(struct keeper *k, const void *text, size_t text_bytes)
{
	int fd = memfd_create("hs-agent-config", MFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	if (pwrite(fd, text, text_bytes, 0) != (ssize_t)text_bytes)
		rc = -EIO;
	else
		rc = hs_held_put(&k->held, "config", fd);
	if (rc)
		close(fd);
	return rc;
}

static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The successor that stands by, or else a process that begins from nothing. */
static int start_worker(struct keeper *k)
{
	int rc;

	k->is_ready = false;
	if (hs_standby_take(&k->standby, &k->worker))
		return 0;
	rc = hs_hire(k->settings->path, false, &k->worker);
	if (!rc)
		hs_held_send(k->worker.sock, HS_HELD_GO, 0, NULL, -1);
	return rc;
}

/* The worker is who answers questions. */
static void tell_standby(struct keeper *k)
{
	const struct hs_standby *s = &k->standby;
	uint32_t pid = s->is_prepared ? (uint32_t)s->hired.pid : 0;

	if (!k->worker.pid || !k->is_ready)
		return;
	hs_held_send(k->worker.sock, HS_HELD_STANDBY_DEATHS, s->deaths, NULL,
		     -1);
	hs_held_send(k->worker.sock, HS_HELD_STANDBY, pid, NULL, -1);
}

static void begin_stop(struct keeper *k, bool purge)
{
	if (!k->stopping)
		hs_log_info("keeper", "ending purge=%d", purge);
	k->stopping = true;
	k->purging |= purge;
	k->kill_at_ns = hs_clock_mono_ns() + FINISH_NS;
	if (k->worker.pid)
		hs_held_send(k->worker.sock, HS_HELD_FINISH, k->purging, NULL,
			     -1);
	/* Not before: the worker's end is what takes long. */
	hs_standby_end(&k->standby);
}

/* The worker reads the file; whoever comes after it gets what it took. */
static void ask_reload(struct keeper *k)
{
	k->reload_due = !k->worker.pid || !k->is_ready;
	if (!k->reload_due)
		hs_held_send(k->worker.sock, HS_HELD_RELOAD, 0, NULL, -1);
}

static void take_message(struct keeper *k,
			 const struct hs_held_message *message, int fd)
{
	int rc = 0;

	switch (message->type) {
	case HS_HELD_NEXT:
		rc = hs_held_answer(&k->held, k->worker.sock, message->arg);
		break;
	case HS_HELD_STORE:
		rc = hs_held_put(&k->held, message->name, fd);
		if (!rc)
			fd = -1;
		break;
	case HS_HELD_DROP:
		hs_held_drop(&k->held, message->name);
		break;
	case HS_HELD_READY:
		k->was_ready = k->is_ready = true;
		k->ready_ns = hs_clock_mono_ns();
		hs_standby_want(&k->standby, k->ready_ns);
		tell_standby(k);
		if (k->reload_due)
			ask_reload(k);
		break;
	case HS_HELD_STOP:
		begin_stop(k, message->arg);
		break;
	case HS_HELD_PREPARED:
		break;
	default:
		rc = -EPROTO;
	}
	if (rc)
		hs_log_warn("keeper", "message failed type=%u name=%s error=%s",
			    message->type, message->name, strerror(-rc));
	if (fd >= 0)
		close(fd);
}

static void take_messages(struct keeper *k)
{
	struct hs_held_message message;
	int fd;

	while (hs_held_receive(k->worker.sock, &message, &fd) > 0)
		take_message(k, &message, fd);
}

/*
 * Nothing but what every worker needs. What could not be adopted the next one
 * finds as left to `hs salvage`, for a while; what was left before goes.
 */
static void forget_memory(struct keeper *k)
{
	char name[HS_HELD_NAME_BYTES], left[HS_HELD_NAME_BYTES];

	hs_log_error("keeper",
		     "workers fail on what they adopt: its traces are given "
		     "up crashes=%u",
		     k->crashes);
	for (uint32_t i = k->held.nr_items; i-- > 0;) {
		memcpy(name, k->held.items[i].name, sizeof(name));
		if (strcmp(name, "config") != 0 &&
		    (!k->settings->linger_ns || !hs_left_name(name, left)))
			hs_held_drop(&k->held, name);
	}
	for (uint32_t i = 0; i < k->held.nr_items; i++) {
		struct hs_held_item *item = &k->held.items[i];

		if (hs_left_name(item->name, left))
			memcpy(item->name, left, sizeof(left));
	}
	k->crashes = 0;
}

static void worker_died(struct keeper *k, int status)
{
	uint64_t now_ns = hs_clock_mono_ns();
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	uint64_t wait_ns = 0;

	take_messages(k);
	close(k->worker.sock);
	k->worker = (struct hs_hired){.sock = -1};
	if (k->stopping)
		return;
	if (!k->was_ready && WIFEXITED(status) &&
	    WEXITSTATUS(status) == HS_AGENT_EXIT_SETUP) {
		k->status = 1;
		k->stopping = k->purging = true;
		return;
	}
	/* Counted from when it could work: adopting much memory takes long. */
	k->quick_deaths = !k->is_ready || now_ns - k->ready_ns < QUICK_NS
				  ? k->quick_deaths + 1
				  : 0;
	k->crashes = killed || k->quick_deaths == 0 ? 0 : k->crashes + 1;
	if (k->crashes >= CRASHES_MAX)
		forget_memory(k);
	if (k->quick_deaths >= 3) {
		uint32_t doublings = k->quick_deaths / 3;

		wait_ns = doublings < 11 ? HS_NS_PER_MS << doublings
					 : BACKOFF_MAX_NS;
	}
	k->start_at_ns = now_ns + wait_ns;
	hs_log_warn("keeper",
		    "worker ended, starting another status=%d "
		    "signal=%d in_ms=%llu",
		    WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		    WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		    (unsigned long long)(wait_ns / HS_NS_PER_MS));
}

static void take_signals(struct keeper *k)
{
	struct signalfd_siginfo info;
	int status;

	while (read(k->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGHUP)
			ask_reload(k);
		else if (info.ssi_signo != SIGCHLD)
			begin_stop(k, false);
	if (k->worker.pid &&
	    waitpid(k->worker.pid, &status, WNOHANG) == k->worker.pid)
		worker_died(k, status);
	if (hs_standby_reap(&k->standby, hs_clock_mono_ns()))
		tell_standby(k);
}

/* What the loop waits for beside events. */
static uint64_t due_ns(const struct keeper *k)
{
	if (k->stopping)
		return k->kill_at_ns;
	if (!k->worker.pid)
		return k->start_at_ns;
	return k->is_ready ? hs_standby_due_ns(&k->standby) : UINT64_MAX;
}

static int wait_ms(const struct keeper *k, uint64_t now_ns)
{
	uint64_t at_ns = due_ns(k);

	if (at_ns == UINT64_MAX)
		return -1;
	return at_ns <= now_ns ? 0 : (int)((at_ns - now_ns) / HS_NS_PER_MS) + 1;
}

static int open_signals(struct keeper *k)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	k->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signal_fd < 0 ? -errno : 0;
}

/* What has come due. Return: whether a worker was started. */
static bool start_due(struct keeper *k, uint64_t now_ns)
{
	int rc;

	if (k->worker.pid && k->is_ready && !k->stopping)
		hs_standby_run(&k->standby, k->settings->path, now_ns);
	if (k->worker.pid || now_ns < k->start_at_ns)
		return false;
	rc = start_worker(k);
	if (rc) {
		hs_log_error("keeper", "cannot start a worker error=%s",
			     strerror(-rc));
		k->start_at_ns = now_ns + BACKOFF_MAX_NS;
	}
	return true;
}

static void loop(struct keeper *k)
{
	while (!k->stopping || k->worker.pid) {
		uint64_t now_ns = hs_clock_mono_ns();
		struct pollfd fds[3] = {
			{.fd = k->signal_fd, .events = POLLIN},
			{.fd = k->worker.sock, .events = POLLIN},
		};

		if (start_due(k, now_ns))
			continue;
		if (k->worker.pid && k->stopping && now_ns >= k->kill_at_ns) {
			kill(k->worker.pid, SIGKILL);
			k->kill_at_ns = now_ns + FINISH_NS;
		}
		fds[2] = (struct pollfd){.fd = k->standby.hired.sock,
					 .events = POLLIN};
		if (poll(fds, 3, wait_ms(k, now_ns)) < 0 && errno != EINTR)
			break;
		if (k->worker.pid && fds[1].revents)
			take_messages(k);
		if (fds[2].revents &&
		    hs_standby_hear(&k->standby, hs_clock_mono_ns()))
			tell_standby(k);
		/* A hung-up line stays readable until the death is reaped. */
		if ((fds[1].revents | fds[2].revents) & POLLHUP &&
		    !(fds[0].revents & POLLIN))
			poll(fds, 1, 100);
		take_signals(k);
	}
}

static bool holds_domains(const struct keeper *k)
{
	for (uint32_t i = 0; i < k->held.nr_items; i++)
		if (k->held.items[i].name[0] == 'd')
			return true;
	return false;
}

/* In a child: our own process has ended for whoever waits for it. */
static void linger(struct keeper *k)
{
	char path[512];
	int listener, null_fd;
	pid_t child;

	if (hs_agent_path(k->settings, HS_AGENT_KEEPER_FILE, path,
			  sizeof(path)))
		return;
	listener = hs_unix_listen(path, SOCK_SEQPACKET, 0600, 4);
	if (listener < 0) {
		hs_log_error("keeper", "cannot linger socket=%s error=%s", path,
			     strerror(-listener));
		return;
	}
	hs_log_info(
		"keeper", "memory is kept for a successor seconds=%llu",
		(unsigned long long)(k->settings->linger_ns / HS_NS_PER_SEC));
	/* Listening already, so that whoever gets the lock finds us. */
	unlock(k);
	child = fork();
	if (child) {
		close(listener);
		return;
	}
	setsid();
	prctl(PR_SET_NAME, "hs-agent-linger");
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null_fd >= 0 && fd <= 2; fd++)
		dup2(null_fd, fd);
	hs_linger_serve(&k->held, listener, k->settings->linger_ns);
	unlink(path);
	close(listener);
	if (lock(k) == 0)
		unlink_file(k->settings, HS_AGENT_LOCK_FILE);
	_exit(0);
}

static int begin(struct keeper *k, const void *text, size_t text_bytes)
{
	char path[512];
	int rc = make_directory(k->settings->run_dir);

	if (rc) {
		hs_log_error("keeper", "cannot make run_dir=%s error=%s",
			     k->settings->run_dir, strerror(-rc));
		return rc;
	}
	rc = lock(k);
	if (!rc)
		rc = hs_agent_path(k->settings, HS_AGENT_KEEPER_FILE, path,
				   sizeof(path));
	if (rc)
		return rc;
	raise_limits();
	rc = hs_held_make(&k->held);
	if (rc)
		return rc;
	rc = hs_linger_take(&k->held, path);
	if (rc == 0)
		hs_log_info("keeper",
			    "took over a predecessor's memory "
			    "nr_items=%u",
			    k->held.nr_items);
	else if (rc < 0)
		hs_log_warn("keeper", "no takeover, beginning afresh error=%s",
			    strerror(-rc));
	rc = hold_text(k, text, text_bytes);
	return rc ? rc : open_signals(k);
}

int hs_keeper_run(const struct hs_agent_settings *settings, const void *text,
		  size_t text_bytes)
{
	struct keeper k = {
		.settings = settings,
		.lock_fd = -1,
		.signal_fd = -1,
		.worker.sock = -1,
	};

	hs_standby_init(&k.standby);
	if (begin(&k, text, text_bytes)) {
		unlock(&k);
		hs_held_free(&k.held);
		return 1;
	}
	hs_log_info("keeper", "started node=%lld run_dir=%s",
		    (long long)settings->node, settings->run_dir);
	loop(&k);
	hs_standby_end(&k.standby);
	unlink_sockets(&k);
	if (!k.purging && settings->linger_ns && holds_domains(&k)) {
		linger(&k);
	} else {
		unlink_file(settings, HS_AGENT_KEEPER_FILE);
		unlink_file(settings, HS_AGENT_LOCK_FILE);
		unlock(&k);
	}
	hs_held_free(&k.held);
	close(k.signal_fd);
	return k.status;
}

int hs_keeper_purge(const struct hs_agent_settings *settings)
{
	char path[512];
	int rc = hs_agent_path(settings, HS_AGENT_KEEPER_FILE, path,
			       sizeof(path));

	if (!rc)
		rc = hs_linger_purge(path);
	if (rc < 0) {
		hs_log_error("keeper", "cannot purge error=%s", strerror(-rc));
		return 1;
	}
	if (rc == 1)
		hs_log_info("keeper", "nothing lingers run_dir=%s",
			    settings->run_dir);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forking, pacing, waiting. See driver.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/replay/driver.h"

#define READY_TIMEOUT_NS    (30 * HS_NS_PER_SEC)
#define PROGRESS_TIMEOUT_NS (30 * HS_NS_PER_SEC)
#define STOP_TIMEOUT_NS	    (15 * HS_NS_PER_SEC)

/* All pairs of nodes, and each with the driver: row i holds what process i
 * keeps, its own column unused; row N is the driver's. */
struct sockets {
	uint32_t nr;
	int *fds;
};

static int *fd_at(const struct sockets *s, uint32_t of, uint32_t to)
{
	return &s->fds[of * s->nr + to];
}

static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void close_except(struct sockets *s, uint32_t row)
{
	uint32_t i, j;

	for (i = 0; i < s->nr; i++) {
		for (j = 0; j < s->nr && i != row; j++) {
			int *fd = fd_at(s, i, j);

			if (*fd >= 0)
				close(*fd);
			*fd = -1;
		}
	}
}

static int make_sockets(struct sockets *s, uint32_t nr)
{
	uint32_t i, j;
	int pair[2];

	raise_nofile();
	s->nr = nr;
	s->fds = malloc(nr * nr * sizeof(*s->fds));
	if (!s->fds)
		return -ENOMEM;
	memset(s->fds, -1, nr * nr * sizeof(*s->fds));
	for (i = 0; i < nr; i++) {
		for (j = i + 1; j < nr; j++) {
			if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				       pair))
				return -errno;
			*fd_at(s, i, j) = pair[0];
			*fd_at(s, j, i) = pair[1];
		}
	}
	return 0;
}

static int fork_nodes(struct hs_replay_driver *driver, struct sockets *s,
		      const char *const *sockets)
{
	uint32_t i;

	fflush(NULL);
	for (i = 0; i < driver->nr_nodes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (!pid) {
			close_except(s, i);
			_exit(hs_replay_node_main(driver->plan, i,
						  fd_at(s, i, 0), sockets[i]));
		}
		driver->pids[i] = pid;
	}
	return 0;
}

static void take_frames(struct hs_replay_driver *driver, uint32_t node)
{
	struct hs_replay_conn *conn = &driver->conns[node];
	struct hs_replay_frame frame;
	const uint8_t *payload;
	size_t payload_bytes;
	int rc;

	do {
		rc = hs_replay_conn_fill(conn);
		while (hs_replay_conn_next(conn, &frame, &payload,
					   &payload_bytes) > 0) {
			if (frame.type == HS_REPLAY_FRAME_STATE &&
			    payload_bytes == sizeof(driver->states[node]))
				memcpy(&driver->states[node], payload,
				       payload_bytes);
		}
	} while (rc > 0);
	if (rc < 0)
		driver->gone[node] = true;
}

/* Write what is queued, then wait for news until @until_ns. */
static void exchange(struct hs_replay_driver *driver, uint64_t until_ns)
{
	struct pollfd pfds[HS_REPLAY_NODES_MAX];
	uint64_t now_ns = hs_clock_mono_ns();
	struct timespec wait = {0};
	uint32_t i;

	for (i = 0; i < driver->nr_nodes; i++) {
		pfds[i].fd = driver->gone[i] ? -1 : driver->conns[i].fd;
		pfds[i].events = POLLIN;
		pfds[i].revents = 0;
		if (pfds[i].fd >= 0 &&
		    hs_replay_conn_flush(&driver->conns[i]) > 0)
			pfds[i].events |= POLLOUT;
	}
	if (until_ns > now_ns) {
		wait.tv_sec = (time_t)((until_ns - now_ns) / HS_NS_PER_SEC);
		wait.tv_nsec = (long)((until_ns - now_ns) % HS_NS_PER_SEC);
	}
	if (ppoll(pfds, driver->nr_nodes, &wait, NULL) <= 0)
		return;
	for (i = 0; i < driver->nr_nodes; i++) {
		if (pfds[i].revents & (POLLIN | POLLHUP | POLLERR))
			take_frames(driver, i);
	}
}

static bool any_gone(const struct hs_replay_driver *driver)
{
	uint32_t i;

	for (i = 0; i < driver->nr_nodes; i++) {
		if (driver->gone[i])
			return true;
	}
	return false;
}

static int check(const struct hs_replay_driver *driver)
{
	if (*driver->cancelled)
		return -ECANCELED;
	return any_gone(driver) ? -EPIPE : 0;
}

static int await_ready(struct hs_replay_driver *driver)
{
	uint64_t end_ns = hs_clock_mono_ns() + READY_TIMEOUT_NS;
	uint32_t i;
	int err;

	for (i = 0; i < driver->nr_nodes;) {
		if (driver->states[i].ready) {
			i++;
			continue;
		}
		err = check(driver);
		if (err)
			return err;
		if (hs_clock_mono_ns() >= end_ns) {
			fprintf(stderr,
				"hs-replay: node %u: no agent took the "
				"application in\n",
				i);
			return -ETIMEDOUT;
		}
		exchange(driver, hs_clock_mono_ns() + 100 * HS_NS_PER_MS);
	}
	return 0;
}

int hs_replay_driver_start(struct hs_replay_driver *driver,
			   const char *const *sockets)
{
	struct sockets s = {0};
	uint32_t i;
	int err;

	driver->nr_nodes = driver->plan->nr_nodes;
	driver->conns = calloc(driver->nr_nodes, sizeof(*driver->conns));
	if (!driver->conns)
		return -ENOMEM;
	err = make_sockets(&s, driver->nr_nodes + 1);
	if (!err)
		err = fork_nodes(driver, &s, sockets);
	if (s.fds)
		close_except(&s, driver->nr_nodes);
	for (i = 0; i < driver->nr_nodes; i++)
		hs_replay_conn_init(&driver->conns[i],
				    s.fds ? *fd_at(&s, driver->nr_nodes, i)
					  : -1);
	free(s.fds);
	return err ? err : await_ready(driver);
}

static uint64_t nr_done(const struct hs_replay_driver *driver)
{
	uint64_t nr = 0;
	uint32_t i;

	for (i = 0; i < driver->nr_nodes; i++)
		nr += driver->states[i].nr_done;
	return nr;
}

static void draw(struct hs_replay_driver *driver, uint32_t nr_arrived,
		 bool last)
{
	uint64_t now_ns = hs_clock_mono_ns();

	if (!driver->progress ||
	    (!last && now_ns - driver->drawn_ns < HS_NS_PER_SEC / 5))
		return;
	driver->drawn_ns = now_ns;
	fprintf(stderr,
		"\rreplay: %u of %u traces under way or done, %llu of "
		"%u visits done%s",
		nr_arrived, driver->plan->set->nr_traces,
		(unsigned long long)nr_done(driver), driver->plan->nr_fragments,
		last ? "\n" : "");
}

static int arrive(struct hs_replay_driver *driver, uint32_t trace)
{
	const struct hs_replay_trace *t = &driver->plan->traces[trace];
	const struct hs_replay_fragment *first =
		&driver->plan->fragments[t->first_fragment];
	struct hs_replay_frame frame = {
		.type = HS_REPLAY_FRAME_REQUEST,
		.fragment = t->first_fragment,
	};

	driver->nr_asked += t->nr_fragments;
	return hs_replay_conn_put(&driver->conns[first->node], &frame, NULL, 0);
}

static bool too_many(const struct hs_replay_driver *driver)
{
	return driver->nr_asked - nr_done(driver) > HS_REPLAY_IN_FLIGHT_MAX;
}

static int await_done(struct hs_replay_driver *driver)
{
	uint64_t seen = 0, seen_ns = hs_clock_mono_ns();
	uint32_t nr = driver->plan->set->nr_traces;
	int err = 0;

	while (nr_done(driver) < driver->nr_asked && !err) {
		uint64_t done = nr_done(driver), now_ns = hs_clock_mono_ns();

		if (done != seen) {
			seen = done;
			seen_ns = now_ns;
		}
		if (now_ns - seen_ns > PROGRESS_TIMEOUT_NS)
			return -ETIMEDOUT;
		exchange(driver, now_ns + 100 * HS_NS_PER_MS);
		draw(driver, nr, false);
		err = check(driver);
	}
	draw(driver, nr, true);
	return err;
}

uint64_t hs_replay_driver_due_ns(const struct hs_replay_driver *driver,
				 uint32_t trace)
{
	return (uint64_t)((double)driver->plan->traces[trace].arrival_ns /
			  driver->speed);
}

int hs_replay_driver_run(struct hs_replay_driver *driver)
{
	const struct hs_replay_plan *plan = driver->plan;
	uint64_t start_ns = hs_clock_mono_ns();
	uint32_t next = 0;
	int err = 0;

	while (next < plan->set->nr_traces && !err) {
		uint32_t trace = plan->arrivals[next];
		uint64_t now_ns = hs_clock_mono_ns();
		uint64_t due_ns =
			start_ns + hs_replay_driver_due_ns(driver, trace);

		if (too_many(driver))
			due_ns = now_ns + HS_NS_PER_MS;
		if (due_ns <= now_ns) {
			err = arrive(driver, trace);
			next++;
			/* Catching up must not starve the sockets. */
			if (next % 16)
				continue;
		}
		if (due_ns > now_ns + 100 * HS_NS_PER_MS)
			due_ns = now_ns + 100 * HS_NS_PER_MS;
		exchange(driver, due_ns);
		draw(driver, next, false);
		if (!err)
			err = check(driver);
	}
	return err ? err : await_done(driver);
}

double hs_replay_driver_speed(const struct hs_replay_driver *driver)
{
	const struct hs_replay_plan *plan = driver->plan;
	uint64_t first_ns = UINT64_MAX, last_ns = 0, source_ns;
	uint32_t i;

	for (i = 0; i < driver->nr_nodes; i++) {
		const struct hs_replay_node_state *s = &driver->states[i];

		if (!s->nr_roots)
			continue;
		if (s->first_begin_ns < first_ns)
			first_ns = s->first_begin_ns;
		if (s->last_begin_ns > last_ns)
			last_ns = s->last_begin_ns;
	}
	i = plan->arrivals[plan->set->nr_traces - 1];
	source_ns = plan->traces[i].arrival_ns;
	if (!source_ns || last_ns <= first_ns)
		return 0;
	return (double)source_ns / (double)(last_ns - first_ns);
}

static bool reap(struct hs_replay_driver *driver, int *rc)
{
	bool all = true;
	uint32_t i;
	int status;

	for (i = 0; i < driver->nr_nodes; i++) {
		if (driver->pids[i] <= 0)
			continue;
		if (waitpid(driver->pids[i], &status, WNOHANG) <= 0) {
			all = false;
			continue;
		}
		driver->pids[i] = 0;
		if (WIFEXITED(status) && !WEXITSTATUS(status))
			continue;
		*rc = -EPIPE;
		fprintf(stderr, "hs-replay: the application of node %u %s %d\n",
			i,
			WIFSIGNALED(status) ? "was killed by signal"
					    : "ended with status",
			WIFSIGNALED(status) ? WTERMSIG(status)
					    : WEXITSTATUS(status));
	}
	return all;
}

int hs_replay_driver_stop(struct hs_replay_driver *driver)
{
	uint64_t end_ns = hs_clock_mono_ns() + STOP_TIMEOUT_NS;
	struct hs_replay_frame frame = {.type = HS_REPLAY_FRAME_QUIT};
	uint32_t i;
	int rc = 0;

	for (i = 0; i < driver->nr_nodes && driver->conns; i++)
		hs_replay_conn_put(&driver->conns[i], &frame, NULL, 0);
	while (!reap(driver, &rc)) {
		if (hs_clock_mono_ns() > end_ns) {
			for (i = 0; i < driver->nr_nodes; i++) {
				if (driver->pids[i] > 0)
					kill(driver->pids[i], SIGKILL);
			}
			end_ns = UINT64_MAX;
		}
		if (driver->conns)
			exchange(driver,
				 hs_clock_mono_ns() + 10 * HS_NS_PER_MS);
	}
	for (i = 0; i < driver->nr_nodes && driver->conns; i++) {
		if (!driver->gone[i])
			take_frames(driver, i);
		hs_replay_conn_destroy(&driver->conns[i]);
	}
	free(driver->conns);
	driver->conns = NULL;
	return rc;
}

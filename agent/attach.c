/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see attach.h. */
#include "agent/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/guest.h"
#include "agent/lanes.h"
#include "agent/shm_read.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/planted.h"

#define PENDING_MAX   64u
#define HELLO_NS      (2 * HS_NS_PER_SEC)
#define ACCEPTS_MAX   32u /* of one listener in one event */
#define KNOCKERS      256u
#define KNOCKS_MAX    20u /* of one process in a second */
#define OF_PID_MAX    8u  /* attachments of one process */
#define NEVER_CAME_NS (15 * HS_NS_PER_SEC)
#define COME_BACK_NS  (5 * HS_NS_PER_SEC)

struct pending {
	int fd; /* -1: unused */
	uint32_t listener;
	uint64_t end_ns;
};

struct knocker {
	pid_t pid;
	uint32_t nr;
	uint64_t since_ns;
};

struct hs_attach {
	int listeners[HS_AGENT_LISTENERS_MAX];
	uint32_t nr_listeners;
	struct pending pending[PENDING_MAX];
	struct knocker knockers[KNOCKERS];
	uint64_t next_check_ns;
	bool somebody_died;
};

int hs_attach_make(struct hs_worker *w)
{
	struct hs_attach *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	w->attach = a;
	a->somebody_died = true; /* perhaps while nobody looked */
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		a->pending[i].fd = -1;
	for (uint32_t i = 0; i < w->settings.domains.nr_items; i++) {
		const struct hs_agent_listener *d =
			hs_agent_listener_get(&w->settings, i);
		int fd = hs_unix_listen(d->socket, SOCK_SEQPACKET,
					(mode_t)d->mode, 128);
		int rc;

		if (fd < 0) {
			hs_log_error("agent",
				     "cannot listen for applications "
				     "domain=%s socket=%s error=%s",
				     d->name, d->socket, strerror(-fd));
			return fd;
		}
		a->listeners[a->nr_listeners++] = fd;
		rc = hs_worker_watch(w, fd, HS_WORKER_LISTENER, i);
		if (rc)
			return rc;
	}
	return 0;
}

static void drop_pending(struct pending *p)
{
	close(p->fd);
	p->fd = -1;
}

void hs_attach_shut(struct hs_worker *w)
{
	struct hs_attach *a = w->attach;

	for (uint32_t i = 0; i < a->nr_listeners; i++)
		close(a->listeners[i]);
	a->nr_listeners = 0;
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i].fd >= 0)
			drop_pending(&a->pending[i]);
}

void hs_attach_free(struct hs_worker *w)
{
	if (!w->attach)
		return;
	hs_attach_shut(w);
	free(w->attach);
	w->attach = NULL;
}

/* A place a pid, shared by chance at worst: then both are turned away. */
static bool knocks_too_often(struct hs_worker *w, pid_t pid)
{
	struct knocker *k = &w->attach->knockers[(uint32_t)pid % KNOCKERS];

	if (k->pid != pid || w->now_ns - k->since_ns > HS_NS_PER_SEC)
		*k = (struct knocker){.pid = pid, .since_ns = w->now_ns};
	return ++k->nr > KNOCKS_MAX;
}

static struct pending *pending_free(struct hs_attach *a)
{
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		if (a->pending[i].fd < 0)
			return &a->pending[i];
	return NULL;
}

void hs_attach_accept(struct hs_worker *w, uint32_t listener)
{
	struct hs_attach *a = w->attach;

	for (uint32_t i = 0; i < ACCEPTS_MAX && listener < a->nr_listeners;
	     i++) {
		struct pending *p = pending_free(a);
		struct hs_unix_peer peer;
		int fd;

		/* The backlog waits until some have said hello. */
		if (!p)
			return;
		fd = accept4(a->listeners[listener], NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (hs_unix_peer_get(fd, &peer) ||
		    knocks_too_often(w, peer.pid)) {
			w->counters.refused_rate++;
			close(fd);
			continue;
		}
		*p = (struct pending){.fd = fd,
				      .listener = listener,
				      .end_ns = w->now_ns + HELLO_NS};
		if (hs_worker_watch(w, fd, HS_WORKER_PENDING,
				    (uint32_t)(p - a->pending)))
			drop_pending(p);
	}
}

static int answer(struct hs_worker *w, int fd, enum hs_shm_verdict verdict,
		  const struct hs_guest *g, bool with_memory)
{
	struct hs_shm_welcome welcome = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version = (uint16_t)(g ? g->layout.version : HS_SHM_VERSION),
		.verdict = (uint16_t)verdict,
		.node_id = w->node_id,
	};
	uint32_t nr_pools = 0;
	char path[64];
	int fds[2 + HS_SHM_NR_NODES];
	int rc;

	if (g) {
		welcome.process = g->number;
		welcome.resume_token = g->token;
		welcome.down_bytes = g->layout.down_bytes;
		welcome.up_bytes = g->layout.up_bytes;
		welcome.pool_bytes = g->layout.pool_bytes;
	}
	if (!with_memory)
		return hs_fdpass_send(fd, &welcome, sizeof(welcome), NULL, 0);
	/* Opened anew, so that the descriptor itself can only read. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->down.fd);
	fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	if (fds[0] < 0)
		return -errno;
	fds[1] = g->up.fd;
	/* Version 1 knows one pool. */
	while (nr_pools < g->tenant->nr_pools &&
	       (nr_pools == 0 || g->layout.version > 1)) {
		fds[2 + nr_pools] = g->tenant->pools[nr_pools].fd;
		nr_pools++;
	}
	rc = hs_fdpass_send(fd, &welcome, sizeof(welcome), fds, 2 + nr_pools);
	close(fds[0]);
	return rc;
}

static void set_line(struct hs_worker *w, struct hs_guest *g, int fd)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = hs_worker_tag(HS_WORKER_GUEST_LINE, g->index),
	};

	hs_guest_hang_up(g);
	if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &event)) {
		close(fd);
		return;
	}
	g->line = fd;
	g->adopted = false;
}

/*
 * A process that says hello as new has closed what it had before: let that go
 * once nothing is open in it. A second library in the same process may hold
 * one too, and has some time to come back to it after a change of workers.
 */
static uint32_t retire_others(struct hs_worker *w, pid_t pid, uint64_t ticks)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < w->nr_guests; i++) {
		struct hs_guest *g = w->guests[i];

		if (!g || g->pid != pid || g->start_ticks != ticks)
			continue;
		nr++;
		if (g->line >= 0 || g->dead ||
		    (g->adopted && w->now_ns - w->began_ns < COME_BACK_NS) ||
		    (!g->garbage && !hs_lanes_quiet(g)))
			continue;
		g->dead = true;
		w->attach->somebody_died = true;
	}
	return nr;
}

/* The process behind a line, or -errno when it cannot be known for certain. */
static int process_of(int fd, pid_t pid, uint64_t *ticks)
{
	struct pollfd poll_fd = {.fd = fd, .events = 0};
	uint64_t again;
	int exit_fd;

	if (pid <= 0)
		return -ESRCH;
	if (hs_process_start_ticks(pid, ticks))
		return -ESRCH;
	exit_fd = hs_process_pidfd(pid);
	if (exit_fd < 0)
		return exit_fd;
	if (hs_process_start_ticks(pid, &again) || again != *ticks ||
	    poll(&poll_fd, 1, 0) < 0 || poll_fd.revents & POLLHUP) {
		close(exit_fd);
		return -ESRCH;
	}
	return exit_fd;
}

/* Return: whether the line was kept. */
static bool take_in(struct hs_worker *w, const struct pending *p,
		    const struct hs_unix_peer *peer,
		    const struct hs_shm_hello *hello)
{
	struct hs_tenant *tenant;
	struct hs_guest *g = NULL;
	uint64_t ticks = 0;
	int exit_fd = process_of(p->fd, peer->pid, &ticks);

	if (exit_fd < 0)
		return false;
	tenant = hs_tenant_get(
		w, hs_agent_listener_get(&w->settings, p->listener), peer->uid);
	if (tenant && retire_others(w, peer->pid, ticks) < OF_PID_MAX)
		g = hs_guest_make(w, tenant, peer->pid, ticks, exit_fd, hello);
	if (!g) {
		close(exit_fd);
		w->counters.refused_full++;
		answer(w, p->fd, HS_SHM_VERDICT_FULL, NULL, false);
		return false;
	}
	/* Stocked by the next round, before anybody hears of it. */
	hs_lanes_round(w);
	if (answer(w, p->fd, HS_SHM_VERDICT_NEW, g, true)) {
		g->dead = true;
		w->attach->somebody_died = true;
		return false;
	}
	set_line(w, g, p->fd);
	w->counters.attachments++;
	hs_log_info("agent",
		    "process attached pid=%ld service=%s process=%u "
		    "domain=%s",
		    (long)peer->pid, g->service, g->number, tenant->name);
	return true;
}

static bool take_back(struct hs_worker *w, const struct pending *p,
		      const struct hs_unix_peer *peer,
		      const struct hs_shm_hello *hello)
{
	struct hs_guest *g =
		hs_guest_find(w, hello->resume_process, hello->resume_token);
	const struct hs_agent_listener *listener =
		hs_agent_listener_get(&w->settings, p->listener);

	if (!g || g->garbage || g->pid != peer->pid ||
	    g->tenant->uid != peer->uid ||
	    strcmp(g->tenant->name, listener->name)) {
		answer(w, p->fd, HS_SHM_VERDICT_UNKNOWN, NULL, false);
		return false;
	}
	if (answer(w, p->fd, HS_SHM_VERDICT_RESUMED, g, false))
		return false;
	set_line(w, g, p->fd);
	w->counters.resumed++;
	return true;
}

static void cleaned_service(char *service, size_t size_bytes)
{
	service[size_bytes - 1] = '\0';
	for (char *c = service; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* Return: whether the line was kept. */
static bool say_welcome(struct hs_worker *w, const struct pending *p,
			struct hs_shm_hello *hello)
{
	struct hs_unix_peer peer;

	cleaned_service(hello->service, sizeof(hello->service));
	if (hello->magic != HS_SHM_HELLO_MAGIC ||
	    hs_unix_peer_get(p->fd, &peer)) {
		w->counters.hellos_bad++;
		return false;
	}
	if (hello->version_min > HS_SHM_VERSION ||
	    hello->version_max < HS_SHM_VERSION_MIN) {
		w->counters.refused_version++;
		answer(w, p->fd, HS_SHM_VERDICT_VERSION, NULL, false);
		return false;
	}
	if (hello->resume_process)
		return take_back(w, p, &peer, hello);
	return take_in(w, p, &peer, hello);
}

void hs_attach_pending(struct hs_worker *w, uint32_t index)
{
	struct pending *p = &w->attach->pending[index];
	struct hs_shm_hello hello;
	size_t nr_fds;
	ssize_t n;

	if (index >= PENDING_MAX || p->fd < 0)
		return;
	n = hs_fdpass_recv(p->fd, &hello, sizeof(hello), NULL, 0, &nr_fds);
	if (n == -EAGAIN)
		return;
	if (n == (ssize_t)sizeof(hello)) {
		if (say_welcome(w, p, &hello))
			p->fd = -1;
	} else if (n != 0) {
		w->counters.hellos_bad++;
	}
	if (p->fd >= 0)
		drop_pending(p);
}

void hs_attach_line(struct hs_worker *w, uint32_t index)
{
	struct hs_guest *g = index < w->nr_guests ? w->guests[index] : NULL;
	char byte;
	ssize_t n;

	if (!g || g->line < 0)
		return;
	n = recv(g->line, &byte, 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Nothing is ever said after the welcome. */
	if (n > 0)
		w->counters.hellos_bad++;
	hs_guest_hang_up(g);
}

void hs_attach_exit(struct hs_worker *w, uint32_t index)
{
	struct hs_guest *g = index < w->nr_guests ? w->guests[index] : NULL;

	if (!g)
		return;
	if (HS_PLANTED(110) && !hs_shm_read_up_ready(g->up.base))
		return;
	g->dead = true;
	w->attach->somebody_died = true;
}

/* Handed out by a predecessor that was killed before it could say so. */
static bool never_came(const struct hs_worker *w, const struct hs_guest *g)
{
	return g->line < 0 && w->now_ns - g->since_ns > NEVER_CAME_NS &&
	       !hs_shm_read_up_ready(g->up.base);
}

void hs_attach_round(struct hs_worker *w)
{
	struct hs_attach *a = w->attach;

	if (w->now_ns >= a->next_check_ns) {
		a->next_check_ns = w->now_ns + HELLO_NS / 4;
		for (uint32_t i = 0; i < PENDING_MAX; i++)
			if (a->pending[i].fd >= 0 &&
			    w->now_ns > a->pending[i].end_ns)
				drop_pending(&a->pending[i]);
		/* Those whom a full table left waiting. */
		for (uint32_t i = 0; i < a->nr_listeners; i++)
			hs_attach_accept(w, i);
		for (uint32_t i = 0; i < w->nr_guests; i++)
			if (w->guests[i] && never_came(w, w->guests[i]))
				w->guests[i]->dead = a->somebody_died = true;
	}
	if (!a->somebody_died)
		return;
	a->somebody_died = false;
	for (uint32_t i = 0; i < w->nr_guests; i++)
		if (w->guests[i] && w->guests[i]->dead)
			hs_lanes_bury(w, w->guests[i]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of one node's application process. See node.h.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tools/replay/form.h"
#include "tools/replay/node.h"

#define NR_WORKERS	  2
#define STATE_INTERVAL_MS 5

struct loop {
	struct hs_replay_node node;
	int epoll_fd;
	bool quit;
	uint64_t state_sent_ns;
	pthread_t workers[NR_WORKERS];
	uint32_t nr_workers;
};

static int handle(struct loop *loop, const struct hs_replay_frame *frame,
		  const uint8_t *payload, size_t payload_bytes)
{
	struct hs_replay_node *node = &loop->node;
	struct hs_context context;

	if (frame->type == HS_REPLAY_FRAME_QUIT) {
		loop->quit = true;
		return 0;
	}
	if (hs_replay_form_decode(frame->form, payload, payload_bytes,
				  &context)) {
		pthread_mutex_lock(&node->lock);
		node->state.nr_contexts_bad++;
		pthread_mutex_unlock(&node->lock);
	}
	if (frame->type == HS_REPLAY_FRAME_REQUEST)
		return hs_replay_run_request(node, frame->fragment, &context);
	if (frame->type == HS_REPLAY_FRAME_REPLY)
		return hs_replay_run_reply(node, frame->fragment, &context);
	return -EBADMSG;
}

/* A peer that went away is the driver's to notice; without the driver there
 * is nothing left to do. */
static int read_conn(struct loop *loop, uint32_t nth)
{
	struct hs_replay_conn *conn = &loop->node.conns[nth];
	int n = hs_replay_conn_fill(conn), rc;

	if (n < 0) {
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
		if (nth == loop->node.nr_conns - 1)
			loop->quit = true;
		return 0;
	}
	for (;;) {
		struct hs_replay_frame frame;
		const uint8_t *payload;
		size_t payload_bytes;

		rc = hs_replay_conn_next(conn, &frame, &payload,
					 &payload_bytes);
		if (rc <= 0)
			return rc;
		rc = handle(loop, &frame, payload, payload_bytes);
		if (rc)
			return rc;
	}
}

static void put_state(struct loop *loop, bool final)
{
	struct hs_replay_node *node = &loop->node;
	struct hs_replay_frame frame = {.type = HS_REPLAY_FRAME_STATE};

	node->state.final = final;
	if (!final)
		hs_client_stats_get(&node->state.client);
	hs_replay_conn_put(&node->conns[node->nr_conns - 1], &frame,
			   &node->state, sizeof(node->state));
	node->state_changed = false;
	loop->state_sent_ns = hs_clock_mono_ns();
}

/* Write what has gathered; ask for a wake-up where a socket is full. */
static void flush_all(struct loop *loop)
{
	struct hs_replay_node *node = &loop->node;
	uint32_t i;

	pthread_mutex_lock(&node->lock);
	if (node->state_changed && hs_clock_mono_ns() - loop->state_sent_ns >=
					   STATE_INTERVAL_MS * HS_NS_PER_MS)
		put_state(loop, false);
	for (i = 0; i < node->nr_conns; i++) {
		struct hs_replay_conn *conn = &node->conns[i];
		struct epoll_event event = {.data.u32 = i};
		bool wanted;

		if (conn->fd < 0)
			continue;
		wanted = hs_replay_conn_flush(conn) > 0;
		if (wanted == conn->writable_wanted)
			continue;
		conn->writable_wanted = wanted;
		event.events = EPOLLIN | (wanted ? EPOLLOUT : 0);
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
	}
	pthread_mutex_unlock(&node->lock);
}

static int wait_ms(struct loop *loop)
{
	struct hs_replay_node *node = &loop->node;
	int ms;

	pthread_mutex_lock(&node->lock);
	if (node->nr_refused)
		ms = 1;
	else
		ms = node->state_changed ? STATE_INTERVAL_MS : 1000;
	pthread_mutex_unlock(&node->lock);
	return ms;
}

static int loop_run(struct loop *loop)
{
	struct epoll_event events[64];
	int nr, i, err = 0;

	while (!loop->quit && !err) {
		nr = epoll_wait(loop->epoll_fd, events, 64, wait_ms(loop));
		if (nr < 0 && errno != EINTR)
			return -errno;
		for (i = 0; i < nr && !err; i++) {
			uint64_t count;

			if (events[i].data.u32 < loop->node.nr_conns)
				err = read_conn(loop, events[i].data.u32);
			else if (read(loop->node.wake_fd, &count,
				      sizeof(count)) < 0)
				continue;
		}
		hs_replay_run_refused(&loop->node);
		flush_all(loop);
		pthread_mutex_lock(&loop->node.lock);
		if (!err)
			err = loop->node.error;
		pthread_mutex_unlock(&loop->node.lock);
	}
	return err;
}

static int watch(struct loop *loop, int fd, uint32_t nth)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = nth};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	return 0;
}

static int loop_init(struct loop *loop, const int *fds)
{
	struct hs_replay_node *node = &loop->node;
	uint32_t i;
	int err;

	node->nr_conns = node->plan->nr_nodes + 1;
	node->conns = calloc(node->nr_conns, sizeof(*node->conns));
	node->runs = calloc(node->plan->nr_fragments,
			    sizeof(struct hs_replay_run *));
	if (!node->conns || !node->runs)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	node->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->epoll_fd < 0 || node->wake_fd < 0)
		return -errno;
	err = watch(loop, node->wake_fd, node->nr_conns);
	for (i = 0; i < node->nr_conns; i++) {
		hs_replay_conn_init(&node->conns[i], fds[i]);
		if (!err && fds[i] >= 0)
			err = watch(loop, fds[i], i);
	}
	pthread_mutex_init(&node->lock, NULL);
	pthread_cond_init(&node->work, NULL);
	return err;
}

static int open_client(struct hs_replay_node *node, const char *socket_path)
{
	struct hs_client_options options = {
		.size_bytes = sizeof(options),
		.socket_path = socket_path,
		.service = "hs-replay",
		.max_traces = 32768,
		.trigger_rate_per_s = 1000000,
	};
	uint32_t i;
	int err = hs_client_open(&options);

	if (err)
		return err;
	for (i = 0; i < node->plan->nr_rules; i++) {
		node->triggers[i] = hs_trigger_define(
			hs_replay_rule_name(node->plan->rules[i].type));
		if (!node->triggers[i])
			return -EINVAL;
	}
	return hs_replay_resources_make(node);
}

/* The driver is told when the agent has taken this process in; it is the
 * driver's to decide how long that may take. */
static int await_agent(struct loop *loop)
{
	struct hs_replay_node *node = &loop->node;

	while (!hs_client_attached()) {
		struct pollfd pfd = {
			.fd = node->conns[node->nr_conns - 1].fd,
			.events = POLLIN,
		};

		if (poll(&pfd, 1, 10) > 0)
			return -ECANCELED;
	}
	node->state.ready = 1;
	put_state(loop, false);
	hs_replay_conn_flush(&node->conns[node->nr_conns - 1]);
	return 0;
}

static int start_workers(struct loop *loop)
{
	while (loop->nr_workers < NR_WORKERS) {
		int err = pthread_create(&loop->workers[loop->nr_workers], NULL,
					 hs_replay_run_worker, &loop->node);

		if (err)
			return -err;
		loop->nr_workers++;
	}
	return 0;
}

static void stop_workers(struct loop *loop)
{
	pthread_mutex_lock(&loop->node.lock);
	loop->node.stopping = true;
	pthread_cond_broadcast(&loop->node.work);
	pthread_mutex_unlock(&loop->node.lock);
	while (loop->nr_workers)
		pthread_join(loop->workers[--loop->nr_workers], NULL);
}

static void close_client(struct loop *loop)
{
	struct hs_replay_node *node = &loop->node;

	hs_client_stats_get(&node->state.client);
	hs_client_close();
	hs_replay_resources_free(node);
	if (!node->conns)
		return;
	put_state(loop, true);
	hs_replay_conn_flush(&node->conns[node->nr_conns - 1]);
}

int hs_replay_node_main(const struct hs_replay_plan *plan, uint32_t index,
			const int *fds, const char *socket_path)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	/* Nobody may be left over when the driver is killed; ^C is its. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (!loop)
		return 1;
	loop->node.plan = plan;
	loop->node.index = index;
	err = loop_init(loop, fds);
	if (!err)
		err = open_client(&loop->node, socket_path);
	if (!err)
		err = await_agent(loop);
	if (!err)
		err = start_workers(loop);
	if (!err)
		err = loop_run(loop);
	stop_workers(loop);
	if (err && err != -ECANCELED)
		hs_log_error("replay", "node %u gives up: %s", index,
			     strerror(-err));
	close_client(loop);
	return err ? 1 : 0;
}

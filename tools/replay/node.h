/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node's application process: it answers requests of its peers by running
 * fragments of the plan through libhindsight, and asks its peers in turn.
 *
 * One thread reads and writes the sockets and runs most fragments, as an event
 * loop does: many are under way at once and wait for their replies. Some
 * fragments are run by two workers instead, and may be resumed by the other
 * one, so that handles move between threads (detach, attach). Fragments that
 * call nobody use the thread-local form in turn.
 *
 * Whatever is shared between the threads is guarded by struct hs_replay_node's
 * lock; a run belongs to the one thread that took it.
 */
#ifndef HS_REPLAY_NODE_H
#define HS_REPLAY_NODE_H

#include <pthread.h>

#include "hs/hindsight.h"
#include "tools/replay/conn.h"
#include "tools/replay/plan.h"

/* What a node tells the driver, whenever it has changed. */
struct hs_replay_node_state {
	uint32_t ready;	   /* attached to its agent */
	uint32_t final;	   /* the last one, after everything is closed */
	uint64_t nr_done;  /* fragments */
	uint64_t nr_roots; /* traces begun here */
	uint64_t first_begin_ns, last_begin_ns; /* of those; monotonic */
	uint64_t nr_fired;
	uint64_t nr_fires_refused; /* and tried again */
	uint64_t nr_contexts_bad;
	struct hs_client_stats client;
};

enum hs_replay_reply_state {
	HS_REPLAY_REPLY_NONE,
	HS_REPLAY_REPLY_ARRIVED,
	HS_REPLAY_REPLY_TAKEN, /* its crumb is deposited */
};

struct hs_replay_reply {
	enum hs_replay_reply_state state;
	struct hs_context context;
};

/* A fragment under way. */
struct hs_replay_run {
	const struct hs_replay_fragment *fragment;
	uint32_t index; /* of the fragment */
	uint32_t step;	/* next one */
	bool by_worker;
	bool started;
	bool owned; /* queued or running; guarded by the lock */
	bool again; /* a reply came meanwhile; guarded by the lock */
	bool thread_form;
	struct hs_context from;
	struct hs_trace *trace; /* NULL with thread_form */
	struct hs_trace_id trace_id;
	struct hs_span *spans;
	struct hs_replay_reply *replies; /* guarded by the lock */
	struct hs_replay_run *next;	 /* in the workers' queue */
};

/* A fire that the library refused; tried again. */
struct hs_replay_refused {
	struct hs_trace_id trace_id;
	uint32_t rule;
};

struct hs_replay_node {
	const struct hs_replay_plan *plan;
	uint32_t index;
	uint32_t nr_conns; /* peers by node, the driver last; fd -1: none */
	struct hs_replay_conn *conns;
	struct hs_resource **resources; /* per trace's resource, shared */
	uint32_t *first_resource;	/* of a trace */
	struct hs_resource **distinct;
	uint32_t nr_distinct;
	struct hs_trigger *triggers[HS_REPLAY_RULES_MAX];

	pthread_mutex_t lock;
	pthread_cond_t work;
	struct hs_replay_run **runs; /* by fragment */
	struct hs_replay_run *queue_head, *queue_tail;
	hs_node_id peers[HS_REPLAY_NODES_MAX]; /* ids once learned */
	struct hs_replay_refused *refused;
	uint32_t nr_refused, cap_refused;
	struct hs_replay_node_state state;
	bool state_changed;
	bool stopping;
	int wake_fd; /* from workers to the loop */
	int error;   /* first one of a worker */
};

/**
 * hs_replay_node_main() - be that process
 * @fds: sockets to the other nodes, by index; the driver's last; -1 for none
 *
 * Context: in a freshly forked child without threads.
 * Return: the exit status.
 */
int hs_replay_node_main(const struct hs_replay_plan *plan, uint32_t index,
			const int *fds, const char *socket_path);

/* Resources, made once before the run; resources.c. */
int hs_replay_resources_make(struct hs_replay_node *node);
void hs_replay_resources_free(struct hs_replay_node *node);

/* Runs; run.c. Each returns 0 or negative errno. */
int hs_replay_run_request(struct hs_replay_node *node, uint32_t fragment,
			  const struct hs_context *from);
int hs_replay_run_reply(struct hs_replay_node *node, uint32_t fragment,
			const struct hs_context *context);
void *hs_replay_run_worker(void *node);
void hs_replay_run_refused(struct hs_replay_node *node);

#endif

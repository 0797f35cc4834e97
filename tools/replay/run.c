/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running fragments: the steps of the plan as calls of the public API and
 * frames to the peers. See node.h for who may do what.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "tools/replay/emit.h"
#include "tools/replay/form.h"
#include "tools/replay/node.h"

enum advance {
	ADVANCE_DONE = 0,
	ADVANCE_BLOCKED = 1,
};

static void wake_loop(struct hs_replay_node *node)
{
	uint64_t one = 1;

	/* A full counter wakes just as well. */
	if (write(node->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static int send_context(struct hs_replay_node *node,
			const struct hs_replay_run *run, uint32_t to,
			enum hs_replay_frame_type type, uint32_t fragment,
			const struct hs_context *context)
{
	struct hs_replay_frame frame = {.type = type, .fragment = fragment};
	uint8_t bytes[HS_REPLAY_FORM_MAX_BYTES];
	size_t size;
	int err;

	frame.form = hs_replay_form_of(fragment + run->fragment->trace);
	size = hs_replay_form_encode(frame.form, context, bytes);
	pthread_mutex_lock(&node->lock);
	err = hs_replay_conn_put(&node->conns[to], &frame, bytes, size);
	pthread_mutex_unlock(&node->lock);
	if (run->by_worker)
		wake_loop(node);
	return err;
}

/* Every fourth call names its peer beforehand where it is known from an
 * earlier reply; the others leave that to the reply. */
static int step_call(struct hs_replay_node *node, struct hs_replay_run *run,
		     const struct hs_replay_step *step)
{
	const struct hs_replay_fragment *to = &node->plan->fragments[step->arg];
	struct hs_context context;
	hs_node_id peer;

	pthread_mutex_lock(&node->lock);
	peer = node->peers[to->node];
	pthread_mutex_unlock(&node->lock);
	if (peer && step->arg % 4 == 0)
		hs_context_forward(run->trace, peer);
	hs_context_inject(run->trace, run->spans[step->span].id, &context);
	return send_context(node, run, to->node, HS_REPLAY_FRAME_REQUEST,
			    step->arg, &context);
}

static int step_reply(struct hs_replay_node *node, struct hs_replay_run *run)
{
	const struct hs_replay_plan *plan = node->plan;
	struct hs_context context;

	if (run->fragment->caller == HS_REPLAY_NONE)
		return 0;
	hs_context_reply_inject(run->trace, &context);
	return send_context(node, run,
			    plan->fragments[run->fragment->caller].node,
			    HS_REPLAY_FRAME_REPLY, run->index, &context);
}

static int remember_refused(struct hs_replay_node *node,
			    const struct hs_trace_id *id, uint32_t rule)
{
	if (node->nr_refused == node->cap_refused) {
		uint32_t cap = node->cap_refused ? node->cap_refused * 2 : 64;
		void *bigger =
			realloc(node->refused, cap * sizeof(*node->refused));

		if (!bigger)
			return -ENOMEM;
		node->refused = bigger;
		node->cap_refused = cap;
	}
	node->refused[node->nr_refused].trace_id = *id;
	node->refused[node->nr_refused++].rule = rule;
	node->state.nr_fires_refused++;
	return 0;
}

static int step_fire(struct hs_replay_node *node, struct hs_replay_run *run,
		     uint32_t rule)
{
	bool fired =
		hs_trigger_fire(node->triggers[rule], &run->trace_id, NULL, 0);
	int err = 0;

	pthread_mutex_lock(&node->lock);
	if (fired)
		node->state.nr_fired++;
	else
		err = remember_refused(node, &run->trace_id, rule);
	pthread_mutex_unlock(&node->lock);
	return err;
}

/* The reply's crumb goes in by the thread that owns the run. */
static bool take_reply(struct hs_replay_node *node, struct hs_replay_run *run,
		       uint32_t nth)
{
	struct hs_replay_reply *reply = &run->replies[nth];
	enum hs_replay_reply_state state;

	pthread_mutex_lock(&node->lock);
	state = reply->state;
	if (state == HS_REPLAY_REPLY_ARRIVED)
		reply->state = HS_REPLAY_REPLY_TAKEN;
	pthread_mutex_unlock(&node->lock);
	if (state == HS_REPLAY_REPLY_ARRIVED)
		hs_context_reply_extract(run->trace, &reply->context);
	return state != HS_REPLAY_REPLY_NONE;
}

static int do_step(struct hs_replay_node *node, struct hs_replay_run *run,
		   const struct hs_replay_step *step)
{
	const struct hs_replay_plan *plan = node->plan;
	const struct hs_model_span *span =
		hs_replay_plan_span(plan, run->fragment, step->span);
	struct hs_span *out = &run->spans[step->span];
	uint32_t resource;

	switch (step->type) {
	case HS_REPLAY_STEP_START:
		resource = node->first_resource[run->fragment->trace] +
			   span->resource;
		hs_replay_emit_start(run->trace, out, span,
				     node->resources[resource]);
		return 0;
	case HS_REPLAY_STEP_EVENT:
		hs_replay_emit_event(out, &span->events[step->arg]);
		return 0;
	case HS_REPLAY_STEP_CALL:
		return step_call(node, run, step);
	case HS_REPLAY_STEP_AWAIT:
		return take_reply(node, run, plan->fragments[step->arg].nth)
			       ? 0
			       : ADVANCE_BLOCKED;
	case HS_REPLAY_STEP_END:
		hs_replay_emit_end(out, span);
		return 0;
	case HS_REPLAY_STEP_REPLY:
		return step_reply(node, run);
	default:
		return step_fire(node, run, step->arg);
	}
}

static void begin(struct hs_replay_node *node, struct hs_replay_run *run)
{
	uint64_t now_ns = hs_clock_mono_ns();
	const struct hs_context *from = &run->from;

	/* The context alone must be enough, so the id is given at the root
	 * and where no agent was there to fill the context. */
	if (!from->trace_id.hi && !from->trace_id.lo)
		from = NULL;
	if (run->thread_form)
		hs_thread_begin(from ? NULL : &run->trace_id, from);
	else
		run->trace = hs_trace_begin(from ? NULL : &run->trace_id, from);
	run->started = true;
	if (run->fragment->caller != HS_REPLAY_NONE)
		return;
	pthread_mutex_lock(&node->lock);
	if (!node->state.nr_roots++)
		node->state.first_begin_ns = now_ns;
	if (now_ns < node->state.first_begin_ns)
		node->state.first_begin_ns = now_ns;
	if (now_ns > node->state.last_begin_ns)
		node->state.last_begin_ns = now_ns;
	pthread_mutex_unlock(&node->lock);
}

static int advance(struct hs_replay_node *node, struct hs_replay_run *run)
{
	const struct hs_replay_step *steps =
		&node->plan->steps[run->fragment->first_step];
	uint32_t i;
	int err;

	if (!run->started)
		begin(node, run);
	for (; run->step < run->fragment->nr_steps; run->step++) {
		err = do_step(node, run, &steps[run->step]);
		if (err)
			return err;
	}
	for (i = 0; i < run->fragment->nr_calls; i++) {
		if (!take_reply(node, run, i))
			return ADVANCE_BLOCKED;
	}
	return ADVANCE_DONE;
}

static void finish(struct hs_replay_node *node, struct hs_replay_run *run)
{
	if (run->thread_form)
		hs_thread_end();
	else
		hs_trace_end(run->trace);
	pthread_mutex_lock(&node->lock);
	node->runs[run->index] = NULL;
	node->state.nr_done++;
	node->state_changed = true;
	pthread_mutex_unlock(&node->lock);
	if (run->by_worker)
		wake_loop(node);
	free(run);
}

/* As far as it goes on the event loop's own thread. */
static int advance_here(struct hs_replay_node *node, struct hs_replay_run *run)
{
	int rc = advance(node, run);

	if (rc == ADVANCE_DONE)
		finish(node, run);
	return rc < 0 ? rc : 0;
}

/* Caller holds the lock. */
static void queue(struct hs_replay_node *node, struct hs_replay_run *run)
{
	run->owned = true;
	run->next = NULL;
	if (node->queue_tail)
		node->queue_tail->next = run;
	else
		node->queue_head = run;
	node->queue_tail = run;
	pthread_cond_signal(&node->work);
}

static struct hs_replay_run *run_make(const struct hs_replay_node *node,
				      uint32_t index)
{
	const struct hs_replay_fragment *fragment =
		&node->plan->fragments[index];
	const struct hs_model_trace *trace =
		node->plan->set->traces[fragment->trace];
	uint64_t hash = hs_hash_mix64(index + 1);
	size_t spans_bytes = fragment->nr_spans * sizeof(struct hs_span);
	struct hs_replay_run *run;

	run = calloc(1, sizeof(*run) + spans_bytes +
				fragment->nr_calls *
					sizeof(struct hs_replay_reply));
	if (!run)
		return NULL;
	run->spans = (struct hs_span *)(run + 1);
	run->replies =
		(struct hs_replay_reply *)(run->spans + fragment->nr_spans);
	run->fragment = fragment;
	run->index = index;
	run->trace_id = hs_replay_emit_trace_id(trace->id);
	run->by_worker = hash % 8 == 0;
	run->thread_form = !fragment->nr_calls && hash / 8 % 2;
	return run;
}

int hs_replay_run_request(struct hs_replay_node *node, uint32_t fragment,
			  const struct hs_context *from)
{
	struct hs_replay_run *run;
	bool mine;

	if (fragment >= node->plan->nr_fragments ||
	    node->plan->fragments[fragment].node != node->index)
		return -EBADMSG;
	run = run_make(node, fragment);
	if (!run)
		return -ENOMEM;
	run->from = *from;
	pthread_mutex_lock(&node->lock);
	node->runs[fragment] = run;
	mine = !run->by_worker;
	/* Once queued it is a worker's, and may be gone at any moment. */
	if (!mine)
		queue(node, run);
	pthread_mutex_unlock(&node->lock);
	return mine ? advance_here(node, run) : 0;
}

int hs_replay_run_reply(struct hs_replay_node *node, uint32_t fragment,
			const struct hs_context *context)
{
	const struct hs_replay_fragment *from;
	struct hs_replay_run *run;
	bool mine;

	if (fragment >= node->plan->nr_fragments)
		return -EBADMSG;
	from = &node->plan->fragments[fragment];
	if (from->caller == HS_REPLAY_NONE)
		return -EBADMSG;
	pthread_mutex_lock(&node->lock);
	run = node->runs[from->caller];
	if (!run || run->replies[from->nth].state) {
		pthread_mutex_unlock(&node->lock);
		return -EBADMSG;
	}
	run->replies[from->nth].state = HS_REPLAY_REPLY_ARRIVED;
	run->replies[from->nth].context = *context;
	if (context->nr_crumbs)
		node->peers[from->node] = context->crumbs[0];
	mine = !run->by_worker;
	if (!mine && run->owned)
		run->again = true;
	else if (!mine)
		queue(node, run);
	pthread_mutex_unlock(&node->lock);
	return mine ? advance_here(node, run) : 0;
}

/* Waits for a reply: let go of the run, unless one came meanwhile. */
static bool let_go(struct hs_replay_node *node, struct hs_replay_run *run)
{
	bool again;

	hs_trace_detach(run->trace);
	pthread_mutex_lock(&node->lock);
	again = run->again;
	run->again = false;
	run->owned = again;
	pthread_mutex_unlock(&node->lock);
	return !again;
}

static int work_on(struct hs_replay_node *node, struct hs_replay_run *run)
{
	int rc;

	for (;;) {
		if (run->started)
			hs_trace_attach(run->trace);
		rc = advance(node, run);
		if (rc < 0)
			return rc;
		if (rc == ADVANCE_DONE) {
			finish(node, run);
			return 0;
		}
		if (let_go(node, run))
			return 0;
	}
}

void *hs_replay_run_worker(void *arg)
{
	struct hs_replay_node *node = arg;
	struct hs_replay_run *run;
	int err;

	pthread_mutex_lock(&node->lock);
	while (!node->stopping) {
		run = node->queue_head;
		if (!run) {
			pthread_cond_wait(&node->work, &node->lock);
			continue;
		}
		node->queue_head = run->next;
		if (!node->queue_head)
			node->queue_tail = NULL;
		pthread_mutex_unlock(&node->lock);
		err = work_on(node, run);
		pthread_mutex_lock(&node->lock);
		if (err && !node->error)
			node->error = err;
	}
	pthread_mutex_unlock(&node->lock);
	return NULL;
}

void hs_replay_run_refused(struct hs_replay_node *node)
{
	uint32_t i, left = 0;

	pthread_mutex_lock(&node->lock);
	for (i = 0; i < node->nr_refused; i++) {
		struct hs_replay_refused *r = &node->refused[i];

		if (hs_trigger_fire(node->triggers[r->rule], &r->trace_id, NULL,
				    0)) {
			node->state.nr_fired++;
			node->state_changed = true;
		} else {
			node->refused[left++] = *r;
		}
	}
	node->nr_refused = left;
	pthread_mutex_unlock(&node->lock);
}

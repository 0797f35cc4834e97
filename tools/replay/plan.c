/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From span trees to fragments and their steps. See plan.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tools/replay/plan.h"

/* What happens at one instant happens in this order. */
enum rank {
	RANK_FIRE_EARLY,
	RANK_START,
	RANK_EVENT,
	RANK_CALL,
	RANK_AWAIT,
	RANK_END,
	RANK_FIRE,
	RANK_REPLY,
};

/* A step with what it is sorted by. */
struct timed_step {
	uint32_t fragment;
	uint32_t rank; /* enum rank */
	uint32_t seq;
	int64_t time_ns;
	struct hs_replay_step step;
};

struct builder {
	struct hs_replay_plan *plan;
	const struct hs_model_trace *trace;
	uint32_t trace_index;
	struct hs_replay_tree tree;
	uint32_t *fragment; /* of a span */
	uint32_t *local;    /* a span's index within its fragment */
	struct timed_step *steps;
	uint32_t nr_steps, cap_steps;
};

static int grow(void *items, uint32_t *cap, uint32_t want, size_t size_bytes)
{
	void **array = items;
	uint32_t new_cap = *cap ? *cap : 64;
	void *bigger;

	if (want <= *cap)
		return 0;
	while (new_cap < want) {
		if (new_cap > UINT32_MAX / 2)
			return -E2BIG;
		new_cap *= 2;
	}
	bigger = realloc(*array, (size_t)new_cap * size_bytes);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*cap = new_cap;
	return 0;
}

static const uint32_t rank_types[] = {
	[RANK_FIRE_EARLY] = HS_REPLAY_STEP_FIRE,
	[RANK_START] = HS_REPLAY_STEP_START,
	[RANK_EVENT] = HS_REPLAY_STEP_EVENT,
	[RANK_CALL] = HS_REPLAY_STEP_CALL,
	[RANK_AWAIT] = HS_REPLAY_STEP_AWAIT,
	[RANK_END] = HS_REPLAY_STEP_END,
	[RANK_FIRE] = HS_REPLAY_STEP_FIRE,
	[RANK_REPLY] = HS_REPLAY_STEP_REPLY,
};

static int add_step(struct builder *b, uint32_t span, int64_t time_ns,
		    enum rank rank, uint32_t arg)
{
	struct timed_step *step;
	int err = grow(&b->steps, &b->cap_steps, b->nr_steps + 1,
		       sizeof(*b->steps));

	if (err)
		return err;
	step = &b->steps[b->nr_steps];
	step->fragment = b->fragment[span];
	step->seq = b->nr_steps++;
	step->time_ns = time_ns;
	step->rank = rank;
	step->step.type = rank_types[rank];
	step->step.span = b->local[span];
	step->step.arg = arg;
	return 0;
}

static int add_fragment(struct builder *b, uint32_t node, uint32_t caller)
{
	struct hs_replay_plan *plan = b->plan;
	struct hs_replay_fragment *fragment;
	int err = grow(&plan->fragments, &plan->cap_fragments,
		       plan->nr_fragments + 1, sizeof(*plan->fragments));

	if (err)
		return err;
	fragment = &plan->fragments[plan->nr_fragments++];
	memset(fragment, 0, sizeof(*fragment));
	fragment->trace = b->trace_index;
	fragment->node = node;
	fragment->caller = caller;
	if (caller != HS_REPLAY_NONE)
		fragment->nth = plan->fragments[caller].nr_calls++;
	return 0;
}

static uint32_t node_of(const struct builder *b, uint32_t span)
{
	const struct hs_model_resource *resource =
		hs_model_span_resource(b->trace, b->trace->spans[span]);

	return hs_replay_plan_node(b->plan, resource->service);
}

/* A span joins its caller's fragment when it lives on the same node. */
static int split(struct builder *b)
{
	struct hs_replay_plan *plan = b->plan;
	uint32_t i;
	int err;

	for (i = 0; i < b->tree.nr; i++) {
		uint32_t span = b->tree.order[i];
		uint32_t parent = b->tree.parent[span];
		uint32_t caller = HS_REPLAY_NONE;
		uint32_t node = node_of(b, span);

		if (parent != HS_REPLAY_NONE)
			caller = b->fragment[parent];
		if (caller == HS_REPLAY_NONE ||
		    plan->fragments[caller].node != node) {
			err = add_fragment(b, node, caller);
			if (err)
				return err;
			caller = plan->nr_fragments - 1;
		}
		b->fragment[span] = caller;
		b->local[span] = plan->fragments[caller].nr_spans++;
		plan->nr_node_spans[node]++;
	}
	return 0;
}

static int fill_spans(struct builder *b, uint32_t first_fragment)
{
	struct hs_replay_plan *plan = b->plan;
	uint32_t i;
	int err;

	if (b->tree.nr > UINT32_MAX - plan->nr_spans)
		return -E2BIG;
	err = grow(&plan->spans, &plan->cap_spans, plan->nr_spans + b->tree.nr,
		   sizeof(*plan->spans));
	if (err)
		return err;
	for (i = first_fragment; i < plan->nr_fragments; i++) {
		plan->fragments[i].first_span = plan->nr_spans;
		plan->nr_spans += plan->fragments[i].nr_spans;
	}
	for (i = 0; i < b->tree.nr; i++) {
		const struct hs_replay_fragment *fragment =
			&plan->fragments[b->fragment[i]];

		plan->spans[fragment->first_span + b->local[i]] = i;
	}
	return 0;
}

/* Events keep the source's order and stay within their span's life. */
static int add_events(struct builder *b, uint32_t span)
{
	const struct hs_model_span *from = b->trace->spans[span];
	int64_t time_ns = b->tree.start_ns[span];
	uint32_t i;
	int err = 0;

	for (i = 0; i < from->nr_events && !err; i++) {
		if (from->events[i].time_ns > time_ns)
			time_ns = from->events[i].time_ns;
		if (time_ns > b->tree.end_ns[span])
			time_ns = b->tree.end_ns[span];
		err = add_step(b, span, time_ns, RANK_EVENT, i);
	}
	return err;
}

/* An error fires once a trace and node, where the error's span ends. */
static bool error_is_first(const struct builder *b, uint32_t nth)
{
	const struct hs_replay_fragment *fragments = b->plan->fragments;
	uint32_t span = b->tree.order[nth];
	uint32_t i;

	if (!hs_model_span_has_error(b->trace->spans[span]))
		return false;
	for (i = 0; i < nth; i++) {
		uint32_t other = b->tree.order[i];

		if (fragments[b->fragment[other]].node ==
			    fragments[b->fragment[span]].node &&
		    hs_model_span_has_error(b->trace->spans[other]))
			return false;
	}
	return true;
}

static int add_fires(struct builder *b, uint32_t nth, bool at_start)
{
	const struct hs_replay_plan *plan = b->plan;
	uint32_t span = b->tree.order[nth];
	bool root = b->trace->spans[span] == hs_model_trace_root(b->trace);
	uint32_t i;
	int err = 0;

	for (i = 0; i < plan->nr_rules && !err; i++) {
		bool early = false, here = root;

		if (!(plan->traces[b->trace_index].rules & 1u << i))
			continue;
		if (plan->rules[i].type == HS_REPLAY_RULE_ERROR)
			here = error_is_first(b, nth);
		/* A share has no moment of its own: half of them fire before
		 * there is any data, half when the root is done. */
		if (plan->rules[i].type == HS_REPLAY_RULE_SHARE)
			early = b->trace->id[HS_MODEL_TRACE_ID_SIZE - 1] & 1;
		if (here && early == at_start)
			err = add_step(b, span,
				       at_start ? b->tree.start_ns[span]
						: b->tree.end_ns[span],
				       at_start ? RANK_FIRE_EARLY : RANK_FIRE,
				       i);
	}
	return err;
}

/* The call that brought a span's fragment about, and the wait for it. */
static int add_call(struct builder *b, uint32_t span)
{
	uint32_t parent = b->tree.parent[span];
	uint32_t fragment = b->fragment[span];
	int err;

	if (parent == HS_REPLAY_NONE || b->fragment[parent] == fragment)
		return 0;
	err = add_step(b, parent, b->tree.start_ns[span], RANK_CALL, fragment);
	/* A call that came back before its caller ended was waited for. */
	if (!err && b->tree.end_ns[span] <= b->tree.end_ns[parent])
		err = add_step(b, parent, b->tree.end_ns[span], RANK_AWAIT,
			       fragment);
	return err;
}

static int add_span(struct builder *b, uint32_t nth)
{
	uint32_t span = b->tree.order[nth];
	uint32_t parent = b->tree.parent[span];
	int64_t end_ns = b->tree.end_ns[span];
	int err;

	err = add_fires(b, nth, true);
	if (!err)
		err = add_step(b, span, b->tree.start_ns[span], RANK_START, 0);
	if (!err)
		err = add_events(b, span);
	if (!err)
		err = add_step(b, span, end_ns, RANK_END, 0);
	if (!err)
		err = add_fires(b, nth, false);
	if (!err && (parent == HS_REPLAY_NONE ||
		     b->fragment[parent] != b->fragment[span]))
		err = add_step(b, span, end_ns, RANK_REPLY, 0);
	return err;
}

static int step_compare(const void *a, const void *b)
{
	const struct timed_step *x = a, *y = b;

	if (x->fragment != y->fragment)
		return x->fragment < y->fragment ? -1 : 1;
	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int fill_steps(struct builder *b)
{
	struct hs_replay_plan *plan = b->plan;
	uint32_t i;
	int err;

	if (b->nr_steps > UINT32_MAX - plan->nr_steps)
		return -E2BIG;
	err = grow(&plan->steps, &plan->cap_steps, plan->nr_steps + b->nr_steps,
		   sizeof(*plan->steps));
	if (err)
		return err;
	qsort(b->steps, b->nr_steps, sizeof(*b->steps), step_compare);
	for (i = 0; i < b->nr_steps; i++) {
		struct hs_replay_fragment *fragment =
			&plan->fragments[b->steps[i].fragment];

		if (!fragment->nr_steps++)
			fragment->first_step = plan->nr_steps;
		plan->steps[plan->nr_steps++] = b->steps[i].step;
	}
	return 0;
}

static int plan_trace(struct hs_replay_plan *plan, uint32_t index)
{
	struct builder b = {
		.plan = plan,
		.trace = plan->set->traces[index],
		.trace_index = index,
	};
	uint32_t first = plan->nr_fragments, i;
	int err = hs_replay_tree_make(b.trace, &b.tree);

	if (err)
		goto out;
	b.fragment = calloc(b.tree.nr, sizeof(*b.fragment));
	b.local = calloc(b.tree.nr, sizeof(*b.local));
	if (!b.fragment || !b.local) {
		err = -ENOMEM;
		goto out;
	}
	err = split(&b);
	if (!err)
		err = fill_spans(&b, first);
	for (i = 0; i < b.tree.nr && !err; i++)
		err = add_span(&b, i);
	for (i = 0; i < b.tree.nr && !err; i++)
		err = add_call(&b, i);
	if (!err)
		err = fill_steps(&b);
	plan->traces[index].first_fragment = first;
	plan->traces[index].nr_fragments = plan->nr_fragments - first;
out:
	free(b.fragment);
	free(b.local);
	free(b.steps);
	hs_replay_tree_free(&b.tree);
	return err;
}

int hs_replay_plan_make(struct hs_replay_plan *plan)
{
	uint32_t nr = plan->set->nr_traces, i;
	int err;

	if (!nr || !plan->nr_nodes || plan->nr_nodes > HS_REPLAY_NODES_MAX)
		return -EINVAL;
	plan->traces = calloc(nr, sizeof(*plan->traces));
	plan->arrivals = calloc(nr, sizeof(*plan->arrivals));
	if (!plan->traces || !plan->arrivals)
		return -ENOMEM;
	err = hs_replay_plan_layout(plan);
	if (!err)
		err = hs_replay_plan_arrivals(plan);
	if (!err)
		err = hs_replay_plan_rules(plan);
	for (i = 0; i < nr && !err; i++)
		err = plan_trace(plan, i);
	return err;
}

void hs_replay_plan_free(struct hs_replay_plan *plan)
{
	free(plan->traces);
	free(plan->arrivals);
	free(plan->fragments);
	free(plan->spans);
	free(plan->steps);
	free(plan->services);
	memset(plan, 0, sizeof(*plan));
}

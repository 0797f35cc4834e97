/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hs-replay is going to do, worked out before any process starts: which
 * service lives on which node, how each trace falls into visits of a node
 * (fragments), what a fragment does step by step, when each trace arrives and
 * who fires which trigger.
 *
 * The plan is made by one process and then read only, so that forked node
 * processes share it without a word between them. Pure: no clock, no I/O.
 *
 * A fragment is a maximal piece of a trace's span tree on one node: a request
 * that came in, the spans it caused there, and the calls that it made to other
 * nodes. Cause beats clock: nothing is done before the context that it hangs
 * on has arrived, whatever its recorded time; beyond that the steps of a
 * fragment stand in the order of the source's times, so that a span may
 * outlive its parent and a call may be awaited long after it was sent.
 *
 * A trace without one root (missing parents, several roots, cycles) is one
 * request all the same: its further pieces are called from where the first
 * one began, as a proxy would have done, so that breadcrumbs tie them.
 */
#ifndef HS_REPLAY_PLAN_H
#define HS_REPLAY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/set.h"
#include "model/trace.h"

#define HS_REPLAY_NODES_MAX 64u
#define HS_REPLAY_RULES_MAX 3u
#define HS_REPLAY_NONE	    UINT32_MAX

enum hs_replay_step_type {
	HS_REPLAY_STEP_START, /* span begins; refs, half of its attributes */
	HS_REPLAY_STEP_EVENT, /* arg: index of the event */
	HS_REPLAY_STEP_CALL,  /* arg: fragment to ask for; span calls */
	HS_REPLAY_STEP_AWAIT, /* arg: fragment whose reply has to be there */
	HS_REPLAY_STEP_END,   /* the rest of the span, and its end */
	HS_REPLAY_STEP_REPLY, /* answer the caller */
	HS_REPLAY_STEP_FIRE,  /* arg: index of the rule */
};

struct hs_replay_step {
	uint32_t type; /* enum hs_replay_step_type */
	uint32_t span; /* index within the fragment's spans */
	uint32_t arg;
};

struct hs_replay_fragment {
	uint32_t trace; /* index within the set */
	uint32_t node;
	uint32_t caller; /* fragment, HS_REPLAY_NONE: the load itself */
	uint32_t nth;	 /* how-manieth call of its caller */
	uint32_t first_span;
	uint32_t nr_spans;
	uint32_t first_step;
	uint32_t nr_steps;
	uint32_t nr_calls;
};

enum hs_replay_rule_type {
	HS_REPLAY_RULE_SHARE, /* by a seeded hash of the trace id */
	HS_REPLAY_RULE_SLOW,  /* roots over a percentile of their operation */
	HS_REPLAY_RULE_ERROR, /* any span with an error */
};

struct hs_replay_rule {
	enum hs_replay_rule_type type;
	double value;	    /* share 0..1, percentile 0..100 */
	uint64_t nr_traces; /* that it fires on; set by the plan */
};

struct hs_replay_trace {
	uint64_t arrival_ns; /* since the first one, at speed 1, gaps cut */
	uint32_t first_fragment;
	uint32_t nr_fragments;
	uint32_t rules; /* bit per rule that fires */
};

struct hs_replay_plan {
	const struct hs_model_set *set;
	uint32_t nr_nodes;
	uint64_t seed;
	struct hs_replay_rule rules[HS_REPLAY_RULES_MAX];
	uint32_t nr_rules;
	bool keep_gaps;

	struct hs_replay_trace *traces;
	uint32_t *arrivals; /* trace indices in the order of arrival */
	struct hs_replay_fragment *fragments;
	uint32_t nr_fragments, cap_fragments;
	uint32_t *spans; /* of fragments: index within the trace's spans */
	uint32_t nr_spans, cap_spans;
	struct hs_replay_step *steps;
	uint32_t nr_steps, cap_steps;

	struct hs_model_str *services; /* sorted; service i on node i % N */
	uint32_t nr_services, cap_services;
	uint64_t nr_triggered;
	uint64_t nr_node_spans[HS_REPLAY_NODES_MAX];
	uint64_t nr_gaps_cut;
};

/**
 * hs_replay_rule_parse() - "share=0.01", "slow=p99", "error"
 *
 * Return: 0, or -EINVAL with what would be right in @error.
 */
int hs_replay_rule_parse(const char *text, struct hs_replay_rule *rule,
			 char *error, size_t error_bytes);
const char *hs_replay_rule_name(enum hs_replay_rule_type type);

/**
 * hs_replay_plan_make() - work it all out
 * @plan: zeroed, with set, nr_nodes, seed, rules and keep_gaps filled in
 *
 * Own:    the caller frees it with hs_replay_plan_free(), also after an error.
 * Return: 0, -ENOMEM, -EINVAL without traces or with too many nodes, -E2BIG.
 */
int hs_replay_plan_make(struct hs_replay_plan *plan);
void hs_replay_plan_free(struct hs_replay_plan *plan);

/* Memory of one agent that holds the busiest node's part, all of it pinned. */
uint64_t hs_replay_plan_pool_bytes(const struct hs_replay_plan *plan);

uint32_t hs_replay_plan_node(const struct hs_replay_plan *plan,
			     struct hs_model_str service);

static inline const struct hs_model_span *
hs_replay_plan_span(const struct hs_replay_plan *plan,
		    const struct hs_replay_fragment *fragment, uint32_t nth)
{
	const struct hs_model_trace *trace = plan->set->traces[fragment->trace];

	return trace->spans[plan->spans[fragment->first_span + nth]];
}

/* Parts of the plan; each fills what its name says. */
int hs_replay_plan_layout(struct hs_replay_plan *plan);
int hs_replay_plan_arrivals(struct hs_replay_plan *plan);
int hs_replay_plan_rules(struct hs_replay_plan *plan);

/* The span tree of one trace, made sound for execution. */
struct hs_replay_tree {
	uint32_t nr;
	uint32_t *parent;  /* HS_REPLAY_NONE for the first alone */
	uint32_t *order;   /* callers before callees; order[0] comes first */
	int64_t *start_ns; /* not before the caller's */
	int64_t *end_ns;   /* not before start_ns */
};

/**
 * hs_replay_tree_make() - parents found, cycles cut, pieces tied to the first
 *
 * Own:    hs_replay_tree_free(), also after an error.
 * Return: 0, -ENOMEM.
 */
int hs_replay_tree_make(const struct hs_model_trace *trace,
			struct hs_replay_tree *tree);
void hs_replay_tree_free(struct hs_replay_tree *tree);

#endif

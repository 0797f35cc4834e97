/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which traces each trigger rule will fire on, computed from the input before
 * anything runs, so that the verification knows what to ask for.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tools/replay/plan.h"

static const char *const rule_names[] = {
	[HS_REPLAY_RULE_SHARE] = "share",
	[HS_REPLAY_RULE_SLOW] = "slow",
	[HS_REPLAY_RULE_ERROR] = "error",
};

const char *hs_replay_rule_name(enum hs_replay_rule_type type)
{
	return rule_names[type];
}

static int parse_number(const char *text, double low, double high, double *out)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > low && value <= high))
		return -EINVAL;
	*out = value;
	return 0;
}

int hs_replay_rule_parse(const char *text, struct hs_replay_rule *rule,
			 char *error, size_t error_bytes)
{
	memset(rule, 0, sizeof(*rule));
	if (!strcmp(text, "error")) {
		rule->type = HS_REPLAY_RULE_ERROR;
		return 0;
	}
	if (!strncmp(text, "share=", 6)) {
		rule->type = HS_REPLAY_RULE_SHARE;
		if (!parse_number(text + 6, 0, 1, &rule->value))
			return 0;
		snprintf(error, error_bytes,
			 "'%s': share wants a number above 0 and up to 1, as "
			 "in share=0.01",
			 text);
		return -EINVAL;
	}
	if (!strncmp(text, "slow=p", 6)) {
		rule->type = HS_REPLAY_RULE_SLOW;
		if (!parse_number(text + 6, 0, 100, &rule->value) &&
		    rule->value < 100)
			return 0;
		snprintf(error, error_bytes,
			 "'%s': slow wants a percentile below 100, as in "
			 "slow=p99",
			 text);
		return -EINVAL;
	}
	snprintf(error, error_bytes,
		 "'%s': a trigger is share=0.01, slow=p99 or error", text);
	return -EINVAL;
}

static bool in_share(const struct hs_model_trace *trace, uint64_t seed,
		     double share)
{
	uint8_t key[16] = {0};
	uint64_t hash;
	uint32_t i;

	for (i = 0; i < 8; i++)
		key[i] = (uint8_t)(seed >> 8 * i);
	hash = hs_hash_siphash(key, trace->id, sizeof(trace->id));
	return (double)(hash >> 11) < share * 0x1p53;
}

/* A root, by its operation and then by how long it took. */
struct root {
	struct hs_model_str service, name;
	int64_t duration_ns;
	uint32_t trace;
};

static int operation_compare(const struct root *a, const struct root *b)
{
	int order = hs_model_str_compare(a->service, b->service);

	return order ? order : hs_model_str_compare(a->name, b->name);
}

static int root_compare(const void *a, const void *b)
{
	const struct root *x = a, *y = b;
	int order = operation_compare(x, y);

	if (order)
		return order;
	return x->duration_ns < y->duration_ns
		       ? -1
		       : x->duration_ns > y->duration_ns;
}

/* Slow is what took longer than the percentile (nearest rank) of its kind. */
static void fire_slow(struct hs_replay_plan *plan, uint32_t rule,
		      const struct root *roots, uint32_t nr)
{
	double rank = ceil(plan->rules[rule].value / 100 * nr);
	uint32_t i = rank < 1 ? 0 : (uint32_t)rank - 1;
	int64_t limit_ns = roots[i].duration_ns;

	for (; i < nr; i++) {
		if (roots[i].duration_ns > limit_ns)
			plan->traces[roots[i].trace].rules |= 1u << rule;
	}
}

static int rule_slow(struct hs_replay_plan *plan, uint32_t rule)
{
	uint32_t nr = plan->set->nr_traces, i, first;
	struct root *roots = calloc(nr, sizeof(*roots));

	if (!roots)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		const struct hs_model_trace *trace = plan->set->traces[i];
		const struct hs_model_span *root = hs_model_trace_root(trace);

		roots[i].service = hs_model_span_resource(trace, root)->service;
		roots[i].name = root->name;
		roots[i].duration_ns = root->duration_ns;
		roots[i].trace = i;
	}
	qsort(roots, nr, sizeof(*roots), root_compare);
	for (first = 0, i = 1; i <= nr; i++) {
		if (i < nr && !operation_compare(&roots[first], &roots[i]))
			continue;
		fire_slow(plan, rule, roots + first, i - first);
		first = i;
	}
	free(roots);
	return 0;
}

static void rule_simple(struct hs_replay_plan *plan, uint32_t rule)
{
	const struct hs_replay_rule *r = &plan->rules[rule];
	uint32_t i;

	for (i = 0; i < plan->set->nr_traces; i++) {
		const struct hs_model_trace *trace = plan->set->traces[i];
		bool fires = r->type == HS_REPLAY_RULE_SHARE
				     ? in_share(trace, plan->seed, r->value)
				     : hs_model_trace_has_error(trace);

		if (fires)
			plan->traces[i].rules |= 1u << rule;
	}
}

int hs_replay_plan_rules(struct hs_replay_plan *plan)
{
	uint32_t i, j;
	int err = 0;

	for (i = 0; i < plan->nr_rules && !err; i++) {
		if (plan->rules[i].type == HS_REPLAY_RULE_SLOW)
			err = rule_slow(plan, i);
		else
			rule_simple(plan, i);
	}
	plan->nr_triggered = 0;
	for (j = 0; j < plan->set->nr_traces; j++) {
		uint32_t rules = plan->traces[j].rules;

		plan->nr_triggered += rules != 0;
		for (i = 0; i < plan->nr_rules; i++)
			plan->rules[i].nr_traces += rules >> i & 1;
	}
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The span tree of one trace, made sound for execution: a single tree that
 * covers every span whatever the source's references say. Only the order of
 * execution comes from here; what is recorded stays the source's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/plan.h"

struct by_id {
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	uint32_t span;
};

static int by_id_compare(const void *a, const void *b)
{
	const struct by_id *x = a, *y = b;
	int order = memcmp(x->id, y->id, sizeof(x->id));

	if (order)
		return order;
	return x->span < y->span ? -1 : x->span > y->span;
}

static uint32_t lower_bound(const struct by_id *ids, uint32_t nr,
			    const uint8_t *id)
{
	uint32_t low = 0, high = nr;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (memcmp(ids[mid].id, id, HS_MODEL_SPAN_ID_SIZE) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Client and server may share one id; what was called from there was called
 * from the server. A span is never its own parent.
 */
static uint32_t find_parent(const struct hs_model_trace *trace,
			    const struct by_id *ids, uint32_t span)
{
	const struct hs_model_span *child = trace->spans[span];
	uint32_t found = HS_REPLAY_NONE, i;

	if (!child->has_parent)
		return HS_REPLAY_NONE;
	i = lower_bound(ids, trace->nr_spans, child->parent_id);
	for (; i < trace->nr_spans; i++) {
		if (memcmp(ids[i].id, child->parent_id, sizeof(ids[i].id)) != 0)
			break;
		if (ids[i].span == span)
			continue;
		if (found == HS_REPLAY_NONE ||
		    trace->spans[ids[i].span]->kind == HS_MODEL_KIND_SERVER)
			found = ids[i].span;
	}
	return found;
}

static int find_parents(const struct hs_model_trace *trace,
			struct hs_replay_tree *tree)
{
	struct by_id *ids = calloc(tree->nr, sizeof(*ids));
	uint32_t i;

	if (!ids)
		return -ENOMEM;
	for (i = 0; i < tree->nr; i++) {
		memcpy(ids[i].id, trace->spans[i]->id, sizeof(ids[i].id));
		ids[i].span = i;
	}
	qsort(ids, tree->nr, sizeof(*ids), by_id_compare);
	for (i = 0; i < tree->nr; i++)
		tree->parent[i] = find_parent(trace, ids, i);
	free(ids);
	return 0;
}

/* A cycle is cut above its earliest span, which then is a root. */
static void cut_cycle(const struct hs_model_trace *trace,
		      struct hs_replay_tree *tree, uint32_t on_it)
{
	uint32_t earliest = on_it, i;

	for (i = tree->parent[on_it]; i != on_it; i = tree->parent[i]) {
		if (trace->spans[i]->start_ns <
		    trace->spans[earliest]->start_ns)
			earliest = i;
	}
	tree->parent[earliest] = HS_REPLAY_NONE;
}

/* seen[i] is the number of the walk that came by, so a walk knows its own. */
static int cut_cycles(const struct hs_model_trace *trace,
		      struct hs_replay_tree *tree)
{
	uint32_t *seen = calloc(tree->nr, sizeof(*seen));
	uint32_t i, at;

	if (!seen)
		return -ENOMEM;
	for (i = 0; i < tree->nr; i++) {
		at = i;
		while (at != HS_REPLAY_NONE && !seen[at]) {
			seen[at] = i + 1;
			at = tree->parent[at];
		}
		if (at != HS_REPLAY_NONE && seen[at] == i + 1)
			cut_cycle(trace, tree, at);
	}
	free(seen);
	return 0;
}

/* The piece that the trace's own root stands in leads; the others hang on it.
 */
static uint32_t tie_pieces(const struct hs_model_trace *trace,
			   struct hs_replay_tree *tree)
{
	const struct hs_model_span *root = hs_model_trace_root(trace);
	uint32_t first = 0, i;

	while (trace->spans[first] != root)
		first++;
	while (tree->parent[first] != HS_REPLAY_NONE)
		first = tree->parent[first];
	for (i = 0; i < tree->nr; i++) {
		if (tree->parent[i] == HS_REPLAY_NONE && i != first)
			tree->parent[i] = first;
	}
	return first;
}

/* Breadth first; children of one parent in the order of the source. */
static int walk(struct hs_replay_tree *tree, uint32_t first)
{
	uint32_t *child = calloc(tree->nr, sizeof(*child));
	uint32_t *sibling = calloc(tree->nr, sizeof(*sibling));
	uint32_t i, head, tail = 0;

	if (!child || !sibling) {
		free(child);
		free(sibling);
		return -ENOMEM;
	}
	for (i = 0; i < tree->nr; i++)
		child[i] = HS_REPLAY_NONE;
	for (i = tree->nr; i-- > 0;) {
		if (tree->parent[i] == HS_REPLAY_NONE)
			continue;
		sibling[i] = child[tree->parent[i]];
		child[tree->parent[i]] = i;
	}
	tree->order[tail++] = first;
	for (head = 0; head < tail; head++) {
		i = child[tree->order[head]];
		for (; i != HS_REPLAY_NONE; i = sibling[i])
			tree->order[tail++] = i;
	}
	free(child);
	free(sibling);
	return 0;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void set_times(const struct hs_model_trace *trace,
		      struct hs_replay_tree *tree)
{
	uint32_t i;

	for (i = 0; i < tree->nr; i++) {
		uint32_t span = tree->order[i];
		uint32_t parent = tree->parent[span];
		const struct hs_model_span *from = trace->spans[span];

		tree->start_ns[span] = from->start_ns;
		if (parent != HS_REPLAY_NONE)
			tree->start_ns[span] =
				later(from->start_ns, tree->start_ns[parent]);
		tree->end_ns[span] =
			later(hs_model_span_end_ns(from), tree->start_ns[span]);
	}
}

int hs_replay_tree_make(const struct hs_model_trace *trace,
			struct hs_replay_tree *tree)
{
	uint32_t first;
	int err;

	memset(tree, 0, sizeof(*tree));
	tree->nr = trace->nr_spans;
	if (!tree->nr)
		return 0;
	tree->parent = calloc(tree->nr, sizeof(*tree->parent));
	tree->order = calloc(tree->nr, sizeof(*tree->order));
	tree->start_ns = malloc(tree->nr * sizeof(*tree->start_ns));
	tree->end_ns = malloc(tree->nr * sizeof(*tree->end_ns));
	if (!tree->parent || !tree->order || !tree->start_ns || !tree->end_ns)
		return -ENOMEM;
	err = find_parents(trace, tree);
	if (!err)
		err = cut_cycles(trace, tree);
	if (err)
		return err;
	first = tie_pieces(trace, tree);
	err = walk(tree, first);
	if (!err)
		set_times(trace, tree);
	return err;
}

void hs_replay_tree_free(struct hs_replay_tree *tree)
{
	free(tree->parent);
	free(tree->order);
	free(tree->start_ns);
	free(tree->end_ns);
	memset(tree, 0, sizeof(*tree));
}

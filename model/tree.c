/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forest of a trace's spans. Nothing here recurses: traces come from
 * outside and may be as deep as they are long.
 */
#include "model/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE HS_MODEL_TREE_NONE

static int by_id(const void *x, const void *y, void *ctx)
{
	const struct hs_model_trace *trace = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int order = memcmp(trace->spans[a]->id, trace->spans[b]->id,
			   HS_MODEL_SPAN_ID_SIZE);

	return order ? order : (a > b) - (a < b);
}

static int by_start(const void *x, const void *y, void *ctx)
{
	const struct hs_model_trace *trace = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int64_t start_a = trace->spans[a]->start_ns;
	int64_t start_b = trace->spans[b]->start_ns;

	if (start_a != start_b)
		return start_a < start_b ? -1 : 1;
	return (a > b) - (a < b);
}

static uint32_t lower_bound(const struct hs_model_trace *trace,
			    const uint32_t *order, const uint8_t *id)
{
	uint32_t from = 0, to = trace->nr_spans;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (memcmp(trace->spans[order[middle]]->id, id,
			   HS_MODEL_SPAN_ID_SIZE) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Where client and server share an id, children belong to the server. */
static uint32_t parent_find(const struct hs_model_trace *trace,
			    const uint32_t *order, uint32_t child)
{
	const uint8_t *id = trace->spans[child]->parent_id;
	uint32_t at = lower_bound(trace, order, id), found = NONE;

	for (; at < trace->nr_spans; at++) {
		const struct hs_model_span *span = trace->spans[order[at]];

		if (memcmp(span->id, id, sizeof(span->id)))
			break;
		if (order[at] == child)
			continue;
		if (found == NONE || span->kind == HS_MODEL_KIND_SERVER)
			found = order[at];
		if (span->kind == HS_MODEL_KIND_SERVER)
			break;
	}
	return found;
}

static void parents_find(struct hs_model_tree *tree,
			 const struct hs_model_trace *trace,
			 const uint32_t *order)
{
	uint32_t i;

	for (i = 0; i < tree->nr_nodes; i++) {
		struct hs_model_tree_node *node = &tree->nodes[i];

		*node = (struct hs_model_tree_node){NONE, NONE, NONE, 0,
						    HS_MODEL_TREE_PLAIN};
		if (!trace->spans[i]->has_parent)
			continue;
		node->parent = parent_find(trace, order, i);
		if (node->parent == NONE)
			node->mark = HS_MODEL_TREE_ORPHAN;
		/* A span that names itself has been found nowhere else. */
		if (node->parent == NONE &&
		    !memcmp(trace->spans[i]->parent_id, trace->spans[i]->id,
			    HS_MODEL_SPAN_ID_SIZE))
			node->mark = HS_MODEL_TREE_CUT;
	}
}

static void cycle_cut(struct hs_model_tree *tree,
		      const struct hs_model_trace *trace, uint32_t member)
{
	uint32_t first = member, at;

	for (at = tree->nodes[member].parent; at != member;
	     at = tree->nodes[at].parent)
		if (by_start(&at, &first, (void *)trace) < 0)
			first = at;
	tree->nodes[first].parent = NONE;
	tree->nodes[first].mark = HS_MODEL_TREE_CUT;
}

/* depth serves as the walk's number here: who is met twice is in a cycle. */
static void cycles_cut(struct hs_model_tree *tree,
		       const struct hs_model_trace *trace)
{
	uint32_t i, at;

	for (i = 0; i < tree->nr_nodes; i++) {
		for (at = i; at != NONE && !tree->nodes[at].depth;
		     at = tree->nodes[at].parent)
			tree->nodes[at].depth = i + 1;
		if (at != NONE && tree->nodes[at].depth == i + 1)
			cycle_cut(tree, trace, at);
	}
}

/* In reverse order of start, so that pushing in front sorts them. */
static void children_link(struct hs_model_tree *tree, const uint32_t *order)
{
	uint32_t i;

	tree->first_root = NONE;
	for (i = tree->nr_nodes; i-- > 0;) {
		struct hs_model_tree_node *node = &tree->nodes[order[i]];
		uint32_t *head =
			node->parent == NONE
				? &tree->first_root
				: &tree->nodes[node->parent].first_child;

		node->next_sibling = *head;
		*head = order[i];
	}
}

static void depths_set(struct hs_model_tree *tree)
{
	uint32_t at;

	for (at = tree->first_root; at != NONE;
	     at = hs_model_tree_next(tree, at)) {
		struct hs_model_tree_node *node = &tree->nodes[at];

		node->depth = node->parent == NONE
				      ? 0
				      : tree->nodes[node->parent].depth + 1;
	}
}

int hs_model_tree_init(struct hs_model_tree *tree,
		       const struct hs_model_trace *trace)
{
	uint32_t nr = trace->nr_spans, i;
	uint32_t *order = malloc(((size_t)nr + 1) * sizeof(*order));

	tree->nr_nodes = nr;
	tree->nodes = malloc(((size_t)nr + 1) * sizeof(*tree->nodes));
	if (!order || !tree->nodes) {
		free(order);
		free(tree->nodes);
		return -ENOMEM;
	}
	for (i = 0; i < nr; i++)
		order[i] = i;
	qsort_r(order, nr, sizeof(*order), by_id, (void *)trace);
	parents_find(tree, trace, order);
	cycles_cut(tree, trace);
	qsort_r(order, nr, sizeof(*order), by_start, (void *)trace);
	children_link(tree, order);
	depths_set(tree);
	free(order);
	return 0;
}

void hs_model_tree_destroy(struct hs_model_tree *tree)
{
	free(tree->nodes);
	memset(tree, 0, sizeof(*tree));
}

uint32_t hs_model_tree_next(const struct hs_model_tree *tree, uint32_t index)
{
	const struct hs_model_tree_node *nodes = tree->nodes;

	if (nodes[index].first_child != NONE)
		return nodes[index].first_child;
	while (index != NONE && nodes[index].next_sibling == NONE)
		index = nodes[index].parent;
	return index == NONE ? NONE : nodes[index].next_sibling;
}

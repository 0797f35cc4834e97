/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forest that a trace's parents span, whatever state they are in: missing
 * parents make further roots, cycles are cut at their earliest span. Siblings
 * and roots stand in the order of their start.
 */
#ifndef HS_MODEL_TREE_H
#define HS_MODEL_TREE_H

#include "model/trace.h"

#define HS_MODEL_TREE_NONE UINT32_MAX

enum hs_model_tree_mark {
	HS_MODEL_TREE_PLAIN,
	HS_MODEL_TREE_ORPHAN, /* its parent is not in the trace */
	HS_MODEL_TREE_CUT,    /* its parent is below it */
};

struct hs_model_tree_node {
	uint32_t parent;
	uint32_t first_child;
	uint32_t next_sibling;
	uint32_t depth;
	enum hs_model_tree_mark mark;
};

/* Nodes are indexed as the trace's spans are. */
struct hs_model_tree {
	struct hs_model_tree_node *nodes;
	uint32_t nr_nodes;
	uint32_t first_root;
};

/**
 * hs_model_tree_init() - find everybody's place
 *
 * The trace must not change while the tree is used.
 *
 * Return: 0, -ENOMEM.
 */
int hs_model_tree_init(struct hs_model_tree *tree,
		       const struct hs_model_trace *trace);
void hs_model_tree_destroy(struct hs_model_tree *tree);

/**
 * hs_model_tree_next() - the span after @index, parents before children
 *
 * Return: HS_MODEL_TREE_NONE after the last.
 */
uint32_t hs_model_tree_next(const struct hs_model_tree *tree, uint32_t index);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_order.c - holds in order of priority: a treap for each queue
 *
 * Both ends are wanted: the highest priority is reported next, the lowest is
 * given up first. A treap (Seidel, Aragon 1989) has both within O(log n) steps,
 * its links in the holds themselves, and nothing to allocate. How deep it gets
 * depends on weights made from the index under the private seed, which nobody
 * outside can choose.
 */
#include "agent/core_priv.h"
#include "base/planted.h"

static uint64_t weight(const struct hs_agent_core *c, uint32_t hold)
{
	return hs_hash_mix64(hold ^ c->config.index_seed);
}

/* Whether hold a goes before b: by what is the same on every node. */
bool hs_order_before(const struct hs_agent_core *c, uint32_t a, uint32_t b)
{
	const struct hs_hold *x = &c->holds[a], *y = &c->holds[b];
	const struct hs_wire_trace_id *s = &c->fired[x->fired].trace,
				      *t = &c->fired[y->fired].trace;

	if (x->priority != y->priority)
		return (x->priority > y->priority) != HS_PLANTED(12);
	if (x->primary.hi != y->primary.hi)
		return x->primary.hi > y->primary.hi;
	if (x->primary.lo != y->primary.lo)
		return x->primary.lo > y->primary.lo;
	if (s->hi != t->hi)
		return s->hi > t->hi;
	return s->lo > t->lo;
}

void hs_order_insert(struct hs_agent_core *c, uint32_t *root, uint32_t hold)
{
	struct hs_hold *holds = c->holds;
	uint32_t *link = root, *left = &holds[hold].left,
		 *right = &holds[hold].right;
	uint32_t parent = HS_NIL, below_left = hold, below_right = hold, rest;

	while (*link != HS_NIL && weight(c, *link) >= weight(c, hold)) {
		parent = *link;
		link = hs_order_before(c, hold, parent) ? &holds[parent].left
							: &holds[parent].right;
	}
	rest = *link;
	*link = hold;
	holds[hold].parent = parent;
	/* What stood there is split into what goes before it, and after. */
	while (rest != HS_NIL) {
		uint32_t at = rest;

		if (hs_order_before(c, at, hold)) {
			*left = at;
			holds[at].parent = below_left;
			below_left = at;
			left = &holds[at].right;
			rest = *left;
		} else {
			*right = at;
			holds[at].parent = below_right;
			below_right = at;
			right = &holds[at].left;
			rest = *right;
		}
	}
	*left = *right = HS_NIL;
}

/* All of @a goes before all of @b. */
static uint32_t merge(struct hs_agent_core *c, uint32_t a, uint32_t b)
{
	struct hs_hold *holds = c->holds;
	uint32_t root = HS_NIL, parent = HS_NIL, *link = &root;

	while (a != HS_NIL && b != HS_NIL) {
		uint32_t top = weight(c, a) > weight(c, b) ? a : b;

		*link = top;
		holds[top].parent = parent;
		parent = top;
		if (top == a) {
			link = &holds[a].right;
			a = *link;
		} else {
			link = &holds[b].left;
			b = *link;
		}
	}
	*link = a != HS_NIL ? a : b;
	if (*link != HS_NIL)
		holds[*link].parent = parent;
	return root;
}

void hs_order_remove(struct hs_agent_core *c, uint32_t *root, uint32_t hold)
{
	struct hs_hold *holds = c->holds;
	uint32_t parent = holds[hold].parent;
	uint32_t top = merge(c, holds[hold].left, holds[hold].right);

	if (top != HS_NIL)
		holds[top].parent = parent;
	if (parent == HS_NIL)
		*root = top;
	else if (holds[parent].left == hold)
		holds[parent].left = top;
	else
		holds[parent].right = top;
}

/*
 * Each step down waits for a line of memory, so those that go in one after the
 * other go down side by side first: they wait for their lines together.
 */
void hs_order_fetch(const struct hs_agent_core *c, const uint32_t *holds,
		    uint32_t *at, uint32_t nr)
{
	uint32_t left;

	do {
		left = 0;
		for (uint32_t i = 0; i < nr; i++) {
			const struct hs_hold *h;

			if (at[i] == HS_NIL)
				continue;
			h = &c->holds[at[i]];
			at[i] = hs_order_before(c, holds[i], at[i]) ? h->left
								    : h->right;
			if (at[i] == HS_NIL)
				continue;
			__builtin_prefetch(&c->holds[at[i]]);
			left++;
		}
	} while (left);
}

/* HS_NIL of an empty one. */
uint32_t hs_order_first(const struct hs_agent_core *c, uint32_t root)
{
	while (root != HS_NIL && c->holds[root].left != HS_NIL)
		root = c->holds[root].left;
	return root;
}

uint32_t hs_order_last(const struct hs_agent_core *c, uint32_t root)
{
	while (root != HS_NIL && c->holds[root].right != HS_NIL)
		root = c->holds[root].right;
	return root;
}

/* Return: how many there are; UINT32_MAX when they are out of order. */
uint32_t hs_order_check(const struct hs_agent_core *c, uint32_t root)
{
	uint32_t at = hs_order_first(c, root), last = HS_NIL, nr = 0;

	while (at != HS_NIL) {
		if (last != HS_NIL && !hs_order_before(c, last, at))
			return UINT32_MAX;
		last = at;
		nr++;
		if (c->holds[at].right != HS_NIL) {
			at = hs_order_first(c, c->holds[at].right);
			continue;
		}
		while (c->holds[at].parent != HS_NIL &&
		       c->holds[c->holds[at].parent].right == at)
			at = c->holds[at].parent;
		at = c->holds[at].parent;
	}
	return nr;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_order.c - holds in order of priority: treaps, below pages
 *
 * Both ends are wanted: the highest priority is reported next, the lowest is
 * given up first. A treap (Seidel, Aragon 1989) has both within O(log n) steps,
 * its links in the holds themselves, and nothing to allocate. How deep it gets
 * depends on weights made from the index under the private seed, which nobody
 * outside can choose.
 *
 * But each step waits for a line of memory, twenty of them where ten thousands
 * wait. Priorities are hashes; so a treap that has become deep is split by
 * their next six bits, into up to 64 below a page of them, as in a burst trie
 * (Heinz, Zobel, Williams 2002), and a way down is a line of each of two
 * or three pages and a few steps. Pages are few: where there are none left, or
 * priorities are not what they should be, treaps grow deep, and all is as said
 * above.
 */
#include "agent/core_priv.h"
#include "base/planted.h"

/* Steps down, as treaps of a dozen have them. */
#define DEEP	   6u
#define LEVELS	   3u
#define LEVEL_BITS 6u
_Static_assert(1u << LEVEL_BITS == HS_ORDER_SLOTS, "a slot for all they say");

void hs_order_init(struct hs_agent_core *c)
{
	c->order_page_free = HS_NIL;
	c->order_pages_used = 0;
}

static bool is_page(uint32_t at)
{
	return at != HS_NIL && at & HS_ORDER_PAGE;
}

static struct hs_order_page *page_of(const struct hs_agent_core *c, uint32_t at)
{
	return &c->order_pages[at & ~HS_ORDER_PAGE];
}

static uint32_t slot_of(const struct hs_agent_core *c, uint32_t level,
			uint32_t hold)
{
	uint64_t bits = c->holds[hold].priority << level * LEVEL_BITS;
	uint32_t slot = (uint32_t)(bits >> (64 - LEVEL_BITS));

	return HS_PLANTED(12) ? slot : HS_ORDER_SLOTS - 1 - slot;
}

/* Return: HS_NIL: there is none. */
static uint32_t page_take(struct hs_agent_core *c)
{
	uint32_t i = c->order_page_free;
	struct hs_order_page *p;

	if (i != HS_NIL)
		c->order_page_free = c->order_pages[i].next;
	else if (c->order_pages_used < hs_order_nr_pages(c->nr_holds))
		i = c->order_pages_used++;
	else
		return HS_NIL;
	p = &c->order_pages[i];
	p->used = 0;
	for (uint32_t k = 0; k < HS_ORDER_SLOTS; k++)
		p->at[k] = HS_NIL;
	return HS_ORDER_PAGE | i;
}

static void page_give(struct hs_agent_core *c, uint32_t at)
{
	page_of(c, at)->next = c->order_page_free;
	c->order_page_free = at & ~HS_ORDER_PAGE;
}

static uint64_t weight(const struct hs_agent_core *c, uint32_t hold)
{
	return hs_hash_mix64(hold ^ c->config.index_seed);
}

/* Whether hold a goes before b: by what is the same on every node. */
static inline bool before(const struct hs_agent_core *c, uint32_t a, uint32_t b)
{
	const struct hs_hold *x = &c->holds[a], *y = &c->holds[b];
	const struct hs_wire_trace_id *s, *t;

	if (x->priority != y->priority)
		return (x->priority > y->priority) != HS_PLANTED(12);
	if (x->primary.hi != y->primary.hi)
		return x->primary.hi > y->primary.hi;
	if (x->primary.lo != y->primary.lo)
		return x->primary.lo > y->primary.lo;
	s = &c->fired[x->fired].trace;
	t = &c->fired[y->fired].trace;
	if (s->hi != t->hi)
		return s->hi > t->hi;
	return s->lo > t->lo;
}

bool hs_order_before(const struct hs_agent_core *c, uint32_t a, uint32_t b)
{
	return before(c, a, b);
}

/* Return: how many steps down it took. */
static uint32_t treap_insert(struct hs_agent_core *c, uint32_t *root,
			     uint32_t hold)
{
	struct hs_hold *holds = c->holds;
	uint32_t *link = root, *left = &holds[hold].left,
		 *right = &holds[hold].right;
	uint32_t parent = HS_NIL, below_left = hold, below_right = hold, rest;
	uint32_t nr_steps = 0;
	uint64_t own = weight(c, hold);

	for (; *link != HS_NIL && weight(c, *link) >= own; nr_steps++) {
		parent = *link;
		link = before(c, hold, parent) ? &holds[parent].left
					       : &holds[parent].right;
	}
	rest = *link;
	*link = hold;
	holds[hold].parent = parent;
	/* What stood there is split into what goes before it, and after. */
	for (; rest != HS_NIL; nr_steps++) {
		uint32_t at = rest;

		if (before(c, at, hold)) {
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
	return nr_steps;
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

/* Return: false: it was the root, and what there is below that has changed. */
static bool treap_remove(struct hs_agent_core *c, uint32_t hold, uint32_t *rest)
{
	struct hs_hold *holds = c->holds;
	uint32_t parent = holds[hold].parent;
	uint32_t top = merge(c, holds[hold].left, holds[hold].right);

	*rest = top;
	if (top != HS_NIL)
		holds[top].parent = parent;
	if (parent == HS_NIL)
		return false;
	if (holds[parent].left == hold)
		holds[parent].left = top;
	else
		holds[parent].right = top;
	return true;
}

/* Where the treap of @hold hangs; @way: the pages above it. */
static uint32_t *way_down(const struct hs_agent_core *c, uint32_t *root,
			  uint32_t hold, uint32_t *way[LEVELS],
			  uint32_t *nr_pages)
{
	uint32_t *link = root;

	*nr_pages = 0;
	while (is_page(*link)) {
		uint32_t slot = slot_of(c, *nr_pages, hold);

		way[(*nr_pages)++] = link;
		link = &page_of(c, *link)->at[slot];
	}
	return link;
}

/* What is below @link goes below a page there, if there is one to be had. */
static void split(struct hs_agent_core *c, uint32_t *link, uint32_t level)
{
	struct hs_hold *holds = c->holds;
	uint32_t top = *link, page = page_take(c);

	if (page == HS_NIL)
		return;
	*link = page;
	/* Those that are still to go are linked by their parents. */
	while (top != HS_NIL) {
		struct hs_order_page *p = page_of(c, page);
		uint32_t hold = top, slot = slot_of(c, level, hold);
		uint32_t both[2] = {holds[hold].left, holds[hold].right};

		top = holds[hold].parent;
		for (uint32_t i = 0; i < 2; i++) {
			if (both[i] == HS_NIL)
				continue;
			holds[both[i]].parent = top;
			top = both[i];
		}
		treap_insert(c, &p->at[slot], hold);
		p->used |= 1ull << slot;
	}
}

void hs_order_insert(struct hs_agent_core *c, uint32_t *root, uint32_t hold)
{
	uint32_t *link = root, level = 0;

	for (; is_page(*link); level++) {
		struct hs_order_page *p = page_of(c, *link);
		uint32_t slot = slot_of(c, level, hold);

		p->used |= 1ull << slot;
		link = &p->at[slot];
	}
	if (treap_insert(c, link, hold) > DEEP && level < LEVELS)
		split(c, link, level);
}

void hs_order_remove(struct hs_agent_core *c, uint32_t *root, uint32_t hold)
{
	uint32_t *way[LEVELS], *link, nr_pages, rest;

	if (treap_remove(c, hold, &rest))
		return;
	link = way_down(c, root, hold, way, &nr_pages);
	*link = rest;
	/* A page with nothing below it goes, too. */
	while (*link == HS_NIL && nr_pages) {
		uint32_t *above = way[--nr_pages];
		struct hs_order_page *p = page_of(c, *above);

		p->used &= ~(1ull << slot_of(c, nr_pages, hold));
		if (p->used)
			return;
		page_give(c, *above);
		*above = HS_NIL;
		link = above;
	}
}

/* A step down from @at, on the way of @hold. */
static uint32_t below(const struct hs_agent_core *c, uint32_t at,
		      uint32_t level, uint32_t hold)
{
	const struct hs_hold *h = &c->holds[at];

	if (is_page(at))
		return page_of(c, at)->at[slot_of(c, level, hold)];
	return before(c, hold, at) ? h->left : h->right;
}

/* What that step reads. */
static const void *line_of(const struct hs_agent_core *c, uint32_t at,
			   uint32_t level, uint32_t hold)
{
	if (is_page(at))
		return &page_of(c, at)->at[slot_of(c, level, hold)];
	return &c->holds[at];
}

/*
 * Each step down waits for a line of memory, so those that go in one after the
 * other go down side by side first: they wait for their lines together.
 */
void hs_order_fetch(const struct hs_agent_core *c, const uint32_t *holds,
		    uint32_t *at, uint32_t nr)
{
	uint32_t left = 1, level;

	/* Pages stand above all else: those that are met now are of a level. */
	for (level = 0; left; level++) {
		left = 0;
		for (uint32_t i = 0; i < nr; i++) {
			if (at[i] == HS_NIL)
				continue;
			at[i] = below(c, at[i], level, holds[i]);
			if (at[i] == HS_NIL)
				continue;
			left++;
			__builtin_prefetch(
				line_of(c, at[i], level + 1, holds[i]));
		}
	}
}

/* HS_NIL of an empty one. */
uint32_t hs_order_first(const struct hs_agent_core *c, uint32_t root)
{
	while (is_page(root)) {
		const struct hs_order_page *p = page_of(c, root);

		root = p->at[__builtin_ctzll(p->used)];
	}
	while (root != HS_NIL && c->holds[root].left != HS_NIL)
		root = c->holds[root].left;
	return root;
}

uint32_t hs_order_last(const struct hs_agent_core *c, uint32_t root)
{
	while (is_page(root)) {
		const struct hs_order_page *p = page_of(c, root);

		root = p->at[63 - __builtin_clzll(p->used)];
	}
	while (root != HS_NIL && c->holds[root].right != HS_NIL)
		root = c->holds[root].right;
	return root;
}

/* HS_NIL after the last one. */
static uint32_t next_of(const struct hs_agent_core *c, uint32_t *root,
			uint32_t at)
{
	uint32_t *way[LEVELS], nr_pages, from = at;

	if (c->holds[at].right != HS_NIL)
		return hs_order_first(c, c->holds[at].right);
	while (c->holds[at].parent != HS_NIL &&
	       c->holds[c->holds[at].parent].right == at)
		at = c->holds[at].parent;
	if (c->holds[at].parent != HS_NIL)
		return c->holds[at].parent;
	/* The treap ends there: the next one. */
	way_down(c, root, from, way, &nr_pages);
	while (nr_pages) {
		const struct hs_order_page *p = page_of(c, *way[--nr_pages]);
		uint32_t slot = slot_of(c, nr_pages, from);
		uint64_t later = p->used & ~((2ull << slot) - 1);

		if (later)
			return hs_order_first(c, p->at[__builtin_ctzll(later)]);
	}
	return HS_NIL;
}

/* Return: how many there are; UINT32_MAX when they are out of order. */
uint32_t hs_order_check(const struct hs_agent_core *c, uint32_t root)
{
	uint32_t at = hs_order_first(c, root), last = HS_NIL, nr = 0;

	while (at != HS_NIL) {
		if (last != HS_NIL && !before(c, last, at))
			return UINT32_MAX;
		last = at;
		nr++;
		at = next_of(c, &root, at);
	}
	return nr;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_core_order.c - holds in order: both ends, whatever their priorities are,
 * and no page is left behind
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core_priv.h"
#include "base/random.h"

#define NR     6000u
#define AT_ONE 16u

struct world {
	struct hs_agent_core core;
	struct hs_random random;
	uint32_t root;
	uint32_t in[NR]; /* numbers of those that are in it */
	uint32_t out[NR];
	uint32_t nr_in;
};

/* Priorities of @bits bits, at the top or at the bottom of the word. */
static struct world *make(uint64_t seed, uint32_t bits, bool low)
{
	struct world *w = calloc(1, sizeof(*w));
	struct hs_agent_core *c = &w->core;

	assert_non_null(w);
	hs_random_seed(&w->random, seed);
	c->config.index_seed = seed * 77;
	c->nr_holds = NR;
	c->holds = calloc(NR, sizeof(*c->holds));
	c->fired = calloc(NR, sizeof(*c->fired));
	c->order_pages = calloc(hs_order_nr_pages(NR), sizeof(*c->order_pages));
	assert_true(c->holds && c->fired && c->order_pages);
	hs_order_init(c);
	w->root = HS_NIL;
	for (uint32_t i = 0; i < NR; i++) {
		struct hs_hold *h = &c->holds[i];

		h->priority =
			bits ? hs_random_u64(&w->random) >> (64 - bits) : 0;
		if (!low && bits)
			h->priority <<= 64 - bits;
		h->primary.lo = hs_random_below(&w->random, 3);
		h->fired = i;
		c->fired[i].trace.lo = i;
		w->out[i] = i;
	}
	return w;
}

static void drop(struct world *w)
{
	free(w->core.holds);
	free(w->core.fired);
	free(w->core.order_pages);
	free(w);
}

static void put(struct world *w)
{
	uint32_t nr_out = NR - w->nr_in;
	uint32_t k = (uint32_t)hs_random_below(&w->random, nr_out);
	uint32_t hold = w->out[k], at[1] = {w->root};

	hs_order_fetch(&w->core, &hold, at, 1);
	assert_int_equal(at[0], HS_NIL);
	hs_order_insert(&w->core, &w->root, hold);
	w->out[k] = w->out[nr_out - 1];
	w->in[w->nr_in++] = hold;
}

static void take(struct world *w)
{
	uint32_t k = (uint32_t)hs_random_below(&w->random, w->nr_in);
	uint32_t hold = w->in[k];

	hs_order_remove(&w->core, &w->root, hold);
	w->in[k] = w->in[--w->nr_in];
	w->out[NR - w->nr_in - 1] = hold;
}

static void check(const struct world *w)
{
	const struct hs_agent_core *c = &w->core;
	uint32_t first = HS_NIL, last = HS_NIL;

	for (uint32_t i = 0; i < w->nr_in; i++) {
		uint32_t hold = w->in[i];

		if (first == HS_NIL || hs_order_before(c, hold, first))
			first = hold;
		if (last == HS_NIL || hs_order_before(c, last, hold))
			last = hold;
	}
	assert_int_equal(hs_order_first(c, w->root), first);
	assert_int_equal(hs_order_last(c, w->root), last);
	assert_int_equal(hs_order_check(c, w->root), w->nr_in);
}

static uint32_t pages_out(const struct hs_agent_core *c)
{
	uint32_t nr = c->order_pages_used, i = c->order_page_free;

	for (; i != HS_NIL; i = c->order_pages[i].next)
		nr--;
	return nr;
}

/* Fills it, comes and goes, and empties it. Return: most pages in use. */
static uint32_t live(struct world *w)
{
	uint32_t most = 0;

	for (uint32_t round = 0; round < 30; round++) {
		uint32_t to =
			round % 10 == 9 ? 0
			: round % 3
				? NR
				: 1 + (uint32_t)hs_random_below(&w->random, NR);

		while (w->nr_in != to) {
			if (w->nr_in < NR &&
			    (w->nr_in < to ||
			     hs_random_below(&w->random, 3) == 0))
				put(w);
			else
				take(w);
			if (hs_random_below(&w->random, 2000) == 0)
				check(w);
		}
		check(w);
		most = pages_out(&w->core) > most ? pages_out(&w->core) : most;
		if (to == 0) {
			assert_int_equal(w->root, HS_NIL);
			assert_int_equal(pages_out(&w->core), 0);
		}
	}
	return most;
}

/* Hashes, as they should be: pages, and some are left over. */
static void test_hashes(void **state)
{
	struct world *w = make(1, 64, false);
	uint32_t most = live(w);

	(void)state;
	assert_in_range(most, 2, hs_order_nr_pages(NR));
	drop(w);
}

/* All alike, or alike in what pages go by, or few of each. */
static void test_alike(void **state)
{
	static const struct {
		uint32_t bits;
		bool low;
	} kinds[] = {{0, false}, {8, true}, {16, true}, {2, false}, {7, false}};

	(void)state;
	for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct world *w = make(2 + i, kinds[i].bits, kinds[i].low);

		live(w);
		drop(w);
	}
}

/* Without a page it is one treap. */
static void test_no_page(void **state)
{
	struct world *w = make(9, 64, false);

	(void)state;
	w->core.order_pages_used = hs_order_nr_pages(NR);
	while (w->nr_in < NR)
		put(w);
	check(w);
	while (w->nr_in)
		take(w);
	assert_int_equal(w->root, HS_NIL);
	drop(w);
}

/* As many at once as the agent's queue fetches. */
static void test_fetch(void **state)
{
	struct world *w = make(10, 64, false);
	uint32_t at[AT_ONE];

	(void)state;
	while (w->nr_in < NR - AT_ONE)
		put(w);
	for (uint32_t i = 0; i < AT_ONE; i++)
		at[i] = w->root;
	hs_order_fetch(&w->core, w->out, at, AT_ONE);
	for (uint32_t i = 0; i < AT_ONE; i++)
		assert_int_equal(at[i], HS_NIL);
	check(w);
	drop(w);
}

/*
 * Several orders share a few pages: who finds none goes on without, and has one
 * when another order has given it back. What comes out, from either end as it
 * is reported or given up, is what a list that was sorted has.
 */
#define NR_ROOTS 3u
#define NR_PAGES 5u

static const struct hs_agent_core *sorted_core;

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (x == y)
		return 0;
	return hs_order_before(sorted_core, x, y) ? -1 : 1;
}

/* Every third of them by random choice, the rest from both ends. */
static void empty_sorted(struct world *w, uint32_t *root, uint32_t *in,
			 uint32_t nr)
{
	const struct hs_agent_core *c = &w->core;
	uint32_t from = 0, to = nr;

	sorted_core = c;
	qsort(in, nr, sizeof(*in), compare);
	for (uint32_t n = 0; from < to; n++) {
		uint32_t k =
			from + (uint32_t)hs_random_below(&w->random, to - from);

		assert_int_equal(hs_order_first(c, *root), in[from]);
		assert_int_equal(hs_order_last(c, *root), in[to - 1]);
		if (n % 3 == 0)
			k = from;
		else if (n % 3 == 1)
			k = to - 1;
		hs_order_remove(&w->core, root, in[k]);
		memmove(&in[k], &in[k + 1], (to - k - 1) * sizeof(*in));
		to--;
		if (n % 256 == 0)
			assert_int_equal(hs_order_check(c, *root), to - from);
	}
	assert_int_equal(*root, HS_NIL);
}

static void test_orders_share_few_pages(void **state)
{
	static const struct {
		uint32_t bits;
		bool low;
	} kinds[] = {{64, false}, {7, false}, {0, false}, {16, true}};
	static uint32_t in[NR_ROOTS][NR];

	(void)state;
	for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct world *w = make(20 + i, kinds[i].bits, kinds[i].low);
		uint32_t roots[NR_ROOTS] = {HS_NIL, HS_NIL, HS_NIL};
		uint32_t nr[NR_ROOTS] = {0}, pages = hs_order_nr_pages(NR);

		w->core.order_pages_used = pages - NR_PAGES;
		/* The first has them all, then the others have them. */
		for (uint32_t n = 0; n < NR; n++) {
			uint32_t r = n < NR / 2 ? 0 : 1 + n % (NR_ROOTS - 1);

			in[r][nr[r]++] = n;
			hs_order_insert(&w->core, &roots[r], n);
			if (n == NR / 4 * 3) {
				assert_int_equal(w->core.order_pages_used,
						 pages);
				empty_sorted(w, &roots[0], in[0], nr[0]);
				nr[0] = 0;
			}
		}
		for (uint32_t r = 0; r < NR_ROOTS; r++) {
			assert_int_equal(hs_order_check(&w->core, roots[r]),
					 nr[r]);
			empty_sorted(w, &roots[r], in[r], nr[r]);
		}
		assert_int_equal(pages_out(&w->core), pages - NR_PAGES);
		drop(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_alike),
		cmocka_unit_test(test_no_page),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_orders_share_few_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

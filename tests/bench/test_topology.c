/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: topologies of hs-perf services: circles are taken out, expectations
 * are right, plans leave nobody without a way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "bench/services/draw.h"
#include "bench/services/plan.h"

#define APIS  16u
#define EDGES 128u

struct world {
	struct hs_svc_service services[APIS];
	struct hs_svc_api apis[APIS];
	struct hs_svc_edge edges[EDGES], scratch[EDGES];
	struct hs_svc_walk walk[APIS];
	struct hs_svc_topology t;
};

static void make(struct world *w, uint32_t nr)
{
	memset(w, 0, sizeof(*w));
	w->t = (struct hs_svc_topology){.services = w->services,
					.apis = w->apis,
					.edges = w->edges,
					.nr_services = nr,
					.nr_apis = nr};
	for (uint32_t i = 0; i < nr; i++) {
		snprintf(w->services[i].name, HS_SVC_NAME_BYTES, "s%u", i);
		snprintf(w->apis[i].name, HS_SVC_NAME_BYTES, "a");
		w->apis[i].service = i;
		w->apis[i].exec_ms = 1;
	}
}

static void edge(struct world *w, uint32_t from, uint32_t to, float p)
{
	w->edges[w->t.nr_edges++] = (struct hs_svc_edge){
		.api = to, .out_of = from, .probability = p};
}

static int finish(struct world *w, uint32_t only)
{
	return hs_svc_topology_finish(&w->t, HS_SVC_ENTRY_ROOTS, only,
				      w->scratch, w->walk);
}

static void test_expectations(void **state)
{
	static struct world w;

	/* Edges out of order; a diamond, whose end is called twice as often. */
	make(&w, 4);
	edge(&w, 2, 3, 1);
	edge(&w, 0, 1, 0.5f);
	edge(&w, 1, 3, 1);
	edge(&w, 0, 2, 1);
	edge(&w, 0, 2, 0.25f);
	assert_int_equal(finish(&w, HS_SVC_APIS_MAX), 0);
	assert_true(w.apis[0].entry == 1 && w.apis[1].entry == 0);
	assert_true(w.apis[1].visits == 0.5 && w.apis[2].visits == 1.25 &&
		    w.apis[3].visits == 1.75);
	assert_true(w.t.visits == 4.5 && w.t.exec_ms == 4.5);
	assert_int_equal(w.t.nr_back, 0);
	/* From the middle on. */
	assert_int_equal(finish(&w, 2), 0);
	assert_true(w.t.visits == 2 && w.apis[0].visits == 0);
}

/* A service that is called in bunches: by hand, and by throws. */
static void test_variance(void **state)
{
	static struct world w;
	double mean = 0, square = 0;
	struct hs_random r;

	/* Half of all requests begin at 0, which calls 2 with a half, which
	 * calls 3 four times; the others begin at 1, which calls nobody. */
	make(&w, 4);
	edge(&w, 0, 2, 0.5f);
	for (uint32_t i = 0; i < 4; i++)
		edge(&w, 2, 3, 1);
	assert_int_equal(finish(&w, HS_SVC_APIS_MAX), 0);
	assert_true(w.services[2].calls == 0.25);
	assert_true(w.services[2].variance == 0.25 - 0.25 * 0.25);
	assert_true(w.services[3].calls == 1);
	assert_true(w.services[3].variance == 0.25 * 16 - 1);
	/* Always the same number. */
	assert_int_equal(finish(&w, 2), 0);
	assert_true(w.services[3].calls == 4 && w.services[3].variance == 0);
	/* Two apis of one service, thrown. */
	make(&w, 3);
	w.apis[2].service = 1;
	edge(&w, 0, 1, 0.25f);
	edge(&w, 0, 2, 0.75f);
	edge(&w, 1, 2, 0.5f);
	assert_int_equal(finish(&w, HS_SVC_APIS_MAX), 0);
	hs_random_seed(&r, 13);
	for (uint32_t i = 0; i < 1000000; i++) {
		double calls = 0;

		if (hs_random_f64(&r) < 0.25)
			calls += 1 + (hs_random_f64(&r) < 0.5);
		calls += hs_random_f64(&r) < 0.75;
		mean += calls / 1e6;
		square += calls * calls / 1e6;
	}
	assert_true(fabs(w.services[1].calls - mean) < 0.004);
	assert_true(fabs(w.services[1].variance - (square - mean * mean)) <
		    0.006);
}

static void test_circles(void **state)
{
	static struct world w;

	/* 0 -> 1 -> 2 -> 1, and one that calls itself. */
	make(&w, 3);
	edge(&w, 0, 1, 1);
	edge(&w, 1, 2, 1);
	edge(&w, 2, 1, 1);
	edge(&w, 2, 2, 1);
	assert_int_equal(finish(&w, HS_SVC_APIS_MAX), 0);
	assert_int_equal(w.t.nr_back, 2);
	assert_int_equal(w.t.nr_edges, 2);
	assert_true(w.t.visits == 3);
}

static void test_weights(void **state)
{
	static struct world w;

	make(&w, 3);
	w.apis[0].weight = 3;
	w.apis[1].weight = 1;
	edge(&w, 0, 2, 1);
	assert_int_equal(finish(&w, HS_SVC_APIS_MAX), 0);
	assert_true(w.apis[0].entry == 0.75 && w.apis[1].entry == 0.25);
	/* Only such as call others. */
	assert_int_equal(hs_svc_topology_finish(&w.t, HS_SVC_ENTRY_CALLERS,
						HS_SVC_APIS_MAX, w.scratch,
						w.walk),
			 0);
	assert_true(w.apis[0].entry == 1 && w.apis[1].entry == 0);
	/* Nobody begins. */
	make(&w, 2);
	assert_int_equal(hs_svc_topology_finish(&w.t, HS_SVC_ENTRY_CALLERS,
						HS_SVC_APIS_MAX, w.scratch,
						w.walk),
			 -EINVAL);
}

/* Whatever the graph: no circle is left, so every request ends. */
static void test_random_graphs(void **state)
{
	static struct world w;
	struct hs_random r;

	hs_random_seed(&r, 7);
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t nr = 1 + (uint32_t)hs_random_below(&r, APIS);
		uint32_t calls = (uint32_t)hs_random_below(&r, EDGES);
		uint8_t reach[APIS] = {0};

		make(&w, nr);
		for (uint32_t e = 0; e < calls; e++) {
			uint32_t from = (uint32_t)hs_random_below(&r, nr);

			edge(&w, from, (uint32_t)hs_random_below(&r, nr), 1);
		}
		assert_int_equal(finish(&w, 0), 0);
		assert_int_equal(w.t.nr_edges + w.t.nr_back, calls);
		/* Strip leaves; a circle would stay. */
		for (uint32_t i = 0; i < nr; i++)
			for (uint32_t k = 0; k < nr; k++) {
				const struct hs_svc_api *a = &w.apis[k];
				bool leaf = !reach[k];

				for (uint32_t e = 0; e < a->nr_edges; e++)
					leaf &= reach[w.edges[a->first_edge + e]
							      .api];
				if (leaf)
					reach[k] = 1;
			}
		for (uint32_t k = 0; k < nr; k++)
			assert_true(reach[k]);
	}
}

/* What each is drawn by, summed up over the table's places: its share, to what
 * a word can say of each place. */
static void check_draw(const double *wanted, uint32_t nr)
{
	struct hs_svc_draw table[64];
	uint32_t scratch[64];
	double shares[64], drawn[64] = {0};

	memcpy(shares, wanted, nr * sizeof(*shares));
	hs_svc_draw_fill(table, shares, nr, scratch);
	for (uint32_t i = 0; i < nr; i++) {
		double keep = table[i].keep * 0x1p-32;

		assert_in_range(table[i].other, 0, nr - 1);
		drawn[i] += keep / nr;
		drawn[table[i].other] += (1 - keep) / nr;
	}
	for (uint32_t i = 0; i < nr; i++) {
		assert_true(fabs(drawn[i] - wanted[i]) < 1e-9);
		if (wanted[i] == 0)
			assert_true(drawn[i] == 0);
	}
}

static void test_draw(void **state)
{
	static const double rare[] = {0, 1e-6, 0.5, 0.5 - 1e-6, 0};
	static const double one[] = {1}, last[] = {0, 0, 1},
			    even[] = {0.25, 0.25, 0.25, 0.25};
	struct hs_svc_draw table[3];
	double shares[3] = {0.5, 0.25, 0.25};
	uint32_t scratch[3], nr[3] = {0};
	struct hs_random r;

	check_draw(rare, 5);
	check_draw(one, 1);
	check_draw(last, 3);
	check_draw(even, 4);
	hs_random_seed(&r, 11);
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t n = 1 + (uint32_t)hs_random_below(&r, 64);
		double wanted[64], sum = 0;

		for (uint32_t i = 0; i < n; i++) {
			wanted[i] = hs_random_below(&r, 3)
					    ? pow(hs_random_f64(&r), 8)
					    : 0;
			sum += wanted[i];
		}
		for (uint32_t i = 0; i < n; i++)
			wanted[i] = sum > 0 ? wanted[i] / sum : 1.0 / n;
		check_draw(wanted, n);
	}
	/* And by random words, within five standard errors. */
	hs_svc_draw_fill(table, shares, 3, scratch);
	for (uint32_t i = 0; i < 1000000; i++)
		nr[hs_svc_draw(table, 3, hs_random_u64(&r))]++;
	assert_in_range(nr[0], 500000 - 2500, 500000 + 2500);
	assert_in_range(nr[1], 250000 - 2200, 250000 + 2200);
}

static void check_plan(const struct hs_svc_plan *p,
		       const struct hs_svc_topology *t)
{
	uint8_t used[APIS * APIS + APIS] = {0};

	for (uint32_t s = 0; s < t->nr_services; s++)
		assert_true(p->loop_of_service[s] < p->nr_loops);
	for (uint32_t e = 0; e < t->nr_edges; e++) {
		uint32_t a =
			p->loop_of_service[t->apis[t->edges[e].out_of].service];
		uint32_t b =
			p->loop_of_service[t->apis[t->edges[e].api].service];

		assert_true(p->pair[a][b] < p->nr_pairs);
	}
	for (uint32_t a = 0; a <= p->nr_loops; a++)
		for (uint32_t b = 0; b <= p->nr_loops; b++)
			if (p->pair[a][b] != HS_SVC_NO_PAIR)
				assert_false(used[p->pair[a][b]]++);
}

static void test_plans(void **state)
{
	static struct hs_svc_plan p;
	static struct world w;

	make(&w, 5);
	for (uint32_t i = 1; i < 5; i++)
		edge(&w, 0, i, 1);
	assert_int_equal(finish(&w, 0), 0);
	assert_int_equal(hs_svc_plan_make(&p, &w.t, 2, HS_SVC_AS_THREADS, 2),
			 0);
	assert_int_equal(p.nr_loops, 4);
	assert_int_equal(p.nr_processes, 2);
	check_plan(&p, &w.t);
	assert_int_equal(hs_svc_plan_make(&p, &w.t, 3, HS_SVC_AS_PROCESSES, 1),
			 0);
	assert_int_equal(p.nr_loops, 5);
	assert_int_equal(p.nr_processes, 5);
	check_plan(&p, &w.t);
	/* Equal loads are spread: nobody has more than two of five. */
	for (uint32_t n = 0; n < 3; n++) {
		uint32_t nr = 0;

		for (uint32_t i = 0; i < 5; i++)
			nr += p.node_of_process[i] == n;
		assert_in_range(nr, 1, 2);
	}
	assert_int_equal(hs_svc_plan_make(&p, &w.t, HS_SVC_NODES_MAX + 1,
					  HS_SVC_AS_THREADS, 1),
			 -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expectations),
		cmocka_unit_test(test_variance),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_random_graphs),
		cmocka_unit_test(test_draw),
		cmocka_unit_test(test_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see traverse.h: which nodes a trace visited, by its number. */
#include "bench/traverse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define GRAPH_NODES_MAX 512u
#define GRAPHS_MAX	65536u

struct graph_node {
	uint32_t service, nr_children;
};

struct graph {
	double upto; /* weight of it and of all before */
	uint32_t first, nr;
};

struct hs_traverse_graphs {
	struct graph *graphs;
	struct graph_node *nodes;
	uint32_t nr, nr_nodes;
};

static bool read_graph(FILE *f, struct hs_traverse_graphs *g)
{
	struct graph_node *nodes = &g->nodes[g->nr_nodes];
	uint32_t nr, named = 1;
	double weight;

	if (fscanf(f, "%lf %u", &weight, &nr) != 2 || nr == 0 ||
	    nr > GRAPH_NODES_MAX || weight < 0)
		return false;
	for (uint32_t i = 0; i < nr; i++) {
		if (fscanf(f, "%u %u", &nodes[i].service,
			   &nodes[i].nr_children) != 2 ||
		    nodes[i].nr_children > nr - named)
			return false;
		named += nodes[i].nr_children;
	}
	g->graphs[g->nr] = (struct graph){
		.upto = (g->nr ? g->graphs[g->nr - 1].upto : 0) + weight,
		.first = g->nr_nodes,
		.nr = nr};
	g->nr++;
	g->nr_nodes += nr;
	return named == nr;
}

/* Until the file's end; room grows by halves. */
static bool read_graphs(FILE *f, struct hs_traverse_graphs *g)
{
	uint32_t room = 0;
	int c;

	g->graphs = calloc(GRAPHS_MAX, sizeof(*g->graphs));
	while (g->graphs && g->nr < GRAPHS_MAX) {
		do
			c = fgetc(f);
		while (c == '\n' || c == ' ');
		if (c == EOF)
			return g->nr > 0;
		ungetc(c, f);
		if (room - g->nr_nodes < GRAPH_NODES_MAX) {
			struct graph_node *nodes;

			room += room / 2 + GRAPH_NODES_MAX;
			nodes = realloc(g->nodes, room * sizeof(*nodes));
			if (!nodes)
				return false;
			g->nodes = nodes;
		}
		if (!read_graph(f, g))
			return false;
	}
	return g->graphs;
}

static int load_graphs(struct hs_traverse_plan *plan, const char *path)
{
	FILE *f = fopen(path, "re");
	bool good;

	if (!f) {
		fprintf(stderr,
			"hs-perf: --shape should be chain, fan, or a "
			"file of tests/sim/graphs.py: %s: %s\n",
			path, strerror(errno));
		return -errno;
	}
	plan->graphs = calloc(1, sizeof(*plan->graphs));
	good = plan->graphs && read_graphs(f, plan->graphs);
	fclose(f);
	if (good)
		return 0;
	fprintf(stderr,
		"hs-perf: %s: graph %u should be its weight, the "
		"number of its nodes, and for each its service and "
		"number of children\n",
		path, plan->graphs ? plan->graphs->nr + 1 : 1);
	return -EINVAL;
}

int hs_traverse_plan_make(struct hs_traverse_plan *plan, const char *shape)
{
	if (!strcmp(shape, "chain"))
		plan->shape = HS_TRAVERSE_CHAIN;
	else if (!strcmp(shape, "fan"))
		plan->shape = HS_TRAVERSE_FAN;
	else
		plan->shape = HS_TRAVERSE_GRAPHS;
	return plan->shape == HS_TRAVERSE_GRAPHS ? load_graphs(plan, shape) : 0;
}

void hs_traverse_plan_free(struct hs_traverse_plan *plan)
{
	if (plan->graphs) {
		free(plan->graphs->graphs);
		free(plan->graphs->nodes);
	}
	free(plan->graphs);
	plan->graphs = NULL;
}

static uint64_t draw(uint64_t *state)
{
	return hs_hash_mix64(*state += 0x9e3779b97f4a7c55ull);
}

static void call(struct hs_traverse_trace *t, uint32_t from, uint32_t to)
{
	t->visited |= 1ull << from | 1ull << to;
	if (from == to)
		return;
	t->forward[from] |= 1ull << to;
	t->back[to] |= 1ull << from;
}

/* The origin first, the others in an order of this trace's own. */
static void plain(const struct hs_traverse_plan *plan, uint64_t *state,
		  struct hs_traverse_trace *t)
{
	uint32_t order[HS_TRAVERSE_NODES_MAX];

	for (uint32_t i = 0; i < plan->nr_nodes; i++)
		order[i] = i;
	order[0] = t->origin;
	order[t->origin] = 0;
	for (uint32_t i = 1; i < plan->nr_visits; i++) {
		uint32_t k = i + (uint32_t)(draw(state) % (plan->nr_nodes - i));
		uint32_t node = order[k];

		order[k] = order[i];
		order[i] = node;
		call(t,
		     plan->shape == HS_TRAVERSE_CHAIN ? order[i - 1] : order[0],
		     node);
	}
}

/* Services lie on the nodes by number, the root's on the origin. */
static void from_graph(const struct hs_traverse_plan *plan, uint64_t *state,
		       struct hs_traverse_trace *t)
{
	const struct hs_traverse_graphs *g = plan->graphs;
	double at = (double)(draw(state) >> 11) * 0x1p-53 *
		    g->graphs[g->nr - 1].upto;
	const struct graph_node *nodes;
	uint32_t lo = 0, hi = g->nr - 1, child = 1;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (g->graphs[mid].upto > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	nodes = &g->nodes[g->graphs[lo].first];
	for (uint32_t i = 0; i < g->graphs[lo].nr; i++) {
		uint32_t shift = t->origin + plan->nr_nodes -
				 nodes[0].service % plan->nr_nodes;
		uint32_t from = (nodes[i].service + shift) % plan->nr_nodes;

		for (uint32_t k = 0; k < nodes[i].nr_children; k++, child++)
			call(t, from,
			     (nodes[child].service + shift) % plan->nr_nodes);
	}
}

void hs_traverse_plan_trace(const struct hs_traverse_plan *plan, uint64_t i,
			    struct hs_traverse_trace *out)
{
	uint64_t state = plan->seed ^ hs_hash_mix64(i + 1);

	*out = (struct hs_traverse_trace){
		.id = {hs_hash_mix64(plan->seed), i + 1},
		.origin = (uint32_t)(i % plan->nr_origins),
	};
	out->visited = 1ull << out->origin;
	if (plan->shape == HS_TRAVERSE_GRAPHS)
		from_graph(plan, &state, out);
	else
		plain(plan, &state, out);
}

void hs_traverse_clock_begin(struct hs_traverse_clock *c, uint64_t seed,
			     double per_s)
{
	*c = (struct hs_traverse_clock){.state = seed, .gap_ns = 1e9 / per_s};
}

uint64_t hs_traverse_clock_next(struct hs_traverse_clock *c)
{
	double u = (double)((draw(&c->state) >> 11) + 1) * 0x1p-53;
	uint64_t at = (uint64_t)c->at_ns;

	c->at_ns -= c->gap_ns * log(u);
	return at;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.c - call graphs from a file that graphs.py wrote, picked by frequency
 *
 * A line a graph: its weight, the number of its nodes, then for every node, in
 * the order of a breadth-first walk, its service and its number of children.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

#define GRAPH_NODES_MAX 512u

struct graph {
	double upto; /* weight of it and all before */
	uint32_t nr_nodes, first;
};

struct sim_graphs {
	struct graph *graphs;
	struct sim_graph_node *nodes;
	uint32_t nr, room, nr_nodes, room_nodes;
};

static bool read_one(FILE *f, struct sim_graphs *g)
{
	uint32_t nr, child = 1;
	double weight;

	if (fscanf(f, "%lf %u", &weight, &nr) != 2 || nr == 0 ||
	    nr > GRAPH_NODES_MAX || weight < 0)
		return false;
	if (g->nr == g->room) {
		g->room = g->room ? 2 * g->room : 256;
		g->graphs = realloc(g->graphs, g->room * sizeof(*g->graphs));
	}
	if (g->nr_nodes + nr > g->room_nodes) {
		g->room_nodes = 2 * (g->nr_nodes + nr);
		g->nodes = realloc(g->nodes, g->room_nodes * sizeof(*g->nodes));
	}
	if (!g->graphs || !g->nodes)
		abort();
	for (uint32_t i = 0; i < nr; i++) {
		struct sim_graph_node *n = &g->nodes[g->nr_nodes + i];

		if (fscanf(f, "%u %u", &n->service, &n->nr_children) != 2 ||
		    n->nr_children > nr - child)
			return false;
		n->first_child = child;
		child += n->nr_children;
	}
	g->graphs[g->nr] = (struct graph){
		.upto = (g->nr ? g->graphs[g->nr - 1].upto : 0) + weight,
		.nr_nodes = nr,
		.first = g->nr_nodes};
	g->nr++;
	g->nr_nodes += nr;
	return child == nr;
}

struct sim_graphs *sim_graphs_load(const char *path)
{
	FILE *f = fopen(path, "r");
	struct sim_graphs *g;
	int c;

	if (!f)
		return NULL;
	g = sim_zalloc(1, sizeof(*g));
	while ((c = fgetc(f)) != EOF) {
		if (c == '\n' || c == ' ')
			continue;
		ungetc(c, f);
		if (!read_one(f, g)) {
			fprintf(stderr, "hs-sim: %s: graph %u is malformed\n",
				path, g->nr);
			sim_graphs_free(g);
			g = NULL;
			break;
		}
	}
	fclose(f);
	return g;
}

uint32_t sim_graphs_pick(const struct sim_graphs *g, struct hs_random *r,
			 const struct sim_graph_node **nodes)
{
	uint32_t lo = 0, hi = g->nr;
	double at;

	if (!g->nr)
		return 0;
	at = hs_random_f64(r) * g->graphs[g->nr - 1].upto;
	while (lo + 1 < hi) {
		uint32_t mid = (lo + hi - 1) / 2;

		if (g->graphs[mid].upto > at)
			hi = mid + 1;
		else
			lo = mid + 1;
	}
	*nodes = &g->nodes[g->graphs[lo].first];
	return g->graphs[lo].nr_nodes;
}

void sim_graphs_free(struct sim_graphs *g)
{
	if (!g)
		return;
	free(g->graphs);
	free(g->nodes);
	free(g);
}

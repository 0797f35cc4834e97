/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see topology.h. */
#include "bench/services/topology.h"

#include <errno.h>
#include <string.h>

uint32_t hs_svc_topology_service(const struct hs_svc_topology *t,
				 const char *name)
{
	for (uint32_t i = 0; i < t->nr_services; i++)
		if (!strcmp(t->services[i].name, name))
			return i;
	return HS_SVC_SERVICES_MAX;
}

uint32_t hs_svc_topology_api(const struct hs_svc_topology *t,
			     const char *service, const char *api)
{
	uint32_t s = hs_svc_topology_service(t, service);

	for (uint32_t i = 0; i < t->nr_apis; i++)
		if (t->apis[i].service == s &&
		    (!api || !strcmp(t->apis[i].name, api)))
			return i;
	return HS_SVC_APIS_MAX;
}

/* Edges of one caller beside each other, in the order in which they came. */
static void sort(struct hs_svc_topology *t, struct hs_svc_edge *scratch)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < t->nr_apis; i++)
		t->apis[i].nr_edges = 0;
	for (uint32_t e = 0; e < t->nr_edges; e++)
		t->apis[t->edges[e].out_of].nr_edges++;
	for (uint32_t i = 0; i < t->nr_apis; i++) {
		t->apis[i].first_edge = at;
		at += t->apis[i].nr_edges;
		t->apis[i].nr_edges = 0;
	}
	for (uint32_t e = 0; e < t->nr_edges; e++) {
		struct hs_svc_api *a = &t->apis[t->edges[e].out_of];

		scratch[a->first_edge + a->nr_edges++] = t->edges[e];
	}
	memcpy(t->edges, scratch, t->nr_edges * sizeof(*scratch));
}

/*
 * Depth first, with a stack of its own: a call of what is still being walked
 * closes a circle, and is marked by a probability below 0. @order receives
 * the apis so that each comes before those who call it.
 */
static void walk(struct hs_svc_topology *t, uint32_t *order, uint32_t *stack)
{
	enum { NEW, OPEN, DONE };
	static uint8_t state[HS_SVC_APIS_MAX];
	static uint32_t next[HS_SVC_APIS_MAX];
	uint32_t nr = 0;

	memset(state, NEW, sizeof(state));
	memset(next, 0, sizeof(next));
	for (uint32_t root = 0; root < t->nr_apis; root++) {
		uint32_t depth = 0;

		if (state[root] != NEW)
			continue;
		stack[depth++] = root;
		state[root] = OPEN;
		while (depth) {
			uint32_t at = stack[depth - 1];
			struct hs_svc_api *a = &t->apis[at];
			struct hs_svc_edge *e;

			if (next[at] == a->nr_edges) {
				state[at] = DONE;
				order[nr++] = at;
				depth--;
				continue;
			}
			e = &t->edges[a->first_edge + next[at]++];
			if (state[e->api] == OPEN) {
				e->probability = -1;
				t->nr_back++;
			} else if (state[e->api] == NEW) {
				state[e->api] = OPEN;
				stack[depth++] = e->api;
			}
		}
	}
}

static void drop_marked(struct hs_svc_topology *t)
{
	uint32_t nr = 0;

	for (uint32_t e = 0; e < t->nr_edges; e++)
		if (t->edges[e].probability >= 0)
			t->edges[nr++] = t->edges[e];
	t->nr_edges = nr;
}

static int entries(struct hs_svc_topology *t, enum hs_svc_entry entry,
		   uint32_t only)
{
	double sum = 0;

	for (uint32_t i = 0; i < t->nr_apis; i++)
		t->apis[i].entry = 1;
	for (uint32_t e = 0; e < t->nr_edges; e++)
		t->apis[t->edges[e].api].entry = 0;
	for (uint32_t i = 0; i < t->nr_apis; i++) {
		struct hs_svc_api *a = &t->apis[i];

		if (only != HS_SVC_APIS_MAX)
			a->entry = i == only;
		else if (entry == HS_SVC_ENTRY_CALLERS && !a->nr_edges)
			a->entry = 0;
		else
			a->entry *= a->weight > 0 ? a->weight : 1;
		sum += a->entry;
	}
	if (!(sum > 0))
		return -EINVAL;
	for (uint32_t i = 0; i < t->nr_apis; i++)
		t->apis[i].entry /= sum;
	return 0;
}

int hs_svc_topology_finish(struct hs_svc_topology *t, enum hs_svc_entry entry,
			   uint32_t only, struct hs_svc_edge *edges,
			   uint32_t *words)
{
	uint32_t *order = words, *stack = words + t->nr_apis;
	int rc;

	sort(t, edges);
	walk(t, order, stack);
	drop_marked(t);
	sort(t, edges);
	rc = entries(t, entry, only);
	if (rc)
		return rc;
	t->visits = t->exec_ms = 0;
	for (uint32_t i = 0; i < t->nr_apis; i++)
		t->apis[i].visits = t->apis[i].entry;
	for (uint32_t i = t->nr_apis; i-- > 0;) {
		const struct hs_svc_api *a = &t->apis[order[i]];

		for (uint32_t e = 0; e < a->nr_edges; e++) {
			const struct hs_svc_edge *x =
				&t->edges[a->first_edge + e];

			t->apis[x->api].visits +=
				a->visits * (double)x->probability;
		}
		t->visits += a->visits;
		t->exec_ms += a->visits * a->exec_ms;
	}
	return 0;
}

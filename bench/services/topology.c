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
 * closes a circle, and is marked by a probability below 0. The order has each
 * api before those who call it.
 */
static void walk(struct hs_svc_topology *t, struct hs_svc_walk *w)
{
	enum { NEW, OPEN, DONE };
	uint32_t nr = 0;

	memset(w, 0, t->nr_apis * sizeof(*w));
	for (uint32_t root = 0; root < t->nr_apis; root++) {
		uint32_t depth = 0;

		if (w[root].state != NEW)
			continue;
		w[depth++].stack = root;
		w[root].state = OPEN;
		while (depth) {
			uint32_t at = w[depth - 1].stack;
			struct hs_svc_api *a = &t->apis[at];
			struct hs_svc_edge *e;

			if (w[at].next == a->nr_edges) {
				w[at].state = DONE;
				w[nr++].order = at;
				depth--;
				continue;
			}
			e = &t->edges[a->first_edge + w[at].next++];
			if (w[e->api].state == OPEN) {
				e->probability = -1;
				t->nr_back++;
			} else if (w[e->api].state == NEW) {
				w[e->api].state = OPEN;
				w[depth++].stack = e->api;
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

/*
 * How often a request calls service @s: whoever is called calls others, each by
 * a throw of its own, so that means and variances of independent numbers are
 * added up from those who call nobody to those who begin.
 */
static void expect_service(struct hs_svc_topology *t, uint32_t s,
			   struct hs_svc_walk *w)
{
	double mean = 0, square = 0;

	for (uint32_t i = 0; i < t->nr_apis; i++) {
		const struct hs_svc_api *a = &t->apis[w[i].order];
		struct hs_svc_walk *of = &w[w[i].order];

		of->calls = a->service == s;
		of->variance = 0;
		for (uint32_t e = 0; e < a->nr_edges; e++) {
			const struct hs_svc_edge *x =
				&t->edges[a->first_edge + e];
			double p = (double)x->probability;
			const struct hs_svc_walk *to = &w[x->api];

			of->calls += p * to->calls;
			of->variance += p * to->variance +
					p * (1 - p) * to->calls * to->calls;
		}
		mean += a->entry * of->calls;
		square += a->entry * (of->variance + of->calls * of->calls);
	}
	t->services[s].calls = mean;
	t->services[s].variance =
		square > mean * mean ? square - mean * mean : 0;
}

int hs_svc_topology_finish(struct hs_svc_topology *t, enum hs_svc_entry entry,
			   uint32_t only, struct hs_svc_edge *edges,
			   struct hs_svc_walk *w)
{
	int rc;

	sort(t, edges);
	walk(t, w);
	drop_marked(t);
	sort(t, edges);
	rc = entries(t, entry, only);
	if (rc)
		return rc;
	t->visits = t->exec_ms = 0;
	for (uint32_t i = 0; i < t->nr_apis; i++)
		t->apis[i].visits = t->apis[i].entry;
	for (uint32_t i = t->nr_apis; i-- > 0;) {
		const struct hs_svc_api *a = &t->apis[w[i].order];

		for (uint32_t e = 0; e < a->nr_edges; e++) {
			const struct hs_svc_edge *x =
				&t->edges[a->first_edge + e];

			t->apis[x->api].visits +=
				a->visits * (double)x->probability;
		}
		t->visits += a->visits;
		t->exec_ms += a->visits * a->exec_ms;
	}
	for (uint32_t s = 0; s < t->nr_services; s++)
		expect_service(t, s, w);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: topologies from files; see topology.h. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/services/topology.h"

/* alibaba-dgg says nothing about times: a millisecond everywhere. */
#define GRAPH_EXEC_MS 1.0
#define GRAPHS_MAX    512u

static int make(struct hs_svc_topology *t)
{
	*t = (struct hs_svc_topology){
		.services = calloc(HS_SVC_SERVICES_MAX, sizeof(*t->services)),
		.apis = calloc(HS_SVC_APIS_MAX, sizeof(*t->apis)),
		.edges = calloc(HS_SVC_EDGES_MAX, sizeof(*t->edges)),
	};
	return t->services && t->apis && t->edges ? 0 : -ENOMEM;
}

void hs_svc_topology_free(struct hs_svc_topology *t)
{
	free(t->services);
	free(t->apis);
	free(t->edges);
	*t = (struct hs_svc_topology){0};
}

static int refuse(const char *path, const char *what, const char *right)
{
	fprintf(stderr, "hs-perf services: %s: %s; %s\n", path, what, right);
	return -EINVAL;
}

static int add_service(struct hs_svc_topology *t, const char *name)
{
	if (t->nr_services == HS_SVC_SERVICES_MAX)
		return -E2BIG;
	snprintf(t->services[t->nr_services++].name, HS_SVC_NAME_BYTES, "%.63s",
		 name);
	return 0;
}

static struct hs_svc_api *add_api(struct hs_svc_topology *t, uint32_t service,
				  const char *name, double exec_ms)
{
	struct hs_svc_api *a;

	if (t->nr_apis == HS_SVC_APIS_MAX)
		return NULL;
	a = &t->apis[t->nr_apis++];
	*a = (struct hs_svc_api){.service = service, .exec_ms = exec_ms};
	snprintf(a->name, sizeof(a->name), "%.63s", name);
	return a;
}

static int add_edge(struct hs_svc_topology *t, uint32_t from, uint32_t to,
		    double probability)
{
	if (t->nr_edges == HS_SVC_EDGES_MAX)
		return -E2BIG;
	t->edges[t->nr_edges++] = (struct hs_svc_edge){
		.api = to, .out_of = from, .probability = (float)probability};
	return 0;
}

/* ---- MicroBricks ------------------------------------------------------------
 */

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static double number_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : -1;
}

static int read_names(struct hs_svc_topology *t, const char *path,
		      const json_t *services)
{
	for (size_t s = 0; s < json_array_size(services); s++) {
		const json_t *service = json_array_get(services, s);
		const json_t *apis = json_object_get(service, "apis");

		if (!text_of(service, "name") || !json_is_array(apis))
			return refuse(path, "a service without name or apis",
				      "wants {\"name\", \"apis\": [...]}");
		if (add_service(t, text_of(service, "name")))
			return refuse(path, "too many services", "512 at most");
		for (size_t i = 0; i < json_array_size(apis); i++) {
			const json_t *api = json_array_get(apis, i);
			double exec_ms = number_of(api, "exec");
			struct hs_svc_api *a;

			if (!text_of(api, "name") || exec_ms < 0)
				return refuse(path, "an api without name, exec",
					      "exec is in ms, 0 or more");
			a = add_api(t, (uint32_t)s, text_of(api, "name"),
				    exec_ms);
			if (!a)
				return refuse(path, "too many apis",
					      "8192 at most");
			if (number_of(api, "alibaba_calls") > 0)
				a->weight = number_of(api, "alibaba_calls");
		}
	}
	return 0;
}

static int read_children(struct hs_svc_topology *t, const char *path,
			 const json_t *api, uint32_t from)
{
	const json_t *children = json_object_get(api, "children");

	for (size_t i = 0; i < json_array_size(children); i++) {
		const json_t *child = json_array_get(children, i);
		double percent = number_of(child, "probability");
		uint32_t to;

		if (!text_of(child, "service") || !text_of(child, "api") ||
		    percent < 0 || percent > 100)
			return refuse(path, "a child that is none",
				      "wants service, api and a probability of "
				      "0 to 100");
		to = hs_svc_topology_api(t, text_of(child, "service"),
					 text_of(child, "api"));
		if (to == HS_SVC_APIS_MAX)
			t->nr_missing++;
		else if (add_edge(t, from, to, percent / 100))
			return refuse(path, "too many calls", "131072 at most");
	}
	return 0;
}

static int read_microbricks(struct hs_svc_topology *t, const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	const json_t *services = json_object_get(root, "services");
	uint32_t at = 0;
	int rc;

	if (!root)
		return refuse(path, error.text, "wants MicroBricks' JSON");
	if (!json_array_size(services))
		rc = refuse(path, "no services", "wants {\"services\": [...]}");
	else
		rc = read_names(t, path, services);
	for (size_t s = 0; s < json_array_size(services) && !rc; s++) {
		const json_t *apis =
			json_object_get(json_array_get(services, s), "apis");

		for (size_t i = 0; i < json_array_size(apis) && !rc; i++)
			rc = read_children(t, path, json_array_get(apis, i),
					   at++);
	}
	json_decref(root);
	return rc;
}

/* ---- alibaba-dgg ------------------------------------------------------------
 */

static uint32_t graph_api(const struct hs_svc_topology *t, uint32_t first,
			  const char *node)
{
	for (uint32_t i = first; i < t->nr_apis; i++)
		if (!strcmp(t->services[t->apis[i].service].name, node))
			return i;
	return HS_SVC_APIS_MAX;
}

/* Each node of a graph is an interface, of that graph's own, of its service. */
static int read_graph(struct hs_svc_topology *t, const char *path,
		      const char *file)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	const json_t *nodes = json_object_get(root, "nodes");
	const json_t *edges = json_object_get(root, "edges");
	double num = number_of(root, "num");
	uint32_t first = t->nr_apis;
	int rc = 0;

	if (!json_array_size(nodes) || !json_is_array(edges) || num <= 0)
		rc = refuse(path, "no call graph",
			    "wants nodes, edges and num");
	for (size_t i = 0; i < json_array_size(nodes) && !rc; i++) {
		const char *name = text_of(json_array_get(nodes, i), "node");
		uint32_t s = name ? hs_svc_topology_service(t, name) : 0;
		struct hs_svc_api *a;

		if (!name)
			rc = refuse(path, "a node without a name", "node");
		else if (s == HS_SVC_SERVICES_MAX && add_service(t, name))
			rc = refuse(path, "too many services", "512 at most");
		if (rc)
			break;
		if (s == HS_SVC_SERVICES_MAX)
			s = t->nr_services - 1;
		a = add_api(t, s, file, GRAPH_EXEC_MS);
		if (a)
			a->weight = num;
		else
			rc = refuse(path, "too many apis", "8192 at most");
	}
	for (size_t i = 0; i < json_array_size(edges) && !rc; i++) {
		const json_t *e = json_array_get(edges, i);
		const char *from = text_of(e, "source");
		const char *to = text_of(e, "target");
		uint32_t a = from ? graph_api(t, first, from) : HS_SVC_APIS_MAX;
		uint32_t b = to ? graph_api(t, first, to) : HS_SVC_APIS_MAX;

		if (a == HS_SVC_APIS_MAX || b == HS_SVC_APIS_MAX)
			t->nr_missing++;
		else if (add_edge(t, a, b, 1))
			rc = refuse(path, "too many calls", "131072 at most");
	}
	json_decref(root);
	return rc;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_graph(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && !strcmp(d->d_name + n - 5, ".json");
}

static int read_folder(struct hs_svc_topology *t, const char *path)
{
	struct dirent **list;
	int nr = scandir(path, &list, is_graph, by_name);
	int rc = nr > 0 ? 0 : refuse(path, "no graph*.json", "alibaba-dgg's");

	for (int i = 0; i < nr; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		if (!rc && i < (int)GRAPHS_MAX)
			rc = read_graph(t, file, list[i]->d_name);
		free(list[i]);
	}
	if (nr >= 0)
		free(list);
	if (nr > (int)GRAPHS_MAX)
		fprintf(stderr,
			"hs-perf services: %s: %d graphs, the first %u are "
			"taken\n",
			path, nr, GRAPHS_MAX);
	return rc;
}

/* ---- all --------------------------------------------------------------------
 */

static int finish(struct hs_svc_topology *t, enum hs_svc_entry entry,
		  uint32_t only)
{
	struct hs_svc_edge *edges = calloc(t->nr_edges + 1, sizeof(*edges));
	struct hs_svc_walk *walk = calloc(t->nr_apis + 1, sizeof(*walk));
	int rc = edges && walk
			 ? hs_svc_topology_finish(t, entry, only, edges, walk)
			 : -ENOMEM;

	free(edges);
	free(walk);
	return rc;
}

static uint32_t find_only(const struct hs_svc_topology *t, const char *only)
{
	char service[HS_SVC_NAME_BYTES * 2];
	char *api;

	if (!only)
		return HS_SVC_APIS_MAX;
	snprintf(service, sizeof(service), "%s", only);
	api = strchr(service, '/');
	if (api)
		*api++ = '\0';
	return hs_svc_topology_api(t, service, api);
}

int hs_svc_topology_load(struct hs_svc_topology *t, const char *path,
			 enum hs_svc_entry entry, const char *only)
{
	struct stat st;
	uint32_t api;
	int rc = make(t);

	if (!rc && stat(path, &st))
		rc = refuse(path, strerror(errno),
			    "wants a file, or a folder of graphs");
	if (!rc)
		rc = S_ISDIR(st.st_mode) ? read_folder(t, path)
					 : read_microbricks(t, path);
	if (rc)
		goto fail;
	api = find_only(t, only);
	if (only && api == HS_SVC_APIS_MAX) {
		rc = refuse(path, only, "no such service, or SERVICE/API");
		goto fail;
	}
	rc = finish(t, entry, api);
	if (rc)
		refuse(path, "nobody begins requests", "name one by --entry");
fail:
	if (rc)
		hs_svc_topology_free(t);
	return rc;
}

int hs_svc_topology_chain(struct hs_svc_topology *t, uint32_t nr)
{
	int rc = make(t);

	for (uint32_t i = 0; i < nr && !rc; i++) {
		char name[HS_SVC_NAME_BYTES];

		snprintf(name, sizeof(name), "service%u", i + 1);
		rc = add_service(t, name);
		if (!rc && !add_api(t, i, "api1", 0))
			rc = -E2BIG;
		if (!rc && i)
			rc = add_edge(t, i - 1, i, 1);
	}
	return rc ? rc : finish(t, HS_SVC_ENTRY_ROOTS, HS_SVC_APIS_MAX);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a topology of services as MicroBricks describes it ("The Benefit of
 * Hindsight", NSDI'23, section 6): each service has interfaces, each of which
 * executes for a while and then calls others at once, each with a probability.
 *
 * Pure: files are read in topology_json.c. What points nowhere and what would
 * call in a circle is taken out by hs_svc_topology_finish(), and counted, so
 * that every request ends; the expectation of every count follows from what is
 * left.
 */
#ifndef HS_BENCH_SERVICES_TOPOLOGY_H
#define HS_BENCH_SERVICES_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HS_SVC_SERVICES_MAX 512u
#define HS_SVC_APIS_MAX	    8192u
#define HS_SVC_EDGES_MAX    (1u << 17)
#define HS_SVC_NAME_BYTES   64u

struct hs_svc_edge {
	uint32_t api;	   /* called */
	uint32_t out_of;   /* by this one */
	float probability; /* 0 to 1 */
};

struct hs_svc_api {
	char name[HS_SVC_NAME_BYTES];
	uint32_t service;
	uint32_t first_edge, nr_edges;
	double exec_ms;
	double weight; /* how often it is called, by the source; 0: unknown */
	double entry;  /* share of requests that begin here */
	double visits; /* calls for each request, expected */
};

struct hs_svc_service {
	char name[HS_SVC_NAME_BYTES];
	double calls;	 /* of it for each request, expected */
	double variance; /* of that number from request to request */
};

/* What hs_svc_topology_finish() works with, one for each api. */
struct hs_svc_walk {
	uint32_t order, stack, next;
	uint32_t state;
	double calls, variance;
};

struct hs_svc_topology {
	struct hs_svc_service *services;
	struct hs_svc_api *apis;
	struct hs_svc_edge *edges;
	uint32_t nr_services, nr_apis, nr_edges;
	uint32_t nr_missing; /* calls of what is not there, left out */
	uint32_t nr_back;    /* calls that closed a circle, left out */
	double visits;	     /* of all services for each request, expected */
	double exec_ms;	     /* the same, of execution */
};

/* Who begins requests. */
enum hs_svc_entry {
	HS_SVC_ENTRY_ROOTS,   /* whom nobody calls, by their weights */
	HS_SVC_ENTRY_CALLERS, /* of these only who calls others */
};

/** hs_svc_topology_api() - by names; HS_SVC_APIS_MAX when there is none
 * @api: NULL for the service's first */
uint32_t hs_svc_topology_api(const struct hs_svc_topology *t,
			     const char *service, const char *api);
/** hs_svc_topology_service() - by name; HS_SVC_SERVICES_MAX if there is none */
uint32_t hs_svc_topology_service(const struct hs_svc_topology *t,
				 const char *name);
/**
 * hs_svc_topology_finish() - sort edges by caller, take out circles, work out
 *	what is to be expected
 * @edges, @walk: nr_edges of the one and nr_apis of the other to work with
 * @only: the one api that begins requests; HS_SVC_APIS_MAX: see @entry
 *
 * Return: 0; -EINVAL when nobody begins requests.
 */
int hs_svc_topology_finish(struct hs_svc_topology *t, enum hs_svc_entry entry,
			   uint32_t only, struct hs_svc_edge *edges,
			   struct hs_svc_walk *walk);

/**
 * hs_svc_topology_load() - MicroBricks' JSON, or a folder of call graphs
 * @path: a file; or a folder of alibaba-dgg's graphN.json, each of which is a
 *	way that requests take, as often as it says; topology_json.c
 * @only: "service" or "service/api" that begins requests; NULL: by @entry
 *
 * Own:    hs_svc_topology_free().
 * Return: 0 or -errno, with a line on stderr.
 */
int hs_svc_topology_load(struct hs_svc_topology *t, const char *path,
			 enum hs_svc_entry entry, const char *only);
/** hs_svc_topology_chain() - @nr services, each of which calls the next */
int hs_svc_topology_chain(struct hs_svc_topology *t, uint32_t nr);
void hs_svc_topology_free(struct hs_svc_topology *t);

#endif

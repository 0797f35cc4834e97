/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h - what a collector answers over HTTP and JSON
 *
 *   GET /v1/traces       service, trigger, min_duration, max_duration (ns, or
 *                        with a unit), error (true, false), since, until (ns
 *                        since the epoch), mark, limit (100): rows, newest
 *                        first
 *   GET /v1/traces/{id}  format=hs (mark, causes, manifest, spans), jaeger,
 *                        otlp, perfetto
 *   GET /v1/operations   service, operation, since, until (ns since the epoch;
 *                        whole minutes): how many spans of each ended, with
 *                        errors, and how long they took, over all requests
 *   GET /v1/status
 *   GET /v1/config       the settings in effect, without secrets
 *   POST /v1/stop        end; the store stays, purge or not
 *
 * Handlers run in the server's thread and take the collector's lock.
 */
#ifndef HS_COLLECTOR_API_H
#define HS_COLLECTOR_API_H

#include <jansson.h>

#include "base/httpd.h"
#include "collector/collector.h"

#define HS_API_LIMIT_DEFAULT 100u
#define HS_API_LIMIT_MAX     1000000u

struct hs_collector_config;

struct hs_api {
	struct hs_collector *collector;
	uint64_t node;
	const char *name;
	uint64_t started_ns;			  /* monotonic */
	const struct hs_collector_config *config; /* NULL: shown to nobody */
	void *ctx;
	/* Add what the daemon knows besides: peers, transport. May be NULL. */
	void (*status)(void *ctx, json_t *status);
	/* What a connected node calls itself, or NULL. May be NULL itself. */
	const char *(*node_name)(void *ctx, uint64_t node);
	/* POST /v1/stop. May be NULL. */
	void (*stop)(void *ctx);
};

extern const struct hs_httpd_route hs_api_routes[];
extern const size_t hs_api_nr_routes;

/* A request's query, as long as nothing in it was refused. */
struct hs_api_question {
	const struct hs_httpd_request *request;
	struct hs_httpd_response *response;
	bool failed;
};
/* Digits, or with @unit a duration. Return: @absent where there is none. */
int64_t hs_api_ask_number(struct hs_api_question *q, const char *name,
			  bool unit, int64_t absent);

/* From api_operations.c. */
void hs_api_operations(void *ctx, const struct hs_httpd_request *request,
		       struct hs_httpd_response *response);

/* From api_trace.c. */
void hs_api_trace(void *ctx, const struct hs_httpd_request *request,
		  struct hs_httpd_response *response);

/* Give the objects of a list that have a "node" its "name", where known. */
void hs_api_names(const struct hs_api *api, json_t *list);

/* A JSON string of anything: what is no UTF-8 is replaced. */
json_t *hs_api_string(const char *text);

#endif

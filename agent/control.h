/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the control door answers, in the worker's thread.
 *
 *   GET  /v1/status   everything that is known, as JSON
 *   GET  /v1/seen     which traces are known here (agent/seen.h): beside the
 *                     worker's thread, where liburcu is
 *   GET  /v1/check    {"good", "why"}: all that is counted, counted again
 *   GET  /v1/config   the settings in effect, without secrets
 *   GET  /metrics     the same counters, in the OpenMetrics text format
 *   POST /v1/trigger  {"trigger", "trace_id", "lateral": []}: those traces; or
 *                     {"trigger", "last_ns", "service", "limit"}: what was seen
 *                     here of late; answers {"fired", "trace_ids", "seen",
 *                     "left_out", "dry_run"}
 *   POST /v1/hook     what alerting systems send; see hook.h
 *   POST /v1/reload   {"text": YAML, or absent for the file; "check": bool};
 *		       answers {"taken", "changed"} or {"error", "line",
 *		       "column", "needs_restart"}
 *   POST /v1/stop     {"purge": bool}
 */
#ifndef HS_AGENT_CONTROL_H
#define HS_AGENT_CONTROL_H

#include "agent/worker.h"
#include "base/httpd.h"

/** hs_control_body() - the JSON object in it; NULL: refused in @response */
json_t *hs_control_body(const struct hs_httpd_request *request,
			struct hs_httpd_response *response);
/** hs_control_hook() - POST /v1/hook */
void hs_control_hook(struct hs_worker *w,
		     const struct hs_httpd_request *request,
		     struct hs_httpd_response *response);
/** hs_control_fire() - POST /v1/trigger */
void hs_control_fire(struct hs_worker *w,
		     const struct hs_httpd_request *request,
		     struct hs_httpd_response *response);

/** hs_control_serve() - answer one request */
void hs_control_serve(struct hs_worker *w,
		      const struct hs_httpd_request *request,
		      struct hs_httpd_response *response);

struct hs_control_number {
	const char *name;
	uint64_t value;
};

#define HS_CONTROL_NUMBERS_MAX 128u

/** hs_control_stats() - all counters of core and shell, by name */
uint32_t hs_control_stats(const struct hs_worker *w,
			  struct hs_control_number out[HS_CONTROL_NUMBERS_MAX]);
/** hs_control_metrics() - the text. Own: the caller frees; NULL: no memory */
char *hs_control_metrics(const struct hs_worker *w, size_t *size_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what POST /v1/hook is asked for, read from what alerting systems
 * and people send: symptoms that were seen outside of a request.
 *
 *   {"trigger", "trace_id", "trace_ids": [], "last": "2s", "service", "limit"}
 *   trigger=slow&trace_id=4bf9...&trace_id=...     or last=2s&service=cart
 *   {"alerts": [...]}	as Prometheus' Alertmanager sends (version 4): of each
 *			alert that fires, the label or annotation trace_id (or
 *			trace_ids, with commas or blanks), or else hs_last,
 *			hs_service, hs_limit; hs_trigger or else alertname
 *			is the trigger's name
 *
 * What neither says comes from the defaults, which are the query's. Names are
 * made to fit: other characters become '_', long ones are cut.
 *
 * Guarantees: pure but for the JSON parser's memory; bounded: what is over a
 * limit is left out and counted; a refusal says what would be right.
 */
#ifndef HS_AGENT_HOOK_H
#define HS_AGENT_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "hs/wire_format.h"

#define HS_HOOK_ASKS_MAX      64u
#define HS_HOOK_IDS_MAX	      256u /* of all asks together */
#define HS_HOOK_SERVICE_BYTES 128u
#define HS_HOOK_LIMIT	      100u /* where nobody says */

/* One trigger: by ids, or where there are none by time. */
struct hs_hook_ask {
	char name[HS_WIRE_NAME_BYTES];
	uint32_t first_id, nr_ids;
	uint64_t last_ns; /* 0: none */
	uint32_t limit;	  /* 0: none */
	char service[HS_HOOK_SERVICE_BYTES];
};

struct hs_hook {
	uint32_t nr_asks;
	struct hs_hook_ask asks[HS_HOOK_ASKS_MAX];
	uint32_t nr_ids;
	struct hs_wire_trace_id ids[HS_HOOK_IDS_MAX];
	uint32_t left_out; /* asks and ids over a limit */
	uint32_t resolved; /* alerts that do not fire any more */
	uint32_t empty;	   /* alerts that name neither traces nor a time */
	char why[160];	   /* after a refusal */
};

/* As the query gave them; NULL: not given. */
struct hs_hook_defaults {
	const char *trigger, *last, *service, *limit;
};

/** hs_hook_id() - up to 32 hexadecimal digits, not all zero */
bool hs_hook_id(const char *text, size_t len, struct hs_wire_trace_id *out);

/**
 * hs_hook_parse() - read a request
 * @body: text of any form above
 *
 * Return: 0; -EINVAL with out->why.
 */
int hs_hook_parse(const struct hs_hook_defaults *defaults, const char *body,
		  size_t body_bytes, struct hs_hook *out);

#endif

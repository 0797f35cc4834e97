/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see check.h. */
#include "agent/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/httpc.h"
#include "base/units.h"

#define PATIENCE_NS 10000000000ull

/* Return: the answer, the caller's; NULL: nobody answered, said. */
static json_t *ask(const struct hs_agent_settings *s, const char *method,
		   const char *path, const char *body, int *status)
{
	const struct hs_httpc_target target = {
		.socket_path = s->door.socket,
		.timeout_ns = PATIENCE_NS,
	};
	struct hs_httpc_response response;
	json_t *json = NULL;
	int rc = hs_httpc_request(&target, method, path, body, &response);

	*status = rc ? 0 : response.status;
	if (rc)
		printf("no agent runs here (%s): a start would take it\n",
		       response.error);
	else
		json = json_loadb(response.body, response.body_bytes, 0, NULL);
	hs_httpc_response_free(&response);
	return json;
}

static const char *text_of(const json_t *answer, const char *key)
{
	const char *text = json_string_value(json_object_get(answer, key));

	return text ? text : "";
}

static void print_dry_runs(const json_t *status)
{
	const json_t *triggers = json_object_get(status, "triggers");
	char size[HS_UNITS_TEXT_MAX];

	for (size_t i = 0; i < json_array_size(triggers); i++) {
		const json_t *t = json_array_get(triggers, i);

		if (!json_is_true(json_object_get(t, "dry_run")))
			continue;
		hs_units_size_exact(size,
				    (uint64_t)json_integer_value(
					    json_object_get(t, "dry_bytes")));
		printf("dry run of \"%s\": fired %lld times; would have "
		       "collected %lld traces, of which %s are or were here\n",
		       text_of(t, "name"),
		       json_integer_value(json_object_get(t, "dry_fired")),
		       json_integer_value(json_object_get(t, "dry_traces")),
		       size);
	}
}

int hs_agent_check(const struct hs_agent_settings *s, const char *text,
		   size_t text_bytes)
{
	json_t *request =
		json_pack("{s:s%, s:b}", "text", text, text_bytes, "check", 1);
	char *body = json_dumps(request, JSON_COMPACT);
	json_t *answer;
	int status;

	json_decref(request);
	answer = body ? ask(s, "POST", "/v1/reload", body, &status) : NULL;
	free(body);
	if (!answer)
		return 0;
	if (status == 200)
		printf("the running agent would change: %s\n",
		       text_of(answer, "changed")[0]
			       ? text_of(answer, "changed")
			       : "nothing");
	else
		printf("the running agent would refuse: %s\n",
		       text_of(answer, "error"));
	json_decref(answer);
	if (status != 200)
		return 2;
	answer = ask(s, "GET", "/v1/status", NULL, &status);
	print_dry_runs(answer);
	json_decref(answer);
	return 0;
}

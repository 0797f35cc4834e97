/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a daemon's door. See store.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store.h"

static int parse_address(struct hs_tools_door *door,
			 struct hs_httpc_target *target, char *host,
			 size_t host_bytes)
{
	const char *colon = strrchr(door->address, ':');
	char *end;
	unsigned long port;

	if (strchr(door->address, '/')) {
		target->socket_path = door->address;
		return 0;
	}
	port = colon ? strtoul(colon + 1, &end, 10) : 0;
	if (!colon || colon == door->address || *end || !port || port > 65535 ||
	    (size_t)(colon - door->address) >= host_bytes) {
		snprintf(door->error, sizeof(door->error),
			 "'%s': an address is a socket's path, as in "
			 "./collector.sock, or host:port",
			 door->address);
		return -EINVAL;
	}
	memcpy(host, door->address, (size_t)(colon - door->address));
	host[colon - door->address] = 0;
	target->host = host;
	target->port = (uint16_t)port;
	return 0;
}

/* What the daemon says about it, or else the bare status. */
static void explain(struct hs_tools_door *door,
		    const struct hs_httpc_response *response)
{
	json_t *json =
		json_loadb(response->body, response->body_bytes, 0, NULL);
	const char *text = json_string_value(json_object_get(json, "error"));

	if (text)
		snprintf(door->error, sizeof(door->error), "%s", text);
	else
		snprintf(door->error, sizeof(door->error),
			 "%s answered with HTTP status %d", door->address,
			 response->status);
	json_decref(json);
}

int hs_tools_ask(struct hs_tools_door *door, const char *method,
		 const char *path, const char *request, char **body,
		 size_t *body_bytes)
{
	struct hs_httpc_target target = {.token = door->token,
					 .timeout_ns = door->timeout_ns};
	struct hs_httpc_response response;
	char host[256];
	int err = parse_address(door, &target, host, sizeof(host));

	if (err)
		return err;
	err = hs_httpc_request(&target, method, path, request, &response);
	if (err) {
		snprintf(door->error, sizeof(door->error), "%s: %s",
			 door->address, response.error);
	} else if (response.status / 100 != 2) {
		explain(door, &response);
		err = response.status == 404  ? -ENOENT
		      : response.status < 500 ? -EINVAL
					      : -EIO;
	} else {
		*body = response.body;
		*body_bytes = response.body_bytes;
		response.body = NULL;
	}
	hs_httpc_response_free(&response);
	return err;
}

int hs_tools_ask_json(struct hs_tools_door *door, const char *method,
		      const char *path, const char *request, json_t **out)
{
	json_error_t why;
	char *body;
	size_t body_bytes;
	int err = hs_tools_ask(door, method, path, request, &body, &body_bytes);

	if (err)
		return err;
	*out = json_loadb(body, body_bytes, 0, &why);
	free(body);
	if (!json_is_object(*out)) {
		snprintf(door->error, sizeof(door->error),
			 "%s: the answer is no JSON object: %s", door->address,
			 *out ? "another value" : why.text);
		json_decref(*out);
		*out = NULL;
		return -EIO;
	}
	return 0;
}

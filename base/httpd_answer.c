/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: what handlers read of a request and answer with; see httpd.h. */
#include "base/httpd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

const char *hs_httpd_query(const struct hs_httpd_request *request,
			   const char *name)
{
	return MHD_lookup_connection_value(request->connection,
					   MHD_GET_ARGUMENT_KIND, name);
}

void hs_httpd_json(struct hs_httpd_response *response, int status, json_t *json)
{
	free(response->body);
	response->status = status;
	response->content_type = HS_HTTPD_JSON;
	response->body = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	response->body_bytes = response->body ? strlen(response->body) : 0;
	if (response->body == NULL)
		response->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	json_decref(json);
}

void hs_httpd_error(struct hs_httpd_response *response, int status,
		    const char *fmt, ...)
{
	char text[1024];
	json_t *value;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	value = json_string(text);
	/* Text from outside that is not UTF-8, or was cut in a character */
	if (value == NULL)
		value = json_string("bad request");
	hs_httpd_json(response, status, json_pack("{s:o}", "error", value));
}

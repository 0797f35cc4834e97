/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: HTTP requests over libcurl; see httpc.h.
 */
#include "base/httpc.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define TIMEOUT_NS (30 * HS_NS_PER_SEC)

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct sink {
	struct hs_httpc_response *response;
	size_t size_bytes;
	size_t max_bytes;
	int rc;
};

static size_t on_data(char *data, size_t one, size_t n, void *arg)
{
	struct sink *s = arg;
	struct hs_httpc_response *r = s->response;

	if (n > s->max_bytes - r->body_bytes) {
		s->rc = -EMSGSIZE;
		return 0;
	}
	if (s->size_bytes - r->body_bytes < n + 1) {
		size_t size_bytes = 2 * (r->body_bytes + n + 1);
		char *grown = realloc(r->body, size_bytes);

		if (grown == NULL) {
			s->rc = -ENOMEM;
			return 0;
		}
		r->body = grown;
		s->size_bytes = size_bytes;
	}
	memcpy(r->body + r->body_bytes, data, n);
	r->body_bytes += n;
	r->body[r->body_bytes] = '\0';
	return n;
}

static int errno_of(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

static int url_of(const struct hs_httpc_target *t, const char *path, char *url,
		  size_t url_bytes)
{
	int n;

	if (t->socket_path != NULL)
		n = snprintf(url, url_bytes, "http://localhost%s", path);
	else
		n = snprintf(url, url_bytes, "http://%s:%u%s", t->host, t->port,
			     path);
	return n < 0 || (size_t)n >= url_bytes ? -ENAMETOOLONG : 0;
}

static struct curl_slist *headers_of(const struct hs_httpc_target *t,
				     const char *body)
{
	/* An empty Expect keeps curl from waiting for "100 Continue" */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	char line[512];

	if (body != NULL)
		list = curl_slist_append(list,
					 "Content-Type: application/json");
	if (t->token != NULL) {
		snprintf(line, sizeof(line), "Authorization: Bearer %s",
			 t->token);
		list = curl_slist_append(list, line);
	}
	return list;
}

static int perform(CURL *curl, struct sink *sink)
{
	struct hs_httpc_response *r = sink->response;
	CURLcode code = curl_easy_perform(curl);
	long status = 0;

	if (sink->rc == -EMSGSIZE)
		snprintf(r->error, sizeof(r->error),
			 "the answer is over %zu bytes", sink->max_bytes);
	else if (code != CURLE_OK && r->error[0] == '\0')
		snprintf(r->error, sizeof(r->error), "%s",
			 curl_easy_strerror(code));
	if (sink->rc != 0)
		return sink->rc;
	if (code != CURLE_OK)
		return errno_of(code);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	r->status = (int)status;
	if (r->body == NULL)
		r->body = strdup("");
	return r->body != NULL ? 0 : -ENOMEM;
}

int hs_httpc_request(const struct hs_httpc_target *t, const char *method,
		     const char *path, const char *body,
		     struct hs_httpc_response *response)
{
	uint64_t timeout_ns = t->timeout_ns ? t->timeout_ns : TIMEOUT_NS;
	struct sink sink = {
		.response = response,
		.max_bytes = t->body_max_bytes ? t->body_max_bytes
					       : HS_HTTPC_BODY_MAX_BYTES,
	};
	struct curl_slist *headers;
	char curl_error[CURL_ERROR_SIZE] = "";
	char url[4096];
	CURL *curl;
	int rc;

	memset(response, 0, sizeof(*response));
	pthread_once(&once, init);
	rc = url_of(t, path, url, sizeof(url));
	if (rc != 0)
		return rc;
	curl = curl_easy_init();
	if (curl == NULL)
		return -ENOMEM;
	headers = headers_of(t, body);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, t->socket_path);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, curl_error);
	curl_easy_setopt(
		curl, CURLOPT_TIMEOUT_MS,
		(long)((timeout_ns + HS_NS_PER_MS - 1) / HS_NS_PER_MS));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
	if (body != NULL) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)strlen(body));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	rc = perform(curl, &sink);
	if (rc != 0 && rc != -EMSGSIZE && curl_error[0] != '\0')
		snprintf(response->error, sizeof(response->error), "%s",
			 curl_error);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

void hs_httpc_response_free(struct hs_httpc_response *response)
{
	free(response->body);
	response->body = NULL;
	response->body_bytes = 0;
}

char *hs_httpc_escape(const char *text)
{
	char *escaped;
	char *copy;

	pthread_once(&once, init);
	escaped = curl_easy_escape(NULL, text, 0);
	if (escaped == NULL)
		return NULL;
	copy = strdup(escaped);
	curl_free(escaped);
	return copy;
}

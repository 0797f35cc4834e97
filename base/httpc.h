/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: ask a daemon: one HTTP request over its Unix socket, or over TCP
 * with a token. Over libcurl.
 *
 * Guarantees: bounded in time and in the size of the answer; no redirects, no
 * proxy, no other protocol than HTTP.
 */
#ifndef HS_HTTPC_H
#define HS_HTTPC_H

#include <stddef.h>
#include <stdint.h>

#define HS_HTTPC_BODY_MAX_BYTES ((size_t)256 << 20)

struct hs_httpc_target {
	const char *socket_path; /* or NULL, and then: */
	const char *host;	 /* "127.0.0.1" */
	uint16_t port;
	const char *token;     /* sent as a bearer token; or NULL */
	uint64_t timeout_ns;   /* for the whole request; 0: 30 s */
	size_t body_max_bytes; /* of the answer; 0: HS_HTTPC_BODY_MAX_BYTES */
};

struct hs_httpc_response {
	int status;
	char *body; /* NUL behind it; never NULL on success */
	size_t body_bytes;
	char error[256]; /* a sentence when there was no answer */
};

/**
 * hs_httpc_request() - ask once
 * @target: whom
 * @method: "GET", "POST", "DELETE"
 * @path: "/v1/traces?limit=5", encoded
 * @body: JSON to send, or NULL
 * @response: the answer of any status, or the error
 *
 * Context: any thread; waits up to the timeout.
 * Own: @response must go to hs_httpc_response_free(), after errors too.
 * Return: 0 when there was an answer; -ECONNREFUSED nobody is there;
 * -ETIMEDOUT; -EMSGSIZE too long an answer; -ENOMEM; -EIO anything else.
 */
int hs_httpc_request(const struct hs_httpc_target *target, const char *method,
		     const char *path, const char *body,
		     struct hs_httpc_response *response);

void hs_httpc_response_free(struct hs_httpc_response *response);

/* @text as it may stand in a path or query; malloc'ed, or NULL. */
char *hs_httpc_escape(const char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the HTTP + JSON door of every daemon, on its own Unix socket and,
 * where asked for, on 127.0.0.1 with a bearer token. Over libmicrohttpd.
 *
 * Guarantees: one thread of its own serves all listeners; handlers run there
 * one after another, never two at once. They share nothing with the daemon's
 * other threads unless they lock it, and must not wait long: everybody else
 * who asks waits with them. Limits: request bodies, headers, connections, and
 * the time a request may take to arrive as a whole (a client that trickles
 * bytes is cut off). Every error is {"error": "..."}; a body over four times
 * its limit may be hung up on before its sender has read that.
 */
#ifndef HS_HTTPD_H
#define HS_HTTPD_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define HS_HTTPD_BODY_MAX_BYTES	 ((size_t)1 << 20)
#define HS_HTTPD_NR_CONNECTIONS	 64
#define HS_HTTPD_REQUEST_TIME_NS 10000000000ULL

struct hs_httpd;

struct hs_httpd_request {
	const char *method;
	const char *path;  /* decoded, without the query */
	const char *param; /* what stood at the route's {param}, or NULL */
	const char *body;  /* NUL behind it; never NULL */
	size_t body_bytes;
	void *connection; /* for hs_httpd_query() */
};

struct hs_httpd_response {
	int status;		  /* 200 at first */
	const char *content_type; /* static text; JSON at first */
	char *body;		  /* malloc'ed; becomes the server's; or NULL */
	size_t body_bytes;
};

typedef void (*hs_httpd_handler)(void *ctx,
				 const struct hs_httpd_request *request,
				 struct hs_httpd_response *response);

struct hs_httpd_route {
	const char *method; /* "GET", "POST", "DELETE" */
	/* "/v1/traces/{id}": one {name} at most, for one whole segment */
	const char *pattern;
	hs_httpd_handler handler;
};

struct hs_httpd_options {
	const char *socket_path; /* NULL: none */
	uint16_t tcp_port;	 /* on 127.0.0.1 */
	const char *tcp_token;	 /* NULL: no TCP; else at least 16 bytes */
	const struct hs_httpd_route *routes; /* stay the caller's */
	size_t nr_routes;
	void *ctx; /* for the handlers */
	/* 0: HS_HTTPD_REQUEST_TIME_NS */
	uint64_t request_time_ns;
};

/**
 * hs_httpd_start() - listen and serve
 * @httpd: the server, on success
 * @options: where and what; strings are copied, routes are not
 *
 * A stale socket is taken over, one that is served is not. With tcp_port 0
 * and a token the kernel chooses a port: hs_httpd_tcp_port().
 *
 * Own: hs_httpd_stop() ends it.
 * Return: 0, or -errno: -EADDRINUSE somebody serves there, -EINVAL a token
 * that is too short or no listener at all, and those of hs_unix_listen().
 */
int hs_httpd_start(struct hs_httpd **httpd,
		   const struct hs_httpd_options *options);

/* End the thread, cut all connections, unlink the socket; NULL is fine. */
void hs_httpd_stop(struct hs_httpd *httpd);

/* The TCP port that is listened on, 0 when there is none. */
uint16_t hs_httpd_tcp_port(const struct hs_httpd *httpd);

/* A query parameter, decoded, or NULL. Lives as long as the request. */
const char *hs_httpd_query(const struct hs_httpd_request *request,
			   const char *name);

/* Answer with {"error": text}. */
void hs_httpd_error(struct hs_httpd_response *response, int status,
		    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Answer with a JSON value, whose reference this takes. */
void hs_httpd_json(struct hs_httpd_response *response, int status,
		   json_t *json);

#endif

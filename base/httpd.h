/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the HTTP + JSON door of every daemon, on its own Unix socket and,
 * where there are tokens, on TCP. Over libmicrohttpd.
 *
 * Guarantees: one thread of its own serves all listeners; handlers run there
 * one after another, never two at once. They share nothing with the daemon's
 * other threads unless they lock it, and must not wait long: everybody else
 * who asks waits with them. Limits: request bodies, headers, connections, and
 * the time a request may take to arrive as a whole (a client that trickles
 * bytes is cut off). Every error is {"error": "..."}; a body over four times
 * its limit may be hung up on before its sender has read that. Nobody gets to
 * a handler without the role that its route asks for, and whoever has none at
 * all is refused before its body is read.
 */
#ifndef HS_HTTPD_H
#define HS_HTTPD_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/roles.h"

#define HS_HTTPD_BODY_MAX_BYTES	 ((size_t)1 << 20)
#define HS_HTTPD_NR_CONNECTIONS	 64
#define HS_HTTPD_REQUEST_TIME_NS 10000000000ULL
#define HS_HTTPD_JSON		 "application/json"

struct hs_httpd;

struct hs_httpd_request {
	const char *method;
	const char *path;  /* decoded, without the query */
	const char *param; /* what stood at the route's {param}, or NULL */
	const char *body;  /* NUL behind it; never NULL */
	size_t body_bytes;
	uint32_t may;	  /* enum hs_role: what this peer may do */
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
	enum hs_role role; /* that a peer needs */
};

struct hs_httpd_options {
	const char *socket_path; /* NULL: none */
	const char *tcp_address; /* IPv4; NULL: 127.0.0.1 */
	uint16_t tcp_port;
	const struct hs_roles *roles; /* copied; TCP only if some token */
	const struct hs_httpd_route *routes; /* stay the caller's */
	size_t nr_routes;
	void *ctx; /* for the handlers */
	/* 0: HS_HTTPD_REQUEST_TIME_NS */
	uint64_t request_time_ns;
};

/**
 * hs_httpd_start() - listen and serve
 * @httpd: the server, on success; there before the first request is served
 * @options: where and what; strings are copied, routes are not
 *
 * A stale socket is taken over, one that is served is not. With tcp_port 0
 * and a token the kernel chooses a port: hs_httpd_tcp_port(). The socket is
 * open to its owner alone unless the roles name others.
 *
 * Own: hs_httpd_stop() ends it.
 * Return: 0, or -errno: -EADDRINUSE somebody serves there, -EINVAL no
 * listener at all, or an address that is none; those of hs_unix_listen().
 */
int hs_httpd_start(struct hs_httpd **httpd,
		   const struct hs_httpd_options *options);

/* End the thread, cut all connections, unlink the socket; NULL is fine. */
void hs_httpd_stop(struct hs_httpd *httpd);

/* The TCP port that is listened on, 0 when there is none. */
uint16_t hs_httpd_tcp_port(const struct hs_httpd *httpd);

/** hs_httpd_roles_set() - from the next request on; Context: any thread */
void hs_httpd_roles_set(struct hs_httpd *httpd, const struct hs_roles *roles);

struct hs_httpd_stats {
	uint64_t requests;
	uint64_t refused_unknown; /* 401: who is that? */
	uint64_t refused_role;	  /* 403: may not do this */
};
/** hs_httpd_stats_get() - Context: any thread */
void hs_httpd_stats_get(struct hs_httpd *httpd, struct hs_httpd_stats *out);

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

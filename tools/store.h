/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a daemon's HTTP + JSON door, and what a collector answers.
 *
 * An address is a Unix socket's path (it has a '/'), or host:port, which wants
 * a token. All answers are outside input.
 *
 * Context: any thread; waits up to the time given.
 */
#ifndef HS_TOOLS_STORE_H
#define HS_TOOLS_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/httpc.h"

struct hs_tools_door {
	const char *address;
	const char *token;   /* NULL: none */
	uint64_t timeout_ns; /* 0: 30 s */
	char error[512];     /* a sentence after a failure */
};

/**
 * hs_tools_ask() - one request, any body
 *
 * Own:    *@body is the caller's to free, with a NUL behind it.
 * Return: 0; -ENOENT the daemon answered 404; -EINVAL another error of the
 *	   request; -EIO of the daemon (5xx) or a broken answer; otherwise as
 *	   hs_httpc_request(): -ECONNREFUSED nobody is there.
 */
int hs_tools_ask(struct hs_tools_door *door, const char *method,
		 const char *path, const char *request, char **body,
		 size_t *body_bytes);

/* The same with a JSON object as the answer. Own: json_decref(). */
int hs_tools_ask_json(struct hs_tools_door *door, const char *method,
		      const char *path, const char *request, json_t **out);

#endif

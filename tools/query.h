/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query of a request to a daemon, built piece by piece; a value may hold
 * anything.
 */
#ifndef HS_TOOLS_QUERY_H
#define HS_TOOLS_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is an empty one. Own: the caller frees text. */
struct hs_query {
	char *text; /* "?key=value&..." */
	size_t len;
	bool failed; /* no memory */
};

void hs_query_add(struct hs_query *q, const char *key, const char *value);
void hs_query_add_u64(struct hs_query *q, const char *key, uint64_t value);

/**
 * hs_query_when() - "10m" ago, or seconds since the epoch, or
 *	2026-01-02T03:04:05
 * @option: "hs traces list: --since", for the refusal on stderr
 *
 * Return: 0 or -EINVAL.
 */
int hs_query_when(const char *option, const char *text, uint64_t *out_ns);

#endif

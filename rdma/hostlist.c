/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostlist.c - see hostlist.h
 */
#include "rdma/hostlist.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DIGITS_MAX   9u
#define BRACKETS_MAX 4u /* of one word: recursion is bounded by it */

struct expansion {
	hs_hostlist_fn fn;
	void *ctx;
	char *error;
	uint32_t left;
};

static int refuse(struct expansion *x, const char *what)
{
	snprintf(x->error, HS_HOSTLIST_ERROR_BYTES, "%s", what);
	return -EINVAL;
}

/* Digits at *@at; Return: how many, 0: none or too many. */
static uint32_t number(const char **at, const char *end, uint32_t *out)
{
	uint32_t nr = 0;

	*out = 0;
	while (*at < end && **at >= '0' && **at <= '9' && nr <= DIGITS_MAX) {
		*out = *out * 10 + (uint32_t)(*(*at)++ - '0');
		nr++;
	}
	return nr > DIGITS_MAX ? 0 : nr;
}

static int word(struct expansion *x, char *out, size_t used, const char *at,
		const char *end, uint32_t brackets);

/* One item of a bracket, "7" or "01-16", and after each what follows. */
static int range(struct expansion *x, char *out, size_t used, const char *at,
		 const char *item_end, const char *rest, const char *end,
		 uint32_t brackets)
{
	uint32_t from, to, width = number(&at, item_end, &from);

	to = from;
	if (width && at < item_end && *at == '-') {
		at++;
		if (!number(&at, item_end, &to))
			width = 0;
	}
	if (!width || at != item_end || to < from)
		return refuse(x, "a range should be two numbers of up to 9 "
				 "digits, the smaller one first: [01-16]");
	for (uint32_t n = from; n <= to; n++) {
		int len = snprintf(out + used, HS_HOSTLIST_WORD_BYTES - used,
				   "%0*u", (int)width, n);
		int rc;

		if (len < 0 || (size_t)len >= HS_HOSTLIST_WORD_BYTES - used)
			return refuse(x, "a host's name is too long");
		rc = word(x, out, used + (size_t)len, rest, end, brackets);
		if (rc)
			return rc;
	}
	return 0;
}

static int bracket(struct expansion *x, char *out, size_t used, const char *at,
		   const char *end, uint32_t brackets)
{
	const char *close = memchr(at, ']', (size_t)(end - at));

	if (!close)
		return refuse(x, "a '[' wants its ']'");
	if (brackets == BRACKETS_MAX)
		return refuse(x, "at most four brackets in a word");
	while (at <= close) {
		const char *comma = memchr(at, ',', (size_t)(close - at));
		const char *item_end = comma ? comma : close;
		int rc = range(x, out, used, at, item_end, close + 1, end,
			       brackets + 1);

		if (rc)
			return rc;
		at = item_end + 1;
	}
	return 0;
}

static int word(struct expansion *x, char *out, size_t used, const char *at,
		const char *end, uint32_t brackets)
{
	for (; at < end && *at != '['; at++) {
		/* [::1]:7410 is one address, and no range. */
		if (*at == ']')
			return refuse(x, "a ']' without its '['");
		if (*at <= ' ' || *at > '~')
			return refuse(x, "a host's name should be printable "
					 "and without blanks");
		if (used + 1 >= HS_HOSTLIST_WORD_BYTES)
			return refuse(x, "a host's name is too long");
		out[used++] = *at;
	}
	if (at < end)
		return bracket(x, out, used, at + 1, end, brackets);
	out[used] = 0;
	if (!used)
		return refuse(x, "there is an empty name");
	if (!x->left--) {
		snprintf(x->error, HS_HOSTLIST_ERROR_BYTES,
			 "there are too many hosts");
		return -ENOSPC;
	}
	return x->fn(x->ctx, out);
}

/* An address in brackets goes as it is. */
static int literal(struct expansion *x, const char *at, const char *end)
{
	char out[HS_HOSTLIST_WORD_BYTES];

	if ((size_t)(end - at) >= sizeof(out))
		return refuse(x, "an address is too long");
	if (!x->left--)
		return -ENOSPC;
	memcpy(out, at, (size_t)(end - at));
	out[end - at] = 0;
	return x->fn(x->ctx, out);
}

static const char *word_end(const char *at)
{
	uint32_t depth = 0;

	for (; *at && (*at != ',' || depth); at++) {
		if (*at == '[')
			depth++;
		else if (*at == ']' && depth)
			depth--;
	}
	return at;
}

static int is_literal(const char *at, const char *end)
{
	const char *close = memchr(at, ']', (size_t)(end - at));

	return *at == '[' && close &&
	       memchr(at, ':', (size_t)(close - at)) != NULL;
}

int hs_hostlist_expand(const char *text, uint32_t max, hs_hostlist_fn fn,
		       void *ctx, char *error)
{
	struct expansion x = {fn, ctx, error, max};
	char out[HS_HOSTLIST_WORD_BYTES];

	*error = 0;
	for (;;) {
		const char *end = word_end(text);
		int rc = is_literal(text, end) ? literal(&x, text, end)
					       : word(&x, out, 0, text, end, 0);

		if (rc)
			return rc;
		if (!*end)
			return 0;
		text = end + 1;
	}
}

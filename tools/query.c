/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see query.h. */
#include "tools/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/httpc.h"
#include "base/units.h"

void hs_query_add(struct hs_query *q, const char *key, const char *value)
{
	char *escaped = hs_httpc_escape(value), *bigger;
	size_t more;

	if (!escaped) {
		q->failed = true;
		return;
	}
	more = strlen(key) + strlen(escaped) + 2;
	bigger = realloc(q->text, q->len + more + 1);
	if (bigger) {
		q->text = bigger;
		q->len +=
			(size_t)snprintf(q->text + q->len, more + 1, "%c%s=%s",
					 q->len ? '&' : '?', key, escaped);
	} else {
		q->failed = true;
	}
	free(escaped);
}

void hs_query_add_u64(struct hs_query *q, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	hs_query_add(q, key, text);
}

int hs_query_when(const char *option, const char *text, uint64_t *out_ns)
{
	struct tm tm = {0};
	uint64_t ago_ns;
	const char *end;
	char *number_end;
	unsigned long long seconds;

	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end && (!*end || !strcmp(end, "Z"))) {
		*out_ns = (uint64_t)timegm(&tm) * HS_NS_PER_SEC;
		return 0;
	}
	seconds = strtoull(text, &number_end, 10);
	if (*text >= '0' && *text <= '9' && !*number_end &&
	    seconds < UINT64_MAX / HS_NS_PER_SEC) {
		*out_ns = seconds * HS_NS_PER_SEC;
		return 0;
	}
	if (!hs_units_duration_parse(text, &ago_ns)) {
		*out_ns = hs_clock_real_ns() - ago_ns;
		return 0;
	}
	fprintf(stderr,
		"%s '%s': wants how long ago, as in 10m, or a "
		"time, as in 2026-01-02T03:04:05Z\n",
		option, text);
	return -EINVAL;
}

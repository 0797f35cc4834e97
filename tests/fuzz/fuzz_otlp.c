/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_otlp.c - any bytes as an OTLP request at hs-perf's tail sampling
 * collector: nothing outside is read, and what comes out has its ids
 */
#include <stdlib.h>
#include <string.h>

#include "bench/services/otlp.h"
#include "tests/fuzz/fuzz.h"

/* resource_spans { scope_spans { span { trace_id, span_id, edge, status } } }
 */
static const uint8_t seed_span[] = {
	0x0a, 0x34, 0x12, 0x32, 0x12, 0x30, 0x0a, 0x10, 0,    0,    0,	  0,
	0,    0,    0,	  1,	0,    0,    0,	  0,	0,    0,    0,	  2,
	0x12, 0x08, 0,	  0,	0,    0,    0,	  0,	0,    3,    0x30, 2,
	0x4a, 0x0c, 0x0a, 0x04, 'e',  'd',  'g',  'e',	0x12, 0x04, 0x0a, 0x02,
	'i',  's',  0x7a, 0x02, 0x18, 0x02, 0x0a, 0x00,
};

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_span, sizeof(seed_span)},
	{NULL, 0},
};

static void take(void *ctx, const struct hs_svc_span *span)
{
	uint32_t *nr = ctx;

	if ((!span->hi && !span->lo) || !span->id)
		abort();
	++*nr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* In a piece of memory of its own, so that its end is an end. */
	uint8_t *copy = malloc(size ? size : 1);
	uint32_t nr = 0;
	int64_t rc;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	rc = hs_svc_otlp_read(copy, size, take, &nr);
	if (rc >= 0 && rc != nr)
		abort();
	free(copy);
	return 0;
}

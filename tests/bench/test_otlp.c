/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: spans as OTLP's protobuf and back, and what is cut short. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "bench/services/otlp.h"

#define SPANS 300u

struct seen {
	struct hs_svc_span spans[SPANS];
	uint32_t nr;
};

static void take(void *ctx, const struct hs_svc_span *span)
{
	struct seen *s = ctx;

	assert_true(s->nr < SPANS);
	s->spans[s->nr++] = *span;
}

static uint8_t out[HS_SVC_OTLP_HEAD_MAX + SPANS * HS_SVC_OTLP_SPAN_MAX];

static size_t some(struct hs_svc_span *spans, uint32_t nr)
{
	struct hs_random r;

	hs_random_seed(&r, nr);
	for (uint32_t i = 0; i < nr; i++)
		spans[i] = (struct hs_svc_span){
			.hi = hs_random_u64(&r),
			.lo = hs_random_u64(&r),
			.id = hs_random_u64(&r) | 1,
			.parent_id = i % 3 ? hs_random_u64(&r) | 1 : 0,
			.start_ns = hs_random_u64(&r),
			.end_ns = hs_random_u64(&r),
			.name = i % 2 ? "GET /a-name-that-is-so-long-that-it-"
					"is-cut-at-sixty-three-characters-of-it"
				      : "x",
			.kind = i % 2 ? 2 : 3,
			.edge = i % 5 == 0,
			.is_error = i % 7 == 0,
		};
	return hs_svc_otlp_write(out, "service", spans, nr);
}

static void test_there_and_back(void **state)
{
	static struct hs_svc_span spans[SPANS];

	for (uint32_t nr = 0; nr <= SPANS; nr += 50) {
		static struct seen seen;
		size_t bytes = some(spans, nr);

		memset(&seen, 0, sizeof(seen));
		assert_true(bytes <=
			    HS_SVC_OTLP_HEAD_MAX + nr * HS_SVC_OTLP_SPAN_MAX);
		assert_int_equal(hs_svc_otlp_read(out, bytes, take, &seen), nr);
		for (uint32_t i = 0; i < nr; i++) {
			struct hs_svc_span want = spans[i];

			want.name = NULL;
			assert_memory_equal(&seen.spans[i], &want,
					    sizeof(want));
		}
	}
}

/* Cut anywhere it is refused, or it is an empty request. */
static void test_cut(void **state)
{
	static struct hs_svc_span spans[SPANS];
	size_t bytes = some(spans, 3);

	for (size_t n = 1; n < bytes; n++) {
		static struct seen seen;
		uint8_t *exact = malloc(n);

		seen.nr = 0;
		assert_non_null(exact);
		memcpy(exact, out, n);
		assert_int_equal(hs_svc_otlp_read(exact, n, take, &seen),
				 -EBADMSG);
		free(exact);
	}
	assert_int_equal(hs_svc_otlp_read(out, 0, take, NULL), 0);
}

/* As OpenTelemetry's own encoder writes it, byte for byte. */
static void test_known_bytes(void **state)
{
	static const uint8_t known[] =
		{
			0x0a, 0x32, /* resource_spans */
			0x12, 0x30, /* scope_spans */
			0x12, 0x2e, /* span */
			0x0a, 0x10, /* trace_id */
			0,    0,    0,	  0,	0,    0,
			0,    1,    0,	  0,	0,    0,
			0,    0,    0,	  2,	0x12, 0x08, /* span_id */
			0,    0,    0,	  0,	0,    0,
			0,    3,    0x4a, 0x0c, /* attribute edge = "yes" */
			0x0a, 0x04, 'e',  'd',	'g',  'e',
			0x12, 0x04, 0x0a, 0x02, 'i',  's',
			0x7a, 0x02, 0x18, 0x02, /* status: error */
		};
	static struct seen seen;

	assert_int_equal(hs_svc_otlp_read(known, sizeof(known), take, &seen),
			 1);
	assert_true(seen.spans[0].hi == 1 && seen.spans[0].lo == 2 &&
		    seen.spans[0].id == 3 && !seen.spans[0].parent_id);
	assert_true(seen.spans[0].edge && seen.spans[0].is_error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_known_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

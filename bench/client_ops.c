/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see client_ops.h. */
#include "bench/client_ops.h"

#include <string.h>

#include "bench/bench.h"
#include "hs/hindsight.h"

#define SMALL_BYTES 32u

void hs_client_points(void *context, uint32_t n)
{
	const struct hs_client_data *d = context;

	for (uint32_t i = 0; i < n; i += HS_CLIENT_POINTS_OF_TRACE) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		for (uint32_t k = 0; k < HS_CLIENT_POINTS_OF_TRACE; k++)
			hs_tracepoint(t, d->data, SMALL_BYTES);
		hs_trace_end(t);
	}
}

void hs_client_points_sized(void *context, uint32_t n)
{
	const struct hs_client_data *d = context;

	for (uint32_t i = 0; i < n; i += HS_CLIENT_POINTS_OF_TRACE) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		for (uint32_t k = 0; k < HS_CLIENT_POINTS_OF_TRACE; k++)
			hs_tracepoint(t, d->data, d->bytes);
		hs_trace_end(t);
	}
}

void hs_client_points_nostamp(void *context, uint32_t n)
{
	const struct hs_client_data *d = context;

	for (uint32_t i = 0; i < n; i += HS_CLIENT_POINTS_OF_TRACE) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		for (uint32_t k = 0; k < HS_CLIENT_POINTS_OF_TRACE; k++)
			hs_tracepoint_plain(t, d->data, SMALL_BYTES);
		hs_trace_end(t);
	}
}

void hs_client_payload_traces(void *context, uint32_t n)
{
	const struct hs_client_data *d = context;

	for (uint32_t i = 0; i < n; i++) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		for (uint32_t k = 0; k < HS_CLIENT_PAYLOADS_OF_TRACE; k++)
			hs_tracepoint(t, d->data, d->bytes);
		hs_trace_end(t);
	}
}

void hs_client_payloads(void *context, uint32_t n)
{
	hs_client_payload_traces(context, n / HS_CLIENT_PAYLOADS_OF_TRACE);
}

void hs_client_clock_alone(void *context, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t ticks = hs_bench_ticks();

		__asm__ volatile("" : : "r"(ticks));
	}
}

void hs_client_spans(void *context, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += HS_CLIENT_SPANS_OF_TRACE) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		for (uint32_t k = 0; k < HS_CLIENT_SPANS_OF_TRACE; k++) {
			struct hs_span s;

			hs_span_start(t, &s, "GET /item", 7);
			hs_span_attr_str(&s, "http.method", "GET");
			hs_span_attr_str(&s, "http.target", "/item/12");
			hs_span_attr_i64(&s, "http.status_code", 200);
			hs_span_attr_i64(&s, "bytes", 1234 + k);
			hs_span_attr_bool(&s, "cached", true);
			hs_span_event(&s, "flushed", NULL, 0);
			hs_span_end(&s);
		}
		hs_trace_end(t);
	}
}

void hs_client_clocks(void *context, uint32_t n)
{
	struct hs_client_data *d = context;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < HS_CLIENT_CLOCKS_OF_SPAN; k++) {
			uint64_t now = hs_bench_ticks();

			memcpy(d->data + 8 * k, &now, sizeof(now));
			__asm__ volatile("" : : : "memory");
		}
}

void hs_client_begin_end(void *context, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		hs_trace_end(hs_trace_begin(NULL, NULL));
}

void hs_client_begin_end_64(void *context, uint32_t n)
{
	const struct hs_client_data *d = context;

	for (uint32_t i = 0; i < n; i++) {
		struct hs_trace *t = hs_trace_begin(NULL, NULL);

		hs_tracepoint(t, d->data, 64);
		hs_trace_end(t);
	}
}

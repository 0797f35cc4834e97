/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what an application does when it traces, as hs-perf client times it:
 * @n of each, by the calling thread, with a node attached.
 */
#ifndef HS_BENCH_CLIENT_OPS_H
#define HS_BENCH_CLIENT_OPS_H

#include <stdint.h>

#define HS_CLIENT_DATA_BYTES	    16384u
#define HS_CLIENT_POINTS_OF_TRACE   1000u
#define HS_CLIENT_PAYLOADS_OF_TRACE 64u
#define HS_CLIENT_SPANS_OF_TRACE    100u
#define HS_CLIENT_CLOCKS_OF_SPAN    3u

/* Context of each; one for each thread. */
struct hs_client_data {
	uint32_t bytes; /* of a record, where its size is asked for */
	uint8_t data[HS_CLIENT_DATA_BYTES] __attribute__((aligned(64)));
};

/* Records of 32 bytes, in traces of HS_CLIENT_POINTS_OF_TRACE. */
void hs_client_points(void *context, uint32_t n);
void hs_client_points_nostamp(void *context, uint32_t n);
/* Of as many bytes as the context says. */
void hs_client_points_sized(void *context, uint32_t n);
/* Traces of HS_CLIENT_PAYLOADS_OF_TRACE records of so many bytes. */
void hs_client_payload_traces(void *context, uint32_t n);
/* The same, of @n records. */
void hs_client_payloads(void *context, uint32_t n);
/* Spans of five attributes and an event, HS_CLIENT_SPANS_OF_TRACE a trace. */
void hs_client_spans(void *context, uint32_t n);
void hs_client_begin_end(void *context, uint32_t n);
void hs_client_begin_end_64(void *context, uint32_t n);

/* What all who stamp a record have in common, and none can do without. */
void hs_client_clock_alone(void *context, uint32_t n);
/* The clock of a span's start, of its event and of its end. */
void hs_client_clocks(void *context, uint32_t n);

#endif

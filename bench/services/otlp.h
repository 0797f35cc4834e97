/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the little of OTLP's protobuf that tail sampling needs: spans as
 * ExportTraceServiceRequest, and back. Pure.
 *
 * Guarantees: reading takes any bytes, looks at no byte outside and never goes
 * back; what is no such message is said so.
 */
#ifndef HS_BENCH_SERVICES_OTLP_H
#define HS_BENCH_SERVICES_OTLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hs_svc_span {
	uint64_t hi, lo; /* trace */
	uint64_t id, parent_id;
	uint64_t start_ns, end_ns;
	const char *name;
	uint8_t kind;  /* OTLP's: 2 server, 3 client */
	bool edge;     /* attribute edge = true */
	bool is_error; /* status */
};

/* Of a span, at most; and of what stands around all of them. */
#define HS_SVC_OTLP_SPAN_MAX 192u
#define HS_SVC_OTLP_HEAD_MAX 128u
#define HS_SVC_OTLP_NAME_MAX 63u

/**
 * hs_svc_otlp_write() - @nr spans of one service as one request
 * @out: HS_SVC_OTLP_HEAD_MAX + @nr * HS_SVC_OTLP_SPAN_MAX bytes
 *
 * Return: bytes.
 */
size_t hs_svc_otlp_write(uint8_t *out, const char *service,
			 const struct hs_svc_span *spans, size_t nr);

/* A span that was read: @span's name is NULL. */
typedef void (*hs_svc_otlp_fn)(void *ctx, const struct hs_svc_span *span);

/** hs_svc_otlp_read() - Return: spans, -EBADMSG */
int64_t hs_svc_otlp_read(const uint8_t *data, size_t bytes, hs_svc_otlp_fn fn,
			 void *ctx);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When two canonical traces are the same trace. Pure; no limits needed since
 * both sides were built under limits.
 *
 * Times count to the coarser of the two resolutions. Attributes and warnings
 * are typed multisets, references and events are ordered, resources count by
 * content and only where a span uses them, spans match by id and content, each
 * as often as it stands there.
 */
#ifndef HS_MODEL_EQUAL_H
#define HS_MODEL_EQUAL_H

#include "model/hash.h"
#include "model/trace.h"

/**
 * hs_model_trace_equal() - compare, and say precisely what differs
 * @text: receives the first difference, such as
 *        span 00000000000005ee: attribute http.status_code: int64 200 vs
 *        string "200"; may be NULL when @size is 0
 *
 * Return: 1 equal, 0 not, -ENOMEM.
 */
int hs_model_trace_equal(const struct hs_model_trace *a,
			 const struct hs_model_trace *b, char *text,
			 size_t size);

/**
 * hs_model_trace_digest() - content hash, whatever the order of spans
 * @resolution_ns: to which times are rounded down; 0 means the trace's own
 */
void hs_model_trace_digest(const struct hs_model_trace *trace,
			   uint32_t resolution_ns, struct hs_model_hash *out);
void hs_model_span_digest(const struct hs_model_trace *trace,
			  const struct hs_model_span *span,
			  uint32_t resolution_ns, struct hs_model_hash *out);

#endif

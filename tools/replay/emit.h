/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One span of the canonical model, said through the public API. Nothing of the
 * source is left out: what the API could not say would be a hole in the API.
 */
#ifndef HS_REPLAY_EMIT_H
#define HS_REPLAY_EMIT_H

#include "hs/hindsight.h"
#include "model/trace.h"

/* Attributes of one span, event, link or resource at most. */
#define HS_REPLAY_ATTRS_MAX 1024u

struct hs_trace_id
hs_replay_emit_trace_id(const uint8_t id[HS_MODEL_TRACE_ID_SIZE]);
uint64_t hs_replay_emit_span_id(const uint8_t id[HS_MODEL_SPAN_ID_SIZE]);

/* The span's beginning: references, texts, flags, half of its attributes. */
void hs_replay_emit_start(struct hs_trace *trace, struct hs_span *out,
			  const struct hs_model_span *span,
			  const struct hs_resource *resource);
void hs_replay_emit_event(struct hs_span *out,
			  const struct hs_model_event *event);
/* The other half, warnings, status and the end. */
void hs_replay_emit_end(struct hs_span *out, const struct hs_model_span *span);

/* Own: as hs_resource_create(). */
struct hs_resource *
hs_replay_emit_resource(const struct hs_model_resource *resource);

#endif

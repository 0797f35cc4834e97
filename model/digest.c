/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content hashes of spans and traces: order counts where the canonical model
 * says so (references, events) and nowhere else. Pure.
 */
#include "model/equal.h"

#include <string.h>

void hs_model_hash_bytes(struct hs_model_hash *h, const void *ptr, size_t len)
{
	const unsigned char *bytes = ptr;
	uint64_t word;

	hs_model_hash_u64(h, len);
	for (; len >= 8; len -= 8, bytes += 8) {
		memcpy(&word, bytes, 8);
		hs_model_hash_u64(h, word);
	}
	if (len) {
		word = 0;
		memcpy(&word, bytes, len);
		hs_model_hash_u64(h, word);
	}
}

static void hash_str(struct hs_model_hash *h, struct hs_model_str str)
{
	hs_model_hash_bytes(h, str.ptr, str.len);
}

/* Sums do not care for order; each summand is mixed once more first. */
static void hash_join(struct hs_model_hash *sum, const struct hs_model_hash *h)
{
	sum->a += hs_model_hash_mix(h->a);
	sum->b += hs_model_hash_mix(h->b ^ h->a);
}

static void hash_value(struct hs_model_hash *h,
		       const struct hs_model_value *value)
{
	uint64_t bits;

	hs_model_hash_u64(h, value->type);
	switch (value->type) {
	case HS_MODEL_VALUE_INT64:
		hs_model_hash_u64(h, (uint64_t)value->i64);
		break;
	case HS_MODEL_VALUE_FLOAT64:
		memcpy(&bits, &value->f64, sizeof(bits));
		/* All NaNs are one here, as in hs_model_trace_equal(). */
		if (value->f64 != value->f64)
			bits = UINT64_MAX;
		hs_model_hash_u64(h, bits);
		break;
	case HS_MODEL_VALUE_BOOL:
		hs_model_hash_u64(h, value->boolean);
		break;
	default:
		hash_str(h, value->str);
	}
}

static void hash_attrs(struct hs_model_hash *h,
		       const struct hs_model_attrs *attrs)
{
	struct hs_model_hash sum = {0}, one;
	uint32_t i;

	for (i = 0; i < attrs->nr; i++) {
		hs_model_hash_init(&one, 1);
		hash_str(&one, attrs->items[i].key);
		hash_value(&one, &attrs->items[i].value);
		hash_join(&sum, &one);
	}
	hs_model_hash_u64(h, attrs->nr);
	hs_model_hash_u64(h, sum.a);
	hs_model_hash_u64(h, sum.b);
}

static void hash_warnings(struct hs_model_hash *h,
			  const struct hs_model_span *span)
{
	struct hs_model_hash sum = {0}, one;
	uint32_t i;

	for (i = 0; i < span->nr_warnings; i++) {
		hs_model_hash_init(&one, 2);
		hash_str(&one, span->warnings[i]);
		hash_join(&sum, &one);
	}
	hs_model_hash_u64(h, span->nr_warnings);
	hs_model_hash_u64(h, sum.a);
	hs_model_hash_u64(h, sum.b);
}

static void hash_refs(struct hs_model_hash *h, const struct hs_model_span *span)
{
	uint32_t i;

	hs_model_hash_u64(h, span->nr_refs);
	for (i = 0; i < span->nr_refs; i++) {
		const struct hs_model_ref *ref = &span->refs[i];

		hs_model_hash_u64(h, ref->kind);
		hs_model_hash_bytes(h, ref->trace_id, sizeof(ref->trace_id));
		hs_model_hash_bytes(h, ref->span_id, sizeof(ref->span_id));
		hash_str(h, ref->trace_state);
		hash_attrs(h, &ref->attrs);
	}
}

static uint64_t rounded(int64_t time_ns, uint32_t resolution_ns)
{
	return (uint64_t)(time_ns / (int64_t)resolution_ns);
}

void hs_model_span_digest(const struct hs_model_trace *trace,
			  const struct hs_model_span *span,
			  uint32_t resolution_ns, struct hs_model_hash *out)
{
	const struct hs_model_resource *resource =
		hs_model_span_resource(trace, span);
	uint32_t i;

	if (!resolution_ns)
		resolution_ns = trace->resolution_ns;
	hs_model_hash_init(out, 0);
	hs_model_hash_bytes(out, span->id, sizeof(span->id));
	hs_model_hash_u64(out, span->has_parent);
	hs_model_hash_bytes(out, span->parent_id, sizeof(span->parent_id));
	hs_model_hash_u64(out, span->kind);
	hs_model_hash_u64(out, span->status);
	hs_model_hash_u64(out, span->has_flags ? span->flags + 1ull : 0);
	hs_model_hash_u64(out, rounded(span->start_ns, resolution_ns));
	hs_model_hash_u64(out, rounded(span->duration_ns, resolution_ns));
	hash_str(out, span->name);
	hash_str(out, span->status_message);
	hash_str(out, span->trace_state);
	hash_str(out, span->scope_name);
	hash_str(out, span->scope_version);
	hash_str(out, resource->service);
	hash_attrs(out, &resource->attrs);
	hash_attrs(out, &span->attrs);
	hash_refs(out, span);
	hs_model_hash_u64(out, span->nr_events);
	for (i = 0; i < span->nr_events; i++) {
		const struct hs_model_event *event = &span->events[i];

		hs_model_hash_u64(out, rounded(event->time_ns, resolution_ns));
		hash_str(out, event->name);
		hash_attrs(out, &event->attrs);
	}
	hash_warnings(out, span);
}

void hs_model_trace_digest(const struct hs_model_trace *trace,
			   uint32_t resolution_ns, struct hs_model_hash *out)
{
	struct hs_model_hash sum = {0}, one;
	uint32_t i;

	for (i = 0; i < trace->nr_spans; i++) {
		hs_model_span_digest(trace, trace->spans[i], resolution_ns,
				     &one);
		hash_join(&sum, &one);
	}
	hs_model_hash_init(out, 3);
	hs_model_hash_bytes(out, trace->id, sizeof(trace->id));
	hs_model_hash_u64(out, trace->nr_spans);
	hs_model_hash_u64(out, sum.a);
	hs_model_hash_u64(out, sum.b);
}

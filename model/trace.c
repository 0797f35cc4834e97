/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical trace's memory and builder.
 *
 * An arena of chunks that double up to a cap: traces are built once and freed
 * whole. Growing arrays leave their old copy behind in the arena, so that at
 * most half of it is dead; that is the price for needing no free().
 */
#include "model/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN_BYTES 4096
#define CHUNK_MAX_BYTES (1024 * 1024)

struct hs_model_arena_chunk {
	struct hs_model_arena_chunk *next;
	size_t size_bytes;
	size_t used_bytes;
	_Alignas(16) char bytes[];
};

struct hs_model_limits hs_model_limits_default(void)
{
	return (struct hs_model_limits){
		.max_spans = 1000000,
		.max_resources = 65536,
		.max_attrs = 4096,
		.max_events = 65536,
		.max_refs = 4096,
		.max_warnings = 1024,
		.max_name_bytes = 65536,
		.max_value_bytes = 65536,
		.max_trace_bytes = 1ull << 30,
	};
}

struct hs_model_str hs_model_str(const char *text)
{
	return (struct hs_model_str){.ptr = text,
				     .len = (uint32_t)strlen(text)};
}

bool hs_model_str_equal(struct hs_model_str a, struct hs_model_str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

int hs_model_str_compare(struct hs_model_str a, struct hs_model_str b)
{
	uint32_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

	if (order)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool hs_model_str_is(struct hs_model_str a, const char *text)
{
	return hs_model_str_equal(a, hs_model_str(text));
}

static int chunk_add(struct hs_model_trace *trace, size_t need)
{
	size_t size =
		trace->chunks ? trace->chunks->size_bytes * 2 : CHUNK_MIN_BYTES;
	struct hs_model_arena_chunk *chunk;

	if (size > CHUNK_MAX_BYTES)
		size = CHUNK_MAX_BYTES;
	if (size < need)
		size = need;
	chunk = malloc(sizeof(*chunk) + size);
	if (!chunk)
		return -ENOMEM;
	chunk->size_bytes = size;
	chunk->used_bytes = 0;
	chunk->next = trace->chunks;
	trace->chunks = chunk;
	return 0;
}

static int arena_alloc(struct hs_model_trace *trace, size_t size, void **out)
{
	struct hs_model_arena_chunk *chunk = trace->chunks;
	uint64_t limit = trace->limits.max_trace_bytes;
	int err;

	if (trace->used_bytes > limit || size > limit - trace->used_bytes)
		return -E2BIG;
	size = (size + 15) & ~(size_t)15;
	if (!chunk || size > chunk->size_bytes - chunk->used_bytes) {
		err = chunk_add(trace, size);
		if (err)
			return err;
		chunk = trace->chunks;
	}
	*out = chunk->bytes + chunk->used_bytes;
	chunk->used_bytes += size;
	trace->used_bytes += size;
	return 0;
}

/* Make room for one more item of an arena array. */
static int array_grow(struct hs_model_trace *trace, void *items, uint32_t nr,
		      uint32_t *cap, uint32_t max, size_t item_size)
{
	uint32_t want;
	void *fresh;
	void *old;
	int err;

	if (nr >= max)
		return -E2BIG;
	if (nr < *cap)
		return 0;
	want = *cap ? (*cap > max / 2 ? max : *cap * 2) : 4;
	err = arena_alloc(trace, want * item_size, &fresh);
	if (err)
		return err;
	memcpy(&old, items, sizeof(old));
	if (nr)
		memcpy(fresh, old, nr * item_size);
	memcpy(items, &fresh, sizeof(fresh));
	*cap = want;
	return 0;
}

struct hs_model_trace *hs_model_trace_new(const struct hs_model_limits *limits)
{
	struct hs_model_trace *trace = calloc(1, sizeof(*trace));

	if (!trace)
		return NULL;
	trace->limits = limits ? *limits : hs_model_limits_default();
	trace->resolution_ns = 1;
	return trace;
}

void hs_model_trace_free(struct hs_model_trace *trace)
{
	struct hs_model_arena_chunk *chunk;

	if (!trace)
		return;
	while ((chunk = trace->chunks)) {
		trace->chunks = chunk->next;
		free(chunk);
	}
	free(trace);
}

int hs_model_trace_dup_str(struct hs_model_trace *trace, const char *ptr,
			   size_t len, struct hs_model_str *out)
{
	void *copy;
	int err;

	if (!len) {
		*out = (struct hs_model_str){.ptr = ""};
		return 0;
	}
	if (len >= UINT32_MAX)
		return -E2BIG;
	err = arena_alloc(trace, len + 1, &copy);
	if (err)
		return err;
	memcpy(copy, ptr, len);
	((char *)copy)[len] = 0;
	*out = (struct hs_model_str){.ptr = copy, .len = (uint32_t)len};
	return 0;
}

/* Where to cut so that no UTF-8 sequence is split; bytes cut anywhere. */
static uint32_t cut_point(const char *ptr, uint32_t max)
{
	uint32_t at = max;

	while (at > 0 && max - at < 4 && ((uint8_t)ptr[at] & 0xc0) == 0x80)
		at--;
	return at;
}

int hs_model_trace_set_name(struct hs_model_trace *trace,
			    struct hs_model_str text, struct hs_model_str *out)
{
	if (text.len > trace->limits.max_name_bytes)
		return -E2BIG;
	return hs_model_trace_dup_str(trace, text.ptr, text.len, out);
}

int hs_model_trace_set_text(struct hs_model_trace *trace,
			    struct hs_model_str text, struct hs_model_str *out)
{
	uint32_t max = trace->limits.max_value_bytes;

	if (text.len > max) {
		text.len = cut_point(text.ptr, max);
		trace->nr_values_cut++;
	}
	return hs_model_trace_dup_str(trace, text.ptr, text.len, out);
}

int hs_model_resource_add(struct hs_model_trace *trace,
			  struct hs_model_str service, uint32_t *index)
{
	struct hs_model_resource *resource;
	void *mem;
	int err;

	err = array_grow(trace, &trace->resources, trace->nr_resources,
			 &trace->cap_resources, trace->limits.max_resources,
			 sizeof(*trace->resources));
	if (!err)
		err = arena_alloc(trace, sizeof(*resource), &mem);
	if (err)
		return err;
	resource = mem;
	memset(resource, 0, sizeof(*resource));
	err = hs_model_trace_set_name(trace, service, &resource->service);
	if (err)
		return err;
	*index = trace->nr_resources;
	trace->resources[trace->nr_resources++] = resource;
	return 0;
}

static int value_copy(struct hs_model_trace *trace,
		      const struct hs_model_value *value,
		      struct hs_model_value *out)
{
	uint32_t max = trace->limits.max_value_bytes;
	uint32_t len;
	int err;

	*out = *value;
	if (value->type != HS_MODEL_VALUE_STRING &&
	    value->type != HS_MODEL_VALUE_BYTES &&
	    value->type != HS_MODEL_VALUE_JSON)
		return 0;
	len = value->str.len;
	if (len > max) {
		len = value->type == HS_MODEL_VALUE_BYTES
			      ? max
			      : cut_point(value->str.ptr, max);
		out->cut = true;
		if (value->type == HS_MODEL_VALUE_JSON)
			out->type = HS_MODEL_VALUE_STRING;
	}
	err = hs_model_trace_dup_str(trace, value->str.ptr, len, &out->str);
	if (!err && out->cut && !value->cut)
		trace->nr_values_cut++;
	return err;
}

int hs_model_attrs_add(struct hs_model_trace *trace,
		       struct hs_model_attrs *attrs, struct hs_model_str key,
		       const struct hs_model_value *value)
{
	struct hs_model_attr attr;
	int err;

	err = array_grow(trace, &attrs->items, attrs->nr, &attrs->cap,
			 trace->limits.max_attrs, sizeof(*attrs->items));
	if (!err)
		err = hs_model_trace_set_name(trace, key, &attr.key);
	if (!err)
		err = value_copy(trace, value, &attr.value);
	if (err)
		return err;
	attrs->items[attrs->nr++] = attr;
	return 0;
}

const struct hs_model_attr *
hs_model_attrs_find(const struct hs_model_attrs *attrs, const char *key)
{
	uint32_t i;

	for (i = 0; i < attrs->nr; i++)
		if (hs_model_str_is(attrs->items[i].key, key))
			return &attrs->items[i];
	return NULL;
}

int hs_model_span_add(struct hs_model_trace *trace,
		      const uint8_t id[HS_MODEL_SPAN_ID_SIZE],
		      uint32_t resource, struct hs_model_span **out)
{
	struct hs_model_span *span;
	void *mem;
	int err;

	if (resource >= trace->nr_resources)
		return -EINVAL;
	err = array_grow(trace, &trace->spans, trace->nr_spans,
			 &trace->cap_spans, trace->limits.max_spans,
			 sizeof(*trace->spans));
	if (!err)
		err = arena_alloc(trace, sizeof(*span), &mem);
	if (err)
		return err;
	span = mem;
	memset(span, 0, sizeof(*span));
	memcpy(span->id, id, sizeof(span->id));
	span->resource = resource;
	trace->spans[trace->nr_spans++] = span;
	*out = span;
	return 0;
}

void hs_model_span_drop_last(struct hs_model_trace *trace)
{
	if (trace->nr_spans)
		trace->nr_spans--;
}

int hs_model_span_add_ref(struct hs_model_trace *trace,
			  struct hs_model_span *span,
			  enum hs_model_ref_kind kind,
			  const uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE],
			  const uint8_t span_id[HS_MODEL_SPAN_ID_SIZE],
			  struct hs_model_ref **out)
{
	struct hs_model_ref *ref;
	int err;

	err = array_grow(trace, &span->refs, span->nr_refs, &span->cap_refs,
			 trace->limits.max_refs, sizeof(*span->refs));
	if (err)
		return err;
	ref = &span->refs[span->nr_refs++];
	memset(ref, 0, sizeof(*ref));
	ref->kind = kind;
	memcpy(ref->trace_id, trace_id, sizeof(ref->trace_id));
	memcpy(ref->span_id, span_id, sizeof(ref->span_id));
	if (out)
		*out = ref;
	return 0;
}

int hs_model_span_add_event(struct hs_model_trace *trace,
			    struct hs_model_span *span, int64_t time_ns,
			    struct hs_model_str name,
			    struct hs_model_event **out)
{
	struct hs_model_event event = {.time_ns = time_ns};
	int err;

	err = array_grow(trace, &span->events, span->nr_events,
			 &span->cap_events, trace->limits.max_events,
			 sizeof(*span->events));
	if (!err)
		err = hs_model_trace_set_name(trace, name, &event.name);
	if (err)
		return err;
	span->events[span->nr_events] = event;
	if (out)
		*out = &span->events[span->nr_events];
	span->nr_events++;
	return 0;
}

int hs_model_span_add_warning(struct hs_model_trace *trace,
			      struct hs_model_span *span,
			      struct hs_model_str text)
{
	struct hs_model_str copy;
	int err;

	err = array_grow(trace, &span->warnings, span->nr_warnings,
			 &span->cap_warnings, trace->limits.max_warnings,
			 sizeof(*span->warnings));
	if (!err)
		err = hs_model_trace_set_text(trace, text, &copy);
	if (err)
		return err;
	span->warnings[span->nr_warnings++] = copy;
	return 0;
}

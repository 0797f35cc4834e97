/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see record_trace.h. */
#include "model/record_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/hash.h"
#include "hs/shm_format.h"
#include "model/record_map.h"

/* Resources of other handles that a new one is compared with. */
#define RESOURCES_LOOKBACK 64u

struct build {
	struct hs_model_trace *trace;
	struct hs_record_trace_stats *stats;
	const struct hs_record_slice *handle; /* first slice of the handle */
	struct hs_record_map spans;	/* ref -> address of struct open */
	struct hs_record_map resources; /* local id -> index */
	struct open *open;		/* of this handle, newest first */
	struct hs_model_span *points;	/* this handle's tracepoints */
	uint32_t resource_unknown;	/* of the trace, or UINT32_MAX */
};

struct open {
	struct open *next;
	struct hs_model_span *span;
	bool ended;
	bool text_cut;
};

/* ---- values ------------------------------------------------------------- */

static struct hs_model_str str_of(struct hs_record_str s)
{
	return (struct hs_model_str){.ptr = s.ptr, .len = (uint32_t)s.len};
}

static void id_put(uint8_t *out, uint64_t id)
{
	hs_le64_store(out, htobe64(le64toh(id)));
}

/* -ENOMEM goes up; a limit costs the thing itself. */
static int limited(struct build *b, int err)
{
	if (err == 0 || err == -ENOMEM)
		return err;
	b->stats->over_limits++;
	return 0;
}

static int attr_add(struct build *b, struct hs_model_attrs *attrs,
		    const struct hs_record_attr *a)
{
	struct hs_model_value v = {.cut = a->cut};

	switch (a->type) {
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		v.type = a->type == HS_VALUE_BYTES ? HS_MODEL_VALUE_BYTES
			 : a->type == HS_VALUE_JSON && !a->cut
				 ? HS_MODEL_VALUE_JSON
				 : HS_MODEL_VALUE_STRING;
		v.str = str_of(a->value.bytes);
		break;
	case HS_VALUE_INT64:
		v.type = HS_MODEL_VALUE_INT64;
		v.i64 = a->value.i64;
		break;
	case HS_VALUE_FLOAT64:
		v.type = HS_MODEL_VALUE_FLOAT64;
		v.f64 = a->value.f64;
		break;
	case HS_VALUE_BOOL:
		v.type = HS_MODEL_VALUE_BOOL;
		v.boolean = a->value.b;
		break;
	}
	b->trace->nr_values_cut += a->cut;
	return limited(b,
		       hs_model_attrs_add(b->trace, attrs, str_of(a->key), &v));
}

static int attrs_add(struct build *b, struct hs_model_attrs *attrs,
		     struct hs_record_attrs from)
{
	struct hs_record_attr a;
	int err = 0;

	while (!err && hs_record_attr_next(&from, &a))
		err = attr_add(b, attrs, &a);
	return err;
}

/* ---- resources ---------------------------------------------------------- */

static bool value_same(const struct hs_model_value *a,
		       const struct hs_model_value *b)
{
	if (a->type != b->type || a->cut != b->cut)
		return false;
	switch (a->type) {
	case HS_MODEL_VALUE_STRING:
	case HS_MODEL_VALUE_BYTES:
	case HS_MODEL_VALUE_JSON:
		return hs_model_str_equal(a->str, b->str);
	case HS_MODEL_VALUE_BOOL:
		return a->boolean == b->boolean;
	case HS_MODEL_VALUE_INT64:
	case HS_MODEL_VALUE_FLOAT64: /* by its bits */
		return a->i64 == b->i64;
	case HS_MODEL_VALUE_NR:
		break;
	}
	return false;
}

static bool resource_same(const struct hs_model_resource *a,
			  const struct hs_model_resource *b)
{
	if (!hs_model_str_equal(a->service, b->service) ||
	    a->attrs.nr != b->attrs.nr)
		return false;
	for (uint32_t i = 0; i < a->attrs.nr; i++) {
		if (!hs_model_str_equal(a->attrs.items[i].key,
					b->attrs.items[i].key) ||
		    !value_same(&a->attrs.items[i].value,
				&b->attrs.items[i].value))
			return false;
	}
	return true;
}

/* Handles of one process say the same; the newest is dropped if it is known. */
static uint32_t resource_fold(struct hs_model_trace *trace)
{
	uint32_t last = trace->nr_resources - 1;
	uint32_t from =
		last > RESOURCES_LOOKBACK ? last - RESOURCES_LOOKBACK : 0;

	for (uint32_t i = from; i < last; i++) {
		if (!resource_same(trace->resources[i], trace->resources[last]))
			continue;
		trace->nr_resources--;
		return i;
	}
	return last;
}

static int on_resource(struct build *b, const struct hs_record *r)
{
	uint32_t index;
	int err;

	err = hs_model_resource_add(b->trace, str_of(r->u.resource.service),
				    &index);
	if (err)
		return limited(b, err);
	err = attrs_add(b, &b->trace->resources[index]->attrs,
			r->u.resource.attrs);
	if (err)
		return err;
	index = resource_fold(b->trace);
	return limited(b, hs_record_map_put(&b->resources,
					    r->u.resource.local_id, index));
}

/* What a span names; a nameless one where its resource is not there. */
static int resource_find(struct build *b, uint64_t local_id, uint32_t *index)
{
	uint64_t value;
	int err;

	if (hs_record_map_get(&b->resources, local_id, &value)) {
		*index = (uint32_t)value;
		return 0;
	}
	if (b->resource_unknown == UINT32_MAX) {
		err = hs_model_resource_add(b->trace, hs_model_str(""), index);
		if (err)
			return err;
		b->resource_unknown = *index;
	}
	*index = b->resource_unknown;
	return 0;
}

/* ---- spans -------------------------------------------------------------- */

static struct open *open_of(struct build *b, uint64_t ref)
{
	uint64_t value;

	if (!hs_record_map_get(&b->spans, ref, &value)) {
		b->stats->orphans++;
		return NULL;
	}
	return (struct open *)(uintptr_t)value;
}

static int64_t time_of(uint64_t time_ns)
{
	return time_ns > INT64_MAX ? INT64_MAX : (int64_t)time_ns;
}

/* The parent is the first reference, as it is for every importer. */
static int parent_put(struct build *b, struct hs_model_span *span, uint64_t id)
{
	struct hs_model_ref *ref;

	if (!id)
		return 0;
	span->has_parent = true;
	id_put(span->parent_id, id);
	return hs_model_span_add_ref(b->trace, span, HS_MODEL_REF_CHILD_OF,
				     b->trace->id, span->parent_id, &ref);
}

static int on_start(struct build *b, const struct hs_record *r)
{
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_span *span;
	struct open *open;
	uint32_t resource;
	int err;

	id_put(id, r->u.start.id);
	err = resource_find(b, r->u.start.resource, &resource);
	if (!err)
		err = hs_model_span_add(b->trace, id, resource, &span);
	if (err)
		return limited(b, err);
	err = hs_model_trace_set_name(b->trace, str_of(r->u.start.name),
				      &span->name);
	if (limited(b, err))
		return err;
	span->start_ns = time_of(r->time_ns);
	err = parent_put(b, span, r->u.start.parent_id);
	if (limited(b, err))
		return err;
	if (r->u.start.kind < HS_MODEL_KIND_NR)
		span->kind = (enum hs_model_kind)r->u.start.kind;
	open = calloc(1, sizeof(*open));
	if (!open)
		return -ENOMEM;
	open->span = span;
	open->text_cut = r->cut;
	open->next = b->open;
	b->open = open;
	b->stats->spans++;
	return limited(b,
		       hs_record_map_put(&b->spans, r->ref, (uintptr_t)open));
}

static int on_event(struct build *b, struct open *open,
		    const struct hs_record *r)
{
	struct hs_model_event *event;
	int err;

	err = hs_model_span_add_event(b->trace, open->span, time_of(r->time_ns),
				      str_of(r->u.event.name), &event);
	if (err)
		return limited(b, err);
	return attrs_add(b, &event->attrs, r->u.event.attrs);
}

static int on_link(struct build *b, struct open *open,
		   const struct hs_record *r)
{
	static const enum hs_model_ref_kind kinds[] = {
		[HS_LINK_CHILD_OF] = HS_MODEL_REF_CHILD_OF,
		[HS_LINK_FOLLOWS_FROM] = HS_MODEL_REF_FOLLOWS_FROM,
		[HS_LINK_LINK] = HS_MODEL_REF_LINK,
	};
	uint8_t trace_id[HS_MODEL_TRACE_ID_SIZE];
	uint8_t span_id[HS_MODEL_SPAN_ID_SIZE];
	struct hs_model_ref *ref;
	int err;

	if (r->u.link.kind >= sizeof(kinds) / sizeof(kinds[0])) {
		b->stats->records.garbage++;
		return 0;
	}
	id_put(trace_id, r->u.link.trace_id.hi);
	id_put(trace_id + 8, r->u.link.trace_id.lo);
	id_put(span_id, r->u.link.span_id);
	err = hs_model_span_add_ref(b->trace, open->span, kinds[r->u.link.kind],
				    trace_id, span_id, &ref);
	if (!err)
		err = hs_model_trace_set_text(b->trace,
					      str_of(r->u.link.trace_state),
					      &ref->trace_state);
	if (err)
		return limited(b, err);
	return attrs_add(b, &ref->attrs, r->u.link.attrs);
}

static int on_text(struct build *b, struct open *open,
		   const struct hs_record *r)
{
	struct hs_model_str text = str_of(r->u.text.text);
	struct hs_model_span *span = open->span;

	switch (r->u.text.which) {
	case HS_SPAN_TEXT_WARNING:
		return hs_model_span_add_warning(b->trace, span, text);
	case HS_SPAN_TEXT_TRACE_STATE:
		return hs_model_trace_set_text(b->trace, text,
					       &span->trace_state);
	case HS_SPAN_TEXT_SCOPE_NAME:
		return hs_model_trace_set_text(b->trace, text,
					       &span->scope_name);
	case HS_SPAN_TEXT_SCOPE_VERSION:
		return hs_model_trace_set_text(b->trace, text,
					       &span->scope_version);
	default:
		b->stats->records.unknown++;
		return 0;
	}
}

static int on_span_record(struct build *b, const struct hs_record *r)
{
	struct open *open = open_of(b, r->ref);
	struct hs_model_span *span;

	if (!open)
		return 0;
	span = open->span;
	open->text_cut |= r->cut;
	switch (r->type) {
	case HS_RECORD_SPAN_END:
		open->ended = true;
		span->duration_ns = time_of(r->time_ns) - span->start_ns;
		return 0;
	case HS_RECORD_ATTR:
		return attr_add(b, &span->attrs, &r->u.attr);
	case HS_RECORD_EVENT:
		return on_event(b, open, r);
	case HS_RECORD_LINK:
		return on_link(b, open, r);
	case HS_RECORD_STATUS:
		if (r->u.status.status < HS_MODEL_STATUS_NR)
			span->status = (enum hs_model_status)r->u.status.status;
		return limited(b, hs_model_trace_set_text(
					  b->trace, str_of(r->u.status.message),
					  &span->status_message));
	case HS_RECORD_TEXT:
		return limited(b, on_text(b, open, r));
	case HS_RECORD_FLAGS:
		span->has_flags = true;
		span->flags = r->u.flags;
		return 0;
	default:
		return 0;
	}
}

/* ---- tracepoints -------------------------------------------------------- */

static int points_span(struct build *b, int64_t start_ns)
{
	uint64_t h =
		hs_hash_mix64(b->handle->node ^
			      hs_hash_mix64((uint64_t)b->handle->process << 32 |
					    b->handle->handle));
	uint8_t id[HS_MODEL_SPAN_ID_SIZE];
	uint32_t resource;
	int err;

	id_put(id, h ? h : 1);
	err = resource_find(b, 0, &resource);
	if (!err)
		err = hs_model_span_add(b->trace, id, resource, &b->points);
	if (err)
		return err;
	b->points->start_ns = start_ns;
	return hs_model_trace_set_name(b->trace,
				       hs_model_str(HS_RECORD_TRACEPOINTS),
				       &b->points->name);
}

static int on_tracepoint(struct build *b, const struct hs_record *r)
{
	struct hs_model_value data = {
		.type = HS_MODEL_VALUE_BYTES,
		.cut = r->cut,
		.str = {(const char *)r->u.tracepoint.data,
			(uint32_t)r->u.tracepoint.size_bytes},
	};
	int64_t time_ns = time_of(r->time_ns);
	struct hs_model_event *event;
	int64_t end_ns;
	int err = 0;

	if (!b->points)
		err = points_span(b, time_ns);
	if (err)
		return limited(b, err);
	end_ns = b->points->start_ns + b->points->duration_ns;
	if (time_ns > end_ns)
		end_ns = time_ns;
	if (time_ns < b->points->start_ns)
		b->points->start_ns = time_ns;
	b->points->duration_ns = end_ns - b->points->start_ns;
	b->trace->nr_values_cut += r->cut;
	err = hs_model_span_add_event(b->trace, b->points, time_ns,
				      hs_model_str(""), &event);
	if (!err)
		err = hs_model_attrs_add(b->trace, &event->attrs,
					 hs_model_str("data"), &data);
	return limited(b, err);
}

/* ---- handles ------------------------------------------------------------ */

static int on_record(void *context, const struct hs_record *r)
{
	struct build *b = context;

	switch (r->type) {
	case HS_RECORD_RESOURCE:
		return on_resource(b, r);
	case HS_RECORD_SPAN_START:
		return on_start(b, r);
	case HS_RECORD_TRACEPOINT:
		return on_tracepoint(b, r);
	default:
		return on_span_record(b, r);
	}
}

static int handle_finish(struct build *b)
{
	int err = 0;

	while (b->open) {
		struct open *open = b->open;

		b->open = open->next;
		if (!open->ended && !err) {
			b->stats->unfinished++;
			err = limited(
				b, hs_model_span_add_warning(
					   b->trace, open->span,
					   hs_model_str(HS_RECORD_UNFINISHED)));
		}
		if (open->text_cut && !err)
			err = limited(
				b, hs_model_span_add_warning(
					   b->trace, open->span,
					   hs_model_str(HS_RECORD_TEXT_CUT)));
		/* A parent that came as a reference only. */
		if (!open->span->has_parent)
			hs_model_span_derive_parent(b->trace, open->span);
		free(open);
	}
	hs_record_map_clear(&b->spans);
	hs_record_map_clear(&b->resources);
	b->points = NULL;
	return err;
}

static bool ours(const struct hs_record_slice *s,
		 const struct hs_model_trace *trace)
{
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];
	uint64_t hi, lo;

	/* Too short a one is counted as bad by the reader. */
	if (s->size_bytes < sizeof(struct hs_shm_buffer))
		return true;
	memcpy(&hi,
	       (const uint8_t *)s->data +
		       offsetof(struct hs_shm_buffer, trace_hi),
	       sizeof(hi));
	memcpy(&lo,
	       (const uint8_t *)s->data +
		       offsetof(struct hs_shm_buffer, trace_lo),
	       sizeof(lo));
	id_put(id, hi);
	id_put(id + 8, lo);
	/* A hole reads as zeros: bad, not another trace's. */
	return (!hi && !lo) || memcmp(id, trace->id, sizeof(id)) == 0;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int slice_order(const void *a, const void *b)
{
	const struct hs_record_slice *x = a, *y = b;
	int c = compare_u64(x->node, y->node);

	if (!c)
		c = compare_u64(x->process, y->process);
	if (!c)
		c = compare_u64(x->handle, y->handle);
	if (!c)
		c = compare_u64(x->seq, y->seq);
	/* Of one buffer that came twice, the longer state is the later. */
	if (!c)
		c = compare_u64(y->size_bytes, x->size_bytes);
	return c;
}

static bool same_handle(const struct hs_record_slice *a,
			const struct hs_record_slice *b)
{
	return a->node == b->node && a->process == b->process &&
	       a->handle == b->handle;
}

static int build_handle(struct build *b, const struct hs_record_slice *slices,
			size_t nr, struct hs_record_buffer *buffers,
			void *scratch)
{
	struct hs_record_visitor visitor = {b, on_record};
	size_t nr_buffers = 0;
	int err, finish;

	b->handle = slices;
	for (size_t i = 0; i < nr; i++) {
		if (!ours(&slices[i], b->trace)) {
			b->stats->foreign++;
			continue;
		}
		buffers[nr_buffers++] = (struct hs_record_buffer){
			slices[i].data, slices[i].size_bytes, slices[i].seq};
	}
	b->stats->handles++;
	err = hs_record_read(buffers, nr_buffers, scratch,
			     HS_RECORD_SCRATCH_BYTES, &visitor,
			     &b->stats->records);
	finish = handle_finish(b);
	return err ? err : finish;
}

int hs_record_trace_build(struct hs_record_slice *slices, size_t nr_slices,
			  struct hs_model_trace *trace,
			  struct hs_record_trace_stats *stats)
{
	struct hs_record_trace_stats own = {0};
	struct build b = {
		.trace = trace,
		.stats = stats ? stats : &own,
		.resource_unknown = UINT32_MAX,
	};
	struct hs_record_buffer *buffers;
	void *scratch;
	int err = 0;

	memset(b.stats, 0, sizeof(*b.stats));
	if (!nr_slices)
		return 0;
	buffers = calloc(nr_slices, sizeof(*buffers));
	scratch = malloc(HS_RECORD_SCRATCH_BYTES);
	if (!buffers || !scratch)
		err = -ENOMEM;
	else
		qsort(slices, nr_slices, sizeof(*slices), slice_order);
	for (size_t i = 0, n; i < nr_slices && !err; i += n) {
		for (n = 1; i + n < nr_slices &&
			    same_handle(&slices[i], &slices[i + n]);)
			n++;
		err = build_handle(&b, &slices[i], n, buffers, scratch);
	}
	free(b.spans.entries);
	free(b.resources.entries);
	free(scratch);
	free(buffers);
	return err;
}

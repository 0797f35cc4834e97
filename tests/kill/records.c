/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see records.h. */
#include "records.h"

#include <string.h>

#include "rdma/wire.h"

#define BUFFERS_MAX 256u

struct whole {
	uint32_t process, handle, seq, bytes;
	uint8_t data[NODE_BUFFER_BYTES] __attribute__((aligned(8)));
};

static struct whole wholes[BUFFERS_MAX];
static uint8_t scratch[HS_RECORD_SCRATCH_BYTES];

static uint64_t add(uint64_t h, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return (h ^ n) * 0x100000001b3ull;
}

static uint64_t add_u64(uint64_t h, uint64_t v)
{
	return add(h, &v, sizeof(v));
}

static uint64_t add_str(uint64_t h, struct hs_record_str s)
{
	return add(h, s.ptr, s.len);
}

static uint64_t add_attr(uint64_t h, const struct hs_record_attr *a)
{
	h = add_str(h, a->key);
	h = add_u64(h, a->type);
	switch (a->type) {
	case HS_VALUE_STRING:
	case HS_VALUE_BYTES:
	case HS_VALUE_JSON:
		return add_str(h, a->value.bytes);
	case HS_VALUE_INT64:
	case HS_VALUE_FLOAT64:
		return add_u64(h, (uint64_t)a->value.i64);
	case HS_VALUE_BOOL:
		return add_u64(h, a->value.b);
	}
	return h;
}

static uint64_t add_attrs(uint64_t h, struct hs_record_attrs attrs)
{
	struct hs_record_attr a;

	while (hs_record_attr_next(&attrs, &a))
		h = add_attr(h, &a);
	return h;
}

uint64_t records_point(const void *data, size_t size_bytes)
{
	return add(add_u64(0, 1), data, size_bytes);
}

static uint64_t hash_of(const struct hs_record *r)
{
	uint64_t h;

	if (r->type == HS_RECORD_TRACEPOINT)
		return records_point(r->u.tracepoint.data,
				     r->u.tracepoint.size_bytes);
	h = add_u64(add_u64(0, 2 + r->type), r->ref);
	switch (r->type) {
	case HS_RECORD_RESOURCE:
		h = add_str(h, r->u.resource.service);
		return add_attrs(h, r->u.resource.attrs);
	case HS_RECORD_SPAN_START:
		h = add_u64(h, r->u.start.id);
		return add_str(h, r->u.start.name);
	case HS_RECORD_ATTR:
		return add_attr(h, &r->u.attr);
	case HS_RECORD_EVENT:
		h = add_str(h, r->u.event.name);
		return add_attrs(h, r->u.event.attrs);
	case HS_RECORD_STATUS:
		return add_str(add_u64(h, r->u.status.status),
			       r->u.status.message);
	default:
		return h;
	}
}

static int visit(void *context, const struct hs_record *r)
{
	struct records *out = context;

	if (out->nr == RECORDS_MAX)
		node_die("more than %u records", RECORDS_MAX);
	out->hash[out->nr++] = hash_of(r);
	return 0;
}

static struct whole *whole_of(const struct hs_wire_slice *s, uint32_t *nr)
{
	for (uint32_t i = 0; i < *nr; i++)
		if (wholes[i].process == s->process &&
		    wholes[i].handle == s->handle && wholes[i].seq == s->seq)
			return &wholes[i];
	if (*nr == BUFFERS_MAX)
		node_die("more than %u buffers", BUFFERS_MAX);
	wholes[*nr] = (struct whole){s->process, s->handle, s->seq, 0, {0}};
	return &wholes[(*nr)++];
}

static bool before(const struct whole *a, const struct whole *b)
{
	if (a->process != b->process)
		return a->process < b->process;
	if (a->handle != b->handle)
		return a->handle < b->handle;
	return a->seq < b->seq;
}

static void sort(uint32_t nr)
{
	for (uint32_t i = 1; i < nr; i++)
		for (uint32_t k = i; k && before(&wholes[k], &wholes[k - 1]);
		     k--) {
			struct whole swap = wholes[k];

			wholes[k] = wholes[k - 1];
			wholes[k - 1] = swap;
		}
}

void records_read(const struct node *n, struct hs_wire_trace_id id,
		  struct records *out)
{
	struct hs_record_visitor visitor = {out, visit};
	uint32_t nr = 0;

	out->nr = 0;
	out->bytes = 0;
	memset(&out->stats, 0, sizeof(out->stats));
	for (uint32_t i = 0; i < n->nr_slices; i++) {
		const struct hs_wire_slice *s = &n->slices[i].head;
		struct whole *w;

		if (!hs_wire_trace_equal(&s->trace, &id))
			continue;
		if (s->offset > NODE_BUFFER_BYTES ||
		    s->length_bytes > NODE_BUFFER_BYTES - s->offset)
			node_die("a slice longer than a buffer");
		w = whole_of(s, &nr);
		memcpy(w->data + s->offset, n->slices[i].data, s->length_bytes);
		if (w->bytes < s->offset + s->length_bytes)
			w->bytes = s->offset + s->length_bytes;
	}
	sort(nr);
	for (uint32_t i = 0; i < nr;) {
		struct hs_record_buffer buffers[BUFFERS_MAX];
		uint32_t k = 0;

		while (i + k < nr && wholes[i + k].handle == wholes[i].handle &&
		       wholes[i + k].process == wholes[i].process) {
			buffers[k] = (struct hs_record_buffer){
				wholes[i + k].data, wholes[i + k].bytes,
				wholes[i + k].seq};
			out->bytes += wholes[i + k].bytes;
			k++;
		}
		hs_record_read(buffers, k, scratch, sizeof(scratch), &visitor,
			       &out->stats);
		i += k;
	}
}

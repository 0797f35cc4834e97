/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.c - slices are byte ranges of buffers: put the buffers together, then
 * let the model decode them
 */
#include "collector/decode.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct piece {
	struct hs_wire_slice head;
	uint8_t *bytes;
};

struct pieces {
	struct piece *all;
	size_t nr;
	size_t cap;
	uint64_t nr_bytes;
	struct hs_decode_stats *stats;
};

static int take(void *ctx, const struct hs_wire_slice *slice,
		const uint8_t *bytes)
{
	struct pieces *p = ctx;
	struct piece *piece;

	if (slice->length_bytes > HS_DECODE_TRACE_MAX_BYTES - p->nr_bytes) {
		p->stats->over_limit++;
		return 0;
	}
	if (p->nr == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		void *more = realloc(p->all, cap * sizeof(*p->all));

		if (!more)
			return -ENOMEM;
		p->all = more;
		p->cap = cap;
	}
	piece = &p->all[p->nr];
	piece->head = *slice;
	piece->bytes = malloc(slice->length_bytes ? slice->length_bytes : 1);
	if (!piece->bytes)
		return -ENOMEM;
	memcpy(piece->bytes, bytes, slice->length_bytes);
	p->nr_bytes += slice->length_bytes;
	p->nr++;
	return 0;
}

static int damaged(void *ctx)
{
	((struct pieces *)ctx)->stats->damaged++;
	return 0;
}

#define ORDER(x, y)                                                            \
	do {                                                                   \
		if ((x) != (y))                                                \
			return (x) < (y) ? -1 : 1;                             \
	} while (0)

static int by_buffer(const void *a, const void *b)
{
	const struct hs_wire_slice *x = &((const struct piece *)a)->head;
	const struct hs_wire_slice *y = &((const struct piece *)b)->head;

	ORDER(x->node, y->node);
	ORDER(x->process, y->process);
	ORDER(x->handle, y->handle);
	ORDER(x->seq, y->seq);
	ORDER(x->offset, y->offset);
	ORDER(x->length_bytes, y->length_bytes);
	return 0;
}

static bool same_buffer(const struct hs_wire_slice *x,
			const struct hs_wire_slice *y)
{
	return x->node == y->node && x->process == y->process &&
	       x->handle == y->handle && x->seq == y->seq;
}

/*
 * One buffer out of its pieces, in the first one's memory, up to the first
 * hole: what lies behind one cannot be told from garbage.
 */
static int join(struct piece *first, size_t nr, uint64_t *holes)
{
	size_t whole = 0;

	for (size_t i = 0; i < nr; i++) {
		const struct hs_wire_slice *s = &first[i].head;

		if (s->offset > whole) {
			(*holes)++;
			break;
		}
		if ((size_t)s->offset + s->length_bytes > whole)
			whole = (size_t)s->offset + s->length_bytes;
	}
	if (whole > first->head.length_bytes) {
		uint8_t *bytes = realloc(first->bytes, whole);

		if (!bytes)
			return -ENOMEM;
		first->bytes = bytes;
	}
	for (size_t i = 1; i < nr; i++) {
		const struct hs_wire_slice *s = &first[i].head;

		if ((size_t)s->offset + s->length_bytes <= whole)
			memcpy(first->bytes + s->offset, first[i].bytes,
			       s->length_bytes);
	}
	first->head.length_bytes = (uint32_t)whole;
	return 0;
}

static int build(struct pieces *p, struct hs_model_trace *trace)
{
	struct hs_record_slice *slices =
		calloc(p->nr ? p->nr : 1, sizeof(*slices));
	size_t nr = 0;
	int rc = slices ? 0 : -ENOMEM;

	if (p->nr)
		qsort(p->all, p->nr, sizeof(*p->all), by_buffer);
	for (size_t i = 0, next; !rc && i < p->nr; i = next) {
		struct piece *first = &p->all[i];

		for (next = i + 1; next < p->nr; next++)
			if (!same_buffer(&first->head, &p->all[next].head))
				break;
		if (first->head.offset != 0) {
			p->stats->holes++;
			continue;
		}
		rc = join(first, next - i, &p->stats->holes);
		slices[nr++] = (struct hs_record_slice){
			.node = first->head.node,
			.process = first->head.process,
			.handle = first->head.handle,
			.seq = first->head.seq,
			.data = first->bytes,
			.size_bytes = first->head.length_bytes,
		};
	}
	if (!rc)
		rc = hs_record_trace_build(slices, nr, trace,
					   &p->stats->records);
	free(slices);
	return rc;
}

int hs_decode_trace(struct hs_decode_source from,
		    const struct hs_wire_trace_id *id,
		    struct hs_model_trace **out, struct hs_decode_stats *stats)
{
	struct pieces p = {.stats = stats};
	const struct hs_store_reader reader = {
		.ctx = &p, .slice = take, .damaged = damaged};
	const uint64_t be[2] = {htobe64(id->hi), htobe64(id->lo)};
	struct hs_model_trace *trace = hs_model_trace_new(NULL);
	int rc = trace ? 0 : -ENOMEM;

	*out = NULL;
	*stats = (struct hs_decode_stats){0};
	if (!rc) {
		memcpy(trace->id, be, sizeof(trace->id));
		trace->resolution_ns = 1;
		rc = from.view
			     ? hs_store_view_read(from.view, id, true, &reader)
			     : hs_store_read(from.store, id, true, &reader);
	}
	if (!rc)
		rc = build(&p, trace);
	for (size_t i = 0; i < p.nr; i++)
		free(p.all[i].bytes);
	free(p.all);
	if (rc) {
		hs_model_trace_free(trace);
		return rc;
	}
	*out = trace;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see resource.h. */
#include "dataplane/resource.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/operation.h"
#include "dataplane/put.h"
#include "dataplane/write.h"
#include "hs/hindsight.h"

struct resource_args {
	const char *service;
	const struct hs_attr *attrs;
	size_t nr_attrs;
};

static void emit_resource(struct hs_sink *s, const void *args)
{
	const struct resource_args *r = args;

	hs_sink_u8(s, r->service ? HS_RECORD_HAS_SERVICE : 0);
	hs_sink_text(s, r->service, 0);
	hs_sink_attrs(s, r->attrs, r->nr_attrs);
}

/* Where in the payload the service's name stands: behind flags and length. */
static void service_find(struct hs_resource *r)
{
	uint64_t n = 0;
	uint32_t used =
		hs_record_varint_get(r->payload + 1, r->size_bytes - 1, &n);

	r->service_at = 1 + used;
	r->service_bytes = (uint32_t)n;
	r->hash = hs_operation_hash(0, (const char *)r->payload + 1 + used, n);
}

/* Its record as the first of a stream. */
static void first_make(struct hs_resource *r)
{
	size_t n = r->size_bytes;

	memset(r->first, 0, sizeof(r->first));
	r->first_bytes = 0;
	if (n + HS_RECORD_SHORT_HEADER_BYTES + 1 > sizeof(r->first))
		return;
	r->first[0] =
		HS_RECORD_RESOURCE | HS_RECORD_F_KNOWN | HS_RECORD_F_SHORT;
	r->first[1] = (uint8_t)(n + 1);
	memcpy(r->first + HS_RECORD_SHORT_HEADER_BYTES + 1, r->payload, n);
	r->first_bytes = (uint32_t)n + HS_RECORD_SHORT_HEADER_BYTES + 1;
}

struct hs_resource *hs_resource_create(const char *service,
				       const struct hs_attr *attrs,
				       size_t nr_attrs)
{
	struct resource_args args = {service, attrs, nr_attrs};
	struct hs_resource *resource;
	size_t size;

	size = hs_write_measure(emit_resource, &args);
	if (size > HS_VALUE_MAX_BYTES)
		return NULL;
	resource = malloc(sizeof(*resource) + size);
	if (!resource)
		return NULL;
	resource->size_bytes = size;
	if (!hs_write_memory(resource->payload, size, emit_resource, &args)) {
		free(resource);
		return NULL;
	}
	service_find(resource);
	first_make(resource);
	return resource;
}

void hs_resource_destroy(struct hs_resource *resource)
{
	free(resource);
}

/* ---- in a handle's stream ------------------------------------------------ */

struct resource_ref {
	uint32_t local_id;
	const struct hs_resource *resource;
};

static void emit_resource_ref(struct hs_sink *s, const void *args)
{
	const struct resource_ref *r = args;

	hs_sink_varint(s, r->local_id);
	hs_sink_bytes(s, r->resource->payload, r->resource->size_bytes);
}

/* In one pass, where there is a window for it. */
static bool put_resource(struct hs_trace *trace, const struct resource_ref *r)
{
	size_t n = r->resource->size_bytes;
	uint8_t *record, *p;

	if (n > HS_RECORD_SHORT_MAX_BYTES - HS_RECORD_VARINT_MAX_BYTES)
		return false;
	record = hs_put_begin(trace, HS_RECORD_SHORT_HEADER_BYTES +
					     HS_RECORD_VARINT_MAX_BYTES + n);
	if (!record)
		return false;
	p = hs_put_varint(record + HS_RECORD_SHORT_HEADER_BYTES, r->local_id);
	memcpy(p, r->resource->payload, n);
	hs_put_end_short(trace, HS_RECORD_RESOURCE | HS_RECORD_F_KNOWN, record,
			 p + n);
	return true;
}

/* The first one: all that is ready is written, of which as many bytes count. */
static inline bool put_first(struct hs_trace *trace,
			     const struct hs_resource *r)
{
	uint8_t *record;

	if (!r->first_bytes)
		return false;
	record = hs_put_begin(trace, sizeof(r->first));
	if (!record)
		return false;
	memcpy(record, r->first, sizeof(r->first));
	hs_put_commit(trace, record + r->first_bytes);
	return true;
}

static bool write_resource(struct hs_tls *tls, struct hs_trace *trace,
			   const struct resource_ref *r, struct hs_stamp *next)
{
	if (!trace->w.base && !hs_write_open(tls, trace, next))
		return false;
	return (!r->local_id && put_first(trace, r->resource)) ||
	       put_resource(trace, r) ||
	       hs_write_before(tls, trace,
			       HS_RECORD_RESOURCE | HS_RECORD_F_KNOWN, next,
			       emit_resource_ref, r);
}

/* The next span finds it at a glance. */
static void resource_now(struct hs_trace *trace,
			 const struct hs_resource *resource, uint32_t nr)
{
	trace->start_resource_nr = nr;
	trace->start_resource = resource;
}

/* One that is new to the stream. Return: its id. */
static inline uint32_t resource_add(struct hs_tls *tls, struct hs_trace *trace,
				    const struct hs_resource *resource,
				    struct hs_stamp *next)
{
	struct resource_ref r = {trace->next_resource, resource};

	if (write_resource(tls, trace, &r, next)) {
		trace->resources[r.local_id % HS_HANDLE_RESOURCES_MAX] =
			resource;
		trace->next_resource++;
		resource_now(trace, resource, r.local_id);
	}
	return r.local_id;
}

uint32_t hs_resource_in(struct hs_tls *tls, struct hs_trace *trace,
			const struct hs_resource *resource,
			struct hs_stamp *next)
{
	uint32_t nr = trace->next_resource;
	uint32_t oldest = 0;

	if (nr > HS_HANDLE_RESOURCES_MAX)
		oldest = nr - HS_HANDLE_RESOURCES_MAX;
	for (uint32_t id = nr; id-- > oldest;) {
		if (trace->resources[id % HS_HANDLE_RESOURCES_MAX] ==
		    resource) {
			resource_now(trace, resource, id);
			return id;
		}
	}
	return resource_add(tls, trace, resource, next);
}

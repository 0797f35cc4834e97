/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see resource.h. */
#include "dataplane/resource.h"

#include <stdlib.h>

#include "dataplane/operation.h"
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
	return resource;
}

void hs_resource_destroy(struct hs_resource *resource)
{
	free(resource);
}

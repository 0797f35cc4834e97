/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying spans from one canonical trace into another, and renaming a trace.
 */
#include "model/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/equal_internal.h"

static int attrs_copy(struct hs_model_trace *into, struct hs_model_attrs *to,
		      const struct hs_model_attrs *from)
{
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < from->nr; i++)
		err = hs_model_attrs_add(into, to, from->items[i].key,
					 &from->items[i].value);
	return err;
}

static int refs_copy(struct hs_model_trace *into, struct hs_model_span *to,
		     const struct hs_model_span *from)
{
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < from->nr_refs; i++) {
		const struct hs_model_ref *ref = &from->refs[i];
		struct hs_model_ref *copy;

		err = hs_model_span_add_ref(into, to, ref->kind, ref->trace_id,
					    ref->span_id, &copy);
		if (!err)
			err = hs_model_trace_set_text(into, ref->trace_state,
						      &copy->trace_state);
		if (!err)
			err = attrs_copy(into, &copy->attrs, &ref->attrs);
	}
	return err;
}

static int events_copy(struct hs_model_trace *into, struct hs_model_span *to,
		       const struct hs_model_span *from)
{
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < from->nr_events; i++) {
		const struct hs_model_event *event = &from->events[i];
		struct hs_model_event *copy;

		err = hs_model_span_add_event(into, to, event->time_ns,
					      event->name, &copy);
		if (!err)
			err = attrs_copy(into, &copy->attrs, &event->attrs);
	}
	for (i = 0; !err && i < from->nr_warnings; i++)
		err = hs_model_span_add_warning(into, to, from->warnings[i]);
	return err;
}

static int span_copy(struct hs_model_trace *into,
		     const struct hs_model_span *from, uint32_t resource)
{
	struct hs_model_span *to;
	int err;

	err = hs_model_span_add(into, from->id, resource, &to);
	if (err)
		return err;
	memcpy(to->parent_id, from->parent_id, sizeof(to->parent_id));
	to->has_parent = from->has_parent;
	to->has_flags = from->has_flags;
	to->flags = from->flags;
	to->kind = from->kind;
	to->status = from->status;
	to->start_ns = from->start_ns;
	to->duration_ns = from->duration_ns;
	err = hs_model_trace_set_name(into, from->name, &to->name);
	if (!err)
		err = hs_model_trace_set_text(into, from->status_message,
					      &to->status_message);
	if (!err)
		err = hs_model_trace_set_text(into, from->trace_state,
					      &to->trace_state);
	if (!err)
		err = hs_model_trace_set_name(into, from->scope_name,
					      &to->scope_name);
	if (!err)
		err = hs_model_trace_set_name(into, from->scope_version,
					      &to->scope_version);
	if (!err)
		err = attrs_copy(into, &to->attrs, &from->attrs);
	if (!err)
		err = refs_copy(into, to, from);
	if (!err)
		err = events_copy(into, to, from);
	if (err)
		hs_model_span_drop_last(into);
	return err;
}

static int resource_copy(struct hs_model_trace *into,
			 const struct hs_model_resource *from, uint32_t *index)
{
	uint32_t i;
	int err;

	for (i = 0; i < into->nr_resources; i++) {
		const struct hs_model_resource *have = into->resources[i];

		if (hs_model_str_equal(have->service, from->service) &&
		    attrs_identical(&have->attrs, &from->attrs)) {
			*index = i;
			return 0;
		}
	}
	err = hs_model_resource_add(into, from->service, index);
	return err ? err
		   : attrs_copy(into, &into->resources[*index]->attrs,
				&from->attrs);
}

int hs_model_trace_absorb(struct hs_model_trace *into,
			  const struct hs_model_trace *from)
{
	uint32_t *map = malloc((from->nr_resources + 1) * sizeof(*map));
	uint32_t i;
	int err = 0;

	if (!map)
		return -ENOMEM;
	for (i = 0; !err && i < from->nr_resources; i++)
		err = resource_copy(into, from->resources[i], &map[i]);
	for (i = 0; !err && i < from->nr_spans; i++)
		err = span_copy(into, from->spans[i],
				map[from->spans[i]->resource]);
	if (from->resolution_ns > into->resolution_ns)
		into->resolution_ns = from->resolution_ns;
	free(map);
	return err;
}

void hs_model_trace_rename(struct hs_model_trace *trace,
			   const uint8_t id[HS_MODEL_TRACE_ID_SIZE])
{
	uint32_t i, j;

	for (i = 0; i < trace->nr_spans; i++) {
		struct hs_model_span *span = trace->spans[i];

		for (j = 0; j < span->nr_refs; j++)
			if (!memcmp(span->refs[j].trace_id, trace->id,
				    sizeof(trace->id)))
				memcpy(span->refs[j].trace_id, id,
				       sizeof(trace->id));
	}
	memcpy(trace->id, id, sizeof(trace->id));
}

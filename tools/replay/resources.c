/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resources that a node's spans speak for, each made once however many
 * traces use it, as an application with several services would.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/hash.h"
#include "tools/replay/emit.h"
#include "tools/replay/node.h"

struct entry {
	struct hs_model_hash hash;
	const struct hs_model_resource *from;
	struct hs_resource *resource;
};

struct table {
	struct entry *slots;
	uint32_t nr_slots, nr_used;
};

static void hash_str(struct hs_model_hash *hash, struct hs_model_str text)
{
	hs_model_hash_u64(hash, text.len);
	if (text.len)
		hs_model_hash_bytes(hash, text.ptr, text.len);
}

static void hash_value(struct hs_model_hash *hash,
		       const struct hs_model_value *value)
{
	uint64_t bits = 0;

	hs_model_hash_u64(hash, value->type);
	switch (value->type) {
	case HS_MODEL_VALUE_INT64:
		hs_model_hash_u64(hash, (uint64_t)value->i64);
		break;
	case HS_MODEL_VALUE_FLOAT64:
		memcpy(&bits, &value->f64, sizeof(bits));
		hs_model_hash_u64(hash, bits);
		break;
	case HS_MODEL_VALUE_BOOL:
		hs_model_hash_u64(hash, value->boolean);
		break;
	default:
		hash_str(hash, value->str);
	}
}

/* 128 bits of content stand for the content: by accident two resources meet
 * once in 2^64, and the verification would say so. */
static struct hs_model_hash hash_of(const struct hs_model_resource *resource)
{
	struct hs_model_hash hash;
	uint32_t i;

	hs_model_hash_init(&hash, 0);
	hash_str(&hash, resource->service);
	for (i = 0; i < resource->attrs.nr; i++) {
		hash_str(&hash, resource->attrs.items[i].key);
		hash_value(&hash, &resource->attrs.items[i].value);
	}
	return hash;
}

static struct entry *find(struct table *table, struct hs_model_hash hash)
{
	uint32_t i = (uint32_t)hash.a & (table->nr_slots - 1);

	while (table->slots[i].resource && (table->slots[i].hash.a != hash.a ||
					    table->slots[i].hash.b != hash.b))
		i = (i + 1) & (table->nr_slots - 1);
	return &table->slots[i];
}

static int widen(struct table *table)
{
	struct table bigger = {.nr_slots = table->nr_slots * 2};
	uint32_t i;

	if (!bigger.nr_slots)
		bigger.nr_slots = 256;
	bigger.slots = calloc(bigger.nr_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (i = 0; i < table->nr_slots; i++) {
		if (table->slots[i].resource)
			*find(&bigger, table->slots[i].hash) = table->slots[i];
	}
	bigger.nr_used = table->nr_used;
	free(table->slots);
	*table = bigger;
	return 0;
}

static int add(struct hs_replay_node *node, struct table *table,
	       const struct hs_model_resource *from, struct hs_resource **out)
{
	struct hs_model_hash hash = hash_of(from);
	struct entry *entry;

	if (2 * table->nr_used >= table->nr_slots && widen(table))
		return -ENOMEM;
	entry = find(table, hash);
	if (!entry->resource) {
		struct hs_resource **more = realloc(
			node->distinct,
			(node->nr_distinct + 1) * sizeof(struct hs_resource *));

		if (!more)
			return -ENOMEM;
		node->distinct = more;
		entry->resource = hs_replay_emit_resource(from);
		if (!entry->resource)
			return -E2BIG;
		entry->hash = hash;
		table->nr_used++;
		node->distinct[node->nr_distinct++] = entry->resource;
	}
	*out = entry->resource;
	return 0;
}

int hs_replay_resources_make(struct hs_replay_node *node)
{
	const struct hs_model_set *set = node->plan->set;
	struct table table = {0};
	uint32_t nr = 0, i, j;
	int err = 0;

	for (i = 0; i < set->nr_traces; i++)
		nr += set->traces[i]->nr_resources;
	node->resources = calloc(nr + 1, sizeof(struct hs_resource *));
	node->first_resource =
		calloc(set->nr_traces + 1, sizeof(*node->first_resource));
	if (!node->resources || !node->first_resource)
		return -ENOMEM;
	for (nr = 0, i = 0; i < set->nr_traces && !err; i++) {
		const struct hs_model_trace *trace = set->traces[i];

		node->first_resource[i] = nr;
		for (j = 0; j < trace->nr_resources && !err; j++, nr++) {
			const struct hs_model_resource *from =
				trace->resources[j];

			if (hs_replay_plan_node(node->plan, from->service) ==
			    node->index)
				err = add(node, &table, from,
					  &node->resources[nr]);
		}
	}
	free(table.slots);
	return err;
}

void hs_replay_resources_free(struct hs_replay_node *node)
{
	uint32_t i;

	for (i = 0; i < node->nr_distinct; i++)
		hs_resource_destroy(node->distinct[i]);
	free(node->distinct);
	free(node->resources);
	free(node->first_resource);
}

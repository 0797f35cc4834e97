/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many canonical traces, found by trace id.
 */
#include "model/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/copy.h"
#include "model/equal.h"
#include "model/ident.h"

#define SLOTS_MIN 64

void hs_model_set_init(struct hs_model_set *set)
{
	memset(set, 0, sizeof(*set));
}

void hs_model_set_destroy(struct hs_model_set *set)
{
	uint32_t i;

	for (i = 0; i < set->nr_traces; i++)
		hs_model_trace_free(set->traces[i]);
	free(set->traces);
	free(set->slots);
	memset(set, 0, sizeof(*set));
}

static uint32_t slot_first(const struct hs_model_set *set, const uint8_t *id)
{
	struct hs_model_hash h;

	hs_model_hash_init(&h, 4);
	hs_model_hash_bytes(&h, id, HS_MODEL_TRACE_ID_SIZE);
	return (uint32_t)(h.a & (set->nr_slots - 1));
}

/* The slot that holds @id, or the empty one where it belongs. */
static uint32_t slot_find(const struct hs_model_set *set, const uint8_t *id)
{
	uint32_t at = slot_first(set, id);

	while (set->slots[at] && memcmp(set->traces[set->slots[at] - 1]->id, id,
					HS_MODEL_TRACE_ID_SIZE))
		at = (at + 1) & (set->nr_slots - 1);
	return at;
}

struct hs_model_trace *
hs_model_set_find(const struct hs_model_set *set,
		  const uint8_t id[HS_MODEL_TRACE_ID_SIZE])
{
	uint32_t at;

	if (!set->nr_slots)
		return NULL;
	at = slot_find(set, id);
	return set->slots[at] ? set->traces[set->slots[at] - 1] : NULL;
}

static int slots_grow(struct hs_model_set *set)
{
	uint32_t want = set->nr_slots ? set->nr_slots * 2 : SLOTS_MIN;
	uint32_t *old = set->slots, i;

	if (set->nr_slots / 2 > set->nr_traces)
		return 0;
	if (set->nr_slots > UINT32_MAX / 2)
		return -E2BIG;
	set->slots = calloc(want, sizeof(*set->slots));
	if (!set->slots) {
		set->slots = old;
		return -ENOMEM;
	}
	set->nr_slots = want;
	for (i = 0; i < set->nr_traces; i++)
		set->slots[slot_find(set, set->traces[i]->id)] = i + 1;
	free(old);
	return 0;
}

static int set_insert(struct hs_model_set *set, struct hs_model_trace *trace)
{
	int err = slots_grow(set);

	if (err)
		return err;
	if (set->nr_traces == set->cap_traces) {
		uint32_t cap = set->cap_traces ? set->cap_traces * 2 : 32;
		void *mem = realloc(set->traces, cap * sizeof(*set->traces));

		if (!mem)
			return -ENOMEM;
		set->traces = mem;
		set->cap_traces = cap;
	}
	set->traces[set->nr_traces++] = trace;
	set->slots[slot_find(set, trace->id)] = set->nr_traces;
	return 0;
}

static int set_union(struct hs_model_trace *have,
		     const struct hs_model_trace *trace, uint64_t *nr_merged)
{
	int64_t nr;
	int err = hs_model_trace_absorb(have, trace);

	nr = hs_model_trace_merge_duplicates(have);
	if (nr < 0)
		return (int)nr;
	*nr_merged += (uint64_t)nr;
	return err;
}

/* Are all spans of @trace in @have already? Both are free of duplicates. */
static int set_contains(const struct hs_model_trace *have,
			const struct hs_model_trace *trace)
{
	struct hs_model_trace *both = hs_model_trace_new(&have->limits);
	int64_t nr = -ENOMEM;
	int err;

	if (!both)
		return -ENOMEM;
	both->limits.max_trace_bytes = UINT64_MAX;
	both->limits.max_spans = UINT32_MAX;
	memcpy(both->id, have->id, sizeof(both->id));
	err = hs_model_trace_absorb(both, have);
	if (!err)
		err = hs_model_trace_absorb(both, trace);
	if (!err)
		nr = hs_model_trace_merge_duplicates(both);
	hs_model_trace_free(both);
	if (err || nr < 0)
		return err ? err : (int)nr;
	return nr == trace->nr_spans;
}

static void fresh_id(const struct hs_model_trace *trace, uint8_t *id)
{
	struct hs_model_hash digest;

	hs_model_trace_digest(trace, 1, &digest);
	hs_model_id_hash((const char *)&digest, sizeof(digest), 5, id,
			 HS_MODEL_TRACE_ID_SIZE);
}

static int set_meet(struct hs_model_set *set, struct hs_model_trace *trace,
		    enum hs_model_merge merge, uint64_t *nr_merged)
{
	struct hs_model_trace *have = hs_model_set_find(set, trace->id);
	uint8_t id[HS_MODEL_TRACE_ID_SIZE];
	int err;

	if (!have) {
		err = set_insert(set, trace);
		return err ? err : HS_MODEL_SET_ADDED;
	}
	if (merge == HS_MODEL_MERGE_UNION) {
		err = set_union(have, trace, nr_merged);
		return err ? err : HS_MODEL_SET_MERGED;
	}
	err = set_contains(have, trace);
	if (err < 0)
		return err;
	if (err) {
		*nr_merged += trace->nr_spans;
		return HS_MODEL_SET_MERGED;
	}
	if (merge == HS_MODEL_MERGE_REFUSE)
		return HS_MODEL_SET_CONFLICT;
	fresh_id(trace, id);
	if (hs_model_set_find(set, id)) {
		/* The same content under the same old id was here before. */
		*nr_merged += trace->nr_spans;
		return HS_MODEL_SET_MERGED;
	}
	hs_model_trace_rename(trace, id);
	err = set_insert(set, trace);
	return err ? err : HS_MODEL_SET_RENAMED;
}

int hs_model_set_commit(struct hs_model_set *set, struct hs_model_trace *trace,
			enum hs_model_merge merge, uint64_t *nr_merged)
{
	int64_t nr = hs_model_trace_merge_duplicates(trace);
	int result = (int)nr;

	if (nr >= 0) {
		*nr_merged += (uint64_t)nr;
		result = set_meet(set, trace, merge, nr_merged);
	}
	if (result != HS_MODEL_SET_ADDED && result != HS_MODEL_SET_RENAMED)
		hs_model_trace_free(trace);
	return result;
}

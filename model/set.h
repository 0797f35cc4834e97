/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many canonical traces, found by trace id. One thread per set.
 */
#ifndef HS_MODEL_SET_H
#define HS_MODEL_SET_H

#include "model/trace.h"

struct hs_model_set {
	struct hs_model_trace **traces; /* in the order they came */
	uint32_t nr_traces, cap_traces;
	uint32_t *slots; /* open addressing; index + 1, 0 is empty */
	uint32_t nr_slots;
};

/* What to do with a trace whose id the set holds already. */
enum hs_model_merge {
	HS_MODEL_MERGE_UNION,  /* its spans join the others */
	HS_MODEL_MERGE_REFUSE, /* unless all its spans are there already */
	HS_MODEL_MERGE_RENAME, /* as REFUSE, but with a fresh id instead */
};

enum hs_model_set_result {
	HS_MODEL_SET_ADDED = 0,
	HS_MODEL_SET_MERGED,   /* into the trace of that id */
	HS_MODEL_SET_RENAMED,  /* added under a fresh id */
	HS_MODEL_SET_CONFLICT, /* not taken */
};

void hs_model_set_init(struct hs_model_set *set);
void hs_model_set_destroy(struct hs_model_set *set);
struct hs_model_trace *
hs_model_set_find(const struct hs_model_set *set,
		  const uint8_t id[HS_MODEL_TRACE_ID_SIZE]);

/**
 * hs_model_set_commit() - put a trace into the set
 * @nr_merged: receives how many of its spans were exact copies of others
 *
 * The fresh id of HS_MODEL_MERGE_RENAME is a hash of the old id and of the
 * content, so that it does not depend on what else was read before.
 *
 * Own:    the set takes @trace in every case, and frees it where it was not
 *         added.
 * Return: enum hs_model_set_result; -ENOMEM, -E2BIG.
 */
int hs_model_set_commit(struct hs_model_set *set, struct hs_model_trace *trace,
			enum hs_model_merge merge, uint64_t *nr_merged);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which labels are rare among the latest ones: a table of counts over
 * two epochs that take turns.
 *
 * Guarantees: pure; no allocation after create; a full table counts what it
 * has no room for together, so that nothing is found rare by mistake.
 */
#ifndef HS_DATAPLANE_AUTO_CATEGORY_H
#define HS_DATAPLANE_AUTO_CATEGORY_H

#include <stdbool.h>
#include <stdint.h>

#define HS_AUTO_LABELS_MAX 1024u
/* Twice as many places, so that a search is short. */
#define HS_AUTO_PLACES (2u * HS_AUTO_LABELS_MAX)

struct hs_auto_label {
	uint64_t label;
	uint32_t counts[2]; /* of both epochs; both 0: the place is free */
};

struct hs_auto_category {
	uint64_t share;	     /* << 32 */
	uint32_t nr, before; /* samples of the present epoch, and of the last */
	uint32_t window;
	uint32_t warm;
	uint32_t present;
	uint32_t nr_labels;
	struct hs_auto_label other; /* those without a place */
	struct hs_auto_label places[HS_AUTO_PLACES];
	struct hs_auto_label kept[HS_AUTO_LABELS_MAX]; /* while it turns */
};

bool hs_auto_category_init(struct hs_auto_category *c, double share,
			   uint32_t window);
bool hs_auto_category_sample(struct hs_auto_category *c, uint64_t label);

#endif

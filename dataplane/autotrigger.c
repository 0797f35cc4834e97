/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: the public side of the autotriggers: memory, and firing. */
#include "hs/autotrigger.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/auto_category.h"
#include "dataplane/auto_percentile.h"

struct hs_auto_set {
	uint32_t nr;
	uint32_t used;
	uint32_t next;
	struct hs_trace_id ids[HS_LATERAL_MAX];
};

struct hs_auto_queue {
	struct hs_auto_percentile waited;
	struct hs_auto_set before;
	bool full; /* said already, and nobody has left since */
};

/* ---- percentile and category --------------------------------------------- */

struct hs_auto_percentile *hs_auto_percentile_create(double percentile,
						     uint32_t window)
{
	struct hs_auto_percentile *p = malloc(sizeof(*p));

	if (p && !hs_auto_percentile_init(p, percentile, window)) {
		free(p);
		return NULL;
	}
	return p;
}

void hs_auto_percentile_destroy(struct hs_auto_percentile *p)
{
	free(p);
}

bool hs_auto_percentile_add(struct hs_auto_percentile *p, uint64_t value)
{
	return p && hs_auto_percentile_sample(p, value);
}

struct hs_auto_category *hs_auto_category_create(double share, uint32_t window)
{
	struct hs_auto_category *c = malloc(sizeof(*c));

	if (c && !hs_auto_category_init(c, share, window)) {
		free(c);
		return NULL;
	}
	return c;
}

void hs_auto_category_destroy(struct hs_auto_category *c)
{
	free(c);
}

bool hs_auto_category_add(struct hs_auto_category *c, uint64_t label)
{
	return c && hs_auto_category_sample(c, label);
}

bool hs_auto_category_add_text(struct hs_auto_category *c, const char *label)
{
	uint64_t h = 0xcbf29ce484222325ull;

	/* FNV-1a. */
	for (; label && *label; label++)
		h = (h ^ (uint8_t)*label) * 0x100000001b3ull;
	return hs_auto_category_add(c, h);
}

bool hs_auto_exception(struct hs_trigger *trigger,
		       const struct hs_trace_id *trace_id, bool failed)
{
	return failed && hs_trigger_fire(trigger, trace_id, NULL, 0);
}

/* ---- sets and queues ------------------------------------------------------
 */

static bool set_init(struct hs_auto_set *set, uint32_t nr)
{
	memset(set, 0, sizeof(*set));
	set->nr = nr;
	return nr >= 1 && nr <= HS_LATERAL_MAX;
}

struct hs_auto_set *hs_auto_set_create(uint32_t nr)
{
	struct hs_auto_set *set = malloc(sizeof(*set));

	if (set && !set_init(set, nr)) {
		free(set);
		return NULL;
	}
	return set;
}

void hs_auto_set_destroy(struct hs_auto_set *set)
{
	free(set);
}

void hs_auto_set_add(struct hs_auto_set *set,
		     const struct hs_trace_id *trace_id)
{
	if (!set || !trace_id)
		return;
	set->ids[set->next] = *trace_id;
	set->next = set->next + 1 < set->nr ? set->next + 1 : 0;
	if (set->used < set->nr)
		set->used++;
}

bool hs_auto_set_fire(const struct hs_auto_set *set, struct hs_trigger *trigger,
		      const struct hs_trace_id *trace_id)
{
	return set && trace_id &&
	       hs_trigger_fire(trigger, trace_id, set->ids, set->used);
}

struct hs_auto_queue *hs_auto_queue_create(double percentile, uint32_t window,
					   uint32_t nr)
{
	struct hs_auto_queue *q = malloc(sizeof(*q));

	if (q)
		q->full = false;
	if (q && (!hs_auto_percentile_init(&q->waited, percentile, window) ||
		  !set_init(&q->before, nr))) {
		free(q);
		return NULL;
	}
	return q;
}

void hs_auto_queue_destroy(struct hs_auto_queue *q)
{
	free(q);
}

bool hs_auto_queue_leave(struct hs_auto_queue *q, struct hs_trigger *trigger,
			 const struct hs_trace_id *trace_id, uint64_t waited_ns)
{
	bool fired = false;

	if (!q || !trace_id)
		return false;
	q->full = false;
	if (hs_auto_percentile_sample(&q->waited, waited_ns))
		fired = hs_auto_set_fire(&q->before, trigger, trace_id);
	/* Those before it, not itself. */
	hs_auto_set_add(&q->before, trace_id);
	return fired;
}

bool hs_auto_queue_full(struct hs_auto_queue *q, struct hs_trigger *trigger,
			const struct hs_trace_id *trace_id)
{
	if (!q || !trace_id || q->full)
		return false;
	q->full = true;
	return hs_auto_set_fire(&q->before, trigger, trace_id);
}

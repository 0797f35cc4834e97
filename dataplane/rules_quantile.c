/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules_quantile.h. */
#include "dataplane/rules_quantile.h"

#include <sys/mman.h>

#include "dataplane/auto_percentile.h"

/* The durations of one operation, for one rule. One thread at a time counts. */
struct quantile {
	uint32_t busy;
	uint32_t operation;
	uint32_t ppm;
	uint32_t slot;
	uint64_t generation; /* of the table that needs it */
	struct hs_auto_percentile p;
};

/* Made by the helper when a table first asks for one; kept. */
static struct quantile *quantiles;

void hs_rules_quantiles_make(void)
{
	void *p;

	if (quantiles)
		return;
	p = mmap(NULL, HS_RULES_QUANTILES * sizeof(struct quantile),
		 PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	/* Without it those rules fire nothing: counted there. */
	if (p != MAP_FAILED)
		quantiles = p;
}

void hs_rules_quantiles_drop(void)
{
	/* A fork may have come while another thread was at one of them. */
	for (uint32_t i = 0; quantiles && i < HS_RULES_QUANTILES; i++)
		hs_rules_leave(&quantiles[i].busy);
}

static bool quantile_claim(struct quantile *q, uint64_t generation,
			   const struct hs_shm_rule *r, uint32_t operation)
{
	bool same, got;

	if (!hs_rules_take(&q->busy))
		return false;
	same = q->generation && q->operation == operation &&
	       q->slot == r->slot && q->ppm == r->percentile_ppm;
	/* One of a table that is long gone belongs to nobody. */
	got = same || q->generation + 1 < generation || !q->generation;
	if (got && !same) {
		q->operation = operation;
		q->slot = r->slot;
		q->ppm = r->percentile_ppm;
		got = hs_auto_percentile_init(
			&q->p, (double)r->percentile_ppm * 100 / HS_RULES_PPM,
			0);
	}
	if (got)
		q->generation = generation;
	hs_rules_leave(&q->busy);
	return got;
}

uint8_t hs_rules_quantile_of(uint64_t generation, const struct hs_shm_rule *r,
			     uint32_t operation)
{
	/* The one that the former table had, so that it stays warm. */
	for (uint32_t i = 0; quantiles && i < HS_RULES_QUANTILES; i++) {
		struct quantile *q = &quantiles[i];

		if (q->operation == operation && q->slot == r->slot &&
		    q->ppm == r->percentile_ppm && q->generation &&
		    quantile_claim(q, generation, r, operation))
			return (uint8_t)(i + 1);
	}
	for (uint32_t i = 0; quantiles && i < HS_RULES_QUANTILES; i++) {
		if (quantile_claim(&quantiles[i], generation, r, operation))
			return (uint8_t)(i + 1);
	}
	return 0;
}

bool hs_rules_quantile_above(uint32_t number, uint64_t duration_ns)
{
	struct quantile *q;
	bool above;

	if (!number || number > HS_RULES_QUANTILES || !quantiles)
		return false;
	q = &quantiles[number - 1];
	if (!hs_rules_take(&q->busy))
		return false;
	above = hs_auto_percentile_sample(&q->p, duration_ns);
	hs_rules_leave(&q->busy);
	return above;
}

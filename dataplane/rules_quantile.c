/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see rules_quantile.h. */
#include "dataplane/rules_quantile.h"

#include <sys/mman.h>

#include "dataplane/auto_percentile.h"
#include "dataplane/tls.h"
#include "hs/shm_format.h"

/* Who has met another at work counts so many of its own no more, and as many
 * again at most, so that many threads do not wait for each other's line. */
#define REST_MIN  8u
#define LINE_NONE UINT32_MAX
/* A line goes through a bucket: of so many in a row there, some are beyond. */
#define PARTS_BITS 4u

/* The durations of one operation, for one rule. One thread at a time counts. */
struct quantile {
	uint32_t busy;
	uint32_t operation;
	uint32_t ppm;
	uint32_t slot;
	uint64_t generation; /* of the table that needs it */
	struct hs_auto_percentile p;
	uint32_t told; /* p.unsettled, when the line was told last */
	/* Which durations are symptoms, as who counted last left it: those of
	 * higher buckets, and parts of this one; LINE_NONE: none is yet. Apart
	 * from what each count writes. */
	uint32_t line __attribute__((aligned(2 * HS_SHM_LINE_BYTES)));
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

/* After a count; most of them leave everything where it was. */
static void line_tell(struct quantile *q)
{
	uint32_t line = LINE_NONE;

	if (q->told == q->p.unsettled)
		return;
	q->told = q->p.unsettled;
	if (!q->p.warm)
		line = q->p.threshold << PARTS_BITS |
		       ((1u << PARTS_BITS) - 1 -
			hs_auto_percentile_parts(&q->p, 1u << PARTS_BITS));
	/* rules.C13 relaxed: written by who is at work on it alone. */
	if (__atomic_load_n(&q->line, __ATOMIC_RELAXED) != line)
		/* rules.C14 relaxed: a number that stands for itself. */
		__atomic_store_n(&q->line, line, __ATOMIC_RELAXED);
}

/* What the line says of a duration that is not counted. @turn: another one each
 * time, to tell those of the line's own bucket apart. */
static bool is_beyond(const struct quantile *q, uint64_t duration_ns,
		      uint32_t turn)
{
	/* rules.C15 relaxed: as rules.C14. */
	uint32_t line = __atomic_load_n(&q->line, __ATOMIC_RELAXED);
	uint32_t bucket = hs_auto_bucket(duration_ns);

	return line != LINE_NONE && (bucket << PARTS_BITS |
				     (turn & ((1u << PARTS_BITS) - 1))) > line;
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
		q->told = ~q->p.unsettled;
		line_tell(q);
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
	struct hs_tls *tls = &hs_tls;
	struct quantile *q;
	bool above;

	if (!number || number > HS_RULES_QUANTILES || !quantiles)
		return false;
	q = &quantiles[number - 1];
	if (tls->rest && tls->rest_of == number) {
		tls->rest--;
		return is_beyond(q, duration_ns, tls->met++);
	}
	/* rules.C16 relaxed: a look that leaves the line where it is; taken
	 * below. */
	if (__atomic_load_n(&q->busy, __ATOMIC_RELAXED) ||
	    !hs_rules_take(&q->busy)) {
		tls->rest = (uint16_t)(REST_MIN + duration_ns % REST_MIN);
		tls->rest_of = (uint16_t)number;
		return is_beyond(q, duration_ns, tls->met++);
	}
	above = hs_auto_percentile_sample(&q->p, duration_ns);
	line_tell(q);
	hs_rules_leave(&q->busy);
	return above;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_tally.h - the counts of operations: the rows of TALLY, and how counts
 * of one source that were taken at different times unite
 *
 * Pure, as wire.h is; what is read is checked before it is handed out.
 */
#ifndef HS_RDMA_WIRE_TALLY_H
#define HS_RDMA_WIRE_TALLY_H

#include "rdma/wire.h"

struct hs_tally_counts {
	uint64_t errors;
	uint64_t buckets[HS_WIRE_TALLY_BUCKETS];
};

/* A row as it came; the texts are copies. */
struct hs_tally_row {
	char service[HS_WIRE_TALLY_SERVICE_MAX + 1];
	char name[HS_WIRE_TALLY_NAME_MAX + 1];
	struct hs_tally_counts counts;
};

/** hs_wire_take_tally() - the head; NULL for what is none */
const struct hs_wire_tally *hs_wire_take_tally(struct hs_wire_reader *r);
/** hs_wire_take_tally_row() - false: the rest is no row */
bool hs_wire_take_tally_row(struct hs_wire_reader *r, struct hs_tally_row *out);

/** hs_wire_put_tally_row() - counts over 2^56 are cut there */
void hs_wire_put_tally_row(struct hs_wire_writer *w,
			   const struct hs_tally_row *row);

/* The counts alone, as a row has them: errors, then bucket words. */
void hs_wire_put_counts(struct hs_wire_writer *w,
			const struct hs_tally_counts *counts);
bool hs_wire_take_counts(struct hs_wire_reader *r, uint32_t nr_buckets,
			 struct hs_tally_counts *out);

/** hs_tally_spans() - how many spans counts are of */
uint64_t hs_tally_spans(const struct hs_tally_counts *counts);
/**
 * hs_tally_unite() - @came into @have: the larger of each
 * @news: what that added
 *
 * Return: whether anything did.
 */
bool hs_tally_unite(struct hs_tally_counts *have,
		    const struct hs_tally_counts *came,
		    struct hs_tally_counts *news);
/** hs_tally_add() - counts of other spans */
void hs_tally_add(struct hs_tally_counts *to,
		  const struct hs_tally_counts *more);
/** hs_tally_quantile_ns() - upper end of the bucket of that rank; 0: none */
uint64_t hs_tally_quantile_ns(const struct hs_tally_counts *counts, double q);
/** hs_tally_mean_ns() - by the middles of the buckets */
double hs_tally_mean_ns(const struct hs_tally_counts *counts);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a log-linear histogram of 64-bit values (latencies in ns, sizes):
 * every power of two is cut into HS_HISTOGRAM_NR_SUB equal buckets.
 *
 * Guarantees: fixed memory (30 kB), any value fits, recording is a few ns and
 * never fails; a quantile is at most 1/64 above the true value of its rank
 * and never below it; merging equals having recorded everything in one.
 * One thread a histogram; merge to combine.
 */
#ifndef HS_HISTOGRAM_H
#define HS_HISTOGRAM_H

#include <stdint.h>

#define HS_HISTOGRAM_SUB_BITS 6
#define HS_HISTOGRAM_NR_SUB   (1U << HS_HISTOGRAM_SUB_BITS)
#define HS_HISTOGRAM_NR_BUCKETS                                                \
	((64 - HS_HISTOGRAM_SUB_BITS + 1) * HS_HISTOGRAM_NR_SUB)

struct hs_histogram {
	uint64_t nr_values;
	uint64_t sum; /* stays at UINT64_MAX once it would wrap */
	uint64_t min; /* UINT64_MAX when empty */
	uint64_t max; /* 0 when empty */
	uint64_t nr[HS_HISTOGRAM_NR_BUCKETS];
};

/* Empty @h. */
void hs_histogram_init(struct hs_histogram *h);

/* Count @value once. */
void hs_histogram_record(struct hs_histogram *h, uint64_t value);

/* Count @value @nr times. */
void hs_histogram_record_nr(struct hs_histogram *h, uint64_t value,
			    uint64_t nr);

/* Add everything of @from to @to. */
void hs_histogram_merge(struct hs_histogram *to,
			const struct hs_histogram *from);

/**
 * hs_histogram_quantile() - the value under which a share of all lies
 * @h: the histogram
 * @q: the share, 0 to 1: 0.5, 0.99, 0.999
 *
 * Return: upper end of the bucket of that rank, within [min, max]; 0 when
 * there are no values.
 */
uint64_t hs_histogram_quantile(const struct hs_histogram *h, double q);

/* The average, or 0 when there are no values. */
double hs_histogram_mean(const struct hs_histogram *h);

/* The bucket of a value, and the least and greatest value of a bucket. */
uint32_t hs_histogram_bucket(uint64_t value);
uint64_t hs_histogram_bucket_low(uint32_t bucket);
uint64_t hs_histogram_bucket_high(uint32_t bucket);

#endif

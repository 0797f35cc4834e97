/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the log-linear histogram; see histogram.h.
 *
 * Values under NR_SUB have a bucket each. Above, a value whose top bit is
 * SUB_BITS + k falls in row k + 1, in the bucket named by the SUB_BITS bits
 * under its top bit; a bucket of row k + 1 is 2^k values wide.
 */
#include "base/histogram.h"

#include <string.h>

#define SUB_MASK ((uint64_t)HS_HISTOGRAM_NR_SUB - 1)

void hs_histogram_init(struct hs_histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

uint32_t hs_histogram_bucket(uint64_t value)
{
	uint32_t shift;

	if (value < HS_HISTOGRAM_NR_SUB)
		return (uint32_t)value;
	shift = 63 - (uint32_t)__builtin_clzll(value) - HS_HISTOGRAM_SUB_BITS;
	return (shift + 1) * HS_HISTOGRAM_NR_SUB +
	       (uint32_t)(value >> shift & SUB_MASK);
}

uint64_t hs_histogram_bucket_low(uint32_t bucket)
{
	uint32_t row = bucket / HS_HISTOGRAM_NR_SUB;
	uint64_t sub = bucket % HS_HISTOGRAM_NR_SUB;

	if (row == 0)
		return sub;
	return (HS_HISTOGRAM_NR_SUB + sub) << (row - 1);
}

uint64_t hs_histogram_bucket_high(uint32_t bucket)
{
	uint32_t row = bucket / HS_HISTOGRAM_NR_SUB;
	uint64_t width = row == 0 ? 1 : 1ULL << (row - 1);

	return hs_histogram_bucket_low(bucket) + (width - 1);
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void hs_histogram_record_nr(struct hs_histogram *h, uint64_t value, uint64_t nr)
{
	uint64_t total;

	if (nr == 0)
		return;
	if (__builtin_mul_overflow(value, nr, &total))
		total = UINT64_MAX;
	h->nr[hs_histogram_bucket(value)] += nr;
	h->nr_values += nr;
	h->sum = add_capped(h->sum, total);
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

void hs_histogram_record(struct hs_histogram *h, uint64_t value)
{
	hs_histogram_record_nr(h, value, 1);
}

void hs_histogram_merge(struct hs_histogram *to,
			const struct hs_histogram *from)
{
	for (uint32_t i = 0; i < HS_HISTOGRAM_NR_BUCKETS; i++)
		to->nr[i] += from->nr[i];
	to->nr_values += from->nr_values;
	to->sum = add_capped(to->sum, from->sum);
	if (from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
}

/* The smallest rank, from 1, that is at least the share @q of all. */
static uint64_t rank_of(uint64_t nr_values, double q)
{
	double exact;
	uint64_t rank;

	if (!(q > 0))
		return 1;
	if (q >= 1)
		return nr_values;
	exact = q * (double)nr_values;
	rank = (uint64_t)exact;
	if ((double)rank < exact)
		rank++;
	if (rank == 0)
		return 1;
	return rank > nr_values ? nr_values : rank;
}

uint64_t hs_histogram_quantile(const struct hs_histogram *h, double q)
{
	uint64_t rank;
	uint64_t seen = 0;

	if (h->nr_values == 0)
		return 0;
	if (!(q > 0))
		return h->min;
	rank = rank_of(h->nr_values, q);
	for (uint32_t i = 0; i < HS_HISTOGRAM_NR_BUCKETS; i++) {
		seen += h->nr[i];
		if (seen >= rank) {
			uint64_t high = hs_histogram_bucket_high(i);

			return high < h->max ? high : h->max;
		}
	}
	return h->max;
}

double hs_histogram_mean(const struct hs_histogram *h)
{
	if (h->nr_values == 0)
		return 0;
	return (double)h->sum / (double)h->nr_values;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: which values lie above a percentile of the latest ones. Values are
 * counted in buckets by the leading bits of their floating-point form, over
 * two epochs that take turns; a threshold walks so that the buckets above it
 * hold the wanted share. What is paid for each sample does not depend on the
 * percentile.
 *
 * Guarantees: pure; no allocation after create; bounds in hs/autotrigger.h.
 */
#ifndef HS_DATAPLANE_AUTO_PERCENTILE_H
#define HS_DATAPLANE_AUTO_PERCENTILE_H

#include <stdbool.h>
#include <stdint.h>

#define HS_AUTO_SUB_BITS   6u
#define HS_AUTO_EXPONENTS  48u
#define HS_AUTO_NR_BUCKETS (HS_AUTO_EXPONENTS << HS_AUTO_SUB_BITS)
#define HS_AUTO_GROUP_BITS 6u
#define HS_AUTO_NR_GROUPS  (HS_AUTO_NR_BUCKETS >> HS_AUTO_GROUP_BITS)
#define HS_AUTO_WINDOW_MIN 16u
#define HS_AUTO_WINDOW_MAX (1u << 30)

struct hs_auto_epoch {
	uint8_t groups[HS_AUTO_NR_GROUPS]; /* 1: not all of it is empty */
	uint32_t counts[HS_AUTO_NR_BUCKETS];
};

/*
 * A sample below `near` is counted and no more. What it changes of the other
 * sums is made good by the next one that is not below it, or the last of so
 * many: until then the threshold, which sinks while there are no symptoms,
 * stays above.
 */
struct hs_auto_percentile {
	uint32_t near; /* bucket */
	uint32_t left; /* samples until it is worked out anew */
	uint32_t present;
	uint32_t unsettled;  /* left when all sums were right */
	uint32_t threshold;  /* bucket */
	uint32_t nr;	     /* samples of the epoch that are in all sums */
	uint32_t window;     /* of an epoch */
	uint32_t warm;	     /* samples still to come before a symptom */
	uint32_t ahead;	     /* at most left */
	uint32_t present_at; /* bytes from here to the present epoch */
	uint32_t fresh;	     /* of above, samples of the present epoch */
	uint32_t reserved;
	uint64_t tail;	  /* 1 - percentile / 100, << 32 */
	uint64_t allowed; /* tail * samples of both epochs */
	uint64_t wanted;  /* to lie above the threshold, << 32 */
	uint64_t above;	  /* samples in buckets above the threshold, << 32 */
	int64_t owed;	  /* symptoms that the share still has, << 32 */
	struct hs_auto_epoch epochs[2];
};

/* Return: false for a percentile or window outside the limits. */
bool hs_auto_percentile_init(struct hs_auto_percentile *p, double percentile,
			     uint32_t window);

/* The rest of a sample that is not below `near`, or the last. Return: whether
 * it is a symptom. */
bool hs_auto_percentile_settle(struct hs_auto_percentile *p, uint32_t bucket);

/* Of @parts values in the threshold's own bucket, how many are to lie beyond.
 * Return: up to @parts - 1. */
uint32_t hs_auto_percentile_parts(const struct hs_auto_percentile *p,
				  uint32_t parts);

/* Of most values their bucket; of 0, and of more than fits a bucket, more than
 * there are. */
static inline uint32_t hs_auto_bucket_most(uint64_t value)
{
	double d = (double)(int64_t)value;
	uint64_t bits;

	__builtin_memcpy(&bits, &d, sizeof(bits));
	return (uint32_t)(bits >> (52 - HS_AUTO_SUB_BITS)) -
	       (1023u << HS_AUTO_SUB_BITS);
}

static inline uint32_t hs_auto_bucket(uint64_t value)
{
	uint32_t bucket = hs_auto_bucket_most(value);

	if (bucket < HS_AUTO_NR_BUCKETS)
		return bucket;
	/* 0 has no exponent: it shares the bucket of 1. */
	return value ? HS_AUTO_NR_BUCKETS - 1 : 0;
}

static inline __attribute__((always_inline)) bool
hs_auto_percentile_count(struct hs_auto_percentile *p, uint32_t bucket)
{
	struct hs_auto_epoch *e =
		(struct hs_auto_epoch *)((uint8_t *)p + p->present_at);

	e->counts[bucket]++;
	e->groups[bucket >> HS_AUTO_GROUP_BITS] = 1;
	if (__builtin_expect(!--p->left, 0) ||
	    __builtin_expect(bucket >= p->near, 0))
		return hs_auto_percentile_settle(p, bucket);
	return false;
}

/* Of a value that hs_auto_bucket_most() does not tell, out of the others' way.
 */
bool hs_auto_percentile_sample_any(struct hs_auto_percentile *p,
				   uint64_t value);

static inline bool hs_auto_percentile_sample(struct hs_auto_percentile *p,
					     uint64_t value)
{
	uint32_t bucket = hs_auto_bucket_most(value);

	if (__builtin_expect(bucket >= HS_AUTO_NR_BUCKETS, 0))
		return hs_auto_percentile_sample_any(p, value);
	return hs_auto_percentile_count(p, bucket);
}

#endif

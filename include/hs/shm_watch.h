/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_watch.h - what an application and its agent share about whole spans
 *
 * Part of shm_format.h (which says where in the memories it lies): rules go
 * down, counts come up.
 *
 *   rules   in `down`, written by the agent: which spans are symptoms. Bounded
 *	     and flat, so that a client copies it whole, checks the copy and
 *	     never looks at the original again. `seq` is odd while it is being
 *	     written and higher for each table.
 *   counts  in `up`, written by the client: how many spans of an operation
 *	     lasted how long, over all requests, kept or not. Counts only ever
 *	     grow, so that reading them twice, or by another worker, counts
 *	     nothing twice (ADR 4).
 *
 * A wall of the house, as shm_format.h is.
 */
#ifndef HS_SHM_WATCH_H
#define HS_SHM_WATCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define HS_SHM_WATCH_ASSERT(cond) static_assert(cond, #cond)
#else
#define HS_SHM_WATCH_ASSERT(cond) _Static_assert(cond, #cond)
#endif

/* ---- rules: in down ------------------------------------------------------ */

#define HS_SHM_RULES_VERSION 1u
#define HS_SHM_RULES_MAX     64u
#define HS_SHM_TESTS_MAX     64u
#define HS_SHM_RULE_NAME     32u
#define HS_SHM_RULE_SERVICE  64u
#define HS_SHM_RULE_SPAN     96u
#define HS_SHM_TEST_KEY	     48u
#define HS_SHM_TEST_TEXT     56u

/* Bits of hs_shm_rule.statuses, by enum hs_span_status. */
#define HS_SHM_STATUSES_ALL 7u

/* All that it names must hold of a span when it ends. */
struct hs_shm_rule {
	char trigger[HS_SHM_RULE_NAME];	   /* NUL-terminated, as all texts */
	char service[HS_SHM_RULE_SERVICE]; /* pattern: '*' for any text */
	char operation[HS_SHM_RULE_SPAN];  /* pattern, of the span's name */
	uint64_t min_ns;		   /* it lasted at least so long */
	uint64_t tests;			   /* bits of hs_shm_rules.tests[] */
	uint32_t percentile_ppm; /* of the operation's durations: above it;
				    parts in a million, 0: not asked */
	uint8_t statuses;	 /* bits: any of them */
	uint8_t slot; /* its counter in up, kept over changes of the table */
	uint16_t reserved;
	uint8_t spare[40];
};
HS_SHM_WATCH_ASSERT(sizeof(struct hs_shm_rule) == 256);

enum hs_shm_test_op {
	HS_SHM_TEST_EXISTS = 0,
	HS_SHM_TEST_EQUAL = 1,
	HS_SHM_TEST_NOT_EQUAL = 2, /* the attribute is there, and another */
	HS_SHM_TEST_LESS = 3,
	HS_SHM_TEST_AT_MOST = 4,
	HS_SHM_TEST_AT_LEAST = 5,
	HS_SHM_TEST_MORE = 6,
	HS_SHM_TEST_NR
};

/* What an attribute of the span must be. */
struct hs_shm_test {
	char key[HS_SHM_TEST_KEY];
	uint8_t op;	 /* enum hs_shm_test_op */
	uint8_t numeric; /* 1: compare with number, else with text */
	uint16_t reserved[3];
	double number;
	char text[HS_SHM_TEST_TEXT];
	uint64_t spare;
};
HS_SHM_WATCH_ASSERT(sizeof(struct hs_shm_test) == 128);

struct hs_shm_rules {
	uint64_t seq; /* odd: being written; 0: none yet */
	uint32_t version;
	uint32_t nr_rules;
	uint32_t nr_tests;
	uint32_t reserved[11];
	struct hs_shm_rule rules[HS_SHM_RULES_MAX];
	struct hs_shm_test tests[HS_SHM_TESTS_MAX];
};
HS_SHM_WATCH_ASSERT(offsetof(struct hs_shm_rules, rules) == 64);
HS_SHM_WATCH_ASSERT(sizeof(struct hs_shm_rules) % 64 == 0);

/* ---- operations: in up --------------------------------------------------- */

#define HS_SHM_OPERATIONS_MAX 256u
#define HS_SHM_STRIPES_MAX    64u /* bits of hs_shm_watch.stripes */
/* Of a client that does not say in its hello how many it takes. */
#define HS_SHM_STRIPES_UNSAID	 16u
#define HS_SHM_OPERATION_SERVICE 64u
#define HS_SHM_OPERATION_NAME	 184u

/*
 * A service's span name. Number 0 is "other": what came when all others were
 * given out; it has no texts. A longer text is cut.
 */
struct hs_shm_operation {
	uint32_t ready; /* 1: the texts may be read and stay as they are */
	uint32_t reserved;
	char service[HS_SHM_OPERATION_SERVICE];
	char name[HS_SHM_OPERATION_NAME];
};
HS_SHM_WATCH_ASSERT(sizeof(struct hs_shm_operation) == 256);

/* Durations in units of 128 ns, eight buckets to a power of two. */
#define HS_SHM_TALLY_SHIFT    7u
#define HS_SHM_TALLY_SUB_BITS 3u
#define HS_SHM_TALLY_BUCKETS  255u

static inline uint32_t hs_shm_tally_bucket(uint64_t duration_ns)
{
	uint64_t v = duration_ns >> HS_SHM_TALLY_SHIFT;
	uint32_t row;
	uint64_t bucket;

	/* The last power of two has seven buckets: the rest is in its last. */
	if (v < 1u << HS_SHM_TALLY_SUB_BITS)
		return (uint32_t)v;
	row = 63u - (uint32_t)__builtin_clzll(v) - HS_SHM_TALLY_SUB_BITS;
	bucket = ((uint64_t)row << HS_SHM_TALLY_SUB_BITS) + (v >> row);
	return bucket < HS_SHM_TALLY_BUCKETS ? (uint32_t)bucket
					     : HS_SHM_TALLY_BUCKETS - 1;
}

/* The least duration of a bucket. */
static inline uint64_t hs_shm_tally_low_ns(uint32_t bucket)
{
	uint32_t row = bucket >> HS_SHM_TALLY_SUB_BITS;
	uint64_t sub = bucket & ((1u << HS_SHM_TALLY_SUB_BITS) - 1);

	if (row == 0)
		return sub << HS_SHM_TALLY_SHIFT;
	return ((1u << HS_SHM_TALLY_SUB_BITS) + sub)
	       << (row - 1 + HS_SHM_TALLY_SHIFT);
}

/*
 * How many spans of one operation ended. There is one for each operation and
 * *stripe*: the thread that holds lane i writes stripe i alone, if that is one
 * of the first hs_shm_stripes_own(); the others share the rest of them.
 */
struct hs_shm_tally {
	uint64_t errors;
	uint64_t buckets[HS_SHM_TALLY_BUCKETS];
};
HS_SHM_WATCH_ASSERT(sizeof(struct hs_shm_tally) == 2048);

static inline uint32_t hs_shm_stripes_own(uint32_t nr_stripes)
{
	uint32_t shared = nr_stripes / 4;

	return nr_stripes - (shared ? shared : 1);
}

/*
 * At up_watch of up; then struct hs_shm_operation[nr_operations], and
 * struct hs_shm_tally[nr_stripes][nr_operations].
 */
struct hs_shm_watch {
	uint64_t spans_other;	/* counted as "other" for want of a number */
	uint64_t rules_seq;	/* of the table in force, 0: none */
	uint64_t rules_refused; /* tables that held nonsense */
	uint64_t stripes; /* bit i: there may be counts in stripe i. 0: the
			     client does not say which */
	uint64_t reserved[4];
	uint64_t fired[HS_SHM_RULES_MAX]; /* by hs_shm_rule.slot */
};
HS_SHM_WATCH_ASSERT(sizeof(struct hs_shm_watch) % 64 == 0);

static inline uint64_t hs_shm_watch_bytes(uint32_t nr_operations,
					  uint32_t nr_stripes)
{
	return sizeof(struct hs_shm_watch) +
	       (uint64_t)nr_operations *
		       (sizeof(struct hs_shm_operation) +
			nr_stripes * sizeof(struct hs_shm_tally));
}

#endif

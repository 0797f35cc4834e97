/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the rules of the agent's configuration, evaluated when a span ends.
 *
 * The helper copies the agent's table from shared memory, checks it and makes
 * the copy the one in force; nothing else of it is read twice. What does not
 * change for an operation (which rules' patterns fit) is worked out at the
 * first end of a span of it; tests of attributes are made when an attribute is
 * written, and only for keys that some rule asks about.
 *
 * Guarantees: without rules a span end pays a load and a branch; no lock that
 * is waited for, no allocation, no fault. A table that makes no sense is
 * counted and leaves the former one in force. There are TABLES copies that
 * take turns: who is still reading one that is being made anew (and so slept
 * through several changes of the configuration) reads within bounds, finds its
 * generation changed and fires nothing.
 */
#ifndef HS_DATAPLANE_RULES_H
#define HS_DATAPLANE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/attachment.h"
#include "dataplane/handle.h"
#include "dataplane/operation.h"
#include "dataplane/rules_test.h"

#define HS_RULES_TABLES	  4u
#define HS_RULES_KEY_BITS 64u

#define HS_RULES_NO_TEST 0xffu

struct hs_rules_table {
	uint64_t generation;   /* 0: being made */
	uint64_t seq;	       /* of the agent's */
	uint64_t keys;	       /* bits of hs_rules_key_bit() that are asked */
	uint64_t by_status[3]; /* rules, by enum hs_span_status */
	uint64_t percentiles;  /* rules that have one */
	uint64_t untested;     /* rules that ask of no attribute */
	uint64_t unlasting;    /* rules that any duration meets */
	uint64_t least_ns;     /* the least that meets any of the others */
	uint64_t any;	       /* rules that any span may meet that is unset */
	uint8_t first[HS_RULES_KEY_BITS]; /* test of a key bit */
	/* What a span's end asks of each rule, close together. */
	struct {
		uint64_t min_ns;
		uint64_t tests;
	} asked[HS_SHM_RULES_MAX];
	struct hs_rules_one ones[HS_RULES_KEY_BITS];
	struct hs_rules_quick quick[HS_SHM_TESTS_MAX];
	struct hs_trigger *triggers[HS_SHM_RULES_MAX];
	struct hs_shm_rules shm; /* checked */
};

struct hs_rules {
	const struct hs_rules_table *now; /* NULL: none */
	uint64_t keys;			  /* its, and that of errors */
	uint64_t generations;
	uint64_t read_seq; /* of the agent's table that was looked at last */
	uint64_t read_of;  /* and of which attachment that was */
	struct hs_rules_table tables[HS_RULES_TABLES];
};
extern struct hs_rules hs_rules __attribute__((visibility("hidden")));

/**
 * hs_rules_check() - whether a copy of a table may be used
 *
 * Context: pure.
 */
bool hs_rules_check(const struct hs_shm_rules *copy);

/* Whether a text fits a pattern, in which '*' stands for any text; "" fits
 * all. */
bool hs_rules_match(const char *pattern, const char *text);

/* Take over what the agent wrote last. Context: the helper. */
void hs_rules_refresh(struct hs_attachment *at);
/* No rules any more. Context: nobody is inside. */
void hs_rules_drop(void);

static inline const struct hs_rules_table *hs_rules_now(void)
{
	/* rules.R3 acquire, pairs rules.W3: the table before its address. */
	return __atomic_load_n(&hs_rules.now, __ATOMIC_ACQUIRE);
}

/* Keys that share a bit are told apart by comparing them; none of those that
 * are known (model/record_known.h) shares that of "error". */
static inline uint32_t hs_rules_key_bit(const char *key, size_t n)
{
	uint32_t last = n ? (uint8_t)key[n - 1] : 0;

	return ((uint32_t)n * 2u + last * 3u) & 63u;
}

/* The attribute that says whether a span failed, whatever the rules are. */
#define HS_RULES_ERROR_BYTES 5u
#define HS_RULES_ERROR_BIT                                                     \
	((HS_RULES_ERROR_BYTES * 2u + (uint32_t)'r' * 3u) & 63u)

/* Whether anything is to be done for a key: cheap, and at times yes for no. */
static inline bool hs_rules_asks(const char *key, size_t n)
{
	/* rules.C7 relaxed: a hint; the table is looked at again. */
	return n && __atomic_load_n(&hs_rules.keys, __ATOMIC_RELAXED) >>
				    hs_rules_key_bit(key, n) &
			    1;
}

/**
 * hs_rules_attr() - what a rule asks about, and errors
 * @type: enum hs_value_type; with @bits and @data as struct hs_rules_value
 *
 * Context: write path, outside of enter and leave; for keys that
 *	    hs_rules_asks() names.
 */
void hs_rules_attr(struct hs_span *span, const char *key, size_t key_bytes,
		   uint32_t type, uint64_t bits, const void *data);

struct hs_key;
/* The same of a key that is a literal. */
void hs_rules_attr_literal(struct hs_span *span, uint64_t bits,
			   const struct hs_key *k, uint32_t type,
			   const void *data);

/* Whether any rule may be met by a span of which nothing is said but what its
 * attributes are, whatever its operation. */
static inline __attribute__((always_inline)) bool
hs_rules_may(const struct hs_rules_table *t, const struct hs_span *span,
	     uint64_t duration_ns)
{
	return span->tests || t->any || duration_ns >= t->least_ns;
}

/**
 * hs_rules_judge() - a span has ended: fire what it meets
 * @trace: live
 *
 * Context: write path, outside of enter and leave.
 */
void hs_rules_judge(const struct hs_rules_table *t, struct hs_span *span,
		    struct hs_trace *trace, uint64_t duration_ns,
		    uint32_t status);

#endif

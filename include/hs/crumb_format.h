/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crumb_format.h - the table of breadcrumbs that an agent lets coordinators
 * read (docs/adr/0035)
 *
 * A copy for others of what the agent's index knows: which nodes a trace's
 * crumbs at this node name. A trace's entry lies in one bucket, under a key of
 * this table's own, which an agent draws when it begins and tells with the
 * table's window; in a bucket that is full the oldest gives way. A bucket is
 * what is read at once (docs/adr/0087), across the network while the agent
 * writes, so every entry has a check word: what does not fit it was torn, and
 * says nothing. Whatever it says is a hint. What the agent answers counts.
 *
 * Little-endian, whatever reads it. A wall of the house: it changes by ADR,
 * with HS_CRUMB_VERSION.
 */
#ifndef HS_CRUMB_FORMAT_H
#define HS_CRUMB_FORMAT_H

#include <stdint.h>

#ifdef __cplusplus
#define HS_CRUMB_ASSERT(cond) static_assert(cond, #cond)
#else
#define HS_CRUMB_ASSERT(cond) _Static_assert(cond, #cond)
#endif

#define HS_CRUMB_MAGIC	   0x31435348u /* "HSC1" */
#define HS_CRUMB_VERSION   2u
#define HS_CRUMB_WAYS	   4u /* entries of a bucket */
#define HS_CRUMB_NODES_MAX 12u
#define HS_CRUMB_BITS_MIN  6u
#define HS_CRUMB_BITS_MAX  24u

/* What is told of the table, with its window. */
struct hs_crumb_table {
	uint32_t magic;
	uint16_t version;
	uint16_t entry_bits; /* it has 1 << entry_bits entries */
	uint64_t node;	     /* whose */
	uint8_t key[16];     /* SipHash-2-4 of buckets and check words */
};
HS_CRUMB_ASSERT(sizeof(struct hs_crumb_table) == 32);

/* All zeros: empty. */
struct hs_crumb_entry {
	uint64_t check; /* of all from hi to the last of nr nodes */
	uint64_t hi, lo;
	uint16_t nr;
	uint16_t nr_more; /* nodes that found no place here; it stops at its end
			   */
	uint32_t turn;	  /* one more than what was newest in its bucket */
	uint64_t nodes[HS_CRUMB_NODES_MAX];
};
HS_CRUMB_ASSERT(sizeof(struct hs_crumb_entry) == 128);

/* Which one is the hash of hi and lo. */
struct hs_crumb_bucket {
	struct hs_crumb_entry ways[HS_CRUMB_WAYS];
};
HS_CRUMB_ASSERT(sizeof(struct hs_crumb_bucket) == 512);

#endif

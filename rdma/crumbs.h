/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crumbs.h - writing and reading a table of crumb_format.h
 *
 * Pure. The agent's one worker writes; whoever reads has copied a bucket first
 * and trusts nothing in it.
 */
#ifndef HS_RDMA_CRUMBS_H
#define HS_RDMA_CRUMBS_H

#include <stdbool.h>
#include <stddef.h>

#include "hs/crumb_format.h"

enum hs_crumbs_found {
	HS_CRUMBS_HERE,	 /* an entry, whole */
	HS_CRUMBS_OTHER, /* the trace has none here */
	HS_CRUMBS_TORN,	 /* no entry: read while it was written, or garbage */
};

/** hs_crumbs_bytes() - of the entries of a table */
static inline uint64_t hs_crumbs_bytes(const struct hs_crumb_table *table)
{
	return sizeof(struct hs_crumb_entry) << table->entry_bits;
}

/** hs_crumbs_table_make() - a table of at least @nr entries, within limits
 * @key: 16 random bytes that nothing else is made with */
struct hs_crumb_table hs_crumbs_table_make(uint64_t node, uint64_t nr,
					   const uint8_t key[16]);

/** hs_crumbs_bucket() - which one has the entry of a trace, if there is one */
uint32_t hs_crumbs_bucket(const struct hs_crumb_table *table, uint64_t hi,
			  uint64_t lo);

/**
 * hs_crumbs_add() - one more node that a trace's crumbs name
 * @buckets: of the table; the oldest entry of a full one gives way
 *
 * Context: the one writer.
 * Return: whether another trace's entry gave way.
 */
bool hs_crumbs_add(const struct hs_crumb_table *table,
		   struct hs_crumb_bucket *buckets, uint64_t hi, uint64_t lo,
		   uint64_t node);

/** hs_crumbs_version_other() - does @about tell of a table as another version
 * has them? Nothing is wrong with who says so; but it cannot be read. */
bool hs_crumbs_version_other(const void *about, size_t about_bytes);

/**
 * hs_crumbs_told() - is this what somebody can say of its table?
 * @about: @about_bytes bytes from a peer, any alignment
 * @node: who says it
 * @size_bytes: of what it lets us read
 *
 * Return: NULL and @out filled, or what is wrong.
 */
const char *hs_crumbs_told(const void *about, size_t about_bytes, uint64_t node,
			   uint64_t size_bytes, struct hs_crumb_table *out);

/**
 * hs_crumbs_look() - the entry of a trace, in its bucket as that came
 * @bytes: sizeof(struct hs_crumb_bucket) bytes from a peer, any alignment
 * @out: HERE: filled, nr within bounds
 */
enum hs_crumbs_found hs_crumbs_look(const struct hs_crumb_table *table,
				    const void *bytes, uint64_t hi, uint64_t lo,
				    struct hs_crumb_entry *out);

#endif

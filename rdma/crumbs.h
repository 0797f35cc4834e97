/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crumbs.h - writing and reading a table of crumb_format.h
 *
 * Pure. The agent's one worker writes; whoever reads has copied an entry first
 * and trusts nothing in it.
 */
#ifndef HS_RDMA_CRUMBS_H
#define HS_RDMA_CRUMBS_H

#include <stdbool.h>
#include <stddef.h>

#include "hs/crumb_format.h"

enum hs_crumbs_found {
	HS_CRUMBS_HERE,	 /* an entry, whole */
	HS_CRUMBS_EMPTY, /* nobody's */
	HS_CRUMBS_TORN,	 /* no entry: read while it was written, or garbage */
};

/** hs_crumbs_bytes() - of the entries of a table */
static inline uint64_t hs_crumbs_bytes(const struct hs_crumb_table *table)
{
	return sizeof(struct hs_crumb_entry) << table->slot_bits;
}

/** hs_crumbs_table_make() - a table of at least @nr entries, within limits
 * @key: 16 random bytes that nothing else is made with */
struct hs_crumb_table hs_crumbs_table_make(uint64_t node, uint64_t nr,
					   const uint8_t key[16]);

/** hs_crumbs_slot() - where the entry of a trace is, if there is one */
uint32_t hs_crumbs_slot(const struct hs_crumb_table *table, uint64_t hi,
			uint64_t lo);

/**
 * hs_crumbs_add() - one more node that a trace's crumbs name
 * @entries: of the table; another trace's entry gives way
 *
 * Context: the one writer.
 * Return: whether another trace's entry gave way.
 */
bool hs_crumbs_add(const struct hs_crumb_table *table,
		   struct hs_crumb_entry *entries, uint64_t hi, uint64_t lo,
		   uint64_t node);

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
 * hs_crumbs_look() - an entry as it came
 * @bytes: sizeof(*out) bytes from a peer, any alignment
 * @out: HERE: filled, nr within bounds
 */
enum hs_crumbs_found hs_crumbs_look(const struct hs_crumb_table *table,
				    const void *bytes,
				    struct hs_crumb_entry *out);

#endif

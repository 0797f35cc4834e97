/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crumbs.c - see crumbs.h
 */
#include "rdma/crumbs.h"

#include <string.h>

#include "base/hash.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "entries are little-endian, and read as they lie");

struct hs_crumb_table hs_crumbs_table_make(uint64_t node, uint64_t nr,
					   const uint8_t key[16])
{
	struct hs_crumb_table table = {
		.magic = HS_CRUMB_MAGIC,
		.version = HS_CRUMB_VERSION,
		.slot_bits = HS_CRUMB_BITS_MIN,
		.node = node,
	};

	memcpy(table.key, key, sizeof(table.key));
	while (table.slot_bits < HS_CRUMB_BITS_MAX &&
	       1ull << table.slot_bits < nr)
		table.slot_bits++;
	return table;
}

uint32_t hs_crumbs_slot(const struct hs_crumb_table *table, uint64_t hi,
			uint64_t lo)
{
	const uint64_t id[2] = {hi, lo};

	return (uint32_t)hs_hash_siphash(table->key, id, sizeof(id)) &
	       ((1u << table->slot_bits) - 1);
}

/* The empty entry's is not 0, so that none looks like it. */
static uint64_t check_of(const struct hs_crumb_table *table,
			 const struct hs_crumb_entry *entry)
{
	size_t from = offsetof(struct hs_crumb_entry, hi);
	size_t to = offsetof(struct hs_crumb_entry, nodes) +
		    entry->nr * sizeof(entry->nodes[0]);

	return hs_hash_siphash(table->key, (const uint8_t *)entry + from,
			       to - from);
}

bool hs_crumbs_add(const struct hs_crumb_table *table,
		   struct hs_crumb_entry *entries, uint64_t hi, uint64_t lo,
		   uint64_t node)
{
	struct hs_crumb_entry *entry = &entries[hs_crumbs_slot(table, hi, lo)];
	bool ours = entry->hi == hi && entry->lo == lo;
	bool gave_way = !ours && (entry->hi | entry->lo);

	if (!ours)
		*entry = (struct hs_crumb_entry){.hi = hi, .lo = lo};
	for (uint32_t i = 0; i < entry->nr; i++)
		if (entry->nodes[i] == node)
			return false;
	if (entry->nr < HS_CRUMB_NODES_MAX)
		entry->nodes[entry->nr++] = node;
	else
		entry->nr_more++;
	entry->check = check_of(table, entry);
	return gave_way;
}

const char *hs_crumbs_told(const void *about, size_t about_bytes, uint64_t node,
			   uint64_t size_bytes, struct hs_crumb_table *out)
{
	struct hs_crumb_table t;

	if (about_bytes != sizeof(t))
		return "the table's description has another size";
	memcpy(&t, about, sizeof(t));
	if (t.magic != HS_CRUMB_MAGIC || t.version != HS_CRUMB_VERSION)
		return "it is no table of crumbs of our version";
	if (t.slot_bits < HS_CRUMB_BITS_MIN || t.slot_bits > HS_CRUMB_BITS_MAX)
		return "the table has too few or too many entries";
	if (t.node != node)
		return "it is another node's table";
	if (size_bytes != hs_crumbs_bytes(&t))
		return "the window is not as large as the table";
	*out = t;
	return NULL;
}

enum hs_crumbs_found hs_crumbs_look(const struct hs_crumb_table *table,
				    const void *bytes,
				    struct hs_crumb_entry *out)
{
	memcpy(out, bytes, sizeof(*out));
	if (!(out->hi | out->lo | out->check | out->nr))
		return HS_CRUMBS_EMPTY;
	if (out->nr == 0 || out->nr > HS_CRUMB_NODES_MAX ||
	    !(out->hi | out->lo) || out->check != check_of(table, out))
		return HS_CRUMBS_TORN;
	return HS_CRUMBS_HERE;
}

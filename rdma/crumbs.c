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
		.entry_bits = HS_CRUMB_BITS_MIN,
		.node = node,
	};

	memcpy(table.key, key, sizeof(table.key));
	while (table.entry_bits < HS_CRUMB_BITS_MAX &&
	       1ull << table.entry_bits < nr)
		table.entry_bits++;
	return table;
}

uint32_t hs_crumbs_bucket(const struct hs_crumb_table *table, uint64_t hi,
			  uint64_t lo)
{
	const uint64_t id[2] = {hi, lo};

	return (uint32_t)hs_hash_siphash(table->key, id, sizeof(id)) &
	       ((1u << table->entry_bits) / HS_CRUMB_WAYS - 1);
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

static bool is_of(const struct hs_crumb_entry *e, uint64_t hi, uint64_t lo)
{
	return e->hi == hi && e->lo == lo;
}

/* Of @bucket: where the trace is, or may be. */
static struct hs_crumb_entry *way_of(struct hs_crumb_bucket *bucket,
				     uint64_t hi, uint64_t lo, uint32_t *newest)
{
	struct hs_crumb_entry *oldest = &bucket->ways[0];

	*newest = oldest->turn;
	for (uint32_t i = 0; i < HS_CRUMB_WAYS; i++) {
		struct hs_crumb_entry *e = &bucket->ways[i];

		/* Ways fill up in order, so behind an empty one is nobody. */
		if (is_of(e, hi, lo) || !(e->hi | e->lo))
			return e;
		if ((int32_t)(e->turn - *newest) > 0)
			*newest = e->turn;
		if ((int32_t)(e->turn - oldest->turn) < 0)
			oldest = e;
	}
	return oldest;
}

bool hs_crumbs_add(const struct hs_crumb_table *table,
		   struct hs_crumb_bucket *buckets, uint64_t hi, uint64_t lo,
		   uint64_t node)
{
	uint32_t newest;
	struct hs_crumb_entry *entry = way_of(
		&buckets[hs_crumbs_bucket(table, hi, lo)], hi, lo, &newest);
	bool ours = is_of(entry, hi, lo);
	bool gave_way = !ours && (entry->hi | entry->lo);

	if (!ours)
		*entry = (struct hs_crumb_entry){
			.hi = hi, .lo = lo, .turn = newest + 1};
	for (uint32_t i = 0; i < entry->nr; i++)
		if (entry->nodes[i] == node)
			return false;
	if (entry->nr < HS_CRUMB_NODES_MAX)
		entry->nodes[entry->nr++] = node;
	else if (entry->nr_more < UINT16_MAX)
		entry->nr_more++;
	entry->check = check_of(table, entry);
	return gave_way;
}

bool hs_crumbs_version_other(const void *about, size_t about_bytes)
{
	struct hs_crumb_table t = {0};

	/* Others may say more, or less, behind these two. */
	if (about_bytes < offsetof(struct hs_crumb_table, entry_bits))
		return false;
	memcpy(&t, about, offsetof(struct hs_crumb_table, entry_bits));
	return t.magic == HS_CRUMB_MAGIC && t.version != HS_CRUMB_VERSION;
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
	if (t.entry_bits < HS_CRUMB_BITS_MIN ||
	    t.entry_bits > HS_CRUMB_BITS_MAX)
		return "the table has too few or too many entries";
	if (t.node != node)
		return "it is another node's table";
	if (size_bytes != hs_crumbs_bytes(&t))
		return "the window is not as large as the table";
	*out = t;
	return NULL;
}

enum hs_crumbs_found hs_crumbs_look(const struct hs_crumb_table *table,
				    const void *bytes, uint64_t hi, uint64_t lo,
				    struct hs_crumb_entry *out)
{
	const uint8_t *at = bytes;

	for (uint32_t i = 0; i < HS_CRUMB_WAYS; i++, at += sizeof(*out)) {
		memcpy(out, at, sizeof(*out));
		if (!is_of(out, hi, lo))
			continue;
		return out->nr == 0 || out->nr > HS_CRUMB_NODES_MAX ||
				       out->check != check_of(table, out)
			       ? HS_CRUMBS_TORN
			       : HS_CRUMBS_HERE;
	}
	return HS_CRUMBS_OTHER;
}

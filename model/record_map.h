/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: a small table from the numbers of a record stream to what became of
 * them. It grows with what is put in, never with the numbers themselves, since
 * those come from outside.
 */
#ifndef HS_RECORD_MAP_H
#define HS_RECORD_MAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* From the numbers of a stream to what they became; open addressing. */
struct hs_record_entry {
	uint64_t key; /* plus one, 0: free */
	uint64_t value;
};

struct hs_record_map {
	struct hs_record_entry *entries;
	size_t cap; /* power of two, or 0 */
	size_t nr;
};

static inline struct hs_record_entry *
hs_record_map_place(const struct hs_record_map *m, uint64_t key)
{
	size_t i = hs_hash_mix64(key) & (m->cap - 1);

	while (m->entries[i].key && m->entries[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->entries[i];
}

static inline int hs_record_map_grow(struct hs_record_map *m)
{
	struct hs_record_map bigger = {.cap = m->cap ? m->cap * 2 : 64,
				       .nr = m->nr};

	bigger.entries = calloc(bigger.cap, sizeof(*bigger.entries));
	if (!bigger.entries)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		if (m->entries[i].key)
			*hs_record_map_place(&bigger, m->entries[i].key) =
				m->entries[i];
	}
	free(m->entries);
	*m = bigger;
	return 0;
}

/* The last one put under a key counts. */
static inline int hs_record_map_put(struct hs_record_map *m, uint64_t key,
				    uint64_t value)
{
	struct hs_record_entry *e;

	if (key == UINT64_MAX)
		return -E2BIG;
	if (m->nr * 2 >= m->cap && hs_record_map_grow(m))
		return -ENOMEM;
	e = hs_record_map_place(m, key + 1);
	if (!e->key)
		m->nr++;
	*e = (struct hs_record_entry){key + 1, value};
	return 0;
}

static inline bool hs_record_map_get(const struct hs_record_map *m,
				     uint64_t key, uint64_t *value)
{
	const struct hs_record_entry *e;

	if (!m->cap || key == UINT64_MAX)
		return false;
	e = hs_record_map_place(m, key + 1);
	*value = e->value;
	return e->key != 0;
}

static inline void hs_record_map_clear(struct hs_record_map *m)
{
	if (m->nr)
		memset(m->entries, 0, m->cap * sizeof(*m->entries));
	m->nr = 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_crumbs.c - a table's description and an entry, as a peer lets us read
 *
 * The first 32 bytes are the description, what follows is an entry. An entry
 * that is taken is within bounds, and is what its bytes are.
 */
#include <stdlib.h>
#include <string.h>

#include "rdma/crumbs.h"
#include "tests/fuzz/fuzz.h"

#define NODE 5u

/* With the check word that belongs to it, so that the driver starts inside. */
static struct {
	struct hs_crumb_table table;
	struct hs_crumb_entry entry;
} seed;

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{&seed, sizeof(seed)},
	{NULL, 0},
};

static __attribute__((constructor)) void make_seed(void)
{
	static struct hs_crumb_entry entries[1u << HS_CRUMB_BITS_MIN];

	seed.table = hs_crumbs_table_make(NODE, 1,
					  (const uint8_t *)"0123456789abcdef");
	for (uint64_t n = 1; n < 6; n++)
		hs_crumbs_add(&seed.table, entries, 1, 2, n << 32 | 1);
	seed.entry = entries[hs_crumbs_slot(&seed.table, 1, 2)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	size_t head = len_bytes < sizeof(struct hs_crumb_table)
			      ? len_bytes
			      : sizeof(struct hs_crumb_table);
	uint8_t bytes[sizeof(struct hs_crumb_entry)] = {0};
	struct hs_crumb_entry e;
	struct hs_crumb_table t;

	if (hs_crumbs_told(data, head, NODE, 64 * sizeof(e), &t))
		t = seed.table;
	if (hs_crumbs_bytes(&t) != 64 * sizeof(e) ||
	    hs_crumbs_slot(&t, len_bytes, head) >= 64)
		abort();
	data += head;
	len_bytes -= head;
	memcpy(bytes, data,
	       len_bytes < sizeof(bytes) ? len_bytes : sizeof(bytes));
	if (hs_crumbs_look(&t, bytes, &e) != HS_CRUMBS_HERE)
		return 0;
	if (!e.nr || e.nr > HS_CRUMB_NODES_MAX || !(e.hi | e.lo) ||
	    memcmp(&e, bytes, sizeof(e)))
		abort();
	return 0;
}

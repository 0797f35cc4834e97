/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_crumbs.c - a table's description and a bucket, as a peer lets us read
 *
 * The first 32 bytes are the description, what follows is a bucket. An entry
 * that is taken is within bounds, is the trace's that was looked for, and is
 * what its bytes are.
 */
#include <stdlib.h>
#include <string.h>

#include "rdma/crumbs.h"
#include "tests/fuzz/fuzz.h"

#define NODE 5u

/* With the check word that belongs to it, so that the driver starts inside. */
static struct {
	struct hs_crumb_table table;
	struct hs_crumb_bucket bucket;
} seed;

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{&seed, sizeof(seed)},
	{NULL, 0},
};

static __attribute__((constructor)) void make_seed(void)
{
	static struct hs_crumb_bucket
		buckets[(1u << HS_CRUMB_BITS_MIN) / HS_CRUMB_WAYS];

	seed.table = hs_crumbs_table_make(NODE, 1,
					  (const uint8_t *)"0123456789abcdef");
	for (uint64_t n = 1; n < 6; n++)
		hs_crumbs_add(&seed.table, buckets, 1, 2, n << 32 | 1);
	seed.bucket = buckets[hs_crumbs_bucket(&seed.table, 1, 2)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	size_t head = len_bytes < sizeof(struct hs_crumb_table)
			      ? len_bytes
			      : sizeof(struct hs_crumb_table);
	const uint8_t *at = NULL;
	uint8_t bytes[sizeof(struct hs_crumb_bucket)] = {0};
	struct hs_crumb_entry e;
	struct hs_crumb_table t;

	if (hs_crumbs_told(data, head, NODE, 64 * sizeof(e), &t))
		t = seed.table;
	if (hs_crumbs_bytes(&t) != 64 * sizeof(e) ||
	    hs_crumbs_bucket(&t, len_bytes, head) >= 64 / HS_CRUMB_WAYS)
		abort();
	data += head;
	len_bytes -= head;
	memcpy(bytes, data,
	       len_bytes < sizeof(bytes) ? len_bytes : sizeof(bytes));
	if (hs_crumbs_look(&t, bytes, 1, 2, &e) != HS_CRUMBS_HERE)
		return 0;
	for (uint32_t i = 0; i < HS_CRUMB_WAYS && !at; i++)
		if (!memcmp(&e, bytes + i * sizeof(e), sizeof(e)))
			at = bytes + i * sizeof(e);
	if (!e.nr || e.nr > HS_CRUMB_NODES_MAX || e.hi != 1 || e.lo != 2 || !at)
		abort();
	return 0;
}

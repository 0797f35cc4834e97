/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_hostlist.c - any text as a list of hosts: every word that comes out is
 * bounded and printable, and there are not more than was said
 */
#include <stdlib.h>
#include <string.h>

#include "rdma/hostlist.h"
#include "tests/fuzz/fuzz.h"

#define WORDS_MAX 100u

static const char seed_ranges[] = "node[01-16,20]:7410,head";
static const char seed_product[] = "r[1-4]n[001-010],[::1]:7,5@h:1";

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_ranges, sizeof(seed_ranges) - 1},
	{seed_product, sizeof(seed_product) - 1},
	{NULL, 0},
};

static int count(void *ctx, const char *word)
{
	uint32_t *nr = ctx;
	size_t len = strlen(word);

	if (!len || len >= HS_HOSTLIST_WORD_BYTES || ++*nr > WORDS_MAX)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[HS_HOSTLIST_ERROR_BYTES];
	char *text = malloc(size + 1);
	uint32_t nr = 0;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	(void)hs_hostlist_expand(text, WORDS_MAX, count, &nr, error);
	free(text);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_source.c - words of a configuration, answers of name servers and values
 * of etcd: whatever they hold, a line that comes out is an address
 */
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "rdma/hostlist.h"
#include "rdma/source.h"
#include "tests/fuzz/fuzz.h"

static const char seed_word[] = "\0001001@node1:7410,node[2-3]:7410";
static const char seed_etcd[] = "\001MTAwMUAxMC4wLjAuNzo3NDEw";
/* A question, and one SRV: 10 20 7410 a.b. */
static const char seed_srv[] =
	"\002\0\1\201\200\0\1\0\1\0\0\0\0\1h\1b\0\0\041\0\1"
	"\300\014\0\041\0\1\0\0\0\074\0\013\0\012\0\024\034\362\1a\1b\0";

const struct hs_fuzz_seed hs_fuzz_seeds[] = {
	{seed_word, sizeof(seed_word) - 1},
	{seed_etcd, sizeof(seed_etcd) - 1},
	{seed_srv, sizeof(seed_srv) - 1},
	{NULL, 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hs_source_lines lines = {0};
	char error[HS_HOSTLIST_ERROR_BYTES];
	struct hs_source_etcd etcd;
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	if (data[0] == 0) {
		(void)hs_source_check(text, error);
		(void)hs_source_etcd_parse(text, &etcd);
	} else if (data[0] == 1) {
		(void)hs_source_etcd_value(text, &lines);
	} else {
		(void)hs_source_srv(text, size - 1, &lines);
	}
	for (uint32_t i = 0; i < lines.nr; i++)
		if (hs_address_check(lines.at[i].address))
			abort();
	free(lines.at);
	free(text);
	return 0;
}

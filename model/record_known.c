/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see record_known.h. */
#include "model/record_known.h"

#define NAME(name) {name, sizeof(name) - 1},

const char *hs_record_known_name(uint64_t v, size_t *len_bytes)
{
	static const struct {
		const char *text;
		size_t bytes;
	} names[] = {HS_RECORD_KNOWN_KEYS(NAME)};
	uint64_t i = (v >> 1) - HS_RECORD_KNOWN_BASE;

	if (i >= HS_RECORD_KNOWN_NR)
		return NULL;
	*len_bytes = names[i].bytes;
	return names[i].text;
}

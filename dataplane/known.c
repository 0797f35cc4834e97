/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see known.h: the table, made before main(). */
#include "dataplane/known.h"

#define NAME(name) name,

_Static_assert(HS_RECORD_KNOWN_NR * 3 < HS_KNOWN_PLACES,
	       "searches that fail end soon");

struct hs_known_table hs_known_table;

__attribute__((constructor)) static void table_make(void)
{
	static const char *const names[] = {HS_RECORD_KNOWN_KEYS(NAME)};

	for (uint32_t i = 1; i < HS_RECORD_KNOWN_NR; i++) {
		struct hs_known *k = &hs_known_table.names[i];
		size_t n = strlen(names[i]);
		uint32_t at;

		if (n < HS_KNOWN_MIN_BYTES || n > HS_KNOWN_MAX_BYTES)
			continue;
		k->bytes = (uint8_t)n;
		k->word = hs_record_known_word(i);
		memcpy(k->text, names[i], n);
		at = hs_known_hash(names[i], n);
		while (hs_known_table.places[at])
			at = (at + 1) % HS_KNOWN_PLACES;
		hs_known_table.places[at] = (uint16_t)i;
	}
}

uint32_t hs_known_seek(const char *key, size_t n, uint32_t i)
{
	uint32_t at = hs_known_table.places[i];

	while (at) {
		if (hs_known_is(&hs_known_table.names[at], key, n))
			return hs_known_table.names[at].word;
		i = (i + 1) % HS_KNOWN_PLACES;
		at = hs_known_table.places[i];
	}
	return 0;
}

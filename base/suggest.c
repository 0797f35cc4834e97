/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: distance between words (optimal string alignment); see suggest.h.
 */
#include "base/suggest.h"

#include <string.h>

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t hs_suggest_distance(const char *a, const char *b)
{
	/* the rows for the letters before last, last and current of @a */
	size_t rows[3][HS_SUGGEST_WORD_MAX + 1];
	size_t *before = rows[0];
	size_t *last = rows[1];
	size_t *now = rows[2];
	size_t a_len = strnlen(a, HS_SUGGEST_WORD_MAX + 1);
	size_t b_len = strnlen(b, HS_SUGGEST_WORD_MAX + 1);

	if (a_len > HS_SUGGEST_WORD_MAX || b_len > HS_SUGGEST_WORD_MAX)
		return HS_SUGGEST_WORD_MAX + 1;
	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	memset(rows[0], 0, sizeof(rows[0]));
	for (size_t i = 1; i <= a_len; i++) {
		size_t *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t cost = a[i - 1] != b[j - 1];

			now[j] = min(min(last[j], now[j - 1]) + 1,
				     last[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				now[j] = min(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b_len];
}

bool hs_suggest_better(const char *word, const char *known, size_t *best)
{
	size_t distance = hs_suggest_distance(word, known);
	size_t near = strlen(word) / 3;

	if (near == 0)
		near = 1;
	if (distance > near || distance >= *best)
		return false;
	*best = distance;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: see glob.h. Only the last '*' is ever tried again: what an earlier
 * one took more of, the later one can take instead.
 */
#include "base/glob.h"

bool hs_glob(const char *pattern, size_t pattern_bytes, const char *text,
	     size_t text_bytes)
{
	size_t p = 0, t = 0;
	size_t star = pattern_bytes, star_text = 0; /* none yet */

	while (t < text_bytes) {
		if (p < pattern_bytes && pattern[p] == '*') {
			star = p++;
			star_text = t;
		} else if (p < pattern_bytes &&
			   (pattern[p] == '?' || pattern[p] == text[t])) {
			p++;
			t++;
		} else if (star < pattern_bytes) {
			p = star + 1;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern_bytes && pattern[p] == '*')
		p++;
	return p == pattern_bytes;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: does a text fit a pattern with '*' (any bytes, also none) and '?'
 * (one byte)?
 *
 * Guarantees: pure; by bytes; time at most pattern times text, whatever both
 * hold; nothing needs a NUL at its end.
 */
#ifndef HS_GLOB_H
#define HS_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/** hs_glob() - Context: any thread; async-signal-safe */
bool hs_glob(const char *pattern, size_t pattern_bytes, const char *text,
	     size_t text_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: "did you mean": how far a word is from one that is known.
 */
#ifndef HS_SUGGEST_H
#define HS_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

/* Longer words are not compared. */
#define HS_SUGGEST_WORD_MAX 64

/* Insertions, deletions, substitutions and swaps of neighbours between two
 * words; HS_SUGGEST_WORD_MAX + 1 when one of them is too long. */
size_t hs_suggest_distance(const char *a, const char *b);

/**
 * hs_suggest_better() - is a known word near, and nearer than the best so far?
 * @word: what was written
 * @known: a word that would have been right
 * @best: distance of the best so far; begin with SIZE_MAX
 *
 * Near is at most a third of the word's letters, at least one.
 *
 * Return: true if so, and @best is its distance.
 */
bool hs_suggest_better(const char *word, const char *known, size_t *best);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostlist.h - lists of hosts as Slurm writes them: node[01-16,20]:7410,head
 *
 * Ranges keep the width of their first number; several brackets in one word
 * make all combinations. Pure and bounded: too many words, too long a word and
 * anything unclosed is refused with a reason.
 */
#ifndef HS_RDMA_HOSTLIST_H
#define HS_RDMA_HOSTLIST_H

#include <stdint.h>

#define HS_HOSTLIST_WORD_BYTES	280u /* the longest, NUL included */
#define HS_HOSTLIST_ERROR_BYTES 128u

/* Return: 0 to go on; anything else ends the expansion with it. */
typedef int (*hs_hostlist_fn)(void *ctx, const char *word);

/**
 * hs_hostlist_expand() - every host of a list, in order
 * @max: words at most
 * @error: out: what is wrong and what would be right; HS_HOSTLIST_ERROR_BYTES
 *
 * Return: 0; -EINVAL refused; -ENOSPC over @max; or what @fn returned.
 */
int hs_hostlist_expand(const char *text, uint32_t max, hs_hostlist_fn fn,
		       void *ctx, char *error);

#endif

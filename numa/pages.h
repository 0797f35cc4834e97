/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: large pages: what memory got, and why no larger ones.
 *
 * A TLB entry of 4 KiB covers eight small buffers; one of 2 MiB a chunk.
 */
#ifndef HS_NUMA_PAGES_H
#define HS_NUMA_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HS_PAGES_WHY_BYTES 224u

enum hs_pages {
	HS_PAGES_SMALL,	      /* 4 KiB */
	HS_PAGES_TRANSPARENT, /* 2 MiB, as far as the kernel found any */
	HS_PAGES_HUGE,	      /* 2 MiB, of hugetlbfs, all of it */
};
extern const char *const hs_pages_names[];

/**
 * hs_pages_of() - which pages shared memory has
 * @is_huge: it is of hugetlbfs
 * @huge_bytes: out, how much of it is mapped by large ones
 *
 * Looks at /proc/self/smaps: for beginnings, not for every round.
 */
enum hs_pages hs_pages_of(const void *base, size_t size_bytes, bool is_huge,
			  uint64_t *huge_bytes);

/**
 * hs_pages_why() - why these, in words for the operator
 * @wanted: whether the configuration asks for large ones
 */
void hs_pages_why(enum hs_pages pages, bool wanted,
		  char out[HS_PAGES_WHY_BYTES]);

#endif

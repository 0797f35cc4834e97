/* SPDX-License-Identifier: Apache-2.0 */
/* Purpose: see pages.h. */
#include "numa/pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESERVED "/proc/sys/vm/nr_hugepages"
#define SHMEM	 "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

const char *const hs_pages_names[] = {
	[HS_PAGES_SMALL] = "small",
	[HS_PAGES_TRANSPARENT] = "transparent",
	[HS_PAGES_HUGE] = "huge",
};

static bool mapped_huge(const char *line, uint64_t *kb)
{
	return sscanf(line, "ShmemPmdMapped: %" SCNu64 " kB", kb) == 1 ||
	       sscanf(line, "FilePmdMapped: %" SCNu64 " kB", kb) == 1;
}

enum hs_pages hs_pages_of(const void *base, size_t size_bytes, bool is_huge,
			  uint64_t *huge_bytes)
{
	uintptr_t begin = (uintptr_t)base, end = begin + size_bytes;
	bool inside = false;
	char line[512];
	FILE *f;

	*huge_bytes = is_huge ? size_bytes : 0;
	if (is_huge)
		return HS_PAGES_HUGE;
	f = fopen("/proc/self/smaps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t from, to, kb;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
			inside = from < end && to > begin;
		else if (inside && mapped_huge(line, &kb))
			*huge_bytes += kb << 10;
	}
	if (f)
		fclose(f);
	if (*huge_bytes > size_bytes)
		*huge_bytes = size_bytes;
	return *huge_bytes ? HS_PAGES_TRANSPARENT : HS_PAGES_SMALL;
}

static void first_line(const char *path, char *out, size_t out_bytes)
{
	FILE *f = fopen(path, "re");

	snprintf(out, out_bytes, "not there");
	if (f && fgets(out, (int)out_bytes, f))
		out[strcspn(out, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* "always [madvise] never" -> "madvise" */
static void chosen(char *text)
{
	char *from = strchr(text, '['), *to = from ? strchr(from, ']') : NULL;

	if (!to)
		return;
	*to = '\0';
	memmove(text, from + 1, (size_t)(to - from));
}

void hs_pages_why(enum hs_pages pages, bool wanted,
		  char out[HS_PAGES_WHY_BYTES])
{
	char reserved[32], shmem[96];

	if (!wanted) {
		snprintf(out, HS_PAGES_WHY_BYTES, "huge_pages is false");
		return;
	}
	first_line(RESERVED, reserved, sizeof(reserved));
	first_line(SHMEM, shmem, sizeof(shmem));
	chosen(shmem);
	if (pages == HS_PAGES_HUGE)
		snprintf(out, HS_PAGES_WHY_BYTES, "of %s reserved", reserved);
	else if (!strcmp(reserved, "0"))
		snprintf(out, HS_PAGES_WHY_BYTES,
			 "vm.nr_hugepages is 0, shmem_enabled is %s", shmem);
	else
		snprintf(out, HS_PAGES_WHY_BYTES,
			 "too few of %s vm.nr_hugepages were free, "
			 "shmem_enabled is %s",
			 reserved, shmem);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: map a file so that its large pages can be mapped as what they are:
 * the kernel does that only where address and offset agree modulo their size,
 * and by itself it gives such an address only where large pages are its own
 * idea.
 *
 * A header alone, since libhindsight links nothing of base/.
 */
#ifndef HS_ALIGNED_H
#define HS_ALIGNED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define HS_ALIGNED_BYTES ((size_t)2 << 20)

/**
 * hs_aligned_map() - mmap() of all of @fd, aligned where a large page fits in
 *
 * Own:    munmap() with @size_bytes.
 * Return: as mmap().
 */
static inline void *hs_aligned_map(size_t size_bytes, int prot, int flags,
				   int fd)
{
	size_t room = size_bytes + HS_ALIGNED_BYTES, before;
	uint8_t *p = MAP_FAILED, *base;
	void *mapped;

	if (size_bytes >= HS_ALIGNED_BYTES && room > size_bytes)
		p = mmap(NULL, room, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return mmap(NULL, size_bytes, prot, flags, fd, 0);
	before = -(uintptr_t)p & (HS_ALIGNED_BYTES - 1);
	base = p + before;
	mapped = mmap(base, size_bytes, prot, flags | MAP_FIXED, fd, 0);
	if (mapped == MAP_FAILED) {
		munmap(p, room);
		return MAP_FAILED;
	}
	/* In whole pages, as the file was mapped. */
	size_bytes = (size_bytes + 4095) & ~(size_t)4095;
	if (before)
		munmap(p, before);
	if (room > before + size_bytes)
		munmap(base + size_bytes, room - before - size_bytes);
	return mapped;
}

/**
 * hs_aligned_pages() - memory whose every place is looked into at random
 *
 * Zeros, in large pages where the machine likes, since each step is otherwise a
 * walk of the table of pages, too; and all of it now, as the first touch of a
 * page takes longer than what waits for it.
 *
 * Own:    munmap() with @size_bytes.
 * Return: NULL: there is none.
 */
static inline void *hs_aligned_pages(size_t size_bytes)
{
	void *p = hs_aligned_map(size_bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, size_bytes, MADV_HUGEPAGE);
	/* Linux 5.14 */
	if (madvise(p, size_bytes, MADV_POPULATE_WRITE))
		memset(p, 0, size_bytes);
	return p;
}

#endif

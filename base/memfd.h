/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: memory that is shared by file descriptor: a memfd of a fixed size,
 * paid for when it is made and mapped.
 *
 * Guarantees: sealed against shrinking, growing and further seals before
 * anybody else sees it, so that no peer can make an access fault by
 * truncation. Populated at once, so that too little memory is an error here
 * and not a signal later. A hole that a peer punches reads as zeros.
 */
#ifndef HS_MEMFD_H
#define HS_MEMFD_H

#include <stdbool.h>
#include <stddef.h>

struct hs_memfd {
	int fd;	    /* -1 when closed */
	void *base; /* NULL when not mapped */
	size_t size_bytes;
	bool is_huge; /* 2 MiB pages of hugetlbfs */
};

enum hs_memfd_flags {
	HS_MEMFD_HUGE = 1,	/* create: huge pages, plain ones if none */
	HS_MEMFD_READ_ONLY = 2, /* attach: map for reading */
	HS_MEMFD_POPULATE = 4,	/* attach: enter all pages in the page table */
	HS_MEMFD_ADVISE = 8,	/* create: large pages that nobody reserved */
	HS_MEMFD_OURS = 16,	/* create: nobody else can ever write to it */
};

/**
 * hs_memfd_create() - make, populate, seal and map shared memory
 * @m: filled in
 * @name: what /proc shows
 * @size_bytes: its size; rounded up to pages, or to 2 MiB when huge
 * @flags: HS_MEMFD_HUGE, HS_MEMFD_ADVISE, HS_MEMFD_OURS, or 0
 *
 * With HS_MEMFD_OURS it is sealed against future writes (Linux 5.1): what is
 * mapped here stays writable, and whoever gets the descriptor reads.
 *
 * Own: on success @m holds a descriptor and a mapping; hs_memfd_close().
 * Return: 0, or -errno: -EINVAL size 0, -ENOMEM or -ENOSPC not enough memory.
 */
int hs_memfd_create(struct hs_memfd *m, const char *name, size_t size_bytes,
		    unsigned int flags);

/* What is done with memory before any of it is touched. Return: 0 or -errno */
struct hs_memfd_place {
	int (*place)(void *ctx, void *base, size_t size_bytes);
	void *ctx;
};

/**
 * hs_memfd_create_at() - the same, in a place
 * @place: or NULL; when it fails the memory lies anywhere
 */
int hs_memfd_create_at(struct hs_memfd *m, const char *name, size_t size_bytes,
		       unsigned int flags, const struct hs_memfd_place *place);

/**
 * hs_memfd_attach() - map memory that somebody else made
 * @m: filled in
 * @fd: the descriptor, as received
 * @max_bytes: refuse more than this
 * @flags: HS_MEMFD_READ_ONLY and HS_MEMFD_POPULATE, or 0
 *
 * Own: on success @m owns @fd; after an error it is still the caller's.
 * Return: 0, or -errno: -EPERM not sealed as above, -EINVAL no memfd or
 * empty, -EFBIG over @max_bytes, -ENOMEM.
 */
int hs_memfd_attach(struct hs_memfd *m, int fd, size_t max_bytes,
		    unsigned int flags);

/* Unmap and keep the descriptor (the keeper's part). */
void hs_memfd_unmap(struct hs_memfd *m);

/* Unmap and close; may be called again. */
void hs_memfd_close(struct hs_memfd *m);

#endif

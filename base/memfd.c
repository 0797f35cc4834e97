/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: sealed, populated shared memory; see memfd.h.
 */
#include "base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/aligned.h"

#define HUGE_BYTES  ((size_t)2 << 20)
#define SMALL_BYTES ((size_t)4096) /* of any page, a part */
#define SLICE_BYTES (8 * HUGE_BYTES)
#define SEALS	    (F_SEAL_SHRINK | F_SEAL_GROW)

/* Newer than the libc headers that we build against. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

static int round_up(size_t *size_bytes, size_t unit_bytes)
{
	size_t sum;

	if (*size_bytes == 0 ||
	    __builtin_add_overflow(*size_bytes, unit_bytes - 1, &sum))
		return -EINVAL;
	*size_bytes = sum & ~(unit_bytes - 1);
	/* off_t is signed */
	return *size_bytes > INT64_MAX ? -EINVAL : 0;
}

static int make_fd(const char *name, unsigned int flags)
{
	int fd;

	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	/* Kernels before 6.3 do not know the flag */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	return fd < 0 ? -errno : fd;
}

/* Enter every page; the error comes here instead of as a signal later. */
static int populate(void *base, size_t size_bytes, bool writable)
{
	int advice = writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	int rc;

	do {
		rc = madvise(base, size_bytes, advice);
	} while (rc != 0 && errno == EINTR);
	/* Kernels before 5.14 do not know it: the pages exist already by
	 * fallocate, and the first touch enters them without allocating. */
	if (rc != 0 && errno == EINVAL)
		return 0;
	return rc != 0 ? -errno : 0;
}

static int map(struct hs_memfd *m, bool writable, bool populated)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	void *base = hs_aligned_map(m->size_bytes, prot, MAP_SHARED, m->fd);
	int rc;

	if (base == MAP_FAILED)
		return -errno;
	if (populated) {
		rc = populate(base, m->size_bytes, writable);
		if (rc != 0) {
			munmap(base, m->size_bytes);
			return rc;
		}
	}
	m->base = base;
	return 0;
}

/*
 * Large pages come to who touches the memory in a mapping that was advised,
 * where the kernel has them for shared memory at all; and to who asks that
 * what was touched be put together (Linux 6.1), also where it has not. A page
 * of each is enough for that: what is missing is cleared. So all this goes
 * before fallocate(), which finds what is left. In slices, since who cannot
 * have one may have looked for it long enough.
 */
static void advise(const struct hs_memfd *m)
{
	uint8_t *base = m->base;
	size_t whole = m->size_bytes & ~(HUGE_BYTES - 1), n;

	if (madvise(m->base, m->size_bytes, MADV_HUGEPAGE) != 0)
		return;
	for (size_t at = 0; at < whole; at += n) {
		n = whole - at < SLICE_BYTES ? whole - at : SLICE_BYTES;
		for (size_t i = 0; i < n; i += HUGE_BYTES)
			(void)madvise(base + at + i, SMALL_BYTES,
				      MADV_POPULATE_WRITE);
		if (madvise(base + at, n, MADV_COLLAPSE) != 0)
			break;
	}
	(void)madvise(m->base, m->size_bytes, MADV_POPULATE_WRITE);
}

static int create(struct hs_memfd *m, const char *name, size_t size_bytes,
		  unsigned int flags, const struct hs_memfd_place *place)
{
	bool huge = flags & HS_MEMFD_HUGE;
	size_t unit_bytes = huge ? HUGE_BYTES : (size_t)sysconf(_SC_PAGESIZE);
	int rc = round_up(&size_bytes, unit_bytes);
	int seals = SEALS | F_SEAL_SEAL;
	int fd;

	if (rc != 0)
		return rc;
	fd = make_fd(name, huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
	if (fd < 0)
		return fd;
	*m = (struct hs_memfd){fd, NULL, size_bytes, huge};
	if (ftruncate(fd, (off_t)size_bytes) != 0)
		rc = -errno;
	if (rc == 0)
		rc = map(m, true, false);
	if (rc == 0 && place)
		(void)place->place(place->ctx, m->base, size_bytes);
	if (rc == 0 && flags & HS_MEMFD_ADVISE)
		advise(m);
	if (rc == 0 && fallocate(fd, 0, 0, (off_t)size_bytes) != 0)
		rc = -errno;
	if (rc == 0)
		rc = populate(m->base, size_bytes, true);
	if (flags & HS_MEMFD_OURS)
		seals |= F_SEAL_FUTURE_WRITE;
	if (rc == 0 && fcntl(fd, F_ADD_SEALS, seals) != 0)
		rc = -errno;
	if (rc != 0)
		hs_memfd_close(m);
	return rc;
}

int hs_memfd_create_at(struct hs_memfd *m, const char *name, size_t size_bytes,
		       unsigned int flags, const struct hs_memfd_place *place)
{
	*m = (struct hs_memfd){-1, NULL, 0, false};
	if (size_bytes == 0)
		return -EINVAL;
	if (flags & HS_MEMFD_HUGE &&
	    create(m, name, size_bytes, flags & ~(unsigned)HS_MEMFD_ADVISE,
		   place) == 0)
		return 0;
	return create(m, name, size_bytes, flags & ~(unsigned)HS_MEMFD_HUGE,
		      place);
}

int hs_memfd_create(struct hs_memfd *m, const char *name, size_t size_bytes,
		    unsigned int flags)
{
	return hs_memfd_create_at(m, name, size_bytes, flags, NULL);
}

int hs_memfd_attach(struct hs_memfd *m, int fd, size_t max_bytes,
		    unsigned int flags)
{
	struct stat st;
	struct statfs fs;
	int seals = fcntl(fd, F_GET_SEALS);
	int rc;

	*m = (struct hs_memfd){-1, NULL, 0, false};
	if (seals < 0)
		return -errno;
	if ((seals & SEALS) != SEALS)
		return -EPERM;
	/* The size is fixed by the seals, so it may be looked at after them */
	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return -errno;
	if (st.st_size <= 0)
		return -EINVAL;
	if ((uint64_t)st.st_size > max_bytes)
		return -EFBIG;
	m->fd = fd;
	m->size_bytes = (size_t)st.st_size;
	/* st_blksize is as large where plain memory may get large pages. */
	m->is_huge = fs.f_type == HUGETLBFS_MAGIC;
	rc = map(m, !(flags & HS_MEMFD_READ_ONLY), flags & HS_MEMFD_POPULATE);
	if (rc != 0)
		*m = (struct hs_memfd){-1, NULL, 0, false};
	return rc;
}

void hs_memfd_unmap(struct hs_memfd *m)
{
	if (m->base != NULL)
		munmap(m->base, m->size_bytes);
	m->base = NULL;
}

void hs_memfd_close(struct hs_memfd *m)
{
	hs_memfd_unmap(m);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

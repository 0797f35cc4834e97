/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: sealed, populated memory; what is refused on attaching.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/aligned.h"
#include "base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void test_create(void **state)
{
	struct hs_memfd m;
	struct stat st;

	assert_int_equal(hs_memfd_create(&m, "hs-test", MIB + 1, 0), 0);
	assert_int_equal(m.size_bytes % 4096, 0);
	assert_true(m.size_bytes > MIB);
	assert_int_equal(fstat(m.fd, &st), 0);
	assert_int_equal(st.st_size, m.size_bytes);
	/* every page is there already */
	assert_int_equal((size_t)st.st_blocks * 512, m.size_bytes);
	assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ftruncate(m.fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(m.fd, 64 * (off_t)MIB), -1);
	assert_int_equal(fcntl(m.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	memset(m.base, 0x5a, m.size_bytes);
	hs_memfd_close(&m);
	hs_memfd_close(&m);
	assert_int_equal(m.fd, -1);
}

static void test_attach_shares_and_survives_holes(void **state)
{
	struct hs_memfd m;
	struct hs_memfd other;
	int fd;

	assert_int_equal(hs_memfd_create(&m, "hs-test", MIB, 0), 0);
	fd = dup(m.fd);
	assert_int_equal(hs_memfd_attach(&other, fd, MIB, HS_MEMFD_POPULATE),
			 0);
	assert_int_equal(other.size_bytes, MIB);
	((char *)other.base)[77] = 7;
	assert_int_equal(((char *)m.base)[77], 7);
	assert_int_equal(fallocate(other.fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, (off_t)MIB),
			 0);
	assert_int_equal(((char *)m.base)[77], 0);
	hs_memfd_unmap(&m);
	assert_null(m.base);
	assert_true(m.fd >= 0);
	hs_memfd_close(&other);
	hs_memfd_close(&m);
}

/* Who gets it reads, whatever he tries; we write on. */
static void test_ours(void **state)
{
	struct hs_memfd m;
	struct hs_memfd other;
	char path[64];
	int fd;

	assert_int_equal(hs_memfd_create(&m, "hs-test", MIB, HS_MEMFD_OURS), 0);
	fd = dup(m.fd);
	assert_int_equal(hs_memfd_attach(&other, fd, MIB, 0), -EPERM);
	assert_ptr_equal(
		mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
		MAP_FAILED);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(fallocate(fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, (off_t)MIB),
			 -1);
	assert_int_equal(
		hs_memfd_attach(&other, fd, MIB,
				HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE),
		0);
	assert_int_equal(mprotect(other.base, MIB, PROT_READ | PROT_WRITE), -1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", other.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	close(fd);
	((char *)m.base)[77] = 7;
	assert_int_equal(((const char *)other.base)[77], 7);
	hs_memfd_close(&other);
	hs_memfd_close(&m);
}

static void test_attach_read_only(void **state)
{
	struct hs_memfd m;
	struct hs_memfd other;
	int status = 0;
	pid_t pid;

	assert_int_equal(hs_memfd_create(&m, "hs-test", 4096, 0), 0);
	((char *)m.base)[0] = 3;
	assert_int_equal(
		hs_memfd_attach(&other, dup(m.fd), MIB,
				HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE),
		0);
	assert_int_equal(((char *)other.base)[0], 3);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)other.base = 4;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(((char *)m.base)[0], 3);
	hs_memfd_close(&other);
	hs_memfd_close(&m);
}

static void test_attach_refuses(void **state)
{
	struct hs_memfd m;
	int fds[2];
	int fd = memfd_create("hs-test", MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(hs_memfd_attach(&m, fd, MIB, 0), -EPERM);
	assert_int_equal(m.fd, -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW),
			 0);
	assert_int_equal(hs_memfd_attach(&m, fd, 4095, 0), -EFBIG);
	close(fd);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(hs_memfd_attach(&m, fds[0], MIB, 0), -EINVAL);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(hs_memfd_create(&m, "hs-test", 0, 0), -EINVAL);
	assert_int_equal(hs_memfd_create(&m, "hs-test", SIZE_MAX, 0), -EINVAL);
}

static void test_huge_or_plain(void **state)
{
	struct hs_memfd m;

	assert_int_equal(hs_memfd_create(&m, "hs-test", 2 * MIB, HS_MEMFD_HUGE),
			 0);
	assert_int_equal(m.size_bytes, 2 * MIB);
	memset(m.base, 1, m.size_bytes);
	hs_memfd_close(&m);
}

static int note_place(void *ctx, void *base, size_t size_bytes)
{
	unsigned char there = 1;

	/* Nothing of it has been touched. */
	assert_int_equal(mincore(base, 4096, &there), 0);
	assert_int_equal(there & 1, 0);
	*(size_t *)ctx = size_bytes;
	return 0;
}

static void test_placed_before_it_is_touched(void **state)
{
	struct hs_memfd m;
	size_t placed = 0;
	struct hs_memfd_place place = {note_place, &placed};

	assert_int_equal(hs_memfd_create_at(&m, "hs-test", 2 * MIB,
					    HS_MEMFD_ADVISE, &place),
			 0);
	assert_int_equal(placed, 2 * MIB);
	((uint8_t *)m.base)[2 * MIB - 1] = 7;
	assert_false(m.is_huge);
	hs_memfd_close(&m);
}

/* Of the mapping at @base, what is mapped by large pages, in bytes. */
static size_t large_bytes(const void *base)
{
	bool inside = false;
	char line[512];
	size_t bytes = 0;
	FILE *f = fopen("/proc/self/smaps", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to, kb;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from == (unsigned long)base;
		else if (inside &&
			 sscanf(line, "ShmemPmdMapped: %lu kB", &kb) == 1)
			bytes = kb << 10;
	}
	fclose(f);
	return bytes;
}

/* Whether this kernel puts small pages together for who asks (Linux 6.1). */
static bool kernel_collapses(void)
{
	int fd = memfd_create("hs-probe", MFD_CLOEXEC);
	uint8_t *p;
	bool can;

	assert_int_equal(ftruncate(fd, 2 * (off_t)MIB), 0);
	p = hs_aligned_map(2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	assert_ptr_not_equal(p, MAP_FAILED);
	p[0] = 1;
	can = madvise(p, 2 * MIB, 25) == 0;
	munmap(p, 2 * MIB);
	close(fd);
	return can;
}

static void test_large_pages_that_nobody_reserved(void **state)
{
	static const uint8_t zeros[4096];
	struct hs_memfd made, attached;

	if (!kernel_collapses())
		skip();
	assert_int_equal(
		hs_memfd_create(&made, "hs-test", 5 * MIB, HS_MEMFD_ADVISE), 0);
	assert_int_equal(made.size_bytes, 5 * MIB);
	assert_int_equal(large_bytes(made.base), 4 * MIB);
	for (size_t at = 0; at < 5 * MIB; at += 4096)
		assert_memory_equal((uint8_t *)made.base + at, zeros, 4096);
	assert_int_equal(
		hs_memfd_attach(&attached, dup(made.fd), 5 * MIB,
				HS_MEMFD_READ_ONLY | HS_MEMFD_POPULATE),
		0);
	assert_int_equal(large_bytes(attached.base), 4 * MIB);
	hs_memfd_close(&attached);
	hs_memfd_close(&made);
}

static void test_aligned_map(void **state)
{
	int fd = memfd_create("hs-test", MFD_CLOEXEC);
	uint8_t *p;

	assert_int_equal(ftruncate(fd, 3 * (off_t)MIB), 0);
	p = hs_aligned_map(3 * MIB, PROT_READ, MAP_SHARED, fd);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal((uintptr_t)p % (2 * MIB), 0);
	munmap(p, 3 * MIB);
	close(fd);
	/* What cannot be mapped leaves nothing behind. */
	p = hs_aligned_map(3 * MIB, PROT_READ, MAP_SHARED, -1);
	assert_ptr_equal(p, MAP_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_placed_before_it_is_touched),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_attach_shares_and_survives_holes),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_attach_read_only),
		cmocka_unit_test(test_attach_refuses),
		cmocka_unit_test(test_huge_or_plain),
		cmocka_unit_test(test_large_pages_that_nobody_reserved),
		cmocka_unit_test(test_aligned_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

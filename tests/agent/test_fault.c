/* SPDX-License-Identifier: Apache-2.0 */
/* A read that the kernel cannot serve goes on with zeros. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/fault.h"

#define PAGES 4

/* Three pages of four are cut away: reading there raises SIGBUS. */
static const volatile unsigned char *cut_mapping(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	unsigned char *p;

	assert_int_equal(ftruncate(fd, PAGES * 4096), 0);
	p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	for (int i = 0; i < PAGES; i++)
		p[i * 4096] = 7;
	assert_int_equal(ftruncate(fd, 4096), 0);
	close(fd);
	return p;
}

static void test_covered(void **state)
{
	const volatile unsigned char *p = cut_mapping();
	uint64_t before = hs_fault_count();

	assert_int_equal(hs_fault_install(), 0);
	assert_int_equal(
		hs_fault_watch((const void *)(uintptr_t)p, PAGES * 4096, false),
		0);
	assert_int_equal(p[0], 7);
	assert_int_equal(p[2 * 4096 + 5], 0);
	assert_int_equal(p[2 * 4096], 0);
	assert_int_equal(p[3 * 4096], 0);
	assert_int_equal(p[0], 7);
	assert_int_equal(hs_fault_count() - before, 2);
	hs_fault_forget((const void *)(uintptr_t)p);
}

static void test_others_end_the_process(void **state)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		const volatile unsigned char *p = cut_mapping();

		if (hs_fault_install())
			_exit(3);
		_exit(p[4096]);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covered),
		cmocka_unit_test(test_others_end_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

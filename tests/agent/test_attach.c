/* SPDX-License-Identifier: Apache-2.0 */
/* What an attached process may do with what it got, and what it may not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "house.h"

#define NOBODY 65534

static struct house house;

static int setup(void **state)
{
	house_make(&house, NULL);
	house_start(&house);
	return 0;
}

static int teardown(void **state)
{
	house_free(&house);
	return 0;
}

/* The agent lives, and takes others in. */
static void still_serves(pid_t worker)
{
	struct guest g;

	assert_int_equal(house_worker(&house), worker);
	guest_attach(&g, house.socket);
	guest_take(&g);
	guest_free(&g);
	assert_int_equal(house_worker(&house), worker);
}

static void test_down_is_read_only(void **state)
{
	struct guest g;
	char path[64];
	void *p;
	int fd;

	guest_attach(&g, house.socket);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g.fds[0], 0);
	assert_ptr_equal(p, MAP_FAILED);
	assert_int_equal(errno, EACCES);
	assert_int_equal(pwrite(g.fds[0], "x", 1, 0), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(mprotect((void *)(uintptr_t)g.down, 4096,
				  PROT_READ | PROT_WRITE),
			 -1);
	/* Another user cannot open it anew either; root could open anything. */
	if (geteuid() == 0) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			if (setgid(NOBODY) || setuid(NOBODY))
				_exit(2);
			snprintf(path, sizeof(path), "/proc/self/fd/%d",
				 g.fds[0]);
			fd = open(path, O_RDWR);
			_exit(fd >= 0 ? 1 : 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	guest_free(&g);
}

static void test_sizes_are_sealed(void **state)
{
	struct guest g;
	struct stat st;

	guest_attach(&g, house.socket);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fstat(g.fds[i], &st), 0);
		assert_int_equal(
			fcntl(g.fds[i], F_GET_SEALS) &
				(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		assert_int_equal(ftruncate(g.fds[i], 0), -1);
		assert_int_equal(ftruncate(g.fds[i], st.st_size * 2), -1);
		assert_int_equal(fcntl(g.fds[i], F_ADD_SEALS, F_SEAL_WRITE),
				 -1);
	}
	guest_free(&g);
}

static void test_refusals(void **state)
{
	struct guest g = {0};
	struct hs_shm_hello hello = {
		.magic = HS_SHM_HELLO_MAGIC,
		.version_min = HS_SHM_VERSION + 1,
		.version_max = HS_SHM_VERSION + 1,
	};
	int64_t bad = house_number(&house, "stats.hellos_bad");

	assert_true(guest_say(&g, house.socket, &hello));
	assert_int_equal(g.welcome.verdict, HS_SHM_VERDICT_VERSION);
	close(g.line);
	hello.version_min = hello.version_max = HS_SHM_VERSION;
	hello.resume_process = 12345;
	assert_true(guest_say(&g, house.socket, &hello));
	assert_int_equal(g.welcome.verdict, HS_SHM_VERDICT_UNKNOWN);
	close(g.line);
	hello.magic = 1;
	assert_false(guest_say(&g, house.socket, &hello));
	close(g.line);
	house_await(&house, "stats.hellos_bad", bad + 1);
}

static void test_a_token_is_its_process_s(void **state)
{
	struct guest g;
	pid_t child;
	int status;

	guest_attach(&g, house.socket);
	child = fork();
	if (child == 0) {
		struct guest mine = g;

		mine.line = -1;
		_exit(guest_resume(&mine, house.socket));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), HS_SHM_VERDICT_UNKNOWN);
	guest_free(&g);
}

static void test_hang_up_keeps_and_death_frees(void **state)
{
	int pipe_fds[2];
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	if (child == 0) {
		struct guest g;

		guest_attach(&g, house.socket);
		guest_take(&g);
		close(g.line);
		byte = 1;
		if (write(pipe_fds[1], &byte, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	house_await_most(&house, "domains.0.processes.0.connected", 0);
	assert_int_equal(house_number(&house, "domains.0.processes.0.pid"),
			 child);
	assert_true(house_number(&house, "domains.0.buffers.stocked") > 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	house_await_most(&house, "domains.0.processes", 0);
	assert_int_equal(house_number(&house, "domains.0.buffers.stocked"), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_holes(void **state)
{
	pid_t worker = house_worker(&house);
	struct guest g;

	guest_attach(&g, house.socket);
	guest_take(&g);
	for (int i = 1; i < 3; i++) {
		struct stat st;

		assert_int_equal(fstat(g.fds[i], &st), 0);
		assert_int_equal(
			fallocate(g.fds[i],
				  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  st.st_size),
			0);
	}
	still_serves(worker);
	guest_free(&g);
}

static void await_cut_off(int64_t before)
{
	house_await(&house, "stats.guests_garbage", before + 1);
}

/* Version 1: one ring a core, one size of buffers, one pool. */
static void test_a_guest_of_version_1(void **state)
{
	struct guest g;
	uint64_t word;
	uint32_t size;

	guest_attach_version(&g, house.socket, 1);
	assert_int_equal(g.welcome.version, 1);
	assert_int_equal(g.layout.version, 1);
	word = guest_take(&g);
	assert_true(hs_shm_stock_class(word) < HS_SHM_NR_CLASSES);
	assert_int_equal(hs_shm_stock_node(word), 0);
	size = g.layout.class_bytes[hs_shm_stock_class(word)];
	assert_true(size >= 1024);
	for (uint32_t i = 0; i < HS_SHM_NR_CLASSES; i++)
		if (i != hs_shm_stock_class(word))
			assert_int_equal(g.layout.class_bytes[i], 0);
	/* Its rings are where it looks for them, one after the other. */
	assert_int_equal(g.layout.ring_stride,
			 (sizeof(struct hs_shm_stock_ring) +
			  g.layout.ring_words * sizeof(uint64_t) + 63) /
				 64 * 64);
	guest_free(&g);
}

static void lose_in_lane(struct guest *g)
{
	int64_t before = house_number(&house, "losses.lane");

	__atomic_store_n(&guest_lane(g, 0)->lost, 3, __ATOMIC_RELEASE);
	house_await(&house, "losses.lane", before + 3);
}

/* What a full lane costs are triggers, of those that speak version 2. */
static void test_a_full_lane_taints_nothing(void **state)
{
	int64_t taints = house_number(&house, "stats.lost_taints");
	int64_t unpinned = house_number(&house, "losses.unpinned");
	struct guest g;

	guest_attach(&g, house.socket);
	lose_in_lane(&g);
	assert_int_equal(house_number(&house, "stats.lost_taints"), taints);
	__atomic_store_n(&((struct hs_shm_up *)(void *)g.up)->lost_unpinned, 1,
			 __ATOMIC_RELEASE);
	house_await(&house, "losses.unpinned", unpinned + 1);
	assert_int_equal(house_number(&house, "stats.lost_taints"), taints + 1);
	guest_free(&g);
	guest_attach_version(&g, house.socket, 1);
	lose_in_lane(&g);
	assert_int_equal(house_number(&house, "stats.lost_taints"), taints + 2);
	guest_free(&g);
}

static void test_nonsense_in_up(void **state)
{
	pid_t worker = house_worker(&house);
	int64_t cut = house_number(&house, "stats.guests_garbage");
	struct guest g;

	guest_attach(&g, house.socket);
	__atomic_store_n(&guest_lane(&g, 3)->head, 1ull << 60,
			 __ATOMIC_RELEASE);
	await_cut_off(cut);
	assert_int_equal(guest_resume(&g, house.socket),
			 HS_SHM_VERDICT_UNKNOWN);
	guest_free(&g);
	guest_attach(&g, house.socket);
	__atomic_store_n(&guest_tail(&g, 0)->tail, ~0ull, __ATOMIC_RELEASE);
	await_cut_off(cut + 1);
	guest_free(&g);
	/* All of it noise. */
	guest_attach(&g, house.socket);
	memset(g.up, 0xa5, g.layout.up_bytes);
	memset(g.pool, 0x5a, g.layout.pool_bytes);
	await_cut_off(cut + 2);
	still_serves(worker);
	guest_free(&g);
}

/* In the midst of a buffer, beyond the pool, and in its last, free chunk. */
static uint32_t not_ours(const struct guest *g, uint32_t i)
{
	uint32_t end = (uint32_t)(g->layout.pool_bytes / HS_SHM_REF_UNIT_BYTES);

	switch (i % 3) {
	case 0:
		return i * 977 * 2 + 1;
	case 1:
		return end + 2 * i;
	default:
		return end - 2 - i % 16 * 2;
	}
}

static void test_entries_about_others_buffers(void **state)
{
	pid_t worker = house_worker(&house);
	int64_t bad = house_number(&house, "stats.entries_bad");
	struct guest g;
	struct hs_shm_lane *lane;
	struct hs_shm_entry *entries;

	guest_attach(&g, house.socket);
	lane = guest_lane(&g, 0);
	entries = (struct hs_shm_entry *)(lane + 1);
	for (uint32_t i = 0; i < 200; i++)
		entries[i] = (struct hs_shm_entry){
			.trace_hi = 1,
			.trace_lo = i + 1,
			.u.buffer = {.ref = not_ours(&g, i), .committed = 64},
			.type = HS_SHM_ENTRY_BUFFER,
		};
	__atomic_store_n(&lane->head, 200, __ATOMIC_RELEASE);
	house_await(&house, "stats.entries_bad", bad + 200);
	still_serves(worker);
	guest_free(&g);
}

static void test_users_have_domains_of_their_own(void **state)
{
	pid_t child;
	int status;

	if (geteuid() != 0)
		skip();
	child = fork();
	if (child == 0) {
		struct guest g;

		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(2);
		guest_attach(&g, house.socket);
		_exit((int)g.layout.domain);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	house_await(&house, "domains", 2);
	assert_int_equal(house_number(&house, "domains.1.uid"), NOBODY);
}

static void test_knocking_too_often(void **state)
{
	int64_t refused = house_number(&house, "stats.refused_rate");
	pid_t child = fork();
	int status;

	/* In a process of its own, which alone is turned away. */
	if (child == 0) {
		struct hs_shm_hello hello = {
			.magic = HS_SHM_HELLO_MAGIC,
			.version_min = HS_SHM_VERSION,
			.version_max = HS_SHM_VERSION,
			.resume_process = 12345,
		};

		for (int i = 0; i < 200; i++) {
			struct guest g = {0};

			guest_say(&g, house.socket, &hello);
			if (g.line >= 0)
				close(g.line);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	house_await(&house, "stats.refused_rate", refused + 1);
	still_serves(house_worker(&house));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_down_is_read_only),
		cmocka_unit_test(test_sizes_are_sealed),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_a_token_is_its_process_s),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_a_full_lane_taints_nothing),
		cmocka_unit_test(test_nonsense_in_up),
		cmocka_unit_test(test_a_guest_of_version_1),
		cmocka_unit_test(test_entries_about_others_buffers),
		cmocka_unit_test(test_users_have_domains_of_their_own),
		cmocka_unit_test(test_knocking_too_often),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_setup_teardown(
			test_hang_up_keeps_and_death_frees, setup, teardown),
	};
	int failed = cmocka_run_group_tests(tests, setup, teardown);

	return failed + cmocka_run_group_tests(alone, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shm_strange.c - the shared-memory carrier: whose process a peer is
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/rdma/shm_other.h"

#define STRANGER 65534u /* nobody's; any other than ours would do */

/* A process of another user, which does that; -1: we may be none other. */
static pid_t as_stranger(void (*act)(void))
{
	pid_t pid;

	if (geteuid() != 0)
		return -1;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setresuid(STRANGER, STRANGER, STRANGER))
			_exit(1);
		act();
		_exit(0);
	}
	return pid;
}

static void let_go(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void dial_and_wait(void)
{
	struct other o;

	dial(&o);
	pause();
}

/* Takes the name, where it is free, before anybody listens there. */
static int squatted[2];
static int squatter_backlog;

static void squat(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
			 "hindsight/127.0.0.1:%d", port);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct other o;

	if (bind(fd, (struct sockaddr *)&un,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     (size_t)n)) ||
	    listen(fd, squatter_backlog))
		_exit(1);
	if (!squatter_backlog)
		dial(&o); /* for whom there is room */
	if (write(squatted[1], "!", 1) != 1)
		_exit(1);
	pause();
}

static pid_t squatter(int backlog)
{
	pid_t pid;
	char word;

	squatter_backlog = backlog;
	assert_int_equal(pipe2(squatted, O_CLOEXEC), 0);
	pid = as_stranger(squat);
	close(squatted[1]);
	if (pid > 0)
		assert_int_equal(read(squatted[0], &word, 1), 1);
	close(squatted[0]);
	return pid;
}

static struct hs_transport *with_users(const uint32_t *users, uint32_t nr,
				       bool any)
{
	const struct hs_transport_self self = {
		.role = HS_WIRE_ROLE_AGENT,
		.node = 8,
		.name = "choosy",
		.trust = {.users = users, .nr_users = nr, .any_user = any}};

	return hs_transport_shm_create(&self, NULL, &events, NULL);
}

/* Who dials us and is nobody of ours gets no memory of ours to read. */
static void a_stranger_dials(void **state)
{
	const uint32_t users[] = {12345, STRANGER};
	struct hs_transport_stats st;
	pid_t pid;

	(void)state;
	pid = as_stranger(dial_and_wait);
	if (pid < 0)
		skip();
	until(cut(HS_TRANSPORT_CUT_USER) == 1);
	hs_transport_stats(t, &st);
	assert_int_equal(st.nr_peers, 0);
	let_go(pid);
	for (int i = 0; i < 2; i++) {
		hs_transport_destroy(t);
		t = with_users(users, i ? 0 : 2, i);
		port = hs_transport_listen(t, "127.0.0.1:0");
		pid = as_stranger(dial_and_wait);
		until((hs_transport_stats(t, &st), st.nr_peers == 1));
		assert_int_equal(cut(HS_TRANSPORT_CUT_USER), 0);
		let_go(pid);
	}
	assert_null(with_users(users, HS_TRANSPORT_USERS_MAX + 1, false));
}

/* Who has taken the name before us, likewise; and who listens on all addresses
 * is found behind him. */
static void a_stranger_listens(void **state)
{
	struct hs_transport *all = another(5, 0, NULL, &events);
	char address[64];
	uint64_t before;
	pid_t pid;

	(void)state;
	port = hs_transport_listen(all, "0.0.0.0:0");
	assert_true(port > 0);
	pid = squatter(16);
	if (pid < 0) {
		hs_transport_destroy(all);
		skip();
	}
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_int_equal(hs_transport_listen(t, address), -EADDRINUSE);
	assert_int_equal(hs_transport_dial(t, address), 0);
	while (nr_up < 2) {
		assert_int_equal(hs_transport_poll(t, 1), 0);
		assert_int_equal(hs_transport_poll(all, 1), 0);
	}
	assert_int_equal(cut(HS_TRANSPORT_CUT_USER), 1);
	hs_transport_destroy(all);
	/* Alone he is nobody's peer, however often he is dialled. */
	before = cut(HS_TRANSPORT_CUT_USER);
	until(cut(HS_TRANSPORT_CUT_USER) >= before + 2);
	assert_int_equal(nr_up, 2);
	let_go(pid);
}

/* Nor does he hide who listens on all addresses by taking nobody: the kernel
 * tells then that he is busy, and not who he is. */
static void a_stranger_is_busy(void **state)
{
	struct hs_transport *all = another(5, 0, NULL, &events);
	char address[64];
	pid_t pid;

	(void)state;
	port = hs_transport_listen(all, "0.0.0.0:0");
	assert_true(port > 0);
	pid = squatter(0);
	if (pid < 0) {
		hs_transport_destroy(all);
		skip();
	}
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_int_equal(hs_transport_dial(t, address), 0);
	for (int i = 0; i < 5000 && nr_up < 2; i++) {
		assert_int_equal(hs_transport_poll(t, 1), 0);
		assert_int_equal(hs_transport_poll(all, 1), 0);
	}
	assert_int_equal(nr_up, 2);
	assert_int_equal(cut(HS_TRANSPORT_CUT_USER), 0);
	hs_transport_destroy(all);
	let_go(pid);
}

int main(void)
{
#define each(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		each(a_stranger_dials),
		each(a_stranger_listens),
		each(a_stranger_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
